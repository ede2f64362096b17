"""The parking lot: sockets as bare descriptors in one epoll set, served when their peers speak, leave or have room.

A parked socket is a descriptor and a small record: no transport, no task. Writes go straight to the socket; an outbox
exists only while the peer is slow. Held clients are parked (`parked_client`), and WebSockets of both sides (`duplex`).
"""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Callable

from holdfast.net.client import ClientConnection
from holdfast.net.duplex import DuplexOwner, ParkedDuplex
from holdfast.net.edge import Edge
from holdfast.net.outlets import OutboxLimits, OutletOwner
from holdfast.net.parked_client import ParkedClient
from holdfast.net.parked_socket import LISTEN, ParkedSocket
from holdfast.net.runtime import Runtime

log = logging.getLogger("holdfast.net.parking")

EVENTS_PER_TURN = 256
"""Events handled before others get their turn; epoll reports the rest again."""


def can_park() -> bool:
    """Whether this system has epoll; without it held clients keep their transports."""
    return hasattr(select, "epoll")


class ParkingLot:
    """All parked sockets of the process, in one epoll set whose descriptor the loop watches.

    Attributes:
        slow: those that have an outbox; they keep themselves here.
    """

    def __init__(self, runtime: Runtime, limits: OutboxLimits) -> None:
        self.limits = limits
        self.runtime = runtime
        self.slow: set[ParkedSocket] = set()
        self._is_ending = False
        self._epoll = select.epoll()
        self._sockets: dict[int, ParkedSocket] = {}
        runtime.loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._sockets)

    @property
    def outbox_bytes(self) -> int:
        """What peers have not yet taken, all together."""
        return sum(parked.outbox_bytes for parked in self.slow)

    def park(self, connection: ClientConnection, owner: OutletOwner, first: bytes) -> ParkedClient | None:
        """Take a flushed connection into the lot and send `first`, the beginning of its response.

        None when the client turns out to have left; the owner has been told then.
        """
        sock, early = connection.detach()
        fd = sock.detach()
        client = ParkedClient(self, connection.edge, fd, early, owner, connection.started)
        self._add(fd, client, LISTEN)
        return client if client.write_first(first) else None

    def park_duplex(
        self, sock: socket.socket, early: bytes, owner: DuplexOwner, on_closed: Callable[[], None]
    ) -> ParkedDuplex:
        """Take a socket into the lot on which both sides go on speaking.

        Args:
            early: what the peer has sent already; the owner gets it with the first `resume_reading`.
            on_closed: called once when the socket is closed.
        """
        fd = sock.detach()
        duplex = ParkedDuplex(self, fd, early, owner, on_closed)
        self._add(fd, duplex, 0)
        return duplex

    def _add(self, fd: int, parked: ParkedSocket, mask: int) -> None:
        self._sockets[fd] = parked
        self._epoll.register(fd, mask)
        if self._is_ending:
            # Not now: whoever parks it has something to do first.
            self.runtime.loop.call_soon(self._act, _end, parked)

    def watch(self, fd: int, mask: int) -> None:
        """Change what is reported for `fd`."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Take `fd` out of the lot; whoever asks for it closes it or passes it on."""
        del self._sockets[fd]
        self._epoll.unregister(fd)

    def wake(self, edge: Edge, fd: int, early: bytes, started: int, *, is_last: bool) -> None:
        """Make an ordinary connection of a descriptor that has left the lot."""
        connection = ClientConnection(edge, is_new=False, early=b"" if is_last else early, is_last=is_last)
        connection.started = started
        self.runtime.spawn(self._wake(connection, socket.socket(fileno=fd)), "wake")

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

    async def adopt(self, connection: ClientConnection, sock: socket.socket) -> bool:
        """Give a socket that has left the lot to a connection; returns whether it could still be used."""
        try:
            await self.runtime.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()
            connection.edge.closed(connection.started)
            return False
        return True

    async def _wake(self, connection: ClientConnection, sock: socket.socket) -> None:
        await self.adopt(connection, sock)

    def _on_ready(self) -> None:
        for fd, events in self._epoll.poll(0, EVENTS_PER_TURN):
            parked = self._sockets.get(fd)
            if parked is None:
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
