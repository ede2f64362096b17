"""The accepting side of a TLS port: clients count from the moment they are accepted, not only after the handshake."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from holdfast.logs import LIMITED
from holdfast.net.acceptor import Acceptor
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import describe_peer
from holdfast.net.tls import HandshakeFailedError, describe_problem

log = logging.getLogger("holdfast.net.tls")


class TlsAcceptor(Acceptor):
    """Accepts TLS clients. Handshakes go on while nobody is accepted."""

    def __init__(self, runtime: Runtime, edge: Edge, sock: socket.socket, context: ssl.SSLContext) -> None:
        super().__init__(runtime, edge, sock)
        self._context = context
        self._handshakes: set[asyncio.Task[None]] = set()

    def close(self) -> None:
        """Stop listening, and let go of clients that have not finished their handshake."""
        super().close()
        for handshake in list(self._handshakes):
            handshake.cancel()

    def _welcome(self, fd: int, peer_name: object) -> None:
        client = socket.socket(fileno=fd)
        connection = ClientConnection(self._edge, is_new=False, is_tls=True)
        connection.started = self._edge.opened()
        handshake = self._runtime.spawn(self._shake_hands(client, connection, peer_name), "TLS handshake")
        self._handshakes.add(handshake)
        handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket, connection: ClientConnection, peer_name: object) -> None:
        """Give the client to `connection`, unless its handshake fails."""
        try:
            # A duplicate, because the transport closes its own before the alert can be sent.
            with client.dup() as duplicate:
                await self._connect(client, duplicate, connection)
        except OSError as exc:
            self._runtime.counters.tls_handshakes_failed += 1
            # Who just leaves is of no interest: many a health check does.
            level = logging.DEBUG if isinstance(exc, ConnectionResetError) else logging.INFO
            problem = describe_problem(exc)
            log.log(level, "client %s: TLS handshake failed: %s", describe_peer(peer_name), problem, extra=LIMITED)
        finally:
            if not connection.has_begun:
                connection.discard()
                client.close()
                self._edge.closed(connection.started)

    async def _connect(self, client: socket.socket, duplicate: socket.socket, connection: ClientConnection) -> None:
        limits = self._edge.limits
        try:
            await self._runtime.loop.connect_accepted_socket(
                lambda: connection,
                client,
                ssl=self._context,
                ssl_handshake_timeout=limits.header_timeout_s,
                ssl_shutdown_timeout=limits.send_timeout_s,
            )
        except HandshakeFailedError as exc:
            with contextlib.suppress(OSError):
                duplicate.send(exc.alert)
            raise
