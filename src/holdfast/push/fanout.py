"""The fan-out: accepted items become writes to the holds of their channel.

Sending costs a system call per receiver, so what arrives together leaves together: items for one channel that are
accepted before their delivery has begun form a *run*, are joined once, and are written once per client. Each receiver
is a plain call. A large channel is written in slices, one per turn of the loop; other channels get turns in between.

Order. A client sees the items of one channel in the order of acceptance, because a channel's deliveries are finished
one after the other. Holds on several channels see all their items in the order of acceptance too: a delivery remembers
which of its watched holds it has not reached yet, and whoever reaches such a hold first brings it up to date.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.push.audience import audience_of, note_written, tell_blocks, tell_run
from holdfast.push.channels import Channel, Registry
from holdfast.push.delivery import Delivery
from holdfast.push.paced_fanout import PacedFanout
from holdfast.push.pacing import Pacer
from holdfast.push.run import Receipt
from holdfast.push.volley import BulkWriter
from holdfast.statistics.collector import Statistics

if TYPE_CHECKING:
    from holdfast.push.channels import Hold

log = logging.getLogger("holdfast.push")

SLICE = 400
"""Writes per turn of the loop: about two milliseconds."""

FEW = 20
"""Runs that are looked at to see whether one of them is the oldest."""

BACKLOG_WRITES = 1_000_000
"""Writes that may be outstanding before publishers have to wait; each holds one pointer."""


class Fanout:
    """Accepts items and writes them.

    Args:
        schedule: runs a callback in the next turn of the loop.
        pacer: when deliveries are limited per second (grip spec §13), who spreads them; None means no limit.
        slice_writes: writes per turn of the loop.
        statistics: told what is published, and what becomes of it.
        writer: writes to many clients at once; None if nobody can.
    """

    def __init__(
        self,
        registry: Registry,
        counters: Counters,
        *,
        now: Callable[[], float],
        schedule: Callable[[Callable[[], None]], object],
        pacer: Pacer | None = None,
        slice_writes: int = SLICE,
        statistics: Statistics | None = None,
        writer: BulkWriter | None = None,
    ) -> None:
        self._registry = registry
        self._counters = counters
        self._now = now
        self._schedule = schedule
        self._slice_writes = slice_writes
        self._statistics = statistics if statistics is not None else Statistics()
        self._paced = PacedFanout(pacer, counters, self._statistics, now) if pacer is not None else None
        self._writer = writer
        self._number = 0
        self._ready: deque[Delivery] = deque()
        self._is_scheduled = False
        self._backlog = 0
        self._waiting: list[Callable[[], None]] = []

    @property
    def backlog(self) -> int:
        """Writes that have been accepted and not made."""
        return self._backlog

    @property
    def paced(self) -> int:
        """Deliveries, in units, that wait for their turn under a rate limit."""
        return self._paced.waiting if self._paced is not None else 0

    @property
    def is_congested(self) -> bool:
        """Whether publishers should wait: see `when_clear`."""
        return self._backlog > BACKLOG_WRITES

    def when_clear(self, callback: Callable[[], None]) -> None:
        """Call back when the backlog is well below its bound."""
        self._waiting.append(callback)

    def deliver(self, entries: Iterable[tuple[Item, Receipt]], on_settled: Callable[[], None] | None = None) -> None:
        """Deliver items, in order.

        Args:
            entries: each item with the receipt that tells what became of it.
            on_settled: called once, when the receipts are final; at once if nobody is subscribed.
        """
        deliveries: dict[Delivery, None] = {}
        statistics = self._statistics
        now_s = self._now() if statistics.is_exported else 0.0
        for item, receipt in entries:
            statistics.routes.unnamed.received += 1
            if statistics.counts_blocks:
                tell_blocks(statistics, item)
            channel = self._registry.find(item.channel)
            if channel is None:
                log.info("publish channel=%s receivers=0", item.channel)
                continue
            receipt.leaves_at_s = now_s
            delivery = self._accept(channel, item, receipt)
            if delivery is not None:
                deliveries[delivery] = None
        if on_settled is not None:
            _call_when_settled(list(deliveries), on_settled)

    def _accept(self, channel: Channel, item: Item, receipt: Receipt) -> Delivery | None:
        if self._paced is not None:
            self._paced.deliver(channel, item, receipt)
            return None
        last = channel.deliveries[-1] if channel.deliveries else None
        if last is None or not self._can_join(last):
            last = self._make_delivery(channel)
            channel.deliveries.append(last)
            if len(channel.deliveries) == 1:
                self._ready.append(last)
            last.outstanding = last.remaining
            self._backlog += last.outstanding
            self._wake()
        last.add(item, receipt)
        return last

    def _can_join(self, last: Delivery) -> bool:
        """Whether another item may travel in the run `last` without changing what anyone gets, or in which order."""
        is_newest = last.number == self._number
        is_closed = last.has_begun or last.is_full
        return not is_closed and last.version == last.home.version and (is_newest or not last.unreached)

    def _make_delivery(self, channel: Channel) -> Delivery:
        self._number += 1
        delivery = Delivery(self._number, channel, *channel.sweeps(), set(channel.watched))
        delivery.audience = audience_of(self._statistics, channel)
        return delivery

    def _wake(self) -> None:
        if not self._is_scheduled:
            self._is_scheduled = True
            self._schedule(self._turn)

    def flush(self) -> None:
        """Write everything that can be written, without turns for anybody else: the process stops."""
        while self._ready:
            self._turn()

    def _turn(self) -> None:
        """Write one slice, shared by the channels that have something to write."""
        self._is_scheduled = False
        budget = self._slice_writes
        while self._ready and budget > 0:
            delivery = self._ready.popleft()
            if not delivery.has_begun:
                delivery.begin(self._now())
            limit = max(budget // delivery.weight, 1)
            is_oldest = self._is_oldest(delivery)
            written = delivery.write_slice(limit, self._catch_up, self._writer, is_oldest=is_oldest)
            self._note_progress(delivery, written)
            budget -= max(written, 1) * delivery.weight
            if delivery.remaining:
                self._ready.append(delivery)
            else:
                self._finish(delivery)
        if self._ready:
            self._wake()
        if self._waiting and self._backlog < BACKLOG_WRITES // 2:
            waiting, self._waiting = self._waiting, []
            _call_all(waiting)

    def _note_progress(self, delivery: Delivery, written: int) -> None:
        """Count what is not outstanding any more. A hold that has left a roster meanwhile has two turns."""
        done = min(written, delivery.outstanding)
        delivery.outstanding -= done
        self._backlog -= done

    def _is_oldest(self, delivery: Delivery) -> bool:
        """Whether all others were accepted later; if there are many that is not worth finding out."""
        number, others = delivery.number, self._ready
        return not delivery.has_watched or (len(others) < FEW and all(number < other.number for other in others))

    def _finish(self, delivery: Delivery) -> None:
        delivery.settle(self._counters)
        tell_run(self._statistics, delivery.entries, delivery.audience)
        note_written(self._statistics, delivery.entries, self._now)
        queue = delivery.home.deliveries
        del queue[0]
        if queue:
            self._ready.append(queue[0])
        _call_all(delivery.on_settled)

    def _catch_up(self, hold: Hold, delivery: Delivery) -> None:
        """Give a hold on several channels everything accepted up to `delivery` that it has not got, in order."""
        if hold not in delivery.unreached:
            return
        missed = [delivery]
        for name in hold.plan.channels if hold.is_open else ():
            channel = self._registry.find(name)
            if channel is not None and channel is not delivery.home:
                missed += [d for d in channel.deliveries if d.number < delivery.number and hold in d.unreached]
        for earlier in sorted(missed, key=_number_of):
            earlier.unreached.discard(hold)
            if not earlier.has_begun:
                earlier.begin(self._now())
            if hold.is_open:
                hold.receive(earlier)


def _number_of(delivery: Delivery) -> int:
    return delivery.number


def _call_all(callbacks: list[Callable[[], None]]) -> None:
    """Tell everybody, whatever happens to one of them."""
    for callback in callbacks:
        try:
            callback()
        except Exception:
            log.exception("telling a publisher failed")


def _call_when_settled(deliveries: list[Delivery], callback: Callable[[], None]) -> None:
    outstanding = len(deliveries)
    if not outstanding:
        callback()

    def settled() -> None:
        nonlocal outstanding
        outstanding -= 1
        if not outstanding:
            callback()

    for delivery in deliveries:
        delivery.on_settled.append(settled)
