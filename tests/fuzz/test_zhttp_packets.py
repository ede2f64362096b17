"""Any frame of a backend: a packet that breaks no line and keeps to the bounds, or PacketError."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz
from tests.harness import tnet

from holdfast.errors import PacketError
from holdfast.grip.instruct import is_instruct
from holdfast.wire.headers import is_one_line, is_token
from holdfast.wire.params import MAX_INT
from holdfast.wire.tnetstring import parse_tnetstring
from holdfast.wire.zhttp.packets import MAX_IDS, Close, Data, Failure, MessageType, Ping, Place, Pong, Signal
from holdfast.wire.zhttp.requests import encode_bulk, encode_packet
from holdfast.wire.zhttp.responses import parse_published_response, parse_response

PACKETS: list[dict[str, Any]] = [
    {"from": "b", "id": "1", "seq": 0, "code": 200, "reason": "OK", "headers": [["A", "b"]], "body": "x", "more": True},
    {"from": "b", "id": "1", "seq": 1, "body": "x", "credits": 100, "ext": {"multi": True}},
    {"from": "b", "id": [{"id": "1", "seq": 1}, {"id": "2", "seq": 2}], "type": "keep-alive"},
    {"id": "1", "seq": 2, "type": "error", "condition": "rejected", "code": 403, "headers": [], "body": "no"},
    {"id": "1", "seq": 2, "type": "close", "code": 1000, "body": "bye"},
    {"id": "1", "seq": "3", "type": "ping", "body": "x"},
    {"id": "1", "seq": 3, "content-type": "binary", "body": "x"},
    {"id": "1", "type": "cancel"},
]
SEEDS = [b"T" + tnet.encode(packet) for packet in PACKETS]
TOKENS = [
    b"0:~", b"0:]", b"0:}", b"4:true!", b"1:5#", b"2:-1#", b"10:2147483648#", b"2:\r\n,", b"1:\0,", b"T",
    b"4:type,", b"6:credit,", b"0:,0:,", b"8:Grip-Foo,",
]  # fmt: skip


@fuzz(mutated(SEEDS, TOKENS), examples=400)
def test_any_frame(frame: bytes) -> None:
    try:
        response = parse_response(frame)
    except PacketError as exc:
        str(exc).encode()
        return
    assert parse_published_response(b"me " + frame, b"me") == response
    assert 1 <= len(response.places) <= MAX_IDS
    assert len(response.places) == 1 or isinstance(response.content, Signal)
    assert 0 <= response.credits <= MAX_INT
    assert response.head.code is None or 0 <= response.head.code <= 999
    assert is_one_line(response.head.reason)
    assert all(is_token(name) and is_one_line(value) for name, value in response.head.headers)
    is_instruct(response.head.headers)
    if isinstance(response.content, Close):
        assert response.content.code is None or 0 <= response.content.code <= 65535


CONTENTS = (
    st.builds(Data, st.binary(max_size=9), st.booleans(), st.none() | st.sampled_from(MessageType))
    | st.builds(Ping, st.binary(max_size=9))
    | st.builds(Pong, st.binary(max_size=9))
    | st.builds(Close, st.integers(0, 65535), st.binary(max_size=9))
    | st.just(Failure(None))
    | st.sampled_from([signal for signal in Signal if signal is not Signal.CREDIT])
)
PLACES = st.builds(Place, st.binary(max_size=9), st.integers(0, MAX_INT))


@fuzz(CONTENTS, PLACES, st.integers(0, MAX_INT))
def test_what_we_send_we_read(content: Any, place: Place, credits: int) -> None:
    packet = encode_packet(b"us", place, content, credits)
    response = parse_response(packet)
    assert (response.sender, response.places, response.content, response.credits) == (b"us", (place,), content, credits)


@fuzz(st.lists(PLACES, min_size=1, max_size=MAX_IDS), st.sampled_from(Signal))
def test_signals_about_many(places: list[Place], signal: Signal) -> None:
    packet = encode_bulk(b"us", places, signal)
    assert parse_response(packet).places == tuple(places)
    assert isinstance(parse_tnetstring(packet, 1), dict)
