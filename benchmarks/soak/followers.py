"""Clients that follow ids, and check that each item is the next one: once and in order, whatever happens meanwhile.

They come in plainly or by TLS.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence

from benchmarks.soak.channels import EVENTS, FOLLOWED, PublishTimes
from benchmarks.soak.doors import Doors
from benchmarks.soak.tally import Tally
from tests.harness.messages import Response
from tests.harness.recovering_clients import (
    Connection,
    History,
    Manners,
    PollClient,
    RecoveringClient,
    StreamClient,
)

RESTLESS = Manners(stay_s=20, pause_rate=0.01, max_pause_s=1)
STEADY = Manners(stay_s=600, pause_rate=0, max_pause_s=0)
SLOW = Manners(stay_s=60, pause_rate=0.2, max_pause_s=4, receive_buffer=2048)


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


class Follower(RecoveringClient):
    """Comes in through one of the doors.

    Args:
        is_tls: through which.
    """

    def __init__(
        self, number: int, doors: Doors, channels: Sequence[str], manners: Manners, seed: str, *, is_tls: bool
    ) -> None:
        super().__init__(number, doors.port, channels, manners, seed)
        self._doors = doors
        self._is_tls = is_tls

    def _open(self, receive_buffer: int | None) -> Connection:
        return self._doors.open(receive_buffer, is_tls=self._is_tls)


class Poll(Follower, PollClient):
    """Asks for what follows its cursor, again and again."""


class _Timed(Follower):
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


def make_followers(doors: Doors, seed: int, times: PublishTimes, tally: Tally) -> list[Follower]:
    """Streams, long polls and event sources, with all manners; one in five has two channels."""
    dice = random.Random(f"{seed} followers")
    clients: list[Follower] = []
    kinds: list[tuple[type[Follower], int, int, Sequence[str]]] = [
        (TimedStream, 40, 16, FOLLOWED),
        (Poll, 24, 8, FOLLOWED),
        (EventSource, 24, 8, EVENTS),
    ]
    for kind, plain_count, tls_count, names in kinds:
        for number in range(plain_count + tls_count):
            channels = [names[number % len(names)]]
            if dice.random() < 0.2:
                channels.append(names[(number + 3) % len(names)])
            manners = dice.choices((RESTLESS, STEADY, SLOW), (5, 4, 1))[0]
            client = kind(number, doors, channels, manners, str(seed), is_tls=number >= plain_count)
            client.history = history = TimedHistory(channels, times, tally)
            history.is_prompt = manners.pause_rate == 0
            clients.append(client)
    return clients


async def follow(client: Follower, tally: Tally) -> None:
    """Run such a client until it is cancelled, or got what it should not have got."""
    try:
        await client.run()
    except Exception as exc:
        events = "".join(f"\n    {event}" for event in list(client.history.events)[-12:])
        tally.violations.append(f"{client.name}: {exc!r}{events}")
