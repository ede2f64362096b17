"""A sweep: the way of a run through the holds that were subscribed when it was accepted."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final

from holdfast.push.roster import VACANT, Roster

if TYPE_CHECKING:
    from holdfast.push.channels import Hold
    from holdfast.push.socket_hold import SocketHold
    from holdfast.push.stream_hold import StreamHold


class Sweep:
    """First those of a roster, as far as it goes now, then single holds.

    Who leaves the roster before the run has come to its place is one of the single holds from then on.
    """

    __slots__ = ("_end", "_next", "_place", "_roster", "_singles")

    def __init__(self, singles: Iterable[Hold] = (), roster: Roster[Any] | None = None) -> None:
        self._roster = roster
        self._end = len(roster.fds) if roster is not None else 0
        self._place = 0
        self._singles: list[Hold] = list(singles)
        self._next = 0

    def __len__(self) -> int:
        """How many have not had their turn, and vacant places among them."""
        return self._end - self._place + len(self._singles) - self._next

    @property
    def has_listed(self) -> bool:
        """Whether it is the turn of the roster."""
        return self._place < self._end

    def take_fds(self, limit: int, now_s: float) -> tuple[int, list[int]]:
        """The next up to `limit` places of the roster: how many, and the descriptors there, to be written to at once.

        Args:
            now_s: what counts as the time of the write.
        """
        roster, place = self._roster, self._place
        assert roster is not None
        if place == 0:
            roster.note_run(now_s, self._end)
        self._place = min(place + limit, self._end)
        fds = roster.fds[place : self._place]
        return len(fds), [fd for fd in fds if fd != VACANT] if roster.vacancies else fds

    def take(self, limit: int) -> tuple[int, list[Hold]]:
        """The next up to `limit` places, of the roster or singly: how many, and the holds there."""
        if self._roster is not None and self._place < self._end:
            place, self._place = self._place, min(self._place + limit, self._end)
            return self._place - place, [hold for hold in self._roster.holds[place : self._place] if hold is not None]
        holds = self._singles[self._next : self._next + limit]
        self._next += len(holds)
        return len(holds), holds

    def take_back(self, hold: StreamHold | SocketHold) -> None:
        """A hold is about to leave its place in the roster."""
        if self._place <= hold.place < self._end:
            self._singles.append(hold)

    def expects(self, hold: Hold) -> bool:
        """Whether a hold that is in no roster has not had its turn."""
        return hold in self._singles[self._next :]


NOBODY: Final = Sweep()
"""The way through no holds."""
