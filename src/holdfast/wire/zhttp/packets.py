"""What the two sides of a ZHTTP exchange tell each other once it has begun (ws spec §7.4, §7.5).

A packet is a `Content` in an envelope; `wire.zhttp.requests` encodes those for backends, and `wire.zhttp.responses`
parses those that come back.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

PREFIX = b"T"
"""What stands before the TNetString of a packet."""

WINDOW_BYTES = 200_000
"""What a side may send before the other one has granted anything (§7.7)."""

MAX_BODY_BYTES = 1_000_000
"""Of a request in one packet (§7.6)."""

MAX_IDS = 128
"""Exchanges that one packet can be about (§7.4)."""


@dataclass(frozen=True, slots=True)
class Place:
    """An exchange, and the number of the packet in it, from 0; None if it has none, as where one packet is all."""

    id: bytes
    seq: int | None


class Signal(enum.Enum):
    """A packet that says no more than its type; a CREDIT has its credits in the envelope."""

    CREDIT = b"credit"
    KEEP_ALIVE = b"keep-alive"
    CANCEL = b"cancel"
    HANDOFF_START = b"handoff-start"
    HANDOFF_PROCEED = b"handoff-proceed"


class Condition(enum.Enum):
    """Why an exchange failed, as far as it makes a difference to the client; others are `None` (§6, §7.6, §7.8)."""

    REMOTE_CONNECTION_FAILED = b"remote-connection-failed"
    CONNECTION_TIMEOUT = b"connection-timeout"
    TLS_ERROR = b"tls-error"
    LENGTH_REQUIRED = b"length-required"
    POLICY_VIOLATION = b"policy-violation"
    REJECTED = b"rejected"

    @property
    def is_connect_failure(self) -> bool:
        """Whether another target may be tried: this one was not reached."""
        return self in _CONNECT_FAILURES


_CONNECT_FAILURES = frozenset({Condition.REMOTE_CONNECTION_FAILED, Condition.CONNECTION_TIMEOUT, Condition.TLS_ERROR})


class MessageType(enum.Enum):
    """The kind of a WebSocket message."""

    TEXT = b"text"
    BINARY = b"binary"


@dataclass(frozen=True, slots=True)
class Data:
    """A piece of a body, or of a WebSocket message.

    has_more: the body, or the message, goes on in another packet.
    message_type: None for a body, and for a message whose sender does not say; that is text.
    """

    body: bytes = b""
    has_more: bool = False
    message_type: MessageType | None = None


@dataclass(frozen=True, slots=True)
class Failure:
    """The exchange failed; None is any condition that makes no difference.

    body: of the answer with which a backend rejects a WebSocket.
    """

    condition: Condition | None
    body: bytes = b""


@dataclass(frozen=True, slots=True)
class Ping:
    """A WebSocket ping."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Pong:
    """A WebSocket pong."""

    payload: bytes


@dataclass(frozen=True, slots=True)
class Close:
    """A WebSocket close; code 0-65535, None for none. The reason is not yet known to be UTF-8."""

    code: int | None = None
    reason: bytes = b""


Content = Data | Failure | Ping | Pong | Close | Signal
