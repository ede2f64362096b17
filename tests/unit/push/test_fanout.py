"""The fan-out as conversations: what is published, which turns of the loop run, and what every client has then."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.push.helpers import (
    HTTP10,
    Client,
    Mood,
    SocketClient,
    World,
    answer,
    both,
    close,
    keep_alive,
    make_item,
    message,
    next_link,
    recovering,
    text,
)

from holdfast.grip.item import Action, Item, MessageFormat, ResponseFormat, StreamFormat
from holdfast.grip.values import Subscription
from holdfast.push import fanout
from holdfast.push.intake import Phase
from holdfast.push.plan import RouteTerms
from holdfast.push.recovering_stream import RecoveringStream
from holdfast.push.run import RUN_BYTES, RUN_ITEMS, WEIGHT_BYTES
from holdfast.push.stream_hold import StreamHold
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

FILTERED = Subscription("c", None, ("skip-self",))
SUBSTITUTED = Subscription("c", None, ("var-subst",))
BOB: dict[str, str | None] = {"user": "bob"}


class TestRuns:
    """What arrives together leaves together."""

    def test_items_of_one_turn_are_one_write(self) -> None:
        """grip-87"""
        world = World()
        clients = [world.stream("c"), world.stream("c", framing=HTTP10)]
        receipts = world.publish(*[text("c", f"{number};") for number in range(20)])
        assert [client.writes for client in clients] == [[], []]
        assert world.run() == 1
        expected = "".join(f"{number};" for number in range(20))
        assert [client.writes for client in clients] == [[expected], [expected]]
        assert {(receipt.receivers, receipt.dropped) for receipt in receipts} == {(2, 0)}
        assert world.counters.deliveries == 40

    def test_several_calls_join_too(self) -> None:
        world = World()
        client = world.stream("c")
        world.publish(text("c", "1"))
        world.publish(text("c", "2"))
        world.run()
        assert client.writes == ["12"]

    def test_one_item_is_not_copied(self) -> None:
        world = World()
        client = world.stream("c", framing=HTTP10)
        item = text("c", "content")
        world.deliver(item)
        assert item.http_stream is not None
        assert client.outlet.written[0] is item.http_stream.content

    def test_holds_whose_filters_change_something_get_item_by_item(self) -> None:
        world = World()
        changing, dropping, passing = (
            world.stream(SUBSTITUTED),
            world.stream(FILTERED, meta=BOB),
            world.stream(FILTERED),
        )
        world.deliver(text("c", "1"), text("c", "own", meta={"sender": "bob"}), text("c", "2"))
        assert [client.writes for client in (changing, dropping, passing)] == [["1", "own", "2"], ["1", "2"], ["1own2"]]

    def test_a_run_ends_when_it_begins_to_be_written(self) -> None:
        world = World(slice_writes=1)
        one, two = world.stream("c"), world.stream("c")
        world.publish(text("c", "1"))
        world.run_turn()
        world.publish(text("c", "2"))
        world.run()
        assert [one.writes, two.writes] == [["1", "2"], ["1", "2"]]

    def test_everything_is_written_at_once_when_the_process_stops(self) -> None:
        world = World(slice_writes=1)
        clients = [world.stream("c"), world.stream("c"), world.stream("d")]
        world.publish(text("c", "1"), text("d", "2"), text("c", "3"))
        world.fanout.flush()
        assert [client.content for client in clients] == ["13", "13", "2"]
        assert world.fanout.backlog == 0
        world.run()

    def test_a_run_ends_with_a_new_subscription(self) -> None:
        world = World()
        early = world.stream("c")
        world.publish(text("c", "1"))
        late = world.stream("c")
        world.publish(text("c", "2"))
        world.run()
        assert (early.content, late.content) == ("12", "2")

    def test_a_run_of_single_channel_holds_goes_on_beside_other_channels(self) -> None:
        world = World()
        one, two = world.stream("a"), world.stream("b")
        world.publish(text("a", "1"), text("b", "2"), text("a", "3"))
        world.run()
        assert (one.writes, two.writes) == (["13"], ["2"])

    def test_a_run_ends_where_another_channel_follows_for_somebody(self) -> None:
        world = World()
        client = world.stream("a", "b")
        world.publish(text("a", "1"), text("a", "2"), text("b", "3"), text("a", "4"))
        world.run()
        assert client.writes == ["12", "3", "4"]

    def test_a_run_is_bounded_in_bytes(self) -> None:
        """Whatever waits behind a large channel, nobody is owed one huge write."""
        world = World(slice_writes=1)
        clients = [world.stream("c"), world.stream("c")]
        world.publish(text("c", "first"))
        world.run_turn()
        content = "x" * 10_000
        world.publish(*[text("c", content) for _ in range(100)])
        world.run()
        for client in clients:
            assert client.content == "first" + 100 * content
            assert max(map(len, client.writes)) <= RUN_BYTES + len(content)

    def test_a_run_is_bounded_in_items(self) -> None:
        world = World()
        client = world.stream("c")
        world.deliver(*[text("c", "x") for _ in range(RUN_ITEMS + 1)])
        assert list(map(len, client.writes)) == [RUN_ITEMS, 1]

    def test_close_ends_what_streams_get(self) -> None:
        """grip-59: also who came after it gets nothing, and the publisher is told so."""
        world = World()
        client = world.stream("c")
        assert world.deliver(text("c", "1"), close("c"), text("c", "2")) == [(1, 0), (0, 0), (0, 0)]
        assert (client.content, client.end) == ("1", b"0\r\n\r\n")
        assert world.counters.deliveries == 1
        world.assert_empty()

    def test_empty_items_are_received_by_nobody(self) -> None:
        world = World()
        client = world.stream("c")
        assert world.deliver(text("c", ""), text("c", "x"), text("c", "")) == [(0, 0), (1, 0), (0, 0)]
        assert client.writes == ["x"]

    def test_modes(self) -> None:
        """grip spec §10.1"""
        world = World()
        stream, poll = world.stream("c"), world.poll("c")
        for_neither, hint = make_item("c"), make_item("c", stream=StreamFormat(Action.HINT))
        receipts = world.deliver(for_neither, hint, text("c", "1"), both("c", "2"))
        assert receipts == [(0, 0), (0, 0), (1, 0), (2, 0)]
        assert (stream.content, poll.body) == ("12", "2")

    def test_content_filters_make_every_hold_look(self) -> None:
        """grip-91"""
        world = World()
        client = world.stream("c")
        item = make_item("c", stream=StreamFormat(Action.SEND, b"2", ("var-subst",)))
        assert world.deliver(text("c", "1"), item, text("c", "3")) == [(1, 0), (0, 1), (1, 0)]
        assert client.writes == ["1", "3"]


class TestReceipts:
    def test_nobody_there(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO, "holdfast.push")
        world = World()
        assert world.deliver(text("c", "x")) == [(0, 0)]
        assert world.counters.items_received == 1
        assert caplog.messages == ["publish channel=c receivers=0"]
        assert world.turns == []

    def test_in_the_order_of_the_items(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip spec §10.6"""
        caplog.set_level(logging.INFO, "holdfast.push")
        world = World()
        for channel in ("a", "a", "b"):
            world.stream(channel)
        receipts = world.publish(text("b", "x"), text("nobody", "x"), text("a", "x"))
        world.run()
        assert [(receipt.channel, receipt.receivers) for receipt in receipts] == [("b", 1), ("nobody", 0), ("a", 2)]
        assert sorted(caplog.messages) == [
            "publish channel=a receivers=2",
            "publish channel=b receivers=1",
            "publish channel=nobody receivers=0",
        ]

    def test_everybody_counted_in_their_way(self) -> None:
        """Plain, filtered out, refused, gone, already gone."""
        world = World()
        world.stream("c")
        world.stream(FILTERED, meta=BOB)
        refusing, gone, left = world.stream("c"), world.stream("c"), world.stream("c")
        refusing.outlet.mood, gone.outlet.mood = Mood.REFUSES, Mood.GONE
        receipts = world.publish(text("c", "x", meta={"sender": "bob"}), text("c", "y"))
        left.leave()
        world.run()
        assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(1, 1), (2, 1)]
        assert world.counters.deliveries == 3

    def test_without_receipts(self) -> None:
        world = World()
        client = world.stream("c")
        world.publisher.publish([text("c", "x")])
        world.run()
        assert client.content == "x"


