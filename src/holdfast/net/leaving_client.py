"""A client for which nothing is done any more: it gets what is unsent, and is let go of gently.

To close with unread input would have the system send a reset, which can destroy what the client has not read yet. So
input is read and thrown away for a moment (RFC 9112 §9.6), where the transport does not do as much itself.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from holdfast.net.awake_client import AwakeClient

if TYPE_CHECKING:
    from holdfast.net.socket_transport import SocketTransport

LINGER_S = 2.0
"""How long input is read and thrown away after a last response."""


class LeavingClient(AwakeClient):
    """A client connection that ends."""

    __slots__ = ()

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        """The client, who was parked, has spoken; but its connection is not used again."""
        super().connection_made(transport)
        self.linger()

    def take_over(self, client: AwakeClient) -> None:
        """Become the protocol of the transport of `client`, which has left the edge."""
        self.started = client.started
        self.peer_name = client.peer_name
        self.peer_address = client.peer_address
        self._transport = client._transport
        self._below = client._below
        self._is_write_paused = client._is_write_paused
        self._unsent_bytes = client._unsent_bytes
        self.edge.connections.add(self)
        self._transport.set_protocol(self)

    def close(self) -> None:
        """Close as soon as everything is sent; a client that does not take it is not waited for without end."""
        self.pause_writing()
        self._transport.close()

    def linger(self) -> None:
        """Send no more, discard what still comes for a moment, then close; TLS does so when it is closed."""
        if not self._transport.can_write_eof():
            self.close()
            return
        self._set_deadline(LINGER_S)
        self._transport.write_eof()
        if not self._transport.is_closing():
            self._transport.resume_reading()

    def data_received(self, data: bytes) -> None:
        """Nobody wants it."""

    def connection_lost(self, exc: Exception | None) -> None:
        self._leave_edge()
        self.edge.closed(self.started)
        self._below = None  # it refers to us, and both would wait for a collection of garbage

    def close_when_idle(self) -> None:
        """It closes anyway."""

    def _time_out(self) -> None:
        """The moment is over, or the client takes nothing of what is unsent."""
        if self.unsent_bytes and not self._is_write_paused:
            self.pause_writing()
        else:
            self._transport.abort()
