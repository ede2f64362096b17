"""Every requirement of the specifications has a test, or a reason why there is none yet.

The specifications of GRIP over HTTP, of routes and configuration, and of WebSockets, connections and ZeroMQ end with
numbered checklists. A test says which numbers it is about in its docstring, in a mark, in the id of its case, or beside
its row: ``grip-46``, ``routes-12``, ``ws-80``.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

import pytest

TESTS = Path(__file__).resolve().parent
LAST_NUMBER = {"grip": 115, "routes": 115, "ws": 132}
REFERENCE = re.compile(r"\b(grip|routes|ws)-(\d+)\b")

Item = tuple[str, int]


def _items(checklist: str, *numbers: int | range, why: str) -> dict[Item, str]:
    spread = (number if isinstance(number, range) else range(number, number + 1) for number in numbers)
    return {(checklist, number): why for each in spread for number in each}


NOT_YET: dict[Item, str] = {}


def referenced(texts: Iterable[str]) -> set[Item]:
    """The items that texts refer to."""
    return {(checklist, int(number)) for text in texts for checklist, number in REFERENCE.findall(text)}


EVERYTHING = {(checklist, number) for checklist, last in LAST_NUMBER.items() for number in range(1, last + 1)}
TESTED = referenced(path.read_text() for path in TESTS.rglob("test_*.py") if path != Path(__file__).resolve())


def _names(items: Iterable[Item]) -> list[str]:
    return [f"{checklist}-{number}" for checklist, number in sorted(items)]


def test_every_item_has_a_test_or_a_reason() -> None:
    assert _names(EVERYTHING - TESTED - set(NOT_YET)) == []


def test_reasons_go_when_tests_come() -> None:
    assert _names(TESTED & set(NOT_YET)) == []


def test_there_are_no_other_items() -> None:
    assert _names((TESTED | set(NOT_YET)) - EVERYTHING) == []


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('"""grip-46: at once."""', {("grip", 46)}),
        ('id="routes-9-prop", # grip-77', {("routes", 9), ("grip", 77)}),
        ('spec("ws-1", "ws-132")', {("ws", 1), ("ws", 132)}),
        ("programs-1, grip 46, grip-x", set()),
    ],
)
def test_references_are_found(text: str, expected: set[Item]) -> None:
    assert referenced([text]) == expected
