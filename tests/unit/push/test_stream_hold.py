"""Holds as conversations: what is published, how much time passes, and what the client has then."""

from __future__ import annotations

import logging

import pytest
from tests.unit.push.helpers import (
    DEBUG_ROUTE,
    HTTP10,
    HTTP11,
    Client,
    Mood,
    World,
    answer,
    close,
    keep_alive,
    make_instruct,
    make_item,
    text,
)

from holdfast.grip.item import Action, Item, StreamFormat
from holdfast.grip.values import HoldMode, KeepAlive, KeepAliveMode, Subscription
from holdfast.push.outlet import Framing
from holdfast.push.stream_hold import StreamHold

SUBSTITUTED = Subscription("c", None, ("var-subst",))
NOT_OWN = Subscription("c", None, ("skip-self",))
BOB: dict[str, str | None] = {"user": "bob"}


class TestStream:
    def test_items_are_appended(self) -> None:
        world = World()
        client = world.stream("c")
        for content in ("one", "two"):
            world.deliver(text("c", content))
        assert client.outlet.written == [b"3\r\none\r\n", b"3\r\ntwo\r\n"]
        assert client.end is None

    def test_http10_has_no_chunks_and_ends_by_closing(self) -> None:
        """grip-55"""
        world = World()
        client = world.stream("c", framing=HTTP10)
        world.deliver(text("c", "one"), close("c"))
        assert client.outlet.written == [b"one"]
        assert client.outlet.finished == [(b"", False)]

    def test_http10_is_never_reusable(self) -> None:
        """Even if the client asked for it: without chunks only closing ends the body."""
        world = World()
        client = world.stream("c", framing=Framing(is_http11=False, is_persistent=True, is_bodyless=False))
        world.deliver(close("c"))
        assert client.outlet.finished == [(b"", False)]

    def test_close(self) -> None:
        """grip-59"""
        world = World()
        client = world.stream("c")
        world.deliver(close("c"))
        assert client.outlet.finished == [(b"0\r\n\r\n", True)]
        world.assert_empty()

    def test_empty_content_writes_nothing(self) -> None:
        """grip-58: an empty chunk would end the body."""
        world = World()
        client = world.stream("c")
        assert world.deliver(text("c", "")) == [(0, 0)]
        assert client.outlet.written == []
        assert client.end is None

    @pytest.mark.parametrize("action", [Action.HINT, Action.REFRESH])
    def test_other_actions_do_nothing(self, action: Action) -> None:
        """grip spec §6.3, as long as there are no links"""
        world = World()
        client = world.stream("c")
        filtered = world.stream(NOT_OWN)
        assert world.deliver(make_item("c", stream=StreamFormat(action))) == [(0, 0)]
        assert (client.outlet.written, filtered.outlet.written, client.end) == ([], [], None)
        assert world.counters.deliveries_filtered == 0

    def test_end_with_a_message(self) -> None:
        """grip spec §6.1"""
        world = World()
        client, old = world.stream("c"), world.stream("c", framing=HTTP10)
        for one in (client, old):
            assert isinstance(one.hold, StreamHold)
            one.hold.end("\n\nWhy\n")
            one.hold.end("again")
        assert client.end == b"6\r\n\n\nWhy\n\r\n0\r\n\r\n"
        assert old.end == b"\n\nWhy\n"

    def test_leaving(self) -> None:
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10))
        client.leave()
        client.leave()
        assert world.counters.holds_abandoned == 1
        world.assert_empty()

    def test_leaving_before_it_began(self) -> None:
        """The first write may find out that the client has left: its descriptor must not be written to again."""
        world = World()
        hold = StreamHold(world.context, world.plan(make_instruct(HoldMode.STREAM, "c")), HTTP11)
        client = Client(hold)
        client.leave()
        hold.open(client.outlet)
        hold.end()
        assert (hold.is_open, client.outlet.finished) == (False, [])
        assert (world.counters.holds_opened, world.counters.holds_abandoned) == (0, 0)
        world.assert_empty()

    def test_describe(self) -> None:
        assert World().stream("a", "b").hold.describe() == "stream of a, b"
        assert World().stream().hold.describe() == "stream of no channel"


class TestStreamLosses:
    """What the outlet answers decides who counts as a receiver; filtered holds count by themselves."""

    @pytest.mark.parametrize("subscription", [Subscription("c"), SUBSTITUTED], ids=["plain", "filtered"])
    @pytest.mark.parametrize(
        ("mood", "receipt", "is_open"),
        [
            (Mood.TAKES, (1, 0), True),
            (Mood.REFUSES, (0, 1), True),
            (Mood.CUT_OFF, (0, 1), False),
            (Mood.GONE, (0, 0), False),
        ],
        ids=lambda value: value.name if isinstance(value, Mood) else "",
    )
    def test_receipt(self, mood: Mood, receipt: tuple[int, int], is_open: bool, subscription: Subscription) -> None:
        world = World()
        client = world.stream(subscription)
        client.outlet.mood = mood
        assert world.deliver(text("c", "x")) == [receipt]
        assert world.counters.deliveries == receipt[0]
        assert client.hold.is_open is is_open
        assert len(world.registry) == is_open

    @pytest.mark.parametrize("subscription", [Subscription("c"), SUBSTITUTED], ids=["plain", "filtered"])
    def test_cut_off_by_the_item_before_a_close(self, subscription: Subscription) -> None:
        """The outlet is gone by the time the close comes, and must not be touched."""
        world = World()
        client = world.stream(subscription)
        client.outlet.mood = Mood.CUT_OFF
        world.deliver(text("c", "x"), close("c"))
        assert client.end is None
        world.assert_empty()


