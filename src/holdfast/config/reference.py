"""What a reference says of a setting: its default in words, and what becomes of it.

Invariants: pure; everything comes from the setting's declaration.
"""

from __future__ import annotations

from holdfast.config.options import Later, Option, Status
from holdfast.config.unsupported import INTERNAL

_STATES = {
    Later.REFUSE: "refused if set",
    Later.WARN_IF_SET: "no effect, said in the log",
    Later.WARN_IF_CHANGED: "no effect, said in the log if changed",
}


def is_internal(option: Option) -> bool:
    """Whether it names a socket between the processes of Pushpin."""
    return option.reason is INTERNAL


def describe_value(option: Option) -> str:
    """How its value is written, with the unit."""
    if not option.unit:
        return option.kind.name
    return f"{option.kind.name}, {'' if option.unit.startswith('per ') else 'in '}{option.unit}"


def describe_default(option: Option) -> str:
    """The value that holds when nothing states one: without any file, and in a file, if that is another."""
    shipped, absent = (text or "empty" for text in (option.shipped, option.absent))
    return shipped if shipped == absent else f"{shipped}; {absent} in a file without it"


def describe_status(option: Option) -> str:
    """What becomes of it, and why if it does not work."""
    if option.status is Status.SUPPORTED:
        return "works"
    state = "ignored" if option.later is None else _STATES[option.later]
    return f"{state}: {option.reason}"
