"""Following next links: who asks, who shares the answer, and what becomes of everybody. Time is told in seconds."""

from __future__ import annotations

import asyncio
from itertools import pairwise

import pytest
from tests.unit.proxy.helpers import BASE, HOME, Answer, ProxyWorld, hold_on, in_own_time, now, proxy_world, settle
from tests.unit.push.helpers import DEBUG_ROUTE, Client, Mood, at, keep_alive, prev_ids, recovering, step, text

from holdfast.errors import BadResponse, WireError
from holdfast.proxy.answers import origin_error
from holdfast.proxy.next_link import FAILED, LAGGARDS_S, LOOK_S, NOT_A_STREAM, SHARED_BYTES, SLICE, TOO_LONG
from holdfast.proxy.origin import HoldOrigin, LinkTarget
from holdfast.push.intake import Phase
from holdfast.push.link import MAX_HOPS
from holdfast.push.plan import RouteTerms


def follow(world: ProxyWorld, *clients: Client, since_s: float | None = None) -> None:
    """Ask the links of streams, for a cause that arose now, or earlier."""
    for client in clients:
        recovering(client).ask_again(world.runtime.now() if since_s is None else since_s)


def is_asking(client: Client) -> bool:
    return client.hold.is_open is True and recovering(client).intake.phase is Phase.FETCHING


def target_of(client: Client) -> LinkTarget:
    link = recovering(client).intake.link
    assert link is not None
    assert isinstance(link.target, LinkTarget)
    return link.target


class TestAnswer:
    @in_own_time
    async def test_the_request(self) -> None:
        """grip-62, grip-63: a plain GET, with what the client has now, by the backend's names."""
        async with proxy_world(hold_on("c")) as world:
            client = world.stream(at("1"), at("7", "d"), "e", target=b"/next?q=1", route=RouteTerms(prefix="p-"))
            world.publish(step("p-c", 2))
            await settle()
            follow(world, client)
            await settle()
            [request] = world.requests.asked
            assert (request.method, request.uri.text, request.home) == (b"GET", "http://h.com/next?q=1", HOME)
            assert (request.headers, request.body) == ([], b"")
            assert sorted(request.grip_last) == [
                (b"Grip-Last", b"c; last-id=2"),
                (b"Grip-Last", b"d; last-id=7"),
            ]

    @in_own_time
    async def test_a_hold_goes_on(self) -> None:
        """grip-68: the body, then the channels of the answer."""
        async with proxy_world(
            hold_on("c; prev-id=4", "d", body=b"old ", link="<n2?x>; rel=next; timeout=30")
        ) as world:
            client = world.stream(at("1"), target=b"/a/next")
            follow(world, client)
            await settle()
            world.publish(step("c", 5, "new "), text("d", "too"))
            await settle()
            assert client.content == "old new too"
            assert prev_ids(client.hold) == {"c": "5"}
            assert target_of(client) == (BASE._replace(path=b"/a/n2", query=b"x"), HOME)
            link = recovering(client).intake.link
            assert link is not None
            assert link.timeout_s == 30
            assert client.hold.origin == HoldOrigin(HOME, BASE._replace(path=b"/a/next"))

    @in_own_time
    async def test_a_hold_may_go_on_without_link(self) -> None:
        async with proxy_world(hold_on("c", link=None)) as world:
            client = world.stream(at("1"))
            follow(world, client)
            await settle()
            assert client.hold.is_open
            assert recovering(client).intake.link is None

    @in_own_time
    async def test_the_body_comes_as_it_comes(self) -> None:
        async with proxy_world(hold_on("c", pieces=[b"one ", 5.0, b"two ", 5.0])) as world:
            client = world.stream("c")
            follow(world, client)
            await asyncio.sleep(4)
            assert client.content == "one "
            await asyncio.sleep(4)
            assert (client.content, is_asking(client)) == ("one two ", True)
            world.publish(text("c", "three"))
            await asyncio.sleep(4)
            assert client.writes == ["one ", "two ", "three"]

    @pytest.mark.parametrize("code", [200, 204, 206, 299])
    @in_own_time
    async def test_its_status_and_ordinary_headers_are_ignored(self, code: int) -> None:
        """grip spec §6.7"""
        ignored = [(b"X-Y", b"z"), (b"Grip-Status", b"500")]
        async with proxy_world(hold_on("c", code=code, headers=ignored)) as world:
            client = world.stream("c")
            follow(world, client)
            await settle()
            assert (client.content, client.end, is_asking(client)) == ("", None, False)

    @in_own_time
    async def test_no_hold_and_no_link_is_the_end(self) -> None:
        async with proxy_world(Answer(pieces=[b"bye"])) as world:
            client = world.stream("c")
            follow(world, client)
            await settle()
            assert (client.content, client.end) == ("bye", b"")
            assert world.ended == [client.hold]
            assert world.counters.streams_unlinked == 0

    @in_own_time
    async def test_build_id(self) -> None:
        """grip spec §11.3: a directive may span pieces."""
        meta = [(b"Grip-Set-Meta", b'id_format="x", id_encoding=hex')]
        pieces = [b"a%(", b"b", b")I", b"%%"]
        async with proxy_world(hold_on("c; filter=build-id", headers=meta, pieces=pieces)) as world:
            client = world.stream("c")
            follow(world, client)
            await settle()
            assert (client.content, is_asking(client)) == ("a62%", False)

    @in_own_time
    async def test_each_route_has_its_own_names(self) -> None:
        """Streams may share an answer although the routes were loaded anew between them."""
        async with proxy_world(hold_on("c")) as world:
            clients = [world.stream("c", route=RouteTerms(prefix=prefix)) for prefix in ("a-", "b-", "b-")]
            follow(world, *clients)
            await settle()
            assert [client.hold.plan.channels for client in clients] == [("a-c",), ("b-c",), ("b-c",)]
            assert clients[1].hold.plan is clients[2].hold.plan

    @in_own_time
    async def test_channels_over_the_limit(self, caplog: pytest.LogCaptureFixture) -> None:
        """grip-15"""
        async with proxy_world(hold_on(*map(str, range(25)))) as world:
            client = world.stream("c")
            follow(world, client)
            await settle()
            assert len(client.hold.plan.channels) == 20
            assert world.counters.subscriptions_refused == 5
            assert "instruct from http://h.com/next names 5 channels too many" in caplog.text


