"""Response holds: long polls, which wait for one item, or for their time (grip spec §5)."""

from __future__ import annotations

from typing import TYPE_CHECKING

from holdfast.grip.item import Action, Item, ResponseFormat
from holdfast.grip.values import BackendResponse
from holdfast.push.intake import Intake, Phase, Queued, Wish
from holdfast.push.outlet import (
    Framing,
    HoldContext,
    Outlet,
    note_opened,
    note_overflow,
    note_response,
    note_skip,
)
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, Rendering, render, response_rendering
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Mode
from holdfast.wire.http1.encode import encode_response_head

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery
    from holdfast.push.run import Receipt


class ResponseHold:
    """A response that waits for one item, or for its time.

    Args:
        request: the client's request, for whoever asks the backend again; the hold does not look at it.
        origin: what is needed to ask backends on behalf of the hold, known to whoever asks; None if that never happens.

    Attributes:
        is_open: None before `open`.
        presence: the connection of the hold as statistics know it; None for one that they do not.
        intake: what a hold needs that follows ids, or has filters that ask the network; None for all others.
    """

    __slots__ = ("_context", "_slot", "framing", "intake", "is_open", "origin", "outlet", "plan", "presence", "request")

    def __init__(
        self,
        context: HoldContext,
        plan: HoldPlan,
        framing: Framing,
        request: object,
        origin: object | None = None,
    ) -> None:
        assert plan.kept is not None
        self.plan = plan
        self.framing = framing
        self.request = request
        self.origin = origin
        self.is_open: bool | None = None
        self.outlet: Outlet
        self.presence: Presence | None = None
        self.intake = Intake(plan.prev_ids, None) if plan.prev_ids or plan.network_filtered else None
        self._context = context
        self._slot = 0

    def open(self, outlet: Outlet) -> None:
        """Subscribe, and start the timer. Nothing is sent. A client that left before stays gone.

        If the client has missed an item already, its backend is asked again instead (grip spec §5.5).
        """
        if self.is_open is False:
            self.depart()
            return
        self.outlet = outlet
        if self.intake is not None and self._context.last_ids.has_passed(self.intake.prev_ids):
            self.is_open = False
            self._retry()
            return
        self.is_open = True
        self._context.registry.add_response(self)
        note_opened(self._context, self.presence, Mode.RESPONSE)
        self._slot = self._context.wheel.add(self._context.now() + self.plan.timeout_s, self)

    @property
    def is_order_watched(self) -> bool:
        """Whether its order across channels is watched: it has several."""
        return len(self.plan.channels) > 1

    # --- items -----------------------------------------------------------------------------------------------------

    def claim(self, delivery: Delivery) -> int | None:
        """Never: an answer ends the hold."""
        return None

    def receive(self, delivery: Delivery) -> None:
        """Answer with the first item of the run that is for response holds; others are dropped (grip spec §5.3)."""
        encoded = None if delivery.has_content_filters else delivery.encoded
        for item, receipt in delivery.entries:
            if item.http_response is None:
                continue
            queued = Queued(delivery.channel, item, receipt)
            if self.intake is None or self._is_next(self.intake, queued):
                self._take(queued, encoded)
            elif self.intake.first() is queued:
                receipt.queued += 1
            if not self.is_open:
                return

    def _is_next(self, intake: Intake, queued: Queued) -> bool:
        """Whether an item can be taken now: it follows, and neither it nor one before it has to wait for a filter."""
        channel, item, receipt = queued
        if intake.phase is Phase.FILTERING:
            if intake.put(queued):
                receipt.queued += 1
            else:
                receipt.dropped += 1
                note_overflow(self._context, self)
        elif intake.has(channel, item):
            self._context.counters.items_not_needed += 1
        elif not intake.follows(channel, item):
            self._context.last_ids.remove(channel)
            self.update(self._context.now())
        elif channel in self.plan.network_filtered:
            intake.put_back(queued)
            intake.phase = Phase.FILTERING
            self._context.updates.backends.filter(self)
        else:
            return True
        return False

    def _take(self, queued: Queued, encoded: dict[tuple[object, ...], bytes] | None) -> None:
        """Answer with an item, unless it is not for us; equal answers in `encoded` are encoded once per run."""
        channel, item, receipt = queued
        fmt = item.http_response
        assert fmt is not None
        key = (id(fmt), self.plan, self.framing)
        if encoded is None or channel in self.plan.filters:
            data = self._render(queued, fmt)
        elif (data := encoded.get(key)) is None and (data := self._render(queued, fmt)) is not None:
            encoded[key] = data
        if data is not None:
            self._answer(data, receipt)

    def _answer(self, data: bytes, receipt: Receipt) -> None:
        receipt.responses += 1
        self._context.counters.deliveries += 1
        self._finish(data)

    def _render(self, queued: Queued, fmt: ResponseFormat) -> bytes | None:
        channel, item, _ = queued
        prev_ids = self.intake.prev_ids if self.intake is not None else {}
        try:
            response = render(response_rendering(self.plan, channel, item, fmt, prev_ids))
        except ItemSkipped as skipped:
            self._skip(queued, skipped)
            return None
        if fmt.action is Action.HINT:
            self.update(self._context.now(), is_urgent=True)  # by what the client has now, not by the id of the hint
        else:
            self._advance(channel, item)
        return encode_response(response, self.framing) if response is not None else None

    def _skip(self, queued: Queued, skipped: ItemSkipped) -> None:
        """Go on without an item, or end with an error because of it (grip spec §5.10)."""
        if skipped.is_failure:
            queued.receipt.dropped += 1
        else:
            self._advance(queued.channel, queued.item)
        note_skip(self._context, self, skipped)
        if skipped.is_fatal or (skipped.is_failure and self.plan.route.is_debug):
            self._finish(encode_response(skipped.as_response(self.plan.route.is_debug), self.framing))

    def _advance(self, channel: str, item: Item) -> None:
        """The item has gone through the filters: the next one must follow it."""
        if self.intake is not None:
            self.intake.advance(channel, item.id)

    # --- filters that ask the network ------------------------------------------------------------------------------

    def rendering(self) -> Rendering[BackendResponse | None] | None:
        """Begin to filter the item that waits first; None when the hold has ended. Then `filtered` or `skipped`."""
        queued = self.intake.first() if self.is_open and self.intake is not None else None
        if queued is None or self.intake is None:
            return None
        assert queued.item.http_response is not None
        prev_ids = self.intake.prev_ids
        return response_rendering(self.plan, queued.channel, queued.item, queued.item.http_response, prev_ids)

    def filtered(self, response: BackendResponse | None) -> None:
        """The item that waits first has passed its filters; what it makes of the kept response, None for nothing."""
        queued = self._end_filtering()
        if queued is None:
            return
        channel, item, receipt = queued
        assert item.http_response is not None
        if response is not None:
            self._answer(encode_response(response, self.framing), receipt)
        elif item.http_response.action is Action.HINT:
            self.update(self._context.now(), is_urgent=True)
        else:
            self._advance(channel, item)
        self._go_on()

    def skipped(self, skipped: ItemSkipped) -> None:
        """The item that waits first has not passed its filters."""
        queued = self._end_filtering()
        if queued is not None:
            self._skip(queued, skipped)
            self._go_on()

    def _end_filtering(self) -> Queued | None:
        if not self.is_open or self.intake is None:
            return None
        self.intake.phase = Phase.OPEN
        return self.intake.take()

    def _go_on(self) -> None:
        """Take up what has waited for the filter."""
        intake = self.intake
        if not self.is_open or intake is None:
            return
        if intake.wish is not None:
            wish, intake.wish = intake.wish, None
            self.update(wish.since_s, is_urgent=wish.is_urgent)
        while self.is_open and intake.phase is Phase.OPEN and (queued := intake.take()) is not None:
            if self._is_next(intake, queued):
                self._take(queued, None)

    # --- asking again ----------------------------------------------------------------------------------------------

    def update(self, since_s: float, *, is_urgent: bool = False) -> None:
        """Ask the backend again: at once, or when it is this hold's turn (grip spec §7.1)."""
        if not self.is_open:
            return
        if self.intake is not None and self.intake.phase is Phase.FILTERING:
            self.intake.wish = Wish(is_urgent or (self.intake.wish is not None and self.intake.wish.is_urgent), since_s)
        elif is_urgent:
            self._context.updates.ask_now(self, since_s)
        else:
            self._context.updates.ask_soon(self, since_s)

    def ask_again(self, since_s: float) -> bool:
        """Ask the backend again on behalf of the client, who notices nothing (grip spec §5.6)."""
        if self.is_open:
            self._close()
            self._retry()
        return True

    def _retry(self) -> None:
        self._context.counters.holds_retried += 1
        self._context.updates.backends.retry(self)

    # --- the end ---------------------------------------------------------------------------------------------------

    def end(self) -> None:
        """Answer with the kept response."""
        if self.is_open:
            assert self.plan.kept is not None
            self._finish(encode_response(self.plan.kept, self.framing))

    def on_client_gone(self) -> None:
        """The client left."""
        if self.is_open:
            self._context.counters.holds_abandoned += 1
            self._close()
            self._report_end()
        self.is_open = False

    def on_drained(self) -> None:
        """Nothing has been written yet, so this does not happen."""

    def on_timer(self, now_s: float) -> None:
        """The time is up (grip spec §5.2)."""
        self._slot = 0
        if self.is_open:
            self._context.counters.holds_timed_out += 1
            self.end()

    def describe(self) -> str:
        """Channels, for logs."""
        return f"long poll of {', '.join(self.plan.channels) or 'no channel'}"

    def _finish(self, data: bytes) -> None:
        self._close()
        if self.presence is not None and self._context.statistics.wants_reports:
            note_response(self.presence, data)
        self.outlet.finish(data, is_reusable=self.framing.is_persistent)
        self._report_end()

    def _report_end(self) -> None:
        self.depart()
        if self.origin is not None:
            self._context.updates.backends.hold_ended(self)

    def depart(self) -> None:
        """The statistics need not know the connection of the hold any more."""
        if self.presence is not None:
            self._context.statistics.connections.end(self.presence)
            self.presence = None

    def _close(self) -> None:
        self.is_open = False
        self._context.updates.forget(self)
        self._context.registry.remove_response(self)
        if self.presence is not None:
            self._context.statistics.connections.release(self.presence)
        if self._slot:
            self._context.wheel.remove(self._slot, self)


def encode_response(response: BackendResponse, framing: Framing) -> bytes:
    """A whole response for one client; 1xx, 204 and 304 have neither body nor length (grip spec §5.3)."""
    code, reason, headers, body = response.code, response.reason, response.headers, response.body
    if framing.transform is not None:
        code, reason, headers, body = framing.transform.held(code, reason, headers, body)
    has_body = code >= 200 and code not in (204, 304)
    head = encode_response_head(
        code,
        reason,
        headers,
        is_http11=framing.is_http11,
        is_persistent=framing.is_persistent,
        content_length=len(body) if has_body else None,
    )
    return head if framing.is_bodyless or not has_body else head + body
