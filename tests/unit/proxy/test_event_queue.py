from __future__ import annotations

from itertools import groupby

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.proxy.event_queue import EVENT_COST_BYTES, MAX_BYTES, MAX_CONTROLS, EventQueue
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.ws_events import Event, EventType, close_event, read_events

TEXT, BINARY, PING, PONG = EventType.TEXT, EventType.BINARY, EventType.PING, EventType.PONG
CLOSE = close_event(NO_STATUS)
CLOSE_1000 = close_event(CloseStatus(1000))


def text(content: bytes) -> Event:
    return Event(TEXT, content)


def queue_of(*events: Event) -> EventQueue:
    queue = EventQueue()
    for event in events:
        queue.add(event)
    return queue


def exchange(queue: EventQueue, accepted_bytes: int | None = None, *, one_event: bool = False) -> bytes:
    """One request and its answer; returns the body of the request."""
    body = queue.offer(one_event=one_event).body
    queue.settle(accepted_bytes)
    return body


def test_worked_example() -> None:
    """§1.6."""
    queue = queue_of(text(b"[foo][hello"))
    first = queue.offer(one_event=False)
    assert (first.body, first.offered_bytes, first.replayed_bytes) == (b"TEXT b\r\n[foo][hello\r\n", 11, 0)
    queue.settle(5)
    assert not queue.has_news
    queue.add(text(b" world]"))
    assert queue.has_news
    second = queue.offer(one_event=False)
    assert second.body == b"TEXT 6\r\n[hello\r\nTEXT 7\r\n world]\r\n"
    assert (second.offered_bytes, second.replayed_bytes) == (13, 6)
    queue.settle(None)
    assert queue.is_empty


def test_nothing_is_queued() -> None:
    queue = EventQueue()
    assert queue.is_empty
    assert not queue.has_news
    assert not queue.is_full
    offer = queue.offer(one_event=True)
    assert (offer.body, offer.event_count, offer.offered_bytes, offer.has_close) == (b"", 0, 0, False)
    assert not queue.is_empty
    queue.settle(0)
    assert queue.is_empty


@pytest.mark.spec("ws-12")
def test_what_comes_while_an_offer_is_outstanding_goes_into_the_next() -> None:
    queue = queue_of(text(b"a"))
    assert queue.has_news
    offer = queue.offer(one_event=False)
    assert not queue.has_news
    for event in (Event(BINARY, b"\0"), Event(PING), Event(PONG, b"p"), text(b"")):
        queue.add(event)
    assert queue.has_news
    assert offer.body == b"TEXT 1\r\na\r\n"
    queue.settle(None)
    assert queue.has_news
    assert exchange(queue) == b"BINARY 1\r\n\0\r\nPING\r\nPONG 1\r\np\r\nTEXT\r\n"
    assert queue.is_empty


def test_a_repeated_request_has_the_same_body() -> None:
    queue = queue_of(text(b"a"))
    offer = queue.offer(one_event=False)
    queue.add(text(b"b"))
    assert queue.offer(one_event=False) is offer
    queue.settle(None)
    assert queue.offer(one_event=False).body == b"TEXT 1\r\nb\r\n"


@pytest.mark.spec("ws-13")
def test_one_event() -> None:
    queue = queue_of(text(b""), text(b"a"), CLOSE)
    bodies = []
    while queue.has_news:
        bodies.append(exchange(queue, one_event=True))
    assert bodies == [b"TEXT\r\n", b"TEXT 1\r\na\r\n", b"CLOSE\r\n"]


def test_one_event_that_was_not_wholly_accepted() -> None:
    queue = queue_of(text(b"abc"))
    exchange(queue, 1, one_event=True)
    assert not queue.has_news
    queue.add(text(b"d"))
    offer = queue.offer(one_event=True)
    assert (offer.body, offer.replayed_bytes) == (b"TEXT 2\r\nbc\r\n", 2)
    queue.settle(2)
    assert queue.has_news
    assert queue.offer(one_event=True).replayed_bytes == 0


def test_what_the_client_says_after_its_close_is_dropped() -> None:
    queue = queue_of(text(b"a"), CLOSE, text(b"b"), CLOSE_1000)
    assert exchange(queue) == b"TEXT 1\r\na\r\nCLOSE\r\n"


