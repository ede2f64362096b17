"""What a WebSocket peer sends: bytes to pieces of messages, and to control frames (RFC 6455 §5).

The reader does not wait for the end of a frame: what is longer than `PIECE_BYTES` comes in pieces of that size, so a
message of any length passes through in bounded memory. It is strict, since whatever it lets through reaches somebody
else: reserved bits, masking, fragmentation, control frames, UTF-8 of text, close codes.

Between messages a reader keeps nothing (`is_idle`): it can be thrown away, and a new one goes on.
"""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from dataclasses import dataclass

import websockets.frames

from holdfast.errors import FrameError
from holdfast.wire.websocket.close import CloseStatus, parse_close_payload
from holdfast.wire.websocket.deflate import MessageInflater
from holdfast.wire.websocket.frames import MAX_CONTROL_BYTES, Opcode

PIECE_BYTES = 16384
"""Longest piece of a message; a multiple of four, so that every piece begins at the beginning of the mask."""

PROTOCOL_ERROR = 1002
INVALID_DATA = 1007
TOO_BIG = 1009

_FIN = 0x80
_RSV1 = 0x40
_RSV = 0x70
_MASKED = 0x80
_SIZE = 0x7F
_CONTROL = 0x08
_OPCODE = 0x0F
_OPCODES = {opcode.value: opcode for opcode in Opcode}
_MAX_SIZE = 2**63 - 1


# The events are not frozen only because a frozen dataclass takes four times as long to build. Nobody changes them.
@dataclass(slots=True)
class Data:
    """A piece of a message; a short unfragmented message is one piece.

    opcode: TEXT or BINARY, of the whole message.
    is_fragmented: the message is spread over several frames.
    """

    opcode: Opcode
    payload: bytes
    is_first: bool = True
    is_last: bool = True
    is_fragmented: bool = False


@dataclass(slots=True)
class Ping:
    """A ping; the protocol leaves the answer to whoever is on the other side of the proxy."""

    payload: bytes


@dataclass(slots=True)
class Pong:
    """A pong, asked for or not."""

    payload: bytes


@dataclass(slots=True)
class Close:
    """The end of what the peer sends. `payload` is as received."""

    status: CloseStatus
    payload: bytes


Event = Data | Ping | Pong | Close


