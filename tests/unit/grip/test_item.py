from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.item import (
    Action,
    Item,
    MessageFormat,
    MessageKind,
    ResponseFormat,
    StreamFormat,
    parse_item,
    parse_items,
    parse_publish_body,
)
from holdfast.grip.trees import make_tree
from holdfast.wire.tnetstring import Map

SEND = Action.SEND
STREAM = {"http-stream": {"content": "x"}}


def item_of(**fields: object) -> Item:
    tree = {"channel": "c", "formats": STREAM, **{key.replace("_", "-"): value for key, value in fields.items()}}
    return parse_item(tree)


def response_of(tree: object) -> ResponseFormat:
    fmt = item_of(formats={"http-response": tree}).http_response
    assert fmt is not None
    return fmt


def stream_of(tree: object) -> StreamFormat:
    fmt = item_of(formats={"http-stream": tree}).http_stream
    assert fmt is not None
    return fmt


def message_of(tree: object) -> MessageFormat:
    fmt = item_of(formats={"ws-message": tree}).ws_message
    assert fmt is not None
    return fmt


def test_whole() -> None:
    tree = {
        "channel": "c",
        "id": "2",
        "prev-id": "1",
        "no-seq": True,
        "size": 12,
        "meta": {"sender": "bob"},
        "formats": {
            "http-response": {"code": 201, "reason": "Fine", "headers": {"X": "1"}, "body": "x\n"},
            "http-stream": {"content": "y\n"},
            "ws-message": {"type": "text", "content": "z"},
            "unknown": None,
        },
        "unknown": None,
    }
    assert parse_item(tree) == Item(
        channel="c",
        id="2",
        prev_id="1",
        no_seq=True,
        size=12,
        meta={"sender": "bob"},
        http_response=ResponseFormat(SEND, 201, b"Fine", [(b"X", b"1")], b"x\n"),
        http_stream=StreamFormat(SEND, b"y\n"),
        ws_message=MessageFormat(SEND, MessageKind.TEXT, b"z"),
    )


def test_defaults() -> None:
    assert item_of() == Item("c", None, None, False, None, {}, None, StreamFormat(SEND, b"x"), None)


def test_empty_strings_are_channel_and_ids() -> None:
    item = item_of(channel="", id="", prev_id="")
    assert (item.channel, item.id, item.prev_id) == ("", "", "")


def test_legacy_formats_stand_in_the_item() -> None:
    """grip-76"""
    tree = {"channel": "c", "http-response": {"body": "a"}, "http-stream": {"content": "b"}}
    item = parse_item({**tree, "ws-message": {"content": "c"}})
    assert item.http_response == ResponseFormat(SEND, body=b"a")
    assert item.http_stream == StreamFormat(SEND, b"b")
    assert item.ws_message == MessageFormat(SEND, MessageKind.TEXT, b"c")


def test_formats_win_over_legacy_ones() -> None:
    """grip-76"""
    item = parse_item({"channel": "c", "http-response": {"body": "a"}, "formats": STREAM})
    assert item.http_response is None
    assert item.http_stream == StreamFormat(SEND, b"x")


def test_unknown_formats_alone_are_accepted() -> None:
    item = item_of(formats={"carrier-pigeon": {}})
    assert (item.http_response, item.http_stream, item.ws_message) == (None, None, None)


