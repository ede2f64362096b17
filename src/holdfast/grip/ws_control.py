"""WebSocket control messages: what a backend orders in a `c:` message of its connection (ws spec §2.4, §2.5).

Whoever meets an invalid one logs it and goes on: nothing is ever answered to the backend.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.errors import GripError
from holdfast.grip.fields import (
    Tree,
    encode_text,
    fail_type,
    fail_value,
    get_content,
    get_string,
    get_strings,
    is_object,
    parse_json,
    require_string,
)
from holdfast.grip.item import MessageKind
from holdfast.grip.values import DEFAULT_KEEP_ALIVE_TIMEOUT_S, MAX_FILTERS_PER_CHANNEL, KeepAliveMode
from holdfast.wire.params import MAX_INT, MIN_INT, parse_int
from holdfast.wire.websocket.frames import MAX_CONTROL_BYTES

DEFAULT_DELAY_S = 1

_SUBJECT = "control message"
_KINDS = {kind.value: kind for kind in MessageKind}


@dataclass(frozen=True, slots=True)
class Subscribe:
    """Subscribe to a channel, by its bare name, or replace the filters of the subscription."""

    channel: str
    filters: tuple[str, ...] = ()

    @property
    def has_too_many_filters(self) -> bool:
        """Whether the client has to be closed with 1011 for it (§2.4)."""
        return len(self.filters) > MAX_FILTERS_PER_CHANNEL


@dataclass(frozen=True, slots=True)
class Unsubscribe:
    """Leave a channel, by its bare name; those that the route subscribes to cannot be left."""

    channel: str


@dataclass(frozen=True, slots=True)
class Detach:
    """Close the connection with the backend, and keep the client (§2.6)."""


@dataclass(frozen=True, slots=True)
class SetSession:
    """Belong to the GRIP session `id`; None to none."""

    id: str | None


@dataclass(frozen=True, slots=True)
class SetMeta:
    """Set what filters read of the connection; None removes it, the empty string is a value."""

    name: str
    value: str | None


@dataclass(frozen=True, slots=True)
class Message:
    """A message for the client that its backend gives in advance."""

    kind: MessageKind
    content: bytes


@dataclass(frozen=True, slots=True)
class SetKeepAlive:
    """Send `message` to a quiet client every `timeout_s` seconds (>= 1), less up to one of jitter; None never."""

    message: Message | None
    timeout_s: int
    mode: KeepAliveMode


@dataclass(frozen=True, slots=True)
class SendDelayed:
    """Send `message` in exactly `timeout_s` seconds (>= 1), and the one that is still waiting at once."""

    message: Message
    timeout_s: int


@dataclass(frozen=True, slots=True)
class FlushDelayed:
    """Send the delayed message that is still waiting at once."""


Control = Subscribe | Unsubscribe | Detach | SetSession | SetMeta | SetKeepAlive | SendDelayed | FlushDelayed


def parse_control(text: bytes) -> Control:
    """The order that a control message, without its `c:`, is. Raises GripError with a text for the log."""
    try:
        tree = parse_json(text)
    except ValueError as exc:
        raise GripError(f"{_SUBJECT} is not valid JSON") from exc
    if not is_object(tree):
        raise GripError(f"{_SUBJECT} is not an object")
    parse = _PARSERS.get(require_string(tree, _SUBJECT, "type"))
    if parse is None:
        raise GripError(f"{_SUBJECT} contains 'type' with unknown value")
    return parse(tree)


def _parse_subscribe(tree: Tree) -> Subscribe:
    channel = _require_name(tree, "channel")
    filters = get_strings(tree, _SUBJECT, "filters", "filters contains value with wrong type")
    return Subscribe(channel, filters or ())


def _parse_unsubscribe(tree: Tree) -> Unsubscribe:
    return Unsubscribe(_require_name(tree, "channel"))


def _parse_session(tree: Tree) -> SetSession:
    return SetSession(get_string(tree, _SUBJECT, "id") or None)


def _parse_set_meta(tree: Tree) -> SetMeta:
    return SetMeta(_require_name(tree, "name"), get_string(tree, _SUBJECT, "value"))


def _parse_keep_alive(tree: Tree) -> SetKeepAlive:
    message = _get_message(tree)
    timeout_s = _get_timeout(tree) or DEFAULT_KEEP_ALIVE_TIMEOUT_S
    is_interval = get_string(tree, _SUBJECT, "mode") == KeepAliveMode.INTERVAL.value
    return SetKeepAlive(message, timeout_s, KeepAliveMode.INTERVAL if is_interval else KeepAliveMode.IDLE)


def _parse_send_delayed(tree: Tree) -> SendDelayed:
    message = _get_message(tree) or Message(_get_kind(tree), b"")
    return SendDelayed(message, _get_timeout(tree) or DEFAULT_DELAY_S)


_PARSERS: dict[str, Callable[[Tree], Control]] = {
    "subscribe": _parse_subscribe,
    "unsubscribe": _parse_unsubscribe,
    "detach": lambda tree: Detach(),
    "session": _parse_session,
    "set-meta": _parse_set_meta,
    "keep-alive": _parse_keep_alive,
    "send-delayed": _parse_send_delayed,
    "flush-delayed": lambda tree: FlushDelayed(),
}


def _require_name(tree: Tree, key: str) -> str:
    name = require_string(tree, _SUBJECT, key)
    if not name:
        fail_value(_SUBJECT, key)
    return name


def _get_message(tree: Tree) -> Message | None:
    """The message of the common fields (§2.5); None if there is no content.

    Compat: unlike in a published item, binary content without a `message-type` is sent as text.
    """
    kind = _get_kind(tree)
    get_string(tree, _SUBJECT, "content")  # of the wrong type it spoils the message even where `content-bin` counts
    content = get_content(tree, _SUBJECT, "content")
    if content is None:
        return None
    if kind in (MessageKind.PING, MessageKind.PONG) and len(content) > MAX_CONTROL_BYTES:
        fail_value(_SUBJECT, "content")
    return Message(kind, content)


def _get_kind(tree: Tree) -> MessageKind:
    name = get_string(tree, _SUBJECT, "message-type")
    kind = MessageKind.TEXT if name is None else _KINDS.get(name)
    if kind is None:
        raise GripError(f"{_SUBJECT} contains 'message-type' with unknown value")
    return kind


def _get_timeout(tree: Tree) -> int:
    """The timeout in seconds, 0 if it is absent; floats are rounded, and strings may spell an integer (§2.5)."""
    if "timeout" not in tree:
        return 0
    seconds = _to_int(tree["timeout"])
    if seconds is None:
        fail_type(_SUBJECT, "timeout")
    if seconds < 0:
        fail_value(_SUBJECT, "timeout")
    return seconds


def _to_int(value: object) -> int | None:
    if isinstance(value, str):
        return parse_int(encode_text(value))
    if isinstance(value, float) and MIN_INT < value < MAX_INT:
        value = math.floor(value + 0.5)
    # not isinstance: a boolean is no integer here
    return value if type(value) is int and MIN_INT <= value <= MAX_INT else None
