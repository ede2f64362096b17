"""Rosters: lines to the clients of those holds of a channel to which nothing but a write has to be done.

A hold is asked for each run whether it takes it as it is (`claim`). When it has said so once, it enters a roster of its
channel, with a line to its client, and the next run is sent through all lines that are there without a look at any
hold. That goes because all holds of a roster would say the same: they have the same sieve, and if they follow ids, the
same ids. Those ids are kept in the roster, which goes on with every run instead of its holds. Holds leave by
themselves, at once, when what they would say is not certain any more, and are told what they have had; with the next
run they are asked again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar, cast

from holdfast.push.lending import Borrower, Lender, Line

if TYPE_CHECKING:
    from holdfast.push.plan import HoldPlan
    from holdfast.push.run import Run

UNLISTED = -1
"""The place of a hold that is in no roster."""

NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})
"""The ids of a hold that does not follow any."""


class Listable(Borrower, Protocol):
    """A hold that can be in a roster: it has one channel.

    Attributes:
        roster, place: where it is; None and UNLISTED if it is in none.
        written_at_s: when it was last written to; while it is in a roster, otherwise than through that.
    """

    plan: HoldPlan
    roster: Roster[Any] | None
    place: int
    written_at_s: float

    @property
    def outlet(self) -> Lender:
        """Where it writes to."""
        ...

    @property
    def followed_ids(self) -> Mapping[str, str]:
        """Per full channel name the id that the next item has to follow; while it is in a roster, as it was before."""
        ...

    def keep_up(self, followed_ids: Mapping[str, str], at_s: float | None) -> None:
        """It leaves the roster, and has had everything that was written to that.

        Args:
            at_s: when something was written last; None if nothing was.
        """
        ...


ListableT = TypeVar("ListableT", bound=Listable)


class Roster(Generic[ListableT]):
    """Lines, and whose they are.

    A run that is on its way divides the places in three. Those before `_reached` have had it. Those from there to
    `_begun_end`, where the roster ended when the run began, have had what was before it, and are to get it: through the
    roster, or singly if they came after it had been accepted. Those behind have come since, after they had had it.

    Args:
        plan: that of one of the holds: the others have the same sieve.
        ids: the ids that all of them have.

    Attributes:
        lines: by place; None where it has been left.
        holds: the holds by place; None likewise.
        vacancies: how many places are vacant. They are not used again before `close_ranks`: runs that are on their way
            know how far the roster went when they were accepted.
    """

    __slots__ = (
        "_before_end",
        "_before_s",
        "_begun_end",
        "_ids_before",
        "_plan",
        "_reached",
        "_run_s",
        "holds",
        "ids",
        "lines",
        "vacancies",
    )

    def __init__(self, plan: HoldPlan, ids: Mapping[str, str] = NO_IDS) -> None:
        self.lines: list[Line | None] = []
        self.holds: list[ListableT | None] = []
        self.ids = ids
        self.vacancies = 0
        self._plan = plan
        self._ids_before = ids
        self._reached = self._begun_end = 0
        self._run_s = 0.0
        self._before_end = 0
        self._before_s = 0.0

    def __len__(self) -> int:
        """How many holds there are."""
        return len(self.lines) - self.vacancies

    @property
    def is_sparse(self) -> bool:
        """Whether there are more vacancies than holds."""
        return self.vacancies > len(self.lines) // 2

    def admits(self, hold: ListableT) -> bool:
        """Whether a hold of the same kind has had what the others have."""
        ids = hold.followed_ids
        return ids is self.ids or ids == self.ids

    def enter(self, hold: ListableT) -> None:
        """Take a hold in, at the end. Its outlet has a `direct_fd`."""
        line = hold.outlet.lend(hold)
        hold.roster, hold.place = self, len(self.lines)
        self.lines.append(line)
        self.holds.append(hold)

    def leave(self, hold: ListableT) -> None:
        """Let a hold go, and tell it what it has had."""
        place = hold.place
        hold.roster, hold.place = None, UNLISTED
        self.lines[place] = None
        self.holds[place] = None
        self.vacancies += 1
        is_waiting = self._reached <= place < self._begun_end
        at_s = self._written_at_s(place)
        if at_s is not None:
            hold.written_at_s = max(hold.written_at_s, at_s)
        hold.keep_up(self._ids_before if is_waiting else self.ids, at_s)

    def _written_at_s(self, place: int) -> float | None:
        """When a run was written to a place, the last one or the one before; None if none was."""
        if place < self._reached:
            return self._run_s
        return self._before_s if place < self._before_end else None

    def lines_between(self, place: int, end: int) -> Sequence[Line]:
        """Those of the holds at the places from `place` to before `end`."""
        lines = self.lines[place:end]
        if self.vacancies:
            return [line for line in lines if line is not None]
        return cast("list[Line]", lines)

    def begin_run(self, run: Run) -> bool:
        """Have the holds take a run, whose bytes are ready; returns False if they do not take it as it is.

        `note_reached` must follow. Neither do they take a run after which they would be of another kind.
        """
        ids = run.ids_after(self.ids)
        if ids is None or len(ids) < len(self.ids) or (self._plan.filters and not run.passes(self._plan)):
            return False
        self._ids_before, self.ids = self.ids, ids
        self._before_end, self._before_s = self._reached, self._run_s
        self._reached, self._begun_end, self._run_s = 0, len(self.lines), run.now_s
        return True

    def note_reached(self, end: int) -> None:
        """The run is about to be written to all places before `end` that it was not written to."""
        self._reached = end

    def close_ranks(self) -> None:
        """Remove the vacancies. No run may be on its way."""
        self._reached -= self.lines[: self._reached].count(None)
        self._begun_end = self._reached
        self._before_end = 0
        self.lines = [line for line in self.lines if line is not None]
        self.holds = [hold for hold in self.holds if hold is not None]
        self.vacancies = 0
        for place, hold in enumerate(self.holds):
            assert hold is not None
            hold.place = place
