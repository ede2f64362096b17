"""Heads that come again are one object, and are what they would be alone."""

from __future__ import annotations

import pytest

from holdfast.errors import WireError
from holdfast.wire.http1.head import HeadLimits, ResponseHead, parse_response_head
from holdfast.wire.http1.repeated import ResponseHeads

LIMITS = HeadLimits()
HEAD = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: 5\r\n\r\n"
OTHER = b"HTTP/1.1 200 OK\r\nX: 2\r\nContent-Length: 5\r\n\r\n"


def facts(parsed: tuple[ResponseHead, int] | None) -> tuple[object, ...]:
    assert parsed is not None
    head, length = parsed
    return length, head.code, head.reason, head.headers, head.content_length, head.is_chunked, head.is_persistent


def test_the_same_again() -> None:
    heads = ResponseHeads(LIMITS)
    first = heads.parse(HEAD + b"first")
    assert facts(first) == facts(parse_response_head(HEAD + b"first", LIMITS))
    again = heads.parse(HEAD + b"other body")
    assert first is not None and again is not None
    assert again[0] is first[0]
    assert again[1] == len(HEAD)


def test_another_one() -> None:
    heads = ResponseHeads(LIMITS)
    for data in (HEAD, OTHER, HEAD):
        assert facts(heads.parse(data)) == facts(parse_response_head(data, LIMITS))


def test_the_beginning_of_the_same() -> None:
    """Not before all of it is here."""
    heads = ResponseHeads(LIMITS)
    heads.parse(HEAD)
    assert [heads.parse(HEAD[:length]) for length in range(len(HEAD))] == [None] * len(HEAD)
    assert heads.parse(HEAD) is not None


@pytest.mark.parametrize("field", [b"Transfer-Encoding: chunked", b"X: until it closes"])
def test_without_a_length(field: bytes) -> None:
    """Whoever reads the body may change what the head says of the connection."""
    heads = ResponseHeads(LIMITS)
    data = b"HTTP/1.1 200 OK\r\n%s\r\n\r\n" % field
    first, second = heads.parse(data), heads.parse(data)
    assert first is not None and second is not None
    assert first[0] is not second[0]


def test_one_that_is_refused() -> None:
    heads = ResponseHeads(LIMITS)
    heads.parse(HEAD)
    with pytest.raises(WireError):
        heads.parse(HEAD.replace(b"X: 1", b"X : 1"))
    assert heads.parse(HEAD) is not None