class TestChain:
    """grip spec §6.5"""

    @in_own_time
    async def test_bodies_are_joined(self) -> None:
        """grip-61"""
        hops = [Answer(headers=[(b"Grip-Link", b"<%d>; rel=next" % n)], pieces=[b"%d" % n]) for n in range(3)]
        async with proxy_world(*hops, hold_on("c", body=b"end")) as world:
            client = world.stream("c", target=b"/a/start")
            follow(world, client)
            await settle()
            assert (client.content, now()) == ("012end", 0)
            asked = [request.uri.path for request in world.requests.asked]
            assert asked == [b"/a/start", b"/a/0", b"/a/1", b"/a/2"]

    @in_own_time
    async def test_to_itself(self) -> None:
        """The same question again is not answered by the answer that asks it."""
        again = [Answer(headers=[(b"Grip-Link", b"</next>; rel=next")], pieces=[b"x"]) for _ in range(3)]
        async with proxy_world(*again, Answer(pieces=[b"."])) as world:
            client = world.stream("c")
            follow(world, client)
            await asyncio.sleep(1)
            assert (client.content, client.end) == ("xxx.", b"")

    @in_own_time
    async def test_is_bounded(self, caplog: pytest.LogCaptureFixture) -> None:
        again = [Answer(headers=[(b"Grip-Link", b"</next>; rel=next")]) for _ in range(MAX_HOPS)]
        async with proxy_world(*again) as world:
            client = world.stream("c", route=DEBUG_ROUTE)
            follow(world, client)
            await asyncio.sleep(10)
            assert client.end == f"\n\n{TOO_LONG}\n".encode()
            assert (len(world.requests.asked), world.counters.streams_unlinked) == (MAX_HOPS, 1)
            assert f"ended because of next link http://h.com/next: {TOO_LONG}" in caplog.text

    @in_own_time
    async def test_starts_again_with_a_hold(self) -> None:
        on = Answer(headers=[(b"Grip-Link", b"</next>; rel=next")])
        async with proxy_world(on, hold_on("c"), on, hold_on("c")) as world:
            client = world.stream("c")
            for _ in range(2):
                follow(world, client)
                await settle()
                link = recovering(client).intake.link
                assert link is not None
                assert link.hops == 0

    @in_own_time
    async def test_streams_stay_together(self) -> None:
        on = Answer(headers=[(b"Grip-Link", b"</2>; rel=next")], pieces=[b"1"])
        async with proxy_world(on, hold_on("c", body=b"2")) as world:
            clients = [world.stream("c") for _ in range(5)]
            follow(world, *clients)
            await settle()
            assert [client.content for client in clients] == ["12"] * 5
            assert (len(world.requests.asked), world.counters.links_shared) == (2, 8)


