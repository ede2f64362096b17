"""Bodies: whatever the chunking of their bytes, the same content and the same rest come out, or the same error."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.wire.http1.body import (
    MAX_CHUNK_LINE_BYTES,
    MAX_TRAILER_BYTES,
    BodyDecoder,
    ChunkedBody,
    SizedBody,
    UntilCloseBody,
)
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk

NEXT = b"GET /next HTTP/1.1\r\n\r\n"


def feed(decoder: BodyDecoder, pieces: list[bytes]) -> tuple[bytes, bytes, bool]:
    """Feed until the body is complete; content, what follows the body, and whether it is complete."""
    content = b""
    for number, piece in enumerate(pieces):
        content += decoder.feed(piece)
        if decoder.is_complete:
            return content, decoder.rest + b"".join(pieces[number + 1 :]), True
    return content, b"", False


def each_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    """`data` in pieces."""
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


# --- sized and until close -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [[b"hello"], each_byte(b"hello"), [b"hello" + NEXT], each_byte(b"hello" + NEXT)])
def test_sized(pieces: list[bytes]) -> None:
    content, rest, is_complete = feed(SizedBody(5), pieces)
    assert (content, is_complete) == (b"hello", True)
    assert rest == b"".join(pieces)[5:]


def test_sized_and_cut_short() -> None:
    decoder = SizedBody(5)
    assert decoder.feed(b"hell") == b"hell"
    assert (decoder.is_complete, decoder.remaining, decoder.feed_eof()) == (False, 1, False)


def test_sized_and_empty() -> None:
    decoder = SizedBody(0)
    assert decoder.is_complete and decoder.feed_eof()
    assert (decoder.feed(NEXT), decoder.rest) == (b"", NEXT)


def test_until_close_ends_with_the_connection_only() -> None:
    decoder = UntilCloseBody()
    assert (decoder.feed(b"a"), decoder.feed(LAST_CHUNK), decoder.is_complete) == (b"a", LAST_CHUNK, False)
    assert decoder.feed_eof() and decoder.is_complete and decoder.rest == b""


# --- chunked -------------------------------------------------------------------------------------------------------

CHUNKED: list[tuple[str, bytes, bytes]] = [
    ("empty", b"0\r\n\r\n", b""),
    ("one chunk", b"5\r\nhello\r\n0\r\n\r\n", b"hello"),
    ("two chunks", b"2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n", b"hello"),
    ("line ends as content", b"7\r\n\r\n0\r\n\r\n\r\n0\r\n\r\n", b"\r\n0\r\n\r\n"),
    ("hexadecimal of both cases", b"0a\r\n0123456789\r\nA\r\n0123456789\r\n0\r\n\r\n", b"0123456789" * 2),
    ("leading zeros", b"000000000000005\r\nhello\r\n000\r\n\r\n", b"hello"),
    ("extensions", b'5;a\r\nhello\r\n0 \t; b = "c;\xff"\r\n\r\n', b"hello"),
    ("longest line", b"1;" + b"x" * (MAX_CHUNK_LINE_BYTES - 2) + b"\r\na\r\n0\r\n\r\n", b"a"),
    ("trailers are dropped", b"1\r\na\r\n0\r\nA: b\r\nC:\r\n\r\n", b"a"),
    ("longest trailer", b"0\r\nA:" + b"b" * (MAX_TRAILER_BYTES - 4) + b"\r\n\r\n", b""),
]


@pytest.mark.parametrize("following", [b"", NEXT, b"\r\n"], ids=["alone", "request follows", "line end follows"])
@pytest.mark.parametrize(("data", "content"), [case[1:] for case in CHUNKED], ids=[case[0] for case in CHUNKED])
def test_chunked(data: bytes, content: bytes, following: bytes) -> None:
    """RFC 9112 §7.1."""
    for pieces in ([data + following], each_byte(data + following)):
        assert feed(ChunkedBody(), pieces) == (content, following, True)


@pytest.mark.parametrize("data", [case[1] for case in CHUNKED], ids=[case[0] for case in CHUNKED])
def test_chunked_and_cut_short(data: bytes) -> None:
    for length in range(len(data)):
        decoder = ChunkedBody("response")
        decoder.feed(data[:length])
        assert not decoder.is_complete and not decoder.feed_eof() and decoder.rest == b""


def test_chunked_knows_its_end() -> None:
    decoder = ChunkedBody()
    decoder.feed(LAST_CHUNK)
    assert decoder.feed_eof()


def test_nothing_waits_for_the_rest_of_a_chunk() -> None:
    """A slow sender's content is passed on as it comes."""
    decoder = ChunkedBody()
    assert [decoder.feed(piece) for piece in (b"5\r\nhe", b"", b"l", b"lo\r\n")] == [b"he", b"", b"l", b"lo"]


