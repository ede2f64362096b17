"""Streams that do not take every item as it comes: they have a next link, or filters that ask the network.

Such a stream has an intake, which knows what its client has and what has to wait (grip spec §10.3, §10.4). One with a
link follows ids, and asks for what is missing: that is in `recovering_stream`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from holdfast.grip.item import Action
from holdfast.push.intake import Intake, Phase, Queued
from holdfast.push.link import Link
from holdfast.push.outlet import Framing, HoldContext, note_overflow
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, Rendering, stream_rendering
from holdfast.push.stream_hold import StreamHold

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery


class FollowingStream(StreamHold):
    """A stream with an intake; by itself one whose filters ask the network.

    Args:
        link: where the stream goes on; None if the backend said nothing of that.
    """

    __slots__ = ("intake",)

    def __init__(
        self,
        context: HoldContext,
        plan: HoldPlan,
        framing: Framing,
        link: Link | None = None,
        origin: object | None = None,
    ) -> None:
        super().__init__(context, plan, framing, origin)
        self.intake = Intake(plan.prev_ids, link)

    @property
    def prev_ids(self) -> Mapping[str, str]:
        """See `StreamHold`."""
        return self.intake.prev_ids

    # --- items -----------------------------------------------------------------------------------------------------

    def claim(self, delivery: Delivery) -> int | None:
        """See `StreamHold`. A run that does not follow what the client has is none of the simple ones."""
        self._leave_roster()  # which has not taken this run, or was entered while this one was on its way
        ids = self.intake.ids_after(delivery)
        if ids is None or delivery.channel not in self.plan.channels:
            return None
        fd = self._fd_for(delivery)
        if fd is not None:
            self.intake.go_on(ids)
            self._note_activity(delivery.channel, delivery.now_s)
            self._enlist(delivery)
        return fd

    @property
    def followed_ids(self) -> Mapping[str, str]:
        """See `Listable`."""
        return self.intake.prev_ids

    def keep_up(self, followed_ids: Mapping[str, str], at_s: float | None) -> None:
        """See `Listable`."""
        self.intake.go_on(followed_ids)
        if at_s is not None:
            [channel] = self.plan.channels
            self._note_activity(channel, at_s)

    def _leave_roster(self) -> None:
        """Leave the roster, if in one: from here on the intake knows the ids."""
        if self.roster is not None:
            self._context.registry.unlist_stream(self)

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items, at once if every one of them follows what the client has."""
        plan, channel = self.plan, delivery.channel
        if channel not in plan.channels or not delivery.has_stream_items:
            return
        self._leave_roster()
        is_filtered = delivery.has_content_filters or (plan.filters and not delivery.passes(plan))
        ids = None if is_filtered else self.intake.ids_after(delivery)
        if ids is None:
            self._receive_singly(delivery)
        # A client is to notice what it lost by being slow: its ids stay where they are.
        elif self._receive_run(delivery) and self.is_open:
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
        """The client has been sent something of a channel."""

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

    # --- the end ---------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        super()._close()
        self.intake.clear()
