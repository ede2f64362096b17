from __future__ import annotations

import json

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.errors import GripError
from holdfast.grip.item import MessageKind
from holdfast.grip.values import KeepAliveMode
from holdfast.grip.ws_control import (
    Control,
    Detach,
    FlushDelayed,
    Message,
    SendDelayed,
    SetKeepAlive,
    SetMeta,
    SetSession,
    Subscribe,
    Unsubscribe,
    parse_control,
)

IDLE, INTERVAL = KeepAliveMode.IDLE, KeepAliveMode.INTERVAL
TEXT, BINARY, PING, PONG = MessageKind.TEXT, MessageKind.BINARY, MessageKind.PING, MessageKind.PONG


def keep_alive(timeout_s: int = 55, mode: KeepAliveMode = IDLE, kind: MessageKind = TEXT) -> SetKeepAlive:
    return SetKeepAlive(Message(kind, b"x"), timeout_s, mode)


def delayed(timeout_s: int = 1, kind: MessageKind = TEXT, content: bytes = b"x") -> SendDelayed:
    return SendDelayed(Message(kind, content), timeout_s)


KEEP_ALIVE: dict[str, object] = {"type": "keep-alive", "content": "x"}
DELAYED: dict[str, object] = {"type": "send-delayed", "content": "x"}

VALID: list[tuple[dict[str, object], Control]] = [
    ({"type": "subscribe", "channel": "c"}, Subscribe("c")),
    ({"type": "subscribe", "channel": "c", "filters": []}, Subscribe("c")),
    ({"type": "subscribe", "channel": "c", "filters": ["a", "b"]}, Subscribe("c", ("a", "b"))),
    ({"type": "subscribe", "channel": "é\n", "id": 5, "other": None}, Subscribe("é\n")),
    ({"type": "unsubscribe", "channel": "c"}, Unsubscribe("c")),
    ({"type": "unsubscribe", "channel": "c", "filters": None}, Unsubscribe("c")),
    ({"type": "detach"}, Detach()),
    ({"type": "detach", "channel": 1}, Detach()),
    ({"type": "session", "id": "s"}, SetSession("s")),
    ({"type": "session", "id": ""}, SetSession(None)),
    ({"type": "session"}, SetSession(None)),
    ({"type": "set-meta", "name": "n", "value": "v"}, SetMeta("n", "v")),
    ({"type": "set-meta", "name": "n", "value": ""}, SetMeta("n", "")),
    ({"type": "set-meta", "name": "n"}, SetMeta("n", None)),
    (KEEP_ALIVE, keep_alive()),
    ({**KEEP_ALIVE, "mode": "interval"}, keep_alive(mode=INTERVAL)),
    ({**KEEP_ALIVE, "mode": "idle"}, keep_alive()),
    ({**KEEP_ALIVE, "mode": "Interval"}, keep_alive()),
    ({**KEEP_ALIVE, "mode": ""}, keep_alive()),
    ({**KEEP_ALIVE, "message-type": "ping"}, keep_alive(kind=PING)),
    ({**KEEP_ALIVE, "message-type": "binary"}, keep_alive(kind=BINARY)),
    ({"type": "keep-alive", "content": ""}, SetKeepAlive(Message(TEXT, b""), 55, IDLE)),
    ({"type": "keep-alive", "content-bin": "", "message-type": "pong"}, SetKeepAlive(Message(PONG, b""), 55, IDLE)),
    ({"type": "keep-alive"}, SetKeepAlive(None, 55, IDLE)),
    (
        {"type": "keep-alive", "message-type": "ping", "timeout": 3, "mode": "interval"},
        SetKeepAlive(None, 3, INTERVAL),
    ),
    (DELAYED, delayed()),
    ({**DELAYED, "content-bin": "AAE="}, delayed(content=b"\0\1")),
    ({**DELAYED, "mode": None}, delayed()),
    ({"type": "send-delayed"}, delayed(content=b"")),
    ({"type": "send-delayed", "message-type": "binary"}, delayed(kind=BINARY, content=b"")),
    ({"type": "send-delayed", "content-bin": "AAE="}, delayed(content=b"\0\1")),
    ({"type": "send-delayed", "content": "é"}, delayed(content="é".encode())),
    ({**DELAYED, "message-type": "ping", "content": "x" * 125}, delayed(kind=PING, content=b"x" * 125)),
    ({"type": "flush-delayed"}, FlushDelayed()),
    ({"type": "flush-delayed", "timeout": -1}, FlushDelayed()),
]


