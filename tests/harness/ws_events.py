"""WebSocket-over-HTTP backends: events in, events out, on a `ScriptedBackend`."""

from __future__ import annotations

import struct
import time
from collections.abc import Sequence
from dataclasses import dataclass

from tests.harness.backend import AnyReply, Reply, ScriptedBackend
from tests.harness.messages import Request
from tests.harness.timing import eventually

EVENTS_TYPE = "application/websocket-events"
GRIP_EXTENSION = ("Sec-WebSocket-Extensions", "grip")


@dataclass(frozen=True)
class Event:
    """One event; ``content`` None is written without a length."""

    type: str
    content: bytes | None = None

    def encode(self) -> bytes:
        """The event as bytes."""
        if self.content is None:
            return f"{self.type}\r\n".encode()
        return b"%s %x\r\n%s\r\n" % (self.type.encode(), len(self.content), self.content)


OPEN, DISCONNECT, CLOSE = Event("OPEN"), Event("DISCONNECT"), Event("CLOSE")


def text_event(content: str) -> Event:
    """A text message with content."""
    return Event("TEXT", content.encode())


def close_event(code: int, reason: str = "") -> Event:
    """A close with a code."""
    return Event("CLOSE", struct.pack("!H", code) + reason.encode())


def encode_events(*events: Event) -> bytes:
    """A body of events."""
    return b"".join(event.encode() for event in events)


def parse_events(body: bytes | bytearray) -> list[Event]:
    """The events of a body, which must be as strict as a proxy's requests are (ws spec §1.1)."""
    events: list[Event] = []
    rest = bytes(body)
    while rest:
        line, mark, rest = rest.partition(b"\r\n")
        assert mark, f"no CRLF after {line!r}"
        name, space, length = line.decode().partition(" ")
        if not space:
            events.append(Event(name))
            continue
        size = int(length, 16)
        assert length == f"{size:x}", f"length {length!r}"
        assert rest[size : size + 2] == b"\r\n", f"no CRLF after the content of {line!r}"
        events.append(Event(name, rest[:size]))
        rest = rest[size + 2 :]
    return events


def events_reply(*events: Event, headers: Sequence[tuple[str, str]] = (), body: bytes | None = None) -> Reply:
    """A 200 with events, or with ``body`` as it is."""
    data = encode_events(*events) if body is None else body
    return Reply(headers=[("Content-Type", EVENTS_TYPE), *headers], body=data)


def opening(*events: Event, grip: bool = False, headers: Sequence[tuple[str, str]] = ()) -> Reply:
    """A 200 that accepts the connection, with further events in the same body."""
    return events_reply(OPEN, *events, headers=[*([GRIP_EXTENSION] if grip else []), *headers])


class EventsBackend:
    """The backend of one path: answers in turn, and afterwards with no events, or with the CLOSE that it was sent."""

    def __init__(self, backend: ScriptedBackend, *replies: AnyReply, path: str | None = None) -> None:
        self._backend = backend
        self._replies = list(replies)
        self._times: list[float] = []
        self.path = backend.serve(self._answer, path)

    def then(self, *replies: AnyReply) -> None:
        """Answer the next requests like this."""
        self._replies.extend(replies)

    def _answer(self, request: Request) -> AnyReply:
        self._times.append(time.monotonic())
        if self._replies:
            return self._replies.pop(0)
        return events_reply(*(event for event in parse_events(request.body) if event.type == "CLOSE"))

    @property
    def requests(self) -> list[Request]:
        """The complete requests so far."""
        return [request for request in self._backend.requests(self.path) if request.complete]

    def wait_request(self, number: int, timeout_s: float = 5.0) -> Request:
        """Wait for the request with that number, counted from 1 (the OPEN)."""
        eventually(lambda: len(self.requests) >= number, f"request {number} for {self.path}", timeout_s)
        return self.requests[number - 1]

    def gap(self, number: int) -> float:
        """The seconds between the request with that number and the one before it, both answered at once."""
        return self._times[number - 1] - self._times[number - 2]

    def wait_events(self, number: int, timeout_s: float = 5.0) -> list[Event]:
        """Wait for the request with that number and return its events."""
        return parse_events(self.wait_request(number, timeout_s).body)

    def all_events(self) -> list[Event]:
        """The events of all requests so far, the OPEN left out."""
        return [event for request in self.requests[1:] for event in parse_events(request.body)]

    def wait_for(self, *events: Event, timeout_s: float = 5.0) -> None:
        """Wait until exactly these events have come after the OPEN, in however many requests."""
        eventually(lambda: len(self.all_events()) >= len(events), f"{events} for {self.path}", timeout_s)
        assert self.all_events() == list(events)
