"""Published items: one message for one channel, with up to three formats (grip spec §8).

Nobody changes an item once it is parsed. Its classes are not frozen only because a frozen dataclass takes five times as
long to build, which was a quarter of the time that parsing a publish request takes.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field

from holdfast.errors import GripError
from holdfast.grip.fields import (
    Tree,
    fail_value,
    get_array,
    get_bool,
    get_bytes,
    get_content,
    get_headers,
    get_int,
    get_json_array,
    get_object,
    get_reason,
    get_string,
    get_string_map,
    get_strings,
    is_object,
    parse_json,
    require_string,
)
from holdfast.grip.trees import ByteMap
from holdfast.grip.values import MAX_CODE, NO_META, is_wire_safe
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.close import MAX_CLOSE_CODE
from holdfast.wire.websocket.frames import MAX_CONTROL_BYTES

_ITEM = "publish item object"
_RESPONSE = "'http-response'"
_STREAM = "'http-stream'"
_MESSAGE = "'ws-message'"
_FORMATS = ("http-response", "http-stream", "ws-message")


class Action(enum.Enum):
    """What a format does to its receivers."""

    SEND = "send"
    HINT = "hint"
    CLOSE = "close"
    REFRESH = "refresh"


class MessageKind(enum.Enum):
    """The WebSocket message that a format becomes."""

    TEXT = "text"
    BINARY = "binary"
    PING = "ping"
    PONG = "pong"


_ACTIONS = {action.value: action for action in Action}
_KINDS = {kind.value: kind for kind in MessageKind}


@dataclass(slots=True)
class ResponseFormat:
    """The rendering for held responses. With SEND exactly one of `body` and `body_patch` is given.

    reason: None is the reason phrase of `code`.
    body_patch: RFC 6902 operations on the kept body, not yet checked.
    content_filters: the content filters that a receiver must have, in order; None is "any".
    """

    action: Action
    code: int = 200
    reason: bytes | None = None
    headers: Headers = field(default_factory=list)
    body: bytes | None = None
    body_patch: list[object] | None = None
    content_filters: tuple[str, ...] | None = None


@dataclass(slots=True)
class StreamFormat:
    """The rendering for held streams."""

    action: Action
    content: bytes = b""
    content_filters: tuple[str, ...] | None = None


@dataclass(slots=True)
class MessageFormat:
    """The rendering for WebSockets. `code` (0-65535, None if not given) and `reason` are for CLOSE."""

    action: Action
    kind: MessageKind = MessageKind.TEXT
    content: bytes = b""
    code: int | None = None
    reason: str = ""
    content_filters: tuple[str, ...] | None = None


@dataclass(slots=True)
class Item:
    """One published message.

    channel: the full channel name, prefix included.
    id, prev_id: the empty string is an id, None is "none given".
    size: what the item counts for in block limits instead of its content's length, in bytes.
    """

    channel: str
    id: str | None
    prev_id: str | None
    no_seq: bool
    size: int | None
    meta: Mapping[str, str]
    http_response: ResponseFormat | None
    http_stream: StreamFormat | None
    ws_message: MessageFormat | None


def parse_publish_body(body: bytes) -> list[Item]:
    """The items of a publish request's body, all or none (grip spec §15.1).

    Raises GripError with the text of the 400 answer, without its newline.
    """
    try:
        tree = parse_json(body)
    except ValueError as exc:
        raise GripError("Body is not valid JSON.") from exc
    if not is_object(tree):
        raise GripError("Invalid format." if isinstance(tree, list) else "Body is not valid JSON.")
    return parse_items(tree)


def parse_items(tree: Tree) -> list[Item]:
    """The items of a publish request's tree, all or none. Raises GripError like `parse_publish_body`."""
    try:
        items = get_array(tree, "object", "items")
        if items is None:
            raise GripError("object does not contain 'items'")
        return [parse_item(item) for item in items]
    except GripError as exc:
        raise GripError(f"Invalid format: {exc}") from exc


def parse_item(tree: object, channel: str = "") -> Item:
    """The item of a tree.

    Args:
        channel: where it goes, if that is said elsewhere; the item's own channel is not looked at then.

    Raises GripError with the protocol's text, which may be empty (grip spec §8.2).
    """
    if not is_object(tree):
        raise GripError(f"{_ITEM} is not an object")
    channel = channel or require_string(tree, _ITEM, "channel")
    item_id = _get_id(tree, "id")
    prev_id = _get_id(tree, "prev-id")
    formats = _select_formats(tree)
    response = _parse_response(formats) if "http-response" in formats else None
    stream = _parse_stream(formats) if "http-stream" in formats else None
    message = _parse_message(formats) if "ws-message" in formats else None
    meta = get_string_map(tree, _ITEM, "meta")
    size = get_int(tree, _ITEM, "size")
    no_seq = get_bool(tree, _ITEM, "no-seq")
    return Item(channel, item_id, prev_id, no_seq or False, size, meta or NO_META, response, stream, message)


