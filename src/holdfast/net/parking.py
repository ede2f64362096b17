"""The parking lot: sockets as bare descriptors in one epoll set, served when their peers speak, leave or have room.

A socket in it is a descriptor and a small record: no transport of the loop, no task. What the record is depends on what
the socket is used for: a connection that is awake (`socket_transport`), a held client (`parked_client`), a WebSocket of
either side (`parked_duplex`). Writes go straight to the socket; an outbox exists only while the peer is slow.
"""

from __future__ import annotations

import logging
import os
import select
import socket
from collections.abc import Callable, Sequence

from holdfast.net.client import ClientConnection
from holdfast.net.duplex import DuplexOwner
from holdfast.net.outlets import Line, OutboxLimits, OutletOwner
from holdfast.net.parked_client import ParkedClient
from holdfast.net.parked_duplex import ParkedDuplex
from holdfast.net.parked_socket import ParkedSocket, peer_name
from holdfast.net.reading import ReadBuffer
from holdfast.net.runtime import Runtime
from holdfast.net.socket_transport import Connection, SocketTransport
from holdfast.net.volley import send_to_all, write_to_all

log = logging.getLogger("holdfast.net.parking")

EVENTS_PER_TURN = 256
"""Events handled before others get their turn; epoll reports the rest again."""


def can_park() -> bool:
    """Whether this system has epoll; without it held clients keep their transports."""
    return hasattr(select, "epoll")


