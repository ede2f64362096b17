"""The kinds of values that settings have: the texts of a file, a variable or an argument -> a typed value.

Invariants: pure; a parser takes the texts of one value (always at least one) and returns a value or raises ValueError
with a text that says what was got and what was expected.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Generic, Literal, TypeVar

from holdfast.config.listen import MAX_PORT, Listen, parse_listen, parse_socket_file
from holdfast.config.log_levels import LogLevels, parse_log_levels
from holdfast.net.sockets import SocketFile
from holdfast.routing.forward import SetForwardedProto
from holdfast.routing.xff import MERGE_ONLY, XffRule, parse_xff_rule

T = TypeVar("T")
E = TypeVar("E", bound=Enum)
Items = tuple[str, ...]
Advice = Callable[[Items], str | None]
LogFormat = Literal["text", "json"]
LOG_FORMATS: tuple[LogFormat, ...] = ("text", "json")

_INTEGER = re.compile(r"[+-]?[0-9]{1,18}")
_DECIMAL = re.compile(r"[0-9]{1,9}(?:\.[0-9]{1,9})?")
_OCTAL = re.compile(r"[0-7]{1,4}")
_FALSE = frozenset({"", "0", "false"})
_MEANT_AS_FALSE = frozenset({"no", "off", "none", "n", "f", "disabled"})


def _no_advice(_items: Items) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Kind(Generic[T]):
    """How the value of a setting is written.

    Attributes:
        name: for people, such as "whole number".
        parse: the texts of a value -> the value; raises ValueError.
        is_list: whether a value may have several texts. A list where one text is expected counts as empty.
        advise: what is probably not meant about a valid value, for a warning; None if nothing.
    """

    name: str
    parse: Callable[[Items], T]
    is_list: bool = False
    advise: Advice = _no_advice

    def split(self, text: str) -> Items:
        """The texts of a value from outside a file: a plain text as it stands, or the items between commas."""
        return tuple(item.strip() for item in text.split(",")) if self.is_list else (text,)


def _one(name: str, parse: Callable[[str], T], advise: Advice = _no_advice) -> Kind[T]:
    return Kind(name, lambda items: parse(items[0]), advise=advise)


def _nonempty(items: Items) -> Items:
    return tuple(item for item in items if item)


def choice(values: type[E]) -> Kind[E]:
    """The value of a member of an enum of texts."""
    names = [member.value for member in values]

    def parse(text: str) -> E:
        if text not in names:
            raise ValueError(f'"{text}" is none of {", ".join(names)}')
        return values(text)

    return _one(" or ".join(names), parse)


def integer(minimum: int, maximum: int | None = None) -> Kind[int]:
    """A whole number within limits, both included."""
    limits = f"of at least {minimum}" if maximum is None else f"from {minimum} to {maximum}"

    def parse(text: str) -> int:
        value = _integer(text)
        if value is None or value < minimum or (maximum is not None and value > maximum):
            raise ValueError(f'"{text}" is not a whole number {limits}')
        return value

    return _one(f"whole number {limits}", parse)


def ports(what: str) -> Kind[tuple[Listen, ...]]:
    """A list of addresses to listen at; `what` names them in the error (routes spec §2.4)."""
    return _ports(what, "list of PORT, ADDR:PORT or [IPV6]:PORT", parse_listen)


def _ports(what: str, name: str, parse_item: Callable[[str], T]) -> Kind[tuple[T, ...]]:
    def parse(items: Items) -> tuple[T, ...]:
        return tuple(parse_named(item) for item in _nonempty(items))

    def parse_named(item: str) -> T:
        try:
            return parse_item(item)
        except ValueError as exc:
            raise ValueError(f"invalid {what} port: {item}") from exc

    return Kind(name, parse, is_list=True)


def _integer(text: str) -> int | None:
    return int(text) if _INTEGER.fullmatch(text) else None


def _parse_positive(text: str) -> int | None:
    value = _integer(text or "0")
    if value is None:
        raise ValueError(f'"{text}" is not a whole number')
    return value if value > 0 else None


def _parse_port_number(text: str) -> int | None:
    value = _parse_positive(text)
    if value is not None and value > MAX_PORT:
        raise ValueError(f'"{text}" is not a port from 1 to {MAX_PORT}')
    return value


def _parse_optional_listen(text: str) -> Listen | None:
    if text.startswith("ipc:"):
        raise ValueError(f'"{text}": ipc addresses are not supported, use PORT or ADDR:PORT')
    return parse_listen(text) if text else None


def _parse_seconds(text: str) -> float:
    value = float(text) if _DECIMAL.fullmatch(text) else 0.0
    if value <= 0:
        raise ValueError(f'"{text}" is not a number of seconds greater than 0')
    return value


def _parse_seconds_or_none(text: str) -> float:
    if not _DECIMAL.fullmatch(text):
        raise ValueError(f'"{text}" is not a number of seconds')
    return float(text)


def _parse_octal(text: str) -> int | None:
    if text and not _OCTAL.fullmatch(text):
        raise ValueError(f'"{text}" is not an octal file mode such as 660')
    return int(text, 8) if text else None


def _parse_boolean(text: str) -> bool:
    return text.lower() not in _FALSE


def _advise_boolean(items: Items) -> str | None:
    if items[0].lower() in _MEANT_AS_FALSE:
        return f"{items[0]} means true; only an empty value, 0 and false mean false"
    return None


def _parse_log_format(text: str) -> LogFormat:
    for log_format in LOG_FORMATS:
        if text == log_format:
            return log_format
    raise ValueError(f'"{text}" is none of {", ".join(LOG_FORMATS)}')


def _advise_xff(items: Items) -> str | None:
    for item in _nonempty(items):
        if item != "append" and parse_xff_rule((item,)) == MERGE_ONLY:
            return f'"{item}" has no effect; the items are truncate:N and append, without quotes around the list'
    return None


_SET_FORWARDED_PROTO = {"true": SetForwardedProto.TRUE, "proto-only": SetForwardedProto.PROTO_ONLY}


def _advise_set_forwarded_proto(items: Items) -> str | None:
    # Compat: the text is compared exactly, and anything else means neither header (routes spec §2.4).
    if items[0] in _SET_FORWARDED_PROTO or items[0].lower() in _FALSE | _MEANT_AS_FALSE:
        return None
    return f"{items[0]} means false; only exactly true and proto-only have an effect"


TEXT: Kind[str] = _one("text", str)
SECRET: Kind[str] = _one("secret", str)
TEXTS: Kind[Items] = Kind("list of texts", _nonempty, is_list=True)
PATH: Kind[str] = _one("path", str)
BOOLEAN: Kind[bool] = _one("boolean", _parse_boolean, _advise_boolean)
SECONDS: Kind[float] = _one("number", _parse_seconds)
SECONDS_OR_NONE: Kind[float] = _one("number, 0 for none", _parse_seconds_or_none)
POSITIVE: Kind[int | None] = _one("whole number, none if 0 or less", _parse_positive)
OCTAL: Kind[int | None] = _one("octal file mode", _parse_octal)
PORT_NUMBER: Kind[int | None] = _one("port, none if 0 or less", _parse_port_number)
LISTEN: Kind[Listen | None] = _one("PORT or ADDR:PORT", _parse_optional_listen)
LOCAL_PORTS: Kind[tuple[SocketFile, ...]] = _ports(
    "local", "list of PATH[?mode=OCTAL&user=U&group=G]", parse_socket_file
)
LOG_FORMAT: Kind[LogFormat] = _one("text or json", _parse_log_format)
LOG_LEVELS: Kind[LogLevels] = Kind(
    "list of N or NAME:N", lambda items: parse_log_levels(_nonempty(items)), is_list=True
)
XFF: Kind[XffRule] = Kind("list of truncate:N and append", parse_xff_rule, is_list=True, advise=_advise_xff)
SET_FORWARDED_PROTO: Kind[SetForwardedProto] = _one(
    "true, proto-only or false",
    lambda text: _SET_FORWARDED_PROTO.get(text, SetForwardedProto.NONE),
    _advise_set_forwarded_proto,
)
