"""What peers send: however their bytes are cut, the same events come out, and the same fault behind them."""

from __future__ import annotations

import itertools
import tracemalloc
import zlib
from collections.abc import Iterable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import PerMessageDeflate
from websockets.frames import Frame
from websockets.protocol import Protocol, Side

from holdfast.errors import FrameError
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import PIECE_BYTES, Close, Data, Event, FrameReader, MessageReader, Ping, Pong

CONT, TEXT, BINARY = Opcode.CONT, Opcode.TEXT, Opcode.BINARY
FIN, RSV1, RSV2, RSV3 = 0x80, 0x40, 0x20, 0x10
CLOSE, PING, PONG = FIN | 8, FIN | 9, FIN | 10
MASK = b"\x0a\xf1\x00\x5c"

RawFrame = tuple[int, bytes]
"""First byte and payload."""


def encode(frames: Iterable[RawFrame], *, is_masked: bool) -> bytes:
    return b"".join(encode_one(first, payload, is_masked=is_masked) for first, payload in frames)


def encode_one(first: int, payload: bytes, *, is_masked: bool) -> bytes:
    size = len(payload)
    bit = 0x80 if is_masked else 0
    if size < 126:
        head = bytes([first, bit | size])
    elif size < 65536:
        head = bytes([first, bit | 126]) + size.to_bytes(2, "big")
    else:
        head = bytes([first, bit | 127]) + size.to_bytes(8, "big")
    if not is_masked:
        return head + payload
    return head + MASK + bytes(byte ^ mask for byte, mask in zip(payload, itertools.cycle(MASK), strict=False))


def deflate(payload: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(payload) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


def each_byte(data: bytes) -> list[bytes]:
    return [bytes([byte]) for byte in data]


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[begin:end] for begin, end in itertools.pairwise(edges)]


def read(reader: FrameReader | MessageReader, pieces: Iterable[bytes]) -> tuple[list[Event], int | None]:
    """The events, and the code of the fault that ended them, if any."""
    events: list[Event] = []
    try:
        for piece in pieces:
            events.extend(reader.receive(piece))
    except FrameError as fault:
        return events, fault.code
    return events, None


def first(payload: bytes, opcode: Opcode = TEXT) -> Data:
    return Data(opcode, payload, True, False, True)


def middle(payload: bytes, opcode: Opcode = TEXT) -> Data:
    return Data(opcode, payload, False, False, True)


def last(payload: bytes, opcode: Opcode = TEXT) -> Data:
    return Data(opcode, payload, False, True, True)


LONG = bytes(range(256)) * 300
PIECES = [LONG[start : start + PIECE_BYTES] for start in range(0, len(LONG), PIECE_BYTES)]

VALID: list[tuple[str, list[RawFrame], list[Event]]] = [
    ("nothing", [], []),
    ("text", [(FIN | 1, b"hello")], [Data(TEXT, b"hello")]),
    ("binary", [(FIN | 2, b"\xff\0")], [Data(BINARY, b"\xff\0")]),
    ("empty text", [(FIN | 1, b"")], [Data(TEXT, b"")]),
    ("text in UTF-8", [(FIN | 1, "é€𝄞".encode())], [Data(TEXT, "é€𝄞".encode())]),
    ("two messages", [(FIN | 1, b"a"), (FIN | 2, b"b")], [Data(TEXT, b"a"), Data(BINARY, b"b")]),
    ("longest short length", [(FIN | 2, b"x" * 125)], [Data(BINARY, b"x" * 125)]),
    ("16 bits of length", [(FIN | 2, b"x" * 126)], [Data(BINARY, b"x" * 126)]),
    ("one whole piece", [(FIN | 2, b"x" * PIECE_BYTES)], [Data(BINARY, b"x" * PIECE_BYTES)]),
    (
        "64 bits of length, in pieces",
        [(FIN | 2, LONG)],
        [Data(BINARY, piece, piece is PIECES[0], piece is PIECES[-1], False) for piece in PIECES],
    ),
    ("fragments", [(1, b"a"), (0, b"b"), (FIN, b"c")], [first(b"a"), middle(b"b"), last(b"c")]),
    (
        "character across fragments",
        [(1, b"\xf0\x9d"), (0, b""), (0, b"\x84"), (FIN, b"\x9e!")],
        [first(b"\xf0\x9d"), middle(b""), middle(b"\x84"), last(b"\x9e!")],
    ),
    (
        "empty fragments",
        [(2, b""), (0, b""), (FIN, b"")],
        [first(b"", BINARY), middle(b"", BINARY), last(b"", BINARY)],
    ),
    ("ping and pong", [(PING, b"a"), (PONG, b""), (PING, b"x" * 125)], [Ping(b"a"), Pong(b""), Ping(b"x" * 125)]),
    (
        "control frames between fragments",
        [(1, b"a"), (PING, b"p"), (PONG, b"q"), (FIN, b"b")],
        [first(b"a"), Ping(b"p"), Pong(b"q"), last(b"b")],
    ),
]

