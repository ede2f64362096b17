"""Next links and their clock. Time is told in seconds from the first stream's beginning."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.push.link import MAX_FAILURES, MAX_HOPS, Link, LinkClock


def test_a_new_link_has_not_failed() -> None:
    link = Link("/next", 120)
    assert (link.hops, link.failures) == (0, 0)


def test_links_are_the_streams_own() -> None:
    """Equal targets are compared, not the links: failures are counted per stream."""
    assert Link("/next", 120) != Link("/next", 120)


def test_bounds() -> None:
    """grip spec §6.7: the sixth failure ends the stream."""
    assert (MAX_FAILURES, MAX_HOPS) == (6, 100)


JOINING = [
    ("the first sets the clock", 0.0, 20),
    ("at the same time", 0.0, 20),
    ("a moment later", 0.1, 20),
    ("just before it is due", 19.9, 20),
    ("just when it is due", 20.0, 40),
    ("rounds later", 47.0, 60),
]


@pytest.mark.parametrize(("now_s", "due_s"), [case[1:] for case in JOINING], ids=[case[0] for case in JOINING])
def test_who_joins_is_early_never_late(now_s: float, due_s: float) -> None:
    """grip spec §6.8"""
    clock = LinkClock()
    clock.join(Link("/next", 20), 0.0)
    assert clock.join(Link("/next", 20), now_s) == due_s


def test_groups() -> None:
    """The same target and the same time."""
    clock = LinkClock()
    clock.join(Link("/a", 20), 0.0)
    assert clock.join(Link("/b", 20), 5.0) == 25
    assert clock.join(Link("/a", 30), 5.0) == 35
    assert clock.join(Link("/a", 20, hops=3), 5.0) == 20
    assert len(clock) == 3


def test_a_group_ends_with_its_last_stream() -> None:
    clock = LinkClock()
    first, second = Link("/next", 20), Link("/next", 20)
    clock.join(first, 0.0)
    clock.join(second, 5.0)
    clock.leave(first)
    assert clock.join(first, 6.0) == 20
    clock.leave(first)
    clock.leave(second)
    assert len(clock) == 0
    assert clock.join(first, 7.0) == 27


def test_no_timeout() -> None:
    """grip spec §6.8: again and again, as fast as possible."""
    clock, link = LinkClock(), Link("/next", 0)
    assert (clock.join(link, 0.0), clock.join(link, 3.5)) == (0.0, 3.5)
    clock.leave(link)
    clock.leave(link)
    assert len(clock) == 0


@given(st.lists(st.floats(0, 1000), min_size=1), st.integers(1, 120))
def test_the_streams_of_a_group_fire_together(delays: list[float], timeout_s: int) -> None:
    """Every one after it has begun and not later than its timeout, and all at times of one rhythm."""
    clock, start_s = LinkClock(), 1000.0
    clock.join(Link("/next", timeout_s), start_s)
    for delay_s in delays:
        due_s = clock.join(Link("/next", timeout_s), start_s + delay_s)
        assert start_s + delay_s < due_s <= start_s + delay_s + timeout_s
        assert (due_s - start_s) % timeout_s == 0