class TestLatency:
    """One observation for each item and channel, when the last of its writes is made."""

    @staticmethod
    def observed(world: World) -> tuple[int, float]:
        """How many there were, and their sum."""
        histogram = world.statistics.publish_latency_s
        return histogram.cumulative()[-1], histogram.sum

    def test_is_not_looked_at_unless_it_is_exported(self) -> None:
        world = World()
        world.stream("c")
        world.deliver(text("c", "x"))
        assert self.observed(world) == (0, 0)

    def test_by_item_and_not_by_receiver(self) -> None:
        world = World(slice_writes=2)
        world.statistics.export()
        for _ in range(5):
            world.stream("c")
        world.publish(text("c", "x"), text("nobody", "x"), text("c", "y"))
        for expected in (0, 0, 2):
            world.now_s += 1
            world.run_turn()
            assert self.observed(world)[0] == expected
        assert self.observed(world) == (2, 6)

    def test_a_run_that_others_joined(self) -> None:
        world = World()
        world.statistics.export()
        world.stream("c")
        world.publish(text("c", "x"))
        world.now_s += 1
        world.publish(text("c", "y"))
        world.now_s += 1
        world.run()
        assert self.observed(world) == (2, 3)

    def test_an_item_that_was_held_back_begins_when_it_is_let_go(self) -> None:
        world = World()
        world.statistics.export()
        world.stream("c")
        world.deliver(text("c", "1", item_id="1"))
        world.publish(text("c", "3", item_id="3", prev_id="2"))
        world.now_s += 2
        world.publish(text("c", "2", item_id="2", prev_id="1"))
        world.now_s += 1
        world.run()
        assert self.observed(world) == (3, 2)

    def test_under_a_rate_until_the_last_has_had_its_turn(self) -> None:
        """Whoever has left has a turn that costs nothing, and may be the last."""
        world = World(rate=1)
        world.statistics.export()
        clients = [world.stream("c") for _ in range(3)]
        world.publish(text("c", "x"))
        clients[0].leave()
        world.pass_time(0.5)
        assert self.observed(world) == (0, 0)
        world.pass_time(10)
        count, seconds = self.observed(world)
        assert count == 1
        assert 1 <= seconds <= 2
        assert sum(len(client.writes) for client in clients) == 2

    def test_under_a_rate_with_nobody_left(self) -> None:
        world = World(rate=1)
        world.statistics.export()
        world.poll("c")
        world.deliver(text("c", "x"))
        assert self.observed(world) == (1, 0)


