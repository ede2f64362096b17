"""What is said when, and to whom: only what somebody wants."""

from __future__ import annotations

from holdfast.counters import Counters
from holdfast.statistics.collector import PacketType, Statistics, Terms
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Drop
from holdfast.timers import TimerWheel
from holdfast.wire.statistics import (
    Activity,
    Connection,
    ConnectionType,
    Counts,
    Message,
    Packet,
    Report,
    Subscription,
    SubscriptionMode,
    Transport,
)


class Client:
    client_address = "a"


class FakeChannel:
    name = "c"
    responses = ()
    streams = (1,)
    sockets = ()
    lingers = False


class World:
    """Statistics with a clock, and what they say."""

    def __init__(self, *wanted: PacketType, terms: Terms | None = None) -> None:
        self.counters = Counters()
        self.statistics = Statistics(terms or Terms(report_interval_s=2), self.counters)
        self.packets: list[Packet] = []
        self.watching: list[bool] = []
        self.statistics.send = self.packets.append
        self.statistics.channels = lambda: [FakeChannel()]
        self.statistics.watch = self.watching.append
        self.wheel = TimerWheel()
        self.now_s = 100.0
        self.wheel.advance(self.now_s)
        self.statistics.start(self.wheel, self.now_s)
        if wanted:
            self.statistics.want(wanted, 1)

    def wait(self, seconds: float = 0.2) -> list[Packet]:
        """Everything that is said within this time."""
        self.packets.clear()
        for _ in range(round(seconds * 10)):
            self.now_s += 0.1
            self.wheel.advance(self.now_s)
        return list(self.packets)

    def begin(self, route: str = "") -> Presence:
        counts = self.statistics.routes.find(route)
        presence = Presence(counts, counts.begin(), ConnectionType.HTTP, Client(), is_tls=False)
        self.statistics.connections.begin(presence)
        return presence


def test_nothing_is_said_that_nobody_wants() -> None:
    world = World()
    world.begin()
    world.counters.requests_received += 1
    assert world.wait(100) == []


class TestSums:
    def test_activity_by_route(self) -> None:
        world = World(PacketType.ACTIVITY)
        world.begin("r")
        world.begin("r")
        world.begin()
        assert world.wait() == [Activity(None, 1), Activity("r", 2)]
        assert world.wait() == []

    def test_requests(self) -> None:
        world = World(PacketType.COUNTS)
        world.counters.requests_received += 3
        assert world.wait() == [Counts(3)]
        assert world.wait() == []

    def test_what_was_before_is_not_counted(self) -> None:
        world = World()
        world.counters.requests_received += 3
        world.begin()
        world.wait()
        world.statistics.want([PacketType.COUNTS, PacketType.ACTIVITY], 1)
        assert world.wait() == []


class TestReports:
    def test_in_each_interval(self) -> None:
        world = World(PacketType.REPORT)
        assert world.statistics.wants_reports
        world.begin("r")
        reports = [packet for packet in world.wait(4.5) if isinstance(packet, Report)]
        assert [(report.route, report.minutes) for report in reports] == [("r", 1), ("r", 0)]
        assert all(1900 < report.duration_ms < 2200 for report in reports)

    def test_begin_anew_when_nobody_wants_them(self) -> None:
        world = World()
        world.begin("r")
        world.wait(2.5)
        world.statistics.want([PacketType.REPORT], 1)
        (report,) = world.wait(2)
        assert isinstance(report, Report)
        assert report.minutes == 0

    def test_can_be_switched_off(self) -> None:
        world = World(PacketType.REPORT, terms=Terms(report_interval_s=0))
        assert not world.statistics.wants_reports
        world.begin()
        assert world.wait(30) == []

    def test_minutes_of_a_long_turn(self) -> None:
        """However long the loop was busy, no second is left out."""
        world = World(PacketType.REPORT, terms=Terms(report_interval_s=200))
        world.begin()
        world.now_s += 130
        world.wheel.advance(world.now_s)
        assert world.statistics.routes.unnamed.minutes == 3


