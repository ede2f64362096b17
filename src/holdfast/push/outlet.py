"""What a hold knows of its client and surroundings: the outlet that it writes to, the framing, what all holds use."""

from __future__ import annotations

import logging
import weakref
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Protocol

from holdfast.counters import Counters
from holdfast.push.channels import Registry
from holdfast.push.intake import MAX_QUEUED
from holdfast.push.last_ids import LastIds
from holdfast.push.lending import Lender
from holdfast.push.link import LinkClock
from holdfast.push.plan import HoldPlan
from holdfast.push.render import ItemSkipped
from holdfast.push.updates import Updates
from holdfast.statistics.collector import Statistics
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import Drop, Mode
from holdfast.timers import TimerWheel
from holdfast.wire.cross_origin import Transform

log = logging.getLogger("holdfast.push")

LIMITED: Mapping[str, object] = MappingProxyType({"is_limited": True})
"""`extra` of a log line that clients or publishers can cause at will; `logs/limiter.py` bounds those."""


class Outlet(Lender, Protocol):
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


class SocketOutlet(Lender, Protocol):
    """Where a WebSocket's client is written to."""

    def write(self, data: bytes) -> bool | None:
        """Send or queue; False when the data was lost because the client is too slow, None when the client is gone."""
        ...

    def relay(self, data: bytes) -> None:
        """Send or queue what the backend sent, which is no longer read from while the client `is_blocked`."""
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not yet taken what was written."""
        ...

    def describe(self) -> str:
        """The client's address, for logs."""
        ...


@dataclass(frozen=True, slots=True, weakref_slot=True)
class Framing:
    """How responses to one client are framed; there are only a few, so holds share them.

    Args:
        is_http11: chunks can be sent; otherwise a stream ends by closing.
        is_persistent: the connection may be used again after the response.
        is_bodyless: no body may be sent, because the method is HEAD (long polls only: there is no stream without body).
        transform: what is made of the response before it is framed (long polls only); None leaves it as it is.
    """

    is_http11: bool
    is_persistent: bool
    is_bodyless: bool
    transform: Transform | None = None


class FramingTable:
    """The framings with a transform that are in use: clients of one page are alike, and share theirs."""

    def __init__(self) -> None:
        self._framings: weakref.WeakValueDictionary[tuple[Framing, Transform], Framing] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._framings)

    def find(self, plain: Framing, transform: Transform) -> Framing:
        """`plain` with a transform, of which equal ones are one."""
        framing = self._framings.get((plain, transform))
        if framing is None:
            framing = self._framings[plain, transform] = replace(plain, transform=transform)
        return framing


@dataclass(slots=True)
class HoldContext:
    """What all holds use.

    Args:
        now: monotonic time in seconds.
        jitter: a random number in [0, 1), for keep-alives.
        last_ids: newest id per channel.
        updates: where holds go that have to ask their backend again, or to tell it that they are gone.
        link_clock: lets streams with the same next link ask it together.
        statistics: what is told of holds and their traffic.
        framings: those that are made for a client.
    """

    registry: Registry
    wheel: TimerWheel
    counters: Counters
    now: Callable[[], float]
    jitter: Callable[[], float]
    last_ids: LastIds
    updates: Updates
    link_clock: LinkClock
    statistics: Statistics = field(default_factory=Statistics)
    framings: FramingTable = field(default_factory=FramingTable)


class Receiver(Protocol):
    """A hold, as far as its losses are concerned."""

    plan: HoldPlan

    @property
    def outlet(self) -> Outlet | SocketOutlet:
        """Where it writes to."""
        ...

    def describe(self) -> str:
        """Channels, for logs."""
        ...


def note_opened(context: HoldContext, presence: Presence | None, mode: Mode) -> None:
    """Count a hold over HTTP that begins."""
    context.counters.holds_opened += 1
    if presence is not None:
        context.statistics.connections.hold(presence, mode)


def note_slow(context: HoldContext, plan: HoldPlan, items: int = 1) -> None:
    """Count the items of a write that the outlet has refused, which has counted one of them."""
    context.counters.drops_outbox_full += items - 1
    context.statistics.lost(plan.route.key, Drop.OUTBOX_FULL, items)


def note_overflow(context: HoldContext, hold: Receiver, items: int = 1) -> None:
    """Count items that a hold lost because too many wait for it."""
    context.counters.drops_queue_full += items
    context.statistics.lost(hold.plan.route.key, Drop.QUEUE_FULL, items)
    client = hold.outlet.describe()
    log.warning("client %s, %s: %d items wait already; item lost", client, hold.describe(), MAX_QUEUED, extra=LIMITED)


def note_keep_alive(presence: Presence | None, size: int) -> None:
    """A keep-alive of `size` bytes is activity of its route."""
    if presence is not None:
        presence.route.activity += 1
        presence.route.client.content_bytes_sent += size


def note_response(presence: Presence, data: bytes) -> None:
    """A held response goes out: its head, and what follows."""
    head_bytes = data.index(b"\r\n\r\n") + 4
    presence.route.client.header_bytes_sent += head_bytes
    presence.route.client.content_bytes_sent += len(data) - head_bytes


def note_skip(context: HoldContext, hold: Receiver, skipped: ItemSkipped) -> None:
    """Count an item that a hold did not get; failures are logged, drops on purpose are not."""
    if skipped.is_failure:
        context.counters.drops_filter_failed += 1
        context.statistics.lost(hold.plan.route.key, Drop.FILTER_FAILED)
        client = hold.outlet.describe()
        log.warning("client %s, %s: item not delivered: %s", client, hold.describe(), skipped, extra=LIMITED)
    else:
        context.counters.deliveries_filtered += 1
