"""What WebSocket clients speak: frames, compressed or not, and SockJS, inside of frames or over HTTP.

Whatever is meant for a client is put into its dialect, and of what is published there is one rendering a dialect, made
once for everybody who speaks it. So dialects are few, have no state, and are told apart by identity.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Protocol

from holdfast.errors import FrameError
from holdfast.grip.item import MessageKind
from holdfast.push.messages import encode_message
from holdfast.wire import sockjs
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.deflate import MessageDeflater
from holdfast.wire.websocket.frames import Opcode, encode_close, encode_frame
from holdfast.wire.websocket.stream import TOO_BIG, Data, Event, FrameReader, MessageReader

MAX_FRAME_BYTES = 400_000
"""Of a SockJS client's list of messages (routes spec §4.4)."""

MAX_QUEUED_BYTES = 200_000
"""What waits for a SockJS client over HTTP at most; more is the end of its session (routes spec §4.3)."""

_CONTROL = (MessageKind.PING, MessageKind.PONG)


class Reader(Protocol):
    """Makes events of what a client sends."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is kept, so that a new reader can take over."""
        ...

    def receive(self, data: bytes) -> Iterator[Event]:
        """What arrived with `data`; the iterator must be used up before the next call. Raises FrameError."""
        ...


class PieceEncoder(Protocol):
    """Encodes one message that comes in pieces."""

    def feed(self, data: Data) -> bytes:
        """What the client gets for the next piece, maybe nothing."""
        ...


class Dialect(Protocol):
    """One of them.

    Attributes:
        greeting: what the client gets first.
        heartbeat: what it gets every 25 seconds. Either may be empty.
    """

    greeting: bytes
    heartbeat: bytes

    def encode(self, kind: MessageKind, content: bytes) -> bytes:
        """A whole message, or a control frame; empty if there is no such thing."""
        ...

    def join(self, encoded: Sequence[bytes]) -> bytes:
        """One write of several that `encode` has made; empty ones are left out."""
        ...

    def encode_control(self, opcode: Opcode, payload: bytes) -> bytes:
        """A ping or pong of the backend."""
        ...

    def encode_close(self, status: CloseStatus) -> bytes:
        """The last that the client gets."""
        ...

    def piece_encoder(self) -> PieceEncoder:
        """For a message of the backend."""
        ...

    def reader(self, max_message_bytes: int | None) -> Reader:
        """For what the client sends.

        Args:
            max_message_bytes: only whole messages are wanted, up to that size; None takes pieces, too.
        """
        ...


class WebSocketDialect:
    """Frames of RFC 6455."""

    greeting = b""
    heartbeat = b""

    def __init__(self, *, is_compressed: bool) -> None:
        self._is_compressed = is_compressed

    def encode(self, kind: MessageKind, content: bytes) -> bytes:
        """See `Dialect`."""
        return encode_message(kind, content, is_compressed=self._is_compressed)

    def join(self, encoded: Sequence[bytes]) -> bytes:
        """See `Dialect`."""
        return encoded[0] if len(encoded) == 1 else b"".join(encoded)

    def encode_control(self, opcode: Opcode, payload: bytes) -> bytes:
        """See `Dialect`."""
        return encode_frame(opcode, payload)

    def encode_close(self, status: CloseStatus) -> bytes:
        """See `Dialect`."""
        return encode_close(status.code, status.reason)

    def piece_encoder(self) -> PieceEncoder:
        """See `Dialect`."""
        return _CompressedPieces() if self._is_compressed else _PLAIN_PIECES

    def reader(self, max_message_bytes: int | None) -> Reader:
        """See `Dialect`."""
        if max_message_bytes is None:
            return FrameReader(is_masked=True, is_compressed=self._is_compressed)
        return MessageReader(is_masked=True, is_compressed=self._is_compressed, max_message_bytes=max_message_bytes)


class SockJsDialect(WebSocketDialect):
    """SockJS frames in text messages. Control frames stay what they are: a ping is answered (routes spec §4.4)."""

    def __init__(self, *, is_compressed: bool) -> None:
        super().__init__(is_compressed=is_compressed)
        self.greeting = encode_frame(Opcode.TEXT, sockjs.OPEN)
        self.heartbeat = encode_frame(Opcode.TEXT, sockjs.HEARTBEAT)

    def encode(self, kind: MessageKind, content: bytes) -> bytes:
        """See `Dialect`."""
        if kind in _CONTROL:
            return super().encode(kind, content)
        return super().encode(MessageKind.TEXT, sockjs.encode_messages([content]))

    def piece_encoder(self) -> PieceEncoder:
        """See `Dialect`."""
        return _SockJsPieces(super().piece_encoder())

    def reader(self, max_message_bytes: int | None) -> Reader:
        """See `Dialect`."""
        return SockJsReader(super().reader(MAX_FRAME_BYTES), max_message_bytes)


