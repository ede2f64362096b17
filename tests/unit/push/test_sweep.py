"""A sweep: everybody once, as it was when the sweep began."""

from __future__ import annotations

from tests.unit.push.helpers import World, text

from holdfast.push.roster import Roster
from holdfast.push.stream_hold import StreamHold
from holdfast.push.sweep import Sweep


def make_holds(count: int) -> list[StreamHold]:
    world = World()
    holds = [world.stream("c").hold for _ in range(count)]
    return [hold for hold in holds if isinstance(hold, StreamHold)]


def make_roster(holds: list[StreamHold]) -> Roster[StreamHold]:
    roster: Roster[StreamHold] = Roster()
    for number, hold in enumerate(holds):
        roster.enter(hold, 100 + number)
    return roster


def test_nobody() -> None:
    sweep = Sweep()
    assert (len(sweep), sweep.has_listed, sweep.take(5)) == (0, False, (0, []))


def test_descriptors_and_then_single_holds() -> None:
    holds = make_holds(5)
    sweep = Sweep(holds[3:], make_roster(holds[:3]))
    assert (len(sweep), sweep.has_listed) == (5, True)
    assert (sweep.take_fds(2, 1.0), len(sweep), sweep.has_listed) == ((2, [100, 101]), 3, True)
    assert (sweep.take_fds(2, 1.0), len(sweep), sweep.has_listed) == ((1, [102]), 2, False)
    assert (sweep.take(1), sweep.take(5), len(sweep)) == ((1, holds[3:4]), (1, holds[4:]), 0)


def test_or_all_of_them_singly() -> None:
    holds = make_holds(5)
    sweep = Sweep(holds[3:], make_roster(holds[:3]))
    assert [sweep.take(2) for _ in range(4)] == [(2, holds[:2]), (1, holds[2:3]), (2, holds[3:]), (0, [])]


def test_vacant_places_are_passed() -> None:
    holds = make_holds(4)
    roster = make_roster(holds)
    by_fd, by_hold = Sweep((), roster), Sweep((), roster)
    roster.leave(holds[1])
    assert (by_fd.take_fds(3, 1.0), by_hold.take(3)) == ((3, [100, 102]), (3, [holds[0], holds[2]]))


def test_not_who_enters_later() -> None:
    holds = make_holds(3)
    roster = make_roster(holds[:2])
    sweep = Sweep((), roster)
    roster.enter(holds[2], 102)
    assert sweep.take_fds(10, 1.0) == (2, [100, 101])


def test_who_leaves_before_the_run_has_come_is_taken_back() -> None:
    holds = make_holds(5)
    roster = make_roster(holds[:4])
    sweep = Sweep(holds[4:], roster)
    sweep.take_fds(2, 1.0)
    roster.enter(late := make_holds(1)[0], 105)
    for hold in (holds[1], holds[2], late):
        sweep.take_back(hold)
        roster.leave(hold)
    assert sweep.take_fds(10, 1.0) == (2, [103])
    assert sweep.take(10) == (2, [holds[4], holds[2]])


def test_the_time_of_the_write_is_known() -> None:
    holds = make_holds(2)
    roster = make_roster(holds)
    Sweep((), roster).take_fds(1, 7000.0)
    roster.leave(holds[1])
    assert holds[1].written_at_s == 7000.0


def test_who_is_expected() -> None:
    holds = make_holds(3)
    sweep = Sweep(holds[:2])
    sweep.take(1)
    assert [sweep.expects(hold) for hold in holds] == [False, True, False]


def test_a_run_that_was_accepted_before_goes_as_far_as_it_did() -> None:
    """The same through the fan-out."""
    world = World()
    early = world.stream("c")
    world.publish(text("c", "1"))
    late = world.stream("c")
    world.run()
    assert (early.content, late.content) == ("1", "")
