"""The accepting side of a TLS port: clients count from the moment they are accepted, not only after the handshake.

The server of the event loop says nothing of handshakes that are going on or have failed, so sockets are accepted here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
import ssl

from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import prepare_client_socket
from holdfast.net.tls import HandshakeFailedError, describe_problem

log = logging.getLogger("holdfast.net.tls")

ACCEPTS_PER_TURN = 64
"""Clients accepted before others get their turn; the loop reports the rest again."""

RETRY_S = 1.0
"""How long accepting rests when the system has no descriptor or memory left."""


class TlsAcceptor:
    """Accepts TLS clients from one listening socket, which it closes at the end."""

    def __init__(self, runtime: Runtime, edge: Edge, sock: socket.socket, context: ssl.SSLContext) -> None:
        self._runtime = runtime
        self._edge = edge
        self._socket = sock
        self._context = context
        self._is_accepting = False
        self._handshakes: set[asyncio.Task[None]] = set()
        self._retry: asyncio.TimerHandle | None = None

    async def resume(self) -> None:
        """Accept clients."""
        self._accept()

    def pause(self) -> None:
        """Let clients wait in the system's queue; handshakes go on."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._is_accepting:
            self._is_accepting = False
            self._runtime.loop.remove_reader(self._socket)

    def close(self) -> None:
        """Stop listening, and let go of clients that have not finished their handshake."""
        self.pause()
        self._socket.close()
        for handshake in list(self._handshakes):
            handshake.cancel()

    def _accept(self) -> None:
        if not self._is_accepting:
            self._is_accepting = True
            self._runtime.loop.add_reader(self._socket, self._on_ready)

    def _on_ready(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if not self._is_accepting:
                return
            try:
                client, address = self._socket.accept()
            except (BlockingIOError, ConnectionAbortedError):
                return
            except OSError as exc:
                log.error("%s: cannot accept: %s", self._edge.name, exc.strerror)
                self.pause()
                self._retry = self._runtime.loop.call_later(RETRY_S, self._accept)
                return
            client.setblocking(False)
            prepare_client_socket(client)
            connection = ClientConnection(self._edge, is_new=False, is_tls=True)
            connection.started = self._edge.opened()
            handshake = self._runtime.spawn(self._shake_hands(client, connection, address), "TLS handshake")
            self._handshakes.add(handshake)
            handshake.add_done_callback(self._handshakes.discard)

    async def _shake_hands(self, client: socket.socket, connection: ClientConnection, address: tuple[str, int]) -> None:
        """Give the client to `connection`, unless its handshake fails."""
        try:
            # A duplicate, because the transport closes its own before the alert can be sent.
            with client.dup() as duplicate:
                await self._connect(client, duplicate, connection)
        except OSError as exc:
            self._runtime.counters.tls_handshakes_failed += 1
            # Who just leaves is of no interest: many a health check does.
            level = logging.DEBUG if isinstance(exc, ConnectionResetError) else logging.INFO
            log.log(level, "client %s:%d: TLS handshake failed: %s", *address[:2], describe_problem(exc))
        finally:
            if not connection.has_begun:
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