class SockJsHttpDialect:
    """SockJS frames as they are; how they stand in a response depends on the request. Control frames do not exist."""

    greeting = sockjs.OPEN
    heartbeat = b""

    def encode(self, kind: MessageKind, content: bytes) -> bytes:
        """See `Dialect`."""
        return b"" if kind in _CONTROL else sockjs.encode_messages([content])

    def join(self, encoded: Sequence[bytes]) -> bytes:
        """See `Dialect`."""
        frames = [frame for frame in encoded if frame]
        return sockjs.join_messages(frames) if frames else b""

    def encode_control(self, opcode: Opcode, payload: bytes) -> bytes:
        """See `Dialect`."""
        return b""

    def encode_close(self, status: CloseStatus) -> bytes:
        """See `Dialect`."""
        return sockjs.encode_close(status.code, status.reason)

    def piece_encoder(self) -> PieceEncoder:
        """See `Dialect`."""
        return _WholeMessages()

    def reader(self, max_message_bytes: int | None) -> Reader:
        """See `Dialect`. What arrives is the list of one request."""
        return ListReader(max_message_bytes)


class ListReader:
    """Reads whole lists of messages, as they come with one request."""

    is_idle = True

    __slots__ = ("_max_message_bytes",)

    def __init__(self, max_message_bytes: int | None) -> None:
        self._max_message_bytes = min(max_message_bytes or sockjs.MAX_TEXT_BYTES, sockjs.MAX_TEXT_BYTES)

    def receive(self, data: bytes) -> Iterator[Event]:
        """The messages of a list. Raises FrameError before the first."""
        messages = sockjs.parse_messages(data, self._max_message_bytes)
        return iter([Data(Opcode.TEXT, message) for message in messages])


class SockJsReader:
    """Reads lists of messages that come in WebSocket messages, whatever their type; one too long is as bad as any."""

    __slots__ = ("_lists", "_messages")

    def __init__(self, messages: Reader, max_message_bytes: int | None) -> None:
        self._messages = messages
        self._lists = ListReader(max_message_bytes)

    @property
    def is_idle(self) -> bool:
        """See `Reader`."""
        return self._messages.is_idle

    def receive(self, data: bytes) -> Iterator[Event]:
        """See `Reader`."""
        try:
            for event in self._messages.receive(data):
                if isinstance(event, Data):
                    yield from self._lists.receive(event.payload)
                else:
                    yield event
        except FrameError as error:
            if error.code == TOO_BIG:
                raise FrameError(None, error.text) from error
            raise


class _PlainPieces:
    def feed(self, data: Data) -> bytes:
        opcode = data.opcode if data.is_first else Opcode.CONT
        return encode_frame(opcode, data.payload, is_final=data.is_last)


class _CompressedPieces:
    __slots__ = ("_deflater",)

    def __init__(self) -> None:
        self._deflater = MessageDeflater()

    def feed(self, data: Data) -> bytes:
        opcode = data.opcode if data.is_first else Opcode.CONT
        payload = self._deflater.feed(data.payload, is_last=data.is_last)
        return encode_frame(opcode, payload, is_final=data.is_last, is_compressed=data.is_first)


class _SockJsPieces:
    __slots__ = ("_frames", "_texts")

    def __init__(self, frames: PieceEncoder) -> None:
        self._texts = sockjs.PieceEncoder()
        self._frames = frames

    def feed(self, data: Data) -> bytes:
        text = self._texts.feed(data.payload, is_last=data.is_last)
        return self._frames.feed(Data(Opcode.TEXT, text, data.is_first, data.is_last))


class _WholeMessages:
    """Keeps a message until it is whole; one that is too long is given as far as it has come, to be refused."""

    __slots__ = ("_parts",)

    def __init__(self) -> None:
        self._parts = bytearray()

    def feed(self, data: Data) -> bytes:
        self._parts += data.payload
        if not data.is_last and len(self._parts) <= MAX_QUEUED_BYTES:
            return b""
        return sockjs.encode_messages([bytes(self._parts)])


_PLAIN_PIECES = _PlainPieces()

PLAIN = WebSocketDialect(is_compressed=False)
COMPRESSED = WebSocketDialect(is_compressed=True)
SOCKJS = SockJsDialect(is_compressed=False)
SOCKJS_COMPRESSED = SockJsDialect(is_compressed=True)
SOCKJS_HTTP = SockJsHttpDialect()
