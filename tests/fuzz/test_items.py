"""Any publish body or frame: items that cannot break a line, or GripError; the same in JSON and as TNetString."""

from __future__ import annotations

from typing import Any

import orjson
import tnetstring
from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz
from tests.harness import tnet

from holdfast.control.publish_item import (
    Action,
    PublishArguments,
    build_item,
    encode_publish_body,
    encode_publish_frame,
)
from holdfast.errors import GripError
from holdfast.grip.commands import CommandError, Publish, parse_command
from holdfast.grip.item import Item, MessageKind, parse_publish_body
from holdfast.grip.item_frame import parse_item_frame
from holdfast.grip.values import is_wire_safe
from holdfast.wire.headers import is_one_line, is_token
from holdfast.wire.zrpc import CommandRequest

ITEMS: list[dict[str, Any]] = [
    {"channel": "a", "formats": {"http-stream": {"content": "x\n"}}},
    {
        "channel": "a",
        "id": "2",
        "prev-id": "1",
        "formats": {"http-response": {"code": 200, "body": "b", "headers": {"A": "b"}}},
    },
    {
        "channel": "a",
        "http-response": {"headers": [["A", "b"]], "reason": "OK", "body-patch": [{"op": "remove", "path": "/a"}]},
    },
    {"channel": "a", "formats": {"ws-message": {"type": "ping", "content": "p"}, "http-stream": {"action": "hint"}}},
    {"channel": "a", "formats": {"ws-message": {"action": "close", "code": 1000, "reason": "r"}}, "no-seq": True},
    {
        "channel": "a",
        "meta": {"sender": "s"},
        "size": 3,
        "formats": {"http-stream": {"content-filters": ["x"], "content": ""}},
    },
]
JSON_SEEDS = [orjson.dumps({"items": [item]}) for item in ITEMS] + [orjson.dumps({"items": ITEMS})]
TOKENS = [
    b"null", b"true", b"1e400", b"1.0", b"-1", b"70000", b'"\\r\\n"', b'"\\u0000"', b'"\\ud800"', b"[]", b"{}",
    b'""', b"[" * 50, b'"action":"send",', b'"action":"nonsense",', b'"content-bin":"AAEC",', b'"id":"a\\nb",',
    b'"body-bin":"!",', b'"code":"1000",', b'"reason":"a\\r",',
]  # fmt: skip


@fuzz(mutated(JSON_SEEDS, TOKENS), examples=300)
def test_any_publish_body(body: bytes) -> None:
    try:
        items = parse_publish_body(body)
    except GripError as exc:
        str(exc).encode()
        return
    for item in items:
        check(item)


def check(item: Item) -> None:
    f"{item.channel}{item.id}{item.prev_id}{dict(item.meta)}".encode()
    for text in (item.id, item.prev_id):
        assert text is None or is_wire_safe(text)
    assert item.size is None or item.size >= 0
    response = item.http_response
    if response is not None:
        assert 0 <= response.code <= 999
        assert is_one_line(response.reason or b"")
        assert all(is_token(name) and is_one_line(value) for name, value in response.headers)
    message = item.ws_message
    if message is not None:
        assert message.code is None or 0 <= message.code <= 65535
        assert message.kind not in (MessageKind.PING, MessageKind.PONG) or len(message.content) <= 125


FRAMES = (
    [b"J" + orjson.dumps(item) for item in ITEMS]
    + [tnet.encode(item) for item in ITEMS]
    + [b"T" + tnet.encode(ITEMS[0])]
)
FRAME_TOKENS = [*TOKENS, b"0:~", b"4:true!", b"1:5#", b"4:null,", b"2:\xff\xff,", b"0:}", b"0:]", b"3:1.5^", b"J", b"T"]
TOPICS = st.sampled_from([b"", b"a", b"\xc3\xa9", b"\xff", b"a\r\nb"])


@fuzz(mutated(FRAMES, FRAME_TOKENS), TOPICS, examples=300)
def test_any_frame(frame: bytes, topic: bytes) -> None:
    try:
        item = parse_item_frame(frame, topic)
    except GripError as exc:
        assert str(exc).startswith("invalid format")
        str(exc).encode()
        return
    assert not topic or item.channel == topic.decode()
    check(item)


@fuzz(
    mutated(
        [
            tnet.encode({"items": ITEMS}),
            tnet.encode({"items": []}),
            tnet.encode({"ids": ["a"]}),
            tnet.encode({"cid": "a"}),
        ],
        FRAME_TOKENS,
    )
)
def test_any_command(args: bytes) -> None:
    try:
        tree = tnetstring.loads(args)
    except (ValueError, IndexError, TypeError):
        return
    if not isinstance(tree, dict) or not all(isinstance(key, bytes) for key in tree):
        return
    for method in (b"publish", b"conncheck", b"refresh", b"recover", b"get-zmq-uris", b"x"):
        try:
            command = parse_command(CommandRequest(None, method, tree))
        except CommandError:
            continue
        for item in command.items if isinstance(command, Publish) else ():
            check(item)


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=6)
NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
ARGUMENTS = st.builds(
    PublishArguments,
    channel=NAMES,
    action=st.sampled_from(Action),
    content=st.binary(max_size=20),
    has_newline=st.booleans(),
    code=st.integers(0, 999),
    headers=st.lists(st.tuples(st.sampled_from(["A", "B-C"]), NAMES), max_size=2).map(tuple),
    id=st.none() | NAMES,
    prev_id=st.none() | NAMES,
    meta=st.dictionaries(TEXTS, TEXTS, max_size=2),
    is_unsequenced=st.booleans(),
)


@fuzz(ARGUMENTS)
def test_what_the_tool_publishes_is_the_same_item_in_both_notations(arguments: PublishArguments) -> None:
    tree = build_item(arguments)
    (by_http,) = parse_publish_body(encode_publish_body(tree))
    by_zmq = parse_item_frame(encode_publish_frame(tree))
    message = by_zmq.ws_message
    assert message is not None and by_http.ws_message is not None
    if arguments.action is Action.SEND and not is_text(arguments.content):
        # Compat: only JSON has a name that says that a content is binary.
        assert (by_http.ws_message.kind, message.kind) == (MessageKind.BINARY, MessageKind.TEXT)
        message.kind = MessageKind.BINARY
    assert by_http == by_zmq
    assert (by_http.channel, by_http.id, by_http.prev_id) == (arguments.channel, arguments.id, arguments.prev_id)
    if arguments.action is Action.SEND:
        assert message.content == arguments.content


def is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return True
