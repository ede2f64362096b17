"""Who plays the backend of a WebSocket: the interface, and nobody.

A WebSocket server, a web server that gets events over HTTP, a ZeroMQ backend and the built-in test target have modules
of their own.
"""

from __future__ import annotations

from typing import Protocol

from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.stream import Data, Ping, Pong


class BackendSide(Protocol):
    """Who plays the backend."""

    is_whole: bool
    """Whether it takes whole messages only; otherwise pieces, as they come."""

    max_message_bytes: int
    """Of a whole message."""

    @property
    def is_blocked(self) -> bool:
        """Whether it cannot take more now; it calls `WebSocketClient.go_on` when it can."""
        ...

    def take(self, event: Data | Ping | Pong) -> None:
        """The client has sent something."""
        ...

    def close(self, status: CloseStatus) -> None:
        """Close in good order: the client has sent a close frame, or answered ours. It answers `backend_closed`."""
        ...

    def leave(self) -> None:
        """Close in good order, on behalf of nobody: a publisher closes, or the backend wants to be left (§2.6)."""
        ...

    def break_off(self) -> None:
        """The client is gone without a close frame."""
        ...

    def client_drained(self) -> None:
        """The client has taken what was written."""
        ...

    def refresh(self) -> None:
        """A publisher wants the backend to be asked for news."""
        ...


class Answering(Protocol):
    """Who is told that the backend has closed."""

    def backend_closed(self, status: CloseStatus) -> None:
        """The backend closes, or answers the client's close."""
        ...


class Nobody:
    """Nobody plays the backend: what the client sends is read and forgotten, and its close is answered (§2.6).

    Args:
        client: who is answered, if anybody is left.
    """

    is_whole = False
    is_blocked = False
    max_message_bytes = 0

    __slots__ = ("_client",)

    def __init__(self, client: Answering | None = None) -> None:
        self._client = client

    def take(self, event: Data | Ping | Pong) -> None:
        """See `BackendSide`."""

    def close(self, status: CloseStatus) -> None:
        """See `BackendSide`."""
        if self._client is not None:
            self._client.backend_closed(NO_STATUS)

    def leave(self) -> None:
        """See `BackendSide`."""

    def break_off(self) -> None:
        """See `BackendSide`."""

    def client_drained(self) -> None:
        """See `BackendSide`."""

    def refresh(self) -> None:
        """See `BackendSide`."""
