"""The timer wheel: very many deadlines of low precision at the price of a dictionary entry each.

Pure: the caller passes the time. A deadline is rounded up to its slot, so an entry fires up to one slot late and never
early. Whoever moves deadlines often (every write moves an idle keep-alive) leaves its entry where it is, and on firing
looks at its own deadline and adds itself again.
"""

from __future__ import annotations

import heapq
import math
from typing import Protocol

_SPARE_NUMBERS = 64
"""Of slots that are gone, beside as many as there are slots: fewer are not worth the work."""


class Timed(Protocol):
    """Something with a deadline. Entries are held by identity."""

    def on_timer(self, now_s: float) -> None:
        """The deadline has passed. The wheel no longer holds the entry."""
        ...


class TimerWheel:
    """Entries in slots of `resolution_s` seconds.

    Invariant: every slot has an entry, and its number is in the heap, where numbers of slots that are gone may be, too.
    No slot is added at or before the time the wheel has been advanced to: an entry that adds itself while it fires
    waits for a later turn.
    """

    __slots__ = ("_due", "_passed", "_resolution_s", "_slots")

    def __init__(self, resolution_s: float = 0.1) -> None:
        self._resolution_s = resolution_s
        self._slots: dict[int, dict[Timed, None]] = {}
        self._due: list[int] = []
        self._passed = -1

    def __len__(self) -> int:
        return sum(map(len, self._slots.values()))

    def add(self, deadline_s: float, entry: Timed) -> int:
        """Fire `entry` at `deadline_s`; the slot returned is what `remove` needs."""
        slot = max(math.ceil(deadline_s / self._resolution_s), self._passed + 1)
        entries = self._slots.get(slot)
        if entries is None:
            entries = self._slots[slot] = {}
            heapq.heappush(self._due, slot)
        entries[entry] = None
        return slot

    def remove(self, slot: int, entry: Timed) -> None:
        """Forget `entry`; nothing happens when it has fired already."""
        entries = self._slots.get(slot)
        if entries is not None:
            entries.pop(entry, None)
            if not entries:
                # Or a slot whose entries are all removed, as most are, would take its memory until its time has come.
                del self._slots[slot]
                self._tidy()

    def advance(self, now_s: float, limit: int = 1000) -> bool:
        """Fire up to `limit` of the entries due at `now_s`, slot by slot.

        Returns:
            Whether more are due: the caller comes back after it has served others.
        """
        self._passed = last = math.floor(now_s / self._resolution_s)
        while self._due and self._due[0] <= last:
            slot = self._due[0]
            entries = self._slots.get(slot, {})
            while entries and limit:
                limit -= 1
                entries.popitem()[0].on_timer(now_s)
            if entries:
                return True
            self._slots.pop(slot, None)
            # Not the heap of before, if entries that fired have removed others.
            if self._due and self._due[0] == slot:
                heapq.heappop(self._due)
        return False

    def _tidy(self) -> None:
        """Forget the numbers of slots that are gone, once they are most."""
        if len(self._due) > 2 * len(self._slots) + _SPARE_NUMBERS:
            self._due = list(self._slots)
            heapq.heapify(self._due)


class DeadlineOwner(Protocol):
    """Whose time can run out."""

    def on_deadline(self, now_s: float) -> None:
        """The deadline has passed; a new one may be set."""
        ...


class Deadline:
    """A deadline that moves often, on a wheel that is touched seldom.

    Moving it later, or clearing it, is one assignment: the wheel's entry finds out when it fires and adds itself again.
    `cancel` must be called at the end of the owner's life; it also breaks the reference cycle with the owner.
    """

    __slots__ = ("_entry_at_s", "_owner", "_slot", "_wheel", "at_s")

    def __init__(self, wheel: TimerWheel, owner: DeadlineOwner) -> None:
        self.at_s = math.inf
        self._wheel = wheel
        self._owner: DeadlineOwner | None = owner
        self._slot = 0
        self._entry_at_s = math.inf

    def set(self, at_s: float) -> None:
        """Fire at `at_s` instead of whenever it was."""
        self.at_s = at_s
        if at_s < self._entry_at_s and self._owner is not None:
            self._drop_entry()
            self._add_entry(at_s)

    def clear(self) -> None:
        """Do not fire."""
        self.at_s = math.inf

    def cancel(self) -> None:
        """Never fire again, and forget the owner."""
        self.at_s = math.inf
        self._owner = None
        self._drop_entry()

    def on_timer(self, now_s: float) -> None:
        """The wheel's entry has fired: look at the real deadline."""
        self._entry_at_s = math.inf
        if self._owner is None or self.at_s == math.inf:
            return
        if now_s < self.at_s:
            self._add_entry(self.at_s)
        else:
            self.at_s = math.inf
            self._owner.on_deadline(now_s)

    def _add_entry(self, at_s: float) -> None:
        self._entry_at_s = at_s
        self._slot = self._wheel.add(at_s, self)

    def _drop_entry(self) -> None:
        if self._entry_at_s != math.inf:
            self._wheel.remove(self._slot, self)
            self._entry_at_s = math.inf
