"""Heads: every case is parsed whole, from each of its prefixes and with bytes behind it; and h11 is asked as well."""

from __future__ import annotations

import re
from typing import Any, NamedTuple

import h11
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.wire.headers import Headers, without
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody, UntilCloseBody
from holdfast.wire.http1.head import (
    HeadLimits,
    RequestHead,
    ResponseHead,
    parse_request_head,
    parse_response_head,
)

LIMITS = HeadLimits()
TRAILING = b"\r\n\r\nGET /other HTTP/1.1\r\nX: \x00\n\r\n\r\n"
"""What follows a head must not be looked at, whatever it is."""


def request(*fields: bytes, line: bytes = b"GET / HTTP/1.1") -> bytes:
    return b"".join(part + b"\r\n" for part in (line, *fields, b""))


def response(*fields: bytes, line: bytes = b"HTTP/1.1 200 OK") -> bytes:
    return request(*fields, line=line)


class Summary(NamedTuple):
    """What a request head means beyond its line and fields."""

    host: bytes | None = None
    length: int | None = None
    is_chunked: bool = False
    is_persistent: bool = True
    expects_continue: bool = False
    upgrade: bytes | None = None


def summary(head: RequestHead) -> Summary:
    return Summary(
        head.host, head.content_length, head.is_chunked, head.is_persistent, head.expects_continue, head.upgrade
    )


# --- requests that are accepted ------------------------------------------------------------------------------------

LINES: list[tuple[str, bytes, tuple[bytes, bytes, bool, Headers]]] = [
    ("no fields", request(), (b"GET", b"/", True, [])),
    ("HTTP/1.0", request(line=b"GET / HTTP/1.0"), (b"GET", b"/", False, [])),
    ("any token is a method", request(line=b"m!#$%&'*+-.^_`|~9 / HTTP/1.1"), (b"m!#$%&'*+-.^_`|~9", b"/", True, [])),
    ("asterisk", request(line=b"OPTIONS * HTTP/1.1"), (b"OPTIONS", b"*", True, [])),
    ("absolute target", request(line=b"GET http://h/p?q HTTP/1.1"), (b"GET", b"http://h/p?q", True, [])),
    ("raw UTF-8 in the target", request(line=b"GET /\xc3\xa4 HTTP/1.1"), (b"GET", b"/\xc3\xa4", True, [])),
    (
        "fields keep order, spelling and repetition",
        request(b"B: 2", b"a: 1", b"B: 3"),
        (b"GET", b"/", True, [(b"B", b"2"), (b"a", b"1"), (b"B", b"3")]),
    ),
    (
        "blanks around a value go, within it they stay",
        request(b"A:1", b"B: \t 2  3 \t ", b"C:", b"D: \t"),
        (b"GET", b"/", True, [(b"A", b"1"), (b"B", b"2  3"), (b"C", b""), (b"D", b"")]),
    ),
    (
        "colons and obs-text in a value",
        request(b"A: b:c", b"D: \xff\x80"),
        (b"GET", b"/", True, [(b"A", b"b:c"), (b"D", b"\xff\x80")]),
    ),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in LINES], ids=[case[0] for case in LINES])
def test_request_line_and_fields(data: bytes, expected: tuple[bytes, bytes, bool, Headers]) -> None:
    head = accept_request(data)
    assert (head.method, head.target, head.is_http11, head.headers) == expected


