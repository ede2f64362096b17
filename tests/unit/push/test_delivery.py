"""A run of items on its way: how it is handed out."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

import pytest
from tests.unit.push.helpers import Mood, World, answer, message, text

from holdfast.counters import Counters
from holdfast.grip.item import Action, Item
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.run import Receipt
from holdfast.push.stream_hold import StreamHold
from holdfast.push.sweep import Sweep

if TYPE_CHECKING:
    from holdfast.push.channels import Hold


def make_delivery(*items: Item, holds: Sequence[Hold] = (), unreached: Sequence[Hold] = ()) -> Delivery:
    delivery = Delivery(1, Channel("c"), Sweep(holds), unreached=set(unreached))
    for item in items:
        delivery.add(item, Receipt(item.channel))
    return delivery


def no_catch_up(hold: Hold, delivery: Delivery) -> None:
    raise AssertionError(f"{hold.describe()} is not watched")


class TestWatch:
    """ws spec §2.4, grip spec §6.7: a hold whose order across channels is watched when the run is on its way."""

    def make(self, world: World) -> tuple[list[Hold], Delivery]:
        holds: list[Hold] = [world.stream("c").hold for _ in range(4)]
        return holds, make_delivery(text("c", "x"), holds=holds)

    def test_before_the_run_begins(self) -> None:
        holds, run = self.make(World())
        run.watch(holds[1])
        assert run.unreached == {holds[1]}

    def test_only_if_it_has_not_had_its_turn(self) -> None:
        world = World()
        holds, run = self.make(world)
        run.begin(0)
        run.write_slice(2, no_catch_up)
        for hold in holds:
            run.watch(hold)
        assert run.unreached == {holds[2], holds[3]}

    def test_only_if_it_is_a_receiver(self) -> None:
        world = World()
        _, run = self.make(world)
        run.watch(world.stream("c").hold)
        assert run.unreached == set()

    def test_is_brought_up_to_date_then(self) -> None:
        world = World()
        holds, run = self.make(world)
        run.begin(0)
        assert isinstance(holds[3], StreamHold)
        holds[3].is_order_watched = True
        run.watch(holds[3])
        caught: list[Hold] = []
        run.write_slice(4, lambda hold, delivery: caught.append(hold))
        assert caught == [holds[3]]


class TestSlices:
    def test_each_hold_once(self) -> None:
        world = World()
        clients = [world.stream("c") for _ in range(5)]
        run = make_delivery(text("c", "x"), holds=[client.hold for client in clients])
        assert (run.remaining, run.has_begun) == (5, False)
        run.begin(0)
        for written, remaining in [(2, 3), (2, 1), (1, 0), (0, 0)]:
            assert (run.write_slice(2, no_catch_up), run.remaining) == (written, remaining)
        assert [client.writes for client in clients] == [["x"]] * 5

    def test_not_those_that_have_ended(self) -> None:
        world = World()
        client = world.stream("c")
        run = make_delivery(text("c", "x"), holds=[client.hold])
        client.leave()
        run.begin(0)
        run.write_slice(1, no_catch_up)
        assert client.writes == []

    def test_watched_ones_are_brought_up_to_date(self) -> None:
        world = World()
        watched, plain = world.stream("c", "d"), world.stream("c")
        holds: list[Hold] = [watched.hold, plain.hold]
        run = make_delivery(text("c", "x"), holds=holds, unreached=[watched.hold])
        run.begin(0)
        caught: list[tuple[Hold, Delivery]] = []
        run.write_slice(2, lambda hold, delivery: caught.append((hold, delivery)))
        assert caught == [(watched.hold, run)]
        assert (watched.writes, plain.writes) == ([], ["x"])

    def test_one_that_fails_does_not_stop_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        broken, fine = world.stream("c"), world.stream("c")
        broken.outlet.mood = Mood.BREAKS
        run = make_delivery(text("c", "x"), holds=[broken.hold, fine.hold])
        run.begin(0)
        assert run.write_slice(2, no_catch_up) == 2
        assert fine.writes == ["x"]
        assert caplog.messages == ["delivery to a stream of c failed"]


def test_receipts_of_messages() -> None:
    """Actions are no messages: whoever acted on one counts for itself."""
    items = [message("c", "1"), text("c", "x"), message("c", action=Action.REFRESH), message("c", "")]
    run = make_delivery(*items)
    run.begin(0)
    run.messages_sent, run.messages_lost = 3, 1
    counters = Counters()
    run.settle(counters)
    receipts = [receipt for _, receipt in run.entries]
    assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(3, 1), (0, 0), (0, 0), (3, 1)]
    assert counters.deliveries == 6


def test_receipts(caplog: pytest.LogCaptureFixture) -> None:
    """Those that shared the bytes are counted for every item that had some."""
    items = [text("c", "one"), text("c", ""), answer("c", "x"), text("c", "two")]
    run = make_delivery(*items)
    run.begin(0)
    run.streams_sent, run.streams_lost = 3, 1
    run.encoded[1,] = b"x"
    counters = Counters()
    with caplog.at_level(logging.INFO):
        run.settle(counters)
    receipts = [receipt for _, receipt in run.entries]
    assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(3, 1), (0, 0), (0, 0), (3, 1)]
    assert counters.deliveries == 6
    assert caplog.messages == [f"publish channel=c receivers={count}" for count in (3, 0, 0, 3)]
    assert (run.remaining, run.encoded) == (0, {})
