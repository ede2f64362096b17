"""Parking: held clients as bare descriptors in one epoll set, woken when they speak or leave.

A parked client is a descriptor and a small record: no transport, no parser, no task. Writes go straight to the socket;
an outbox exists only while the client is slow. While a response is held, a client that speaks (a pipelined request) is
left alone: its bytes wait in the kernel, which is all the flow control needed. After the response has ended the client
stays parked until it speaks again and is then woken into an ordinary `ClientConnection`.

Invariant: a descriptor is in the lot's table exactly while it is registered with epoll, and `Edge.closed` is called
once for every client that leaves from here.
"""

from __future__ import annotations

import enum
import os
import select
import socket

from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.exchange import ClientExchange
from holdfast.net.outbox import Outbox
from holdfast.net.outlets import OutboxLimits, OutletOwner, reject_when_full
from holdfast.net.runtime import Runtime
from holdfast.wire.http1.head import RequestHead

EVENTS_PER_TURN = 256
"""Events handled before others get their turn; epoll reports the rest again."""

_LISTEN = select.EPOLLIN | select.EPOLLRDHUP if hasattr(select, "EPOLLRDHUP") else 0
_GONE = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR if hasattr(select, "EPOLLRDHUP") else 0


def can_park() -> bool:
    """Whether this system has epoll; without it held clients keep their transports."""
    return hasattr(select, "epoll")


class _State(enum.Enum):
    HELD = "a response is being held"
    ENDING = "the last bytes of the response are being sent"
    IDLE = "waiting for the next request"
    GONE = "no longer here"


class ParkedClient:
    """A client whose socket is in the parking lot; the outlet of its hold."""

    __slots__ = (
        "_early",
        "_edge",
        "_fd",
        "_has_unread",
        "_is_reusable",
        "_lot",
        "_outbox",
        "_owner",
        "_slot",
        "_started",
        "_state",
    )

    def __init__(self, lot: ParkingLot, edge: Edge, fd: int, early: bytes, owner: OutletOwner, started: int) -> None:
        self._lot = lot
        self._edge = edge
        self._fd = fd
        self._early = early
        self._owner: OutletOwner | None = owner
        self._started = started
        self._outbox: Outbox | None = None
        self._state = _State.HELD
        self._has_unread = False
        self._is_reusable = True
        self._slot = 0

    # --- the outlet ------------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not yet taken what was written."""
        return self._outbox is not None

    def write(self, data: bytes) -> bool | None:
        """Send or queue bytes of the held response; False: lost because the client is slow, None: it is gone."""
        if self._outbox is not None and len(self._outbox) + len(data) > self._lot.limits.max_bytes:
            return self._reject(len(self._outbox))
        return self._send(data)

    def write_first(self, data: bytes) -> bool:
        """Send the beginning of a response, whatever its size: the outbox bound is for what is published.

        Returns:
            Whether the client is still there.
        """
        return self._send(data) is not None

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        """Send the end of the response; the owner is not told of anything after this."""
        if self._state is _State.GONE:
            return
        self._owner = None
        self._is_reusable = is_reusable and not self._edge.is_draining
        self._state = _State.ENDING
        if not self._send(data):
            return
        if self._outbox is None:
            self._end()
        else:
            self._arm(self._edge.limits.send_timeout_s)

    async def reopen(self, head: RequestHead, body: bytes) -> ClientExchange | None:
        """Take the client out of the lot, before anything of its response was sent, to answer its request anew.

        Returns:
            The exchange, or None when the client has left.
        """
        self._owner = None
        if self._state is not _State.HELD:
            return None
        self._release()
        connection = ClientConnection(self._edge, is_new=False, early=self._early)
        connection.started = self._started
        exchange = connection.reopen(head, body)
        sock, self._fd = socket.socket(fileno=self._fd), -1
        is_here = await self._lot.adopt(connection, sock)
        return exchange if is_here else None

    def end_hold(self) -> None:
        """The process stops: end what is held in good order, and close who is between requests."""
        if self._owner is not None:
            self._owner.end()
        elif self._state is _State.IDLE:
            self._leave()

    def describe(self) -> str:
        """Address and port of the client, for logs."""
        try:
            with socket.socket(fileno=os.dup(self._fd)) as duplicate:
                address = duplicate.getpeername()
        except OSError:
            return "gone"
        return f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "unix"

    # --- events ----------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        """What epoll reported for the descriptor."""
        if events & select.EPOLLOUT and not events & (select.EPOLLHUP | select.EPOLLERR):
            self._flush()
            return
        if events & _GONE:
            self._leave()
        elif self._state is _State.IDLE:
            self._wake()
        else:
            self._has_unread = True
            self._watch()

    def on_timer(self, now_s: float) -> None:
        """The client has not sent its next request, or has taken nothing of the end of its response, in time."""
        self._slot = 0
        if self._state is _State.ENDING:
            self._edge.runtime.counters.client_timeouts += 1
        self._leave()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _send(self, data: bytes) -> bool | None:
        """Write now what the system takes, and queue the rest; None when the client turned out to be gone."""
        if self._outbox is not None:
            self._outbox.append(data)
            return True
        try:
            sent = os.write(self._fd, data)
        except BlockingIOError:
            sent = 0
        except OSError:
            self._leave()
            return None
        if sent < len(data):
            self._outbox = Outbox(data, sent)
            self._watch()
        return True

    def _flush(self) -> None:
        if self._outbox is None:
            return
        try:
            is_empty = self._outbox.write_to(self._fd)
        except BlockingIOError:
            return
        except OSError:
            self._leave()
            return
        if not is_empty:
            if self._state is _State.ENDING:
                self._arm(self._edge.limits.send_timeout_s)
            return
        self._outbox = None
        self._watch()
        if self._state is _State.ENDING:
            self._end()
        elif self._owner is not None:
            self._owner.on_drained()

    def _watch(self) -> None:
        """Tell epoll what matters now; input that has to wait is not listened to, or it would be reported for ever."""
        mask = select.EPOLLRDHUP if self._has_unread and self._state is not _State.IDLE else _LISTEN
        if self._outbox is not None:
            mask |= select.EPOLLOUT
        self._lot.watch(self._fd, mask)

    def _end(self) -> None:
        """The response is over and sent."""
        if self._early or (self._has_unread and not self._is_reusable):
            self._wake()
        elif not self._is_reusable:
            self._leave()
        else:
            self._state = _State.IDLE
            self._watch()
            self._arm(self._edge.limits.idle_timeout_s)

    def _arm(self, seconds: float) -> None:
        """Have `on_timer` called after `seconds`, instead of whenever it was to be."""
        runtime = self._edge.runtime
        if self._slot:
            runtime.wheel.remove(self._slot, self)
        self._slot = runtime.wheel.add(runtime.now() + seconds, self)

    def _wake(self) -> None:
        """Turn back into an ordinary connection, which reads what the client has sent."""
        self._release()
        fd, self._fd = self._fd, -1
        self._lot.wake(self._edge, fd, self._early, self._started, is_last=not self._is_reusable)

    def _reject(self, pending_bytes: int) -> bool:
        assert self._owner is not None
        counters = self._edge.runtime.counters
        if reject_when_full(self.describe(), self._owner, self._lot.limits, counters, pending_bytes):
            self._leave()
        return False

    def _leave(self) -> None:
        """Close the descriptor, and tell the owner if the response was still held."""
        if self._state is _State.GONE:
            return
        self._release()
        # A write that comes too late must meet no descriptor, rather than one that belongs to somebody else by then.
        fd, self._fd = self._fd, -1
        os.close(fd)
        self._edge.closed(self._started)
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.on_client_gone()

    def _release(self) -> None:
        self._state = _State.GONE
        self._outbox = None
        self._lot.forget(self._fd)
        if self._slot:
            self._edge.runtime.wheel.remove(self._slot, self)