MEANINGS: list[tuple[str, bytes, Summary]] = [
    ("nothing", request(), Summary()),
    ("host", request(b"hOST: a.b:1"), Summary(host=b"a.b:1")),
    ("empty host", request(b"Host:"), Summary(host=b"")),
    ("length", request(b"CONTENT-length: 007"), Summary(length=7)),
    ("length of 18 digits", request(b"Content-Length: " + b"9" * 18), Summary(length=10**18 - 1)),
    ("chunked", request(b"Transfer-Encoding: Chunked"), Summary(is_chunked=True)),
    ("close", request(b"Connection: x, Close"), Summary(is_persistent=False)),
    ("close in a second field", request(b"Connection: close", b"Connection: x"), Summary(is_persistent=False)),
    ("keep-alive is the default", request(b"Connection: keep-alive"), Summary()),
    ("1.0 closes", request(line=b"GET / HTTP/1.0"), Summary(is_persistent=False)),
    ("1.0 stays open on request", request(b"Connection: Keep-Alive", line=b"GET / HTTP/1.0"), Summary()),
    (
        "1.0 with both closes",
        request(b"Connection: keep-alive, close", line=b"GET / HTTP/1.0"),
        Summary(is_persistent=False),
    ),
    ("expect", request(b"Expect: 100-Continue"), Summary(expects_continue=True)),
    ("expect something else", request(b"Expect: the-spanish-inquisition"), Summary()),
    ("1.0 cannot expect", request(b"Expect: 100-continue", line=b"GET / HTTP/1.0"), Summary(is_persistent=False)),
    ("upgrade", request(b"Connection: Upgrade", b"Upgrade: WebSocket"), Summary(upgrade=b"websocket")),
    (
        "ws-83: upgrade that Connection does not name",
        request(b"Connection: x", b"Upgrade: websocket"),
        Summary(upgrade=b"websocket"),
    ),
    ("ws-83: upgrade without Connection", request(b"Upgrade: websocket"), Summary(upgrade=b"websocket")),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in MEANINGS], ids=[case[0] for case in MEANINGS])
def test_what_a_request_head_means(data: bytes, expected: Summary) -> None:
    assert summary(accept_request(data)) == expected


@pytest.mark.parametrize(
    ("field", "has_body"),
    [
        (b"X: y", False),
        (b"Content-Length: 0", False),
        (b"Content-Length: 1", True),
        (b"Transfer-Encoding: chunked", True),
    ],
    ids=["neither", "empty", "sized", "chunked"],
)
def test_has_body(field: bytes, has_body: bool) -> None:
    assert accept_request(request(field)).has_body is has_body


def accept_request(data: bytes) -> RequestHead:
    """Parse `data` whole, with trailing data, and see that no prefix gives anything but None."""
    parsed = parse_request_head(data, LIMITS)
    assert parsed is not None and parsed[1] == len(data)
    for length in range(len(data)):
        assert parse_request_head(data[:length], LIMITS) is None, data[:length]
    again = parse_request_head(data + TRAILING, LIMITS)
    assert again is not None and again[1] == len(data)
    assert (again[0].headers, summary(again[0])) == (parsed[0].headers, summary(parsed[0]))
    return parsed[0]


@pytest.mark.parametrize("count", [1, 8])
def test_empty_lines_before_a_request_are_skipped(count: int) -> None:
    """RFC 9112 §2.2."""
    data = b"\r\n" * count + request(b"A: b")
    parsed = parse_request_head(data, LIMITS)
    assert parsed is not None
    assert (parsed[0].method, parsed[1]) == (b"GET", len(data))
    assert all(parse_request_head(data[:length], LIMITS) is None for length in range(len(data)))


# --- requests that are refused -------------------------------------------------------------------------------------

TOO_LARGE = "Request header size exceeded limit of 8192 bytes."