@pytest.mark.parametrize(("tree", "control"), VALID, ids=[json.dumps(tree)[:80] for tree, _ in VALID])
def test_valid(tree: dict[str, object], control: Control) -> None:
    assert parse_control(json.dumps(tree).encode()) == control


@pytest.mark.spec("ws-62")
def test_binary_content_is_text_without_a_type() -> None:
    control = parse_control(b'{"type": "send-delayed", "content-bin": "eHk="}')
    assert control == delayed(content=b"xy")


TIMEOUTS: list[tuple[object, int | None]] = [
    (20, 20),
    ("1", 1),
    (" 2 ", 2),
    ("0", None),
    (0, None),
    (0.4, None),
    (-0.4, None),
    (1.7, 2),
    (1.5, 2),
    (1.2, 1),
    (2**31 - 1, 2**31 - 1),
]


@pytest.mark.spec("ws-63")
@pytest.mark.parametrize(("timeout", "timeout_s"), TIMEOUTS)
def test_timeouts(timeout: object, timeout_s: int | None) -> None:
    """ws spec §2.5; None is the default."""
    assert parse_control(orjson.dumps({**KEEP_ALIVE, "timeout": timeout})) == keep_alive(timeout_s or 55)
    assert parse_control(orjson.dumps({**DELAYED, "timeout": timeout})) == delayed(timeout_s or 1)


@pytest.mark.spec("ws-63")
@pytest.mark.parametrize("timeout", [-1, "-1", -0.6, -1.0])
def test_negative_timeouts(timeout: object) -> None:
    for tree in (KEEP_ALIVE, DELAYED, {"type": "keep-alive"}):
        with pytest.raises(GripError, match=r"^control message contains 'timeout' with invalid value$"):
            parse_control(orjson.dumps({**tree, "timeout": timeout}))


@pytest.mark.parametrize("timeout", [None, True, "", "x", "1.5", [], {}, 2**31, 1e300, -1e300, 2.0**31])
def test_timeouts_of_the_wrong_type(timeout: object) -> None:
    for tree in (KEEP_ALIVE, DELAYED):
        with pytest.raises(GripError, match=r"^control message contains 'timeout' with wrong type$"):
            parse_control(orjson.dumps({**tree, "timeout": timeout}))


@pytest.mark.parametrize(("count", "is_too_many"), [(0, False), (5, False), (6, True)])
def test_too_many_filters_are_for_the_connection_to_refuse(count: int, is_too_many: bool) -> None:
    control = parse_control(json.dumps({"type": "subscribe", "channel": "c", "filters": ["f"] * count}).encode())
    assert isinstance(control, Subscribe)
    assert control.has_too_many_filters is is_too_many


NO_JSON = "control message is not valid JSON"
NO_OBJECT = "control message is not an object"

