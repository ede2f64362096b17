"""Timers: tables of what happens when, and a model that looks at every entry at every step."""

from __future__ import annotations

import math
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from holdfast.timers import Deadline, TimerWheel

SLOT_S = 0.125
"""A power of two, so that the arithmetic of the tests is exact."""


class Entry:
    """Remembers when it fired; may add itself again at the time given."""

    def __init__(self, wheel: TimerWheel | None = None, again_after_s: float | None = None) -> None:
        self.fired_at_s: list[float] = []
        self._wheel = wheel
        self._again_after_s = again_after_s

    def on_timer(self, now_s: float) -> None:
        self.fired_at_s.append(now_s)
        if self._wheel is not None and self._again_after_s is not None:
            self._wheel.add(now_s + self._again_after_s, self)


# --- the wheel -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("deadline_s", "slot_begins_s"),
    [(0.0, 0.0), (1.0, 1.0), (1.01, 1.125), (1.125, 1.125), (1.126, 1.25)],
    ids=["zero", "on a slot", "just behind a slot", "on the next", "just behind that"],
)
def test_a_deadline_is_rounded_up_to_its_slot(deadline_s: float, slot_begins_s: float) -> None:
    wheel = TimerWheel(SLOT_S)
    entry = Entry()
    wheel.add(deadline_s, entry)
    wheel.advance(slot_begins_s - 0.001)
    assert not entry.fired_at_s
    assert wheel.advance(slot_begins_s) is False
    assert entry.fired_at_s == [slot_begins_s]
    wheel.advance(100)
    assert entry.fired_at_s == [slot_begins_s]


def test_late_entries_fire_slot_by_slot() -> None:
    wheel = TimerWheel(SLOT_S)
    order: list[str] = []

    class Named:
        def __init__(self, name: str) -> None:
            self.name = name

        def on_timer(self, now_s: float) -> None:
            order.append(self.name)

    for at_s, name in ((3.0, "c"), (1.0, "a"), (2.0, "b"), (9.0, "later")):
        wheel.add(at_s, Named(name))
    wheel.advance(5.0)
    assert order == ["a", "b", "c"]
    assert len(wheel) == 1


def test_an_entry_that_adds_itself_waits_for_a_later_turn() -> None:
    """Or a deadline in the past would keep the wheel busy for ever."""
    wheel = TimerWheel(SLOT_S)
    entry = Entry(wheel, again_after_s=-5.0)
    wheel.add(1.0, entry)
    for now_s in (1.0, 1.0, 1.125, 1.2, 1.25):
        wheel.advance(now_s)
    assert entry.fired_at_s == [1.0, 1.125, 1.25]


def test_a_removed_entry_does_not_fire() -> None:
    wheel = TimerWheel(SLOT_S)
    kept, removed = Entry(), Entry()
    slots = [wheel.add(1.0, entry) for entry in (kept, removed)]
    wheel.remove(slots[1], removed)
    wheel.remove(slots[1], removed)
    assert len(wheel) == 1
    wheel.advance(2.0)
    wheel.remove(slots[0], kept)
    assert (kept.fired_at_s, removed.fired_at_s, len(wheel)) == ([2.0], [], 0)


def test_entries_of_one_slot_may_remove_each_other() -> None:
    wheel = TimerWheel(SLOT_S)

    class Rival:
        fired = 0

        def on_timer(self, now_s: float) -> None:
            Rival.fired += 1
            for rival in rivals:
                wheel.remove(8, rival)

    rivals = [Rival(), Rival(), Rival()]
    assert {wheel.add(1.0, rival) for rival in rivals} == {8}
    wheel.advance(1.0)
    assert (Rival.fired, len(wheel)) == (1, 0)


def test_entries_that_are_removed_take_no_memory() -> None:
    """Nearly all deadlines of a proxy are hours away and never come."""
    wheel = TimerWheel(SLOT_S)
    kept = Entry()
    wheel.add(100.0, kept)
    tracemalloc.start()
    try:
        for number in range(20_000):
            entry = Entry()
            wheel.remove(wheel.add(3600 + number * SLOT_S, entry), entry)
        assert tracemalloc.get_traced_memory()[0] < 20_000
    finally:
        tracemalloc.stop()
    wheel.advance(100.0)
    assert len(wheel) == 0 and kept.fired_at_s == [100.0]


