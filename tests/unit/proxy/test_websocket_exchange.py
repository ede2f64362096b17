"""Handshakes on real sockets: targets in order, rejections, and clients and backends that leave in the middle."""

from __future__ import annotations

import asyncio
import logging
import socket
import struct
from typing import Any

import pytest
from tests.harness.websocket import KEY, accept_value
from tests.unit.net.helpers import eventually, leaving_no, settle
from tests.unit.proxy.handshakes import accepted, handshake, handshakes, with_events

from holdfast.net.client import ClientConnection
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.websocket_exchange import WebSocketExchange
from holdfast.proxy.websocket_opening import MAX_HEADERS
from holdfast.proxy.websocket_relay import RelayBackend
from holdfast.wire.websocket.frames import Opcode, encode_close, encode_frame, encode_masked_frame

MASK = b"\x01\x02\x03\x04"
ORIGIN_ERROR = (
    b"HTTP/1.1 502 Bad Gateway\r\nConnection: close\r\nContent-Length: 32\r\n\r\nError while proxying to origin.\n"
)


def text(content: bytes) -> bytes:
    """A message of the backend."""
    return encode_frame(Opcode.TEXT, content)


def said(content: bytes) -> bytes:
    """A message of the client."""
    return encode_masked_frame(Opcode.TEXT, content, MASK)


# --- accepted ---------------------------------------------------------------------------------------------------------


