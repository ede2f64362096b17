"""Filters that ask the network: what is asked, and what the answers mean (grip spec §11.4). Time is told in seconds."""

from __future__ import annotations

import asyncio
import ssl

import orjson
import pytest
from tests.unit.proxy.helpers import BASE, HOME, Answer, ProxyWorld, in_own_time, now, proxy_world, settle
from tests.unit.push.helpers import DEBUG_ROUTE, Client, at, make_item, prev_ids, text

from holdfast.errors import BackendError, BackendTimeout, BadResponse, ConnectError, WireError
from holdfast.grip.item import Action, ResponseFormat
from holdfast.grip.values import Subscription
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.network_filter import MAX_CONTENT_BYTES, MAX_PACES, REQUESTS_PER_SECOND, TIMEOUT_S
from holdfast.push.plan import RouteTerms
from holdfast.wire.headers import Headers

META: dict[str, str | None] = {"url": "/check"}
DROP: Headers = [(b"Action", b"drop")]


def checked(world: ProxyWorld, *, name: str = "http-modify", meta: dict[str, str | None] = META) -> Client:
    return world.stream(at(None, "c", name), route=DEBUG_ROUTE, meta=meta)


class TestQuestion:
    @pytest.mark.parametrize(("name", "content"), [("http-modify", b"x"), ("http-check", b"")])
    @in_own_time
    async def test_what_is_asked(self, name: str, content: bytes) -> None:
        async with proxy_world(Answer(204)) as world:
            meta = {**META, "user": "bob\r\n", "nothing": None}
            route = RouteTerms(prefix="p-")
            client = world.stream(at("1", "c", name), at("7", "d"), "e", meta=meta, route=route)
            world.publish(text("p-c", "x", meta={"sender": "é"}, item_id="2", prev_id="1"))
            await settle()
            [request] = world.requests.asked
            assert (request.method, request.uri, request.home) == (b"POST", BASE._replace(path=b"/check"), HOME)
            assert request.body == content
            (sub_name, sub_meta), (pub_name, pub_meta) = request.headers
            assert (sub_name, orjson.loads(sub_meta)) == (b"Sub-Meta", {"url": "/check", "user": "bob\r\n"})
            assert (pub_name, pub_meta) == (b"Pub-Meta", '{"sender":"é"}'.encode())
            assert not set(sub_meta) & set(b"\r\n ")
            assert sorted(request.grip_last) == [(b"Grip-Last", b"c; last-id=1"), (b"Grip-Last", b"d; last-id=7")]
            assert (client.content, prev_ids(client.hold)["p-c"]) == ("x", "2")
            assert world.counters.filter_requests == 1

    @pytest.mark.parametrize(
        ("url", "expected"),
        [
            ("check?x", "http://h.com/check?x"),
            ("https://other:8443/a", "https://other:8443/a"),
            ("//other/a", "http://other/a"),
        ],
    )
    @in_own_time
    async def test_where(self, url: str, expected: str) -> None:
        async with proxy_world(Answer(204)) as world:
            checked(world, meta={"url": url})
            world.publish(text("c", "x"))
            await settle()
            assert world.requests.asked[0].uri.text == expected

    @pytest.mark.parametrize(
        ("meta", "error"),
        [
            ({}, "missing url value"),
            ({"url": None}, "missing url value"),
            ({"url": ""}, "missing url value"),
            ({"url": "ftp://h/"}, "invalid url value"),
            ({"url": "http://[::1/"}, "invalid url value"),
        ],
    )
    @in_own_time
    async def test_nowhere(self, meta: dict[str, str | None], error: str) -> None:
        async with proxy_world() as world:
            client = checked(world, meta=meta)
            world.publish(text("c", "x"))
            await settle()
            assert client.end == f"\n\nfilter error: http-modify: {error}\n".encode()
            assert world.counters.filter_requests == 0


ANSWERS: list[tuple[str, str, Answer, str]] = [
    ("new content", "http-modify", Answer(200, pieces=[b"n", b"ew"]), "new"),
    ("no content", "http-modify", Answer(200), ""),
    ("unchanged", "http-modify", Answer(204), "x"),
    ("passes", "http-check", Answer(200, pieces=[b"ignored"]), "x"),
    ("passes without body", "http-check", Answer(204), "x"),
    ("dropped", "http-modify", Answer(200, DROP, [b"new"]), ""),
    ("dropped without body", "http-check", Answer(204, DROP), ""),
    ("another action", "http-check", Answer(200, [(b"Action", b"Drop")]), "x"),
    ("as long as may be", "http-modify", Answer(200, pieces=[b"n" * MAX_CONTENT_BYTES]), "n" * MAX_CONTENT_BYTES),
]


