"""Duplexes whose peer speaks TLS."""

from __future__ import annotations

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.unit.net.duplexes import Owner, Place, place_for
from tests.unit.net.helpers import OUTBOX, eventually, settle

from holdfast.net.connection_duplex import ConnectionDuplex


class TlsPair:
    """A duplex whose client speaks TLS, and that client."""

    def __init__(
        self,
        place: Place,
        transport: asyncio.Transport,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
    ) -> None:
        self.place = place
        self.transport = transport
        self.reader = reader
        self.writer = writer
        self.owner = Owner()
        self.duplex: ConnectionDuplex

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def tls_pair(certificate: Path, *, waiting: bytes = b"") -> AsyncIterator[TlsPair]:
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
        await settle()  # what belongs to the handshake is sent
        it = TlsPair(place, transport, *await opening)
        if waiting:
            transport.pause_reading()
            it.writer.write(waiting)
            await asyncio.sleep(0.1)
        it.duplex = ConnectionDuplex(place.runtime, transport, b"early", it.owner, OUTBOX, it.owner.on_closed)
        try:
            yield it
        finally:
            it.duplex.abort()
            it.writer.transport.abort()
            await eventually(lambda: it.owner.closed, "closed")
            await settle()
