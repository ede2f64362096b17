"""How much to log: the items `N` and `NAME:N` of `log_level` and `--loglevel` (routes spec §2.4, §2.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

DEFAULT_LEVEL = 2

COMPONENTS = ("connmgr", "handler", "proxy", "runner")
_OLD_NAMES = {"condure": "connmgr", "pushpin-proxy": "proxy", "pushpin-handler": "handler"}
_GONE = frozenset({"m2adapter", "mongrel2", "zurl"})  # programs of older Pushpins; a file that names them is fine


@dataclass(frozen=True, slots=True)
class LogLevels:
    """How much to log: 0 errors, 1 warnings, 2 information, 3 debug, 4 and more trace.

    Attributes:
        level: of everything that `components` does not name.
        components: level by component of Pushpin; the names are those of `COMPONENTS`.
    """

    level: int = DEFAULT_LEVEL
    components: Mapping[str, int] = field(default_factory=lambda: MappingProxyType({}))


def parse_log_levels(items: Sequence[str]) -> LogLevels:
    """The levels that `items` state; a later item beats an earlier one.

    Raises:
        ValueError: with the texts of routes spec §2.6.
    """
    level = DEFAULT_LEVEL
    components: dict[str, int] = {}
    for item in items:
        name, number = _parse_item(item)
        if name is None:
            level = number
        elif name not in _GONE:
            components[name] = number
    return LogLevels(level, MappingProxyType(components))


def _parse_item(item: str) -> tuple[str | None, int]:
    name, colon, number = item.rpartition(":")
    if not item:
        raise ValueError("log level component cannot be empty")
    if colon and not name:
        raise ValueError("log level component name cannot be empty")
    if not (number.isascii() and number.isdigit()):
        whose = f" for service {name}" if name else ""
        raise ValueError(f"log level{whose} must be greater than or equal to 0")
    component = _OLD_NAMES.get(name, name)
    if name and component not in COMPONENTS and component not in _GONE:
        raise ValueError(f"log level component {name} is none of {', '.join(COMPONENTS)}")
    return component or None, int(number[:9])
