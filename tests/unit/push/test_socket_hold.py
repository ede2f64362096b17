"""WebSockets as receivers of items, as conversations: what is published and relayed, and what the client sees."""

from __future__ import annotations

import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.push.helpers import (
    DEBUG_ROUTE,
    Mood,
    SocketClient,
    World,
    later,
    make_item,
    message,
    piece,
    text,
)

from holdfast.grip.filters import Question, Verdict
from holdfast.grip.item import Action, MessageKind
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.grip.ws_control import Message
from holdfast.push.dialects import COMPRESSED, PLAIN, SOCKJS, SOCKJS_HTTP, Dialect
from holdfast.push.intake import MAX_QUEUED
from holdfast.push.plan import PlanTable, RouteTerms
from holdfast.push.render import ItemSkipped
from holdfast.push.run import Receipt
from holdfast.push.socket_hold import INTERNAL_ERROR, MAX_META_BYTES
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import Opcode

TEXT, BINARY, PING, PONG = MessageKind.TEXT, MessageKind.BINARY, MessageKind.PING, MessageKind.PONG
IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL


def counts(receipts: list[Receipt]) -> list[tuple[int, int, int]]:
    return [(receipt.receivers, receipt.dropped, receipt.queued) for receipt in receipts]


# --- items -----------------------------------------------------------------------------------------------------------


class TestItems:
    @pytest.mark.spec("ws-52")
    def test_a_subscriber_gets_them(self) -> None:
        world = World()
        client, other = world.socket("c"), world.socket("d")
        assert world.deliver(message("c", "1"), message("e", "2")) == [(1, 0), (0, 0)]
        assert (client.messages, other.messages) == (["1"], [])

    @pytest.mark.spec("ws-70")
    def test_kinds(self) -> None:
        world = World()
        client = world.socket("c")
        world.deliver(*[message("c", "x", kind=kind) for kind in MessageKind], message("c", kind=PING), message("c"))
        assert client.messages == ["x", "binary:x", "ping:x", "pong:x", "ping:", ""]

    @pytest.mark.spec("ws-77")
    def test_a_run_is_one_write(self) -> None:
        world = World()
        clients = [world.socket("c") for _ in range(3)]
        receipts = world.publish(*[message("c", str(number)) for number in range(6)])
        world.run()
        assert [client.frames for client in clients] == [[["0", "1", "2", "3", "4", "5"]]] * 3
        assert counts(receipts) == [(3, 0, 0)] * 6
        assert world.counters.deliveries == 18

    def test_items_for_others_are_nothing(self) -> None:
        world = World()
        client, stream = world.socket("c"), world.stream("c")
        assert world.deliver(text("c", "for streams"), message("c", "1")) == [(1, 0), (1, 0)]
        assert (client.messages, stream.content) == (["1"], "for streams")
        world.deliver(text("c", "again"))
        assert len(client.outlet.written) == 1

    def test_nothing_before_it_is_open_or_after_it_is_closed(self) -> None:
        world = World()
        client = SocketClient(world.context, world.plans, RouteTerms(implicit_channels=("c",)))
        world.deliver(message("c", "early"))
        client.hold.open(client.outlet)
        world.deliver(message("c", "1"))
        world.publish(message("c", "late"))
        client.hold.close()
        client.hold.close()
        world.run()
        assert client.messages == ["1"]
        assert world.counters.holds_opened == 1
        world.assert_empty()

    def test_one_that_is_slow_loses_what_is_written(self) -> None:
        world = World()
        client, other = world.socket("c"), world.socket("c")
        client.outlet.mood = Mood.REFUSES
        assert world.deliver(message("c", "1")) == [(1, 1)]
        client.outlet.mood = Mood.TAKES
        assert world.deliver(message("c", "2")) == [(2, 0)]
        assert (client.messages, other.messages) == (["2"], ["1", "2"])

    @pytest.mark.parametrize("dialect", [PLAIN, COMPRESSED])
    def test_one_that_has_left_is_not_counted(self, dialect: Dialect) -> None:
        world = World()
        client = world.socket("c", dialect=dialect)
        client.outlet.mood = Mood.GONE
        assert world.deliver(message("c", "1")) == [(0, 0)]
        world.assert_empty()

    def test_one_that_fails_does_not_keep_the_others_from_theirs(self) -> None:
        world = World()
        broken, fine = world.socket("c"), world.socket("c")
        broken.outlet.mood = Mood.BREAKS
        assert world.deliver(message("c", "1")) == [(1, 0)]
        assert fine.messages == ["1"]

    @pytest.mark.spec("ws-85")
    def test_compression_is_shared(self) -> None:
        world = World()
        plain = world.socket("c")
        compressed = [world.socket("c", is_compressed=True) for _ in range(2)]
        content = "hello " * 100
        receipts = world.publish(message("c", content), message("c", "p", kind=PING), message("c", "b", kind=BINARY))
        world.run()
        for client in (plain, *compressed):
            assert client.messages == [content, "ping:p", "binary:b"]
        first, second = (client.outlet.written for client in compressed)
        assert first[0] is second[0]
        assert len(first[0]) < len(plain.outlet.written[0])
        assert counts(receipts) == [(3, 0, 0)] * 3

    def test_description(self) -> None:
        world = World()
        assert world.socket("c", "d").hold.describe() == "WebSocket of c, d"
        assert world.socket().hold.describe() == "WebSocket of no channel"

    def test_there_is_nothing_to_ask(self) -> None:
        """Updates are a matter of other holds."""
        world = World()
        client = world.socket("c")
        assert client.messages == []
        assert world.registry.holds() == set()