class TestSettled:
    """`on_settled` comes once, when every receipt is final."""

    def test_at_once_when_nobody_is_there(self) -> None:
        world, calls = World(), []
        world.publisher.publish([text("c", "x")], None, lambda: calls.append("settled"))
        world.publisher.publish([], None, lambda: calls.append("empty"))
        assert calls == ["settled", "empty"]

    def test_after_the_last_write(self) -> None:
        world, calls = World(slice_writes=1), []
        clients = [world.stream("a"), world.stream("a"), world.stream("b")]
        items = [text("a", "1"), text("b", "2"), text("nobody", "3"), text("a", "4")]
        world.publisher.publish(items, None, lambda: calls.append([client.content for client in clients]))
        while not calls:
            world.run_turn()
        assert calls == [["14", "14", "2"]]
        world.run()
        assert len(calls) == 1

    def test_every_publisher_of_a_run(self) -> None:
        world, calls = World(), []
        world.stream("c")
        world.publisher.publish([text("c", "1")], None, lambda: calls.append("one"))
        world.publisher.publish([text("c", "2")], None, lambda: calls.append("two"))
        world.run()
        assert calls == ["one", "two"]

    def test_publishing_again_from_it(self) -> None:
        """A publisher whose next request was waiting is served from inside the turn."""
        world = World()
        client = world.stream("c")
        world.publisher.publish([text("c", "1")], None, lambda: world.publisher.publish([text("c", "2")]))
        world.run()
        assert client.writes == ["1", "2"]

    def test_one_that_fails_hurts_nobody(self, caplog: pytest.LogCaptureFixture) -> None:
        def fail() -> None:
            raise RuntimeError("no publisher")

        world, calls = World(), []
        one, two = world.stream("a"), world.stream("b")
        world.publisher.publish([text("a", "1")], None, fail)
        world.publisher.publish([text("a", "2")], None, lambda: calls.append("settled"))
        world.publish(text("b", "3"))
        world.run()
        assert (one.content, two.content, calls) == ("12", "3", ["settled"])
        assert "no publisher" in caplog.text


class TestSlices:
    """A large channel takes several turns; others get theirs in between."""

    def test_writes_per_turn(self) -> None:
        world = World(slice_writes=10)
        clients = [world.stream("c") for _ in range(25)]
        world.publish(text("c", "x"))
        assert world.fanout.backlog == 25
        for reached in (10, 20, 25):
            world.run_turn()
            assert sum(client.content == "x" for client in clients) == reached
            assert world.fanout.backlog == 25 - reached
        assert world.turns == []

    @pytest.mark.parametrize(("mode", "make"), [("stream", text), ("poll", answer)])
    @pytest.mark.parametrize(
        ("size", "backlogs"), [(2 * WEIGHT_BYTES, [3, 0]), (100 * WEIGHT_BYTES, [6, 5, 4, 3, 2, 1, 0])]
    )
    def test_large_items_make_small_slices(
        self, mode: str, make: Callable[[str, str], Item], size: int, backlogs: list[int]
    ) -> None:
        """What takes as long to write as several small ones counts as several; something is always written."""
        world = World(slice_writes=10)
        for _ in range(7):
            getattr(world, mode)("c")
        world.publish(make("c", "x" * size))
        for backlog in backlogs:
            world.run_turn()
            assert world.fanout.backlog == backlog
        assert world.turns == []

    def test_a_small_channel_does_not_wait_for_a_large_one(self) -> None:
        world = World(slice_writes=10)
        for _ in range(1000):
            world.stream("large")
        client = world.stream("small")
        world.publish(text("large", "x"))
        world.run_turn()
        world.publish(text("small", "x"))
        world.run_turn()
        world.run_turn()
        assert client.content == "x"

    def test_many_small_channels_share_a_turn(self) -> None:
        world = World(slice_writes=10)
        clients = [world.stream(str(number)) for number in range(25)]
        world.publish(*[text(str(number), "x") for number in range(25)])
        assert world.run() == 3
        assert all(client.content == "x" for client in clients)

    def test_nobody_who_subscribed_after_acceptance_gets_it(self) -> None:
        """Between acceptance and the write, and while the channel is half written."""
        world = World(slice_writes=1)
        early = [world.stream("c"), world.stream("c")]
        world.publish(text("c", "1"))
        between = world.stream("c")
        world.run_turn()
        in_the_middle = world.poll("c")
        world.run()
        assert [client.content for client in early] == ["1", "1"]
        assert (between.content, in_the_middle.end) == ("", None)

    def test_nobody_who_left_is_written_to(self) -> None:
        world = World(slice_writes=1)
        clients = [world.stream("c"), world.stream("c")]
        receipts = world.publish(text("c", "1"), text("c", "2"))
        world.run_turn()
        [waiting] = [client for client in clients if not client.content]
        waiting.leave()
        world.run()
        assert waiting.content == ""
        assert [receipt.receivers for receipt in receipts] == [1, 1]

    def test_a_channel_that_everybody_left_and_somebody_new_joined(self) -> None:
        """The old channel's items go to nobody, and the new one does not wait for them."""
        world = World(slice_writes=1)
        old = [world.stream("c"), world.stream("c")]
        world.publish(text("c", "1"))
        world.run_turn()
        for client in old:
            client.leave()
        new = world.stream("c")
        world.publish(text("c", "2"))
        world.run()
        assert new.content == "2"
        assert sorted(client.content for client in old) == ["", "1"]
        assert world.fanout.backlog == 0

    def test_closing_in_the_middle(self) -> None:
        world = World(slice_writes=1)
        clients = [world.stream("c") for _ in range(3)]
        world.publish(text("c", "1"), close("c"))
        world.run_turn()
        world.publish(text("c", "2"))
        world.run()
        assert [client.content for client in clients] == ["1"] * 3
        world.assert_empty()


