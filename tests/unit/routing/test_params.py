"""The list of what can be written into the routes file is complete, and has nothing that is not read."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast.routing
from holdfast.routing.lines import parse_line
from holdfast.routing.params import (
    CONDITION_PARAMETERS,
    TARGET_FORMS,
    TARGET_PARAMETERS,
    Parameter,
    unknown_parameters,
)
from holdfast.routing.parse import UNSUPPORTED_CONDITION_PROPS

ALL = (*CONDITION_PARAMETERS, *TARGET_PARAMETERS)
SOURCES = [path for path in Path(holdfast.routing.__path__[0]).glob("*.py") if path.name != "params.py"]
READERS = {"get", "all_texts", "parse_choice", "parse_override"}


def names(parameters: tuple[Parameter, ...]) -> set[str]:
    return {parameter.name for parameter in parameters}


def names_read(source: str) -> Iterator[str]:
    """The names that a module looks up in the texts of a section: `texts.get("x")`, `"x" in texts` and the like."""
    for node in ast.walk(ast.parse(source)):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id="texts"), attr="get"), args=[ast.Constant(str(name)), *_]
            ):
                yield name
            case ast.Call(func=ast.Name(id=function), args=[_, ast.Constant(str(name)), *_]) if function in READERS:
                yield name
            case ast.Compare(left=ast.Constant(str(name)), comparators=[ast.Name(id="texts")]):
                yield name
            case ast.Subscript(value=ast.Name(id="texts"), slice=ast.Constant(str(name))):
                yield name
            case _:
                pass


def test_what_the_parser_reads_is_listed() -> None:
    read = {name for path in SOURCES for name in names_read(path.read_text())}
    assert {"proto", "header", "debug", "over_http", "sub", "sig_key"} <= read
    assert sorted(read - names(ALL)) == []


def test_what_is_listed_is_read_or_refused() -> None:
    text = "\n".join(path.read_text() for path in SOURCES)
    assert sorted(name for name in names(ALL) if f'"{name}"' not in text) == []


def test_what_is_refused_is_listed() -> None:
    assert names(CONDITION_PARAMETERS) >= UNSUPPORTED_CONDITION_PROPS


@pytest.mark.parametrize("parameters", [CONDITION_PARAMETERS, TARGET_PARAMETERS], ids=["condition", "target"])
def test_names_are_unique(parameters: tuple[Parameter, ...]) -> None:
    assert len(names(parameters)) == len(parameters)


@pytest.mark.parametrize("text", [*(entry.help for entry in ALL), *(form.help for form in TARGET_FORMS)])
def test_help_is_a_sentence(text: str) -> None:
    assert re.fullmatch(r"[A-Z`].*\.", text)


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("a.com,path_beg=/x,header=A:b h:80,ssl,over_http", []),
        ("a.com,path_begin=/x h:80", ["unknown parameter path_begin is ignored; did you mean path_beg?"]),
        ("a.com,over_http h:80", ["unknown parameter over_http is ignored; it belongs after the target"]),
        ("a.com h:80,debug", ["unknown parameter debug is ignored; it belongs after the host"]),
        ("a.com,zzz=1 h:80 i:80,over-http", [
            "unknown parameter zzz is ignored",
            "unknown parameter over-http is ignored; did you mean over_http?",
        ]),
    ],
)  # fmt: skip
def test_unknown_parameters(line: str, expected: list[str]) -> None:
    assert list(unknown_parameters(parse_line(line) or [])) == expected
