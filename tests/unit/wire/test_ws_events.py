from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import WireError
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.ws_events import (
    DISCONNECT,
    MEDIA_TYPE,
    OPEN,
    Event,
    EventType,
    close_event,
    encode_events,
    read_events,
)

TEXT, BINARY, PING, PONG, CLOSE = (
    EventType.TEXT,
    EventType.BINARY,
    EventType.PING,
    EventType.PONG,
    EventType.CLOSE,
)


def known_events(body: bytes) -> list[Event]:
    """The events of a body, without types that are not known."""
    return [event for event in read_events(body) if event is not None]


BOTH_WAYS = [
    pytest.param([], b"", id="none"),
    pytest.param([OPEN], b"OPEN\r\n", id="open"),
    pytest.param([Event(TEXT, b"hello")], b"TEXT 5\r\nhello\r\n", marks=pytest.mark.spec("ws-7"), id="text"),
    pytest.param(
        [Event(TEXT, b"x" * 100_000)],
        b"TEXT 186a0\r\n" + b"x" * 100_000 + b"\r\n",
        marks=pytest.mark.spec("ws-8"),
        id="long text",
    ),
    pytest.param([Event(TEXT)], b"TEXT\r\n", marks=pytest.mark.spec("ws-9"), id="empty text"),
    pytest.param([Event(BINARY)], b"BINARY\r\n", id="empty binary"),
    pytest.param([Event(BINARY, b"\0\r\n\xff")], b"BINARY 4\r\n\0\r\n\xff\r\n", id="binary with a line end"),
    pytest.param(
        [Event(PING, b"pp"), Event(PING)],
        b"PING 2\r\npp\r\nPING\r\n",
        id="pings",
    ),
    pytest.param([Event(PONG), Event(PONG, b"x")], b"PONG\r\nPONG 1\r\nx\r\n", id="pongs"),
    pytest.param(
        [close_event(CloseStatus(1001, "x"))],
        b"CLOSE 3\r\n\x03\xe9x\r\n",
        id="close",
    ),
    pytest.param([close_event(NO_STATUS)], b"CLOSE\r\n", id="close without a code"),
    pytest.param([close_event(CloseStatus(1000))], b"CLOSE 2\r\n\x03\xe8\r\n", id="close without a reason"),
    pytest.param([DISCONNECT], b"DISCONNECT\r\n", id="disconnect"),
    pytest.param(
        [OPEN, Event(TEXT, b'c:{"type":"subscribe","channel":"room"}')],
        b'OPEN\r\nTEXT 27\r\nc:{"type":"subscribe","channel":"room"}\r\n',
        id="example of §1.2",
    ),
]


@pytest.mark.parametrize(("events", "body"), BOTH_WAYS)
def test_both_ways(events: list[Event], body: bytes) -> None:
    assert encode_events(events) == body
    assert known_events(body) == events


def test_media_type() -> None:
    assert MEDIA_TYPE == b"application/websocket-events"


def test_some_events_never_carry_content() -> None:
    assert encode_events([Event(EventType.OPEN, b"x"), Event(EventType.DISCONNECT, b"x")]) == b"OPEN\r\nDISCONNECT\r\n"
    assert known_events(b"OPEN 1\r\nx\r\nDISCONNECT 1\r\nx\r\n") == [OPEN, DISCONNECT]


LENIENT = [
    pytest.param(b"TEXT 1B\r\n" + b"x" * 27 + b"\r\n", [Event(TEXT, b"x" * 27)], id="upper case"),
    pytest.param(b"TEXT 0x2\r\nhi\r\n", [Event(TEXT, b"hi")], id="prefix"),
    pytest.param(b"TEXT 0X2\r\nhi\r\n", [Event(TEXT, b"hi")], id="prefix in upper case"),
    pytest.param(b"TEXT +2\r\nhi\r\n", [Event(TEXT, b"hi")], id="plus sign"),
    pytest.param(b"TEXT +0x02\r\nhi\r\n", [Event(TEXT, b"hi")], id="plus sign and prefix"),
    pytest.param(b"TEXT 00000000002\r\nhi\r\n", [Event(TEXT, b"hi")], id="leading zeros"),
    pytest.param(b"TEXT 0\r\n\r\nPING 0\r\n\r\n", [Event(TEXT), Event(PING)], id="length 0"),
    pytest.param(b"TEXT 2\r\nhi", [Event(TEXT, b"hi")], id="no line end behind the last content"),
    pytest.param(b"TEXT 2\r\nhi\r", [Event(TEXT, b"hi")], id="half a line end behind the last content"),
    pytest.param(b"TEXT 8\r\nhi", [Event(TEXT, b"hi")], marks=pytest.mark.spec("ws-21"), id="content cut short"),
    pytest.param(b"TEXT 7fffffff\r\n", [Event(TEXT)], id="longest length and nothing there"),
    pytest.param(b"TEXT 2\r\nhiXXTEXT\r\n", [Event(TEXT, b"hi"), Event(TEXT)], id="no line end looked for"),
    pytest.param(b"HELLO\r\nTEXT\r\n", [Event(TEXT)], marks=pytest.mark.spec("ws-22"), id="unknown"),
    pytest.param(
        b"HELLO 6\r\nTEXT\r\n\r\nOPEN\r\n", [OPEN], marks=pytest.mark.spec("ws-22"), id="unknown with content"
    ),
    pytest.param(b"\r\ntext\r\nOpen\r\n\r\n", [], id="types have a case, and a name"),
    pytest.param(b"CLOSE\r\nTEXT", [Event(CLOSE)], id="nothing behind a close"),
    pytest.param(b"DISCONNECT\r\nTEXT x\r\n", [DISCONNECT], id="nothing behind a disconnect"),
    pytest.param(b"TEXT 1\r\na\r\nCLOSE 1\r\n\x03\r\n", [Event(TEXT, b"a"), Event(CLOSE, b"\x03")], id="short close"),
]