class TestSharing:
    """grip-64, grip spec §6.6"""

    @in_own_time
    async def test_who_asks_the_same_has_the_same_answer(self) -> None:
        async with proxy_world(hold_on("c; prev-id=2", body=b"x", delay_s=1)) as world:
            clients = [world.stream(at("1")) for _ in range(3)]
            assert [recovering(client).ask_again(world.runtime.now()) for client in clients] == [True, False, False]
            await asyncio.sleep(2)
            assert [client.content for client in clients] == ["x"] * 3
            assert (len(world.requests.asked), world.counters.links_shared) == (1, 2)
            assert [prev_ids(client.hold) for client in clients] == [{"c": "2"}] * 3

    @in_own_time
    async def test_who_has_other_items_has_another_question(self) -> None:
        async with proxy_world(hold_on("c", body=b"a"), hold_on("c", body=b"b"), hold_on("c", body=b"c")) as world:
            clients = [world.stream(at("1")), world.stream(at("2")), world.stream(at("1", "d"))]
            follow(world, *clients)
            await settle()
            assert [client.content for client in clients] == ["a", "b", "c"]

    @in_own_time
    async def test_so_has_who_asks_another_uri_or_came_by_another_route(self) -> None:
        async with proxy_world(hold_on("c", body=b"a"), hold_on("c", body=b"b"), hold_on("c", body=b"c")) as world:
            clients = [
                world.stream("c"),
                world.stream("c", target=b"/next?x"),
                world.stream("c", home=HOME._replace(route_id="other")),
            ]
            follow(world, *clients)
            await settle()
            assert [client.content for client in clients] == ["a", "b", "c"]

    @in_own_time
    async def test_a_later_cause_is_no_reason_to_join(self) -> None:
        """What was asked before cannot know of it."""
        async with proxy_world(hold_on("c", body=b"old", delay_s=2), hold_on("c", body=b"new", delay_s=2)) as world:
            first, early, late = (world.stream("c") for _ in range(3))
            begin_s = world.runtime.now()
            follow(world, first)
            await asyncio.sleep(1)
            follow(world, early, since_s=begin_s)
            follow(world, late)
            await asyncio.sleep(3)
            assert [client.content for client in (first, early, late)] == ["old", "old", "new"]

    @in_own_time
    async def test_who_comes_in_the_middle_gets_what_has_come(self) -> None:
        async with proxy_world(hold_on("c", pieces=[b"one ", b"two ", 2.0, b"three"])) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await asyncio.sleep(1)
            follow(world, second, since_s=begin_s)
            assert second.content == "one two "
            await asyncio.sleep(2)
            assert (first.content, second.content) == ("one two three", "one two three")
            assert not is_asking(second)

    @in_own_time
    async def test_who_comes_late_gets_the_kept_answer(self) -> None:
        async with proxy_world(hold_on("c", body=b"x"), hold_on("c", body=b"y")) as world:
            first, second, third = (world.stream("c") for _ in range(3))
            begin_s = world.runtime.now()
            follow(world, first)
            await asyncio.sleep(0.9)
            follow(world, second, since_s=begin_s)
            assert is_asking(second)
            await settle()
            assert (second.content, is_asking(second), len(world.requests.asked)) == ("x", False, 1)
            await asyncio.sleep(0.2)
            follow(world, third, since_s=begin_s)
            await settle()
            assert third.content == "y"

    @in_own_time
    async def test_a_newer_question_is_kept_when_the_older_is_forgotten(self) -> None:
        async with proxy_world(hold_on("c", body=b"x"), hold_on("c", body=b"y", delay_s=3)) as world:
            first, second, third = (world.stream("c") for _ in range(3))
            follow(world, first)
            await asyncio.sleep(0.5)
            since_s = world.runtime.now()
            follow(world, second)
            await asyncio.sleep(1)
            follow(world, third, since_s=since_s)
            await asyncio.sleep(3)
            assert (second.content, third.content, len(world.requests.asked)) == ("y", "y", 2)

    @in_own_time
    async def test_who_comes_late_and_leaves(self) -> None:
        async with proxy_world(hold_on("c", body=b"x")) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            follow(world, second, since_s=begin_s)
            second.leave()
            await settle()
            assert second.content == ""

    @in_own_time
    async def test_very_many_come_late(self) -> None:
        """In slices as well, in the order in which they came."""
        async with proxy_world(hold_on("c", body=b"x")) as world:
            first, *late = (world.stream("c") for _ in range(2 * SLICE + 51))
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            follow(world, *late, since_s=begin_s)
            for served in (SLICE, 2 * SLICE, len(late)):
                await asyncio.sleep(0)
                assert [client.content for client in late].count("x") == served
            assert not any(is_asking(client) for client in late)

    @in_own_time
    async def test_a_long_answer_admits_nobody(self) -> None:
        long = hold_on("c", pieces=[b"x" * SHARED_BYTES, b"x", 2.0])
        async with proxy_world(long, hold_on("c", body=b"y")) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            follow(world, second, since_s=begin_s)
            await asyncio.sleep(3)
            assert (len(first.content), second.content) == (SHARED_BYTES + 1, "y")

    @in_own_time
    async def test_the_longest_that_does(self) -> None:
        async with proxy_world(hold_on("c", body=b"x" * SHARED_BYTES)) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            follow(world, second, since_s=begin_s)
            await settle()
            assert first.content == second.content

    @in_own_time
    async def test_very_many(self) -> None:
        """In slices, between which others come and go: each is served once."""
        async with proxy_world(hold_on("c", body=b"x", delay_s=1)) as world:
            clients = [world.stream("c") for _ in range(2 * SLICE + 50)]
            late = world.stream("c")
            begin_s = world.runtime.now()
            follow(world, *clients)

            def meanwhile() -> None:
                clients[-1].leave()
                follow(world, late, since_s=begin_s)

            serve = clients[0].outlet.write

            def write(data: bytes) -> bool | None:
                asyncio.get_running_loop().call_soon(meanwhile)
                return serve(data)

            clients[0].outlet.write = write  # type: ignore[method-assign]
            await asyncio.sleep(2)
            assert {client.content for client in [*clients[:-1], late]} == {"x"}
            assert clients[-1].content == ""
            assert not any(is_asking(client) for client in [*clients, late])

    @in_own_time
    async def test_items_come_after_the_answer_in_order(self) -> None:
        """grip-69"""
        async with proxy_world(hold_on("c; prev-id=3", body=b"2 3 ", delay_s=1)) as world:
            client = world.stream(at("1"))
            world.publish(step("c", 3))
            await asyncio.sleep(0.5)
            assert is_asking(client)
            world.publish(step("c", 4, "4 "), step("c", 5, "5 "))
            await asyncio.sleep(1)
            world.publish(step("c", 6))
            await settle()
            assert client.content == "2 3 4 5 6"