def _get_id(tree: Tree, key: str) -> str | None:
    """An id. It may travel to a backend in `Grip-Last`, so it must not break a line there."""
    text = get_string(tree, _ITEM, key)
    if text is not None and not is_wire_safe(text):
        fail_value(_ITEM, key)
    return text


def _select_formats(tree: Tree) -> Tree:
    """The object that holds the formats: `formats`, or without it the item itself (the legacy spelling)."""
    formats = get_object(tree, _ITEM, "formats")
    if formats is None:
        formats = {name: tree[name] for name in _FORMATS if name in tree}
    if isinstance(tree, ByteMap):
        formats = {name: member for name, member in formats.items() if member is not None}
    if not formats:
        raise GripError("no formats specified")
    return formats


def _parse_response(formats: Tree) -> ResponseFormat:
    tree = _get_format(formats, "http-response")
    action = _get_action(tree, _RESPONSE)
    if action is not Action.SEND:
        return ResponseFormat(action)
    code = get_int(tree, _RESPONSE, "code", MAX_CODE)
    reason = get_reason(tree, _RESPONSE)
    headers = get_headers(tree, _RESPONSE)
    filters = _get_content_filters(tree, _RESPONSE)
    body = get_content(tree, _RESPONSE, "body")
    patch = get_json_array(tree, _RESPONSE, "body-patch") if body is None else None
    if body is None and patch is None:
        spellings = "'body' or 'body-patch'" if isinstance(tree, ByteMap) else "'body', 'body-bin', or 'body-patch'"
        raise GripError(f"{_RESPONSE} does not contain {spellings}")
    return ResponseFormat(action, 200 if code is None else code, reason, headers or [], body, patch, filters)


def _parse_stream(formats: Tree) -> StreamFormat:
    tree = _get_format(formats, "http-stream")
    action = _get_action(tree, _STREAM)
    if action is not Action.SEND:
        return StreamFormat(action)
    filters = _get_content_filters(tree, _STREAM)
    content = get_content(tree, _STREAM, "content")
    if content is None:
        spellings = "'content'" if isinstance(tree, ByteMap) else "'content' or 'content-bin'"
        raise GripError(f"{_STREAM} does not contain {spellings}")
    return StreamFormat(action, content, filters)


def _parse_message(formats: Tree) -> MessageFormat:
    tree = _get_format(formats, "ws-message")
    action = _get_action(tree, _MESSAGE)
    if action is Action.CLOSE:
        code = get_int(tree, _MESSAGE, "code", MAX_CLOSE_CODE)
        return MessageFormat(action, code=code, reason=get_string(tree, _MESSAGE, "reason") or "")
    if action is not Action.SEND:
        return MessageFormat(action)
    kind = _get_kind(tree)
    filters = _get_content_filters(tree, _MESSAGE)
    content = _get_message_content(tree)
    is_control = kind in (MessageKind.PING, MessageKind.PONG)
    if content is None and not is_control:
        raise GripError(f"{_MESSAGE} does not contain 'content' or 'content-bin'")
    if is_control and content is not None and len(content) > MAX_CONTROL_BYTES:
        fail_value(_MESSAGE, "content")  # no frame can carry it: every receiver would disconnect
    if kind is None:
        kind = MessageKind.BINARY if "content-bin" in tree else MessageKind.TEXT
    return MessageFormat(action, kind, content or b"", content_filters=filters)


def _get_message_content(tree: Tree) -> bytes | None:
    """The content; that of a binary message has a name of its own in a TNetString, too."""
    content = get_bytes(tree, _MESSAGE, "content-bin") if isinstance(tree, ByteMap) else None
    return get_content(tree, _MESSAGE, "content") if content is None else content


def _get_format(formats: Tree, name: str) -> Tree:
    tree = formats[name]
    if not is_object(tree):
        raise GripError(f"'{name}' is not an object")
    return tree


def _get_action(tree: Tree, subject: str) -> Action:
    name = get_string(tree, subject, "action")
    if name is None:
        return Action.SEND
    action = _ACTIONS.get(name)
    if action is None:
        raise GripError("")  # the protocol's own text
    return action


def _get_kind(tree: Tree) -> MessageKind | None:
    name = get_string(tree, _MESSAGE, "type")
    if name is None:
        return None
    kind = _KINDS.get(name)
    if kind is None:
        raise GripError(f"{_MESSAGE} contains 'type' with unknown value")
    return kind


def _get_content_filters(tree: Tree, subject: str) -> tuple[str, ...] | None:
    return get_strings(tree, subject, "content-filters", "content-filters contains element with wrong type")