class TestFilteredStream:
    def test_each_hold_gets_its_own(self) -> None:
        """grip-89"""
        world = World()
        bob = world.stream(SUBSTITUTED, meta={"user": "bob"})
        eve = world.stream(SUBSTITUTED, meta={"user": "eve"}, framing=HTTP10)
        plain = world.stream("c")
        assert world.deliver(text("c", "for %(user)s")) == [(3, 0)]
        assert (bob.writes, eve.writes, plain.writes) == (["for bob"], ["for eve"], ["for %(user)s"])

    def test_filters_of_another_channel_do_not_apply(self) -> None:
        world = World()
        client = world.stream(SUBSTITUTED, "d")
        world.deliver(text("d", "%(user)s"))
        assert client.content == "%(user)s"

    def test_dropped_on_purpose(self) -> None:
        """grip-88"""
        world = World()
        bob, eve = world.stream(NOT_OWN, meta=BOB), world.stream(NOT_OWN, meta={"user": "eve"})
        assert world.deliver(text("c", "x", meta={"sender": "bob"})) == [(1, 0)]
        assert (bob.content, eve.content) == ("", "x")
        assert (world.counters.deliveries_filtered, world.counters.drops_filter_failed) == (1, 0)

    def test_a_dropped_close_does_not_close(self) -> None:
        world = World()
        client = world.stream(NOT_OWN, meta=BOB)
        world.deliver(make_item("c", stream=StreamFormat(Action.CLOSE), meta={"sender": "bob"}))
        assert client.end is None

    @pytest.mark.parametrize("subscription", [NOT_OWN, SUBSTITUTED], ids=["passing", "changing"])
    def test_close_ends_the_run(self, subscription: Subscription) -> None:
        world = World()
        client = world.stream(subscription, meta=BOB)
        assert world.deliver(text("c", "x"), close("c"), text("c", "y")) == [(1, 0), (0, 0), (0, 0)]
        assert (client.content, client.end) == ("x", b"0\r\n\r\n")

    @pytest.mark.parametrize("subscription", [NOT_OWN, SUBSTITUTED], ids=["passing", "changing"])
    def test_items_without_the_format_do_not_touch_it(self, subscription: Subscription) -> None:
        world = World()
        client = world.stream(subscription, meta=BOB)
        world.deliver(answer("c", "x"))
        assert client.content == ""

    def test_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip-89: the item is skipped, counted and logged."""
        world = World()
        client = world.stream(SUBSTITUTED)
        assert world.deliver(text("c", "%(user)s"), text("c", "x")) == [(0, 1), (1, 0)]
        assert client.content == "x"
        assert world.counters.drops_filter_failed == 1
        [record] = [record for record in caplog.records if record.levelno == logging.WARNING]
        assert record.getMessage() == (
            "client 192.0.2.1:5000, stream of c: item not delivered: "
            "filter error: var-subst: No such variable 'user' at position 7"
        )

    def test_failure_in_debug_mode(self) -> None:
        """grip-89: the client is told, and the stream ends."""
        world = World()
        client = world.stream(SUBSTITUTED, route=DEBUG_ROUTE, framing=HTTP10)
        world.deliver(text("c", "%(user)s"), text("c", "x"))
        assert client.end == b"\n\nfilter error: var-subst: No such variable 'user' at position 7\n"
        assert client.content == ""

    def test_content_filters_of_an_item(self) -> None:
        """grip-91: an item that asks for filters is checked against holds without any, too."""
        world = World()
        plain, matching = world.stream("c"), world.stream(SUBSTITUTED, meta=BOB)
        item = make_item("c", stream=StreamFormat(Action.SEND, b"%(user)s", ("var-subst",)))
        assert world.deliver(item) == [(1, 1)]
        assert (plain.content, matching.content) == ("", "bob")


IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL


class TestKeepAlive:
    """Time is counted from the hold's beginning; the wheel moves in tenths of a second."""

    @pytest.mark.parametrize("mode", [IDLE, INTERVAL])
    def test_quiet_stream(self, mode: KeepAliveMode) -> None:
        """grip-21: less than a second early, by a fresh random part each time."""
        world = World(jitter=[0.0, 0.95, 0.5])
        client = world.stream("c", keep_alive=keep_alive(b"k", 10, mode))
        for seconds, count in [(9.9, 0), (0.1, 1), (9.0, 1), (0.1, 2), (9.4, 2), (0.2, 3)]:
            world.pass_time(seconds)
            assert client.outlet.written == [b"1\r\nk\r\n"] * count
        assert world.counters.keep_alives_sent == 3

    def test_http10(self) -> None:
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10), framing=HTTP10)
        world.pass_time(10)
        assert client.outlet.written == [b"k"]

    def test_none(self) -> None:
        world = World()
        client = world.stream("c")
        world.pass_time(1000)
        assert client.outlet.written == []
        assert len(world.wheel) == 0

    def test_no_data_writes_nothing(self) -> None:
        """grip spec §6.2"""
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"", 10))
        world.pass_time(100)
        assert client.outlet.written == []
        assert world.counters.keep_alives_sent == 0

    def test_idle_is_postponed_by_writes(self) -> None:
        """grip-22"""
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10))
        world.pass_time(6)
        world.deliver(text("c", "x"))
        world.pass_time(9.9)
        assert client.content == "x"
        world.pass_time(0.1)
        assert client.content == "xk"

    def test_idle_is_postponed_by_filtered_writes(self) -> None:
        world = World()
        client = world.stream(NOT_OWN, meta=BOB, keep_alive=keep_alive(b"k", 10))
        world.pass_time(6)
        world.deliver(text("c", "x"))
        world.pass_time(9.9)
        assert client.content == "x"

    def test_interval_is_not(self) -> None:
        """grip-22"""
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10, INTERVAL))
        world.pass_time(6)
        world.deliver(text("c", "x"))
        world.pass_time(4)
        assert client.content == "xk"

    def test_empty_content_postpones(self) -> None:
        """grip spec §6.3: it writes nothing but does re-arm."""
        world = World()
        plain = world.stream("c", keep_alive=keep_alive(b"k", 10))
        filtered = world.stream(NOT_OWN, meta=BOB, keep_alive=keep_alive(b"k", 10))
        world.pass_time(6)
        world.deliver(text("c", ""))
        world.pass_time(4)
        assert (plain.content, filtered.content) == ("", "")

    @pytest.mark.parametrize(
        "item",
        [
            answer("c", "x"),
            make_item("c", stream=StreamFormat(Action.HINT)),
            make_item("c", stream=StreamFormat(Action.REFRESH)),
            make_item("c"),
        ],
        ids=["for long polls", "hint", "refresh", "for nobody here"],
    )
    def test_what_is_not_for_streams_does_not(self, item: Item) -> None:
        """grip spec §10.1: an item without the hold's format does not touch it."""
        world = World()
        plain = world.stream("c", keep_alive=keep_alive(b"k", 10))
        filtered = world.stream(NOT_OWN, meta=BOB, keep_alive=keep_alive(b"k", 10))
        world.pass_time(6)
        world.deliver(item)
        world.pass_time(4)
        assert (plain.content, filtered.content) == ("k", "k")

    def test_a_late_write_may_keep_the_deadline(self) -> None:
        """The jitter makes any time in the last second as good as another, so nothing is moved for less."""
        world = World(jitter=[0.1])
        client = world.stream("c", keep_alive=keep_alive(b"k", 1))
        world.pass_time(0.5)
        world.deliver(text("c", "x"))
        world.pass_time(0.4)
        assert client.content == "xk"

    @pytest.mark.parametrize("mode", [IDLE, INTERVAL])
    def test_blocked_clients_are_left_alone(self, mode: KeepAliveMode) -> None:
        """grip spec §6.2: stops while the client cannot take data."""
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10, mode))
        client.outlet.is_blocked = True
        world.pass_time(15)
        assert client.content == ""
        client.outlet.is_blocked = False
        world.pass_time(5)
        assert client.content == "k"

    @pytest.mark.parametrize("mood", [Mood.GONE, Mood.CUT_OFF])
    def test_the_client_turns_out_to_be_gone(self, mood: Mood) -> None:
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10))
        client.outlet.mood = mood
        world.pass_time(100)
        world.assert_empty()

    def test_ended_streams_have_none(self) -> None:
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b"k", 10))
        world.deliver(close("c"))
        world.pass_time(100)
        assert client.outlet.written == []
        world.assert_empty()

    @pytest.mark.parametrize("given", [None, keep_alive(b"k", 10)])
    def test_a_timer_that_comes_too_late(self, given: KeepAlive | None) -> None:
        """Nothing but the wheel's promise keeps it from coming, so nothing depends on it."""
        world = World()
        client = world.stream("c", keep_alive=given)
        client.leave()
        client.hold.on_timer(world.now_s)
        assert client.outlet.written == []
        world.assert_empty()


class TestEncodeOnce:
    def test_streams_share_the_chunk(self) -> None:
        world = World()
        one, two = world.stream("c"), world.stream("c", "d")
        world.deliver(text("c", "x"), text("c", "y"))
        assert one.outlet.written[0] is two.outlet.written[0]