REFUSED: list[tuple[str, bytes, str]] = [
    ("no method", request(line=b" / HTTP/1.1"), "invalid token"),
    ("method is no token", request(line=b"G@T / HTTP/1.1"), "invalid token"),
    ("control character at the start", request(line=b"\x00GET / HTTP/1.1"), "invalid token"),
    ("TLS on a plain port", b"\x16\x03\x01\x02\x00\x01\x00\x01\r\n\r\n", "invalid token"),
    ("two blanks", request(line=b"GET  / HTTP/1.1"), "invalid token"),
    ("blank in the target", request(line=b"GET /a b HTTP/1.1"), "invalid token"),
    ("control character in the target", request(line=b"GET /\x7f HTTP/1.1"), "invalid token"),
    ("tab instead of a blank", request(line=b"GET\t/\tHTTP/1.1"), "invalid token"),
    ("blank at the end of the line", request(line=b"GET / HTTP/1.1 "), "invalid token"),
    ("HTTP/0.9", request(line=b"GET /"), "invalid token"),
    ("nine empty lines", b"\r\n" * 9 + request(), "invalid token"),
    ("HTTP/2", request(line=b"GET / HTTP/2.0"), "invalid HTTP version"),
    ("HTTP/1.2", request(line=b"GET / HTTP/1.2"), "invalid HTTP version"),
    ("HTTP in lower case", request(line=b"GET / http/1.1"), "invalid HTTP version"),
    ("bare LF behind the line", b"GET / HTTP/1.1\nHost: a\r\n\r\n", "invalid new line"),
    ("bare LF everywhere", b"GET / HTTP/1.1\nHost: a\n\n", "invalid new line"),
    ("bare CR in the line", b"GET / HTTP/1.1\rHost: a\r\n\r\n", "invalid new line"),
    ("bare LF behind a field", request(b"A: b\nC: d"), "invalid new line"),
    ("bare CR behind a field", request(b"A: b\rC: d"), "invalid new line"),
    ("bare CR before CRLF", request(b"A: b\r"), "invalid new line"),
    ("bad line end behind a good field", request(b"A: b", b"C: d\rE: f", b"G: h"), "invalid new line"),
    ("blank before the colon", request(b"A : b"), "invalid header name"),
    ("no colon", request(b"A"), "invalid header name"),
    ("no name", request(b": b"), "invalid header name"),
    ("folded line", request(b"A: b", b" c"), "invalid header name"),
    ("fold as first line", request(b" c"), "invalid header name"),
    ("obs-text in a name", request(b"\xc3\xa4: b"), "invalid header name"),
    ("NUL in a name", request(b"A\x00: b"), "invalid header name"),
    ("NUL in a value", request(b"A: b\x00"), "invalid header value"),
    ("other control character in a value", request(b"A: \x0b"), "invalid header value"),
    ("DEL in a value", request(b"A: \x7f"), "invalid header value"),
    ("routes-72: 65 fields", request(*[b"A: b"] * 65), "too many headers"),
    ("routes-72: length is no number", request(b"Content-Length: abc"), "invalid content length"),
    ("no length", request(b"Content-Length:"), "invalid content length"),
    ("signed length", request(b"Content-Length: +3"), "invalid content length"),
    ("negative length", request(b"Content-Length: -3"), "invalid content length"),
    ("hexadecimal length", request(b"Content-Length: 0x3"), "invalid content length"),
    ("length list", request(b"Content-Length: 3, 3"), "invalid content length"),
    ("length with a blank", request(b"Content-Length: 3 3"), "invalid content length"),
    ("length with an underscore", request(b"Content-Length: 1_0"), "invalid content length"),
    ("length of 19 digits", request(b"Content-Length: " + b"1" * 19), "invalid content length"),
    ("two lengths", request(b"Content-Length: 3", b"Content-Length: 4"), "invalid content length"),
    ("equal lengths", request(b"Content-Length: 3", b"Content-Length: 3"), "invalid content length"),
    ("routes-72: gzip", request(b"Transfer-Encoding: gzip"), "unsupported transfer encoding"),
    ("two codings", request(b"Transfer-Encoding: gzip, chunked"), "unsupported transfer encoding"),
    ("identity", request(b"Transfer-Encoding: identity"), "unsupported transfer encoding"),
    ("chunked twice", request(*[b"Transfer-Encoding: chunked"] * 2), "unsupported transfer encoding"),
    ("something like chunked", request(b"Transfer-Encoding: \x0bchunked"), "invalid header value"),
    ("quoted", request(b'Transfer-Encoding: "chunked"'), "unsupported transfer encoding"),
    (
        "chunked in HTTP/1.0",
        request(b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.0"),
        "unsupported transfer encoding",
    ),
    (
        "routes-73: length and chunked",
        request(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        "both Content-Length and Transfer-Encoding",
    ),
    (
        "routes-73: chunked and length",
        request(b"Transfer-Encoding: chunked", b"Content-Length: 3"),
        "both Content-Length and Transfer-Encoding",
    ),
    ("two hosts", request(b"Host: a", b"hosT: a"), "more than one Host header"),
]


@pytest.mark.parametrize(("data", "fault"), [case[1:] for case in REFUSED], ids=[case[0] for case in REFUSED])
def test_refused_requests(data: bytes, fault: str) -> None:
    """routes-72, routes-73; the texts are those of routes spec §3.2."""
    assert refuse_request(data) == f"Failed to parse request: {fault}"


def refuse_request(data: bytes) -> str:
    """See that `data`, its prefixes and longer data are all refused alike, or not decided yet; return the text."""
    with pytest.raises(WireError) as whole:
        parse_request_head(data, LIMITS)
    assert whole.value.status == 400
    with pytest.raises(WireError, match=f"^{re.escape(whole.value.text)}$"):
        parse_request_head(data + b"A: b\r\n\r\n", LIMITS)
    for length in range(len(data)):
        try:
            assert parse_request_head(data[:length], LIMITS) is None, data[:length]
        except WireError as error:
            assert (error.status, error.text, error.fault) == (400, whole.value.text, whole.value.fault)
    return whole.value.text


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(request(b"A: " + b"b" * 9000), id="routes-72: one long field"),
        pytest.param(request(*[b"A: " + b"b" * 900] * 10), id="many fields"),
        pytest.param(b"GET /" + b"a" * 9000, id="endless line"),
        pytest.param(b"G" * 9000, id="endless method"),
    ],
)
def test_too_large_requests(data: bytes) -> None:
    """routes-72: and it is said as soon as it is known."""
    for sent in (data, data[:8193]):
        with pytest.raises(WireError) as caught:
            parse_request_head(sent, LIMITS)
        assert (caught.value.status, caught.value.text) == (400, TOO_LARGE)
        assert caught.value.fault == "header too large"
    assert all(parse_request_head(data[:length], LIMITS) is None for length in range(0, 8193, 64))


