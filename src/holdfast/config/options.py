"""What is known about a setting: its name, how its value is written, its defaults, and what becomes of it.

Invariants: everything that a reference page needs is here; defaults are written as a user would write them and go
through the same parser.
"""

from __future__ import annotations

from dataclasses import Field, dataclass, field, fields
from enum import Enum
from typing import Any

from holdfast.config.kinds import Kind, T


class Status(Enum):
    """What becomes of a setting."""

    SUPPORTED = "supported"
    IGNORED = "ignored"  # harmless and pointless here
    LATER = "later"  # its machinery is still to come


class Later(Enum):
    """What a setting does whose machinery is still to come."""

    REFUSE = "refuse"  # switched on it stops the start: to go without it would change what is safe or what is sent
    WARN_IF_SET = "warn if set"
    WARN_IF_CHANGED = "warn if changed"  # the shipped value is how it works anyway


@dataclass(frozen=True, slots=True)
class Option:
    """One setting.

    Attributes:
        section, name: where it stands in the file.
        kind: how its value is written.
        shipped: the value in Pushpin's shipped file, which holds when there is no file at all.
        absent: the value that holds when there is a file without this key.
        unit: of numbers; "" for none.
        help: one sentence.
        reason: why it is ignored, or what is missing without it; "" if it is supported.
    """

    section: str
    name: str
    kind: Kind[Any]
    shipped: str = ""
    absent: str = ""
    unit: str = ""
    help: str = ""
    status: Status = Status.SUPPORTED
    later: Later | None = None
    reason: str = ""

    @property
    def key(self) -> tuple[str, str]:
        """Section and name."""
        return self.section, self.name

    @property
    def path(self) -> str:
        """`section/name`, as messages have it."""
        return f"{self.section}/{self.name}"

    @property
    def variable(self) -> str:
        """The environment variable that sets it."""
        return f"HOLDFAST_{self.section}_{self.name}".upper()

    def default(self, *, has_file: bool) -> Any:
        """The value that holds when nothing states one."""
        return self.kind.parse(self.kind.split(self.absent if has_file else self.shipped))


_METADATA = "option"


@dataclass(frozen=True, slots=True)
class _Declaration:
    kind: Kind[Any]
    shipped: str
    absent: str
    unit: str
    help: str


def option(
    kind: Kind[T], shipped: str, help: str, *, absent: str | None = None, unit: str = "", is_secret: bool = False
) -> T:
    """A dataclass field that is a setting of its name; its default is the shipped value.

    Args:
        absent: what holds in a file without the setting, if not the shipped value.
        is_secret: keep the value out of `repr`.

    The others are those of `Option`.
    """
    declaration = _Declaration(kind, shipped, shipped if absent is None else absent, unit, help)
    default: T = field(default=kind.parse(kind.split(shipped)), repr=not is_secret, metadata={_METADATA: declaration})
    return default


def options_of(section: str, settings: type[Any]) -> list[Option]:
    """The settings that a dataclass declares with `option`, in order."""
    return [_option_of(section, entry) for entry in fields(settings)]


def _option_of(section: str, entry: Field[Any]) -> Option:
    declared: _Declaration = entry.metadata[_METADATA]
    return Option(section, entry.name, declared.kind, declared.shipped, declared.absent, declared.unit, declared.help)
