"""Header fields as values: a list of (name, value) pairs, in the order and spelling received.

Names compare without case (RFC 9110 §5.1). `lower` arguments must already be lower case: the caller writes them as
literals, so nothing is folded twice.
"""

from __future__ import annotations

from collections.abc import Collection

Header = tuple[bytes, bytes]
Headers = list[Header]


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
