"""What is known of a client that wants a WebSocket, whatever it came by."""

from __future__ import annotations

import os
from typing import NamedTuple

from holdfast.proxy.context import ProxyContext
from holdfast.routing.forward import OriginRequest, build_origin_request
from holdfast.routing.rules import Proto, Rule
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Headers


class SocketRequest(NamedTuple):
    """One such request. A tuple, since one is made per handshake.

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

    def forwarded(
        self, proxy: ProxyContext, rule: Rule, method: bytes, headers: Headers, *, is_signed: bool = True
    ) -> OriginRequest:
        """The request that a backend gets for it.

        Args:
            rule: its own, or what is left of that for this backend.
            headers: those of the client that the backend gets.
            is_signed: see `build_origin_request`.

        Raises:
            WireError: 400, the path is not valid for the route.
        """
        return build_origin_request(
            rule,
            self.uri,
            method,
            headers,
            policy=proxy.policy,
            is_tls=self.is_tls,
            is_trusted=self.is_trusted,
            client_address=self.client_address,
            now_s=proxy.wall_clock(),
            proto=Proto.WS,
            is_signed=is_signed,
        )


def make_connection_id() -> str:
    """A random UUID (RFC 9562 §5.4), which is what backends know a session by; cheaper than one of the library."""
    digits = os.urandom(16).hex()
    variant = "89ab"[int(digits[16], 16) & 3]
    return f"{digits[:8]}-{digits[8:12]}-4{digits[13:16]}-{variant}{digits[17:20]}-{digits[20:]}"
