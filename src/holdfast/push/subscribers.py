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

MAX_REFUSALS = 400
"""Holds that a run looks for a roster for in vain: where everybody has other filters, there is none to be found."""


MAX_ROSTERS = 64
"""Of one channel and mode: each of them is looked at when a run begins, and when somebody leaves."""


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

    __slots__ = ("rosters", "singles")

    def __init__(self) -> None:
        self.singles: dict[ListableT, None] = {}
        self.rosters: Mapping[Kind, Roster[ListableT]] = _NO_ROSTERS

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

    def enlist(self, hold: ListableT, fd: int, run: Delivery) -> bool:
        """Enter one, who has just taken `run`, in a roster if it pays; returns whether it is there now."""
        if hold.roster is not None or run.refusals >= MAX_REFUSALS:
            return False
        if not self.rosters and len(self.singles) < CROWD:
            return False
        roster = self._roster_for(hold, run)
        if roster is None or roster.is_sparse or not roster.admits(hold):
            run.refusals += 1
            return False
        del self.singles[hold]
        if not self.singles:
            self.singles = {}  # an emptied one keeps its size
        roster.enter(hold, fd)
        return True

    def _roster_for(self, hold: ListableT, run: Delivery) -> Roster[ListableT] | None:
        """The roster of those who say the same; None while the run has not met a crowd of them, or there are enough."""
        kind = Kind(run.channel in hold.followed_ids, hold.plan.sieve)
        roster = self.rosters.get(kind)
        if roster is None and len(self.rosters) < MAX_ROSTERS:
            alike = run.kinds[kind] = run.kinds.get(kind, 0) + 1
            if alike >= CROWD:
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
