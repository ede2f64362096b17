from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest
from tests.unit.net.helpers import (
    LIMITS,
    OUTBOX,
    FunctionService,
    Owner,
    Stage,
    echo,
    eventually,
    get,
    ok,
    settle,
    staged,
)

from holdfast.net.edge import Edge
from holdfast.net.exchange import ClientExchange


def make_edge(stage: Stage, max_connections: int) -> tuple[Edge, list[bool]]:
    """An edge without sockets, and what it says about its capacity."""
    edge = Edge("test", stage.runtime, FunctionService(echo), replace(LIMITS, max_connections=max_connections), OUTBOX)
    said: list[bool] = []
    edge.on_capacity = said.append
    return edge, said


async def test_it_says_when_it_is_full_and_when_no_longer() -> None:
    async with staged(echo) as stage:
        edge, said = make_edge(stage, 2)
        started = [edge.opened() for _ in range(3)]
        assert (said, edge.open_connections) == ([True], 3)
        for number, expected in ((0, [True]), (1, [True, False]), (2, [True, False])):
            edge.closed(started[number])
            assert said == expected
        assert (edge.open_connections, stage.counters.connections_accepted) == (0, 3)


async def test_it_counts_minutes_of_open_connections() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        assert stage.edge.connection_minutes == 1
        stage.skip(10)
        assert stage.edge.connection_minutes == 1


async def test_requests_of_operators_are_not_counted() -> None:
    async with staged(echo) as stage:
        stage.edge.counts_clients = False
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        assert stage.counters.requests_received == 0


async def test_an_empty_edge_is_drained_at_once() -> None:
    async with staged(echo) as stage:
        edge, _ = make_edge(stage, 2)
        edge.drain()
        assert edge.emptied.is_set() and edge.is_draining


async def test_an_edge_is_drained_when_the_last_connection_has_ended() -> None:
    async with staged(echo) as stage:
        edge, _ = make_edge(stage, 5)
        started = [edge.opened() for _ in range(2)]
        edge.closed(started[0])
        edge.drain()
        assert not edge.emptied.is_set()
        edge.closed(started[1])
        assert edge.emptied.is_set()


async def test_connections_are_cut_off_whatever_they_are_doing() -> None:
    async def never(_: ClientExchange) -> None:
        await asyncio.Event().wait()

    async with staged(never) as stage:
        peer = await stage.ask(get())
        await eventually(lambda: stage.edge.connections, "the connection")
        stage.edge.drain()
        stage.edge.cut_off()
        await stage.edge.emptied.wait()
        await peer.drain()


@pytest.mark.parametrize("has_parking", [True, False])
async def test_what_is_held_only_after_a_stop_has_begun_ends_at_once(has_parking: bool) -> None:
    """Nobody would end it later, and the stop would wait for it in vain."""
    owner = Owner()
    is_stopping = asyncio.Event()

    async def answer(exchange: ClientExchange) -> None:
        await is_stopping.wait()
        await owner.hold(exchange, b"first ")

    async with staged(answer, has_parking=has_parking) as stage:
        peer = await stage.ask(get())
        await settle()
        stage.edge.drain()
        if stage.lot is not None:
            stage.lot.end_holds()
        is_stopping.set()
        await peer.expect(b"first end")
        await peer.expect_end()
        await eventually(stage.edge.emptied.is_set, "emptied")
