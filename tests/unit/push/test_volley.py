"""Volleys: the same bytes for many clients, one write right after the other."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import pytest
from tests.unit.push.helpers import (
    HTTP10,
    Client,
    FakeOutlet,
    FakeWriter,
    Mood,
    World,
    keep_alive,
    message,
    next_link,
    recovering,
    step,
    text,
)

from holdfast.grip.item import Item
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.dialects import COMPRESSED
from holdfast.push.run import Receipt
from holdfast.push.stream_hold import StreamHold
from holdfast.push.sweep import Sweep
from holdfast.push.volley import Volley, fire
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

if TYPE_CHECKING:
    from holdfast.push.channels import Hold


MODES = [KeepAliveMode.IDLE, KeepAliveMode.INTERVAL]


def make_delivery(item: Item, holds: Sequence[Hold], unreached: Sequence[Hold] = ()) -> Delivery:
    delivery = Delivery(1, Channel("c"), Sweep(holds), unreached=set(unreached))
    delivery.add(item, Receipt(item.channel))
    delivery.begin(5.0)
    return delivery


def fire_at(item: Item, *holds: Hold, watched: Sequence[Hold] = (), is_oldest: bool = False) -> Volley:
    delivery = make_delivery(item, holds, watched)
    data = delivery.simple_chunk or delivery.simple_frames
    return fire(delivery, data, list(holds), FakeWriter(), is_oldest=is_oldest)


class TestWhoTakesIt:
    def test_streams(self) -> None:
        world = World()
        clients = [world.stream("c") for _ in range(3)]
        assert fire_at(text("c", "x"), *[client.hold for client in clients]) == (3, [])
        assert [client.writes for client in clients] == [["x"]] * 3

    def test_sockets(self) -> None:
        world = World()
        client = world.socket("c")
        assert fire_at(message("c", "x"), client.hold) == (1, [])
        assert client.outlet.written == [b"\x81\x01x"]
        assert client.hold.written_at_s == 5.0

    @pytest.mark.parametrize(
        "make",
        [
            lambda world: world.stream("c", framing=HTTP10),
            lambda world: world.stream(Subscription("c", None, ("skip-self",)), meta={"user": "bob"}),
            lambda world: world.poll("c"),
            lambda world: slow(world.stream("c")),
            lambda world: left(world.stream("c")),
            lambda world: following(world, "7"),
        ],
        ids=["HTTP/1.0", "filtered", "long poll", "slow", "left", "has missed something"],
    )
    def test_not_over_http(self, make: Callable[[World], Client]) -> None:
        world = World()
        client, simple = make(world), world.stream("c")
        item = text("c", "x", meta={"sender": "bob"}, item_id="4", prev_id="3")
        assert fire_at(item, client.hold, simple.hold) == (1, [client.hold])
        assert (client.writes, simple.writes) == ([], ["x"])

    def test_not_these_sockets(self) -> None:
        world = World()
        compressed, elsewhere, closed, busy = (
            world.socket("c", dialect=COMPRESSED),
            world.socket("d"),
            world.socket("c"),
            world.socket("c"),
        )
        closed.hold.close()
        busy.hold.relay(Data(Opcode.TEXT, b"be", True, False, True))
        holds: list[Hold] = [one.hold for one in (compressed, elsewhere, closed, busy)]
        assert fire_at(message("c", "x"), *holds) == (0, holds)

    def test_what_passes_the_filters(self) -> None:
        world = World()
        filters = Subscription("c", None, ("skip-self",))
        stream, socket = world.stream(filters, meta={"user": "bob"}), world.socket(filters)
        assert fire_at(text("c", "x", meta={"sender": "eve"}), stream.hold) == (1, [])
        assert fire_at(message("c", "x"), socket.hold) == (1, [])

    def test_ids_go_on(self) -> None:
        """grip spec §10.3: also those of many that are equal."""
        world = World()
        clients = [following(world, "3") for _ in range(3)]
        assert fire_at(step("c", 4), *[client.hold for client in clients]).taken == 3
        assert [dict(recovering(client).prev_ids) for client in clients] == [{"c": "4"}] * 3

    def test_keep_alive_is_postponed(self) -> None:
        world = World()
        holds = [world.stream("c", keep_alive=keep_alive(b".", 20, mode)).hold for mode in MODES]
        fire_at(text("c", "x"), *holds)
        assert [hold.written_at_s for hold in holds if isinstance(hold, StreamHold)] == [5.0, world.now()]


class TestOrder:
    """Holds whose order across channels is watched."""

    def test_not_while_an_earlier_run_is_on_its_way(self) -> None:
        world = World()
        hold = world.stream("c", "d").hold
        assert fire_at(text("c", "x"), hold, watched=[hold]) == (0, [hold])

    def test_if_nothing_can_be_missing(self) -> None:
        world = World()
        client = world.stream("c", "d")
        delivery = make_delivery(text("c", "x"), [client.hold], [client.hold])
        assert fire(delivery, delivery.simple_chunk, [client.hold], FakeWriter(), is_oldest=True) == (1, [])
        assert (client.writes, delivery.unreached) == (["x"], set())

    def test_not_if_it_has_had_it(self) -> None:
        """Another delivery has brought it up to date."""
        world = World()
        first, second = world.stream("c", "d"), world.stream("c", "d")
        both: list[Hold] = [first.hold, second.hold]
        delivery = make_delivery(text("c", "x"), both, [second.hold])
        assert fire(delivery, delivery.simple_chunk, both, FakeWriter(), is_oldest=True) == (1, [first.hold])
        assert (first.writes, second.writes) == ([], ["x"])

    def test_one_that_is_slow_stays_unreached(self) -> None:
        world = World()
        hold = slow(world.stream("c", "d")).hold
        delivery = make_delivery(text("c", "x"), [hold], [hold])
        assert fire(delivery, delivery.simple_chunk, [hold], FakeWriter(), is_oldest=True) == (0, [hold])
        assert delivery.unreached == {hold}


class TestFailures:
    def test_one_that_is_gone(self) -> None:
        world = World()
        gone, fine = world.stream("c"), world.stream("c")
        gone.outlet.mood = Mood.GONE
        assert fire_at(text("c", "x"), gone.hold, fine.hold) == (1, [])
        assert (gone.hold.is_open, fine.writes) == (False, ["x"])

    def test_one_that_cannot_be_asked(self, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
        world = World()
        broken, fine = world.stream("c"), world.stream("c")
        monkeypatch.setattr(FakeOutlet, "direct_fd", property(lambda outlet: _fd_or_raise(outlet, broken.outlet)))
        assert fire_at(text("c", "x"), broken.hold, fine.hold) == (1, [broken.hold])
        assert fine.writes == ["x"]
        assert caplog.messages == ["claiming a run for a stream of c failed"]


def _fd_or_raise(outlet: FakeOutlet, broken: FakeOutlet) -> int:
    if outlet is broken:
        raise RuntimeError("broken outlet")
    return outlet.fd


def slow(client: Client) -> Client:
    client.outlet.is_blocked = True
    assert client.outlet.direct_fd is None
    return client


def following(world: World, prev_id: str) -> Client:
    """A stream that has the item `prev_id` of its channel."""
    return world.stream(Subscription("c", prev_id), link=next_link())


def left(client: Client) -> Client:
    client.leave()
    return client