CLOSED: list[tuple[str, list[RawFrame], list[Event]]] = [
    ("close without a code", [(CLOSE, b"")], [Close(NO_STATUS, b"")]),
    ("close with half a code", [(CLOSE, b"\x03")], [Close(NO_STATUS, b"\x03")]),
    ("close", [(CLOSE, b"\x03\xe8bye")], [Close(CloseStatus(1000, "bye"), b"\x03\xe8bye")]),
    ("private code", [(CLOSE, b"\x0f\xa0")], [Close(CloseStatus(4000), b"\x0f\xa0")]),
    ("close within a message", [(1, b"a"), (CLOSE, b"")], [first(b"a"), Close(NO_STATUS, b"")]),
    ("anything behind a close", [(CLOSE, b""), (0x83, b"x"), (0, b"")], [Close(NO_STATUS, b"")]),
]


@pytest.mark.parametrize("is_masked", [True, False], ids=["client", "backend"])
@pytest.mark.parametrize(
    ("frames", "events"), [case[1:] for case in VALID + CLOSED], ids=[case[0] for case in VALID + CLOSED]
)
def test_frames(frames: list[RawFrame], events: list[Event], is_masked: bool) -> None:
    data = encode(frames, is_masked=is_masked)
    for pieces in ([data], each_byte(data), [data + b"\x81"], [*each_byte(data), b"\x81"]):
        assert read(FrameReader(is_masked=is_masked), pieces) == (events, None)


@pytest.mark.parametrize("frames", [case[1] for case in VALID], ids=[case[0] for case in VALID])
def test_idle_at_message_boundaries_only(frames: list[RawFrame]) -> None:
    """Whoever is thrown away when idle and made anew reads the same as the one that stays."""
    stays, anew = FrameReader(is_masked=True), FrameReader(is_masked=True)
    is_within = False
    assert stays.is_idle
    for raw in frames:
        for byte in each_byte(encode([raw], is_masked=True)):
            events = list(stays.receive(byte))
            assert events == list(anew.receive(byte))
            for event in events:
                if isinstance(event, Data):
                    is_within = not event.is_last
            if anew.is_idle:
                anew = FrameReader(is_masked=True)
            if not events:
                assert not stays.is_idle
        assert stays.is_idle is not is_within


@pytest.mark.parametrize("frames", [case[1] for case in CLOSED], ids=[case[0] for case in CLOSED])
def test_closed_is_not_idle_and_keeps_nothing(frames: list[RawFrame]) -> None:
    reader = FrameReader(is_masked=False)
    list(reader.receive(encode(frames, is_masked=False)))
    assert not reader.is_idle
    assert list(reader.receive(b"\x81\x01a")) == []
    assert reader._pending == b""