class TestExport:
    """The metrics door wants sums and durations, but no packets."""

    def test_goes_on_whatever_others_want(self) -> None:
        world = World(PacketType.REPORT)
        world.statistics.export()
        world.statistics.want([PacketType.REPORT], -1)
        assert world.statistics.wants_reports
        assert world.statistics.is_exported
        world.begin("r")
        assert world.wait(10) == []

    def test_nothing_is_exported_by_itself(self) -> None:
        world = World(*PacketType)
        assert not world.statistics.is_exported

    def test_by_format(self) -> None:
        world = World()
        for number, transport in enumerate(Transport, 1):
            world.statistics.sent("r", transport, number, 10, None)
        counts = world.statistics.routes.find("r")
        assert (counts.sent, counts.http_response_sent, counts.ws_message_sent) == (6, 1, 3)

    def test_losses(self) -> None:
        world = World()
        world.statistics.lost("r", Drop.QUEUE_FULL)
        world.statistics.lost("r", Drop.QUEUE_FULL, 2)
        assert world.statistics.routes.find("r").drops == [0, 0, 0, 3]

    def test_backends(self) -> None:
        world = World()
        world.statistics.backend_answered("r", 0.5)
        assert world.statistics.routes.find("r").backend_latency_s.sum == 0.5


class TestConnections:
    def test_wanted(self) -> None:
        world = World(PacketType.CONNECTION)
        world.begin("r")
        assert world.packets == [Connection("r", "holdfast:1", ConnectionType.HTTP, "a", False, 120)]
        assert len(world.wait(91)) == 1

    def test_switched_off(self) -> None:
        world = World(PacketType.CONNECTION, terms=Terms(tells_connections=False))
        world.begin()
        assert world.wait(200) == []


class TestSubscriptions:
    def test_from_the_first_who_wants_to_the_last(self) -> None:
        world = World(PacketType.SUBSCRIPTION)
        world.statistics.want([PacketType.SUBSCRIPTION], 1)
        assert world.watching == [True]
        assert world.wait() == [Subscription(None, SubscriptionMode.STREAM, "c", 60, 1)]
        world.statistics.want([PacketType.SUBSCRIPTION], -1)
        assert world.watching == [True]
        world.statistics.want([PacketType.SUBSCRIPTION], -1)
        assert world.watching == [True, False]
        assert world.wait(100) == []

    def test_others_do_not_matter(self) -> None:
        world = World(PacketType.SUBSCRIPTION)
        world.statistics.want([PacketType.COUNTS], 1)
        assert world.watching == [True]

    def test_who_leaves_without_having_come(self) -> None:
        world = World()
        world.statistics.want([PacketType.SUBSCRIPTION], -1)
        world.statistics.want([PacketType.SUBSCRIPTION], 1)
        assert world.watching == [True]


class TestItems:
    def test_a_message(self) -> None:
        world = World(PacketType.MESSAGE)
        assert world.statistics.wants_messages
        world.statistics.message("c", "1", Transport.HTTP_STREAM, 2, 100)
        assert world.packets == [Message(None, "c", "1", 2, None, Transport.HTTP_STREAM)]

    def test_its_blocks(self) -> None:
        world = World(terms=Terms(block_size=10))
        assert world.statistics.counts_blocks
        assert [world.statistics.blocks(size) for size in (0, 1, 10, 11)] == [0, 1, 1, 2]
        world.statistics.message("c", None, Transport.HTTP_STREAM, 2, 25)
        world.statistics.message("c", None, Transport.HTTP_STREAM, 2, 0)
        assert world.packets == [
            Message(None, "c", None, 2, 6, Transport.HTTP_STREAM),
            Message(None, "c", None, 2, None, Transport.HTTP_STREAM),
        ]

    def test_attempts(self) -> None:
        statistics = World().statistics
        statistics.sent("r", Transport.HTTP_RESPONSE, 2, 100, None)
        statistics.sent("r", Transport.HTTP_STREAM, 3, 10, 1)
        statistics.sent("r", Transport.WS_MESSAGE, 4, 1, None)
        counts = statistics.routes.find("r")
        assert (counts.sent, counts.http_response_sent, counts.blocks_sent) == (9, 2, 3)
        assert (counts.client.content_bytes_sent, counts.client.messages_sent) == (34, 4)


def test_without_a_door() -> None:
    statistics = Statistics()
    statistics.send(Counts(1))
    statistics.watch(True)
    assert list(statistics.channels()) == []


def test_a_stop() -> None:
    world = World(PacketType.COUNTS)
    world.statistics.stop()
    world.counters.requests_received += 1
    assert world.wait(5) == []
    assert len(world.wheel) == 0
