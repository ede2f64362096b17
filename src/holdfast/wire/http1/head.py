"""HTTP/1.x message heads: bytes to values, strictly by RFC 9112.

The parser is a pure function over the bytes received so far: it either needs more, returns a head together with the
length it took, or raises. It keeps no state between calls, so a waiting connection and a parked client cost nothing.

Strictness is the security boundary of the proxy. Whatever two HTTP implementations could read in two ways is refused:
bare CR or LF, folded lines, a blank before the colon, control characters, signs or lists in Content-Length, more than
one Content-Length or Host, Content-Length beside Transfer-Encoding, any transfer coding but `chunked` (RFC 9112 §11.2).
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import NoReturn

from holdfast.errors import WireError
from holdfast.wire.headers import Headers, split_commas

_TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++"
_FIELD_TEXT = rb"[\t\x20-\x7e\x80-\xff]*+"
_REQUEST_LINE = re.compile(rb"(" + _TOKEN + rb") ([\x21-\x7e\x80-\xff]++) HTTP/1\.([01])\r\n")
_STATUS_LINE = re.compile(rb"HTTP/1\.([01]) ([1-9][0-9]{2})(?: (" + _FIELD_TEXT + rb"))?\r\n")
_FIELD = re.compile(rb"(?<=\n)(" + _TOKEN + rb"):[ \t]*+(" + _FIELD_TEXT + rb")\r\n")
# The same without the blanks that a value may have at its end: nearly all fields.
_PLAIN_FIELD = re.compile(rb"(?<=\n)(" + _TOKEN + rb"):[ \t]*+(" + _FIELD_TEXT + rb")(?<![ \t])\r\n")
_TOKEN_ONLY = re.compile(_TOKEN)
_LONE_LINE_END = re.compile(rb"(?<!\r)\n|\r(?!\n|\Z)")
_MAX_LENGTH_DIGITS = 18

HEADER_TOO_LARGE = "header too large"
INVALID_CONTENT_LENGTH = "invalid content length"

_MAX_LEADING_EMPTY_LINES = 8
"""RFC 9112 §2.2 asks servers to ignore at least one empty line before the request line."""


@dataclass(frozen=True, slots=True)
class HeadLimits:
    """Bounds of one head.

    Args:
        max_bytes: the whole head, its empty line included.
        max_fields: number of header fields.
    """

    max_bytes: int = 8192
    max_fields: int = 64


@dataclass(slots=True, eq=False)
class RequestHead:
    """A request head that is safe to act on; header fields are in the order and spelling received.

    `content_length` is None without the field; `is_chunked` excludes it. `is_persistent` is what the client asked for
    (RFC 9112 §9.3). `upgrade` is the lower-cased Upgrade field, whether the Connection field names it or not
    (ws spec §4.1).

    `is_repeated` says that the head is expected again as the same object (`wire.http1.repeated`), which nobody changes
    but for its `memo`: what its reader has made of it. It is forgotten together with the head.
    """

    method: bytes
    target: bytes
    is_http11: bool
    headers: Headers
    host: bytes | None = None
    content_length: int | None = None
    is_chunked: bool = False
    is_persistent: bool = True
    expects_continue: bool = False
    upgrade: bytes | None = None
    is_repeated: bool = False
    memo: object = None

    @property
    def has_body(self) -> bool:
        """Whether body bytes follow the head."""
        return self.is_chunked or bool(self.content_length)


@dataclass(slots=True, eq=False)
class ResponseHead:
    """A response head; framing fields are interpreted by `response_framing` because they depend on the request."""

    code: int
    reason: bytes
    is_http11: bool
    headers: Headers
    content_length: int | None = None
    is_chunked: bool = False
    is_persistent: bool = True


def parse_request_head(data: bytes, limits: HeadLimits) -> tuple[RequestHead, int] | None:
    """Parse the request head at the beginning of `data`.

    Returns:
        The head and the number of bytes it took, or None when more bytes are needed.

    Raises:
        WireError: status 400 with the text to answer (routes spec §3.2).
    """
    start = _skip_empty_lines(data) if data[:1] == b"\r" else 0
    end = data.find(b"\r\n\r\n", start)
    if end < 0:
        _refuse_hopeless_start(data, start, limits)
        return None
    if end + 4 - start > limits.max_bytes:
        _refuse_size(limits)
    match = _REQUEST_LINE.match(data, start, end + 2)
    if match is None:
        _refuse_request_line(data[start : end + 2])
    headers = _parse_fields(data, match.end(), end + 2, limits, "request")
    method, target, minor = match.groups()
    return _interpret_request(method, target, minor == b"1", headers), end + 4


def parse_response_head(data: bytes, limits: HeadLimits) -> tuple[ResponseHead, int] | None:
    """Parse the response head at the beginning of `data`; otherwise as `parse_request_head`.

    Raises:
        WireError: status 502; the text is for logs and debug mode.
    """
    end = data.find(b"\r\n\r\n")
    if end < 0:
        if len(data) > limits.max_bytes:
            raise WireError(502, f"response header size exceeded limit of {limits.max_bytes} bytes")
        if _LONE_LINE_END.search(data) or not b"HTTP/1.".startswith(data[:7]):
            _refuse(502, "response", "invalid status line or line end")
        return None
    if end + 4 > limits.max_bytes:
        raise WireError(502, f"response header size exceeded limit of {limits.max_bytes} bytes")
    match = _STATUS_LINE.match(data, 0, end + 2)
    if match is None:
        _refuse(502, "response", "invalid status line")
    headers = _parse_fields(data, match.end(), end + 2, limits, "response")
    minor, code, reason = match.groups()
    return _interpret_response(int(code), reason or b"", minor == b"1", headers), end + 4


def _skip_empty_lines(data: bytes) -> int:
    start = 0
    while data.startswith(b"\r\n", start) and start < 2 * _MAX_LEADING_EMPTY_LINES:
        start += 2
    return start


def _refuse(status: int, subject: str, fault: str) -> NoReturn:
    raise WireError(status, f"Failed to parse {subject}: {fault}", fault)


def _refuse_size(limits: HeadLimits) -> NoReturn:
    raise WireError(400, f"Request header size exceeded limit of {limits.max_bytes} bytes.", HEADER_TOO_LARGE)


def _refuse_hopeless_start(data: bytes, start: int, limits: HeadLimits) -> None:
    """Answer at once what can no longer become a head, instead of waiting for more of it."""
    if len(data) - start > limits.max_bytes:
        _refuse_size(limits)
    if len(data) > start and not _TOKEN_ONLY.match(data, start) and not b"\r\n".startswith(data[start:]):
        _refuse(400, "request", "invalid token")
    if _LONE_LINE_END.search(data, start):
        _refuse(400, "request", "invalid new line")


def _refuse_request_line(block: bytes) -> NoReturn:
    line = block[: block.index(b"\r\n")]
    if b"\n" in line or b"\r" in line:
        _refuse(400, "request", "invalid new line")
    parts = line.split(b" ")
    if len(parts) != 3 or not _TOKEN_ONLY.fullmatch(parts[0]):
        _refuse(400, "request", "invalid token")
    if re.fullmatch(rb"[\x21-\x7e\x80-\xff]+", parts[1]):
        _refuse(400, "request", "invalid HTTP version")
    _refuse(400, "request", "invalid token")


def _parse_fields(data: bytes, start: int, end: int, limits: HeadLimits, subject: str) -> Headers:
    """Fields between `start` and `end`; trailing blanks of values are removed (RFC 9112 §5)."""
    headers: Headers = _PLAIN_FIELD.findall(data, start, end)
    # A match is a whole line, so as many matches as line ends means that every line is a valid field.
    count = data.count(b"\n", start, end)
    if len(headers) != count:
        headers = [(name, value.rstrip(b" \t")) for name, value in _FIELD.findall(data, start, end)]
        if len(headers) != count:
            _refuse(_status_of(subject), subject, _describe_bad_field(data, start, end))
    if count > limits.max_fields:
        _refuse(_status_of(subject), subject, "too many headers")
    return headers


def _status_of(subject: str) -> int:
    return 400 if subject == "request" else 502


def _describe_bad_field(data: bytes, start: int, end: int) -> str:
    """What is wrong with the first line that is not a field."""
    while (match := _FIELD.match(data, start, end)) is not None:
        start = match.end()
    line = data[start : data.index(b"\r\n", start, end)]
    if b"\n" in line or b"\r" in line:
        return "invalid new line"
    if b":" not in line or not _TOKEN_ONLY.fullmatch(line.partition(b":")[0]):
        return "invalid header name"
    return "invalid header value"


def _interpret_request(method: bytes, target: bytes, is_http11: bool, headers: Headers) -> RequestHead:
    """The head, with what the fields mean for framing and persistence, in one pass."""
    host: bytes | None = None
    content_length: int | None = None
    is_chunked = expects_continue = False
    connection: list[bytes] = []
    upgrade: bytes | None = None
    for name, value in headers:
        field = _REQUEST_FIELDS.get(name.lower())
        if field is None:
            continue
        if field == "host":
            if host is not None:
                _refuse(400, "request", "more than one Host header")
            host = value
        elif field == "connection":
            connection.append(value)
        elif field == "content-length":
            if content_length is not None or not _is_length(value):
                _refuse(400, "request", INVALID_CONTENT_LENGTH)
            content_length = int(value)
        elif field == "transfer-encoding":
            if is_chunked or value.lower() != b"chunked":
                _refuse(400, "request", "unsupported transfer encoding")
            is_chunked = True
        elif field == "expect":
            expects_continue = is_http11 and value.lower() == b"100-continue"
        else:
            upgrade = value.lower()
    if is_chunked and (content_length is not None or not is_http11):
        fault = "both Content-Length and Transfer-Encoding" if is_http11 else "unsupported transfer encoding"
        _refuse(400, "request", fault)
    is_persistent = is_http11
    if connection:
        is_persistent = _is_persistent(_options(connection), is_http11)
    # By position: names would cost as much as the loop.
    return RequestHead(
        method,
        target,
        is_http11,
        headers,
        host,
        content_length,
        is_chunked,
        is_persistent,
        expects_continue,
        upgrade,
    )


_REQUEST_FIELDS = {
    b"host": "host",
    b"connection": "connection",
    b"content-length": "content-length",
    b"transfer-encoding": "transfer-encoding",
    b"expect": "expect",
    b"upgrade": "upgrade",
}


def _interpret_response(code: int, reason: bytes, is_http11: bool, headers: Headers) -> ResponseHead:
    """The head. RFC 9112 §6.3 for responses: chunked wins over a length, two different lengths are refused.

    Where the framing is doubtful, chunked beside a length or in HTTP/1.0, the connection is not used again (§6.1).
    """
    content_length: int | None = None
    is_chunked = False
    connection: list[bytes] = []
    for name, value in headers:
        lower = name.lower()
        if lower not in _RESPONSE_FIELDS:
            continue
        if lower == b"content-length":
            length = int(value) if _is_length(value) else _parse_length_list(value)
            if content_length not in (None, length):
                _refuse(502, "response", "two different content lengths")
            content_length = length
        elif lower == b"transfer-encoding":
            if is_chunked or value.lower() != b"chunked":
                _refuse(502, "response", "unsupported transfer encoding")
            is_chunked = True
        else:
            connection.append(value)
    is_persistent = _is_persistent(_options(connection), is_http11) if connection else is_http11
    if is_chunked:
        is_persistent = is_persistent and is_http11 and content_length is None
        content_length = None
    return ResponseHead(code, reason, is_http11, headers, content_length, is_chunked, is_persistent)


_RESPONSE_FIELDS = frozenset({b"connection", b"content-length", b"transfer-encoding"})


def _options(values: list[bytes]) -> set[bytes]:
    """The options of the Connection fields with these values, in lower case."""
    return {option.lower() for option in split_commas(values)}


def _is_persistent(options: set[bytes], is_http11: bool) -> bool:
    """RFC 9112 §9.3."""
    return b"close" not in options and (is_http11 or b"keep-alive" in options)


def _parse_length_list(value: bytes) -> int:
    """A length that is repeated as a list of equal ones (RFC 9110 §8.6)."""
    lengths = set(split_commas([value]))
    if len(lengths) != 1 or not _is_length(value := lengths.pop()):
        _refuse(502, "response", INVALID_CONTENT_LENGTH)
    return int(value)


def _is_length(value: bytes) -> bool:
    return value.isdigit() and len(value) <= _MAX_LENGTH_DIGITS