ITEM_ERRORS: list[tuple[object, str]] = [
    (None, "publish item object is not an object"),
    ([], "publish item object is not an object"),
    ({}, "publish item object does not contain 'channel'"),
    ({"channel": 1}, "publish item object contains 'channel' with wrong type"),
    ({"channel": None}, "publish item object contains 'channel' with wrong type"),
    ({"channel": "c", "id": 1}, "publish item object contains 'id' with wrong type"),  # grip-77
    ({"channel": "c", "id": None}, "publish item object contains 'id' with wrong type"),
    ({"channel": "c", "id": "1\r\n"}, "publish item object contains 'id' with invalid value"),
    ({"channel": "c", "prev-id": 1}, "publish item object contains 'prev-id' with wrong type"),
    ({"channel": "c", "prev-id": "\0"}, "publish item object contains 'prev-id' with invalid value"),
    ({"channel": "c"}, "no formats specified"),
    ({"channel": "c", "formats": {}}, "no formats specified"),
    ({"channel": "c", "formats": {}, **STREAM}, "no formats specified"),
    ({"channel": "c", "formats": None}, "publish item object contains 'formats' with wrong type"),
    ({"channel": "c", "formats": []}, "publish item object contains 'formats' with wrong type"),
    ({"channel": "c", "http-stream": "x"}, "'http-stream' is not an object"),
    ({"channel": "c", **STREAM, "meta": []}, "publish item object contains 'meta' with wrong type"),
    ({"channel": "c", **STREAM, "meta": {"K": 1}}, "'meta' contains 'K' with wrong type"),
    ({"channel": "c", **STREAM, "size": None}, "publish item object contains 'size' with wrong type"),
    ({"channel": "c", **STREAM, "size": True}, "publish item object contains 'size' with wrong type"),
    ({"channel": "c", **STREAM, "size": "abc"}, "publish item object contains 'size' with wrong type"),
    ({"channel": "c", **STREAM, "size": -1}, "publish item object contains 'size' with invalid value"),
    ({"channel": "c", **STREAM, "no-seq": 1}, "publish item object contains 'no-seq' with wrong type"),
    ({"channel": "c", **STREAM, "no-seq": None}, "publish item object contains 'no-seq' with wrong type"),
    ({"no-seq": 1, "size": -1, "id": 1}, "publish item object does not contain 'channel'"),
    (
        {"channel": "c", "size": -1, "formats": {"http-stream": {}}, "meta": 1},
        "'http-stream' does not contain 'content' or 'content-bin'",
    ),
]


@pytest.mark.parametrize(("tree", "text"), ITEM_ERRORS, ids=[json.dumps(tree) for tree, _ in ITEM_ERRORS])
def test_item_errors(tree: object, text: str) -> None:
    """grip-74"""
    with pytest.raises(GripError) as caught:
        parse_item(tree)
    assert str(caught.value) == text


FORMAT_ERRORS: list[tuple[str, object, str]] = [
    ("http-response", None, "'http-response' is not an object"),
    ("http-response", {"action": None}, "'http-response' contains 'action' with wrong type"),
    ("http-response", {"action": "Send"}, ""),
    ("http-response", {"code": None}, "'http-response' contains 'code' with wrong type"),
    ("http-response", {"code": "abc"}, "'http-response' contains 'code' with wrong type"),
    ("http-response", {"code": 200.6}, "'http-response' contains 'code' with wrong type"),
    ("http-response", {"code": -1}, "'http-response' contains 'code' with invalid value"),
    ("http-response", {"code": 1000}, "'http-response' contains 'code' with invalid value"),
    ("http-response", {"reason": 1}, "'http-response' contains 'reason' with wrong type"),
    ("http-response", {"reason": "a\nb"}, "'http-response' contains 'reason' with invalid value"),
    ("http-response", {"headers": 1}, "'http-response' contains 'headers' with wrong type"),
    ("http-response", {"headers": {"K": 1}}, "headers contains 'K' with wrong type"),
    ("http-response", {"headers": ["K"]}, "headers contains element with wrong type"),
    ("http-response", {"headers": [["K"]]}, "headers contains list with wrong number of elements"),
    ("http-response", {"headers": [[1, "a"]]}, "header contains name element with wrong type"),
    ("http-response", {"headers": [["K", 1]]}, "header contains value element with wrong type"),
    ("http-response", {"headers": {"K": "a\r\nb"}}, "'http-response' contains 'headers' with invalid value"),
    ("http-response", {"headers": {"K\n": "a"}}, "'http-response' contains 'headers' with invalid value"),
    ("http-response", {"content-filters": "x"}, "'http-response' contains 'content-filters' with wrong type"),
    ("http-response", {"content-filters": [1]}, "content-filters contains element with wrong type"),
    ("http-response", {"body": 1}, "'http-response' contains 'body' with wrong type"),
    ("http-response", {"body-bin": None}, "'http-response' contains 'body-bin' with wrong type"),
    ("http-response", {"body-patch": {}}, "'http-response' contains 'body-patch' with wrong type"),
    ("http-response", {}, "'http-response' does not contain 'body', 'body-bin', or 'body-patch'"),
    ("http-stream", [], "'http-stream' is not an object"),
    ("http-stream", {"action": 1}, "'http-stream' contains 'action' with wrong type"),
    ("http-stream", {"action": ""}, ""),
    ("http-stream", {"content": None}, "'http-stream' contains 'content' with wrong type"),
    ("http-stream", {"content-bin": 1, "content": "x"}, "'http-stream' contains 'content-bin' with wrong type"),
    ("http-stream", {"content-filters": None}, "'http-stream' contains 'content-filters' with wrong type"),
    ("http-stream", {"content-filters": [None]}, "content-filters contains element with wrong type"),
    ("http-stream", {}, "'http-stream' does not contain 'content' or 'content-bin'"),
    ("ws-message", 1, "'ws-message' is not an object"),
    ("ws-message", {"action": []}, "'ws-message' contains 'action' with wrong type"),
    ("ws-message", {"action": "x"}, ""),
    ("ws-message", {"type": 1}, "'ws-message' contains 'type' with wrong type"),
    ("ws-message", {"type": "Text"}, "'ws-message' contains 'type' with unknown value"),
    ("ws-message", {"content": 1}, "'ws-message' contains 'content' with wrong type"),
    ("ws-message", {"content-bin": 1}, "'ws-message' contains 'content-bin' with wrong type"),
    ("ws-message", {"content-filters": {}}, "'ws-message' contains 'content-filters' with wrong type"),
    ("ws-message", {"content-filters": [1]}, "content-filters contains element with wrong type"),
    ("ws-message", {}, "'ws-message' does not contain 'content' or 'content-bin'"),
    ("ws-message", {"type": "text"}, "'ws-message' does not contain 'content' or 'content-bin'"),
    ("ws-message", {"type": "binary"}, "'ws-message' does not contain 'content' or 'content-bin'"),
    ("ws-message", {"type": "ping", "content": "x" * 126}, "'ws-message' contains 'content' with invalid value"),
    ("ws-message", {"type": "pong", "content": "é" * 63}, "'ws-message' contains 'content' with invalid value"),
    ("ws-message", {"type": "ping", "content": None}, "'ws-message' contains 'content' with wrong type"),
    ("ws-message", {"content": None}, "'ws-message' contains 'content' with wrong type"),
    ("ws-message", {"action": "close", "code": None}, "'ws-message' contains 'code' with wrong type"),
    ("ws-message", {"action": "close", "code": "-1"}, "'ws-message' contains 'code' with invalid value"),
    ("ws-message", {"action": "close", "code": 70000}, "'ws-message' contains 'code' with invalid value"),
    ("ws-message", {"action": "close", "code": "abc"}, "'ws-message' contains 'code' with wrong type"),
    ("ws-message", {"action": "close", "code": -1}, "'ws-message' contains 'code' with invalid value"),
    ("ws-message", {"action": "close", "code": 65536}, "'ws-message' contains 'code' with invalid value"),
    ("ws-message", {"action": "close", "reason": 1}, "'ws-message' contains 'reason' with wrong type"),
]


