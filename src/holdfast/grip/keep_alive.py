"""The `Grip-Keep-Alive` header: what is written to a quiet stream (grip spec §3.4)."""

from __future__ import annotations

import re

from holdfast.errors import GripError
from holdfast.grip.fields import decode_base64
from holdfast.grip.timeouts import parse_timeout
from holdfast.grip.values import DEFAULT_KEEP_ALIVE_TIMEOUT_S, MIN_KEEP_ALIVE_TIMEOUT_S, KeepAlive, KeepAliveMode
from holdfast.wire.params import Params, parse_params

_MODES = {mode.value.encode(): mode for mode in KeepAliveMode}

_CSTRING_ESCAPE = re.compile(rb"\\(?:x([0-9A-Fa-f]{2})|([^x])|(x?))", re.DOTALL)
_CSTRING_LETTERS = {b"\\": b"\\", b"r": b"\r", b"n": b"\n"}


def parse_keep_alive(value: bytes) -> KeepAlive | None:
    """The keep-alive that a header value orders; None if the value is empty or a quote in it is not closed.

    Raises GripError with the protocol's text.
    """
    params = parse_params(value) if value.strip() else None
    if params is None:
        return None
    if not params.first:
        raise GripError("Grip-Keep-Alive cannot be empty")
    mode = _parse_mode(params)
    timeout_s = max(parse_timeout(params, "Grip-Keep-Alive", DEFAULT_KEEP_ALIVE_TIMEOUT_S), MIN_KEEP_ALIVE_TIMEOUT_S)
    return KeepAlive(_decode_data(params), timeout_s, mode)


def _parse_mode(params: Params) -> KeepAliveMode:
    name = params.get(b"mode")
    if name is None:
        return KeepAliveMode.IDLE
    mode = _MODES.get(name)
    if mode is None:
        raise GripError(f"no such Grip-Keep-Alive mode '{name.decode('utf-8', 'replace')}'")
    return mode


def _decode_data(params: Params) -> bytes:
    match params.get(b"format"):
        case None | b"raw":
            return params.first
        case b"cstring":
            return _CSTRING_ESCAPE.sub(_unescape, params.first)
        case b"base64":
            return decode_base64(params.first)
        case unknown:
            raise GripError(f"no such Grip-Keep-Alive format '{unknown.decode('utf-8', 'replace')}'")


def _unescape(match: re.Match[bytes]) -> bytes:
    """What one escape stands for; an unknown one vanishes with its letter (Compat: grip spec §3.4)."""
    digits, letter, _ = match.groups()
    if digits is not None:
        return bytes.fromhex(digits.decode())
    if letter is not None:
        return _CSTRING_LETTERS.get(letter, b"")
    raise GripError("failed to parse Grip-Keep-Alive cstring format")
