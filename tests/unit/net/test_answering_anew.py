"""Clients whose held request is answered anew: parked ones and those with their transport are taken back alike."""

from __future__ import annotations

from typing import Any, TypeAlias

import pytest
from tests.unit.net.held_clients import Held, held_as
from tests.unit.net.helpers import eventually, get, ok

from holdfast.net.outlets import ConnectionOutlet, Outlet
from holdfast.net.parked_client import ParkedClient
from holdfast.wire.http1.head import RequestHead

Kind: TypeAlias = type[Any]


@pytest.fixture(params=[ParkedClient, ConnectionOutlet])
def kind(request: pytest.FixtureRequest) -> Kind:
    param: Kind = request.param
    return param


AGAIN = RequestHead(b"GET", b"/again", True, [])


async def test_a_client_is_taken_back_and_answered_anew(kind: Kind) -> None:
    async with held_as(kind, first=b"", pipelined=get(b"/2")) as it:
        exchange = it.client.reopen(AGAIN, b"")
        assert exchange is not None
        assert (exchange.head, exchange.is_body_complete) == (AGAIN, True)
        exchange.respond(200, b"OK", [], b"anew")
        await it.peer.expect(ok(b"anew"), ok(b"/2"))
        await it.peer.send(get(b"/3"))
        await it.peer.expect(ok(b"/3"))
        assert (it.owner.gone, it.stage.edge.open_connections) == (0, 1)


async def test_the_body_is_there_again(kind: Kind) -> None:
    async with held_as(kind, first=b"") as it:
        head = RequestHead(b"POST", b"/again", True, [], content_length=4)
        exchange = it.client.reopen(head, b"body")
        assert exchange is not None
        assert exchange.take() == b"body"
        exchange.respond(200, b"OK", [], b"x")
        await it.peer.expect(ok(b"x"))


async def test_a_client_that_is_taken_back_may_be_held_again(kind: Kind) -> None:
    async with held_as(kind, first=b"") as it:
        for _ in range(3):
            outlet, it.owner.outlet = it.owner.outlet, None
            assert outlet is not None
            it.stage.runtime.spawn(hold_anew(it, outlet), "retry")
            await eventually(lambda: it.owner.outlet, "held again")
            await it.peer.expect_nothing()
        assert it.owner.outlet is not None
        it.owner.outlet.finish(ok(b"end"), is_reusable=True)
        await it.peer.expect(ok(b"end"))


async def hold_anew(it: Held[Any], outlet: Outlet) -> None:
    """What asking again does when the new answer is held, too."""
    exchange = outlet.reopen(AGAIN, b"")
    assert exchange is not None
    await it.owner.hold(exchange, b"")


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_a_client_that_has_left_is_not_taken_back(kind: Kind, how: str) -> None:
    async with held_as(kind, first=b"") as it:
        getattr(it.peer, how)()
        await eventually(lambda: it.owner.gone, "told")
        assert it.client.reopen(AGAIN, b"") is None
        await it.stage.expect_empty()
        assert it.owner.gone == 1