@pytest.mark.parametrize(
    ("name", "answer", "expected"), [case[1:] for case in ANSWERS], ids=[case[0] for case in ANSWERS]
)
@in_own_time
async def test_answers(name: str, answer: Answer, expected: str) -> None:
    """grip-94"""
    async with proxy_world(answer) as world:
        client = checked(world, name=name)
        world.publish(text("c", "x"))
        await settle()
        assert (client.content, client.end) == (expected, None)


def because(cause: Exception) -> ErrorAnswer:
    """What `Attempts` raises."""
    error = origin_error()
    error.__cause__ = cause
    return error


def no_connection(cause: Exception | None) -> ErrorAnswer:
    error = ConnectError("no connection")
    error.__cause__ = cause
    return because(error)


ERRORS: list[tuple[Answer | Exception, str]] = [
    (Answer(500), "unexpected network request status: code=500"),
    (Answer(302, DROP), "unexpected network request status: code=302"),
    (Answer(201), "unexpected network request status: code=201"),
    (Answer(pieces=[b"n" * MAX_CONTENT_BYTES, b"n"]), "network response exceeded 100000 bytes"),
    (Answer(pieces=[b"n", BadResponse("closed")]), "network request failed: disconnected"),
    (Answer(pieces=[BackendTimeout("silent")]), "network request failed: request timed out"),
    (Answer(delay_s=TIMEOUT_S + 1), "network request failed: request timed out"),
    (Answer(pieces=[b"n", TIMEOUT_S + 1]), "network request failed: request timed out"),
    (no_connection(ConnectionRefusedError()), "network request failed: connection refused"),
    (no_connection(TimeoutError()), "network request failed: connection timed out"),
    (no_connection(ssl.SSLCertVerificationError()), "network request failed: tls error"),
    (no_connection(OSError("no route")), "network request failed: general error"),
    (no_connection(None), "network request failed: general error"),
    (because(BadResponse("closed")), "network request failed: disconnected"),
    (because(BackendTimeout("silent")), "network request failed: request timed out"),
    (because(BackendError("refused")), "network request failed: general error"),
    (origin_error(), "network request failed: general error"),
    (WireError(400, "bad"), "network request failed: general error"),
]


@pytest.mark.parametrize(("answer", "error"), ERRORS, ids=range(len(ERRORS)))
@in_own_time
async def test_errors(answer: Answer | Exception, error: str) -> None:
    async with proxy_world(answer) as world:
        client = checked(world)
        world.publish(text("c", "x"))
        await asyncio.sleep(20)
        assert client.end == f"\n\nfilter error: http-modify: {error}\n".encode()
        assert client.content == ""


