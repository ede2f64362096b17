"""Listening sockets that can stop accepting for a while without losing who knocks meanwhile.

The socket itself stays open while accepting is paused, so clients wait in the system's queue instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from typing import Protocol

from holdfast.errors import ConfigError
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import SocketFile, bind_socket_file, remove_socket_file
from holdfast.net.tls import CertificateDirectory, make_door_context
from holdfast.net.tls_acceptor import TlsAcceptor

log = logging.getLogger("holdfast.net.edge")

BACKLOG = 4096


class Acceptor(Protocol):
    """Makes connections of the clients of one listening socket."""

    async def resume(self) -> None:
        """Accept clients; harmless if it does."""
        ...

    def pause(self) -> None:
        """Let clients wait in the system's queue."""
        ...

    def close(self) -> None:
        """Stop listening for good."""
        ...


class Listener:
    """All listening sockets of one edge, of whatever kind; accepting stops while the edge is full."""

    def __init__(self, runtime: Runtime, edge: Edge) -> None:
        self._runtime = runtime
        self._edge = edge
        self._sockets: list[socket.socket] = []
        self._files: list[tuple[str, int]] = []
        self._acceptors: list[Acceptor] = []
        self._should_accept = True
        self._change: asyncio.Task[None] | None = None
        edge.on_capacity = self._on_capacity

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Address and port of every TCP socket, as bound."""
        return [sock.getsockname()[:2] for sock in self._sockets if sock.family != socket.AF_UNIX]

    async def listen(self, host: str, port: int, certificates: CertificateDirectory | None = None) -> None:
        """Listen on one more address, for TLS clients if there are certificates.

        Raises:
            ConfigError: the address cannot be listened on.
        """
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        try:
            sock = socket.create_server((host, port), family=family, backlog=BACKLOG)
        except OSError as exc:
            place = f"[{host}]:{port}" if family == socket.AF_INET6 else f"{host}:{port}"
            raise ConfigError(f"cannot listen on {place}: {exc.strerror or exc}") from exc
        sock.setblocking(False)
        self._sockets.append(sock)
        if certificates is None:
            await self._add(_PlainAcceptor(self._runtime, self._edge, sock))
        else:
            context = make_door_context(certificates, sock.getsockname()[1])
            await self._add(TlsAcceptor(self._runtime, self._edge, sock, context))

    async def listen_on_file(self, file: SocketFile) -> None:
        """Listen on one more Unix socket.

        Raises:
            ConfigError: it cannot be listened on.
        """
        try:
            sock = bind_socket_file(file)
            self._files.append((file.path, os.stat(file.path).st_ino))
            sock.listen(BACKLOG)
        except (OSError, LookupError, ValueError) as exc:
            reason = (exc.strerror if isinstance(exc, OSError) else None) or str(exc)
            raise ConfigError(f"cannot listen on {file.path}: {reason}") from exc
        sock.setblocking(False)
        self._sockets.append(sock)
        await self._add(_PlainAcceptor(self._runtime, self._edge, sock))

    def close(self) -> None:
        """Stop listening for good."""
        self._should_accept = False
        for acceptor in self._acceptors:
            acceptor.close()
        self._acceptors.clear()
        self._sockets.clear()
        for path, inode in self._files:
            try:
                remove_socket_file(path, inode)
            except OSError as exc:
                log.warning("cannot remove %s: %s", path, exc.strerror)
        self._files.clear()

    async def _add(self, acceptor: Acceptor) -> None:
        self._acceptors.append(acceptor)
        if self._should_accept:
            await acceptor.resume()

    def _on_capacity(self, is_full: bool) -> None:
        self._should_accept = not is_full
        if is_full:
            limit = self._edge.limits.max_connections
            log.warning("%s: limit of %d connections reached, new ones wait", self._edge.name, limit)
            for acceptor in self._acceptors:
                acceptor.pause()
        elif self._change is None or self._change.done():
            self._change = self._runtime.spawn(self._resume(), "resume accepting")

    async def _resume(self) -> None:
        """Accept again, unless the edge has filled up or closed meanwhile."""
        for acceptor in list(self._acceptors):
            if self._should_accept:
                await acceptor.resume()


class _PlainAcceptor:
    """Accepts clients without TLS, by a server of the event loop on a duplicate of the socket."""

    def __init__(self, runtime: Runtime, edge: Edge, sock: socket.socket) -> None:
        self._loop = runtime.loop
        self._edge = edge
        self._socket = sock
        self._server: asyncio.AbstractServer | None = None

    async def resume(self) -> None:
        """See `Acceptor`."""
        if self._server is not None:
            return
        sock = self._socket.dup()
        if sock.family == socket.AF_UNIX:
            self._server = await self._loop.create_unix_server(self._make_connection, sock=sock, backlog=BACKLOG)
        else:
            self._server = await self._loop.create_server(self._make_connection, sock=sock, backlog=BACKLOG)

    def pause(self) -> None:
        """See `Acceptor`."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def close(self) -> None:
        """See `Acceptor`."""
        self.pause()
        self._socket.close()

    def _make_connection(self) -> ClientConnection:
        return ClientConnection(self._edge)
