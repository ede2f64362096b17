"""Sockets on which both sides speak at any time: WebSockets, whose frames are a matter of their owner.

A duplex hands what the peer sends to its owner as it comes, and writes what it is given. It is a parked descriptor, or
keeps its transport where it cannot be parked (TLS, systems without epoll). Nothing is read before the owner wants it.
"""

from __future__ import annotations

import asyncio
import os
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from holdfast.net.outlets import Described, OutboxLimits, reject_when_full
from holdfast.net.parked_socket import BROKEN, ParkedSocket
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import address_of, describe_peer
from holdfast.timers import Deadline

if TYPE_CHECKING:
    from holdfast.net.parking import ParkingLot

READ_BYTES = 65536

CLOSE_TIMEOUT_S = 10.0
"""How long a peer may take to read the last bytes and close, before the connection is cut."""


class DuplexOwner(Described, Protocol):
    """Whose connection it is."""

    def on_data(self, data: bytes) -> None:
        """The peer has sent bytes."""
        ...

    def on_gone(self) -> None:
        """The peer has closed or broken the connection, or was cut off; the duplex must not be used any more."""
        ...

    def on_drained(self) -> None:
        """The peer, which was blocked, has taken what was written."""
        ...

    def end(self) -> None:
        """The process stops: close in good order."""
        ...


class Duplex(Protocol):
    """One such connection."""

    @property
    def is_blocked(self) -> bool:
        """Whether the peer has not yet taken what was written."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the peer has not taken."""
        ...

    def write(self, data: bytes) -> bool | None:
        """Send or queue what is published; False: lost because the peer is slow, None: it is gone."""
        ...

    def relay(self, data: bytes) -> None:
        """Send or queue what another peer sent, which is no longer read from while this one `is_blocked`.

        It does not count against the bound of what is published: nobody is too slow because of it.
        """
        ...

    def pause_reading(self) -> None:
        """Stop taking what the peer sends."""
        ...

    def resume_reading(self) -> None:
        """Take what the peer sends."""
        ...

    def close(self) -> None:
        """Close when everything is sent. The owner is not told of anything after this."""
        ...

    def abort(self) -> None:
        """Close at once. The owner is not told of anything after this."""
        ...

    @property
    def peer_address(self) -> str:
        """IP address of the peer; empty text for one that has none, or is gone."""
        ...

    def describe(self) -> str:
        """Address and port of the peer, for logs."""
        ...