FAILURES: list[tuple[str, Answer | Exception]] = [
    ("500", Answer(500)),
    ("404 with instruct", Answer(404, headers=[(b"Grip-Hold", b"stream")])),
    ("302", Answer(302, headers=[(b"Location", b"/x")])),
    ("199", Answer(199)),
    ("no backend", origin_error("Unable to connect")),
    ("broken off before the body", hold_on("c", pieces=[BadResponse("closed")])),
    ("not to be asked", WireError(400, "bad")),
]


class TestFailures:
    """grip spec §6.7"""

    @pytest.mark.parametrize("failure", [case[1] for case in FAILURES], ids=[case[0] for case in FAILURES])
    @in_own_time
    async def test_asks_again(self, failure: Answer | Exception) -> None:
        """grip-65, grip-66"""
        async with proxy_world(failure, hold_on("c", body=b"x")) as world:
            client = world.stream("c")
            follow(world, client)
            await asyncio.sleep(0.9)
            assert (client.content, client.end, len(world.requests.asked)) == ("", None, 1)
            await asyncio.sleep(0.2)
            assert (client.content, is_asking(client)) == ("x", False)
            assert (world.counters.links_failed, world.requests.times) == (1, [0, 1])

    @pytest.mark.parametrize("jitter", [0.0, 0.9])
    @in_own_time
    async def test_the_sixth_time_is_the_last(self, jitter: float) -> None:
        """grip-65"""
        async with proxy_world(*[Answer(500) for _ in range(6)], jitter=jitter) as world:
            client, plain = world.stream("c", route=DEBUG_ROUTE), world.stream("c")
            follow(world, client, plain)
            await asyncio.sleep(60)
            assert (client.end, plain.end) == (f"\n\n{FAILED}\n".encode(), b"")
            waits = [round(later - earlier, 3) for earlier, later in pairwise(world.requests.times)]
            assert waits == [round(delay + jitter, 3) for delay in (1, 2, 4, 8, 16)]
            assert (world.counters.links_failed, world.counters.streams_unlinked) == (6, 2)

    @in_own_time
    async def test_a_success_resets(self) -> None:
        failed = [Answer(500) for _ in range(5)]
        async with proxy_world(*failed, hold_on("c"), *failed, hold_on("c", body=b"x")) as world:
            client = world.stream("c")
            for _ in range(2):
                follow(world, client)
                await asyncio.sleep(60)
            assert (client.content, client.end) == ("x", None)

    @in_own_time
    async def test_they_are_counted_per_stream(self) -> None:
        """Who joined later has waited for fewer."""
        async with proxy_world(*[Answer(500) for _ in range(8)]) as world:
            first, second = world.stream("c"), world.stream("c")
            follow(world, first)
            await asyncio.sleep(2)
            follow(world, second)
            await asyncio.sleep(30)
            assert (first.end, second.end, len(world.requests.asked)) == (b"", None, 6)
            await asyncio.sleep(40)
            assert (second.end, world.requests.times[-2:]) == (b"", [47, 63])

    @in_own_time
    async def test_while_it_waits_everybody_may_join(self) -> None:
        """It has not been asked yet, so no cause is too late."""
        async with proxy_world(Answer(500), hold_on("c", body=b"x")) as world:
            first, second = world.stream("c"), world.stream("c")
            follow(world, first)
            await asyncio.sleep(0.5)
            follow(world, second)
            await asyncio.sleep(1)
            assert (first.content, second.content, len(world.requests.asked)) == ("x", "x", 2)

    @in_own_time
    async def test_nobody_is_left_to_ask_for(self) -> None:
        async with proxy_world(Answer(500)) as world:
            client = world.stream("c")
            follow(world, client)
            await asyncio.sleep(0.5)
            client.leave()
            await asyncio.sleep(5)
            assert (len(world.requests.asked), len(world.links)) == (1, 0)

    @in_own_time
    async def test_nobody_is_left_to_read_the_answer(self) -> None:
        """It is read no further, and who comes then asks anew."""
        endless: list[bytes | float | Exception] = [b"one ", *(each for _ in range(100) for each in (1.0, b"more "))]
        async with proxy_world(hold_on("c", pieces=endless), hold_on("c", body=b"x")) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await asyncio.sleep(0.5)
            first.leave()
            await asyncio.sleep(1)
            assert (world.runtime.task_count, len(world.links)) == (0, 0)
            follow(world, second, since_s=begin_s)
            await settle()
            assert (second.content, len(world.requests.asked)) == ("x", 2)

    @in_own_time
    async def test_keep_alives_and_items_go_on(self) -> None:
        """grip-70"""
        async with proxy_world(*[Answer(500) for _ in range(3)], hold_on("c")) as world:
            client = world.stream("c", keep_alive=keep_alive(b"k", 3))
            follow(world, client)
            world.publish(text("c", "x"))
            await asyncio.sleep(6.5)
            assert client.content == "kk"
            await asyncio.sleep(1)
            assert client.content == "kkx"

    @in_own_time
    async def test_broken_off_after_a_beginning(self, caplog: pytest.LogCaptureFixture) -> None:
        """It cannot be asked again: the client has a part of it."""
        async with proxy_world(hold_on("c", pieces=[b"half", BadResponse("closed")])) as world:
            client = world.stream("c", route=DEBUG_ROUTE)
            follow(world, client)
            await asyncio.sleep(60)
            assert (client.content, client.end) == ("half", f"\n\n{FAILED}\n".encode())
            assert len(world.requests.asked) == 1
            assert "answer of next link http://h.com/next broken off: closed" in caplog.text