FAULTS: list[tuple[str, list[RawFrame], list[Event], int]] = [
    ("opcode 3", [(FIN | 3, b"")], [], 1002),
    ("opcode 7", [(FIN | 7, b"x")], [], 1002),
    ("opcode 11", [(FIN | 11, b"x")], [], 1002),
    ("opcode 15", [(FIN | 15, b"")], [], 1002),
    ("RSV1 without compression", [(FIN | RSV1 | 1, b"x")], [], 1002),
    ("RSV2", [(FIN | RSV2 | 1, b"x")], [], 1002),
    ("RSV3", [(FIN | RSV3 | 2, b"x")], [], 1002),
    ("RSV1 of a ping", [(RSV1 | PING, b"x")], [], 1002),
    ("continuation of nothing", [(FIN, b"x")], [], 1002),
    ("continuation behind a message", [(FIN | 1, b"a"), (0, b"x")], [Data(TEXT, b"a")], 1002),
    ("text within a message", [(1, b"a"), (FIN | 1, b"b")], [first(b"a")], 1002),
    ("binary within a message", [(1, b"a"), (2, b"b")], [first(b"a")], 1002),
    ("long ping", [(PING, b"x" * 126)], [], 1002),
    ("very long close", [(CLOSE, b"x" * 70000)], [], 1002),
    ("fragmented ping", [(9, b"x")], [], 1002),
    ("fragmented close", [(8, b"")], [], 1002),
    ("close code 999", [(CLOSE, b"\x03\xe7")], [], 1002),
    ("close code 1004", [(CLOSE, b"\x03\xec")], [], 1002),
    ("close code 1005", [(CLOSE, b"\x03\xed")], [], 1002),
    ("close code 1006", [(CLOSE, b"\x03\xee")], [], 1002),
    ("close code 1015", [(CLOSE, b"\x03\xf7")], [], 1002),
    ("close code 2999", [(CLOSE, b"\x0b\xb7")], [], 1002),
    ("close code 5000", [(CLOSE, b"\x13\x88")], [], 1002),
    ("close reason in Latin-1", [(CLOSE, b"\x03\xe8\xe9")], [], 1007),
    ("text in Latin-1", [(FIN | 1, b"\xe9t")], [], 1007),
    ("surrogate", [(FIN | 1, b"\xed\xa0\x80")], [], 1007),
    ("character cut short", [(FIN | 1, b"a\xc3")], [], 1007),
    ("character cut short in the last fragment", [(1, b"a\xc3"), (FIN, b"")], [first(b"a\xc3")], 1007),
    ("character not continued", [(1, b"\xc3"), (0, b"a"), (FIN, b"")], [first(b"\xc3")], 1007),
    ("events before a fault", [(PING, b""), (FIN | 1, b"a"), (0x83, b"")], [Ping(b""), Data(TEXT, b"a")], 1002),
]


@pytest.mark.parametrize("is_masked", [True, False], ids=["client", "backend"])
@pytest.mark.parametrize(("frames", "events", "code"), [case[1:] for case in FAULTS], ids=[case[0] for case in FAULTS])
def test_faults(frames: list[RawFrame], events: list[Event], code: int, is_masked: bool) -> None:
    """RFC 6455 §5.2, §5.4, §5.5, §7.4, §8.1."""
    data = encode(frames, is_masked=is_masked)
    for pieces in ([data], each_byte(data), [data + b"\x81\x01a"]):
        assert read(FrameReader(is_masked=is_masked), pieces) == (events, code)


def test_whole_messages_are_not_compressed_without_negotiation() -> None:
    data = encode([(FIN | RSV1 | 1, deflate(b"x"))], is_masked=True)
    assert read(MessageReader(is_masked=True, max_message_bytes=10), [data]) == ([], 1002)


@pytest.mark.parametrize("is_masked", [True, False], ids=["client", "backend"])
def test_masking_must_fit_the_role(is_masked: bool) -> None:
    """RFC 6455 §5.1."""
    data = encode([(FIN | 1, b"x")], is_masked=not is_masked)
    assert read(FrameReader(is_masked=is_masked), [data]) == ([], 1002)
    assert read(FrameReader(is_masked=is_masked), each_byte(data)) == ([], 1002)


def test_length_over_63_bits() -> None:
    """RFC 6455 §5.2."""
    assert read(FrameReader(is_masked=False), [b"\x82\x7f" + b"\xff" * 8]) == ([], 1002)
    assert read(FrameReader(is_masked=False), [b"\x82\x7f\x7f" + b"\xff" * 7]) == ([], None)


