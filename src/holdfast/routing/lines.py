"""The grammar of one line of the routes file (routes spec §1.2).

Invariants: only the space separates sections; quotes protect space, comma and `#`, but not `=`; nothing here knows what
a prop means.
"""

from __future__ import annotations

import re
from typing import NamedTuple

from holdfast.errors import RouteError

# What ends a run of plain characters outside and inside of quotes.
_STOP = re.compile(r'[ ,#"]')
_QUOTED_STOP = re.compile(r'["\\]')


class Section(NamedTuple):
    """A value with its props in the order written; a prop without `=` has the text ""."""

    value: str
    props: tuple[tuple[str, str], ...]


def parse_line(line: str) -> list[Section] | None:
    """The condition and the targets of a line, or None for a blank line or a comment.

    Args:
        line: without its line end.

    Raises:
        RouteError: with the text of routes spec §1.2.
    """
    sections: list[Section] = []
    at = 0
    while True:
        while line[at : at + 1] == " ":
            at += 1
        if at == len(line) or line[at] == "#":
            break
        section, at = _read_section(line, at)
        sections.append(section)
    if len(sections) == 1:
        raise RouteError("must specify condition and at least one target")
    return sections or None


def _read_section(line: str, start: int) -> tuple[Section, int]:
    value, at = _read_token(line, start)
    props: list[tuple[str, str]] = []
    if "=" in value:
        # Compat: `id=x h:80` means `,id=x h:80`, but only in the very first column.
        if start > 0:
            raise RouteError("expecting prop")
        props.append(_parse_prop(value))
        value = ""
    while line[at : at + 1] == ",":
        token, at = _read_token(line, at + 1)
        props.append(_parse_prop(token))
    return Section(value, tuple(props)), at


def _parse_prop(token: str) -> tuple[str, str]:
    if not token:
        raise RouteError("expecting prop")
    name, _, text = token.partition("=")
    if not name:
        raise RouteError("empty prop name")
    return name, text


def _read_token(line: str, at: int) -> tuple[str, int]:
    """The token that begins at `at`, without its quotes, and where it ends."""
    parts: list[str] = []
    while True:
        stop = _STOP.search(line, at)
        end = stop.start() if stop else len(line)
        parts.append(line[at:end])
        if line[end : end + 1] != '"':
            return "".join(parts), end
        quoted, at = _read_quoted(line, end + 1)
        parts.append(quoted)


def _read_quoted(line: str, at: int) -> tuple[str, int]:
    """The text between an opening quote, which ends before `at`, and its closing one; and where to go on."""
    parts: list[str] = []
    while True:
        stop = _QUOTED_STOP.search(line, at)
        if stop is None:
            raise RouteError("unterminated quoted section")
        end = stop.start()
        parts.append(line[at:end])
        if line[end] == '"':
            return "".join(parts), end + 1
        escaped = line[end + 1 : end + 2]
        if not escaped:
            raise RouteError("unterminated escape sequence")
        if escaped not in '"\\':
            raise RouteError(f"unexpected escape character: {escaped}")
        parts.append(escaped)
        at = end + 2