BAD_INSTRUCTS: list[tuple[str, list[tuple[bytes, bytes]], str]] = [
    ("long poll", [(b"Grip-Hold", b"response"), (b"Grip-Channel", b"c")], NOT_A_STREAM),
    ("mode", [(b"Grip-Hold", b"x")], "Grip-Hold must be set to either 'response' or 'stream'"),
    (
        "JSON",
        [(b"Content-Type", b"application/grip-instruct")],
        "failed to parse application/grip-instruct content as JSON",
    ),
    (
        "no link",
        [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"c; prev-id=1")],
        "channel 'c' specifies prev-id, but no next link found",
    ),
]


class TestBadInstructs:
    """grip-67: they end the stream at once."""

    @pytest.mark.parametrize(
        ("headers", "error"), [case[1:] for case in BAD_INSTRUCTS], ids=[case[0] for case in BAD_INSTRUCTS]
    )
    @in_own_time
    async def test_why_is_shown_in_debug_mode(self, headers: list[tuple[bytes, bytes]], error: str) -> None:
        async with proxy_world(Answer(headers=headers)) as world:
            client, plain = world.stream("c", route=DEBUG_ROUTE), world.stream("c")
            follow(world, client, plain)
            await settle()
            assert (client.end, plain.end) == (f"\n\n{error}\n".encode(), b"")
            assert (world.counters.streams_unlinked, world.counters.links_failed) == (2, 0)

    @in_own_time
    async def test_who_has_left_is_not_ended(self) -> None:
        """Neither who waited for the answer, nor who came when it was there."""
        no_link = [(b"Grip-Hold", b"stream"), (b"Grip-Channel", b"c; prev-id=1")]
        async with proxy_world(Answer(headers=no_link, delay_s=1)) as world:
            first, gone, late = (world.stream("c") for _ in range(3))
            begin_s = world.runtime.now()
            follow(world, first, gone)
            await settle()
            gone.leave()
            await asyncio.sleep(1.1)
            follow(world, late, since_s=begin_s)
            late.leave()
            await settle()
            assert (first.end, gone.end, late.end) == (b"", None, None)
            assert world.counters.streams_unlinked == 1

    @pytest.mark.parametrize("failure", [Answer(headers=[(b"Grip-Hold", b"x")], delay_s=1), RuntimeError("broken")])
    @in_own_time
    async def test_nor_when_all_are_ended(self, failure: Answer | Exception) -> None:
        async with proxy_world(failure) as world:
            first, gone = world.stream("c"), world.stream("c")
            follow(world, first, gone)
            gone.leave()
            await asyncio.sleep(2)
            assert (first.end, gone.end, world.counters.streams_unlinked) == (b"", None, 1)

    @in_own_time
    async def test_a_link_that_cannot_be_followed(self) -> None:
        async with proxy_world(hold_on("c", link="<ftp://h/>; rel=next", body=b"x")) as world:
            client = world.stream("c", route=DEBUG_ROUTE)
            follow(world, client)
            await settle()
            assert client.end is not None
            assert client.end.startswith(b"\n\nGrip-Link contains invalid link: ")
            assert client.content == ""

    @pytest.mark.parametrize(("pieces", "shown"), [([b"%I"], ""), ([b"a", b"%(x"], "a")])
    @in_own_time
    async def test_a_filter_fails(self, pieces: list[bytes | float | Exception], shown: str) -> None:
        meta = [(b"Grip-Set-Meta", b"id_format=x")]
        async with proxy_world(hold_on("c; filter=build-id", headers=meta, pieces=pieces)) as world:
            client = world.stream("c", route=DEBUG_ROUTE)
            follow(world, client)
            await settle()
            assert client.end is not None
            assert client.end.startswith(b"\n\nfilter error: build-id: ")
            assert client.content == shown

    @pytest.mark.parametrize("is_broken_off", [False, True])
    @in_own_time
    async def test_who_comes_after_it_asks_anew(self, is_broken_off: bool) -> None:
        """There is no answer that could be shared, though the question was put late enough."""
        broken = hold_on("c", pieces=[b"half", BadResponse("closed")])
        bad = broken if is_broken_off else Answer(headers=[(b"Grip-Hold", b"x")])
        async with proxy_world(bad, hold_on("c", body=b"fine")) as world:
            first, second = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            follow(world, second, since_s=begin_s)
            await settle()
            assert (first.end, second.content, is_asking(second)) == (b"", "fine", False)

    @in_own_time
    async def test_who_comes_while_others_are_ended_asks_anew(self) -> None:
        async with proxy_world(Answer(headers=[(b"Grip-Hold", b"x")]), hold_on("c", body=b"fine")) as world:
            clients = [world.stream("c") for _ in range(SLICE + 1)]
            late = world.stream("c")
            begin_s = world.runtime.now()
            finish = clients[0].outlet.finish

            def finish_first(data: bytes, *, is_reusable: bool) -> None:
                asyncio.get_running_loop().call_soon(lambda: follow(world, late, since_s=begin_s))
                finish(data, is_reusable=is_reusable)

            clients[0].outlet.finish = finish_first  # type: ignore[method-assign]
            follow(world, *clients)
            await settle()
            assert all(client.end == b"" for client in clients)
            assert (late.content, is_asking(late)) == ("fine", False)