PARTS = [
    pytest.param([b"abc"], 1, b"TEXT 2\r\nbc\r\n", id="first byte"),
    pytest.param([b"abc"], 0, b"TEXT 3\r\nabc\r\n", id="nothing, as more may come"),
    pytest.param([b"abc"], 3, b"", id="all"),
    pytest.param([b"ab", b"cd"], 2, b"TEXT 2\r\ncd\r\n", id="one of two"),
    pytest.param([b"ab", b"cd"], 3, b"TEXT 1\r\nd\r\n", id="one and a part"),
    pytest.param([b"", b"ab"], 0, b"TEXT 2\r\nab\r\n", id="empty one at the front"),
    pytest.param([b"a", b"", b"b"], 1, b"TEXT 1\r\nb\r\n", id="empty one behind what is accepted"),
    pytest.param([b"ab", b"", b"c"], 1, b"TEXT 1\r\nb\r\nTEXT\r\nTEXT 1\r\nc\r\n", id="empty one behind what is left"),
    pytest.param([b"", b""], 0, b"", id="only empty ones"),
]


@pytest.mark.parametrize(("contents", "accepted_bytes", "left"), PARTS)
@pytest.mark.spec("ws-40")
def test_a_part_is_accepted(contents: list[bytes], accepted_bytes: int, left: bytes) -> None:
    queue = queue_of(*map(text, contents))
    exchange(queue, accepted_bytes)
    assert not queue.has_news
    offer = queue.offer(one_event=False)
    assert offer.body == left
    assert offer.replayed_bytes == offer.offered_bytes == sum(map(len, contents)) - accepted_bytes


def test_a_rest_keeps_its_type() -> None:
    queue = queue_of(Event(BINARY, b"abc"), Event(PING, b"d"))
    exchange(queue, 1)
    assert exchange(queue, 2) == b"BINARY 2\r\nbc\r\nPING 1\r\nd\r\n"
    assert exchange(queue) == b"PING 1\r\nd\r\n"


IMPOSSIBLE = [
    pytest.param([text(b"ab")], 3, False, "3 content bytes accepted of 2", marks=pytest.mark.spec("ws-41"), id="more"),
    pytest.param([], 1, False, "1 content bytes accepted of 0", id="more than nothing"),
    pytest.param([CLOSE_1000], 3, False, "3 content bytes accepted of 2", id="more than the close"),
    pytest.param(
        [text(b"ab"), text(b"c")], 0, True, "No content bytes accepted of 2, and no more fit", id="nothing of one event"
    ),
    pytest.param(
        [text(b"x" * MAX_BYTES)], 0, False, "No content bytes accepted of 200000, and no more fit", id="full, nothing"
    ),
    pytest.param([CLOSE_1000], 0, False, "All messages accepted, but not the CLOSE behind them", id="not the close"),
    pytest.param(
        [text(b"a"), CLOSE_1000], 2, False, "All messages accepted, but not the CLOSE behind them", id="half the close"
    ),
]


@pytest.mark.parametrize(("events", "accepted_bytes", "one_event", "problem"), IMPOSSIBLE)
def test_impossible_answers(events: list[Event], accepted_bytes: int, one_event: bool, problem: str) -> None:
    queue = queue_of(*events)
    queue.offer(one_event=one_event)
    with pytest.raises(WireError) as caught:
        queue.settle(accepted_bytes)
    assert (caught.value.status, caught.value.text) == (502, problem)


def test_nothing_accepted_of_all_there_was_when_more_came_meanwhile() -> None:
    queue = queue_of(text(b"a"))
    queue.offer(one_event=False)
    queue.add(text(b"b"))
    queue.settle(0)
    assert queue.has_news
    offer = queue.offer(one_event=False)
    assert (offer.body, offer.replayed_bytes) == (b"TEXT 1\r\na\r\nTEXT 1\r\nb\r\n", 1)


def test_a_close_is_accepted_with_the_data() -> None:
    queue = queue_of(text(b"ab"), CLOSE_1000)
    offer = queue.offer(one_event=False)
    assert offer.has_close
    assert offer.offered_bytes == 4
    queue.settle(4)
    assert queue.is_empty


