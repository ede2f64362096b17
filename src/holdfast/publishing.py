"""Everything between publishers and held clients, put together: registry, order, fan-out, and who is asked again."""

from __future__ import annotations

import logging
import random

from holdfast.config.settings import Settings
from holdfast.net.runtime import Runtime
from holdfast.push.channels import Registry
from holdfast.push.fanout import Fanout
from holdfast.push.last_ids import LastIds
from holdfast.push.link import LinkClock
from holdfast.push.outlet import HoldContext
from holdfast.push.pacing import Pacer
from holdfast.push.publisher import Publisher
from holdfast.push.sequencer import Sequencer
from holdfast.push.updates import Updates
from holdfast.push.volley import BulkWriter
from holdfast.statistics.collector import Statistics

log = logging.getLogger("holdfast.server")


class Publishing:
    """The parts that a publish goes through, and the holds that it goes to.

    Attributes:
        publisher: where publish doors end.
        holds: what holds are made with.
        updates: has no backends yet.
    """

    def __init__(self, settings: Settings, runtime: Runtime, statistics: Statistics, writer: BulkWriter | None) -> None:
        handler = settings.handler
        self._runtime = runtime
        self._last_ids = LastIds()
        self.statistics = statistics
        self.registry = Registry(runtime.wheel, runtime.now, handler.subscription_linger)
        self.updates = Updates(runtime.wheel, runtime.now, runtime.loop.call_later)
        self.fanout = _make_fanout(settings, runtime, self.registry, statistics, writer)
        self.sequencer = Sequencer(
            self._last_ids,
            id_cache_ttl_s=handler.id_cache_ttl,
            message_wait_s=handler.message_wait / 1000,
            counters=runtime.counters,
            held_back_s=statistics.held_back_s,
        )
        self.publisher = Publisher(
            self.fanout,
            self.sequencer,
            self.registry,
            runtime.counters,
            wheel=runtime.wheel,
            now=runtime.now,
        )
        self.holds = HoldContext(
            self.registry,
            runtime.wheel,
            runtime.counters,
            runtime.now,
            random.random,
            self._last_ids,
            self.updates,
            LinkClock(),
            statistics,
        )
        statistics.channels = self.registry.channels
        statistics.watch = self._watch_subscriptions

    def recover(self) -> None:
        """Publishers may have lost items: forget what is known, and let everybody ask again (grip spec §7.1)."""
        self._last_ids.clear()
        now_s = self._runtime.now()
        for hold in self.registry.holds():
            hold.update(now_s)

    def flush(self) -> None:
        """Write what has been accepted, for an orderly stop; what has to wait for something else is lost."""
        self.fanout.flush()
        lost = self.fanout.paced, self.sequencer.buffered
        if any(lost):
            log.warning(
                "lost: %d deliveries because of message_rate, %d items that wait for the one before them", *lost
            )

    def _watch_subscriptions(self, is_wanted: bool) -> None:
        """It begins to matter how many subscribers channels have, or no longer does."""
        self.registry.events.subscribed = self.statistics.subscriptions.changed if is_wanted else None


def _make_fanout(
    settings: Settings, runtime: Runtime, registry: Registry, statistics: Statistics, writer: BulkWriter | None
) -> Fanout:
    """The fan-out, with pacing if any is asked for."""
    handler = settings.handler
    pacer = None
    if handler.message_rate is not None or handler.message_hwm is not None:
        pacer = Pacer(
            rate=handler.message_rate,
            hwm=handler.message_hwm,
            block_size=handler.message_block_size,
            call_later=runtime.loop.call_later,
        )
    return Fanout(
        registry,
        runtime.counters,
        now=runtime.now,
        schedule=runtime.loop.call_soon,
        pacer=pacer,
        statistics=statistics,
        writer=writer,
    )
