"""HTTP/1.1 messages: values to bytes.

Callers vouch for their header fields: everything that enters Holdfast is checked for CR, LF and NUL where it is parsed
(heads in `wire.http1.head`, instructs and items in `grip`), so nothing is checked twice here.
"""

from __future__ import annotations

from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import RequestHead

CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
LAST_CHUNK = b"0\r\n\r\n"


def encode_chunk(content: bytes) -> bytes:
    """One chunk (RFC 9112 §7.1). `content` must not be empty: an empty chunk would end the body."""
    return b"%x\r\n%b\r\n" % (len(content), content)


def encode_request_head(head: RequestHead) -> bytes:
    """The head as it was received, apart from blanks: a compact form from which it can be parsed again."""
    version = b"HTTP/1.1" if head.is_http11 else b"HTTP/1.0"
    lines = [b"%b %b %b" % (head.method, head.target, version), *map(b": ".join, head.headers), b"\r\n"]
    return b"\r\n".join(lines)


def encode_response_head(
    code: int,
    reason: bytes,
    headers: Headers,
    *,
    is_http11: bool = True,
    is_persistent: bool = True,
    content_length: int | None = None,
    is_chunked: bool = False,
) -> bytes:
    """A response head in the field order of routes spec §3.10.

    `headers` must hold neither Connection nor framing fields. Without length and without chunks the body, if any, ends
    with the connection, and the caller closes it.
    """
    start_line = b"HTTP/1.1 %d %b" if is_http11 else b"HTTP/1.0 %d %b"
    lines = [start_line % (code, reason), *map(b": ".join, headers)]
    if is_http11 is not is_persistent:
        lines.append(b"Connection: keep-alive" if is_persistent else b"Connection: close")
    if is_chunked:
        lines.append(b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked")
    elif content_length is not None:
        lines.append(b"Content-Length: %d" % content_length)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)
