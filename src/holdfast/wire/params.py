"""The value grammar of the Grip header fields: comma lists, `first; name=value` parts and integers (grip spec §2).

Every function is total: any bytes give a value, and what the grammar drops is dropped here.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

Param = tuple[bytes, bytes | None]

_COMMA_OR_QUOTED = re.compile(rb',|"(?:[^"\\]|\\.)*+("?)', re.DOTALL)
_PAIR = re.compile(rb'([^=;]*)(?:=\s*(?:"((?:[^"\\]|\\.)*+)("?)[^;]*|([^;]*)))?(?:;|\Z)', re.DOTALL)
_ESCAPE = re.compile(rb"\\(.)", re.DOTALL)
_INTEGER = re.compile(rb"\s*([+-]?)0*([0-9]{1,10})\s*")

MIN_INT = -(2**31)
MAX_INT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Params:
    """One list element: what stands before the first `;`, and the parameters behind it in order."""

    first: bytes
    params: tuple[Param, ...]

    def get(self, lower: bytes) -> bytes | None:
        """The value of the first parameter whose lower-cased name is `lower`; None if there is none, or no `=`."""
        for name, value in self.params:
            if name.lower() == lower:
                return value
        return None


def split_list(value: bytes) -> list[bytes]:
    """The elements of one line of a list header, trimmed (grip spec §2.2).

    Commas inside double quotes do not split. From an unclosed quote on, the rest of the line belongs to one element.
    Nothing after the last comma is no element, so an empty value has none; nothing between two commas is an empty one.
    """
    parts = _split_outside_quotes(value) if b'"' in value else value.split(b",")
    if not parts[-1].strip():
        parts.pop()
    return [part.strip() for part in parts]


def list_params(values: Iterable[bytes]) -> list[Params]:
    """The elements of all lines of a list header, in order; those that `parse_params` drops are left out."""
    elements: list[Params] = []
    for value in values:
        for part in split_list(value):
            params = parse_params(part)
            if params is not None:
                elements.append(params)
    return elements


def _split_outside_quotes(value: bytes) -> list[bytes]:
    parts = []
    start = 0
    for match in _COMMA_OR_QUOTED.finditer(value):
        if match[0] == b",":
            parts.append(value[start : match.start()])
            start = match.end()
        elif not match[1]:
            break
    parts.append(value[start:])
    return parts


def parse_params(part: bytes) -> Params | None:
    """One list element as `first; name=value; ...`; None if a quoted value is not closed (grip spec §2.4).

    Quotes in `first` are ordinary characters, and a `;` between them still ends it.
    """
    first, _, rest = part.partition(b";")
    if not rest:
        return Params(first.strip(), ())
    pairs = parse_pairs(rest)
    return None if pairs is None else Params(first.strip(), pairs)


def parse_pairs(text: bytes) -> tuple[Param, ...] | None:
    """The parameters of `name=value; name; ...` in order; None if a quoted value is not closed (grip spec §2.4-2.7).

    A name without `=` has the value None. What follows a closing quote up to the next `;` is ignored, and so is nothing
    at all between two `;`.
    """
    if b'"' in text:
        return _parse_quoted_pairs(text)
    pairs: list[Param] = []
    for piece in text.split(b";"):
        name, equals, value = piece.partition(b"=")
        _add_pair(pairs, name, value if equals else None)
    return tuple(pairs)


def _parse_quoted_pairs(text: bytes) -> tuple[Param, ...] | None:
    pairs: list[Param] = []
    for match in _PAIR.finditer(text):
        name, quoted, closing_quote, bare = match.groups()
        if quoted is None:
            _add_pair(pairs, name, bare)
        elif closing_quote:
            pairs.append((name.strip(), _ESCAPE.sub(rb"\1", quoted)))
        else:
            return None
    return tuple(pairs)


def _add_pair(pairs: list[Param], name: bytes, value: bytes | None) -> None:
    name = name.strip()
    if value is not None:
        pairs.append((name, value.strip()))
    elif name:
        pairs.append((name, None))


def parse_int(text: bytes) -> int | None:
    """A 32-bit integer: optional sign and ASCII digits, blanks around allowed; None if it is none (grip spec §2.9)."""
    if len(text) < 10 and text.isdigit():
        return int(text)
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    number = int(match[1] + match[2])
    return number if MIN_INT <= number <= MAX_INT else None
