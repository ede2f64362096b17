"""Published messages as frames."""

from __future__ import annotations

import pytest

from holdfast.grip.item import MessageKind
from holdfast.push.messages import encode_message
from holdfast.wire.websocket.frames import Opcode, encode_compressed_message

FRAMES = [
    pytest.param(MessageKind.TEXT, b"hello", b"\x81\x05hello", id="text"),
    pytest.param(MessageKind.BINARY, b"\0\xff", b"\x82\x02\0\xff", id="binary"),
    pytest.param(MessageKind.PING, b"p", b"\x89\x01p", id="ping"),
    pytest.param(MessageKind.PONG, b"", b"\x8a\x00", id="pong"),
    pytest.param(MessageKind.TEXT, b"", b"\x81\x00", id="empty"),
]


@pytest.mark.parametrize(("kind", "content", "frame"), FRAMES)
def test_frames(kind: MessageKind, content: bytes, frame: bytes) -> None:
    assert encode_message(kind, content, is_compressed=False) == frame


@pytest.mark.parametrize(("kind", "opcode"), [(MessageKind.TEXT, Opcode.TEXT), (MessageKind.BINARY, Opcode.BINARY)])
def test_data_is_compressed(kind: MessageKind, opcode: Opcode) -> None:
    content = b"hello " * 10
    frame = encode_message(kind, content, is_compressed=True)
    assert frame == encode_compressed_message(opcode, content)
    assert len(frame) < len(content)


@pytest.mark.parametrize("kind", [MessageKind.PING, MessageKind.PONG])
@pytest.mark.spec("ws-85")
def test_control_frames_are_not(kind: MessageKind) -> None:
    assert encode_message(kind, b"p", is_compressed=True) == encode_message(kind, b"p", is_compressed=False)
