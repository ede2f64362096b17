"""Any bytes, cut anywhere: the same events, in pieces of bounded size, or FrameError with a code that may be sent.

Frame by frame, whatever we let through the library websockets lets through as well, with the same content.
"""

from __future__ import annotations

from collections.abc import Sequence

from hypothesis import strategies as st
from tests.fuzz.mutations import PLACES, cut, each_byte, mutated
from tests.fuzz.targets import fuzz
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from holdfast.errors import FrameError
from holdfast.wire.websocket.frames import (
    Opcode,
    encode_close,
    encode_compressed_message,
    encode_frame,
    encode_masked_frame,
)
from holdfast.wire.websocket.stream import PIECE_BYTES, Close, Data, Event, FrameReader, MessageReader, Ping

MASK = b"\x01\x02\x03\x04"
ZEROS = b"\0\0\0\0"
MAX_MESSAGE_BYTES = 40_000


def masked(opcode: Opcode, payload: bytes, *, is_final: bool = True, rsv1: bool = False) -> bytes:
    frame = encode_masked_frame(opcode, payload, MASK if len(payload) % 2 else ZEROS, is_final=is_final)
    return bytes([frame[0] | (0x40 if rsv1 else 0)]) + frame[1:]


def compressed(payload: bytes) -> bytes:
    frame = encode_compressed_message(Opcode.BINARY, payload)
    size = 2 if frame[1] < 126 else 4
    return masked(Opcode.BINARY, frame[size:], rsv1=True)


SEEDS = [
    masked(Opcode.TEXT, b"hello"),
    masked(Opcode.TEXT, "grüße".encode()[:3], is_final=False) + masked(Opcode.CONT, "grüße".encode()[3:]),
    masked(Opcode.BINARY, b"a", is_final=False) + masked(Opcode.PING, b"p") + masked(Opcode.CONT, b"b"),
    masked(Opcode.PONG, b"x" * 125) + masked(Opcode.BINARY, b"y" * 126) + masked(Opcode.BINARY, b""),
    masked(Opcode.BINARY, b"z" * 20_000),
    masked(Opcode.CLOSE, b"\x03\xe8bye") + b"more",
    compressed(b"hello, hello, hello") + compressed(b"\0" * 30_000),
    masked(Opcode.TEXT, b"", rsv1=True) + masked(Opcode.TEXT, b"\x00", rsv1=True),
    compressed(b"bomb" * 20_000),
]
TOKENS = [
    b"\x81\x80", b"\x01\x80", b"\x80\x80", b"\xc1\x85", b"\x89\xfe", b"\x88\x82", b"\x82\xff\x7f", b"\xff" * 8,
    b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\x00\x00\xff\xff", b"\x03\x00", *SEEDS[:3],
]  # fmt: skip
INPUTS = mutated(SEEDS, TOKENS)


def read(data_pieces: Sequence[bytes], reader: FrameReader | MessageReader) -> tuple[list[Event], int | None]:
    """What comes, and the code of the error that ends it."""
    events: list[Event] = []
    try:
        for piece in data_pieces:
            events += reader.receive(piece)
    except FrameError as exc:
        assert exc.code in (1002, 1007, 1009)
        encode_close(exc.code, exc.text)
        return events, exc.code
    return events, None


@fuzz(INPUTS, PLACES, st.booleans())
def test_any_cutting_gives_the_same_events(data: bytes, places: list[int], is_compressed: bool) -> None:
    def reader() -> FrameReader:
        return FrameReader(is_masked=True, is_compressed=is_compressed, max_message_bytes=MAX_MESSAGE_BYTES)

    whole = read([data], reader())
    assert whole == read(cut(data, places), reader())
    if len(data) < 1000:
        assert whole == read(each_byte(data), reader())
    check_events(whole[0])


def check_events(events: list[Event]) -> None:
    message_bytes = 0
    is_open = False
    for event in events:
        if isinstance(event, Data):
            assert len(event.payload) <= PIECE_BYTES
            assert event.is_first is not is_open
            message_bytes = len(event.payload) + (0 if event.is_first else message_bytes)
            assert message_bytes <= MAX_MESSAGE_BYTES
            is_open = not event.is_last
        elif isinstance(event, Close):
            assert event is events[-1]
            assert event.status.has_valid_code
        else:
            assert len(event.payload) <= 125


