"""Holds as conversations: what is published, how much time passes, and what the client has then."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.unit.push.helpers import (
    DEBUG_ROUTE,
    HEAD,
    HTTP10,
    HTTP11,
    REQUEST,
    ROUTE,
    Client,
    World,
    answer,
    at,
    hint,
    make_instruct,
    make_item,
    prev_ids,
    step,
    text,
)

from holdfast.grip.filters import Verdict
from holdfast.grip.item import Action, ResponseFormat
from holdfast.grip.values import BackendResponse, HoldMode, Subscription
from holdfast.push.intake import MAX_QUEUED
from holdfast.push.outlet import Framing, FramingTable
from holdfast.push.plan import RouteTerms
from holdfast.push.render import ItemSkipped
from holdfast.push.response_hold import ResponseHold, encode_response
from holdfast.wire.cross_origin import Cors
from holdfast.wire.jsonp import Jsonp

SUBSTITUTED = Subscription("c", None, ("var-subst",))
NOT_OWN = Subscription("c", None, ("skip-self",))
BOB: dict[str, str | None] = {"user": "bob"}
ANSWER = ResponseFormat(Action.SEND, body=b"x")


class TestResponse:
    def test_nothing_is_sent_before_its_time(self) -> None:
        """grip-37, grip-38"""
        world = World()
        client = world.poll("c", timeout_s=7)
        world.pass_time(6.9)
        assert (client.outlet.written, client.end) == ([], None)
        world.pass_time(0.1)
        assert client.outlet.finished == [(b"HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 5\r\n\r\nkept\n", True)]
        assert world.counters.holds_timed_out == 1
        world.assert_empty()

    def test_answered_by_an_item(self) -> None:
        """grip-39, grip-40"""
        world = World()
        client = world.poll("c")
        assert world.deliver(answer("c", "new", 404)) == [(1, 0)]
        assert client.end == b"HTTP/1.1 404 Not Found\r\nX-Kept: 1\r\nContent-Length: 3\r\n\r\nnew"
        assert world.counters.deliveries == 1
        world.assert_empty()

    def test_answered_once(self) -> None:
        """grip-41"""
        world = World()
        client = world.poll("c")
        assert world.deliver(text("c", "x"), answer("c", "one"), answer("c", "two")) == [(0, 0), (1, 0), (0, 0)]
        assert world.deliver(answer("c", "three")) == [(0, 0)]
        assert client.body == "one"
        world.pass_time(100)
        client.leave()
        client.hold.end()
        client.hold.on_timer(world.now_s)
        assert len(client.outlet.finished) == 1
        assert (world.counters.holds_timed_out, world.counters.holds_abandoned) == (0, 0)

    @pytest.mark.parametrize("action", [Action.CLOSE, Action.REFRESH])
    def test_other_actions_leave_it_waiting(self, action: Action) -> None:
        """grip-42"""
        world = World()
        client = world.poll("c")
        assert world.deliver(make_item("c", response=ResponseFormat(action)), answer("c", "x")) == [(0, 0), (1, 0)]
        assert client.body == "x"

    def test_http10(self) -> None:
        """grip spec §5.4"""
        world = World()
        client = world.poll("c", framing=HTTP10)
        world.deliver(answer("c", "x"))
        assert client.outlet.finished == [(b"HTTP/1.0 200 OK\r\nX-Kept: 1\r\nContent-Length: 1\r\n\r\nx", False)]

    def test_head(self) -> None:
        """grip spec §5.3: the length is that of the body, which is not sent."""
        world = World()
        published, timed_out = world.poll("c", framing=HEAD), world.poll("d", framing=HEAD, timeout_s=5)
        world.deliver(answer("c", "new"))
        world.pass_time(5)
        assert published.end == b"HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 3\r\n\r\n"
        assert timed_out.end == b"HTTP/1.1 200 OK\r\nX-Kept: 1\r\nContent-Length: 5\r\n\r\n"

    def test_leaving(self) -> None:
        world = World()
        client = world.poll("c")
        client.leave()
        client.leave()
        assert world.counters.holds_abandoned == 1
        assert world.deliver(answer("c", "x")) == [(0, 0)]
        world.assert_empty()

    def test_leaving_before_it_began(self) -> None:
        world = World()
        hold = ResponseHold(world.context, world.plan(make_instruct(HoldMode.RESPONSE, "c")), HTTP11, REQUEST)
        client = Client(hold)
        client.leave()
        hold.open(client.outlet)
        world.pass_time(100)
        assert (hold.is_open, client.outlet.finished) == (False, [])
        world.assert_empty()

    def test_filters(self) -> None:
        world = World()
        bob, eve = world.poll(SUBSTITUTED, meta={"user": "bob"}), world.poll(SUBSTITUTED, meta={"user": "eve"})
        assert world.deliver(answer("c", "for %(user)s")) == [(2, 0)]
        assert (bob.body, eve.body) == ("for bob", "for eve")

    def test_dropped_on_purpose(self) -> None:
        world = World()
        client = world.poll(NOT_OWN, meta=BOB)
        own = make_item("c", response=ResponseFormat(Action.SEND, body=b"own"), meta={"sender": "bob"})
        assert world.deliver(own, answer("c", "x")) == [(0, 0), (1, 0)]
        assert client.body == "x"
        assert world.counters.deliveries_filtered == 1

    def test_failure(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip-89: the client goes on waiting."""
        world = World()
        client = world.poll(SUBSTITUTED)
        assert world.deliver(answer("c", "%(user)s")) == [(0, 1)]
        assert client.end is None
        assert world.counters.drops_filter_failed == 1
        assert "client 192.0.2.1:5000, long poll of c: item not delivered: filter error: var-subst" in caplog.text

    def test_failure_in_debug_mode(self) -> None:
        """grip spec §5.10"""
        world = World()
        client = world.poll(SUBSTITUTED, route=DEBUG_ROUTE)
        assert world.deliver(answer("c", "%(user)s"), answer("c", "x")) == [(0, 1), (0, 0)]
        assert client.end is not None
        assert client.end.startswith(b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\n")
        assert client.body == "filter error: var-subst: No such variable 'user' at position 7\n"
        world.assert_empty()

    def test_failing_patch(self) -> None:
        """grip-96"""
        world = World()
        client = world.poll("c", body=b"no JSON")
        item = make_item("c", response=ResponseFormat(Action.SEND, body_patch=[]))
        assert world.deliver(item) == [(0, 1)]
        assert client.body == "Error while proxying to origin.\n"

    def test_content_filters_of_an_item(self) -> None:
        """grip-91"""
        world = World()
        plain, matching = world.poll("c"), world.poll(SUBSTITUTED, meta=BOB)
        fmt = ResponseFormat(Action.SEND, body=b"%(user)s", content_filters=("var-subst",))
        assert world.deliver(make_item("c", response=fmt)) == [(1, 1)]
        assert (plain.end, matching.body) == (None, "bob")

    def test_describe(self) -> None:
        assert World().poll("a", "b").hold.describe() == "long poll of a, b"
        assert World().poll().hold.describe() == "long poll of no channel"


class TestPrevIdOnArrival:
    def test_a_missed_item_asks_at_once(self) -> None:
        """grip-46: nothing is held, and nobody is subscribed."""
        world = World()
        world.last_ids.set("c", "2")
        client = world.poll(at("1"))
        assert world.retried == [client.hold]
        assert (client.hold.is_open, client.outlet.written, client.end) == (False, [], None)
        assert (world.counters.holds_opened, world.counters.holds_retried) == (0, 1)
        world.assert_empty()

    def test_what_the_retry_needs_is_kept(self) -> None:
        """grip spec §5.6"""
        world = World()
        world.last_ids.set("c", "2")
        world.poll(at("1"), at(None, "d"))
        [hold] = world.retried
        assert (hold.request, prev_ids(hold)) == (REQUEST, {"c": "1"})

    @pytest.mark.parametrize("last_id", [None, "1"], ids=["unknown", "equal"])
    def test_no_conflict(self, last_id: str | None) -> None:
        world = World()
        if last_id is not None:
            world.last_ids.set("c", last_id)
        client = world.poll(at("1"))
        assert (client.hold.is_open, world.retried, world.last_ids.get("c")) == (True, [], last_id)

    def test_without_prev_id(self) -> None:
        world = World()
        world.last_ids.set("c", "2")
        assert world.poll("c").hold.is_open

    def test_the_empty_string_is_an_id(self) -> None:
        world = World()
        world.last_ids.set("c", "2")
        assert world.poll(at("")).hold.is_open is False

    def test_the_same_prev_id_again_is_held(self) -> None:
        """grip-48"""
        world = World()
        world.last_ids.set("c", "2")
        world.poll(at("1"))
        assert world.poll(at("1")).hold.is_open

    def test_every_conflicting_channel_is_forgotten_and_no_other(self) -> None:
        """grip spec §5.5"""
        world = World()
        for channel in "abcd":
            world.last_ids.set(channel, "2")
        world.poll(at("1", "a"), at("2", "b"), at("1", "c"), at(None, "d"))
        assert [world.last_ids.get(channel) for channel in "abcd"] == [None, "2", None, "2"]
        assert len(world.retried) == 1

    def test_an_item_between_two_polls(self) -> None:
        """grip-52"""
        world = World(linger_s=60)
        world.poll(at("0"))
        world.deliver(answer("c", "x", item_id="1", prev_id="0"))
        world.deliver(answer("c", "missed", item_id="2", prev_id="1"))
        world.pass_time(30)
        second = world.poll(at("1"))
        assert world.retried == [second.hold]

    def test_after_the_linger(self) -> None:
        """grip-53"""
        world = World(linger_s=60)
        world.poll("c")
        world.deliver(answer("c", "x", item_id="1"))
        world.pass_time(60.2)
        assert world.poll(at("0")).hold.is_open

    def test_a_client_that_left_before_is_not_asked_for(self) -> None:
        world = World()
        world.last_ids.set("c", "2")
        instruct = make_instruct(HoldMode.RESPONSE, at("1"))
        client = Client(ResponseHold(world.context, world.plan(instruct), HTTP11, REQUEST))
        client.leave()
        client.hold.open(client.outlet)
        assert (world.retried, world.last_ids.get("c")) == ([], "2")


class TestPrevIdOfItems:
    def test_the_next_item(self) -> None:
        world = World()
        client = world.poll(at("1"))
        assert world.deliver(answer("c", "x", item_id="2", prev_id="1")) == [(1, 0)]
        assert (client.body, world.retried) == ("x", [])

    @pytest.mark.parametrize("prev_id", [None, "0", ""])
    def test_an_item_that_does_not_follow(self, prev_id: str | None) -> None:
        """grip spec §10.3: it is not delivered; what is known is forgotten; the backend is asked soon."""
        world = World()
        client, free = world.poll(at("1")), world.poll("c")
        assert world.deliver(answer("c", "x", item_id="5", prev_id=prev_id)) == [(1, 0)]
        assert (client.end, free.body, world.last_ids.get("c"), world.retried) == (None, "x", None, [])
        world.pass_time(0.1)
        assert world.retried == [client.hold]
        world.assert_empty()

    def test_answered_before_it_could_ask(self) -> None:
        world = World()
        client = world.poll(at("1"))
        missed = answer("c", "x", item_id="5", prev_id="4")
        fitting = replace(answer("c", "y", item_id="2", prev_id="1"), no_seq=True)
        world.deliver(missed, fitting)
        world.pass_time(1)
        assert (client.body, world.retried) == ("y", [])

    def test_only_of_channels_that_state_one(self) -> None:
        world = World()
        client = world.poll(at("1", "a"), at(None, "b"))
        world.deliver(answer("b", "x", item_id="5", prev_id="4"))
        assert client.body == "x"

    @pytest.mark.parametrize("subject", ["dropped", "hint", "close"])
    def test_items_that_leave_it_waiting_advance(self, subject: str) -> None:
        """grip-93: what was dropped on purpose was seen. A hint is none: who asks again names what the client has."""
        world = World()
        client = world.poll(at("1", "c", "skip-self"), meta=BOB)
        meta = {"sender": "bob"} if subject == "dropped" else {}
        action = {"dropped": Action.SEND, "hint": Action.HINT, "close": Action.CLOSE}[subject]
        item = make_item("c", response=ResponseFormat(action, body=b"x"), meta=meta, item_id="2", prev_id="1")
        world.deliver(item)
        assert prev_ids(client.hold) == {"c": "1" if subject == "hint" else "2"}
        assert bool(world.retried) is (subject == "hint")

    def test_the_chain_goes_on(self) -> None:
        world = World()
        client = world.poll(at("1", "c", "skip-self"), meta=BOB)
        own = make_item(
            "c", response=ResponseFormat(Action.SEND, body=b"own"), meta={"sender": "bob"}, item_id="2", prev_id="1"
        )
        world.deliver(own, answer("c", "x", item_id="3", prev_id="2"))
        assert client.body == "x"

    def test_a_failure_does_not_advance(self) -> None:
        """grip spec §10.3"""
        world = World()
        client = world.poll(at("1", "c", "var-subst"))
        world.deliver(answer("c", "%(user)s", item_id="2", prev_id="1"))
        assert prev_ids(client.hold) == {"c": "1"}

    def test_an_item_without_id_ends_the_chain(self) -> None:
        """grip spec §10.3: from then on everything is taken."""
        world = World()
        client = world.poll(at("1", "c", "skip-self"), meta=BOB)
        own = make_item("c", response=ResponseFormat(Action.SEND, body=b"own"), meta={"sender": "bob"}, prev_id="1")
        world.deliver(own, answer("c", "x", item_id="9", prev_id="8"))
        assert client.body == "x"

    def test_equal_holds_do_not_share_it(self) -> None:
        """One plan, two clients that have come apart."""
        world = World()
        first = world.poll(at("1", "c", "require-sub"), "d")
        world.deliver(make_item("c", response=ResponseFormat(Action.CLOSE), item_id="2", prev_id="1"))
        world.last_ids.clear()
        second = world.poll(at("1", "c", "require-sub"), "d")
        assert first.hold.plan is second.hold.plan
        world.deliver(answer("c", "x", item_id="3", prev_id="2"))
        assert (first.body, second.end) == ("x", None)


class TestAskAgain:
    def test_leaves_everything_and_says_nothing(self) -> None:
        """grip spec §5.6: the client notices nothing."""
        world = World()
        client = world.poll("a", "b")
        assert isinstance(client.hold, ResponseHold)
        client.hold.ask_again(world.now_s)
        client.hold.ask_again(world.now_s)
        world.pass_time(100)
        world.deliver(answer("a", "x"))
        assert (client.outlet.written, client.end, world.retried) == ([], None, [client.hold])
        assert (world.counters.holds_abandoned, world.counters.holds_timed_out) == (0, 0)
        world.assert_empty()

    def test_a_hint_that_a_filter_drops(self) -> None:
        """grip spec §10.6"""
        world = World()
        world.poll(NOT_OWN, meta=BOB)
        world.deliver(make_item("c", response=ResponseFormat(Action.HINT), meta={"sender": "bob"}))
        assert world.retried == []

    def test_a_hint_must_follow_too(self) -> None:
        """Out of turn it is one more sign that something was missed: not at once, but soon."""
        world = World()
        client = world.poll(at("1"))
        world.deliver(hint("c", item_id="5", prev_id="4"))
        assert world.retried == []
        world.pass_time(0.1)
        assert world.retried == [client.hold]


class TestNetworkFilters:
    """grip spec §11.4: what comes meanwhile waits; order is kept."""

    def poll(self, world: World, *, route: RouteTerms = ROUTE, prev_id: str | None = None) -> Client:
        return world.poll(at(prev_id, "c", "http-modify"), "d", route=route)

    def hold(self, client: Client) -> ResponseHold:
        assert isinstance(client.hold, ResponseHold)
        return client.hold

    def verdict(self, client: Client, verdict: Verdict) -> None:
        """What the backend does: begin, ask, and tell."""
        rendering = self.hold(client).rendering()
        assert rendering is not None
        next(rendering)
        try:
            rendering.send(verdict)
        except StopIteration as done:
            self.hold(client).filtered(done.value)
        except ItemSkipped as skipped:
            self.hold(client).skipped(skipped)

    def test_an_answer(self) -> None:
        world = World()
        client = self.poll(world)
        [receipt] = world.publish(answer("c", "x"))
        world.run()
        assert (world.backends.filtering, client.end, receipt.queued) == ([client.hold], None, 1)
        self.verdict(client, Verdict(content=b"new"))
        assert (client.body, receipt.receivers, world.counters.deliveries) == ("new", 1, 1)
        world.assert_empty()

    def test_others_wait_behind_it(self) -> None:
        """grip-41: the first that is not dropped answers."""
        world = World()
        client = self.poll(world)
        receipts = world.publish(answer("c", "1"), answer("d", "2"), answer("c", "3"))
        world.run()
        assert client.end is None
        self.verdict(client, Verdict(is_drop=True))
        assert (client.body, world.counters.deliveries_filtered) == ("2", 1)
        assert [receipt.queued for receipt in receipts] == [1, 1, 1]
        assert [receipt.receivers for receipt in receipts] == [0, 1, 0]
        world.assert_empty()

    def test_one_after_the_other(self) -> None:
        world = World()
        client = self.poll(world)
        world.deliver(answer("c", "1"), answer("c", "2"))
        self.verdict(client, Verdict(is_drop=True))
        assert len(world.backends.filtering) == 2
        self.verdict(client, Verdict())
        assert client.body == "2"

    def test_what_waits_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip spec §10.1"""
        world = World()
        client = self.poll(world)
        receipts = world.publish(*[answer("c", str(number)) for number in range(MAX_QUEUED + 1)])
        world.run()
        assert [receipt.dropped for receipt in receipts] == [0] * MAX_QUEUED + [1]
        assert world.counters.drops_queue_full == 1
        assert caplog.messages == ["client 192.0.2.1:5000, long poll of c, d: 100 items wait already; item lost"]
        client.leave()
        world.assert_empty()

    @pytest.mark.parametrize("is_debug", [False, True])
    def test_failed(self, is_debug: bool) -> None:
        """grip-94"""
        world = World()
        client = self.poll(world, route=DEBUG_ROUTE if is_debug else ROUTE, prev_id="1")
        world.deliver(answer("c", "x", item_id="2", prev_id="1"))
        self.verdict(client, Verdict(error="network request limit reached"))
        if is_debug:
            assert client.body == "filter error: http-modify: network request limit reached\n"
        else:
            assert (client.end, prev_ids(client.hold)) == (None, {"c": "1"})
        assert world.counters.drops_filter_failed == 1

    def test_dropped_counts_as_received(self) -> None:
        """grip-93"""
        world = World()
        client = self.poll(world, prev_id="1")
        world.deliver(answer("c", "x", item_id="2", prev_id="1"))
        self.verdict(client, Verdict(is_drop=True))
        assert prev_ids(client.hold) == {"c": "2"}

    @pytest.mark.parametrize(("action", "retried"), [(Action.CLOSE, False), (Action.HINT, True)])
    def test_what_makes_no_answer(self, action: Action, retried: bool) -> None:
        """A hint passes the filters before it counts (grip spec §11.1)."""
        world = World()
        client = self.poll(world, prev_id="1")
        world.deliver(make_item("c", response=ResponseFormat(action), item_id="2", prev_id="1"))
        if action is Action.HINT:
            self.verdict(client, Verdict())
        else:
            self.hold(client).filtered(None)
        assert (world.retried == [client.hold]) is retried
        assert prev_ids(client.hold) == {"c": "1" if retried else "2"}

    def test_what_the_client_has_is_left_out(self) -> None:
        world = World()
        client = self.poll(world, prev_id="1")
        assert world.deliver(answer("c", "x", item_id="1", prev_id="0")) == [(0, 0)]
        assert (world.backends.filtering, world.counters.items_not_needed, client.end) == ([], 1, None)

    def test_a_wish_waits_until_it_is_done(self) -> None:
        world = World()
        client = self.poll(world)
        world.deliver(answer("c", "x"))
        self.hold(client).update(world.now_s)
        world.pass_time(1)
        assert world.retried == []
        self.verdict(client, Verdict(is_drop=True))
        world.pass_time(0.1)
        assert world.retried == [client.hold]

    @pytest.mark.parametrize("wishes", [(True,), (True, False), (False, True)])
    def test_an_urgent_wish_stays_urgent(self, wishes: tuple[bool, ...]) -> None:
        world = World()
        client = self.poll(world)
        world.deliver(answer("c", "x"), answer("d", "y"))
        for wish in wishes:
            self.hold(client).update(world.now_s, is_urgent=wish)
        self.verdict(client, Verdict(is_drop=True))
        assert (world.retried, client.end) == ([client.hold], None)
        world.assert_empty()

    def test_a_wish_that_the_answer_overtakes(self) -> None:
        world = World()
        client = self.poll(world)
        world.deliver(answer("c", "x"))
        self.hold(client).update(world.now_s)
        self.verdict(client, Verdict())
        world.pass_time(1)
        assert (client.body, world.retried) == ("x", [])

    def test_a_gap_behind_it(self) -> None:
        world = World()
        client = self.poll(world, prev_id="1")
        world.deliver(answer("c", "2", item_id="2", prev_id="1"), replace(step("c", 4), http_response=ANSWER))
        self.verdict(client, Verdict(is_drop=True))
        world.pass_time(0.1)
        assert world.retried == [client.hold]

    @pytest.mark.parametrize("how", ["left", "timed out", "asked again"])
    def test_ended_meanwhile(self, how: str) -> None:
        world = World()
        client = self.poll(world)
        world.deliver(answer("c", "x"))
        if how == "left":
            client.leave()
        elif how == "timed out":
            world.pass_time(55)
        else:
            self.hold(client).ask_again(world.now_s)
        finished = list(client.outlet.finished)
        assert self.hold(client).rendering() is None
        self.hold(client).filtered(BackendResponse(200, b"OK", [], b"late"))
        self.hold(client).skipped(ItemSkipped())
        self.hold(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        assert client.outlet.finished == finished
        assert len(world.retried) == int(how == "asked again")
        world.assert_empty()

    def test_a_plain_one_has_nothing_to_filter(self) -> None:
        world = World()
        client = world.poll("c")
        assert self.hold(client).rendering() is None


class TestReportedEnd:
    """grip-73: whoever made the hold is told once that it has ended; who asks the backend again tells it otherwise."""

    @pytest.mark.parametrize("origin", [None, "origin"])
    @pytest.mark.parametrize("how", ["answered", "failed", "timed out", "left", "stopped"])
    def test_once(self, how: str, origin: object | None) -> None:
        world = World()
        client = world.poll(SUBSTITUTED, origin=origin, route=DEBUG_ROUTE)
        for _ in range(2):
            if how == "answered":
                world.deliver(answer("c", "x"))
            elif how == "failed":
                world.deliver(answer("c", "%(no)s"))
            elif how == "timed out":
                world.pass_time(60)
            elif how == "left":
                client.leave()
            else:
                client.hold.end()
        assert world.backends.ended == ([client.hold] if origin is not None else [])
        world.assert_empty()

    @pytest.mark.parametrize("how", ["hint", "missed"])
    def test_not_when_it_asks_again(self, how: str) -> None:
        world = World()
        if how == "missed":
            world.last_ids.set("c", "2")
        client = world.poll(at("1"), origin="origin")
        world.deliver(hint("c", prev_id="1"))
        client.leave()
        assert (world.retried, world.backends.ended) == ([client.hold], [])


def test_it_is_never_blocked() -> None:
    """Nothing has been written to it."""
    client = World().poll("c")
    client.hold.on_drained()
    assert client.outlet.written == []


class TestEncodeOnce:
    """Equal holds are given the very same bytes."""

    def test_same_plan_and_framing(self) -> None:
        world = World()
        one, two = world.poll("c"), world.poll("c")
        world.deliver(answer("c", "x"))
        assert one.end is two.end

    @pytest.mark.parametrize("framing", [HTTP10, HEAD])
    def test_other_framing(self, framing: Framing) -> None:
        world = World()
        one, two = world.poll("c"), world.poll("c", framing=framing)
        world.deliver(answer("c", "x"))
        assert one.end != two.end

    def test_other_plan(self) -> None:
        world = World()
        one, two = world.poll("c", body=b"[1]"), world.poll("c", body=b"[2]")
        world.deliver(make_item("c", response=ResponseFormat(Action.SEND, body_patch=[])))
        assert (one.body, two.body) == ("[1]", "[2]")

    def test_other_item_of_the_run(self) -> None:
        """A hold that a filter kept from the first item shares nothing with those that took it."""
        world = World()
        plain = world.poll("c")
        other = world.poll("c")
        filtered = world.poll(NOT_OWN, meta=BOB)
        first = make_item("c", response=ResponseFormat(Action.SEND, body=b"one"), meta={"sender": "bob"})
        assert world.deliver(first, answer("c", "two")) == [(2, 0), (1, 0)]
        assert (plain.body, other.body, filtered.body) == ("one", "one", "two")


BODILESS = [(101, False), (103, False), (199, False), (200, True), (204, False), (205, True), (304, False), (404, True)]


@pytest.mark.parametrize(("code", "has_body"), BODILESS)
def test_codes_without_body(code: int, has_body: bool) -> None:
    """grip-45"""
    data = encode_response(BackendResponse(code, b"R", [], b"body"), HTTP11)
    assert data.endswith(b"Content-Length: 4\r\n\r\nbody") is has_body
    assert (b"Content-Length" in data) is has_body
    assert data.startswith(b"HTTP/1.1 %d R\r\n" % code)


def test_what_is_made_of_the_response_of_a_script() -> None:
    """grip-54: its own status and length count."""
    framing = replace(HTTP11, transform=Jsonp(b"cb", False, Cors.of([])))
    data = encode_response(BackendResponse(204, b"R", [(b"X", b"1")], b"body\n"), framing)
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Type: application/javascript\r\n")
    assert head.endswith(b"Content-Length: %d" % len(body))
    assert body == b"/**/cb(body);\n"


def test_clients_alike_share_what_is_made() -> None:
    """And others of the same plan do not get it."""
    world = World()
    cors = Cors.of([])
    table = FramingTable()
    alike = [world.poll("c", framing=table.find(HTTP11, cors)) for _ in range(2)]
    script = world.poll("c", framing=table.find(HTTP11, Jsonp(b"cb", False, cors)))
    plain = world.poll("c")
    assert world.deliver(answer("c", "x")) == [(4, 0)]
    assert [client.body for client in (*alike, script, plain)] == ["x", "x", "/**/cb(x);\n", "x"]
    first, second = (client.outlet.finished[0][0] for client in alike)
    assert first is second
