from __future__ import annotations

import pytest

from holdfast.grip.item import Action, ResponseFormat
from holdfast.grip.responses import clean_headers, keep_exposed, published_response
from holdfast.grip.values import BackendResponse
from holdfast.wire.headers import Headers

KEPT = BackendResponse(404, b"Kept", [(b"Content-Type", b"text/plain"), (b"X-A", b"1"), (b"x-b", b"2")], b"kept")


def publish(headers: Headers) -> Headers:
    return published_response(KEPT, ResponseFormat(Action.SEND, headers=headers, body=b"")).headers


def test_clean_headers() -> None:
    dropped = [b"Connection", b"KEEP-ALIVE", b"transfer-encoding", b"Content-Length", b"Grip-Hold", b"gRIP-x"]
    kept = [(b"Content-Encoding", b"gzip"), (b"X-Grip", b"1")]
    assert clean_headers([(name, b"1") for name in dropped] + kept) == kept


def test_status_and_body_are_the_items() -> None:
    """grip-40: whatever the kept status was."""
    response = published_response(KEPT, ResponseFormat(Action.SEND, body=b"new"))
    assert response == BackendResponse(200, b"OK", KEPT.headers, b"new")
    response = published_response(KEPT, ResponseFormat(Action.SEND, 503, b"Busy", body=b""))
    assert (response.code, response.reason, response.body) == (503, b"Busy", b"")


def test_empty_reason_is_a_reason() -> None:
    assert published_response(KEPT, ResponseFormat(Action.SEND, reason=b"", body=b"")).reason == b""


def test_body_after_patch_and_filters() -> None:
    assert published_response(KEPT, ResponseFormat(Action.SEND, body=b"new"), b"").body == b""
    patch = ResponseFormat(Action.SEND, body_patch=[])
    assert published_response(KEPT, patch).body == b"kept"
    assert published_response(KEPT, patch, b"patched").body == b"patched"


HEADERS: list[tuple[str, Headers, Headers]] = [
    ("grip-39: inherited", [], KEPT.headers),
    (
        "grip-39: replaced whatever the case",
        [(b"X-B", b"3"), (b"content-type", b"text/html")],
        [(b"X-A", b"1"), (b"X-B", b"3"), (b"content-type", b"text/html")],
    ),
    ("appended in order", [(b"Y", b"1"), (b"Y", b"2")], [*KEPT.headers, (b"Y", b"1"), (b"Y", b"2")]),
    (
        "grip-43: framing and Grip fields of the item",
        [(b"content-length", b"9"), (b"Transfer-Encoding", b"chunked"), (b"Connection", b"close"), (b"Grip-X", b"1")],
        KEPT.headers,
    ),
    (
        "exposing keeps what is listed",
        [(b"X-C", b"3"), (b"X-D", b"4"), (b"Grip-Expose-Headers", b"x-a"), (b"grip-expose-headers", b"X-D")],
        [(b"X-A", b"1"), (b"X-D", b"4")],
    ),
    ("exposing without names", [(b"Grip-Expose-Headers", b"")], KEPT.headers),
]


@pytest.mark.parametrize(("headers", "expected"), [case[1:] for case in HEADERS], ids=[case[0] for case in HEADERS])
def test_headers(headers: Headers, expected: Headers) -> None:
    """grip-39, grip-43"""
    assert publish(headers) == expected


def test_content_encoding_belongs_to_the_body_it_came_with() -> None:
    encoded = BackendResponse(200, b"OK", [(b"Content-Encoding", b"gzip"), (b"X-A", b"1")], b"\x1f\x8b")
    assert keep_exposed(encoded.headers, [b"X-A"]) == encoded.headers
    assert published_response(encoded, ResponseFormat(Action.SEND, body=b"plain")).headers == [(b"X-A", b"1")]
    brotli = [(b"content-encoding", b"br")]
    assert published_response(encoded, ResponseFormat(Action.SEND, headers=brotli, body=b"")).headers[1:] == brotli


def test_the_kept_response_is_not_touched() -> None:
    before = list(KEPT.headers)
    publish([(b"X-A", b"9"), (b"Grip-Expose-Headers", b"X-A")])
    assert KEPT.headers == before


def test_keep_exposed() -> None:
    assert keep_exposed(KEPT.headers, [b"x-a, X-B; q=1", b'y; z="']) == [(b"X-A", b"1"), (b"x-b", b"2")]
    assert keep_exposed(KEPT.headers, [b"none-of-them"]) == []
