from __future__ import annotations

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.instruct import (
    can_stream_body,
    is_instruct,
    missing_link,
    parse_instruct,
    parse_instruct_head,
    parse_streamed_response,
)
from holdfast.grip.values import (
    BackendResponse,
    HoldMode,
    Instruct,
    KeepAlive,
    KeepAliveMode,
    NextLink,
    Subscription,
)
from holdfast.wire.headers import Headers

HOLD = (b"Grip-Hold", b"stream")
JSON = (b"Content-Type", b"application/grip-instruct")


def parse(*headers: tuple[bytes, bytes]) -> Instruct:
    return parse_instruct(200, b"OK", list(headers), b"body")


def parse_error(*headers: tuple[bytes, bytes]) -> str:
    with pytest.raises(GripError) as caught:
        parse(*headers)
    return str(caught.value)


RECOGNISED: list[tuple[str, Headers, bool]] = [
    ("nothing", [], False),
    ("ordinary headers", [(b"Content-Type", b"text/html"), (b"Getter", b"1"), (b"Gri", b"1"), (b"G", b"")], False),
    ("grip-1: any Grip header", [(b"Date", b"x"), (b"Grip-Foo", b"x")], True),
    ("any case", [(b"gRIP-foo", b"")], True),
    ("the bare prefix", [(b"GRIP-", b"")], True),
    ("Grip elsewhere in the name", [(b"X-Grip-Hold", b"stream")], False),
    ("content type", [JSON], True),
    ("content type with parameters", [(b"content-type", b"application/grip-instruct; charset=utf-8")], True),
    ("content type in capitals", [(b"Content-Type", b"Application/Grip-Instruct")], False),
    ("longer content type", [(b"Content-Type", b"application/grip-instructs")], False),
    ("another header of that length", [(b"Content-Tips", b"application/grip-instruct")], False),
]


@pytest.mark.parametrize(
    ("headers", "expected"), [case[1:] for case in RECOGNISED], ids=[case[0] for case in RECOGNISED]
)
def test_is_instruct(headers: Headers, expected: bool) -> None:
    assert is_instruct(headers) is expected


def test_no_hold_is_an_ordinary_response_without_grip_headers() -> None:
    """grip-1, grip-28: what belongs to framing goes too, everything else stays as it is."""
    headers = [
        (b"Content-Type", b"text/plain"),
        (b"Grip-Foo", b"x"),
        (b"Set-Cookie", b"a=1"),
        (b"Connection", b"close"),
        (b"keep-alive", b"timeout=5"),
        (b"Transfer-Encoding", b"chunked"),
        (b"Content-Length", b"4"),
        (b"Content-Encoding", b"gzip"),
        (b"Set-Cookie", b"b=2"),
        (b"grip-sig", b"x"),
    ]
    instruct = parse_instruct(404, b"Nope", headers, b"body")
    kept = [
        (b"Content-Type", b"text/plain"),
        (b"Set-Cookie", b"a=1"),
        (b"Content-Encoding", b"gzip"),
        (b"Set-Cookie", b"b=2"),
    ]
    assert instruct == Instruct(None, (), 55, None, {}, None, None, BackendResponse(404, b"Nope", kept, b"body"))


@pytest.mark.parametrize(
    ("value", "mode"), [(b"response", HoldMode.RESPONSE), (b"stream", HoldMode.STREAM)], ids=["response", "stream"]
)
def test_hold(value: bytes, mode: HoldMode) -> None:
    assert parse((b"Grip-Hold", value), (b"grip-hold", b"nonsense")).mode is mode


@pytest.mark.parametrize("value", [b"Response", b"", b"stream, response", b"\xff"])
def test_bad_hold(value: bytes) -> None:
    """grip-7: the value is case-sensitive."""
    assert parse_error((b"Grip-Hold", value)) == "Grip-Hold must be set to either 'response' or 'stream'"


