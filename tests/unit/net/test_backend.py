"""Responses of backends: every framing, every way to break off, and no connection used that cannot be trusted."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from pathlib import Path
from typing import Any

import pytest
from tests.unit.net.backends import REQUEST, TIMEOUT_S, backend_stage
from tests.unit.net.duplexes import Owner
from tests.unit.net.helpers import HUGE, OUTBOX, eventually, settle
from tests.unit.wire.http1.responses import BROKEN, OK, RESPONSES

from holdfast.errors import BackendTimeout, BadResponse
from holdfast.net.backend import BackendConnection
from holdfast.net.endpoint import Endpoint

pytestmark = pytest.mark.usefixtures("transports")


async def read_body(connection: BackendConnection) -> bytes:
    content = b""
    while piece := await connection.read():
        content += piece
    return content


@pytest.mark.parametrize("is_bytewise", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(
    ("method", "data", "closes", "code", "content", "is_usable"),
    [c[1:] for c in RESPONSES],
    ids=[c[0] for c in RESPONSES],
)
async def test_responses(
    method: bytes, data: bytes, closes: bool, code: int, content: bytes, is_usable: bool, is_bytewise: bool
) -> None:
    """RFC 9112 §6.3."""
    async with backend_stage() as stage:
        connection, peer = await stage.ask(method)
        assert not connection.has_received
        with contextlib.suppress(ConnectionError):
            for start in range(0, len(data), 1 if is_bytewise else len(data)):
                await peer.send(data[start : start + 1] if is_bytewise else data)
                await asyncio.sleep(0)
        if closes:
            peer.close()
        head = await connection.read_head()
        assert (head.code, await read_body(connection)) == (code, content)
        assert connection.has_received and connection.is_response_complete
        await settle()
        assert connection.is_usable is is_usable
        connection.abort()


# name, what the backend sends before it closes
TOO_EARLY: list[tuple[str, bytes]] = [
    ("nothing", b""),
    ("routes-78: within the head", b"HTTP/1.1 200 OK\r\nA: "),
    ("only an interim response", b"HTTP/1.1 100 Go\r\n\r\n"),
]
NO_RESPONSES = BROKEN + [(name, data, "backend closed the connection before answering") for name, data in TOO_EARLY]


@pytest.mark.parametrize(("data", "message"), [c[1:] for c in NO_RESPONSES], ids=[c[0] for c in NO_RESPONSES])
async def test_no_response(data: bytes, message: str) -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(data)
        if message.startswith("backend closed"):
            peer.close()
        for _ in range(2):
            with pytest.raises(BadResponse) as caught:
                await connection.read_head()
            assert str(caught.value) == message
        assert not connection.is_usable
        await settle()


CUT_SHORT: list[tuple[str, bytes, bytes, str]] = [
    ("sized", OK + b"Content-Length: 5\r\n\r\nhell", b"hell", "backend broke off its response"),
    ("sized, nothing yet", OK + b"Content-Length: 5\r\n\r\n", b"", "backend broke off its response"),
    ("chunked", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"hello", "backend broke off its response"),
    (
        "broken chunk",
        OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nx\r\n",
        b"",
        "Failed to parse response: invalid chunk size",
    ),
]


@pytest.mark.parametrize(("data", "content", "message"), [c[1:] for c in CUT_SHORT], ids=[c[0] for c in CUT_SHORT])
async def test_a_response_that_breaks_off(data: bytes, content: bytes, message: str) -> None:
    """routes-78: what came can be read, then the error is raised, each time."""
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(data)
        await connection.read_head()
        peer.close()
        if content:
            assert await connection.read() == content
        for _ in range(2):
            with pytest.raises(BadResponse) as caught:
                await connection.read()
            assert str(caught.value) == message
        assert not connection.is_usable and not connection.is_response_complete
        await settle()


async def test_a_reset_is_no_end_of_a_body() -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(OK + b"\r\nhello")
        await connection.read_head()
        assert await connection.read() == b"hello"
        peer.reset()
        with pytest.raises(BadResponse, match="broke off"):
            await connection.read()


async def test_a_silent_backend() -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(b"HTTP/1.1 200")
        await settle()
        stage.skip(TIMEOUT_S - 1)
        await peer.send(b" OK\r\nContent-Length: 5\r\n\r\n")
        await connection.read_head()
        stage.skip(TIMEOUT_S - 1)
        await peer.send(b"h")
        assert await connection.read() == b"h"
        stage.skip(TIMEOUT_S + 0.2)
        with pytest.raises(BackendTimeout, match="silent for 50 seconds"):
            await connection.read()
        await peer.drain()


async def test_a_backend_that_never_answers() -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        stage.skip(TIMEOUT_S + 0.2)
        with pytest.raises(BackendTimeout):
            await connection.read_head()
        await peer.drain()


async def test_an_upload_is_not_silence() -> None:
    """As long as the backend takes it."""
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        for _ in range(5):
            stage.skip(TIMEOUT_S - 1)
            await connection.write(b"a")
            await peer.expect(b"a")
        await peer.send(OK + b"Content-Length: 0\r\n\r\n")
        assert (await connection.read_head()).code == 200
        connection.abort()


async def test_a_backend_that_does_not_take_the_upload() -> None:
    async with backend_stage() as stage:
        connection, _ = await stage.ask()
        writing = asyncio.ensure_future(write_all(connection))  # noqa: TID251 - a test may
        await settle()
        assert not writing.done()
        stage.skip(TIMEOUT_S + 0.2)
        await writing
        with pytest.raises(BackendTimeout):
            await connection.read_head()


async def write_all(connection: BackendConnection) -> None:
    for _ in range(HUGE // 100_000):
        await connection.write(bytes(100_000))


async def test_a_large_upload_arrives() -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        reading = asyncio.ensure_future(peer.read(HUGE))  # noqa: TID251 - a test may
        await write_all(connection)
        assert len(await reading) == HUGE
        connection.abort()


async def test_an_answer_before_the_end_of_the_upload_is_read() -> None:
    """The backend has heard enough, answers and closes, and the next write meets a closed connection."""
    async with backend_stage() as stage:
        connection, peer = await stage.connect()
        connection.send_request(b"POST", REQUEST)
        await peer.read_until(b"\r\n\r\n")
        await connection.write(b"not read")
        await settle()
        peer.send_what_fits(b"HTTP/1.1 413 Too Much\r\nContent-Length: 4\r\n\r\nstop")
        peer.sock.close()
        await connection.write(b"more")
        await connection.write(b"and more")
        assert (await connection.read_head()).code == 413
        assert await connection.read() == b"stop"
        connection.abort()


async def test_a_large_response_waits_in_the_system() -> None:
    """And the time in which nobody reads it is not the backend's silence."""
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(OK + b"Content-Length: %d\r\n\r\n" % HUGE)
        await connection.read_head()
        sent = 0
        for _ in range(5):
            sent += peer.send_what_fits(bytes(HUGE - sent))
            await settle()
        assert sent < HUGE
        for _ in range(3):
            stage.skip(TIMEOUT_S + 0.2)
        sending = asyncio.ensure_future(peer.send(bytes(HUGE - sent)))  # noqa: TID251 - a test may
        assert len(await read_body(connection)) == HUGE
        await sending
        assert connection.is_usable
        connection.abort()


