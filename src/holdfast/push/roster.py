"""Rosters: the descriptors of those holds of a channel to which nothing but a write has to be done.

A hold is asked for each run whether it takes it as it is (`claim`). When it has said so once, its descriptor is entered
in a roster of its channel, and the next run is written to all that are there without a look at any hold. That goes
because all holds of a roster would say the same: they have the same sieve, and if they follow ids, the same ids. Those
ids are kept in the roster, which goes on with every run instead of its holds. Holds leave by themselves, at once, when
what they would say is not certain any more, and are told what they have had; with the next run they are asked again.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    from holdfast.push.plan import HoldPlan
    from holdfast.push.run import Run

UNLISTED = -1
"""The place of a hold that is in no roster."""

VACANT = -1
"""The descriptor at a place that has been left."""

NO_IDS: Final[Mapping[str, str]] = MappingProxyType({})
"""The ids of a hold that does not follow any."""


class Listable(Protocol):
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
    """Descriptors, and whose they are.

    A run that is on its way divides the places in three. Those before `_reached` have had it. Those from there to
    `_begun_end`, where the roster ended when the run began, have had what was before it, and are to get it: through the
    roster, or singly if they came after it had been accepted. Those behind have come since, after they had had it.

    Args:
        plan: that of one of the holds: the others have the same sieve.
        ids: the ids that all of them have.

    Attributes:
        fds: the descriptors by place.
        holds: the holds by place; None where the descriptor is VACANT.
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
        "fds",
        "holds",
        "ids",
        "vacancies",
    )

    def __init__(self, plan: HoldPlan, ids: Mapping[str, str] = NO_IDS) -> None:
        self.fds: list[int] = []
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
        return len(self.fds) - self.vacancies

    @property
    def is_sparse(self) -> bool:
        """Whether there are more vacancies than holds."""
        return self.vacancies > len(self.fds) // 2

    def admits(self, hold: ListableT) -> bool:
        """Whether a hold of the same kind has had what the others have."""
        ids = hold.followed_ids
        return ids is self.ids or ids == self.ids

    def enter(self, hold: ListableT, fd: int) -> None:
        """Take a hold in, at the end."""
        hold.roster, hold.place = self, len(self.fds)
        self.fds.append(fd)
        self.holds.append(hold)

    def leave(self, hold: ListableT) -> None:
        """Let a hold go, and tell it what it has had."""
        place = hold.place
        hold.roster, hold.place = None, UNLISTED
        self.fds[place] = VACANT
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

    def begin_run(self, run: Run) -> bool:
        """Have the holds take a run, whose bytes are ready; returns False if they do not take it as it is.

        `note_reached` must follow. Neither do they take a run after which they would be of another kind.
        """
        ids = run.ids_after(self.ids)
        if ids is None or len(ids) < len(self.ids) or (self._plan.filters and not run.passes(self._plan)):
            return False
        self._ids_before, self.ids = self.ids, ids
        self._before_end, self._before_s = self._reached, self._run_s
        self._reached, self._begun_end, self._run_s = 0, len(self.fds), run.now_s
        return True

    def note_reached(self, end: int) -> None:
        """The run is about to be written to all places before `end` that it was not written to."""
        self._reached = end

    def close_ranks(self) -> None:
        """Remove the vacancies. No run may be on its way."""
        self._reached -= self.fds[: self._reached].count(VACANT)
        self._begun_end = self._reached
        self._before_end = 0
        self.fds = [fd for fd in self.fds if fd != VACANT]
        self.holds = [hold for hold in self.holds if hold is not None]
        self.vacancies = 0
        for place, hold in enumerate(self.holds):
            assert hold is not None
            hold.place = place
