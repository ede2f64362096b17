"""Header fields as values: a list of (name, value) pairs, in the order and spelling received.

Names compare without case (RFC 9110 §5.1). `lower` arguments must already be lower case: the caller writes them as
literals, so nothing is folded twice.
"""

from __future__ import annotations

import re
import string
from collections.abc import Collection

Header = tuple[bytes, bytes]
Headers = list[Header]

_TOKEN_BYTES = (string.ascii_letters + string.digits + "!#$%&'*+-.^_`|~").encode()
_LINE_BREAKERS = re.compile(rb"[\r\n\0]")


def is_token(name: bytes) -> bool:
    """Whether `name` can be the name of a field (RFC 9110 §5.6.2)."""
    return bool(name) and not name.translate(None, _TOKEN_BYTES)


def is_one_line(value: bytes) -> bool:
    """Whether `value` can stand in a line of a head without ending it: it holds no CR, LF or NUL (RFC 9110 §5.5)."""
    return _LINE_BREAKERS.search(value) is None


def get_first(headers: Headers, lower: bytes) -> bytes | None:
    """The value of the first field named `lower`, or None."""
    for name, value in headers:
        if name.lower() == lower:
            return value
    return None


def get_all(headers: Headers, lower: bytes) -> list[bytes]:
    """The values of all fields named `lower`, in order."""
    return [value for name, value in headers if name.lower() == lower]


def without(headers: Headers, lower: Collection[bytes]) -> Headers:
    """A copy that leaves out every field whose lower-cased name is in `lower`."""
    return [header for header in headers if header[0].lower() not in lower]


def without_prefix(headers: Headers, lower_prefix: bytes) -> Headers:
    """A copy that leaves out every field whose lower-cased name begins with `lower_prefix`."""
    return [header for header in headers if not header[0].lower().startswith(lower_prefix)]


def split_commas(values: list[bytes]) -> list[bytes]:
    """All list elements of `values`, trimmed, empty ones left out (RFC 9110 §5.6.1)."""
    return [part for value in values for raw in value.split(b",") if (part := raw.strip(b" \t"))]