CHANNELS: list[tuple[str, list[bytes], tuple[Subscription, ...]]] = [
    ("empty value", [b""], ()),
    ("grip-9: a list and a second line", [b"a, b", b"c"], (Subscription("a"), Subscription("b"), Subscription("c"))),
    ("grip-10: quotes belong to the name", [b'"x,y"'], (Subscription('"x,y"'),)),
    ("grip-11: quoted id", [b'a; prev-id="1;2"'], (Subscription("a", "1;2"),)),
    ("grip-12: empty id", [b"a; prev-id="], (Subscription("a", ""),)),
    ("grip-12: no id", [b"a; prev-id"], (Subscription("a"),)),
    ("id in capitals", [b"a; PREV-ID=1"], (Subscription("a", "1"),)),
    ("filters in order", [b"a; filter=x; filter=y; filter=x"], (Subscription("a", None, ("x", "y", "x")),)),
    ("grip-17: unknown filters are kept", [b"a; filter=no-such"], (Subscription("a", None, ("no-such",)),)),
    ("filter in capitals is none", [b"a; Filter=x"], (Subscription("a"),)),
    ("filter without a value is none", [b"a; filter"], (Subscription("a"),)),
    ("five filters", [b"a" + b"; filter=x" * 5], (Subscription("a", None, ("x",) * 5),)),
    ("empty name", [b"a,,b"], (Subscription("a"), Subscription(""), Subscription("b"))),
    ("unclosed quote drops the part", [b'a, b; prev-id="1'], (Subscription("a"),)),
    (
        "twice: the later id and filters",
        [b"a; prev-id=1; filter=x, b, a; prev-id=2"],
        (Subscription("a", "2"), Subscription("b")),
    ),
    ("UTF-8", ["é; prev-id=ü".encode()], (Subscription("é", "ü"),)),
    ("not UTF-8", [b"\xff"], (Subscription("\ufffd"),)),
]


@pytest.mark.parametrize(("lines", "expected"), [case[1:] for case in CHANNELS], ids=[case[0] for case in CHANNELS])
def test_channels(lines: list[bytes], expected: tuple[Subscription, ...]) -> None:
    assert parse(*[(b"Grip-Channel", line) for line in lines]).subscriptions == expected


def test_six_filters() -> None:
    """grip-16"""
    assert parse_error((b"Grip-Channel", b"b, c" + b"; filter=x" * 6)) == "too many filters for channel 'c'"


@pytest.mark.parametrize(
    ("value", "timeout_s"), [(b"0", 5), (b"1", 5), (b"5", 5), (b" 6 ", 6), (b"+70", 70), (b"2147483647", 2**31 - 1)]
)
def test_timeout(value: bytes, timeout_s: int) -> None:
    """grip-18: nothing below five seconds."""
    assert parse((b"Grip-Timeout", value), (b"Grip-Timeout", b"abc")).timeout_s == timeout_s


def test_default_timeout() -> None:
    """grip-18"""
    assert parse((b"Grip-Hold", b"response")).timeout_s == 55


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (b"abc", "failed to parse Grip-Timeout"),
        (b"", "failed to parse Grip-Timeout"),
        (b"1.5", "failed to parse Grip-Timeout"),
        (b"2147483648", "failed to parse Grip-Timeout"),
        (b"-1", "Grip-Timeout has invalid value"),
    ],
)
def test_bad_timeout(value: bytes, text: str) -> None:
    """grip-19"""
    assert parse_error((b"Grip-Timeout", value)) == text


def test_keep_alive_takes_the_first_line() -> None:
    lines = [(b"Grip-Keep-Alive", b"\\n; format=cstring; timeout=20"), (b"Grip-Keep-Alive", b"x; mode=bad")]
    assert parse(*lines).keep_alive == KeepAlive(b"\n", 20, KeepAliveMode.IDLE)
    assert parse_error((b"Grip-Keep-Alive", b"x; mode=bad")) == "no such Grip-Keep-Alive mode 'bad'"


META: list[tuple[str, list[bytes], dict[str, str | None]]] = [
    ("empty value", [b""], {}),
    ("pairs", [b'user=bob, key2="v 2"'], {"user": "bob", "key2": "v 2"}),
    ("later keys overwrite", [b"a=1, a=2", b"b=3", b"a=4"], {"a": "4", "b": "3"}),
    ("no value", [b"user, a="], {"user": None, "a": ""}),
    ("further parameters", [b"a=1; b=2"], {"a": "1"}),
    ("unclosed quote", [b'a=1, b="2'], {"a": "1"}),
    ("names keep their case", [b"User=bob"], {"User": "bob"}),
]


@pytest.mark.parametrize(("lines", "expected"), [case[1:] for case in META], ids=[case[0] for case in META])
def test_meta(lines: list[bytes], expected: dict[str, str | None]) -> None:
    assert parse(*[(b"Grip-Set-Meta", line) for line in lines]).meta == expected


def test_empty_meta_element() -> None:
    assert parse_error((b"Grip-Set-Meta", b"a=1,,b=2")) == "Grip-Set-Meta cannot be empty"


STATUS = [
    (b"404", 404, b"Not Found"),
    (b"404 Nope", 404, b"Nope"),
    (b"404 Not  here", 404, b"Not  here"),
    (b" 404  Nope ", 404, b"Nope"),
    (b"299", 299, b"Undefined Reason"),
    (b"0", 0, b"Undefined Reason"),
    (b"999", 999, b"Undefined Reason"),
]


