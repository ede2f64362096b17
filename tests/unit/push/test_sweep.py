"""A sweep: everybody once, as it was when the sweep began."""

from __future__ import annotations

from collections.abc import Sequence

from tests.unit.push.helpers import World, text

from holdfast.push.lending import Line
from holdfast.push.roster import NO_IDS, Roster
from holdfast.push.run import Receipt, Run
from holdfast.push.stream_hold import StreamHold
from holdfast.push.sweep import Sweep


def make_holds(count: int) -> list[StreamHold]:
    world = World()
    holds = [world.stream("c").hold for _ in range(count)]
    return [hold for hold in holds if isinstance(hold, StreamHold)]


def make_roster(holds: list[StreamHold]) -> Roster[StreamHold]:
    roster: Roster[StreamHold] = Roster(holds[0].plan)
    for hold in holds:
        roster.enter(hold)
    return roster


def make_run(at_s: float = 1.0) -> Run:
    run = Run("c")
    run.add(text("c", "x"), Receipt("c"))
    run.begin(at_s)
    return run


def take_lines(sweep: Sweep, limit: int, at_s: float = 1.0) -> tuple[int, Sequence[Line]]:
    assert sweep.offer(make_run(at_s))
    return sweep.take_lines(limit)


def lines_of(*holds: StreamHold) -> list[Line]:
    """What their outlets lend, which is always the same."""
    return [hold.outlet.lend(hold) for hold in holds]


def test_nobody() -> None:
    sweep = Sweep()
    assert (len(sweep), sweep.offer(make_run()), sweep.take(5)) == (0, False, (0, []))


def test_lines_and_then_single_holds() -> None:
    holds = make_holds(5)
    sweep = Sweep(holds[3:], [make_roster(holds[:3])])
    assert len(sweep) == 5
    assert (take_lines(sweep, 2), len(sweep)) == ((2, lines_of(*holds[:2])), 3)
    assert (take_lines(sweep, 2), len(sweep)) == ((1, lines_of(holds[2])), 2)
    assert not sweep.offer(make_run())
    assert (sweep.take(1), sweep.take(5), len(sweep)) == ((1, holds[3:4]), (1, holds[4:]), 0)


def test_or_all_of_them_singly() -> None:
    holds = make_holds(5)
    sweep = Sweep(holds[3:], [make_roster(holds[:3])])
    assert [sweep.take(2) for _ in range(4)] == [(2, holds[:2]), (1, holds[2:3]), (2, holds[3:]), (0, [])]


def test_vacant_places_are_passed() -> None:
    holds = make_holds(4)
    roster = make_roster(holds)
    by_line, by_hold = Sweep((), [roster]), Sweep((), [roster])
    roster.leave(holds[1])
    assert (take_lines(by_line, 3), by_hold.take(3)) == ((3, lines_of(holds[0], holds[2])), (3, [holds[0], holds[2]]))


def test_not_who_enters_later() -> None:
    holds = make_holds(3)
    roster = make_roster(holds[:2])
    sweep = Sweep((), [roster])
    roster.enter(holds[2])
    assert take_lines(sweep, 10) == (2, lines_of(*holds[:2]))


def test_who_leaves_before_the_run_has_come_is_taken_back() -> None:
    holds = make_holds(5)
    roster = make_roster(holds[:4])
    sweep = Sweep(holds[4:], [roster])
    take_lines(sweep, 2)
    roster.enter(late := make_holds(1)[0])
    for hold in (holds[1], holds[2], late):
        sweep.take_back(hold)
        roster.leave(hold)
    assert take_lines(sweep, 10) == (2, lines_of(holds[3]))
    assert sweep.take(10) == (2, [holds[4], holds[2]])


def test_rosters_one_after_the_other() -> None:
    """Each with what its own holds say; those who would not take the run are given it singly."""
    holds = make_holds(7)
    first, refusing, last = make_roster(holds[:2]), make_roster(holds[2:4]), make_roster(holds[4:6])
    refusing.ids = {"c": "what nobody follows"}
    sweep = Sweep(holds[6:], [first, refusing, last])
    assert (take_lines(sweep, 5), len(sweep)) == ((2, lines_of(*holds[:2])), 5)
    assert not sweep.offer(make_run())
    refusing.ids = NO_IDS
    assert (sweep.take(1), sweep.offer(make_run()), sweep.take(9)) == ((1, holds[2:3]), False, (1, holds[3:4]))
    assert (take_lines(sweep, 1), take_lines(sweep, 5)) == ((1, lines_of(holds[4])), (1, lines_of(holds[5])))
    assert (sweep.take(5), len(sweep)) == ((1, holds[6:]), 0)


def test_who_leaves_a_roster_whose_turn_is_still_to_come() -> None:
    holds = make_holds(6)
    rosters = [make_roster(holds[:2]), make_roster(holds[2:4]), make_roster(holds[4:])]
    sweep = Sweep((), rosters)
    take_lines(sweep, 2)
    take_lines(sweep, 1)
    for hold in holds:
        sweep.take_back(hold)
        assert hold.roster is not None
        hold.roster.leave(hold)
    assert (sweep.take_lines(5), take_lines(sweep, 5)) == ((1, []), (2, []))
    assert sweep.take(5) == (3, holds[3:])


def test_the_time_of_the_write_is_known() -> None:
    holds = make_holds(2)
    roster = make_roster(holds)
    take_lines(Sweep((), [roster]), 1, 7000.0)
    for hold in holds:
        roster.leave(hold)
    assert [hold.written_at_s for hold in holds] == [7000.0, 1000.0]


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