def test_faults_have_a_text() -> None:
    with pytest.raises(FrameError, match=r"^unknown opcode$") as caught:
        list(FrameReader(is_masked=False).receive(b"\x83\x00"))
    assert (caught.value.code, caught.value.text) == (1002, "unknown opcode")


# --- limits --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader_class", [FrameReader, MessageReader])
def test_message_limit(reader_class: type[FrameReader | MessageReader]) -> None:
    def result(*frames: RawFrame) -> int | None:
        return read(reader_class(is_masked=True, max_message_bytes=200_000), [encode(frames, is_masked=True)])[1]

    assert result((FIN | 2, b"x" * 200_000), (FIN | 2, b"x" * 200_000)) is None
    assert result((FIN | 2, b"x" * 200_001)) == 1009
    assert result((2, b"x" * 100_000), (PING, b"x"), (FIN, b"x" * 100_000)) is None
    assert result((2, b"x" * 100_000), (PING, b"x"), (0, b"x" * 100_001)) == 1009


def test_message_limit_is_applied_to_what_is_announced() -> None:
    data = encode_one(FIN | 2, b"x" * 200_001, is_masked=True)
    assert read(FrameReader(is_masked=True, max_message_bytes=200_000), [data[:14]]) == ([], 1009)


def test_a_frame_without_end_takes_no_memory() -> None:
    """ws spec §4.3: passed on in pieces, whatever its length."""
    reader = FrameReader(is_masked=False)
    assert list(reader.receive(b"\x82\x7f" + (2**40).to_bytes(8, "big"))) == []
    piece = b"x" * 65_000
    tracemalloc.start()
    for _ in range(200):
        for event in reader.receive(piece):
            assert isinstance(event, Data) and len(event.payload) == PIECE_BYTES and not event.is_last
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 400_000
    assert len(reader._pending) < PIECE_BYTES


# --- whole messages ------------------------------------------------------------------------------------------------

WHOLE: list[tuple[str, list[RawFrame], list[Event]]] = [
    ("one frame", [(FIN | 1, b"a")], [Data(TEXT, b"a")]),
    ("fragments", [(1, b"a"), (0, b""), (FIN, b"c")], [Data(TEXT, b"ac", is_fragmented=True)]),
    ("pieces of one frame", [(FIN | 2, LONG)], [Data(BINARY, LONG)]),
    (
        "control frames come first",
        [(1, b"a"), (PING, b"p"), (FIN, b"b"), (FIN | 2, b"c")],
        [Ping(b"p"), Data(TEXT, b"ab", is_fragmented=True), Data(BINARY, b"c")],
    ),
    (
        "one after the other",
        [(2, b"a"), (FIN, b"b"), (1, b"c"), (FIN, b"d")],
        [Data(BINARY, b"ab", is_fragmented=True), Data(TEXT, b"cd", is_fragmented=True)],
    ),
    ("cut short by a close", [(1, b"a"), (CLOSE, b"")], [Close(NO_STATUS, b"")]),
]


@pytest.mark.parametrize(("frames", "events"), [case[1:] for case in WHOLE], ids=[case[0] for case in WHOLE])
def test_whole_messages(frames: list[RawFrame], events: list[Event]) -> None:
    data = encode(frames, is_masked=True)
    for pieces in ([data], each_byte(data), [data + b"\x81"]):
        assert read(MessageReader(is_masked=True, max_message_bytes=100_000), pieces) == (events, None)


def test_whole_messages_idle() -> None:
    reader = MessageReader(is_masked=False, max_message_bytes=10)
    assert reader.is_idle
    list(reader.receive(b"\x01\x01a"))
    assert not reader.is_idle
    list(reader.receive(b"\x80\x00"))
    assert reader.is_idle


def test_empty_fragments_without_end_take_no_memory() -> None:
    reader = MessageReader(is_masked=False, max_message_bytes=10)
    list(reader.receive(b"\x01\x00"))
    fragments = b"\x00\x00" * 1000
    tracemalloc.start()
    for _ in range(20):
        assert list(reader.receive(fragments)) == []
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert kept < 5000


