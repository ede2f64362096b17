"""Socket holds: WebSockets as receivers of items, and what their backend orders in advance (ws spec §2.4, §2.5, §3.3).

A socket hold is the outgoing side of a WebSocket's client. Whatever goes to the client goes through it, so that nothing
gets between the fragments of a message that is being relayed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from holdfast.grip.item import Action
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.grip.ws_control import Message, SendDelayed, SetKeepAlive
from holdfast.push.intake import Intake, Phase, Queued
from holdfast.push.messages import encode_message
from holdfast.push.outlet import HoldContext, SocketOutlet, note_overflow, note_skip, note_slow
from holdfast.push.plan import HoldPlan, PlanTable, RouteTerms
from holdfast.push.render import ItemSkipped, Rendering, message_rendering, render
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.deflate import MessageDeflater
from holdfast.wire.websocket.frames import Opcode, encode_frame
from holdfast.wire.websocket.stream import Data

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery

MAX_QUEUED_WRITES = 100
"""Writes that wait for the end of a message that is being relayed; the bound of the protocol (ws spec §4.3)."""

MAX_WAITING_BYTES = 1_000_000
"""Of such writes together; a single one may be larger."""

MAX_META_BYTES = 65536
"""Names and values that one backend may set with `set-meta`, together."""

INTERNAL_ERROR = 1011


class SocketSession(Protocol):
    """Who has the client's and the backend's side of the WebSocket in hand."""

    def close_published(self, status: CloseStatus) -> None:
        """A publisher, or a failure, closes the WebSocket; the hold is closed already."""
        ...

    def refresh(self) -> None:
        """A publisher has the backend asked for news (ws spec §1.7)."""
        ...


class SocketHold:
    """The client's side of a WebSocket.

    Args:
        terms: of its route; its implicit channels are subscribed to when the hold is opened.
        is_compressed: permessage-deflate is negotiated with the client.

    Attributes:
        is_open: whether items are received; None before `open`.
        is_order_watched: whether its order across channels is watched; from its second channel on.
        origin: what is needed to ask backends on its behalf, known to whoever asks.
    """

    __slots__ = (
        "_context",
        "_deflater",
        "_delayed",
        "_keep_alive",
        "_plans",
        "_session",
        "_slot",
        "_waiting",
        "_written_at_s",
        "intake",
        "is_compressed",
        "is_mid_message",
        "is_open",
        "is_order_watched",
        "origin",
        "outlet",
        "plan",
    )

    def __init__(
        self,
        context: HoldContext,
        plans: PlanTable,
        terms: RouteTerms,
        session: SocketSession,
        *,
        is_compressed: bool,
        origin: object,
    ) -> None:
        self.plan: HoldPlan = plans.socket_plan(terms, (), {})
        self.outlet: SocketOutlet
        self.is_open: bool | None = None
        self.is_order_watched = len(self.plan.channels) > 1
        self.is_compressed = is_compressed
        self.is_mid_message = False
        self.intake: Intake | None = None
        self.origin = origin
        self._context = context
        self._plans = plans
        self._session: SocketSession | None = session
        self._keep_alive: SetKeepAlive | None = None
        self._slot = 0
        self._written_at_s = 0.0
        self._delayed: _Delayed | None = None
        self._waiting: list[bytes] | None = None
        self._deflater: MessageDeflater | None = None

    def open(self, outlet: SocketOutlet) -> None:
        """The WebSocket is accepted: receive items."""
        self.outlet = outlet
        self.is_open = True
        self._context.registry.add_socket(self)
        self._context.counters.holds_opened += 1

    def refresh(self) -> None:
        """An operator has the backend asked for news."""
        if self._session is not None:
            self._session.refresh()

    def describe(self) -> str:
        """Channels, for logs."""
        return f"WebSocket of {', '.join(self.plan.channels) or 'no channel'}"

    @property
    def written_at_s(self) -> float:
        """When something was last sent or queued; 0 if nothing was."""
        return self._written_at_s

    # --- subscriptions ---------------------------------------------------------------------------------------------

    def subscribe(self, channel: str, filters: tuple[str, ...]) -> bool:
        """Subscribe to a channel by its bare name, or replace its filters; False when there are too many (§2.4).

        Compat: at the limit not even a known channel can be subscribed to again.
        """
        if len(self.plan.channels) >= self._plans.subscription_max:
            return False
        others = (known for known in self.plan.subscriptions if known.channel != channel)
        self._move((*others, Subscription(channel, None, filters)), self.plan.meta)
        return True

    def unsubscribe(self, channel: str) -> None:
        """Leave a channel by its bare name."""
        kept = tuple(known for known in self.plan.subscriptions if known.channel != channel)
        if kept != self.plan.subscriptions:
            self._move(kept, self.plan.meta)

    def set_meta(self, name: str, value: str | None) -> bool:
        """Set what filters read of the connection; None removes it. False when there is too much."""
        meta = {key: known for key, known in self.plan.meta.items() if key != name}
        if value is not None:
            meta[name] = value
            if sum(len(key) + len(known or "") for key, known in meta.items()) > MAX_META_BYTES:
                return False
        self._move(self.plan.subscriptions, meta)
        return True

    def _move(self, subscriptions: tuple[Subscription, ...], meta: Mapping[str, str | None]) -> None:
        if not self.is_open:
            return
        plan = self._plans.socket_plan(self.plan.route, subscriptions, meta)
        self._context.registry.move_socket(self, plan)
        self.plan = plan
        if plan.network_filtered and self.intake is None:
            self.intake = Intake(plan.prev_ids, None)

    # --- items -----------------------------------------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items; its frames are ready, unless filters matter."""
        plan = self.plan
        if delivery.channel not in plan.channels:
            return
        is_plain = not (delivery.has_message_actions or delivery.has_content_filters or self.intake is not None)
        if not is_plain or (plan.filters and not delivery.passes(plan)):
            self._receive_singly(delivery)
            return
        frames = delivery.compressed_frames() if self.is_compressed else delivery.message_frames
        if not frames:
            return
        taken = self._write(frames)
        if taken:
            delivery.messages_sent += 1
            self._written_at_s = delivery.now_s
        elif taken is False:
            delivery.messages_lost += 1

    def _receive_singly(self, delivery: Delivery) -> None:
        for item, receipt in delivery.entries:
            if item.ws_message is None:
                continue
            if not self.is_open:
                return
            queued = Queued(delivery.channel, item, receipt)
            if self.intake is None:
                self._render(queued)
            else:
                self._offer(self.intake, queued)

    def _offer(self, intake: Intake, queued: Queued) -> None:
        """Take an item, unless it or one before it has to wait for a filter."""
        if intake.phase is Phase.FILTERING:
            if intake.put(queued):
                queued.receipt.queued += 1
            else:
                queued.receipt.dropped += 1
                note_overflow(self._context, self)
        elif queued.channel in self.plan.network_filtered:
            intake.put_back(queued)
            intake.phase = Phase.FILTERING
            self._context.updates.backends.filter(self)
        else:
            self._render(queued)

    def _render(self, queued: Queued) -> None:
        try:
            content = render(message_rendering(self.plan, queued.channel, queued.item))
        except ItemSkipped as skipped:
            self._skip(queued, skipped)
        else:
            self._finish_item(queued, content)

    def _finish_item(self, queued: Queued, content: bytes) -> None:
        """Act on an item that has passed the filters."""
        fmt = queued.item.ws_message
        assert fmt is not None
        if fmt.action is Action.SEND:
            self._send_item(queued, encode_message(fmt.kind, content, is_compressed=self.is_compressed))
        elif fmt.action is Action.CLOSE:
            self._close_session(CloseStatus(fmt.code, fmt.reason if fmt.code is not None else ""))
        elif fmt.action is Action.REFRESH:
            assert self._session is not None
            self._session.refresh()

    def _send_item(self, queued: Queued, frame: bytes) -> None:
        taken = self._write(frame)
        if taken:
            queued.receipt.sockets += 1
            self._context.counters.deliveries += 1
            self._written_at_s = self._context.now()
        elif taken is False:
            queued.receipt.dropped += 1

    def _close_session(self, status: CloseStatus) -> None:
        session = self._session
        assert session is not None
        self.close()
        session.close_published(status)

    def _skip(self, queued: Queued, skipped: ItemSkipped) -> None:
        """Go on without an item; a failure closes in debug mode (ws spec §3.4)."""
        note_skip(self._context, self, skipped)
        if skipped.is_failure:
            queued.receipt.dropped += 1
            if self.plan.route.is_debug:
                self._close_session(CloseStatus(INTERNAL_ERROR, str(skipped)))

    # --- filters that ask the network ------------------------------------------------------------------------------

    def rendering(self) -> Rendering[bytes] | None:
        """Begin to filter the item that waits first; None when the hold has ended. Then `filtered` or `skipped`."""
        queued = self.intake.first() if self.is_open and self.intake is not None else None
        return message_rendering(self.plan, queued.channel, queued.item) if queued is not None else None

    def filtered(self, content: bytes) -> None:
        """The item that waits first has passed its filters, which made `content` of it."""
        self._end_filtering(lambda queued: self._finish_item(queued, content))

    def skipped(self, skipped: ItemSkipped) -> None:
        """The item that waits first has not passed its filters."""
        self._end_filtering(lambda queued: self._skip(queued, skipped))

    def _end_filtering(self, act: Callable[[Queued], None]) -> None:
        """Act on the item that waits first, unless its channel has been left meanwhile; then take up the others."""
        if not self.is_open or self.intake is None:
            return
        self.intake.phase = Phase.OPEN
        queued = self.intake.take()
        assert queued is not None
        if queued.channel in self.plan.channels:
            act(queued)
        self._go_on()

    def _go_on(self) -> None:
        """Take up what has waited for the filter."""
        intake = self.intake
        while self.is_open and intake is not None and intake.phase is Phase.OPEN:
            queued = intake.take()
            if queued is None:
                return
            if queued.channel in self.plan.channels:
                self._offer(intake, queued)

    # --- what the backend sends ------------------------------------------------------------------------------------

    def relay(self, data: Data) -> None:
        """Send a piece of a message of the backend; what is published meanwhile waits for its last piece (§2.8)."""
        payload = data.payload
        is_compressed = self.is_compressed
        if is_compressed:
            if self._deflater is None:
                self._deflater = MessageDeflater()
            payload = self._deflater.feed(payload, is_last=data.is_last)
            if data.is_last:
                self._deflater = None
        opcode = data.opcode if data.is_first else Opcode.CONT
        frame = encode_frame(opcode, payload, is_final=data.is_last, is_compressed=is_compressed and data.is_first)
        self._relay_frame(frame)
        self.is_mid_message = not data.is_last
        if data.is_last:
            self._flush()

    def relay_control(self, opcode: Opcode, payload: bytes) -> None:
        """Send a ping or pong of the backend, which may stand between fragments."""
        self._relay_frame(encode_frame(opcode, payload))

    def _relay_frame(self, frame: bytes) -> None:
        self.outlet.relay(frame)
        self._written_at_s = self._context.now()

    def _write(self, frames: bytes) -> bool | None:
        """Send what does not come from the backend, or let it wait for the end of a relayed message."""
        if not self.is_mid_message:
            taken = self.outlet.write(frames)
            if taken is False:
                note_slow(self._context, self.plan)
            return taken
        if self._waiting is None:
            self._waiting = []
        waiting_bytes = sum(map(len, self._waiting))
        is_large = waiting_bytes > 0 and waiting_bytes + len(frames) > MAX_WAITING_BYTES
        if is_large or len(self._waiting) >= MAX_QUEUED_WRITES:
            note_overflow(self._context, self)
            return False
        self._waiting.append(frames)
        return True

    def _flush(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting:
            self.outlet.write(b"".join(waiting))

    # --- messages that the backend has given in advance ------------------------------------------------------------

    def set_keep_alive(self, order: SetKeepAlive) -> None:
        """Arm the keep-alive, or disarm it (ws spec §2.5)."""
        if not self.is_open:
            return
        self._disarm()
        self._keep_alive = order if order.message is not None else None
        self._written_at_s = now_s = self._context.now()
        self._arm(now_s)

    def on_timer(self, now_s: float) -> None:
        """The keep-alive may be due."""
        self._slot = 0
        keep_alive = self._keep_alive
        assert keep_alive is not None
        assert keep_alive.message is not None
        if keep_alive.mode is KeepAliveMode.IDLE and now_s < self._written_at_s + keep_alive.timeout_s - 1:
            self._arm(self._written_at_s)
            return
        if not self.outlet.is_blocked:
            self._send_keep_alive(keep_alive.message)
        self._arm(now_s)

    def _send_keep_alive(self, message: Message) -> None:
        """Send it; of those that have to wait for the end of a relayed message one is enough."""
        frame = encode_message(message.kind, message.content, is_compressed=self.is_compressed)
        if self._waiting is None or frame not in self._waiting:
            self._context.counters.keep_alives_sent += 1
            self._context.statistics.routes.find(self.plan.route.key).activity += 1
            self._send_own(frame)

    def send_delayed(self, order: SendDelayed) -> None:
        """Send a message later, and the one that is waiting for that now."""
        if not self.is_open:
            return
        self.flush_delayed()
        delayed = self._delayed = _Delayed(self, order.message)
        delayed.slot = self._context.wheel.add(self._context.now() + order.timeout_s, delayed)

    def flush_delayed(self) -> None:
        """Send the message that waits, if one does."""
        delayed, self._delayed = self._delayed, None
        if delayed is not None:
            self._context.wheel.remove(delayed.slot, delayed)
            self._send_order(delayed.message)

    def _send_order(self, message: Message) -> None:
        self._send_own(encode_message(message.kind, message.content, is_compressed=self.is_compressed))

    def _send_own(self, frame: bytes) -> None:
        if self._write(frame):
            self._written_at_s = self._context.now()

    def _arm(self, from_s: float) -> None:
        if self._keep_alive is not None:
            due_s = from_s + self._keep_alive.timeout_s - self._context.jitter()
            self._slot = self._context.wheel.add(due_s, self)

    def _disarm(self) -> None:
        if self._slot:
            self._context.wheel.remove(self._slot, self)
            self._slot = 0

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Receive nothing any more, and send nothing of what waits. Who made it is forgotten, to be free at once."""
        self._session = None
        if not self.is_open:
            return
        self.is_open = False
        self._context.registry.remove_socket(self)
        self._disarm()
        self._keep_alive = None
        if self._delayed is not None:
            self._context.wheel.remove(self._delayed.slot, self._delayed)
            self._delayed = None
        self._waiting = None
        if self.intake is not None:
            self.intake.clear()


@dataclass(slots=True, eq=False)
class _Delayed:
    """The message that waits for its time."""

    hold: SocketHold
    message: Message
    slot: int = 0

    def on_timer(self, now_s: float) -> None:
        """See `holdfast.timers.Timed`."""
        self.hold.flush_delayed()