def test_a_slot_that_was_emptied_may_be_filled_again() -> None:
    wheel = TimerWheel(SLOT_S)
    removed, entry = Entry(), Entry()
    wheel.remove(wheel.add(1.0, removed), removed)
    wheel.add(1.0, entry)
    wheel.advance(2.0)
    assert entry.fired_at_s == [2.0]


def test_an_entry_that_fires_may_remove_all_others() -> None:
    """So many that what is known of their slots is made anew."""
    wheel = TimerWheel(SLOT_S)
    others = [Entry() for _ in range(500)]
    slots = [wheel.add(2.0 + number, other) for number, other in enumerate(others)]

    class Last:
        def on_timer(self, now_s: float) -> None:
            wheel.remove(8, same)
            for slot, other in zip(slots, others, strict=True):
                wheel.remove(slot, other)
            wheel.add(now_s + 1, later)

    later, same = Entry(), Entry()
    wheel.add(1.0, same)
    wheel.add(1.0, Last())
    wheel.advance(1.5)
    assert len(wheel) == 1 and not same.fired_at_s
    wheel.advance(9.0)
    assert len(wheel) == 0 and later.fired_at_s == [9.0]


def test_an_entry_that_fails_harms_no_other() -> None:
    wheel = TimerWheel(SLOT_S)

    class Faulty:
        def on_timer(self, now_s: float) -> None:
            raise RuntimeError("broken")

    entries = [Entry(), Entry()]
    for entry in (entries[0], Faulty(), entries[1]):
        wheel.add(1.0, entry)
    with pytest.raises(RuntimeError):
        wheel.advance(1.0)
    wheel.advance(1.0)
    assert [entry.fired_at_s for entry in entries] == [[1.0], [1.0]]


