from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.websocket.close import (
    MAX_CLOSE_CODE,
    MAX_REASON_BYTES,
    NO_STATUS,
    CloseStatus,
    encode_close_payload,
    parse_close_payload,
)

PAYLOADS: list[tuple[bytes, CloseStatus]] = [
    (b"", NO_STATUS),
    (b"\x03\xe8", CloseStatus(1000)),
    (b"\x03\xe9x", CloseStatus(1001, "x")),
    (b"\x0f\xa0" + "é".encode(), CloseStatus(4000, "é")),
    (b"\0\0", CloseStatus(0)),
    (b"\xff\xffx", CloseStatus(65535, "x")),
]


@pytest.mark.parametrize(("payload", "status"), PAYLOADS, ids=[repr(payload) for payload, _ in PAYLOADS])
def test_both_directions(payload: bytes, status: CloseStatus) -> None:
    assert parse_close_payload(payload) == status
    assert encode_close_payload(status) == payload


def test_half_a_code_is_none() -> None:
    assert parse_close_payload(b"\x03") == NO_STATUS


def test_reason_that_is_not_utf8() -> None:
    with pytest.raises(UnicodeDecodeError):
        parse_close_payload(b"\x03\xe8\xff")


REASONS: list[tuple[str, bytes]] = [
    ("x" * 123, b"x" * 123),
    ("x" * 124, b"x" * 123),
    ("x" * 122 + "é", b"x" * 122),
    ("x" * 121 + "é", b"x" * 121 + "é".encode()),
    ("𝄞" * 31, "𝄞".encode() * 30),
    ("\ud800", b"?"),
]


@pytest.mark.parametrize(("reason", "encoded"), REASONS, ids=[repr(reason[-3:]) for reason, _ in REASONS])
def test_long_reasons_are_cut_at_a_character(reason: str, encoded: bytes) -> None:
    """ws spec §3.3."""
    assert encode_close_payload(CloseStatus(1000, reason)) == b"\x03\xe8" + encoded


@pytest.mark.parametrize("code", [None, 1000, 1001, 1002, 1003, 1007, 1011, 1012, 1014, 3000, 4999])
def test_valid_codes(code: int | None) -> None:
    assert CloseStatus(code).has_valid_code


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_no_frame_may_carry(code: int) -> None:
    """RFC 6455 §7.4; they can be encoded all the same, since what is published is relayed."""
    assert not CloseStatus(code).has_valid_code


@given(st.integers(0, MAX_CLOSE_CODE), st.text(st.characters(codec="utf-8")))
def test_round_trip(code: int, reason: str) -> None:
    payload = encode_close_payload(CloseStatus(code, reason))
    status = parse_close_payload(payload)
    assert status.code == code and reason.startswith(status.reason) and len(payload) <= 2 + MAX_REASON_BYTES
    assert len(reason.encode()) > MAX_REASON_BYTES or status.reason == reason
