"""Published messages as WebSocket frames (ws spec §3.3)."""

from __future__ import annotations

from holdfast.grip.item import MessageKind
from holdfast.wire.websocket.frames import Opcode, encode_compressed_message, encode_frame

OPCODES = {
    MessageKind.TEXT: Opcode.TEXT,
    MessageKind.BINARY: Opcode.BINARY,
    MessageKind.PING: Opcode.PING,
    MessageKind.PONG: Opcode.PONG,
}


def encode_message(kind: MessageKind, content: bytes, *, is_compressed: bool) -> bytes:
    """The frame of a whole message; control frames are never compressed."""
    opcode = OPCODES[kind]
    if is_compressed and kind in (MessageKind.TEXT, MessageKind.BINARY):
        return encode_compressed_message(opcode, content)
    return encode_frame(opcode, content)
