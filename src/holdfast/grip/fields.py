"""Typed access to the objects of a tree, with the protocol's own error texts (grip spec §4.4, §8).

A tree is what orjson gives for a JSON text, or what `grip.trees` makes of a TNetString: this is the one place that
knows how each spells strings, bytes and numbers. JSON null is never "absent": it is a wrong type. In a TNetString it is
absent where a string or an object is optional. `subject` is how an error names the object that was read.
"""

from __future__ import annotations

import binascii
import string
from typing import NoReturn, TypeGuard

import orjson

from holdfast.errors import GripError
from holdfast.grip.trees import ByteMap, make_json
from holdfast.wire.headers import Headers, is_one_line, is_token
from holdfast.wire.params import MAX_INT, MIN_INT, parse_int

Tree = dict[str, object]

_BOM = b"\xef\xbb\xbf"
_BASE64_DIGITS = (string.ascii_letters + string.digits + "+/").encode()
_NOT_BASE64 = bytes(set(range(256)) - set(_BASE64_DIGITS))


def parse_json(body: bytes) -> object:
    """The tree of a JSON text in UTF-8; a leading byte order mark is accepted. Raises ValueError."""
    return orjson.loads(body.removeprefix(_BOM))


def encode_text(text: str) -> bytes:
    """`text` in UTF-8. Lone surrogates, which no JSON text of ours can hold, become question marks."""
    return text.encode("utf-8", "replace")


def is_object(value: object) -> TypeGuard[Tree]:
    """Whether `value` is an object."""
    return type(value) is dict or type(value) is ByteMap


def has_member(tree: Tree, key: str) -> bool:
    """Whether there is something under `key` that may be a string or an object; null in a TNetString is nothing."""
    return key in tree and (tree[key] is not None or not isinstance(tree, ByteMap))


def fail_type(subject: str, key: str) -> NoReturn:
    """Raise the error for a field of the wrong type."""
    raise GripError(f"{subject} contains '{key}' with wrong type")


def fail_value(subject: str, key: str) -> NoReturn:
    """Raise the error for a field of the right type and a value that is not allowed."""
    raise GripError(f"{subject} contains '{key}' with invalid value")


def get_string(tree: Tree, subject: str, key: str) -> str | None:
    """The string under `key`, or None if there is none."""
    if key not in tree:
        return None
    value = tree[key]
    if isinstance(value, str):  # the usual case; publishes are parsed by the thousand
        return value
    return require_string(tree, subject, key) if has_member(tree, key) else None


def require_string(tree: Tree, subject: str, key: str) -> str:
    """The string under `key`, which must be there."""
    if key not in tree:
        raise GripError(f"{subject} does not contain '{key}'")
    value = tree[key]
    if isinstance(value, str):
        return value
    if not isinstance(value, bytes):
        fail_type(subject, key)
    try:
        return value.decode()
    except UnicodeDecodeError:
        fail_value(subject, key)


def get_bool(tree: Tree, subject: str, key: str) -> bool | None:
    """The boolean under `key`, or None if there is no such key."""
    if key not in tree:
        return None
    value = tree[key]
    if not isinstance(value, bool):
        fail_type(subject, key)
    return value


def get_int(tree: Tree, subject: str, key: str, maximum: int = MAX_INT) -> int | None:
    """The integer under `key`, 0 to `maximum`, or None if there is no such key.

    Integers, integral floats and strings that spell an integer count, within 32 bits (grip spec §4.5, Deviate).
    """
    if key not in tree:
        return None
    number = _to_int(tree[key])
    if number is None:
        fail_type(subject, key)
    if not 0 <= number <= maximum:
        fail_value(subject, key)
    return number


def _to_int(value: object) -> int | None:
    if isinstance(value, str | bytes):
        return parse_int(_to_bytes(value))
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    # not isinstance: a boolean is no integer here
    return value if type(value) is int and MIN_INT <= value <= MAX_INT else None


def get_object(tree: Tree, subject: str, key: str) -> Tree | None:
    """The object under `key`, or None if there is none."""
    if not has_member(tree, key):
        return None
    value = tree[key]
    if not is_object(value):
        fail_type(subject, key)
    return value


def get_array(tree: Tree, subject: str, key: str) -> list[object] | None:
    """The array under `key`, or None if there is no such key."""
    if key not in tree:
        return None
    value = tree[key]
    if not isinstance(value, list):
        fail_type(subject, key)
    return value


