"""Any answer of a backend: an instruct of which nothing can break a line, or GripError; never another exception.

What is told in headers and what is told in JSON meet the same bounds.
"""

from __future__ import annotations

import re

import orjson
from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import GripError, WireError
from holdfast.grip.instruct import is_instruct, missing_link, parse_instruct
from holdfast.grip.keep_alive import parse_keep_alive
from holdfast.grip.links import has_next_link, parse_links
from holdfast.grip.values import (
    MAX_FILTERS_PER_CHANNEL,
    MIN_HOLD_TIMEOUT_S,
    MIN_KEEP_ALIVE_TIMEOUT_S,
    BackendResponse,
    HoldMode,
    Instruct,
    is_wire_safe,
)
from holdfast.routing.reference import resolve_reference
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.headers import is_one_line, is_token
from holdfast.wire.params import MAX_INT

# What parsers of heads and of ZHTTP packets let through.
LINE_TEXT = re.compile(rb"[^\r\n\0]*")


def line(*seeds: bytes) -> st.SearchStrategy[bytes]:
    return mutated(seeds, TOKENS).filter(LINE_TEXT.fullmatch)


TOKENS = [
    b",", b";", b"=", b'"', b"\\", b" ", b"2147483648", b"-1", b"\\r\\n", b"prev-id=", b"filter=build-id;",
    b"rel=next", b"<", b">", b"\xed\xa0\x80", b"\xe2\x80\xa8", b"cstring", b"base64", b"interval", b"999", b"1000",
    b"//", b"http://", b"[", b"@", b"\x0b",
]  # fmt: skip
FIELDS = {
    b"Grip-Hold": line(b"stream", b"response", b""),
    b"Grip-Channel": line(b"test", b"a; prev-id=1; filter=skip-self, b; filter=x", b'"a,b"; prev-id="q\\"s"'),
    b"Grip-Timeout": line(b"55", b"0"),
    b"Grip-Keep-Alive": line(b"\\n; format=cstring; timeout=30", b"aGk=; format=base64; mode=interval", b"x"),
    b"Grip-Set-Meta": line(b'user=alice, a="b"', b"key"),
    b"Grip-Status": line(b"200 OK", b"404", b"999 Some Thing"),
    b"Grip-Link": line(
        b"</next?a=b>; rel=next; timeout=60", b"<http://h:80/x>; rel=gone, <>; rel=next", b"<\xc3\xa9>;rel=next"
    ),
    b"Grip-Expose-Headers": line(b"X-A, X-B", b""),
    b"X-A": line(b"1"),
    b"Content-Length": line(b"5"),
    b"Content-Type": line(b"text/plain", b"application/grip-instruct", b"application/grip-instruct; charset=utf-8"),
}
HEADERS = st.lists(
    st.sampled_from(sorted(FIELDS)).flatmap(lambda name: st.tuples(st.just(name), FIELDS[name])), min_size=1, max_size=6
)

JSON_SEEDS = [
    b'{"hold":{"mode":"stream","channels":[{"name":"a","prev-id":"1","filters":["skip-self"]}],"timeout":30}}',
    b'{"hold":{"channels":[{"name":"a"},{"name":"b"}],"keep-alive":{"content":"\\n","timeout":5},"meta":{"user":"x"}}}',
    b'{"hold":{"channels":[],"keep-alive":{"content-bin":"aGk="}},"response":{"code":200,"reason":"OK","body":"hi"}}',
    b'{"response":{"headers":{"X-A":"1","Grip-Hold":"x"},"body-bin":"aGk=","code":404}}',
    b'{"response":{"headers":[["A","b"],["C","d"]],"code":"200"}}',
    b"\xef\xbb\xbf{}",
]
JSON_TOKENS = [
    b"null", b"true", b"1e400", b"1e2", b"-1", b"2147483648", b'"\\r\\n"', b'"\\u0000"', b'"\\ud800"', b"[]", b"{}",
    b'""', b"[" * 50, b'"mode":"response",', b'"reason":"a\\nb",', b'"name"', b'"headers":{"a b":"c"},',
    b'[["a","b\\r"]]', b"99999999999999999999",
]  # fmt: skip
BODIES = mutated(JSON_SEEDS, JSON_TOKENS)

BASE = parse_client_uri(b"/base/path?q", b"backend.example", is_tls=False)


@fuzz(HEADERS, st.sampled_from([0, 200, 404]), examples=200)
def test_any_headers(headers: list[tuple[bytes, bytes]], code: int) -> None:
    is_instruct(headers)
    try:
        instruct = parse_instruct(code, b"OK", headers, b"{}")
    except GripError as exc:
        str(exc).encode()
        return
    check(instruct)


@fuzz(BODIES, examples=300)
def test_any_json(body: bytes) -> None:
    headers = [(b"Content-Type", b"application/grip-instruct")]
    assert is_instruct(headers)
    try:
        instruct = parse_instruct(200, b"OK", headers, body)
    except GripError as exc:
        str(exc).encode()
        return
    check(instruct)
    try:
        tree = orjson.loads(body.removeprefix(b"\xef\xbb\xbf"))
    except ValueError as exc:
        raise AssertionError("accepted what is no JSON") from exc
    assert isinstance(tree, dict)


def check(instruct: Instruct) -> None:
    channels = [subscription.channel for subscription in instruct.subscriptions]
    assert len(set(channels)) == len(channels)
    for subscription in instruct.subscriptions:
        assert is_wire_safe(subscription.channel) and is_wire_safe(subscription.prev_id or "")
        assert len(subscription.filters) <= MAX_FILTERS_PER_CHANNEL
        f"{subscription.channel}{subscription.prev_id}{subscription.filters}".encode()
    assert MIN_HOLD_TIMEOUT_S <= instruct.timeout_s <= MAX_INT
    if instruct.keep_alive is not None:
        assert MIN_KEEP_ALIVE_TIMEOUT_S <= instruct.keep_alive.timeout_s <= MAX_INT
    check_response(instruct.response)
    missing = missing_link(instruct)
    assert missing is None or instruct.mode is HoldMode.STREAM
    if instruct.next_link is not None:
        assert 0 <= instruct.next_link.timeout_s <= MAX_INT
        check_link(instruct.next_link.uri)
    if instruct.gone_link is not None:
        check_link(instruct.gone_link)


def check_response(response: BackendResponse) -> None:
    assert 0 <= response.code <= 999
    assert is_one_line(response.reason)
    for name, value in response.headers:
        assert is_token(name) and is_one_line(value)
        assert not name.lower().startswith(b"grip-")
        assert name.lower() not in (b"connection", b"content-length", b"transfer-encoding", b"keep-alive")


def check_link(uri: str) -> None:
    assert uri.isascii() and is_wire_safe(uri) and " " not in uri
    try:
        resolved = resolve_reference(BASE, uri)
    except WireError:
        return
    assert re.fullmatch(rb"/[\x21-\x7e]*", resolved.path_and_query)
    assert re.fullmatch(r"[a-z0-9._~-]+|\[[0-9a-f:.]+\]", resolved.host)


@fuzz(FIELDS[b"Grip-Keep-Alive"])
def test_any_keep_alive(value: bytes) -> None:
    try:
        keep_alive = parse_keep_alive(value)
    except GripError:
        return
    assert keep_alive is None or len(keep_alive.data) <= len(value)


@fuzz(FIELDS[b"Grip-Link"])
def test_any_link(value: bytes) -> None:
    try:
        next_link, _ = parse_links([value])
    except GripError:
        return
    assert has_next_link([value]) is (next_link is not None)
