"""A duplex that keeps its transport: where a connection cannot be parked."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from holdfast.net.below import move_pause_below, owed_bytes, pause_reading, resume_reading, transport_below
from holdfast.net.duplex import CLOSE_TIMEOUT_S, LAST_WORDS_S, DuplexOwner, note_unheard
from holdfast.net.outlets import OutboxLimits, Undirected, reject_when_full
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import address_of, describe_peer
from holdfast.timers import Deadline


class ConnectionDuplex(Undirected, asyncio.Protocol):
    """A duplex that keeps its transport, whose protocol it becomes.

    The owner takes what the peer has sent before it is told that the peer is gone: not before it wants to read, or
    `LAST_WORDS_S` later.

    Args:
        early: what the peer has sent already; the owner gets it with the first `resume_reading`.
        on_closed: called once when the connection is closed.
    """

    def __init__(
        self,
        runtime: Runtime,
        transport: asyncio.Transport,
        early: bytes,
        owner: DuplexOwner,
        limits: OutboxLimits,
        on_closed: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._transport = transport
        self._below = transport_below(transport)
        self._early = early
        self._owner: DuplexOwner | None = owner
        self._limits = limits
        self._on_closed: Callable[[], None] | None = on_closed
        self._is_reading = False
        self._is_lost = False
        self._is_blocked = False
        self._relayed_bytes = 0
        self._deadline = Deadline(runtime.wheel, self)
        self._peer = transport.get_extra_info("peername")
        transport.set_protocol(self)
        if self._below is not None:
            move_pause_below(transport, self._below)
        else:
            pause_reading(transport)

    # --- for the owner ---------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `Duplex`."""
        return self._is_blocked

    @property
    def unsent_bytes(self) -> int:
        """See `Duplex`. Only of this is told that it has been taken."""
        return 0 if self._is_lost else self._transport.get_write_buffer_size()

    def write_first(self, data: bytes) -> bool:
        """Send what ends the handshake, as if it were relayed. True: if the peer has left, the owner is told later."""
        self.relay(data)
        return True

    def write(self, data: bytes) -> bool | None:
        """See `Duplex`."""
        if self._owner is None or self._is_lost:
            return None
        waiting = owed_bytes(self._transport, self._below)
        self._relayed_bytes = min(self._relayed_bytes, waiting)
        if waiting and waiting + len(data) > self._limits.max_bytes + self._relayed_bytes:
            if reject_when_full(self.describe(), self._owner, self._limits, self._runtime.counters, waiting):
                self._transport.abort()
                self._tell_gone()
            return False
        self._transport.write(data)
        return True

    def relay(self, data: bytes) -> None:
        """See `Duplex`."""
        if self._owner is not None and not self._is_lost:
            self._transport.write(data)
            waiting = owed_bytes(self._transport, self._below)
            self._relayed_bytes = min(self._relayed_bytes + len(data), waiting)

    def pause_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading and self._owner is not None:
            self._is_reading = False
            pause_reading(self._below or self._transport)

    def resume_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading:
            return
        self._is_reading = True
        resume_reading(self._below or self._transport)
        if self._early and self._owner is not None:
            early, self._early = self._early, b""
            self._owner.on_data(early)
        if self._is_lost:
            self._runtime.loop.call_soon(self._end_reading)

    def close(self) -> None:
        """See `Duplex`."""
        self._owner = None
        if self._is_lost:
            self._deadline.cancel()
        if self._transport.is_closing():
            return
        self.resume_reading()
        self._deadline.set(self._runtime.now() + CLOSE_TIMEOUT_S)
        if self._transport.can_write_eof():
            self._transport.write_eof()
        else:
            self._transport.close()

    def abort(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._deadline.cancel()
        self._transport.abort()

    def end_hold(self) -> None:
        """The process stops."""
        if self._owner is not None:
            self._owner.end()

    @property
    def peer_address(self) -> str:
        """See `Duplex`."""
        return address_of(self._peer)

    def describe(self) -> str:
        """See `Duplex`."""
        return describe_peer(self._peer)

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        if self._owner is None:
            return
        if self._is_reading:
            self._owner.on_data(data)
        else:
            self._early += data

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        if self._owner is not None:
            self._owner.on_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.clear()
        self._below = None  # it refers to us, as the next one may
        on_closed, self._on_closed = self._on_closed, None
        if on_closed is not None:
            on_closed()
        self._is_lost = True
        if self._is_reading or self._owner is None:
            self._tell_gone()
            return
        self._deadline.set(self._runtime.now() + LAST_WORDS_S)
        if self._is_blocked:
            self.resume_writing()

    def _end_reading(self) -> None:
        """Everything that the peer said has been taken, unless the owner has paused again."""
        if self._is_reading:
            self._tell_gone()

    def on_deadline(self, now_s: float) -> None:
        """The peer has not closed its side; or it is gone, and the owner has not taken what it said before."""
        if not self._is_lost:
            self._transport.abort()
        elif self._owner is not None:
            note_unheard(self._owner)
            self._tell_gone()

    def _tell_gone(self) -> None:
        self._deadline.cancel()
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_gone()