class ParkingLot:
    """All parked clients of the process, in one epoll set whose descriptor the loop watches."""

    def __init__(self, runtime: Runtime, limits: OutboxLimits) -> None:
        self.limits = limits
        self._runtime = runtime
        self._epoll = select.epoll()
        self._clients: dict[int, ParkedClient] = {}
        runtime.loop.add_reader(self._epoll.fileno(), self._on_ready)

    def __len__(self) -> int:
        return len(self._clients)

    def park(self, connection: ClientConnection, owner: OutletOwner, first: bytes) -> ParkedClient | None:
        """Take a flushed connection into the lot and send `first`, the beginning of its response.

        None when the client turns out to have left; the owner has been told then.
        """
        sock, early = connection.detach()
        fd = sock.detach()
        client = ParkedClient(self, connection.edge, fd, early, owner, connection.started)
        self._clients[fd] = client
        self._epoll.register(fd, _LISTEN)
        return client if client.write_first(first) else None

    def watch(self, fd: int, mask: int) -> None:
        """Change what is reported for `fd`."""
        self._epoll.modify(fd, mask)

    def forget(self, fd: int) -> None:
        """Take `fd` out of the lot; whoever asks for it closes it or passes it on."""
        del self._clients[fd]
        self._epoll.unregister(fd)

    def wake(self, edge: Edge, fd: int, early: bytes, started: int, *, is_last: bool) -> None:
        """Make an ordinary connection of a descriptor that has left the lot."""
        connection = ClientConnection(edge, is_new=False, early=b"" if is_last else early, is_last=is_last)
        connection.started = started
        self._runtime.spawn(self._wake(connection, socket.socket(fileno=fd)), "wake")

    def end_holds(self) -> None:
        """End every held response in good order, for an orderly stop."""
        for client in list(self._clients.values()):
            client.end_hold()

    def close(self) -> None:
        """Close every parked client at once."""
        for client in list(self._clients.values()):
            client.on_events(select.EPOLLHUP)
        self._runtime.loop.remove_reader(self._epoll.fileno())
        self._epoll.close()

    async def adopt(self, connection: ClientConnection, sock: socket.socket) -> bool:
        """Give a socket that has left the lot to a connection; returns whether it could still be used."""
        try:
            await self._runtime.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()
            connection.edge.closed(connection.started)
            return False
        return True

    async def _wake(self, connection: ClientConnection, sock: socket.socket) -> None:
        await self.adopt(connection, sock)

    def _on_ready(self) -> None:
        for fd, events in self._epoll.poll(0, EVENTS_PER_TURN):
            client = self._clients.get(fd)
            if client is not None:
                client.on_events(events)
