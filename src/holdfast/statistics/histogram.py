"""Histograms: how often a duration was about how long. What is kept is a few integers, whatever is observed.

An observation is a search among a dozen bounds and two additions, and leaves nothing behind.
"""

from __future__ import annotations

from bisect import bisect_left
from itertools import accumulate

PUBLISH_BOUNDS_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
"""One write takes ten microseconds, so these are from a few receivers to a million of them."""

BACKEND_BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)
"""From a cached answer next door to the usual time limits of a web server."""

WAIT_BOUNDS_S = (0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
"""Around the usual `message_wait` of five seconds."""


class Histogram:
    """Counts of what was observed, by size.

    Args:
        bounds: ascending; a value belongs to the first one that it does not exceed.

    Attributes:
        sum: of all values.
    """

    __slots__ = ("_counts", "bounds", "sum")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.sum = 0.0
        self._counts = [0] * (len(bounds) + 1)

    def observe(self, value: float) -> None:
        """Count a value."""
        self._counts[bisect_left(self.bounds, value)] += 1
        self.sum += value

    def cumulative(self) -> list[int]:
        """For each bound how many values did not exceed it, and at last how many there were."""
        return list(accumulate(self._counts))
