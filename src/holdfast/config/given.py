"""What a user states about settings, in one place: files, environment and command line, by their precedence.

Invariants: pure; a later source beats an earlier one key by key; names that no setting has are noted, never dropped in
silence.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

from holdfast.config.ini import IniFile
from holdfast.config.kinds import Items
from holdfast.config.table import OPTIONS, SECTIONS, suggest_key, suggest_section, suggest_variable, variables

Key = tuple[str, str]

COMMAND_LINE = "command line"
VARIABLE_PREFIX = "HOLDFAST_"
_TCP_PORT = re.compile(r"(tcp://(?:\[[^\]]*\]|[^:/\[\]]*):)([0-9]{1,5})")


@dataclass(frozen=True, slots=True)
class Note:
    """Something to log at the start; `level` is one of the standard library's."""

    level: int
    text: str


def warnings_of(notes: Iterable[Note]) -> tuple[str, ...]:
    """The texts of the notes that are warnings or worse."""
    return tuple(note.text for note in notes if note.level >= logging.WARNING)


@dataclass(frozen=True, slots=True)
class Given:
    """A stated value.

    Attributes:
        items: its texts, at least one.
        place: `FILE:LINE`, `environment variable X`, or `command line`.
    """

    items: Items
    place: str

    @property
    def text(self) -> str:
        """The value as one text, for messages."""
        return ",".join(self.items)


def given_by_file(ini: IniFile, notes: list[Note]) -> dict[Key, Given]:
    """The settings that a file states."""
    notes += [Note(logging.WARNING, str(problem)) for problem in ini.problems]
    for section, place in ini.sections.items():
        if section not in SECTIONS:
            text = f"{place}: unknown section [{section}]{suggest_section(section)}"
            notes.append(Note(logging.WARNING, text))
    given = {}
    for key, value in ini.values.items():
        section, name = key
        if key in OPTIONS:
            given[key] = Given(value.items, value.place)
        elif section in SECTIONS:
            text = f"{value.place}: unknown setting {section}/{name}{suggest_key(section, name)}"
            notes.append(Note(logging.WARNING, text))
        elif not section:
            notes.append(Note(logging.WARNING, f"{value.place}: {name} stands before the first section, ignored"))
    return given


def given_by_environment(environ: Mapping[str, str], notes: list[Note]) -> dict[Key, Given]:
    """The settings that variables state. A text is taken as it stands; a list is split at its commas."""
    known = variables()
    given: dict[Key, Given] = {}
    # The longer names last: HOLDFAST_HOLDFAST_X beats HOLDFAST_X.
    for variable in sorted(filter(lambda name: name.startswith(VARIABLE_PREFIX), environ), key=len):
        option = known.get(variable)
        if option is None:
            text = f"unknown environment variable {variable}{suggest_variable(variable)}"
            notes.append(Note(logging.WARNING, text))
        else:
            given[option.key] = Given(option.kind.split(environ[variable]), f"environment variable {variable}")
    return given


def given_by_arguments(values: Mapping[Key, str]) -> dict[Key, Given]:
    """The settings that the command line states; every key is a setting."""
    return {key: Given(OPTIONS[key].kind.split(text), COMMAND_LINE) for key, text in values.items()}


def use_old_rundir(given: dict[Key, Given], notes: list[Note]) -> None:
    """Let `runner/rundir` stand for a missing `global/rundir` (routes spec §2.4)."""
    old = given.get(("runner", "rundir"))
    if old is not None and ("global", "rundir") not in given:
        given["global", "rundir"] = old
        text = f"{old.place}: rundir in [runner] section is deprecated. put in [global]"
        notes.append(Note(logging.WARNING, text))


def substitute(given: Mapping[Key, Given], names: Mapping[str, str], port_offset: int) -> dict[Key, Given]:
    """`given` with `{NAME}` replaced and the ports of `tcp://` addresses moved, in every text (routes spec §2.3)."""

    def moved(match: re.Match[str]) -> str:
        return f"{match[1]}{int(match[2]) + port_offset}"

    def substituted(text: str) -> str:
        for name, value in names.items():
            text = text.replace(f"{{{name}}}", value)
        return _TCP_PORT.sub(moved, text)

    return {key: replace(value, items=tuple(map(substituted, value.items))) for key, value in given.items()}
