"""The CORS headers of responses (routes spec §3.12)."""

from __future__ import annotations

import pytest

from holdfast.wire.cross_origin import Cors, Transform
from holdfast.wire.headers import Headers

ANYBODY = Cors.of([])
METHODS = (b"Access-Control-Allow-Methods", b"OPTIONS, HEAD, GET, POST, PUT, DELETE")
CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")
ANY_ORIGIN = (b"Access-Control-Allow-Origin", b"*")
MAX_AGE = (b"Access-Control-Max-Age", b"3600")


def test_a_request_that_says_nothing() -> None:
    """routes-82"""
    assert ANYBODY.with_headers([]) == [METHODS, CREDENTIALS, ANY_ORIGIN, MAX_AGE]


def test_what_the_request_says_is_echoed() -> None:
    """routes-83: of Origin and method the first, of the headers all."""
    cors = Cors.of(
        [
            (b"origin", b"https://a.com"),
            (b"Access-Control-Request-Method", b"PATCH"),
            (b"Access-Control-Request-Headers", b"X-A, X-B,,"),
            (b"Origin", b"https://b.com"),
            (b"access-control-request-headers", b"X-C"),
        ]
    )
    assert cors.with_headers([]) == [
        (b"Access-Control-Allow-Methods", b"PATCH"),
        (b"Access-Control-Allow-Headers", b"X-A, X-B, X-C"),
        CREDENTIALS,
        (b"Access-Control-Allow-Origin", b"https://a.com"),
        MAX_AGE,
    ]


def test_empty_is_as_good_as_nothing() -> None:
    names = (b"Origin", b"Access-Control-Request-Method", b"Access-Control-Request-Headers")
    assert Cors.of([(name, b"") for name in names]) == ANYBODY


def exposed(headers: Headers) -> bytes | None:
    return dict(ANYBODY.with_headers(headers)).get(b"Access-Control-Expose-Headers")


@pytest.mark.parametrize(
    ("names", "expected"),
    [
        pytest.param(b"X-Foo ETag X-Foo", b"X-Foo, ETag", id="routes-84"),
        (b"X-foo x-FOO", b"X-foo"),
        (b"Cache-Control content-language Content-Length CONTENT-TYPE Expires Last-Modified Pragma", None),
        (b"Grip-Foo grip-hold Access-Control-X Grip", b"Grip"),
        (b"Set-Cookie Server", b"Set-Cookie, Server"),
    ],
)
def test_exposed_headers(names: bytes, expected: bytes | None) -> None:
    assert exposed([(name, b"1") for name in names.split()]) == expected


def test_own_headers_of_the_backend_stay() -> None:
    """routes-85: neither changed nor doubled, and in their place."""
    own = [
        (b"access-control-allow-origin", b"https://b.com"),
        (b"X-A", b"1"),
        (b"Access-Control-Expose-Headers", b"Q"),
        (b"Access-Control-Max-Age", b""),
    ]
    assert ANYBODY.with_headers(own) == [*own, METHODS, CREDENTIALS]


def test_as_a_transform() -> None:
    """grip-54: only headers change, whatever the response is, and the original list does not."""
    transform: Transform = ANYBODY
    headers = [(b"X-A", b"1")]
    more = ANYBODY.with_headers(headers)
    assert transform.whole(404, b"No", headers, b"body", 4) == (404, b"No", more, b"body")
    assert transform.held(204, b"No", headers, b"") == (204, b"No", more, b"")
    assert transform.begin(200, b"OK", headers, 7) == (200, b"OK", more, 7, None)
    assert transform.cors is transform
    assert headers == [(b"X-A", b"1")]
