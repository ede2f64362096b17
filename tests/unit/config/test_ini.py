"""The INI syntax of `pushpin.conf` (routes spec §2.2)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.config.ini import IniFile, IniValue, parse_ini, parse_value


@pytest.mark.parametrize(
    ("written", "expected"),
    [
        pytest.param("a", ("a",), id="plain"),
        pytest.param("", ("",), id="empty"),
        pytest.param("  a  ", ("a",), id="outer blanks"),
        pytest.param("a # b", ("a # b",), id="hash is text"),
        pytest.param("a, b", ("a", "b"), id="list"),
        pytest.param("a ,\tb ", ("a", "b"), id="list items are trimmed"),
        pytest.param("a,", ("a", ""), id="list with an empty end"),
        pytest.param(",", ("", ""), id="list of nothing"),
        pytest.param('"a, b"', ("a, b",), id="quoted comma"),
        pytest.param('"a, b", c', ("a, b", "c"), id="quoted item"),
        pytest.param('"q"r', ("qr",), id="text after quotes"),
        pytest.param('"q"  r', ("qr",), id="blanks after quotes"),
        pytest.param('" q "', (" q ",), id="quoted blanks"),
        pytest.param('""', ("",), id="quoted nothing"),
        pytest.param("a=b", ("a=b",), id="equals sign"),
        pytest.param(r"a\\b", ("a\\b",), id="backslash"),
        pytest.param(r"a\"b", ('a"b',), id="escaped quote"),
        pytest.param(r"a\nb\tc", ("a\nb\tc",), id="newline and tab"),
        pytest.param(r"\x41\x20ac", ("A\u20ac",), id="hexadecimal escapes take all digits"),
        pytest.param(r"\101", ("A",), id="octal escape"),
        pytest.param(r"a\qb", ("ab",), id="unknown escape loses both characters"),
        pytest.param("a\\", ("a",), id="backslash at the end"),
        pytest.param(r"\xzz", ("zz",), id="hexadecimal escape without digits"),
        pytest.param(r"\xffffffff", ("\ufffd",), id="no such character"),
        pytest.param(r"\xd800", ("\ufffd",), id="surrogate"),
        pytest.param(r"a\x20 ", ("a ",), id="an escaped blank at the end is meant"),
    ],
)
def test_values(written: str, expected: tuple[str, ...]) -> None:
    assert parse_value(written.strip(" \t")) == expected


def values(text: str) -> dict[tuple[str, str], tuple[str, ...]]:
    return {key: value.items for key, value in parse_ini(text, "f").values.items()}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("[s]\nk=a;b\n", {("s", "k"): ("a",)}, id="semicolon starts a comment anywhere"),
        pytest.param("[s]\nk=a ; b\n", {("s", "k"): ("a",)}, id="semicolon after a blank"),
        pytest.param('[s]\nk="a;b"\n', {("s", "k"): ("a;b",)}, id="quoted semicolon"),
        pytest.param('[s]\nk="\\";"\n', {("s", "k"): ('";',)}, id="semicolon after an escaped quote"),
        pytest.param("[s]\n;k=a\n#k=b\n  # k=c\n", {}, id="comment lines"),
        pytest.param("[s]\r\nk=a\r\nl=b\rm=c", {("s", x): (y,) for x, y in zip("klm", "abc", strict=True)}, id="ends"),
        pytest.param("\ufeff[s]\nk=a", {("s", "k"): ("a",)}, id="byte order mark"),
        pytest.param("[s]\nk = a\n", {("s", "k"): ("a",)}, id="blanks around the equals sign"),
        pytest.param("[a]\nk=1\n[b]\nk=2\n[a]\nl=3\n", {("a", "k"): ("1",), ("b", "k"): ("2",), ("a", "l"): ("3",)}),
        pytest.param("[ s ] x\nk=a", {("s", "k"): ("a",)}, id="text after the header"),
        pytest.param("k=a", {("", "k"): ("a",)}, id="before the first section"),
        pytest.param("[s]\nk=a\\\n  b\nl=c", {("s", "k"): ("a  b",), ("s", "l"): ("c",)}, id="continued line"),
        pytest.param(
            "[s]\nk=a\\\\\nl=c", {("s", "k"): ("a\\",), ("s", "l"): ("c",)}, id="escaped backslash at the end"
        ),
        pytest.param("[s]\n# a\\\nl=c", {("s", "l"): ("c",)}, id="comments are not continued"),
        pytest.param("[s]\nk=a\\", {("s", "k"): ("a",)}, id="nothing to continue with"),
    ],
)
def test_files(text: str, expected: dict[tuple[str, str], tuple[str, ...]]) -> None:
    assert values(text) == expected
    assert parse_ini(text, "f").problems == []


def test_places_and_raw_values() -> None:
    ini = parse_ini('# x\n[s]\n\nk= "a" ; why\nl=1\\\n2\nm=3\n', "dir/p.conf")
    assert ini.values["s", "k"] == IniValue('"a"', ("a",), "dir/p.conf:4")
    assert ini.values["s", "l"].place == "dir/p.conf:5"
    assert ini.values["s", "m"].place == "dir/p.conf:7"
    assert ini.sections == {"s": "dir/p.conf:2"}


@pytest.mark.parametrize(
    ("text", "problem", "expected"),
    [
        pytest.param("[s]\nnonsense\nk=a", "f:2: neither [section] nor key=value, ignored", ("a",), id="no equals"),
        pytest.param("[s]\n=x\nk=a", "f:2: neither [section] nor key=value, ignored", ("a",), id="no key"),
        pytest.param("[s\nk=a", "f:1: section header without ]", ("a",), id="no bracket"),
        pytest.param('[s]\nk="a', "f:2: unterminated quote in the value of k", ("a",), id="no closing quote"),
        pytest.param("[s]\nk=b\nk=a", "f:3: k is given twice; this one counts, not f:2", ("a",), id="given twice"),
    ],
)
def test_problems_do_not_stop_the_rest(text: str, problem: str, expected: tuple[str, ...]) -> None:
    ini = parse_ini(text, "f")
    assert [str(found) for found in ini.problems] == [problem]
    assert ini.values["s", "k"].items == expected


@given(st.text(alphabet='ab=[];#,"\\ \t\r\nx0\ufeff\u20ac'))
def test_every_text_is_a_file(text: str) -> None:
    ini = parse_ini(text, "f")
    assert isinstance(ini, IniFile)
    assert all(value.items for value in ini.values.values())


@given(st.lists(st.text(st.characters(codec="utf-8"), max_size=8), min_size=1, max_size=3))
def test_quoted_texts_come_back(texts: list[str]) -> None:
    def quoted(text: str) -> str:
        return '"' + "".join(f'\\x{ord(char):x}""' if char in '"\\\r\n\x00' else char for char in text) + '"'

    line = ",".join(quoted(text) for text in texts)
    parsed = parse_ini(f"[s]\nk={line}", "f").values["s", "k"].items
    assert parsed == tuple(texts)
