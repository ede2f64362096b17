"""Headers that end at a connection (routes spec §3.5 step 5, §3.10)."""

from __future__ import annotations

import pytest

from holdfast.routing.hop_by_hop import named_by_connection, relayed_headers

ESSENTIALS = (
    b"Host, Content-Length, Content-Type, Content-Encoding, Authorization, Cookie, Set-Cookie, Cache-Control, "
    b"Location, X-Forwarded-For, X-Forwarded-Proto, X-Real-IP, Forwarded, Via, CDN-Loop, Grip-Sig, Grip-Hold, "
    b"Pushpin-Route, eb9bf0f5-X, If-Match, Sec-WebSocket-Key, Access-Control-Allow-Origin, Origin, Range, Last-Event-ID"
)


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ([b"keep-alive"], set()),
        ([b"X-Hop"], {b"x-hop"}),
        ([b"X-Hop, close", b"Y-Hop ,"], {b"x-hop", b"close", b"y-hop"}),
        ([ESSENTIALS], set()),
        ([ESSENTIALS.upper()], set()),
    ],
)
def test_named_by_connection(values: list[bytes], named: set[bytes]) -> None:
    assert named_by_connection(values) == named


def test_relayed_headers() -> None:
    """routes-67: hop-by-hop fields end here, the rest keeps order, spelling and repetition."""
    headers = [
        (b"Connection", b"x"),
        (b"Set-Cookie", b"a=1"),
        (b"X", b"named"),
        (b"Keep-Alive", b"timeout=5"),
        (b"TRANSFER-ENCODING", b"chunked"),
        (b"Trailer", b"Y"),
        (b"Upgrade", b"h2c"),
        (b"Proxy-Connection", b"close"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Length", b"5"),
        (b"Set-Cookie", b"b=2"),
        (b"server", b"s"),
    ]
    assert relayed_headers(headers) == [
        (b"Set-Cookie", b"a=1"),
        (b"Content-Encoding", b"gzip"),
        (b"Content-Length", b"5"),
        (b"Set-Cookie", b"b=2"),
        (b"server", b"s"),
    ]


@pytest.mark.parametrize("option", [b"keep-alive", b"close", b"Set-Cookie", b"Content-Length, Grip-Hold"])
def test_nothing_else_goes_for_harmless_options(option: bytes) -> None:
    rest = [(b"Set-Cookie", b"a=1"), (b"Content-Length", b"5"), (b"Grip-Hold", b"stream")]
    assert relayed_headers([(b"Connection", option), *rest]) == rest


def test_no_connection_header() -> None:
    assert relayed_headers([(b"A", b"1")]) == [(b"A", b"1")]
