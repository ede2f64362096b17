"""Requests of the proxy's own, as a backend sees them (grip spec §6.6)."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import pytest
from tests.unit.net.backends import BackendStage, backend_stage
from tests.unit.net.helpers import Peer, eventually
from tests.unit.proxy.helpers import make_context
from tests.unit.routing.helpers import KEY, load, make_defaults

from holdfast.errors import AddressRefused, BadResponse, ConnectError
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.origin import Home
from holdfast.proxy.own_request import OwnRequest, OwnRequests
from holdfast.routing.table import RouteTable
from holdfast.routing.uri import ClientUri, parse_client_uri
from holdfast.wire.headers import Headers, get_all, get_first
from holdfast.wire.http1.head import HeadLimits, RequestHead, parse_request_head
from holdfast.wire.jwt import decode_jwt

T = TypeVar("T")
NOW_S = 1_700_000_000
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"


def uri(text: str) -> ClientUri:
    scheme, _, rest = text.partition("://")
    host, slash, path = rest.partition("/")
    return parse_client_uri((slash + path or "/").encode(), host.encode(), is_tls=scheme == "https")


HERE = uri("http://h.com/page")


class Stage:
    """Requests that go out by `routes`, in which PORT stands for the backend's."""

    def __init__(self, backend: BackendStage, routes: str, *, sig_key: Any = KEY) -> None:
        self.backend = backend
        self.port = backend.endpoint.port
        table, problems = load(self.here(routes), make_defaults(sig_key=sig_key))
        assert problems == []
        self.proxy = make_context(backend.runtime, pool=backend.pool, routes=table)
        self.proxy.wall_clock = lambda: NOW_S
        self.requests = OwnRequests(self.proxy)

    def here(self, text: str) -> str:
        return text.replace("PORT", str(self.port))

    async def ask(self, request: OwnRequest) -> tuple[int, bytes]:
        """Status and body of the answer."""
        async with self.requests.ask(request) as reply:
            body = b""
            while piece := await reply.read():
                body += piece
            return reply.code, body

    def start(self, asking: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        return self.backend.runtime.loop.create_task(asking)

    async def received(self, request: OwnRequest) -> RequestHead:
        """What the backend gets; it answers properly."""
        asking = self.start(self.ask(request))
        peer = await self.backend.accept()
        head = await read_head(peer)
        await peer.send(OK)
        assert await asking == (200, b"hi")
        return head


async def read_head(peer: Peer) -> RequestHead:
    parsed = parse_request_head(await peer.read_until(b"\r\n\r\n"), HeadLimits())
    assert parsed is not None
    return parsed[0]


@asynccontextmanager
async def staged(routes: str, *, sig_key: Any = KEY) -> AsyncIterator[Stage]:
    async with backend_stage() as backend:
        yield Stage(backend, routes, sig_key=sig_key)


def get(target: ClientUri, *, route_id: str = "r", **fields: Any) -> OwnRequest:
    return OwnRequest(b"GET", target, Home.of(HERE, route_id), **fields)


ROUTE = "h.com,id=r 127.0.0.1:PORT"


class TestBySameRoute:
    async def test_what_is_sent(self) -> None:
        """grip-62: nothing of the client's; signed, with what the client has."""
        last: Headers = [(b"Grip-Last", b"c; last-id=1"), (b"Grip-Last", b"d; last-id=2")]
        async with staged(ROUTE) as stage:
            head = await stage.received(get(uri("http://h.com/next?a=b"), grip_last=last))
            assert (head.method, head.target) == (b"GET", b"/next?a=b")
            assert get_all(head.headers, b"host") == [b"h.com"]
            names = [name.lower() for name, _ in head.headers]
            assert sorted(names) == [b"grip-feature", b"grip-last", b"grip-last", b"grip-sig", b"host"]
            assert get_all(head.headers, b"grip-last") == [b"c; last-id=1", b"d; last-id=2"]
            token = get_first(head.headers, b"grip-sig")
            assert token is not None
            assert decode_jwt(token, KEY)["exp"] == NOW_S + 3600

    @pytest.mark.parametrize(("body", "length"), [(b"", b"0"), (b"hello", b"5")])
    async def test_a_post(self, body: bytes, length: bytes) -> None:
        async with staged(ROUTE) as stage:
            request = OwnRequest(b"POST", uri("http://h.com/x"), Home.of(HERE, "r"), [(b"A", b"1")], body=body)
            asking = stage.start(stage.ask(request))
            peer = await stage.backend.accept()
            head = await read_head(peer)
            assert (get_first(head.headers, b"content-length"), get_first(head.headers, b"a")) == (length, b"1")
            await peer.expect(body)
            await peer.send(OK)
            assert await asking == (200, b"hi")

    async def test_what_the_route_does(self) -> None:
        async with staged("h.com,id=r,path_beg=/a/,path_rem=2,header=X:1 127.0.0.1:PORT") as stage:
            head = await stage.received(get(uri("http://h.com/a/n")))
            assert (head.target, get_first(head.headers, b"x")) == (b"/n", b"1")

    async def test_the_connection_is_used_again(self) -> None:
        async with staged(ROUTE) as stage:
            await stage.received(get(uri("http://h.com/1")))
            assert stage.backend.pool.idle_count == 1

    async def test_one_whose_answer_nobody_read_is_not(self) -> None:
        async with staged(ROUTE) as stage:

            async def ask() -> int:
                async with stage.requests.ask(get(uri("http://h.com/1"))) as reply:
                    return reply.code

            asking = stage.start(ask())
            peer = await stage.backend.accept()
            await read_head(peer)
            await peer.send(b"HTTP/1.1 404 Not Found\r\nContent-Length: 1000\r\n\r\nx")
            assert await asking == 404
            await peer.expect_end()
            assert stage.backend.pool.idle_count == 0


ELSEWHERE = [
    ("another authority", ROUTE, "http://127.0.0.1:PORT/next"),
    ("another authority, on a path of the route", "h.com,id=r,path_beg=/a/ 127.0.0.1:1", "http://127.0.0.1:PORT/a/n"),
    ("a name that has a route of its own", "127.0.0.1,id=r,header=X:1 127.0.0.1:1", "http://127.0.0.1:PORT/n"),
]


class TestElsewhere:
    @pytest.mark.parametrize(
        ("routes", "target"), [case[1:] for case in ELSEWHERE], ids=[case[0] for case in ELSEWHERE]
    )
    async def test_goes_directly(self, routes: str, target: str) -> None:
        """grip-72: signed with the key of the route."""
        async with staged(routes) as stage:
            head = await stage.received(get(uri(stage.here(target))))
            assert get_all(head.headers, b"host") == [stage.here("127.0.0.1:PORT").encode()]
            token = get_first(head.headers, b"grip-sig")
            assert token is not None and decode_jwt(token, KEY)
            assert get_first(head.headers, b"x") is None

    async def test_what_the_route_does_is_not_done(self) -> None:
        props = "h.com,id=r,path_beg=/a/,path_rem=2,replace_beg=/z/,header=X:1,as_host=other 127.0.0.1:1"
        async with staged(props) as stage:
            head = await stage.received(get(uri(stage.here("http://127.0.0.1:PORT/a/n"))))
            assert (head.target, get_first(head.headers, b"x")) == (b"/a/n", None)
            assert get_all(head.headers, b"host") == [stage.here("127.0.0.1:PORT").encode()]

    async def test_its_own_name_on_a_path_that_no_longer_fits(self) -> None:
        async with staged("127.0.0.1,id=r,path_beg=/a/ 127.0.0.1:1") as stage:
            target = uri(stage.here("http://127.0.0.1:PORT/b/n"))
            head = await stage.received(OwnRequest(b"GET", target, Home.of(target, "r")))
            assert head.target == b"/b/n"

    async def test_untrusted_routes_reach_no_private_address(self) -> None:
        """Or a backend that nobody trusts could look around in our network."""
        async with staged("h.com,id=r 127.0.0.1:1,untrusted") as stage:
            with pytest.raises(ErrorAnswer, match="blocked") as caught:
                await stage.ask(get(uri(stage.here("http://127.0.0.1:PORT/next"))))
            assert isinstance(caught.value.__cause__, AddressRefused)

    async def test_encrypted(self) -> None:
        async with staged(ROUTE) as stage:
            asking = stage.start(stage.ask(get(uri(stage.here("https://127.0.0.1:PORT/next")))))
            peer = await stage.backend.accept()
            assert await peer.read(2) == b"\x16\x03"
            peer.close()
            with pytest.raises(ErrorAnswer) as caught:
                await asking
            assert isinstance(caught.value.__cause__, ConnectError)


class TestRoutesThatHaveChanged:
    async def test_the_id_is_gone(self) -> None:
        """The route that would take the client's request now takes ours."""
        async with staged("h.com,id=new,header=X:1 127.0.0.1:PORT") as stage:
            head = await stage.received(get(uri("http://h.com/next")))
            assert get_first(head.headers, b"x") == b"1"

    async def test_no_route_is_left(self) -> None:
        """Then it goes where it says, and nobody's key is used."""
        async with staged(ROUTE) as stage:
            stage.proxy.routes = RouteTable([])
            target = uri(stage.here("http://127.0.0.1:PORT/next"))
            head = await stage.received(OwnRequest(b"GET", target, Home.of(target, "r")))
            assert get_first(head.headers, b"grip-sig") is None
            assert get_all(head.headers, b"host") == [stage.here("127.0.0.1:PORT").encode()]


class TestFailures:
    async def test_no_backend(self) -> None:
        async with staged("h.com,id=r 127.0.0.1:1") as stage:
            with pytest.raises(ErrorAnswer) as caught:
                await stage.ask(get(uri("http://h.com/")))
            assert isinstance(caught.value.__cause__, ConnectError)
            assert isinstance(caught.value.__cause__.__cause__, ConnectionRefusedError)

    async def test_no_answer(self) -> None:
        async with staged(ROUTE) as stage:
            asking = stage.start(stage.ask(get(uri("http://h.com/"))))
            peer = await stage.backend.accept()
            await read_head(peer)
            peer.close()
            with pytest.raises(ErrorAnswer) as caught:
                await asking
            assert isinstance(caught.value.__cause__, BadResponse)

    async def test_broken_off(self) -> None:
        async with staged(ROUTE) as stage:
            asking = stage.start(stage.ask(get(uri("http://h.com/"))))
            peer = await stage.backend.accept()
            await read_head(peer)
            await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf")
            peer.close()
            with pytest.raises(BadResponse):
                await asking

    async def test_nobody_waits_any_more(self) -> None:
        """Whoever cancels it leaves no connection behind."""
        async with staged(ROUTE) as stage:
            asking = stage.start(stage.ask(get(uri("http://h.com/"))))
            peer = await stage.backend.accept()
            await read_head(peer)
            asking.cancel()
            await peer.expect_end()
            await eventually(asking.done, "cancelled")
