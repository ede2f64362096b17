"""The values of an instruct: what a backend's answer orders the proxy to do with its client.

`Subscription`, `KeepAlive` and `NextLink` are hashable: thousands of holds carry equal ones, and whoever keeps holds
shares them through a dictionary of its own.
"""

from __future__ import annotations

import enum
import re
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from holdfast.errors import GripError
from holdfast.wire.headers import Headers

MAX_CODE = 999

DEFAULT_HOLD_TIMEOUT_S = 55
MIN_HOLD_TIMEOUT_S = 5
DEFAULT_KEEP_ALIVE_TIMEOUT_S = 55
MIN_KEEP_ALIVE_TIMEOUT_S = 1
DEFAULT_NEXT_TIMEOUT_S = 120

# Filters run per hold and item; the protocol's own bound (grip spec §3.2) keeps one publish from being multiplied.
MAX_FILTERS_PER_CHANNEL = 5

NO_META: Mapping[str, str] = MappingProxyType({})

_LINE_BREAKERS = re.compile("[\r\n\0]")


def is_wire_safe(text: str) -> bool:
    """Whether `text` can stand in a header line: it holds no CR, LF or NUL."""
    return text.isprintable() or _LINE_BREAKERS.search(text) is None


class HoldMode(enum.Enum):
    """How a response is kept open."""

    RESPONSE = "response"
    STREAM = "stream"


class KeepAliveMode(enum.Enum):
    """Whether a published write postpones the next keep-alive (IDLE) or not (INTERVAL)."""

    IDLE = "idle"
    INTERVAL = "interval"


@dataclass(frozen=True, slots=True)
class Subscription:
    """One channel of a hold, by its bare name (without the route's prefix).

    prev_id: the id of the last item that the client has; the empty string is an id, None is "takes everything".

    Raises GripError where it is built, for more than `MAX_FILTERS_PER_CHANNEL` filters, and for a name or an id that
    could not travel in a `Grip-Last` header.
    """

    channel: str
    prev_id: str | None = None
    filters: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not is_wire_safe(self.channel):
            raise GripError("channel contains 'name' with invalid value")
        if self.prev_id is not None and not is_wire_safe(self.prev_id):
            raise GripError("channel contains 'prev-id' with invalid value")
        if len(self.filters) > MAX_FILTERS_PER_CHANNEL:
            raise GripError(f"too many filters for channel '{self.channel}'")


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """Bytes written to a quiet stream every `timeout_s` seconds (>= 1); empty `data` writes nothing."""

    data: bytes
    timeout_s: int
    mode: KeepAliveMode


@dataclass(frozen=True, slots=True)
class NextLink:
    """Where a stream goes on: a URI reference in ASCII, asked after `timeout_s` seconds (>= 0) without activity."""

    uri: str
    timeout_s: int


@dataclass(frozen=True, slots=True)
class BackendResponse:
    """A complete response without framing: no header of it is a `Grip-*`, hop-by-hop or length field."""

    code: int
    reason: bytes
    headers: Headers
    body: bytes


@dataclass(frozen=True, slots=True)
class Instruct:
    """What a backend's answer orders.

    mode: None is "no hold": `response` is answered at once, and then the next link, if any, is followed.
    subscriptions: in the order given, no channel twice, as many as the backend named.
    timeout_s: of a response hold, >= 5.
    meta: of the hold; a key with the value None counts as missing wherever meta is read.
    next_link, gone_link: relative to the URI of the request whose answer carried them.
    response: what the client gets: at once, as the stream's beginning, or when a response hold times out.
    """

    mode: HoldMode | None
    subscriptions: tuple[Subscription, ...]
    timeout_s: int
    keep_alive: KeepAlive | None
    meta: Mapping[str, str | None]
    next_link: NextLink | None
    gone_link: str | None
    response: BackendResponse