# --- compression ---------------------------------------------------------------------------------------------------

BODY = b'{"n": 1, "text": "' + b"abc " * 50 + b'"}'
PACKED = deflate(BODY)
TEXT_ACROSS = deflate("é€".encode() * 20_000)
FINAL = zlib.compressobj(wbits=-15)
FINAL_BLOCK = FINAL.compress(b"Hello") + FINAL.flush()

COMPRESSED: list[tuple[str, list[RawFrame], list[tuple[Opcode, bytes]]]] = [
    ("example of RFC 7692 §7.2.3.1", [(FIN | RSV1 | 1, bytes.fromhex("f248cdc9c90700"))], [(TEXT, b"Hello")]),
    (
        "example in fragments, §7.2.3.1",
        [(RSV1 | 1, bytes.fromhex("f248cd")), (FIN, bytes.fromhex("c9c90700"))],
        [(TEXT, b"Hello")],
    ),
    ("without compression, §7.2.3.3", [(FIN | RSV1 | 1, bytes.fromhex("000500faff48656c6c6f00"))], [(TEXT, b"Hello")]),
    ("final block, §7.2.3.4", [(FIN | RSV1 | 1, bytes.fromhex("f348cdc9c9070000"))], [(TEXT, b"Hello")]),
    ("final block and nothing behind it", [(FIN | RSV1 | 1, FINAL_BLOCK)], [(TEXT, b"Hello")]),
    ("two blocks, §7.2.3.5", [(FIN | RSV1 | 1, bytes.fromhex("f248050000 00ffffcac9c90700"))], [(TEXT, b"Hello")]),
    ("empty", [(FIN | RSV1 | 2, deflate(b""))], [(BINARY, b"")]),
    (
        "not compressed this time",
        [(FIN | 1, b"a"), (FIN | RSV1 | 2, PACKED), (FIN | 1, b"b"), (RSV1 | 2, PACKED), (FIN, b""), (FIN | 1, b"c")],
        [(TEXT, b"a"), (BINARY, BODY), (TEXT, b"b"), (BINARY, BODY), (TEXT, b"c")],
    ),
    ("two messages without takeover", [(FIN | RSV1 | 1, PACKED)] * 2, [(TEXT, BODY)] * 2),
    (
        "fragments of every size",
        [(RSV1 | 2, PACKED[:1]), (0, b""), (0, PACKED[1:2]), (0, PACKED[2:9]), (FIN, PACKED[9:])],
        [(BINARY, BODY)],
    ),
    ("empty last fragment", [(RSV1 | 2, PACKED), (FIN, b"")], [(BINARY, BODY)]),
    ("several steps", [(FIN | RSV1 | 1, TEXT_ACROSS)], [(TEXT, "é€".encode() * 20_000)]),
    ("exactly one step", [(FIN | RSV1 | 2, deflate(b"x" * PIECE_BYTES))], [(BINARY, b"x" * PIECE_BYTES)]),
    ("exactly two steps", [(FIN | RSV1 | 2, deflate(b"x" * 2 * PIECE_BYTES))], [(BINARY, b"x" * 2 * PIECE_BYTES)]),
]


@pytest.mark.parametrize(
    ("frames", "messages"), [case[1:] for case in COMPRESSED], ids=[case[0] for case in COMPRESSED]
)
def test_compressed(frames: list[RawFrame], messages: list[tuple[Opcode, bytes]]) -> None:
    data = encode(frames, is_masked=True)
    pings = encode([(PING, b"p")], is_masked=True)
    for pieces in ([data + pings], each_byte(data + pings)):
        reader = MessageReader(is_masked=True, is_compressed=True, max_message_bytes=200_000)
        events, code = read(reader, pieces)
        assert code is None and reader.is_idle
        assert [(event.opcode, event.payload) for event in events if isinstance(event, Data)] == messages
        assert events[-1] == Ping(b"p")


