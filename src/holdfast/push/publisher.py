"""The way in: accepted items are put in order, and then delivered (grip spec §9). All publish doors end here."""

from __future__ import annotations

import logging
from collections.abc import Callable, Sequence

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.push.channels import Registry
from holdfast.push.fanout import Fanout
from holdfast.push.outlet import LIMITED
from holdfast.push.run import Receipt
from holdfast.push.sequencer import Outcome, Sequencer
from holdfast.timers import Deadline, TimerWheel

log = logging.getLogger("holdfast.push")

_REFUSALS = {
    Outcome.CONFLICT: "another item waits for the same prev-id",
    Outcome.FULL: "too many items of the channel wait",
}


class Publisher:
    """Takes items from the doors.

    Args:
        now: monotonic time in seconds, the clock of `wheel`.
    """

    def __init__(
        self,
        fanout: Fanout,
        sequencer: Sequencer,
        registry: Registry,
        counters: Counters,
        *,
        wheel: TimerWheel,
        now: Callable[[], float],
    ) -> None:
        self.fanout = fanout
        self._sequencer = sequencer
        self._registry = registry
        self._counters = counters
        self._now = now
        self._deadline = Deadline(wheel, self)

    def publish(
        self,
        items: Sequence[Item],
        receipts: list[Receipt] | None = None,
        on_settled: Callable[[], None] | None = None,
    ) -> None:
        """Accept items, in order.

        Args:
            receipts: gets one receipt per item.
            on_settled: called once, when the receipts are final; at once if there is nobody to write to.
        """
        now_s = self._now()
        entries: list[tuple[Item, Receipt]] = []
        for item in items:
            self._counters.items_received += 1
            receipt = Receipt(item.channel)
            if receipts is not None:
                receipts.append(receipt)
            is_subscribed = self._registry.find(item.channel) is not None
            verdict = self._sequencer.submit(item, is_subscribed=is_subscribed, now_s=now_s)
            receipt.state = verdict.outcome
            if verdict.outcome is Outcome.DELIVER:
                entries.append((item, receipt))
                # Those that had waited for this one; their publishers have been answered long ago.
                entries += [(follower, Receipt(follower.channel)) for follower in verdict.items[1:]]
            elif verdict.outcome in _REFUSALS:
                log.warning(
                    "item %s of channel %s lost: %s", item.id, item.channel, _REFUSALS[verdict.outcome], extra=LIMITED
                )
        self._watch_buffer()
        self.fanout.deliver(entries, on_settled)

    def forget_channel(self, name: str) -> None:
        """The channel has lost its last subscriber, and does not linger."""
        lost = self._sequencer.forget_channel(name)
        if lost:
            log.warning(
                "%d items of channel %s lost while they waited: the last subscriber left",
                len(lost),
                name,
                extra=LIMITED,
            )

    def on_deadline(self, now_s: float) -> None:
        """Items have waited long enough for the ones before them."""
        released = self._sequencer.release_due(now_s)
        self._watch_buffer()
        self.fanout.deliver((item, Receipt(item.channel)) for item in released)

    def _watch_buffer(self) -> None:
        due_s = self._sequencer.next_due_s
        if due_s is not None:
            self._deadline.set(due_s)
