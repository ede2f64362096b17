"""The WebSocket extension `grip`: how a backend accepts it, and what its messages mean then (ws spec §2.2, §2.3).

With the extension, a message of the backend is an order if it begins with `c:`, goes to the client without its prefix
if it begins with that, and is dropped otherwise. Without it nothing here applies.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable
from dataclasses import dataclass

from holdfast.wire.params import parse_params, split_list
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

NAME = b"grip"
DEFAULT_PREFIX = b"m:"

MAX_CONTROL_TEXT_BYTES = 200_000
"""Of one control message: as much as Pushpin takes from a backend in advance. A longer one is dropped."""

_CONTROL = b"c:"


def parse_grip_extension(values: Iterable[bytes]) -> bytes | None:
    """The message prefix that the `Sec-WebSocket-Extensions` lines of a backend's answer order; None is "no GRIP".

    An empty prefix lets every message pass. An element with an unclosed quote, or one that ends with `=`, counts as
    not there.
    """
    for part in (part for value in values for part in split_list(value)):
        params = parse_params(part)
        if params is None or params.first != NAME:
            continue
        if part.endswith(b"=") and params.params[-1][1] == b"":
            continue
        if not any(name.lower() == b"message-prefix" for name, _ in params.params):
            return DEFAULT_PREFIX
        return params.get(b"message-prefix") or b""
    return None


@dataclass(frozen=True, slots=True)
class ControlText:
    """A control message without its `c:`, not yet parsed: JSON for `parse_control`."""

    text: bytes


class _Fate(enum.Enum):
    OPEN = "too little of the message is known"
    RELAYED = "goes to the client"
    CONTROL = "is a control message"
    DROPPED = "neither: all of it is dropped"


class MessageSorter:
    """Decides about a backend's messages, piece by piece. Between messages nothing but the prefix is kept.

    The decision is made once enough bytes are known, however they are cut, and holds for the whole message.
    """

    __slots__ = ("_fate", "_head", "prefix")

    def __init__(self, prefix: bytes) -> None:
        self.prefix = prefix
        self._fate = _Fate.OPEN
        self._head = b""

    def sort(self, data: Data) -> Data | ControlText | None:
        """What becomes of the next piece: it is relayed, perhaps with earlier ones, or ends a control message."""
        if data.is_first:
            self._fate = _Fate.OPEN
        if self._fate is _Fate.RELAYED:
            return data
        if self._fate is _Fate.DROPPED:
            return None
        self._head += data.payload
        if self._fate is _Fate.OPEN:
            self._fate = self._judge(data)
        if self._fate is _Fate.RELAYED:
            payload, self._head = self._head[len(self.prefix) :], b""
            return Data(data.opcode, payload, True, data.is_last, data.is_fragmented)
        if self._fate is _Fate.DROPPED or len(self._head) > len(_CONTROL) + MAX_CONTROL_TEXT_BYTES:
            self._fate = _Fate.DROPPED
            self._head = b""
        elif self._fate is _Fate.CONTROL and data.is_last:
            text, self._head = self._head[len(_CONTROL) :], b""
            return ControlText(text)
        return None

    def _judge(self, data: Data) -> _Fate:
        """What the bytes so far decide. Only text can be a control message, and only if it is not fragmented (§2.3)."""
        head = self._head
        if data.opcode is Opcode.TEXT:
            if head.startswith(_CONTROL):
                return _Fate.DROPPED if data.is_fragmented else _Fate.CONTROL
            if _CONTROL.startswith(head) and not data.is_last:
                return _Fate.OPEN
        if head.startswith(self.prefix):
            return _Fate.RELAYED
        if self.prefix.startswith(head) and not data.is_last:
            return _Fate.OPEN
        return _Fate.DROPPED
