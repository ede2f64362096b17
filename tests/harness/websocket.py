"""One end of a WebSocket on a raw connection: frames go out byte for byte as a test writes them, and come in whole.

Nothing is answered by itself: no pong, no close. The backend's end is the same class; it only does not mask.
"""

from __future__ import annotations

import base64
import hashlib
import os
import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import IntEnum

from tests.harness.client import DEFAULT_TIMEOUT_S, ClosedByServer, RawClient, RawConnection
from tests.harness.messages import HeaderList, Response

GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
KEY = "dGhlIHNhbXBsZSBub25jZQ=="
MASK = b"\x37\xfa\x21\x3d"


class Opcode(IntEnum):
    """The opcodes of RFC 6455 §5.2."""

    CONTINUATION = 0
    TEXT = 1
    BINARY = 2
    CLOSE = 8
    PING = 9
    PONG = 10


@dataclass(frozen=True)
class Frame:
    """One frame; ``rsv`` has RSV1 as 4, RSV2 as 2 and RSV3 as 1."""

    opcode: int
    payload: bytes = b""
    is_final: bool = True
    rsv: int = 0

    def encode(self, mask: bytes | None, length: int | None = None) -> bytes:
        """The frame as bytes, masked with ``mask`` if there is one; ``length`` is what it says instead of its own."""
        size = len(self.payload) if length is None else length
        masked = 0x80 if mask is not None else 0
        head = bytes([self.is_final << 7 | self.rsv << 4 | self.opcode])
        if size < 126:
            head += bytes([masked | size])
        elif size < 1 << 16:
            head += struct.pack("!BH", masked | 126, size)
        else:
            head += struct.pack("!BQ", masked | 127, size)
        return head + (self.payload if mask is None else mask + apply_mask(self.payload, mask))

    @property
    def close_code(self) -> int | None:
        """The code of a close frame, or None."""
        assert self.opcode == Opcode.CLOSE, self
        return int.from_bytes(self.payload[:2]) if self.payload else None


@dataclass(frozen=True)
class ReceivedFrame(Frame):
    """A frame as it came."""

    is_masked: bool = False


