"""The way to a WebSocket's client: one message after the other, whoever sends it (ws spec §2.5, §2.8).

What is published, and what the backend has ordered in advance, waits here while a message of the backend is relayed
piece by piece: nothing may get between its fragments.
"""

from __future__ import annotations

from holdfast.grip.ws_control import Message, SendDelayed, SetKeepAlive
from holdfast.push.dialects import Dialect, PieceEncoder
from holdfast.push.outlet import HoldContext, SocketOutlet, note_overflow, note_slow
from holdfast.push.plan import HoldPlan
from holdfast.push.socket_timers import SocketTimers
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data

MAX_QUEUED_WRITES = 100
"""Writes that wait for the end of a message that is being relayed; the bound of the protocol (ws spec §4.3)."""

MAX_WAITING_BYTES = 1_000_000
"""Of such writes together; a single one may be larger."""


class SocketWriter:
    """What a `SocketHold` is towards its client.

    A class to be built on, and not a part of the hold: the hold is asked for most of these attributes for each client
    of each published run, and one object per WebSocket is enough.

    Attributes:
        dialect: what the client speaks.
        is_mid_message: whether a message of the backend has begun and not ended.
        is_open: whether more is sent than what is relayed; None before the hold is opened.
        written_at_s: when something was last sent or queued, or what counts as that; 0 if nothing was. It is late
            while the hold is in a roster: see `last_written_s`.
    """

    __slots__ = (
        "_context",
        "_encoder",
        "_timers",
        "_waiting",
        "dialect",
        "is_mid_message",
        "is_open",
        "outlet",
        "plan",
        "written_at_s",
    )

    def __init__(self, context: HoldContext, plan: HoldPlan, dialect: Dialect) -> None:
        self.plan = plan
        self.outlet: SocketOutlet
        self.is_open: bool | None = None
        self.dialect = dialect
        self.is_mid_message = False
        self.written_at_s = 0.0
        self._context = context
        self._timers: SocketTimers | None = None
        self._waiting: list[tuple[bytes, int]] | None = None
        self._encoder: PieceEncoder | None = None

    def describe(self) -> str:
        """Channels, for logs."""
        return f"WebSocket of {', '.join(self.plan.channels) or 'no channel'}"

    def greet(self) -> None:
        """Send what a session begins with in the client's dialect, and heartbeats from now on."""
        self._relay_frame(self.dialect.greeting)
        if self.dialect.heartbeat:
            self._own_timers().beat()

    # --- what the backend sends ------------------------------------------------------------------------------------

    def relay(self, data: Data) -> None:
        """Send a piece of a message of the backend; what is published meanwhile waits for its last piece (§2.8)."""
        encoder = self._encoder
        if encoder is None:
            encoder = self._encoder = self.dialect.piece_encoder()
        frame = encoder.feed(data)
        if data.is_last:
            self._encoder = None
        self._relay_frame(frame)
        self.is_mid_message = not data.is_last
        if data.is_last:
            self._flush()

    def relay_control(self, opcode: Opcode, payload: bytes) -> None:
        """Send a ping or pong of the backend, which may stand between fragments."""
        self._relay_frame(self.dialect.encode_control(opcode, payload))

    def _relay_frame(self, frame: bytes) -> None:
        if frame:
            self.outlet.relay(frame)
            self.written_at_s = self._context.now()

    # --- what others send ------------------------------------------------------------------------------------------

    def write(self, frames: bytes, items: int = 1) -> bool | None:
        """Send what does not come from the backend, or let it wait for the end of a relayed message.

        Args:
            items: how many items that is.

        Returns:
            False when it was lost, because the client is too slow or too much waits; None when the client is gone.
        """
        if not self.is_mid_message:
            taken = self.outlet.write(frames)
            if taken is False:
                note_slow(self._context, self.plan, items)
            return taken
        if self._waiting is None:
            self._waiting = []
        waiting_bytes = sum(len(waiting) for waiting, _ in self._waiting)
        is_large = waiting_bytes > 0 and waiting_bytes + len(frames) > MAX_WAITING_BYTES
        if is_large or len(self._waiting) >= MAX_QUEUED_WRITES:
            note_overflow(self._context, self, items)
            return False
        self._waiting.append((frames, items))
        return True

    @property
    def waiting_items(self) -> int:
        """How many wait for the end of a relayed message."""
        return sum(items for _, items in self._waiting or ())

    def _flush(self) -> None:
        items, waiting, self._waiting = self.waiting_items, self._waiting, None
        if waiting:
            self.write(self.dialect.join([frames for frames, _ in waiting]), items)

    def last_written_s(self) -> float:
        """When something was last sent or queued."""
        return self.written_at_s

    # --- messages that the backend has given in advance ------------------------------------------------------------

    def set_keep_alive(self, order: SetKeepAlive) -> None:
        """Arm the keep-alive, or disarm it (ws spec §2.5)."""
        if self.is_open:
            self.written_at_s = self._context.now()
            self._own_timers().set_keep_alive(order)

    def send_keep_alive(self, message: Message) -> None:
        """Send it; of those that have to wait for the end of a relayed message one is enough."""
        frame = self.dialect.encode(message.kind, message.content)
        if (frame, 1) not in (self._waiting or ()):
            self._context.counters.keep_alives_sent += 1
            self._context.statistics.routes.find(self.plan.route.key).activity += 1
            self._send_own(frame)

    def send_delayed(self, order: SendDelayed) -> None:
        """Send a message later, and the one that is waiting for that now."""
        if self.is_open:
            self._own_timers().send_delayed(order)

    def flush_delayed(self) -> None:
        """Send the message that waits, if one does."""
        if self._timers is not None:
            self._timers.flush_delayed()

    def send_order(self, message: Message) -> None:
        """Send a message that the backend has given in advance."""
        self._send_own(self.dialect.encode(message.kind, message.content))

    def send_heartbeat(self) -> None:
        """Send what the client's dialect has for that; one that has to wait is left out."""
        if not self.is_mid_message:
            self._send_own(self.dialect.heartbeat)

    def _send_own(self, frame: bytes) -> None:
        if frame and self.write(frame):
            self.written_at_s = self._context.now()

    def _own_timers(self) -> SocketTimers:
        if self._timers is None:
            self._timers = SocketTimers(self, self._context)
        return self._timers

    # --- the end ---------------------------------------------------------------------------------------------------

    def let_go(self) -> None:
        """Send nothing of what waits, nor of what time would bring."""
        if self._timers is not None:
            self._timers.cancel()
            self._timers = None
        self._waiting = None
