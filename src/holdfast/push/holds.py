"""Holds: what remains of an exchange whose response is kept open (grip spec §5, §6).

A hold is plain data plus an outlet, the narrow door to its client. It is closed exactly once, by whatever comes first:
an item, its time, the client's leaving, or the end of the process.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from holdfast.counters import Counters
from holdfast.grip.item import Action, Item, ResponseFormat
from holdfast.grip.values import BackendResponse
from holdfast.push.channels import Registry
from holdfast.push.last_ids import LastIds
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped, render_response, render_stream
from holdfast.push.updates import Updates
from holdfast.timers import TimerWheel
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk, encode_response_head

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery, Receipt

log = logging.getLogger("holdfast.push")


class Outlet(Protocol):
    """Where a hold writes to. Everything else about the network is hidden behind it."""

    def write(self, data: bytes) -> bool | None:
        """Send or queue; False when the data was lost because the client is too slow, None when the client is gone."""
        ...

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        """Send the end of the response. The client is then free for its next request, or closed."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not yet taken what was written."""
        ...

    def describe(self) -> str:
        """The client's address, for logs."""
        ...


@dataclass(frozen=True, slots=True)
class Framing:
    """How responses to one client are framed; there are only a few, so holds share them.

    Args:
        is_http11: chunks can be sent; otherwise a stream ends by closing.
        is_persistent: the connection may be used again after the response.
        is_bodyless: no body may be sent, because the method is HEAD (long polls only: there is no stream without body).
    """

    is_http11: bool
    is_persistent: bool
    is_bodyless: bool


@dataclass(slots=True)
class HoldContext:
    """What all holds use.

    Args:
        now: monotonic time in seconds.
        jitter: a random number in [0, 1), for keep-alives.
        last_ids: newest id per channel.
        updates: where holds go that have to ask their backend again.
    """

    registry: Registry
    wheel: TimerWheel
    counters: Counters
    now: Callable[[], float]
    jitter: Callable[[], float]
    last_ids: LastIds
    updates: Updates


class StreamHold:
    """A response whose body goes on with every item (grip spec §6).

    Attributes:
        is_open: None before `open`.
    """

    __slots__ = ("_context", "_slot", "framing", "is_open", "outlet", "plan", "written_at_s")

    def __init__(self, context: HoldContext, plan: HoldPlan, framing: Framing) -> None:
        self.plan = plan
        self.framing = framing
        self.is_open: bool | None = None
        self.outlet: Outlet
        self.written_at_s = 0.0
        self._context = context
        self._slot = 0

    def open(self, outlet: Outlet) -> None:
        """The initial response has been written: subscribe, and start the keep-alive. Not if it met with no client."""
        if self.is_open is False:
            return
        self.outlet = outlet
        self.is_open = True
        self._context.registry.add_stream(self)
        self._context.counters.holds_opened += 1
        self.written_at_s = self._context.now()
        self._arm(self.written_at_s)

    def receive(self, delivery: Delivery) -> None:
        """Deliver a run of items; without filters its bytes are ready. This is the innermost part of the fan-out."""
        plan = self.plan
        if delivery.has_content_filters or (plan.filters and delivery.channel in plan.filters):
            self._receive_filtered(delivery)
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
        if delivery.has_stream_content and plan.is_postponed_by_writes:
            self.written_at_s = delivery.now_s
        if delivery.closes_streams and self.is_open:
            self.end()

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
        if not self.outlet.is_blocked:
            data = self.plan.keep_alive_chunk if self.framing.is_http11 else keep_alive.data
            if data:
                self._context.counters.keep_alives_sent += 1
                self.outlet.write(data)
        self.written_at_s = now_s
        if self.is_open:
            self._arm(now_s)

    def describe(self) -> str:
        """Channels, for logs."""
        return f"stream of {', '.join(self.plan.channels) or 'no channel'}"

    def _receive_filtered(self, delivery: Delivery) -> None:
        for item, receipt in delivery.entries:
            if item.http_stream is None or not self.is_open:
                continue
            try:
                rendered = render_stream(self.plan, delivery.channel, item)
            except ItemSkipped as skipped:
                self._note_skip(skipped)
                continue
            if rendered is None:
                self.end()
                return
            if rendered:
                self._append(rendered, receipt)
            if item.http_stream.action is Action.SEND:
                self.written_at_s = delivery.now_s

    def _append(self, content: bytes, receipt: Receipt) -> None:
        taken = self.outlet.write(encode_chunk(content) if self.framing.is_http11 else content)
        if taken:
            receipt.receivers += 1
            self._context.counters.deliveries += 1
        elif taken is False:
            receipt.dropped += 1

    def _note_skip(self, skipped: ItemSkipped) -> None:
        note_skip(self._context.counters, self.outlet.describe(), self.describe(), skipped)
        if skipped.is_failure and self.plan.route.is_debug:
            self.end(f"\n\n{skipped}\n")

    def _arm(self, from_s: float) -> None:
        """Fire `timeout` seconds after `from_s`, less a fresh random part of a second (grip spec §6.2)."""
        keep_alive = self.plan.keep_alive
        if keep_alive is not None:
            self._slot = self._context.wheel.add(from_s + keep_alive.timeout_s - self._context.jitter(), self)

    def _close(self) -> None:
        self.is_open = False
        self._context.registry.remove_stream(self)
        if self._slot:
            self._context.wheel.remove(self._slot, self)


