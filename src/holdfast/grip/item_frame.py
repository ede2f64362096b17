"""Published items as ZeroMQ peers send them, one in a frame (grip spec §15.3, §15.4)."""

from __future__ import annotations

from holdfast.errors import GripError, PacketError
from holdfast.grip.fields import Tree, is_object, parse_json
from holdfast.grip.item import Item, parse_item
from holdfast.grip.trees import make_tree
from holdfast.wire.tnetstring import parse_tnetstring

_JSON = b"J"
_TNETSTRING = b"T"


def parse_item_frame(frame: bytes, topic: bytes = b"") -> Item:
    """The item of a frame: `J` and a JSON object, or a TNetString, with or without `T` before it.

    Args:
        topic: under which the frame was published. It is the item's channel, unless it is empty.

    Raises GripError with what is wrong as the log tells it: `invalid format`, and a reason.
    """
    tree = _parse_json_object(frame[1:]) if frame.startswith(_JSON) else _parse_tnetstring_tree(frame)
    try:
        channel = topic.decode()
    except UnicodeDecodeError as exc:
        raise GripError("invalid format: topic is not UTF-8") from exc
    try:
        return parse_item(tree, channel)
    except GripError as exc:
        raise GripError(f"invalid format: {exc}") from exc


def _parse_json_object(text: bytes) -> Tree:
    try:
        tree = parse_json(text)
    except ValueError as exc:
        raise GripError("invalid format (json parse failed)") from exc
    if not is_object(tree):
        is_array = isinstance(tree, list)  # a text of anything less is no JSON for Pushpin
        raise GripError(f"invalid format ({'not a valid json object' if is_array else 'json parse failed'})")
    return tree


def _parse_tnetstring_tree(frame: bytes) -> object:
    try:
        return make_tree(parse_tnetstring(frame, 1 if frame.startswith(_TNETSTRING) else 0))
    except PacketError as exc:
        raise GripError("invalid format (tnetstring parse failed)") from exc
