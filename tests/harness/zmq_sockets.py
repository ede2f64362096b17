"""ZeroMQ sockets with deadlines, closed with the test that opened them.

Nothing waits for a connection by sleeping: what is sent by PUSH, REQ and DEALER waits for the peer in the socket, and
an XPUB shows when it is subscribed to.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

import zmq
from tests.harness.client import DEFAULT_TIMEOUT_S
from tests.harness.timing import eventually, scaled

SUBSCRIBED, UNSUBSCRIBED = b"\x01", b"\x00"


class ZmqSocket:
    """One socket. Deadlines are seconds and scaled by the time factor."""

    def __init__(self, socket: zmq.Socket[bytes]) -> None:
        self._socket = socket
        socket.linger = 0

    def connect(self, spec: str) -> None:
        """Connect, or go on trying."""
        self._socket.connect(spec)

    def bind(self, spec: str) -> None:
        """Bind."""
        self._socket.bind(spec)

    def subscribe(self, prefix: bytes) -> None:
        """Subscribe a SUB to what begins with ``prefix``."""
        self._socket.setsockopt(zmq.SUBSCRIBE, prefix)

    def send(self, *parts: bytes, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Send one message; TimeoutError if there is no room for it."""
        self._socket.sndtimeo = round(scaled(timeout_s) * 1000)
        try:
            self._socket.send_multipart(parts)
        except zmq.Again:
            raise TimeoutError(f"{parts!r} cannot be sent") from None

    def send_reachable(self, *parts: bytes) -> None:
        """Send one message by a ROUTER that may not know the receiver yet; other sockets wait by themselves."""
        if self._socket.type == zmq.ROUTER:
            self._socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        eventually(lambda: self._is_sent(parts), f"a way for {parts[0]!r}")

    def _is_sent(self, parts: Sequence[bytes]) -> bool:
        try:
            self._socket.send_multipart(parts, zmq.DONTWAIT)
        except zmq.ZMQError:
            return False
        return True

    def receive(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[bytes]:
        """The parts of the next message."""
        parts = self._poll(scaled(timeout_s))
        if parts is None:
            raise TimeoutError("no message within the time")
        return parts

    def receive_one(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> bytes:
        """The next message, which must have one part."""
        parts = self.receive(timeout_s)
        assert len(parts) == 1, parts
        return parts[0]

    def receive_until(
        self, condition: Callable[[list[bytes]], bool], what: str, timeout_s: float = DEFAULT_TIMEOUT_S
    ) -> list[bytes]:
        """Read messages away up to and including the first for which ``condition`` holds, and return that one."""
        deadline = time.monotonic() + scaled(timeout_s)
        while True:
            parts = self._poll(max(deadline - time.monotonic(), 0))
            if parts is None:
                raise TimeoutError(f"not within the time: {what}")
            if condition(parts):
                return parts

    def assert_silent(self, seconds: float) -> None:
        """Assert that nothing comes for ``seconds`` (not scaled)."""
        parts = self._poll(seconds)
        assert parts is None, f"unexpected message {parts!r}"

    def _poll(self, seconds: float) -> list[bytes] | None:
        if not self._socket.poll(round(seconds * 1000)):
            return None
        return self._socket.recv_multipart()

    def close(self) -> None:
        """Close; what was not sent yet is lost."""
        self._socket.close()


class ZmqSockets:
    """The sockets of one owner, in a context of their own."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[ZmqSocket] = []

    def open(self, kind: int, identity: bytes | None = None) -> ZmqSocket:
        """A socket of that kind (``zmq.PUSH`` ...), neither bound nor connected."""
        raw = self._context.socket(kind)
        if identity is not None:
            raw.setsockopt(zmq.IDENTITY, identity)
        made = ZmqSocket(raw)
        self._sockets.append(made)
        return made

    def connected(self, kind: int, spec: str, identity: bytes | None = None) -> ZmqSocket:
        """A socket that connects to ``spec``."""
        made = self.open(kind, identity)
        made.connect(spec)
        return made

    def bound(self, kind: int, spec: str) -> ZmqSocket:
        """A socket bound to ``spec``."""
        made = self.open(kind)
        made.bind(spec)
        return made

    def close(self) -> None:
        """Close all of them."""
        for made in self._sockets:
            made.close()
        self._context.term()
