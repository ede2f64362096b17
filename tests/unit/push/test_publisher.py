"""The publisher: items in the order that was meant, receipts that tell the truth, and nothing lost in silence."""

from __future__ import annotations

import logging

import pytest
from tests.unit.push.helpers import Client, World, answer, text

from holdfast.grip.item import Item
from holdfast.push.run import Receipt
from holdfast.push.sequencer import MAX_BUFFERED_PER_CHANNEL, Outcome


def item(number: int, prev: int | None = None, channel: str = "c") -> Item:
    """An item whose content is its id."""
    return text(channel, f"{number};", item_id=str(number), prev_id=None if prev is None else str(prev))


def states(receipts: list[Receipt]) -> list[Outcome]:
    return [receipt.state for receipt in receipts]


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]


class TestOrder:
    def test_as_accepted(self) -> None:
        """grip-87"""
        world = World()
        client = world.stream("c")
        world.deliver(*[item(number) for number in range(20)])
        assert client.content == "".join(f"{number};" for number in range(20))

    @pytest.mark.parametrize("calls", [1, 3])
    def test_as_meant(self, calls: int) -> None:
        """grip-78: whether the items come in one call or in several."""
        world = World()
        client = world.stream("c")
        items = [item(1), item(3, 2), item(2, 1)]
        receipts = world.publish(*items) if calls == 1 else [world.publish(one)[0] for one in items]
        world.run()
        assert client.content == "1;2;3;"
        assert states(receipts) == [Outcome.DELIVER, Outcome.BUFFERED, Outcome.DELIVER]
        assert [receipt.receivers for receipt in receipts] == [1, 0, 1]
        world.pass_time(10)
        assert client.content == "1;2;3;"

    def test_what_had_waited_goes_before_the_rest_of_the_call(self) -> None:
        world = World()
        client = world.stream("c")
        world.deliver(item(1), item(3, 2), item(2, 1), item(4, 3))
        assert client.content == "1;2;3;4;"

    def test_channels_do_not_wait_for_each_other(self) -> None:
        world = World()
        client, other = world.stream("c"), world.stream("d")
        world.deliver(item(1), item(3, 2), item(9, 8, "d"))
        assert (client.content, other.content) == ("1;", "9;")

    def test_followers_have_receipts_of_their_own(self) -> None:
        """Who published the item that others had waited for is not told of their receivers."""
        world = World()
        world.stream("c")
        world.publish(item(1), item(3, 2))
        world.run()
        assert world.deliver(item(2, 1)) == [(1, 0)]
        assert world.counters.deliveries == 3


class TestWaiting:
    @pytest.mark.parametrize("message_wait_s", [1, 5])
    def test_long_enough(self, message_wait_s: int) -> None:
        """grip-80"""
        world = World(message_wait_s=message_wait_s)
        client = world.stream("c")
        world.deliver(item(1), item(3, 2), item(4, 3))
        world.pass_time(message_wait_s - 0.1)
        world.run()
        assert client.content == "1;"
        world.pass_time(0.2)
        world.run()
        assert client.content == "1;3;4;"
        assert world.counters.items_released_late == 1

    def test_each_for_itself(self) -> None:
        world = World()
        client = world.stream("c")
        world.deliver(item(1), item(3, 2))
        world.pass_time(3)
        world.deliver(item(7, 6))
        world.pass_time(2.1)
        world.run()
        assert client.content == "1;3;"
        world.pass_time(3)
        world.run()
        assert client.content == "1;3;7;"
        world.pass_time(10)
        assert len(world.wheel) == 0

    def test_the_predecessor_comes_in_time(self) -> None:
        """The deadline of an item that has left is no business of the next one that waits."""
        world = World()
        client = world.stream("c")
        world.deliver(item(1), item(3, 2))
        world.pass_time(4)
        world.deliver(item(2, 1), item(9, 8))
        world.pass_time(4.9)
        world.run()
        assert client.content == "1;2;3;"
        world.pass_time(0.2)
        world.run()
        assert client.content == "1;2;3;9;"