def test_the_largest_request_head() -> None:
    """The limit counts the empty line, and neither the empty lines before the head nor what follows it."""
    data = request(b"A: " + b"b" * (8192 - len(request(b"A: "))))
    for before in (b"", b"\r\n"):
        parsed = parse_request_head(before + data + b"x" * 9000, LIMITS)
        assert parsed is not None and parsed[1] == len(before) + 8192
    with pytest.raises(WireError, match=re.escape(TOO_LARGE)):
        parse_request_head(data.replace(b"A: ", b"A: b"), LIMITS)


def test_64_fields_are_not_too_many() -> None:
    assert len(accept_request(request(*[b"A: b"] * 64)).headers) == 64


@pytest.mark.parametrize(
    "start",
    [b"\x00", b"\n", b"\r\n\n", b"\rG", b"GET / HTTP/1.1\n", b"GET / HTTP/1.1\r\nA: b\n", b"GET /\rx", b" "],
    ids=repr,
)
def test_what_cannot_become_a_head_is_refused_at_once(start: bytes) -> None:
    """Nobody waits for the rest of it."""
    with pytest.raises(WireError):
        parse_request_head(start, LIMITS)


# --- responses -----------------------------------------------------------------------------------------------------

ResponseFacts = tuple[int, bytes, bool, int | None, bool, bool]
"""Code, reason, is_http11, content_length, is_chunked, is_persistent."""

RESPONSES: list[tuple[str, bytes, ResponseFacts]] = [
    ("plain", response(), (200, b"OK", True, None, False, True)),
    ("reason with blanks", response(line=b"HTTP/1.1 404 Not \xe4"), (404, b"Not \xe4", True, None, False, True)),
    ("empty reason", response(line=b"HTTP/1.1 200 "), (200, b"", True, None, False, True)),
    ("no reason", response(line=b"HTTP/1.1 200"), (200, b"", True, None, False, True)),
    ("unusual code", response(line=b"HTTP/1.1 999 X"), (999, b"X", True, None, False, True)),
    ("interim", response(line=b"HTTP/1.1 100 Continue"), (100, b"Continue", True, None, False, True)),
    ("HTTP/1.0", response(line=b"HTTP/1.0 200 OK"), (200, b"OK", False, None, False, False)),
    (
        "HTTP/1.0 that stays open",
        response(b"Connection: Keep-Alive", line=b"HTTP/1.0 200 OK"),
        (200, b"OK", False, None, False, True),
    ),
    ("length", response(b"content-LENGTH: 12"), (200, b"OK", True, 12, False, True)),
    ("equal lengths", response(b"Content-Length: 12", b"Content-Length: 012"), (200, b"OK", True, 12, False, True)),
    ("equal lengths in a list", response(b"Content-Length: 12, 12"), (200, b"OK", True, 12, False, True)),
    ("chunked", response(b"Transfer-Encoding: CHUNKED"), (200, b"OK", True, None, True, True)),
    (
        "chunked wins over a length, and nobody trusts the connection afterwards",
        response(b"Content-Length: 3", b"Transfer-Encoding: chunked"),
        (200, b"OK", True, None, True, False),
    ),
    (
        "chunked in HTTP/1.0, the same",
        response(b"Transfer-Encoding: chunked", b"Connection: keep-alive", line=b"HTTP/1.0 200 OK"),
        (200, b"OK", False, None, True, False),
    ),
    ("close", response(b"Connection: x, close"), (200, b"OK", True, None, False, False)),
    ("close, then x", response(b"Connection: close", b"Connection: x"), (200, b"OK", True, None, False, False)),
    ("x, then close", response(b"Connection: x", b"Connection: close"), (200, b"OK", True, None, False, False)),
]


