"""Texts of props as values (routes spec §1.2, §1.4)."""

from __future__ import annotations

import pytest

from holdfast.errors import RouteError
from holdfast.routing.authority import Authority
from holdfast.routing.lines import Section
from holdfast.routing.texts import all_texts, parse_choice, parse_header, parse_integer, parse_override


def test_all_texts_keeps_order() -> None:
    assert all_texts(Section("a", (("x", "2"), ("y", "9"), ("x", "1"))), "x") == ["2", "1"]


def test_choice() -> None:
    choices = {"yes": True, "no": False}
    assert parse_choice({}, "ssl", choices) is None
    assert parse_choice({"ssl": "no"}, "ssl", choices) is False
    with pytest.raises(RouteError, match=r"^ssl must be set to 'yes' or 'no'$"):
        parse_choice({"ssl": "YES"}, "ssl", choices)


@pytest.mark.parametrize(
    ("text", "number"), [("4", 4), (" +4 ", 4), ("-4", -4), ("", 0), ("4x", 0), ("4_0", 0), ("٤", 0), ("9" * 5000, 0)]
)
def test_integer(text: str, number: int) -> None:
    assert parse_integer(text) == number


@pytest.mark.parametrize(
    ("texts", "authority"),
    [
        ({}, None),
        ({"host": ""}, None),
        ({"host": "T.com"}, Authority("t.com", None)),
        ({"host": "t.com:99"}, Authority("t.com", 99)),
        ({"host": "[::1]:99"}, Authority("[::1]", 99)),
    ],
)
def test_override(texts: dict[str, str], authority: Authority | None) -> None:
    assert parse_override(texts, "host") == authority


@pytest.mark.parametrize("text", ["a b", "t.com:x", "t.com:0", "a/b", "a\rb", "::1"])
def test_bad_override(text: str) -> None:
    with pytest.raises(RouteError, match=r"^host must be set to HOST or HOST:PORT$"):
        parse_override({"host": text}, "host")


@pytest.mark.parametrize(
    ("text", "header"),
    [
        ("X-A: 1", (b"X-A", b"1")),
        ("X-A:1", (b"X-A", b"1")),
        ("X-A:", (b"X-A", b"")),
        ("X-A:   a:b ", (b"X-A", b"a:b ")),
        ("X-A:\tä", (b"X-A", b"\t\xc3\xa4")),
    ],
)
def test_header(text: str, header: tuple[bytes, bytes]) -> None:
    assert parse_header(text) == header


@pytest.mark.parametrize(
    "text", ["", "X-A", ":1", "X A:1", "X-A :1", "X-A: a\rb", "X-A: a\nb", "X-A: \x00", "Ä:1", "X\r:1"]
)
def test_bad_header(text: str) -> None:
    with pytest.raises(RouteError, match=r"^header must use format 'name:value'$"):
        parse_header(text)