class TestNobodyIsLeft:
    """Nothing is done for streams that are gone, and nothing of it outlives them for long."""

    @in_own_time
    async def test_before_it_is_asked_again(self) -> None:
        async with proxy_world(*[Answer(500) for _ in range(5)]) as world:
            client = world.stream("c")
            follow(world, client)
            await asyncio.sleep(15.5)
            assert len(world.requests.asked) == 5
            client.leave()
            await asyncio.sleep(LOOK_S)
            assert (world.runtime.task_count, len(world.links)) == (0, 0)

    @in_own_time
    async def test_before_it_is_its_turn(self) -> None:
        async with proxy_world() as world:
            client = world.stream("c")
            world.requests.turn = asyncio.Semaphore(0)
            follow(world, client)
            await settle()
            client.leave()
            world.requests.turn.release()
            await settle()
            assert (world.requests.asked, world.runtime.task_count, len(world.links)) == ([], 0, 0)


class TestLaggards:
    """An answer in many pieces waits for those that are slow to take it, but not for ever."""

    def answer(self) -> Answer:
        return hold_on("c", pieces=[b"one ", b"two ", b"three"])

    @in_own_time
    async def test_waits(self) -> None:
        async with proxy_world(self.answer()) as world:
            quick, slow = world.stream("c"), world.stream("c")
            slow.outlet.is_blocked = True
            follow(world, quick, slow)
            await asyncio.sleep(1)
            assert (quick.content, slow.content) == ("one ", "one ")
            recovering(slow).on_drained()
            await asyncio.sleep(1)
            assert (quick.content, now()) == ("one two ", 2)
            slow.outlet.is_blocked = False
            recovering(slow).on_drained()
            await settle()
            assert (quick.content, slow.content) == ("one two three", "one two three")

    @in_own_time
    async def test_for_all_of_them(self) -> None:
        async with proxy_world(self.answer()) as world:
            clients = [world.stream("c") for _ in range(2)]
            for client in clients:
                client.outlet.is_blocked = True
            follow(world, *clients)
            await asyncio.sleep(1)
            recovering(clients[0]).on_drained()
            await asyncio.sleep(1)
            assert clients[0].content == "one "
            recovering(clients[1]).on_drained()
            await settle()
            assert clients[0].content == "one two "

    @in_own_time
    async def test_who_leaves_is_not_waited_for(self) -> None:
        async with proxy_world(self.answer()) as world:
            quick, slow = world.stream("c"), world.stream("c")
            slow.outlet.is_blocked = True
            follow(world, quick, slow)
            await asyncio.sleep(1)
            slow.leave()
            await settle()
            assert quick.content == "one two three"

    @in_own_time
    async def test_not_for_ever(self) -> None:
        async with proxy_world(self.answer()) as world:
            quick, slow = world.stream("c"), world.stream("c")
            slow.outlet.is_blocked = True
            follow(world, quick, slow)
            await asyncio.sleep(2 * LAGGARDS_S - 0.1)
            assert quick.content == "one two "
            await asyncio.sleep(0.2)
            assert (quick.content, slow.content) == ("one two three", "one two three")
            recovering(slow).on_drained()

    @in_own_time
    async def test_an_answer_in_one_piece_does_not_wait(self) -> None:
        async with proxy_world(hold_on("c", body=b"x")) as world:
            slow = world.stream("c")
            slow.outlet.is_blocked = True
            follow(world, slow)
            await settle()
            assert not is_asking(slow)


