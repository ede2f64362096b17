"""The frames of SockJS: `o`, `a[...]`, `h` and `c[...]` for the client, lists of texts from it (routes spec §4.3).

Texts are escaped beyond what JSON asks for: some browsers lose or change characters that mean nothing to the eye, and
a script ends at U+2028.
"""

from __future__ import annotations

import codecs
import json
import re
from collections.abc import Sequence

from holdfast.errors import FrameError

OPEN = b"o"
HEARTBEAT = b"h"
CLOSED_TEXT = "Connection closed"
STILL_OPEN = b'c[2010,"Another connection still open"]'
"""For a client that asks for messages twice at a time."""

MAX_TEXT_BYTES = 200_000
"""Of one message of a client."""

PAYLOAD_EXPECTED = "Payload expected"
TOO_LARGE = "Message too large"

_CLOSE = b"c"
_UNSAFE = re.compile("[\u200c-\u200f\u2028-\u202f\u2060-\u206f\ufff0-\ufffc\ufffe\uffff]")


def encode_messages(contents: Sequence[bytes]) -> bytes:
    """The frame for these messages, of which there is at least one; what is not UTF-8 in them is replaced (§4.3)."""
    return b"a[%b]" % b",".join([b'"%b"' % _escape(content.decode("utf-8", "replace")) for content in contents])


def encode_close(code: int | None, reason: str) -> bytes:
    """The last frame. Without a code it is 0, without a reason there is a fixed one (§4.3)."""
    text = _escape(reason or CLOSED_TEXT) if code is not None else CLOSED_TEXT.encode()
    return b'c[%d,"%b"]' % (code or 0, text)


def is_close(frame: bytes) -> bool:
    """Whether a frame is the last one."""
    return frame.startswith(_CLOSE)


def is_messages(frame: bytes) -> bool:
    """Whether a frame carries messages."""
    return frame.startswith(b"a")


def join_messages(frames: Sequence[bytes]) -> bytes:
    """One frame with the messages of several; each of them `is_messages`."""
    return frames[0] if len(frames) == 1 else b"a[%b]" % b",".join([frame[2:-1] for frame in frames])


class PieceEncoder:
    """Makes the frame of one message whose content comes in pieces: what `feed` returns, joined, is the frame."""

    __slots__ = ("_decoder",)

    def __init__(self) -> None:
        self._decoder: codecs.IncrementalDecoder | None = None

    def feed(self, piece: bytes, *, is_last: bool) -> bytes:
        """The next part of the frame. A character may be spread over pieces."""
        beginning = b""
        if self._decoder is None:
            self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
            beginning = b'a["'
        return b"%b%b%b" % (beginning, _escape(self._decoder.decode(piece, is_last)), b'"]' if is_last else b"")


def parse_messages(data: bytes, max_bytes: int = MAX_TEXT_BYTES) -> list[bytes]:
    """The messages that a client sends: a JSON list of texts. A surrogate without its other half becomes "?".

    Raises:
        FrameError: without a close code; `PAYLOAD_EXPECTED`, or `TOO_LARGE` for one of more than `max_bytes`.
    """
    try:
        texts = json.loads(data.decode())
    except (ValueError, RecursionError) as exc:
        raise FrameError(None, PAYLOAD_EXPECTED) from exc
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise FrameError(None, PAYLOAD_EXPECTED)
    messages = [text.encode("utf-8", "replace") for text in texts]
    if any(len(message) > max_bytes for message in messages):
        raise FrameError(None, TOO_LARGE)
    return messages


def _escape(text: str) -> bytes:
    """What stands between the quotes."""
    escaped = json.dumps(text, ensure_ascii=False)[1:-1]
    return _UNSAFE.sub(_escape_character, escaped).encode("utf-8", "replace")


def _escape_character(match: re.Match[str]) -> str:
    return f"\\u{ord(match[0]):04x}"
