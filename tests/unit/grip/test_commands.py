from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.grip.commands import (
    CheckConnections,
    Command,
    CommandError,
    Condition,
    GetZmqUris,
    Publish,
    Recover,
    RefreshChannel,
    RefreshConnection,
    parse_command,
)
from holdfast.grip.item import Action, Item, StreamFormat
from holdfast.wire.tnetstring import Map
from holdfast.wire.zrpc import CommandRequest

BAD_REQUEST = Condition.BAD_REQUEST
RAW_ITEM: Map = {b"channel": b"c", b"http-stream": {b"content": b"\xff"}}
ITEM = Item("c", None, None, False, None, {}, None, StreamFormat(Action.SEND, b"\xff"), None)

COMMANDS: list[tuple[bytes, Map, Command]] = [
    (b"get-zmq-uris", {}, GetZmqUris()),
    (b"get-zmq-uris", {b"unknown": 1}, GetZmqUris()),
    (b"publish", {b"items": []}, Publish([])),
    (b"publish", {b"items": [RAW_ITEM, RAW_ITEM]}, Publish([ITEM, ITEM])),
    (b"recover", {}, Recover()),
    (b"conncheck", {b"ids": []}, CheckConnections(())),
    (b"conncheck", {b"ids": [b"a", b"b"]}, CheckConnections(("a", "b"))),
    (b"refresh", {b"cid": b"a"}, RefreshConnection("a")),
    (b"refresh", {b"cid": b"a", b"channel": 5}, RefreshConnection("a")),
    (b"refresh", {b"channel": b""}, RefreshChannel("")),
]


@pytest.mark.parametrize(("method", "args", "command"), COMMANDS)
def test_commands(method: bytes, args: Map, command: Command) -> None:
    assert parse_command(CommandRequest(None, method, args)) == command


REFUSED: list[tuple[bytes, Map, Condition, str | None]] = [
    (b"", {}, Condition.METHOD_NOT_FOUND, None),
    (b"Recover", {}, Condition.METHOD_NOT_FOUND, None),
    (b"publish", {}, BAD_REQUEST, "Invalid format: object does not contain 'items'"),
    (b"publish", {b"items": 5}, BAD_REQUEST, "Invalid format: object contains 'items' with wrong type"),
    (b"publish", {b"items": None}, BAD_REQUEST, "Invalid format: object contains 'items' with wrong type"),
    (b"publish", {b"items": [RAW_ITEM, 5]}, BAD_REQUEST, "Invalid format: publish item object is not an object"),
    (
        b"publish",
        {b"items": [{b"channel": b"c", b"http-stream": {b"action": b"x"}}]},
        BAD_REQUEST,
        "Invalid format: ",
    ),
    (b"conncheck", {}, BAD_REQUEST, None),
    (b"conncheck", {b"ids": 5}, BAD_REQUEST, None),
    (b"conncheck", {b"ids": [5]}, BAD_REQUEST, None),
    (b"conncheck", {b"ids": None}, BAD_REQUEST, None),
    (b"refresh", {}, BAD_REQUEST, None),
    (b"refresh", {b"cid": 5, b"channel": b"c"}, BAD_REQUEST, None),
    (b"refresh", {b"cid": None, b"channel": b"c"}, BAD_REQUEST, None),
    (b"refresh", {b"channel": 5}, BAD_REQUEST, None),
]


@pytest.mark.parametrize(("method", "args", "condition", "value"), REFUSED)
def test_refused_commands(method: bytes, args: Map, condition: Condition, value: str | None) -> None:
    """The answers of Pushpin 1.36."""
    with pytest.raises(CommandError) as caught:
        parse_command(CommandRequest(b"1", method, args))
    assert (caught.value.condition, caught.value.value) == (condition, value)
    assert str(caught.value) == (value or condition.value.decode())


VALUES = st.recursive(
    st.none() | st.integers(0, 5) | st.binary(max_size=3),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.binary(max_size=2), inner, max_size=3),
    max_leaves=8,
)


@given(
    st.sampled_from([b"publish", b"recover", b"conncheck", b"refresh", b"x"]),
    st.dictionaries(st.sampled_from([b"items", b"ids", b"cid", b"channel"]), VALUES),
)
def test_any_call_is_a_command_or_refused(method: bytes, args: Map) -> None:
    try:
        parse_command(CommandRequest(None, method, args))
    except CommandError as exc:
        assert exc.condition in (BAD_REQUEST, Condition.METHOD_NOT_FOUND)
