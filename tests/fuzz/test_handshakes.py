"""Any header fields: a handshake, with an answer the library would give, too, or WireError; never another exception."""

from __future__ import annotations

import re

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz
from websockets.exceptions import InvalidHandshake
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.headers import parse_extension
from websockets.utils import accept_key as accept_key_of_the_library

from holdfast.errors import WireError
from holdfast.wire.websocket.deflate import negotiate, parse_extensions
from holdfast.wire.websocket.handshake import accept_key, check_acceptance, is_upgrade, parse_handshake

EXTENSIONS = [
    b"permessage-deflate",
    b"permessage-deflate; client_max_window_bits",
    b"permessage-deflate; server_max_window_bits=15; client_max_window_bits=8",
    b'permessage-deflate; server_no_context_takeover; client_no_context_takeover, x-other; a="b"',
    b'grip; message-prefix="m:", permessage-deflate;server_max_window_bits=10',
]
TOKENS = [
    b";", b",", b"=", b'"', b"15", b"7", b"16", b"08", b"permessage-deflate", b" ", b"\\",
    b"server_max_window_bits",
]  # fmt: skip
FIELD_TEXT = re.compile(rb"[\t\x20-\x7e\x80-\xff]*")
LINES = mutated(EXTENSIONS, TOKENS).filter(FIELD_TEXT.fullmatch)
KEYS = mutated([b"dGhlIHNhbXBsZSBub25jZQ==", b"x"], [b"=", b" "])


@fuzz(st.lists(LINES, max_size=3), KEYS, st.sampled_from([b"13", b"8", b"13, 8", b"013"]))
def test_any_handshake(lines: list[bytes], key: bytes, version: bytes) -> None:
    headers = [(b"Upgrade", b"WebSocket"), (b"Sec-WebSocket-Key", key), (b"Sec-WebSocket-Version", version)]
    headers += [(b"Sec-WebSocket-Extensions", line) for line in lines]
    assert is_upgrade(headers)
    try:
        handshake = parse_handshake(b"GET", headers, has_body=False)
    except WireError as exc:
        assert exc.status == 400
        return
    assert version == b"13"
    assert re.fullmatch(rb"[A-Za-z0-9+/]{27}=", handshake.accept)
    if key.isascii():
        assert handshake.accept == accept_key_of_the_library(key.decode()).encode()
    check_acceptance([(b"Sec-WebSocket-Accept", handshake.accept)], key)


@fuzz(LINES)
def test_what_we_accept_the_library_would_accept(line: bytes) -> None:
    try:
        offers = parse_extensions([line])
    except ValueError:
        return
    answer = negotiate(offers)
    if answer is None:
        return
    ((_, params),) = parse_extension(answer.decode())
    factory = ServerPerMessageDeflateFactory(server_no_context_takeover=True, client_no_context_takeover=True)
    for name, offered in offers:
        if name != "permessage-deflate":
            continue
        try:
            accepted, _ = factory.process_request_params(list(offered), [])
        except InvalidHandshake:
            continue
        if dict(accepted).get("server_max_window_bits") in (None, "15"):
            assert set(params) >= {name for name in params if name in accepted}
            return
    raise AssertionError(f"{answer!r} answers no offer of {line!r}")


@fuzz(st.lists(LINES, max_size=3), KEYS)
def test_any_acceptance_of_a_backend(lines: list[bytes], key: bytes) -> None:
    headers = [(b"Sec-WebSocket-Extensions", line) for line in lines]
    for accept in (accept_key(key), key):
        try:
            check_acceptance([*headers, (b"Sec-WebSocket-Accept", accept)], key)
        except WireError as exc:
            assert exc.status == 502
        else:
            assert accept == accept_key(key)
            assert not any(line.split(b";")[0].strip() == b"permessage-deflate" for line in lines)
