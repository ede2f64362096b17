"""Clients that are let go of: what is unsent reaches them, what they still say destroys nothing, and they do end."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from tests.unit.net.helpers import (
    HUGE,
    SEND_S,
    echo,
    eventually,
    get,
    leaving_no,
    ok,
    read_all,
    refused,
    settle,
    staged,
)
from tests.unit.net.tls_clients import connect, listen

from holdfast.net.client import ClientConnection
from holdfast.net.exchange import ClientExchange
from holdfast.net.leaving_client import LINGER_S, LeavingClient

MALFORMED = "Failed to parse request: invalid token"
CHUNKED_POST = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


async def test_a_refusal_is_not_destroyed_by_what_the_client_still_sends() -> None:
    """RFC 9112 §9.6: closing with unread input would send a reset that overtakes the answer."""
    async with staged(echo) as stage:
        peer = await stage.ask(b"\x00")
        await settle()
        for _ in range(20):
            await peer.send(bytes(100_000))
        await peer.expect(refused(400, MALFORMED))
        await peer.expect_end()
        stage.skip(LINGER_S)
        await stage.expect_empty()


async def test_a_client_that_is_answered_before_its_body_is_not_kept_for_ever() -> None:
    """Whoever waits for more of the body learns later that this is over."""

    async def answer(exchange: ClientExchange) -> None:
        body = stage.runtime.spawn(read_all(exchange), "body")
        await settle()
        echo(exchange)
        body.cancel()

    async with staged(answer) as stage:
        peer = await stage.ask(CHUNKED_POST)
        await peer.expect(ok(b"/", b"Connection: close"))
        await peer.expect_end()
        stage.skip(LINGER_S + 0.2)
        await stage.expect_empty()


async def test_what_is_unsent_is_sent_first() -> None:
    """However slow the client is, as long as it takes something; and nothing that it says is an answer to that."""
    body = bytes(HUGE)
    async with staged(lambda exchange: exchange.respond(200, b"OK", [], body)) as stage:
        peer = await stage.ask(CHUNKED_POST, is_slow=True)
        await peer.read_until(b"\r\n\r\n")
        assert [type(connection) for connection in stage.edge.connections] == [LeavingClient]
        size = 0
        while size < HUGE:
            size += len(await peer.read(min(4_000_000, HUGE - size)))
            peer.send_what_fits(b"x")
            await settle()
            if size < HUGE:
                stage.skip(LINGER_S - 0.5)
        await peer.expect_end()


async def test_who_takes_nothing_does_end() -> None:
    async with staged(lambda exchange: exchange.respond(200, b"OK", [], bytes(HUGE))) as stage:
        peer = await stage.ask(CHUNKED_POST, is_slow=True)
        await settle()
        stage.skip(SEND_S + 0.2)
        await stage.expect_empty()
        assert await peer.drain() < HUGE


async def test_the_last_few_bytes_have_time() -> None:
    """So few that the transport does not complain: they get more than the moment in which input is thrown away."""
    sent = 0

    async def answer(exchange: ClientExchange) -> None:
        nonlocal sent
        exchange.start_response(200, b"OK", [], None)
        connection = stage.connection
        while not connection.unsent_bytes:
            exchange.write(bytes(50_000))
            sent += 50_000
            await asyncio.sleep(0.001)
        exchange.end_response()

    async with staged(answer) as stage:
        peer = await stage.ask(CHUNKED_POST, is_slow=True)
        await eventually(lambda: stage.counters.requests_received and not stage.runtime.task_count, "answered")
        stage.skip(LINGER_S + 0.2)
        assert await peer.drain() > sent


async def test_a_client_that_turns_out_to_be_gone() -> None:
    """The write of the last response tells, a turn of the loop before the connection is told."""
    exchanges: list[ClientExchange] = []
    async with staged(exchanges.append) as stage:
        peer = await stage.ask(get(b"/", b"Connection: close"))
        await eventually(lambda: exchanges, "asked")
        peer.reset()
        exchanges[0].respond(200, b"OK", [], b"late")
        await stage.expect_empty()


async def test_a_stop_does_not_wait_for_longer() -> None:
    async with staged(lambda exchange: exchange.respond(200, b"OK", [], b"")) as stage:
        peer = await stage.ask(CHUNKED_POST)
        await peer.expect(ok(b"", b"Connection: close"))
        stage.edge.drain()
        assert not stage.edge.emptied.is_set()
        stage.skip(LINGER_S + 0.2)
        await stage.edge.emptied.wait()


async def test_one_that_is_cut_off() -> None:
    async with staged(lambda exchange: exchange.respond(200, b"OK", [], b"")) as stage:
        peer = await stage.ask(CHUNKED_POST)
        await peer.expect(ok(b"", b"Connection: close"))
        stage.edge.cut_off()
        await stage.expect_empty()


@pytest.mark.parametrize("is_stopped", [False, True])
async def test_a_connection_that_is_lost_while_it_is_handed_over(tmp_path: Path, is_stopped: bool) -> None:
    """By TLS, whoever had it when it was lost is told one turn of the loop later."""
    asked: asyncio.Queue[ClientExchange] = asyncio.Queue()
    async with staged(asked.put_nowait) as stage, leaving_no(ClientConnection):
        _, writer = await connect(await listen(stage, tmp_path))
        writer.write(get(b"/", b"Connection: close"))
        exchange = await asked.get()
        connection = stage.connection
        writer.transport.abort()
        while not connection.is_lost:  # noqa: ASYNC110 - the turn matters
            await asyncio.sleep(0)
        assert stage.edge.open_connections == 1
        if is_stopped:
            stage.edge.drain()
        exchange.respond(200, b"OK", [], b"late")
        assert stage.edge.connections != {connection}
        await stage.expect_empty()
        del connection, exchange