@pytest.mark.parametrize(
    ("name", "tree", "text"), FORMAT_ERRORS, ids=[f"{name} {json.dumps(tree)}" for name, tree, _ in FORMAT_ERRORS]
)
def test_format_errors(name: str, tree: object, text: str) -> None:
    """grip-44, grip-74"""
    with pytest.raises(GripError) as caught:
        item_of(formats={name: tree})
    assert str(caught.value) == text


def test_published_code_is_200_by_default() -> None:
    """grip-40"""
    assert response_of({"body": ""}) == ResponseFormat(SEND, 200, None, [], b"", None, None)


@pytest.mark.parametrize("code", [404, 404.0, "404", " 404 "])
def test_lenient_code(code: object) -> None:
    assert response_of({"code": code, "body": ""}).code == 404


def test_binary_beats_text_beats_patch() -> None:
    patch: list[object] = [{"op": "remove", "path": "/a"}]
    assert response_of({"body-bin": "AAE=", "body": "x", "body-patch": patch}).body == b"\0\1"
    assert response_of({"body": "x", "body-patch": None}).body == b"x"
    fmt = response_of({"body-patch": patch})
    assert (fmt.body, fmt.body_patch) == (None, patch)
    assert response_of({"body-patch": []}).body_patch == []
    assert stream_of({"content-bin": "AAE=", "content": "x"}).content == b"\0\1"
    assert stream_of({"content": "é"}).content == "é".encode()


def test_content_filters() -> None:
    filters = {"content-filters": ["var-subst", "build-id"]}
    assert response_of({"body": "", **filters}).content_filters == ("var-subst", "build-id")
    assert stream_of({"content": "", "content-filters": []}).content_filters == ()
    assert message_of({"content": "", **filters}).content_filters == ("var-subst", "build-id")
    assert message_of({"content": ""}).content_filters is None


@pytest.mark.parametrize("action", [Action.HINT, Action.CLOSE, Action.REFRESH])
def test_other_actions_look_at_no_content(action: Action) -> None:
    junk = {"action": action.value, "content": 1, "body": 1, "code": 200, "headers": 1, "content-filters": 1, "type": 1}
    assert response_of(junk) == ResponseFormat(action)
    assert stream_of(junk) == StreamFormat(action)
    code = 200 if action is Action.CLOSE else None
    assert message_of(junk) == MessageFormat(action, code=code)


