"""Socket holds: WebSockets as receivers of items (ws spec §2.4, §3.3).

How what they receive gets to the client is in `socket_writer`, which a hold is built on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Protocol

from holdfast.grip.item import Action
from holdfast.grip.values import Subscription
from holdfast.push.dialects import PLAIN, Dialect
from holdfast.push.intake import Intake, Phase, Queued
from holdfast.push.outlet import HoldContext, SocketOutlet, note_overflow, note_skip
from holdfast.push.plan import HoldPlan, PlanTable
from holdfast.push.render import ItemSkipped, Rendering, message_rendering, render
from holdfast.push.roster import NO_IDS, UNLISTED, Roster
from holdfast.push.socket_writer import SocketWriter
from holdfast.wire.websocket.close import CloseStatus
from holdfast.wire.websocket.stream import Data

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery

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


class SocketHold(SocketWriter):
    """A WebSocket, as publishers see it.

    Args:
        plan: what it is subscribed to when it is opened; none of its filters asks the network.
        dialect: what the client speaks.

    Attributes:
        is_order_watched: whether its order across channels is watched; from its second channel on.
        origin: what is needed to ask backends on its behalf, known to whoever asks.
        roster, place: see `Listable`.
    """

    __slots__ = ("_plans", "_session", "intake", "is_order_watched", "origin", "place", "roster")

    def __init__(
        self,
        context: HoldContext,
        plans: PlanTable,
        plan: HoldPlan,
        session: SocketSession,
        *,
        dialect: Dialect,
        origin: object,
    ) -> None:
        super().__init__(context, plan, dialect)
        self.is_order_watched = len(self.plan.channels) > 1
        self.intake: Intake | None = None
        self.origin = origin
        self.roster: Roster[SocketHold] | None = None
        self.place = UNLISTED
        self._plans = plans
        self._session: SocketSession | None = session

    def open(self, outlet: SocketOutlet) -> None:
        """The WebSocket is accepted: receive items."""
        self.outlet = outlet
        self.is_open = True
        self._context.registry.add_socket(self)
        self._context.counters.holds_opened += 1
        self.greet()

    def refresh(self) -> None:
        """An operator has the backend asked for news."""
        if self._session is not None:
            self._session.refresh()

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

    def claim(self, delivery: Delivery) -> int | None:
        """Take a run whose frames are ready, if it is as simple as that: whom to write them to, or None."""
        plan = self.plan
        if self.dialect is not PLAIN or self.is_mid_message or self.intake is not None or not self.is_open:
            return None
        if delivery.channel not in plan.channels or (plan.filters and not delivery.passes(plan)):
            return None
        fd = self.outlet.direct_fd
        if fd is not None:
            self.written_at_s = delivery.now_s
            if not self.is_order_watched:
                delivery.home.sockets.enlist(self, delivery)
        return fd

    @property
    def followed_ids(self) -> Mapping[str, str]:
        """See `Listable`."""
        return NO_IDS

    def keep_up(self, followed_ids: Mapping[str, str], at_s: float | None) -> None:
        """See `Listable`. Nothing depends on what it has had."""

    def on_recalled(self) -> None:
        """See `Borrower`."""
        self._context.registry.unlist_socket(self)

    def last_written_s(self) -> float:
        """See `SocketWriter`."""
        self._context.registry.unlist_socket(self)
        return self.written_at_s

    def relay(self, data: Data) -> None:
        """See `SocketWriter`. Between the pieces of a message nothing may be written by others."""
        if not data.is_last:
            self._context.registry.unlist_socket(self)
        super().relay(data)

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items; its frames are ready, unless filters matter."""
        plan = self.plan
        if delivery.channel not in plan.channels:
            return
        is_plain = not (delivery.has_message_actions or delivery.has_content_filters or self.intake is not None)
        if not is_plain or (plan.filters and not delivery.passes(plan)):
            self._receive_singly(delivery)
            return
        frames = delivery.message_frames if self.dialect is PLAIN else delivery.frames_for(self.dialect)
        if not frames:
            return
        taken = self.write(frames, delivery.message_items)
        if taken:
            delivery.messages_sent += 1
            self.written_at_s = delivery.now_s
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
            self._send_item(queued, self.dialect.encode(fmt.kind, content))
        elif fmt.action is Action.CLOSE:
            self._close_session(CloseStatus(fmt.code, fmt.reason if fmt.code is not None else ""))
        else:
            assert fmt.action is Action.REFRESH
            assert self._session is not None
            self._session.refresh()

    def _send_item(self, queued: Queued, frame: bytes) -> None:
        taken = self.write(frame) if frame else None
        if taken:
            queued.receipt.sockets += 1
            self._context.counters.deliveries += 1
            self.written_at_s = self._context.now()
        elif taken is False:
            queued.receipt.dropped += 1

    def _close_session(self, status: CloseStatus) -> None:
        session = self._session
        assert session is not None
        # What waits is lost: the relayed message will not end any more, and nothing may stand between its pieces.
        self._context.counters.drops_socket_closed += self.waiting_items
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

    # --- the end ---------------------------------------------------------------------------------------------------

    def close(self) -> None:
        """Receive nothing any more, and send nothing of what waits. Who made it is forgotten, to be free at once."""
        self._session = None
        if not self.is_open:
            return
        self.is_open = False
        self._context.registry.remove_socket(self)
        self.let_go()
        if self.intake is not None:
            self.intake.clear()
