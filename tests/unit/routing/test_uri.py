"""The client's URI (routes spec §3.3)."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.routing.uri import ClientUri, encode_forbidden, has_dot_segment, normalise_path, parse_client_uri

TARGETS = [
    ("/", "/"),
    ("/a/b.js?c=d&e=/../f", "/a/b.js?c=d&e=/../f"),
    ("/a/../b", "/b"),
    ("/a/./b", "/a/b"),
    ("/a/b/..", "/a/"),
    ("/a/b/.", "/a/b/"),
    ("/..", "/"),
    ("/.", "/"),
    ("/../../etc", "/etc"),
    ("/public/../admin", "/admin"),
    ("/public/%2e%2E/admin", "/admin"),
    ("/public/.%2e/admin", "/admin"),
    ("/public/%2e./admin", "/admin"),
    ("/a/%2e/b", "/a/b"),
    ("/a//../b", "/a/b"),
    ("/.well-known/x", "/.well-known/x"),
    ("/a/...", "/a/..."),
    ("/a..", "/a.."),
    ("/%2fa", "/%2fa"),
    ("//a//b", "//a//b"),
    ("/a%2Fb", "/a%2Fb"),
    ("/a;b", "/a;b"),
    ("/a@b:c", "/a@b:c"),
    ("/%41", "/%41"),
    ("/a%c3%a9", "/a%c3%a9"),
    ("/aé", "/a%C3%A9"),
    ("/a\\b", "/a%5Cb"),
    ("/a\\..\\b", "/a%5C..%5Cb"),
    ("/a%zz", "/a%zz"),
    ("/a%", "/a%"),
    ('/a"b', "/a%22b"),
    ("/a`b", "/a%60b"),
    ("/a{b}", "/a%7Bb%7D"),
    ("/<a>", "/%3Ca%3E"),
    ("/a|b^c", "/a|b^c"),
    ("/?x='y'", "/?x='y'"),
    ('/?x="y"&z={é}', "/?x=%22y%22&z=%7B%C3%A9%7D"),
    ("/a#frag", "/a"),
    ("/a?b#frag?c", "/a?b"),
    ("/a#?b", "/a"),
    ("/a?", "/a?"),
    ("/a?b?c", "/a?b?c"),
    ("?q=1", "/?q=1"),
    ("/a\tb c", "/a%09b%20c"),
]


@pytest.mark.parametrize(("target", "expected"), TARGETS)
@pytest.mark.parametrize("prefix", ["", "http://h.com"])
def test_path_and_query(prefix: str, target: str, expected: str) -> None:
    uri = parse_client_uri((prefix + target).encode(), b"h.com", is_tls=False)
    assert uri.path_and_query == expected.encode()
    assert uri.text == f"http://h.com{expected}"


HOSTS = [
    pytest.param(None, False, "localhost", None, id="routes-19-no-host"),
    pytest.param(b"", False, "localhost", None, id="empty-host"),
    pytest.param(b"A.COM:81", False, "a.com", 81, id="routes-18"),
    pytest.param(b"H.Com:80", False, "h.com", None, id="default-port"),
    pytest.param(b"h:443", True, "h", None, id="default-port-tls"),
    pytest.param(b"h:443", False, "h", 443, id="other-default-port"),
    pytest.param(b"h:80", True, "h", 80, id="other-default-port-tls"),
    pytest.param(b"[::1]:8080", False, "[::1]", 8080, id="ipv6"),
]


@pytest.mark.parametrize(("header", "is_tls", "host", "port"), HOSTS)
def test_host(header: bytes | None, is_tls: bool, host: str, port: int | None) -> None:
    scheme = "https" if is_tls else "http"
    assert parse_client_uri(b"/a?b", header, is_tls=is_tls) == ClientUri(scheme, host, port, b"/a", b"b")


def test_authority_has_the_port_only_if_there_is_one() -> None:
    assert parse_client_uri(b"/", b"h:81", is_tls=False).authority == "h:81"
    assert parse_client_uri(b"/", b"h:80", is_tls=False).authority == "h"


@pytest.mark.parametrize(
    ("target", "is_tls", "text"),
    [
        (b"http://a.com/x?y", False, "http://a.com/x?y"),
        (b"HTTP://A.com:80", False, "http://a.com/"),
        (b"http://a.com?q", False, "http://a.com/?q"),
        (b"http://a.com#f", False, "http://a.com/"),
        (b"http://a.com:81/", False, "http://a.com:81/"),
        (b"http://a.com/", True, "https://a.com/"),
        (b"https://[::1]/", False, "http://[::1]/"),
    ],
)
def test_absolute_target_beats_the_host_header(target: bytes, is_tls: bool, text: str) -> None:
    """RFC 9112 §3.2.2; the scheme is that of the connection."""
    assert parse_client_uri(target, b"evil.com:99", is_tls=is_tls).text == text


@pytest.mark.parametrize(
    ("target", "host"),
    [
        (b"*", b"h"),
        (b"h.com:443", b"h.com:443"),
        (b"h", b"h"),
        (b"ftp://h/", b"h"),
        (b"http://", b"h"),
        (b"http:///x", b"h"),
        (b"http://user@h/", b"h"),
        (b"http://h\\@e/", b"h"),
        (b"/", b"h/b?c"),
        (b"/", b"user:pw@h:81"),
        (b"/", b"h b"),
        (b"/", b"h#"),
        (b"/", b"h%zz"),
        (b"", b"h"),
    ],
)
def test_refused(target: bytes, host: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse_client_uri(target, host, is_tls=False)
    assert caught.value.status == 400


def test_targets_without_a_path_are_named() -> None:
    with pytest.raises(WireError, match=r"^Request target must be a path or an http URI\.$"):
        parse_client_uri(b"*", b"h", is_tls=False)


@pytest.mark.parametrize(
    ("make_target", "host", "is_tls"),
    [
        pytest.param(lambda n: b"/" + b"a" * (n - len("http://h/")), b"h", False, id="http"),
        pytest.param(lambda n: b"/" + b"a" * (n - len("https://h/")), b"h", True, id="https"),
        pytest.param(lambda n: b"/{" + b"a" * (n - len("http://h/{")), b"h", False, id="unusual"),
        pytest.param(lambda n: b"/" + b"a" * (n - len("http:///")), None, False, id="no-host"),
        pytest.param(lambda n: b"http://h/" + b"a" * (n - len("http://h/")), b"ignored.com", False, id="absolute"),
    ],
)
def test_longest_uri(make_target: object, host: bytes | None, is_tls: bool) -> None:
    assert callable(make_target)
    parse_client_uri(make_target(4096), host, is_tls=is_tls)
    with pytest.raises(WireError) as caught:
        parse_client_uri(make_target(4097), host, is_tls=is_tls)
    assert (caught.value.status, caught.value.text) == (414, "Request URI exceeded limit of 4096 bytes.")


PIECES = st.lists(
    st.sampled_from(
        [b"/", b".", b"..", b"%2e", b"%2E", b"%2", b"e", b"a", b"%", b";", b"\\", b"//", b"?", b"#", b"\xc3"]
    ),
    max_size=14,
).map(b"".join)
TARGET_BYTES = PIECES | st.binary(max_size=20)


@given(TARGET_BYTES)
def test_a_parsed_path_is_safe_and_stays_so(tail: bytes) -> None:
    uri = parse_client_uri(b"/" + tail, b"h", is_tls=False)
    assert uri.path.startswith(b"/")
    assert not {b".", b".."} & {segment.lower().replace(b"%2e", b".") for segment in uri.path.split(b"/")}
    assert re.fullmatch(rb"[\x21-\x7e]+", uri.path_and_query)
    assert b"#" not in uri.path_and_query
    assert parse_client_uri(uri.path_and_query, b"h", is_tls=False) == uri


@given(TARGET_BYTES)
def test_normalise_is_idempotent(tail: bytes) -> None:
    normal = normalise_path(b"/" + tail)
    assert normal.startswith(b"/")
    assert not has_dot_segment(normal)
    assert normalise_path(normal) == normal


def test_encode_forbidden_leaves_escapes_alone() -> None:
    assert encode_forbidden(b"/a%20b c\r\n\x7f") == b"/a%20b%20c%0D%0A%7F"
