"""Clients of one channel without ids: plain streams and WebSockets, whose items follow one another while they listen.

WebSockets say something now and then, which has to come back, in order.
"""

from __future__ import annotations

import asyncio
import random
import time
from abc import ABC, abstractmethod
from collections.abc import Awaitable, Callable
from typing import ClassVar

from benchmarks.soak.channels import PublishTimes
from benchmarks.soak.doors import Doors
from benchmarks.soak.tally import Tally
from tests.harness.item_store import ItemStore, parse_item_line
from tests.harness.recovering_clients import Lost
from websockets.exceptions import InvalidHandshake, WebSocketException

_SAY_EVERY_S = 2.0
_STAY_S = 120.0


class Listener(ABC):
    """Has one channel, and loses nothing on one connection.

    Args:
        path: where it asks; the channel is behind it.

    Attributes:
        reached: number of the last item on this connection; None before the first.
        connected_s: since when it listens.
    """

    kind: ClassVar[str]

    def __init__(self, number: int, doors: Doors, path: str, channel: str, tally: Tally, seed: int) -> None:
        self.name = f"{self.kind} {path} {number}"
        self.channel = channel
        self.reached: int | None = None
        self.connected_s = float("inf")
        self._path = f"{path}/{channel}"
        self._doors = doors
        self._tally = tally
        self._random = random.Random(f"{seed} {self.name}")

    async def run(self, times: PublishTimes) -> None:
        """Listen, leave and come back, until cancelled."""
        while True:
            self.reached, self.connected_s = None, float("inf")
            try:
                async with asyncio.timeout(self._random.expovariate(1 / _STAY_S)):
                    await self._listen(times)
            except TimeoutError:
                self._tally.counts["listeners that left"] += 1
            except (Lost, OSError, InvalidHandshake, WebSocketException) as exc:
                self._tally.fails(f"{self.name}: {exc!r}")
            except Exception as exc:
                self._tally.violations.append(f"{self.name}: {exc!r}")
                return
            self.connected_s = float("inf")
            await asyncio.sleep(self._random.uniform(0, 0.5))

    @abstractmethod
    async def _listen(self, times: PublishTimes) -> None:
        """On a new connection."""

    def _take(self, line: bytes, times: PublishTimes, *, is_prompt: bool = True) -> None:
        """An item has come; `is_prompt`: as soon as it could."""
        now = time.monotonic()
        channel, number = parse_item_line(line)
        assert channel == self.channel, f"an item of {channel} on {self.channel}"
        assert self.reached is None or number == self.reached + 1, f"item {number} came after {self.reached}"
        self.reached = number
        self._tally.counts["items without ids"] += 1
        if is_prompt:
            self._tally.publish_s.append(now - times.of(channel, number))

    def lacks(self, store: ItemStore, times: PublishTimes) -> bool:
        """Whether it should have got the last item of its channel, and has not."""
        last = store.last(self.channel)
        return last > 0 and self.reached != last and times.of(self.channel, last) > self.connected_s


class StreamListener(Listener):
    """Holds a stream."""

    kind = "stream"

    async def _listen(self, times: PublishTimes) -> None:
        connection = self._doors.open(None, is_tls=False)
        try:
            await connection.request(self._path)
            head = await connection.read_head()
            if head.status != 200:
                raise Lost(f"status {head.status}")
            self.connected_s = time.monotonic()
            rest = b""
            while data := await connection.read_chunk():
                *lines, rest = (rest + data).split(b"\n")
                for line in filter(None, lines):
                    self._take(line + b"\n", times)
            raise Lost("the stream ended")
        finally:
            connection.close(resets=self._random.random() < 0.3)


class Talker(Listener):
    """Says something now and then."""

    def __init__(self, number: int, doors: Doors, path: str, channel: str, tally: Tally, seed: int) -> None:
        super().__init__(number, doors, path, channel, tally, seed)
        self._said: list[str] = []

    async def _say(self, send: Callable[[str], Awaitable[None]]) -> None:
        """Until the publishers have ended."""
        number = 0
        self._said.clear()
        while not self._tally.is_over:
            await asyncio.sleep(self._random.expovariate(1 / _SAY_EVERY_S))
            number += 1
            self._said.append(f"say {number}")
            await send(self._said[-1])

    def _hear(self, text: str, times: PublishTimes, *, is_prompt: bool = True) -> None:
        """A message has come: an item, or what was said before everything else that was said."""
        if text.startswith("say "):
            assert self._said and self._said.pop(0) == text, f"{text!r} came back, but not in its turn"
            self._tally.counts[f"messages answered: {self.kind}"] += 1
        else:
            self._take(text.encode() + b"\n", times, is_prompt=is_prompt)


class SocketListener(Talker):
    """Has a WebSocket."""

    kind = "WebSocket"
    is_tls: ClassVar[bool] = False
    compresses: ClassVar[bool] = False

    async def _listen(self, times: PublishTimes) -> None:
        async with self._doors.websocket(self._path, is_tls=self.is_tls, compresses=self.compresses) as socket:
            saying = asyncio.get_running_loop().create_task(self._say(socket.send))
            try:
                self.connected_s = time.monotonic() + 0.5  # the subscription comes after the handshake
                async for message in socket:
                    self._hear(str(message), times)
                raise Lost(f"closed with {socket.close_code}")
            finally:
                saying.cancel()


class CompressedListener(SocketListener):
    """Has a WebSocket, both sides of which compress."""

    kind = "compressed WebSocket"
    compresses = True


class SecureListener(SocketListener):
    """Has a WebSocket by TLS."""

    kind = "WebSocket by TLS"
    is_tls = True
