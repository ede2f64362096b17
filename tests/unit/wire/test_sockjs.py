"""Frames of SockJS (routes spec §4.3, §4.4)."""

from __future__ import annotations

import itertools
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import FrameError
from holdfast.wire.sockjs import (
    MAX_TEXT_BYTES,
    PAYLOAD_EXPECTED,
    STILL_OPEN,
    TOO_LARGE,
    PieceEncoder,
    encode_close,
    encode_messages,
    is_close,
    is_messages,
    join_messages,
    parse_messages,
)


@pytest.mark.parametrize(
    ("contents", "frame"),
    [
        ([b"hello"], b'a["hello"]'),
        ([b"a", b"", b"b"], b'a["a","","b"]'),
        ([b'say "\\"'], rb'a["say \"\\\""]'),
        ([b"\x00\x01\n\r\t\x1f/"], rb'a["\u0000\u0001\n\r\t\u001f/"]'),
        (["wörld €".encode()], 'a["wörld €"]'.encode()),
        (["\U0001f600".encode()], 'a["\U0001f600"]'.encode()),
        ([b"\x7f"], b'a["\x7f"]'),
        (["\u200c\u200f\u2028\u2029\u202f\u2060\u206f".encode()], rb'a["\u200c\u200f\u2028\u2029\u202f\u2060\u206f"]'),
        (["\ufff0\ufffc\ufffe\uffff".encode()], rb'a["\ufff0\ufffc\ufffe\uffff"]'),
        ([b"\xff|\xc3"], 'a["\ufffd|\ufffd"]'.encode()),
        ([b"\xed\xa0\x80"], 'a["\ufffd\ufffd\ufffd"]'.encode()),
    ],
)
def test_messages(contents: list[bytes], frame: bytes) -> None:
    assert encode_messages(contents) == frame
    assert is_messages(frame)
    assert not is_close(frame)
    assert json.loads(frame[1:]) == [content.decode("utf-8", "replace") for content in contents]


@pytest.mark.parametrize(
    ("code", "reason", "frame"),
    [
        (3000, "Go away!", b'c[3000,"Go away!"]'),
        (1000, "", b'c[1000,"Connection closed"]'),
        (None, "", b'c[0,"Connection closed"]'),
        (None, "lost", b'c[0,"Connection closed"]'),
        (4001, 'b"\u2028', rb'c[4001,"b\"\u2028"]'),
        (4001, "\ud800", b'c[4001,"?"]'),
    ],
)
def test_close(code: int | None, reason: str, frame: bytes) -> None:
    assert encode_close(code, reason) == frame
    assert is_close(frame)
    assert not is_messages(frame)


def test_still_open() -> None:
    assert encode_close(2010, "Another connection still open") == STILL_OPEN


@given(st.lists(st.lists(st.binary(), min_size=1), min_size=1))
def test_frames_are_joined(runs: list[list[bytes]]) -> None:
    frames = [encode_messages(run) for run in runs]
    assert join_messages(frames) == encode_messages([content for run in runs for content in run])


@given(st.text() | st.binary(), st.lists(st.integers(min_value=0, max_value=100)))
def test_pieces_make_the_same_frame(content: str | bytes, cuts: list[int]) -> None:
    data = content.encode("utf-8", "replace") if isinstance(content, str) else content
    bounds = [0, *sorted(cuts), len(data)]
    pieces = [data[start:end] for start, end in itertools.pairwise(bounds)]
    encoder = PieceEncoder()
    parts = [encoder.feed(piece, is_last=number == len(pieces)) for number, piece in enumerate(pieces, 1)]
    assert json.loads(b"".join(parts)[1:]) == json.loads(encode_messages([b"".join(pieces)])[1:])


@pytest.mark.spec("routes-99")
@pytest.mark.parametrize(
    ("data", "messages"),
    [
        (b"[]", []),
        (b' [ "a" , "" ] ', [b"a", b""]),
        ('["wörld"]'.encode(), ["wörld".encode()]),
        (rb'["\u00e9\ud83d\ude00\u0000"]', ["é\U0001f600\0".encode()]),
        (rb'["\ud800", "\udc00x"]', [b"?", b"?x"]),
    ],
)
def test_what_a_client_sends(data: bytes, messages: list[bytes]) -> None:
    assert parse_messages(data) == messages


@pytest.mark.spec("routes-99")
@pytest.mark.parametrize(
    "data",
    [
        b"", b"x", b'"a"', b"1", b"null", b"{}", b'{"a":"b"}', b'["a",1]', b'["a",null]', b'[["a"]]', b'["a"',
        b'["a"]x', b'["a"],["b"]', b"[NaN]", b'["\xff"]', b'["\n"]', b"\xef\xbb\xbf[]", '["a"]'.encode("utf-16"),
        b"[" * 100_000, b"[" + b"9" * 5000 + b"]",
    ],
)  # fmt: skip
def test_what_is_no_list_of_texts(data: bytes) -> None:
    with pytest.raises(FrameError, match=PAYLOAD_EXPECTED) as caught:
        parse_messages(data)
    assert caught.value.code is None


def test_large_messages() -> None:
    largest = b"x" * MAX_TEXT_BYTES
    assert parse_messages(b'["%b","%b"]' % (largest, largest)) == [largest, largest]
    for data, limit in ((b'["%bx"]' % largest, MAX_TEXT_BYTES), ('["öö"]'.encode(), 3)):
        with pytest.raises(FrameError, match=TOO_LARGE):
            parse_messages(data, limit)


@given(st.binary())
def test_any_bytes(data: bytes) -> None:
    """There are messages, or the one error."""
    try:
        messages = parse_messages(data)
    except FrameError:
        return
    for message in messages:
        message.decode()