class TestReceipts:
    def test_states(self) -> None:
        """grip-84: one receipt per item, in order, whatever became of it."""
        world = World(id_cache_ttl_s=60)
        world.stream("c")
        receipts = world.publish(item(1), item(1), item(3, 2), item(4, 2), item(5, channel="nobody"))
        expected = [Outcome.DELIVER, Outcome.DUPLICATE, Outcome.BUFFERED, Outcome.CONFLICT, Outcome.DELIVER]
        assert states(receipts) == expected
        assert [receipt.channel for receipt in receipts] == ["c", "c", "c", "c", "nobody"]
        assert world.counters.items_received == 5

    def test_full(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip-85"""
        world = World()
        world.stream("c")
        receipts = world.publish(item(0), *[item(2 * number, 2 * number - 1) for number in range(1, 102)])
        waiting = [Outcome.BUFFERED] * MAX_BUFFERED_PER_CHANNEL
        assert states(receipts) == [Outcome.DELIVER, *waiting, Outcome.FULL]
        assert warnings(caplog) == ["item 202 of channel c lost: too many items of the channel wait"]

    def test_without(self) -> None:
        world = World()
        client = world.stream("c")
        world.publisher.publish([item(1), item(3, 2)])
        world.run()
        assert client.content == "1;"

    def test_losses_are_logged_and_repeats_are_not(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(id_cache_ttl_s=60)
        world.stream("c")
        world.publish(item(1), item(1), item(3, 2), item(4, 2))
        assert warnings(caplog) == ["item 4 of channel c lost: another item waits for the same prev-id"]
        assert (world.counters.drops_sequence_conflict, world.counters.items_duplicate) == (1, 1)


class TestSettled:
    @pytest.mark.parametrize(
        "items", [[], [item(1)], [item(3, 2)], [item(7, channel="nobody")]], ids=["none", "repeat", "waits", "nobody"]
    )
    def test_at_once_when_nothing_is_written(self, items: list[Item]) -> None:
        """A publisher whose item waits for another one does not wait with it."""
        world, calls = World(id_cache_ttl_s=60), []
        world.stream("c")
        world.deliver(item(1))
        world.publisher.publish(items, None, lambda: calls.append("settled"))
        assert calls == ["settled"]

    def test_after_the_items_that_had_waited(self) -> None:
        world, calls = World(), []
        client = world.stream("c")
        world.deliver(item(1), item(3, 2))
        world.publisher.publish([item(2, 1)], None, lambda: calls.append(client.content))
        assert calls == []
        world.run()
        assert calls == ["1;2;3;"]


class TestSubscribers:
    def test_nothing_is_kept_for_nobody(self) -> None:
        """grip-82"""
        world = World()
        assert states(world.publish(item(1), item(3, 2))) == [Outcome.DELIVER] * 2
        assert (len(world.last_ids), world.sequencer.buffered) == (0, 0)

    def test_no_seq(self) -> None:
        """grip-81"""
        world = World()
        client = world.stream("c")
        world.deliver(item(1), text("c", "now;", item_id="9", prev_id="8", no_seq=True), item(2, 1))
        assert client.content == "1;now;2;"

    @pytest.mark.parametrize("make", [World.stream, World.poll])
    def test_the_last_one_leaves(self, make: object, caplog: pytest.LogCaptureFixture) -> None:
        """grip spec §9: what waited is lost, and said to be; without a linger at once."""
        world = World()
        assert callable(make)
        client = make(world, "c")
        assert isinstance(client, Client)
        world.deliver(item(1), item(3, 2), item(9, 8))
        client.leave()
        assert warnings(caplog) == ["2 items of channel c lost while they waited: the last subscriber left"]
        assert (world.counters.drops_channel_gone, world.last_ids.get("c")) == (2, None)
        world.pass_time(10)
        world.assert_empty()

    def test_leaving_without_a_loss_is_not_worth_a_line(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        client = world.stream("c")
        world.deliver(item(1))
        client.leave()
        assert warnings(caplog) == []

    def test_a_lingering_channel_is_subscribed(self) -> None:
        """grip-52, grip-53: its last id moves on while nobody is there, and what waits is let go in its time."""
        world = World(linger_s=60)
        client = world.poll("c")
        world.deliver(answer("c", "x", item_id="1"))
        assert client.body == "x"
        assert states(world.publish(item(2, 1), item(4, 3))) == [Outcome.DELIVER, Outcome.BUFFERED]
        assert world.last_ids.get("c") == "2"
        world.pass_time(6)
        assert world.last_ids.get("c") == "4"
        world.pass_time(60)
        assert world.last_ids.get("c") is None
        world.assert_empty()


class TestRepeats:
    @pytest.mark.parametrize("is_subscribed", [True, False])
    def test_within_the_time(self, is_subscribed: bool) -> None:
        """grip-79"""
        world = World(id_cache_ttl_s=60)
        if is_subscribed:
            world.stream("c")
        world.publish(item(1))
        client = world.stream("c")
        world.pass_time(59)
        assert states(world.publish(item(1))) == [Outcome.DUPLICATE]
        world.pass_time(2)
        assert states(world.publish(item(1))) == [Outcome.DELIVER]
        world.run()
        assert client.content.endswith("1;")

    def test_off(self) -> None:
        world = World(id_cache_ttl_s=0)
        client = world.stream("c")
        world.deliver(item(1), item(1))
        assert client.content == "1;1;"
