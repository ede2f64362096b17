from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.item import Action, Item, MessageFormat, MessageKind, ResponseFormat, StreamFormat
from holdfast.grip.item_frame import parse_item_frame
from holdfast.wire.tnetstring import Map, Value, encode_tnetstring

SEND = Action.SEND
STREAM: Map = {b"content": b"x"}
ITEM: Map = {b"channel": b"c", b"http-stream": STREAM}
ITEM_VALUE = Item("c", None, None, False, None, {}, None, StreamFormat(SEND, b"x"), None)


def item_of(**fields: Value) -> Item:
    return parse_item_frame(encode_tnetstring(ITEM | {key.replace("_", "-").encode(): v for key, v in fields.items()}))


@pytest.mark.parametrize(
    "frame",
    [
        pytest.param(b'J{"channel": "c", "http-stream": {"content": "x"}}', id="J"),
        pytest.param(b'J\xef\xbb\xbf{"channel": "c", "http-stream": {"content": "x"}}', id="J, byte order mark"),
        pytest.param(b"T" + encode_tnetstring(ITEM), id="T"),
        pytest.param(encode_tnetstring(ITEM), id="bare"),
        pytest.param(encode_tnetstring(ITEM) + b"more", id="bytes behind it"),
    ],
)
def test_notations(frame: bytes) -> None:
    assert parse_item_frame(frame) == ITEM_VALUE


@pytest.mark.spec("grip-106")
def test_whole() -> None:
    formats: Map = {
        b"http-response": {
            b"code": 201,
            b"reason": b"Tr\xe8s bien",
            b"headers": [[b"X", b"\xff"], [b"x", b"2"]],
            b"body": b"\0\xff",
            b"content-filters": [b"a", b"b"],
        },
        b"http-stream": {b"content": b"\xfe\n"},
        b"ws-message": {b"type": b"binary", b"content": b"\xfd"},
        b"unknown": 1,
    }
    item = item_of(
        id=b"2", prev_id=b"1", no_seq=True, size=12, meta={b"sender": b"bob"}, formats=formats, http_stream=5
    )
    assert item == Item(
        channel="c",
        id="2",
        prev_id="1",
        no_seq=True,
        size=12,
        meta={"sender": "bob"},
        http_response=ResponseFormat(
            SEND, 201, b"Tr\xe8s bien", [(b"X", b"\xff"), (b"x", b"2")], b"\0\xff", content_filters=("a", "b")
        ),
        http_stream=StreamFormat(SEND, b"\xfe\n"),
        ws_message=MessageFormat(SEND, MessageKind.BINARY, b"\xfd"),
    )


NULLS: list[Map] = [
    {b"id": None, b"prev-id": None, b"formats": None, b"meta": None},
    {b"http-stream": {b"action": None, **STREAM}},
    {b"http-response": None, b"ws-message": None},
    {b"formats": {b"http-response": None, b"http-stream": STREAM}},
]


@pytest.mark.parametrize("fields", NULLS)
def test_null_is_absent(fields: Map) -> None:
    assert parse_item_frame(encode_tnetstring(ITEM | fields)) == ITEM_VALUE


def test_null_is_absent_in_formats() -> None:
    response = item_of(http_response={b"reason": None, b"body": b""}).http_response
    assert response is not None
    assert response.reason is None
    assert item_of(ws_message={b"type": None, b"content": b"x"}).ws_message == MessageFormat(SEND, content=b"x")
    close = item_of(ws_message={b"action": b"close", b"reason": None}).ws_message
    assert close == MessageFormat(Action.CLOSE)


def test_numbers_may_be_strings() -> None:
    item = item_of(size=b"12", http_response={b"code": b"404", b"body": b""})
    assert item.size == 12
    assert item.http_response == ResponseFormat(SEND, 404, body=b"")


def test_header_map() -> None:
    item = item_of(http_response={b"headers": {b"X-A": b"\xe9"}, b"body": b""})
    assert item.http_response == ResponseFormat(SEND, headers=[(b"X-A", b"\xe9")], body=b"")


def test_patch_is_json() -> None:
    patch: Value = [{b"op": b"add", b"path": b"/a", b"value": [b"\xc3\xa9", None]}]
    item = item_of(http_response={b"body-patch": patch})
    expected: list[object] = [{"op": "add", "path": "/a", "value": ["é", None]}]
    assert item.http_response == ResponseFormat(SEND, body_patch=expected)


MESSAGES: list[tuple[Map, MessageKind, bytes]] = [
    ({b"content": b"\xff"}, MessageKind.TEXT, b"\xff"),
    ({b"content-bin": b"AAE="}, MessageKind.BINARY, b"AAE="),
    ({b"content-bin": b"\xff", b"content": 5}, MessageKind.BINARY, b"\xff"),
    ({b"content-bin": b"x", b"type": b"text"}, MessageKind.TEXT, b"x"),
    ({b"type": b"ping"}, MessageKind.PING, b""),
    ({b"type": b"pong", b"content-bin": b"x"}, MessageKind.PONG, b"x"),
]


