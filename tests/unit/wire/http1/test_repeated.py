"""Heads that come again are one object, and are what they would be alone."""

from __future__ import annotations

import pytest

from holdfast.errors import WireError
from holdfast.wire.http1.head import HeadLimits, RequestHead, ResponseHead, parse_request_head, parse_response_head
from holdfast.wire.http1.repeated import KNOWN_HEADS, MAX_KNOWN_BYTES, RequestHeads, ResponseHeads, head_hash

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


# --- requests ------------------------------------------------------------------------------------------------------


def request(*fields: bytes, target: bytes = b"/", method: bytes = b"GET") -> bytes:
    return b"\r\n".join((b"%b %b HTTP/1.1" % (method, target), b"Host: h", *fields, b"", b""))


class Client:
    """One connection, on which each request begins with what was received."""

    def __init__(self, heads: RequestHeads) -> None:
        self._heads = heads
        self._last_hash = 0

    def send(self, data: bytes) -> RequestHead:
        data = bytes(bytearray(data))  # another object each time, as they come from a socket
        parsed = self._heads.parse(data, self._last_hash)
        assert parsed is not None and parsed[1] == data.index(b"\r\n\r\n") + 4
        self._last_hash = head_hash(data)
        return parsed[0]


def request_facts(head: RequestHead) -> tuple[object, ...]:
    return (
        *(head.method, head.target, head.is_http11, head.headers, head.host, head.content_length, head.is_chunked),
        *(head.is_persistent, head.expects_continue, head.upgrade),
    )


@pytest.fixture
def heads() -> RequestHeads:
    return RequestHeads(LIMITS)


def test_what_a_client_sends_twice_in_a_row_is_known(heads: RequestHeads) -> None:
    """From then on, and to all clients."""
    client, other = Client(heads), Client(heads)
    once, twice, again = (client.send(request(b"Cookie: 1")) for _ in range(3))
    assert (once.is_repeated, twice.is_repeated) == (False, True)
    assert once is not twice and again is twice and other.send(request(b"Cookie: 1")) is twice
    parsed = parse_request_head(request(b"Cookie: 1"), LIMITS)
    assert parsed is not None and request_facts(again) == request_facts(once) == request_facts(parsed[0])
    assert twice.memo is None


def test_what_several_clients_send_once_is_not_known(heads: RequestHeads) -> None:
    assert not any(Client(heads).send(request()).is_repeated for _ in range(3))
    client = Client(heads)
    for number in (1, 2, 1, 2):
        assert not client.send(request(b"X: %d" % number)).is_repeated
    assert len(heads) == 0


@pytest.mark.parametrize(
    ("data", "is_known"),
    [
        (request(b"X: " + b"x" * (MAX_KNOWN_BYTES - len(request(b"X: ")))), True),
        (request(b"X: " + b"x" * (MAX_KNOWN_BYTES - len(request(b"X: ")) + 1)), False),
        (request(method=b"HEAD"), True),
        (request(b"Content-Length: 0"), True),
        (request(b"Content-Length: 1"), False),
        (request(b"Transfer-Encoding: chunked"), False),
        (request(b"Content-Length: 5") + b"hello", False),
        (request() + b"GET", False),
        (request() + request(), False),
        (b"\r\n" + request(), True),
    ],
    ids=["long", "too long", "HEAD", "empty", "sized", "chunked", "body", "more", "pipelined", "empty line"],
)
def test_only_short_heads_that_come_alone_are_known(heads: RequestHeads, data: bytes, is_known: bool) -> None:
    client = Client(heads)
    assert [client.send(data).is_repeated for _ in range(3)] == [False, is_known, is_known]
    assert len(heads) == is_known


def test_a_known_head_that_is_not_whole(heads: RequestHeads) -> None:
    client = Client(heads)
    data = request()
    client.send(data)
    client.send(data)
    assert [heads.parse(data[:length], head_hash(data)) for length in range(1, len(data))] == [None] * (len(data) - 1)


def test_a_request_that_is_refused_twice(heads: RequestHeads) -> None:
    data = request(b"X : 1")
    for _ in range(3):
        with pytest.raises(WireError):
            heads.parse(data, head_hash(data))
    assert len(heads) == 0


def test_the_oldest_makes_room(heads: RequestHeads) -> None:
    client = Client(heads)
    for number in range(KNOWN_HEADS + 1):
        assert [client.send(request(b"X: %d" % number)).is_repeated for _ in range(2)] == [False, True]
    assert len(heads) == KNOWN_HEADS
    assert not client.send(request(b"X: 0")).is_repeated
    assert client.send(request(b"X: 1")).is_repeated
