"""Any body: events that encode to a body with the same events, or WireError 502; never another exception."""

from __future__ import annotations

from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import WireError
from holdfast.wire.websocket.close import encode_close_payload
from holdfast.wire.ws_events import Event, EventType, encode_events, read_events

SEEDS = [
    b"OPEN\r\n",
    b"TEXT 5\r\nhello\r\nBINARY 3\r\n\x00\xff\n\r\nPING\r\nPONG 2\r\nhi\r\n",
    b'OPEN\r\nTEXT 2f\r\nc:{"type": "subscribe", "channel": "test", "a": 1}\r\n',
    b"CLOSE 6\r\n\x03\xe8gone\r\n",
    b"CLOSE 2\r\n\xff\xff\r\nDISCONNECT\r\n",
    b"UNKNOWN 4\r\nabcd\r\nTEXT 0\r\n\r\nDISCONNECT\r\n",
]
TOKENS = [
    b"\r\n", b" ", b"OPEN\r\n", b"TEXT ", b"CLOSE ", b"0", b"0x5", b"+0X5", b"-1", b"7fffffff", b"80000000",
    b"ffffffffff", b"00000000000000000005", b" 5", b"5 ", b"\r", b"\n",
]  # fmt: skip


def events_of(body: bytes) -> list[Event]:
    return [event for event in read_events(body) if event is not None]


@fuzz(mutated(SEEDS, TOKENS), examples=300)
def test_any_body(body: bytes) -> None:
    try:
        events = events_of(body)
    except WireError as exc:
        assert exc.status == 502
        return
    assert sum(len(event.content) for event in events) <= len(body)
    assert all(event.type not in (EventType.CLOSE, EventType.DISCONNECT) for event in events[:-1])
    encoded = encode_events(events)
    assert events_of(encoded) == events
    assert encode_events(events_of(encoded)) == encoded
    for event in events:
        if event.type is EventType.CLOSE:
            status = event.close_status
            assert (status.code is None) == (len(event.content) < 2)
            assert len(encode_close_payload(status)) <= 125
