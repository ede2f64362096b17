"""When a request head that comes again is prepared like before."""

from __future__ import annotations

import weakref
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, cast

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.routing.helpers import KEY, make_defaults, make_rule

from holdfast.grip.signature import Key, Verifier
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.request_recipe import RequestRecipe, make_request_recipe
from holdfast.routing.forward import ForwardPolicy, XffRule, build_origin_request, encode_origin_head
from holdfast.routing.rules import Rule
from holdfast.routing.table import RouteTable
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.jwt import Algorithm

NOW_S = 1_700_000_000.5
ROUTES = RouteTable()
URI = parse_client_uri(b"/path", b"h.com", is_tls=False)
SIGNED = make_rule("* h:80 h:81")
UNSIGNED = make_rule("* h:80", make_defaults(sig_key=None))
WITHOUT_GRIP = make_rule("*,no_grip h:80")
PUBLIC = Key(Algorithm.ES256, ec.generate_private_key(ec.SECP256R1()).public_key())
SHIPPED = ForwardPolicy()


def client_of(address: str = "10.0.0.1", *, is_tls: bool = False) -> ClientExchange:
    return cast(ClientExchange, SimpleNamespace(client_address=address, is_tls=is_tls))


CLIENT, TLS_CLIENT, OTHER_CLIENT = client_of(), client_of(is_tls=True), client_of("10.0.0.2")


def make(
    rule: Rule,
    client: ClientExchange = CLIENT,
    *,
    verifier: Verifier | None = None,
    policy: ForwardPolicy = SHIPPED,
    routes: RouteTable = ROUTES,
) -> RequestRecipe | None:
    proxy = cast(ProxyContext, SimpleNamespace(routes=routes, verifier=verifier, policy=policy))
    request = build_origin_request(
        *(rule, URI, b"GET", [(b"A", b"1")]),
        policy=policy,
        is_tls=client.is_tls,
        is_trusted=False,
        client_address=client.client_address,
        now_s=NOW_S,
    )
    return make_request_recipe(proxy, client, URI, rule, request, NOW_S)


def recipe_of(rule: Rule, client: ClientExchange = CLIENT, **more: Any) -> RequestRecipe:
    recipe = make(rule, client, **more)
    assert recipe is not None
    return recipe


@pytest.mark.parametrize("client", [CLIENT, TLS_CLIENT], ids=["plain", "TLS"])
@pytest.mark.parametrize("rule", [SIGNED, UNSIGNED, WITHOUT_GRIP], ids=["signed", "unsigned", "without GRIP"])
def test_the_same(rule: Rule, client: ClientExchange) -> None:
    recipe = recipe_of(rule, client)
    assert recipe.is_for(ROUTES, client, NOW_S)
    assert recipe.is_for(ROUTES, client, NOW_S + 0.4)
    assert (recipe.rule, recipe.uri) == (rule, URI)
    ready = encode_origin_head(recipe.request, rule.targets[0], content_length=None, is_chunked=False)
    assert ready is recipe.request.ready
    assert ready.startswith(b"GET /path HTTP/1.1\r\nHost: h.com\r\nA: 1\r\n")


def test_something_else() -> None:
    recipe = recipe_of(SIGNED)
    assert not recipe.is_for(RouteTable([SIGNED]), CLIENT, NOW_S)
    assert not recipe.is_for(ROUTES, TLS_CLIENT, NOW_S)


def test_routes_that_are_gone() -> None:
    """Recipes do not keep them, and none that come later are taken for them."""
    routes = RouteTable([SIGNED])
    recipe = recipe_of(SIGNED, routes=routes)
    gone = weakref.ref(routes)
    del routes
    assert gone() is None
    assert not recipe.is_for(RouteTable([SIGNED]), CLIENT, NOW_S)


def test_somebody_else() -> None:
    """Who asks matters where the address is passed on; those that clients send are part of the head."""
    recipe = recipe_of(SIGNED, policy=ForwardPolicy(x_forwarded_for=XffRule(append=True)))
    assert recipe.is_for(ROUTES, CLIENT, NOW_S)
    assert not recipe.is_for(ROUTES, OTHER_CLIENT, NOW_S)
    recipe = recipe_of(SIGNED, policy=ForwardPolicy(x_forwarded_for=XffRule(truncate=1)))
    assert recipe.is_for(ROUTES, OTHER_CLIENT, NOW_S)


def test_another_second() -> None:
    """The signature is another one then, whether the clock goes on or back."""
    recipe = recipe_of(SIGNED)
    assert not recipe.is_for(ROUTES, CLIENT, NOW_S + 1)
    assert not recipe.is_for(ROUTES, CLIENT, NOW_S - 1)
    for rule in (UNSIGNED, WITHOUT_GRIP):
        recipe = recipe_of(rule)
        assert recipe.is_for(ROUTES, CLIENT, NOW_S + 3600)


@pytest.mark.parametrize(
    ("rule", "verifier"),
    [
        (SIGNED, Verifier(KEY)),
        (make_rule("*,aco h:80"), None),
        (replace(SIGNED, header_sets=((b"X", b"a\nb"),)), None),
        (make_rule("* h:80", make_defaults(sig_key=PUBLIC)), None),
    ],
    ids=["trusted proxies", "cross-origin", "a line break", "a key that cannot sign"],
)
def test_more_than_can_be_compared(rule: Rule, verifier: Verifier | None) -> None:
    assert make(rule, verifier=verifier) is None
