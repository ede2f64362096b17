"""Accepting clients from one listening socket, and not accepting any for a while."""

from __future__ import annotations

import abc
import asyncio
import errno
import logging
import os
import socket

from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import accept_client

log = logging.getLogger("holdfast.net.edge")

ACCEPTS_PER_TURN = 64
"""Clients accepted before others get their turn; the loop reports the rest again."""

RETRY_S = 1.0
"""How long nobody is accepted when the system has no descriptor or memory for one more."""

_LEFT_AGAIN = frozenset({errno.EAGAIN, errno.EINTR, errno.ECONNABORTED, errno.EPROTO})


class Acceptor(abc.ABC):
    """Accepts clients from a listening socket, which it closes at the end; its kinds say how they are served."""

    def __init__(self, runtime: Runtime, edge: Edge, sock: socket.socket) -> None:
        self._runtime = runtime
        self._edge = edge
        self._socket = sock
        self._is_accepting = False
        self._retry: asyncio.TimerHandle | None = None

    def resume(self) -> None:
        """Accept clients; harmless if it does."""
        if not self._is_accepting:
            self._is_accepting = True
            self._runtime.loop.add_reader(self._socket, self._on_knock)

    def pause(self) -> None:
        """Let clients wait in the system's queue."""
        if self._retry is not None:
            self._retry.cancel()
            self._retry = None
        if self._is_accepting:
            self._is_accepting = False
            self._runtime.loop.remove_reader(self._socket)

    def close(self) -> None:
        """Stop listening for good."""
        self.pause()
        self._socket.close()

    @abc.abstractmethod
    def _welcome(self, fd: int, peer_name: object) -> None:
        """Serve a client, whose descriptor does not block. Raises OSError; it is closed then."""

    def _on_knock(self) -> None:
        for _ in range(ACCEPTS_PER_TURN):
            if not self._is_accepting:
                return
            try:
                fd, peer_name = accept_client(self._socket)
            except OSError as exc:
                if exc.errno not in _LEFT_AGAIN:
                    self._rest(exc)
                return
            try:
                self._welcome(fd, peer_name)
            except OSError as exc:
                self._rest(exc)
                return
            if fd >= self._edge.limits.max_files:
                self._rest(_no_more_files())

    def _rest(self, exc: OSError) -> None:
        """The system cannot give us one more client: to try again at once would only burn the processor."""
        self._runtime.counters.accept_failures += 1
        log.error("%s: cannot accept: %s; new ones wait", self._edge.name, exc.strerror or exc)
        self.pause()
        self._retry = self._runtime.loop.call_later(RETRY_S, self._try_again)

    def _try_again(self) -> None:
        self._retry = None
        if self._has_room():
            self.resume()
        else:
            self._rest(_no_more_files())

    def _has_room(self) -> bool:
        """Whether the system has a descriptor for one more client: it gives out the lowest number that is free."""
        try:
            free = os.dup(self._socket.fileno())
        except OSError:
            return False
        os.close(free)
        return free < self._edge.limits.max_files


def _no_more_files() -> OSError:
    return OSError(errno.EMFILE, os.strerror(errno.EMFILE))


class PlainAcceptor(Acceptor):
    """Accepts clients without TLS."""

    def _welcome(self, fd: int, peer_name: object) -> None:
        connection = ClientConnection(self._edge)
        if self._edge.parking is not None:
            self._edge.parking.accept(fd, peer_name, connection)
        else:
            self._runtime.spawn(self._connect(socket.socket(fileno=fd), connection), "accept")

    async def _connect(self, client: socket.socket, connection: ClientConnection) -> None:
        """Let a connection serve a client by a transport of the loop, where there is no parking lot."""
        try:
            await self._runtime.loop.connect_accepted_socket(lambda: connection, client)
        except OSError:
            client.close()