def test_a_close_counts_as_not_sent_while_data_was_left() -> None:
    queue = queue_of(text(b"abc"), CLOSE_1000)
    exchange(queue, 1)
    assert queue.has_news
    offer = queue.offer(one_event=False)
    assert offer.body == b"TEXT 2\r\nbc\r\nCLOSE 2\r\n\x03\xe8\r\n"
    assert (offer.has_close, offer.replayed_bytes) == (True, 2)
    queue.settle(1)
    assert queue.has_news
    assert exchange(queue) == b"TEXT 1\r\nc\r\nCLOSE 2\r\n\x03\xe8\r\n"
    assert queue.is_empty


def test_a_close_of_which_nothing_was_taken_waits_for_a_reason() -> None:
    """Otherwise the same request would be repeated without an end."""
    queue = queue_of(text(b"abc"), CLOSE_1000)
    exchange(queue, 0)
    assert not queue.has_news
    offer = queue.offer(one_event=False)
    assert offer.body == b"TEXT 3\r\nabc\r\nCLOSE 2\r\n\x03\xe8\r\n"
    assert (offer.has_close, offer.replayed_bytes) == (True, 3)
    queue.settle(2)
    assert queue.has_news
    exchange(queue)
    assert queue.is_empty


def test_a_full_queue_is_a_reason_for_a_request() -> None:
    """The client is not read from, so nothing new would ever come."""
    queue = queue_of(text(b"x" * MAX_BYTES), text(b"y"))
    assert queue.is_full
    offer = queue.offer(one_event=False)
    assert not queue.has_news
    assert offer.offered_bytes == MAX_BYTES + 1
    queue.settle(1)
    assert queue.is_full
    assert queue.has_news
    exchange(queue, 2 * EVENT_COST_BYTES + 1)
    assert not queue.is_full
    assert not queue.has_news


