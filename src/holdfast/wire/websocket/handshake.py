"""The opening handshake (RFC 6455 §4): what a client must send, and what a backend must answer.

Compat: as much is asked of a client as the protocol needs, not all that RFC 6455 §4.2.1 allows to ask: no Connection
field, no HTTP/1.1, and any text as a key (ws spec §4.1).
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.wire.headers import Headers, get_all, get_first
from holdfast.wire.websocket.deflate import NAME as DEFLATE
from holdfast.wire.websocket.deflate import Offer, parse_extensions

BAD_HANDSHAKE = (
    'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.'
)

VERSION = b"13"
MAX_KEY_BYTES = 220

NONCE_BYTES = 16
"""Length of what a client's key is made of (RFC 6455 §4.1)."""

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


@dataclass(frozen=True, slots=True)
class ClientHandshake:
    """A valid handshake of a client.

    accept: the `Sec-WebSocket-Accept` of the answer.
    offers: the extensions that the client offers, in order.
    """

    accept: bytes
    offers: Sequence[Offer]


def is_upgrade(headers: Headers) -> bool:
    """Whether a request asks for a WebSocket, with or without a Connection field that says so (ws spec §4.1)."""
    return any(value.lower() == b"websocket" for value in get_all(headers, b"upgrade"))


def parse_handshake(method: bytes, headers: Headers, *, has_body: bool) -> ClientHandshake:
    """The handshake that a request with an `is_upgrade` is.

    Raises WireError with status 400 and the text to answer; the connection must be closed then (ws spec §4.1).
    """
    keys: list[bytes] = []
    versions: list[bytes] = []
    extensions: list[bytes] = []
    fields = {
        b"sec-websocket-key": keys,
        b"sec-websocket-version": versions,
        b"sec-websocket-extensions": extensions,
    }
    for name, value in headers:
        values = fields.get(name.lower())
        if values is not None:
            values.append(value)
    if method != b"GET":
        raise _refusal("method is not GET")
    if has_body:
        raise _refusal("request has a body")
    if versions != [VERSION]:
        raise _refusal("version is not 13")
    if len(keys) != 1 or not 0 < len(keys[0]) <= MAX_KEY_BYTES:
        raise _refusal("not one key of a valid length")
    try:
        offers = parse_extensions(extensions) if extensions else ()
    except ValueError as exc:
        raise _refusal("malformed extensions") from exc
    return ClientHandshake(accept_key(keys[0]), offers)


def _refusal(fault: str) -> WireError:
    return WireError(400, BAD_HANDSHAKE, fault)


def accept_key(key: bytes) -> bytes:
    """The `Sec-WebSocket-Accept` that answers a key (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest())


def accepting_headers(accept: bytes, extensions: bytes | None = None) -> Headers:
    """The fields that end the head of a 101, behind those of the backend (ws spec §4.1)."""
    headers = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", accept)]
    if extensions is not None:
        headers.append((b"Sec-WebSocket-Extensions", extensions))
    return headers


def make_key(nonce: bytes) -> bytes:
    """The `Sec-WebSocket-Key` of our handshake with a backend, from `NONCE_BYTES` random bytes."""
    return base64.b64encode(nonce)


def asking_headers(key: bytes) -> Headers:
    """The fields that make a request to a backend a handshake (ws spec §2.1). No compression is offered."""
    return [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", key),
        (b"Sec-WebSocket-Version", VERSION),
    ]


def check_acceptance(headers: Headers, key: bytes) -> None:
    """Check a backend's 101 to a handshake with `key`.

    The accept value alone proves that the backend understood: the key was new. Compat: Upgrade and Connection are not
    looked at.

    Raises WireError with status 502: the accept value is wrong, or compression is accepted that nobody offered
    (ws spec §2.1, §4.5).
    """
    if get_first(headers, b"sec-websocket-accept") != accept_key(key):
        raise WireError(502, "wrong Sec-WebSocket-Accept from the backend")
    for value in get_all(headers, b"sec-websocket-extensions"):
        if any(item.partition(b";")[0].strip() == DEFLATE.encode() for item in value.split(b",")):
            raise WireError(502, "the backend accepts an extension that was not offered")
