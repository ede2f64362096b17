"""ZHTTP packets of a backend: frames to values (ws spec §7.5).

Whatever is not valid is one error, whose packet is thrown away: it never fails the exchange that it may belong to.
Fields that are not known are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from holdfast.errors import PacketError
from holdfast.wire.headers import Header, Headers, is_one_line, is_token
from holdfast.wire.params import MAX_INT, MIN_INT, parse_int
from holdfast.wire.tnetstring import Map, Value, parse_tnetstring
from holdfast.wire.websocket.close import MAX_CLOSE_CODE
from holdfast.wire.zhttp.packets import (
    MAX_IDS,
    PREFIX,
    Close,
    Condition,
    Content,
    Data,
    Failure,
    MessageType,
    Ping,
    Place,
    Pong,
    Signal,
)

MAX_CODE = 999

_CONDITIONS = {condition.value: condition for condition in Condition}
_TYPES = {message_type.value: message_type for message_type in MessageType}


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """What begins a response: its code, 0-999, None if the packet has none. It may be one that is no final status."""

    code: int | None = None
    reason: bytes = b""
    headers: Headers = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Response:
    """A packet of a backend.

    sender: where later packets go to; None if it does not say.
    places: the exchanges that it is about; only a signal can be about more than one.
    head: of the response, in its first packet, and in a failure that rejects a WebSocket.
    credits: bytes that the backend is ready to take, besides those it granted before.
    has_bulk: the backend understands signals about more than one exchange.
    """

    sender: bytes | None
    places: tuple[Place, ...]
    content: Content
    head: ResponseHead
    credits: int
    has_bulk: bool


def parse_response(frame: bytes, start: int = 0) -> Response:
    """The packet that begins at `start` of a frame. Raises PacketError."""
    if not frame.startswith(PREFIX, start):
        raise PacketError("ZHTTP packet without its prefix")
    fields = parse_tnetstring(frame, start + 1)
    if not isinstance(fields, dict):
        raise PacketError("ZHTTP packet is no map")
    places = _get_places(fields)
    content = _get_content(fields)
    if len(places) > 1 and not isinstance(content, Signal):
        raise PacketError("ZHTTP packet about several exchanges is no signal")
    return Response(
        sender=_get_bytes(fields, b"from"),
        places=places,
        content=content,
        head=ResponseHead() if isinstance(content, Close) else _get_head(fields),
        credits=_get_int(fields, b"credits", MAX_INT) or 0,
        has_bulk=_get_has_bulk(fields),
    )


def parse_published_response(frame: bytes, proxy_id: bytes) -> Response:
    """The packet of a frame that was published to `proxy_id` (§7.2). Raises PacketError."""
    address = b"%b " % proxy_id
    if not frame.startswith(address):
        raise PacketError("ZHTTP packet for another proxy")
    return parse_response(frame, len(address))


def _get_places(fields: Map) -> tuple[Place, ...]:
    value = fields.get(b"id")
    if not isinstance(value, list):
        return (_get_place(fields),)
    if not 0 < len(value) <= MAX_IDS:
        raise PacketError(f"ZHTTP packet about {len(value)} exchanges, not 1 to {MAX_IDS}")
    return tuple(_get_place(member) for member in value)


def _get_place(member: object) -> Place:
    identifier = _get_bytes(member, b"id") if isinstance(member, dict) else None
    if not isinstance(member, dict) or identifier is None:
        raise PacketError("ZHTTP packet without 'id'")
    return Place(identifier, _get_int(member, b"seq", MAX_INT, MIN_INT))


def _get_content(fields: Map) -> Content:
    name = _get_bytes(fields, b"type")
    make = _CONTENTS.get(name)
    if make is None:
        raise PacketError("ZHTTP packet of unknown 'type'")
    return make(fields)


def _get_head(fields: Map) -> ResponseHead:
    reason = _get_bytes(fields, b"reason") or b""
    if not is_one_line(reason):
        raise _fail(b"reason")
    return ResponseHead(_get_int(fields, b"code", MAX_CODE), reason, _get_headers(fields))


def _get_data(fields: Map) -> Data:
    name = _get_bytes(fields, b"content-type")
    message_type = None if name is None else _TYPES.get(name, MessageType.TEXT)
    return Data(_get_body(fields), _get_bool(fields, b"more"), message_type)


def _get_failure(fields: Map) -> Failure:
    return Failure(_CONDITIONS.get(_get_bytes(fields, b"condition") or b""), _get_body(fields))


def _get_close(fields: Map) -> Close:
    return Close(_get_int(fields, b"code", MAX_CLOSE_CODE), _get_body(fields))


def _get_body(fields: Map) -> bytes:
    return _get_bytes(fields, b"body") or b""


def _make_signal(signal: Signal) -> Callable[[Map], Content]:
    return lambda fields: signal


_CONTENTS: dict[bytes | None, Callable[[Map], Content]] = {
    None: _get_data,
    b"error": _get_failure,
    b"ping": lambda fields: Ping(_get_body(fields)),
    b"pong": lambda fields: Pong(_get_body(fields)),
    b"close": _get_close,
    **{signal.value: _make_signal(signal) for signal in Signal},
}


def _fail(name: bytes) -> PacketError:
    return PacketError(f"ZHTTP packet with an invalid '{name.decode()}'")


def _get_bytes(fields: Map, name: bytes) -> bytes | None:
    if name not in fields:
        return None
    value = fields[name]
    if not isinstance(value, bytes):
        raise _fail(name)
    return value


def _get_bool(fields: Map, name: bytes) -> bool:
    value = fields.get(name, False)
    if not isinstance(value, bool):
        raise _fail(name)
    return value


def _get_int(fields: Map, name: bytes, maximum: int, minimum: int = 0) -> int | None:
    """An integer; a string that spells one counts, too (§7.3)."""
    if name not in fields:
        return None
    value = fields[name]
    number = parse_int(value) if isinstance(value, bytes) else value
    # not isinstance: a boolean is no integer here
    if type(number) is not int or not minimum <= number <= maximum:
        raise _fail(name)
    return number


def _get_headers(fields: Map) -> Headers:
    """Header fields, each a list of name and value. None can smuggle another one, as none of an HTTP backend can."""
    value = fields.get(b"headers", [])
    if not isinstance(value, list):
        raise _fail(b"headers")
    return [_get_header(element) for element in value]


def _get_header(element: Value) -> Header:
    if isinstance(element, list) and len(element) == 2:
        name, text = element
        if isinstance(name, bytes) and isinstance(text, bytes) and is_token(name) and is_one_line(text):
            return name, text
    raise _fail(b"headers")


def _get_has_bulk(fields: Map) -> bool:
    extensions = fields.get(b"ext", {})
    if not isinstance(extensions, dict):
        raise _fail(b"ext")
    return _get_bool(extensions, b"multi")
