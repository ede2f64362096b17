"""The registry: which holds are subscribed to which channel.

A channel exists exactly while it has a subscriber. `version` grows with every new subscription, so that an item that
was accepted before a hold subscribed is never given to it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery
    from holdfast.push.holds import ResponseHold, StreamHold

    Hold: TypeAlias = ResponseHold | StreamHold


HoldT = TypeVar("HoldT")

_NOBODY: Final[frozenset[Any]] = frozenset()
"""Stands for an empty set: most channels of an application that has one per user use only one of their three."""


def _with(holds: set[HoldT] | frozenset[HoldT], hold: HoldT) -> set[HoldT]:
    if isinstance(holds, frozenset):
        return {hold}
    holds.add(hold)
    return holds


def _discard(holds: set[HoldT] | frozenset[HoldT], hold: HoldT) -> None:
    if isinstance(holds, set):
        holds.discard(hold)


class Channel:
    """One channel with its subscribers.

    Attributes:
        responses, streams: the holds by mode.
        shared: those holds that are subscribed to other channels as well; their order across channels is watched.
        deliveries: accepted and not yet finished, in order.
    """

    __slots__ = ("deliveries", "name", "responses", "shared", "streams", "version")

    def __init__(self, name: str) -> None:
        self.name = name
        self.responses: set[ResponseHold] | frozenset[ResponseHold] = _NOBODY
        self.streams: set[StreamHold] | frozenset[StreamHold] = _NOBODY
        self.shared: set[Hold] | frozenset[Hold] = _NOBODY
        self.deliveries: list[Delivery] = []
        self.version = 0

    def __len__(self) -> int:
        return len(self.responses) + len(self.streams)


class Registry:
    """All channels with subscribers."""

    def __init__(self) -> None:
        self._channels: dict[str, Channel] = {}

    def __len__(self) -> int:
        return len(self._channels)

    def find(self, name: str) -> Channel | None:
        """The channel, or None when nobody is subscribed to it."""
        return self._channels.get(name)

    def add_response(self, hold: ResponseHold) -> None:
        """Subscribe a response hold to all channels of its plan."""
        for channel in self._join(hold):
            channel.responses = _with(channel.responses, hold)

    def add_stream(self, hold: StreamHold) -> None:
        """Subscribe a stream hold to all channels of its plan."""
        for channel in self._join(hold):
            channel.streams = _with(channel.streams, hold)

    def remove_response(self, hold: ResponseHold) -> None:
        """Unsubscribe a response hold from everything."""
        for name in hold.plan.channels:
            channel = self._channels[name]
            _discard(channel.responses, hold)
            self._leave(channel, hold)

    def remove_stream(self, hold: StreamHold) -> None:
        """Unsubscribe a stream hold from everything."""
        for name in hold.plan.channels:
            channel = self._channels[name]
            _discard(channel.streams, hold)
            self._leave(channel, hold)

    def _join(self, hold: Hold) -> list[Channel]:
        channels = []
        for name in hold.plan.channels:
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = Channel(name)
            channel.version += 1
            channels.append(channel)
        if len(channels) > 1:
            for channel in channels:
                channel.shared = _with(channel.shared, hold)
        return channels

    def _leave(self, channel: Channel, hold: Hold) -> None:
        _discard(channel.shared, hold)
        if not channel.responses and not channel.streams:
            del self._channels[channel.name]
