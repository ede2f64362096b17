"""The fan-out under a rate limit (grip spec §13): each hold gets each item when the pacer says so."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.push.audience import audience_of, note_written, tell_run
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.outlet import LIMITED
from holdfast.push.pacing import Pacer
from holdfast.push.run import Receipt
from holdfast.statistics.collector import Statistics
from holdfast.statistics.routes import Drop

if TYPE_CHECKING:
    from holdfast.push.channels import Hold

log = logging.getLogger("holdfast.push")


class PacedFanout:
    """Queues writes with a pacer, and makes them when it is their turn."""

    def __init__(self, pacer: Pacer, counters: Counters, statistics: Statistics, now: Callable[[], float]) -> None:
        self._pacer = pacer
        self._counters = counters
        self._statistics = statistics
        self._now = now

    @property
    def waiting(self) -> int:
        """Deliveries, in units, that wait for their turn."""
        return self._pacer.waiting

    def deliver(self, channel: Channel, item: Item, receipt: Receipt) -> None:
        """Queue one write per hold; what does not fit is lost, and said so."""
        delivery = Delivery(0, channel)
        delivery.add(item, Receipt(item.channel, leaves_at_s=receipt.leaves_at_s))
        delivery.begin(self._now())
        if item.http_response is not None:
            receipt.responses = self._submit(delivery, receipt, channel.responses, item.http_response.body or b"")
        if item.http_stream is not None:
            receipt.streams = self._submit(delivery, receipt, channel.streams, item.http_stream.content)
        if item.ws_message is not None:
            receipt.sockets = self._submit(delivery, receipt, channel.sockets, item.ws_message.content)
        delivery.paced = receipt.receivers
        if not delivery.paced:
            note_written(self._statistics, delivery.entries, self._now)
        tell_run(self._statistics, [(item, receipt)], audience_of(self._statistics, channel))
        if receipt.dropped:
            self._counters.drops_message_hwm += receipt.dropped
            log.warning(
                "exceeded publish hwm (%d), dropping message: channel=%s clients=%d",
                self._pacer.hwm,
                item.channel,
                receipt.dropped,
                extra=LIMITED,
            )
        log.info("publish channel=%s receivers=%d", item.channel, receipt.receivers)

    def _submit(self, delivery: Delivery, receipt: Receipt, holds: Iterable[Hold], content: bytes) -> int:
        """Queue the item for holds of one mode; returns for how many there was room."""
        [(item, _)] = delivery.entries
        size = len(content) if item.size is None else item.size
        taken = 0
        for hold in holds:
            if self._pacer.submit(hold.plan.route.key, size, partial(self._deliver_late, hold, delivery)):
                taken += 1
            else:
                receipt.dropped += 1
                self._statistics.lost(hold.plan.route.key, Drop.MESSAGE_HWM)
        return taken

    def _deliver_late(self, hold: Hold, delivery: Delivery) -> bool:
        """Make a write that was queued; returns whether there was still somebody to write to."""
        is_open = hold.is_open
        if is_open:
            self._write(hold, delivery)
        delivery.paced -= 1
        if not delivery.paced:
            note_written(self._statistics, delivery.entries, self._now)
        return bool(is_open)

    def _write(self, hold: Hold, delivery: Delivery) -> None:
        delivery.now_s = self._now()
        before = delivery.streams_sent + delivery.messages_sent
        try:
            hold.receive(delivery)
        except Exception:
            log.exception("delivery to a %s failed", hold.describe())
        self._counters.deliveries += delivery.streams_sent + delivery.messages_sent - before
