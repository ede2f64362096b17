from __future__ import annotations

import pytest

from holdfast.wire.reasons import reason_phrase

PHRASES = [
    (200, b"OK"),
    (204, b"No Content"),
    (306, b"Reserved"),
    (404, b"Not Found"),
    (413, b"Request Entity Too Large"),
    (414, b"Request-URI Too Long"),
    (416, b"Requested Range Not Satisfiable"),
    (502, b"Bad Gateway"),
    (511, b"Network Authentication Required"),
]


@pytest.mark.parametrize(("code", "phrase"), PHRASES)
def test_known_codes(code: int, phrase: bytes) -> None:
    assert reason_phrase(code) == phrase


@pytest.mark.parametrize("code", [0, 99, 299, 418, 421, 425, 451, 509, 999])
def test_codes_that_the_old_table_lacks(code: int) -> None:
    assert reason_phrase(code) == b"Undefined Reason"


def test_every_phrase_can_stand_in_a_status_line() -> None:
    phrases = {reason_phrase(code) for code in range(1000)}
    assert len(phrases) == 58 + 1  # the codes of the table share none
    assert all(phrase.decode("ascii").isprintable() for phrase in phrases)
