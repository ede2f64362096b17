"""What only a duplex with a transport does, which is to speak TLS; `test_duplex` has what both kinds promise."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.unit.net.duplexes import Owner, Place, place_for
from tests.unit.net.helpers import HUGE, OUTBOX, eventually, settle

from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import CLOSE_TIMEOUT_S


class TlsPair:
    """A duplex whose client speaks TLS, and that client."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self.reader = reader
        self.writer = writer
        self.owner = Owner()
        self.duplex: ConnectionDuplex

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def tls_pair(certificate: Path) -> AsyncIterator[TlsPair]:
    async with place_for("tls") as place:
        server_tls, client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server_tls.load_cert_chain(certificate)
        client_tls.check_hostname = False
        client_tls.verify_mode = ssl.CERT_NONE
        loop = place.runtime.loop
        with socket.create_server(("127.0.0.1", 0)) as server:
            opening = loop.create_task(asyncio.open_connection(*server.getsockname(), ssl=client_tls))
            sock, _ = await loop.run_in_executor(None, server.accept)
        sock.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=server_tls)
        it = TlsPair(place, *await opening)
        it.duplex = ConnectionDuplex(place.runtime, transport, b"early", it.owner, OUTBOX, it.owner.on_closed)
        try:
            yield it
        finally:
            it.duplex.abort()
            it.writer.transport.abort()
            await eventually(lambda: it.owner.closed, "closed")
            await settle()


async def test_both_sides_speak_tls(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        await it.send(b"one")
        await settle()
        assert it.owner.data == b""
        it.duplex.resume_reading()
        await it.send(b"two")
        await eventually(lambda: len(it.owner.data) == 11, "all")
        assert it.owner.data == b"earlyonetwo"
        assert it.duplex.write(b"hello") is True
        it.duplex.relay(bytes(HUGE))
        assert await it.reader.readexactly(5 + HUGE) == b"hello" + bytes(HUGE)


async def test_closing_a_tls_connection_sends_everything(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.resume_reading()
        it.duplex.relay(bytes(HUGE))
        it.duplex.close()
        assert len(await it.reader.read()) == HUGE
        it.writer.close()
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == []


async def test_a_tls_peer_that_does_not_read_is_cut_off(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.relay(bytes(HUGE))
        it.duplex.close()
        await settle()
        assert it.owner.closed == 0
        it.place.skip(CLOSE_TIMEOUT_S + 0.2)
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == []


async def test_a_tls_peer_leaves(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.resume_reading()
        it.writer.close()
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == ["gone"]
