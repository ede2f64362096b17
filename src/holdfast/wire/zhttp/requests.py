"""ZHTTP packets of the proxy: values to frames (ws spec §7.4).

Fields are in the order of the specification's examples, so that a packet has only one spelling.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.wire.headers import Headers
from holdfast.wire.tnetstring import Map, Value, encode_tnetstring
from holdfast.wire.zhttp.packets import (
    MAX_BODY_BYTES,
    PREFIX,
    WINDOW_BYTES,
    Close,
    Content,
    Data,
    Ping,
    Place,
    Pong,
    Signal,
)

_UNDEFINED_CONDITION = b"undefined-condition"


@dataclass(frozen=True, slots=True)
class TargetOptions:
    """How a backend that makes requests of its own may make them; client certificate and key are PEM or None."""

    ignore_policies: bool = True
    trust_connect_host: bool = False
    ignore_tls_errors: bool = False
    client_cert: bytes | None = None
    client_key: bytes | None = None


@dataclass(frozen=True, slots=True)
class RequestHead:
    """What begins an exchange: a request, or the handshake of a WebSocket.

    method: None for a WebSocket.
    uri: whole, with the scheme `http`, `https`, `ws` or `wss`.
    """

    method: bytes | None
    uri: bytes
    headers: Headers
    options: TargetOptions = TargetOptions()


def encode_request(sender: bytes, exchange_id: bytes, head: RequestHead, body: bytes) -> bytes:
    """The one packet of a request whose answer is one packet, too (§7.6); at most `MAX_BODY_BYTES` of body."""
    fields: Map = {b"from": sender, b"id": exchange_id, **_head_fields(head)}
    if body:
        fields[b"body"] = body
    fields[b"max-size"] = MAX_BODY_BYTES
    return _encode(fields | _option_fields(head.options))


def encode_opening(sender: bytes, exchange_id: bytes, head: RequestHead, data: Data) -> bytes:
    """The first packet of a stream (§7.7), with what there is of the body, or of a WebSocket (§7.8), without any."""
    fields: Map = {b"from": sender, b"id": exchange_id, b"seq": 0, **_head_fields(head), **_data_fields(data)}
    if head.method is not None:
        fields[b"stream"] = True
    fields |= {b"router-resp": True, b"credits": WINDOW_BYTES}
    return _encode(fields | _option_fields(head.options) | {b"ext": {b"multi": True}})


def encode_packet(sender: bytes, place: Place, content: Content, credits: int = 0) -> bytes:
    """A later packet of a stream, which grants `credits` bytes to the backend."""
    fields: Map = {b"from": sender, b"id": place.id, b"seq": place.seq, **_content_fields(content)}
    if credits:
        fields[b"credits"] = credits
    return _encode(fields)


def encode_bulk(sender: bytes, places: Iterable[Place], signal: Signal) -> bytes:
    """One signal about several exchanges, 1 to `MAX_IDS`, of one backend that said that it understands this."""
    ids: list[Value] = [{b"id": place.id, b"seq": place.seq} for place in places]
    return _encode({b"from": sender, b"id": ids, b"type": signal.value})


def _encode(fields: Map) -> bytes:
    return PREFIX + encode_tnetstring(fields)


def _head_fields(head: RequestHead) -> Map:
    fields: Map = {} if head.method is None else {b"method": head.method}
    fields[b"uri"] = head.uri
    fields[b"headers"] = [[name, value] for name, value in head.headers]
    return fields


def _option_fields(options: TargetOptions) -> Map:
    fields: Map = {
        b"ignore-policies": options.ignore_policies or None,
        b"trust-connect-host": options.trust_connect_host or None,
        b"ignore-tls-errors": options.ignore_tls_errors or None,
        b"client-cert": options.client_cert,
        b"client-key": options.client_key,
    }
    return {name: value for name, value in fields.items() if value is not None}


def _content_fields(content: Content) -> Map:
    match content:
        case Data():
            return _data_fields(content)
        case Signal():
            return {b"type": content.value}
        case Ping(payload):
            return {b"type": b"ping", b"body": payload}
        case Pong(payload):
            return {b"type": b"pong", b"body": payload}
        case Close():
            return _close_fields(content)
    condition = content.condition
    return {b"type": b"error", b"condition": condition.value if condition else _UNDEFINED_CONDITION}


def _data_fields(data: Data) -> Map:
    fields: Map = {}
    if data.message_type is not None:
        fields[b"content-type"] = data.message_type.value
    if data.body or data.message_type is not None:
        fields[b"body"] = data.body
    if data.has_more:
        fields[b"more"] = True
    return fields


def _close_fields(close: Close) -> Map:
    fields: Map = {b"type": b"close"}
    if close.code is not None:
        fields |= {b"code": close.code, b"body": close.reason}
    return fields
