"""What a WebSocket client said that its backend, spoken to over HTTP, has not accepted yet (ws spec §1.3, §1.6).

Every request offers the events that are queued. The backend may accept fewer bytes than it was offered: what it leaves
is kept, and stands at the head of the next offer, but is no reason for a request, because the backend waits for more.
Two cases make it one. If the queue is full, nothing more can come. And a CLOSE that came with data counts as not sent
while some of the data was left, as long as the backend takes something each time.

Messages wait for the backend, and in the end their client does. Pings and pongs do not: when many have come one after
the other, a new one stands for those that it follows (RFC 6455 §5.5.3), so that none of them has a client waited for,
or is relayed long after it has left.
"""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.wire.ws_events import Event, EventType, encode_events

MAX_BYTES = 200_000
EVENT_COST_BYTES = 100
"""What an event counts beside its content: without it, empty messages would be queued without a bound."""

MAX_CONTROLS = 100
"""Pings and pongs in a row that wait to be offered. An ordinary client sends one in many seconds."""

_CONTROLS = frozenset({EventType.PING, EventType.PONG})


@dataclass(frozen=True, slots=True)
class Offer:
    """The events of one request.

    Attributes:
        body: the body of the request; a request that is repeated has the same one.
        event_count: how many events it has.
        offered_bytes: their content, that of a CLOSE included.
        replayed_bytes: the part of the content that was offered before.
        has_close: whether the last event is a CLOSE.
        is_whole: whether the client could still add to what was offered; if not, the backend has to accept something.
    """

    body: bytes
    event_count: int
    offered_bytes: int
    replayed_bytes: int
    has_close: bool
    is_whole: bool


class EventQueue:
    """The events of one connection, oldest first, of which at most one offer is outstanding."""

    __slots__ = ("_controls", "_events", "_known", "_outstanding", "_size_bytes")

    def __init__(self) -> None:
        self._events: list[Event] = []
        self._known = 0
        """How many events at the head have been offered."""
        self._outstanding: Offer | None = None
        self._size_bytes = 0
        self._controls = 0
        """How many pings and pongs are at the end."""

    @property
    def size_bytes(self) -> int:
        """What is queued, counted as content and `EVENT_COST_BYTES` for each event."""
        return self._size_bytes

    @property
    def is_full(self) -> bool:
        """Whether the client is not to be read from."""
        return self._size_bytes >= MAX_BYTES

    @property
    def is_empty(self) -> bool:
        """Whether nothing is queued and no offer is outstanding."""
        return not self._events and self._outstanding is None

    @property
    def has_news(self) -> bool:
        """Whether there is a reason for a request when the one under way, if any, has ended."""
        return self._known < len(self._events) or (self._outstanding is None and self.is_full)

    def add(self, event: Event) -> bool:
        """Queue what the client said; what follows a CLOSE is dropped. False if it stands for the one before it."""
        if self._events and self._events[-1].type is EventType.CLOSE:
            return True
        is_control = event.type in _CONTROLS
        is_one_too_many = is_control and min(self._controls, len(self._events) - self._known) >= MAX_CONTROLS
        if is_one_too_many:
            self._size_bytes -= _cost(self._events.pop())
        else:
            self._controls = self._controls + 1 if is_control else 0
        self._events.append(event)
        self._size_bytes += _cost(event)
        return not is_one_too_many

    def offer(self, *, one_event: bool) -> Offer:
        """What the next request carries; as long as it is not settled, the same one.

        Args:
            one_event: whether it is at most one event, CLOSE included; always the same for one connection.
        """
        if self._outstanding is None:
            self._outstanding = self._make_offer(1 if one_event else len(self._events))
        return self._outstanding

    def settle(self, accepted_bytes: int | None) -> None:
        """The offer was answered; to be called once for each.

        Args:
            accepted_bytes: Content-Bytes-Accepted, >= 0; None, if the answer does not have it, is everything.

        Raises WireError with status 502: the answer is not possible, the connection fails.
        """
        offer, self._outstanding = self._outstanding, None
        assert offer is not None
        if accepted_bytes is None or accepted_bytes == offer.offered_bytes:
            self._remove(offer.event_count)
        elif accepted_bytes > offer.offered_bytes:
            raise WireError(502, f"{accepted_bytes} content bytes accepted of {offer.offered_bytes}")
        else:
            self._accept_part(offer, accepted_bytes)

    def _make_offer(self, limit: int) -> Offer:
        events = self._events[:limit]
        has_close = bool(events) and events[-1].type is EventType.CLOSE
        known = events[: min(self._known, len(events) - has_close)]
        offer = Offer(
            encode_events(events),
            len(events),
            _content_bytes(events),
            _content_bytes(known),
            has_close,
            len(events) == len(self._events) and not self.is_full,
        )
        self._known = len(events)
        return offer

    def _accept_part(self, offer: Offer, accepted_bytes: int) -> None:
        """Keep what was left. Empty messages go with what is before them."""
        if offer.has_close and accepted_bytes >= offer.offered_bytes - len(self._events[offer.event_count - 1].content):
            raise WireError(502, "All messages accepted, but not the CLOSE behind them")
        count = 0
        while accepted_bytes >= len(self._events[count].content):
            accepted_bytes -= len(self._events[count].content)
            count += 1
        if not count and not accepted_bytes:
            if not offer.is_whole:
                raise WireError(502, f"No content bytes accepted of {offer.offered_bytes}, and no more fit")
            return
        self._remove(count)
        self._known -= offer.has_close
        if accepted_bytes:
            first = self._events[0]
            self._events[0] = Event(first.type, first.content[accepted_bytes:])
            self._size_bytes -= accepted_bytes

    def _remove(self, count: int) -> None:
        self._size_bytes -= sum(map(_cost, self._events[:count]))
        del self._events[:count]
        self._known -= count


def _cost(event: Event) -> int:
    return len(event.content) + EVENT_COST_BYTES


def _content_bytes(events: list[Event]) -> int:
    return sum(len(event.content) for event in events)
