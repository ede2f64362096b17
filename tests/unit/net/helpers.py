"""What the tests of the network layer share: real sockets, a clock that can jump, a service made of one function."""

from __future__ import annotations

import asyncio
import gc
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.timing import scaled

from holdfast.counters import Counters
from holdfast.errors import WireError
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge, EdgeLimits
from holdfast.net.exchange import ClientExchange
from holdfast.net.listener import Listener
from holdfast.net.outlets import OutboxLimits, OutboxPolicy, Outlet
from holdfast.net.parking import ParkingLot
from holdfast.net.runtime import Runtime
from holdfast.net.socket_transport import SocketTransport
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits

HEADER_S, IDLE_S, BODY_S, SEND_S = 10.0, 20.0, 30.0, 40.0
"""Different on purpose: a test that jumps past one shows which one it was."""

LIMITS = EdgeLimits(100, HEADER_S, IDLE_S, BODY_S, SEND_S)
OUTBOX = OutboxLimits(100_000, OutboxPolicy.DISCONNECT)
HUGE = 16_000_000
"""More than the system keeps for a client that does not read."""

Answer = Callable[[ClientExchange], Coroutine[Any, Any, None] | None]


def get(target: bytes = b"/", *fields: bytes, method: bytes = b"GET", version: bytes = b"1.1") -> bytes:
    return b"".join(part + b"\r\n" for part in (b"%b %b HTTP/%b" % (method, target, version), *fields, b""))


def ok(body: bytes, *fields: bytes) -> bytes:
    """The response that `echo` gives."""
    lines = (b"HTTP/1.1 200 OK", *fields, b"Content-Length: %d" % len(body), b"", body)
    return b"\r\n".join(lines)


def echo(exchange: ClientExchange) -> None:
    """Answer at once, with the target."""
    exchange.respond(200, b"OK", [], exchange.head.target)


async def eventually(condition: Callable[[], object], what: str) -> None:
    """Wait until `condition()` is true."""
    deadline = time.monotonic() + scaled(3.0)
    while not condition():
        assert time.monotonic() < deadline, f"not in time: {what}"
        await asyncio.sleep(0.002)


@asynccontextmanager
async def leaving_no(kind: type) -> AsyncIterator[None]:
    """Whatever objects of this kind are made in the block are gone soon after it, without a collection of garbage."""
    gc.collect()
    gc.disable()
    try:
        before = _count(kind)
        yield
        await eventually(lambda: _count(kind) <= before, f"no {kind.__name__} is left")
    finally:
        gc.enable()


def _count(kind: type) -> int:
    return sum(issubclass(type(thing), kind) for thing in gc.get_objects())


async def settle() -> None:
    """Let everything happen that is under way, before it is said that nothing happens."""
    for _ in range(5):
        await asyncio.sleep(0.004)


async def read_all(exchange: ClientExchange) -> None:
    """Answer like `echo`, when the whole body has been read."""
    while await exchange.read_chunk():
        pass
    echo(exchange)


class Peer:
    """The other end of a connection: a plain socket."""

    def __init__(self, sock: socket.socket) -> None:
        sock.setblocking(False)
        self.sock = sock
        self._loop = asyncio.get_running_loop()

    async def send(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.sock, data)

    def send_what_fits(self, data: bytes) -> int:
        """Send until the system takes no more; returns how much it took."""
        sent = 0
        try:
            while sent < len(data):
                sent += self.sock.send(data[sent:])
        except BlockingIOError:
            pass
        return sent

    async def read(self, size: int) -> bytes:
        """Exactly `size` bytes, or less when the connection ends first."""
        pieces: list[bytes] = []
        while size and (piece := await self._loop.sock_recv(self.sock, min(size, 1 << 20))):
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    async def read_until(self, end: bytes) -> bytes:
        data = b""
        while not data.endswith(end):
            piece = await self._loop.sock_recv(self.sock, 1)
            assert piece, f"ended after {data!r}"
            data += piece
        return data

    async def expect(self, *parts: bytes) -> None:
        """The next bytes are these."""
        expected = b"".join(parts)
        assert await self.read(len(expected)) == expected

    async def expect_end(self) -> None:
        """Nothing more comes, and the connection is closed in good order."""
        assert await self._loop.sock_recv(self.sock, 1000) == b""

    async def expect_nothing(self) -> None:
        """Nothing comes, and the connection stays open."""
        await settle()
        try:
            data = self.sock.recv(1000)
        except BlockingIOError:
            return
        raise AssertionError(f"received {data!r}")

    async def drain(self) -> int:
        """Read to the end, in good order or not; returns how much came."""
        size = 0
        try:
            while piece := await self._loop.sock_recv(self.sock, 1 << 20):
                size += len(piece)
        except ConnectionResetError:
            pass
        return size

    def close(self) -> None:
        self.sock.close()

    def reset(self) -> None:
        """Close without a goodbye."""
        self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.sock.close()


