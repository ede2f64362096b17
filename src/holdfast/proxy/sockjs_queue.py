"""What waits for a SockJS client over HTTP: frames, oldest first, within a bound (routes spec §4.3)."""

from __future__ import annotations

from holdfast.push.dialects import MAX_QUEUED_BYTES
from holdfast.wire.sockjs import is_messages, join_messages

BLOCKED_BYTES = 125_000
"""From here on the backend is no longer read from; an echo of all that a request can bring still fits below it."""

FRAME_COST_BYTES = 50
"""What a frame counts besides its bytes, of which it may have five."""


class FrameQueue:
    """The frames of one session.

    Attributes:
        size_bytes: of them, `FRAME_COST_BYTES` for each included.
    """

    __slots__ = ("_frames", "size_bytes")

    def __init__(self) -> None:
        self.size_bytes = 0
        self._frames: list[bytes] = []

    def __len__(self) -> int:
        return len(self._frames)

    @property
    def is_blocked(self) -> bool:
        """Whether no more should come than what cannot be held up."""
        return self.size_bytes >= BLOCKED_BYTES

    def add(self, frame: bytes) -> bool:
        """Put a frame at the end; False if it is too much."""
        if self.size_bytes + len(frame) > MAX_QUEUED_BYTES:
            return False
        self._frames.append(frame)
        self.size_bytes += _cost(frame)
        return True

    def take(self) -> bytes | None:
        """The next frame, None without one; all messages that come next are one frame."""
        frames = self._frames
        if not frames:
            return None
        count = next((number for number, frame in enumerate(frames) if not is_messages(frame)), len(frames)) or 1
        taken, self._frames = frames[:count], frames[count:]
        self.size_bytes -= sum(map(_cost, taken))
        return join_messages(taken)

    def clear(self) -> None:
        """Forget all of them."""
        self._frames = []
        self.size_bytes = 0


def _cost(frame: bytes) -> int:
    return len(frame) + FRAME_COST_BYTES
