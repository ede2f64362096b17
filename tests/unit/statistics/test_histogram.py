"""Where a value is counted, and what comes of it."""

from __future__ import annotations

import pytest

from holdfast.statistics.histogram import BACKEND_BOUNDS_S, PUBLISH_BOUNDS_S, WAIT_BOUNDS_S, Histogram


@pytest.mark.parametrize(
    ("value", "cumulative"),
    [
        (0, [1, 1, 1]),
        (0.5, [1, 1, 1]),
        (0.50001, [0, 1, 1]),
        (2, [0, 1, 1]),
        (2.5, [0, 0, 1]),
        (-1, [1, 1, 1]),
        (float("inf"), [0, 0, 1]),
    ],
)
def test_a_bound_belongs_to_what_is_below(value: float, cumulative: list[int]) -> None:
    histogram = Histogram((0.5, 2))
    histogram.observe(value)
    assert (histogram.cumulative(), histogram.sum) == (cumulative, value)


def test_several() -> None:
    histogram = Histogram((1, 2, 3))
    assert (histogram.cumulative(), histogram.sum) == ([0, 0, 0, 0], 0)
    for value in (0.5, 2.5, 2.5, 9):
        histogram.observe(value)
    assert (histogram.cumulative(), histogram.sum) == ([1, 1, 3, 4], 14.5)


@pytest.mark.parametrize("bounds", [BACKEND_BOUNDS_S, PUBLISH_BOUNDS_S, WAIT_BOUNDS_S])
def test_bounds_ascend(bounds: tuple[float, ...]) -> None:
    assert list(bounds) == sorted(set(bounds))