@pytest.mark.parametrize(("body", "events"), LENIENT)
def test_leniencies(body: bytes, events: list[Event]) -> None:
    assert known_events(body) == events


NO_LINE_END = "WebSocket event without a line end"
BAD_LENGTH = "WebSocket event with an invalid length"

INVALID = [
    (b"OPEN", NO_LINE_END),
    (b"OPEN\n", NO_LINE_END),
    (b"OPEN\r", NO_LINE_END),
    (b"OPEN\r\nTEXT 2", NO_LINE_END),
    (b"TEXT 2\r\nhi\r\n\n", NO_LINE_END),
    (b"TEXT x\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT \r\n", BAD_LENGTH),
    (b"TEXT  2\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT 2 \r\nhi\r\n", BAD_LENGTH),
    (b"TEXT -1\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT +-1\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT 0x\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT 80000000\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT 100000000\r\nhi\r\n", BAD_LENGTH),
    (b"TEXT 1_0\r\nhi\r\n", BAD_LENGTH),
    (b"HELLO x\r\n", BAD_LENGTH),
    (b"OPEN\r\nOPEN z\r\n", BAD_LENGTH),
]


@pytest.mark.parametrize(("body", "text"), INVALID)
def test_invalid_bodies(body: bytes, text: str) -> None:
    with pytest.raises(WireError) as caught:
        known_events(body)
    assert (caught.value.status, caught.value.text) == (502, text)


@pytest.mark.parametrize(
    ("content", "status"),
    [
        (b"", NO_STATUS),
        (b"\x03", NO_STATUS),
        (b"\x03\xe8", CloseStatus(1000)),
        (b"\x0f\xa0abc", CloseStatus(4000, "abc")),
        (b"\x03\xed", CloseStatus(1005)),
        (b"\x03\xe8\xff", CloseStatus(1000, "\ufffd")),
    ],
)
def test_status_of_a_close(content: bytes, status: CloseStatus) -> None:
    """ws spec §1.1, §1.4."""
    assert Event(CLOSE, content).close_status == status


def test_events_can_be_keys() -> None:
    assert len({OPEN, Event(EventType.OPEN), DISCONNECT}) == 2


MESSAGES = st.builds(Event, st.sampled_from([TEXT, BINARY, PING, PONG]), st.binary(max_size=40))
ENDS = st.sampled_from([[], [DISCONNECT], [Event(CLOSE)]]) | st.binary(min_size=2).map(lambda c: [Event(CLOSE, c)])


@given(st.lists(st.just(OPEN) | MESSAGES), ENDS)
def test_round_trip(events: list[Event], end: list[Event]) -> None:
    assert known_events(encode_events(events + end)) == events + end


@given(st.lists(MESSAGES), st.binary())
def test_whatever_follows_a_close_is_not_looked_at(events: list[Event], following: bytes) -> None:
    assert known_events(encode_events([*events, Event(CLOSE)]) + following) == [*events, Event(CLOSE)]


@given(st.lists(st.sampled_from([b"TEXT", b"OPEN", b" ", b"\r\n", b"2", b"-", b"x", b"CLOSE"])).map(b"".join))
def test_any_body_is_events_or_an_error(body: bytes) -> None:
    try:
        events = known_events(body)
    except WireError:
        return
    assert sum(len(event.content) for event in events) <= len(body)
