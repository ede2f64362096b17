"""What clients of WebSockets speak (routes spec §4.3, §4.4; ws spec §4.5)."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from holdfast.errors import FrameError
from holdfast.grip.item import MessageKind
from holdfast.push.dialects import (
    COMPRESSED,
    MAX_FRAME_BYTES,
    MAX_QUEUED_BYTES,
    PLAIN,
    SOCKJS,
    SOCKJS_COMPRESSED,
    SOCKJS_HTTP,
    Dialect,
)
from holdfast.wire.sockjs import MAX_TEXT_BYTES
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.frames import Opcode, encode_masked_frame
from holdfast.wire.websocket.stream import Data, Event, FrameReader, Ping, Pong

TEXT, BINARY, PING = MessageKind.TEXT, MessageKind.BINARY, MessageKind.PING
MASK = b"abcd"


def masked(payload: bytes, opcode: Opcode = Opcode.TEXT, *, is_final: bool = True) -> bytes:
    """A frame from a client."""
    return encode_masked_frame(opcode, payload, MASK, is_final=is_final)


def pieces(dialect: Dialect, opcode: Opcode, *payloads: bytes) -> list[bytes]:
    """What a client gets for a message of the backend that comes in pieces."""
    encoder = dialect.piece_encoder()
    last = len(payloads) - 1
    return [encoder.feed(Data(opcode, payload, number == 0, number == last)) for number, payload in enumerate(payloads)]


def message_in(frames: Iterable[bytes], *, is_compressed: bool) -> tuple[Opcode, bytes]:
    """The message that frames carry."""
    reader = FrameReader(is_masked=False, is_compressed=is_compressed)
    events = [event for frame in frames for event in reader.receive(frame)]
    assert all(isinstance(event, Data) for event in events)
    data = [event for event in events if isinstance(event, Data)]
    assert data[-1].is_last
    return data[0].opcode, b"".join(piece.payload for piece in data)


class TestWebSocket:
    def test_whole_messages(self) -> None:
        assert PLAIN.encode(TEXT, b"hi") == b"\x81\x02hi"
        assert PLAIN.encode(PING, b"hi") == b"\x89\x02hi"
        assert COMPRESSED.encode(BINARY, b"hi")[:1] == b"\xc2"
        assert COMPRESSED.encode(PING, b"hi") == b"\x89\x02hi"

    def test_joined(self) -> None:
        assert PLAIN.join([]) == b""
        assert PLAIN.join([b"one"]) == b"one"
        assert PLAIN.join([b"one", b"two"]) == b"onetwo"

    @pytest.mark.parametrize("dialect", [PLAIN, COMPRESSED])
    def test_control(self, dialect: Dialect) -> None:
        assert (dialect.greeting, dialect.heartbeat) == (b"", b"")
        assert dialect.encode_control(Opcode.PONG, b"p") == b"\x8a\x01p"
        assert dialect.encode_close(CloseStatus(4000, "x")) == b"\x88\x03\x0f\xa0x"
        assert dialect.encode_close(CloseStatus()) == b"\x88\x02\x03\xe8"

    @pytest.mark.parametrize("dialect", [PLAIN, COMPRESSED])
    def test_pieces(self, dialect: Dialect) -> None:
        frames = pieces(dialect, Opcode.BINARY, b"one", b"", b"two")
        assert len(frames) == 3
        assert message_in(frames, is_compressed=dialect is COMPRESSED) == (Opcode.BINARY, b"onetwo")

    def test_reading(self) -> None:
        parts = [masked(b"a", is_final=False), masked(b"b", Opcode.CONT)]
        whole, pieces = PLAIN.reader(100), PLAIN.reader(None)
        assert [event for part in parts for event in whole.receive(part)] == [
            Data(Opcode.TEXT, b"ab", is_fragmented=True)
        ]
        assert len([event for part in parts for event in pieces.receive(part)]) == 2
        with pytest.raises(FrameError):
            list(PLAIN.reader(2).receive(masked(b"abc")))


@pytest.mark.spec("routes-101")
class TestSockJs:
    def test_whole_messages(self) -> None:
        assert SOCKJS.encode(TEXT, b'say "hi"') == b'\x81\x0fa["say \\"hi\\""]'
        assert SOCKJS.encode(BINARY, b"\xff") == b'\x81\x08a["\xef\xbf\xbd"]'
        assert SOCKJS.encode(PING, b"p") == b"\x89\x01p"
        assert message_in([SOCKJS_COMPRESSED.encode(TEXT, b"hi")], is_compressed=True) == (Opcode.TEXT, b'a["hi"]')

    @pytest.mark.parametrize("dialect", [SOCKJS, SOCKJS_COMPRESSED])
    def test_what_is_no_message(self, dialect: Dialect) -> None:
        """There is no `c` frame."""
        assert (dialect.greeting, dialect.heartbeat) == (b"\x81\x01o", b"\x81\x01h")
        assert dialect.encode_close(CloseStatus(4000, "x")) == b"\x88\x03\x0f\xa0x"

    @pytest.mark.parametrize("dialect", [SOCKJS, SOCKJS_COMPRESSED])
    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
    def test_pieces(self, dialect: Dialect, opcode: Opcode) -> None:
        """A message of any length passes through; a character may be spread over pieces."""
        frames = pieces(dialect, opcode, b"one\xc3", b"\xb6", b"", b'"\xff')
        assert len(frames) == 4
        expected = (Opcode.TEXT, 'a["oneö\\"\ufffd"]'.encode())
        assert message_in(frames, is_compressed=dialect is SOCKJS_COMPRESSED) == expected

    @pytest.mark.parametrize("limit", [None, MAX_TEXT_BYTES])
    def test_reading(self, limit: int | None) -> None:
        sent = [
            masked(b'["a","b"]'),
            masked(b"p", Opcode.PING),
            masked(b"[]"),
            masked(b'["c', is_final=False),
            masked(b'"]', Opcode.CONT),
            masked(b'["d"]', Opcode.BINARY),
        ]
        reader = SOCKJS.reader(limit)
        assert list(reader.receive(b"".join(sent))) == [
            Data(Opcode.TEXT, b"a"),
            Data(Opcode.TEXT, b"b"),
            Ping(b"p"),
            Data(Opcode.TEXT, b"c"),
            Data(Opcode.TEXT, b"d"),
        ]
        assert reader.is_idle
        assert list(reader.receive(sent[0][:3])) == []
        assert not reader.is_idle

    @pytest.mark.parametrize("content", [b"", b'"x"', b"[1]", b"x", b"\xff"])
    def test_what_drops_a_client(self, content: bytes) -> None:
        """Without a word, but what came before it counts."""
        events: list[Event] = []
        with pytest.raises(FrameError) as caught:
            for event in SOCKJS.reader(None).receive(masked(b'["a"]') + masked(content, Opcode.BINARY)):
                events.append(event)  # noqa: PERF402 -- what comes before the error matters
        assert (caught.value.code, events) == (None, [Data(Opcode.TEXT, b"a")])

    def test_limits(self) -> None:
        texts = b'["%b"]' % (b"x" * MAX_TEXT_BYTES)
        (event,) = SOCKJS.reader(None).receive(masked(texts))
        assert isinstance(event, Data)
        assert len(event.payload) == MAX_TEXT_BYTES
        for data, limit in ((b'["x%b' % texts[2:], None), (b'["xxx"]', 2)):
            with pytest.raises(FrameError) as caught:
                list(SOCKJS.reader(limit).receive(masked(data)))
            assert caught.value.code is None
        with pytest.raises(FrameError) as caught:
            list(SOCKJS.reader(None).receive(masked(b" " * (MAX_FRAME_BYTES + 1))))
        assert caught.value.code is None
        with pytest.raises(FrameError) as caught:
            list(SOCKJS.reader(None).receive(b"\x81\x00"))
        assert caught.value.code == 1002


class TestSockJsHttp:
    def test_messages(self) -> None:
        assert SOCKJS_HTTP.encode(TEXT, b"hi") == SOCKJS_HTTP.encode(BINARY, b"hi") == b'a["hi"]'
        assert SOCKJS_HTTP.encode(PING, b"hi") == SOCKJS_HTTP.encode_control(Opcode.PONG, b"hi") == b""

    def test_what_is_no_message(self) -> None:
        assert (SOCKJS_HTTP.greeting, SOCKJS_HTTP.heartbeat) == (b"o", b"")
        assert SOCKJS_HTTP.encode_close(CloseStatus(4000, "x")) == b'c[4000,"x"]'
        assert SOCKJS_HTTP.encode_close(CloseStatus()) == b'c[0,"Connection closed"]'

    def test_joined(self) -> None:
        assert SOCKJS_HTTP.join([b'a["1"]', b"", b'a["2","3"]']) == b'a["1","2","3"]'
        assert SOCKJS_HTTP.join([b'a["1"]']) == b'a["1"]'
        assert SOCKJS_HTTP.join([b""]) == SOCKJS_HTTP.join([]) == b""

    def test_pieces_are_kept_until_the_message_is_whole(self) -> None:
        assert pieces(SOCKJS_HTTP, Opcode.TEXT, b"one\xc3", b"", b"\xb6") == [b"", b"", 'a["oneö"]'.encode()]

    def test_what_is_too_long_is_not_kept(self) -> None:
        half = b"x" * (MAX_QUEUED_BYTES // 2 + 1)
        first, second = pieces(SOCKJS_HTTP, Opcode.TEXT, half, half, b"")[:2]
        assert first == b""
        assert len(second) > MAX_QUEUED_BYTES

    def test_reading(self) -> None:
        reader = SOCKJS_HTTP.reader(None)
        assert list(reader.receive(b'["a",""]')) == [Data(Opcode.TEXT, b"a"), Data(Opcode.TEXT, b"")]
        assert reader.is_idle
        with pytest.raises(FrameError, match="Payload expected"):
            reader.receive(b"a")


def test_pongs_are_no_messages() -> None:
    assert list(SOCKJS.reader(None).receive(masked(b"p", Opcode.PONG))) == [Pong(b"p")]