class TestActions:
    @pytest.mark.spec("ws-72")
    @pytest.mark.parametrize(
        ("code", "reason", "status"),
        [(None, "", NO_STATUS), (None, "lost", NO_STATUS), (4000, "bye", CloseStatus(4000, "bye"))],
    )
    def test_close(self, code: int | None, reason: str, status: CloseStatus) -> None:
        world = World()
        client = world.socket("c")
        closing = message("c", action=Action.CLOSE, code=code, reason=reason)
        assert world.deliver(message("c", "1"), closing, message("c", "2")) == [(1, 0), (0, 0), (0, 0)]
        assert (client.messages, client.closed) == (["1"], [status])
        world.assert_empty()

    @pytest.mark.spec("ws-42")
    def test_refresh(self) -> None:
        world = World()
        client = world.socket("c")
        world.deliver(message("c", "1"), message("c", action=Action.REFRESH), message("c", "2"))
        assert (client.refreshed, client.messages) == (1, ["1", "2"])

    @pytest.mark.spec("ws-74")
    def test_hint(self) -> None:
        world = World()
        client, filtered = world.socket("c"), world.socket(Subscription("c", None, ("skip-self",)))
        assert world.deliver(message("c", action=Action.HINT), message("c", "1")) == [(0, 0), (2, 0)]
        world.deliver(message("c", action=Action.HINT))
        assert client.messages == filtered.messages == ["1"]

    def test_items_for_others_beside_an_action(self) -> None:
        world = World()
        client = world.socket("c")
        world.deliver(text("c", "x"), message("c", action=Action.REFRESH))
        assert (client.refreshed, client.messages) == (1, [])

    @pytest.mark.spec("ws-81")
    @pytest.mark.parametrize("is_mid_message", [True, False])
    def test_what_waits_when_a_publisher_closes_is_counted(self, is_mid_message: bool) -> None:
        """The message will not end any more, and a close frame is all that may follow its pieces."""
        world = World()
        client = world.socket("c")
        client.hold.relay(piece("r1", first=True, last=not is_mid_message))
        world.deliver(message("c", "1"))
        world.deliver(message("c", "2"))
        world.deliver(message("c", action=Action.CLOSE))
        assert world.counters.drops_socket_closed == (2 if is_mid_message else 0)
        assert not client.hold.is_open


# --- subscriptions ---------------------------------------------------------------------------------------------------


