"""HTTP/1.1 as it arrives: seeds, and our parsers used as the connections use them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.wire.headers import Headers
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody
from holdfast.wire.http1.head import HeadLimits, RequestHead, parse_request_head

LIMITS = HeadLimits()

REQUESTS = [
    b"GET / HTTP/1.1\r\nHost: example.com\r\n\r\n",
    b"GET /a/../b?q=1#f HTTP/1.1\r\nHost: Example.COM:8080\r\nConnection: close, X-A\r\nX-A: 1\r\n\r\n",
    b"POST /p HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhello",
    b"POST /p HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n3;x=y\r\nabc\r\n0\r\nA: b\r\n\r\n",
    b"POST /p HTTP/1.0\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\nhiGET /next HTTP/1.0\r\n\r\n",
    b"\r\nGET http://u.example:80/x?y HTTP/1.1\r\nHost: other\r\nExpect: 100-continue\r\n\r\n",
    b"GET /ws HTTP/1.1\r\nHost: h\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nX-Forwarded-For: 1.2.3.4, 5.6.7.8\r\nGrip-Sig: x\r\nCDN-Loop: a\r\n\r\n",
]

REQUEST_TOKENS = [
    b"\r\n", b"\r\n\r\n", b"Host: b\r\n", b"Content-Length: 3\r\n", b"Content-Length: +3\r\n",
    b"Content-Length: 3, 3\r\n", b"Transfer-Encoding: chunked\r\n", b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding : chunked\r\n", b"transfer-encoding:\tchunked\t\r\n", b"X:\r\n ", b"\r\n\t", b"0\r\n\r\n",
    b"ffffffffffffffff", b"GET /smuggled HTTP/1.1", b"Connection: host, content-length\r\n", b" HTTP/1.1", b"//",
    b"/..", b"%2e%2e", b"\\", b"@", b"[::1]", b"0x", b"_",
]  # fmt: skip

RESPONSES = [
    b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\nA: b\r\n\r\nrest",
    b"HTTP/1.0 200 OK\r\nContent-Type: text/plain\r\n\r\nuntil the end",
    b"HTTP/1.1 204 No Content\r\n\r\n",
    b"HTTP/1.1 304\r\nContent-Length: 10\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"HTTP/1.1 200 \r\nContent-Length: 3, 3\r\nConnection: keep-alive, X-A\r\nX-A: 1\r\n\r\nabc",
    b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
]

RESPONSE_TOKENS = [
    *REQUEST_TOKENS, b"HTTP/1.1 ", b"HTTP/1.0 ", b"HTTP/2 ", b"099", b"101", b"204",
    b"Connection: content-length\r\n", b"Trailer: A\r\n", b"Content-Length: 0\r\n",
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Message:
    """A whole message; `taken` is how much of the input it was."""

    method: bytes
    target: bytes
    headers: Headers
    body: bytes
    taken: int
    head: RequestHead


class Refused(Exception):
    """The input is not acceptable."""


def read_request(pieces: Sequence[bytes]) -> Message | None:
    """The first request of `pieces`, read as `net.client` does; None if it is not whole. Raises Refused."""
    try:
        return _read_request(pieces)
    except WireError as exc:
        assert exc.status == 400, exc
        assert exc.text.isprintable()
        raise Refused from exc


def _read_request(pieces: Sequence[bytes]) -> Message | None:
    buffer = b""
    received = 0
    head: RequestHead | None = None
    decoder: BodyDecoder | None = None
    content = b""
    for piece in pieces:
        received += len(piece)
        if decoder is None:
            buffer += piece
            parsed = parse_request_head(buffer, LIMITS)
            if parsed is None:
                continue
            head, length = parsed
            decoder = ChunkedBody() if head.is_chunked else SizedBody(head.content_length or 0)
            piece = buffer[length:]
        content += decoder.feed(piece)
        if decoder.is_complete:
            assert head is not None
            taken = received - len(decoder.rest)
            return Message(head.method, head.target, head.headers, content, taken, head)
    return None
