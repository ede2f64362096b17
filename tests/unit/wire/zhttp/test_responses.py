"""Whatever a backend sends is a packet, or a PacketError."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import PacketError
from holdfast.wire.tnetstring import Map, Value, encode_tnetstring
from holdfast.wire.zhttp.packets import (
    MAX_IDS,
    Close,
    Condition,
    Content,
    Data,
    Failure,
    MessageType,
    Ping,
    Place,
    Pong,
    Signal,
)
from holdfast.wire.zhttp.requests import encode_bulk, encode_packet
from holdfast.wire.zhttp.responses import Response, ResponseHead, parse_published_response, parse_response

ID = b"11111111-2222-3333-4444-555555555555"
PLAIN = [(b"Content-Type", b"text/plain")]


def parse(**fields: Value) -> Response:
    """The packet with these fields, of exchange `i` unless they say another one."""
    named = {("from" if name == "sender" else name.replace("_", "-")).encode(): v for name, v in fields.items()}
    return parse_response(b"T" + encode_tnetstring({b"id": b"i", **named}))


def test_reply_of_the_specification() -> None:
    """ws spec §7.6"""
    frame = (
        b"T133:2:id,36:11111111-2222-3333-4444-555555555555,4:code,3:200#6:reason,2:OK,7:headers,34:30:12:Content-Type,"
        b"10:text/plain,]]4:body,3:hi\n,}"
    )
    assert parse_response(frame) == Response(
        sender=None,
        places=(Place(ID, None),),
        content=Data(b"hi\n"),
        head=ResponseHead(200, b"OK", PLAIN),
        credits=0,
        has_bulk=False,
    )


START = b"4:from,3:be1,2:id,36:11111111-2222-3333-4444-555555555555,3:seq,1:"
PUBLISHED: list[tuple[bytes, int, Content, ResponseHead, int]] = [
    (
        b"T170:" + START + b"0#4:code,3:200#6:reason,2:OK,7:headers,34:30:12:Content-Type,10:text/plain,]]4:body,3:abc,"
        b"4:more,4:true!}",
        0,
        Data(b"abc", has_more=True),
        ResponseHead(200, b"OK", PLAIN),
        0,
    ),
    (b"T81:" + START + b"1#4:body,3:def,}", 1, Data(b"def"), ResponseHead(), 0),
    (
        b"T185:"
        + START
        + b"0#4:code,3:101#6:reason,19:Switching Protocols,7:headers,39:35:24:Sec-WebSocket-Extensions,"
        b"4:grip,]]7:credits,6:200000#}",
        0,
        Data(),
        ResponseHead(101, b"Switching Protocols", [(b"Sec-WebSocket-Extensions", b"grip")]),
        200_000,
    ),
    (
        b"T105:" + START + b"1#12:content-type,4:text,4:body,4:m:hi,}",
        1,
        Data(b"m:hi", message_type=MessageType.TEXT),
        ResponseHead(),
        0,
    ),
]


@pytest.mark.parametrize(("packet", "seq", "content", "head", "credits"), PUBLISHED)
def test_published_packets_of_the_specification(
    packet: bytes, seq: int, content: Content, head: ResponseHead, credits: int
) -> None:
    """ws spec §7.7, §7.8"""
    expected = Response(b"be1", (Place(ID, seq),), content, head, credits, has_bulk=False)
    assert parse_published_response(b"pushpin-proxy_1234 " + packet, b"pushpin-proxy_1234") == expected
    assert parse_response(packet) == expected
    assert parse_response(packet + b"bytes behind it") == expected


@pytest.mark.parametrize("start", [b"", b"p", b"pT", b"p2 ", b"q ", b" ", b"p\t"])
def test_published_for_another(start: bytes) -> None:
    with pytest.raises(PacketError, match=r"^ZHTTP packet for another proxy$"):
        parse_published_response(start + b"T" + encode_tnetstring({b"id": b"i"}), b"p")


CONTENTS: list[tuple[dict[str, Value], Content]] = [
    ({}, Data()),
    ({"body": b"\xff", "more": True}, Data(b"\xff", has_more=True)),
    ({"more": False}, Data()),
    ({"content_type": b"binary"}, Data(message_type=MessageType.BINARY)),
    ({"content_type": b"other"}, Data(message_type=MessageType.TEXT)),
    ({"type": b"credit"}, Signal.CREDIT),
    ({"type": b"keep-alive"}, Signal.KEEP_ALIVE),
    ({"type": b"cancel"}, Signal.CANCEL),
    ({"type": b"handoff-start"}, Signal.HANDOFF_START),
    ({"type": b"handoff-proceed"}, Signal.HANDOFF_PROCEED),
    ({"type": b"ping", "body": b"x"}, Ping(b"x")),
    ({"type": b"pong"}, Pong(b"")),
    ({"type": b"close"}, Close()),
    ({"type": b"close", "code": 4000, "body": b"\xff"}, Close(4000, b"\xff")),
    ({"type": b"close", "code": 65535, "reason": 5, "headers": 5}, Close(65535)),
    ({"type": b"error"}, Failure(None)),
    ({"type": b"error", "condition": b"whatever"}, Failure(None)),
    ({"type": b"error", "condition": b"length-required"}, Failure(Condition.LENGTH_REQUIRED)),
    ({"type": b"error", "condition": b"rejected", "body": b"no"}, Failure(Condition.REJECTED, b"no")),
]


@pytest.mark.parametrize(("fields", "content"), CONTENTS)
def test_contents(fields: dict[str, Value], content: Content) -> None:
    assert parse(**fields).content == content


def test_rejection() -> None:
    packet = parse(type=b"error", condition=b"rejected", code=403, reason=b"No", headers=[[b"X", b"1"]], body=b"go")
    assert packet.content == Failure(Condition.REJECTED, b"go")
    assert packet.head == ResponseHead(403, b"No", [(b"X", b"1")])


def test_envelope() -> None:
    packet = parse(sender=b"be", seq=5, credits=7, ext={b"multi": True, b"other": 1}, unknown=[], user_data=None)
    assert (packet.sender, packet.places, packet.credits, packet.has_bulk) == (b"be", (Place(b"i", 5),), 7, True)
    assert not parse(ext={}).has_bulk


def test_headers_as_they_are() -> None:
    """ws spec §7.4"""
    headers: Value = [[b"X-a", b"\xff\xe9"], [b"x-A", b""], [b"X-a", b"\xff\xe9"]]
    assert parse(headers=headers).head.headers == [(b"X-a", b"\xff\xe9"), (b"x-A", b""), (b"X-a", b"\xff\xe9")]


@pytest.mark.parametrize(("value", "number"), [(201, 201), (b"201", 201), (b" 201 ", 201), (0, 0), (999, 999)])
def test_integers(value: Value, number: int) -> None:
    assert parse(code=value).head.code == number


def test_any_number_of_a_packet() -> None:
    """A wrong one is for the exchange to notice: it ends (ws spec §7.7)."""
    assert [parse(seq=seq).places[0].seq for seq in (-1, 2**31 - 1, b"3")] == [-1, 2**31 - 1, 3]


def test_several_exchanges() -> None:
    ids: Value = [{b"id": b"a", b"seq": 1}, {b"id": b"b"}, {b"id": b"c", b"seq": b"3", b"other": 1}]
    packet = parse(id=ids, type=b"keep-alive", seq=9)
    assert packet.places == (Place(b"a", 1), Place(b"b", None), Place(b"c", 3))
    assert parse(id=[{b"id": b"a", b"seq": 1}], body=b"x").places == (Place(b"a", 1),)
    assert len(parse(id=[{b"id": b"a"}] * MAX_IDS, type=b"cancel").places) == MAX_IDS


FRAMES: list[tuple[bytes, str]] = [
    (b"", "without its prefix"),
    (encode_tnetstring({b"id": b"i"}), "without its prefix"),
    (b"J{}", "without its prefix"),
    (b"T", "TNetString is empty"),
    (b"T5:ab,", "longer than"),
    (b"T0:]", "no map"),
    (b"T0:}", "without 'id'"),
]


@pytest.mark.parametrize(("frame", "text"), FRAMES)
def test_frames_that_are_no_packet(frame: bytes, text: str) -> None:
    with pytest.raises(PacketError, match=text):
        parse_response(frame)


INVALID: list[tuple[dict[str, Value], str]] = [
    ({"id": 5}, "invalid 'id'"),
    ({"id": None}, "invalid 'id'"),
    ({"id": {}}, "invalid 'id'"),
    ({"id": []}, "about 0 exchanges, not 1 to 128"),
    ({"id": [{b"id": b"a"}] * (MAX_IDS + 1)}, "about 129 exchanges, not 1 to 128"),
    ({"id": [b"a"]}, "without 'id'"),
    ({"id": [{b"seq": 1}]}, "without 'id'"),
    ({"id": [{b"id": b"a", b"seq": b"x"}], "type": b"cancel"}, "invalid 'seq'"),
    ({"id": [{b"id": b"a"}, {b"id": b"b"}]}, "is no signal"),
    ({"id": [{b"id": b"a"}, {b"id": b"b"}], "type": b"error"}, "is no signal"),
    ({"sender": 5}, "invalid 'from'"),
    ({"seq": None}, "invalid 'seq'"),
    ({"seq": True}, "invalid 'seq'"),
    ({"seq": 1.0}, "invalid 'seq'"),
    ({"seq": 2**31}, "invalid 'seq'"),
    ({"type": b"unknown"}, "unknown 'type'"),
    ({"type": b""}, "unknown 'type'"),
    ({"type": b"Ping"}, "unknown 'type'"),
    ({"type": 5}, "invalid 'type'"),
    ({"type": None}, "invalid 'type'"),
    ({"type": b"error", "condition": 5}, "invalid 'condition'"),
    ({"credits": b"x"}, "invalid 'credits'"),
    ({"credits": -1}, "invalid 'credits'"),
    ({"credits": 2**31}, "invalid 'credits'"),
    ({"more": 1}, "invalid 'more'"),
    ({"more": None}, "invalid 'more'"),
    ({"more": b"true"}, "invalid 'more'"),
    ({"code": b"abc"}, "invalid 'code'"),
    ({"code": 1000}, "invalid 'code'"),
    ({"code": -1}, "invalid 'code'"),
    ({"code": None}, "invalid 'code'"),
    ({"type": b"close", "code": 65536}, "invalid 'code'"),
    ({"reason": 5}, "invalid 'reason'"),
    ({"reason": b"a\r\nb"}, "invalid 'reason'"),
    ({"headers": {b"X": b"1"}}, "invalid 'headers'"),
    ({"headers": None}, "invalid 'headers'"),
    ({"headers": [b"X"]}, "invalid 'headers'"),
    ({"headers": [[b"X"]]}, "invalid 'headers'"),
    ({"headers": [[b"X", b"1", b"2"]]}, "invalid 'headers'"),
    ({"headers": [[b"X", 1]]}, "invalid 'headers'"),
    ({"headers": [[1, b"X"]]}, "invalid 'headers'"),
    ({"headers": [[b"X", b"1\r\nSet-Cookie: a=b"]]}, "invalid 'headers'"),
    ({"headers": [[b"X:", b"1"]]}, "invalid 'headers'"),
    ({"headers": [[b"", b"1"]]}, "invalid 'headers'"),
    ({"type": b"error", "headers": 5}, "invalid 'headers'"),
    ({"type": b"credit", "headers": 5}, "invalid 'headers'"),
    ({"body": 5}, "invalid 'body'"),
    ({"body": None}, "invalid 'body'"),
    ({"type": b"ping", "body": []}, "invalid 'body'"),
    ({"content_type": True}, "invalid 'content-type'"),
    ({"ext": []}, "invalid 'ext'"),
    ({"ext": None}, "invalid 'ext'"),
    ({"ext": {b"multi": 1}}, "invalid 'multi'"),
]


@pytest.mark.parametrize(("fields", "text"), INVALID)
def test_packets_that_are_thrown_away(fields: dict[str, Value], text: str) -> None:
    """ws spec §7.3, §7.6"""
    with pytest.raises(PacketError, match=text):
        parse(**fields)


BODIES = st.binary(max_size=20)
CONTENT = (
    st.builds(Data, BODIES, st.booleans(), st.none() | st.sampled_from(MessageType))
    | st.sampled_from(Signal)
    | st.builds(Failure, st.none() | st.sampled_from(Condition))
    | st.builds(Ping, BODIES)
    | st.builds(Pong, BODIES)
    | st.just(Close())
    | st.builds(Close, st.integers(0, 65535), BODIES)
)
PLACES = st.builds(Place, BODIES, st.integers(0, 2**31 - 1))


@given(BODIES, PLACES, CONTENT, st.integers(0, 2**31 - 1))
def test_packets_read_the_same_in_both_directions(sender: bytes, place: Place, content: Content, credits: int) -> None:
    packet = parse_response(encode_packet(sender, place, content, credits))
    assert packet == Response(sender, (place,), content, ResponseHead(), credits, has_bulk=False)


@given(st.lists(PLACES, min_size=1, max_size=MAX_IDS), st.sampled_from(Signal))
def test_bulk_reads_the_same_in_both_directions(places: list[Place], signal: Signal) -> None:
    packet = parse_response(encode_bulk(b"p", places, signal))
    assert (packet.places, packet.content) == (tuple(places), signal)


VALUES: st.SearchStrategy[Value] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-2, 1000)
    | st.sampled_from([b"", b"close", b"error", b"ping", b"1", b"a\n"]),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([b"id", b"seq", b"multi"]), inner, max_size=3)
    ),
    max_leaves=6,
)
NAMES = [b"from", b"id", b"seq", b"type", b"condition", b"credits", b"more", b"code", b"reason", b"headers", b"body",
         b"content-type", b"ext"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(NAMES), VALUES), st.booleans())
def test_any_map_is_a_packet_or_an_error(fields: Map, has_id: bool) -> None:
    if has_id:
        fields = {**fields, b"id": b"i"}
    try:
        packet = parse_response(b"T" + encode_tnetstring(fields))
    except PacketError:
        return
    lines = [packet.head.reason, *[name + value for name, value in packet.head.headers]]
    assert not any(breaker in line for line in lines for breaker in b"\r\n\0")


@given(st.binary())
def test_any_frame_is_a_packet_or_an_error(data: bytes) -> None:
    for frame in (data, b"T" + data):
        try:
            parse_response(frame)
        except PacketError as exc:
            assert str(exc)
