"""Stream holds: responses whose body goes on with every item (grip spec §6).

A hold is plain data plus an outlet, the narrow door to its client. It is closed exactly once, by whatever comes first:
an item, an error, the client's leaving, or the end of the process.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from holdfast.grip.item import Action
from holdfast.push.intake import Intake, Phase, Queued, Wish
from holdfast.push.link import MAX_FAILURES, Link
from holdfast.push.outlet import Framing, HoldContext, Outlet, note_overflow, note_skip
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, Rendering, render, stream_rendering
from holdfast.timers import Deadline
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery, Receipt


class StreamHold:
    """A response whose body goes on with every item.

    Args:
        link: where the stream goes on, if the backend said so.
        origin: what is needed to ask backends on behalf of the hold, known to whoever asks; None if that never happens.

    Attributes:
        is_open: None before `open`.
        is_order_watched: whether its order across channels is watched; once it has had several, or has changed them.
        intake: what a hold needs that cannot take every item as it comes; None for all others.
    """

    __slots__ = (
        "_context",
        "_slot",
        "framing",
        "intake",
        "is_open",
        "is_order_watched",
        "origin",
        "outlet",
        "plan",
        "written_at_s",
    )

    def __init__(
        self,
        context: HoldContext,
        plan: HoldPlan,
        framing: Framing,
        link: Link | None = None,
        origin: object | None = None,
    ) -> None:
        self.plan = plan
        self.framing = framing
        self.is_open: bool | None = None
        self.outlet: Outlet
        self.written_at_s = 0.0
        self.origin = origin
        self.is_order_watched = len(plan.channels) > 1
        self.intake = Intake(plan.prev_ids, link) if link is not None or plan.network_filtered else None
        self._context = context
        self._slot = 0

    def open(self, outlet: Outlet) -> None:
        """The initial response has been written: subscribe, and start the timers. Not if it met with no client."""
        if self.is_open is False:
            return
        self.outlet = outlet
        self.is_open = True
        context = self._context
        context.registry.add_stream(self)
        context.counters.holds_opened += 1
        self.written_at_s = now_s = context.now()
        self._arm(now_s)
        if self.intake is not None:
            self._arm_link(self.intake, now_s)
            if context.last_ids.has_passed(self.intake.prev_ids):
                self.update(now_s)

    # --- items -----------------------------------------------------------------------------------------------------

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items; without filters its bytes are ready. This is the innermost part of the fan-out."""
        plan, intake = self.plan, self.intake
        if delivery.has_content_filters or (plan.filters and delivery.channel in plan.filters):
            self._receive_singly(delivery)
            return
        if intake is not None and not (delivery.channel in plan.channels and intake.follows_run(delivery)):
            self._receive_singly(delivery)
            return
        data = delivery.stream_chunk if self.framing.is_http11 else delivery.stream_content
        if data:
            taken = self.outlet.write(data)
            if taken:
                delivery.streams_sent += 1
            elif taken is None:
                return
            else:
                delivery.streams_lost += 1
                intake = None  # a client that follows ids is to notice what it lost
        if delivery.has_stream_content and plan.is_postponed_by_writes:
            self.written_at_s = delivery.now_s
        if intake is not None and delivery.has_stream_items:
            self._advance(intake, delivery.channel, delivery.last_id, delivery.now_s)
        if delivery.closes_streams and self.is_open:
            self.end()

    def _receive_singly(self, delivery: Delivery) -> None:
        """Deliver a run item by item."""
        for item, receipt in delivery.entries:
            if item.http_stream is None:
                continue
            if not self.is_open:
                return
            queued = Queued(delivery.channel, item, receipt)
            if self.intake is None:
                self._render(queued, delivery.now_s)
            elif delivery.channel in self.plan.channels:
                self._offer(self.intake, queued, delivery.now_s)

    def _offer(self, intake: Intake, queued: Queued, now_s: float) -> None:
        """Take an item now, or let it wait for its turn: behind others, and behind what the backend is asked for."""
        if intake.phase is Phase.OPEN or (intake.phase is Phase.WAITING and self._is_surely_next(intake, queued)):
            self._take(intake, queued, now_s)
            queued.receipt.queued += intake.first() is queued
        elif intake.put(queued):
            queued.receipt.queued += 1
        else:
            queued.receipt.dropped += 1
            note_overflow(self._context.counters, self.outlet.describe(), self.describe())

    def _is_surely_next(self, intake: Intake, queued: Queued) -> bool:
        """Whether the ids say that nothing is missing before an item, which then need not wait for the backend."""
        channel, item, _ = queued
        if len(intake) or channel in self.plan.network_filtered:
            return False
        return channel in intake.prev_ids and intake.follows(channel, item)

    def _take(self, intake: Intake, queued: Queued, now_s: float) -> None:
        """Take an item, unless the client has it already, or has missed the one before it (grip spec §10.3)."""
        channel, item, _ = queued
        if intake.has(channel, item):
            self._context.counters.items_not_needed += 1
        elif not intake.follows(channel, item):
            self._context.last_ids.remove(channel)
            intake.clear()
            if item.http_stream is not None and item.http_stream.action is not Action.HINT:
                intake.put(queued)  # the answer may end before it, and then it is the next one
            self.update(now_s)
        elif channel in self.plan.network_filtered:
            intake.put_back(queued)
            intake.phase = Phase.FILTERING
            self._context.updates.backends.filter(self)
        else:
            self._render(queued, now_s)

    def _render(self, queued: Queued, now_s: float) -> None:
        """Write what the filters make of an item."""
        channel, item, _ = queued
        try:
            content = render(stream_rendering(self.plan, channel, item, self._prev_ids))
        except ItemSkipped as skipped:
            self._skip(queued, skipped, now_s)
        else:
            self._finish_item(queued, content, now_s)

    def _finish_item(self, queued: Queued, content: bytes, now_s: float) -> None:
        """Act on an item that has passed the filters."""
        channel, item, receipt = queued
        assert item.http_stream is not None
        action = item.http_stream.action
        if action is Action.CLOSE:
            self.end()
            return
        if action is Action.SEND:
            if content and not self._append(content, receipt):
                return
            self.written_at_s = now_s
        intake = self.intake
        if intake is None:
            return
        if action is not Action.HINT:
            self._advance(intake, channel, item.id, now_s)
        elif intake.link is not None:
            intake.clear()
            self.update(now_s, is_urgent=True)  # by what the client has, not by the id of the hint

    def _append(self, content: bytes, receipt: Receipt) -> bool:
        taken = self.outlet.write(encode_chunk(content) if self.framing.is_http11 else content)
        if taken:
            receipt.receivers += 1
            self._context.counters.deliveries += 1
        elif taken is False:
            receipt.dropped += 1
        return bool(taken)

    def _skip(self, queued: Queued, skipped: ItemSkipped, now_s: float) -> None:
        """Go on without an item. One that a filter dropped counts as received, one that failed does not (§10.3)."""
        note_skip(self._context.counters, self.outlet.describe(), self.describe(), skipped)
        if not skipped.is_failure:
            if self.intake is not None:
                self._advance(self.intake, queued.channel, queued.item.id, now_s)
        else:
            queued.receipt.dropped += 1
            if self.plan.route.is_debug:
                self.end(f"\n\n{skipped}\n")

    def _advance(self, intake: Intake, channel: str, item_id: str | None, now_s: float) -> None:
        intake.advance(channel, item_id)
        if intake.deadline is not None and intake.link is not None and intake.is_active(channel, self.plan.channels):
            intake.deadline.set(now_s + intake.link.timeout_s)

    @property
    def _prev_ids(self) -> Mapping[str, str]:
        return self.intake.prev_ids if self.intake is not None else self.plan.prev_ids

    # --- filters that ask the network ------------------------------------------------------------------------------

    def rendering(self) -> Rendering[bytes] | None:
        """Begin to filter the item that waits first; None when the hold has ended. Then `filtered` or `skipped`."""
        queued = self.intake.first() if self.is_open and self.intake is not None else None
        if queued is None:
            return None
        return stream_rendering(self.plan, queued.channel, queued.item, self._prev_ids)

    def filtered(self, content: bytes) -> None:
        """The item that waits first has passed its filters, which made `content` of it."""
        self._end_filtering(lambda queued, now_s: self._finish_item(queued, content, now_s))

    def skipped(self, skipped: ItemSkipped) -> None:
        """The item that waits first has not passed its filters."""
        self._end_filtering(lambda queued, now_s: self._skip(queued, skipped, now_s))

    def _end_filtering(self, act: Callable[[Queued, float], None]) -> None:
        intake = self.intake
        if not self.is_open or intake is None:
            return
        queued = intake.take()
        assert queued is not None
        now_s = self._context.now()
        intake.phase = Phase.OPEN
        act(queued, now_s)
        self._drain(intake, now_s)

    def _drain(self, intake: Intake, now_s: float) -> None:
        """Take what waits, as far as possible; then make the update that was wished for meanwhile."""
        while self.is_open and intake.phase is Phase.OPEN and (queued := intake.take()) is not None:
            self._take(intake, queued, now_s)
        if self.is_open and intake.phase is Phase.OPEN and intake.wish is not None:
            wish, intake.wish = intake.wish, None
            self.update(wish.since_s, is_urgent=wish.is_urgent)

    # --- the next link ---------------------------------------------------------------------------------------------

    def update(self, since_s: float, *, is_urgent: bool = False) -> None:
        """Ask the next link, if there is one: at once, or when it is this hold's turn (grip spec §7.1).

        Args:
            since_s: when the cause arose.
        """
        intake = self.intake
        if not self.is_open or intake is None or intake.link is None:
            return
        if intake.phase in (Phase.FETCHING, Phase.FILTERING):
            intake.wish = Wish(is_urgent or (intake.wish is not None and intake.wish.is_urgent), since_s)
        elif is_urgent:
            self._context.updates.ask_now(self, since_s)
        else:
            intake.phase = Phase.WAITING
            self._context.updates.ask_soon(self, since_s)

    def ask_again(self, since_s: float) -> bool:
        """Ask the next link now; returns whether that takes a request of its own."""
        intake = self.intake
        assert self.is_open
        assert intake is not None
        intake.phase = Phase.FETCHING
        self._leave_clock(intake)
        self._context.counters.links_followed += 1
        return self._context.updates.backends.follow(self, since_s)

    def on_deadline(self, now_s: float) -> None:
        """Nothing has happened for the time of the link (grip spec §6.8)."""
        self.update(now_s)

    def relay(self, content: bytes) -> None:
        """Append a piece of the link's answer; items and keep-alives wait until it is complete.

        A client too slow to take it cannot go on without it: its stream ends, and it comes back with what it has.
        """
        if not self.is_open or self.intake is None:
            return
        self.intake.is_relaying = True
        if content and not self.outlet.write(encode_chunk(content) if self.framing.is_http11 else content):
            self.end()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once when the client, which is blocked, has taken what was written, or has left."""
        assert self.intake is not None
        self.intake.on_drained = callback

    def on_drained(self) -> None:
        """The client has taken everything that was written."""
        if self.intake is not None:
            self.intake.drained()

    def resume(self, plan: HoldPlan, link: Link | None, origin: object, asked_s: float) -> None:
        """Go on as the link's answer says: other channels, filters, ids, keep-alive and link (grip spec §6.7).

        Args:
            asked_s: when the link was asked; what was wished for until then has been granted.
        """
        intake = self.intake
        if not self.is_open or intake is None:
            return
        if intake.wish is not None and intake.wish.since_s <= asked_s:
            intake.wish = None
        context, now_s = self._context, self._context.now()
        self._disarm()
        new_channels = [channel for channel in plan.channels if channel not in self.plan.channels]
        context.registry.move_stream(self, plan)
        self.plan = plan
        self.origin = origin
        is_uncertain = intake.begin_again(plan.prev_ids, link, plan.channels)
        self.written_at_s = now_s
        self._arm(now_s)
        self._arm_link(intake, now_s)
        # Only of channels that are new: of the others, items may be on their way that the answer had already.
        missing = {channel: plan.prev_ids[channel] for channel in new_channels if channel in plan.prev_ids}
        is_missing = context.last_ids.has_passed(missing)
        self._drain(intake, now_s)
        if is_missing or is_uncertain:
            self.update(now_s)

    def follow_on(self, link: Link, origin: object, since_s: float) -> None:
        """The link's answer, which came at `since_s`, has no hold and only points on."""
        if self.is_open and self.intake is not None:
            self.intake.link = link
            self.origin = origin
            self._context.updates.ask_now(self, since_s)

    def fail_link(self) -> bool:
        """Asking the link has failed; returns whether it was the last time, after which the stream must end."""
        intake = self.intake
        assert intake is not None
        assert intake.link is not None
        intake.link.failures += 1
        return intake.link.failures >= MAX_FAILURES

    def _arm_link(self, intake: Intake, now_s: float) -> None:
        if intake.link is None:
            return
        if intake.deadline is None:
            intake.deadline = Deadline(self._context.wheel, self)
        intake.deadline.set(self._context.link_clock.join(intake.link, now_s))
        intake.is_on_clock = True

    def _leave_clock(self, intake: Intake) -> None:
        if intake.is_on_clock:
            assert intake.link is not None
            assert intake.deadline is not None
            intake.is_on_clock = False
            intake.deadline.clear()
            self._context.link_clock.leave(intake.link)

    # --- keep-alive ------------------------------------------------------------------------------------------------

    def on_timer(self, now_s: float) -> None:
        """The keep-alive may be due (grip spec §6.2)."""
        self._slot = 0
        keep_alive = self.plan.keep_alive
        if not self.is_open or keep_alive is None:
            return
        due_s = self.written_at_s + keep_alive.timeout_s - 1
        if self.plan.is_postponed_by_writes and now_s < due_s:
            self._arm(self.written_at_s)
            return
        is_relaying = self.intake is not None and self.intake.is_relaying
        if not self.outlet.is_blocked and not is_relaying:
            data = self.plan.keep_alive_chunk if self.framing.is_http11 else keep_alive.data
            if data:
                self._context.counters.keep_alives_sent += 1
                self.outlet.write(data)
        self.written_at_s = now_s
        if self.is_open:
            self._arm(now_s)

    def _arm(self, from_s: float) -> None:
        """Fire `timeout` seconds after `from_s`, less a fresh random part of a second (grip spec §6.2)."""
        keep_alive = self.plan.keep_alive
        if keep_alive is not None:
            self._slot = self._context.wheel.add(from_s + keep_alive.timeout_s - self._context.jitter(), self)

    def _disarm(self) -> None:
        if self._slot:
            self._context.wheel.remove(self._slot, self)
            self._slot = 0

    # --- the end ---------------------------------------------------------------------------------------------------

    def end(self, message: str = "") -> None:
        """End the body cleanly; `message`, if any, is shown before (grip spec §6.1)."""
        if not self.is_open:
            return
        self._close()
        tail = message.encode()
        if self.framing.is_http11:
            tail = (encode_chunk(tail) if tail else b"") + LAST_CHUNK
        self.outlet.finish(tail, is_reusable=self.framing.is_persistent and self.framing.is_http11)

    def on_client_gone(self) -> None:
        """The client left."""
        if self.is_open:
            self._context.counters.holds_abandoned += 1
            self._close()
        self.is_open = False

    def describe(self) -> str:
        """Channels, for logs."""
        return f"stream of {', '.join(self.plan.channels) or 'no channel'}"

    def _close(self) -> None:
        self.is_open = False
        self._context.registry.remove_stream(self)
        self._disarm()
        if self.intake is not None:
            self._leave_clock(self.intake)
            self._context.updates.forget(self)
            if self.intake.deadline is not None:
                self.intake.deadline.cancel()
            self.intake.clear()
            self.intake.drained()
        if self.origin is not None:
            self._context.updates.backends.hold_ended(self)