@pytest.mark.parametrize(("data", "expected"), [case[1:] for case in RESPONSES], ids=[case[0] for case in RESPONSES])
def test_accepted_responses(data: bytes, expected: ResponseFacts) -> None:
    for trailing in (b"", TRAILING):
        parsed = parse_response_head(data + trailing, LIMITS)
        assert parsed is not None and parsed[1] == len(data)
        head = parsed[0]
        framing = (head.content_length, head.is_chunked, head.is_persistent)
        assert (head.code, head.reason, head.is_http11, *framing) == expected
    assert all(parse_response_head(data[:length], LIMITS) is None for length in range(len(data)))


def test_response_fields() -> None:
    parsed = parse_response_head(response(b"Set-Cookie: a", b"X:  b\t", b"set-cookie: c"), LIMITS)
    assert parsed is not None
    assert parsed[0].headers == [(b"Set-Cookie", b"a"), (b"X", b"b"), (b"set-cookie", b"c")]


BAD_RESPONSES: list[tuple[str, bytes, str]] = [
    ("not HTTP", b"SSH-2.0-OpenSSH_9.2\r\n\r\n", "invalid status line"),
    ("HTTP/2", response(line=b"HTTP/2 200 OK"), "invalid status line"),
    ("empty line first", b"\r\n" + response(), "invalid status line"),
    ("two digits", response(line=b"HTTP/1.1 20 OK"), "invalid status line"),
    ("four digits", response(line=b"HTTP/1.1 2000 OK"), "invalid status line"),
    ("code below 100", response(line=b"HTTP/1.1 099 Odd"), "invalid status line"),
    ("control character in the reason", response(line=b"HTTP/1.1 200 O\x00K"), "invalid status line"),
    ("bare LF", b"HTTP/1.1 200 OK\nA: b\r\n\r\n", "invalid status line"),
    ("bare LF in a field", response(b"A: b\nC: d"), "invalid new line"),
    ("folded line", response(b"A: b", b" c"), "invalid header name"),
    ("NUL in a value", response(b"A: \x00"), "invalid header value"),
    ("too many fields", response(*[b"A: b"] * 65), "too many headers"),
    ("length is no number", response(b"Content-Length: x"), "invalid content length"),
    ("empty length", response(b"Content-Length:"), "invalid content length"),
    ("lengths differ in a list", response(b"Content-Length: 1, 2"), "invalid content length"),
    ("lengths differ", response(b"Content-Length: 1", b"Content-Length: 2"), "two different content lengths"),
    ("gzip", response(b"Transfer-Encoding: gzip"), "unsupported transfer encoding"),
    ("chunked twice", response(*[b"Transfer-Encoding: chunked"] * 2), "unsupported transfer encoding"),
]


@pytest.mark.parametrize(
    ("data", "fault"), [case[1:] for case in BAD_RESPONSES], ids=[case[0] for case in BAD_RESPONSES]
)
def test_refused_responses(data: bytes, fault: str) -> None:
    with pytest.raises(WireError) as whole:
        parse_response_head(data, LIMITS)
    assert (whole.value.status, whole.value.text) == (502, f"Failed to parse response: {fault}")
    for length in range(len(data)):
        try:
            assert parse_response_head(data[:length], LIMITS) is None, data[:length]
        except WireError as error:
            assert error.status == 502


