"""Responses as they arrive: every framing, interim responses, and what makes a connection of no more use."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.wire.http1.responses import BROKEN, OK, RESPONSES

from holdfast.errors import WireError
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.http1.repeated import ResponseHeads
from holdfast.wire.http1.response import BODY_BUFFER_BYTES, ResponseReader


def reader_of(method: bytes = b"GET", *, is_upgrade: bool = False) -> ResponseReader:
    reader = ResponseReader(ResponseHeads(HeadLimits(max_bytes=1000)))
    assert reader.is_complete and not reader.is_awaited
    reader.expect(method, is_upgrade)
    return reader


def receive(reader: ResponseReader, *pieces: bytes) -> None:
    """As a connection does, which is closed when something comes that nobody asked for."""
    for piece in pieces:
        if reader.is_awaited:
            reader.receive_head(piece)
        elif not reader.is_complete:
            reader.receive_body(piece)
        else:
            reader.rest += piece


def cut(data: bytes, step: int) -> list[bytes]:
    return [data[start : start + step] for start in range(0, len(data), step)]


@pytest.mark.parametrize("step", [1, 7, 10_000], ids=["byte by byte", "in pieces", "whole"])
@pytest.mark.parametrize(
    ("method", "data", "closes", "code", "content", "is_usable"),
    [c[1:] for c in RESPONSES],
    ids=[c[0] for c in RESPONSES],
)
def test_responses(
    method: bytes, data: bytes, closes: bool, code: int, content: bytes, is_usable: bool, step: int
) -> None:
    """RFC 9112 §6.3."""
    reader = reader_of(method)
    receive(reader, *cut(data, step))
    assert reader.head is not None and not reader.is_awaited
    assert reader.is_complete is not closes
    assert not closes or reader.receive_end()
    assert (reader.head.code, reader.take(), reader.take()) == (code, content, b"")
    assert (reader.is_complete, reader.is_full, reader.chunks) == (True, False, [])
    assert (reader.head.is_persistent and not reader.rest) is is_usable


def test_the_size_of_the_head() -> None:
    """Of the final response alone."""
    head = OK + b"Content-Length: 1\r\n\r\n"
    reader = reader_of()
    receive(reader, b"HTTP/1.1 100 Go\r\n\r\n" + head + b"a")
    assert reader.head_bytes == len(head)


@pytest.mark.parametrize("step", [1, 10_000], ids=["byte by byte", "whole"])
@pytest.mark.parametrize(("data", "message"), [c[1:] for c in BROKEN], ids=[c[0] for c in BROKEN])
def test_no_response(data: bytes, message: str, step: int) -> None:
    with pytest.raises(WireError) as caught:
        receive(reader_of(), *cut(data, step))
    assert caught.value.status == 502
    assert caught.value.text == message or step == 1  # which may show it earlier, and less of it


def test_a_broken_body() -> None:
    reader = reader_of()
    with pytest.raises(WireError, match="invalid chunk size"):
        receive(reader, OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n", b"x\r\n")
    assert (reader.take(), reader.is_complete) == (b"hello", False)


@pytest.mark.parametrize("framing", [b"Content-Length: 6\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_body_that_breaks_off(framing: bytes) -> None:
    reader = reader_of()
    receive(reader, OK + framing + b"\r\n5\r\n")
    assert not reader.receive_end() and not reader.is_complete


def test_the_next_response() -> None:
    """Nothing of the one before is left, interim responses are counted anew."""
    interim = b"HTTP/1.1 103 Hints\r\n\r\n" * 10
    reader = reader_of()
    for number in range(3):
        assert reader.head is None and reader.is_awaited
        receive(reader, interim + OK + b"Transfer-Encoding: chunked\r\n\r\n1\r\n%d\r\n0\r\n\r\n" % number)
        assert (reader.take(), reader.is_complete) == (b"%d" % number, True)
        reader.expect(b"GET", False)


@pytest.mark.parametrize("step", [1, 10_000], ids=["byte by byte", "whole"])
def test_switching_protocols(step: int) -> None:
    """What follows belongs to the other protocol; before it, interim responses are skipped as usual."""
    data = b"HTTP/1.1 100 Go\r\n\r\nHTTP/1.1 101 X\r\nUpgrade: y\r\n\r\nother"
    reader = reader_of(is_upgrade=True)
    receive(reader, *cut(data, step))
    assert reader.head is not None
    assert (reader.head.code, reader.rest, reader.is_full, reader.is_complete) == (101, b"other", True, True)


def test_another_answer_to_an_upgrade() -> None:
    reader = reader_of(is_upgrade=True)
    receive(reader, OK + b"Content-Length: 1\r\n\r\na")
    assert (reader.take(), reader.is_full) == (b"a", False)


def test_content_that_nobody_takes() -> None:
    """Full when more is here than is kept, unless it is all that there is; and not any more when it is taken."""
    reader = reader_of()
    receive(reader, OK + b"Content-Length: %d\r\n\r\n" % (2 * BODY_BUFFER_BYTES), bytes(BODY_BUFFER_BYTES))
    assert not reader.is_full
    receive(reader, b"x")
    assert reader.is_full
    assert len(reader.take()) == BODY_BUFFER_BYTES + 1
    assert not reader.is_full
    receive(reader, bytes(BODY_BUFFER_BYTES - 1))
    assert reader.is_complete and not reader.is_full


@given(st.binary(max_size=50), st.lists(st.integers(0, 200)), st.booleans())
def test_pieces_do_not_matter(content: bytes, positions: list[int], is_chunked: bool) -> None:
    if is_chunked:
        data = OK + b"Transfer-Encoding: chunked\r\n\r\n"
        data += b"".join(b"1\r\n%c\r\n" % byte for byte in content) + b"0\r\n\r\n"
    else:
        data = OK + b"Content-Length: %d\r\n\r\n%b" % (len(content), content)
    cuts = sorted({0, len(data), *(position for position in positions if position < len(data))})
    reader = reader_of()
    receive(reader, *(data[start:end] for start, end in pairwise(cuts)))
    assert (reader.take(), reader.is_complete, reader.rest) == (content, True, b"")
