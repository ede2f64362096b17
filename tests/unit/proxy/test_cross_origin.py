"""What is asked for in a request of a route with `aco`, and what is made of its answer."""

from __future__ import annotations

import pytest
from tests.unit.net.helpers import get, ok, staged

from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.cross_origin import Asked, ask_cross_origin
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.uri import ClientUri
from holdfast.wire.cross_origin import Cors
from holdfast.wire.jsonp import Jsonp

ORIGIN = b"Origin: https://a.com"
CORS = Cors.of([(b"Origin", b"https://a.com")])
HOST = (b"Host", b"a.com")


async def test_what_comes_of_requests() -> None:
    """routes-87, routes-93: a GET with a callback is another request, everything else is what it is."""
    seen: list[tuple[Asked, object, bytes]] = []

    def answer(exchange: ClientExchange) -> None:
        path, _, query = exchange.head.target.partition(b"?")
        asked = ask_cross_origin(exchange, JsonpTerms(), ClientUri("http", "a.com", None, path, query or None))
        seen.append((asked, exchange.transform, exchange.take()))
        exchange.transform = None
        exchange.respond(200, b"OK", [], b"")

    async with staged(answer) as stage:
        target = b"/p?callback=cb&_method=PUT&_body=x"
        peer = await stage.ask(get(target, ORIGIN) + get(b"/p", ORIGIN) + get(target, ORIGIN, method=b"HEAD"))
        await peer.expect(ok(b""), ok(b""), ok(b""))
    (script, script_transform, script_body), *others = seen
    assert (script.uri.path_and_query, script.method, script_body) == (b"/p", b"PUT", b"x")
    assert script.headers == [HOST, (b"Accept", b"*/*"), (b"Origin", b"https://a.com")]
    assert script_transform == Jsonp(b"cb", True, CORS)
    assert [(asked.uri.path_and_query, asked.method) for asked, *_ in others] == [(b"/p", b"GET"), (target, b"HEAD")]
    assert all((transform, body) == (CORS, b"") for _, transform, body in others)


async def test_bad_parameters() -> None:
    """routes-90: the error itself has CORS headers."""

    def answer(exchange: ClientExchange) -> None:
        uri = ClientUri("http", "a.com", None, b"/", b"callback=")
        with pytest.raises(WireError):
            ask_cross_origin(exchange, JsonpTerms(), uri)
        assert exchange.transform == CORS
        exchange.transform = None
        exchange.respond(200, b"OK", [], b"")

    async with staged(answer) as stage:
        await (await stage.ask(get(b"/", ORIGIN))).expect(ok(b""))
