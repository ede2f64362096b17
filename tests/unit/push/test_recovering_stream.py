"""Streams that recover, as conversations: what is published, what the backend answers, and what the client has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.push.helpers import (
    HTTP10,
    HTTP11,
    Client,
    FakeOutlet,
    Mood,
    World,
    answer,
    at,
    close,
    filtered_stream,
    keep_alive,
    let_pass,
    make_item,
    next_link,
    phase,
    prev_ids,
    recovering,
    step,
    stream_hint,
    text,
    waiting,
)

from holdfast.grip.item import Action, Item, StreamFormat
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.push.intake import MAX_QUEUED, Phase
from holdfast.push.link import Link
from holdfast.push.recovering_stream import RecoveringStream
from holdfast.push.render import ItemSkipped
from holdfast.push.stream_hold import StreamHold

SUBSTITUTED = Subscription("c", None, ("var-subst",))
NOT_OWN = Subscription("c", None, ("skip-self",))
BOB: dict[str, str | None] = {"user": "bob"}
IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL


def following(world: World, prev_id: str = "1", *, link: Link | None = None) -> Client:
    """A stream of `c` that has the item `prev_id`, and a next link."""
    return world.stream(at(prev_id), link=link or next_link())


def asked(world: World, client: Client) -> int:
    """How often the next link was asked."""
    return world.backends.followed.count(recovering(client))


class TestIds:
    """grip spec §10.3"""

    def test_what_follows_is_taken_as_one_run(self) -> None:
        world = World()
        client, plain = following(world), world.stream("c")
        assert world.deliver(step("c", 2), step("c", 3), step("c", 4)) == [(2, 0)] * 3
        assert client.writes == ["234"]
        assert client.outlet.written[0] is plain.outlet.written[0]
        assert prev_ids(client.hold) == {"c": "4"}

    def test_run_after_run(self) -> None:
        """grip-63: each moves the client on."""
        world = World()
        client = following(world)
        for number in (2, 3, 4):
            assert world.deliver(step("c", number)) == [(1, 0)]
        assert (client.writes, prev_ids(client.hold), asked(world, client)) == (["2", "3", "4"], {"c": "4"}, 0)

    def test_what_is_there_already_is_left_out(self) -> None:
        world = World()
        client = following(world, "3")
        assert world.deliver(step("c", 3), step("c", 4)) == [(0, 0), (1, 0)]
        assert (client.writes, phase(client), world.counters.items_not_needed) == (["4"], Phase.OPEN, 1)

    def test_an_item_without_id_ends_the_chain(self) -> None:
        world = World()
        client = following(world)
        world.deliver(text("c", "x", prev_id="1"))
        assert prev_ids(client.hold) == {}
        world.deliver(step("c", 9))
        assert client.content == "x9"

    def test_what_is_taken_at_once_does_not_count_as_waiting(self) -> None:
        world = World()
        client = following(world, "3")
        receipts = world.publish(step("c", 3), step("c", 4))
        world.run()
        assert client.content == "4"
        assert [(receipt.receivers, receipt.queued) for receipt in receipts] == [(0, 0), (1, 0)]

    def test_channels_without_ids_take_everything(self) -> None:
        world = World()
        client = world.stream(at("1"), "d", link=next_link())
        world.deliver(step("d", 9), step("d", 4))
        assert (client.writes, prev_ids(client.hold), phase(client)) == (["94"], {"c": "1"}, Phase.OPEN)

    def test_what_is_not_for_streams_does_not_count(self) -> None:
        world = World()
        client = following(world)
        world.deliver(answer("c", "x", item_id="2", prev_id="1"))
        assert prev_ids(client.hold) == {"c": "1"}

    @pytest.mark.parametrize("several", [False, True])
    def test_refresh_counts_as_received(self, several: bool) -> None:
        """It goes through the filters, and nothing comes of it: alone, or in a run that is taken one by one."""
        world = World()
        client = following(world)
        refresh = make_item("c", stream=StreamFormat(Action.REFRESH), item_id="2", prev_id="1")
        world.deliver(*([step("c", 1)] if several else []), refresh)
        world.deliver(step("c", 3))
        assert (client.content, phase(client)) == ("3", Phase.OPEN)

    def test_what_a_filter_drops_counts_as_received(self) -> None:
        """grip-93"""
        world = World()
        client = world.stream(at("1", "c", "skip-self"), meta=BOB, link=next_link())
        own = make_item("c", stream=StreamFormat(Action.SEND, b"own"), meta={"sender": "bob"}, item_id="2", prev_id="1")
        world.deliver(own, step("c", 3))
        assert (client.content, prev_ids(client.hold)) == ("3", {"c": "3"})

    def test_what_a_filter_fails_on_does_not(self) -> None:
        world = World()
        client = world.stream(at("1", "c", "var-subst"), link=next_link())
        assert world.deliver(step("c", 2, "%(user)s")) == [(0, 1)]
        assert (prev_ids(client.hold), client.end) == ({"c": "1"}, None)
        world.deliver(step("c", 3))
        assert (client.content, phase(client)) == ("", Phase.WAITING)

    def test_filters_see_the_ids_of_now(self) -> None:
        world = World()
        meta: dict[str, str | None] = {"id_format": "%(c)s-%(d)s"}
        client = world.stream(at("1", "c", "build-id"), at("7", "d"), meta=meta, link=next_link())
        world.deliver(step("d", 8, "x"))
        world.deliver(step("c", 2, "%I"))
        assert client.content == "x2-8"

    def test_close(self) -> None:
        world = World()
        client = following(world)
        world.deliver(step("c", 2), make_item("c", stream=StreamFormat(Action.CLOSE), item_id="3", prev_id="2"))
        assert (client.writes, client.end) == (["2"], b"0\r\n\r\n")
        world.assert_empty()

    def test_close_among_others(self) -> None:
        world = World()
        client = following(world)
        close_3 = make_item("c", stream=StreamFormat(Action.CLOSE), item_id="3", prev_id="2")
        assert world.deliver(step("c", 1), step("c", 2), close_3, step("c", 4)) == [(0, 0), (1, 0), (0, 0), (0, 0)]
        assert (client.writes, client.end) == (["2"], b"0\r\n\r\n")

    @pytest.mark.parametrize("several", [False, True])
    def test_what_was_lost_is_noticed(self, several: bool) -> None:
        """A slow client that loses a write and stays: it does not have the item, and the next one shows it."""
        world = World()
        client = following(world)
        client.outlet.mood = Mood.REFUSES
        assert world.deliver(*([step("c", 1)] if several else []), step("c", 2))[-1] == (0, 1)
        assert prev_ids(client.hold) == {"c": "1"}
        client.outlet.mood = Mood.TAKES
        world.deliver(step("c", 3))
        assert (client.writes, phase(client)) == ([], Phase.WAITING)

    def test_equal_holds_part(self) -> None:
        world = World()
        slow, quick = following(world), following(world)
        slow.outlet.mood = Mood.REFUSES
        world.deliver(step("c", 2))
        assert slow.hold.plan is quick.hold.plan
        assert (prev_ids(slow.hold), prev_ids(quick.hold)) == ({"c": "1"}, {"c": "2"})


class TestRecovery:
    def test_gap(self) -> None:
        """grip-86, grip-69: it waits for its turn, asks, and goes on with what the answer has not had."""
        world = World()
        client = following(world)
        world.last_ids.set("c", "5")
        receipts = world.publish(step("c", 3))
        world.run()
        assert (client.writes, phase(client), world.last_ids.get("c")) == ([], Phase.WAITING, None)
        world.pass_time(0.09)
        assert asked(world, client) == 0
        world.pass_time(0.01)
        assert (asked(world, client), phase(client), world.counters.links_followed) == (1, Phase.FETCHING, 1)
        assert world.backends.since_s == [1000.0]
        world.deliver(step("c", 4), step("c", 5))
        assert (client.writes, waiting(client)) == ([], 3)
        recovering(client).relay(b"2 3 ")
        world.resume(client, at("3"), link=next_link())
        assert (client.content, phase(client), prev_ids(client.hold)) == ("2 3 45", Phase.OPEN, {"c": "5"})
        assert (receipts[0].receivers, receipts[0].dropped, receipts[0].queued) == (0, 0, 1)
        world.pass_time(1)
        assert asked(world, client) == 1

    def test_2_3_4_5(self) -> None:
        """grip spec §10.4"""
        world = World()
        client = following(world, "0")
        recovering(client).update(world.now_s, is_urgent=True)
        receipts = world.publish(*[step("c", number) for number in (2, 3, 4, 5)])
        world.run()
        assert [receipt.queued for receipt in receipts] == [1, 1, 1, 1]
        world.resume(client, at("3"), link=next_link())
        assert client.writes == ["4", "5"]
        assert [receipt.receivers for receipt in receipts] == [0, 0, 1, 1]
        assert prev_ids(client.hold) == {"c": "5"}

    def test_the_answer_may_end_before_what_waits(self) -> None:
        world = World()
        client = following(world)
        world.deliver(step("c", 3))
        world.pass_time(0.1)
        world.resume(client, at("2"), link=next_link())
        assert client.content == "3"

    def test_it_may_have_had_everything(self) -> None:
        world = World()
        client = following(world)
        world.deliver(step("c", 3))
        world.pass_time(0.1)
        world.resume(client, at("3"), link=next_link())
        assert (client.content, phase(client)) == ("", Phase.OPEN)

    def test_who_cannot_know_asks_once_more(self) -> None:
        """What waits does not follow the answer: too old, or too new?"""
        world = World()
        client = following(world)
        world.deliver(step("c", 7))
        world.pass_time(0.1)
        world.resume(client, at("3"), link=next_link())
        assert (waiting(client), phase(client)) == (0, Phase.WAITING)
        world.pass_time(0.1)
        assert (asked(world, client), phase(client)) == (2, Phase.FETCHING)
        world.resume(client, at("7"), link=next_link())
        world.pass_time(1)
        assert (asked(world, client), phase(client), client.content) == (2, Phase.OPEN, "")

    def test_a_gap_behind_what_fits(self) -> None:
        """Items that come after the answer are looked at like any others."""
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(step("c", 2), step("c", 4), step("c", 5))
        world.resume(client, at("1"), link=next_link())
        assert (client.content, phase(client), waiting(client)) == ("2", Phase.WAITING, 1)

    def test_while_it_waits_for_its_turn_what_surely_comes_next_is_taken(self) -> None:
        """Where there are no ids, what the backend is asked for may belong before it."""
        world = World()
        client = world.stream(at("1"), "d", link=next_link())
        recovering(client).update(world.now_s)
        world.deliver(step("c", 2), step("d", 7))
        assert (client.content, phase(client), waiting(client)) == ("2", Phase.WAITING, 1)

    def test_but_not_what_is_behind_the_gap(self) -> None:
        """grip spec §10.2: order holds across channels too."""
        world = World()
        client = world.stream(at("1"), "d", link=next_link())
        world.deliver(step("c", 3))
        world.deliver(step("d", 7))
        world.deliver(step("c", 2))
        assert (client.writes, waiting(client)) == ([], 3)
        world.pass_time(0.1)
        world.resume(client, at("3"), "d", link=next_link())
        assert (client.content, phase(client)) == ("7", Phase.WAITING)

    def test_what_waits_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip spec §10.1: the newest is lost; it is counted, the log names the client, and the receipt tells."""
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        results = world.publish(*[step("c", number) for number in range(2, MAX_QUEUED + 3)])
        world.run()
        assert [receipt.dropped for receipt in results] == [0] * MAX_QUEUED + [1]
        assert [receipt.queued for receipt in results] == [1] * MAX_QUEUED + [0]
        assert world.counters.drops_queue_full == 1
        assert caplog.messages == ["client 192.0.2.1:5000, stream of c: 100 items wait already; item lost"]
        world.resume(client, at("1"), link=next_link())
        assert client.content == "".join(str(number) for number in range(2, MAX_QUEUED + 2))
        world.deliver(step("c", MAX_QUEUED + 3))
        assert phase(client) is Phase.WAITING

    def test_close_waits_too(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(text("c", "x"), close("c"), text("c", "y"))
        assert client.outlet.finished == []
        world.resume(client, "c", link=next_link())
        assert (client.content, client.end) == ("x", b"0\r\n\r\n")
        world.assert_empty()

    def test_answered_by_an_end(self) -> None:
        """grip spec §6.7"""
        world = World()
        client = following(world)
        world.deliver(step("c", 3))
        world.pass_time(0.1)
        recovering(client).relay(b"2 3")
        recovering(client).end()
        assert (client.content, client.end) == ("2 3", b"0\r\n\r\n")
        world.assert_empty()


class TestFirst:
    """grip spec §6.4: what was missed between the backend's answer and the subscription."""

    @pytest.mark.parametrize(("last_id", "expected"), [(None, 0), ("1", 0), ("2", 1)])
    def test_asks_soon(self, last_id: str | None, expected: int) -> None:
        world = World()
        if last_id is not None:
            world.last_ids.set("c", last_id)
        client = following(world)
        world.pass_time(0.1)
        assert asked(world, client) == expected
        assert world.last_ids.get("c") == (None if expected else last_id)

    def test_a_stream_without_ids_has_missed_nothing(self) -> None:
        world = World()
        world.last_ids.set("c", "2")
        client = world.stream("c", link=next_link())
        world.pass_time(1)
        assert asked(world, client) == 0

    def test_channels_that_are_new_after_an_answer(self) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        world.last_ids.set("c", "9")
        world.last_ids.set("d", "4")
        world.resume(client, at("1"), at("3", "d"), link=next_link())
        assert (world.last_ids.get("c"), world.last_ids.get("d")) == ("9", None)
        world.pass_time(0.1)
        assert asked(world, client) == 2

    def test_but_not_those_it_had_before(self) -> None:
        """grip spec §6.4: what waits, or is still on its way, may close the gap."""
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.last_ids.set("c", "9")
        world.resume(client, at("1"), "d", link=next_link())
        world.pass_time(1)
        assert (asked(world, client), world.last_ids.get("c")) == (1, "9")


class TestWishes:
    """grip spec §7.1: only a quiet hold asks; a busy one remembers, and urgent beats soon."""

    def test_urgent_is_at_once(self) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        assert (asked(world, client), phase(client)) == (1, Phase.FETCHING)

    def test_urgent_does_not_wait_for_its_turn(self) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s)
        world.pass_time(0.05)
        recovering(client).update(world.now_s, is_urgent=True)
        assert (asked(world, client), len(world.updates), world.backends.since_s) == (1, 0, [1000.05])
        world.pass_time(1)
        assert asked(world, client) == 1

    @pytest.mark.parametrize(
        ("wishes", "is_urgent"),
        [([False], False), ([True], True), ([False, True], True), ([True, False], True)],
        ids=["soon", "urgent", "upgraded", "not downgraded"],
    )
    def test_while_it_asks(self, wishes: list[bool], is_urgent: bool) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        for wish in wishes:
            world.pass_time(1)
            recovering(client).update(world.now_s, is_urgent=wish)
        assert asked(world, client) == 1
        world.resume(client, at("1"), link=next_link())
        assert (asked(world, client), phase(client)) == ((2, Phase.FETCHING) if is_urgent else (1, Phase.WAITING))
        world.pass_time(0.1)
        assert asked(world, client) == 2
        assert world.backends.since_s[1] == 1000 + len(wishes)
        world.resume(client, at("1"), link=next_link())
        world.pass_time(1)
        assert asked(world, client) == 2

    def test_what_was_wished_before_the_question_is_granted_by_its_answer(self) -> None:
        """The question may have been put a while after the hold asked for it."""
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        recovering(client).update(world.now_s)
        world.resume(client, at("1"), link=next_link(), asked_s=world.now_s)
        world.pass_time(1)
        assert asked(world, client) == 1

    def test_what_waits_comes_first(self) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(step("c", 2))
        world.resume(client, at("1"), link=next_link())
        assert (client.content, asked(world, client), prev_ids(client.hold)) == ("2", 2, {"c": "2"})

    def test_nothing_to_ask(self) -> None:
        """grip spec §7.1"""
        world = World()
        plain, filtering = world.stream("c"), world.stream(at(None, "c", "http-check"))
        for client in (plain, filtering):
            assert isinstance(client.hold, StreamHold)
            client.hold.update(world.now_s)
            client.hold.update(world.now_s, is_urgent=True)
        world.pass_time(1)
        assert (world.backends.followed, phase(filtering)) == ([], Phase.OPEN)

    @pytest.mark.parametrize("is_urgent", [False, True])
    def test_not_before_a_slow_client_has_taken_what_was_written(self, is_urgent: bool) -> None:
        """grip spec §7.1: the wish of a hold that is writing is remembered."""
        world = World()
        client = following(world)
        client.outlet.is_blocked = True
        recovering(client).update(world.now_s, is_urgent=is_urgent)
        world.pass_time(1)
        assert (asked(world, client), phase(client)) == (0, Phase.WAITING)
        client.outlet.is_blocked = False
        recovering(client).on_drained()
        recovering(client).on_drained()
        world.pass_time(0.2)
        assert (asked(world, client), phase(client)) == (1, Phase.FETCHING)

    def test_not_when_it_has_ended(self) -> None:
        world = World()
        client = following(world)
        recovering(client).update(world.now_s)
        client.leave()
        assert len(world.updates) == 0
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        assert world.backends.followed == []
        world.assert_empty()


