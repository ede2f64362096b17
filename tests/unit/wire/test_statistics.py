from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.wire.statistics import (
    Activity,
    Connection,
    ConnectionGone,
    ConnectionType,
    Counts,
    Message,
    Notation,
    Packet,
    Report,
    Subscription,
    SubscriptionGone,
    SubscriptionMode,
    Traffic,
    Transport,
    encode_statistics,
)
from holdfast.wire.tnetstring import parse_tnetstring

REPORT = Report(
    route="r",
    connections=1,
    minutes=2,
    received=3,
    sent=4,
    http_response_sent=5,
    blocks_received=6,
    blocks_sent=7,
    duration_ms=10000,
    client=Traffic(11, 12, 13, 14, 15, 16),
    server=Traffic(21, 22, 23, 24, 25, 26),
)
REPORT_TEXT = (
    '"route":"r","connections":1,"minutes":2,"received":3,"sent":4,"http-response-sent":5,"blocks-received":6,'
    '"blocks-sent":7,"duration":10000,"client-header-bytes-received":11,"client-header-bytes-sent":12,'
    '"client-content-bytes-received":13,"client-content-bytes-sent":14,"client-messages-received":15,'
    '"client-messages-sent":16,"server-header-bytes-received":21,"server-header-bytes-sent":22,'
    '"server-content-bytes-received":23,"server-content-bytes-sent":24,"server-messages-received":25,'
    '"server-messages-sent":26'
)
QUIET_REPORT = Report(route=None, connections=0, minutes=0, received=0, sent=0, http_response_sent=0, duration_ms=10000)
QUIET_TEXT = '"connections":0,"minutes":0,"received":0,"sent":0,"http-response-sent":0,"duration":10000,' + ",".join(
    f'"{side}-{what}-{way}":0'
    for side in ("client", "server")
    for what in ("header-bytes", "content-bytes", "messages")
    for way in ("received", "sent")
)

PACKETS: list[tuple[Packet, str, str]] = [
    (Activity("r", 3), "activity", '"route":"r","count":3'),
    (Activity(None, 0), "activity", '"count":0'),
    (
        Message("r", "c", "1", 5, 6, Transport.HTTP_STREAM),
        "message",
        '"route":"r","channel":"c","item-id":"1","count":5,"blocks":6,"transport":"http-stream"',
    ),
    (
        Message(None, "é", "", 5, None, Transport.WS_MESSAGE),
        "message",
        '"channel":"é","item-id":"","count":5,"transport":"ws-message"',
    ),
    (
        Message(None, "c", None, 5, None, Transport.HTTP_RESPONSE),
        "message",
        '"channel":"c","count":5,"transport":"http-response"',
    ),
    (
        Connection("r", "x:1", ConnectionType.HTTP, "127.0.0.1", True, 120),
        "conn",
        '"route":"r","id":"x:1","type":"http","peer-address":"127.0.0.1","ssl":true,"ttl":120',
    ),
    (
        Connection(None, "x:1", ConnectionType.WEBSOCKET, None, False, 120),
        "conn",
        '"id":"x:1","type":"ws","ttl":120',
    ),
    (ConnectionGone("r", "x:1"), "conn", '"route":"r","id":"x:1","unavailable":true'),
    (
        Subscription(None, SubscriptionMode.STREAM, "c", 60, 2),
        "sub",
        '"mode":"stream","channel":"c","ttl":60,"subscribers":2',
    ),
    (
        SubscriptionGone("r", SubscriptionMode.RESPONSE, "c"),
        "sub",
        '"route":"r","mode":"response","channel":"c","unavailable":true',
    ),
    (SubscriptionGone(None, SubscriptionMode.WEBSOCKET, ""), "sub", '"mode":"ws","channel":"","unavailable":true'),
    (REPORT, "report", REPORT_TEXT),
    (QUIET_REPORT, "report", QUIET_TEXT),
    (Counts(7), "counts", '"requests-received":7'),
]


@pytest.mark.parametrize(("packet", "name", "text"), PACKETS)
def test_json(packet: Packet, name: str, text: str) -> None:
    frame = encode_statistics(packet, "holdfast_1", Notation.JSON)
    assert frame.decode() == f'{name} J{{"from":"holdfast_1",{text}}}'


@pytest.mark.parametrize(("packet", "name", "text"), PACKETS)
def test_tnetstring(packet: Packet, name: str, text: str) -> None:
    """Strings are bytes, numbers and booleans are what they are."""
    frame = encode_statistics(packet, "holdfast_1", Notation.TNETSTRING)
    start = f"{name} T".encode()
    assert frame.startswith(start)
    given = orjson.loads(f'{{"from":"holdfast_1",{text}}}')
    assert parse_tnetstring(frame, len(start)) == {
        key.encode(): value.encode() if isinstance(value, str) else value for key, value in given.items()
    }


def test_bytes_of_a_tnetstring() -> None:
    frame = encode_statistics(ConnectionGone(None, "x"), "h", Notation.TNETSTRING)
    assert frame == b"conn T42:4:from,1:h,2:id,1:x,11:unavailable,4:true!}"


@given(st.text(st.characters(codec="utf-8")), st.text(st.characters(codec="utf-8")))
def test_any_text_comes_through(channel: str, item_id: str) -> None:
    packet = Message(None, channel, item_id, 1, None, Transport.HTTP_STREAM)
    json = orjson.loads(encode_statistics(packet, "h", Notation.JSON).removeprefix(b"message J"))
    fields = parse_tnetstring(encode_statistics(packet, "h", Notation.TNETSTRING), len(b"message T"))
    assert isinstance(fields, dict)
    assert (json["channel"], json["item-id"]) == (channel, item_id)
    assert (fields[b"channel"], fields[b"item-id"]) == (channel.encode(), item_id.encode())


def test_the_difference_of_two_sums() -> None:
    assert Traffic(11, 12, 13, 14, 15, 16).since(Traffic(1, 3, 5, 7, 9, 11)) == Traffic(10, 9, 8, 7, 6, 5)
