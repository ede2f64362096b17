"""What the clients of a soak have seen since they last said so."""

from __future__ import annotations

import time
from collections import Counter

_REMEMBERED_INCIDENTS = 10_000


class Tally:
    """Counts, latencies, and what went wrong.

    Attributes:
        counts: what happened, by what it is called.
        publish_s: from a publish to the client, of items that were waited for.
        request_s: of proxied requests.
        incidents: from when until when, and how, a request failed, which an outage of the backend may explain.
        violations: what nothing explains.
        is_over: publishers have ended, so nobody begins anything that takes long.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.publish_s: list[float] = []
        self.request_s: list[float] = []
        self.incidents: list[tuple[float, float, str]] = []
        self.violations: list[str] = []
        self.is_over = False

    def fails(self, what: str, begun_s: float | None = None) -> None:
        """A request failed; `begun_s`: since when, if that matters."""
        now = time.monotonic()
        if len(self.incidents) < _REMEMBERED_INCIDENTS:
            self.incidents.append((now if begun_s is None else begun_s, now, what))

    def take_latencies(self) -> dict[str, list[float]]:
        """Median, 99th percentile, worst, and number of those since the last time, in milliseconds."""
        taken = {"publish": summary(self.publish_s), "request": summary(self.request_s)}
        self.publish_s.clear()
        self.request_s.clear()
        return taken


def summary(seconds: list[float]) -> list[float]:
    """Median, 99th percentile, worst in milliseconds, and how many there were."""
    if not seconds:
        return [0.0, 0.0, 0.0, 0]
    in_order = sorted(seconds)
    last = len(in_order) - 1
    return [*(round(in_order[round(last * share)] * 1000, 3) for share in (0.5, 0.99, 1)), len(in_order)]