def test_a_limit_cuts_the_work_into_turns() -> None:
    wheel = TimerWheel(SLOT_S)
    entries = [Entry() for _ in range(5)]
    for number, entry in enumerate(entries):
        wheel.add(1.0 + number // 4, entry)

    def fired() -> int:
        return sum(len(entry.fired_at_s) for entry in entries)

    assert (wheel.advance(9.0, limit=2), fired()) == (True, 2)
    assert (wheel.advance(9.0, limit=2), fired()) == (True, 4)
    assert (wheel.advance(9.0, limit=2), fired(), len(wheel)) == (False, 5, 0)


class WheelAgainstModel(RuleBasedStateMachine):
    """The wheel against a list: never early, at most one slot late, removed ones never, each once."""

    def __init__(self) -> None:
        super().__init__()
        self.wheel = TimerWheel(SLOT_S)
        self.now_s = 0.0
        self.waiting: dict[Entry, tuple[float, int]] = {}

    @rule(delay_s=st.integers(-8, 80).map(lambda ticks: ticks / 64))
    def add(self, delay_s: float) -> None:
        entry = Entry()
        deadline_s = self.now_s + delay_s
        self.waiting[entry] = deadline_s, self.wheel.add(deadline_s, entry)

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def remove(self, data: st.DataObject) -> None:
        entry = data.draw(st.sampled_from(list(self.waiting)))
        _, slot = self.waiting.pop(entry)
        self.wheel.remove(slot, entry)
        entry.fired_at_s.append(-1)

    @rule(step_s=st.integers(0, 40).map(lambda ticks: ticks / 64))
    def advance(self, step_s: float) -> None:
        before_s, self.now_s = self.now_s, self.now_s + step_s
        assert self.wheel.advance(self.now_s) is False
        for entry, (deadline_s, _) in list(self.waiting.items()):
            if entry.fired_at_s:
                assert entry.fired_at_s == [self.now_s] and deadline_s <= self.now_s
                del self.waiting[entry]
            else:
                assert self.now_s < max(deadline_s, before_s) + SLOT_S

    @invariant()
    def sizes_agree(self) -> None:
        assert len(self.wheel) == len(self.waiting)


TestWheelAgainstModel = WheelAgainstModel.TestCase
TestWheelAgainstModel.settings = settings(max_examples=40, stateful_step_count=30)


# --- the deadline --------------------------------------------------------------------------------------------------


class Owner:
    """Remembers when its time ran out, and may set a new deadline then."""

    def __init__(self, wheel: TimerWheel, again_after_s: float | None = None) -> None:
        self.ran_out_at_s: list[float] = []
        self.deadline = Deadline(wheel, self)
        self._again_after_s = again_after_s

    def on_deadline(self, now_s: float) -> None:
        self.ran_out_at_s.append(now_s)
        if self._again_after_s is not None:
            self.deadline.set(now_s + self._again_after_s)


Step = tuple[str, float]

CONVERSATIONS: list[tuple[str, list[Step], list[float]]] = [
    ("set", [("set", 1.0), ("advance", 0.9), ("advance", 1.0), ("advance", 9.0)], [1.0]),
    ("never set", [("advance", 9.0)], []),
    ("moved later", [("set", 1.0), ("set", 3.0), ("advance", 2.0), ("advance", 3.0)], [3.0]),
    ("moved earlier", [("set", 3.0), ("set", 1.0), ("advance", 1.0), ("advance", 4.0)], [1.0]),
    ("moved later, then earlier", [("set", 1.0), ("set", 5.0), ("set", 3.0), ("advance", 2), ("advance", 3)], [3]),
    ("cleared", [("set", 1.0), ("clear", 0), ("advance", 9.0)], []),
    ("cleared, set again", [("set", 1.0), ("clear", 0), ("set", 2.0), ("advance", 1), ("advance", 2)], [2]),
    ("cleared, entry gone, set again", [("set", 1.0), ("clear", 0), ("advance", 5), ("set", 6), ("advance", 6)], [6]),
    ("set again afterwards", [("set", 1.0), ("advance", 1.0), ("set", 2.0), ("advance", 2.0)], [1.0, 2.0]),
    ("cancelled", [("set", 1.0), ("cancel", 0), ("advance", 9.0)], []),
    ("cancelled before it was set", [("cancel", 0), ("set", 1.0), ("advance", 9.0)], []),
    ("cancelled twice", [("set", 1.0), ("cancel", 0), ("cancel", 0), ("advance", 9.0)], []),
]


@pytest.mark.parametrize(
    ("steps", "expected"), [case[1:] for case in CONVERSATIONS], ids=[case[0] for case in CONVERSATIONS]
)
def test_deadline(steps: list[Step], expected: list[float]) -> None:
    wheel = TimerWheel(SLOT_S)
    owner = Owner(wheel)
    for verb, at_s in steps:
        if verb == "advance":
            wheel.advance(at_s)
        elif verb == "set":
            owner.deadline.set(at_s)
        else:
            getattr(owner.deadline, verb)()
    assert owner.ran_out_at_s == expected


def test_a_new_deadline_may_be_set_when_the_old_one_fires() -> None:
    wheel = TimerWheel(SLOT_S)
    owner = Owner(wheel, again_after_s=1.0)
    owner.deadline.set(1.0)
    for now_s in (1.0, 1.5, 2.0, 3.0):
        wheel.advance(now_s)
    assert owner.ran_out_at_s == [1.0, 2.0, 3.0]


def test_a_cancelled_deadline_leaves_nothing_on_the_wheel() -> None:
    wheel = TimerWheel(SLOT_S)
    owner = Owner(wheel)
    owner.deadline.set(1.0)
    owner.deadline.cancel()
    assert (len(wheel), owner.deadline.at_s) == (0, math.inf)


def test_an_entry_already_handed_out_does_not_reach_a_cancelled_owner() -> None:
    """The wheel calls an entry after it has let go of it; the owner may have ended in between."""
    owner = Owner(TimerWheel(SLOT_S))
    owner.deadline.cancel()
    owner.deadline.on_timer(1.0)
    assert owner.ran_out_at_s == []


STEPS = st.lists(
    st.tuples(st.sampled_from(["set", "clear", "advance"]), st.integers(0, 100).map(lambda ticks: ticks / 64))
)


@given(STEPS)
def test_deadline_against_a_model(steps: list[Step]) -> None:
    """Times are steps from now; a deadline that has passed is noticed within two slots, and never before."""
    wheel = TimerWheel(SLOT_S)
    owner = Owner(wheel)
    now_s, due_s = 0.0, math.inf
    for verb, step_s in steps:
        if verb == "set":
            due_s = now_s + step_s
            owner.deadline.set(due_s)
        elif verb == "clear":
            due_s = math.inf
            owner.deadline.clear()
        else:
            for _ in range(int(step_s / SLOT_S) + 1):
                now_s += SLOT_S
                wheel.advance(now_s)
                if owner.ran_out_at_s:
                    assert owner.ran_out_at_s == [now_s] and now_s >= due_s
                    owner.ran_out_at_s.clear()
                    due_s = math.inf
                assert now_s < due_s + 2 * SLOT_S
        assert len(wheel) <= 1
