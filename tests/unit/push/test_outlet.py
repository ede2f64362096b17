"""What happens to an item that a hold does not get: it is counted, and the log names the client where it is a loss."""

from __future__ import annotations

import logging

import pytest
from tests.unit.push.helpers import Mood, World, at, message, text

from holdfast.push.outlet import (
    Framing,
    FramingTable,
    note_keep_alive,
    note_opened,
    note_overflow,
    note_response,
    note_skip,
)
from holdfast.push.plan import RouteTerms
from holdfast.push.render import ItemSkipped
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Drop, Mode
from holdfast.wire.cross_origin import Cors
from holdfast.wire.statistics import ConnectionType

ROUTE = RouteTerms(key="one")


def drops(world: World) -> list[int]:
    """Losses of the route, by reason."""
    return world.statistics.routes.find("one").drops


def test_framings_of_like_clients_are_one() -> None:
    table = FramingTable()
    plain = Framing(is_http11=True, is_persistent=True, is_bodyless=False)
    first = table.find(plain, Cors.of([(b"Origin", b"https://a.com")]))
    assert table.find(plain, Cors.of([(b"Origin", b"https://a.com")])) is first
    other = table.find(plain, Cors.of([(b"Origin", b"https://b.com")]))
    assert (first != other, first.is_http11, len(table)) == (True, True, 2)
    del first
    assert len(table) == 1


def test_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    note_overflow(world.context, world.stream("c", route=ROUTE).hold)
    assert world.counters.drops_queue_full == drops(world)[Drop.QUEUE_FULL] == sum(drops(world)) == 1
    assert caplog.messages == ["client 192.0.2.1:5000, stream of c: 100 items wait already; item lost"]


def test_failed(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    skipped = ItemSkipped("filter error: x: y", is_failure=True)
    note_skip(world.context, world.stream("c", route=ROUTE).hold, skipped)
    assert (world.counters.drops_filter_failed, world.counters.deliveries_filtered) == (1, 0)
    assert drops(world)[Drop.FILTER_FAILED] == sum(drops(world)) == 1
    assert caplog.messages == ["client 192.0.2.1:5000, stream of c: item not delivered: filter error: x: y"]


def test_dropped_on_purpose(caplog: pytest.LogCaptureFixture) -> None:
    world = World()
    with caplog.at_level(logging.DEBUG):
        note_skip(world.context, world.stream("c", route=ROUTE).hold, ItemSkipped())
    assert (world.counters.drops_filter_failed, world.counters.deliveries_filtered) == (0, 1)
    assert not sum(drops(world))
    assert caplog.messages == []


class TestSlow:
    """Every item by route; one of each write was counted by the outlet."""

    @pytest.mark.parametrize("filters", [(), ("skip-self",)])
    def test_stream(self, filters: tuple[str, ...]) -> None:
        world = World()
        client = world.stream(at(None, "c", *filters), route=ROUTE)
        client.outlet.mood = Mood.REFUSES
        world.deliver(text("c", "x"))
        client.outlet.mood = Mood.TAKES
        world.deliver(text("c", "x"))
        client.outlet.mood = Mood.GONE
        world.deliver(text("c", "x"))
        assert drops(world)[Drop.OUTBOX_FULL] == sum(drops(world)) == 1

    def test_stream_with_a_run(self) -> None:
        world = World()
        world.stream("c", route=ROUTE).outlet.mood = Mood.REFUSES
        world.deliver(text("c", "x"), text("c", "y"), text("c", "z"))
        assert (drops(world)[Drop.OUTBOX_FULL], world.counters.drops_outbox_full) == (3, 3 - 1)

    def test_socket(self) -> None:
        world = World()
        client = world.socket("c", route=ROUTE)
        client.outlet.mood = Mood.REFUSES
        world.deliver(message("c", "x"), message("c", "y"))
        client.outlet.mood = Mood.GONE
        world.deliver(message("c", "x"))
        assert drops(world)[Drop.OUTBOX_FULL] == sum(drops(world)) == 2


class Client:
    client_address = "a"


def make_presence(world: World) -> Presence:
    counts = world.statistics.routes.find("one")
    return Presence(counts, counts.begin(), ConnectionType.HTTP, Client(), is_tls=False)


def test_a_hold_that_statistics_know() -> None:
    world = World()
    note_opened(world.context, None, Mode.STREAM)
    note_opened(world.context, make_presence(world), Mode.STREAM)
    assert world.counters.holds_opened == 2
    assert world.statistics.routes.find("one").holds[Mode.STREAM] == 1


def test_what_is_sent_to_it() -> None:
    world = World()
    presence = make_presence(world)
    note_keep_alive(None, 3)
    note_keep_alive(presence, 3)
    note_response(presence, b"HTTP/1.1 200 OK\r\n\r\nbody")
    client = presence.route.client
    assert (presence.route.activity, client.content_bytes_sent, client.header_bytes_sent) == (1, 3 + 4, 19)
