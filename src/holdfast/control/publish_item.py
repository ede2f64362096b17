"""The item that a publisher's command line describes, and its form on the wire (routes spec §5).

Invariants: pure; content is bytes, and what is not UTF-8 is base64 under the `-bin` name in JSON; keys are sorted and
there are no blanks, so that the same arguments give the same bytes.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TypeAlias

from holdfast.errors import GripError
from holdfast.wire.tnetstring import Value, encode_tnetstring

ItemTree: TypeAlias = dict[str, object]
"""An item as JSON values; contents are bytes."""

MAX_CODE = 999


class Action(Enum):
    """What a published item does to those who hold."""

    SEND = "send"
    HINT = "hint"
    CLOSE = "close"


@dataclass(frozen=True, slots=True, kw_only=True)
class PublishArguments:
    """What to publish.

    Attributes:
        content: what to send; for a patch the text of a JSON list. Not used unless the action is `SEND`.
        has_newline: whether the two HTTP formats get a newline after the content.
        is_patch: whether the content is a patch of a response body.
        code, headers: of `http-response`.
        id, prev_id: None for none.
    """

    channel: str
    action: Action = Action.SEND
    content: bytes = b""
    has_newline: bool = True
    is_patch: bool = False
    code: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    id: str | None = None
    prev_id: str | None = None
    meta: Mapping[str, str] = field(default_factory=dict)
    is_unsequenced: bool = False


def build_item(arguments: PublishArguments) -> ItemTree:
    """The item as JSON values.

    Raises:
        GripError: a patch is not a JSON list.
    """
    item: ItemTree = {"channel": arguments.channel, "formats": _formats(arguments)}
    if arguments.id is not None:
        item["id"] = arguments.id
    if arguments.prev_id is not None:
        item["prev-id"] = arguments.prev_id
    if arguments.meta:
        item["meta"] = dict(arguments.meta)
    if arguments.is_unsequenced:
        item["no-seq"] = True
    return item


def encode_publish_body(item: ItemTree) -> bytes:
    """The body of a publishing request with one item. Raises UnicodeEncodeError."""
    body = {"items": [_spell(item)]}
    return json.dumps(body, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def encode_publish_frame(item: ItemTree) -> bytes:
    """The ZeroMQ message of one item. Raises UnicodeEncodeError, ValueError for numbers that it cannot carry."""
    return encode_tnetstring(_to_value(item))


def _spell(tree: ItemTree) -> ItemTree:
    """JSON has no bytes: they are text where they can be, and base64 elsewhere."""
    spelled: ItemTree = {}
    for name, member in tree.items():
        if isinstance(member, bytes):
            try:
                spelled[name] = member.decode()
            except UnicodeDecodeError:
                spelled[f"{name}-bin"] = base64.b64encode(member).decode()
        else:
            spelled[name] = _spell(member) if isinstance(member, dict) else member
    return spelled


def _to_value(tree: object) -> Value:
    """TNetStrings have no text: it is UTF-8 there."""
    if isinstance(tree, dict):
        return {name.encode(): _to_value(tree[name]) for name in sorted(tree)}
    if isinstance(tree, list):
        return [_to_value(element) for element in tree]
    if isinstance(tree, str):
        return tree.encode()
    assert tree is None or isinstance(tree, (bytes, int, float))
    return tree


def _formats(arguments: PublishArguments) -> ItemTree:
    if arguments.action is Action.HINT:
        return {name: {"action": "hint"} for name in ("http-response", "http-stream", "ws-message")}
    if arguments.action is Action.CLOSE:
        return {name: {"action": "close"} for name in ("http-stream", "ws-message")}
    return _patch_formats(arguments) if arguments.is_patch else _content_formats(arguments)


def _patch_formats(arguments: PublishArguments) -> ItemTree:
    try:
        patch = json.loads(arguments.content, parse_constant=_refuse_constant)
    except (ValueError, RecursionError) as exc:
        raise GripError(f"patch content is not valid JSON: {exc}") from exc
    if not isinstance(patch, list):
        raise GripError("patch content must be a JSON array")
    return {"http-response": _response(arguments) | {"body-patch": patch}}


def _refuse_constant(name: str) -> object:
    raise ValueError(f"{name} is not JSON")


def _content_formats(arguments: PublishArguments) -> ItemTree:
    line = arguments.content + b"\n" if arguments.has_newline else arguments.content
    return {
        "http-response": _response(arguments) | {"body": line},
        "http-stream": {"content": line},
        "ws-message": {"content": arguments.content},
    }


def _response(arguments: PublishArguments) -> ItemTree:
    response: ItemTree = {"code": arguments.code}
    if arguments.headers:
        response["headers"] = [list(header) for header in arguments.headers]
    return response
