"""Listening sockets that can stop accepting for a while without losing who knocks meanwhile.

The socket itself stays open while accepting is paused, so clients wait in the system's queue instead of being refused.
"""

from __future__ import annotations

import asyncio
import logging
import socket

from holdfast.errors import ConfigError
from holdfast.logs import LIMITED
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime

log = logging.getLogger("holdfast.net.edge")

BACKLOG = 4096


class Listener:
    """All listening sockets of one edge; accepting stops while the edge is full."""

    def __init__(self, runtime: Runtime, edge: Edge) -> None:
        self._runtime = runtime
        self._edge = edge
        self._sockets: list[socket.socket] = []
        self._servers: list[asyncio.AbstractServer] = []
        self._should_accept = True
        self._change: asyncio.Task[None] | None = None
        edge.on_capacity = self._on_capacity

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Address and port of every socket, as bound."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    async def listen(self, host: str, port: int) -> None:
        """Listen on one more address.

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
        self._servers.append(await self._accept_on(sock))

    def close(self) -> None:
        """Stop listening for good."""
        self._should_accept = False
        for server in self._servers:
            server.close()
        self._servers.clear()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    async def _accept_on(self, sock: socket.socket) -> asyncio.AbstractServer:
        return await self._runtime.loop.create_server(
            lambda: ClientConnection(self._edge), sock=sock.dup(), backlog=BACKLOG
        )

    def _on_capacity(self, is_full: bool) -> None:
        self._should_accept = not is_full
        if is_full:
            limit = self._edge.limits.max_connections
            log.warning("%s: limit of %d connections reached, new ones wait", self._edge.name, limit, extra=LIMITED)
            for server in self._servers:
                server.close()
            self._servers.clear()
        elif self._change is None or self._change.done():
            self._change = self._runtime.spawn(self._resume(), "resume accepting")

    async def _resume(self) -> None:
        """Accept again, unless the edge has filled up or closed meanwhile."""
        for sock in self._sockets[len(self._servers) :]:
            if self._should_accept:
                self._servers.append(await self._accept_on(sock))
