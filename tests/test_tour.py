"""The tour names every module of the package, and neither it nor the glossary names what is not there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "src" / "holdfast"
MODULES = {str(path.relative_to(PACKAGE)) for path in PACKAGE.rglob("*.py") if not path.name.startswith("__")}

_HEADING = re.compile(r"#{2,3} (?:`(\w+)/`)?")
_MODULE = re.compile(r"`([\w/]+\.py)`")


def named(text: str) -> set[str]:
    """The modules that a text names: below a heading that is a folder they may be without it."""
    found = set()
    folder = ""
    for line in text.splitlines():
        if heading := _HEADING.match(line):
            folder = f"{heading[1]}/" if heading[1] else ""
        for name in _MODULE.findall(line):
            found.add(folder + name if folder + name in MODULES else name)
    return found


def test_headings_are_folders() -> None:
    text = "## The tree\n`errors.py`\n### `net/`\n`client.py`, `wire/headers.py`\n### On top\n`nobody.py`, `x`"
    assert named(text) == {"errors.py", "net/client.py", "wire/headers.py", "nobody.py"}


def test_the_tour_is_complete() -> None:
    found = {name for name in named((ROOT / "docs" / "tour.md").read_text()) if not (ROOT / name).exists()}
    assert found == MODULES


@pytest.mark.parametrize("page", ["tour.md", "glossary.md"])
def test_what_else_is_named_exists(page: str) -> None:
    text = (ROOT / "docs" / page).read_text()
    paths = re.findall(r"`((?:src|tests|docs|benchmarks|packaging|examples)/[\w/.]*)`", text)
    assert paths
    assert [path for path in paths if not (ROOT / path).exists()] == []