def test_send_by_name() -> None:
    assert stream_of({"action": "send", "content": "x"}) == StreamFormat(SEND, b"x")


MESSAGES: list[tuple[object, MessageKind, bytes]] = [
    ({"content": "x"}, MessageKind.TEXT, b"x"),
    ({"content": ""}, MessageKind.TEXT, b""),
    ({"content-bin": "AAE="}, MessageKind.BINARY, b"\0\1"),
    ({"content-bin": "AAE=", "content": 1}, MessageKind.BINARY, b"\0\1"),
    ({"content-bin": "eA==", "type": "text"}, MessageKind.TEXT, b"x"),
    ({"content": "x", "type": "binary"}, MessageKind.BINARY, b"x"),
    ({"type": "ping"}, MessageKind.PING, b""),
    ({"type": "pong", "content": "x"}, MessageKind.PONG, b"x"),
    ({"type": "ping", "content": "x" * 125}, MessageKind.PING, b"x" * 125),
    ({"type": "ping", "content-bin": "AAE="}, MessageKind.PING, b"\0\1"),
    ({"type": "binary", "content": ""}, MessageKind.BINARY, b""),
    ({"action": "send", "content": "x"}, MessageKind.TEXT, b"x"),
]


@pytest.mark.spec("ws-70")
@pytest.mark.parametrize(("tree", "kind", "content"), MESSAGES, ids=[json.dumps(tree) for tree, _, _ in MESSAGES])
def test_messages(tree: object, kind: MessageKind, content: bytes) -> None:
    assert message_of(tree) == MessageFormat(SEND, kind, content)


def test_hint_for_websockets_is_accepted() -> None:
    assert message_of({"action": "hint"}) == MessageFormat(Action.HINT)


def test_close_message() -> None:
    assert message_of({"action": "close"}) == MessageFormat(Action.CLOSE)
    tree = {"action": "close", "code": "4000", "reason": "bye"}
    assert message_of(tree) == MessageFormat(Action.CLOSE, code=4000, reason="bye")
    assert message_of({"action": "close", "code": 65535}).code == 65535


BODY_ERRORS: list[tuple[bytes, str]] = [
    (b"", "Body is not valid JSON."),
    (b"1", "Body is not valid JSON."),
    (b"null", "Body is not valid JSON."),
    (b'"items"', "Body is not valid JSON."),
    (b'{"items": [],}', "Body is not valid JSON."),
    (b'{"items": NaN}', "Body is not valid JSON."),
    (b'{"items": "\xff"}', "Body is not valid JSON."),
    (b'{"items": "\\ud800"}', "Body is not valid JSON."),
    (b"\xef\xbb\xbf", "Body is not valid JSON."),
    (b"[]", "Invalid format."),
    (b"{}", "Invalid format: object does not contain 'items'"),
    (b'{"items": null}', "Invalid format: object contains 'items' with wrong type"),
    (b'{"items": {}}', "Invalid format: object contains 'items' with wrong type"),
    (b'{"items": [1]}', "Invalid format: publish item object is not an object"),
    (b'{"items": [{"channel": "c", "http-stream": {"action": ""}}]}', "Invalid format: "),
]


@pytest.mark.parametrize(("body", "text"), BODY_ERRORS, ids=[repr(body) for body, _ in BODY_ERRORS])
def test_body_errors(body: bytes, text: str) -> None:
    """grip-74"""
    with pytest.raises(GripError) as caught:
        parse_publish_body(body)
    assert str(caught.value) == text


def test_items_in_order() -> None:
    """grip-87, as far as parsing goes"""
    items = [{"channel": str(number), **STREAM} for number in range(20)]
    parsed = parse_publish_body(json.dumps({"items": items}).encode())
    assert [item.channel for item in parsed] == [str(number) for number in range(20)]


@pytest.mark.spec("grip-106")
def test_tree_of_a_tnetstring() -> None:
    formats: Map = {
        b"http-response": {b"body": b"\xff"},
        b"http-stream": {b"content": b"\xfe"},
        b"ws-message": {b"content-bin": b"\xfd"},
    }
    item = parse_item(make_tree({b"channel": b"c", b"formats": {**formats, b"unknown": None}}))
    assert item.http_response == ResponseFormat(SEND, body=b"\xff")
    assert item.http_stream == StreamFormat(SEND, b"\xfe")
    assert item.ws_message == MessageFormat(SEND, MessageKind.BINARY, b"\xfd")