def get_json_array(tree: Tree, subject: str, key: str) -> list[object] | None:
    """The array under `key` with everything in it as JSON has it, or None if there is no such key."""
    values = get_array(tree, subject, key)
    if values is None or not isinstance(tree, ByteMap):
        return values
    try:
        return [make_json(value) for value in values]
    except UnicodeDecodeError:
        fail_value(subject, key)


def get_strings(tree: Tree, subject: str, key: str, element_error: str) -> tuple[str, ...] | None:
    """The array of strings under `key`, or None; `element_error` is the text for an element that is not a string."""
    values = get_array(tree, subject, key)
    if values is None:
        return None
    strings = [text for value in values if (text := _to_text(value)) is not None]
    if len(strings) != len(values):
        raise GripError(element_error)
    return tuple(strings)


def get_string_map(tree: Tree, subject: str, key: str) -> dict[str, str] | None:
    """The object of strings under `key`, or None if there is none."""
    values = get_object(tree, subject, key)
    if values is None:
        return None
    strings = {name: text for name, value in values.items() if (text := _to_text(value)) is not None}
    if len(strings) != len(values):
        wrong = next(name for name in values if name not in strings)
        fail_type(f"'{key}'", wrong)
    return strings


def _to_text(value: object) -> str | None:
    if isinstance(value, bytes):
        try:
            return value.decode()
        except UnicodeDecodeError:
            return None
    return value if isinstance(value, str) else None


def get_content(tree: Tree, subject: str, key: str) -> bytes | None:
    """The bytes under `<key>-bin` (base64), else the text under `key` in UTF-8, else None.

    In a TNetString the bytes under `key`, or None.
    """
    if isinstance(tree, ByteMap):
        return get_bytes(tree, subject, key)
    encoded = get_string(tree, subject, f"{key}-bin")
    if encoded is not None:
        return decode_base64(encode_text(encoded))
    text = get_string(tree, subject, key)
    return None if text is None else encode_text(text)


def get_bytes(tree: ByteMap, subject: str, key: str) -> bytes | None:
    """The bytes under `key`, or None if there is no such key; null is a wrong type."""
    if key not in tree:
        return None
    value = tree[key]
    if not isinstance(value, bytes):
        fail_type(subject, key)
    return value


def decode_base64(text: bytes) -> bytes:
    """The bytes that `text` spells. Never fails: foreign characters are skipped, padding is not needed."""
    try:
        return binascii.a2b_base64(text, strict_mode=True)
    except ValueError:
        digits = text.translate(None, _NOT_BASE64)
    if len(digits) % 4 == 1:
        digits = digits[:-1]  # six bits are no byte
    return binascii.a2b_base64(digits + b"==")


def get_reason(tree: Tree, subject: str) -> bytes | None:
    """The reason phrase under `reason`, or None; it can stand in a status line."""
    if not has_member(tree, "reason"):
        return None
    value = tree["reason"]
    if not isinstance(value, str | bytes):
        fail_type(subject, "reason")
    reason = _to_bytes(value)
    if not is_one_line(reason):
        fail_value(subject, "reason")
    return reason


def _to_bytes(text: str | bytes) -> bytes:
    return encode_text(text) if isinstance(text, str) else text


def get_headers(tree: Tree, subject: str) -> Headers | None:
    """The header fields under `headers`, an object of strings or an array of pairs, or None if there is no such key.

    Every name is an RFC 9110 token and no value breaks a line, so none of them can smuggle a field.
    """
    if "headers" not in tree:
        return None
    value = tree["headers"]
    if is_object(value):
        headers = [(encode_text(name), _header_value(name, text)) for name, text in value.items()]
    elif isinstance(value, list):
        headers = [_header_pair(element) for element in value]
    else:
        fail_type(subject, "headers")
    for name, text in headers:
        if not is_token(name) or not is_one_line(text):
            fail_value(subject, "headers")
    return headers


def _header_value(name: str, value: object) -> bytes:
    if not isinstance(value, str | bytes):
        fail_type("headers", name)
    return _to_bytes(value)


def _header_pair(element: object) -> tuple[bytes, bytes]:
    if not isinstance(element, list):
        raise GripError("headers contains element with wrong type")
    if len(element) != 2:
        raise GripError("headers contains list with wrong number of elements")
    name, value = element
    if not isinstance(name, str | bytes):
        raise GripError("header contains name element with wrong type")
    if not isinstance(value, str | bytes):
        raise GripError("header contains value element with wrong type")
    return _to_bytes(name), _to_bytes(value)
