"""docs/compat.md and the marks of tests/compat name the same differences."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

PROJECT = Path(__file__).resolve().parents[1]
LIST = (PROJECT / "docs" / "compat.md").read_text()
SUITE = sorted((PROJECT / "tests" / "compat").rglob("*.py"))
WITHOUT_A_MARK = {"1.41", "e2e", "unit"}


def last_cells(text: str) -> Iterator[str]:
    """The entries of the last column of each table, its head left out."""
    for table in re.findall(r"(?:^\|.*\n)+", text, re.MULTILINE):
        head, _rule, *rows = [line.strip("|").split("|") for line in table.splitlines()]
        assert head[-1].strip() == "test", f"the last column says how a difference is shown: {head}"
        for row in rows:
            assert len(row) == len(head), row
            assert row[-1].strip(), f"no test and no reason: {row[0]}"
            yield from (entry.strip() for entry in row[-1].split(","))


def choices(text: str) -> Iterator[list[str]]:
    """The rows of the tables of what differs on purpose, heads included, without the lines between them."""
    part = text.partition("## On purpose\n")[2].partition("\n## ")[0]
    for line in re.findall(r"^\| (.*) \|$", part, re.MULTILINE):
        if not line.startswith("---"):
            yield [cell.strip() for cell in line.split("|")]


def marks(source: str) -> Iterator[ast.Call]:
    """The calls of `differs` in a test file."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "differs":
            yield node


def named_by(call: ast.Call) -> str:
    """The row that a mark names."""
    (argument,) = call.args
    assert isinstance(argument, ast.Constant), ast.unparse(call)
    return str(argument.value)


LISTED = list(last_cells(LIST))
MARKED = {named_by(call) for path in SUITE for call in marks(path.read_text())}


def test_every_mark_names_a_row() -> None:
    assert sorted(MARKED - set(LISTED)) == []


def test_every_row_is_shown() -> None:
    """A row names marks that are used, or says why there is none."""
    assert sorted(set(LISTED) - MARKED - WITHOUT_A_MARK) == []


def test_every_choice_has_a_reason() -> None:
    assert [row for row in choices(LIST) if len(row) != 5 or not row[3]] == []
    assert {tuple(row) for row in choices(LIST) if row[0] == "what"} == {("what", "Pushpin", "Holdfast", "why", "test")}


def test_rows_have_names_of_their_own() -> None:
    names = [entry for entry in LISTED if entry not in WITHOUT_A_MARK]
    assert sorted({name for name in names if names.count(name) > 1}) == []


def test_marks_are_found() -> None:
    source = '@differs("a")\ndef test(): ...\nCASES = [pytest.param(1, marks=differs("b")), other("c")]\n'
    assert [named_by(call) for call in marks(source)] == ["a", "b"]


def test_cells_are_found() -> None:
    assert list(last_cells("x\n| a | test |\n| --- | --- |\n| b | one, two |\n| c | e2e |\n\ny\n")) == [
        "one",
        "two",
        "e2e",
    ]


@pytest.mark.parametrize("table", ["| a |\n| --- |\n| b |\n", "| a | test |\n| --- | --- |\n| b | |\n"])
def test_rows_without_an_entry_are_refused(table: str) -> None:
    with pytest.raises(AssertionError):
        list(last_cells(table))
