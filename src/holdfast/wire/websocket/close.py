"""What a close frame says: a code and a reason (RFC 6455 §5.5.1, §7.4).

The same bytes are the content of a CLOSE event (ws spec §1.1), so events and frames share this module. Codes are
relayed as they are; which of them a peer may send in a frame is for `has_valid_code` to say.
"""

from __future__ import annotations

from dataclasses import dataclass

from websockets.frames import EXTERNAL_CLOSE_CODES

MAX_REASON_BYTES = 123
"""What a control frame has room for beside the code."""

MAX_CLOSE_CODE = 65535


@dataclass(frozen=True, slots=True)
class CloseStatus:
    """Code (0-65535) and reason; without a code there is no reason either."""

    code: int | None = None
    reason: str = ""

    @property
    def has_valid_code(self) -> bool:
        """Whether a close frame may carry the code, or has none (RFC 6455 §7.4)."""
        return self.code is None or self.code in EXTERNAL_CLOSE_CODES or 3000 <= self.code <= 4999


NO_STATUS = CloseStatus()


def parse_close_payload(payload: bytes) -> CloseStatus:
    """The status that a close payload spells; fewer than two bytes are no code (ws spec §1.1, §4.2).

    Raises UnicodeDecodeError for a reason that is not UTF-8.
    """
    if len(payload) < 2:
        return NO_STATUS
    return CloseStatus(int.from_bytes(payload[:2], "big"), payload[2:].decode())


def encode_close_payload(status: CloseStatus) -> bytes:
    """The payload; a reason that is too long is cut at a character (ws spec §3.3)."""
    if status.code is None:
        return b""
    reason = status.reason.encode("utf-8", "replace")
    if len(reason) > MAX_REASON_BYTES:
        reason = reason[:MAX_REASON_BYTES].decode("utf-8", "ignore").encode()
    return status.code.to_bytes(2, "big") + reason
