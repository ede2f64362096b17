"""Streams that recover what they missed.

They ask their next link when something is missing, or when nothing has come for a while (grip spec §6.4-§6.8).
"""

from __future__ import annotations

import math
from collections.abc import Callable

from holdfast.push.following_stream import FollowingStream
from holdfast.push.intake import Phase, Wish
from holdfast.push.link import MAX_FAILURES, Link
from holdfast.push.outlet import Framing, HoldContext, Outlet
from holdfast.push.plan import HoldPlan
from holdfast.push.stream_hold import StreamHold
from holdfast.timers import Deadline
from holdfast.wire.http1.encode import encode_chunk


class RecoveringStream(FollowingStream):
    """A stream that asks its next link; it may lose that with an answer that has none."""

    __slots__ = ()

    def open(self, outlet: Outlet) -> None:
        """See `StreamHold`. What the client has missed already, its link is asked for (grip spec §6.4)."""
        super().open(outlet)
        if self.is_open:
            self._arm_link(self.written_at_s)
            if self._context.last_ids.has_passed(self.intake.prev_ids):
                self.update(self.written_at_s)

    # --- the next link ---------------------------------------------------------------------------------------------

    def update(self, since_s: float, *, is_urgent: bool = False) -> None:
        """Ask the next link, if there is one: at once, or when it is this hold's turn (grip spec §7.1).

        Args:
            since_s: when the cause arose.
        """
        intake = self.intake
        if not self.is_open or intake.link is None:
            return
        self._leave_roster()
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
        """Nothing has happened for the time of the link, unless it has in the roster (grip spec §6.8)."""
        deadline = self.intake.deadline
        assert deadline is not None
        self._leave_roster()
        if not now_s < deadline.at_s < math.inf:
            deadline.clear()
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

    def _note_activity(self, channel: str, now_s: float) -> None:
        """The client has been sent something of a channel: there is time before its link is asked (grip spec §6.8)."""
        intake = self.intake
        if intake.deadline is not None and intake.link is not None and intake.is_active(channel, self.plan.channels):
            intake.deadline.set(now_s + intake.link.timeout_s)

    # --- the end ---------------------------------------------------------------------------------------------------

    def _close(self) -> None:
        super()._close()
        self._leave_clock()
        self._context.updates.forget(self)
        if self.intake.deadline is not None:
            self.intake.deadline.cancel()
        self.intake.drained()


def make_stream(
    context: HoldContext, plan: HoldPlan, framing: Framing, link: Link | None = None, origin: object | None = None
) -> StreamHold:
    """The kind of stream that these need."""
    if link is not None:
        return RecoveringStream(context, plan, framing, link, origin)
    if plan.network_filtered:
        return FollowingStream(context, plan, framing, origin=origin)
    return StreamHold(context, plan, framing, origin)
