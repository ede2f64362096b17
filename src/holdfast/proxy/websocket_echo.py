"""The built-in `test` target's WebSocket: it sends back what it gets (ws spec §2.9)."""

from __future__ import annotations

from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.stream import Data, Ping, Pong


class EchoBackend:
    """See `BackendSide`."""

    __slots__ = ("client",)

    is_whole = False
    max_message_bytes = 0

    def __init__(self) -> None:
        self.client: WebSocketClient

    @property
    def is_blocked(self) -> bool:
        """While the client does not take what it sent, no more of it is read."""
        return self.client.duplex.is_blocked

    def take(self, event: Data | Ping | Pong) -> None:
        """See `BackendSide`."""
        if isinstance(event, Data):
            self.client.relay(event)
        else:
            self.client.relay_control(event)

    def close(self, status: CloseStatus) -> None:
        """See `BackendSide`."""
        self.client.backend_closed(status)

    def leave(self) -> None:
        """See `BackendSide`."""

    def break_off(self) -> None:
        """See `BackendSide`."""

    def client_drained(self) -> None:
        """See `BackendSide`."""
        self.client.go_on()

    def refresh(self) -> None:
        """See `BackendSide`."""
