"""The texts of props as values: what conditions and targets of the routes file have in common (routes spec §1.2).

Invariants: of a prop given twice the last one counts; a flag is on by being there; what a text becomes can be written
into a request as it is.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import TypeVar

from holdfast.errors import RouteError, WireError
from holdfast.routing.authority import Authority, parse_authority
from holdfast.routing.lines import Section
from holdfast.wire.headers import Header

_T = TypeVar("_T")

_FIELD_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_FIELD_VALUE = re.compile(r"[^\x00-\x08\x0a-\x1f\x7f]*")
_INTEGER = re.compile(r"\s*[+-]?[0-9]{1,18}\s*", re.ASCII)


def all_texts(section: Section, name: str) -> list[str]:
    """The texts of a multi-valued prop, in order."""
    return [text for prop, text in section.props if prop == name]


def parse_choice(texts: Mapping[str, str], name: str, choices: Mapping[str, _T]) -> _T | None:
    """The value that the text of prop `name` stands for, None without the prop.

    Raises:
        RouteError: naming the two choices.
    """
    if name not in texts:
        return None
    try:
        return choices[texts[name]]
    except KeyError as exc:
        first, second = choices
        raise RouteError(f"{name} must be set to '{first}' or '{second}'") from exc


def parse_integer(text: str) -> int:
    """The number that `text` is, 0 if it is none (as Pushpin reads it)."""
    return int(text) if _INTEGER.fullmatch(text) else 0


def parse_override(texts: Mapping[str, str], name: str) -> Authority | None:
    """The authority in prop `name`, None without it or if it is empty.

    Raises:
        RouteError: it is not `HOST` or `HOST:PORT`.
    """
    text = texts.get(name)
    if not text:
        return None
    try:
        return parse_authority(text.encode())
    except WireError as exc:
        raise RouteError(f"{name} must be set to HOST or HOST:PORT") from exc


def parse_header(text: str) -> Header:
    """Name and value of a `header` prop; blanks left of the value are cut.

    Raises:
        RouteError: there is no name before a colon, or one of the two could break a request.
    """
    name, colon, value = text.partition(":")
    value = value.lstrip(" ")
    if not colon or not _FIELD_NAME.fullmatch(name) or not _FIELD_VALUE.fullmatch(value):
        raise RouteError("header must use format 'name:value'")
    return name.encode(), value.encode()