class FrameReader:
    """Reads the frames of one peer.

    Args:
        is_masked: the peer is a client, whose frames must be masked; a backend's must not be (§5.1).
        is_compressed: permessage-deflate is negotiated.
        max_message_bytes: of one message, inflated; None is "any", for messages that are passed on piece by piece.
    """

    __slots__ = (
        "_control",
        "_inflater",
        "_is_closed",
        "_is_compressed",
        "_is_final",
        "_is_first",
        "_is_fragmented",
        "_is_masked",
        "_mask",
        "_max_message_bytes",
        "_message_bytes",
        "_opcode",
        "_pending",
        "_remaining",
        "_text_tail",
    )

    def __init__(self, *, is_masked: bool, is_compressed: bool = False, max_message_bytes: int | None = None) -> None:
        self._is_masked = is_masked
        self._is_compressed = is_compressed
        self._max_message_bytes = max_message_bytes
        self._pending = b""
        self._is_closed = False
        # the frame whose header has been read
        self._control: Opcode | None = None
        self._remaining: int | None = None
        self._mask = b""
        self._is_final = True
        # the message that has begun
        self._opcode: Opcode | None = None
        self._is_first = True
        self._is_fragmented = False
        self._message_bytes = 0
        self._text_tail = b""
        self._inflater: MessageInflater | None = None

    @property
    def is_idle(self) -> bool:
        """Whether nothing of a frame or a message is kept, so that a new reader can take over."""
        return self._opcode is None and self._remaining is None and not self._pending and not self._is_closed

    def receive(self, data: bytes) -> Iterator[Event]:
        """What arrived with `data`, as far as it is complete. The iterator must be used up before the next call.

        An iterator, so that everything before a fault is acted on, and compressed data is inflated no faster than it is
        taken. Bytes behind a close frame are ignored (§1.4).

        Raises:
            FrameError: with the close code that fits; the reader is of no use any more.
        """
        if self._pending:
            data = self._pending + data
        position = 0
        while not self._is_closed:
            if self._remaining is None:
                payload_at = self._read_header(data, position)
                if payload_at < 0:
                    break
                position = payload_at
            assert self._remaining is not None
            size = min(self._remaining, PIECE_BYTES)
            if len(data) - position < size:
                break
            payload = data[position : position + size]
            position += size
            if self._is_masked:
                payload = websockets.frames.apply_mask(payload, self._mask)
            self._remaining = self._remaining - size or None
            if self._control is not None:
                yield self._read_control(payload)
            elif self._inflater is None:
                yield self._read_data(payload, is_last=self._is_final and self._remaining is None)
            else:
                yield from self._inflate(self._inflater, payload)
        self._pending = b"" if self._is_closed else data[position:]

    # --- headers ---------------------------------------------------------------------------------------------------

    def _read_header(self, data: bytes, position: int) -> int:
        """Read and check the header at `position`; returns where the payload begins, or -1 when it needs more bytes."""
        if len(data) - position < 2:
            return -1
        first, second = data[position], data[position + 1]
        opcode = _OPCODES.get(first & _OPCODE)
        if opcode is None:
            raise FrameError(PROTOCOL_ERROR, "unknown opcode")
        if (second & _MASKED != 0) is not self._is_masked:
            raise FrameError(PROTOCOL_ERROR, "frame is not masked" if self._is_masked else "frame is masked")
        if opcode & _CONTROL:
            self._check_control(first, second)
        else:
            self._check_data(first, opcode)
        size = second & _SIZE
        payload_at = position + 2
        if size > MAX_CONTROL_BYTES:
            payload_at += 2 if size == 126 else 8
            size = int.from_bytes(data[position + 2 : payload_at], "big")
        if self._is_masked:
            self._mask = data[payload_at : payload_at + 4]
            payload_at += 4
        if len(data) < payload_at:
            return -1
        self._begin_frame(first, opcode, size)
        return payload_at

    def _check_control(self, first: int, second: int) -> None:
        if first & _RSV:
            raise FrameError(PROTOCOL_ERROR, "reserved bit set")
        if not first & _FIN:
            raise FrameError(PROTOCOL_ERROR, "fragmented control frame")
        if second & _SIZE > MAX_CONTROL_BYTES:
            raise FrameError(PROTOCOL_ERROR, "control frame too long")

    def _check_data(self, first: int, opcode: Opcode) -> None:
        if opcode is Opcode.CONT:
            if self._opcode is None:
                raise FrameError(PROTOCOL_ERROR, "continuation of no message")
        elif self._opcode is not None:
            raise FrameError(PROTOCOL_ERROR, "message within a message")
        # The first frame of a message says whether the message is compressed (RFC 7692 §6).
        if first & _RSV and (first & _RSV != _RSV1 or not self._is_compressed or opcode is Opcode.CONT):
            raise FrameError(PROTOCOL_ERROR, "reserved bit set")

    def _begin_frame(self, first: int, opcode: Opcode, size: int) -> None:
        self._remaining = size
        if opcode & _CONTROL:
            self._control = opcode
            return
        self._control = None
        self._is_final = first & _FIN != 0
        if opcode is not Opcode.CONT:
            self._opcode = opcode
            self._is_fragmented = not self._is_final
            if first & _RSV1:
                self._inflater = MessageInflater(PIECE_BYTES)
        if size > _MAX_SIZE:
            raise FrameError(PROTOCOL_ERROR, "frame length out of range")
        if self._inflater is None:
            self._count(size)

    # --- payloads --------------------------------------------------------------------------------------------------

    def _read_control(self, payload: bytes) -> Event:
        if self._control is Opcode.PING:
            return Ping(payload)
        if self._control is Opcode.PONG:
            return Pong(payload)
        try:
            status = parse_close_payload(payload)
        except UnicodeDecodeError as exc:
            raise FrameError(INVALID_DATA, "close reason is not UTF-8") from exc
        if not status.has_valid_code:
            raise FrameError(PROTOCOL_ERROR, "close code out of range")
        self._is_closed = True
        return Close(status, payload)

    def _read_data(self, payload: bytes, *, is_last: bool) -> Data:
        """The next piece of the message, which ends with it if `is_last`."""
        assert self._opcode is not None
        if self._opcode is Opcode.TEXT and (self._text_tail or not payload.isascii()):
            self._check_text(payload, is_last=is_last)
        data = Data(self._opcode, payload, self._is_first, is_last, self._is_fragmented)
        self._is_first = is_last
        if is_last:
            self._opcode = None
            self._message_bytes = 0
            self._inflater = None
        return data

    def _inflate(self, inflater: MessageInflater, payload: bytes) -> Iterator[Data]:
        """What a piece of a compressed message becomes; each waits until it is clear whether it is the last."""
        is_last = self._is_final and self._remaining is None
        waiting: bytes | None = None
        try:
            for content in inflater.feed(payload, is_last=is_last):
                self._count(len(content))
                if waiting is not None:
                    yield self._read_data(waiting, is_last=False)
                waiting = content
        except ValueError as exc:
            raise FrameError(INVALID_DATA, "compressed data is damaged") from exc
        if waiting is not None or is_last:
            yield self._read_data(waiting or b"", is_last=is_last)

    def _count(self, size: int) -> None:
        self._message_bytes += size
        if self._max_message_bytes is not None and self._message_bytes > self._max_message_bytes:
            raise FrameError(TOO_BIG, f"message exceeds {self._max_message_bytes} bytes")

    def _check_text(self, payload: bytes, *, is_last: bool) -> None:
        """Text is UTF-8 as a whole: a character may be spread over frames (RFC 6455 §8.1)."""
        text = self._text_tail + payload
        try:
            _, checked = codecs.utf_8_decode(text, "strict", is_last)
        except UnicodeDecodeError as exc:
            raise FrameError(INVALID_DATA, "text is not UTF-8") from exc
        self._text_tail = text[checked:]


class MessageReader:
    """Reads whole messages of one peer; what a `FrameReader` says of `is_idle` and `receive` holds here too.

    Args:
        max_message_bytes: of one message, inflated.
    """

    __slots__ = ("_frames", "_parts")

    def __init__(self, *, is_masked: bool, max_message_bytes: int, is_compressed: bool = False) -> None:
        self._frames = FrameReader(
            is_masked=is_masked, is_compressed=is_compressed, max_message_bytes=max_message_bytes
        )
        # one buffer, because a list would grow with empty fragments that no limit counts
        self._parts = bytearray()

    @property
    def is_idle(self) -> bool:
        """Whether a new reader can take over."""
        return self._frames.is_idle

    def receive(self, data: bytes) -> Iterator[Event]:
        """Whole messages, as `Data` that is first and last, and control frames. Raises FrameError."""
        for event in self._frames.receive(data):
            if type(event) is not Data or (event.is_first and event.is_last):
                yield event
                continue
            self._parts += event.payload
            if event.is_last:
                message = Data(event.opcode, bytes(self._parts), is_fragmented=event.is_fragmented)
                self._parts.clear()
                yield message