class TestSubscriptions:
    @pytest.mark.spec("ws-52")
    def test_come_and_go(self) -> None:
        world = World()
        client = world.socket()
        world.deliver(message("c", "0"))
        assert client.hold.subscribe("c", ())
        world.deliver(message("c", "1"))
        assert client.hold.subscribe("c", ())
        world.deliver(message("c", "2"))
        client.hold.unsubscribe("d")
        client.hold.unsubscribe("c")
        world.deliver(message("c", "3"))
        assert client.messages == ["1", "2"]
        client.leave()
        world.assert_empty()

    @pytest.mark.spec("ws-54")
    def test_there_is_a_limit(self) -> None:
        """At which not even a known channel can be subscribed to again."""
        world = World()
        client = world.socket(*[str(number) for number in range(20)])
        assert not client.hold.subscribe("20", ())
        assert not client.hold.subscribe("1", ())
        client.hold.unsubscribe("1")
        assert client.hold.subscribe("20", ())
        world.deliver(message("20", "x"), message("1", "y"))
        assert client.messages == ["x"]

    @pytest.mark.spec("ws-56", "ws-57")
    def test_of_the_route(self) -> None:
        world = World()
        client = world.socket("a", route=RouteTerms(prefix="p-", implicit_channels=("all", "p-b")))
        client.hold.subscribe("b", ())
        client.hold.unsubscribe("b")
        client.hold.unsubscribe("all")
        world.deliver(*[message(channel, channel) for channel in ("a", "p-a", "p-b", "all")])
        assert client.messages == ["p-a", "p-b", "all"]
        client.leave()
        world.assert_empty()

    def test_of_the_route_come_in_order_of_acceptance(self) -> None:
        world = World(slice_writes=1)
        route = RouteTerms(implicit_channels=("a", "b"))
        others = [world.socket("a") for _ in range(3)]
        client = world.socket(route=route)
        others += [world.socket("a") for _ in range(3)]
        world.publish(message("a", "1"), message("b", "2"), message("a", "3"))
        world.run()
        assert client.messages == ["1", "2", "3"]

    def test_what_is_on_its_way_does_not_come_after_it_is_left(self) -> None:
        world, paced = World(), World(rate=1)
        for it in (world, paced):
            client = it.socket("c")
            it.publish(message("c", "0"), message("c", "1"))
            client.hold.unsubscribe("c")
            it.run()
            it.pass_time(5)
            assert client.messages == []
            it.assert_empty()

    def test_filters_are_replaced(self) -> None:
        world = World()
        client = world.socket("c", meta={"user": "bob"})
        client.hold.subscribe("c", ("var-subst",))
        world.deliver(message("c", "%(user)s"))
        client.hold.subscribe("c", ())
        world.deliver(message("c", "%(user)s"))
        assert client.messages == ["bob", "%(user)s"]

    @pytest.mark.spec("ws-58")
    def test_meta(self) -> None:
        world = World()
        client = world.socket(Subscription("c", None, ("skip-self",)))
        for name, value in [("other", "x"), ("user", "eve"), ("user", "bob"), ("user", None), ("user", "")]:
            client.hold.set_meta(name, value)
            world.deliver(message("c", f"{name}={value}", meta={"sender": "bob"}))
        assert client.messages == ["other=x", "user=eve", "user=None", "user="]
        assert client.hold.plan.meta == {"other": "x", "user": ""}

    def test_nothing_is_subscribed_to_after_the_end(self) -> None:
        world = World()
        client = world.socket("c")
        client.leave()
        assert client.hold.subscribe("d", ())
        client.hold.unsubscribe("c")
        client.hold.set_meta("a", "b")
        world.assert_empty()

    def test_equal_ones_share_a_plan(self) -> None:
        world = World()
        one, two = world.socket("c", meta={"a": "b"}), world.socket("c", meta={"a": "b"})
        assert one.hold.plan is two.hold.plan