class ParkedDuplex(ParkedSocket):
    """A duplex that is a parked descriptor."""

    __slots__ = ("_deadline_slot", "_early", "_is_broken", "_is_reading", "_on_closed", "_owner", "_relayed_bytes")

    def __init__(
        self, lot: ParkingLot, fd: int, early: bytes, owner: DuplexOwner, on_closed: Callable[[], None]
    ) -> None:
        super().__init__(lot, fd)
        self._early = early
        self._owner: DuplexOwner | None = owner
        self._on_closed = on_closed
        self._is_reading = False
        self._is_broken = False
        self._deadline_slot = 0
        self._relayed_bytes = 0

    # --- for the owner ---------------------------------------------------------------------------------------------

    @property
    def unsent_bytes(self) -> int:
        """See `Duplex`."""
        return self.outbox_bytes

    def write(self, data: bytes) -> bool | None:
        """See `Duplex`."""
        if self._owner is None or self._is_broken:
            return None
        waiting = self.unsent_bytes
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
        if self._send(data) and self._outbox is not None:
            self._relayed_bytes += len(data)

    def pause_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading and self._owner is not None:
            self._is_reading = False
            self._watch()

    def resume_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading or self._fd < 0:
            return
        self._is_reading = True
        self._watch()
        if self._early and self._owner is not None:
            early, self._early = self._early, b""
            self._owner.on_data(early)

    def close(self) -> None:
        """See `Duplex`."""
        self._owner = None
        if self._fd < 0 or self._deadline_slot:
            return
        self._deadline_slot = self._lot.runtime.wheel.add(self._lot.runtime.now() + CLOSE_TIMEOUT_S, self)
        self._is_reading = True
        self._watch()
        if self._outbox is None:
            self._on_drained()

    def abort(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._leave()

    # --- events ----------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        """See `ParkedSocket`."""
        if events & select.EPOLLOUT and not events & BROKEN:
            self._flush()
        elif events & select.EPOLLIN:
            self._read()
        else:
            self._leave()

    def on_timer(self, now_s: float) -> None:
        """The peer has not closed its side."""
        self._deadline_slot = 0
        self._leave()

    def end_hold(self) -> None:
        """See `ParkedSocket`."""
        if self._owner is not None:
            self._owner.end()

    def _read(self) -> None:
        try:
            data = os.read(self._fd, READ_BYTES)
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
        return select.EPOLLIN if self._is_reading else 0

    # --- inside ----------------------------------------------------------------------------------------------------

    def _on_drained(self) -> None:
        self._relayed_bytes = 0
        if self._owner is not None:
            self._owner.on_drained()
        else:
            # Everything is sent: say so, and wait for the peer to close, or a reset could destroy what it has not read.
            self._shut_down()

    def _break_off(self) -> None:
        if self._owner is None or not self._is_reading:
            self._leave()
            return
        # Reading is soon at its end, and finds before that what was said: why the peer closes, for instance.
        self._is_broken = True
        self._drop_outbox()
        self._watch()

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


class ConnectionDuplex(asyncio.Protocol):
    """A duplex that keeps its transport, whose protocol it becomes.

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
        self._early = early
        self._owner: DuplexOwner | None = owner
        self._limits = limits
        self._on_closed: Callable[[], None] | None = on_closed
        self._is_reading = False
        self._is_blocked = False
        self._relayed_bytes = 0
        self._deadline = Deadline(runtime.wheel, self)
        self._peer = transport.get_extra_info("peername")
        transport.pause_reading()
        transport.set_protocol(self)

    # --- for the owner ---------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `Duplex`."""
        return self._is_blocked

    @property
    def unsent_bytes(self) -> int:
        """See `Duplex`."""
        return self._transport.get_write_buffer_size()

    def write(self, data: bytes) -> bool | None:
        """See `Duplex`."""
        if self._owner is None:
            return None
        waiting = self._transport.get_write_buffer_size()
        if waiting and waiting + len(data) > self._limits.max_bytes + self._relayed_bytes:
            if reject_when_full(self.describe(), self._owner, self._limits, self._runtime.counters, waiting):
                self._transport.abort()
                self._tell_gone()
            return False
        self._transport.write(data)
        return True

    def relay(self, data: bytes) -> None:
        """See `Duplex`."""
        if self._owner is not None:
            self._transport.write(data)
            if self._is_blocked:
                self._relayed_bytes += len(data)

    def pause_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading and self._owner is not None and not self._transport.is_closing():
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See `Duplex`."""
        if self._is_reading or self._transport.is_closing():
            return
        self._is_reading = True
        self._transport.resume_reading()
        if self._early and self._owner is not None:
            early, self._early = self._early, b""
            self._owner.on_data(early)

    def close(self) -> None:
        """See `Duplex`."""
        self._owner = None
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
        if self._owner is not None:
            self._owner.on_data(data)

    def pause_writing(self) -> None:
        self._is_blocked = True

    def resume_writing(self) -> None:
        self._is_blocked = False
        self._relayed_bytes = 0
        if self._owner is not None:
            self._owner.on_drained()

    def connection_lost(self, exc: Exception | None) -> None:
        self._deadline.cancel()
        on_closed, self._on_closed = self._on_closed, None  # it may refer to us
        if on_closed is not None:
            on_closed()
        self._tell_gone()

    def on_deadline(self, now_s: float) -> None:
        """The peer has not closed its side."""
        self._transport.abort()

    def _tell_gone(self) -> None:
        owner, self._owner = self._owner, None
        if owner is not None:
            owner.on_gone()
