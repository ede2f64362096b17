"""The subscribers of a channel: who is in which roster."""

from __future__ import annotations

import itertools
import sys
from collections.abc import Mapping

import pytest
from tests.unit.push.helpers import PLAN, FakeOutlet, ListableHold, make_plan

from holdfast.push import subscribers as subscribers_module
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.lending import Line
from holdfast.push.roster import NO_IDS, UNLISTED, Roster
from holdfast.push.subscribers import Subscribers

NUMBERS = itertools.count()


def make_delivery() -> Delivery:
    """A run that has begun."""
    delivery = Delivery(next(NUMBERS), Channel("c"))
    delivery.begin(0.0)
    return delivery


def enters(subscribers: Subscribers[ListableHold], hold: ListableHold, run: Delivery) -> bool:
    """Whether the hold is in a roster now, and was not before."""
    before = hold.roster
    subscribers.enlist(hold, run)
    return hold.roster is not before


class TestSubscribers:
    def make(self, count: int) -> tuple[Subscribers[ListableHold], list[ListableHold]]:
        subscribers: Subscribers[ListableHold] = Subscribers()
        holds = [ListableHold() for _ in range(count)]
        for hold in holds:
            subscribers.add(hold)
        return subscribers, holds

    def test_all_of_them_wherever_they_are(self) -> None:
        subscribers, [first, second, third] = self.make(3)
        assert enters(subscribers, second, make_delivery())
        assert (list(subscribers), list(subscribers.singles), len(subscribers)) == (
            [first, third, second],
            [first, third],
            3,
        )
        subscribers.unlist(second)
        assert (list(subscribers), second.place, len(subscribers)) == ([first, third, second], UNLISTED, 3)

    def test_one_to_which_there_is_no_line(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """For want of memory. It stays single."""
        subscribers, [first, second] = self.make(2)
        with monkeypatch.context() as patch, pytest.raises(MemoryError):
            patch.setattr(FakeOutlet, "lend", _fail)
            subscribers.enlist(first, make_delivery())
        assert (first.roster, first.place, list(subscribers.singles)) == (None, UNLISTED, [first, second])
        assert [enters(subscribers, hold, make_delivery()) for hold in (second, first)] == [True, True]
        assert (second.place, first.place) == (0, 1)

    def test_leaving(self) -> None:
        subscribers, [single, listed, never] = self.make(3)
        subscribers.enlist(listed, make_delivery())
        for hold in (single, listed, never, ListableHold()):
            subscribers.discard(hold)
        assert (len(subscribers), list(subscribers), listed.place) == (0, [], UNLISTED)

    def test_pays_only_for_a_crowd(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscribers_module, "CROWD", 3)
        subscribers, holds = self.make(2)
        run = make_delivery()
        assert [enters(subscribers, hold, run) for hold in holds * 2] == [False] * 4
        subscribers.add(third := ListableHold())
        holds.append(third)
        run = make_delivery()
        assert [enters(subscribers, hold, run) for hold in holds[1:]] == [False] * 2
        run = make_delivery()
        assert [enters(subscribers, hold, run) for hold in holds] == [False] * 3  # there was none the last time
        run = make_delivery()
        assert [enters(subscribers, hold, run) for hold in holds] == [False, False, True]
        assert [enters(subscribers, hold, make_delivery()) for hold in holds] == [True, True, False]

    def test_those_that_were_single_leave_no_room_behind(self) -> None:
        subscribers, holds = self.make(1000)
        run = make_delivery()
        for hold in holds:
            subscribers.enlist(hold, run)
        assert sys.getsizeof(subscribers.singles) == sys.getsizeof({})

    def test_not_twice(self) -> None:
        subscribers, [hold, _] = self.make(2)
        run = make_delivery()
        assert enters(subscribers, hold, run)
        assert not enters(subscribers, hold, run)
        assert the_roster(subscribers).lines == [hold.outlet]

    def test_grows_no_further_while_it_is_sparse(self) -> None:
        """A bound: with a run always on its way, nobody could close the ranks."""
        subscribers, holds = self.make(4)
        run = make_delivery()
        for _ in range(20):
            for hold in holds:
                subscribers.enlist(hold, run)
            for hold in holds:
                if hold.place != UNLISTED:
                    subscribers.unlist(hold)
        assert len(the_roster(subscribers).lines) == 4

    def test_tidying(self) -> None:
        subscribers, [first, second, third] = self.make(3)
        run = make_delivery()
        for hold in (first, second, third):
            subscribers.enlist(hold, run)
        subscribers.unlist(first)
        subscribers.tidy()
        assert second.place == 1
        subscribers.unlist(second)
        subscribers.tidy()
        assert third.place == 0
        subscribers.unlist(third)
        subscribers.tidy()
        assert not subscribers.rosters

    def test_one_that_is_not_worth_its_while_is_dissolved(self, monkeypatch: pytest.MonkeyPatch) -> None:
        subscribers, holds = self.make(20)
        run = make_delivery()
        for hold in holds:
            subscribers.enlist(hold, run)
        monkeypatch.setattr(subscribers_module, "CROWD", 16)
        for hold in holds[:15]:
            subscribers.discard(hold)
        subscribers.tidy()
        assert [hold.place for hold in holds[15:]] == [0, 1, 2, 3, 4]
        for hold in holds[15:18]:
            subscribers.discard(hold)
        subscribers.tidy()
        assert not subscribers.rosters
        assert list(subscribers) == list(subscribers.singles) == holds[18:]
        assert [hold.place for hold in holds[18:]] == [UNLISTED] * 2

    def test_a_roster_for_each_kind(self) -> None:
        subscribers: Subscribers[ListableHold] = Subscribers()
        plans = [PLAN, make_plan("skip-self", meta={"user": "bob"}), make_plan("skip-self", meta={"user": "eve"})]
        run = make_delivery()
        holds = [ListableHold(plan) for plan in plans * 2] + [ListableHold(followed_ids={"c": "1"})]
        for hold in holds:
            subscribers.add(hold)
            assert enters(subscribers, hold, run)
        assert [hold.place for hold in holds] == [0, 0, 0, 1, 1, 1, 0]
        assert (len(subscribers.rosters), len(subscribers), len(list(subscribers))) == (4, 7, 7)

    def test_there_are_not_too_many(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscribers_module, "MAX_ROSTERS", 3)
        subscribers: Subscribers[ListableHold] = Subscribers()
        run = make_delivery()
        holds = [ListableHold(make_plan("skip-self", meta={"user": str(number)})) for number in range(5)]
        for hold in holds:
            subscribers.add(hold)
        assert [enters(subscribers, hold, run) for hold in holds] == [True, True, True, False, False]
        subscribers.discard(holds[1])
        subscribers.tidy()
        assert [enters(subscribers, hold, run) for hold in holds[3:]] == [True, False]

    def test_where_all_are_different_nobody_is_counted_for_long(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """A bound: what is done in vain for each run."""
        monkeypatch.setattr(subscribers_module, "CROWD", 2)
        subscribers: Subscribers[ListableHold] = Subscribers()
        looked = []

        class Loner(ListableHold):
            @property
            def followed_ids(self) -> Mapping[str, str]:
                looked.append(self)
                return NO_IDS

            @followed_ids.setter
            def followed_ids(self, ids: Mapping[str, str]) -> None: ...

        holds = [Loner(make_plan("skip-self", meta={"user": str(number)})) for number in range(10)]
        for hold in holds:
            subscribers.add(hold)
        counted = []
        for _ in range(40):
            looked.clear()
            run = make_delivery()
            assert not any(enters(subscribers, hold, run) for hold in holds)
            counted.append(len(looked))
        assert [number for number, count in enumerate(counted) if count] == [0, 2, 6, 14, 30]
        assert set(counted) == {0, 10}

    def test_a_crowd_is_found_among_all_the_others(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscribers_module, "CROWD", 16)
        subscribers: Subscribers[ListableHold] = Subscribers()
        plans = [make_plan("skip-self", meta={"user": str(number)}) for number in range(1000)]
        holds = [ListableHold(plan) for plan in plans] + [ListableHold() for _ in range(20)]
        for hold in holds:
            subscribers.add(hold)
        for _ in range(2):
            run = make_delivery()
            for hold in holds:
                subscribers.enlist(hold, run)
        assert [hold.place for hold in holds[-20:]] == [*range(5, 20), *range(5)]

    def test_small_channels_forget_what_was_counted(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(subscribers_module, "CROWD", 3)
        subscribers, holds = self.make(3)
        run = make_delivery()
        assert [enters(subscribers, hold, run) for hold in holds[:2]] == [False] * 2
        for hold in holds:
            subscribers.discard(hold)
        subscribers.tidy()
        holds = [ListableHold() for _ in range(3)]
        for hold in holds:
            subscribers.add(hold)
        assert [enters(subscribers, hold, run) for hold in holds] == [False, False, True]


def _fail(*_: object) -> Line:
    raise MemoryError


def the_roster(subscribers: Subscribers[ListableHold]) -> Roster[ListableHold]:
    [roster] = subscribers.rosters.values()
    return roster
