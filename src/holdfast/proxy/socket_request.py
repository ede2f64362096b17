"""What is known of a client that wants a WebSocket, whatever it came by."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.routing.rules import Rule
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Headers


@dataclass(frozen=True, slots=True)
class SocketRequest:
    """One such request.

    Args:
        uri: what the backend is asked for, before the route rewrites it.
        headers: of the client's request.
        connection_id: what backends over HTTP know the session by (ws spec §1.2).
    """

    rule: Rule
    uri: ClientUri
    headers: Headers
    client_address: str
    is_tls: bool
    is_trusted: bool
    connection_id: str

    @property
    def has_grip(self) -> bool:
        """Whether the backend may speak GRIP: the route does, and the client is no GRIP proxy itself."""
        return not self.rule.no_grip and not self.is_trusted
