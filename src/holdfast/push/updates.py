"""Updates: which held long polls ask their backend again, and when (grip spec §7).

Urgent ones at once. The others in batches of 100 every 100 ms, so that ten thousand clients that have to ask again do
not do so in one moment.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.timers import TimerWheel

if TYPE_CHECKING:
    from holdfast.push.channels import Channel
    from holdfast.push.holds import ResponseHold

log = logging.getLogger("holdfast.push")

FIRST_SUBSCRIPTION_S = 1.0
"""From the first subscription of a channel to the question whether an item was missed before it was known."""

BATCH_HOLDS = 100
BATCH_INTERVAL_S = 0.1


class Updates:
    """Holds that are to ask again.

    Args:
        wheel, now: for first subscriptions; monotonic seconds.
        call_later: runs a callback after some seconds.

    Attributes:
        retry: makes a hold, which has left its channels, ask its backend again. Set by the composition root: whoever
            asks needs everything, the holds included.
    """

    def __init__(
        self,
        counters: Counters,
        wheel: TimerWheel,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.retry: Callable[[ResponseHold], None]
        self._counters = counters
        self._wheel = wheel
        self._now = now
        self._call_later = call_later
        self._waiting: dict[ResponseHold, None] = {}
        self._is_running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def ask_now(self, hold: ResponseHold) -> None:
        """Ask again at once."""
        self._waiting.pop(hold, None)
        self._counters.holds_retried += 1
        self.retry(hold)

    def ask_soon(self, hold: ResponseHold) -> None:
        """Ask again when it is this hold's turn, unless it has been answered by then."""
        self._waiting[hold] = None
        if not self._is_running:
            self._is_running = True
            self._call_later(BATCH_INTERVAL_S, self._run_batch)

    def forget(self, hold: ResponseHold) -> None:
        """The hold has ended."""
        self._waiting.pop(hold, None)

    def watch_first_subscription(self, channel: Channel) -> None:
        """Distributed publishers may not know the first subscriber yet: ask again a second later (grip spec §7.3)."""
        self._wheel.add(self._now() + FIRST_SUBSCRIPTION_S, _FirstSubscription(self, channel))

    def _run_batch(self) -> None:
        for hold in list(self._waiting)[:BATCH_HOLDS]:
            try:
                hold.ask_again()
            except Exception:
                self.forget(hold)
                log.exception("asking again for a %s failed", hold.describe())
        if self._waiting:
            self._call_later(BATCH_INTERVAL_S, self._run_batch)
        else:
            self._is_running = False


class _FirstSubscription:
    """A channel that is a second old when this fires; nobody is subscribed any more if it was closed meanwhile."""

    __slots__ = ("_channel", "_updates")

    def __init__(self, updates: Updates, channel: Channel) -> None:
        self._updates = updates
        self._channel = channel

    def on_timer(self, now_s: float) -> None:
        """See `holdfast.timers.Timed`."""
        for hold in self._channel.responses:
            self._updates.ask_soon(hold)
