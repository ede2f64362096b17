"""Streams that recover what they missed: they follow ids and next links, or have filters that ask the network.

Such a stream has an intake, which knows what its client has and what has to wait (grip spec §6.4-§6.8, §10.3, §10.4).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from holdfast.grip.item import Action
from holdfast.push.intake import Intake, Phase, Queued, Wish
from holdfast.push.link import MAX_FAILURES, Link
from holdfast.push.outlet import Framing, HoldContext, Outlet, note_overflow
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, Rendering, stream_rendering
from holdfast.push.stream_hold import StreamHold
from holdfast.timers import Deadline
from holdfast.wire.http1.encode import encode_chunk

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery


class RecoveringStream(StreamHold):
    """A stream with an intake.

    Args:
        link: where the stream goes on, if the backend said so.
    """

    __slots__ = ("intake",)

    is_always_asked = True

    def __init__(
        self, context: HoldContext, plan: HoldPlan, framing: Framing, link: Link | None, origin: object | None = None
    ) -> None:
        super().__init__(context, plan, framing, origin)
        self.intake = Intake(plan.prev_ids, link)

    def open(self, outlet: Outlet) -> None:
        """See `StreamHold`. What the client has missed already, its link is asked for (grip spec §6.4)."""
        super().open(outlet)
        if self.is_open:
            self._arm_link(self.written_at_s)
            if self._context.last_ids.has_passed(self.intake.prev_ids):
                self.update(self.written_at_s)

    @property
    def prev_ids(self) -> Mapping[str, str]:
        """See `StreamHold`."""
        return self.intake.prev_ids

    # --- items -----------------------------------------------------------------------------------------------------

    def claim(self, delivery: Delivery) -> int | None:
        """See `StreamHold`. A run that does not follow what the client has is none of the simple ones."""
        channel, intake = delivery.channel, self.intake
        ids = intake.ids_after(delivery)
        if ids is None or channel not in self.plan.channels:
            return None
        fd = super().claim(delivery)
        if fd is not None:
            self._note_activity(channel, delivery.now_s)
            intake.go_on(ids)
        return fd

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items, at once if every one of them follows what the client has."""
        plan, channel = self.plan, delivery.channel
        if channel not in plan.channels:
            return
        is_filtered = delivery.has_content_filters or (plan.filters and not delivery.passes(plan))
        ids = None if is_filtered else self.intake.ids_after(delivery)
        if ids is None:
            self._receive_singly(delivery)
        # A client is to notice what it lost by being slow: its ids stay where they are.
        elif self._receive_run(delivery) and delivery.has_stream_items and self.is_open:
            self.intake.go_on(ids)
            self._note_activity(channel, delivery.now_s)

    def _receive_item(self, queued: Queued, now_s: float) -> None:
        """Take an item now, or let it wait for its turn: behind others, and behind what the backend is asked for."""
        intake = self.intake
        if intake.phase is Phase.OPEN or (intake.phase is Phase.WAITING and self._is_surely_next(queued)):
            self._take(queued, now_s)
            queued.receipt.queued += intake.first() is queued
        elif intake.put(queued):
            queued.receipt.queued += 1
        else:
            queued.receipt.dropped += 1
            note_overflow(self._context, self)

    def _is_surely_next(self, queued: Queued) -> bool:
        """Whether the ids say that nothing is missing before an item, which then need not wait for the backend."""
        intake, (channel, item, _) = self.intake, queued
        if len(intake) or channel in self.plan.network_filtered:
            return False
        return channel in intake.prev_ids and intake.follows(channel, item)

    def _take(self, queued: Queued, now_s: float) -> None:
        """Take an item, unless the client has it already, or has missed the one before it (grip spec §10.3)."""
        intake, (channel, item, _) = self.intake, queued
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
            super()._receive_item(queued, now_s)

    def _act(self, queued: Queued, content: bytes, now_s: float) -> None:
        """See `StreamHold`; then go on from there, unless the client has lost it."""
        channel, item, _ = queued
        assert item.http_stream is not None
        action = item.http_stream.action
        if action is Action.HINT:
            if self.intake.link is not None:
                self.intake.clear()
                self.update(now_s, is_urgent=True)  # by what the client has, not by the id of the hint
        elif action is not Action.SEND or not content or self._append(content, queued.receipt):
            if action is Action.SEND:
                self.written_at_s = now_s
            elif action is Action.CLOSE:
                self.end()
            self._advance(channel, item.id, now_s)

    def _skip(self, queued: Queued, skipped: ItemSkipped, now_s: float) -> None:
        """See `StreamHold`. An item that a filter dropped counts as received, one that failed does not (§10.3)."""
        super()._skip(queued, skipped, now_s)
        if not skipped.is_failure:
            self._advance(queued.channel, queued.item.id, now_s)

    def _advance(self, channel: str, item_id: str | None, now_s: float) -> None:
        self.intake.advance(channel, item_id)
        self._note_activity(channel, now_s)

    def _note_activity(self, channel: str, now_s: float) -> None:
        """The client has been sent something of a channel: there is time before its link is asked (grip spec §6.8)."""
        intake = self.intake
        if intake.deadline is not None and intake.link is not None and intake.is_active(channel, self.plan.channels):
            intake.deadline.set(now_s + intake.link.timeout_s)

    # --- filters that ask the network ------------------------------------------------------------------------------

    def rendering(self) -> Rendering[bytes] | None:
        """Begin to filter the item that waits first; None when the hold has ended. Then `filtered` or `skipped`."""
        queued = self.intake.first() if self.is_open else None
        if queued is None:
            return None
        return stream_rendering(self.plan, queued.channel, queued.item, self.intake.prev_ids)

    def filtered(self, content: bytes) -> None:
        """The item that waits first has passed its filters, which made `content` of it."""
        self._end_filtering(lambda queued, now_s: self._act(queued, content, now_s))

    def skipped(self, skipped: ItemSkipped) -> None:
        """The item that waits first has not passed its filters."""
        self._end_filtering(lambda queued, now_s: self._skip(queued, skipped, now_s))

    def _end_filtering(self, act: Callable[[Queued, float], None]) -> None:
        intake = self.intake
        if not self.is_open:
            return
        queued = intake.take()
        assert queued is not None
        now_s = self._context.now()
        intake.phase = Phase.OPEN
        act(queued, now_s)
        self._drain(now_s)

    def _drain(self, now_s: float) -> None:
        """Take what waits, as far as possible; then make the update that was wished for meanwhile."""
        intake = self.intake
        while self.is_open and intake.phase is Phase.OPEN and (queued := intake.take()) is not None:
            self._take(queued, now_s)
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
        if not self.is_open or intake.link is None:
            return
        if intake.phase in (Phase.FETCHING, Phase.FILTERING):
            self._wish(is_urgent, since_s)
        elif self.outlet.is_blocked:  # what it asks for now would only be lost; see `on_drained`
            intake.phase = Phase.WAITING
            self._wish(is_urgent, since_s)
        elif is_urgent:
            self._context.updates.ask_now(self, since_s)
        else:
            intake.phase = Phase.WAITING
            self._context.updates.ask_soon(self, since_s)

    def ask_again(self, since_s: float) -> bool:
        """Ask the next link now; returns whether that takes a request of its own."""
        assert self.is_open
        self.intake.phase = Phase.FETCHING
        self._leave_clock()
        self._context.counters.links_followed += 1
        return self._context.updates.backends.follow(self, since_s)

    def on_deadline(self, now_s: float) -> None:
        """Nothing has happened for the time of the link (grip spec §6.8)."""
        self.update(now_s)

    def relay(self, content: bytes) -> None:
        """Append a piece of the link's answer; items and keep-alives wait until it is complete.

        A client too slow to take it cannot go on without it: its stream ends, and it comes back with what it has.
        """
        if not self.is_open:
            return
        self.intake.is_relaying = True
        if content and not self.outlet.write(encode_chunk(content) if self.framing.is_http11 else content):
            self.end()

    def when_drained(self, callback: Callable[[], None]) -> None:
        """Call back once when the client, which is blocked, has taken what was written, or has left."""
        self.intake.on_drained = callback

    def on_drained(self) -> None:
        """The client has taken everything that was written."""
        intake = self.intake
        intake.drained()
        if self.is_open and intake.phase is Phase.WAITING and intake.wish is not None:
            wish, intake.wish = intake.wish, None
            self.update(wish.since_s, is_urgent=wish.is_urgent)

    def _wish(self, is_urgent: bool, since_s: float) -> None:
        known = self.intake.wish
        self.intake.wish = Wish(is_urgent or (known is not None and known.is_urgent), since_s)

    def resume(self, plan: HoldPlan, link: Link | None, origin: object, asked_s: float) -> None:
        """Go on as the link's answer says: other channels, filters, ids, keep-alive and link (grip spec §6.7).

        Args:
            asked_s: when the link was asked; what was wished for until then has been granted.
        """
        intake = self.intake
        if not self.is_open:
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
        self._arm_link(now_s)
        # Only of channels that are new: of the others, items may be on their way that the answer had already.
        missing = {channel: plan.prev_ids[channel] for channel in new_channels if channel in plan.prev_ids}
        is_missing = context.last_ids.has_passed(missing)
        self._drain(now_s)
        if is_missing or is_uncertain:
            self.update(now_s)

    def follow_on(self, link: Link, origin: object, since_s: float) -> None:
        """The link's answer, which came at `since_s`, has no hold and only points on."""
        if self.is_open:
            self.intake.link = link
            self.origin = origin
            self._context.updates.ask_now(self, since_s)

    def fail_link(self) -> bool:
        """Asking the link has failed; returns whether it was the last time, after which the stream must end."""
        link = self.intake.link
        assert link is not None
        link.failures += 1
        return link.failures >= MAX_FAILURES

    def _arm_link(self, now_s: float) -> None:
        intake = self.intake
        if intake.link is None:
            return
        if intake.deadline is None:
            intake.deadline = Deadline(self._context.wheel, self)
        intake.deadline.set(self._context.link_clock.join(intake.link, now_s))
        intake.is_on_clock = True

    def _leave_clock(self) -> None:
        intake = self.intake
        if intake.is_on_clock:
            assert intake.link is not None
            assert intake.deadline is not None
            intake.is_on_clock = False
            intake.deadline.clear()
            self._context.link_clock.leave(intake.link)

    @property
    def _is_occupied(self) -> bool:
        """A part of the link's answer has been written: nothing may come in between."""
        return self.intake.is_relaying

    # --- the end ---------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        super()._close()
        self._leave_clock()
        self._context.updates.forget(self)
        if self.intake.deadline is not None:
            self.intake.deadline.cancel()
        self.intake.clear()
        self.intake.drained()


def make_stream(
    context: HoldContext, plan: HoldPlan, framing: Framing, link: Link | None = None, origin: object | None = None
) -> StreamHold:
    """The kind of stream that these need."""
    if link is not None or plan.network_filtered:
        return RecoveringStream(context, plan, framing, link, origin)
    return StreamHold(context, plan, framing, origin)
