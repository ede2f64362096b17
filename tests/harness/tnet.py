"""TNetStrings for tests: the reference implementation, with text for keys, and strict about what is read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import tnetstring


def encode(value: object) -> bytes:
    """``value`` as a TNetString; text, keys included, goes as UTF-8."""
    encoded: bytes = tnetstring.dumps(_as_bytes(value))
    return encoded


def decode(data: bytes) -> Any:
    """The one value that ``data`` is; the keys of maps become text, other byte strings stay bytes.

    Raises:
        AssertionError: something follows the value.
        ValueError: it is no TNetString.
    """
    value, rest = tnetstring.pop(data)
    assert rest == b"", f"{rest!r} after {value!r}"
    return _with_text_keys(value)


def _as_bytes(value: object) -> object:
    if isinstance(value, str):
        return value.encode()
    if isinstance(value, Mapping):
        return {_as_bytes(key): _as_bytes(content) for key, content in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, bytes):
        return [_as_bytes(content) for content in value]
    return value


def _with_text_keys(value: object) -> object:
    if isinstance(value, dict):
        return {key.decode(): _with_text_keys(content) for key, content in value.items()}
    if isinstance(value, list):
        return [_with_text_keys(content) for content in value]
    return value