async def test_both_ways(has_parking: bool) -> None:
    async with handshakes(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(handshake() + said(b"early"))
        backend = await proxy.accept(b"X-From: backend", rest=text(b"early"))
        head = await client.read_until(b"\r\n\r\n")
        assert head.endswith(
            b"X-From: backend\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + accept_value(KEY).encode() + b"\r\n\r\n"
        )
        await client.expect(text(b"early"))
        assert len(await backend.read(len(said(b"early")))) == len(said(b"early"))
        await backend.send(text(b"more"))
        await client.expect(text(b"more"))
        assert proxy.log.outcomes == [("accept", 101)]


async def test_events() -> None:
    async with handshakes() as proxy:
        proxy.route_events()
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.expect(b"OPEN\r\n")
        await backend.send(with_events(b"OPEN\r\nTEXT 2\r\nhi\r\n", b"Set-Meta-A: 1", b"X-Mine: 1", b"Keep-Alive: 5"))
        head = await client.read_until(b"\r\n\r\n")
        assert (b"X-Mine" in head, b"Meta" in head, b"Content-" in head) == (True, False, False)
        await client.expect(text(b"hi"))


async def test_slow_client_and_fast_backend() -> None:
    """What the backend sends is not kept for a client that does not read."""
    async with handshakes() as proxy:
        client = await proxy.stage.ask(handshake(), is_slow=True)
        backend = await proxy.accept()
        await client.read_until(b"\r\n\r\n")
        data = text(bytes(60_000)) * 500
        sent = 0
        for _ in range(200):
            if not (fits := backend.send_what_fits(data[sent:])):
                await asyncio.sleep(0.01)
            sent += fits
        assert sent < len(data)
        duplexes = list(proxy.stage.lot._sockets.values()) if proxy.stage.lot else []
        assert sum(duplex.unsent_bytes for duplex in duplexes) < 100_000  # type: ignore[attr-defined]
        size = 500 * (60_000 + 4 * 4)  # in pieces, each with a header
        received, _ = await asyncio.gather(client.read(size), backend.send(data[sent:]))
        assert len(received) == size


# --- targets ----------------------------------------------------------------------------------------------------------


@pytest.mark.spec("ws 44")
@pytest.mark.parametrize("option", ["", ",over_http"])
async def test_next_target(option: str) -> None:
    async with handshakes() as proxy:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead = unused.getsockname()[1]
        proxy.route(f"127.0.0.1:{dead}{option}", f"127.0.0.1:{proxy.port}{option}")
        client = await proxy.stage.ask(handshake())
        backend, request = await proxy.asked()
        if option:
            await backend.expect(b"OPEN\r\n")
            await backend.send(with_events(b"OPEN\r\n"))
        else:
            await backend.send(accepted(request))
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 101 ")
        assert proxy.stage.counters.backend_failovers == 1


@pytest.mark.parametrize("option", ["", ",over_http"])
async def test_no_target(option: str) -> None:
    async with handshakes() as proxy:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead = unused.getsockname()[1]
        proxy.route(f"127.0.0.1:{dead}{option}")
        client = await proxy.stage.ask(handshake())
        await client.expect(ORIGIN_ERROR)
        await client.expect_end()
        assert proxy.log.outcomes == [("response", 502)]


@pytest.mark.parametrize("option", ["", ",over_http"])
async def test_no_target_leaves_nothing(option: str) -> None:
    async with handshakes() as proxy:
        with socket.create_server(("127.0.0.1", 0)) as unused:
            dead = unused.getsockname()[1]
        proxy.route(f"127.0.0.1:{dead}{option}")
        async with leaving_no(WebSocketExchange):
            client = await proxy.stage.ask(handshake())
            await client.expect(ORIGIN_ERROR)


# --- answers that are no acceptance -----------------------------------------------------------------------------------


@pytest.mark.parametrize("option", ["", ",over_http"])
async def test_rejection(option: str) -> None:
    async with handshakes() as proxy:
        proxy.route(f"127.0.0.1:{proxy.port}{option}")
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.send(b"HTTP/1.1 403 Go Away\r\nX-Why: 1\r\nContent-Length: 2\r\n\r\nno")
        await client.expect(
            b"HTTP/1.1 403 Go Away\r\nX-Why: 1\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno",
        )
        await client.expect_end()
        assert (proxy.log.outcomes, proxy.stage.counters.websockets_rejected) == ([("response", 403)], 1)


WRONG = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nSec-WebSocket-Accept: AAAA\r\n\r\n"


@pytest.mark.parametrize("data", [WRONG, b"SSH-2.0\r\n\r\n", b"HTTP/1.1 101 \r\n", b""])
async def test_nonsense(data: bytes) -> None:
    """And the backend's connection is closed."""
    async with handshakes() as proxy:
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.send(data)
        if data in (b"", b"HTTP/1.1 101 \r\n"):
            backend.sock.shutdown(socket.SHUT_WR)
        await client.expect(ORIGIN_ERROR)
        await client.expect_end()
        assert await backend.drain() == 0


@pytest.mark.parametrize("is_over_http", [False, True])
async def test_too_many_headers(is_over_http: bool) -> None:
    """What the client cannot be told is not accepted; the backend, which thinks that it is, sees the end of it."""
    fields = [b"X-%d: 1" % number for number in range(MAX_HEADERS - 1)]
    async with handshakes() as proxy:
        if is_over_http:
            proxy.route_events()
        client = await proxy.stage.ask(handshake())
        if is_over_http:
            backend, _ = await proxy.asked()
            await backend.expect(b"OPEN\r\n")
            await backend.send(with_events(b"OPEN\r\n", *fields, b"X-Last: 1"))
            assert b"DISCONNECT" in await backend.read_until(b"DISCONNECT\r\n")
            await backend.send(with_events(b""))
        else:
            backend = await proxy.accept(*fields)
            assert await backend.drain() == 0
        await client.expect(ORIGIN_ERROR)
        await client.expect_end()


# --- who leaves in the middle -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["close", "reset"])
async def test_client_leaves_before_the_backend_answers(way: str) -> None:
    async with handshakes() as proxy:
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        getattr(client, way)()
        assert await backend.drain() == 0
        assert proxy.log.outcomes == [("error", None)]


@pytest.mark.parametrize("is_over_http", [False, True])
async def test_client_leaves_before_it_has_its_101(is_over_http: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does not take what was sent to it before, so that its 101 has to wait, and then it leaves."""

    async def wait(connection: ClientConnection) -> None:
        await asyncio.sleep(100)

    async with handshakes() as proxy:
        monkeypatch.setattr(ClientConnection, "flushed", wait)
        if is_over_http:
            proxy.route_events()
        client = await proxy.stage.ask(handshake())
        if is_over_http:
            backend, _ = await proxy.asked()
            await backend.expect(b"OPEN\r\n")
            await backend.send(with_events(b"OPEN\r\n"))
        else:
            backend = await proxy.accept()
        await settle()
        client.close()
        if is_over_http:
            assert b"DISCONNECT" in await backend.read_until(b"DISCONNECT\r\n")
            await backend.send(with_events(b""))
        else:
            assert await backend.drain() == 0


@pytest.mark.parametrize(("answer", "is_told"), [(b"OPEN\r\n", True), (b"", False), (b"TEXT\r\n", False)])
async def test_client_leaves_during_the_open_request(answer: bytes, is_told: bool) -> None:
    """A backend that accepts it all the same is told (ws spec §1.4); one that has not decided is not asked again."""
    async with handshakes() as proxy:
        proxy.route_events()
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.expect(b"OPEN\r\n")
        client.close()
        await eventually(lambda: len(proxy.context.farewells) == 1, "the client has left")
        await backend.send(with_events(answer, b"Keep-Alive-Interval: 20"))
        if is_told:
            await backend.read_until(b"\r\n\r\n")
            await backend.expect(b"DISCONNECT\r\n")
            await backend.send(with_events(b""))
        await eventually(lambda: not proxy.stage.runtime.task_count, "nothing goes on")


async def test_client_leaves_before_the_backend_has_decided() -> None:
    async with handshakes() as proxy:
        proxy.route_events()
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.expect(b"OPEN\r\n")
        await backend.send(with_events(b"", b"Keep-Alive-Interval: 20"))
        await settle()
        assert proxy.stage.runtime.task_count == 1
        client.close()
        await eventually(lambda: not proxy.stage.runtime.task_count, "nothing goes on")


async def test_too_many_have_left() -> None:
    async with handshakes() as proxy:
        proxy.context.farewells = Farewells(0, proxy.stage.counters)
        proxy.route_events()
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.expect(b"OPEN\r\n")
        client.close()
        assert await backend.drain() == 0
        assert proxy.stage.counters.farewells_refused == 1


async def test_backend_accepts_and_breaks_off(has_parking: bool) -> None:
    async with handshakes(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(handshake())
        backend, request = await proxy.asked()
        backend.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        await backend.send(accepted(request))
        backend.close()
        await client.drain()


@pytest.mark.parametrize("end", [b"", encode_close(4000, "bye")])
async def test_backend_accepts_says_something_and_leaves(has_parking: bool, end: bytes) -> None:
    async with handshakes(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(handshake())
        backend = await proxy.accept(rest=text(b"last") + end)
        backend.close()
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"last") + end)
        if not end:
            await client.expect_end()


# --- our own end ------------------------------------------------------------------------------------------------------


async def test_accepted_while_the_process_stops(has_parking: bool) -> None:
    """It is told at once: nobody would tell it later."""
    async with handshakes(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(handshake())
        backend, request = await proxy.asked()
        proxy.stage.edge.drain()
        if proxy.stage.lot is not None:
            proxy.stage.lot.end_holds()
        await backend.send(accepted(request))
        await client.read_until(b"\r\n\r\n")
        await client.expect(encode_close(1001))


async def test_a_fault_of_ours(has_parking: bool, monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Whatever it is, it must not leave a session behind that nobody ends."""

    def fail(backend: RelayBackend) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(RelayBackend, "_go_on", fail)
    with caplog.at_level(logging.CRITICAL):
        async with handshakes(has_parking=has_parking) as proxy:
            client = await proxy.stage.ask(handshake())
            backend = await proxy.accept()
            await client.drain()
            await backend.drain()


async def test_a_fault_of_ours_later(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail(backend: RelayBackend, event: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(RelayBackend, "_relay", fail)
    with caplog.at_level(logging.CRITICAL):
        async with handshakes() as proxy:
            client, backend = await proxy.open_pair()
            await backend.send(text(b"x"))
            await client.expect_end()
            await backend.drain()
