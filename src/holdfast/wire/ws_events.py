"""WebSocket-Over-HTTP bodies: a list of events, `application/websocket-events` (ws spec §1.1)."""

from __future__ import annotations

import enum
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.wire.params import MAX_INT
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus, encode_close_payload

MEDIA_TYPE = b"application/websocket-events"
"""Compared as a whole: with a parameter behind it, it is another type."""


class EventType(enum.Enum):
    """What happened to the connection, by its name on the wire."""

    OPEN = b"OPEN"
    TEXT = b"TEXT"
    BINARY = b"BINARY"
    PING = b"PING"
    PONG = b"PONG"
    CLOSE = b"CLOSE"
    DISCONNECT = b"DISCONNECT"


_TYPES = {event_type.value: event_type for event_type in EventType}
_WITHOUT_CONTENT = frozenset({EventType.OPEN, EventType.DISCONNECT})
_LAST = frozenset({EventType.CLOSE, EventType.DISCONNECT})

# Compat: the prefix and the plus sign are accepted.
_LENGTH = re.compile(rb"\+?(?:0[xX])?0*([0-9A-Fa-f]{1,8})")


# Not frozen only because a frozen dataclass takes four times as long to build. Nobody changes them.
@dataclass(slots=True, unsafe_hash=True)
class Event:
    """One event. An empty content is the same as none; OPEN and DISCONNECT never have any."""

    type: EventType
    content: bytes = b""

    @property
    def close_status(self) -> CloseStatus:
        """What the content of a CLOSE says; a reason that is not UTF-8 is repaired."""
        if len(self.content) < 2:
            return NO_STATUS
        return CloseStatus(int.from_bytes(self.content[:2], "big"), self.content[2:].decode("utf-8", "replace"))


OPEN = Event(EventType.OPEN)
DISCONNECT = Event(EventType.DISCONNECT)


def close_event(status: CloseStatus) -> Event:
    """The CLOSE event with this code and reason."""
    return Event(EventType.CLOSE, encode_close_payload(status))


def encode_events(events: Iterable[Event]) -> bytes:
    """The body that consists of `events`."""
    return b"".join(map(_encode_event, events))


def _encode_event(event: Event) -> bytes:
    if not event.content or event.type in _WITHOUT_CONTENT:
        return b"%b\r\n" % event.type.value
    return b"%b %x\r\n%b\r\n" % (event.type.value, len(event.content), event.content)


def read_events(body: bytes) -> Iterator[Event | None]:
    """The events of a body one by one, up to the first CLOSE or DISCONNECT; a type that is not known is a None.

    An iterator, so that others can be served between the hundred thousand events that fit into a body.

    Compat: what should be the line end behind a content is not looked at, and the content of the last event may be
    shorter than it says.

    Raises WireError with status 502: a type line has no end, or a length is not a hexadecimal number.
    """
    position = 0
    while position < len(body):
        end = body.find(b"\r\n", position)
        if end < 0:
            raise WireError(502, "WebSocket event without a line end")
        name, blank, length = body[position:end].partition(b" ")
        position = end + 2
        content = b""
        if blank:
            size = _parse_length(length)
            content = body[position : position + size]
            position += size + 2
        event_type = _TYPES.get(name)
        if event_type is None:
            yield None
            continue
        yield Event(event_type, b"" if event_type in _WITHOUT_CONTENT else content)
        if event_type in _LAST:
            return


def _parse_length(text: bytes) -> int:
    match = _LENGTH.fullmatch(text)
    size = int(match[1], 16) if match is not None else None
    if size is None or size > MAX_INT:
        raise WireError(502, "WebSocket event with an invalid length")
    return size
