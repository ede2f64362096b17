"""WebSocket frames: values to bytes (RFC 6455 §5).

A broadcast is encoded once and the same bytes are written to everybody, so nothing here knows a connection. Callers
vouch that no ping or pong carries more than `MAX_CONTROL_BYTES`: what arrives in frames is checked by
`wire.websocket.stream`, what is published or ordered in `grip`.
"""

from __future__ import annotations

import websockets.frames
from websockets.frames import Opcode as Opcode  # the word for it everywhere above

from holdfast.wire.websocket.close import CloseStatus, encode_close_payload
from holdfast.wire.websocket.deflate import MessageDeflater

MAX_CONTROL_BYTES = 125
"""Payload of one control frame (RFC 6455 §5.5)."""

_FIN = 0x80
_RSV1 = 0x40
_MASKED = 0x80


def encode_frame(opcode: Opcode, payload: bytes, *, is_final: bool = True, is_compressed: bool = False) -> bytes:
    """One frame from a server, which is not masked.

    Args:
        opcode: `Opcode.CONT` for all but the first frame of a message.
        is_compressed: the first frame of a message that a `MessageDeflater` compressed (RFC 7692 §6).
    """
    first = opcode | (_FIN if is_final else 0) | (_RSV1 if is_compressed else 0)
    size = len(payload)
    if size < 126:
        return b"%c%c%b" % (first, size, payload)
    return b"%c%b%b" % (first, _encode_long_size(size, 0), payload)


def encode_masked_frame(opcode: Opcode, payload: bytes, mask: bytes, *, is_final: bool = True) -> bytes:
    """One frame towards a backend.

    Args:
        mask: four bytes that nobody can predict, new for every frame (RFC 6455 §5.3).
    """
    first = opcode | (_FIN if is_final else 0)
    size = len(payload)
    length = b"%c" % (_MASKED | size) if size < 126 else _encode_long_size(size, _MASKED)
    return b"%c%b%b%b" % (first, length, mask, websockets.frames.apply_mask(payload, mask))


def encode_compressed_message(opcode: Opcode, payload: bytes) -> bytes:
    """A whole message of `Opcode.TEXT` or `Opcode.BINARY` for clients with whom compression is negotiated."""
    return encode_frame(opcode, MessageDeflater().feed(payload, is_last=True), is_compressed=True)


def encode_close(code: int | None, reason: str = "") -> bytes:
    """The close frame for a client: without a code it is 1000, and the reason is discarded (ws spec §2.7, §3.3)."""
    status = CloseStatus(1000) if code is None else CloseStatus(code, reason)
    return encode_frame(Opcode.CLOSE, encode_close_payload(status))


def _encode_long_size(size: int, mask_bit: int) -> bytes:
    if size < 65536:
        return b"%c%b" % (mask_bit | 126, size.to_bytes(2, "big"))
    return b"%c%b" % (mask_bit | 127, size.to_bytes(8, "big"))
