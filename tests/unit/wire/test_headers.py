from __future__ import annotations

import pytest

from holdfast.wire.headers import (
    Headers,
    get_all,
    get_first,
    is_one_line,
    is_token,
    split_commas,
    without,
    without_prefix,
)

FIELDS: Headers = [(b"A", b"1"), (b"grip-HOLD", b"stream"), (b"a", b"2"), (b"B", b""), (b"Gripe", b"x")]


@pytest.mark.parametrize(
    ("lower", "first", "every"),
    [
        pytest.param(b"a", b"1", [b"1", b"2"], id="the first of two, without case"),
        pytest.param(b"b", b"", [b""], id="empty is not absent"),
        pytest.param(b"c", None, [], id="absent"),
        pytest.param(b"grip", None, [], id="whole names only"),
    ],
)
def test_get(lower: bytes, first: bytes | None, every: list[bytes]) -> None:
    assert get_first(FIELDS, lower) == first
    assert get_all(FIELDS, lower) == every


def test_without() -> None:
    assert without(FIELDS, {b"a", b"gripe"}) == [FIELDS[1], FIELDS[3]]
    assert without(FIELDS, ()) == FIELDS


def test_without_prefix() -> None:
    assert without_prefix(FIELDS, b"grip-") == [FIELDS[0], *FIELDS[2:]]


def test_copies_are_made() -> None:
    for copy in (without(FIELDS, ()), without_prefix(FIELDS, b"x")):
        assert copy is not FIELDS


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([], []),
        ([b""], []),
        ([b"a"], [b"a"]),
        ([b" a ,\tb", b"c,"], [b"a", b"b", b"c"]),
        ([b",, ,"], []),
        ([b"a b,c\x0b"], [b"a b", b"c\x0b"]),
    ],
    ids=["no field", "empty field", "one", "several fields", "empty elements", "only blanks are trimmed"],
)
def test_split_commas(values: list[bytes], expected: list[bytes]) -> None:
    assert split_commas(values) == expected


@pytest.mark.parametrize("name", [b"X", b"Content-Type", b"0!#$%&'*+-.^_`|~z"])
def test_tokens(name: bytes) -> None:
    assert is_token(name)


@pytest.mark.parametrize("name", [b"", b"X:", b"X Y", b"X\r\n", b"\xc3\xa9", b"a\0", b"(a)", b"a,b"])
def test_what_is_no_token(name: bytes) -> None:
    assert not is_token(name)


@pytest.mark.parametrize("value", [b"", b"a b\tc", b"\xff\x01"])
def test_one_line(value: bytes) -> None:
    assert is_one_line(value)


@pytest.mark.parametrize("value", [b"\r", b"a\nb", b"\0"])
def test_more_than_one_line(value: bytes) -> None:
    assert not is_one_line(value)
