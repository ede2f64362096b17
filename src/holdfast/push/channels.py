"""The registry: which holds are subscribed to which channel.

A channel exists while it has a subscriber, and after its last long poll has left for as long as it lingers, because the
client is about to poll again (grip spec §5.8). `version` grows with every new subscription, so that an item that
was accepted before a hold subscribed is never given to it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from holdfast.push.roster import ListableT
from holdfast.push.subscribers import Subscribers
from holdfast.push.sweep import Sweep
from holdfast.timers import Deadline, TimerWheel
from holdfast.wire.statistics import SubscriptionMode

if TYPE_CHECKING:
    from holdfast.push.delivery import Delivery
    from holdfast.push.following_stream import FollowingStream
    from holdfast.push.plan import HoldPlan
    from holdfast.push.recovering_stream import RecoveringStream
    from holdfast.push.response_hold import ResponseHold
    from holdfast.push.socket_hold import SocketHold
    from holdfast.push.stream_hold import StreamHold

    Hold: TypeAlias = ResponseHold | StreamHold | SocketHold
    AskingHold: TypeAlias = ResponseHold | RecoveringStream
    FilteringHold: TypeAlias = ResponseHold | FollowingStream | SocketHold


HoldT = TypeVar("HoldT")

_NOBODY: Final[Mapping[Any, None]] = MappingProxyType({})
_NO_SUBSCRIBERS: Final[Subscribers[Any]] = Subscribers()
"""Stand for empty ones: most channels of an application that has one per user use only one of their three."""


def _with(holds: Mapping[HoldT, None], hold: HoldT) -> Mapping[HoldT, None]:
    if not isinstance(holds, dict):
        return {hold: None}
    holds[hold] = None
    return holds


def _discard(holds: Mapping[HoldT, None], hold: HoldT) -> None:
    if isinstance(holds, dict):
        holds.pop(hold, None)


def _with_subscriber(subscribers: Subscribers[ListableT], hold: ListableT) -> Subscribers[ListableT]:
    if subscribers is _NO_SUBSCRIBERS:
        subscribers = Subscribers()
    subscribers.add(hold)
    return subscribers


def _ignore(which: object) -> None:
    """For those who need not be told."""


class Channel:
    """One channel with its subscribers.

    Attributes:
        responses, streams, sockets: the holds by mode.
        route_key: the key of the route that all subscribers came by; None if they came by several.
        watched: those holds whose order across channels is watched, because they have others as well or may get others.
        deliveries: accepted and not yet finished, in order.
        linger: runs while the channel stays although nobody may be subscribed.
    """

    __slots__ = ("deliveries", "linger", "name", "responses", "route_key", "sockets", "streams", "version", "watched")

    def __init__(self, name: str, route_key: str | None = None) -> None:
        self.name = name
        self.route_key = route_key
        self.responses: Mapping[ResponseHold, None] = _NOBODY
        self.streams: Subscribers[StreamHold] = _NO_SUBSCRIBERS
        self.sockets: Subscribers[SocketHold] = _NO_SUBSCRIBERS
        self.watched: Mapping[Hold, None] = _NOBODY
        self.deliveries: list[Delivery] = []
        self.linger: Deadline | None = None
        self.version = 0

    @property
    def lingers(self) -> bool:
        """Whether a long poll has left and is expected back."""
        return self.linger is not None

    def __len__(self) -> int:
        return len(self.responses) + len(self.streams) + len(self.sockets)

    def sweeps(self) -> tuple[Sweep, Sweep]:
        """What a run has to go through that is accepted now: those over HTTP, and WebSockets."""
        self.tidy()
        singles: list[Hold] = [*self.responses, *self.streams.singles]
        streams = Sweep(singles, self.streams.rosters.values())
        return streams, Sweep(self.sockets.singles, self.sockets.rosters.values())

    def tidy(self) -> None:
        """Make rosters as small as their holds allow, unless a run is on its way through them."""
        if not self.deliveries:
            self.streams.tidy()
            self.sockets.tidy()


@dataclass(slots=True)
class ChannelEvents:
    """Who is told of the life of channels.

    Attributes:
        opened: a channel that got its first subscriber.
        closed: the name of a channel that is gone: its last subscriber has left, and it does not linger.
        subscribed: a mode of a channel of which the number of subscribers has changed, or that lingers no more; None if
            nobody wants to know.
    """

    opened: Callable[[Channel], None] = _ignore
    closed: Callable[[str], None] = _ignore
    subscribed: Callable[[SubscriptionMode, Channel], None] | None = None


class Registry:
    """All channels with subscribers.

    Args:
        wheel, now: for lingering; monotonic seconds.
        linger_s: how long a channel stays after a long poll has left it; 0 for not at all.
    """

    def __init__(self, wheel: TimerWheel | None = None, now: Callable[[], float] = float, linger_s: float = 0) -> None:
        self.events = ChannelEvents()
        self._channels: dict[str, Channel] = {}
        self._wheel = wheel if wheel is not None else TimerWheel()
        self._now = now
        self._linger_s = linger_s

    def __len__(self) -> int:
        return len(self._channels)

    def find(self, name: str) -> Channel | None:
        """The channel, or None when nobody is subscribed to it and it does not linger."""
        return self._channels.get(name)

    def channels(self) -> list[Channel]:
        """All of them."""
        return list(self._channels.values())

    def add_response(self, hold: ResponseHold) -> None:
        """Subscribe a response hold to all channels of its plan."""
        for channel in self._join(hold, hold.plan.channels):
            channel.responses = _with(channel.responses, hold)
            self._tell(SubscriptionMode.RESPONSE, channel)

    def add_stream(self, hold: StreamHold) -> None:
        """Subscribe a stream hold to all channels of its plan."""
        for channel in self._join(hold, hold.plan.channels):
            channel.streams = _with_subscriber(channel.streams, hold)
            self._tell(SubscriptionMode.STREAM, channel)

    def add_socket(self, hold: SocketHold) -> None:
        """Subscribe a WebSocket to all channels of its plan."""
        for channel in self._join(hold, hold.plan.channels):
            channel.sockets = _with_subscriber(channel.sockets, hold)
            self._tell(SubscriptionMode.WEBSOCKET, channel)

    def move_stream(self, hold: StreamHold, plan: HoldPlan) -> None:
        """Subscribe a stream hold to the channels of `plan` and to no others; its own plan is still the old one."""
        self.unlist_stream(hold)
        for channel in self._enter(hold, plan):
            channel.streams = _with_subscriber(channel.streams, hold)
            self._tell(SubscriptionMode.STREAM, channel)
        for channel in self._exited(hold, plan):
            channel.streams.discard(hold)
            self._tell(SubscriptionMode.STREAM, channel)
            self._exit(channel, hold)

    def move_socket(self, hold: SocketHold, plan: HoldPlan) -> None:
        """Subscribe a WebSocket to the channels of `plan` and to no others; its own plan is still the old one."""
        self.unlist_socket(hold)
        for channel in self._enter(hold, plan):
            channel.sockets = _with_subscriber(channel.sockets, hold)
            self._tell(SubscriptionMode.WEBSOCKET, channel)
        for channel in self._exited(hold, plan):
            channel.sockets.discard(hold)
            self._tell(SubscriptionMode.WEBSOCKET, channel)
            self._exit(channel, hold)

    def remove_response(self, hold: ResponseHold) -> None:
        """Unsubscribe a response hold from everything; its channels linger."""
        for name in hold.plan.channels:
            channel = self._channels[name]
            _discard(channel.responses, hold)
            if self._linger_s:
                self._start_linger(channel)
            self._tell(SubscriptionMode.RESPONSE, channel)
            self._leave(channel, hold)

    def holds(self) -> set[ResponseHold | StreamHold]:
        """All holds that have a channel and can ask for what they may have missed."""
        return {
            hold
            for channel in self._channels.values()
            for holds in (channel.responses, channel.streams)
            for hold in holds
        }

    def remove_stream(self, hold: StreamHold) -> None:
        """Unsubscribe a stream hold from everything."""
        for name in hold.plan.channels:
            channel = self._channels[name]
            channel.streams.discard(hold)
            self._tell(SubscriptionMode.STREAM, channel)
            self._leave(channel, hold)

    def remove_socket(self, hold: SocketHold) -> None:
        """Unsubscribe a WebSocket from everything."""
        for name in hold.plan.channels:
            channel = self._channels[name]
            channel.sockets.discard(hold)
            self._tell(SubscriptionMode.WEBSOCKET, channel)
            self._leave(channel, hold)

    def unlist_stream(self, hold: StreamHold) -> None:
        """Take a stream hold out of its roster, if it is in one: it is asked again for each run."""
        if hold.roster is not None:
            channel = self._only_channel(hold)
            for delivery in channel.deliveries:
                delivery.take_back(hold, is_socket=False)
            channel.streams.unlist(hold)

    def unlist_socket(self, hold: SocketHold) -> None:
        """Take a WebSocket out of its roster, if it is in one: it is asked again for each run."""
        if hold.roster is not None:
            channel = self._only_channel(hold)
            for delivery in channel.deliveries:
                delivery.take_back(hold, is_socket=True)
            channel.sockets.unlist(hold)

    def _only_channel(self, hold: StreamHold | SocketHold) -> Channel:
        [name] = hold.plan.channels
        return self._channels[name]

    def _enter(self, hold: StreamHold | SocketHold, plan: HoldPlan) -> list[Channel]:
        """The channels of `plan` that the hold is new to.

        Its order is watched from now on if it has several channels then, or leaves behind what is on its way to it.
        """
        leaves_behind = any(channel.deliveries for channel in self._exited(hold, plan))
        if not hold.is_order_watched and (leaves_behind or len(plan.channels) > 1):
            hold.is_order_watched = True
            for name in hold.plan.channels:
                channel = self._channels[name]
                channel.watched = _with(channel.watched, hold)
                for delivery in channel.deliveries:
                    delivery.watch(hold)
        return self._join(hold, [name for name in plan.channels if name not in hold.plan.channels])

    def _exited(self, hold: StreamHold | SocketHold, plan: HoldPlan) -> list[Channel]:
        return [self._channels[name] for name in hold.plan.channels if name not in plan.channels]

    def _exit(self, channel: Channel, hold: StreamHold | SocketHold) -> None:
        """Leave a channel, but not for good: what is on its way must not reach the hold late, when it is back."""
        for delivery in channel.deliveries:
            delivery.unreached.discard(hold)
        self._leave(channel, hold)

    def _join(self, hold: Hold, names: Iterable[str]) -> list[Channel]:
        channels = []
        route_key = hold.plan.route.key
        for name in names:
            channel = self._channels.get(name)
            if channel is None:
                channel = self._channels[name] = Channel(name, route_key)
                self.events.opened(channel)
            elif channel.route_key != route_key:
                channel.route_key = None if channel else route_key
            channel.version += 1
            channels.append(channel)
        if hold.is_order_watched:
            for channel in channels:
                channel.watched = _with(channel.watched, hold)
        return channels

    def _leave(self, channel: Channel, hold: Hold) -> None:
        _discard(channel.watched, hold)
        channel.tidy()
        self._close_if_unused(channel)

    def _start_linger(self, channel: Channel) -> None:
        if channel.linger is None:
            channel.linger = Deadline(self._wheel, _Linger(self, channel))
        channel.linger.set(self._now() + self._linger_s)

    def end_linger(self, channel: Channel) -> None:
        """The time of a channel without subscribers is over."""
        channel.linger = None
        self._tell(SubscriptionMode.RESPONSE, channel)
        self._close_if_unused(channel)

    def _tell(self, mode: SubscriptionMode, channel: Channel) -> None:
        if self.events.subscribed is not None:
            self.events.subscribed(mode, channel)

    def _close_if_unused(self, channel: Channel) -> None:
        if not channel and channel.linger is None:
            del self._channels[channel.name]
            self.events.closed(channel.name)


class _Linger:
    """Whose time runs out when a channel has lingered."""

    __slots__ = ("_channel", "_registry")

    def __init__(self, registry: Registry, channel: Channel) -> None:
        self._registry = registry
        self._channel = channel

    def on_deadline(self, now_s: float) -> None:
        """See `holdfast.timers.DeadlineOwner`."""
        self._registry.end_linger(self._channel)
