"""Pacing: deliveries limited per second, and a bound on how many may wait (grip spec §13).

Off by default. Deliveries are queued per key (the id of an explicit route), keys take turns, and within a key the order
is kept. A batch leaves every 25 ms, or for low rates one delivery at a time.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable

BATCH_INTERVAL_S = 0.025
_MIN_BATCHED_RATE = 40


class Pacer:
    """Queues of deliveries that leave at a rate.

    Args:
        rate: deliveries per second, over all keys; None means no limit.
        hwm: units that may wait per key; None means no limit.
        block_size: bytes that count as one unit; None means that every delivery is one unit.
        call_later: runs a callback after some seconds.
    """

    def __init__(
        self,
        *,
        rate: int | None,
        hwm: int | None,
        block_size: int | None,
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.hwm = hwm if hwm is not None else math.inf
        self._block_size = block_size
        self._call_later = call_later
        self._queues: dict[str, _Queue] = {}
        self._is_running = False
        if rate is None:
            self._batch: float = math.inf
            self._interval_s = 0.0
        elif rate >= _MIN_BATCHED_RATE:
            self._batch = math.ceil(rate * BATCH_INTERVAL_S)
            self._interval_s = BATCH_INTERVAL_S
        else:
            self._batch = 1
            self._interval_s = (1000 // rate) / 1000

    @property
    def waiting(self) -> int:
        """Units queued now, over all keys."""
        return sum(queue.units for queue in self._queues.values())

    def submit(self, key: str, size: int, deliver: Callable[[], bool]) -> bool:
        """Queue one delivery; False when the key already holds as many units as may wait.

        Args:
            size: bytes of what is delivered, or as many as the item says it counts for.
            deliver: must not raise; returns whether the receiver was still there, because others cost nothing.
        """
        units = self._units(size)
        queue = self._queues.get(key) or _Queue()
        if queue.units + units > self.hwm:
            return False
        self._queues[key] = queue
        queue.jobs.append((units, deliver))
        queue.units += units
        if not self._is_running:
            self._is_running = True
            self._call_later(0, self._run_batch)
        return True

    def _units(self, size: int) -> int:
        """Weight of a delivery (grip spec §13.3)."""
        return 1 if self._block_size is None else max(math.ceil(size / self._block_size), 1)

    def _run_batch(self) -> None:
        """Let one batch go. A delivery of several units takes as many turns of its key, this one and following ones."""
        if not self._queues:
            self._is_running = False
            return
        left = self._batch
        while left > 0 and self._queues:
            key, queue = next(iter(self._queues.items()))
            del self._queues[key]
            left -= queue.take_turn()
            if queue.jobs or queue.debt:
                self._queues[key] = queue
        self._call_later(self._interval_s, self._run_batch)


class _Queue:
    """The deliveries of one key. `debt` is what the last delivery has still to pay in turns."""

    __slots__ = ("debt", "jobs", "units")

    def __init__(self) -> None:
        self.jobs: deque[tuple[int, Callable[[], bool]]] = deque()
        self.units = 0
        self.debt = 0

    def take_turn(self) -> int:
        """Make the next delivery or pay for the last one; returns the units that it cost, 0 or 1."""
        if self.debt:
            self.debt -= 1
            return 1
        units, deliver = self.jobs.popleft()
        self.units -= units
        if not deliver():
            return 0
        self.debt = units - 1
        return 1