TNETSTRING_ERRORS: list[tuple[Map, str]] = [
    ({b"http-stream": None}, "no formats specified"),
    ({b"http-stream": {}}, "'http-stream' does not contain 'content'"),
    ({b"http-response": {}}, "'http-response' does not contain 'body' or 'body-patch'"),
    ({b"ws-message": {}}, "'ws-message' does not contain 'content' or 'content-bin'"),
]


@pytest.mark.parametrize(("formats", "text"), TNETSTRING_ERRORS)
def test_errors_in_a_tnetstring(formats: Map, text: str) -> None:
    with pytest.raises(GripError) as caught:
        parse_item(make_tree({b"channel": b"c", **formats}))
    assert str(caught.value) == text


def test_channel_that_is_said_elsewhere() -> None:
    assert parse_item(STREAM, "x").channel == "x"
    assert parse_item({"channel": 5, **STREAM}, "x").channel == "x"
    assert parse_item({"channel": "c", **STREAM}, "").channel == "c"


def test_items_of_a_tree() -> None:
    assert [item.channel for item in parse_items({"items": [{"channel": "c", **STREAM}]})] == ["c"]
    with pytest.raises(GripError, match=r"^Invalid format: object does not contain 'items'$"):
        parse_items({})


def test_empty_list() -> None:
    assert parse_publish_body(b'{"items": []}') == []


def test_byte_order_mark_and_duplicate_keys() -> None:
    body = b'\xef\xbb\xbf{"items": [1], "items": [{"channel": "a", "channel": "b", "http-stream": {"content": "x"}}]}'
    assert [item.channel for item in parse_publish_body(body)] == ["b"]


def test_one_bad_item_spoils_all() -> None:
    """grip-75"""
    with pytest.raises(GripError, match=r"^Invalid format: publish item object contains 'id' with wrong type$"):
        parse_publish_body(json.dumps({"items": [{"channel": "c", **STREAM}, {"channel": "c", "id": 1}]}).encode())


KEYS = ["channel", "id", "prev-id", "formats", "meta", "size", "no-seq", "http-response", "http-stream", "ws-message"]
FORMAT_KEYS = ["action", "code", "reason", "headers", "body", "body-bin", "body-patch", "content-filters"]
FORMAT_KEYS += ["content", "content-bin", "type"]
texts = st.text(max_size=5) | st.sampled_from(["send", "close", "hint", "text", "binary", "ping", "\r\n", "5"])
scalars = st.none() | st.booleans() | st.integers(-5, 70000) | st.floats(allow_nan=False, allow_infinity=False) | texts
trees = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS + FORMAT_KEYS), inner, max_size=3),
    max_leaves=6,
)
formats = st.dictionaries(st.sampled_from(FORMAT_KEYS), texts | trees, max_size=4)
format_fields = {name: formats for name in KEYS[-3:]}
item_trees = st.fixed_dictionaries(
    {"channel": st.text(max_size=3)},
    optional={
        "id": texts | trees,
        "formats": st.fixed_dictionaries({}, optional=format_fields),
        "meta": st.dictionaries(st.text(max_size=3), texts) | trees,
        "size": trees,
        "no-seq": st.booleans() | trees,
        **format_fields,
    },
)


@given(st.lists(item_trees | trees, max_size=3) | trees)
def test_any_json_is_items_or_a_grip_error(items: object) -> None:
    try:
        parsed = parse_publish_body(orjson.dumps({"items": items}))
    except GripError as exc:
        assert str(exc).startswith("Invalid format: ")
        return
    assert isinstance(items, list)
    assert len(parsed) == len(items)
    for fmt in (item.http_response for item in parsed):
        if fmt is not None and fmt.action is SEND:
            assert (fmt.body is None) != (fmt.body_patch is None)
            lines = [fmt.reason or b"", *[name + value for name, value in fmt.headers]]
            assert not any(breaker in line for line in lines for breaker in b"\r\n\0")


@given(st.recursive(scalars | st.floats() | st.text(st.characters(codec=None)), st.lists, max_leaves=3) | item_trees)
def test_any_tree_is_an_item_or_a_grip_error(tree: object) -> None:
    try:
        assert isinstance(parse_item(tree), Item)
    except GripError:
        assert not isinstance(tree, dict) or tree


@given(st.binary())
def test_any_body_is_items_or_a_grip_error(body: bytes) -> None:
    try:
        parse_publish_body(body)
    except GripError as exc:
        assert str(exc)