class TestOrderAcrossChannels:
    """grip spec §10.2: a client sees items of several channels in the order they were accepted."""

    @pytest.mark.parametrize("slice_writes", [1, 2, 3, 200])
    def test_alternating(self, slice_writes: int) -> None:
        world = World(slice_writes=slice_writes)
        spread = [world.stream("a", "b") for _ in range(5)]
        alone = [world.stream("a") for _ in range(5)] + [world.stream("b") for _ in range(5)]
        for number in range(4):
            world.publish(text("a", f"a{number};"), text("b", f"b{number};"))
            world.run_turn()
        world.run()
        for client in spread:
            assert client.content == "a0;b0;a1;b1;a2;b2;a3;b3;"
        assert {client.content for client in alone} == {"a0;a1;a2;a3;", "b0;b1;b2;b3;"}

    def test_a_large_channel_half_written(self) -> None:
        """Whoever reaches a hold first brings it up to date, and nobody writes to it twice."""
        world = World(slice_writes=5)
        crowd = [world.stream("large") for _ in range(100)]
        spread = [world.stream("large", "small") for _ in range(3)]
        receipts = world.publish(text("large", "1;"))
        world.run_turn()
        receipts += world.publish(text("small", "2;"))
        world.run_turn()
        world.run_turn()
        assert [client.content for client in spread] == ["1;2;"] * 3
        world.run()
        assert [client.content for client in spread] == ["1;2;"] * 3
        assert [client.content for client in crowd] == ["1;"] * 100
        assert [receipt.receivers for receipt in receipts] == [103, 3]

    def test_what_was_brought_forward_is_closed_to_further_items(self) -> None:
        world = World(slice_writes=1)
        blocker, spread = world.stream("a"), world.stream("a", "b")
        world.publish(text("a", "1;"))
        world.publish(text("a", "x;"))
        world.publish(text("b", "2;"))
        world.run_turn()
        world.run_turn()
        world.publish(text("a", "3;"))
        world.run()
        assert spread.content == "1;x;2;3;"
        assert blocker.content == "1;x;3;"

    def test_three_channels(self) -> None:
        world = World(slice_writes=1)
        for channel in ("a", "a", "a", "b", "b"):
            world.stream(channel)
        client = world.stream("a", "b", "c")
        world.publish(text("a", "1;"), text("b", "2;"), text("a", "3;"), text("c", "4;"), text("b", "5;"))
        world.run()
        assert client.content == "1;2;3;4;5;"

    def test_a_close_on_one_channel_ends_it_for_all(self) -> None:
        world = World(slice_writes=1)
        for _ in range(3):
            world.stream("a")
        client = world.stream("a", "b")
        world.publish(text("a", "1;"), close("a"), text("a", "2;"), text("b", "3;"))
        world.run()
        assert client.content == "1;"
        assert client.end == b"0\r\n\r\n"

    def test_closed_while_another_channel_is_half_written(self) -> None:
        world = World(slice_writes=1)
        for _ in range(5):
            world.stream("a")
        client = world.stream("a", "b")
        world.publish(text("a", "1;"))
        world.run_turn()
        world.publish(close("b"))
        world.run()
        assert client.content == "1;"
        assert client.end == b"0\r\n\r\n"

    def test_leaving_in_the_middle(self) -> None:
        world = World(slice_writes=1)
        crowd = [world.stream("a") for _ in range(3)]
        client = world.stream("a", "b")
        world.publish(text("a", "1;"), text("b", "2;"))
        client.leave()
        world.run()
        assert client.content == ""
        assert [one.content for one in crowd] == ["1;"] * 3
        assert world.fanout.backlog == 0

    def test_gone_at_the_first_of_two_missed_items(self) -> None:
        world = World(slice_writes=1)
        for _ in range(3):
            world.stream("a")
        client = world.stream("a", "b")
        world.publish(text("a", "1;"), text("b", "2;"))
        client.outlet.mood = Mood.GONE
        world.run()
        assert client.content == ""

    def test_long_polls_get_the_first(self) -> None:
        world = World(slice_writes=1)
        for _ in range(5):
            world.poll("a")
        client = world.poll("a", "b")
        receipts = world.publish(answer("a", "1"), answer("b", "2"))
        world.run()
        assert client.body == "1"
        assert [receipt.receivers for receipt in receipts] == [6, 0]

    def test_a_channel_without_anything_under_way(self) -> None:
        world = World()
        client = world.stream("a", "b", "c")
        world.deliver(text("b", "1;"))
        world.deliver(text("a", "2;"))
        assert client.content == "1;2;"


