"""The requests of a WebSocket-over-HTTP session: all alike, but for a few headers (ws spec §1.2).

A session lasts for hours, and there may be very many: the headers that all of its requests have are kept as bytes.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from holdfast.errors import WireError
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.own_request import WholeBody
from holdfast.proxy.reply import Reply
from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest, build_origin_request, encode_headers
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Headers
from holdfast.wire.ws_events import MEDIA_TYPE

MAX_REJECTION_BYTES = 100_000

MAX_META_BYTES = 65536
"""Names and values that one backend may set with `Set-Meta-*`, together: every request of the session has them."""

_SET_META = b"set-meta-"
_META = b"Meta-"

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

_HEADERS: Headers = [(b"Accept", MEDIA_TYPE), (b"Content-Type", MEDIA_TYPE)]
_GRIP_HEADERS: Headers = [*_HEADERS, (b"Sec-WebSocket-Extensions", b"grip")]


@dataclass(frozen=True, slots=True)
class Rejection:
    """A backend's answer that does not accept a WebSocket: the client gets it as it is."""

    code: int
    reason: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
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
    def of(
        cls,
        proxy: ProxyContext,
        rule: Rule,
        uri: ClientUri,
        handshake: Headers,
        *,
        connection_id: str,
        client_address: str,
        is_tls: bool,
        is_trusted: bool,
    ) -> EventRequests:
        """The requests for a client whose handshake has these headers.

        Raises:
            WireError: 400, the path is not valid for the route.
        """
        request = build_origin_request(
            replace(rule, sig=None),
            uri,
            b"POST",
            [header for header in handshake if not _is_dropped(header[0].lower())],
            policy=proxy.policy,
            is_tls=is_tls,
            is_trusted=is_trusted,
            client_address=client_address,
            now_s=proxy.wall_clock(),
            proto=Proto.WS,
        )
        has_grip = not is_trusted and not rule.no_grip
        headers = [
            *request.headers,
            (b"Connection-Id", connection_id.encode()),
            *(_GRIP_HEADERS if has_grip else _HEADERS),
        ]
        return cls(
            proxy, rule, connection_id, has_grip, request.path_and_query, request.authority, encode_headers(headers)
        )

    @asynccontextmanager
    async def post(self, body: bytes, meta: Headers, replayed_bytes: int) -> AsyncIterator[Reply]:
        """The answer to a request with these events, while the context lasts.

        Raises:
            ErrorAnswer: the backend could not be connected to, or did not answer properly; caused by a BackendError.
        """
        headers: Headers = [(b"Content-Bytes-Replayed", b"%d" % replayed_bytes)] if replayed_bytes else []
        headers += meta
        sig = self.rule.sig
        token = sig.token(self.proxy.wall_clock()) if sig is not None and self.has_grip else None
        if token is not None:
            headers.append((b"Grip-Sig", token))
        request = OriginRequest(b"POST", self.path_and_query, self.authority, headers, self.headers)
        attempts = Attempts(self.proxy, WholeBody(), request, body)
        reply = await attempts.run(self.rule)
        try:
            yield reply
        finally:
            attempts.stop()
            reply.close(is_request_sent=True)


def for_target(rule: Rule, target: Target) -> Rule:
    """The rule with this target only: a session stays where it was accepted."""
    return rule if len(rule.targets) == 1 else replace(rule, targets=(target,))


def _is_dropped(lower: bytes) -> bool:
    """Whether a backend could take a header of the client for one of the proxy."""
    name = lower.translate(_AS_CGI_SEES_IT)
    return name in _NOT_THE_CLIENTS or name.startswith(b"meta-")


def set_meta(meta: Headers, headers: Headers) -> Headers:
    """The `Meta-*` fields of later requests, after an answer with these headers (ws spec §1.5).

    A `Set-Meta-X` replaces what is known of X and moves it to the end; an empty value forgets it.

    Raises WireError with status 502: there is too much of it.
    """
    for name, value in headers:
        lower = name.lower()
        if not lower.startswith(_SET_META) or len(name) == len(_SET_META):
            continue
        key = _META + name[len(_SET_META) :]
        meta = [known for known in meta if known[0].lower() != key.lower()]
        if value:
            meta.append((key, value))
    if sum(len(name) + len(value) for name, value in meta) > MAX_META_BYTES:
        raise WireError(502, f"backend set more than {MAX_META_BYTES} bytes of meta")
    return meta


async def read_limited(reply: Reply, limit: int) -> bytes:
    """The body of an answer, or a beginning of it that is longer than `limit` bytes. Raises BackendError."""
    if reply.is_complete:
        return reply.take()
    pieces: list[bytes] = []
    size = 0
    while size <= limit and (piece := await reply.read()):
        pieces.append(piece)
        size += len(piece)
    return b"".join(pieces)
