"""Requests that are refused: the text of each early error, and everything that two servers could read differently."""

from __future__ import annotations

import itertools
import re

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import encode_request, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs

_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


@pytest.fixture
def mark() -> str:
    """A word of as many letters as ``marked``, by which a request of this test would be known at the backend."""
    return f"m{next(_numbers):05}"


def _parse_error(reason: str) -> str:
    return f"Failed to parse request: {reason}\n"


TOO_LARGE = "Request header size exceeded limit of 8192 bytes.\n"
GET = b"GET /marked HTTP/1.1\r\nHost: marked\r\n"
POST = b"POST /marked HTTP/1.1\r\nHost: marked\r\n"
CHUNKED = POST + b"Transfer-Encoding: chunked\r\n\r\n"

REFUSALS = [
    ("header of 9000 bytes", GET + b"X: " + b"x" * 9000 + b"\r\n\r\n", TOO_LARGE),
    ("unfinished header of 9000 bytes", GET + b"X: " + b"x" * 9000, TOO_LARGE),
    ("ws-87: header of 8193 bytes", GET + b"X: " + b"x" * (8193 - len(GET) - 7) + b"\r\n\r\n", TOO_LARGE),
    ("ws-88: 65 headers", GET + b"X: 1\r\n" * 64 + b"\r\n", _parse_error("too many headers")),
    ("ws-89: garbage", b"(marked)\r\n\r\n", _parse_error("invalid token")),
    ("bad method", b"GE(T /marked HTTP/1.1\r\nHost: marked\r\n\r\n", _parse_error("invalid token")),
    ("bad header name", GET + b"Bad Name: x\r\n\r\n", _parse_error("invalid header name")),
    ("separator in a header name", GET + b"Bad(: x\r\n\r\n", _parse_error("invalid header name")),
    ("header without a name", GET + b": x\r\n\r\n", _parse_error("invalid header name")),
    ("control character in a value", GET + b"X: a\x01b\r\n\r\n", _parse_error("invalid header value")),
    ("version 9.9", b"GET /marked HTTP/9.9\r\nHost: marked\r\n\r\n", _parse_error("invalid HTTP version")),
    ("ws-91: Content-Length abc", POST + b"Content-Length: abc\r\n\r\n", _parse_error("invalid content length")),
    ("Transfer-Encoding", POST + b"Transfer-Encoding: gzip\r\n\r\n", _parse_error("unsupported transfer encoding")),
    (
        "ws-90: two codings",
        POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n",
        _parse_error("unsupported transfer encoding"),
    ),
    ("chunk size zz", CHUNKED + b"zz\r\n", _parse_error("invalid chunk size")),
    ("chunk longer than it says", CHUNKED + b"1\r\nabcd\r\n", _parse_error("invalid chunk suffix")),
    ("huge chunk", CHUNKED + b"f" * 17 + b"\r\n", _parse_error("chunk too large")),
    (
        "half a WebSocket handshake",
        GET + b"Upgrade: websocket\r\nConnection: Upgrade\r\n\r\n",
        'Request contained an Upgrade header with value "websocket" '
        "but the request was not a valid WebSocket request.\n",
    ),
]  # fmt: skip


@differs("refusal-answer")
@pytest.mark.parametrize(("sent", "text"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS])
def test_refusal_says_what_is_wrong(stage: Stage, mark: str, sent: bytes, text: str) -> None:
    """routes-72: 400 with the exact text, and the connection is closed."""
    client = stage.client()
    client.send(sent.replace(b"marked", mark.encode()))
    response = client.read_response()
    assert (response.status, response.header("Content-Type"), response.text) == (400, "text/plain", text)
    client.assert_closed()
    assert mark.encode() not in stage.backend.all_heads()