INVALID: list[tuple[object, str]] = [
    (b"", NO_JSON),
    (b"hello", NO_JSON),
    (b'{"type": "detach"', NO_JSON),
    (b'{"type": "detach\xff"}', NO_JSON),
    (b"[]", NO_OBJECT),
    (b"null", NO_OBJECT),
    (b'"detach"', NO_OBJECT),
    ({}, "control message does not contain 'type'"),
    ({"type": None}, "control message contains 'type' with wrong type"),
    ({"type": 1}, "control message contains 'type' with wrong type"),
    ({"type": "Detach"}, "control message contains 'type' with unknown value"),
    ({"type": "subscribe"}, "control message does not contain 'channel'"),
    ({"type": "subscribe", "channel": None}, "control message contains 'channel' with wrong type"),
    ({"type": "subscribe", "channel": ""}, "control message contains 'channel' with invalid value"),
    ({"type": "subscribe", "channel": "c", "filters": None}, "control message contains 'filters' with wrong type"),
    ({"type": "subscribe", "channel": "c", "filters": "f"}, "control message contains 'filters' with wrong type"),
    ({"type": "subscribe", "channel": "c", "filters": ["f", 1]}, "filters contains value with wrong type"),
    ({"type": "unsubscribe"}, "control message does not contain 'channel'"),
    ({"type": "unsubscribe", "channel": ""}, "control message contains 'channel' with invalid value"),
    ({"type": "session", "id": None}, "control message contains 'id' with wrong type"),
    ({"type": "set-meta", "value": "v"}, "control message does not contain 'name'"),
    ({"type": "set-meta", "name": ""}, "control message contains 'name' with invalid value"),
    ({"type": "set-meta", "name": "n", "value": None}, "control message contains 'value' with wrong type"),
    ({"type": "set-meta", "name": "n", "value": 1}, "control message contains 'value' with wrong type"),
    ({**KEEP_ALIVE, "message-type": "close"}, "control message contains 'message-type' with unknown value"),
    ({**KEEP_ALIVE, "message-type": None}, "control message contains 'message-type' with wrong type"),
    ({**KEEP_ALIVE, "content": None}, "control message contains 'content' with wrong type"),
    ({**KEEP_ALIVE, "content": 1}, "control message contains 'content' with wrong type"),
    ({**KEEP_ALIVE, "content-bin": None}, "control message contains 'content-bin' with wrong type"),
    ({**KEEP_ALIVE, "content-bin": "", "content": None}, "control message contains 'content' with wrong type"),
    ({**KEEP_ALIVE, "mode": None}, "control message contains 'mode' with wrong type"),
    ({**KEEP_ALIVE, "mode": 1}, "control message contains 'mode' with wrong type"),
    ({**DELAYED, "message-type": "x"}, "control message contains 'message-type' with unknown value"),
    ({"type": "send-delayed", "message-type": 1}, "control message contains 'message-type' with wrong type"),
    (
        {**DELAYED, "message-type": "ping", "content": "x" * 126},
        "control message contains 'content' with invalid value",
    ),
]


def ids(case: object) -> str:
    return repr(case) if isinstance(case, bytes) else json.dumps(case)[:80]


@pytest.mark.parametrize(("source", "text"), INVALID, ids=[ids(source) for source, _ in INVALID])
def test_invalid(source: object, text: str) -> None:
    """ws spec §2.4."""
    with pytest.raises(GripError) as caught:
        parse_control(source if isinstance(source, bytes) else json.dumps(source).encode())
    assert str(caught.value) == text


KEYS = ["channel", "filters", "id", "name", "value", "message-type", "content", "content-bin", "timeout", "mode"]
TYPES = ["subscribe", "unsubscribe", "detach", "session", "set-meta", "keep-alive", "send-delayed", "flush-delayed"]
scalars = st.none() | st.booleans() | st.integers(-3, 70_000) | st.floats(allow_nan=False) | st.text(max_size=4)
trees = st.dictionaries(st.sampled_from(KEYS), scalars | st.lists(scalars, max_size=3)).flatmap(
    lambda tree: st.sampled_from([*TYPES, "x"]).map(lambda name: {"type": name, **tree})
)


@given(trees)
def test_any_object_is_an_order_or_an_error(tree: dict[str, object]) -> None:
    try:
        control = parse_control(orjson.dumps(tree))
    except GripError:
        return
    if isinstance(control, SetKeepAlive | SendDelayed):
        assert control.timeout_s >= 1


@given(st.binary())
def test_any_text_is_an_order_or_an_error(text: bytes) -> None:
    with pytest.raises(GripError):
        parse_control(text)
