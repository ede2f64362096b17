"""Any target and Host: a URI whose parts can be written into a request, the same when read again, or WireError.

What is routed on has no dot segment, and urllib sees the same host as we do.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated, mutated_text
from tests.fuzz.targets import fuzz

from holdfast.errors import WireError
from holdfast.routing.authority import canonical_domain, parse_authority
from holdfast.routing.reference import resolve_reference
from holdfast.routing.uri import ClientUri, has_dot_segment, parse_client_uri

TARGETS = [
    b"/", b"/a/b?c=d#e", b"/a/./b/../c", b"/%2e%2e/%2E/x", b"http://example.com:80/a?b", b"HTTPS://[::1]:8443/",
    b"?q", b"*", b"//h/x", b"/a\\b<>\"{}`\x7f\xff", b"http://user@h/", b"h:80",
]  # fmt: skip
HOSTS = [
    b"example.com", b"Example.COM:8080", b"[::1]:80", b"[FE80::1]", b"10.0.0.1:", b"b\xc3\xbccher.example",
    b"xn--bcher-kva", b"a" * 64, b"h:65535", b"\xef\xbc\x8f", b"\xe2\x84\x80",
]  # fmt: skip
TOKENS = [
    b"/", b"..", b".", b"%2e", b"%2F", b"?", b"#", b"@", b":", b"//", b"http://", b"\\", b"[", b"]", b"%",
    b"\xe3\x80\x82", b"\xc2\xad", b":0", b":65536", b"xn--", b"%00",
]  # fmt: skip
# What the parser of heads lets through.
TARGET_INPUTS = mutated(TARGETS, TOKENS).filter(re.compile(rb"[\x21-\x7e\x80-\xff]+").fullmatch)
HOST_INPUTS = st.none() | mutated(HOSTS, TOKENS).filter(re.compile(rb"[\t\x20-\x7e\x80-\xff]*").fullmatch)


@fuzz(TARGET_INPUTS, HOST_INPUTS, st.booleans(), examples=400)
def test_any_request(target: bytes, host: bytes | None, is_tls: bool) -> None:
    try:
        uri = parse_client_uri(target, host, is_tls=is_tls)
    except WireError as exc:
        assert exc.status in (400, 414)
        assert exc.text.isprintable()
        return
    check(uri)
    assert uri.scheme == ("https" if is_tls else "http")
    assert parse_client_uri(uri.path_and_query, uri.authority.encode(), is_tls=is_tls) == uri
    assert resolve_reference(uri, uri.text) == uri


def check(uri: ClientUri) -> None:
    assert re.fullmatch(rb"/[\x21-\x7e]*", uri.path_and_query)
    assert not re.search(rb'["<>\\`{}#]', uri.path_and_query)
    assert not has_dot_segment(uri.path)
    for segment in uri.path.split(b"/"):
        assert segment.lower().replace(b"%2e", b".") not in (b".", b"..")
    assert re.fullmatch(r"[a-z0-9._~-]+|\[[0-9a-f:.]+\]", uri.host)
    assert uri.port is None or 1 <= uri.port <= 65535
    parts = urlsplit(uri.text)
    assert (parts.hostname, parts.port) == (uri.host.strip("[]"), uri.port)
    assert (parts.path, parts.query) == (uri.path.decode(), (uri.query or b"").decode())
    assert parts.username is None and parts.fragment == ""


@fuzz(mutated(HOSTS, TOKENS), examples=300)
def test_any_authority(raw: bytes) -> None:
    if not raw:
        return
    try:
        host, port = parse_authority(raw)
    except WireError as exc:
        assert exc.status == 400
        return
    written = host if port is None else f"{host}:{port}"
    assert parse_authority(written.encode()) == (host, port)
    assert canonical_domain(host) == host
    assert parse_authority(written.upper().encode()) == (host, port)
    canonical_domain(raw.decode("utf-8", "surrogateescape"))


REFERENCES = [
    "/next?a=b", "?x", "", "#f", "//other.example/x", "../../up", "http://h:8080/p?q#f", "https://[::1]/",
    "HTTP:rel", "mailto:x", "http://u@h/", "http:///x", "é?ü", "a:b", ";p", "http://h?q",
]  # fmt: skip
REFERENCE_TOKENS = [
    "/", "..", "%2e", "?", "#", "@", ":", "//", "\\", "[", "]", "\u3002", "\uff0f", "http://", "\t", "\n", ":x",
]  # fmt: skip


@fuzz(
    mutated_text(REFERENCES, REFERENCE_TOKENS),
    st.sampled_from(["http://h/a/b?c", "https://h:8443/", "http://[::1]:81/x/y/"]),
    examples=300,
)
def test_any_reference(reference: str, base_text: str) -> None:
    parts = urlsplit(base_text)
    target = f"{parts.path}?{parts.query}" if parts.query else parts.path
    base = parse_client_uri(target.encode(), parts.netloc.encode(), is_tls=parts.scheme == "https")
    assert base.text == base_text
    try:
        uri = resolve_reference(base, reference)
    except WireError:
        return
    check(uri)
    assert resolve_reference(base, uri.text) == uri
