from __future__ import annotations

import pytest

from holdfast.wire.tnetstring import Map, Value, parse_tnetstring
from holdfast.wire.zhttp.packets import (
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
from holdfast.wire.zhttp.requests import (
    RequestHead,
    TargetOptions,
    encode_bulk,
    encode_opening,
    encode_packet,
    encode_request,
)

PROXY = b"pushpin-proxy_1234"
ID = b"11111111-2222-3333-4444-555555555555"
NO_OPTIONS = TargetOptions(ignore_policies=False)


def fields_of(frame: bytes) -> Map:
    assert frame.startswith(b"T")
    fields = parse_tnetstring(frame, 1)
    assert isinstance(fields, dict)
    return fields


def test_request_of_the_specification() -> None:
    """ws spec §7.6"""
    head = RequestHead(b"GET", b"http://example.com/hello?x=1", [(b"Host", b"example.com"), (b"Accept", b"*/*")])
    assert encode_request(PROXY, ID, head, b"") == (
        b"T233:4:from,18:pushpin-proxy_1234,2:id,36:11111111-2222-3333-4444-555555555555,6:method,3:GET,3:uri,"
        b"28:http://example.com/hello?x=1,7:headers,45:22:4:Host,11:example.com,]15:6:Accept,3:*/*,]]8:max-size,"
        b"7:1000000#15:ignore-policies,4:true!}"
    )


def test_opening_of_the_specification() -> None:
    """ws spec §7.7"""
    head = RequestHead(b"POST", b"http://example.com/up", [(b"Host", b"example.com"), (b"Content-Length", b"5")])
    assert encode_opening(PROXY, ID, head, Data(b"hello")) == (
        b"T320:4:from,18:pushpin-proxy_1234,2:id,36:11111111-2222-3333-4444-555555555555,3:seq,1:0#6:method,4:POST,"
        b"3:uri,21:http://example.com/up,7:headers,52:22:4:Host,11:example.com,]22:14:Content-Length,1:5,]]4:body,"
        b"5:hello,6:stream,4:true!11:router-resp,4:true!7:credits,6:200000#15:ignore-policies,4:true!3:ext,"
        b"15:5:multi,4:true!}}"
    )


def test_websocket_opening_of_the_specification() -> None:
    """ws spec §7.8"""
    headers = [(b"Host", b"example.com"), (b"Sec-WebSocket-Version", b"13"), (b"Sec-WebSocket-Extensions", b"grip")]
    head = RequestHead(None, b"ws://example.com/chat", headers)
    assert encode_opening(PROXY, ID, head, Data()) == (
        b"T320:4:from,18:pushpin-proxy_1234,2:id,36:11111111-2222-3333-4444-555555555555,3:seq,1:0#3:uri,"
        b"21:ws://example.com/chat,7:headers,99:22:4:Host,11:example.com,]30:21:Sec-WebSocket-Version,2:13,]"
        b"35:24:Sec-WebSocket-Extensions,4:grip,]]11:router-resp,4:true!7:credits,6:200000#15:ignore-policies,4:true!"
        b"3:ext,15:5:multi,4:true!}}"
    )


ADDRESSED = b"4:from,18:pushpin-proxy_1234,2:id,36:11111111-2222-3333-4444-555555555555,3:seq,1:"

LATER: list[tuple[int, Content, int, bytes]] = [
    (1, Signal.CREDIT, 3, b"T114:" + ADDRESSED + b"1#4:type,6:credit,7:credits,1:3#}"),
    (
        1,
        Data(b"hi", message_type=MessageType.TEXT),
        0,
        b"T119:" + ADDRESSED + b"1#12:content-type,4:text,4:body,2:hi,}",
    ),
    (3, Close(4000, b"bye"), 0, b"T126:" + ADDRESSED + b"3#4:type,5:close,4:code,4:4000#4:body,3:bye,}"),
]


@pytest.mark.parametrize(("seq", "content", "credits", "frame"), LATER)
def test_later_packets_of_the_specification(seq: int, content: Content, credits: int, frame: bytes) -> None:
    """ws spec §7.7, §7.8"""
    assert encode_packet(PROXY, Place(ID, seq), content, credits) == frame


CONTENTS: list[tuple[Content, Map]] = [
    (Data(), {}),
    (Data(b"x", has_more=True), {b"body": b"x", b"more": True}),
    (Data(message_type=MessageType.TEXT), {b"content-type": b"text", b"body": b""}),
    (
        Data(b"\xff", has_more=True, message_type=MessageType.BINARY),
        {b"content-type": b"binary", b"body": b"\xff", b"more": True},
    ),
    (Signal.KEEP_ALIVE, {b"type": b"keep-alive"}),
    (Signal.CANCEL, {b"type": b"cancel"}),
    (Signal.HANDOFF_START, {b"type": b"handoff-start"}),
    (Signal.HANDOFF_PROCEED, {b"type": b"handoff-proceed"}),
    (Ping(b"p"), {b"type": b"ping", b"body": b"p"}),
    (Pong(b""), {b"type": b"pong", b"body": b""}),
    (Close(), {b"type": b"close"}),
    (Close(1000), {b"type": b"close", b"code": 1000, b"body": b""}),
    (Failure(Condition.TLS_ERROR), {b"type": b"error", b"condition": b"tls-error"}),
    (Failure(None), {b"type": b"error", b"condition": b"undefined-condition"}),
]


@pytest.mark.parametrize(("content", "fields"), CONTENTS)
def test_contents(content: Content, fields: Map) -> None:
    frame = encode_packet(b"p", Place(b"i", 7), content)
    assert fields_of(frame) == {b"from": b"p", b"id": b"i", b"seq": 7, **fields}


def test_body_that_goes_on() -> None:
    head = RequestHead(b"PUT", b"http://a/", [], NO_OPTIONS)
    fields = fields_of(encode_opening(b"p", b"i", head, Data(b"x", has_more=True)))
    assert (fields[b"body"], fields[b"more"], fields[b"stream"]) == (b"x", True, True)
    assert b"ignore-policies" not in fields


def test_headers_as_they_are() -> None:
    headers = [(b"X-a", b"\xff\xe9"), (b"x-A", b""), (b"X-a", b"\xff\xe9")]
    frame = encode_request(b"p", b"i", RequestHead(b"GET", b"http://a/", headers), b"\0")
    expected: Value = [[b"X-a", b"\xff\xe9"], [b"x-A", b""], [b"X-a", b"\xff\xe9"]]
    assert fields_of(frame)[b"headers"] == expected
    assert fields_of(frame)[b"body"] == b"\0"


def test_options() -> None:
    options = TargetOptions(
        trust_connect_host=True, ignore_tls_errors=True, client_cert=b"CERT", client_key=b"KEY", ignore_policies=False
    )
    head = RequestHead(b"GET", b"https://a/", [], options)
    flags = {b"trust-connect-host": True, b"ignore-tls-errors": True, b"client-cert": b"CERT", b"client-key": b"KEY"}
    for frame in (encode_request(b"p", b"i", head, b""), encode_opening(b"p", b"i", head, Data())):
        fields = fields_of(frame)
        assert {name: fields.get(name) for name in (*flags, b"ignore-policies")} == {**flags, b"ignore-policies": None}


def test_signal_about_several_exchanges() -> None:
    frame = encode_bulk(b"p", [Place(b"a", 1), Place(b"b", 22)], Signal.KEEP_ALIVE)
    assert frame == b"T88:4:from,1:p,2:id,47:19:2:id,1:a,3:seq,1:1#}20:2:id,1:b,3:seq,2:22#}]4:type,10:keep-alive,}"
