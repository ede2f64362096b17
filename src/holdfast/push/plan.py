"""What many holds have in common, kept once: the parts of an instruct that stay the same while a hold lasts.

Thousands of clients usually get equal instructs. `PlanTable` gives equal ones the same `HoldPlan`, and forgets a plan
with its last hold, so a held client costs its own state only.
"""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from holdfast.grip.filters import asks_network, content_filter_names
from holdfast.grip.values import BackendResponse, HoldMode, Instruct, KeepAlive, KeepAliveMode, Subscription
from holdfast.wire.http1.encode import encode_chunk


@dataclass(frozen=True, slots=True)
class RouteTerms:
    """What a route contributes to the holds made through it.

    Args:
        key: id of the route if it has an explicit one, else empty: the key of pacing and of separate statistics.
        prefix: put before every channel name of an instruct.
        is_debug: whether clients may see why something failed.
        implicit_channels: full names of channels that the target subscribes its clients to (grip spec §3.2).
    """

    key: str = ""
    prefix: str = ""
    is_debug: bool = False
    implicit_channels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, eq=False, weakref_slot=True)
class HoldPlan:
    """The shared part of holds.

    Args:
        channels: full channel names, each once, implicit ones last.
        filters: per full channel name, for those that have any.
        prev_ids: id that the client has, per full channel name, for channels that state one; never changed.
        kept: for response holds, what is answered when the time is up; for streams None.
    """

    route: RouteTerms
    channels: tuple[str, ...]
    subscriptions: tuple[Subscription, ...]
    filters: Mapping[str, tuple[str, ...]]
    prev_ids: Mapping[str, str]
    meta: Mapping[str, str | None]
    keep_alive: KeepAlive | None
    timeout_s: int
    kept: BackendResponse | None
    network_filtered: frozenset[str] = field(init=False)
    """Full names of the channels with a filter that asks the network."""
    keep_alive_chunk: bytes = field(init=False)
    is_postponed_by_writes: bool = field(init=False)
    sieve: tuple[object, ...] = field(init=False)
    """What decides which items pass. Where it is equal, the filters of holds with the same channels say the same."""

    def __post_init__(self) -> None:
        network_filtered = frozenset(channel for channel, names in self.filters.items() if asks_network(names))
        object.__setattr__(self, "network_filtered", network_filtered)
        keep_alive = self.keep_alive
        chunk = encode_chunk(keep_alive.data) if keep_alive is not None and keep_alive.data else b""
        object.__setattr__(self, "keep_alive_chunk", chunk)
        is_idle = keep_alive is not None and keep_alive.mode is KeepAliveMode.IDLE
        object.__setattr__(self, "is_postponed_by_writes", is_idle)
        sieve = (tuple(self.filters.items()), tuple(self.meta.items()), self.route.prefix) if self.filters else ()
        object.__setattr__(self, "sieve", sieve)

    def content_filters(self, channel: str) -> tuple[str, ...]:
        """The filters of `channel` that change content, as an item's `content-filters` names them (grip spec §10.5)."""
        return content_filter_names(self.filters.get(channel, ()))

    def bare_name(self, channel: str) -> str:
        """The channel's name as the backend knows it."""
        return channel.removeprefix(self.route.prefix)

    @property
    def bare_channels(self) -> list[str]:
        """All channels of the hold as the backend knows them."""
        return [self.bare_name(channel) for channel in self.channels]


_NO_RESPONSE = BackendResponse(101, b"", [], b"")


class PlanTable:
    """The plans in use.

    Attributes:
        subscription_max: channels of an instruct that are kept; the rest is left out (grip spec §3.2).
    """

    def __init__(self, subscription_max: int) -> None:
        self.subscription_max = subscription_max
        self._plans: weakref.WeakValueDictionary[tuple[object, ...], HoldPlan] = weakref.WeakValueDictionary()

    def __len__(self) -> int:
        return len(self._plans)

    def plan(self, instruct: Instruct, route: RouteTerms) -> tuple[HoldPlan, int]:
        """The plan of an instruct with a hold, and how many of its channels were left out."""
        subscriptions = instruct.subscriptions[: self.subscription_max]
        left_out = len(instruct.subscriptions) - len(subscriptions)
        kept = instruct.response if instruct.mode is HoldMode.RESPONSE else None
        key = (
            route,
            subscriptions,
            tuple(instruct.meta.items()),
            instruct.keep_alive,
            instruct.timeout_s,
            kept and (kept.code, kept.reason, tuple(kept.headers), kept.body),
        )
        plan = self._plans.get(key)
        if plan is None:
            plan = self._plans[key] = _make_plan(instruct, route, subscriptions, kept)
        return plan, left_out

    def socket_plan(
        self, route: RouteTerms, subscriptions: tuple[Subscription, ...], meta: Mapping[str, str | None]
    ) -> HoldPlan:
        """The plan of a WebSocket that has these subscriptions now."""
        key = (route, subscriptions, tuple(meta.items()))
        plan = self._plans.get(key)
        if plan is None:
            instruct = Instruct(HoldMode.STREAM, subscriptions, 0, None, meta, None, None, _NO_RESPONSE)
            plan = self._plans[key] = _make_plan(instruct, route, subscriptions, None)
        return plan


def _make_plan(
    instruct: Instruct, route: RouteTerms, subscriptions: tuple[Subscription, ...], kept: BackendResponse | None
) -> HoldPlan:
    names = [route.prefix + subscription.channel for subscription in subscriptions]
    filters = {
        route.prefix + subscription.channel: subscription.filters
        for subscription in subscriptions
        if subscription.filters
    }
    prev_ids = {
        route.prefix + subscription.channel: subscription.prev_id
        for subscription in subscriptions
        if subscription.prev_id is not None
    }
    return HoldPlan(
        route=route,
        channels=tuple(dict.fromkeys([*names, *route.implicit_channels])),
        subscriptions=subscriptions,
        filters=filters,
        prev_ids=MappingProxyType(prev_ids),
        meta=instruct.meta,
        keep_alive=instruct.keep_alive,
        timeout_s=instruct.timeout_s,
        kept=kept,
    )
