"""The syntax of `pushpin.conf`: an INI file as Qt reads it (routes spec §2.2).

Invariants: pure; every value keeps its place for messages; a line that cannot be read is reported and never stops the
lines after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ESCAPES = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"} | {
    char: char for char in "\"'?\\"
}
_HEX = re.compile(r"x([0-9a-fA-F]+)")
_OCTAL = re.compile(r"([0-7]+)")
_BLANKS = " \t"
_MAX_CODE_POINT = 0x10FFFF


@dataclass(frozen=True, slots=True)
class IniValue:
    """The value of one key.

    Attributes:
        raw: the text right of `=`, without comment and outer blanks.
        items: its texts, unquoted and unescaped; more than one if there is an unquoted comma, and never none.
        place: `FILE:LINE`.
    """

    raw: str
    items: tuple[str, ...]
    place: str


@dataclass(frozen=True, slots=True)
class IniProblem:
    """Something in the file that was left out or overridden."""

    place: str
    text: str

    def __str__(self) -> str:
        return f"{self.place}: {self.text}"


@dataclass(slots=True)
class IniFile:
    """What an INI file says.

    Attributes:
        values: by section and key; of a key given twice the last one.
        sections: the sections that the file names, each with the place of its first header.
        problems: in the order of the file.
    """

    values: dict[tuple[str, str], IniValue] = field(default_factory=dict)
    sections: dict[str, str] = field(default_factory=dict)
    problems: list[IniProblem] = field(default_factory=list)


def parse_ini(text: str, name: str) -> IniFile:
    """The sections, keys and values of `text`; `name` stands for the file in places. Every text can be parsed."""
    ini = IniFile()
    section = ""
    for number, line in _logical_lines(text.removeprefix("\ufeff")):
        place = f"{name}:{number}"
        stripped = line.strip(_BLANKS)
        if not stripped or stripped[0] in ";#":
            continue
        if stripped[0] == "[":
            section = _parse_header(stripped, place, ini)
        else:
            _parse_assignment(section, stripped, place, ini)
    return ini


def _logical_lines(text: str) -> Iterator[tuple[int, str]]:
    """Lines with the number of their first part: one that ends in an unescaped backslash goes on in the next."""
    pending: list[str] = []
    first = 0
    lines = re.split(r"\r\n|\n|\r", text)
    for number, line in enumerate(lines, 1):
        first = first if pending else number
        is_continued = (len(line) - len(line.rstrip("\\"))) % 2 == 1
        is_comment = not pending and line.lstrip(_BLANKS).startswith((";", "#"))
        if is_continued and not is_comment and number < len(lines):
            pending.append(line[:-1])
            continue
        yield first, "".join([*pending, line])
        pending.clear()


def _parse_header(line: str, place: str, ini: IniFile) -> str:
    name, bracket, _ = line[1:].partition("]")
    if not bracket:
        ini.problems.append(IniProblem(place, "section header without ]"))
    name = name.strip(_BLANKS)
    ini.sections.setdefault(name, place)
    return name


def _parse_assignment(section: str, line: str, place: str, ini: IniFile) -> None:
    key, equals, rest = line.partition("=")
    key = key.rstrip(_BLANKS)
    if not equals or not key:
        ini.problems.append(IniProblem(place, "neither [section] nor key=value, ignored"))
        return
    raw, is_closed = _cut_comment(rest)
    if not is_closed:
        # Qt would swallow the rest of the file up to the next quote; nobody means that.
        ini.problems.append(IniProblem(place, f"unterminated quote in the value of {key}"))
    earlier = ini.values.get((section, key))
    if earlier is not None:
        ini.problems.append(IniProblem(place, f"{key} is given twice; this one counts, not {earlier.place}"))
    ini.values[section, key] = IniValue(raw, parse_value(raw), place)


def _cut_comment(text: str) -> tuple[str, bool]:
    """`text` up to the first unquoted `;`, trimmed, and whether its quotes are closed."""
    in_quotes = False
    position = 0
    while position < len(text):
        char = text[position]
        if char == ";" and not in_quotes:
            break
        in_quotes ^= char == '"'
        position += 2 if char == "\\" else 1
    return text[:position].strip(_BLANKS), not in_quotes


def parse_value(raw: str) -> tuple[str, ...]:
    """The texts of a value: one, or the items between unquoted commas; blanks around unquoted texts are cut."""
    return _ValueReader(raw).read()


class _ValueReader:
    """Walks over one value and collects its texts."""

    def __init__(self, raw: str) -> None:
        self._raw = raw
        self._position = 0
        self._items: list[str] = []
        self._text = ""
        self._has_quotes = False
        # Up to here blanks at the end of the text are meant: they came from escapes.
        self._kept = 0

    def read(self) -> tuple[str, ...]:
        in_quotes = False
        self._skip_blanks()
        while self._position < len(self._raw):
            char = self._raw[self._position]
            self._position += 1
            if char == "\\":
                self._text += self._read_escape()
                self._kept = len(self._text)
            elif char == '"':
                in_quotes = not in_quotes
                self._has_quotes = True
                if not in_quotes:
                    self._skip_blanks()
            elif char == "," and not in_quotes:
                self._end_item()
                self._skip_blanks()
            else:
                self._text += char
        self._end_item()
        return tuple(self._items)

    def _end_item(self) -> None:
        text = self._text
        if not self._has_quotes:
            text = text[: self._kept] + text[self._kept :].rstrip(_BLANKS)
        self._items.append(text)
        self._text, self._has_quotes, self._kept = "", False, 0

    def _skip_blanks(self) -> None:
        while self._raw[self._position : self._position + 1] in (" ", "\t"):
            self._position += 1

    def _read_escape(self) -> str:
        """The character that the escape after a backslash stands for; an unknown one is lost as a whole."""
        for pattern, base in ((_HEX, 16), (_OCTAL, 8)):
            match = pattern.match(self._raw, self._position)
            if match is not None:
                self._position = match.end()
                code = int(match[1], base)
                return chr(code) if code <= _MAX_CODE_POINT and not 0xD800 <= code <= 0xDFFF else "\ufffd"
        char = self._raw[self._position : self._position + 1]
        self._position += len(char)
        return _ESCAPES.get(char, "")
