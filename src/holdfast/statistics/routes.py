"""What is counted for each route: connections and their minutes, items, and the bytes that pass (grip spec §15.7).

Routes with an id of their own are counted apart, all others together. Everything is counted from the start on, and
only goes up, apart from what is there now; reports tell the difference to the one before, the metrics all of it.
Nothing here knows the time: a second hand is moved from outside, so that a request costs two plain calls and no look at
the clock.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.statistics.histogram import BACKEND_BOUNDS_S, Histogram
from holdfast.wire.statistics import Report, Traffic

MINUTE_S = 60


class Mode(enum.IntEnum):
    """What a client is held by; the number is its place in lists of counts."""

    RESPONSE = 0
    STREAM = 1
    WEBSOCKET_RELAYED = 2
    WEBSOCKET_OVER_HTTP = 3
    WEBSOCKET_ZHTTP = 4
    WEBSOCKET_TEST = 5


class Drop(enum.IntEnum):
    """Why a client lost a delivery; the number is its place in lists of counts."""

    OUTBOX_FULL = 0
    MESSAGE_HWM = 1
    FILTER_FAILED = 2
    QUEUE_FULL = 3


class SecondHand:
    """The second of the minute in which everything happens that happens now."""

    __slots__ = ("second",)

    def __init__(self) -> None:
        self.second = 0


class TrafficCounts:
    """What has gone over the connections with one side; messages are those of WebSockets."""

    __slots__ = (
        "content_bytes_received",
        "content_bytes_sent",
        "header_bytes_received",
        "header_bytes_sent",
        "messages_received",
        "messages_sent",
    )

    def __init__(self) -> None:
        self.header_bytes_received = 0
        self.header_bytes_sent = 0
        self.content_bytes_received = 0
        self.content_bytes_sent = 0
        self.messages_received = 0
        self.messages_sent = 0

    def value(self) -> Traffic:
        """The counts as they are now."""
        return Traffic(
            self.header_bytes_received,
            self.header_bytes_sent,
            self.content_bytes_received,
            self.content_bytes_sent,
            self.messages_received,
            self.messages_sent,
        )


_NO_TRAFFIC = Traffic()


@dataclass(frozen=True, slots=True)
class _Sums:
    """What had been counted when a report was made."""

    minutes: int = 0
    received: int = 0
    sent: int = 0
    http_response_sent: int = 0
    blocks_received: int = 0
    blocks_sent: int = 0
    client: Traffic = _NO_TRAFFIC
    server: Traffic = _NO_TRAFFIC


class RouteCounts:
    """The counts of one route.

    Attributes:
        name: the id of the route; None for all that have none of their own.
        requests: of clients, WebSockets included; not those that are made again on their behalf.
        activity: retries and keep-alives.
        connections: those there now, which are requests, WebSockets and holds; `websockets` is how many are WebSockets.
        holds: by `Mode`, those there now; holds_opened: all there have been.
        received: items that the sequencer let go; only where there is no name.
        sent: deliveries that were attempted; http_response_sent and ws_message_sent are part of them.
        drops: by `Drop`, deliveries that were lost.
        client, server: bytes and messages that passed.
        backend_latency_s: from a request to the head of its answer; those over HTTP only while metrics are exported.
    """

    __slots__ = (
        "_hand",
        "_is_silent",
        "_most_connections",
        "_reported",
        "_started_in",
        "_told_activity",
        "activity",
        "backend_latency_s",
        "blocks_received",
        "blocks_sent",
        "client",
        "connections",
        "drops",
        "holds",
        "holds_opened",
        "http_response_sent",
        "minutes",
        "name",
        "received",
        "requests",
        "sent",
        "server",
        "websockets",
        "ws_message_sent",
    )

    def __init__(self, name: str | None, hand: SecondHand) -> None:
        self.name = name
        self.requests = 0
        self.activity = 0
        self.connections = 0
        self.websockets = 0
        self.holds = [0] * len(Mode)
        self.holds_opened = [0] * len(Mode)
        self.minutes = 0
        self.received = 0
        self.sent = 0
        self.http_response_sent = 0
        self.ws_message_sent = 0
        self.drops = [0] * len(Drop)
        self.blocks_received = 0
        self.blocks_sent = 0
        self.client = TrafficCounts()
        self.server = TrafficCounts()
        self.backend_latency_s = Histogram(BACKEND_BOUNDS_S)
        self._hand = hand
        self._started_in = [0] * MINUTE_S
        self._is_silent = True
        self._most_connections = 0
        self._told_activity = 0
        self._reported = _Sums()

    def begin(self) -> int:
        """A connection begins, which is a request, a WebSocket or a hold; returns what `end` must be given."""
        self.requests += 1
        self.minutes += 1
        self.connections = connections = self.connections + 1
        if connections > self._most_connections:
            self._most_connections = connections
        second = self._hand.second
        self._started_in[second] += 1
        return second

    def end(self, started: int) -> None:
        """A connection has ended."""
        self.connections -= 1
        self._started_in[started] -= 1

    def count_minutes(self) -> None:
        """The second hand has moved: for those that began in this second of a minute, another one begins."""
        self.minutes += self._started_in[self._hand.second]

    def take_activity(self) -> int:
        """Requests, retries and keep-alives since this was last asked."""
        activity = self.requests + self.activity
        since, self._told_activity = activity - self._told_activity, activity
        return since

    def report(self, duration_ms: int) -> Report | None:
        """What has happened since the last report; None if there was nothing, twice in a row."""
        before, self._reported = self._reported, self._sums()
        now = self._reported
        report = Report(
            route=self.name,
            connections=self._most_connections,
            minutes=now.minutes - before.minutes,
            received=now.received - before.received,
            sent=now.sent - before.sent,
            http_response_sent=now.http_response_sent - before.http_response_sent,
            blocks_received=now.blocks_received - before.blocks_received or None,
            blocks_sent=now.blocks_sent - before.blocks_sent or None,
            duration_ms=duration_ms,
            client=now.client.since(before.client),
            server=now.server.since(before.server),
        )
        self._most_connections = self.connections
        was_silent, self._is_silent = self._is_silent, _is_empty(report)
        return None if was_silent and self._is_silent else report

    @property
    def is_unused(self) -> bool:
        """Whether there was nothing to report, and there is nobody."""
        return self._is_silent and not self.connections

    def _sums(self) -> _Sums:
        return _Sums(
            self.minutes,
            self.received,
            self.sent,
            self.http_response_sent,
            self.blocks_received,
            self.blocks_sent,
            self.client.value(),
            self.server.value(),
        )


def _is_empty(report: Report) -> bool:
    numbers = (report.connections, report.minutes, report.received, report.sent)
    return not any(numbers) and report.client == _NO_TRAFFIC and report.server == _NO_TRAFFIC


class Routes:
    """The counts of all routes.

    Attributes:
        unnamed: of everything that has no route with an id of its own.
    """

    def __init__(self) -> None:
        self._hand = SecondHand()
        self._named: dict[str, RouteCounts] = {}
        self._configured: frozenset[str] = frozenset()
        self.unnamed = RouteCounts(None, self._hand)

    def __iter__(self) -> Iterator[RouteCounts]:
        yield self.unnamed
        yield from self._named.values()

    def configure(self, names: Iterable[str]) -> None:
        """These are the routes with an id of their own from now on; see `forget_unused` for the others."""
        self._configured = frozenset(names)

    def find(self, name: str) -> RouteCounts:
        """The counts of a route by its id; `name` is empty for one that has no id of its own."""
        if not name:
            return self.unnamed
        counts = self._named.get(name)
        if counts is None:
            counts = self._named[name] = RouteCounts(name, self._hand)
        return counts

    def move_hand(self, now_s: int) -> None:
        """It is another second now: called once for each of them."""
        self._hand.second = now_s % MINUTE_S
        for counts in self:
            counts.count_minutes()

    def reports(self, duration_ms: int) -> list[Report]:
        """The reports of all routes with something to say."""
        reports = [report for counts in self if (report := counts.report(duration_ms)) is not None]
        self.forget_unused()
        return reports

    def forget_unused(self) -> None:
        """Forget routes that are gone from the configuration, and of which nothing is left to say."""
        self._named = {
            name: counts for name, counts in self._named.items() if name in self._configured or not counts.is_unused
        }