def hint_2(*, prev_id: str = "1", meta: dict[str, str] | None = None) -> Item:
    return make_item("c", stream=StreamFormat(Action.HINT), item_id="2", prev_id=prev_id, no_seq=True, meta=meta)


class TestHint:
    """grip spec §6.3"""

    def test_asks_at_once(self) -> None:
        world = World()
        client = following(world)
        world.deliver(hint_2())
        assert (asked(world, client), phase(client), client.writes) == (1, Phase.FETCHING, [])

    def test_in_turn_it_does_not_count_as_received(self) -> None:
        """The hint was no content: a backend that is told of its id would leave out what the client has not got."""
        world = World()
        client = following(world)
        world.deliver(hint_2())
        assert prev_ids(client.hold) == {"c": "1"}

    def test_what_is_before_it_is_delivered(self) -> None:
        world = World()
        client = following(world, "0")
        world.deliver(step("c", 1), hint_2(), step("c", 3))
        assert (client.content, asked(world, client), waiting(client)) == ("1", 1, 1)

    def test_out_of_turn(self) -> None:
        """It is one more sign that something is missing: not at once, but soon, and the client does not have it."""
        world = World()
        client = following(world, "0")
        world.deliver(hint_2())
        assert (asked(world, client), phase(client), prev_ids(client.hold)) == (0, Phase.WAITING, {"c": "0"})
        assert waiting(client) == 0

    def test_while_it_waits_for_its_turn(self) -> None:
        """It waits as items do, and acts when its turn comes."""
        world = World()
        client = following(world)
        world.deliver(step("c", 3), stream_hint("c", item_id="4", prev_id="3"))
        assert (asked(world, client), phase(client), waiting(client)) == (0, Phase.WAITING, 2)
        world.pass_time(0.1)
        world.resume(client, at("3"), link=next_link())
        assert (asked(world, client), phase(client), prev_ids(client.hold)) == (2, Phase.FETCHING, {"c": "3"})

    def test_while_it_asks(self) -> None:
        """What is before it is delivered; what is behind it is expected from the second answer."""
        world = World()
        client = following(world)
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(1)
        world.deliver(step("c", 2), stream_hint("c", item_id="3", prev_id="2"), step("c", 4))
        assert (asked(world, client), waiting(client), prev_ids(client.hold)) == (1, 3, {"c": "1"})
        world.resume(client, at("1"), link=next_link())
        assert (asked(world, client), phase(client), client.content) == (2, Phase.FETCHING, "2")
        assert (waiting(client), prev_ids(client.hold)) == (0, {"c": "2"})

    @pytest.mark.parametrize("is_busy", [False, True])
    def test_dropped_by_a_filter(self, is_busy: bool) -> None:
        """grip spec §11.1"""
        world = World()
        client = world.stream(at("1", "c", "skip-self"), meta=BOB, link=next_link())
        if is_busy:
            recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(hint_2(meta={"sender": "bob"}))
        if is_busy:
            assert waiting(client) == 1
            world.resume(client, at("1", "c", "skip-self"), meta=BOB, link=next_link())
        assert (asked(world, client), prev_ids(client.hold)) == (int(is_busy), {"c": "2"})
        assert world.counters.deliveries_filtered == 1

    def test_with_a_filter_that_asks_the_network(self) -> None:
        """It waits for its turn, as everything else on such a channel."""
        world = World()
        client = world.stream(at(None, "c", "http-check"), link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(stream_hint("c"))
        assert waiting(client) == 1
        world.resume(client, at(None, "c", "http-check"), link=next_link())
        assert phase(client) is Phase.FILTERING
        recovering(client).filtered(b"")
        assert (asked(world, client), phase(client)) == (2, Phase.FETCHING)


class TestNetworkFilters:
    """grip spec §11.4, beside links; see `test_following_stream` for the rest."""

    def test_dropped(self) -> None:
        world = World()
        client = world.stream(at("1", "c", "http-check"), link=next_link())
        world.deliver(step("c", 2), step("c", 3))
        recovering(client).skipped(ItemSkipped())
        assert (client.writes, prev_ids(client.hold), phase(client)) == ([], {"c": "2"}, Phase.FILTERING)
        assert world.counters.deliveries_filtered == 1

    def test_wishes_wait_until_it_is_done(self) -> None:
        world = World()
        client = filtered_stream(world, next_link())
        world.deliver(text("c", "1"))
        recovering(client).update(world.now_s)
        recovering(client).update(world.now_s, is_urgent=True)
        assert (asked(world, client), phase(client)) == (0, Phase.FILTERING)
        let_pass(client, b"one")
        assert (asked(world, client), client.content) == (1, "one")

    def test_a_hint_waits_too(self) -> None:
        world = World()
        client = filtered_stream(world, next_link())
        world.deliver(text("c", "1"))
        world.deliver(stream_hint("d"))
        assert (asked(world, client), waiting(client)) == (0, 2)
        let_pass(client, b"one")
        assert (asked(world, client), client.content) == (1, "one")

    def test_none_begins_when_the_link_is_about_to_be_asked(self) -> None:
        """Or both would run at once."""
        world = World()
        client = world.stream(at("0", "c", "http-modify"), link=next_link())
        recovering(client).update(world.now_s)
        world.deliver(step("c", 1))
        assert (world.backends.filtering, phase(client), waiting(client)) == ([], Phase.WAITING, 1)
        world.pass_time(0.1)
        assert phase(client) is Phase.FETCHING
        world.resume(client, at("0", "c", "http-modify"), link=next_link())
        let_pass(client, b"one")
        assert (client.content, phase(client)) == ("one", Phase.OPEN)

    def test_after_a_link_others_may_be_there(self) -> None:
        world = World()
        client = filtered_stream(world, next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(text("c", "1"), text("d", "2"))
        world.resume(client, "c", at(None, "d", "http-check"), link=next_link())
        assert (client.content, phase(client)) == ("1", Phase.FILTERING)


class TestLinkTimeout:
    """grip spec §6.8, grip-71. Time is told from the beginning of the hold."""

    def test_a_quiet_stream(self) -> None:
        world = World()
        client = following(world, link=next_link(timeout_s=20))
        world.pass_time(19.9)
        assert (phase(client), asked(world, client)) == (Phase.OPEN, 0)
        world.pass_time(0.2)
        assert asked(world, client) == 1
        world.pass_time(100)
        assert asked(world, client) == 1

    def test_again_after_the_answer(self) -> None:
        world = World()
        client = following(world, link=next_link(timeout_s=20))
        world.pass_time(30)
        world.resume(client, at("1"), link=next_link("/other", 5))
        world.pass_time(4.9)
        assert asked(world, client) == 1
        world.pass_time(0.3)
        assert asked(world, client) == 2

    @pytest.mark.parametrize("several", [False, True])
    def test_activity(self, several: bool) -> None:
        """grip-71: taken as a run, or one by one."""
        world = World()
        client = following(world, link=next_link(timeout_s=20))
        world.pass_time(15)
        world.deliver(*([step("c", 1)] if several else []), step("c", 2))
        world.pass_time(19.9)
        assert asked(world, client) == 0
        world.pass_time(0.3)
        assert asked(world, client) == 1

    def test_activity_of_several_channels(self) -> None:
        """Only when every channel has had an item."""
        world = World()
        client = world.stream("c", "d", link=next_link(timeout_s=20))
        world.pass_time(15)
        world.deliver(text("c", "x"))
        world.pass_time(4)
        world.deliver(text("d", "x"))
        world.pass_time(19.9)
        assert asked(world, client) == 0
        world.deliver(text("c", "x"))
        world.pass_time(0.3)
        assert asked(world, client) == 1

    def test_what_a_filter_drops_is_activity(self) -> None:
        world = World()
        client = world.stream(NOT_OWN, meta=BOB, link=next_link(timeout_s=20))
        world.pass_time(15)
        world.deliver(make_item("c", stream=StreamFormat(Action.SEND, b"x"), meta={"sender": "bob"}))
        world.pass_time(10)
        assert asked(world, client) == 0

    def test_streams_with_the_same_link_ask_together(self) -> None:
        world = World()
        first = following(world, link=next_link(timeout_s=20))
        world.pass_time(7.3)
        second, other = following(world, link=next_link(timeout_s=20)), following(world, link=next_link("/x", 20))
        world.pass_time(12.9)
        assert [asked(world, client) for client in (first, second, other)] == [1, 1, 0]

    def test_they_need_not_end_together(self) -> None:
        world = World()
        first, second = (following(world, link=next_link(timeout_s=20)) for _ in range(2))
        first.leave()
        world.pass_time(21)
        assert [asked(world, client) for client in (first, second)] == [0, 1]
        second.leave()
        world.assert_empty()

    def test_no_timeout(self) -> None:
        """grip spec §6.8: as fast as §7.2 allows."""
        world = World()
        client = following(world, link=next_link(timeout_s=0))
        for count in (1, 2, 3):
            world.pass_time(0.3)
            assert asked(world, client) == count
            world.resume(client, at("1"), link=next_link(timeout_s=0))

    def test_not_while_it_asks(self) -> None:
        world = World()
        client = following(world, link=next_link(timeout_s=20))
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(100)
        assert (asked(world, client), recovering(client).intake.wish, len(world.link_clock)) == (1, None, 0)

    def test_a_wish_while_filtering(self) -> None:
        world = World()
        client = world.stream(at(None, "c", "http-check"), link=next_link(timeout_s=20))
        world.deliver(text("c", "x"))
        world.pass_time(25)
        assert asked(world, client) == 0
        recovering(client).filtered(b"x")
        world.pass_time(0.1)
        assert asked(world, client) == 1

    def test_the_answer_may_have_none(self) -> None:
        world = World()
        client = world.stream("c", link=next_link(timeout_s=20))
        world.pass_time(21)
        world.resume(client, "c")
        world.pass_time(1000)
        assert asked(world, client) == 1
        client.leave()
        world.assert_empty()


class TestKeepAliveOfALink:
    """grip spec §6.2, grip-70"""

    def asking(self, world: World, mode: KeepAliveMode = IDLE) -> Client:
        client = world.stream("c", link=next_link(), keep_alive=keep_alive(b"k", 10, mode))
        recovering(client).update(world.now_s, is_urgent=True)
        return client

    @pytest.mark.parametrize("mode", [IDLE, INTERVAL])
    def test_goes_on_while_the_link_is_slow(self, mode: KeepAliveMode) -> None:
        world = World()
        client = self.asking(world, mode)
        world.pass_time(25)
        assert client.content == "kk"

    def test_stops_with_the_first_byte(self) -> None:
        world = World()
        client = self.asking(world)
        recovering(client).relay(b"half, ")
        world.pass_time(100)
        assert client.content == "half, "
        recovering(client).relay(b"whole")
        world.resume(client, "c", keep_alive=keep_alive(b"K", 5), link=next_link())
        world.pass_time(4.9)
        assert client.content == "half, whole"
        world.pass_time(0.1)
        assert client.content == "half, wholeK"

    def test_is_off_when_the_answer_has_none(self) -> None:
        world = World()
        client = self.asking(world)
        world.resume(client, "c", link=next_link("/x", 1000))
        world.pass_time(100)
        assert client.content == ""

    def test_begins_with_the_answer(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(3)
        world.resume(client, "c", keep_alive=keep_alive(b"k", 10), link=next_link())
        world.pass_time(9.9)
        assert client.content == ""
        world.pass_time(0.2)
        assert client.content == "k"

    @pytest.mark.parametrize("mode", [IDLE, INTERVAL])
    def test_only_one_runs(self, mode: KeepAliveMode) -> None:
        world = World()
        client = self.asking(world, mode)
        for _ in range(3):
            world.pass_time(1)
            world.resume(client, "c", keep_alive=keep_alive(b"k", 10, mode), link=next_link())
            recovering(client).update(world.now_s, is_urgent=True)
        world.pass_time(9.9)
        assert client.content == ""
        world.pass_time(0.2)
        assert client.content == "k"


class TestMoving:
    """grip spec §6.7, grip-68: the channels are exactly those of the answer."""

    def moved(self, world: World, *channels: str) -> Client:
        client = world.stream("a", "b", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.resume(client, *channels, link=next_link())
        return client

    @pytest.mark.parametrize("channels", ["ab", "a", "abc", "bc", "c", "cd", ""])
    def test_channels(self, channels: str) -> None:
        world = World()
        client = self.moved(world, *channels)
        for channel in "abcd":
            world.deliver(text(channel, channel))
        assert client.content == channels
        assert len(world.registry) == len(channels)
        client.leave()
        world.assert_empty()

    def test_the_old_ones_stay_until_then(self) -> None:
        world = World()
        client = world.stream("a", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(text("a", "1"))
        assert world.registry.find("a") is not None
        world.resume(client, "a", link=next_link())
        assert client.content == "1"

    def test_what_waits_for_others_is_left_out(self) -> None:
        """Behind what fits as well."""
        world = World()
        client = world.stream("a", "b", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(text("b", "1"), text("a", "2"), text("b", "3"), text("a", "4"))
        world.resume(client, "a", link=next_link())
        assert client.content == "24"

    def test_what_is_on_its_way_on_others_is_left_out(self) -> None:
        world = World()
        client = world.stream("a", "b", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        receipts = world.publish(text("b", "1"), text("a", "2"))
        world.resume(client, "a", link=next_link())
        world.run()
        assert (client.content, receipts[0].receivers) == ("2", 0)

    def test_what_waits_for_its_turn_on_others_is_left_out(self) -> None:
        """grip spec §13: a rate limit holds items back after they were accepted."""
        world = World(rate=1)
        client = world.stream("a", "b", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.publish(text("b", "1"), text("a", "2"))
        world.resume(client, "a", link=next_link())
        world.pass_time(5)
        assert client.content == "2"

    def test_filters_and_meta_are_the_new_ones(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(text("c", "%(user)s"))
        world.resume(client, SUBSTITUTED, meta=BOB, link=next_link())
        world.deliver(text("c", " and %(user)s"))
        assert client.content == "bob and bob"

    def test_origin(self) -> None:
        world = World()
        client = world.stream("c", link=next_link(), origin="first")
        recovering(client).update(world.now_s, is_urgent=True)
        world.resume(client, "c", link=next_link(), origin="second")
        assert client.hold.origin == "second"

    def test_what_is_new_is_told_as_every_first_subscription(self) -> None:
        """grip spec §7.3"""
        world = World(asks_first=True)
        client = world.stream("a", link=next_link())
        world.pass_time(1.2)
        assert asked(world, client) == 1
        world.resume(client, "a", "b", link=next_link())
        world.pass_time(1.2)
        assert asked(world, client) == 2

    def test_chain(self) -> None:
        """grip spec §6.5: an answer without hold points on; the channels stay, and everything waits."""
        world = World()
        client = world.stream("c", link=next_link(), keep_alive=keep_alive(b"k", 10), origin="first")
        recovering(client).update(world.now_s, is_urgent=True)
        recovering(client).relay(b"1")
        world.pass_time(1)
        recovering(client).follow_on(next_link("/2"), "second", 1000.5)
        assert (asked(world, client), world.backends.since_s[1], client.hold.origin) == (2, 1000.5, "second")
        world.deliver(text("c", "3"))
        world.pass_time(50)
        recovering(client).relay(b"2")
        world.resume(client, "c", link=next_link())
        assert client.writes == ["1", "2", "3"]


class TestRelay:
    def test_chunks(self) -> None:
        world = World()
        client, old = (world.stream("c", link=next_link(), framing=framing) for framing in (HTTP11, HTTP10))
        for one in (client, old):
            recovering(one).relay(b"")
            recovering(one).relay(b"hello")
        assert (client.outlet.written, old.outlet.written) == ([b"5\r\nhello\r\n"], [b"hello"])

    def test_a_client_that_is_slow_to_take_it(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        told: list[str] = []
        recovering(client).when_drained(lambda: told.append("free"))
        recovering(client).on_drained()
        recovering(client).on_drained()
        assert told == ["free"]

    def test_one_that_leaves_is_not_waited_for(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        told: list[str] = []
        recovering(client).when_drained(lambda: told.append("free"))
        client.leave()
        assert told == ["free"]

    @pytest.mark.parametrize("mood", [Mood.GONE, Mood.CUT_OFF])
    def test_the_client_turns_out_to_be_gone(self, mood: Mood) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        recovering(client).update(world.now_s, is_urgent=True)
        client.outlet.mood = mood
        recovering(client).relay(b"x")
        world.assert_empty()


def test_a_client_that_leaves_before_it_is_held() -> None:
    world = World()
    hold = following(world).hold
    other = RecoveringStream(world.context, hold.plan, hold.framing, next_link())
    other.on_client_gone()
    world.last_ids.set("c", "5")
    other.open(FakeOutlet())
    channel = world.registry.find("c")
    assert channel is not None
    assert (list(channel.streams), len(world.updates)) == ([hold], 0)


def test_failures_are_counted_until_an_answer() -> None:
    """grip spec §6.7"""
    world = World()
    client = following(world)
    recovering(client).update(world.now_s, is_urgent=True)
    assert [recovering(client).fail_link() for _ in range(5)] == [False] * 5
    world.resume(client, at("1"), link=next_link())
    recovering(client).update(world.now_s, is_urgent=True)
    assert [recovering(client).fail_link() for _ in range(6)] == [False] * 5 + [True]


BUSY = ["open", "waiting", "asking", "relaying", "filtering", "blocked"]


class TestEndWhileBusy:
    """Whatever it was doing: nothing is left of it, nothing more is written, and the end is reported once."""

    def busy(self, world: World, what: str, origin: object | None) -> Client:
        client = world.stream(
            at("1"),
            at(None, "d", "http-check"),
            link=next_link(timeout_s=20),
            keep_alive=keep_alive(b"k", 10),
            origin=origin,
        )
        if what == "waiting":
            recovering(client).update(world.now_s)
        elif what != "open":
            if what == "filtering":
                world.deliver(text("d", "x"))
            else:
                recovering(client).update(world.now_s, is_urgent=True)
        if what in ("relaying", "blocked"):
            recovering(client).relay(b"x")
        if what == "blocked":
            recovering(client).when_drained(lambda: None)
        world.deliver(step("c", 5))
        return client

    @pytest.mark.parametrize("what", BUSY)
    @pytest.mark.parametrize("is_leaving", [False, True], ids=["end", "leave"])
    @pytest.mark.parametrize("origin", [None, "origin"])
    def test_end(self, what: str, is_leaving: bool, origin: object | None) -> None:
        """grip-73"""
        world = World()
        client = self.busy(world, what, origin)
        for _ in range(2):
            if is_leaving:
                client.leave()
            else:
                recovering(client).end()
        assert world.backends.ended == ([client.hold] if origin is not None else [])
        assert world.counters.holds_abandoned == int(is_leaving)
        before = list(client.outlet.written)
        number = asked(world, client)

        world.resume(client, at("1"), link=next_link(), asked_s=world.now_s)
        recovering(client).relay(b"late")
        recovering(client).follow_on(next_link(), "late", world.now_s)
        recovering(client).filtered(b"late")
        recovering(client).skipped(ItemSkipped())
        recovering(client).update(world.now_s, is_urgent=True)
        world.deliver(step("c", 2), text("d", "x"))
        world.pass_time(200)
        assert (client.outlet.written, asked(world, client)) == (before, number)
        assert len(client.outlet.finished) == int(not is_leaving)
        world.assert_empty()

    @pytest.mark.parametrize("origin", [None, "origin"])
    def test_closed_by_an_item(self, origin: object | None) -> None:
        world = World()
        client = world.stream("c", origin=origin)
        world.deliver(close("c"))
        assert world.backends.ended == ([client.hold] if origin is not None else [])


CHANNELS = "abc"
moves = st.sets(st.sampled_from(CHANNELS))
actions = st.one_of(
    st.tuples(st.just("publish"), st.sampled_from(CHANNELS)),
    st.tuples(st.just("publish"), st.sampled_from(CHANNELS)),
    st.tuples(st.just("turn"), st.none()),
    st.tuples(st.just("ask"), st.integers(0, 2)),
    st.tuples(st.just("move"), st.tuples(st.integers(0, 2), moves)),
)


@given(st.lists(moves, min_size=3, max_size=3), st.lists(actions, max_size=40), st.integers(1, 3))
def test_order_of_holds_that_move(begin: list[set[str]], steps: list[tuple[str, Any]], slice_writes: int) -> None:
    """Each hold sees each item of its channels at most once and in order, and none is lost while it is subscribed.

    Items are numbered in the order of acceptance. An item is due if the hold was subscribed to its channel from then
    until everything was written, wherever else it moved meanwhile, and whether it was asking its link or not.
    """
    world = World(slice_writes=slice_writes)
    clients = [world.stream(*sorted(channels), link=next_link(timeout_s=1000)) for channels in begin]
    subscribed = [set(channels) for channels in begin]
    offered: list[set[int]] = [set() for _ in clients]
    due: list[dict[int, str]] = [{} for _ in clients]

    def move(index: int, channels: set[str]) -> None:
        hold = recovering(clients[index])
        if phase(clients[index]) is not Phase.FETCHING:
            hold.update(world.now_s, is_urgent=True)
        world.resume(clients[index], *sorted(channels), link=next_link(timeout_s=1000))
        subscribed[index] = channels
        due[index] = {number: channel for number, channel in due[index].items() if channel in channels}

    for number, (what, argument) in enumerate(steps):
        if what == "publish":
            world.publish(text(argument, f"{number} "))
            for index in range(3):
                if argument in subscribed[index]:
                    offered[index].add(number)
                    due[index][number] = argument
        elif what == "turn":
            world.run_turn()
        elif what == "ask":
            if phase(clients[argument]) is Phase.OPEN:
                recovering(clients[argument]).update(world.now_s, is_urgent=True)
        else:
            move(*argument)
    world.run()
    for index, client in enumerate(clients):
        if phase(client) is Phase.FETCHING:
            move(index, subscribed[index])
        seen = [int(number) for number in client.content.split()]
        assert seen == sorted(set(seen))
        assert set(due[index]) <= set(seen) <= offered[index]
        client.leave()
    world.assert_empty()
