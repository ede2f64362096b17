"""The sequencer: puts accepted items in the order that their publishers meant (grip spec §9).

One sequencer serves all publish doors of a process. An id is let through at most once while it is remembered. An item
that names a predecessor other than the channel's last item is buffered until the predecessor has left, or until it has
waited long enough. Nothing is lost without its counter: the caller gets the reason to log it and to tell the publisher.
"""

from __future__ import annotations

import enum
from collections import OrderedDict
from typing import NamedTuple

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.push.last_ids import LastIds
from holdfast.statistics.histogram import WAIT_BOUNDS_S, Histogram

MAX_BUFFERED_PER_CHANNEL = 100

MAX_REMEMBERED_IDS = 1_000_000
"""Sixteen thousand items with ids per second at the usual `id_cache_ttl`; each takes about 300 bytes."""

_FORGET_AT_ONCE = 10
"""Old ids forgotten per new one, so that the first item after a busy minute does not pay for all of it."""


class Outcome(enum.Enum):
    """What becomes of a submitted item. The values are the words for logs and publishers."""

    DELIVER = "deliver"
    BUFFERED = "buffered"
    """It waits for the item before it, and leaves later."""
    DUPLICATE = "duplicate"
    """Dropped as it should be: its id was seen a short time ago."""
    CONFLICT = "conflict"
    """Lost: another item already waits for the same predecessor."""
    FULL = "full"
    """Lost: as many items of the channel wait as may."""


class Verdict(NamedTuple):
    """What becomes of a submitted item, and what leaves now, in order.

    A tuple, because every item gets one and a frozen dataclass takes twice as long to build.

    items: with DELIVER the item, followed by those that had waited for it; otherwise empty.
    """

    outcome: Outcome
    items: tuple[Item, ...] = ()


_BUFFERED = Verdict(Outcome.BUFFERED)
_DUPLICATE = Verdict(Outcome.DUPLICATE)
_CONFLICT = Verdict(Outcome.CONFLICT)
_FULL = Verdict(Outcome.FULL)


class Sequencer:
    """Puts items in order.

    The clock of all calls is the same, in seconds, and never goes back.

    Args:
        last_ids: shared with those who compare the `prev-id` of a new hold; they may remove from it and clear it.
        id_cache_ttl_s: how long an id is remembered; 0 turns the detection of repeats off.
        message_wait_s: how long an item waits for the one before it.
        max_remembered_ids: > 0. With more ids than that within `id_cache_ttl_s`, the oldest are forgotten early.
        held_back_s: told how long items waited that were let go.
    """

    def __init__(
        self,
        last_ids: LastIds,
        *,
        id_cache_ttl_s: float,
        message_wait_s: float,
        max_buffered_per_channel: int = MAX_BUFFERED_PER_CHANNEL,
        max_remembered_ids: int = MAX_REMEMBERED_IDS,
        counters: Counters,
        held_back_s: Histogram | None = None,
    ) -> None:
        self._held_back_s = held_back_s if held_back_s is not None else Histogram(WAIT_BOUNDS_S)
        self._last_ids = last_ids
        self._message_wait_s = message_wait_s
        self._max_buffered_per_channel = max_buffered_per_channel
        self._counters = counters
        self._recent = _RecentIds(id_cache_ttl_s, max_remembered_ids, counters)
        self._buffer = _Buffer()

    @property
    def buffered(self) -> int:
        """Items that wait for the one before them."""
        return len(self._buffer)

    @property
    def remembered(self) -> int:
        """Ids in memory for the detection of repeats; some may be too old to count and not yet removed."""
        return len(self._recent)

    @property
    def next_due_s(self) -> float | None:
        """When the next buffered item will have waited long enough; None while nothing is buffered."""
        return self._buffer.next_due_s

    def submit(self, item: Item, *, is_subscribed: bool, now_s: float) -> Verdict:
        """Decide about an accepted item. Items are submitted in the order of acceptance.

        Args:
            is_subscribed: whether the channel has a subscriber of any mode, or had one so lately that it lingers.
        """
        if item.id is not None and self._recent.has_seen(item.channel, item.id, now_s):
            self._counters.items_duplicate += 1
            return _DUPLICATE
        if item.no_seq or not is_subscribed:
            return Verdict(Outcome.DELIVER, (item,))
        if item.prev_id is not None:
            last_id = self._last_ids.get(item.channel)
            if last_id is not None and item.prev_id != last_id:
                return self._hold_back(item, item.prev_id, now_s)
        return Verdict(Outcome.DELIVER, tuple(self._let_go(item, now_s)))

    def release_due(self, now_s: float) -> list[Item]:
        """Take out the buffered items that have waited long enough, in order of arrival, each with its successors."""
        released: list[Item] = []
        while (waiting := self._buffer.pop_due(now_s)) is not None:
            self._counters.items_released_late += 1
            released += self._let_go(self._end_wait(waiting, now_s), now_s)
        return released

    def forget_channel(self, channel: str) -> list[Item]:
        """Forget the order of a channel that has lost its last subscriber; returns the buffered items that are lost."""
        self._last_ids.remove(channel)
        lost = self._buffer.pop_channel(channel)
        self._counters.drops_channel_gone += len(lost)
        return lost

    def _hold_back(self, item: Item, prev_id: str, now_s: float) -> Verdict:
        """Buffer an item whose predecessor has not left, if there is room."""
        if self._buffer.has(item.channel, prev_id):
            self._counters.drops_sequence_conflict += 1
            return _CONFLICT
        if self._buffer.count(item.channel) >= self._max_buffered_per_channel:
            self._counters.drops_sequence_full += 1
            return _FULL
        self._buffer.add(item, prev_id, now_s + self._message_wait_s)
        self._counters.items_buffered += 1
        return _BUFFERED

    def _end_wait(self, waiting: _Waiting, now_s: float) -> Item:
        self._held_back_s.observe(now_s - (waiting.due_s - self._message_wait_s))
        return waiting.item

    def _let_go(self, item: Item, now_s: float) -> list[Item]:
        """Make an item the last one of its channel, then the buffered item that follows it, and so on; returns them."""
        chain = [item]
        while item.id is not None:
            self._last_ids.set(item.channel, item.id)
            waiting = self._buffer.pop(item.channel, item.id)
            if waiting is None:
                return chain
            item = self._end_wait(waiting, now_s)
            chain.append(item)
        self._last_ids.remove(item.channel)
        return chain


