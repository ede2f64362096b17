"""The `Grip-Link` header: where a stream goes on, and whom to tell that a client is gone (grip spec §3.8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote, urlsplit

from holdfast.errors import GripError
from holdfast.grip.timeouts import parse_timeout
from holdfast.grip.values import DEFAULT_NEXT_TIMEOUT_S, NextLink
from holdfast.wire.params import Params, list_params

# RFC 3986 §2: unreserved, reserved and percent-encoded characters.
_URI_CHARACTERS = re.compile(r"(?:[A-Za-z0-9._~:/?#\[\]@!$&'()*+,;=-]|%[0-9A-Fa-f]{2})+")
_ASCII = "".join(map(chr, range(128)))


def parse_links(values: Iterable[bytes]) -> tuple[NextLink | None, str | None]:
    """The next link and the gone link of all `Grip-Link` lines; of several of one kind the last counts.

    Links of other kinds are not looked at, valid or not.

    Raises GripError with the protocol's text.
    """
    next_link = None
    gone_link = None
    for params in _list_links(values):
        rel = params.get(b"rel")
        if rel == b"next":
            timeout_s = parse_timeout(params, "Grip-Link", DEFAULT_NEXT_TIMEOUT_S)
            next_link = NextLink(_parse_target(params.first), timeout_s)
        elif rel == b"gone":
            gone_link = _parse_target(params.first)
    return next_link, gone_link


def has_next_link(values: Iterable[bytes]) -> bool:
    """Whether any link of these lines has `rel=next`, be it valid or not."""
    return any(params.get(b"rel") == b"next" for params in _list_links(values))


def _list_links(values: Iterable[bytes]) -> list[Params]:
    return [params for params in list_params(values) if params.params]


def _parse_target(target: bytes) -> str:
    """The URI reference of `<target>`; characters outside ASCII come back percent-encoded."""
    if len(target) < 3 or not (target.startswith(b"<") and target.endswith(b">")):
        raise GripError("failed to parse Grip-Link value")
    uri = quote(target[1:-1].decode("utf-8", "replace"), safe=_ASCII)
    if not _is_uri_reference(uri):
        raise GripError("Grip-Link contains invalid link")
    return uri


def _is_uri_reference(text: str) -> bool:
    if _URI_CHARACTERS.fullmatch(text) is None:
        return False
    try:
        _ = urlsplit(text).port  # raises for a bad port, as urlsplit does for bad brackets
    except ValueError:
        return False
    return True
