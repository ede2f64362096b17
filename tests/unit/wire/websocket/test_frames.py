from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.frames import Frame

from holdfast.errors import FrameError
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.frames import (
    MAX_CONTROL_BYTES,
    Opcode,
    encode_close,
    encode_compressed_message,
    encode_frame,
    encode_masked_frame,
)
from holdfast.wire.websocket.stream import Close, Data, FrameReader, MessageReader, Ping, Pong

FRAMES: list[tuple[Opcode, bytes, bool, bytes]] = [
    (Opcode.TEXT, b"Hello", True, b"\x81\x05Hello"),
    (Opcode.TEXT, b"Hel", False, b"\x01\x03Hel"),
    (Opcode.CONT, b"lo", True, b"\x80\x02lo"),
    (Opcode.CONT, b"", False, b"\x00\x00"),
    (Opcode.BINARY, b"", True, b"\x82\x00"),
    (Opcode.BINARY, b"x" * 125, True, b"\x82\x7d" + b"x" * 125),
    (Opcode.BINARY, b"x" * 126, True, b"\x82\x7e\x00\x7e" + b"x" * 126),
    (Opcode.BINARY, b"x" * 65535, True, b"\x82\x7e\xff\xff" + b"x" * 65535),
    (Opcode.BINARY, b"x" * 65536, True, b"\x82\x7f\x00\x00\x00\x00\x00\x01\x00\x00" + b"x" * 65536),
    (Opcode.PING, b"p", True, b"\x89\x01p"),
    (Opcode.PONG, b"", True, b"\x8a\x00"),
]
IDS = [f"{opcode.name} of {len(payload)}" for opcode, payload, _, _ in FRAMES]


@pytest.mark.parametrize(("opcode", "payload", "is_final", "data"), FRAMES, ids=IDS)
def test_frames(opcode: Opcode, payload: bytes, is_final: bool, data: bytes) -> None:
    """RFC 6455 §5.7."""
    assert encode_frame(opcode, payload, is_final=is_final) == data
    assert Frame(opcode, payload, is_final).serialize(mask=False) == data


def test_masked_frame() -> None:
    """RFC 6455 §5.7."""
    data = encode_masked_frame(Opcode.TEXT, b"Hello", b"\x37\xfa\x21\x3d")
    assert data == bytes.fromhex("818537fa213d7f9f4d5158")


@pytest.mark.parametrize(("opcode", "payload", "is_final", "data"), FRAMES, ids=IDS)
def test_a_mask_of_zeros_changes_nothing(opcode: Opcode, payload: bytes, is_final: bool, data: bytes) -> None:
    masked = encode_masked_frame(opcode, payload, bytes(4), is_final=is_final)
    head = len(data) - len(payload)
    assert masked == data[:1] + bytes([data[1] | 0x80]) + data[2:head] + bytes(4) + payload


def test_compressed_message() -> None:
    """RFC 7692 §7.2.3.1."""
    assert encode_compressed_message(Opcode.TEXT, b"Hello") == bytes.fromhex("c107f248cdc9c90700")
    assert encode_compressed_message(Opcode.BINARY, b"") == b"\xc2\x01\x00"


def test_first_frame_of_a_compressed_message() -> None:
    assert encode_frame(Opcode.TEXT, b"x", is_final=False, is_compressed=True) == b"\x41\x01x"


CLOSES: list[tuple[int | None, str, bytes]] = [
    (None, "", b"\x88\x02\x03\xe8"),
    (None, "discarded", b"\x88\x02\x03\xe8"),
    (4000, "bye", b"\x88\x05\x0f\xa0bye"),
    (999, "", b"\x88\x02\x03\xe7"),
    (1011, "é" * 62, b"\x88\x7c\x03\xf3" + "é".encode() * 61),
]


@pytest.mark.spec("ws-72")
@pytest.mark.parametrize(("code", "reason", "data"), CLOSES)
def test_close(code: int | None, reason: str, data: bytes) -> None:
    """ws spec §2.7, §3.3."""
    assert encode_close(code, reason) == data


PAYLOADS = st.binary(max_size=300) | st.integers(0, 70_000).map(lambda size: b"x" * size)
DATA_OPCODES = st.sampled_from([Opcode.TEXT, Opcode.BINARY])


@given(DATA_OPCODES, st.text(max_size=200).map(str.encode) | st.just(b"x" * 70_000), st.binary(min_size=4, max_size=4))
def test_what_is_encoded_is_read_again(opcode: Opcode, payload: bytes, mask: bytes) -> None:
    def read(data: bytes, *, is_masked: bool) -> list[object]:
        reader = MessageReader(is_masked=is_masked, is_compressed=True, max_message_bytes=100_000)
        return list(reader.receive(data))

    assert read(encode_frame(opcode, payload), is_masked=False) == [Data(opcode, payload)]
    assert read(encode_compressed_message(opcode, payload), is_masked=False) == [Data(opcode, payload)]
    assert read(encode_masked_frame(opcode, payload, mask), is_masked=True) == [Data(opcode, payload)]


@given(st.binary(max_size=MAX_CONTROL_BYTES))
def test_control_frames_are_read_again(payload: bytes) -> None:
    data = encode_frame(Opcode.PING, payload) + encode_frame(Opcode.PONG, payload) + encode_close(1001, "x")
    close = Close(CloseStatus(1001, "x"), b"\x03\xe9x")
    assert list(FrameReader(is_masked=False).receive(data)) == [Ping(payload), Pong(payload), close]


def test_longest_control_frame() -> None:
    """RFC 6455 §5.5."""
    payload = b"x" * MAX_CONTROL_BYTES
    assert list(FrameReader(is_masked=False).receive(encode_frame(Opcode.PING, payload))) == [Ping(payload)]
    with pytest.raises(FrameError):
        list(FrameReader(is_masked=False).receive(encode_frame(Opcode.PING, payload + b"x")))
