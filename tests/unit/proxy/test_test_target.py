"""The built-in test target (routes spec §3.15)."""

from __future__ import annotations

import pytest

from holdfast.proxy.reply import WholeReply
from holdfast.proxy.test_target import MAX_BODY_BYTES, answer_test_request
from holdfast.wire.headers import get_all

HELLO = b"Hello from the Pushpin test handler!\n"
RESPONSE = b"nothing for now\n"
STREAM = b"[stream opened]\n"
UNKNOWN = b"no such test resource\n"

# name, path and query, path_beg of the route, code, body
PATHS: list[tuple[str, bytes, bytes | None, int, bytes]] = [
    ("root", b"/", None, 200, HELLO),
    ("root with query", b"/?a=b", None, 200, HELLO),
    ("response", b"/response", None, 200, RESPONSE),
    ("stream", b"/stream", None, 200, STREAM),
    ("one trailing slash", b"/stream/", None, 200, STREAM),
    ("two trailing slashes", b"/stream//", None, 404, UNKNOWN),
    ("unknown", b"/x", None, 404, UNKNOWN),
    ("case", b"/Stream", None, 404, UNKNOWN),
    ("longer", b"/stream/x", None, 404, UNKNOWN),
    ("question mark in the query", b"/stream?a?b", None, 200, STREAM),
    ("path_beg", b"/foo/stream", b"/foo", 200, STREAM),
    ("path_beg with slash", b"/foo/stream", b"/foo/", 200, STREAM),
    ("path_beg alone", b"/foo", b"/foo", 200, HELLO),
    ("path_beg alone, with slash", b"/foo/", b"/foo/", 200, HELLO),
    ("path_beg of everything", b"/stream", b"/", 200, STREAM),
    ("path_beg elsewhere", b"/x/foo/stream", b"/foo", 404, UNKNOWN),
]


@pytest.mark.parametrize(
    ("path", "path_beg", "code", "body"), [case[1:] for case in PATHS], ids=[case[0] for case in PATHS]
)
def test_paths(path: bytes, path_beg: bytes | None, code: int, body: bytes) -> None:
    """routes-81"""
    reply = answer_test_request(path, path_beg, 0)
    assert (reply.code, reply.take()) == (code, body)
    assert get_all(reply.headers, b"content-type") == [b"text/plain"]


@pytest.mark.parametrize(
    ("path", "mode"), [(b"/response", [b"response"]), (b"/stream", [b"stream"]), (b"/", []), (b"/x", [])]
)
def test_holds(path: bytes, mode: list[bytes]) -> None:
    reply = answer_test_request(path, None, 0)
    assert get_all(reply.headers, b"grip-hold") == mode
    assert bool(channels(reply)) is bool(mode)


def channels(reply: WholeReply) -> list[bytes]:
    return get_all(reply.headers, b"grip-channel")


CHANNELS = [
    ("default", b"", [b"test"]),
    ("one", b"?channel=a", [b"a"]),
    ("several, in order", b"?channel=b&x=y&channel=a", [b"b", b"a"]),
    ("decoded", b"?channel=a%20b+c%C3%BC", ["a b cü".encode()]),
    ("not UTF-8", b"?channel=%FF", ["\ufffd".encode()]),
    ("other parameters only", b"?channels=a&x=channel", [b"test"]),
    ("empty", b"?channel=", [b"test"]),
    ("case", b"?Channel=a", [b"test"]),
    ("raw bytes beyond ASCII", b"?channel=\xff", ["\ufffd".encode()]),
    ("line breaks", b"?channel=a%0d%0aX:%20y&channel=b%00&channel=c", [b"c"]),
    ("nothing but line breaks", b"?channel=a%0aX:y", [b"test"]),
    ("very many", b"?" + b"&".join(b"channel=%d" % number for number in range(500)), [b"%d" % n for n in range(500)]),
]


@pytest.mark.parametrize("path", [b"/stream", b"/response"])
@pytest.mark.parametrize(("query", "expected"), [case[1:] for case in CHANNELS], ids=[case[0] for case in CHANNELS])
def test_channels(path: bytes, query: bytes, expected: list[bytes]) -> None:
    """routes-81"""
    assert channels(answer_test_request(path + query, None, 0)) == expected


@pytest.mark.parametrize(("size", "code"), [(0, 200), (MAX_BODY_BYTES, 200), (MAX_BODY_BYTES + 1, 400)])
def test_size_of_the_request_body(size: int, code: int) -> None:
    reply = answer_test_request(b"/stream", None, size)
    assert reply.code == code
    if code == 400:
        assert reply.take() == b"request too large\n"
        assert channels(reply) == []


def test_the_limit_is_the_protocols() -> None:
    assert MAX_BODY_BYTES == 100_000
