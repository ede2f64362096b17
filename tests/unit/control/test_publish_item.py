"""The item that a publisher's command line describes (routes spec §5, checklist routes-111 to routes-113)."""

from __future__ import annotations

import json

import pytest
import tnetstring

from holdfast.control.publish_item import (
    Action,
    ItemTree,
    PublishArguments,
    build_item,
    encode_publish_body,
    encode_publish_frame,
)
from holdfast.errors import GripError
from holdfast.grip.item import parse_publish_body
from holdfast.grip.item_frame import parse_item_frame

HELLO = (
    b'{"items":[{"channel":"chan","formats":{"http-response":{"body":"hello\\n","code":200},'
    b'"http-stream":{"content":"hello\\n"},"ws-message":{"content":"hello"}}}]}'
)


def test_the_body_is_exactly_that_of_pushpin_publish() -> None:
    """routes-111."""
    assert encode_publish_body(build_item(PublishArguments(channel="chan", content=b"hello"))) == HELLO


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        pytest.param(
            PublishArguments(channel="c", action=Action.HINT),
            {"formats": {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")}},
            id="routes-112 hint",
        ),
        pytest.param(
            PublishArguments(channel="c", action=Action.CLOSE),
            {"formats": {name: {"action": "close"} for name in ("http-stream", "ws-message")}},
            id="routes-112 close",
        ),
        pytest.param(
            PublishArguments(channel="c", content=b'[{"op":"x"}]', is_patch=True, code=201, headers=(("A", "b"),)),
            {"formats": {"http-response": {"body-patch": [{"op": "x"}], "code": 201, "headers": [["A", "b"]]}}},
            id="routes-112 patch",
        ),
        pytest.param(
            PublishArguments(channel="c", content=b"x", has_newline=False, code=404, headers=(("A", "b"), ("A", "c"))),
            {
                "formats": {
                    "http-response": {"body": "x", "code": 404, "headers": [["A", "b"], ["A", "c"]]},
                    "http-stream": {"content": "x"},
                    "ws-message": {"content": "x"},
                }
            },
            id="routes-112 code, headers and no newline",
        ),
        pytest.param(
            PublishArguments(channel="c", content=b"\xff\xfe", has_newline=False),
            {
                "formats": {
                    "http-response": {"body-bin": "//4=", "code": 200},
                    "http-stream": {"content-bin": "//4="},
                    "ws-message": {"content-bin": "//4="},
                }
            },
            id="routes-113 binary",
        ),
        pytest.param(
            PublishArguments(
                channel="c",
                action=Action.HINT,
                id="2",
                prev_id="1",
                meta={"sender": "bob", "k": "v"},
                is_unsequenced=True,
            ),
            {
                "formats": {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")},
                "id": "2",
                "prev-id": "1",
                "meta": {"sender": "bob", "k": "v"},
                "no-seq": True,
            },
            id="routes-112 ids, meta and no-seq",
        ),
    ],
)
def test_items(arguments: PublishArguments, expected: ItemTree) -> None:
    (item,) = json.loads(encode_publish_body(build_item(arguments)))["items"]
    assert item == {"channel": "c"} | expected


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"{}", "patch content must be a JSON array"),
        (b"", "patch content is not valid JSON: Expecting value: line 1 column 1 (char 0)"),
        (b"[NaN]", "patch content is not valid JSON: NaN is not JSON"),
        (b"[" * 100_000, "patch content is not valid JSON: maximum recursion depth exceeded"),
    ],
)
def test_patches_are_lists(content: bytes, text: str) -> None:
    with pytest.raises(GripError) as caught:
        build_item(PublishArguments(channel="c", content=content, is_patch=True))
    assert str(caught.value).startswith(text)


def test_text_is_not_escaped() -> None:
    body = encode_publish_body(build_item(PublishArguments(channel="ü", content="€".encode())))
    assert '"channel":"ü"' in body.decode()
    assert json.loads(body)["items"][0]["formats"]["ws-message"]["content"] == "€"


@pytest.mark.parametrize("action", Action)
def test_the_publish_door_understands_it(action: Action) -> None:
    arguments = PublishArguments(channel="c", action=action, content=b"x", id="1", headers=(("A", "b"),))
    (item,) = parse_publish_body(encode_publish_body(build_item(arguments)))
    assert (item.channel, item.id) == ("c", "1")


def test_frame() -> None:
    """routes-114: one item as a TNetString map, whose contents are the bytes themselves."""
    item = build_item(
        PublishArguments(channel="ü", content=b"\xff", headers=(("A", "é"),), id="1", is_unsequenced=True)
    )
    assert tnetstring.loads(encode_publish_frame(item)) == {
        b"channel": "ü".encode(),
        b"formats": {
            b"http-response": {b"body": b"\xff\n", b"code": 200, b"headers": [[b"A", "é".encode()]]},
            b"http-stream": {b"content": b"\xff\n"},
            b"ws-message": {b"content": b"\xff"},
        },
        b"id": b"1",
        b"no-seq": True,
    }


def test_frame_of_a_patch() -> None:
    patch = b'[{"op": "add", "path": "/a", "value": [1, 2.5, null, {"b": "c"}]}]'
    frame = encode_publish_frame(build_item(PublishArguments(channel="c", content=patch, is_patch=True)))
    assert tnetstring.loads(frame)[b"formats"][b"http-response"][b"body-patch"] == [
        {b"op": b"add", b"path": b"/a", b"value": [1, 2.5, None, {b"b": b"c"}]}
    ]


def test_frame_with_a_number_that_it_cannot_carry() -> None:
    item = build_item(PublishArguments(channel="c", content=b"[%d]" % 2**64, is_patch=True))
    with pytest.raises(ValueError, match="64 bits"):
        encode_publish_frame(item)


@pytest.mark.parametrize("action", Action)
def test_the_pull_door_understands_it(action: Action) -> None:
    arguments = PublishArguments(channel="c", action=action, content=b"x", id="1", headers=(("A", "b"),))
    item = parse_item_frame(encode_publish_frame(build_item(arguments)))
    assert (item.channel, item.id) == ("c", "1")
