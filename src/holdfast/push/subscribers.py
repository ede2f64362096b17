"""The subscribers of a channel, by how a run comes to them: through a roster, or singly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, NamedTuple

from holdfast.push.roster import ListableT, Roster

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery

CROWD = 16
"""Subscribers of a channel who say the same, from which a roster pays."""

MAX_ROSTERS = 64
"""Of one channel and mode: each of them is looked at when a run begins, and when somebody leaves."""

LONGEST_PAUSE = 15
"""Runs in which nobody looks for crowds, where there were none the last times."""


class Kind(NamedTuple):
    """What those have in common who say the same.

    is_following: a run has to follow the one before.
    sieve: see `HoldPlan`.
    """

    is_following: bool
    sieve: tuple[object, ...]


_NO_ROSTERS: Final[Mapping[Kind, Roster[Any]]] = MappingProxyType({})


class Subscribers(Generic[ListableT]):
    """The holds of one mode of a channel.

    Attributes:
        singles: those that are asked for each run, in the order of their coming. So neighbours here are often
            neighbours in memory, too, which makes asking very many of them cheaper than a set would.
        rosters: where the others are, by their kind.
    """

    __slots__ = ("_census", "rosters", "singles")

    def __init__(self) -> None:
        self.singles: dict[ListableT, None] = {}
        self.rosters: Mapping[Kind, Roster[ListableT]] = _NO_ROSTERS
        self._census: _Census | None = None

    def __len__(self) -> int:
        return len(self.singles) + sum(map(len, self.rosters.values()))

    def __iter__(self) -> Iterator[ListableT]:
        yield from self.singles
        for roster in self.rosters.values():
            yield from (hold for hold in roster.holds if hold is not None)

    def add(self, hold: ListableT) -> None:
        """A new subscriber."""
        self.singles[hold] = None

    def discard(self, hold: ListableT) -> None:
        """One that is leaving."""
        if hold.roster is not None:
            self.unlist(hold)
        self.singles.pop(hold, None)

    def enlist(self, hold: ListableT, run: Delivery) -> None:
        """Enter one, whose outlet is direct and who has just taken `run`, in a roster if it pays."""
        if hold.roster is not None:
            return
        census = self._census
        if census is None:
            if len(self.singles) < CROWD:
                return
            census = self._census = _Census()
        if not census.is_held(run.number):
            return
        roster = self._roster_for(hold, run.channel, census)
        if roster is None or roster.is_sparse or not roster.admits(hold):
            return
        census.has_found = True
        roster.enter(hold)
        del self.singles[hold]
        if not self.singles:
            self.singles = {}  # an emptied one keeps its size

    def _roster_for(self, hold: ListableT, channel: str, census: _Census) -> Roster[ListableT] | None:
        """The roster of those who say the same; None while there is no crowd of them, or too many rosters."""
        kind = Kind(channel in hold.followed_ids, hold.plan.sieve)
        roster = self.rosters.get(kind)
        if roster is None and census.count(kind) >= CROWD and len(self.rosters) < MAX_ROSTERS:
            roster = Roster(hold.plan, hold.followed_ids)
            self.rosters = {**self.rosters, kind: roster}
        return roster

    def unlist(self, hold: ListableT) -> None:
        """Take one out of the roster in which it is."""
        assert hold.roster is not None
        hold.roster.leave(hold)
        self.singles[hold] = None

    def tidy(self) -> None:
        """Make rosters as small as their holds allow, or do without. No run may be on its way."""
        for kind, roster in [*self.rosters.items()]:
            if not roster.is_sparse:
                continue
            if len(roster) > CROWD // 4:
                roster.close_ranks()
                continue
            for hold in roster.holds:
                if hold is not None:
                    self.unlist(hold)
            self.rosters = {known: other for known, other in self.rosters.items() if known != kind} or _NO_ROSTERS
        if not self.rosters and len(self.singles) < CROWD:
            self._census = None


class _Census:
    """Counts those of each kind who are asked singly, while a run goes through them; seldom, where that is in vain.

    Attributes:
        has_found: somebody has entered a roster since this run began.
    """

    __slots__ = ("_alike", "_is_held", "_last_pause", "_pause", "_run", "has_found")

    def __init__(self) -> None:
        self.has_found = False
        self._alike: dict[Kind, int] = {}
        self._is_held = False
        self._last_pause = self._pause = 0
        self._run = -1

    def is_held(self, run: int) -> bool:
        """Whether those who take a run of this number are counted."""
        if run != self._run:
            self._run = run
            self._begin()
        return self._is_held

    def _begin(self) -> None:
        if self._is_held:
            self._last_pause = 0 if self.has_found else min(2 * self._last_pause + 1, LONGEST_PAUSE)
            self._pause = self._last_pause
        self._is_held = self._pause == 0
        self._pause = max(self._pause - 1, 0)
        self._alike = {}
        self.has_found = False

    def count(self, kind: Kind) -> int:
        """One more of a kind; returns how many there are."""
        alike = self._alike[kind] = self._alike.get(kind, 0) + 1
        return alike