class TestSubscriptionsThatChange:
    """ws spec §2.4: a WebSocket comes and goes while something large is on its way."""

    def crowded(self) -> World:
        """A world in which a run for `large` takes many turns."""
        world = World(slice_writes=5)
        for _ in range(50):
            world.stream("large")
        return world

    def test_a_channel_more(self) -> None:
        """What the new channel brings does not overtake what was accepted before."""
        world = self.crowded()
        clients = [world.socket("large") for _ in range(3)]
        world.publish(both_ways("large", "1"))
        world.run_turn()
        for client in clients:
            client.hold.subscribe("small", ())
        world.publish(message("small", "2"), both_ways("large", "3"))
        world.run_turn()
        world.run_turn()
        world.run()
        assert [client.messages for client in clients] == [["1", "2", "3"]] * 3

    def test_a_channel_less(self) -> None:
        world = self.crowded()
        clients = [world.socket("large", "small") for _ in range(3)]
        world.publish(both_ways("large", "1"), message("small", "2"))
        for client in clients:
            client.hold.unsubscribe("large")
        world.run()
        assert [client.messages for client in clients] == [["2"]] * 3
        assert world.fanout.backlog == 0

    def test_another_channel(self) -> None:
        world = self.crowded()
        client = world.socket("large")
        world.publish(both_ways("large", "1"))
        client.hold.unsubscribe("large")
        client.hold.subscribe("small", ())
        world.publish(message("small", "2"))
        client.hold.subscribe("large", ())
        world.publish(both_ways("large", "3"))
        world.run()
        assert client.messages == ["2", "3"]

    def test_the_last_subscriber_comes_back(self) -> None:
        """To a channel that has come to an end meanwhile."""
        world = World()
        client = world.socket("c")
        world.publish(message("c", "1"))
        client.hold.unsubscribe("c")
        assert world.registry.find("c") is None
        client.hold.subscribe("c", ())
        world.publish(message("c", "2"))
        world.run()
        assert client.messages == ["2"]
        client.leave()
        world.assert_empty()

    def test_a_stream_that_moves(self) -> None:
        """grip spec §6.7"""
        world = self.crowded()
        client = world.stream("large", link=next_link())
        world.publish(text("large", "1;"))
        recovering(client).ask_again(world.now_s)
        world.resume(client, "large", "small", link=next_link())
        world.publish(text("small", "2;"), text("large", "3;"))
        world.run()
        assert client.content == "1;2;3;"