class TestFilters:
    def test_each_hold_has_its_own_content(self) -> None:
        world = World()
        filters = Subscription("c", None, ("var-subst",))
        bob, eve = (world.socket(filters, meta={"user": name}, is_compressed=name == "eve") for name in ("bob", "eve"))
        plain = world.socket("c")
        receipts = world.publish(message("c", "to %(user)s 100%%"), message("c", "2"))
        world.run()
        assert bob.messages == ["to bob 100%", "2"]
        assert eve.messages == ["to eve 100%", "2"]
        assert plain.messages == ["to %(user)s 100%%", "2"]
        assert counts(receipts) == [(3, 0, 0)] * 2
        assert world.counters.deliveries == 6

    @pytest.mark.spec("ws-76")
    def test_an_item_that_fails_is_lost(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        client = world.socket(Subscription("c", None, ("var-subst",)))
        assert world.deliver(message("c", "%(user)s"), message("c", "2")) == [(0, 1), (1, 0)]
        assert (client.messages, client.closed) == (["2"], [])
        assert world.counters.drops_filter_failed == 1
        assert caplog.messages[0].startswith("client 192.0.2.1:5000, WebSocket of c: item not delivered: filter error:")

    def test_an_item_that_fails_closes_in_debug_mode(self) -> None:
        """ws spec §3.4"""
        world = World()
        client = world.socket(Subscription("c", None, ("var-subst",)), route=DEBUG_ROUTE)
        world.deliver(message("c", "%(user)s"), message("c", "2"))
        reason = "filter error: var-subst: No such variable 'user' at position 7"
        assert (client.messages, client.closed) == ([], [CloseStatus(INTERNAL_ERROR, reason)])
        world.assert_empty()

    def test_an_item_that_is_dropped_is_no_loss(self) -> None:
        world = World()
        client = world.socket(Subscription("c", None, ("skip-self",)), meta={"user": "bob"}, route=DEBUG_ROUTE)
        assert world.deliver(message("c", "1", meta={"sender": "bob"}), message("c", "2")) == [(0, 0), (1, 0)]
        assert (client.messages, client.closed) == (["2"], [])
        assert (world.counters.deliveries_filtered, world.counters.drops_filter_failed) == (1, 0)

    @pytest.mark.parametrize("action", [Action.CLOSE, Action.REFRESH])
    def test_actions_are_dropped_too(self, action: Action) -> None:
        world = World()
        client = world.socket(Subscription("c", None, ("skip-self",)), meta={"user": "bob"})
        world.deliver(message("c", action=action, meta={"sender": "bob"}))
        assert (client.closed, client.refreshed) == ([], 0)
        world.deliver(message("c", action=action))
        assert len(client.closed) + client.refreshed == 1

    @pytest.mark.spec("ws-75")
    def test_content_filters(self) -> None:
        world = World()
        with_filter, without = world.socket(Subscription("c", None, ("var-subst",))), world.socket("c")
        wanted = message("c", "1", content_filters=("var-subst",))
        assert world.deliver(wanted, message("c", "2")) == [(1, 1), (2, 0)]
        assert (with_filter.messages, without.messages) == (["1", "2"], ["2"])

    def test_one_that_is_slow_loses_what_is_written(self) -> None:
        world = World()
        client = world.socket(Subscription("c", None, ("skip-self",)), meta={"user": "bob"})
        client.outlet.mood = Mood.REFUSES
        assert world.deliver(message("c", "1")) == [(0, 1)]
        own = message("c", "own", meta={"sender": "bob"})
        assert world.deliver(own, message("c", "1")) == [(0, 0), (0, 1)]
        client.outlet.mood = Mood.GONE
        assert world.deliver(own, message("c", "2"), message("c", "3")) == [(0, 0)] * 3
        world.assert_empty()


class TestNetworkFilters:
    """ws spec §2.4 with grip spec §11.4: a filter that asks the network makes items wait, of all channels."""

    CHECKED = Subscription("c", None, ("http-check",))

    def question(self, client: SocketClient) -> Question:
        rendering = client.hold.rendering()
        assert rendering is not None
        return next(rendering)

    def test_items_wait_for_the_verdict(self) -> None:
        world = World()
        client = world.socket(self.CHECKED, "d")
        receipts = world.publish(message("c", "1"), message("d", "2"), message("d", "3"))
        world.run()
        assert world.backends.filtering == [client.hold]
        assert client.messages == []
        assert self.question(client).context.channel == "c"
        client.hold.filtered(b"1")
        assert client.messages == ["1", "2", "3"]
        assert counts(receipts) == [(1, 0, 0), (1, 0, 1), (1, 0, 1)]
        assert world.counters.deliveries == 3
        client.leave()
        world.assert_empty()

    def test_one_question_at_a_time(self) -> None:
        world = World()
        client = world.socket(self.CHECKED)
        world.deliver(message("c", "1"), message("c", "2"), message("c", "3"))
        assert len(world.backends.filtering) == 1
        client.hold.filtered(b"one")
        assert len(world.backends.filtering) == 2
        client.hold.skipped(ItemSkipped())
        assert len(world.backends.filtering) == 3
        client.hold.filtered(b"three")
        world.deliver(message("c", "4"))
        assert (len(world.backends.filtering), client.messages) == (4, ["one", "three"])
        assert world.counters.deliveries_filtered == 1

    def test_other_channels_do_not_wait_when_nothing_is_asked(self) -> None:
        world = World()
        client = world.socket(self.CHECKED, "d")
        world.deliver(message("d", "1"))
        assert (client.messages, world.backends.filtering) == (["1"], [])

    def test_actions(self) -> None:
        world = World()
        client = world.socket(self.CHECKED)
        world.deliver(message("c", action=Action.REFRESH), message("c", action=Action.CLOSE), message("c", "3"))
        client.hold.filtered(b"")
        assert client.refreshed == 1
        client.hold.filtered(b"")
        assert client.closed == [NO_STATUS]
        assert len(world.backends.filtering) == 2
        world.assert_empty()

    def test_a_failure(self) -> None:
        world = World()
        client, debug = world.socket(self.CHECKED), world.socket(self.CHECKED, route=DEBUG_ROUTE)
        receipts = world.publish(message("c", "1"), message("c", "2"))
        world.run()
        for it in (client, debug):
            it.hold.skipped(ItemSkipped("filter error: why", is_failure=True))
        client.hold.filtered(b"2")
        assert (client.messages, client.closed) == (["2"], [])
        assert debug.closed == [CloseStatus(INTERNAL_ERROR, "filter error: why")]
        assert counts(receipts) == [(0, 2, 0), (1, 0, 2)]

    def test_too_many_wait(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        client = world.socket(self.CHECKED)
        receipts = world.publish(*[message("c", str(number)) for number in range(MAX_QUEUED + 1)])
        world.run()
        assert counts(receipts[-2:]) == [(0, 0, 1), (0, 1, 0)]
        assert world.counters.drops_queue_full == 1
        assert "items wait already" in caplog.messages[0]
        for number in range(MAX_QUEUED):
            client.hold.filtered(str(number).encode())
        assert client.messages == [str(number) for number in range(MAX_QUEUED)]

    def test_the_end_comes_first(self) -> None:
        world = World()
        client = world.socket(self.CHECKED)
        world.deliver(message("c", "1"))
        client.leave()
        assert client.hold.rendering() is None
        client.hold.filtered(b"1")
        client.hold.skipped(ItemSkipped())
        assert client.messages == []
        assert client.hold.intake is not None
        assert len(client.hold.intake) == 0
        world.assert_empty()

    def test_items_go_on_waiting_while_subscriptions_change(self) -> None:
        world = World()
        client = world.socket(self.CHECKED)
        world.deliver(message("c", "1"), message("c", "2"))
        client.hold.subscribe("d", ("http-modify",))
        client.hold.set_meta("user", "bob")
        world.deliver(message("d", "3"))
        for number in range(1, 4):
            client.hold.filtered(str(number).encode())
        assert client.messages == ["1", "2", "3"]

    def test_a_channel_that_is_left_meanwhile(self) -> None:
        """Neither the item that is asked about nor those behind it come late; they might not even be filtered."""
        world = World()
        client = world.socket(self.CHECKED, "d")
        world.deliver(message("c", "1"), message("d", "2"), message("c", "3"))
        client.hold.unsubscribe("c")
        client.hold.filtered(b"1")
        assert client.messages == ["2"]

    def test_a_channel_that_is_left_meanwhile_and_fails(self) -> None:
        world = World()
        client = world.socket(self.CHECKED, "d", route=DEBUG_ROUTE)
        world.deliver(message("c", "1"), message("d", "2"))
        client.hold.unsubscribe("c")
        client.hold.skipped(ItemSkipped("why", is_failure=True))
        assert (client.messages, client.closed) == (["2"], [])

    def test_a_hold_without_such_filters_is_never_asked(self) -> None:
        world = World()
        client = world.socket("c")
        assert client.hold.rendering() is None
        client.hold.filtered(b"x")
        assert client.messages == []

    def test_what_is_asked(self) -> None:
        world = World()
        client = world.socket(
            Subscription("c", None, ("http-modify",)), meta={"user": "bob"}, route=RouteTerms(prefix="p-")
        )
        world.deliver(message("p-c", "content", meta={"sender": "eve"}))
        rendering = client.hold.rendering()
        assert rendering is not None
        question = next(rendering)
        assert question.content == b"content"
        context = question.context
        assert (context.hold_meta, context.item_meta, context.channel) == ({"user": "bob"}, {"sender": "eve"}, "c")
        with pytest.raises(StopIteration) as done:
            rendering.send(Verdict(content=b"new"))
        client.hold.filtered(done.value.value)
        assert client.messages == ["new"]


def test_an_operator_wants_news() -> None:
    client = World().socket()
    client.hold.refresh()
    assert client.refreshed == 1
    client.leave()
    client.hold.refresh()
    assert client.refreshed == 1


def test_no_more_subscriptions_than_allowed() -> None:
    world = World()
    client = SocketClient(world.context, PlanTable(1), RouteTerms())
    client.hold.open(client.outlet)
    assert [client.hold.subscribe(channel, ()) for channel in "cdc"] == [True, False, False]
    assert not client.hold.set_meta("name", "x" * MAX_META_BYTES)


# --- what clients speak ----------------------------------------------------------------------------------------------


class TestDialects:
    def test_each_gets_its_own_made_once(self) -> None:
        """Framed SockJS is one more rendering of the same items."""
        world = World()
        dialects: list[Dialect] = [PLAIN, SOCKJS, SOCKJS_HTTP]
        clients = [world.socket("c", dialect=dialect) for dialect in dialects for _ in range(2)]
        receipts = world.publish(message("c", "1"), message("c", "p", kind=PING), message("c", "\u2028"))
        world.run()
        assert counts(receipts) == [(6, 0, 0)] * 3
        writes = [client.outlet.written[-1] for client in clients]
        assert writes[0] == b"\x81\x011\x89\x01p\x81\x03\xe2\x80\xa8"
        assert writes[2] == b'\x81\x06a["1"]\x89\x01p\x81\x0ba["\\u2028"]'
        assert writes[4] == b'a["1","\\u2028"]'
        assert all(one is other for one, other in zip(writes[::2], writes[1::2], strict=True))

    def test_what_a_dialect_has_no_words_for(self) -> None:
        """Nobody is told of a ping, and nothing is written."""
        world = World()
        filtered = Subscription("f", None, ("skip-self",))
        client = world.socket("c", filtered, dialect=SOCKJS_HTTP)
        assert world.deliver(message("c", "p", kind=PING), message("f", "p", kind=PONG)) == [(0, 0), (0, 0)]
        client.hold.relay_control(Opcode.PING, b"p")
        client.hold.send_order(Message(PING, b"p"))
        assert client.outlet.written == [b"o"]


# --- together --------------------------------------------------------------------------------------------------------

STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("publish"), st.sampled_from(["plain", "filtered", "asked"])),
        st.tuples(st.just("relay"), st.booleans()),
        st.tuples(st.just("verdict"), st.booleans()),
        st.tuples(st.just("delayed"), st.none()),
        st.tuples(st.just("turn"), st.none()),
    ),
    max_size=40,
)