class TestHold:
    @in_own_time
    async def test_one_item_after_the_other(self) -> None:
        answers = [Answer(pieces=[b"%d" % number], delay_s=1) for number in range(3)]
        async with proxy_world(*answers) as world:
            client = checked(world)
            world.publish(*[text("c", "x") for _ in range(3)])
            await asyncio.sleep(4)
            assert (client.writes, world.requests.times) == (["0", "1", "2"], [0, 1, 2])

    @in_own_time
    async def test_several_filters(self) -> None:
        async with proxy_world(Answer(pieces=[b"%(user)s"]), Answer(204), Answer(pieces=[b"end"])) as world:
            names = ("http-modify", "http-check", "var-subst", "http-modify")
            client = world.stream(Subscription("c", None, names), meta={**META, "user": "bob"})
            world.publish(text("c", "x"))
            await settle()
            assert client.content == "end"
            assert [request.body for request in world.requests.asked] == [b"x", b"", b"bob"]

    @in_own_time
    async def test_a_failure_is_skipped(self) -> None:
        async with proxy_world(Answer(500), Answer(204)) as world:
            client = world.stream(at(None, "c", "http-check"), meta=META)
            world.publish(text("c", "1"), text("c", "2"))
            await settle()
            assert (client.content, client.end) == ("2", None)
            assert world.counters.drops_filter_failed == 1

    @in_own_time
    async def test_a_long_poll(self) -> None:
        async with proxy_world(Answer(200, DROP), Answer(pieces=[b"new"])) as world:
            client = world.poll(at(None, "c", "http-modify"), meta=META)
            items = [make_item("c", response=ResponseFormat(Action.SEND, body=body)) for body in (b"1", b"2")]
            world.publish(*items)
            await settle()
            assert client.body == "new"

    @pytest.mark.parametrize("is_early", [False, True])
    @in_own_time
    async def test_who_leaves_meanwhile(self, is_early: bool) -> None:
        async with proxy_world(*([] if is_early else [Answer(delay_s=1)])) as world:
            client = checked(world)
            world.publish(text("c", "x"))
            if is_early:
                asyncio.get_running_loop().call_soon(client.leave)
                await settle()
            else:
                await asyncio.sleep(0.5)
                client.leave()
            await asyncio.sleep(2)
            assert client.writes == []

    @in_own_time
    async def test_our_fault(self, caplog: pytest.LogCaptureFixture) -> None:
        """The item is skipped, and the hold goes on."""
        async with proxy_world(RuntimeError("out of order"), Answer(204)) as world:
            client = world.stream(at(None, "c", "http-check"), meta=META)
            world.publish(text("c", "1"), text("c", "2"))
            await settle()
            assert client.content == "2"
            assert "a filter of a stream of c failed" in caplog.text


class TestPace:
    """A hundred a second to one URL, a second's worth at once; the others wait, but not longer than a request may."""

    def many(self, world: ProxyWorld, count: int, url: str = "/check") -> list[Client]:
        return [
            world.stream(at(None, "c", "http-check"), meta={"url": url, "n": str(number)}) for number in range(count)
        ]

    @in_own_time
    async def test_spaced(self) -> None:
        count = 3 * REQUESTS_PER_SECOND
        async with proxy_world(*[Answer(204) for _ in range(count)]) as world:
            clients = self.many(world, count)
            world.publish(text("c", "x"))
            for second in (1, 2, 3):
                await settle()
                assert abs(len(world.requests.asked) - second * REQUESTS_PER_SECOND) <= 2
                await asyncio.sleep(1)
            assert all(client.content == "x" for client in clients)

    @in_own_time
    async def test_per_url(self) -> None:
        count = REQUESTS_PER_SECOND
        async with proxy_world(*[Answer(204) for _ in range(2 * count)]) as world:
            self.many(world, count, "/a")
            self.many(world, count, "/b")
            world.publish(text("c", "x"))
            await settle()
            assert len(world.requests.asked) == 2 * count

    @in_own_time
    async def test_after_a_pause_at_once_again(self) -> None:
        count = REQUESTS_PER_SECOND
        async with proxy_world(*[Answer(204) for _ in range(2 * count)]) as world:
            clients = self.many(world, count)
            world.publish(text("c", "1"))
            await asyncio.sleep(5)
            world.publish(text("c", "2"))
            await settle()
            assert {client.content for client in clients} == {"12"}

    @in_own_time
    async def test_too_many(self) -> None:
        """Those that would wait in vain are told at once."""
        most = REQUESTS_PER_SECOND * (1 + int(TIMEOUT_S))
        async with proxy_world(*[Answer(204) for _ in range(most)]) as world:
            self.many(world, most + 50)
            world.publish(text("c", "x"))
            await settle()
            assert abs(world.counters.drops_filter_failed - 50) <= 2
            await asyncio.sleep(TIMEOUT_S - now() - 0.1)
            assert len(world.requests.asked) > most - 50
            world.requests.script.clear()

    @in_own_time
    async def test_urls_are_forgotten(self) -> None:
        """What is known of them is bounded, and nobody who waits is let through by that."""
        count = 2 * MAX_PACES
        async with proxy_world(*[Answer(204) for _ in range(count)]) as world:
            for number in range(count):
                world.stream(at(None, "c", "http-check"), meta={"url": f"/{number}"})
                if number % 500 == 499:
                    world.publish(text("c", "x"))
                    await asyncio.sleep(0.5)
                    for client in world.clients:
                        client.leave()
            assert len(world.requests.asked) == count