def test_64_headers_and_8192_bytes_are_fine(stage: Stage) -> None:
    """routes-72, ws-87, ws-88: as much as the limits allow."""
    path = stage.backend.serve(Reply(body=b"ok"))
    many = [(f"X-{number}", "x") for number in range(63)]
    assert fetch(stage.proxy.port, path, headers=many).status == 200
    head = encode_request(path, headers=[("X-Long", "")])
    client = stage.client()
    client.send(head.replace(b"X-Long: ", b"X-Long: " + b"x" * (8192 - len(head))))
    assert client.read_response().status == 200


@differs("long-uri")
def test_target_longer_than_4096_bytes(stage: Stage, mark: str) -> None:
    client = stage.client()
    client.request(f"/{mark}" + "x" * 4200)
    assert client.read_response().status == 414
    assert mark.encode() not in stage.backend.all_heads()


# Each of these could be read differently by two servers in a row; the second half of some is what would be smuggled.
AMBIGUOUS = {
    "length and chunked": POST + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunked and length": POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n",
    "two equal lengths": POST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc",
    "two different lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length 3,3": POST + b"Content-Length: 3,3\r\n\r\nabc",
    "length 3, 4": POST + b"Content-Length: 3, 4\r\n\r\nabcd",
    "length +3": POST + b"Content-Length: +3\r\n\r\nabc",
    "length -1": POST + b"Content-Length: -1\r\n\r\n",
    "length 0x3": POST + b"Content-Length: 0x3\r\n\r\nabc",
    "length 3 4": POST + b"Content-Length: 3 4\r\n\r\nabc",
    "length 1_0": POST + b"Content-Length: 1_0\r\n\r\n0123456789",
    "length empty": POST + b"Content-Length:\r\n\r\n",
    "length beyond 64 bits": POST + b"Content-Length: 99999999999999999999\r\n\r\nabc",
    "chunked twice": POST + b"Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n",
    "chunked in two headers": POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "xchunked": POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
    "identity": POST + b"Transfer-Encoding: identity\r\n\r\n",
    "chunked, identity": POST + b"Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
    "gzip, chunked": POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked in quotes": POST + b'Transfer-Encoding: "chunked"\r\n\r\n0\r\n\r\n',
    "chunked after a vertical tab": POST + b"Transfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n",
    "chunked from HTTP/1.0": CHUNKED.replace(b"HTTP/1.1", b"HTTP/1.0") + b"0\r\n\r\n",
    "folded header": GET + b"X: a\r\n b\r\n\r\n",
    "folded Transfer-Encoding": POST + b"Transfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n",
    "folded first header": b"GET /marked HTTP/1.1\r\n X: a\r\nHost: marked\r\n\r\n",
    "bare CR in a value": GET + b"X: a\rTransfer-Encoding: chunked\r\n\r\n",
    "bare CR ends a line": b"GET /marked HTTP/1.1\rHost: marked\r\r",
    "bare LF ends lines": b"GET /marked HTTP/1.1\nHost: marked\n\n",
    "bare LF after one header": GET + b"X: a\nY: b\r\n\r\n",
    "bare LF ends the header": GET + b"X: a\r\n\n",
    "space before the colon": POST + b"Content-Length : 3\r\n\r\nabc",
    "tab before the colon": POST + b"Transfer-Encoding\t: chunked\r\n\r\n0\r\n\r\n",
    "NUL in a value": GET + b"X: a\x00b\r\n\r\n",
    "NUL in a name": GET + b"X\x00Y: b\r\n\r\n",
    "NUL in the target": b"GET /marked\x00 HTTP/1.1\r\nHost: marked\r\n\r\n",
    "header without a colon": GET + b"novalue\r\n\r\n",
    "two hosts": GET + b"Host: other\r\n\r\n",
    "space in the target": b"GET /marked /x HTTP/1.1\r\nHost: marked\r\n\r\n",
    "no version": b"GET /marked\r\n\r\n",
    "chunk size 0x5": CHUNKED + b"0x5\r\nhello\r\n0\r\n\r\n",
    "chunk size +5": CHUNKED + b"+5\r\nhello\r\n0\r\n\r\n",
    "chunk size -1": CHUNKED + b"-1\r\nhello\r\n0\r\n\r\n",
    "chunk size with a blank before": CHUNKED + b" 5\r\nhello\r\n0\r\n\r\n",
    "chunk size with a blank inside": CHUNKED + b"1 1\r\nhello\r\n0\r\n\r\n",
    "chunk size empty": CHUNKED + b"\r\nhello\r\n0\r\n\r\n",
    "chunk size huge": CHUNKED + b"ffffffffffffffffff\r\nhello\r\n0\r\n\r\n",
    "chunk size 1_0": CHUNKED + b"1_0\r\n0123456789abcdef\r\n0\r\n\r\n",
    "chunk size ends in LF": CHUNKED + b"5\nhello\r\n0\r\n\r\n",
    "chunk ends in LF": CHUNKED + b"5\r\nhello\n0\r\n\r\n",
    "chunk too short": CHUNKED + b"5\r\nhell\r\n0\r\n\r\n",
    "bare CR in a chunk extension": CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n",
    "bare LF in a chunk extension": CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n",
}
TAKEN_BY_PUSHPIN = {
    "length and chunked",
    "chunked and length",
    "two equal lengths",
    "two different lengths",
    "length +3",
    "chunked in two headers",
    "bare LF ends lines",
    "bare LF after one header",
    "bare LF ends the header",
    "two hosts",
    "bare LF in a chunk extension",
}
MARKS = dict.fromkeys(TAKEN_BY_PUSHPIN, differs("ambiguous-framing")) | {
    "chunked from HTTP/1.0": differs("chunked-in-1.0"),
}