async def test_a_response_that_nobody_read_leaves_a_connection_that_works() -> None:
    """A client left while the last, large part of its response was here."""
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        await peer.send(OK + b"Content-Length: 90000\r\n\r\n" + bytes(90_000))
        await eventually(lambda: connection.is_response_complete, "complete")
        stage.pool.release(connection)
        again = stage.pool.take_idle(stage.endpoint)
        assert again is connection
        again.send_request(b"GET", REQUEST)
        await peer.expect(REQUEST)
        await peer.send(OK + b"Content-Length: 1\r\n\r\na")
        assert (await again.read_head()).code == 200
        assert await again.read() == b"a"
        again.abort()


@pytest.mark.parametrize("is_lost", [True, False], ids=["lost", "closing"])
async def test_a_request_on_a_stale_connection(is_lost: bool) -> None:
    """Nothing was received: the caller may try again on another one."""
    async with backend_stage() as stage:
        connection, peer = await stage.connect()
        if is_lost:
            peer.close()
            await settle()
        else:
            connection.abort()
        connection.send_request(b"GET", REQUEST)
        await connection.write(b"more")
        with pytest.raises(BadResponse, match="before answering"):
            await connection.read_head()
        assert not connection.has_received and not connection.is_usable


@pytest.mark.parametrize("is_lost", [False, True])
async def test_a_connection_that_is_lost_cannot_be_given_up(is_lost: bool) -> None:
    """After a 101 it belongs to an owner, who would never be told that it is gone."""
    async with backend_stage() as stage:
        connection, peer = await stage.connect()
        connection.send_request(b"GET", b"GET / HTTP/1.1\r\n\r\n", is_upgrade=True)
        await peer.read_until(b"\r\n\r\n")
        await peer.send(b"HTTP/1.1 101 X\r\n\r\n")
        assert (await connection.read_head()).code == 101
        connection.abort()
        if is_lost:
            await settle()
        nobody: Any = None
        with pytest.raises(BadResponse):
            connection.to_duplex(nobody, OUTBOX, lambda: None)


async def test_a_backend_by_tls_that_accepts_says_something_and_leaves(certificate: Path) -> None:
    """All in one piece: it is gone before anybody could want to read it."""
    server_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server_tls.load_cert_chain(certificate)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 101 X\r\n\r\nlast words")
        writer.close()

    async with backend_stage() as stage, await asyncio.start_server(answer, "127.0.0.1", 0, ssl=server_tls) as server:
        port = server.sockets[0].getsockname()[1]
        connection = await stage.pool.connect(Endpoint("127.0.0.1", port, server_name="localhost", is_verified=False))
        connection.send_request(b"GET", REQUEST, is_upgrade=True)
        assert (await connection.read_head()).code == 101
        await eventually(lambda: not connection.is_open, "left")
        owner = Owner()
        duplex = connection.to_duplex(owner, OUTBOX, owner.on_closed)
        await eventually(lambda: owner.closed, "closed")
        assert (owner.data, owner.told) == (b"", [])
        duplex.resume_reading()
        await eventually(lambda: owner.told == ["gone"], "gone")
        assert owner.data == b"last words"
