"""Connection minutes, against the sum that the definition says."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.net.minutes import MinuteMeter


@pytest.mark.parametrize(
    ("start_s", "end_s", "minutes"),
    [
        (1000, 1000, 1),
        (1000, 1059, 1),
        (1000, 1060, 2),
        (1000, 1119, 2),
        (1000, 1120, 3),
        (1000.9, 1059.9, 1),
        (1000.9, 1060.9, 2),
        (0, 3600, 61),
        (59, 59, 1),
        (59, 118, 1),
        (59, 119, 2),
    ],
)
def test_one_connection(start_s: float, end_s: float, minutes: int) -> None:
    """grip spec §15.7: one at the start, one more per further full minute; and nothing after its end."""
    meter = MinuteMeter()
    meter.end(end_s, meter.start(start_s))
    assert meter.read(end_s) == minutes
    assert meter.read(end_s + 1000) == minutes


def test_open_connections_go_on_counting() -> None:
    meter = MinuteMeter()
    meter.start(1000)
    meter.start(1030)
    assert [meter.read(now_s) for now_s in (1030, 1059, 1060, 1089, 1090, 1120, 4630)] == [2, 2, 3, 3, 4, 5, 122]


LIVES = st.lists(st.tuples(st.integers(0, 300), st.integers(0, 300)), max_size=20)


@given(LIVES, st.lists(st.integers(0, 600), max_size=5))
def test_any_number_at_any_time(lives: list[tuple[int, int]], readings: list[int]) -> None:
    """Whenever it is read, however often, the sum over all connections."""
    meter = MinuteMeter()
    started: dict[int, int] = {}
    for now_s in range(601):
        for number, (start_s, length_s) in enumerate(lives):
            if start_s == now_s:
                started[number] = meter.start(now_s)
            if start_s + length_s == now_s:
                meter.end(now_s, started[number])
        if now_s in readings:
            begun = [(start_s, length_s) for start_s, length_s in lives if start_s <= now_s]
            assert meter.read(now_s) == sum(1 + min(now_s - start_s, length_s) // 60 for start_s, length_s in begun)