@pytest.mark.parametrize("end", [b"\r\n\r\n", b""], ids=["complete", "endless"])
def test_too_large_responses(end: bytes) -> None:
    data = b"HTTP/1.1 200 OK\r\nA: " + b"b" * 9000 + end
    with pytest.raises(WireError, match=r"^response header size exceeded limit of 8192 bytes$") as caught:
        parse_response_head(data, LIMITS)
    assert caught.value.status == 502
    assert parse_response_head(data[:8192], LIMITS) is None


# --- against h11 ---------------------------------------------------------------------------------------------------
# What we accept, h11 must accept and understand alike. Left out on purpose, and each handled below by name: empty
# lines before a request and obs-text in its target (h11 refuses both), HTTP/1.1 without Host (h11 insists, the spec
# wants `localhost`), and persistence of HTTP/1.0 (h11 never keeps it). Any token is a method for both.

NASTY = [b"\r", b"\n", b"\r\n", b"\x00", b" ", b"\t", b":", b",", b";", b"\x0b", b"\x80", b"0", b"chunked", b"a"]

METHODS = st.sampled_from([b"GET", b"POST", b"HEAD", b"PUT", b"CONNECT", b"OPTIONS", b"M-SEARCH", b"get"])
TARGETS = st.sampled_from([b"/", b"/a?b=c", b"*", b"http://h/x", b"h:80", b"/%00", b"/a#b"])
LENGTHS = [b"0", b"3", b"03", b"3, 3", b"+3", b"4"]
TOKENS = b"chunked Chunked gzip,chunked close keep-alive Close,x x 100-continue".split()
VALUES = st.sampled_from([b"", b"a", b" a ", b"a b", b"\xff", *LENGTHS, *TOKENS])
NAMES = st.sampled_from([b"Content-Length", b"Transfer-Encoding", b"Connection", b"X-Y", b"Expect", b"content-length"])
FIELDS = st.lists(st.tuples(NAMES, st.sampled_from([b":", b": ", b" : ", b":\t"]), VALUES).map(b"".join), max_size=4)
LINE_ENDS = st.sampled_from([b"\r\n"] * 12 + [b"\n", b"\r", b"\r\r\n", b"\r\n "])


@st.composite
def heads(draw: st.DrawFn, first_lines: st.SearchStrategy[bytes]) -> bytes:
    """A head that is nearly right, with a few bytes exchanged."""
    lines = [draw(first_lines), *draw(st.permutations([b"Host: a", *draw(FIELDS)]))]
    data = b"".join(line + draw(LINE_ENDS) for line in lines) + b"\r\n"
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        at = draw(st.integers(0, len(data) - 1))
        cut = draw(st.integers(0, 2))
        data = data[:at] + draw(st.sampled_from([*NASTY, b""])) + data[at + cut :]
    return data


REQUEST_LINES = st.tuples(METHODS, TARGETS, st.sampled_from([b"HTTP/1.1", b"HTTP/1.0", b"HTTP/1.2"])).map(b" ".join)
STATUS_LINES = st.tuples(
    st.sampled_from([b"HTTP/1.1", b"HTTP/1.0"]),
    st.sampled_from([b"200", b"204", b"304", b"100", b"404", b"999", b"000"]),
    st.sampled_from([b"OK", b"", b"Not Found"]),
).map(b" ".join)


BODY = b"5\r\nhello\r\n0\r\n\r\n"
"""Behind every head: a chunked body, or some content, or the beginning of something else."""


FRAMING = {b"content-length", b"transfer-encoding"}
"""Fields that h11 rewrites; what they mean is compared by the content that both find."""


def fields_by_h11(event: Any) -> Headers:
    return without([(bytes(name), bytes(value)) for name, value in event.headers.raw_items()], FRAMING)


def content_by_h11(connection: h11.Connection) -> tuple[bytes, bool]:
    """Content, and whether it is the whole body."""
    content = b""
    while isinstance(event := connection.next_event(), h11.Data):
        content += bytes(event.data)
    return content, isinstance(event, h11.EndOfMessage)


