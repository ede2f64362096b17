"""Clients that wait for items, and check that each is the next one.

Those who follow ids check across connections, whatever happens to them: exactly once, in order. The others check while
they are connected: no item is missing between two that they get.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from benchmarks.soak.channels import BULK, EVENTS, FOLLOWED, LIVE, PublishTimes
from benchmarks.soak.tally import Tally
from tests.harness.item_store import ItemStore, parse_item_line
from tests.harness.messages import Response
from tests.harness.recovering_clients import (
    Connection,
    History,
    Lost,
    Manners,
    PollClient,
    RecoveringClient,
    StreamClient,
)
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import InvalidHandshake, WebSocketException

RESTLESS = Manners(stay_s=20, pause_rate=0.01, max_pause_s=1)
STEADY = Manners(stay_s=600, pause_rate=0, max_pause_s=0)
SLOW = Manners(stay_s=60, pause_rate=0.2, max_pause_s=4, receive_buffer=2048)
_SAY_EVERY_S = 2.0
_STAY_S = 120.0
_SILENCE_S = 20.0


class TimedHistory(History):
    """A history that knows how long its items took: those that were published while their client was waiting.

    Attributes:
        is_prompt: its client never pauses, so that what an item takes is not the client's own time.
        waits_since_s: what is published from then on is waited for.
    """

    def __init__(self, channels: Sequence[str], times: PublishTimes, tally: Tally) -> None:
        super().__init__(channels)
        self.is_prompt = True
        self.waits_since_s = float("inf")
        self._times = times
        self._tally = tally

    def take(self, line: bytes) -> None:
        """An item has come. Raises AssertionError when it is not the next one of its channel."""
        super().take(line)
        self._tally.counts["items with ids"] += 1
        channel = line.partition(b" ")[0].decode()
        published_s = self._times.of(channel, self.reached[channel])
        if self.is_prompt and published_s > self.waits_since_s:
            self._tally.publish_s.append(time.monotonic() - published_s)


class _Timed(RecoveringClient):
    """Tells its history since when it waits: since the head of a stream has come."""

    async def _ask(self, connection: Connection) -> Response:
        history = self.history
        assert isinstance(history, TimedHistory)
        history.waits_since_s = float("inf")
        head = await super()._ask(connection)
        history.waits_since_s = time.monotonic()
        return head


class TimedStream(_Timed, StreamClient):
    """Holds a stream whose items have ids."""


class EventSource(_Timed):
    """Reads Server-Sent Events, whose ids have to be those of the items."""

    kind = "sse"

    async def _use(self, connection: Connection) -> None:
        head = await self._ask(connection)
        if head.status != 200:
            await asyncio.sleep(self._random.uniform(0, 1))
            return
        rest = b""
        while data := await connection.read_chunk():
            *events, rest = (rest + data).split(b"\n\n")
            for event in events:
                self._take(event)
            await self._pause_maybe()

    def _take(self, event: bytes) -> None:
        if event == b":":
            return
        event_id, mark, line = event.partition(b"\ndata: ")
        if not mark or event_id != b"id: " + line.split(b" ", 2)[1]:
            self.history.fail(f"not an event: {event[:80]!r}")
        self.history.take(line + b"\n")


def make_followers(port: int, seed: int, times: PublishTimes, tally: Tally) -> list[RecoveringClient]:
    """Those who follow ids: streams, long polls and event sources, with all manners; one in five has two channels."""
    dice = random.Random(f"{seed} followers")
    clients: list[RecoveringClient] = []
    kinds: list[tuple[type[RecoveringClient], int, Sequence[str]]] = [
        (TimedStream, 40, FOLLOWED),
        (PollClient, 24, FOLLOWED),
        (EventSource, 24, EVENTS),
    ]
    for kind, count, names in kinds:
        for number in range(count):
            channels = [names[number % len(names)]]
            if dice.random() < 0.2:
                channels.append(names[(number + 3) % len(names)])
            manners = dice.choices((RESTLESS, STEADY, SLOW), (5, 4, 1))[0]
            client = kind(number, port, channels, manners, str(seed))
            client.history = history = TimedHistory(channels, times, tally)
            history.is_prompt = manners.pause_rate == 0
            clients.append(client)
    return clients


async def follow(client: RecoveringClient, tally: Tally) -> None:
    """Run such a client until it is cancelled, or got what it should not have got."""
    try:
        await client.run()
    except Exception as exc:
        events = "".join(f"\n    {event}" for event in list(client.history.events)[-12:])
        tally.violations.append(f"{client.name}: {exc!r}{events}")


class Listener:
    """Has one channel without ids: by a WebSocket over HTTP, by a relayed one, or by a stream.

    Attributes:
        reached: number of the last item on this connection; None before the first.
        connected_s: since when it listens.
    """

    def __init__(self, number: int, kind: str, url: str, channel: str, tally: Tally, seed: int) -> None:
        self.name = f"{kind} {number}"
        self.channel = channel
        self.reached: int | None = None
        self.connected_s = float("inf")
        self._path = f"/{kind}/{channel}"
        self._url = url
        self._tally = tally
        self._random = random.Random(f"{seed} {self.name}")

    async def run(self, times: PublishTimes) -> None:
        """Listen, leave and come back, until cancelled."""
        while True:
            self.reached, self.connected_s = None, float("inf")
            try:
                async with asyncio.timeout(self._random.expovariate(1 / _STAY_S)):
                    if self._path.startswith("/live/"):
                        await self._stream(times)
                    else:
                        await self._websocket(times)
            except TimeoutError:
                self._tally.counts["listeners that left"] += 1
            except (Lost, OSError, InvalidHandshake, WebSocketException) as exc:
                self._tally.fails(f"{self.name}: {exc!r}")
            except Exception as exc:
                self._tally.violations.append(f"{self.name}: {exc!r}")
                return
            self.connected_s = float("inf")
            await asyncio.sleep(self._random.uniform(0, 0.5))

    async def _stream(self, times: PublishTimes) -> None:
        connection = Connection(int(self._url.rpartition(":")[2]), None)
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

    async def _websocket(self, times: PublishTimes) -> None:
        """Listen, and say something now and then, which has to come back."""
        said: list[str] = []
        loop = asyncio.get_running_loop()
        async with connect(
            self._url + self._path, compression=None, ping_interval=None, proxy=None, close_timeout=5
        ) as socket:
            saying = loop.create_task(self._say(socket, said))
            try:
                self.connected_s = time.monotonic() + 0.5  # the subscription comes after the handshake
                async for message in socket:
                    text = str(message)
                    if text.startswith("say "):
                        assert said and said.pop(0) == text, f"{text!r} came back, but not in its turn"
                        self._tally.counts["WebSocket messages answered"] += 1
                    else:
                        self._take(text.encode() + b"\n", times)
                raise Lost(f"closed with {socket.close_code}")
            finally:
                saying.cancel()

    async def _say(self, socket: ClientConnection, said: list[str]) -> None:
        number = 0
        while not self._tally.is_over:
            await asyncio.sleep(self._random.expovariate(1 / _SAY_EVERY_S))
            number += 1
            said.append(f"say {number}")
            await socket.send(said[-1])

    def _take(self, line: bytes, times: PublishTimes) -> None:
        now = time.monotonic()
        channel, number = parse_item_line(line)
        assert channel == self.channel, f"an item of {channel} on {self.channel}"
        assert self.reached is None or number == self.reached + 1, f"item {number} came after {self.reached}"
        self.reached = number
        self._tally.counts["items without ids"] += 1
        self._tally.publish_s.append(now - times.of(channel, number))

    def lacks(self, store: ItemStore, times: PublishTimes) -> bool:
        """Whether it should have got the last item of its channel, and has not."""
        last = store.last(self.channel)
        return last > 0 and self.reached != last and times.of(self.channel, last) > self.connected_s


def make_listeners(port: int, seed: int, tally: Tally) -> list[Listener]:
    """Those who have no ids."""
    listeners: list[Listener] = []
    for kind, count in (("events", 32), ("relay", 24), ("live", 16)):
        scheme = "http" if kind == "live" else "ws"
        listeners += [
            Listener(number, kind, f"{scheme}://127.0.0.1:{port}", LIVE[number % len(LIVE)], tally, seed)
            for number in range(count)
        ]
    return listeners


async def dawdle(port: int, number: int, seed: int, tally: Tally) -> None:
    """Hold a stream of large items and not read it, until the proxy has had enough; again and again."""
    dice = random.Random(f"{seed} dawdler {number}")
    while not tally.is_over:
        connection = Connection(port, 2048)
        try:
            await connection.request(f"/live/{BULK[0]}")
            await connection.read_head()
            await asyncio.sleep(dice.uniform(5, _SILENCE_S))
            async with asyncio.timeout(10):
                while True:
                    await connection.receive()
        except Lost:
            tally.counts["slow readers cut"] += 1
        except TimeoutError:
            tally.counts["slow readers kept"] += 1
        finally:
            connection.close()
        await asyncio.sleep(dice.uniform(0, 1))