@fuzz(INPUTS, st.booleans())
def test_messages_are_their_pieces(data: bytes, is_compressed: bool) -> None:
    pieces, code = read(
        [data], FrameReader(is_masked=True, is_compressed=is_compressed, max_message_bytes=MAX_MESSAGE_BYTES)
    )
    whole, code_of_messages = read(
        [data], MessageReader(is_masked=True, is_compressed=is_compressed, max_message_bytes=MAX_MESSAGE_BYTES)
    )
    assert code == code_of_messages
    joined: list[Event] = []
    content = b""
    for event in pieces:
        if not isinstance(event, Data):
            joined.append(event)
            continue
        content += event.payload
        if event.is_last:
            joined.append(Data(event.opcode, content, is_fragmented=event.is_fragmented))
            content = b""
    assert whole == joined


@fuzz(INPUTS, st.booleans(), st.booleans())
def test_the_library_reads_the_same(data: bytes, is_compressed: bool, is_masked: bool) -> None:
    """The library refuses a close payload of one byte, and waits for the end of a frame that we refuse at once."""

    def make_reader() -> FrameReader:
        return FrameReader(is_masked=is_masked, is_compressed=is_compressed, max_message_bytes=MAX_MESSAGE_BYTES)

    events, code = read([data], make_reader())
    ours = frames_of(events)
    theirs, has_failed = by_the_library(data, is_compressed=is_compressed, is_masked=is_masked)
    if code is not None:
        assert by_the_library(data + bytes(70_000), is_compressed=is_compressed, is_masked=is_masked)[1]
        # Whether a text is UTF-8 is known at its end there.
        common = min(len(ours), len(theirs))
        assert theirs[:common] == ours[:common]
    elif ours and ours[-1][0] == "CLOSE" and len(ours[-1][1]) == 1:
        assert (theirs, has_failed) == (ours[:-1], True)
    elif has_failed:  # by a length whose mask is still to come, or of a compressed frame, which says little
        assert theirs == ours
        assert is_compressed or read([data + ZEROS], make_reader())[1] is not None
    else:
        assert theirs == ours


def frames_of(events: list[Event]) -> list[tuple[str, bytes]]:
    """Messages (only whole ones) and control frames."""
    result: list[tuple[str, bytes]] = []
    content = b""
    for event in events:
        if isinstance(event, Data):
            content += event.payload
            if event.is_last:
                result.append((event.opcode.name, content))
                content = b""
        else:
            name = "CLOSE" if isinstance(event, Close) else "PING" if isinstance(event, Ping) else "PONG"
            result.append((name, event.payload))
    return result


def by_the_library(data: bytes, *, is_compressed: bool, is_masked: bool) -> tuple[list[tuple[str, bytes]], bool]:
    protocol = Protocol(Side.SERVER if is_masked else Side.CLIENT, max_size=MAX_MESSAGE_BYTES)
    if is_compressed:
        protocol.extensions = [PerMessageDeflate(True, True, 15, 15)]
    protocol.receive_data(data)
    result: list[tuple[str, bytes]] = []
    opcode, content = Opcode.TEXT, b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            result.append((frame.opcode.name, bytes(frame.data)))
            continue
        opcode = opcode if frame.opcode is Opcode.CONT else frame.opcode
        content += frame.data
        if frame.fin:
            if opcode is Opcode.TEXT and not is_utf8(content):
                return result, True  # checked by the library only where a message is read
            result.append((opcode.name, content))
            content = b""
    if content and opcode is Opcode.TEXT and not is_utf8_beginning(content):
        return result, True
    return result, protocol.parser_exc is not None


def is_utf8(data: bytes) -> bool:
    try:
        data.decode()
    except UnicodeDecodeError:
        return False
    return True


def is_utf8_beginning(data: bytes) -> bool:
    return any(is_utf8(data[: len(data) - missing]) for missing in range(4))


@fuzz(st.sampled_from(list(Opcode)), st.binary(max_size=300), st.booleans(), st.binary(min_size=4, max_size=4))
def test_what_we_write_we_read(opcode: Opcode, payload: bytes, is_compressed: bool, mask: bytes) -> None:
    if opcode is Opcode.CONT:
        return
    if opcode in (Opcode.PING, Opcode.PONG):
        payload = payload[:125]
    if opcode is Opcode.CLOSE:
        payload = b"\x03\xe8"
    if opcode is Opcode.TEXT:
        payload = payload.decode("latin-1").encode()
    for data, is_masked in ((encode_frame(opcode, payload), False), (encode_masked_frame(opcode, payload, mask), True)):
        events, code = read([data], FrameReader(is_masked=is_masked))
        assert (frames_of(events), code) == ([(opcode.name, payload)], None)
    if opcode in (Opcode.TEXT, Opcode.BINARY):
        reader = FrameReader(is_masked=False, is_compressed=True)
        events, code = read([encode_compressed_message(opcode, payload)], reader)
        assert (frames_of(events), code) == ([(opcode.name, payload)], None)
        assert reader.is_idle