@given(STEPS, st.booleans())
def test_whatever_comes_together_is_whole_and_in_order(steps: list[tuple[str, object]], is_compressed: bool) -> None:
    """Messages of the backend are whole, published ones in order of acceptance, each once."""
    world = World(slice_writes=1)
    filters = [Subscription("filtered", None, ("skip-self",)), Subscription("asked", None, ("http-check",))]
    client = world.socket("plain", *filters, is_compressed=is_compressed)
    accepted: list[str] = []
    relayed: list[str] = []
    pending = ""
    delayed = 0

    def answer(passes: bool) -> None:
        rendering = client.hold.rendering()
        if rendering is None:
            return
        try:
            question = next(rendering)
        except StopIteration as done:
            raise AssertionError("nothing to ask") from done
        number = question.context.item_meta["number"]
        if passes:
            client.hold.filtered(number.encode())
        else:
            accepted.remove(number)
            client.hold.skipped(ItemSkipped())

    for number, (what, argument) in enumerate(steps):
        match what, argument:
            case "publish", str() as channel:
                accepted.append(f"p{number}")
                world.publish(message(channel, f"p{number}", meta={"number": f"p{number}"}))
            case "relay", bool() as is_last:
                client.hold.relay(piece(f"r{number}", first=not pending, last=is_last))
                pending += f"r{number}"
                if is_last:
                    relayed.append(pending)
                    pending = ""
            case "verdict", bool() as passes:
                answer(passes)
            case "delayed", _:
                delayed += 1
                client.hold.send_delayed(later(5, f"d{number}"))
            case _:
                world.run_turn()
    world.run()
    while client.hold.rendering() is not None:
        answer(True)
    client.hold.flush_delayed()
    client.hold.relay(piece("end", first=not pending, last=True))
    relayed.append(pending + "end")
    seen = client.messages
    assert [content for content in seen if content[0] == "p"] == accepted
    assert [content for content in seen if content[0] not in "pd"] == relayed
    assert len([content for content in seen if content[0] == "d"]) == delayed
    client.leave()
    world.assert_empty()


def test_nothing_is_logged_about_ordinary_items(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        world = World()
        world.socket("c")
        world.deliver(message("c", "1"), make_item("c"))
    assert caplog.messages == ["publish channel=c receivers=1", "publish channel=c receivers=0"]
