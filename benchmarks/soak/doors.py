"""How the clients of a soak come in: plainly or by TLS, with a connection that is as slow as they like."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from benchmarks.soak.certificates import HOST, Certificates
from tests.harness.recovering_clients import Connection
from tests.harness.tls import client_context
from websockets.asyncio.client import ClientConnection, connect

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Doors:
    """The server's ports for clients.

    Args:
        certificates: what clients by TLS may be shown.
    """

    def __init__(self, port: int, tls_port: int, certificates: Certificates) -> None:
        self.port = port
        self.certificates = certificates
        self._tls_port = tls_port
        self._contexts = [client_context(newest=ssl.TLSVersion.TLSv1_2), *[client_context()] * 3]
        self._count = 0

    def open(self, receive_buffer: int | None, *, is_tls: bool) -> Connection:
        """A connection that connects with its first request."""
        if not is_tls:
            return Connection(self.port, receive_buffer)
        return TlsConnection(self._tls_port, receive_buffer, self._next_context(), self.certificates)

    async def connect(self, *, is_tls: bool) -> Streams:
        """A connection as streams. Raises OSError, and AssertionError for a wrong certificate."""
        if not is_tls:
            return await asyncio.open_connection("127.0.0.1", self.port)
        newest = self.certificates.newest
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", self._tls_port, ssl=self._next_context(), server_hostname=HOST
        )
        self.certificates.see(_shown(writer), newest)
        return reader, writer

    @asynccontextmanager
    async def websocket(self, path: str, *, is_tls: bool, compresses: bool) -> AsyncIterator[ClientConnection]:
        """A WebSocket while the block runs, compressed on both sides or not at all.

        Raises:
            OSError, InvalidHandshake: it cannot be opened.
            AssertionError: a wrong certificate, or another compression than was asked for.
        """
        newest = self.certificates.newest
        scheme, port = ("wss", self._tls_port) if is_tls else ("ws", self.port)
        async with connect(
            f"{scheme}://{HOST}:{port}{path}",
            host="127.0.0.1",
            ssl=self._next_context() if is_tls else None,
            compression="deflate" if compresses else None,
            ping_interval=None,
            proxy=None,
            close_timeout=5,
        ) as socket:
            if is_tls:
                self.certificates.see(_shown(socket.transport), newest)
            assert bool(socket.protocol.extensions) is compresses, socket.protocol.extensions
            yield socket

    def open_raw(self) -> Connection:
        """A connection to the TLS port by a client that speaks no TLS."""
        return Connection(self._tls_port, None)

    def _next_context(self) -> ssl.SSLContext:
        """Every fourth client knows nothing newer than TLS 1.2."""
        self._count += 1
        return self._contexts[self._count % len(self._contexts)]


def _shown(connected: asyncio.StreamWriter | asyncio.BaseTransport) -> bytes | None:
    """The certificate that the server has shown."""
    certificate: bytes | None = connected.get_extra_info("ssl_object").getpeercert(binary_form=True)
    return certificate


class TlsConnection(Connection):
    """A connection by TLS, which looks at the certificate."""

    def __init__(
        self, port: int, receive_buffer: int | None, context: ssl.SSLContext, certificates: Certificates
    ) -> None:
        super().__init__(port, receive_buffer)
        self._certificates = certificates
        self._incoming, self._outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        self._tls = context.wrap_bio(self._incoming, self._outgoing, server_hostname=HOST)

    async def _connect(self) -> None:
        newest = self._certificates.newest
        await super()._connect()
        while not self._shake_hands():
            await super()._write(self._outgoing.read())
            data = await super()._read()
            assert data, "the handshake was broken off"
            self._incoming.write(data)
        await super()._write(self._outgoing.read())
        self._certificates.see(self._tls.getpeercert(binary_form=True), newest)

    def _shake_hands(self) -> bool:
        try:
            self._tls.do_handshake()
        except ssl.SSLWantReadError:
            return False
        return True

    async def _write(self, data: bytes) -> None:
        self._tls.write(data)
        await super()._write(self._outgoing.read())

    async def _read(self) -> bytes:
        while True:
            try:
                return self._tls.read(16384)
            except ssl.SSLZeroReturnError:
                return b""
            except ssl.SSLWantReadError:
                data = await super()._read()
                if not data:
                    return b""
                self._incoming.write(data)