BAD_CHUNKED: list[tuple[str, bytes, str]] = [
    ("no size", b"\r\nhello", "invalid chunk size"),
    ("no number", b"x\r\n", "invalid chunk size"),
    ("sign", b"+5\r\nhello\r\n", "invalid chunk size"),
    ("prefix", b"0x5\r\nhello\r\n", "invalid chunk size"),
    ("underscore", b"1_0\r\n", "invalid chunk size"),
    ("blank before the size", b" 5\r\nhello\r\n", "invalid chunk size"),
    ("blank behind the size", b"5 \r\nhello\r\n", "invalid chunk size"),
    ("something behind the size", b"5 a\r\nhello\r\n", "invalid chunk size"),
    ("control character in an extension", b"5;\x00\r\nhello\r\n", "invalid chunk size"),
    ("bare LF behind the size", b"5\nhello\r\n", "invalid chunk size"),
    ("bare CR behind the size", b"5\rhello\r\n", "invalid chunk size"),
    ("bare LF in an extension", b"5;a\nb\r\nhello\r\n", "invalid chunk size"),
    ("line too long", b"5;" + b"x" * MAX_CHUNK_LINE_BYTES + b"\r\n", "invalid chunk size"),
    ("endless line", b"0" * (MAX_CHUNK_LINE_BYTES + 2), "invalid chunk size"),
    ("16 digits", b"1000000000000000\r\n", "chunk too large"),
    ("2**64 and a bit", b"10000000000000005\r\nhello\r\n", "chunk too large"),
    ("longer than its size", b"4\r\nhello\r\n", "invalid chunk suffix"),
    ("shorter than its size", b"6\r\nhello\r\n0\r\n\r\n", "invalid chunk suffix"),
    ("LF behind the data", b"5\r\nhello\n0\r\n\r\n", "invalid chunk suffix"),
    ("CR behind the data", b"5\r\nhello\r0\r\n\r\n", "invalid chunk suffix"),
    ("trailer without a colon", b"0\r\nGET / HTTP/1.1\r\n\r\n", "invalid trailer"),
    ("trailer without a name", b"0\r\n: a\r\n\r\n", "invalid trailer"),
    ("blank before the colon", b"0\r\nA : b\r\n\r\n", "invalid trailer"),
    ("folded trailer", b"0\r\nA: b\r\n c\r\n\r\n", "invalid trailer"),
    ("NUL in a trailer", b"0\r\nA: \x00\r\n\r\n", "invalid trailer"),
    ("bare LF in the trailer", b"0\r\n\nGET", "invalid trailer"),
    ("one long trailer", b"0\r\nA: " + b"b" * MAX_TRAILER_BYTES + b"\r\n\r\n", "invalid trailer"),
    ("many trailers", b"0\r\n" + b"A: b\r\n" * 1400 + b"\r\n", "invalid trailer"),
]


@pytest.mark.parametrize(("data", "fault"), [case[1:] for case in BAD_CHUNKED], ids=[case[0] for case in BAD_CHUNKED])
def test_broken_chunks(data: bytes, fault: str) -> None:
    """routes spec §3.2; a broken frame is never skipped, since what follows might be meant as a request."""
    for pieces in ([data], each_byte(data)):
        with pytest.raises(WireError) as caught:
            feed(ChunkedBody(), pieces)
        assert (caught.value.status, caught.value.text) == (400, f"Failed to parse request: {fault}")


def test_broken_chunks_of_a_backend() -> None:
    with pytest.raises(WireError) as caught:
        ChunkedBody("response").feed(b"x\r\n")
    assert (caught.value.status, caught.value.text) == (502, "Failed to parse response: invalid chunk size")


# --- properties ----------------------------------------------------------------------------------------------------

CONTENTS = st.lists(st.binary(min_size=1, max_size=40), max_size=6)
PLACES = st.lists(st.integers(0, 400), max_size=8)


@given(CONTENTS, PLACES, st.sampled_from([b"", NEXT]))
def test_any_cutting_of_a_chunked_body_gives_the_same_content(
    contents: list[bytes], places: list[int], following: bytes
) -> None:
    data = b"".join(map(encode_chunk, contents)) + LAST_CHUNK + following
    assert feed(ChunkedBody(), cut(data, places)) == (b"".join(contents), following, True)


@given(st.binary(max_size=60), st.integers(0, 60), PLACES)
def test_any_cutting_of_a_sized_body_gives_the_same_content(data: bytes, length: int, places: list[int]) -> None:
    content, rest, is_complete = feed(SizedBody(length), cut(data, places))
    assert content + rest == data
    assert (len(content), is_complete) == (min(length, len(data)), length <= len(data))


CHUNK_PARTS = [b"0", b"5", b"1", b"\r\n", b"\r", b"\n", b"a", b";", b" ", b"A: b", b"\r\n\r\n", b"hello", b"0\r\n\r\n"]


@given(st.lists(st.sampled_from(CHUNK_PARTS), max_size=12).map(b"".join), PLACES)
def test_any_cutting_of_anything_gives_the_same_outcome(data: bytes, places: list[int]) -> None:
    """An error may come earlier when bytes come later; whether it comes does not depend on the cutting."""

    def outcome(pieces: list[bytes]) -> object:
        try:
            return feed(ChunkedBody(), pieces)
        except WireError as error:
            return error.text

    assert outcome([data]) == outcome(cut(data, places)) == outcome(each_byte(data))


@pytest.mark.parametrize("make", [ChunkedBody, lambda: SizedBody(5), UntilCloseBody], ids=["chunked", "sized", "close"])
def test_nothing_is_no_content(make: Callable[[], BodyDecoder]) -> None:
    decoder = make()
    assert (decoder.feed(b""), decoder.is_complete, decoder.rest) == (b"", False, b"")