@pytest.mark.parametrize(("value", "code", "reason"), STATUS, ids=[repr(value) for value, _, _ in STATUS])
def test_status(value: bytes, code: int, reason: bytes) -> None:
    """grip-24"""
    response = parse((b"Grip-Status", value), (b"Grip-Status", b"500")).response
    assert (response.code, response.reason) == (code, reason)


@pytest.mark.parametrize("value", [b"1000", b"-1", b"", b"abc", b"404Nope", b"404\tNope"])
def test_bad_status(value: bytes) -> None:
    """grip-24"""
    assert parse_error((b"Grip-Status", value)) == "Grip-Status contains invalid status code"


@pytest.mark.parametrize("value", [b"200 a\r\nX: 1", b"200 a\nb", b"200 \0b"])
def test_status_that_splits_the_response(value: bytes) -> None:
    assert parse_error((b"Grip-Status", value)) == "Grip-Status contains invalid reason"


def test_expose_headers() -> None:
    """grip-25: only what is listed is left, even of the content type."""
    headers = [(b"X-A", b"1"), (b"Content-Type", b"text/plain"), (b"X-B", b"2"), (b"x-a", b"3"), (b"X-C", b"4")]
    exposed = parse(*headers, (b"Grip-Expose-Headers", b"x-a"), (b"grip-expose-headers", b"X-C, nope")).response.headers
    assert exposed == [(b"X-A", b"1"), (b"x-a", b"3"), (b"X-C", b"4")]


def test_expose_headers_without_names_exposes_all() -> None:
    assert parse((b"X-A", b"1"), (b"Grip-Expose-Headers", b"")).response.headers == [(b"X-A", b"1")]


def test_links() -> None:
    instruct = parse(HOLD, (b"Grip-Link", b"</n>; rel=next; timeout=3"), (b"Grip-Link", b"</g>; rel=gone"))
    assert instruct.next_link == NextLink("/n", 3)
    assert instruct.gone_link == "/g"
    assert parse_error((b"Grip-Link", b"/n; rel=next")) == "failed to parse Grip-Link value"


def test_the_first_failing_header_in_the_order_of_the_protocol_is_named() -> None:
    faults = [
        ((b"Grip-Hold", b"x"), "Grip-Hold must be set to either 'response' or 'stream'"),
        ((b"Grip-Channel", b"c" + b"; filter=x" * 6), "too many filters for channel 'c'"),
        ((b"Grip-Timeout", b"x"), "failed to parse Grip-Timeout"),
        ((b"Grip-Keep-Alive", b"; x"), "Grip-Keep-Alive cannot be empty"),
        ((b"Grip-Set-Meta", b","), "Grip-Set-Meta cannot be empty"),
        ((b"Grip-Status", b"x"), "Grip-Status contains invalid status code"),
        ((b"Grip-Link", b"x; rel=next"), "failed to parse Grip-Link value"),
    ]
    headers = [header for header, _ in reversed(faults)]
    for _, text in faults:
        assert parse_error(*headers) == text
        headers.pop()


def test_json_counts_after_the_headers() -> None:
    headers = [
        JSON,
        (b"X-A", b"1"),
        (b"Grip-Status", b"404"),
        (b"Grip-Expose-Headers", b"x-a"),
        (b"Grip-Channel", b"a"),
    ]
    instruct = parse_instruct(200, b"Fine", headers, b"{}")
    assert instruct.response == BackendResponse(404, b"Not Found", [], b"")
    assert instruct.subscriptions == (Subscription("a"),)
    with pytest.raises(GripError, match=r"^Grip-Status contains invalid status code$"):
        parse_instruct(201, b"Created", [JSON, (b"Grip-Status", b"x")], b"{")


def test_json_with_parameters_in_its_type() -> None:
    headers = [(b"content-type", b"application/grip-instruct ; charset=utf-8")]
    assert is_instruct(headers)
    assert parse_instruct(200, b"OK", headers, b'{"response": {"body": "x"}}').response.body == b"x"


BUILD_ID = (b"Grip-Channel", b"a, b; filter=build-id")
NEXT = (b"Grip-Link", b"</n>; rel=next")
STREAMABLE: list[tuple[str, Headers, bool]] = [
    ("grip-6: stream hold", [HOLD], True),
    ("response hold", [(b"Grip-Hold", b"response"), NEXT], False),
    ("bad hold", [(b"Grip-Hold", b"Stream")], False),
    ("nothing", [], False),
    ("next link alone", [NEXT], True),
    ("gone link alone", [(b"Grip-Link", b"</g>; rel=gone")], False),
    ("build-id", [HOLD, BUILD_ID], False),
    ("next link and build-id", [NEXT, BUILD_ID], False),
    ("other filter", [HOLD, (b"Grip-Channel", b"a; filter=var-subst")], True),
    ("JSON", [HOLD, JSON], False),
]