class TestOurFaults:
    """Whatever goes wrong with us, no stream is left waiting."""

    @in_own_time
    async def test_asking_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        async with proxy_world(RuntimeError("out of order"), hold_on("c", body=b"fine")) as world:
            client, late = world.stream("c", route=DEBUG_ROUTE), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, client)
            await settle()
            assert client.end == f"\n\n{FAILED}\n".encode()
            assert "following the next link http://h.com/next failed" in caplog.text
            follow(world, late, since_s=begin_s)
            await settle()
            assert late.content == "fine"

    @pytest.mark.parametrize("has_body", [False, True])
    @in_own_time
    async def test_one_stream_fails(self, has_body: bool, caplog: pytest.LogCaptureFixture) -> None:
        """While it is given the body, or what waits for it after that."""
        async with proxy_world(hold_on("c", body=b"x" if has_body else b"")) as world:
            clients = [world.stream("c") for _ in range(3)]
            follow(world, *clients)
            world.publish(text("c", "y"))
            clients[1].outlet.mood = Mood.BREAKS
            await settle()
            assert clients[0].content == clients[2].content == ("xy" if has_body else "y")
            assert clients[1].hold.is_open is False
            assert [is_asking(client) for client in clients] == [False] * 3
            assert "next link http://h.com/next: a stream of c failed" in caplog.text

    @in_own_time
    async def test_one_that_comes_late_fails(self, caplog: pytest.LogCaptureFixture) -> None:
        async with proxy_world(hold_on("c", body=b"x")) as world:
            first, late = world.stream("c"), world.stream("c")
            begin_s = world.runtime.now()
            follow(world, first)
            await settle()
            late.outlet.mood = Mood.BREAKS
            follow(world, late, since_s=begin_s)
            await settle()
            assert (late.hold.is_open, late.end) == (False, b"")
            assert "next link http://h.com/next: a stream of c failed" in caplog.text