class TestBrokenOutlets:
    """No outlet should raise. If one does, its own client alone may suffer."""

    def test_the_others_get_the_item(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(slice_writes=2)
        clients = [world.stream("c") for _ in range(5)]
        broken = world.stream("c")
        broken.outlet.mood = Mood.BREAKS
        assert world.deliver(text("c", "1")) == [(5, 0)]
        assert world.deliver(text("c", "2")) == [(5, 0)]
        assert [client.content for client in clients] == ["12"] * 5
        assert "delivery to a stream of c failed" in caplog.text

    def test_paced(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World(rate=1000)
        broken = world.stream("c")
        broken.outlet.mood = Mood.BREAKS
        other = world.stream("c")
        world.publish(text("c", "1"))
        world.publish(text("c", "2"))
        world.pass_time(1)
        assert other.content == "12"
        assert "delivery to a stream of c failed" in caplog.text


class TestCongestion:
    def test_publishers_are_called_when_it_is_over(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(fanout, "BACKLOG_WRITES", 10)
        world, calls = World(slice_writes=4), []
        for _ in range(11):
            world.stream("c")
        world.publish(text("c", "x"))
        assert world.fanout.is_congested
        world.fanout.when_clear(lambda: calls.append("clear"))
        world.run_turn()
        assert not world.fanout.is_congested
        assert calls == []
        world.run_turn()
        assert calls == ["clear"]
        world.run()
        assert calls == ["clear"]

    def test_joining_a_run_does_not_congest(self) -> None:
        world = World()
        world.stream("c")
        world.publish(*[text("c", "x") for _ in range(100)])
        assert world.fanout.backlog == 1


class TestPaced:
    def test_spread_over_time(self) -> None:
        """grip-97"""
        world = World(rate=5)
        client = world.stream("c")
        receipts = world.publish(*[text("c", str(number)) for number in range(10)])
        assert [receipt.receivers for receipt in receipts] == [1] * 10
        assert world.fanout.paced == 10
        for seconds, content in [(0, "0"), (0.19, "0"), (0.02, "01"), (1.5, "012345678"), (0.1, "0123456789")]:
            world.pass_time(seconds)
            assert client.content == content
        assert world.counters.deliveries == 10
        assert world.fanout.paced == 0

    def test_what_exceeds_the_high_water_mark_is_lost_and_said_so(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip-98"""
        world = World(rate=1000, hwm=10)
        client = world.stream("c")
        receipts = world.publish(*[text("c", str(number)) for number in range(12)])
        assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(1, 0)] * 10 + [(0, 1)] * 2
        assert world.counters.drops_message_hwm == 2
        assert "exceeded publish hwm (10), dropping message: channel=c clients=1" in caplog.text
        world.pass_time(1)
        assert client.content == "0123456789"

    def test_only_holds_that_the_item_is_for_are_queued(self) -> None:
        world = World(rate=5)
        stream, poll = world.stream("c"), world.poll("c")
        receipts = world.publish(text("c", "1"), answer("c", "2"), both("c", "3"))
        assert [receipt.receivers for receipt in receipts] == [1, 1, 2]
        world.pass_time(10)
        assert (stream.content, poll.body) == ("13", "2")
        assert world.counters.deliveries == 3

    def test_routes_with_an_id_have_their_own_queue(self) -> None:
        """grip spec §13.1"""
        world = World(rate=5)
        one = [world.stream("c", route=RouteTerms(key="one")) for _ in range(3)]
        other = world.stream("c", route=RouteTerms(key="other"))
        world.publish(text("c", "x"))
        world.pass_time(0.3)
        assert other.content == "x"
        assert sum(client.content == "x" for client in one) == 1

    def test_holds_that_ended_meanwhile(self) -> None:
        """grip spec §13.5"""
        world = World(rate=1)
        gone = [world.stream("c") for _ in range(5)]
        world.publish(text("c", "x"))
        for client in gone:
            client.leave()
        stays = world.stream("c")
        world.publish(text("c", "y"))
        world.pass_time(0)
        assert stays.content == "y"
        assert [client.content for client in gone] == [""] * 5

    def test_order_across_channels(self) -> None:
        world = World(rate=100)
        clients = [world.stream("a", "b") for _ in range(3)]
        for number in range(6):
            world.publish(text("ab"[number % 2], f"{number};"))
        world.pass_time(5)
        assert [client.content for client in clients] == ["0;1;2;3;4;5;"] * 3

    def test_answered_when_accepted(self) -> None:
        """grip spec §13.5: a publisher is not made to wait for the rate."""
        world, calls = World(rate=1), []
        world.stream("c")
        world.publisher.publish([text("c", "x")], None, lambda: calls.append("settled"))
        assert calls == ["settled"]

    def test_a_keep_alive_is_postponed_from_the_write_on(self) -> None:
        world = World(rate=1)
        clients = [world.stream("c", keep_alive=keep_alive(b"k", 10)) for _ in range(6)]
        world.publish(text("c", "x"))
        world.pass_time(14.8)
        last = [client for client in clients if client.content == "x"]
        assert len(last) == 1

    def test_messages(self) -> None:
        world = World(rate=1)
        clients, other = [world.socket("c") for _ in range(3)], world.socket("d")
        [receipt] = world.publish(message("c", "x"))
        assert receipt.receivers == 3
        world.pass_time(1.1)
        assert 0 < len([client for client in clients if client.messages]) < 3
        world.pass_time(3)
        assert [client.messages for client in (*clients, other)] == [["x"]] * 3 + [[]]
        assert world.counters.deliveries == 3

    def test_close(self) -> None:
        world = World(rate=1000)
        client = world.stream("c")
        world.publish(text("c", "1"), close("c"), text("c", "2"))
        world.pass_time(1)
        assert (client.content, client.end) == ("1", b"0\r\n\r\n")
        world.assert_empty()


# --- any interleaving ------------------------------------------------------------------------------------------------

CHANNELS = "abc"
SUBSCRIBE = st.tuples(st.just("subscribe"), st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=3, unique=True))
PUBLISH = st.tuples(st.just("publish"), st.lists(st.sampled_from(CHANNELS), min_size=1, max_size=4))
CLOSE = st.tuples(st.just("close"), st.sampled_from(CHANNELS))
LEAVE = st.tuples(st.just("leave"), st.integers(0, 20))
TURN = st.tuples(st.just("turn"), st.none())
STEPS = st.lists(st.one_of(SUBSCRIBE, SUBSCRIBE, PUBLISH, PUBLISH, PUBLISH, CLOSE, LEAVE, TURN, TURN), max_size=60)


class Story:
    """Plays steps and notes what each client has to see: the items accepted while it was subscribed, in order.

    A client that leaves has seen a beginning of that, and nobody sees anything after a close.
    """

    def __init__(self, world: World) -> None:
        self.world = world
        self.clients: list[Client] = []
        self.expected: dict[Client, list[str]] = {}
        self.closed: set[Client] = set()
        self.left: set[Client] = set()
        self._number = 0

    def play(self, step: tuple[str, object]) -> None:
        match step:
            case ("subscribe", list() as channels):
                client = self.world.stream(*channels)
                self.clients.append(client)
                self.expected[client] = []
            case ("publish", list() as channels):
                self.world.publish(*[self._accept(channel) for channel in channels])
            case ("close", str() as channel):
                self.world.publish(close(channel))
                self.closed |= self._subscribers(channel)
            case ("leave", int() as number) if number < len(self.clients):
                client = self.clients[number]
                client.leave()
                self.left.add(client)
            case ("turn", _):
                self.world.run_turn()

    def check(self) -> None:
        for client in self.clients:
            seen = client.content.split(";")[:-1]
            expected = self.expected[client]
            if client in self.left:
                assert seen == expected[: len(seen)]
            else:
                assert seen == expected
                assert (client.end is not None) is (client in self.closed)

    def _accept(self, channel: str) -> Item:
        self._number += 1
        for client in self._subscribers(channel):
            self.expected[client].append(str(self._number))
        return text(channel, f"{self._number};")

    def _subscribers(self, channel: str) -> set[Client]:
        return {
            client
            for client in self.clients
            if channel in client.hold.plan.channels and client not in self.closed and client not in self.left
        }


class TestAnyInterleaving:
    @given(STEPS, st.integers(1, 3))
    @settings(max_examples=300, deadline=None)
    def test_every_client_sees_what_was_accepted_while_it_was_subscribed(
        self, steps: list[tuple[str, object]], slice_writes: int
    ) -> None:
        """grip spec §10.2"""
        world = World(slice_writes=slice_writes)
        story = Story(world)
        for step in steps:
            story.play(step)
        world.run()
        story.check()

        for client in story.clients:
            client.leave()
        world.assert_empty()

    @given(STEPS, st.sampled_from([1, 7, 40, 1000]))
    @settings(max_examples=50, deadline=None)
    def test_paced(self, steps: list[tuple[str, object]], rate: int) -> None:
        world = World(rate=rate)
        story = Story(world)
        for step in steps:
            if step[0] == "turn":
                world.pass_time(0.05)
            else:
                story.play(step)
        world.pass_time(2000 / rate)
        story.check()

    @given(STEPS, st.integers(1, 3))
    @settings(max_examples=50, deadline=None)
    def test_receipts_tell_what_was_written(self, steps: list[tuple[str, object]], slice_writes: int) -> None:
        world = World(slice_writes=slice_writes)
        story = Story(world)
        for step in steps:
            story.play(step)
        world.run()
        seen = sum(len(client.content.split(";")) - 1 for client in story.clients)
        assert world.counters.deliveries == seen


# --- any interleaving with subscriptions that change -----------------------------------------------------------------


def both_ways(channel: str, content: str) -> Item:
    """An item for streams and for WebSockets."""
    item = text(channel, f"{content};")
    item.ws_message = MessageFormat(Action.SEND, content=content.encode())
    return item


WHO = st.integers(0, 5)
MOVES = st.lists(
    st.one_of(
        PUBLISH,
        PUBLISH,
        TURN,
        st.tuples(st.just("socket"), st.lists(st.sampled_from(CHANNELS), max_size=2, unique=True)),
        st.tuples(st.just("stream"), st.lists(st.sampled_from(CHANNELS), max_size=2, unique=True)),
        st.tuples(st.just("change"), WHO, st.sampled_from(CHANNELS)),
        st.tuples(st.just("filter"), WHO, st.sampled_from(CHANNELS)),
        st.tuples(st.just("relay"), WHO, st.booleans()),
        st.tuples(st.just("ask"), WHO),
        st.tuples(st.just("leave"), WHO),
    ),
    max_size=30,
)


class Member:
    """A client of whatever kind, and what it may and must see.

    Attributes:
        current: the subscription to each channel, a number of its own every time.
        accepted: the items accepted for it, each with its subscription.
    """

    def __init__(self, client: Client | SocketClient, channels: list[str]) -> None:
        self.client = client
        self.is_here = True
        self.current: dict[str, int] = {}
        self.accepted: list[tuple[str, int]] = []
        self._subscriptions = 0
        for channel in channels:
            self.toggle(channel)

    def toggle(self, channel: str) -> None:
        if self.current.pop(channel, None) is None:
            self._subscriptions += 1
            self.current[channel] = self._subscriptions

    @property
    def seen(self) -> list[str]:
        if isinstance(self.client, SocketClient):
            return [content for content in self.client.messages if not content.startswith("relayed")]
        return self.client.content.split(";")[:-1]

    def check(self) -> None:
        """In order and once; all of each subscription, or a beginning if it has ended."""
        seen = self.seen
        assert seen == [number for number, _ in self.accepted if number in seen]
        for subscription in {subscription for _, subscription in self.accepted}:
            of_it = [number for number, other in self.accepted if other == subscription]
            seen_of_it = [number for number in of_it if number in seen]
            assert seen_of_it == of_it[: len(seen_of_it)]
            if self.is_here and subscription in self.current.values():
                assert seen_of_it == of_it


class MovingStory:
    """Plays steps in which WebSockets change their subscriptions, and streams go on elsewhere."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.members: list[Member] = []
        self._number = 0

    def play(self, step: tuple[object, ...]) -> None:
        match step:
            case ("publish", list() as channels):
                self.world.publish(*[self._accept(channel) for channel in channels])
            case ("turn", _):
                self.world.run_turn()
            case ("socket", list() as channels):
                self.members.append(Member(self.world.socket(*channels), channels))
            case ("stream", list() as channels):
                self.members.append(Member(self.world.stream(*channels, link=next_link()), channels))
            case (str() as what, int() as number, *rest) if number < len(self.members):
                member = self.members[number]
                if what == "leave":
                    member.client.leave()
                    member.is_here = False
                elif isinstance(member.client, SocketClient):
                    self._change_socket(member, member.client, what, *rest)
                elif member.is_here:
                    self._change_stream(member, member.client, what, *rest)

    def _change_socket(self, member: Member, client: SocketClient, what: str, *arguments: object) -> None:
        match what, *arguments:
            case "change", str() as channel:
                member.toggle(channel)
                if channel in member.current:
                    client.hold.subscribe(channel, ())
                else:
                    client.hold.unsubscribe(channel)
            case "filter", str() as channel if channel in member.current:
                client.hold.subscribe(channel, ("skip-self",))
            case "relay", bool() as is_last:
                is_first = not client.hold.is_mid_message
                client.hold.relay(Data(Opcode.TEXT, b"relayed", is_first=is_first, is_last=is_last))

    def _change_stream(self, member: Member, client: Client, what: str, *arguments: object) -> None:
        assert isinstance(client.hold, StreamHold)
        match what, *arguments:
            case "change", str() as channel:
                self._ask(recovering(client))
                member.toggle(channel)
                self.world.resume(client, *member.current, link=next_link())
            case ("ask",):
                self._ask(recovering(client))

    def _ask(self, hold: RecoveringStream) -> None:
        """Items wait from now on, until the stream goes on."""
        if hold.intake.phase is Phase.OPEN:
            hold.ask_again(self.world.now_s)

    def end(self) -> None:
        """What is under way comes to an end."""
        self.world.run()
        for member in self.members:
            if isinstance(member.client, SocketClient):
                if member.client.hold.is_mid_message:
                    member.client.hold.relay(Data(Opcode.TEXT, b"", is_first=False))
            elif member.is_here:
                self._ask(recovering(member.client))
                self.world.resume(member.client, *member.current, link=next_link())

    def _accept(self, channel: str) -> Item:
        self._number += 1
        for member in self.members:
            if member.is_here and channel in member.current:
                member.accepted.append((str(self._number), member.current[channel]))
        return both_ways(channel, str(self._number))


class TestAnyChange:
    @given(MOVES, st.integers(1, 3))
    @settings(max_examples=500, deadline=None)
    def test_nothing_twice_nothing_lost_and_in_order(self, steps: list[tuple[object, ...]], slice_writes: int) -> None:
        world = World(slice_writes=slice_writes)
        story = MovingStory(world)
        for step in steps:
            story.play(step)
        story.end()
        for member in story.members:
            member.check()
            member.client.leave()
        world.assert_empty()

    @given(MOVES)
    @settings(max_examples=100, deadline=None)
    def test_paced(self, steps: list[tuple[object, ...]]) -> None:
        world = World(rate=40)
        story = MovingStory(world)
        for step in steps:
            if step[0] == "turn":
                world.pass_time(0.05)
            elif step[0] not in ("change", "ask"):
                story.play(step)
        world.pass_time(20)
        story.end()
        for member in story.members:
            member.check()


BLOCKS = [
    ("a message", message("c", "x" * 30), 3),
    ("size of a message's item", message("c", "x" * 30, size=31), 4),
    ("content for streams", both("c", "x" * 30), 6),
    ("each hold counts its own format", make_item("c", response=ResponseFormat(Action.SEND, body=b"x" * 30)), 3),
    ("a patch has no content", make_item("c", response=ResponseFormat(Action.SEND, body_patch=[])), 1),
    ("size of the item", make_item("c", stream=StreamFormat(Action.SEND, b"x" * 30), size=11), 2),
]


@pytest.mark.parametrize(("item", "units"), [case[1:] for case in BLOCKS], ids=[case[0] for case in BLOCKS])
def test_blocks(item: Item, units: int) -> None:
    """grip-99: what a delivery counts for under a rate limit."""
    world = World(rate=5, block_size=10)
    world.stream("c")
    world.poll("c")
    world.socket("c")
    world.publish(item)
    assert world.fanout.paced == units