def test_compressed_pieces_come_as_they_arrive() -> None:
    reader = FrameReader(is_masked=False, is_compressed=True)
    compressor = zlib.compressobj(wbits=-15)
    one = compressor.compress(b"one ") + compressor.flush(zlib.Z_SYNC_FLUSH)
    two = compressor.compress(b"two") + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert list(reader.receive(encode([(RSV1 | 1, one)], is_masked=False))) == [first(b"one ")]
    assert not reader.is_idle
    assert list(reader.receive(encode([(FIN, two[:-4])], is_masked=False))) == [last(b"two")]


COMPRESSED_FAULTS: list[tuple[str, list[RawFrame], int]] = [
    ("no deflate data", [(FIN | RSV1 | 1, b"\xff\xff\xff")], 1007),
    ("RSV1 of a continuation", [(RSV1 | 1, b""), (FIN | RSV1, b"")], 1002),
    ("RSV1 and RSV2", [(FIN | RSV1 | RSV2 | 1, b"")], 1002),
    ("RSV1 of a pong", [(RSV1 | PONG, b"")], 1002),
    ("not UTF-8", [(FIN | RSV1 | 1, deflate(b"\xff"))], 1007),
    ("more behind the final block", [(FIN | RSV1 | 1, FINAL_BLOCK + b"\0\0\0")], 1007),
    ("much more behind the final block", [(RSV1 | 1, FINAL_BLOCK), (0, b"\0" * 9), (FIN, b"")], 1007),
    ("one byte over the limit", [(FIN | RSV1 | 2, deflate(b"x" * 200_001))], 1009),
    ("over the limit in fragments", [(RSV1 | 2, deflate(b"x" * 200_000) + b"\0\0\xff\xff"), (FIN, PACKED)], 1009),
    ("over the limit beside compression", [(FIN | 2, b"x" * 200_001)], 1009),
]


@pytest.mark.parametrize(
    ("frames", "code"), [case[1:] for case in COMPRESSED_FAULTS], ids=[case[0] for case in COMPRESSED_FAULTS]
)
def test_compressed_faults(frames: list[RawFrame], code: int) -> None:
    data = encode(frames, is_masked=True)
    for pieces in ([data], each_byte(data)):
        reader = MessageReader(is_masked=True, is_compressed=True, max_message_bytes=200_000)
        assert read(reader, pieces) == ([], code)


def test_a_bomb_is_inflated_no_faster_than_it_is_taken() -> None:
    bomb = encode([(FIN | RSV1 | 2, deflate(b"\0" * 50_000_000))], is_masked=False)
    reader = FrameReader(is_masked=False, is_compressed=True)
    tracemalloc.start()
    size = sum(len(event.payload) for event in reader.receive(bomb) if isinstance(event, Data))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size == 50_000_000
    assert peak < 400_000


def test_a_bomb_is_cut_at_the_limit() -> None:
    bomb = encode([(FIN | RSV1 | 2, deflate(b"\0" * 50_000_000))], is_masked=False)
    reader = MessageReader(is_masked=False, is_compressed=True, max_message_bytes=100_000)
    tracemalloc.start()
    assert read(reader, [bomb]) == ([], 1009)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 600_000


# --- properties ----------------------------------------------------------------------------------------------------

