"""The pool: newest first, bounded, never a dead connection; and TLS that is checked."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import Callable, Coroutine
from contextlib import suppress
from pathlib import Path

import pytest
from tests.unit.net.backends import POOL_IDLE_S, BackendStage, backend_stage
from tests.unit.net.helpers import Peer, eventually, leaving_no, settle

from holdfast.errors import AddressRefused, BadResponse, ConnectError
from holdfast.net.backend import BackendConnection
from holdfast.net.endpoint import Endpoint
from holdfast.wire.identity import ClientIdentity

pytestmark = pytest.mark.usefixtures("transports")

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


async def used(stage: BackendStage) -> tuple[BackendConnection, Peer]:
    """A connection whose exchange is over."""
    connection, peer = await stage.ask()
    await peer.send(ANSWER)
    await connection.read_head()
    return connection, peer


async def test_the_connection_used_last_is_used_first() -> None:
    async with backend_stage() as stage:
        first, second = (await used(stage))[0], (await used(stage))[0]
        stage.pool.release(first)
        stage.pool.release(second)
        assert stage.pool.idle_count == 2
        taken = [stage.pool.take_idle(stage.endpoint) for _ in range(3)]
        assert taken == [second, first, None]
        assert stage.pool.idle_count == 0
        first.abort()
        second.abort()


async def test_connections_belong_to_their_endpoint() -> None:
    async with backend_stage() as stage:
        stage.pool.release((await used(stage))[0])
        host, port = stage.endpoint.host, stage.endpoint.port
        others = Endpoint(host, port, is_public_only=True), Endpoint(host, port, identity=ClientIdentity(b"A", b"B"))
        assert [stage.pool.take_idle(other) for other in others] == [None, None]


async def test_no_more_are_kept_than_allowed() -> None:
    async with backend_stage(max_idle=1) as stage:
        (first, _), (second, peer) = await used(stage), await used(stage)
        stage.pool.release(first)
        stage.pool.release(second)
        await peer.drain()
        assert stage.pool.take_idle(stage.endpoint) is first
        first.abort()


async def test_a_connection_in_the_middle_of_a_response_is_not_kept() -> None:
    async with backend_stage() as stage:
        connection, peer = await stage.ask()
        stage.pool.release(connection)
        await peer.drain()
        assert stage.pool.idle_count == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_an_idle_connection_that_the_backend_closes_is_forgotten(how: str) -> None:
    async with backend_stage() as stage:
        (first, _), (second, peer) = await used(stage), await used(stage)
        stage.pool.release(first)
        stage.pool.release(second)
        getattr(peer, how)()
        await eventually(lambda: stage.pool.idle_count == 1, "forgotten")
        assert stage.pool.take_idle(stage.endpoint) is first
        first.abort()


async def test_an_idle_connection_that_speaks_is_closed() -> None:
    """Or its bytes would be taken for the answer to the next request (RFC 9112 §9.2)."""
    async with backend_stage() as stage:
        connection, peer = await used(stage)
        stage.pool.release(connection)
        await peer.send(ANSWER)
        await eventually(lambda: stage.pool.idle_count == 0, "forgotten")
        await peer.drain()


async def test_a_connection_that_is_closing_is_not_given_out() -> None:
    async with backend_stage() as stage:
        (first, _), (second, _) = await used(stage), await used(stage)
        stage.pool.release(first)
        stage.pool.release(second)
        second.abort()
        assert stage.pool.take_idle(stage.endpoint) is first
        first.abort()


@pytest.mark.parametrize("how", ["close", "reset", "send_what_fits"])
async def test_what_cannot_be_repeated_gets_no_connection_that_is_just_being_closed(how: str) -> None:
    """What the backend has done is not noticed before the next turn of the loop."""
    async with backend_stage() as stage:
        (first, _), (second, peer) = await used(stage), await used(stage)
        stage.pool.release(first)
        stage.pool.release(second)
        getattr(peer, how)(*([ANSWER] if how == "send_what_fits" else []))
        assert stage.pool.take_idle(stage.endpoint, is_repeatable=False) is first
        assert not second.is_open
        first.abort()


async def test_idle_connections_are_closed_after_a_while() -> None:
    async with backend_stage() as stage:
        connection, peer = await used(stage)
        stage.pool.release(connection)
        stage.skip(POOL_IDLE_S - 1)
        await settle()
        assert stage.pool.idle_count == 1
        stage.skip(1.2)
        await peer.drain()
        await eventually(lambda: stage.pool.idle_count == 0, "forgotten")


async def test_closing_the_pool_closes_what_is_idle() -> None:
    async with backend_stage() as stage:
        connection, peer = await used(stage)
        stage.pool.release(connection)
        stage.pool.close()
        await peer.drain()
        assert stage.pool.idle_count == 0


# --- connecting ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "message"),
    [("127.0.0.1", "refused"), ("nobody.invalid", ""), ("a" * 64 + ".test", ""), ("\x00", "")],
    ids=["refused", "unknown", "no name", "no name at all"],
)
async def test_failures_to_connect(host: str, message: str) -> None:
    async with backend_stage() as stage:
        with pytest.raises(ConnectError) as caught:
            await stage.pool.connect(Endpoint(host, 1))
        assert message in str(caught.value) and str(caught.value)


async def refused(stage: BackendStage) -> None:
    with suppress(ConnectError):
        await stage.pool.connect(Endpoint("127.0.0.1", 1))


async def broken_off_before_the_head(stage: BackendStage) -> None:
    connection, peer = await stage.ask()
    peer.close()
    with suppress(BadResponse):
        await connection.read_head()


async def broken_off_in_the_body(stage: BackendStage) -> None:
    connection, peer = await stage.ask()
    await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nbody")
    await connection.read_head()
    peer.close()
    with suppress(BadResponse):
        while True:
            await connection.read()


@pytest.mark.parametrize("fail", [refused, broken_off_before_the_head, broken_off_in_the_body])
async def test_what_failed_does_not_wait_for_a_collection(
    fail: Callable[[BackendStage], Coroutine[None, None, None]],
) -> None:
    async with backend_stage() as stage, leaving_no(BackendConnection):
        await fail(stage)


async def test_some_descriptors_are_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend_stage() as stage:
        monkeypatch.setattr(stage.pool, "_max_files", 3)
        with pytest.raises(ConnectError, match="Too many open files"):
            await stage.pool.connect(stage.endpoint)
        assert stage.runtime.counters.backend_descriptors_missing == 1


async def test_idle_connections_are_given_up_for_a_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    async with backend_stage() as stage:
        connection, peer = await used(stage)
        stage.pool.release(connection)
        with socket.socket() as free:
            monkeypatch.setattr(stage.pool, "_max_files", free.fileno())
        other = await stage.pool.connect(stage.endpoint)
        await peer.drain()
        assert stage.pool.idle_count == 0
        other.abort()


async def test_an_untrusted_target_may_not_be_local() -> None:
    """routes-75"""
    async with backend_stage() as stage:
        with pytest.raises(AddressRefused):
            await stage.pool.connect(Endpoint("localhost", stage.endpoint.port, is_public_only=True))


async def test_a_handshake_that_does_not_end() -> None:
    async with backend_stage(connect_timeout_s=0.05) as stage:
        with pytest.raises(ConnectError, match=r"no connection within 0\.05 seconds"):
            await stage.pool.connect(Endpoint("127.0.0.1", stage.endpoint.port, server_name="a.test"))


# --- TLS -----------------------------------------------------------------------------------------------------------


async def ask_over_tls(certificate: Path, server_name: str, *, is_verified: bool) -> tuple[int, str | None]:
    """Status of the answer, and the name that the backend was asked for."""
    names: list[str | None] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(ANSWER)
        await reader.read()
        writer.close()

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    context.sni_callback = lambda _, name, __: names.append(name)
    server = await asyncio.start_server(answer, "127.0.0.1", 0, ssl=context)
    endpoint = Endpoint("127.0.0.1", server.sockets[0].getsockname()[1], server_name, is_verified=is_verified)
    try:
        async with backend_stage() as stage:
            connection = await stage.pool.connect(endpoint)
            connection.send_request(b"GET", b"GET / HTTP/1.1\r\n\r\n")
            head = await connection.read_head()
            stage.pool.release(connection)
            assert stage.pool.idle_count == 1
        return head.code, names[0]
    finally:
        server.close()
        await settle()


@pytest.mark.parametrize(
    ("server_name", "is_verified", "is_trusted", "fault"),
    [
        pytest.param("a.test", True, True, None, id="right name, known issuer"),
        pytest.param("a.test", True, False, "CERTIFICATE_VERIFY_FAILED", id="right name, unknown issuer"),
        pytest.param("b.test", True, True, "CERTIFICATE_VERIFY_FAILED", id="wrong name, known issuer"),
        pytest.param("b.test", False, False, None, id="insecure: anything"),
        pytest.param(".a.test", True, True, "label empty", id="a name that cannot be asked for"),
    ],
)
async def test_certificates(
    certificate: Path,
    monkeypatch: pytest.MonkeyPatch,
    server_name: str,
    is_verified: bool,
    is_trusted: bool,
    fault: str | None,
) -> None:
    """routes spec §3.9, Target: issuer and name."""
    if is_trusted:
        monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    if fault is None:
        assert await ask_over_tls(certificate, server_name, is_verified=is_verified) == (200, server_name)
    else:
        with pytest.raises(ConnectError, match=fault):
            await ask_over_tls(certificate, server_name, is_verified=is_verified)
