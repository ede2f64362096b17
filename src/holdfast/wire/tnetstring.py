"""TNetStrings, the notation of what travels over ZeroMQ: `<length>:<data><type>` (ws spec §7.3).

Invariants: every byte is looked at once and copied at most once, and what is nested is not deeper than `MAX_DEPTH`.
Memory is for the caller to bound, by the size of the frames that it accepts: three bytes can become an empty map.
"""

from __future__ import annotations

import math
import re
from typing import TypeAlias

from holdfast.errors import PacketError

Value: TypeAlias = "bytes | int | float | bool | list[Value] | Map | None"
Map: TypeAlias = "dict[bytes, Value]"

MAX_DEPTH = 64
"""Maps and lists in each other. An item needs six levels, and a body patch as many as the document that it changes."""

MIN_INT = -(2**63)
MAX_INT = 2**63 - 1

_BYTES, _INT, _FLOAT, _BOOL, _NULL, _MAP, _LIST = b",#^!~}]"

_LENGTH = re.compile(rb"([0-9]{1,9}):")

# int() and float() take more: blanks, underscores, `nan`, and digits without end.
_INTEGER = re.compile(rb"[+-]?[0-9]{1,20}")
_DECIMAL = re.compile(rb"[+-]?[0-9]{1,400}(?:\.[0-9]{0,400})?(?:[eE][+-]?[0-9]{1,4})?")


def encode_tnetstring(value: Value) -> bytes:
    """The TNetString of `value`; maps are written in their own order.

    Raises ValueError for a number that could not be read back: more than 64 bits, infinity, NaN.
    """
    if isinstance(value, bytes):
        return b"%d:%b," % (len(value), value)
    if isinstance(value, dict):
        inner = b"".join([encode_tnetstring(part) for pair in value.items() for part in pair])
        return b"%d:%b}" % (len(inner), inner)
    if isinstance(value, list):
        inner = b"".join([encode_tnetstring(element) for element in value])
        return b"%d:%b]" % (len(inner), inner)
    if value is None:
        return b"0:~"
    if isinstance(value, bool):
        return b"4:true!" if value else b"5:false!"
    if isinstance(value, int):
        return _encode_int(value)
    return _encode_float(value)


def _encode_int(value: int) -> bytes:
    if not MIN_INT <= value <= MAX_INT:
        raise ValueError("integer of more than 64 bits")
    digits = b"%d" % value
    return b"%d:%b#" % (len(digits), digits)


def _encode_float(value: float) -> bytes:
    if not math.isfinite(value):
        raise ValueError(f"{value} is no number")
    digits = repr(value).encode()
    return b"%d:%b^" % (len(digits), digits)


def parse_tnetstring(data: bytes, start: int = 0) -> Value:
    """The value that begins at `start`. What follows it is not looked at; of two equal keys the last one wins.

    Raises PacketError.
    """
    values = _parse_values(data, start, len(data), 0, 1)
    if not values:
        raise PacketError("TNetString is empty")
    return values[0]


def _parse_values(data: bytes, start: int, end: int, depth: int, limit: int = MAX_INT) -> list[Value]:
    """The values from `start` to `end`, or the first `limit` of them; they are inside of `depth` others."""
    if depth > MAX_DEPTH:
        raise PacketError(f"TNetString nested in more than {MAX_DEPTH} others")
    values: list[Value] = []
    while start < end and len(values) < limit:
        length = _LENGTH.match(data, start)
        if length is None:
            raise PacketError("TNetString without a length")
        start = length.end()
        stop = start + int(length[1])
        if stop >= end:
            raise PacketError("TNetString longer than what it is in")
        kind = data[stop]
        if kind == _BYTES:
            values.append(data[start:stop])
        elif kind == _LIST:
            values.append(_parse_values(data, start, stop, depth + 1))
        elif kind == _MAP:
            values.append(_make_map(_parse_values(data, start, stop, depth + 1)))
        else:
            values.append(_parse_scalar(kind, data[start:stop]))
        start = stop + 1
    return values


def _make_map(parts: list[Value]) -> Map:
    if len(parts) % 2:
        raise PacketError("TNetString map with a key without value")
    members: Map = {}
    pairs = iter(parts)
    for key, value in zip(pairs, pairs, strict=True):
        if not isinstance(key, bytes):
            raise PacketError("TNetString map with a key that is no string")
        members[key] = value
    return members


def _parse_scalar(kind: int, text: bytes) -> Value:
    if kind == _INT:
        return _parse_int(text)
    if kind == _BOOL and text in (b"true", b"false"):
        return text == b"true"
    if kind == _NULL and not text:
        return None
    if kind == _FLOAT and _DECIMAL.fullmatch(text) and math.isfinite(number := float(text)):
        return number
    raise PacketError(f"TNetString of type {chr(kind)!a} is invalid")


def _parse_int(text: bytes) -> int:
    if not _INTEGER.fullmatch(text):
        raise PacketError("TNetString of type '#' is invalid")
    number = int(text)
    if not MIN_INT <= number <= MAX_INT:
        raise PacketError("TNetString integer of more than 64 bits")
    return number