def apply_mask(data: bytes, mask: bytes) -> bytes:
    """Mask or unmask ``data`` (RFC 6455 §5.3)."""
    size = len(data)
    pattern = (mask * (size // 4 + 1))[:size]
    return (int.from_bytes(data) ^ int.from_bytes(pattern)).to_bytes(size)


def text(content: str | bytes) -> Frame:
    """A text message in one frame."""
    return Frame(Opcode.TEXT, content.encode() if isinstance(content, str) else content)


def binary(content: bytes) -> Frame:
    """A binary message in one frame."""
    return Frame(Opcode.BINARY, content)


def ping(payload: bytes = b"") -> Frame:
    """A ping."""
    return Frame(Opcode.PING, payload)


def pong(payload: bytes = b"") -> Frame:
    """A pong."""
    return Frame(Opcode.PONG, payload)


def close(code: int | None = None, reason: str = "") -> Frame:
    """A close frame."""
    return Frame(Opcode.CLOSE, b"" if code is None else struct.pack("!H", code) + reason.encode())


def fragments(opcode: int, *pieces: bytes) -> list[Frame]:
    """One message in as many frames as there are pieces."""
    last = len(pieces) - 1
    return [
        Frame(Opcode.CONTINUATION if number else opcode, piece, is_final=number == last)
        for number, piece in enumerate(pieces)
    ]


def accept_value(key: str) -> str:
    """The ``Sec-WebSocket-Accept`` that answers ``key`` (RFC 6455 §4.2.2)."""
    return base64.b64encode(hashlib.sha1((key + GUID).encode()).digest()).decode()


class WebSocket:
    """Frames on a connection; ``mask`` is None for the end that must not mask."""

    def __init__(self, connection: RawConnection, mask: bytes | None) -> None:
        self.connection = connection
        self._mask = mask

    # --- sending -----------------------------------------------------------------------------------------------------

    def send(self, *frames: Frame, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Send frames, in one write."""
        self.connection.send(b"".join(frame.encode(self._mask) for frame in frames), timeout_s)

    def send_text(self, *contents: str | bytes) -> None:
        """Send text messages, one frame each, in one write."""
        self.send(*(text(content) for content in contents))

    def send_raw(self, data: bytes) -> None:
        """Send bytes as they are."""
        self.connection.send(data)

    # --- receiving ---------------------------------------------------------------------------------------------------

    def read_frame(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> ReceivedFrame:
        """Read one frame."""
        first, second = self.connection.read_exactly(2, timeout_s)
        size = second & 0x7F
        if size > 125:
            size = int.from_bytes(self.connection.read_exactly(2 if size == 126 else 8, timeout_s))
        mask = self.connection.read_exactly(4, timeout_s) if second & 0x80 else b""
        payload = self.connection.read_exactly(size, timeout_s)
        if mask:
            payload = apply_mask(payload, mask)
        return ReceivedFrame(first & 0x0F, payload, bool(first & 0x80), first >> 4 & 7, bool(mask))

    def read(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Frame:
        """Read one message or control frame, with the fragments of a message joined."""
        first = self.read_frame(timeout_s)
        payload, rest = bytearray(first.payload), first
        while not rest.is_final:
            rest = self.read_frame(timeout_s)
            assert rest.opcode == Opcode.CONTINUATION, f"{rest} within a message"
            payload += rest.payload
        assert first.opcode != Opcode.CONTINUATION, first
        return Frame(first.opcode, bytes(payload), rsv=first.rsv)

    def expect(self, *frames: Frame, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Assert that exactly these messages and control frames come next."""
        for expected in frames:
            received = self.read(timeout_s)
            assert received == expected, f"{received} instead of {expected}"

    def expect_text(self, *contents: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Assert that exactly these text messages come next."""
        self.expect(*(text(content) for content in contents), timeout_s=timeout_s)

    def skip_to(self, frame: Frame) -> None:
        """Read away everything up to and including ``frame``."""
        while self.read() != frame:
            pass

    def read_to_end(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> list[Frame]:
        """Read whole messages and control frames until the other end closes, cleanly or not."""
        frames: list[Frame] = []
        try:
            while True:
                frames.append(self.read(timeout_s))
        except ClosedByServer:
            return frames

    # --- what must (not) happen --------------------------------------------------------------------------------------

    def assert_silent(self, seconds: float = 0.3) -> None:
        """Assert that nothing comes for ``seconds``, no end either."""
        self.connection.assert_silent(seconds)

    def assert_dropped(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Assert that the connection ends without another byte: no close frame."""
        self.connection.assert_closed(timeout_s)

    def expect_end(self, code: int, timeout_s: float = DEFAULT_TIMEOUT_S) -> None:
        """Assert that a close frame with ``code`` comes, and then the end of the connection."""
        frames = self.read_to_end(timeout_s)
        assert [(frame.opcode, frame.payload[:2]) for frame in frames] == [(Opcode.CLOSE, struct.pack("!H", code))]

    def close(self) -> None:
        """Close the connection without a close frame."""
        self.connection.close()


class WebSocketClient(WebSocket):
    """A client of the proxy, which masks unless it is told not to."""

    def __init__(self, client: RawClient, mask: bytes | None = MASK) -> None:
        super().__init__(client, mask)
        self._client = client
        self.key = KEY

    def handshake(
        self,
        target: str,
        *,
        host: str = "localhost",
        headers: Sequence[tuple[str, str]] = (),
        leave_out: Iterable[str] = (),
        **options: str | bytes,
    ) -> None:
        """Send a handshake with a key of its own and ``headers`` after the usual ones, without waiting for the answer.

        ``leave_out`` names usual headers that are not sent; ``options`` are those of `encode_request`.
        """
        self.key = base64.b64encode(os.urandom(16)).decode()
        usual: HeaderList = [
            ("Upgrade", "websocket"),
            ("Connection", "Upgrade"),
            ("Sec-WebSocket-Key", self.key),
            ("Sec-WebSocket-Version", "13"),
        ]
        left = [header for header in usual if header[0] not in set(leave_out)]
        self._client.request(target, host=host, headers=[*left, *headers], **options)  # type: ignore[arg-type]

    def accepted(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Response:
        """Read the answer to the handshake, which must be a 101 with the right accept value."""
        response = self._client.read_head(timeout_s)
        assert (response.status, response.reason) == (101, "Switching Protocols"), response
        assert response.header("Sec-WebSocket-Accept") == accept_value(self.key)
        assert (response.header("Upgrade"), response.header("Connection")) == ("websocket", "Upgrade")
        return response

    def refused(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Response:
        """Read the answer to the handshake, which must be a complete response and the end of the connection."""
        response = self._client.read_response(timeout_s=timeout_s)
        assert response.status != 101, response
        self._client.assert_closed()
        return response
