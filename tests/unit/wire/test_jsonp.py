"""Responses as scripts (routes spec §3.13, grip spec §3.10)."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.cross_origin import Cors
from holdfast.wire.headers import Headers
from holdfast.wire.jsonp import Jsonp

CORS = Cors.of([])
EXTENDED = Jsonp(b"cb", True, CORS)
BASIC = Jsonp(b"cb", False, CORS)
SCRIPT = (b"Content-Type", b"application/javascript")
HEADERS = [(b"X-B", b"2"), (b"Cache-Control", b"no"), (b"X-A", b"1"), (b"X-B", b"3"), (b"Set-Cookie", b"a=b")]


def argument(script: bytes) -> object:
    """What the callback gets."""
    assert script.startswith(b"/**/cb(")
    assert script.endswith(b");\n")
    return json.loads(script[7:-3])


# --- whole responses -------------------------------------------------------------------------------------------------


def test_extended() -> None:
    """routes-87, routes-88: the status inside, 200 outside with nothing but Cache-Control of the headers."""
    assert EXTENDED.whole(404, b"Nope", HEADERS, b"hi\n", 3) == (
        200,
        b"OK",
        [SCRIPT, (b"Cache-Control", b"no")],
        b'/**/cb({"code": 404, "reason": "Nope", "headers": {"Cache-Control":"no","Content-Length":"3",'
        b'"Set-Cookie":"a=b","X-A":"1","X-B":"2"}, "body": "hi\\n"});\n',
    )


def test_extended_without_anything() -> None:
    *_, script = EXTENDED.whole(204, b"", [], b"", None)
    assert script == b'/**/cb({"code": 204, "reason": "", "headers": {}, "body": ""});\n'


@pytest.mark.parametrize(
    ("body", "script"),
    [
        pytest.param(b'{"a":1}\n', b'/**/cb({"a":1});\n', id="routes-91"),
        (b"a\r\n", b"/**/cb(a);\n"),
        (b"a\n\n", b"/**/cb(a\n);\n"),
        (b"a\r", b"/**/cb(a\r);\n"),
        (b"\n", b"/**/cb();\n"),
        (b"\xff", b"/**/cb(\xff);\n"),
    ],
)
def test_basic(body: bytes, script: bytes) -> None:
    outer = [SCRIPT, (b"Cache-Control", b"no")]
    assert BASIC.whole(404, b"Nope", HEADERS, body, len(body)) == (200, b"OK", outer, script)


def test_basic_without_a_body() -> None:
    code, _, headers, body = BASIC.whole(204, b"No Content", HEADERS, b"", None)
    assert (code, headers) == (500, [(b"Content-Type", b"text/plain")])
    assert body == b"Upstream response could not be JSON-P encoded.\n"


HOSTILE = [
    (b'"\\/\x00\x01\x1f\x7f\r\n\t', '"\\/\x00\x01\x1f\x7f\r\n\t'),
    ("é😀\u2028\u2029\x85".encode(), "é😀\u2028\u2029\x85"),
    (b"\xff\xc3(\xed\xa0\x80", "��(���"),
    (b'"});alert(1);//', '"});alert(1);//'),
]


@pytest.mark.parametrize(("data", "text"), HOSTILE)
def test_nothing_leaves_its_string(data: bytes, text: str) -> None:
    for *_, script in (
        EXTENDED.whole(200, data, [(b"X", data)], data, None),
        EXTENDED.held(200, data, [(b"X", data)], data),
    ):
        assert argument(script) == {"code": 200, "reason": text, "headers": {"X": text}, "body": text}
        assert "\u2028".encode() not in script
        assert "\u2029".encode() not in script
        assert script.count(b"\n") == 1


def test_the_callback_is_any_text_and_in_no_header() -> None:
    callback = b"a\r\nX: y\x00<script>\xff"
    for transform in (Jsonp(callback, True, CORS), Jsonp(callback, False, CORS)):
        for _, reason, headers, body in (
            transform.whole(200, b"OK", [], b"x", 1),
            transform.held(200, b"OK", [], b"x"),
        ):
            assert (reason, headers) == (b"OK", [SCRIPT])
            assert body.startswith(b"/**/" + callback + b"(")


# --- long polls ------------------------------------------------------------------------------------------------------


def test_held_extended() -> None:
    """grip-54: members by name, values of one name joined in its first spelling; the headers stay outside, too."""
    headers = [
        (b"X-a", b"1"),
        (b"Content-type", b"a/b"),
        (b"x-A", b"2"),
        (b"Content-Encoding", b"gzip"),
        (b"ETag", b"e"),
    ]
    assert EXTENDED.held(404, b"Nope", headers, b"hi\n") == (
        200,
        b"OK",
        [(b"X-a", b"1"), (b"x-A", b"2"), (b"ETag", b"e"), SCRIPT],
        b'/**/cb({"body":"hi\\n","code":404,"headers":{"Content-Encoding":"gzip","Content-type":"a/b","ETag":"e",'
        b'"X-a":"1, 2"},"reason":"Nope"});\n',
    )


@pytest.mark.parametrize(("body", "inside"), [(b"x\r\n", b"x"), (b"", b"")])
def test_held_basic(body: bytes, inside: bytes) -> None:
    """grip-54"""
    outer = [(b"X", b"1"), SCRIPT]
    assert BASIC.held(204, b"No", [(b"X", b"1")], body) == (200, b"OK", outer, b"/**/cb(%b);\n" % inside)


def test_a_stream_that_is_held_is_none() -> None:
    """grip-54"""
    assert EXTENDED.cors is CORS


# --- in pieces -------------------------------------------------------------------------------------------------------


def streamed(transform: Jsonp, pieces: list[bytes], headers: Headers, length: int | None) -> bytes:
    begun = transform.begin(200, b"OK", headers, length)
    assert begun[:4] == (200, b"OK", [SCRIPT], None)
    assert begun.pieces is not None
    return b"".join([begun.pieces.prefix, *map(begun.pieces.piece, pieces), begun.pieces.end()])


@given(st.lists(st.binary(max_size=6) | st.sampled_from([b"\r", b"\n", b"\r\n", b"\xe2", b"\x80", b"\xa8", b'"'])))
def test_pieces_make_the_same_as_the_whole(pieces: list[bytes]) -> None:
    body = b"".join(pieces)
    assert streamed(EXTENDED, pieces, HEADERS, 9) == EXTENDED.whole(200, b"OK", HEADERS, body, 9)[3]
    if body:
        assert streamed(BASIC, pieces, HEADERS, 9) == BASIC.whole(200, b"OK", HEADERS, body, 9)[3]


def test_little_is_kept_back() -> None:
    """A character that is split over pieces, and a line end that may be the last."""
    extended = EXTENDED.begin(200, b"OK", [], None).pieces
    basic = BASIC.begin(200, b"OK", [], None).pieces
    assert extended is not None
    assert basic is not None
    assert extended.prefix == b'/**/cb({"code": 200, "reason": "OK", "headers": {}, "body": "'
    assert [extended.piece(piece) for piece in (b"a\xe2", b"\x80", b"\xa8", b"\xff", b"\xc3")] == [
        b"a",
        b"",
        b"\\u2028",
        "�".encode(),
        b"",
    ]
    assert extended.end() == '�"});\n'.encode()
    assert basic.prefix == b"/**/cb("
    assert [basic.piece(piece) for piece in (b"a\r", b"\n", b"b", b"\n", b"\n")] == [b"a", b"", b"\r\nb", b"", b"\n"]
    assert basic.end() == b");\n"


def test_nothing_at_all_in_pieces() -> None:
    assert streamed(BASIC, [], [], None) == b"/**/cb();\n"
