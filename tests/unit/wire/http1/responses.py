"""Responses in every framing, and what is no response."""

from __future__ import annotations

from holdfast.wire.http1.response import MAX_INTERIM_RESPONSES

OK = b"HTTP/1.1 200 OK\r\n"

# name, method, what a backend sends, whether it closes then, code, content, whether the connection stays usable
RESPONSES: list[tuple[str, bytes, bytes, bool, int, bytes, bool]] = [
    ("sized", b"GET", OK + b"Content-Length: 5\r\n\r\nhello", False, 200, b"hello", True),
    ("sized and empty", b"GET", OK + b"Content-Length: 0\r\n\r\n", False, 200, b"", True),
    ("chunked", b"GET", OK + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n", False, 200, b"hello", True),
    ("until close", b"GET", OK + b"\r\nhello", True, 200, b"hello", False),
    ("HTTP/1.0", b"GET", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", False),
    ("close", b"GET", OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", False, 200, b"hello", False),
    ("routes-69: HEAD", b"HEAD", OK + b"Content-Length: 5\r\n\r\n", False, 200, b"", True),
    ("HEAD, chunked", b"HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", False, 200, b"", True),
    ("routes-69: 204", b"GET", b"HTTP/1.1 204 No\r\n\r\n", False, 204, b"", True),
    ("routes-69: 304", b"GET", b"HTTP/1.1 304 No\r\nContent-Length: 5\r\n\r\n", False, 304, b"", True),
    ("100 first", b"GET", b"HTTP/1.1 100 Go\r\n\r\n" + OK + b"Content-Length: 1\r\n\r\na", False, 200, b"a", True),
    (
        "103 twice",
        b"GET",
        b"HTTP/1.1 103 Hints\r\nLink: x\r\n\r\n" * 2 + OK + b"Content-Length: 1\r\n\r\na",
        False,
        200,
        b"a",
        True,
    ),
    ("more than it said", b"GET", OK + b"Content-Length: 5\r\n\r\nhello!", False, 200, b"hello", False),
    ("another response", b"GET", (OK + b"Content-Length: 1\r\n\r\na") * 2, False, 200, b"a", False),
    ("a body for HEAD", b"HEAD", OK + b"Content-Length: 5\r\n\r\nhello", False, 200, b"", False),
    ("a body for 204", b"GET", b"HTTP/1.1 204 No\r\n\r\nhello", False, 204, b"", False),
    (
        "a length beside chunks",
        b"GET",
        OK + b"Content-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n0\r\n\r\n",
        False,
        200,
        b"a",
        False,
    ),
]

# name, what a backend sends, message
BROKEN: list[tuple[str, bytes, str]] = [
    ("not HTTP", b"SSH-2.0-x\r\n", "Failed to parse response: invalid status line or line end"),
    ("not HTTP, complete", b"HTTP/2 200\r\n\r\n", "Failed to parse response: invalid status line"),
    ("head too large", OK + b"A: " + b"b" * 1000, "response header size exceeded limit of 1000 bytes"),
    ("switching protocols", b"HTTP/1.1 101 X\r\n\r\n", "Failed to parse response: unexpected status 101"),
    (
        "interim responses without end",
        b"HTTP/1.1 103 Hints\r\n\r\n" * (MAX_INTERIM_RESPONSES + 1),
        "Failed to parse response: unexpected status 103",
    ),
    ("two lengths", OK + b"Content-Length: 1, 2\r\n\r\n", "Failed to parse response: invalid content length"),
]
