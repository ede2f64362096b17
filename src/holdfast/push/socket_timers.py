"""What a WebSocket's client gets because of time: keep-alives, a message sent later, heartbeats (ws spec §2.5).

Made when something of the kind is wanted; most WebSockets have none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.grip.values import KeepAliveMode
from holdfast.grip.ws_control import Message, SendDelayed, SetKeepAlive

if TYPE_CHECKING:
    from holdfast.push.outlet import HoldContext
    from holdfast.push.socket_writer import SocketWriter

HEARTBEAT_S = 25.0
"""Between two heartbeats of a SockJS client (routes spec §4.4)."""


class SocketTimers:
    """Those of one writer."""

    __slots__ = ("_context", "_delayed", "_heartbeat", "_keep_alive", "_slot", "_writer")

    def __init__(self, writer: SocketWriter, context: HoldContext) -> None:
        self._writer = writer
        self._context = context
        self._keep_alive: SetKeepAlive | None = None
        self._slot = 0
        self._delayed: _Later | None = None
        self._heartbeat: _Later | None = None

    # --- keep-alives -----------------------------------------------------------------------------------------------

    def set_keep_alive(self, order: SetKeepAlive) -> None:
        """Arm the keep-alive, or disarm it."""
        self._disarm()
        self._keep_alive = order if order.message is not None else None
        self._arm(self._context.now())

    def on_timer(self, now_s: float) -> None:
        """The keep-alive may be due."""
        self._slot = 0
        keep_alive, writer = self._keep_alive, self._writer
        assert keep_alive is not None
        assert keep_alive.message is not None
        if keep_alive.mode is KeepAliveMode.IDLE:
            written_at_s = writer.last_written_s()
            if now_s < written_at_s + keep_alive.timeout_s - 1:
                self._arm(written_at_s)
                return
        if not writer.outlet.is_blocked:
            writer.send_keep_alive(keep_alive.message)
        self._arm(now_s)

    def _arm(self, from_s: float) -> None:
        if self._keep_alive is not None:
            due_s = from_s + self._keep_alive.timeout_s - self._context.jitter()
            self._slot = self._context.wheel.add(due_s, self)

    def _disarm(self) -> None:
        if self._slot:
            self._context.wheel.remove(self._slot, self)
            self._slot = 0

    # --- one message, later ----------------------------------------------------------------------------------------

    def send_delayed(self, order: SendDelayed) -> None:
        """Send a message later, and the one that is waiting for that now."""
        self.flush_delayed()
        self._delayed = _Later(self._context, order.timeout_s, self.flush_delayed, order.message)

    def flush_delayed(self) -> None:
        """Send the message that waits, if one does."""
        delayed, self._delayed = self._delayed, None
        if delayed is not None:
            delayed.cancel()
            assert delayed.message is not None
            self._writer.send_order(delayed.message)

    # --- heartbeats ------------------------------------------------------------------------------------------------

    def beat(self) -> None:
        """Begin with heartbeats; a client that takes nothing needs none."""
        self._heartbeat = _Later(self._context, HEARTBEAT_S, self._beat)

    def _beat(self) -> None:
        if not self._writer.outlet.is_blocked:
            self._writer.send_heartbeat()
        if self._writer.is_open:
            self.beat()

    # --- the end ---------------------------------------------------------------------------------------------------

    def cancel(self) -> None:
        """The hold is closed."""
        self._disarm()
        self._keep_alive = None
        for later in (self._delayed, self._heartbeat):
            if later is not None:
                later.cancel()
        self._delayed = self._heartbeat = None


class _Later:
    """Something that is to be done once, after `delay_s` seconds."""

    __slots__ = ("_act", "_context", "_slot", "message")

    def __init__(
        self, context: HoldContext, delay_s: float, act: Callable[[], None], message: Message | None = None
    ) -> None:
        self.message = message
        self._context = context
        self._act = act
        self._slot = context.wheel.add(context.now() + delay_s, self)

    def on_timer(self, now_s: float) -> None:
        """See `holdfast.timers.Timed`."""
        self._act()

    def cancel(self) -> None:
        """Do not do it."""
        self._context.wheel.remove(self._slot, self)