def content_by_us(decoder: BodyDecoder) -> tuple[bytes, bool]:
    return decoder.feed(BODY), decoder.is_complete


def assert_no_line_ends(*parts: bytes) -> None:
    assert not any(bad in part for part in parts for bad in (b"\r", b"\n", b"\x00"))


@settings(max_examples=200)
@given(heads(REQUEST_LINES))
@example(request(b"Host: a", b"Content-Length: 3", b"Transfer-Encoding: chunked", line=b"POST / HTTP/1.1"))
@example(request(b"Host: a", b"Connection: close", b"Connection: x"))
def test_h11_reads_the_same_request(data: bytes) -> None:
    """No request that we accept means something else to another implementation (RFC 9112 §11.2)."""
    try:
        parsed = parse_request_head(data, LIMITS)
    except WireError as error:
        assert error.status == 400
        return
    if parsed is None:
        return
    head, length = parsed
    assert_no_line_ends(head.method, head.target, *(part for field in head.headers for part in field))
    if not head.target.isascii() or (head.is_http11 and head.host is None):
        return
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data[:length].lstrip(b"\r\n") + BODY)
    event = connection.next_event()
    assert isinstance(event, h11.Request)
    assert (event.method, event.target) == (head.method, head.target)
    assert fields_by_h11(event) == without(head.headers, FRAMING)
    assert event.http_version == (b"1.1" if head.is_http11 else b"1.0")
    decoder = ChunkedBody() if head.is_chunked else SizedBody(head.content_length or 0)
    assert content_by_h11(connection) == content_by_us(decoder)
    connection.send(h11.Response(status_code=404, headers=[("Content-Length", "0")]))
    connection.send(h11.EndOfMessage())
    if head.is_http11:
        assert (connection.our_state is h11.DONE) == head.is_persistent


@settings(max_examples=200)
@given(heads(STATUS_LINES), st.sampled_from(["GET", "HEAD"]))
@example(response(b"Content-Length: 3", b"Transfer-Encoding: chunked"), "GET")
@example(response(b"Connection: close", b"Connection: x", b"Content-Length: 3"), "GET")
def test_h11_reads_the_same_response(data: bytes, method: str) -> None:
    """What a backend sends is understood as h11 understands it; only about keeping connections we may be stricter."""
    try:
        parsed = parse_response_head(data, LIMITS)
    except WireError as error:
        assert error.status == 502
        return
    if parsed is None:
        return
    head, length = parsed
    assert_no_line_ends(head.reason, *(part for field in head.headers for part in field))
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method=method, target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data[:length] + BODY)
    event = connection.next_event()
    assert isinstance(event, h11.InformationalResponse if head.code < 200 else h11.Response)
    assert (event.status_code, event.reason) == (head.code, head.reason)
    assert fields_by_h11(event) == without(head.headers, FRAMING)
    if head.code < 200:
        return
    assert content_by_h11(connection) == content_by_us(decoder_of_response(head, method))
    if head.is_http11 and head.is_persistent and connection.their_state is not h11.SEND_BODY:
        assert connection.their_state is h11.DONE


def decoder_of_response(head: ResponseHead, method: str) -> BodyDecoder:
    """RFC 9112 §6.3."""
    if method == "HEAD" or head.code in (204, 304):
        return SizedBody(0)
    if head.is_chunked:
        return ChunkedBody("response")
    return UntilCloseBody() if head.content_length is None else SizedBody(head.content_length)


# --- fuzz: only what the docstring lists may be raised, and prefixes agree with the whole ---------------------------


@settings(max_examples=200)
@given(heads(REQUEST_LINES) | st.binary(max_size=40), st.data())
def test_a_prefix_never_gives_another_request(data: bytes, draws: st.DataObject) -> None:
    whole = outcome_of_request(data)
    prefix = outcome_of_request(data[: draws.draw(st.integers(0, len(data)))])
    assert prefix == "more" or prefix == whole or (prefix == "refused" and whole != "more")


def outcome_of_request(data: bytes) -> object:
    try:
        parsed = parse_request_head(data, LIMITS)
    except WireError:
        return "refused"
    return "more" if parsed is None else (parsed[0].method, parsed[0].target, parsed[0].headers, parsed[1])
