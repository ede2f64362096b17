"""A WebSocket backend that a test plays itself: it takes a handshake, answers it, and has the other end of the frames.

There is no thread: what the test does not read stays in the kernel, so a backend that does not read is one that is not
asked to.
"""

from __future__ import annotations

import socket
import time
from collections.abc import Sequence

from tests.harness.backend import Reply
from tests.harness.client import DEFAULT_TIMEOUT_S, ClosedByServer, RawConnection
from tests.harness.messages import Request, parse_head
from tests.harness.ports import free_port
from tests.harness.timing import scaled
from tests.harness.websocket import WebSocket, accept_value


class BackendPeer(WebSocket):
    """The backend's end of one handshake, and of the frames after it. Frames from the proxy must be masked."""

    def __init__(self, connection: RawConnection, request: Request) -> None:
        super().__init__(connection, mask=None)
        self.request = request

    def accept(self, headers: Sequence[tuple[str, str]] = (), *, accept: str | None = None) -> None:
        """Answer 101 with ``headers``; ``accept`` stands for the right Sec-WebSocket-Accept."""
        value = accept if accept is not None else accept_value(self.request.header("Sec-WebSocket-Key") or "")
        lines = [
            "HTTP/1.1 101 Switching Protocols",
            "Upgrade: websocket",
            "Connection: Upgrade",
            f"Sec-WebSocket-Accept: {value}",
            *(f"{name}: {content}" for name, content in headers),
        ]
        self.send_raw("\r\n".join([*lines, "", ""]).encode("latin-1"))

    def reject(self, reply: Reply) -> None:
        """Answer with a response whose body is given in one piece."""
        assert isinstance(reply.body, bytes)
        self.send_raw(reply.head() + reply.body)


class WebSocketBackend:
    """A listening socket on a fixed loopback port."""

    def __init__(self) -> None:
        self.port = free_port()
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._waiting: list[BackendPeer] = []
        self._taken: list[BackendPeer] = []

    def take(self, path: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> BackendPeer:
        """Wait for the next handshake for ``path`` and return its connection; it is not answered yet."""
        deadline = time.monotonic() + scaled(timeout_s)
        while True:
            for peer in self._waiting:
                if peer.request.path == path:
                    self._waiting.remove(peer)
                    self._taken.append(peer)
                    return peer
            newcomer = self._accept(deadline)
            if newcomer is not None:
                self._waiting.append(newcomer)

    def _accept(self, deadline: float) -> BackendPeer | None:
        """The next connection with a request; None for one that was given up before, as a client's is that has left."""
        self._listener.settimeout(max(deadline - time.monotonic(), 0.01))
        sock, _address = self._listener.accept()
        connection = RawConnection(sock)
        try:
            raw = connection.read_until(b"\r\n\r\n")
        except ClosedByServer:
            connection.close()
            return None
        line, headers = parse_head(raw)
        method, target, version = line.split(" ")
        return BackendPeer(connection, Request(raw, method, target, version, headers, len(self._taken), complete=True))

    def close_connections(self) -> None:
        """Close every connection that was taken or waits."""
        for peer in [*self._waiting, *self._taken]:
            peer.close()
        self._waiting.clear()
        self._taken.clear()

    def stop(self) -> None:
        """Stop listening and close everything."""
        self._listener.close()
        self.close_connections()
