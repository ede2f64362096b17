"""HTTP/1.1 message bodies: framing removed as bytes arrive (RFC 9112 §6, §7.1).

A decoder is fed whatever arrived and returns the content in it. When `is_complete` turns true, `rest` holds the bytes
that follow the body: on a client connection they are the next, pipelined, request.
"""

from __future__ import annotations

import enum
import re
from typing import NoReturn, Protocol

from holdfast.errors import WireError

MAX_CHUNK_LINE_BYTES = 1024
"""Bound of one chunk-size line with its extensions; extensions carry nothing that we use."""

MAX_TRAILER_BYTES = 8192
"""Bound of all trailer fields together; they are dropped (RFC 9112 §7.1.2)."""

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]++)(?:[ \t]*+;[\t\x20-\x7e\x80-\xff]*+)?")
_MAX_SIZE_DIGITS = 15
# The same, if it is within all bounds whatever it says; others are read step by step.
_SHORT_CHUNK_LINE = re.compile(rb"0{0,7}+([0-9A-Fa-f]{1,8}+)(?:[ \t]{0,100}+;[\t\x20-\x7e\x80-\xff]{0,900}+)?\r\n")
_TRAILER_LINE = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]++:[\t\x20-\x7e\x80-\xff]*+")


class BodyDecoder(Protocol):
    """What the three framings have in common."""

    is_complete: bool
    rest: bytes

    def feed(self, data: bytes) -> bytes:
        """Content contained in `data`. Raises WireError when the framing is broken."""
        ...

    def feed_eof(self) -> bool:
        """Tell that the peer closed; returns whether the body is whole."""
        ...


class SizedBody:
    """A body of a stated length (RFC 9112 §6.2)."""

    __slots__ = ("is_complete", "remaining", "rest")

    def __init__(self, length: int) -> None:
        self.remaining = length
        self.is_complete = length == 0
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        if len(data) < self.remaining:
            self.remaining -= len(data)
            return data
        content = data[: self.remaining]
        self.rest = data[self.remaining :]
        self.remaining = 0
        self.is_complete = True
        return content

    def feed_eof(self) -> bool:
        return self.is_complete


class UntilCloseBody:
    """A response body that ends with its connection (RFC 9112 §6.3, last rule)."""

    __slots__ = ("is_complete", "rest")

    def __init__(self) -> None:
        self.is_complete = False
        self.rest = b""

    def feed(self, data: bytes) -> bytes:
        return data

    def feed_eof(self) -> bool:
        self.is_complete = True
        return True


class _Part(enum.Enum):
    SIZE = enum.auto()
    DATA = enum.auto()
    SUFFIX = enum.auto()
    TRAILER = enum.auto()


class ChunkedBody:
    """The chunked transfer coding (RFC 9112 §7.1); trailers are checked, counted and dropped.

    Args:
        subject: `request` or `response`, for the message of an error.
    """

    __slots__ = ("_part", "_pending", "_remaining", "_status", "_subject", "_trailer_bytes", "is_complete", "rest")

    def __init__(self, subject: str = "request") -> None:
        self.is_complete = False
        self.rest = b""
        self._subject = subject
        self._status = 400 if subject == "request" else 502
        self._pending = b""
        self._remaining = 0
        self._part = _Part.SIZE
        self._trailer_bytes = 0

    def feed(self, data: bytes) -> bytes:
        data = self._pending + data if self._pending else data
        self._pending = b""
        pieces: list[bytes] = []
        position = 0
        while not self.is_complete:
            if self._part is _Part.SIZE:
                position = self._take_whole_chunks(data, position, pieces)
            advanced = self._step(data, position, pieces)
            if advanced < 0:
                self._pending = data[position:]
                break
            position = advanced
        else:
            self.rest = data[position:]
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def feed_eof(self) -> bool:
        return self.is_complete

    def _take_whole_chunks(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Read the chunks that are whole and as usual, and leave the rest to the steps; returns the new position.

        Only for speed: in chunks of one byte, 64 KiB would otherwise keep everybody else waiting for 40 ms.
        """
        while (line := _SHORT_CHUNK_LINE.match(data, position)) is not None:
            start = line.end()
            size = int(line[1], 16)
            end = start + size
            if not size or data[end : end + 2] != b"\r\n":
                break
            pieces.append(data[start:end])
            position = end + 2
        return position

    def _step(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        """Read one part; returns the new position, or -1 when it needs more bytes."""
        if self._part is _Part.DATA:
            return self._in_data(data, position, pieces)
        if self._part is _Part.SUFFIX:
            return self._at_suffix(data, position)
        if self._part is _Part.SIZE:
            return self._at_size(data, position)
        return self._at_trailer(data, position)

    def _at_size(self, data: bytes, position: int) -> int:
        end = self._line_end(data, position, MAX_CHUNK_LINE_BYTES, "invalid chunk size")
        if end < 0:
            return -1
        match = _CHUNK_LINE.fullmatch(data, position, end)
        if match is None:
            self._refuse("invalid chunk size")
        digits = match.group(1)
        if len(digits) > _MAX_SIZE_DIGITS:
            self._refuse("chunk too large")
        self._remaining = int(digits, 16)
        self._part = _Part.DATA if self._remaining else _Part.TRAILER
        return end + 2

    def _in_data(self, data: bytes, position: int, pieces: list[bytes]) -> int:
        available = len(data) - position
        if not available:
            return -1
        take = min(available, self._remaining)
        pieces.append(data[position : position + take])
        self._remaining -= take
        if not self._remaining:
            self._part = _Part.SUFFIX
        return position + take

    def _at_suffix(self, data: bytes, position: int) -> int:
        suffix = data[position : position + 2]
        if not b"\r\n".startswith(suffix):
            self._refuse("invalid chunk suffix")
        if len(suffix) < 2:
            return -1
        self._part = _Part.SIZE
        return position + 2

    def _at_trailer(self, data: bytes, position: int) -> int:
        end = self._line_end(data, position, MAX_TRAILER_BYTES - self._trailer_bytes, "invalid trailer")
        if end < 0:
            return -1
        if end == position:
            self.is_complete = True
        elif _TRAILER_LINE.fullmatch(data, position, end) is None:
            self._refuse("invalid trailer")
        self._trailer_bytes += end + 2 - position
        return end + 2

    def _line_end(self, data: bytes, position: int, limit: int, fault: str) -> int:
        """Where the line at `position` ends, or -1; refuses lines over `limit` and bare CR or LF."""
        end = data.find(b"\r\n", position)
        line_feed = data.find(b"\n", position, end if end >= 0 else len(data))
        length = (end if end >= 0 else len(data) - data.endswith(b"\r")) - position
        if line_feed >= 0 or length > limit or (end < 0 and b"\r" in data[position:-1]):
            self._refuse(fault)
        return end

    def _refuse(self, fault: str) -> NoReturn:
        raise WireError(self._status, f"Failed to parse {self._subject}: {fault}")