PLACES = st.lists(st.integers(0, 70_000), max_size=8)
CONTROL = st.tuples(st.sampled_from([PING, PONG]), st.binary(max_size=125))
PAYLOADS = st.binary(max_size=300) | st.integers(0, 40_000).map(lambda size: b"\xc3\xa9" * (size // 2))


@st.composite
def messages(draw: st.DrawFn) -> list[RawFrame]:
    """The frames of one valid message, with control frames between."""
    is_text = draw(st.booleans())
    payload = draw(st.text(max_size=80)).encode() if is_text else draw(PAYLOADS)
    fragments = cut(payload, draw(st.lists(st.integers(0, 300), max_size=4)))
    frames: list[RawFrame] = []
    for number, fragment in enumerate(fragments):
        opcode = 0 if number else 1 if is_text else 2
        frames += draw(st.lists(CONTROL, max_size=1))
        frames.append((opcode | (FIN if number == len(fragments) - 1 else 0), fragment))
    return frames


STREAMS = st.lists(messages(), max_size=4).map(lambda parts: [frame for part in parts for frame in part])
CLOSES = st.sampled_from([b"", b"\x03\xe8", b"\x0f\xa0bye", b"\x03\xf4" + "é".encode()]).map(lambda p: [(CLOSE, p)])


def joined(events: Iterable[Event]) -> Iterator[tuple[object, bytes]]:
    """Whole messages as (opcode, payload), control frames as (type, payload)."""
    payload = b""
    for event in events:
        if not isinstance(event, Data):
            yield type(event), event.payload
            continue
        payload += event.payload
        if event.is_last:
            yield event.opcode, payload
            payload = b""


def by_the_library(data: bytes, *, is_masked: bool) -> list[tuple[object, bytes]]:
    protocol = Protocol(Side.SERVER if is_masked else Side.CLIENT, max_size=None)
    protocol.receive_data(data)
    events: list[tuple[object, bytes]] = []
    opcode, payload = TEXT, b""
    for frame in protocol.events_received():
        assert isinstance(frame, Frame)
        if frame.opcode in (Opcode.PING, Opcode.PONG, Opcode.CLOSE):
            kind = {Opcode.PING: Ping, Opcode.PONG: Pong, Opcode.CLOSE: Close}[frame.opcode]
            events.append((kind, bytes(frame.data)))
            continue
        if frame.opcode is not CONT:
            opcode, payload = frame.opcode, b""
        payload += bytes(frame.data)
        if frame.fin:
            events.append((opcode, payload))
    assert protocol.parser_exc is None
    return events


@given(STREAMS, st.just([]) | CLOSES, PLACES, st.booleans())
def test_the_library_reads_the_same(
    frames: list[RawFrame], close: list[RawFrame], places: list[int], is_masked: bool
) -> None:
    data = encode(frames + close, is_masked=is_masked)
    expected = by_the_library(data, is_masked=is_masked)
    pieces = cut(data, places)
    in_pieces, code = read(FrameReader(is_masked=is_masked), pieces)
    assert (list(joined(in_pieces)), code) == (expected, None)
    whole, code = read(MessageReader(is_masked=is_masked, max_message_bytes=50_000), pieces)
    assert (list(joined(whole)), code) == (expected, None)


@given(STREAMS, PLACES)
def test_any_cutting_gives_the_same_events(frames: list[RawFrame], places: list[int]) -> None:
    data = encode(frames, is_masked=True)
    reader = FrameReader(is_masked=True)
    assert read(reader, cut(data, places)) == read(FrameReader(is_masked=True), [data])
    assert reader.is_idle


@given(st.lists(st.sampled_from([b"\x81\x80", b"\x01\x82", b"\x80\x80", b"\xc1\x85"]) | st.binary(max_size=9)), PLACES)
def test_any_cutting_of_anything_gives_the_same_outcome(parts: list[bytes], places: list[int]) -> None:
    data = b"".join(parts)
    readers = [FrameReader(is_masked=True, is_compressed=True, max_message_bytes=1000) for _ in range(2)]
    assert read(readers[0], cut(data, places)) == read(readers[1], [data])


@given(st.lists(st.tuples(PAYLOADS, st.lists(st.integers(0, 300), max_size=3)), max_size=3), PLACES)
def test_what_the_library_compresses(contents: list[tuple[bytes, list[int]]], places: list[int]) -> None:
    """Sent as a client does with whom no context takeover was negotiated."""
    extension = PerMessageDeflate(True, True, 15, 12)
    data = b""
    for payload, fragments in contents:
        parts = cut(payload, fragments)
        for number, part in enumerate(parts):
            frame = Frame(CONT if number else BINARY, part, fin=number == len(parts) - 1)
            data += frame.serialize(mask=True, extensions=[extension])
    reader = FrameReader(is_masked=True, is_compressed=True)
    events, code = read(reader, cut(data, places))
    assert (list(joined(events)), code) == ([(BINARY, payload) for payload, _ in contents], None)
    assert reader.is_idle