class _RecentIds:
    """The (channel, id) pairs of the last `ttl_s` seconds, oldest first."""

    __slots__ = ("_counters", "_max_ids", "_seen_s", "_ttl_s")

    def __init__(self, ttl_s: float, max_ids: int, counters: Counters) -> None:
        self._seen_s: OrderedDict[tuple[str, str], float] = OrderedDict()
        self._ttl_s = ttl_s
        self._max_ids = max_ids
        self._counters = counters

    def __len__(self) -> int:
        return len(self._seen_s)

    def has_seen(self, channel: str, item_id: str, now_s: float) -> bool:
        """Whether the id is remembered. If not, it is from now on; a repeat does not make it remembered for longer."""
        if not self._ttl_s:
            return False
        oldest_s = now_s - self._ttl_s
        self._forget_some(oldest_s)
        key = (channel, item_id)
        seen_s = self._seen_s.get(key)
        if seen_s is not None and seen_s >= oldest_s:
            return True
        self._seen_s[key] = now_s
        self._seen_s.move_to_end(key)
        if len(self._seen_s) > self._max_ids:
            self._seen_s.popitem(last=False)
            self._counters.ids_forgotten_early += 1
        return False

    def _forget_some(self, oldest_s: float) -> None:
        """Remove a few ids that are too old. At least as many as are added, so that what is evicted was not too old."""
        for _ in range(_FORGET_AT_ONCE):
            if not self._seen_s or next(iter(self._seen_s.values())) >= oldest_s:
                return
            self._seen_s.popitem(last=False)


class _Waiting(NamedTuple):
    """An item that waits until `due_s` at the latest."""

    due_s: float
    item: Item


class _Buffer:
    """Items that wait, oldest first; at most one per channel and predecessor.

    All wait equally long, so the first to have arrived is the first to be due.
    """

    __slots__ = ("_prev_ids", "_waiting")

    def __init__(self) -> None:
        self._waiting: OrderedDict[tuple[str, str], _Waiting] = OrderedDict()
        self._prev_ids: dict[str, dict[str, None]] = {}

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def next_due_s(self) -> float | None:
        for waiting in self._waiting.values():
            return waiting.due_s
        return None

    def has(self, channel: str, prev_id: str) -> bool:
        return (channel, prev_id) in self._waiting

    def count(self, channel: str) -> int:
        return len(self._prev_ids.get(channel, ()))

    def add(self, item: Item, prev_id: str, due_s: float) -> None:
        self._waiting[item.channel, prev_id] = _Waiting(due_s, item)
        self._prev_ids.setdefault(item.channel, {})[prev_id] = None

    def pop(self, channel: str, prev_id: str) -> _Waiting | None:
        """Take out the item that waits for `prev_id`."""
        waiting = self._waiting.pop((channel, prev_id), None)
        if waiting is None:
            return None
        prev_ids = self._prev_ids[channel]
        del prev_ids[prev_id]
        if not prev_ids:
            del self._prev_ids[channel]
        return waiting

    def pop_due(self, now_s: float) -> _Waiting | None:
        """Take out the oldest item, if it has waited long enough."""
        for (channel, prev_id), waiting in self._waiting.items():
            return self.pop(channel, prev_id) if waiting.due_s <= now_s else None
        return None

    def pop_channel(self, channel: str) -> list[Item]:
        """Take out all items of a channel, in order of arrival."""
        return [self._waiting.pop((channel, prev_id)).item for prev_id in self._prev_ids.pop(channel, ())]
