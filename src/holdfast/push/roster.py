"""Rosters: the descriptors of those holds of a channel to which nothing but a write has to be done.

A hold is asked for each run whether it takes it as it is (`claim`). When it has said so once and nothing about the run
could make it say something else the next time, its descriptor is entered in the roster of its channel, and a run is
written to all that are there without a look at any hold. Holds leave the roster by themselves, at once, when that is
not true any more; with the next run they are asked again.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, Protocol, TypeVar

UNLISTED = -1
"""The place of a hold that is in no roster."""

VACANT = -1
"""The descriptor at a place that has been left."""

CROWD = 16
"""Subscribers of a channel from which a roster pays."""


class Listable(Protocol):
    """A hold that can be in a roster: it has one channel.

    Attributes:
        place: where in the roster; UNLISTED if it is in none.
        written_at_s: when it was last written to; while it is in a roster, otherwise than through that.
    """

    place: int
    written_at_s: float


ListableT = TypeVar("ListableT", bound=Listable)


class Roster(Generic[ListableT]):
    """Descriptors, and whose they are.

    Attributes:
        fds: the descriptors by place.
        holds: the holds by place; None where the descriptor is VACANT.
        vacancies: how many places are vacant. They are not used again before `close_ranks`: runs that are on their way
            know how far the roster went when they were accepted.
    """

    __slots__ = ("_last_run_end", "_last_run_s", "fds", "holds", "vacancies")

    def __init__(self) -> None:
        self.fds: list[int] = []
        self.holds: list[ListableT | None] = []
        self.vacancies = 0
        self._last_run_s = 0.0
        self._last_run_end = 0

    def __len__(self) -> int:
        """How many holds there are."""
        return len(self.fds) - self.vacancies

    @property
    def is_sparse(self) -> bool:
        """Whether there are more vacancies than holds."""
        return self.vacancies > len(self.fds) // 2

    def enter(self, hold: ListableT, fd: int) -> None:
        """Take a hold in, at the end."""
        hold.place = len(self.fds)
        self.fds.append(fd)
        self.holds.append(hold)

    def leave(self, hold: ListableT) -> None:
        """Let a hold go, which knows then when it was last written to."""
        place, hold.place = hold.place, UNLISTED
        if place < self._last_run_end:
            hold.written_at_s = max(hold.written_at_s, self._last_run_s)
        self.fds[place] = VACANT
        self.holds[place] = None
        self.vacancies += 1

    def note_run(self, now_s: float, end: int) -> None:
        """A run is written to all places before `end`."""
        self._last_run_s, self._last_run_end = now_s, end

    def close_ranks(self) -> None:
        """Remove the vacancies. No run may be on its way."""
        self._last_run_end -= self.fds[: self._last_run_end].count(VACANT)
        self.fds = [fd for fd in self.fds if fd != VACANT]
        self.holds = [hold for hold in self.holds if hold is not None]
        self.vacancies = 0
        for place, hold in enumerate(self.holds):
            assert hold is not None
            hold.place = place


class Subscribers(Generic[ListableT]):
    """The holds of one mode of a channel.

    Attributes:
        singles: those that are asked for each run, in the order of their coming. So neighbours here are often
            neighbours in memory, too, which makes asking very many of them cheaper than a set would.
        roster: the others; None if there are none.
    """

    __slots__ = ("roster", "singles")

    def __init__(self) -> None:
        self.singles: dict[ListableT, None] = {}
        self.roster: Roster[ListableT] | None = None

    def __len__(self) -> int:
        return len(self.singles) + (len(self.roster) if self.roster is not None else 0)

    def __iter__(self) -> Iterator[ListableT]:
        yield from self.singles
        if self.roster is not None:
            yield from (hold for hold in self.roster.holds if hold is not None)

    def add(self, hold: ListableT) -> None:
        """A new subscriber."""
        self.singles[hold] = None

    def discard(self, hold: ListableT) -> None:
        """One that is leaving."""
        if hold.place != UNLISTED:
            self.unlist(hold)
        self.singles.pop(hold, None)

    def enlist(self, hold: ListableT, fd: int) -> bool:
        """Enter one in the roster, if it pays; returns whether it is there now."""
        if self.roster is None:
            if len(self.singles) < CROWD:
                return False
            self.roster = Roster()
        if hold.place != UNLISTED or self.roster.is_sparse:
            return False
        del self.singles[hold]
        if not self.singles:
            self.singles = {}  # an emptied one keeps its size
        self.roster.enter(hold, fd)
        return True

    def unlist(self, hold: ListableT) -> None:
        """Take one out of the roster, in which it is."""
        assert self.roster is not None
        self.roster.leave(hold)
        self.singles[hold] = None

    def tidy(self) -> None:
        """Make the roster as small as its holds allow. No run may be on its way."""
        if self.roster is not None and self.roster.is_sparse:
            if len(self.roster):
                self.roster.close_ranks()
            else:
                self.roster = None
