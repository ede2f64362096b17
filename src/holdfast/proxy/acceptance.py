"""What it means that a web server accepts a WebSocket (ws spec §1.3)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from holdfast.push.plan import HoldPlan
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data
from holdfast.wire.ws_events import Event, EventType

OPCODES = {EventType.TEXT: Opcode.TEXT, EventType.BINARY: Opcode.BINARY}
"""Of the events that are messages."""


class Acceptance(NamedTuple):
    """The backend accepts. A tuple, since one is made per handshake.

    Attributes:
        headers: of the 101.
        events: what comes with it.
        plan: what the client is subscribed to; None for what the route says.
        messages, first: what it gets with its 101, and the frames of that.
    """

    headers: Headers
    events: list[Event]
    plan: HoldPlan | None = None
    messages: Sequence[Data] = ()
    first: bytes = b""


@dataclass(frozen=True, slots=True)
class Agreement:
    """What an acceptance means for the session.

    Attributes:
        prefix: of messages to the client; None if the backend does not speak GRIP.
        interval_s, meta: see `EventsBackend.interval_s` and `event_answers.set_meta`.
    """

    prefix: bytes | None
    interval_s: int
    meta: Headers
