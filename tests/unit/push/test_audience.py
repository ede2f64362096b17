"""What the statistics are told of items and of the holds that they were for."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
from tests.unit.push.helpers import (
    HTTP10,
    HTTP11,
    REQUEST,
    FakeOutlet,
    World,
    answer,
    both,
    close,
    hint,
    keep_alive,
    make_instruct,
    make_item,
    message,
    text,
)

from holdfast.grip.item import Action, Item, MessageFormat, ResponseFormat, StreamFormat
from holdfast.grip.values import HoldMode
from holdfast.push.audience import Share, shares_of
from holdfast.push.channels import Channel
from holdfast.push.plan import RouteTerms
from holdfast.push.response_hold import ResponseHold
from holdfast.push.stream_hold import StreamHold
from holdfast.statistics.collector import PacketType
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Drop, Mode, RouteCounts
from holdfast.wire.statistics import ConnectionType, Message, Packet, SubscriptionMode, Transport

NAMED = RouteTerms(key="one")


@dataclass
class Told:
    """A world whose statistics are wanted, and the packets."""

    world: World
    packets: list[Packet]

    @property
    def messages(self) -> list[tuple[str, str | None, int, int | None]]:
        return [
            (packet.transport.value, packet.item_id, packet.receivers, packet.blocks)
            for packet in self.packets
            if isinstance(packet, Message)
        ]

    def counts(self, route: str = "") -> RouteCounts:
        return self.world.statistics.routes.find(route)

    def sums(self, route: str = "") -> tuple[int, int, int]:
        """Deliveries of a route, those of responses among them, and bytes of content."""
        counts = self.counts(route)
        return counts.sent, counts.http_response_sent, counts.client.content_bytes_sent


def told(world: World) -> Told:
    packets: list[Packet] = []
    world.statistics.send = packets.append
    world.statistics.want(PacketType, 1)
    return Told(world, packets)


def whole(channel: str, item_id: str | None = None, size: int | None = None) -> Item:
    """An item with every format."""
    formats = (
        ResponseFormat(Action.SEND, body=b"12345"),
        StreamFormat(Action.SEND, b"123"),
        MessageFormat(Action.SEND, content=b"1"),
    )
    return Item(channel, item_id, None, True, size, {}, *formats)


class TestMessages:
    def test_by_format_that_reached_somebody(self) -> None:
        world = World()
        told_of = told(world)
        world.stream("c")
        world.stream("c", framing=HTTP10)
        world.poll("c")
        world.deliver(whole("c", "7"))
        assert told_of.messages == [("http-response", "7", 1, None), ("http-stream", "7", 2, None)]

    def test_each_item_of_a_run(self) -> None:
        world = World()
        told_of = told(world)
        world.socket("c")
        world.deliver(message("c", "a"), message("c", "b"))
        assert told_of.messages == [("ws-message", None, 1, None)] * 2

    def test_not_what_reaches_nobody(self) -> None:
        world = World()
        told_of = told(world)
        world.stream("c")
        world.deliver(text("lonely", "x"), answer("c", "x"))
        assert told_of.messages == []

    @pytest.mark.parametrize("item", [close("c"), hint("c"), text("c", "")])
    def test_not_what_sends_nothing(self, item: Item) -> None:
        world = World()
        told_of = told(world)
        world.stream("c")
        world.poll("c")
        world.deliver(item)
        assert told_of.messages == []
        assert told_of.sums() == (0, 0, 0)

    @pytest.mark.parametrize(("size", "blocks"), [(None, (2, 4)), (40, (20, 40))])
    def test_blocks(self, size: int | None, blocks: tuple[int, int]) -> None:
        """Those of all receivers; content or what the item says it counts for."""
        world = World(block_size=2)
        told_of = told(world)
        world.stream("c")
        world.deliver(make_item("c", stream=StreamFormat(Action.SEND, b"123"), size=size))
        world.stream("c")
        world.deliver(make_item("c", stream=StreamFormat(Action.SEND, b"123"), size=size))
        assert told_of.messages == [("http-stream", None, 1, blocks[0]), ("http-stream", None, 2, blocks[1])]
        assert told_of.counts().blocks_received == 2 * blocks[0]
        assert told_of.counts().blocks_sent == sum(blocks)

    def test_an_item_without_content_has_no_blocks(self) -> None:
        world = World(block_size=2)
        world.deliver(close("c"))
        assert world.statistics.routes.unnamed.blocks_received == 0

    def test_under_a_rate(self) -> None:
        """Told when the deliveries are queued; those that are lost count as attempted."""
        world = World(rate=100, hwm=2)
        told_of = told(world)
        for _ in range(3):
            world.stream("c")
        world.socket("c", route=NAMED)
        world.poll("c")
        world.deliver(whole("c"))
        formats = ("http-response", "http-stream", "ws-message")
        assert told_of.messages == [(name, None, 1, None) for name in formats]
        assert (told_of.counts().sent, told_of.counts("one").sent) == (4, 1)
        assert told_of.counts().drops[Drop.MESSAGE_HWM] == told_of.world.counters.drops_message_hwm == 2


class TestReceived:
    def test_every_item_counts(self) -> None:
        world = World(id_cache_ttl_s=60)
        world.stream("c")
        repeat = text("c", "x", item_id="1")
        world.deliver(text("lonely", "x"), repeat, repeat)
        assert world.statistics.routes.unnamed.received == 2


class TestAttempts:
    def test_are_not_looked_at_while_nobody_wants_reports(self) -> None:
        world = World()
        world.stream("c")
        world.deliver(text("c", "x"))
        assert world.statistics.routes.unnamed.sent == 0

    def test_by_route(self) -> None:
        world = World()
        told_of = told(world)
        world.statistics.routes.find("one")
        world.stream("c")
        for _ in range(2):
            world.stream("c", route=NAMED)
        world.socket("c", route=NAMED)
        world.poll("c")
        world.deliver(whole("c"))
        assert told_of.sums() == (2, 1, 3)
        assert told_of.sums("one") == (3, 0, 7)
        assert told_of.counts("one").client.messages_sent == 1

    def test_a_long_poll_takes_the_first_item_of_a_run(self) -> None:
        world = World()
        told_of = told(world)
        world.poll("c")
        world.stream("c")
        world.deliver(text("c", "ab"), both("c", "cd"), both("c", "ef"))
        assert told_of.sums() == (4, 1, 6)

    def test_an_audience_by_route(self) -> None:
        world = World()
        world.poll("c", route=NAMED)
        world.socket("c")
        world.stream("c")
        world.stream("c", keep_alive=keep_alive(b"x", 20))  # a plan of its own
        channel = world.registry.find("c")
        assert channel is not None
        assert shares_of(channel) == {"one": Share(responses=1), "": Share(streams=2, sockets=1)}

    def test_an_shares_of_one_route(self) -> None:
        world = World()
        for _ in range(2):
            world.stream("c", route=NAMED)
        channel = world.registry.find("c")
        assert channel is not None
        assert shares_of(channel) == {channel.route_key: Share(streams=2)} == {"one": Share(streams=2)}
        other = world.poll("c")
        assert shares_of(channel) == {"one": Share(streams=2), "": Share(responses=1)}
        other.leave()
        world.stream("c", route=NAMED)
        assert channel.route_key is None  # it is known again when everybody has left
        assert shares_of(channel) == {"one": Share(streams=3)}

    def test_a_channel_that_lingers_takes_the_next_route(self) -> None:
        world = World(linger_s=10)
        world.poll("c").leave()
        channel = world.registry.find("c")
        assert channel is not None
        world.poll("c", route=NAMED)
        assert channel.route_key == "one"


class Client:
    client_address = "a"


def attach(world: World, hold: object) -> Presence:
    """Give a hold a connection that the statistics know."""
    counts = world.statistics.routes.unnamed
    presence = Presence(counts, counts.begin(), ConnectionType.HTTP, Client(), is_tls=False)
    world.statistics.connections.begin(presence)
    hold.presence = presence  # type: ignore[attr-defined]  # both kinds of hold that have one
    return presence


def make_poll(world: World) -> ResponseHold:
    return ResponseHold(world.context, world.plan(make_instruct(HoldMode.RESPONSE, "c")), HTTP11, REQUEST)


def open_known(world: World, hold: StreamHold | ResponseHold) -> None:
    """Open a hold whose connection the statistics know."""
    attach(world, hold)
    assert not world.statistics.routes.unnamed.holds[Mode.RESPONSE]
    hold.open(FakeOutlet())


class TestModes:
    def test_from_open_to_end(self) -> None:
        world = World()
        counts = world.statistics.routes.unnamed
        open_known(world, StreamHold(world.context, world.plan(make_instruct(HoldMode.STREAM, "c")), HTTP11))
        open_known(world, make_poll(world))
        assert (counts.holds[Mode.STREAM], counts.holds[Mode.RESPONSE]) == (1, 1)
        world.deliver(both("c", "x"), close("c"))
        assert not any(counts.holds)
        assert sum(counts.holds_opened) == world.counters.holds_opened == 2

    def test_a_long_poll_that_asks_again_is_not_held_meanwhile(self) -> None:
        world = World()
        open_known(world, make_poll(world))
        world.deliver(hint("c"))
        counts = world.statistics.routes.unnamed
        assert (counts.holds[Mode.RESPONSE], counts.holds_opened[Mode.RESPONSE], counts.connections) == (0, 1, 1)


class TestConnections:
    def test_a_stream_that_ends(self) -> None:
        world = World()
        client = world.stream("c")
        attach(world, client.hold)
        world.deliver(close("c"))
        assert world.statistics.routes.unnamed.connections == 0

    def test_a_long_poll_that_is_answered(self) -> None:
        world = World()
        told_of = told(world)
        client = world.poll("c")
        attach(world, client.hold)
        world.deliver(answer("c", "body"))
        counts = told_of.counts()
        assert (counts.connections, counts.client.content_bytes_sent) == (0, 4)
        assert counts.client.header_bytes_sent > 20

    def test_a_client_that_leaves(self) -> None:
        world = World()
        poll, stream = world.poll("c"), world.stream("c")
        attach(world, poll.hold)
        attach(world, stream.hold)
        poll.hold.on_client_gone()
        stream.hold.on_client_gone()
        assert world.statistics.routes.unnamed.connections == 0

    def test_a_long_poll_that_asks_again_keeps_its_connection(self) -> None:
        world = World()
        client = world.poll("c")
        presence = attach(world, client.hold)
        world.deliver(hint("c"))
        assert world.retried == [client.hold]
        assert (client.hold.presence, world.statistics.routes.unnamed.connections) == (presence, 1)

    def test_keep_alives_are_activity(self) -> None:
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"abc", 20))
        attach(world, client.hold)
        counts = world.statistics.routes.unnamed
        counts.activity = 0
        world.pass_time(25)
        assert (counts.activity, counts.client.content_bytes_sent) == (1, 3)


class TestSubscriptions:
    def test_who_watches_is_told_of_every_change(self) -> None:
        world = World(linger_s=10)
        seen: list[str] = []

        def watch(mode: SubscriptionMode, channel: Channel) -> None:
            seen.append(f"{mode.value} lingers" if channel.lingers else mode.value)

        world.registry.events.subscribed = watch
        stream = world.stream("c")
        poll = world.poll("c")
        socket = world.socket("c")
        assert seen == ["stream", "response", "ws"]
        seen.clear()
        stream.hold.end()
        socket.hold.unsubscribe("c")
        poll.hold.end()
        assert seen == ["stream", "ws", "response lingers"]
        seen.clear()
        world.pass_time(11)
        assert seen == ["response"]

    def test_channels_that_are_there(self) -> None:
        world = World()
        world.stream("a", "b")
        assert [channel.name for channel in world.registry.channels()] == ["a", "b"]


def test_transports_are_the_formats() -> None:
    assert {transport.value for transport in Transport} == {"http-response", "http-stream", "ws-message"}