class FunctionService:
    """A service that is one function."""

    def __init__(self, answer: Answer) -> None:
        self.limits = HeadLimits(max_bytes=1000)
        self.serve = answer

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        return error.status, b"Refused", [], error.text.encode()


REFUSED = b"HTTP/1.1 %d Refused\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%b"


def refused(status: int, text: str) -> bytes:
    """The response to a request that could not be parsed."""
    return REFUSED % (status, len(text), text.encode())


class Stage:
    """One listener with its edge, and the clients that connect to it."""

    def __init__(self, answer: Answer, limits: EdgeLimits, outbox: OutboxLimits, *, has_parking: bool) -> None:
        self._skipped_s = 0.0
        self.counters = Counters()
        self.runtime = Runtime(asyncio.get_running_loop(), self.counters)
        self.runtime.now = lambda: self.runtime.loop.time() + self._skipped_s
        self.lot = ParkingLot(self.runtime, outbox) if has_parking else None
        self.edge = Edge("test", self.runtime, FunctionService(answer), limits, outbox, parking=self.lot)
        self.listener = Listener(self.runtime, self.edge)
        self.peers: list[Peer] = []

    def skip(self, seconds: float) -> None:
        """Let time pass, and everything be due that is."""
        self._skipped_s += seconds
        while self.runtime.wheel.advance(self.runtime.now()):
            pass

    async def connect(self, *, is_slow: bool = False) -> Peer:
        """A client; a slow one has little room for what it has not read."""
        sock = socket.socket()
        if is_slow:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        peer = Peer(sock)
        self.peers.append(peer)
        await self.runtime.loop.sock_connect(sock, self.listener.addresses[0])
        return peer

    async def ask(self, data: bytes, *, is_slow: bool = False) -> Peer:
        """A client that has sent `data`."""
        peer = await self.connect(is_slow=is_slow)
        await peer.send(data)
        return peer

    @property
    def connection(self) -> ClientConnection:
        """The only connection that is awake."""
        (connection,) = self.edge.connections
        assert isinstance(connection, ClientConnection)
        return connection

    async def expect_empty(self) -> None:
        """Everybody has left, and nothing remains of them."""
        await eventually(lambda: self.edge.open_connections == 0, "no connection is open")
        await eventually(lambda: self.runtime.task_count == 0, "no task is left")
        assert not self.edge.connections and not self.lot
        assert self.lot is None or not self.lot.slow

    async def close(self) -> None:
        """Make everybody leave."""
        for peer in self.peers:
            peer.close()
        self.listener.close()
        await self.runtime.cancel_tasks()
        await settle()
        if self.lot is not None:
            self.lot.close()
        self.runtime.close()


@asynccontextmanager
async def staged(
    answer: Answer, *, limits: EdgeLimits = LIMITS, outbox: OutboxLimits = OUTBOX, has_parking: bool = True
) -> AsyncIterator[Stage]:
    """A stage; at the end every client leaves, and nothing may remain of them."""
    stage = Stage(answer, limits, outbox, has_parking=has_parking)
    stage.listener.listen("127.0.0.1", 0)
    try:
        yield stage
        for peer in stage.peers:
            peer.close()
        await stage.expect_empty()
    finally:
        await stage.close()


class Owner:
    """A hold as the network layer sees it."""

    def __init__(self) -> None:
        self.outlet: Outlet | None = None
        self.gone = 0
        self.drained = 0

    async def hold(self, exchange: ClientExchange, first: bytes) -> None:
        self.outlet = await exchange.hold(self, first)

    def on_client_gone(self) -> None:
        self.gone += 1

    def on_drained(self) -> None:
        self.drained += 1

    def end(self) -> None:
        assert self.outlet is not None
        self.outlet.finish(b"end", is_reusable=False)

    def describe(self) -> str:
        return "the hold"


class Witness:
    """A connection that writes down what it is told."""

    def __init__(self) -> None:
        self.received = b""
        self.told: list[str] = []
        self.error: Exception | None = None
        self.on_data: Callable[[], None] = lambda: None
        self.fails = False

    def connection_made(self, transport: SocketTransport) -> None:
        self.told.append("made")

    def data_received(self, data: bytes) -> None:
        if self.fails:
            raise RuntimeError
        self.received += data
        self.on_data()

    def pause_writing(self) -> None:
        self.told.append("pause")

    def resume_writing(self) -> None:
        self.told.append("resume")

    def connection_lost(self, exc: Exception | None) -> None:
        self.told.append("lost")
        self.error = exc


def admitted(
    lot: ParkingLot, sock: socket.socket, connection: Witness | None = None, *, is_client: bool = True
) -> SocketTransport:
    """A transport for a socket, in the lot."""
    fd = sock.detach()
    transport = SocketTransport(lot, fd, "somewhere", connection or Witness(), is_leaving_noticed=is_client)
    lot.admit(fd, transport)
    return transport
