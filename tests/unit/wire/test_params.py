from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.params import (
    MAX_INT,
    MIN_INT,
    Param,
    Params,
    list_params,
    parse_int,
    parse_pairs,
    parse_params,
    split_list,
)

LISTS = [
    ("empty", b"", []),
    ("blank", b"  ", []),
    ("one", b"a", [b"a"]),
    ("trimmed", b" a ,\tb ", [b"a", b"b"]),
    ("empty middle part", b"a,,b", [b"a", b"", b"b"]),
    ("nothing after the last comma", b"a,", [b"a"]),
    ("comma alone", b",", [b""]),
    ("comma in quotes", b'"x,y"', [b'"x,y"']),
    ("comma in a quoted parameter", b'a; p="1,2", b', [b'a; p="1,2"', b"b"]),
    ("escaped quote", b'"x\\",y", z', [b'"x\\",y"', b"z"]),
    ("unclosed quote takes the rest", b'a, "b, c, d', [b"a", b'"b, c, d']),
    ("unclosed quote after a closed one", b'"a","b,c', [b'"a"', b'"b,c']),
    ("escape at the very end", b'a, "b,\\', [b"a", b'"b,\\']),
]


@pytest.mark.parametrize(("value", "parts"), [case[1:] for case in LISTS], ids=[case[0] for case in LISTS])
def test_split_list(value: bytes, parts: list[bytes]) -> None:
    assert split_list(value) == parts


PARAMS: list[tuple[str, bytes, Params | None]] = [
    ("empty", b"", Params(b"", ())),
    ("first alone", b" a ", Params(b"a", ())),
    ("grip-10: quotes of the first part are characters", b'"a"', Params(b'"a"', ())),
    ("a semicolon cuts the first part within quotes", b'"a;b"', Params(b'"a', ((b'b"', None),))),
    ("pair", b"a; n=v", Params(b"a", ((b"n", b"v"),))),
    ("blanks around everything", b"a ; n = v ; m ", Params(b"a", ((b"n", b"v"), (b"m", None)))),
    ("grip-12: no equals sign is no value", b"a; prev-id", Params(b"a", ((b"prev-id", None),))),
    ("grip-12: nothing behind it is the empty value", b"a; prev-id=", Params(b"a", ((b"prev-id", b""),))),
    ("grip-11: quoted semicolon", b'a; prev-id="1;2"', Params(b"a", ((b"prev-id", b"1;2"),))),
    ("quoted escapes", b'a; n="\\"\\\\\\x"', Params(b"a", ((b"n", b'"\\x'),))),
    ("quoted blanks stay", b'a; n= " v " ; m=1', Params(b"a", ((b"n", b" v "), (b"m", b"1")))),
    ("quoted empty value", b'a; n=""', Params(b"a", ((b"n", b""),))),
    ("text behind the closing quote", b'a; n="v"x; m', Params(b"a", ((b"n", b"v"), (b"m", None)))),
    ("bare value beside a quoted one", b'a; m=1 ; ; n="v"', Params(b"a", ((b"m", b"1"), (b"n", b"v")))),
    ("quote inside a bare value", b'a; n=v"w', Params(b"a", ((b"n", b'v"w'),))),
    ("equals sign in a value", b"a; n=v=w", Params(b"a", ((b"n", b"v=w"),))),
    ("empty parameters", b"a;; ;n", Params(b"a", ((b"n", None),))),
    ("empty name with a value", b"a; =v", Params(b"a", ((b"", b"v"),))),
    ("order and repetition", b"a; f=1; f=2", Params(b"a", ((b"f", b"1"), (b"f", b"2")))),
    ("unclosed quote", b'a; n="v', None),
    ("unclosed quote at an escape", b'a; n="v\\', None),
    ("unclosed quote swallows the rest", b'a; n="v; m=1', None),
]


@pytest.mark.parametrize(("part", "params"), [case[1:] for case in PARAMS], ids=[case[0] for case in PARAMS])
def test_parse_params(part: bytes, params: Params | None) -> None:
    assert parse_params(part) == params


def test_pairs_have_no_first_part() -> None:
    assert parse_pairs(b'user=bob; x="1"') == ((b"user", b"bob"), (b"x", b"1"))
    assert parse_pairs(b"") == ()


def test_get_ignores_case_and_takes_the_first() -> None:
    params = parse_params(b"a; Prev-ID=1; prev-id=2; none")
    assert params is not None
    assert params.get(b"prev-id") == b"1"
    assert params.get(b"none") is None
    assert params.get(b"other") is None


def test_list_params_reads_all_lines_and_drops_unclosed_quotes() -> None:
    lines = [b"a, b; n=1", b'c; n="x', b"d"]
    assert [params.first for params in list_params(lines)] == [b"a", b"b", b"d"]


INTEGERS: list[tuple[bytes, int | None]] = [
    (b"0", 0),
    (b"55", 55),
    (b" 55\t", 55),
    (b"+5", 5),
    (b"-1", -1),
    (b"0000000000000005", 5),
    (b"2147483647", MAX_INT),
    (b"2147483648", None),
    (b"-2147483648", MIN_INT),
    (b"-2147483649", None),
    (b"9" * 5000, None),
    (b"", None),
    (b" ", None),
    (b"abc", None),
    (b"1.5", None),
    (b"1_000", None),
    (b"1 2", None),
    (b"0x10", None),
    (b"--1", None),
    ("٣".encode(), None),
]


@pytest.mark.parametrize(("text", "number"), INTEGERS, ids=[repr(text[:20]) for text, _ in INTEGERS])
def test_parse_int(text: bytes, number: int | None) -> None:
    assert parse_int(text) == number


def quote(value: bytes) -> bytes:
    return b'"' + value.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'


names = st.from_regex(rb"[a-z-]{1,8}", fullmatch=True)
firsts = st.from_regex(rb"[a-z/<>:]{1,8}", fullmatch=True)
pair_lists: st.SearchStrategy[list[Param]] = st.lists(st.tuples(names, st.none() | st.binary(max_size=12)), max_size=4)


@given(st.lists(st.tuples(firsts, pair_lists), max_size=5))
def test_what_was_quoted_comes_back(elements: list[tuple[bytes, list[Param]]]) -> None:
    line = b", ".join(
        first + b"".join(b"; " + name + (b"" if value is None else b"=" + quote(value)) for name, value in pairs)
        for first, pairs in elements
    )
    assert list_params([line]) == [Params(first, tuple(pairs)) for first, pairs in elements]


@given(st.lists(st.from_regex(rb"[a-z ]*[a-z]", fullmatch=True)))
def test_joined_parts_split_again(parts: list[bytes]) -> None:
    assert split_list(b",".join(parts)) == [part.strip() for part in parts]


@given(st.lists(st.sampled_from([b'"', b"\\", b",", b";", b"=", b" ", b"a"])).map(b"".join))
def test_any_line_has_a_value(line: bytes) -> None:
    parts = split_list(line)
    assert all(part == part.strip() for part in parts)
    for params in list_params([line]):
        assert all(name or value is not None for name, value in params.params)


@given(st.integers(MIN_INT, MAX_INT), st.sampled_from(["{}", " {} ", "{:+}", "{:020}"]))
def test_integers_round_trip(number: int, form: str) -> None:
    assert parse_int(form.format(number).encode()) == number