class ResponseHold:
    """A response that waits for one item, or for its time (grip spec §5).

    Attributes:
        is_open: None before `open`.
        request: the client's request, for whoever asks the backend again; the hold does not look at it.
        prev_ids: per full channel name the id that the client has, for channels that state one; None if there are none.
    """

    __slots__ = ("_context", "_slot", "framing", "is_open", "outlet", "plan", "prev_ids", "request")

    def __init__(self, context: HoldContext, plan: HoldPlan, framing: Framing, request: object) -> None:
        assert plan.kept is not None
        self.plan = plan
        self.framing = framing
        self.request = request
        self.is_open: bool | None = None
        self.outlet: Outlet
        self.prev_ids: dict[str, str] | None = dict(plan.prev_ids) or None
        self._context = context
        self._slot = 0

    def open(self, outlet: Outlet) -> None:
        """Subscribe, and start the timer. Nothing is sent. A client that left before stays gone.

        If the client has missed an item already, its backend is asked again instead (grip spec §5.5).
        """
        if self.is_open is False:
            return
        self.outlet = outlet
        if self.prev_ids is not None and self._has_missed(self.prev_ids):
            self.is_open = False
            self._context.updates.ask_now(self)
            return
        self.is_open = True
        self._context.registry.add_response(self)
        self._context.counters.holds_opened += 1
        self._slot = self._context.wheel.add(self._context.now() + self.plan.timeout_s, self)

    def receive(self, delivery: Delivery) -> None:
        """Answer with the first item of the run that is for response holds; others are dropped (grip spec §5.3)."""
        for item, receipt in delivery.entries:
            if item.http_response is None:
                continue
            if self.prev_ids is not None and not self._follows(delivery.channel, item):
                continue
            data = self._answer(delivery, item, item.http_response)
            if data is not None:
                receipt.receivers += 1
                self._context.counters.deliveries += 1
                self._finish(data)
            if not self.is_open:
                return

    def ask_again(self) -> None:
        """Ask the backend again on behalf of the client, who notices nothing (grip spec §5.6)."""
        if self.is_open:
            self._close()
            self._context.updates.ask_now(self)

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
        self.is_open = False

    def on_timer(self, now_s: float) -> None:
        """The time is up (grip spec §5.2)."""
        self._slot = 0
        if self.is_open:
            self._context.counters.holds_timed_out += 1
            self.end()

    def describe(self) -> str:
        """Channels, for logs."""
        return f"long poll of {', '.join(self.plan.channels) or 'no channel'}"

    def _has_missed(self, prev_ids: dict[str, str]) -> bool:
        """Whether a channel is known to be ahead of the client; what is known of such channels is forgotten."""
        last_ids = self._context.last_ids
        ahead = [channel for channel, prev_id in prev_ids.items() if last_ids.get(channel) not in (None, prev_id)]
        for channel in ahead:
            last_ids.remove(channel)
        return bool(ahead)

    def _follows(self, channel: str, item: Item) -> bool:
        """Whether `item` comes next for this client; if not, something was missed (grip spec §10.3)."""
        assert self.prev_ids is not None
        prev_id = self.prev_ids.get(channel)
        if prev_id is None or item.prev_id == prev_id:
            return True
        self._context.last_ids.remove(channel)
        self._context.updates.ask_soon(self)
        return False

    def _advance(self, channel: str, item: Item) -> None:
        """The item has gone through the filters: the next one must follow it."""
        if self.prev_ids is not None and channel in self.prev_ids:
            if item.id is None:
                del self.prev_ids[channel]
            else:
                self.prev_ids[channel] = item.id

    def _answer(self, delivery: Delivery, item: Item, fmt: ResponseFormat) -> bytes | None:
        """The response that `item` makes; equal ones are encoded once per run. None when the item is not for us."""
        is_shared = delivery.channel not in self.plan.filters and not delivery.has_content_filters
        key = (id(fmt), self.plan, self.framing)
        if is_shared and (data := delivery.encoded.get(key)) is not None:
            return data
        response = self._render(delivery.channel, item, fmt)
        if response is None:
            return None
        data = encode_response(response, self.framing)
        if is_shared:
            delivery.encoded[key] = data
        return data

    def _render(self, channel: str, item: Item, fmt: ResponseFormat) -> BackendResponse | None:
        try:
            response = render_response(self.plan, channel, item, fmt, self.prev_ids)
        except ItemSkipped as skipped:
            if not skipped.is_failure:
                self._advance(channel, item)
            note_skip(self._context.counters, self.outlet.describe(), self.describe(), skipped)
            if skipped.is_fatal or (skipped.is_failure and self.plan.route.is_debug):
                self._finish(encode_response(skipped.as_response(self.plan.route.is_debug), self.framing))
            return None
        if fmt.action is Action.HINT:
            self.ask_again()  # by what the client has now, not by the id of the hint
        else:
            self._advance(channel, item)
        return response

    def _finish(self, data: bytes) -> None:
        self._close()
        self.outlet.finish(data, is_reusable=self.framing.is_persistent)

    def _close(self) -> None:
        self.is_open = False
        self._context.updates.forget(self)
        self._context.registry.remove_response(self)
        if self._slot:
            self._context.wheel.remove(self._slot, self)


def encode_response(response: BackendResponse, framing: Framing) -> bytes:
    """A whole response for one client; 1xx, 204 and 304 have neither body nor length (grip spec §5.3)."""
    has_body = response.code >= 200 and response.code not in (204, 304)
    head = encode_response_head(
        response.code,
        response.reason,
        response.headers,
        is_http11=framing.is_http11,
        is_persistent=framing.is_persistent,
        content_length=len(response.body) if has_body else None,
    )
    return head if framing.is_bodyless or not has_body else head + response.body


def note_skip(counters: Counters, client: str, hold: str, skipped: ItemSkipped) -> None:
    """Count an item that a hold did not get; failures are logged, drops on purpose are not."""
    if skipped.is_failure:
        counters.drops_filter_failed += 1
        log.warning("client %s, %s: item not delivered: %s", client, hold, skipped)
    else:
        counters.deliveries_filtered += 1
