"""Which requests and answers are shared (routes spec §3.14)."""

from __future__ import annotations

import pytest

from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest
from holdfast.routing.sharing import is_for_one_client, request_key
from holdfast.wire.headers import Headers

HEADERS: Headers = [
    (b"Accept", b"*/*"),
    (b"Cookie", b"user=a"),
    (b"Grip-Sig", b"token-1"),
    (b"Grip-Feature", b"status"),
]
REQUEST = OriginRequest(b"GET", b"/path?query", Authority("h.com", None), HEADERS)


def with_headers(*headers: tuple[bytes, bytes]) -> OriginRequest:
    return REQUEST._replace(headers=list(headers))


def test_only_our_signature_may_differ() -> None:
    other = with_headers(*HEADERS[:2], (b"Grip-Sig", b"token-2"), HEADERS[3])
    assert request_key(REQUEST, is_trusted=False) == request_key(other, is_trusted=False)
    assert request_key(REQUEST, is_trusted=True) != request_key(other, is_trusted=True)


@pytest.mark.parametrize(
    "other",
    [
        pytest.param(REQUEST._replace(method=b"HEAD"), id="method"),
        pytest.param(REQUEST._replace(path_and_query=b"/path?Query"), id="query"),
        pytest.param(REQUEST._replace(authority=Authority("h.com", 8080)), id="port"),
        pytest.param(REQUEST._replace(authority=Authority("i.com", None)), id="host"),
        pytest.param(REQUEST._replace(encoded=b"X-A: 1\r\n"), id="encoded"),
        pytest.param(with_headers(*HEADERS[1:]), id="one-less"),
        pytest.param(with_headers(*HEADERS, (b"Accept", b"*/*")), id="one-twice"),
        pytest.param(with_headers(HEADERS[0], (b"Cookie", b"user=b"), *HEADERS[2:]), id="cookie"),
        pytest.param(with_headers(*HEADERS[:3], (b"Grip-Feature", b"other")), id="feature"),
        pytest.param(with_headers(HEADERS[1], HEADERS[0], *HEADERS[2:]), id="order"),
    ],
)
def test_everything_else_counts(other: OriginRequest) -> None:
    assert request_key(REQUEST, is_trusted=False) != request_key(other, is_trusted=False)


def test_trust_counts() -> None:
    """The answer is obeyed for one and passed on for the other."""
    without_signature = with_headers(*HEADERS[:2])
    keys = {request_key(without_signature, is_trusted=is_trusted) for is_trusted in (False, True)}
    assert len(keys) == 2


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ([], False),
        ([(b"Content-Type", b"text/plain"), (b"Cache-Control", b"no-cache, max-age=0")], False),
        ([(b"Vary", b"Cookie, Accept-Encoding")], False),
        ([(b"Cache-Control", b"x-private, private-x")], False),
        ([(b"set-COOKIE", b"a=b")], True),
        ([(b"Set-Cookie2", b"a=b")], True),
        ([(b"Cache-Control", b"no-cache"), (b"cache-control", b"max-age=1 ,PRIVATE")], True),
        ([(b"Cache-Control", b'private = "x-user"')], True),
        ([(b"Cache-Control", b"no-store")], True),
        ([(b"Vary", b"*")], True),
        ([(b"Vary", b"Accept"), (b"vary", b" * ")], True),
    ],
)
def test_answers_for_one_client(headers: Headers, expected: bool) -> None:
    assert is_for_one_client(headers) is expected
