"""What an answer means: for those whose turn is next, and for later requests of the session."""

from __future__ import annotations

import pytest

from holdfast.errors import WireError
from holdfast.proxy.event_answers import MAX_META_BYTES, accepted_bytes, fits_turn, next_interval_s, set_meta
from holdfast.proxy.websocket_client import EVENTS_PER_TURN
from holdfast.wire.headers import Headers


@pytest.mark.parametrize(
    ("known", "answer", "expected"),
    [
        ([], [(b"Set-Meta-A", b"1")], [(b"Meta-A", b"1")]),
        ([(b"Meta-A", b"1")], [(b"set-meta-a", b"2")], [(b"Meta-a", b"2")]),
        (
            [(b"Meta-A", b"1"), (b"Meta-B", b"2")],
            [(b"Set-Meta-A", b"3")],
            [(b"Meta-B", b"2"), (b"Meta-A", b"3")],
        ),
        ([(b"Meta-A", b"1")], [(b"Set-Meta-A", b"")], []),
        ([], [(b"Set-Meta-", b"1"), (b"Set-Metal", b"1"), (b"X", b"1")], []),
        ([], [(b"Set-Meta-A", b"1"), (b"Set-Meta-a", b"2")], [(b"Meta-a", b"2")]),
    ],
)
def test_meta(known: Headers, answer: Headers, expected: Headers) -> None:
    assert set_meta(known, answer) == expected


def test_meta_has_a_bound() -> None:
    known = set_meta([], [(b"Set-Meta-A", b"x" * (MAX_META_BYTES - 6))])
    assert set_meta(known, [(b"Set-Meta-A", b"x" * (MAX_META_BYTES - 6))]) == known
    with pytest.raises(WireError):
        set_meta(known, [(b"Set-Meta-B", b"")] * 2 + [(b"Set-Meta-C", b"1")])


@pytest.mark.parametrize(
    ("known_s", "value", "expected_s"),
    [(0, None, 0), (30, None, 30), (0, b"25", 25), (30, b"5", 20), (30, b"0", 0), (30, b"-1", 0), (30, b"x", 0)],
)
def test_interval(known_s: int, value: bytes | None, expected_s: int) -> None:
    headers = [(b"Keep-Alive-Interval", value)] if value is not None else []
    assert next_interval_s(known_s, headers) == expected_s


@pytest.mark.parametrize(
    ("value", "expected"), [(None, None), (b"5", 5), (b"0", 0), (b"-1", None), (b"", None), (b"x", None)]
)
def test_accepted_bytes(value: bytes | None, expected: int | None) -> None:
    assert accepted_bytes([(b"Content-Bytes-Accepted", value)] if value is not None else []) == expected


@pytest.mark.parametrize("event", [b"TEXT\r\n", b"\r\n", b"TEXT 1\r\nx\r\n"])
def test_turn(event: bytes) -> None:
    assert fits_turn(b"")
    assert fits_turn(event * (EVENTS_PER_TURN // 2 - 1))
    assert not fits_turn(event * EVENTS_PER_TURN)
