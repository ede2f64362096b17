"""What statistics say of the subscribers of channels, and when (grip spec §15.7).

The first subscriber of a channel is told of at once, other numbers once a second, and what does not change again and
again within its lifetime. Kept only while somebody wants to know: the registry of channels has no trace of it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Sized
from typing import Protocol, TypeAlias

from holdfast.wire.statistics import Subscription, SubscriptionGone, SubscriptionMode

LOOKED_AT_PER_BEAT = 500
"""Channels, or entries, that are looked at in one go: a few milliseconds."""

Key: TypeAlias = tuple[SubscriptionMode, str]


class Subscribed(Protocol):
    """A channel."""

    @property
    def name(self) -> str:
        """Its full name."""
        ...

    @property
    def responses(self) -> Sized:
        """Its long polls."""
        ...

    @property
    def streams(self) -> Sized:
        """Its streams."""
        ...

    @property
    def sockets(self) -> Sized:
        """Its WebSockets."""
        ...

    @property
    def lingers(self) -> bool:
        """Whether a long poll has left and is expected back."""
        ...


class _Entry:
    """What is known of one mode of a channel: how many there are, and how many were spoken of."""

    __slots__ = ("count", "slot", "told")

    def __init__(self, count: int, slot: int) -> None:
        self.count = count
        self.told = count
        self.slot = slot


class Subscriptions:
    """The channels that have been told of.

    Args:
        ttl_s: how long what is said of a channel holds.
        send: sends a packet.
    """

    def __init__(self, ttl_s: int, send: Callable[[Subscription | SubscriptionGone], object]) -> None:
        self._ttl_s = ttl_s
        self._send = send
        self._entries: dict[Key, _Entry] = {}
        self._changed: dict[Key, None] = {}
        # A second less, because telling of them takes a while.
        self._ring: list[dict[Key, None]] = [{} for _ in range(max(ttl_s * 3 // 4 - 1, 1))]
        self._hand = 0
        self._due: deque[Key] = deque()
        self._unseen: deque[Subscribed] = deque()

    def __len__(self) -> int:
        return len(self._entries)

    def start(self, channels: Iterable[Subscribed]) -> None:
        """Somebody wants to know: tell of the channels that there are, bit by bit."""
        self._unseen = deque(channels)

    def stop(self) -> None:
        """Nobody wants to know any more."""
        self._entries.clear()
        self._changed.clear()
        self._due.clear()
        self._unseen.clear()
        for slot in self._ring:
            slot.clear()

    def changed(self, mode: SubscriptionMode, channel: Subscribed) -> None:
        """A channel has got or lost a subscriber of a mode, or lingers no more."""
        key = (mode, channel.name)
        count = _count(mode, channel)
        entry = self._entries.get(key)
        if entry is None:
            if count:
                entry = self._entries[key] = _Entry(count, self._hand)
                self._tell(key, entry)
        elif count:
            entry.count = count
            if count != entry.told:
                self._changed[key] = None
        elif mode is not SubscriptionMode.RESPONSE or not channel.lingers:
            self._forget(key, entry)

    def move_hand(self, now_s: int) -> None:
        """It is another second now: tell of what has changed, and what has to be told of again is due."""
        changed, self._changed = self._changed, {}
        for key in changed:
            entry = self._entries[key]
            if entry.count != entry.told:
                self._tell(key, entry)
        self._hand = now_s % len(self._ring)
        self._due.extend(self._ring[self._hand])

    def tell_due(self) -> None:
        """Tell of some of those that are due, and of some channels that have not been looked at."""
        for _ in range(min(LOOKED_AT_PER_BEAT, len(self._due))):
            key = self._due.popleft()
            entry = self._entries.get(key)
            if entry is not None:
                self._tell(key, entry)
        for _ in range(min(LOOKED_AT_PER_BEAT, len(self._unseen))):
            channel = self._unseen.popleft()
            for mode in SubscriptionMode:
                self.changed(mode, channel)

    def _tell(self, key: Key, entry: _Entry) -> None:
        self._ring[entry.slot].pop(key, None)
        entry.slot = self._hand
        self._ring[entry.slot][key] = None
        entry.told = entry.count
        self._send(Subscription(None, *key, self._ttl_s, entry.count))

    def _forget(self, key: Key, entry: _Entry) -> None:
        del self._entries[key]
        del self._ring[entry.slot][key]
        self._changed.pop(key, None)
        self._send(SubscriptionGone(None, *key))


def _count(mode: SubscriptionMode, channel: Subscribed) -> int:
    if mode is SubscriptionMode.RESPONSE:
        return len(channel.responses)
    return len(channel.streams if mode is SubscriptionMode.STREAM else channel.sockets)
