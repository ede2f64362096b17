"""What is counted for each route: connections and their minutes, items, and the bytes that pass (grip spec §15.7).

Routes with an id of their own are counted apart, all others together. Nothing here knows the time: a second hand is
moved from outside, so that a request costs two plain calls and no look at the clock.
"""

from __future__ import annotations

from collections.abc import Iterator

from holdfast.wire.statistics import Report, Traffic

MINUTE_S = 60


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


class RouteCounts:
    """The counts of one route since its last report; `connections` is how many there are.

    Attributes:
        name: the id of the route; None for all that have none of their own.
        activity: new requests, retries and keep-alives since this was last asked for.
        received: items that the sequencer let go; only where there is no name.
        sent: deliveries that were attempted.
        client, server: bytes and messages that passed.
    """

    __slots__ = (
        "_hand",
        "_is_silent",
        "_most_connections",
        "_started_in",
        "activity",
        "blocks_received",
        "blocks_sent",
        "client",
        "connections",
        "http_response_sent",
        "minutes",
        "name",
        "received",
        "sent",
        "server",
    )

    def __init__(self, name: str | None, hand: SecondHand) -> None:
        self.name = name
        self.connections = 0
        self.activity = 0
        self._hand = hand
        self._started_in = [0] * MINUTE_S
        self._is_silent = True
        self._most_connections = 0
        self.minutes = 0
        self.received = 0
        self.sent = 0
        self.http_response_sent = 0
        self.blocks_received = 0
        self.blocks_sent = 0
        self.client = TrafficCounts()
        self.server = TrafficCounts()

    def begin(self) -> int:
        """A connection begins, which is a request, a WebSocket or a hold; returns what `end` must be given."""
        self.activity += 1
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

    def report(self, duration_ms: int) -> Report | None:
        """What has happened since the last report, which begins anew; None if there was nothing, twice in a row."""
        report = Report(
            route=self.name,
            connections=self._most_connections,
            minutes=self.minutes,
            received=self.received,
            sent=self.sent,
            http_response_sent=self.http_response_sent,
            blocks_received=self.blocks_received or None,
            blocks_sent=self.blocks_sent or None,
            duration_ms=duration_ms,
            client=self.client.value(),
            server=self.server.value(),
        )
        self._begin_again()
        was_silent, self._is_silent = self._is_silent, _is_empty(report)
        return None if was_silent and self._is_silent else report

    @property
    def is_unused(self) -> bool:
        """Whether there was nothing to report, and there is nobody."""
        return self._is_silent and not self.connections

    def _begin_again(self) -> None:
        self._most_connections = self.connections
        self.minutes = 0
        self.received = 0
        self.sent = 0
        self.http_response_sent = 0
        self.blocks_received = 0
        self.blocks_sent = 0
        self.client = TrafficCounts()
        self.server = TrafficCounts()


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
        self.unnamed = RouteCounts(None, self._hand)

    def __iter__(self) -> Iterator[RouteCounts]:
        yield self.unnamed
        yield from self._named.values()

    @property
    def has_names(self) -> bool:
        """Whether a route is counted apart."""
        return bool(self._named)

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
        """The reports of all routes with something to say. What is not used any more is forgotten: routes change."""
        reports = [report for counts in self if (report := counts.report(duration_ms)) is not None]
        self._named = {name: counts for name, counts in self._named.items() if not counts.is_unused}
        return reports
