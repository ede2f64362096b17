"""Clients that recover as real ones do: a stream that reconnects with the ids it has seen, a long poll with a cursor.

They leave and pause at random, and they check every item: for each channel the next one must be the one after the last.
"""

from __future__ import annotations

import asyncio
import random
import socket
import struct
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar, NoReturn

from tests.harness.client import encode_request
from tests.harness.item_store import BEGINNING, parse_item_line
from tests.harness.messages import Response, parse_head

REMEMBERED_EVENTS = 40


class Lost(Exception):
    """The connection has ended before its time."""


@dataclass(frozen=True)
class Manners:
    """How a client behaves.

    Args:
        stay_s: seconds after which it leaves, on average.
        pause_rate: share of its reads before which it pauses.
        max_pause_s: the longest pause.
        receive_buffer: small for a client that makes the proxy wait.
    """

    stay_s: float
    pause_rate: float
    max_pause_s: float
    receive_buffer: int | None = None


class Connection:
    """A non-blocking connection with just enough HTTP for what the proxy sends."""

    def __init__(self, port: int, receive_buffer: int | None) -> None:
        self._loop = asyncio.get_running_loop()
        self._port = port
        self._is_connected = False
        self._socket = socket.socket()
        self._socket.setblocking(False)
        if receive_buffer is not None:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            # On loopback segments are large, and of these the kernel of the other side buffers a megabyte.
            self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_MAXSEG, 536)
        self._buffer = bytearray()

    async def request(self, target: str) -> None:
        """Connect, if need be, and send a request."""
        await self.send(encode_request(target))

    async def send(self, data: bytes) -> None:
        """Connect, if need be, and send bytes. Raises Lost if nobody takes them."""
        try:
            if not self._is_connected:
                await self._connect()
                self._is_connected = True
            await self._write(data)
        except ConnectionError as exc:
            raise Lost(str(exc)) from exc

    def close(self, *, resets: bool = False) -> None:
        """Close the connection, with a reset instead of a FIN if so wished."""
        if resets:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._socket.close()

    async def receive(self) -> None:
        """Wait for more bytes. Raises Lost at their end."""
        try:
            data = await self._read()
        except ConnectionError as exc:
            raise Lost(str(exc)) from exc
        if not data:
            raise Lost(f"closed after {bytes(self._buffer[-80:])!r}")
        self._buffer += data

    async def read_until(self, mark: bytes) -> bytes:
        """Read up to and including `mark`."""
        while (at := self._buffer.find(mark)) < 0:
            await self.receive()
        return self._take(at + len(mark))

    async def read_exactly(self, count: int) -> bytes:
        """Read `count` bytes."""
        while len(self._buffer) < count:
            await self.receive()
        return self._take(count)

    async def read_head(self) -> Response:
        """Read the head of a response."""
        raw = await self.read_until(b"\r\n\r\n")
        line, headers = parse_head(raw)
        version, status, reason = line.split(" ", 2)
        return Response(raw, version, int(status), reason, headers, "")

    async def read_chunk(self) -> bytes:
        """Read one chunk, empty at the end of the body."""
        size = int(await self.read_until(b"\r\n"), 16)
        data = await self.read_exactly(size)
        assert await self.read_exactly(2) == b"\r\n"
        return data

    async def read_body(self, response: Response) -> bytes:
        """Read a whole body."""
        length = response.header("Content-Length")
        if length is not None:
            return await self.read_exactly(int(length))
        assert response.header("Transfer-Encoding") == "chunked", response
        pieces = []
        while piece := await self.read_chunk():
            pieces.append(piece)
        return b"".join(pieces)

    def _take(self, count: int) -> bytes:
        data = bytes(self._buffer[:count])
        del self._buffer[:count]
        return data

    async def _connect(self) -> None:
        await self._loop.sock_connect(self._socket, ("127.0.0.1", self._port))

    async def _write(self, data: bytes) -> None:
        await self._loop.sock_sendall(self._socket, data)

    async def _read(self) -> bytes:
        """Some bytes, none at their end."""
        return await self._loop.sock_recv(self._socket, 16384)