class ParkingLot:
    """All parked sockets of the process, in one epoll set whose descriptor the loop watches.

    Attributes:
        read: takes what has arrived at a descriptor, see `ReadBuffer.read`.
        slow: those that have an outbox; they keep themselves here.
    """

    def __init__(self, runtime: Runtime, limits: OutboxLimits) -> None:
        self.limits = limits
        self.runtime = runtime
        self.read = ReadBuffer().read
        self.slow: set[ParkedSocket] = set()
        self._is_ending = False
        self._epoll = select.epoll()
        self._sockets: dict[int, ParkedSocket] = {}
        self._awake = 0
        runtime.loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        """Sockets that are parked; those of connections that are awake are not."""
        return len(self._sockets) - self._awake

    def write_all(self, fds: Sequence[int], data: bytes) -> int:
        """Write `data` to the parked sockets with these descriptors, each a `direct_fd`.

        Returns:
            How many peers have it, or will when they have room; the others have left.
        """
        incomplete = write_to_all(fds, data)
        return len(fds) - self._go_on([(fds[position], sent) for position, sent in incomplete], data)

    def send_all(self, lines: Sequence[Line], data: bytes) -> int:
        """Write `data` to the parked sockets that have lent these lines. Returns as `write_all`."""
        incomplete = send_to_all(lines, data)
        return len(lines) - self._go_on([(lines[position].fileno(), sent) for position, sent in incomplete], data)

    def _go_on(self, incomplete: list[tuple[int, int]], data: bytes) -> int:
        """Have descriptors that took only so many bytes get the rest; returns how many peers turn out to have left."""
        gone = 0
        for fd, sent in incomplete:
            parked = self._sockets.get(fd)
            try:
                gone += parked is None or not parked.go_on_writing(data, sent)
            except Exception:
                gone += 1
                log.exception("writing to the parked socket of %s failed", parked.describe() if parked else "nobody")
        return gone

    # --- awake -----------------------------------------------------------------------------------------------------

    def accept(self, fd: int, peer_name: object, connection: Connection) -> None:
        """Let a connection serve a client that was accepted. Raises OSError; the descriptor is closed then."""
        self._serve(fd, peer_name, connection, is_client=True)

    def connect(self, sock: socket.socket, connection: Connection) -> None:
        """Let a connection ask a backend; what that has sent is read, also after it has left. As `accept`."""
        self._serve(sock.detach(), None, connection, is_client=False)

    def wake(self, fd: int, connection: Connection) -> None:
        """Let a connection serve a client that has left the lot."""
        try:
            peer = peer_name(fd)
        except OSError:
            peer = None
        self._serve(fd, peer, connection, is_client=True)

    def _serve(self, fd: int, peer: object, connection: Connection, *, is_client: bool) -> None:
        transport = SocketTransport(self, fd, peer, connection, is_leaving_noticed=is_client)
        try:
            self.admit(fd, transport)
        except OSError:
            os.close(fd)
            raise
        connection.connection_made(transport)

    def admit(self, fd: int, transport: SocketTransport) -> None:
        """Have a transport told what happens to its descriptor. Raises OSError: the system has no room for that."""
        self._epoll.register(fd, transport.mask())
        self._awake += 1
        self._sockets[fd] = transport

    # --- parked ----------------------------------------------------------------------------------------------------

    @property
    def outbox_bytes(self) -> int:
        """What peers have not yet taken, all together."""
        return sum(parked.outbox_bytes for parked in self.slow)

    def park(self, connection: ClientConnection, owner: OutletOwner, first: bytes) -> ParkedClient | None:
        """Go on with a flushed connection as a held client, and send `first`, the beginning of its response.

        None when the client turns out to have left; the owner has been told then.
        """
        transport, early = connection.let_go()
        mask, fd = transport.mask(), transport.release()
        client = ParkedClient(self, connection.edge, fd, early, owner, connection.started)
        self._replace(fd, mask, client)
        return client if client.write_first(first) else None

    def park_duplex(
        self, transport: SocketTransport, early: bytes, owner: DuplexOwner, on_closed: Callable[[], None]
    ) -> ParkedDuplex:
        """Go on with a flushed connection, which has let go of its transport, as one on which both sides speak.

        Args:
            early: what the peer has sent already; the owner gets it with the first `resume_reading`.
            on_closed: called once when the socket is closed.
        """
        mask, fd = transport.mask(), transport.release()
        duplex = ParkedDuplex(self, fd, mask, early, owner, on_closed)
        self._replace(fd, mask, duplex)
        return duplex

    def _replace(self, fd: int, mask: int, parked: ParkedSocket) -> None:
        """Put another record in the place of a transport, whose mask was `mask`."""
        self._awake -= 1
        self._sockets[fd] = parked
        if parked.mask() != mask:
            self._epoll.modify(fd, parked.mask())
        if self._is_ending:
            # Not now: whoever parks it has something to do first.
            self.runtime.loop.call_soon(self._act, _end, parked)

    def watch(self, fd: int, mask: int) -> None:
        """Change what is reported for `fd`."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Take `fd` out of the lot; whoever asks for it closes it or passes it on."""
        self._awake -= isinstance(self._sockets.pop(fd), SocketTransport)
        self._epoll.unregister(fd)

    def end_holds(self) -> None:
        """End everything that is held in good order, for an orderly stop, and what is parked after this as well."""
        self._is_ending = True
        for parked in list(self._sockets.values()):
            self._act(_end, parked)

    def close(self) -> None:
        """Close every parked socket at once."""
        for parked in list(self._sockets.values()):
            self._act(_break, parked)
        self.runtime.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    def _act(self, act: Callable[[ParkedSocket], None], parked: ParkedSocket) -> None:
        """Do it; what happens to one of them must not matter to the others."""
        try:
            act(parked)
        except Exception:
            log.exception("ending the parked socket of %s failed", parked.describe())

    def _on_ready(self) -> None:
        # Whose the events are is looked up before any is handled: that may close another one, whose number the system
        # gives to the next socket. A record that has left by then needs no event, and one that has taken its place will
        # be told again what still holds.
        ready = [(self._sockets.get(fd), events) for fd, events in self._epoll.poll(0, EVENTS_PER_TURN)]
        for parked, events in ready:
            if parked is None or not parked.is_parked:
                continue
            try:
                parked.on_events(events)
            except Exception:
                log.exception("serving the parked socket of %s failed", parked.describe())
                self._act(_break, parked)


def _end(parked: ParkedSocket) -> None:
    parked.end_hold()


def _break(parked: ParkedSocket) -> None:
    """Let the peer be gone, unless it is already."""
    if parked.is_parked:
        parked.on_events(select.EPOLLHUP)
