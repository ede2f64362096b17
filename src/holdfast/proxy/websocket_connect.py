"""Connecting to a WebSocket server on behalf of a client (ws spec §2.1)."""

from __future__ import annotations

import os
from dataclasses import dataclass

from holdfast.net.backend import BackendConnection
from holdfast.net.duplex import Duplex, DuplexOwner
from holdfast.proxy.attempts import endpoint_of
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.event_requests import for_target
from holdfast.proxy.reply import BackendReply
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.websocket_rejection import Rejection, read_rejection
from holdfast.routing.forward import encode_origin_head
from holdfast.routing.rules import Target
from holdfast.wire.headers import Headers, without
from holdfast.wire.websocket.handshake import NONCE_BYTES, asking_headers, check_acceptance, make_key

_OF_THE_CLIENTS_SIDE = frozenset({b"sec-websocket-key", b"sec-websocket-version", b"sec-websocket-extensions"})


@dataclass(frozen=True, slots=True)
class BackendAcceptance:
    """A backend that has accepted: its answer, and its connection."""

    proxy: ProxyContext
    connection: BackendConnection
    reason: bytes
    headers: Headers

    def to_duplex(self, owner: DuplexOwner) -> Duplex:
        """The connection, from now on the owner's. It is not read from yet. Raises BackendError: it is lost."""
        proxy = self.proxy
        return self.connection.to_duplex(owner, proxy.outbox_limits, _nothing)


async def connect_backend(proxy: ProxyContext, asked: SocketRequest, target: Target) -> BackendAcceptance | Rejection:
    """Ask one target of the route for a WebSocket.

    Raises:
        ConnectError: it could not be connected to.
        BackendError: it did not answer.
        WireError: 502, its acceptance is none.
    """
    headers = without(asked.headers, _OF_THE_CLIENTS_SIDE)
    request = asked.forwarded(proxy, for_target(asked.rule, target), b"GET", headers)
    key = make_key(os.urandom(NONCE_BYTES))
    handshake = asking_headers(key)
    if asked.has_grip:
        handshake.append((b"Sec-WebSocket-Extensions", b"grip"))
    request = request._replace(headers=[*request.headers, *handshake])
    connection = await proxy.pool.connect(endpoint_of(request, target))
    try:
        proxy.counters.backend_requests += 1
        sent_at_s = proxy.runtime.now()
        head = encode_origin_head(request, target, content_length=None, is_chunked=False)
        connection.send_request(b"GET", head, is_upgrade=True)
        answer = await connection.read_head()
        proxy.holds.statistics.backend_answered(asked.rule.key, proxy.runtime.now() - sent_at_s)
        if answer.code == 101:
            check_acceptance(answer.headers, key)
            return BackendAcceptance(proxy, connection, answer.reason, answer.headers)
        rejection = await read_rejection(BackendReply(connection, proxy.pool, answer))
    except BaseException:
        connection.abort()
        raise
    connection.abort()
    return rejection


def _nothing() -> None:
    """Connections of backends are not counted."""