class History:
    """What a client has received, and what happened to it lately.

    Attributes:
        reached: per channel the number of the last item.
        violation: what was wrong, once something was.
    """

    def __init__(self, channels: Sequence[str]) -> None:
        self.reached = dict.fromkeys(channels, BEGINNING)
        self.violation: str | None = None
        self.events: deque[str] = deque(maxlen=REMEMBERED_EVENTS)
        self._has_grown = asyncio.Event()

    def note(self, event: str) -> None:
        """Remember what happened."""
        self.events.append(f"{datetime.now():%H:%M:%S.%f} {event}")

    def take(self, line: bytes) -> None:
        """An item has come. Raises AssertionError when it is not the next one of its channel."""
        try:
            channel, number = parse_item_line(line)
        except ValueError as exc:
            self.fail(str(exc))
        self.note(f"item {channel} {number}")
        expected = self.reached[channel] + 1
        if number != expected:
            kind = "lost" if number > expected else "repeated or misordered"
            self.fail(f"{kind}: item {number} of {channel} came, expected was {expected}")
        self.reached[channel] = number
        self._has_grown.set()

    def fail(self, violation: str) -> NoReturn:
        """Remember what was wrong, and raise it."""
        self.violation = violation
        raise AssertionError(violation)

    def has(self, last: int) -> bool:
        """Whether every item up to `last` has come, of all channels."""
        return min(self.reached.values()) >= last

    async def wait_for(self, last: int) -> None:
        """Wait until every item up to `last` has come, of all channels."""
        while not self.has(last):
            self._has_grown.clear()
            await self._has_grown.wait()

    @property
    def position(self) -> str:
        """The end of the path that asks for what follows."""
        return f"{'+'.join(self.reached)}/{'+'.join(map(str, self.reached.values()))}"


class RecoveringClient(ABC):
    """Receives, leaves, and comes back with what it has.

    Attributes:
        is_calm: it has no more pauses.
    """

    kind: ClassVar[str]

    def __init__(self, number: int, port: int, channels: Sequence[str], manners: Manners, seed: str) -> None:
        self.name = f"{self.kind} {number}"
        self.history = History(channels)
        self.is_calm = False
        self._port = port
        self._manners = manners
        self._random = random.Random(f"{seed} {self.name}")

    async def run(self) -> None:
        """Receive, leave and come back, until cancelled. Raises AssertionError when an item is not the next one."""
        dice, history = self._random, self.history
        while True:
            connection = self._open(self._manners.receive_buffer)
            try:
                async with asyncio.timeout(dice.expovariate(1 / self._manners.stay_s)):
                    await self._use(connection)
            except TimeoutError:
                history.note("left")
            except Lost as exc:
                history.note(f"lost: {exc}")
            finally:
                connection.close(resets=dice.random() < 0.3)
            await asyncio.sleep(dice.uniform(0, 0.3))

    def _open(self, receive_buffer: int | None) -> Connection:
        return Connection(self._port, receive_buffer)

    @abstractmethod
    async def _use(self, connection: Connection) -> None:
        """Make requests on a new connection."""

    async def _ask(self, connection: Connection) -> Response:
        path = f"/{self.kind}/{self.history.position}"
        self.history.note(f"GET {path}")
        await connection.request(path)
        head = await connection.read_head()
        self.history.note(f"status {head.status}")
        return head

    async def _pause_maybe(self) -> None:
        if not self.is_calm and self._random.random() < self._manners.pause_rate:
            await asyncio.sleep(self._random.uniform(0, self._manners.max_pause_s))


class StreamClient(RecoveringClient):
    """Like an EventSource: what it has of an unfinished line is void when the connection ends."""

    kind = "stream"

    async def _use(self, connection: Connection) -> None:
        head = await self._ask(connection)
        if head.status != 200:
            await asyncio.sleep(self._random.uniform(0, 1))
            return
        assert head.header("Transfer-Encoding") == "chunked", head
        rest = b""
        while data := await connection.read_chunk():
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                self.history.take(line + b"\n")
            await self._pause_maybe()
        self.history.note("end of the stream")


class PollClient(RecoveringClient):
    """Asks for what follows its cursor, again and again, on one connection while that lasts."""

    kind = "poll"

    async def _use(self, connection: Connection) -> None:
        while True:
            head = await self._ask(connection)
            body = await connection.read_body(head)
            if head.status == 200:
                for line in body.splitlines(keepends=True):
                    self.history.take(line)
            else:
                await asyncio.sleep(self._random.uniform(0, 0.5))
            await self._pause_maybe()
