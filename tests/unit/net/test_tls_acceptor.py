"""Clients that are accepted by TLS, or nearly."""

from __future__ import annotations

import gc
import logging
import socket
import ssl
from dataclasses import replace
from pathlib import Path

import pytest
from tests.unit.net.helpers import LIMITS, Owner, echo, eventually, get, leaving_no, ok, settle, staged
from tests.unit.net.tls_clients import connect, listen

from holdfast.net.client import ClientConnection
from holdfast.net.exchange import ClientExchange
from holdfast.net.tls import CertificateDirectory, HandshakeFailedError


async def test_request_and_response(tmp_path: Path) -> None:
    async with staged(echo) as stage:
        reader, writer = await connect(await listen(stage, tmp_path))
        for target in (b"/one", b"/two"):
            writer.write(get(target))
            assert await reader.readexactly(len(ok(target))) == ok(target)
            assert stage.connection.is_tls and stage.connection.parking is None
        writer.close()
        await stage.expect_empty()
        assert stage.counters.connections_accepted == 1
        assert stage.counters.tls_handshakes_failed == 0


async def test_a_handshake_counts_as_a_connection(tmp_path: Path) -> None:
    async with staged(echo, limits=replace(LIMITS, max_connections=1)) as stage:
        address = await listen(stage, tmp_path)
        with socket.create_connection(address):
            await eventually(lambda: stage.edge.open_connections == 1, "accepted")
            assert not stage.edge.connections
            late = await stage.ask(get())
            await late.expect_nothing()
        await late.expect(ok(b"/"))
        assert stage.counters.tls_handshakes_failed == 1


async def test_close_lets_go_of_handshakes(tmp_path: Path) -> None:
    """An orderly stop need not wait for them."""
    async with staged(echo) as stage:
        address = await listen(stage, tmp_path)
        with socket.create_connection(address) as client:
            await eventually(lambda: stage.edge.open_connections == 1, "accepted")
            stage.listener.close()
            stage.edge.drain()
            await eventually(stage.edge.emptied.is_set, "emptied")
            client.setblocking(False)
            await eventually(lambda: client.recv(1) == b"", "the end")
        assert stage.counters.tls_handshakes_failed == 0


async def test_failure_tells_the_client_why(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.net.tls")
    async with staged(echo) as stage:
        stage.listener.listen("127.0.0.1", 0, CertificateDirectory(tmp_path))
        with pytest.raises(ssl.SSLError, match="UNRECOGNIZED_NAME"):
            await connect(stage.listener.addresses[-1])
        await stage.expect_empty()
        (message,) = caplog.messages
        assert message.endswith("TLS handshake failed: no certificate for host 'x.test'")


async def test_without_descriptor_for_the_alert(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def dup(_sock: socket.socket) -> socket.socket:
        raise OSError(24, "Too many open files")

    async with staged(echo) as stage:
        address = await listen(stage, tmp_path)
        monkeypatch.setattr(socket.socket, "dup", dup)
        with pytest.raises(ConnectionError):
            await connect(address)
        await settle()
        assert stage.counters.tls_handshakes_failed == 1
        await stage.expect_empty()


def connections() -> list[object]:
    """Connections of TLS clients that are still in memory."""
    return [found for found in gc.get_objects() if type(found) is ClientConnection and found.is_tls]


@pytest.mark.parametrize("is_held", [False, True])
async def test_nothing_remains_of_a_client_that_has_left(tmp_path: Path, is_held: bool) -> None:
    """Not even until the next collection of garbage: with it the buffers of TLS would remain."""
    owner = Owner()

    async def answer(exchange: ClientExchange) -> None:
        if is_held:
            await owner.hold(exchange, ok(b"first"))
        else:
            exchange.respond(200, b"OK", [], b"first")

    gc.collect()
    gc.disable()
    try:
        async with staged(answer) as stage:
            reader, writer = await connect(await listen(stage, tmp_path))
            writer.write(get())
            await reader.readexactly(len(ok(b"first")))
            writer.close()
            await stage.expect_empty()
            owner.outlet = None
            await eventually(lambda: not connections(), "the connection is gone")
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "sent", [b"", b"\x16\x03\x01", b"GET / HTTP/1.1\r\n\r\n"], ids=["nothing", "a beginning", "no TLS"]
)
async def test_nothing_remains_of_a_client_without_a_handshake(tmp_path: Path, sent: bytes) -> None:
    """What OpenSSL keeps for each of them is much, and no collection of garbage is hastened by it."""
    async with staged(echo) as stage:
        address = await listen(stage, tmp_path)
        async with leaving_no(ClientConnection), leaving_no(ssl.SSLObject), leaving_no(HandshakeFailedError):
            with socket.create_connection(address) as client:
                client.sendall(sent)
                await eventually(lambda: stage.counters.connections_accepted == 1, "accepted")
                await settle()
            await stage.expect_empty()
        assert stage.counters.tls_handshakes_failed == 1


async def test_a_slow_client_is_waited_for_as_soon_as_others(tmp_path: Path) -> None:
    unsent: list[int] = []

    async def answer(exchange: ClientExchange) -> None:
        exchange.start_response(200, b"OK", [], 10_000_000)
        while not stage.connection.is_write_paused:
            exchange.write(b"x" * 10_000)
        unsent.append(stage.connection.unsent_bytes)
        exchange.abort()

    async with staged(answer) as stage:
        _, writer = await connect(await listen(stage, tmp_path))
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # not known of a WriteTransport
        writer.write(get())
        await eventually(lambda: unsent, "paused")
        assert 2 * 65536 <= unsent[0] < 4 * 65536  # above and below TLS
        writer.transport.abort()
        await stage.expect_empty()
