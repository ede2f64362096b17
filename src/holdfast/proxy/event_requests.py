"""The requests of a WebSocket-over-HTTP session: all alike, but for a few headers (ws spec §1.2).

A session lasts for hours, and there may be very many: the headers that all of its requests have are kept as bytes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache

from holdfast.proxy.context import ProxyContext
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.whole_request import WholeRequest
from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest, encode_headers
from holdfast.routing.rules import Rule, Target
from holdfast.wire.headers import Headers
from holdfast.wire.ws_events import MEDIA_TYPE

_NOT_THE_CLIENTS = frozenset(
    {
        b"accept",
        b"connection-id",
        b"content-bytes-replayed",
        b"content-length",
        b"content-type",
        b"sec-websocket-extensions",
        b"upgrade",
    }
)

# CGI and WSGI cannot tell `Connection_Id` from `Connection-Id`.
_AS_CGI_SEES_IT = bytes.maketrans(b"_!#$%&'*+.^`|~", b"-" * 14)

_REMEMBERED = 256

_HEADERS: Headers = [(b"Accept", MEDIA_TYPE), (b"Content-Type", MEDIA_TYPE)]
_GRIP_HEADERS: Headers = [*_HEADERS, (b"Sec-WebSocket-Extensions", b"grip")]


# Not frozen only because a frozen dataclass takes four times as long to build. Nobody changes them.
@dataclass(slots=True, eq=False)
class EventRequests:
    """Makes the requests of one session.

    Attributes:
        rule: with the one target that is asked.
        connection_id: what the backend knows the session by.
        has_grip: messages of the backend may be GRIP's: the route speaks it, and the client is no GRIP proxy itself.
        headers: what all requests have, encoded; not the signature, which is valid for an hour.
    """

    proxy: ProxyContext
    rule: Rule
    connection_id: str
    has_grip: bool
    path_and_query: bytes
    authority: Authority
    headers: bytes

    @classmethod
    def of(cls, proxy: ProxyContext, asked: SocketRequest, target: Target) -> EventRequests:
        """The requests to one target of the route, for a client who asked so.

        Raises:
            WireError: 400, the path is not valid for the route.
        """
        rule = for_target(asked.rule, target)
        headers = [header for header in asked.headers if not _is_dropped(header[0])]
        request = asked.forwarded(proxy, rule, b"POST", headers, is_signed=False)
        connection_id, has_grip = asked.connection_id, asked.has_grip
        headers = [
            *request.headers,
            (b"Connection-Id", connection_id.encode()),
            *(_GRIP_HEADERS if has_grip else _HEADERS),
        ]
        return cls(
            proxy, rule, connection_id, has_grip, request.path_and_query, request.authority, encode_headers(headers)
        )

    def post(self, body: bytes, meta: Headers, replayed_bytes: int) -> WholeRequest:
        """A request with these events."""
        headers: Headers = [(b"Content-Bytes-Replayed", b"%d" % replayed_bytes)] if replayed_bytes else []
        headers += meta
        sig = self.rule.sig
        token = sig.token(self.proxy.wall_clock()) if sig is not None and self.has_grip else None
        if token is not None:
            headers.append((b"Grip-Sig", token))
        request = OriginRequest(b"POST", self.path_and_query, self.authority, headers, self.headers)
        return WholeRequest(self.proxy, self.rule, request, body)


def for_target(rule: Rule, target: Target) -> Rule:
    """The rule with this target only: a session stays where it was accepted."""
    return rule if len(rule.targets) == 1 else replace(rule, targets=(target,))


@lru_cache(maxsize=_REMEMBERED)
def _is_dropped(name: bytes) -> bool:
    """Whether a backend could take a header of the client for one of the proxy. Remembers the last: names are few."""
    name = name.lower().translate(_AS_CGI_SEES_IT)
    return name in _NOT_THE_CLIENTS or name.startswith(b"meta-")