@pytest.mark.parametrize(
    ("headers", "expected"), [case[1:] for case in STREAMABLE], ids=[case[0] for case in STREAMABLE]
)
def test_can_stream_body(headers: Headers, expected: bool) -> None:
    assert can_stream_body(headers) is expected


def test_streamed_head() -> None:
    """grip spec §1.4: the status counts, exposing does not."""
    headers = [
        (b"Content-Length", b"200000"),
        (b"Transfer-Encoding", b"chunked"),
        (b"X-A", b"1"),
        (b"Content-Type", b"text/plain"),
        HOLD,
        (b"Grip-Channel", b"c"),
        (b"Grip-Status", b"404"),
        (b"Grip-Expose-Headers", b"X-A"),
    ]
    response = BackendResponse(404, b"Not Found", [(b"X-A", b"1"), (b"Content-Type", b"text/plain")], b"")
    assert parse_streamed_response(200, b"OK", headers) == response
    instruct = parse_instruct_head(200, b"OK", headers)
    assert instruct == Instruct(HoldMode.STREAM, (Subscription("c"),), 55, None, {}, None, None, response)


def test_only_a_bad_status_fails_a_streamed_head() -> None:
    headers = [HOLD, (b"Grip-Timeout", b"x")]
    assert parse_streamed_response(200, b"OK", headers) == BackendResponse(200, b"OK", [], b"")
    with pytest.raises(GripError, match=r"^failed to parse Grip-Timeout$"):
        parse_instruct_head(200, b"OK", headers)
    with pytest.raises(GripError, match=r"^Grip-Status contains invalid status code$"):
        parse_streamed_response(200, b"OK", [HOLD, (b"Grip-Status", b"x")])


def test_json_has_no_head() -> None:
    with pytest.raises(GripError, match=r"^failed to parse application/grip-instruct content as JSON$"):
        parse_instruct_head(200, b"OK", [JSON])


grip_names = st.sampled_from(
    [b"Hold", b"Channel", b"Timeout", b"Keep-Alive", b"Set-Meta", b"Status", b"Expose-Headers", b"Link", b"Foo"]
).map(lambda name: b"Grip-" + name)
grip_words = st.sampled_from(
    [b"stream", b"</a>", b"rel=next", b"timeout=", b"filter=build-id", b"format=cstring", b"404", b"-1"]
    + [bytes([byte]) for byte in b'"\\,;= %x\r\n\0\xff']
)
grip_headers = st.lists(st.tuples(grip_names, st.lists(grip_words, max_size=8).map(b"".join) | st.binary(max_size=20)))


@given(grip_headers, st.booleans(), st.integers(0, 999), st.binary())
def test_any_answer_is_an_instruct_or_a_grip_error(headers: Headers, is_json: bool, code: int, body: bytes) -> None:
    headers = [*headers, *([JSON] if is_json else [])]
    can_stream_body(headers)
    parsers: list[Callable[[], BackendResponse]] = [
        lambda: parse_instruct(code, b"", headers, body).response,
        lambda: parse_instruct_head(code, b"", headers).response,
        lambda: parse_streamed_response(code, b"", headers),
    ]
    for parse_any in parsers:
        try:
            response = parse_any()
        except GripError:
            continue
        assert 0 <= response.code <= 999
        assert not any(breaker in response.reason for breaker in b"\r\n\0")
        assert not is_instruct([header for header in response.headers if header != JSON])


LINKS: list[tuple[str, list[tuple[bytes, bytes]], str | None]] = [
    ("a link", [(b"Grip-Link", b"</n>; rel=next"), (b"Grip-Channel", b"a; prev-id=1")], None),
    ("no link", [(b"Grip-Channel", b"a, b; prev-id=1, c; prev-id=2")], "b"),
    ("no link, empty id", [(b"Grip-Channel", b"a; prev-id=")], "a"),
    ("no ids", [(b"Grip-Channel", b"a, b; prev-id")], None),
    ("no channels", [], None),
    ("only a gone link", [(b"Grip-Link", b"</g>; rel=gone"), (b"Grip-Channel", b"a; prev-id=1")], "a"),
]


@pytest.mark.parametrize(("fields", "channel"), [case[1:] for case in LINKS], ids=[case[0] for case in LINKS])
def test_missing_link(fields: list[tuple[bytes, bytes]], channel: str | None) -> None:
    """grip-57"""
    stream = parse_instruct_head(200, b"OK", [(b"Grip-Hold", b"stream"), *fields])
    expected = None if channel is None else f"channel '{channel}' specifies prev-id, but no next link found"
    assert missing_link(stream) == expected
    for mode in ([(b"Grip-Hold", b"response")], []):
        assert missing_link(parse_instruct_head(200, b"OK", [*mode, *fields])) is None
