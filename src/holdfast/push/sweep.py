"""A sweep: the way of a run through the holds that were subscribed when it was accepted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from holdfast.push.roster import Roster

if TYPE_CHECKING:
    from holdfast.push.channels import Hold
    from holdfast.push.lending import Line
    from holdfast.push.run import Run
    from holdfast.push.socket_hold import SocketHold
    from holdfast.push.stream_hold import StreamHold


class Sweep:
    """First those of rosters, as far as they go now, one after the other, then single holds.

    Who leaves a roster before the run has come to its place is one of the single holds from then on.
    """

    __slots__ = ("_asked", "_is_taken", "_listed", "_next", "_place", "_rosters", "_singles", "_turn")

    def __init__(self, singles: Iterable[Hold] = (), rosters: Iterable[Roster[Any]] = ()) -> None:
        self._rosters = [(roster, len(roster.lines)) for roster in rosters if roster.lines]
        self._listed = sum(end for _, end in self._rosters)
        self._turn = 0
        self._place = 0
        self._asked: Roster[Any] | None = None
        self._is_taken = False
        self._singles: list[Hold] = list(singles)
        self._next = 0

    def __len__(self) -> int:
        """How many have not had their turn, and vacant places among them."""
        return self._listed + len(self._singles) - self._next

    def offer(self, run: Run) -> bool:
        """Whether it is the turn of a roster, and its holds take `run` as it is. Each is asked when its turn begins."""
        if not self._listed:
            return False
        roster, _ = self._rosters[self._turn]
        if roster is not self._asked:
            self._asked = roster
            self._is_taken = roster.begin_run(run)
        return self._is_taken

    def take_lines(self, limit: int) -> tuple[int, Sequence[Line]]:
        """The next up to `limit` places of a roster that has taken the run: how many, and the lines there.

        They have to be used at once.
        """
        roster, place, end = self._go_on(limit)
        roster.note_reached(end)
        return end - place, roster.lines_between(place, end)

    def take(self, limit: int) -> tuple[int, list[Hold]]:
        """The next up to `limit` of those who have to be given the run one by one: how many, and who is there.

        Those are the holds of a roster if it does not take the run, and then the single ones.
        """
        if self._listed:
            roster, place, end = self._go_on(limit)
            return end - place, [hold for hold in roster.holds[place:end] if hold is not None]
        holds = self._singles[self._next : self._next + limit]
        self._next += len(holds)
        return len(holds), holds

    def _go_on(self, limit: int) -> tuple[Roster[Any], int, int]:
        """Pass up to `limit` places of the roster whose turn it is; returns it, the first of them, and their end."""
        (roster, last), place = self._rosters[self._turn], self._place
        end = min(place + limit, last)
        self._listed -= end - place
        self._place = end
        if end == last:
            self._turn += 1
            self._place = 0
        return roster, place, end

    def take_back(self, hold: StreamHold | SocketHold) -> None:
        """A hold is about to leave its place in a roster."""
        for turn, (roster, end) in enumerate(self._rosters[self._turn :]):
            if roster is hold.roster and (0 if turn else self._place) <= hold.place < end:
                self._singles.append(hold)

    def expects(self, hold: Hold) -> bool:
        """Whether a hold that is in no roster has not had its turn."""
        return hold in self._singles[self._next :]


NOBODY: Final = Sweep()
"""The way through no holds."""
