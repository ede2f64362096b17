"""Hosts and ports (routes spec §3.3)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.routing.authority import Authority, canonical_domain, parse_authority

ACCEPTED = [
    ("example.com", "example.com", None),
    ("H.Com:81", "h.com", 81),
    ("h:80", "h", 80),
    ("h:", "h", None),
    ("h:0080", "h", 80),
    ("h:65535", "h", 65535),
    ("1.2.3.4:5", "1.2.3.4", 5),
    ("a_b-c~d.", "a_b-c~d.", None),
    ("[::1]:8080", "[::1]", 8080),
    ("[2001:DB8::1]", "[2001:db8::1]", None),
    ("[::ffff:1.2.3.4]", "[::ffff:1.2.3.4]", None),
    ("bücher.example:81", "xn--bcher-kva.example", 81),
    ("BÜCHER.example", "xn--bcher-kva.example", None),
]


@pytest.mark.parametrize(("raw", "host", "port"), ACCEPTED)
def test_accepted(raw: str, host: str, port: int | None) -> None:
    assert parse_authority(raw.encode()) == Authority(host, port)


REFUSED = [
    *("h/b", "h?c", "h#c", "user@h", "user:pw@h:81", "h b", " h", "h\t", "h:8x", "h:0", "h:65536", "h:123456", ":80"),
    *(
        "h%41",
        "h\\b",
        "a,b",
        "*",
        "::1",
        "[::1",
        "[::1]x",
        "[::1]:x",
        "[zz]",
        "[1]",
        "[fe80::1%25eth0]",
        "h:80:81",
        '"',
    ),
    *("\uff0f.example", "a\uff0fb", "a\uff20b", "ü" * 64, "ü..b", "ü:8x", "ü b", "h\r", "h\n", "ü\n", "h:80\n"),
]


@pytest.mark.parametrize("raw", [*(text.encode() for text in REFUSED), b"", b"\xff", b"a\x00"])
def test_refused(raw: bytes) -> None:
    with pytest.raises(WireError) as caught:
        parse_authority(raw)
    assert (caught.value.status, caught.value.text) == (400, "Failed to parse request: invalid host")


@given(st.binary(max_size=12) | st.text("aü[]:.0/@%", max_size=10).map(str.encode))
def test_a_parsed_host_is_harmless_in_a_header(raw: bytes) -> None:
    try:
        host, port = parse_authority(raw)
    except WireError:
        return
    assert set(host) <= set("abcdefghijklmnopqrstuvwxyz0123456789._~-[:]")
    assert host
    assert port is None or 1 <= port <= 65535


@pytest.mark.parametrize(
    ("authority", "default", "encoded"),
    [
        (Authority("h", None), 80, b"h"),
        (Authority("h", 80), 80, b"h"),
        (Authority("h", 80), 443, b"h:80"),
        (Authority("[::1]", 8080), 80, b"[::1]:8080"),
    ],
)
def test_encode(authority: Authority, default: int, encoded: bytes) -> None:
    assert authority.encode(default) == encoded


@pytest.mark.parametrize(
    ("text", "domain"),
    [
        ("*", "*"),
        ("", ""),
        ("M12.com", "m12.com"),
        ("*.M13.com", "*.m13.com"),
        ("a.com:80", "a.com:80"),
        ("::1", "[::1]"),
        ("[::1]", "[::1]"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("ü..b", "ü..b"),
    ],
)
def test_canonical_domain(text: str, domain: str) -> None:
    assert canonical_domain(text) == domain
