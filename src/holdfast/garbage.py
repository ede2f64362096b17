"""Garbage collection of the process: seldom, and how long everything stood still for it."""

from __future__ import annotations

import gc
import time

THRESHOLDS = (10_000, 1, 1000)
"""Fewer collections than Python's 700, 10, 10: a proxy makes and drops many objects, nearly all without cycles. After
two of the young, the middle ones are looked at: those are 30,000 at most then, which takes 5 ms, as against the 400,000
of a crowd of WebSockets that a 20 would let come together. A full collection over a hundred thousand holds would be
felt by every client; it is left for when thirty million more objects have been made than dropped."""


class GarbageWatch:
    """Measures every collection from `settle` on. There are few, and each costs two more readings of the clock.

    Attributes:
        collections: how many there were.
        seconds: how long they took, all together.
        longest_s: how long the longest of them took.
    """

    def __init__(self) -> None:
        self.collections = 0
        self.seconds = 0.0
        self.longest_s = 0.0
        self._started_s = 0.0

    def settle(self) -> None:
        """The process has started: what there is now stays, and is not looked at again."""
        gc.collect()
        gc.freeze()
        gc.set_threshold(*THRESHOLDS)
        gc.callbacks.append(self._on_collection)

    def stop(self) -> None:
        """Measure no more."""
        gc.callbacks.remove(self._on_collection)

    def _on_collection(self, phase: str, _info: dict[str, int]) -> None:
        if phase == "start":
            self._started_s = time.perf_counter()
            return
        took_s = time.perf_counter() - self._started_s
        self.collections += 1
        self.seconds += took_s
        self.longest_s = max(self.longest_s, took_s)
