"""Everything that statistics and metrics are made of, and when which packet is sent (grip spec §15.7, §15.8).

Whoever serves a request, a hold or a publish tells it here, in a call or two, whether or not somebody listens. Packets
are made only of types that somebody wants; clocks are read only while metrics are exported.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from holdfast.counters import Counters
from holdfast.statistics.connections import Connections
from holdfast.statistics.histogram import PUBLISH_BOUNDS_S, WAIT_BOUNDS_S, Histogram
from holdfast.statistics.routes import Drop, Routes
from holdfast.statistics.subscriptions import Subscribed, Subscriptions
from holdfast.timers import TimerWheel
from holdfast.wire.statistics import Activity, Counts, Message, Packet, Transport


class PacketType(enum.Enum):
    """What can be asked for; the values are the words that packets begin with."""

    ACTIVITY = "activity"
    MESSAGE = "message"
    CONNECTION = "conn"
    SUBSCRIPTION = "sub"
    REPORT = "report"
    COUNTS = "counts"


@dataclass(frozen=True, slots=True, kw_only=True)
class Terms:
    """How statistics are told.

    Attributes:
        instance: who tells them; ids of connections begin with it.
        connection_ttl_s, subscription_ttl_s: how long what is said of one holds.
        report_interval_s: between two reports; 0 for none.
        tells_connections: whether single connections are spoken of.
        block_size: bytes of content that count as a block; None if blocks are not counted.
    """

    instance: str = "holdfast"
    connection_ttl_s: int = 120
    subscription_ttl_s: int = 60
    report_interval_s: int = 10
    tells_connections: bool = True
    block_size: int | None = None


def _no_channels() -> Iterable[Subscribed]:
    return ()


class Statistics:
    """What is told, and to whom it goes.

    Attributes:
        send: where packets go; set by the door.
        channels: the channels that there are, asked when somebody begins to want to know of subscriptions.
        watch: told when it begins to matter how many subscribers channels have (True), or no longer does.
        counts_blocks: whether content is measured in blocks.
        wants_messages: whether somebody wants packets of this type.
        wants_reports: whether somebody wants sums by route that take an effort: as reports, or as metrics.
        is_exported: whether metrics are exported, so that durations matter.
        connections, routes: those that are there, and what is counted for each route.
        publish_latency_s: from when an item may leave to the last of its writes; only while metrics are exported.
        held_back_s: how long items waited for the item before them.
    """

    def __init__(self, terms: Terms | None = None, counters: Counters | None = None) -> None:
        terms = terms if terms is not None else Terms()
        self.send: Callable[[Packet], object] = _ignore
        self.channels: Callable[[], Iterable[Subscribed]] = _no_channels
        self.watch: Callable[[bool], object] = _ignore
        self.wants_messages = False
        self.wants_reports = False
        self.is_exported = False
        self.routes = Routes()
        self.publish_latency_s = Histogram(PUBLISH_BOUNDS_S)
        self.held_back_s = Histogram(WAIT_BOUNDS_S)
        self.connections = Connections(terms.instance, terms.connection_ttl_s, self._pass_on)
        self.subscriptions = Subscriptions(terms.subscription_ttl_s, self._pass_on)
        self.counts_blocks = terms.block_size is not None
        self._terms = terms
        self._counters = counters if counters is not None else Counters()
        self._wanted: dict[PacketType, int] = dict.fromkeys(PacketType, 0)
        self._second = 0
        self._requests = 0
        self._reported_at_s = 0.0
        self._sends_reports = False
        self._wheel: TimerWheel | None = None

    # --- who wants what --------------------------------------------------------------------------------------------

    def export(self) -> None:
        """Metrics will be asked for, at any time."""
        self.is_exported = True
        self.wants_reports = True

    def want(self, types: Iterable[PacketType], change: int) -> None:
        """Somebody subscribes to these types (1), or leaves (-1)."""
        wanted_subscriptions = self._wants(PacketType.SUBSCRIPTION)
        for kind in types:
            self._wanted[kind] = max(self._wanted[kind] + change, 0)
        wants_subscriptions = self._wants(PacketType.SUBSCRIPTION)
        self.wants_messages = self._wants(PacketType.MESSAGE)
        self._sends_reports = self._wants(PacketType.REPORT) and self._terms.report_interval_s > 0
        self.wants_reports = self._sends_reports or self.is_exported
        self.connections.is_wanted = self._wants(PacketType.CONNECTION) and self._terms.tells_connections
        if wants_subscriptions == wanted_subscriptions:
            return
        if wants_subscriptions:
            self.subscriptions.start(self.channels())
        else:
            self.subscriptions.stop()
        self.watch(wants_subscriptions)

    def _wants(self, kind: PacketType) -> bool:
        return self._wanted[kind] > 0

    def _pass_on(self, packet: Packet) -> None:
        self.send(packet)

    # --- what is told ----------------------------------------------------------------------------------------------

    def message(self, channel: str, item_id: str | None, transport: Transport, receivers: int, size: int) -> None:
        """An item was received in one format; told only while messages are wanted. size: bytes, for blocks."""
        blocks = self.blocks(size)
        total = blocks * receivers if blocks is not None else None
        self.send(Message(None, channel, item_id, receivers, total or None, transport))

    def sent(self, route: str, transport: Transport, receivers: int, content_bytes: int, blocks: int | None) -> None:
        """An item was to be delivered in one format to clients of one route; told only while reports are wanted.

        Args:
            content_bytes, blocks: of one delivery.
        """
        counts = self.routes.find(route)
        counts.sent += receivers
        if transport is Transport.WS_MESSAGE:
            counts.ws_message_sent += receivers
            counts.client.messages_sent += receivers
        if blocks is not None:
            counts.blocks_sent += blocks * receivers
        if transport is Transport.HTTP_RESPONSE:
            counts.http_response_sent += receivers
        else:  # the bytes of a response are counted when it is made, with those of its head
            counts.client.content_bytes_sent += content_bytes * receivers

    def lost(self, route: str, reason: Drop, deliveries: int = 1) -> None:
        """Clients of a route have lost what they should have got."""
        self.routes.find(route).drops[reason] += deliveries

    def backend_answered(self, route: str, waited_s: float) -> None:
        """The head of an answer has come."""
        self.routes.find(route).backend_latency_s.observe(waited_s)

    def blocks(self, size: int) -> int | None:
        """The blocks that `size` bytes are; None if blocks are not counted."""
        block_size = self._terms.block_size
        return -(-size // block_size) if block_size is not None else None

    # --- when it is said -------------------------------------------------------------------------------------------

    def start(self, wheel: TimerWheel, now_s: float) -> None:
        """From now on packets are sent in time."""
        self._wheel = wheel
        self._second = int(now_s)
        self._reported_at_s = now_s
        wheel.add(now_s, self)

    def stop(self) -> None:
        """Send nothing any more."""
        self._wheel = None

    def on_timer(self, now_s: float) -> None:
        """See `holdfast.timers.Timed`: once in each slot of the wheel."""
        if self._wheel is None:
            return
        self._wheel.add(now_s, self)
        while self._second < int(now_s):
            self._second += 1
            self._move_hand(self._second)
        self._tell_sums()
        self.connections.name_due()
        self.subscriptions.tell_due()
        interval_s = self._terms.report_interval_s
        if interval_s and now_s >= self._reported_at_s + interval_s:
            self._report(now_s)

    def _move_hand(self, second: int) -> None:
        self.routes.move_hand(second)
        self.connections.move_hand(second)
        self.subscriptions.move_hand(second)

    def _tell_sums(self) -> None:
        for counts in self.routes:
            activity = counts.take_activity()
            if activity and self._wants(PacketType.ACTIVITY):
                self.send(Activity(counts.name, activity))
        requests, self._requests = self._counters.requests_received - self._requests, self._counters.requests_received
        if requests and self._wants(PacketType.COUNTS):
            self.send(Counts(requests))

    def _report(self, now_s: float) -> None:
        duration_ms = round((now_s - self._reported_at_s) * 1000)
        self._reported_at_s = now_s
        for report in self.routes.reports(duration_ms):
            if self._sends_reports:
                self.send(report)


def _ignore(what: object) -> None:
    """For those who need not be told."""
