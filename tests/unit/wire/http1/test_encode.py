from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.http1.body import ChunkedBody
from holdfast.wire.http1.encode import CONTINUE, LAST_CHUNK, encode_chunk, encode_request_head, encode_response_head
from holdfast.wire.http1.head import HeadLimits, parse_request_head, parse_response_head

HEADS: list[tuple[str, dict[str, Any], bytes]] = [
    ("nothing", {}, b"HTTP/1.1 200 OK\r\n\r\n"),
    ("length", {"content_length": 3}, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\n"),
    ("length of nothing", {"content_length": 0}, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"),
    (
        "routes-68: chunked",
        {"is_chunked": True},
        b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "chunks exclude a length",
        {"is_chunked": True, "content_length": 3},
        b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    (
        "the order of routes spec §3.10",
        {"headers": [(b"B", b"2"), (b"a", b"1")], "is_persistent": False, "is_chunked": True},
        b"HTTP/1.1 200 OK\r\nB: 2\r\na: 1\r\nConnection: close\r\n"
        b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n",
    ),
    ("1.1 that closes", {"is_persistent": False}, b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"),
    ("1.0 that closes", {"is_http11": False, "is_persistent": False}, b"HTTP/1.0 200 OK\r\n\r\n"),
    ("1.0 that stays open", {"is_http11": False}, b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\n\r\n"),
    ("no reason", {"code": 299, "reason": b""}, b"HTTP/1.1 299 \r\n\r\n"),
]


@pytest.mark.parametrize(("given", "expected"), [case[1:] for case in HEADS], ids=[case[0] for case in HEADS])
def test_response_heads(given: dict[str, Any], expected: bytes) -> None:
    fields: dict[str, Any] = {"code": 200, "reason": b"OK", "headers": []}
    assert encode_response_head(**(fields | given)) == expected


@pytest.mark.parametrize("is_http11", [True, False])
@pytest.mark.parametrize("is_persistent", [True, False])
@pytest.mark.parametrize(("content_length", "is_chunked"), [(None, False), (12, False), (None, True)])
def test_what_we_say_is_what_a_peer_understands(
    is_http11: bool, is_persistent: bool, content_length: int | None, is_chunked: bool
) -> None:
    fields = [(b"A", b"b"), (b"Set-Cookie", b"c=d; e")]
    data = encode_response_head(
        404,
        b"Not Found",
        fields,
        is_http11=is_http11,
        is_persistent=is_persistent,
        content_length=content_length,
        is_chunked=is_chunked,
    )
    parsed = parse_response_head(data + b"body", HeadLimits())
    assert parsed is not None
    head, length = parsed
    assert (head.code, head.reason, head.is_http11, length) == (404, b"Not Found", is_http11, len(data))
    assert head.headers[:2] == fields
    assert (head.content_length, head.is_chunked) == (content_length, is_chunked)
    assert head.is_persistent is (is_persistent and (is_http11 or not is_chunked))


def test_the_interim_response() -> None:
    parsed = parse_response_head(CONTINUE, HeadLimits())
    assert parsed is not None and (parsed[0].code, parsed[1]) == (100, len(CONTINUE))


@pytest.mark.parametrize(
    ("content", "expected"), [(b"a", b"1\r\na\r\n"), (b"\r\n" * 16, b"20\r\n" + b"\r\n" * 17)], ids=["short", "hex"]
)
def test_chunks(content: bytes, expected: bytes) -> None:
    assert encode_chunk(content) == expected


@given(st.lists(st.binary(min_size=1)))
def test_chunks_round_trip(contents: list[bytes]) -> None:
    decoder = ChunkedBody()
    assert decoder.feed(b"".join(map(encode_chunk, contents)) + LAST_CHUNK) == b"".join(contents)
    assert decoder.is_complete and decoder.rest == b""


REQUESTS: list[tuple[str, bytes]] = [
    ("bare", b"GET / HTTP/1.0\r\n\r\n"),
    ("fields", b"GET /a?b=%20 HTTP/1.1\r\nHost: h\r\nX-A: 1\r\nx-a: 2\r\n\r\n"),
    ("an empty field", b"GET / HTTP/1.1\r\nHost: h\r\nX-Empty: \r\n\r\n"),
    ("bytes", b"GET /\xc3\xa9 HTTP/1.1\r\nHost: h\r\nX: \xff\r\n\r\n"),
    ("length", b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 12\r\nConnection: close\r\n\r\n"),
    ("chunked", b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\nExpect: 100-continue\r\n\r\n"),
    ("absolute", b"GET http://other/x HTTP/1.1\r\nHost: h\r\n\r\n"),
    ("upgrade", b"GET / HTTP/1.1\r\nHost: h\r\nConnection: Upgrade\r\nUpgrade: WebSocket\r\n\r\n"),
]


@pytest.mark.parametrize("data", [case[1] for case in REQUESTS], ids=[case[0] for case in REQUESTS])
def test_a_request_is_what_it_was(data: bytes) -> None:
    parsed = parse_request_head(data, HeadLimits())
    assert parsed is not None
    assert encode_request_head(parsed[0]) == data


def test_a_request_loses_nothing_but_blanks() -> None:
    parsed = parse_request_head(b"GET / HTTP/1.1\r\nHost:h\r\nA: \t b \r\n\r\n", HeadLimits())
    assert parsed is not None
    encoded = encode_request_head(parsed[0])
    assert encoded == b"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n\r\n"
    again = parse_request_head(encoded, HeadLimits())
    assert again is not None
    assert (again[0].headers, again[1]) == (parsed[0].headers, len(encoded))
