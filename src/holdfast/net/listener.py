"""Listening sockets that can stop accepting for a while without losing who knocks meanwhile.

The sockets stay open while accepting is paused, so clients wait in the system's queue instead of being refused.
"""

from __future__ import annotations

import logging
import os
import socket

from holdfast.errors import ConfigError
from holdfast.logs import LIMITED
from holdfast.net.acceptor import Acceptor, PlainAcceptor
from holdfast.net.edge import Edge
from holdfast.net.runtime import Runtime
from holdfast.net.sockets import SocketFile, bind_socket_file, prepare_client_socket, remove_socket_file
from holdfast.net.tls import CertificateDirectory, make_door_context
from holdfast.net.tls_acceptor import TlsAcceptor

log = logging.getLogger("holdfast.net.edge")

BACKLOG = 4096


class Listener:
    """All listening sockets of one edge, of whatever kind; accepting stops while the edge is full."""

    def __init__(self, runtime: Runtime, edge: Edge) -> None:
        self._runtime = runtime
        self._edge = edge
        self._sockets: list[socket.socket] = []
        self._files: list[tuple[str, int]] = []
        self._acceptors: list[Acceptor] = []
        self._is_full = False
        edge.on_capacity = self._on_capacity

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Address and port of every TCP socket, as bound."""
        return [sock.getsockname()[:2] for sock in self._sockets if sock.family != socket.AF_UNIX]

    def listen(self, host: str, port: int, certificates: CertificateDirectory | None = None) -> None:
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
        prepare_client_socket(sock)  # accepted sockets inherit it
        sock.setblocking(False)
        if certificates is None:
            acceptor: Acceptor = PlainAcceptor(self._runtime, self._edge, sock)
        else:
            context = make_door_context(certificates, sock.getsockname()[1])
            acceptor = TlsAcceptor(self._runtime, self._edge, sock, context)
        self._add(sock, acceptor)

    def listen_on_file(self, file: SocketFile) -> None:
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
        self._add(sock, PlainAcceptor(self._runtime, self._edge, sock))

    def close(self) -> None:
        """Stop listening for good."""
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

    def _add(self, sock: socket.socket, acceptor: Acceptor) -> None:
        self._sockets.append(sock)
        self._acceptors.append(acceptor)
        if not self._is_full:
            acceptor.resume()

    def _on_capacity(self, is_full: bool) -> None:
        self._is_full = is_full
        if is_full:
            limit = self._edge.limits.max_connections
            log.warning("%s: limit of %d connections reached, new ones wait", self._edge.name, limit, extra=LIMITED)
        for acceptor in self._acceptors:
            if is_full:
                acceptor.pause()
            else:
                acceptor.resume()