@pytest.mark.parametrize(("fields", "kind", "content"), MESSAGES)
def test_messages(fields: Map, kind: MessageKind, content: bytes) -> None:
    assert item_of(ws_message=fields).ws_message == MessageFormat(SEND, kind, content)


def test_topic_is_the_channel() -> None:
    assert parse_item_frame(b'J{"channel": 5, "http-stream": {"content": "x"}}', b"t\xc3\xa9").channel == "té"
    assert parse_item_frame(encode_tnetstring({b"http-stream": STREAM}), b"t").channel == "t"
    assert parse_item_frame(encode_tnetstring(ITEM), b"").channel == "c"


JSON_FAILED = "invalid format (json parse failed)"
NO_OBJECT = "invalid format (not a valid json object)"
TNETSTRING_FAILED = "invalid format (tnetstring parse failed)"
UNREADABLE: list[tuple[bytes, str]] = [
    (b"J", JSON_FAILED),
    (b"J{", JSON_FAILED),
    (b"J1", JSON_FAILED),
    (b"Jnull", JSON_FAILED),
    (b"J[]", NO_OBJECT),
    (b'J{"channel": "\xff"}', JSON_FAILED),
    (b"", TNETSTRING_FAILED),
    (b"T", TNETSTRING_FAILED),
    (b"X", TNETSTRING_FAILED),
    (b"j{}", TNETSTRING_FAILED),
    (b"{}", TNETSTRING_FAILED),
    (b"T2:{}", TNETSTRING_FAILED),
    (b"T5:ab,", TNETSTRING_FAILED),
    (b"J{}", "invalid format: publish item object does not contain 'channel'"),
    (b"0:}", "invalid format: publish item object does not contain 'channel'"),
    (b"T3:abc,", "invalid format: publish item object is not an object"),
    (b"0:~", "invalid format: publish item object is not an object"),
    (b"0:]", "invalid format: publish item object is not an object"),
]


@pytest.mark.parametrize(("frame", "text"), UNREADABLE)
def test_unreadable_frames(frame: bytes, text: str) -> None:
    """The texts of Pushpin 1.36."""
    with pytest.raises(GripError) as caught:
        parse_item_frame(frame)
    assert str(caught.value) == text


def test_topic_that_is_no_text() -> None:
    with pytest.raises(GripError, match=r"^invalid format: topic is not UTF-8$"):
        parse_item_frame(encode_tnetstring(ITEM), b"\xff")


_ITEM = "publish item object"
ITEM_ERRORS: list[tuple[Map, str]] = [
    ({b"channel": None}, f"{_ITEM} contains 'channel' with wrong type"),
    ({b"channel": 5}, f"{_ITEM} contains 'channel' with wrong type"),
    ({b"channel": b"\xff"}, f"{_ITEM} contains 'channel' with invalid value"),
    ({b"id": 5}, f"{_ITEM} contains 'id' with wrong type"),
    ({b"id": b"\xff"}, f"{_ITEM} contains 'id' with invalid value"),
    ({b"prev-id": b"\n"}, f"{_ITEM} contains 'prev-id' with invalid value"),
    ({b"formats": []}, f"{_ITEM} contains 'formats' with wrong type"),
    ({b"formats": {}}, "no formats specified"),
    ({b"formats": {b"http-stream": None}}, "no formats specified"),
    ({b"http-stream": None}, "no formats specified"),
    ({b"http-stream": []}, "'http-stream' is not an object"),
    ({b"meta": []}, f"{_ITEM} contains 'meta' with wrong type"),
    ({b"meta": {b"k": None}}, "'meta' contains 'k' with wrong type"),
    ({b"meta": {b"k": b"\xff"}}, "'meta' contains 'k' with wrong type"),
    ({b"size": None}, f"{_ITEM} contains 'size' with wrong type"),
    ({b"size": True}, f"{_ITEM} contains 'size' with wrong type"),
    ({b"size": b"abc"}, f"{_ITEM} contains 'size' with wrong type"),
    ({b"size": -1}, f"{_ITEM} contains 'size' with invalid value"),
    ({b"no-seq": None}, f"{_ITEM} contains 'no-seq' with wrong type"),
    ({b"no-seq": b"true"}, f"{_ITEM} contains 'no-seq' with wrong type"),
]


@pytest.mark.parametrize(("fields", "text"), ITEM_ERRORS)
def test_item_errors(fields: Map, text: str) -> None:
    with pytest.raises(GripError) as caught:
        parse_item_frame(encode_tnetstring(ITEM | fields))
    assert str(caught.value) == f"invalid format: {text}"


