"""Stream holds: responses whose body goes on with every item (grip spec §6).

A hold is plain data plus an outlet, the narrow door to its client. It is closed exactly once, by whatever comes first:
an item, an error, the client's leaving, or the end of the process. What it takes to follow ids and links is in
`following_stream` and `recovering_stream`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from holdfast.grip.item import Action
from holdfast.push.intake import Queued
from holdfast.push.outlet import (
    Framing,
    HoldContext,
    Outlet,
    note_keep_alive,
    note_opened,
    note_skip,
    note_slow,
)
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, render, stream_rendering
from holdfast.push.roster import NO_IDS, UNLISTED, Roster
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery
    from holdfast.push.run import Receipt


class StreamHold:
    """A response whose body goes on with every item.

    Args:
        origin: what is needed to ask backends on behalf of the hold, known to whoever asks; None if that never happens.

    Attributes:
        is_open: None before `open`.
        is_order_watched: whether its order across channels is watched; once it has had several, or has changed them.
        roster, place: see `Listable`.
        presence: the connection of the hold as statistics know it; None for one that they do not.
        written_at_s: when something was written last, or what counts as that for the keep-alive. See `Listable`.
    """

    __slots__ = (
        "_context",
        "_slot",
        "framing",
        "is_open",
        "is_order_watched",
        "origin",
        "outlet",
        "place",
        "plan",
        "presence",
        "roster",
        "written_at_s",
    )

    def __init__(self, context: HoldContext, plan: HoldPlan, framing: Framing, origin: object | None = None) -> None:
        self.plan = plan
        self.framing = framing
        self.is_open: bool | None = None
        self.outlet: Outlet
        self.written_at_s = 0.0
        self.presence: Presence | None = None
        self.origin = origin
        self.is_order_watched = len(plan.channels) > 1
        self.roster: Roster[StreamHold] | None = None
        self.place = UNLISTED
        self._context = context
        self._slot = 0

    def open(self, outlet: Outlet) -> None:
        """The initial response has been written: subscribe, and start the timers. Not if it met with no client."""
        if self.is_open is False:
            self._depart()
            return
        self.outlet = outlet
        self.is_open = True
        self._context.registry.add_stream(self)
        note_opened(self._context, self.presence, Mode.STREAM)
        self.written_at_s = now_s = self._context.now()
        self._arm(now_s)

    # --- items -----------------------------------------------------------------------------------------------------

    def claim(self, delivery: Delivery) -> int | None:
        """Take a run whose bytes are ready, if it is as simple as that: whom to write them to, or None."""
        fd = self._fd_for(delivery)
        if fd is not None:
            self._enlist(delivery)
        return fd

    def _fd_for(self, delivery: Delivery) -> int | None:
        """Whom to write the ready bytes of a run to, which counts as done then; None if more is to be done."""
        plan = self.plan
        if not (self.is_open and self.framing.is_http11) or (plan.filters and not delivery.passes(plan)):
            return None
        fd = self.outlet.direct_fd
        if fd is not None and plan.is_postponed_by_writes:
            self.written_at_s = delivery.now_s
        return fd

    def _enlist(self, delivery: Delivery) -> None:
        """Enter a roster, if there is one for those who take what this hold has just taken."""
        if not self.is_order_watched:
            delivery.home.streams.enlist(self, delivery)

    @property
    def followed_ids(self) -> Mapping[str, str]:
        """See `Listable`."""
        return NO_IDS

    def keep_up(self, followed_ids: Mapping[str, str], at_s: float | None) -> None:
        """See `Listable`. Nothing depends on what it has had."""

    def on_recalled(self) -> None:
        """See `Borrower`."""
        self._context.registry.unlist_stream(self)

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items; its bytes are ready, unless filters matter. The innermost part of the fan-out."""
        plan = self.plan
        if delivery.has_content_filters or (plan.filters and not delivery.passes(plan)):
            self._receive_singly(delivery)
        else:
            self._receive_run(delivery)

    def _receive_run(self, delivery: Delivery) -> bool:
        """Deliver a run in one write; returns whether the client has it."""
        plan = self.plan
        data = delivery.stream_chunk if self.framing.is_http11 else delivery.stream_content
        taken: bool | None = True
        if data:
            taken = self.outlet.write(data)
            if taken:
                delivery.streams_sent += 1
            elif taken is None:
                return False
            else:
                delivery.streams_lost += 1
                note_slow(self._context, plan, delivery.stream_items)
        if delivery.has_stream_content and plan.is_postponed_by_writes:
            self.written_at_s = delivery.now_s
        if delivery.closes_streams and self.is_open:
            self.end()
        return taken is True

    def _receive_singly(self, delivery: Delivery) -> None:
        """Deliver a run item by item."""
        for item, receipt in delivery.entries:
            if item.http_stream is not None and self.is_open:
                self._receive_item(Queued(delivery.channel, item, receipt), delivery.now_s)

    def _receive_item(self, queued: Queued, now_s: float) -> None:
        """Write what the filters make of an item."""
        try:
            content = render(stream_rendering(self.plan, queued.channel, queued.item, self.prev_ids))
        except ItemSkipped as skipped:
            self._skip(queued, skipped, now_s)
        else:
            self._act(queued, content, now_s)

    def _act(self, queued: Queued, content: bytes, now_s: float) -> None:
        """Do what an item wants that has passed the filters."""
        assert queued.item.http_stream is not None
        action = queued.item.http_stream.action
        if action is Action.CLOSE:
            self.end()
        elif action is Action.SEND and (not content or self._append(content, queued.receipt)):
            self.written_at_s = now_s

    def _append(self, content: bytes, receipt: Receipt) -> bool:
        taken = self.outlet.write(encode_chunk(content) if self.framing.is_http11 else content)
        if taken:
            receipt.streams += 1
            self._context.counters.deliveries += 1
        elif taken is False:
            receipt.dropped += 1
            note_slow(self._context, self.plan)
        return bool(taken)

    def _skip(self, queued: Queued, skipped: ItemSkipped, now_s: float) -> None:
        """Go on without an item; one that failed ends the stream in debug mode (grip spec §11.5)."""
        note_skip(self._context, self, skipped)
        if skipped.is_failure:
            queued.receipt.dropped += 1
            if self.plan.route.is_debug:
                self.end(f"\n\n{skipped}\n")

    # --- what only a stream with a link can do ---------------------------------------------------------------------

    @property
    def prev_ids(self) -> Mapping[str, str]:
        """Per full channel name the id that the client has, where that matters."""
        return self.plan.prev_ids

    def update(self, since_s: float, *, is_urgent: bool = False) -> None:
        """Nothing: there is no link to ask."""

    def on_drained(self) -> None:
        """Nobody waits for that."""

    # --- keep-alive ------------------------------------------------------------------------------------------------

    def on_timer(self, now_s: float) -> None:
        """The keep-alive may be due (grip spec §6.2)."""
        self._slot = 0
        keep_alive = self.plan.keep_alive
        if not self.is_open or keep_alive is None:
            return
        if self.plan.is_postponed_by_writes:
            self._context.registry.unlist_stream(self)  # to know when it was written to
        due_s = self.written_at_s + keep_alive.timeout_s - 1
        if self.plan.is_postponed_by_writes and now_s < due_s:
            self._arm(self.written_at_s)
            return
        if not self.outlet.is_blocked and not self._is_occupied:
            data = self.plan.keep_alive_chunk if self.framing.is_http11 else keep_alive.data
            if data:
                self._context.counters.keep_alives_sent += 1
                note_keep_alive(self.presence, len(keep_alive.data))
                self.outlet.write(data)
        self.written_at_s = now_s
        if self.is_open:
            self._arm(now_s)

    @property
    def _is_occupied(self) -> bool:
        """Whether nothing may be written now but by whoever is writing."""
        return False

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
        self._depart()
        if self.origin is not None:
            self._context.updates.backends.hold_ended(self)

    def _depart(self) -> None:
        """The statistics need not know the hold any more."""
        if self.presence is not None:
            self._context.statistics.connections.end(self.presence)
            self.presence = None
