"""The requests of a WebSocket-over-HTTP session: made anew each time from the client's handshake (ws spec §1.2).

A session lasts for hours, and its request is kept as the bytes that came: a few hundred, parsed again for each use.
"""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace

from holdfast.errors import WireError
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.held_request import HeldRequest
from holdfast.proxy.own_request import WholeBody
from holdfast.proxy.reply import Reply
from holdfast.routing.forward import build_origin_request
from holdfast.routing.rules import Proto, Rule, Target
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Header, Headers
from holdfast.wire.ws_events import MEDIA_TYPE

MAX_REJECTION_BYTES = 100_000

MAX_META_BYTES = 65536
"""Names and values that one backend may set with `Set-Meta-*`, together: every request of the session has them."""

_SET_META = b"set-meta-"
_META = b"Meta-"

_NOT_THE_CLIENTS = frozenset(
    {b"upgrade", b"accept", b"connection-id", b"content-length", b"content-type", b"sec-websocket-extensions"}
)


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
        rule: with the one target that accepted.
        handshake: of the client.
        has_grip: the route speaks GRIP, and the client is not a GRIP proxy itself.
    """

    proxy: ProxyContext
    rule: Rule
    handshake: HeldRequest
    uri: ClientUri
    connection_id: str
    client_address: str
    is_tls: bool
    is_trusted: bool

    @property
    def has_grip(self) -> bool:
        """Whether messages of the backend may be GRIP's."""
        return not self.is_trusted and not self.rule.no_grip

    @asynccontextmanager
    async def post(self, body: bytes, meta: Headers, replayed_bytes: int) -> AsyncIterator[Reply]:
        """The answer to a request with these events, while the context lasts.

        Raises:
            ErrorAnswer: the backend could not be connected to, or did not answer properly; caused by a BackendError.
        """
        headers = [header for header in self.handshake.parse().headers if not _is_dropped(header[0].lower())]
        request = build_origin_request(
            self.rule,
            self.uri,
            b"POST",
            headers,
            policy=self.proxy.policy,
            is_tls=self.is_tls,
            is_trusted=self.is_trusted,
            client_address=self.client_address,
            now_s=self.proxy.wall_clock(),
            proto=Proto.WS,
        )
        added: list[Header] = [(b"Sec-WebSocket-Extensions", b"grip")] if self.has_grip else []
        added.append((b"Accept", MEDIA_TYPE))
        added.append((b"Connection-Id", self.connection_id.encode()))
        added.append((b"Content-Type", MEDIA_TYPE))
        if replayed_bytes:
            added.append((b"Content-Bytes-Replayed", b"%d" % replayed_bytes))
        request = request._replace(headers=[*request.headers, *added, *meta])
        attempts = Attempts(self.proxy, WholeBody(), request, body)
        reply = await attempts.run(self.rule)
        try:
            yield reply
        finally:
            attempts.stop()
            reply.close(is_request_sent=True)


def for_target(rule: Rule, target: Target) -> Rule:
    """The rule with this target only: a session stays where it was accepted."""
    return replace(rule, targets=(target,))


def _is_dropped(lower: bytes) -> bool:
    return lower in _NOT_THE_CLIENTS or lower.startswith(b"meta-")


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
