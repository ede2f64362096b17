"""All settings by section and name, and by environment variable."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from types import MappingProxyType
from typing import Any

from holdfast.config.options import Option, options_of
from holdfast.config.settings import GlobalSettings, HandlerSettings, HoldfastSettings, ProxySettings, RunnerSettings
from holdfast.config.unsupported import unsupported_options

SECTIONS: Mapping[str, type[Any]] = MappingProxyType(
    {
        "global": GlobalSettings,
        "runner": RunnerSettings,
        "proxy": ProxySettings,
        "handler": HandlerSettings,
        "holdfast": HoldfastSettings,
    }
)
"""Section -> the dataclass with its supported settings."""


def _table() -> dict[tuple[str, str], Option]:
    supported = [option for section, settings in SECTIONS.items() for option in options_of(section, settings)]
    return {option.key: option for option in (*supported, *unsupported_options())}


OPTIONS: Mapping[tuple[str, str], Option] = MappingProxyType(_table())
"""Section and name -> setting; the supported ones first, in the order of declaration."""


def variables() -> dict[str, Option]:
    """Environment variable -> setting: `HOLDFAST_SECTION_KEY`, and `HOLDFAST_KEY` for `[holdfast]`."""
    short = {f"HOLDFAST_{option.name}".upper(): option for option in OPTIONS.values() if option.section == "holdfast"}
    return short | {option.variable: option for option in OPTIONS.values()}


def suggest_key(section: str, name: str) -> str:
    """`; did you mean X?` for a name that no setting of `section` has, or nothing."""
    close = _closest(name, (option.name for option in OPTIONS.values() if option.section == section))
    elsewhere = [option.section for option in OPTIONS.values() if option.name == name]
    if elsewhere:
        return f"; it belongs into [{elsewhere[0]}]"
    return f"; did you mean {close}?" if close else ""


def suggest_section(name: str) -> str:
    """`; did you mean [X]?` for the name of a section that there is not, or nothing."""
    close = _closest(name.lower(), SECTIONS)
    return f"; did you mean [{close}]?" if close else ""


def suggest_variable(name: str) -> str:
    """`; did you mean X?` for a variable that sets nothing, or nothing."""
    close = _closest(name, variables())
    return f"; did you mean {close}?" if close else ""


def _closest(name: str, known: Iterable[str]) -> str | None:
    return next(iter(get_close_matches(name, list(known), n=1)), None)