@pytest.mark.parametrize(
    "sent", [pytest.param(sent, id=name, marks=MARKS.get(name, ())) for name, sent in AMBIGUOUS.items()]
)
def test_ambiguous_framing_does_not_arrive(stage: Stage, mark: str, sent: bytes) -> None:
    """routes-73 and all that is like it: closed, and the backend has seen nothing, nor what stood behind it."""
    client = stage.client()
    client.send(sent.replace(b"marked", mark.encode()) + encode_request("/smuggled", host=mark))
    client.read_to_close(timeout_s=1)
    assert mark.encode() not in stage.backend.all_heads()


@differs("refusal-answer")
@pytest.mark.parametrize("sent", AMBIGUOUS.values(), ids=AMBIGUOUS.keys())
def test_ambiguous_framing_is_answered(stage: Stage, sent: bytes) -> None:
    """routes-73: 400, once, and closed."""
    client = stage.client()
    client.send(sent + encode_request("/smuggled"))
    answer = client.read_to_close(timeout_s=1)
    assert re.match(rb"HTTP/1\.[01] 400 ", answer), answer
    assert answer.count(b"HTTP/1.") == 1, answer


def test_length_with_blanks_around_is_fine(stage: Stage) -> None:
    """Blanks around a header value are not part of it (RFC 9112 §5.1)."""
    path = stage.backend.serve(Reply(body=b"ok"))
    client = stage.client()
    client.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length:   3  \r\n\r\nabc".encode())
    assert client.read_response().status == 200
    assert stage.backend.request(path).body == b"abc"


@pytest.mark.parametrize(
    "value", ["chunked", *(pytest.param(name, marks=differs("chunked-case")) for name in ("Chunked", "CHUNKED"))]
)
def test_chunked_in_any_case(stage: Stage, value: str) -> None:
    """Transfer codings are case-insensitive (RFC 9112 §7): taken as such, or refused, but never passed over."""
    path = stage.backend.serve(Reply(body=b"ok"))
    client = stage.client()
    client.request(path, method="POST", headers=[("Transfer-Encoding", value)])
    client.send(b"3\r\nabc\r\n0\r\n\r\n")
    if client.read_response().status == 200:
        assert stage.backend.request(path).body == b"abc"
    else:
        assert stage.backend.requests(path) == []
