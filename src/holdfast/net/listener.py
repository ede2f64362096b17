"""Listening sockets that can stop accepting for a while without losing who knocks meanwhile.

The sockets stay open while accepting is paused, so clients wait in the system's queue instead of being refused.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket

from holdfast.errors import ConfigError
from holdfast.logs import LIMITED
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime

log = logging.getLogger("holdfast.net.edge")

BACKLOG = 4096

ACCEPTS_PER_TURN = 64
"""Clients accepted before others get their turn."""

RETRY_S = 1.0
"""How long nobody is accepted when the system has no descriptor or memory for one more."""

_LEFT_AGAIN = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO})


class Listener:
    """All listening sockets of one edge; accepting stops while the edge is full."""

    def __init__(self, runtime: Runtime, edge: Edge) -> None:
        self._runtime = runtime
        self._edge = edge
        self._sockets: list[socket.socket] = []
        self._is_full = False
        self._retry: asyncio.TimerHandle | None = None
        edge.on_capacity = self._on_capacity

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Address and port of every socket, as bound."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    def listen(self, host: str, port: int) -> None:
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
        # Accepted sockets inherit these: no Nagle delay, and dead peers are noticed by the system.
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        sock.setblocking(False)
        self._sockets.append(sock)
        if self._is_accepting:
            self._runtime.loop.add_reader(sock, self._on_knock, sock)

    def close(self) -> None:
        """Stop listening for good."""
        self._stop_accepting()
        if self._retry is not None:
            self._retry.cancel()
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    # --- accepting -------------------------------------------------------------------------------------------------

    @property
    def _is_accepting(self) -> bool:
        return not self._is_full and self._retry is None

    def _on_knock(self, sock: socket.socket) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            try:
                client, peer = sock.accept()
            except OSError as exc:
                if exc.errno not in _LEFT_AGAIN:
                    self._wait(exc)
                return
            client.setblocking(False)
            is_last = client.fileno() >= self._edge.limits.max_files
            self._welcome(client, peer)
            if is_last:
                self._wait(_no_more_files())
            if self._is_full or is_last:
                return

    def _welcome(self, client: socket.socket, peer: object) -> None:
        connection = ClientConnection(self._edge)
        if self._edge.parking is not None:
            self._edge.parking.accept(client, peer, connection)
        else:
            self._runtime.spawn(self._connect(client, connection), "accept")

    async def _connect(self, client: socket.socket, connection: ClientConnection) -> None:
        """Let a connection serve a client by a transport of the loop, where there is no parking lot."""
        try:
            await self._runtime.loop.connect_accepted_socket(lambda: connection, client)
        except OSError:
            client.close()

    # --- pauses ----------------------------------------------------------------------------------------------------

    def _on_capacity(self, is_full: bool) -> None:
        was_accepting, self._is_full = self._is_accepting, is_full
        if is_full:
            limit = self._edge.limits.max_connections
            log.warning("%s: limit of %d connections reached, new ones wait", self._edge.name, limit, extra=LIMITED)
        if was_accepting and is_full:
            self._stop_accepting()
        elif self._is_accepting:
            self._start_accepting()

    def _wait(self, exc: OSError) -> None:
        """The system cannot give us one more client: trying at once would only burn the processor."""
        self._runtime.counters.accept_failures += 1
        log.error("%s: cannot accept: %s; new ones wait", self._edge.name, exc.strerror or exc)
        self._stop_accepting()
        self._retry = self._runtime.loop.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if not self._has_room():
            self._wait(_no_more_files())
        elif self._is_accepting:
            self._start_accepting()

    def _has_room(self) -> bool:
        """Whether the system has a descriptor for one more client: it gives out the lowest number that is free."""
        try:
            free = os.dup(self._sockets[0].fileno())
        except OSError:
            return False
        os.close(free)
        return free < self._edge.limits.max_files

    def _start_accepting(self) -> None:
        for sock in self._sockets:
            self._runtime.loop.add_reader(sock, self._on_knock, sock)

    def _stop_accepting(self) -> None:
        for sock in self._sockets:
            self._runtime.loop.remove_reader(sock)


def _no_more_files() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))
