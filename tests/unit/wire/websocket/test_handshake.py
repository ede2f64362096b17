from __future__ import annotations

import pytest
import websockets.utils
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.handshake import (
    BAD_HANDSHAKE,
    NONCE_BYTES,
    accept_key,
    accepting_headers,
    asking_headers,
    check_acceptance,
    is_upgrade,
    make_key,
    parse_handshake,
)

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def handshake(**changes: bytes | None) -> Headers:
    """The fields of a handshake; `sec_websocket_key=None` leaves one out."""
    fields: dict[str, bytes | None] = {
        "host": b"example.com",
        "upgrade": b"websocket",
        "sec_websocket_key": KEY,
        "sec_websocket_version": b"13",
    }
    fields.update(changes)
    return [(name.replace("_", "-").title().encode(), value) for name, value in fields.items() if value is not None]


UPGRADES: list[tuple[str, Headers, bool]] = [
    ("websocket", handshake(), True),
    ("any case, no Connection field", handshake(upgrade=b"WebSocket"), True),
    ("second line", [(b"Upgrade", b"h2c"), (b"UPGRADE", b"websocket")], True),
    ("another protocol", handshake(upgrade=b"h2c"), False),
    ("a list", handshake(upgrade=b"websocket, h2c"), False),
    ("no upgrade", handshake(upgrade=None), False),
    ("another field", [(b"Connection", b"websocket")], False),
]


@pytest.mark.parametrize(("headers", "expected"), [case[1:] for case in UPGRADES], ids=[case[0] for case in UPGRADES])
def test_is_upgrade(headers: Headers, expected: bool) -> None:
    assert is_upgrade(headers) is expected


VALID: list[tuple[str, Headers]] = [
    ("as little as possible", handshake()),
    ("any key", handshake(sec_websocket_key=b"not base64 \xff!")),
    ("shortest key", handshake(sec_websocket_key=b"x")),
    ("longest key", handshake(sec_websocket_key=b"x" * 220)),
    ("empty extensions", handshake(sec_websocket_extensions=b"")),
]


@pytest.mark.parametrize("headers", [case[1] for case in VALID], ids=[case[0] for case in VALID])
def test_valid(headers: Headers) -> None:
    key = dict(headers)[b"Sec-Websocket-Key"]
    parsed = parse_handshake(b"GET", headers, has_body=False)
    assert (parsed.accept, list(parsed.offers)) == (accept_key(key), [])


def test_offers() -> None:
    headers = handshake(sec_websocket_extensions=b"permessage-deflate; client_max_window_bits")
    parsed = parse_handshake(b"GET", headers, has_body=False)
    assert parsed.offers == [("permessage-deflate", [("client_max_window_bits", None)])]


INVALID: list[tuple[bytes, Headers, bool, str]] = [
    (b"POST", handshake(), False, "method is not GET"),
    (b"get", handshake(), False, "method is not GET"),
    (b"GET", handshake(), True, "request has a body"),
    (b"GET", handshake(sec_websocket_version=None), False, "version is not 13"),
    (b"GET", handshake(sec_websocket_version=b"8"), False, "version is not 13"),
    (b"GET", [*handshake(), (b"sec-websocket-version", b"8")], False, "version is not 13"),
    (b"GET", handshake(sec_websocket_key=None), False, "not one key of a valid length"),
    (b"GET", handshake(sec_websocket_key=b""), False, "not one key of a valid length"),
    (b"GET", handshake(sec_websocket_key=b"x" * 221), False, "not one key of a valid length"),
    (b"GET", [*handshake(), (b"sec-websocket-key", KEY)], False, "not one key of a valid length"),
    (b"GET", handshake(sec_websocket_extensions=b"a; b="), False, "malformed extensions"),
]


@pytest.mark.parametrize(("method", "headers", "has_body", "fault"), INVALID)
def test_invalid(method: bytes, headers: Headers, has_body: bool, fault: str) -> None:
    with pytest.raises(WireError) as caught:
        parse_handshake(method, headers, has_body=has_body)
    assert (caught.value.status, caught.value.text, caught.value.fault) == (400, BAD_HANDSHAKE, fault)


def test_accept_of_the_rfc() -> None:
    """RFC 6455 §1.3."""
    assert accept_key(KEY) == ACCEPT


def test_headers_that_accept() -> None:
    fields = [(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade"), (b"Sec-WebSocket-Accept", ACCEPT)]
    assert accepting_headers(ACCEPT) == fields
    extensions = (b"Sec-WebSocket-Extensions", b"permessage-deflate")
    assert accepting_headers(ACCEPT, b"permessage-deflate") == [*fields, extensions]


def test_headers_that_ask() -> None:
    assert len(make_key(bytes(NONCE_BYTES))) == 24
    key = make_key(b"the sample nonce")
    assert key == KEY
    assert asking_headers(key) == [
        (b"Upgrade", b"websocket"),
        (b"Connection", b"Upgrade"),
        (b"Sec-WebSocket-Key", KEY),
        (b"Sec-WebSocket-Version", b"13"),
    ]
    assert parse_handshake(b"GET", asking_headers(key), has_body=False).accept == ACCEPT


ACCEPTED: list[Headers] = [
    [(b"Sec-WebSocket-Accept", ACCEPT)],
    accepting_headers(ACCEPT),
    accepting_headers(ACCEPT, b'grip; message-prefix="x,y", foo'),
]


@pytest.mark.parametrize("headers", ACCEPTED)
def test_acceptance(headers: Headers) -> None:
    check_acceptance(headers, KEY)


REFUSED: list[tuple[Headers, str]] = [
    ([], "wrong Sec-WebSocket-Accept from the backend"),
    (accepting_headers(b"x"), "wrong Sec-WebSocket-Accept from the backend"),
    (accepting_headers(ACCEPT.lower()), "wrong Sec-WebSocket-Accept from the backend"),
    (accepting_headers(ACCEPT, b"permessage-deflate"), "the backend accepts an extension that was not offered"),
    (
        accepting_headers(ACCEPT, b"grip, permessage-deflate ; server_no_context_takeover"),
        "the backend accepts an extension that was not offered",
    ),
]


@pytest.mark.parametrize(("headers", "text"), REFUSED)
def test_refused_acceptance(headers: Headers, text: str) -> None:
    """ws spec §2.1, §4.5."""
    with pytest.raises(WireError) as caught:
        check_acceptance(headers, KEY)
    assert (caught.value.status, caught.value.text) == (502, text)


@given(st.binary(min_size=16, max_size=16))
def test_any_nonce(nonce: bytes) -> None:
    key = make_key(nonce)
    assert accept_key(key) == websockets.utils.accept_key(key.decode()).encode()
    check_acceptance(accepting_headers(accept_key(key)), key)