def test_size_counts_events_too() -> None:
    queue = queue_of(text(b"abc"), Event(PING))
    assert queue.size_bytes == 3 + 2 * EVENT_COST_BYTES
    exchange(queue, 1)
    assert queue.size_bytes == 2 + 2 * EVENT_COST_BYTES
    exchange(queue)
    assert queue.size_bytes == 0
    for _ in range(MAX_BYTES // EVENT_COST_BYTES - 1):
        queue.add(text(b""))
    assert not queue.is_full
    queue.add(text(b""))
    assert queue.is_full


def controls(count: int) -> list[Event]:
    return [Event((PING, PONG)[number % 2], b"%d" % number) for number in range(count)]


def events_of(body: bytes) -> list[Event | None]:
    return list(read_events(body))


def test_of_too_many_pings_the_last_one_counts() -> None:
    queue = queue_of(text(b"a"))
    said = controls(MAX_CONTROLS + 3)
    assert [queue.add(event) for event in said] == [True] * MAX_CONTROLS + [False] * 3
    left = [text(b"a"), *said[: MAX_CONTROLS - 1], said[-1]]
    assert queue.size_bytes == sum(len(event.content) + EVENT_COST_BYTES for event in left)
    assert queue.add(text(b"b"))
    assert queue.add(Event(PING))
    assert events_of(exchange(queue)) == [*left, text(b"b"), Event(PING)]
    assert queue.size_bytes == 0
    assert not queue.is_full


def test_pings_that_were_offered_stay() -> None:
    """The backend may have kept them back: what it is offered again is what it was offered before."""
    queue = queue_of(text(b"ab"))
    said = controls(2 * MAX_CONTROLS + 1)
    for event in said[:MAX_CONTROLS]:
        assert queue.add(event)
    queue.offer(one_event=False)
    for event in said[MAX_CONTROLS:-1]:
        assert queue.add(event)
    assert not queue.add(said[-1])
    queue.settle(1)
    offered = events_of(exchange(queue))
    assert offered == [text(b"b"), *said[: 2 * MAX_CONTROLS - 1], said[-1]]
    assert queue.is_empty


def test_messages_are_never_too_many_in_a_row() -> None:
    queue = queue_of(*[text(b"")] * (MAX_CONTROLS + 1))
    assert queue.add(text(b""))
    assert len(events_of(queue.offer(one_event=False).body)) == MAX_CONTROLS + 2


Atom = tuple[int, EventType, int | None]
"""Of a message with this number: a byte of its content, or its end."""


class Model:
    """The same by atoms: what the client said, what was accepted, what was offered and left."""

    def __init__(self) -> None:
        self.said: list[Atom] = []
        self.accepted: list[Atom] = []
        self.left: list[Atom] = []
        self.replayed_bytes = 0
        self._messages = 0

    def say(self, event: Event) -> None:
        self._messages += 1
        atoms: list[Atom] = [(self._messages, event.type, byte) for byte in event.content]
        self.said += [*atoms, (self._messages, event.type, None)]
        self.left += [*atoms, (self._messages, event.type, None)]

    def events(self, *, one_event: bool) -> list[Event]:
        groups = groupby(self.left, key=lambda atom: atom[:2])
        events = [
            Event(event_type, bytes(atom[2] for atom in atoms if atom[2] is not None))
            for (_, event_type), atoms in groups
        ]
        return events[:1] if one_event else events

    def accept(self, event_count: int, accepted_bytes: int | None) -> bool:
        """Whether anything was."""
        before = len(self.accepted)
        ends = 0
        while ends < event_count and (self.left[0][2] is None or accepted_bytes != 0):
            if self.left[0][2] is None:
                ends += 1
            elif accepted_bytes is not None:
                accepted_bytes -= 1
            self.accepted.append(self.left.pop(0))
        return len(self.accepted) > before


events = st.builds(Event, st.sampled_from([TEXT, BINARY, PING, PONG]), st.binary(max_size=4))


@given(st.booleans(), st.data())
def test_the_backend_gets_every_byte_once_and_in_order(one_event: bool, data: st.DataObject) -> None:
    queue, model = EventQueue(), Model()
    retained = 0
    for event in data.draw(st.lists(events, max_size=3)):
        queue.add(event)
        model.say(event)
    for _ in range(data.draw(st.integers(0, 10))):
        expected = model.events(one_event=one_event)
        all_fit = expected == model.events(one_event=False)
        offer = queue.offer(one_event=one_event)
        assert [*filter(None, read_events(offer.body))] == expected
        assert offer.offered_bytes == sum(len(event.content) for event in expected)
        assert offer.replayed_bytes == retained
        said_meanwhile = data.draw(st.lists(events, max_size=2))
        for event in said_meanwhile:
            queue.add(event)
            model.say(event)
        accepted = data.draw(st.none() | st.integers(0, offer.offered_bytes))
        was_accepted = model.accept(len(expected), accepted)
        if expected and not was_accepted and not all_fit:
            with pytest.raises(WireError, match="No content bytes accepted"):
                queue.settle(accepted)
            return
        queue.settle(accepted)
        retained = 0 if accepted is None else offer.offered_bytes - accepted
        assert queue.has_news == (not all_fit or bool(said_meanwhile))
        left = model.events(one_event=False)
        assert queue.size_bytes == sum(len(event.content) + EVENT_COST_BYTES for event in left)
    while not queue.is_empty:
        model.accept(queue.offer(one_event=one_event).event_count, None)
        queue.settle(None)
    assert model.accepted == model.said


@given(st.lists(events, max_size=4), st.sampled_from([CLOSE, CLOSE_1000]), st.data())
def test_a_close_comes_last_and_with_everything_that_was_left(
    said: list[Event], close: Event, data: st.DataObject
) -> None:
    queue, model = queue_of(*said, close), Model()
    for event in said:
        model.say(event)
    while queue.has_news:
        offer = queue.offer(one_event=False)
        expected = model.events(one_event=False)
        assert [*filter(None, read_events(offer.body))] == [*expected, close]
        size_bytes = offer.offered_bytes - len(close.content)
        accepted = data.draw(st.none() | st.integers(0, max(size_bytes - 1, 0)) if size_bytes else st.none())
        queue.settle(accepted)
        if accepted is None:
            break
        assert model.accept(len(expected), accepted) == queue.has_news
    else:
        queue.offer(one_event=False)
        queue.settle(None)
    assert queue.is_empty
    assert not queue.has_news
