"""Updates: which holds ask their backend again, and when (grip spec §7).

A long poll makes its request again, a stream asks its next link. Urgent ones do so at once. The others go in batches,
ten a second, so that ten thousand clients that have to ask do not do so in one moment; of streams that ask the same
thing only the first one counts, because they share its answer.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice
from typing import TYPE_CHECKING, Protocol

from holdfast.timers import TimerWheel

if TYPE_CHECKING:
    from holdfast.push.channels import AskingHold, Channel, FilteringHold, Hold
    from holdfast.push.recovering_stream import RecoveringStream
    from holdfast.push.response_hold import ResponseHold
    from holdfast.push.stream_hold import StreamHold

log = logging.getLogger("holdfast.push")

FIRST_SUBSCRIPTION_S = 1.0
"""From the first subscription of a channel to the question whether an item was missed before it was known."""

BATCH_REQUESTS = 100
BATCH_HOLDS = 2000
"""Holds looked at in one batch, which takes a few milliseconds when all of them share one answer."""
BATCH_INTERVAL_S = 0.1


class Backends(Protocol):
    """Who asks backends on behalf of holds."""

    def retry(self, hold: ResponseHold) -> None:
        """Make the request of a long poll again, which has left its channels; it is answered or held anew by that."""
        ...

    def follow(self, hold: RecoveringStream, since_s: float) -> bool:
        """Ask the next link of a stream, which waits for `resume`, `fail_link` or its end.

        Args:
            since_s: why it asks arose then; an answer that was asked for earlier is none.

        Returns:
            Whether that takes a request of its own.
        """
        ...

    def filter(self, hold: FilteringHold) -> None:
        """Run the filters for the item that waits first for the hold: `rendering`, then `filtered` or `skipped`."""
        ...

    def hold_ended(self, hold: Hold) -> None:
        """A hold with an `origin` has ended."""
        ...


class Updates:
    """Holds that are to ask again.

    Args:
        wheel, now: for first subscriptions; monotonic seconds.
        call_later: runs a callback after some seconds.

    Attributes:
        backends: set by the composition root: whoever asks needs everything, the holds included.
    """

    def __init__(
        self,
        wheel: TimerWheel,
        now: Callable[[], float],
        call_later: Callable[[float, Callable[[], None]], object],
    ) -> None:
        self.backends: Backends
        self._wheel = wheel
        self._now = now
        self._call_later = call_later
        self._waiting: dict[AskingHold, float] = {}
        self._is_running = False

    def __len__(self) -> int:
        return len(self._waiting)

    def ask_now(self, hold: AskingHold, since_s: float) -> None:
        """Ask again at once."""
        self._waiting.pop(hold, None)
        hold.ask_again(since_s)

    def ask_soon(self, hold: AskingHold, since_s: float) -> None:
        """Ask again when it is this hold's turn, unless it is forgotten by then. Of two causes the later one counts."""
        self._waiting[hold] = since_s
        if not self._is_running:
            self._is_running = True
            self._call_later(BATCH_INTERVAL_S, self._run_batch)

    def forget(self, hold: AskingHold) -> None:
        """The hold has ended, or asks for another reason."""
        self._waiting.pop(hold, None)

    def watch_first_subscription(self, channel: Channel) -> None:
        """Distributed publishers may not know the first subscriber yet: ask again a second later (grip spec §7.3)."""
        self._wheel.add(self._now() + FIRST_SUBSCRIPTION_S, _FirstSubscription(channel))

    def _run_batch(self) -> None:
        requests = 0
        for hold in list(islice(self._waiting, BATCH_HOLDS)):
            if requests >= BATCH_REQUESTS:
                break
            since_s = self._waiting.pop(hold, None)
            if since_s is None:
                continue
            try:
                requests += hold.ask_again(since_s)
            except Exception:
                requests += 1
                log.exception("asking again for a %s failed", hold.describe())
        if self._waiting:
            self._call_later(BATCH_INTERVAL_S, self._run_batch)
        else:
            self._is_running = False


class _FirstSubscription:
    """A channel that is a second old when this fires; nobody is subscribed any more if it was closed meanwhile."""

    __slots__ = ("_channel",)

    def __init__(self, channel: Channel) -> None:
        self._channel = channel

    def on_timer(self, now_s: float) -> None:
        """See `holdfast.timers.Timed`."""
        holds: list[ResponseHold | StreamHold] = [*self._channel.responses, *self._channel.streams]
        for hold in holds:
            hold.update(now_s)
