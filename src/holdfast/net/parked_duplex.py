"""A duplex that is a descriptor in the parking lot."""

from __future__ import annotations

import enum
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.net.duplex import CLOSE_TIMEOUT_S, LAST_WORDS_S, DuplexOwner, note_unheard
from holdfast.net.outlets import reject_when_full
from holdfast.net.parked_socket import BROKEN, LISTEN, ParkedSocket

if TYPE_CHECKING:
    from holdfast.net.parking import ParkingLot


class _Reading(enum.Enum):
    UNDECIDED = "the owner has not said so yet, and epoll tells of the peer as it did before"
    PAUSED = "the owner does not want to"
    WANTED = "the owner gets what the peer sends"


_UNDECIDED, _PAUSED, _WANTED = _Reading


class ParkedDuplex(ParkedSocket):
    """A parked descriptor as a duplex."""

    __slots__ = ("_deadline_slot", "_early", "_is_broken", "_on_closed", "_owner", "_reading", "_relayed_bytes")

    def __init__(
        self, lot: ParkingLot, fd: int, mask: int, early: bytes, owner: DuplexOwner, on_closed: Callable[[], None]
    ) -> None:
        """
        Args:
            mask: what epoll tells of so far. Most owners will want to read at once: epoll need not be told twice.
        """
        super().__init__(lot, fd)
        self.direct_fd = fd
        self._early = early
        self._owner: DuplexOwner | None = owner
        self._on_closed = on_closed
        self._reading = _UNDECIDED if mask == LISTEN else _PAUSED
        self._is_broken = False
        self._deadline_slot = 0
        self._relayed_bytes = 0

    # --- for the owner ---------------------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """See `Duplex`."""
        return self.outbox_bytes

    def write_first(self, data: bytes) -> bool:
        """Send what ends the handshake, as if it were relayed; False if the peer has left: the owner is not told."""
        owner, self._owner = self._owner, None
        if self._send(data) is None:
            return False
        self._owner = owner
        self._relayed_bytes = self.unsent_bytes
        return True

    def write(self, data: bytes) -> bool | None:
        """See `Duplex`."""
        if self._owner is None or self._is_broken:
            return None
        waiting = self.unsent_bytes
        self._relayed_bytes = min(self._relayed_bytes, waiting)
        if waiting and waiting + len(data) > self._lot.limits.max_bytes + self._relayed_bytes:
            limits, counters = self._lot.limits, self._lot.runtime.counters
            if reject_when_full(self.describe(), self._owner, limits, counters, waiting):
                self._leave()
            return False
        return self._send(data)

    def relay(self, data: bytes) -> None:
        """See `Duplex`."""
        if self._owner is None or self._is_broken:
            return
        if self._send(data):
            self._relayed_bytes = min(self._relayed_bytes + len(data), self.unsent_bytes)

    def pause_reading(self) -> None:
        """See `Duplex`."""
        if self._reading is _WANTED and self._owner is not None:
            self._reading = _PAUSED
            self._watch()

    def resume_reading(self) -> None:
        """See `Duplex`."""
        if self._reading is _WANTED or self._fd < 0:
            return
        self._read_from_peer()
        if self._early and self._owner is not None:
            early, self._early = self._early, b""
            self._owner.on_data(early)

    def close(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._recall()
        if self._is_broken:
            self._leave()
        if self._fd < 0 or self._deadline_slot:
            return
        self._set_deadline(CLOSE_TIMEOUT_S)
        self._read_from_peer()
        if self._outbox is None:
            self._on_drained()

    def abort(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._leave()

    # --- events ----------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        """See `ParkedSocket`."""
        if self._reading is _UNDECIDED:
            self._reading = _PAUSED
            self._watch()
            events &= select.EPOLLOUT | BROKEN
            if not events:
                return
        if events & select.EPOLLOUT and not events & BROKEN:
            self._flush()
        elif events & select.EPOLLIN:
            self._read()
        elif self._reading is _PAUSED:
            self._break_off()
        else:
            self._leave()

    def on_timer(self, now_s: float) -> None:
        """The peer has not closed its side; or it is gone, and the owner has not taken what it said before."""
        self._deadline_slot = 0
        if self._owner is not None:
            note_unheard(self._owner)
        self._leave()

    def end_hold(self) -> None:
        """See `ParkedSocket`."""
        if self._owner is not None:
            self._owner.end()

    def _read(self) -> None:
        try:
            data = self._lot.read(self._fd)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._leave()
        elif self._owner is not None:
            self._owner.on_data(data)

    def mask(self) -> int:
        """See `ParkedSocket`. The peer's leaving is seen by reading: what it has sent before comes first."""
        if self._reading is not _PAUSED:
            return LISTEN
        # That a connection broke cannot be left out, but told once.
        return select.EPOLLONESHOT if self._is_broken else 0

    # --- inside ----------------------------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float) -> None:
        self._deadline_slot = self._lot.runtime.wheel.add(self._lot.runtime.now() + seconds, self)

    def _read_from_peer(self) -> None:
        was_told, self._reading = self._reading is not _PAUSED, _WANTED
        if not was_told:
            self._watch()

    def _on_drained(self) -> None:
        self._relayed_bytes = 0
        if self._owner is not None:
            self.direct_fd = self._fd
            self._owner.on_drained()
        else:
            # Everything is sent: say so, and wait for the peer to close, or a reset could destroy what it has not read.
            self._shut_down()

    def _break_off(self) -> None:
        if self._owner is None:
            self._leave()
        elif not self._is_broken:
            # Reading will be at its end, and finds before that what was said: why the peer closes, for instance.
            self._is_broken = True
            self._set_deadline(LAST_WORDS_S)
            self._recall()
            if self.is_blocked:
                self._drop_outbox()
                self._lot.runtime.loop.call_soon(self._tell_unblocked)  # whoever writes may be in the middle of it
            self._watch()

    def _tell_unblocked(self) -> None:
        if self._owner is not None:
            self._owner.on_drained()

    def _on_progress(self) -> None:
        """Not watched: a peer that takes nothing is cut off when its outbox is full, or when it should have closed."""

    def _leave(self) -> None:
        if self._fd < 0:
            return
        os.close(self._forget())
        if self._deadline_slot:
            self._lot.runtime.wheel.remove(self._deadline_slot, self)
            self._deadline_slot = 0
        self._on_closed()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_gone()