FORMAT_ERRORS: list[tuple[bytes, Map, str]] = [
    (b"http-stream", {}, "'http-stream' does not contain 'content'"),
    (b"http-stream", {b"content-bin": b"eA=="}, "'http-stream' does not contain 'content'"),
    (b"http-stream", {b"content": None}, "'http-stream' contains 'content' with wrong type"),
    (b"http-stream", {b"content": 5}, "'http-stream' contains 'content' with wrong type"),
    (b"http-stream", {b"action": 5}, "'http-stream' contains 'action' with wrong type"),
    (b"http-stream", {b"action": b"x"}, ""),
    (b"http-stream", {b"content-filters": None, **STREAM}, "'http-stream' contains 'content-filters' with wrong type"),
    (b"http-stream", {b"content-filters": [None], **STREAM}, "content-filters contains element with wrong type"),
    (b"http-stream", {b"content-filters": [b"\xff"], **STREAM}, "content-filters contains element with wrong type"),
    (b"http-response", {}, "'http-response' does not contain 'body' or 'body-patch'"),
    (b"http-response", {b"body-bin": b"eA=="}, "'http-response' does not contain 'body' or 'body-patch'"),
    (b"http-response", {b"body": None, b"body-patch": []}, "'http-response' contains 'body' with wrong type"),
    (b"http-response", {b"body-patch": {}}, "'http-response' contains 'body-patch' with wrong type"),
    (b"http-response", {b"body-patch": [b"\xff"]}, "'http-response' contains 'body-patch' with invalid value"),
    (b"http-response", {b"code": None, b"body": b""}, "'http-response' contains 'code' with wrong type"),
    (b"http-response", {b"code": 1000, b"body": b""}, "'http-response' contains 'code' with invalid value"),
    (b"http-response", {b"reason": 5, b"body": b""}, "'http-response' contains 'reason' with wrong type"),
    (b"http-response", {b"reason": b"\r", b"body": b""}, "'http-response' contains 'reason' with invalid value"),
    (b"http-response", {b"headers": None, b"body": b""}, "'http-response' contains 'headers' with wrong type"),
    (b"http-response", {b"headers": {b"X": None}}, "headers contains 'X' with wrong type"),
    (b"http-response", {b"headers": [[b"X"]]}, "headers contains list with wrong number of elements"),
    (b"http-response", {b"headers": [[b"X", 5]]}, "header contains value element with wrong type"),
    (b"http-response", {b"headers": [[5, b"X"]]}, "header contains name element with wrong type"),
    (b"http-response", {b"headers": [[b"X", b"a\nb"]]}, "'http-response' contains 'headers' with invalid value"),
    (b"http-response", {b"headers": {b"\xff": b"a"}}, "'http-response' contains 'headers' with invalid value"),
    (b"ws-message", {}, "'ws-message' does not contain 'content' or 'content-bin'"),
    (b"ws-message", {b"content": None}, "'ws-message' contains 'content' with wrong type"),
    (b"ws-message", {b"content-bin": None}, "'ws-message' contains 'content-bin' with wrong type"),
    (b"ws-message", {b"content-bin": 5, b"content": b"x"}, "'ws-message' contains 'content-bin' with wrong type"),
    (b"ws-message", {b"type": 5, b"content": b"x"}, "'ws-message' contains 'type' with wrong type"),
    (b"ws-message", {b"action": b"close", b"code": None}, "'ws-message' contains 'code' with wrong type"),
]


@pytest.mark.parametrize(("name", "fields", "text"), FORMAT_ERRORS)
def test_format_errors(name: bytes, fields: Map, text: str) -> None:
    with pytest.raises(GripError) as caught:
        parse_item_frame(encode_tnetstring({b"channel": b"c", b"formats": {name: fields}}))
    assert str(caught.value) == f"invalid format: {text}"


NAMES = [
    "channel", "id", "prev-id", "formats", "meta", "size", "no-seq", "http-response", "http-stream", "ws-message",
    "action", "code", "reason", "headers", "content", "content-filters", "type",
]  # fmt: skip
LEAVES = st.booleans() | st.integers(-5, 1005) | st.sampled_from(["c", "", "text", "close", "send", "200", "a\n"])
TREES = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=5),
    max_leaves=25,
)


def to_value(tree: object) -> Value:
    match tree:
        case dict():
            return {name.encode(): to_value(member) for name, member in tree.items()}
        case list():
            return [to_value(element) for element in tree]
        case str():
            return tree.encode()
        case bool() | int():
            return tree
        case _:
            raise AssertionError(tree)


def outcome(frame: bytes) -> Item | str:
    try:
        return parse_item_frame(frame)
    except GripError as exc:
        return str(exc).replace(" or 'content-bin'", "").replace("'body', 'body-bin', or", "'body' or")


@given(st.dictionaries(st.sampled_from(NAMES), TREES, max_size=8), st.booleans())
def test_both_notations_say_the_same(fields: dict[str, object], is_valid: bool) -> None:
    """Where neither null nor a `-bin` occurs, an item is the same, and so is what is wrong with it."""
    tree = {**fields, "channel": "c", "http-stream": {"content": "x"}} if is_valid else fields
    assert outcome(b"J" + orjson.dumps(tree)) == outcome(encode_tnetstring(to_value(tree)))


@given(st.binary(), st.binary(max_size=2))
def test_any_frame_is_an_item_or_an_error(frame: bytes, topic: bytes) -> None:
    try:
        parse_item_frame(frame, topic)
    except GripError as exc:
        assert str(exc).startswith("invalid format")
