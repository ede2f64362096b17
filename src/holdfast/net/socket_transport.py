"""A transport over a bare descriptor in the parking lot, for connections that may be parked at any moment.

Parking such a connection exchanges one record for another: the descriptor stays where it is, in the same epoll set. A
transport of the loop would have to be torn down around a duplicate of it (decision 0015).
"""

from __future__ import annotations

import errno
import os
import select
from typing import TYPE_CHECKING, Protocol

from holdfast.net.parked_socket import GONE, LISTEN, ParkedSocket

if TYPE_CHECKING:
    from holdfast.net.parking import ParkingLot

HIGH_WATER_BYTES = 65536
"""Unsent bytes above which the protocol is to pause writing; at a quarter of that it may go on."""


class Connection(Protocol):
    """Who is told what happens: the part of `asyncio.Protocol` that matters here."""

    def connection_made(self, transport: SocketTransport) -> None:
        """This is the transport."""
        ...

    def data_received(self, data: bytes) -> None:
        """The peer has sent something."""
        ...

    def pause_writing(self) -> None:
        """The peer takes less than it is sent."""
        ...

    def resume_writing(self) -> None:
        """The peer has taken most of it."""
        ...

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed; `exc` is None unless it broke."""
        ...


class SocketTransport(ParkedSocket):
    """Does what `asyncio.Transport` does, by the same rules, as far as client connections need it.

    A write goes to the system at once. The end of the peer's stream closes the connection. `connection_lost` is called
    once, in a later turn of the loop, unless the descriptor was given up before (`release`). A peer that takes no more
    may have said why before that: unless its leaving is noticed, what it has sent is read first.

    Args:
        peer: the address, as sockets tell it.
        is_leaving_noticed: a peer that ends its stream has left, whether or not what it sent before has been read.
    """

    __slots__ = (
        "_high_water_bytes",
        "_is_closing",
        "_is_ended",
        "_is_leaving_noticed",
        "_is_reading",
        "_is_write_paused",
        "_peer",
        "_protocol",
        "_write_error",
    )

    def __init__(
        self, lot: ParkingLot, fd: int, peer: object, protocol: Connection, *, is_leaving_noticed: bool
    ) -> None:
        super().__init__(lot, fd)
        self._peer = peer
        self._protocol = protocol
        self._is_reading = True
        self._is_closing = False
        self._is_ended = False
        self._is_write_paused = False
        self._high_water_bytes = HIGH_WATER_BYTES
        self._is_leaving_noticed = is_leaving_noticed
        self._write_error: OSError | None = None

    # --- as asyncio.Transport --------------------------------------------------------------------------------------

    def get_extra_info(self, name: str) -> object:
        """The only thing known is `peername`."""
        return self._peer if name == "peername" else None

    def set_protocol(self, protocol: Connection) -> None:
        """Tell somebody else from now on."""
        self._protocol = protocol

    def fileno(self) -> int:
        """The descriptor."""
        return self._fd

    def is_closing(self) -> bool:
        """Whether it is closed, or will be when everything is sent."""
        return self._is_closing

    def get_write_buffer_size(self) -> int:
        """Bytes that the system has not taken."""
        return len(self._outbox) if self._outbox is not None else 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Have the protocol pause above `high` unsent bytes."""
        self._high_water_bytes = high
        self._check_high_water()

    def write(self, data: bytes) -> None:
        """Send, or queue what the system does not take."""
        if self._is_closing or self._write_error is not None:
            return
        self._send(data)
        if self._outbox is not None:
            self._check_high_water()

    def can_write_eof(self) -> bool:
        """Always."""
        return True

    def write_eof(self) -> None:
        """End our side of the stream when everything is sent."""
        if not self._is_closing:
            self._is_ended = True
            if self._outbox is None:
                self._shut_down()

    def pause_reading(self) -> None:
        """Stop taking what the peer sends."""
        self._read_from_peer(False)

    def resume_reading(self) -> None:
        """Take what the peer sends."""
        self._read_from_peer(True)

    def close(self) -> None:
        """Read no more, and close when everything is sent."""
        if self._is_closing:
            return
        self._is_closing = True
        if self._outbox is None:
            self._close(None)
        else:
            self._watch()

    def abort(self) -> None:
        """Close at once."""
        self._close(None)

    # --- parking ---------------------------------------------------------------------------------------------------

    @property
    def lot(self) -> ParkingLot:
        """Where the descriptor is."""
        return self._lot

    def release(self) -> int:
        """Give the descriptor to another record of the lot; it was flushed. The protocol is told of nothing more."""
        fd, self._fd = self._fd, -1
        self._is_closing = True
        del self._protocol
        return fd

    # --- events ----------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        """See `ParkedSocket`."""
        if events & select.EPOLLIN and self._is_reading and not self._is_closing:
            self._read()
        elif events & GONE and (self._is_leaving_noticed or self._is_closing):
            self._leave()
        if events & select.EPOLLOUT and self._fd >= 0:
            self._flush()
            if self._outbox is not None:
                self._watch()  # see `mask`

    def end_hold(self) -> None:
        """The process stops: the protocol is told by its edge."""

    def _read(self) -> None:
        try:
            data = self._lot.read(self._fd)
        except BlockingIOError:
            return
        except OSError as exc:
            self._close(exc)
            return
        if data:
            self._protocol.data_received(data)
        elif self._write_error is not None:
            self._close(self._write_error)
        else:
            self.close()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _read_from_peer(self, is_reading: bool) -> None:
        if self._is_reading is not is_reading:
            self._is_reading = is_reading
            if not self._is_closing:
                self._watch()

    def mask(self) -> int:
        """See `ParkedSocket`."""
        if self._is_closing:
            return 0
        if self._is_reading:
            return LISTEN
        # That a connection broke cannot be left out, but told once: there may be more to read.
        return select.EPOLLRDHUP if self._is_leaving_noticed else select.EPOLLONESHOT

    def _leave(self) -> None:
        self._close(_reset())

    def _break_off(self) -> None:
        if self._is_leaving_noticed or self._is_closing:
            self._leave()
            return
        self._write_error = _reset()
        self._drop_outbox()
        self._watch()
        self._check_low_water()

    def _close(self, exc: OSError | None) -> None:
        if self._fd < 0:
            return
        self._is_closing = True
        os.close(self._forget())
        self._lot.runtime.loop.call_soon(self._tell_lost, exc)

    def _tell_lost(self, exc: OSError | None) -> None:
        protocol = self._protocol
        del self._protocol  # it refers to us, and both would wait for a collection of garbage
        protocol.connection_lost(exc)

    def _on_progress(self) -> None:
        self._check_low_water()

    def _on_drained(self) -> None:
        if self._is_closing:
            self._close(None)
            return
        if self._is_ended:
            self._shut_down()
        self._check_low_water()

    def _check_high_water(self) -> None:
        if not self._is_write_paused and self.get_write_buffer_size() > self._high_water_bytes:
            self._is_write_paused = True
            self._protocol.pause_writing()

    def _check_low_water(self) -> None:
        if self._is_write_paused and self.get_write_buffer_size() <= self._high_water_bytes // 4:
            self._is_write_paused = False
            self._protocol.resume_writing()


def _reset() -> OSError:
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))
