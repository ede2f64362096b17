"""The connections that statistics speak of one by one: requests, holds and WebSockets (grip spec §15.6, §15.7).

A connection gets an id when somebody may see it, not before. Whoever stays for long is entered in a ring of seconds,
so that all are named again in time without a timer for each.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

from holdfast.statistics.routes import Mode, RouteCounts
from holdfast.wire.statistics import Connection, ConnectionGone, ConnectionType

NAMED_PER_BEAT = 500
"""Connections named again in one go: a few milliseconds."""


class Peer(Protocol):
    """The client of a connection."""

    @property
    def client_address(self) -> str:
        """Its address without the port; empty if it has none."""
        ...


class Presence:
    """One connection, as long as it is there.

    Args:
        started: what `RouteCounts.begin` has returned.

    Attributes:
        id: None while nobody may have seen one.
        mode: what its client is held by; None while it is not.
        slot: where in the ring it is; None for nowhere.
    """

    __slots__ = ("id", "is_tls", "mode", "peer", "route", "slot", "started", "type")

    def __init__(
        self, route: RouteCounts, started: int, type: ConnectionType, peer: Peer, is_tls: bool, id: str | None = None
    ) -> None:
        self.route = route
        self.started = started
        self.type = type
        self.peer = peer
        self.is_tls = is_tls
        self.id = id
        self.mode: Mode | None = None
        self.slot: int | None = None


class Connections:
    """All of them.

    Args:
        instance: what ids begin with.
        ttl_s: how long what is said of a connection holds.
        send: sends a packet.

    Attributes:
        is_wanted: whether somebody wants to know of each connection.
    """

    def __init__(self, instance: str, ttl_s: int, send: Callable[[Connection | ConnectionGone], object]) -> None:
        self.is_wanted = False
        self._instance = instance
        self._ttl_s = ttl_s
        self._send = send
        self._number = 0
        self._named: dict[str, Presence] = {}
        # A second less, because naming them takes a while.
        self._ring: list[set[Presence]] = [set() for _ in range(max(ttl_s * 3 // 4 - 1, 1))]
        self._hand = 0
        self._due: deque[Presence] = deque()

    def __len__(self) -> int:
        """How many are in the ring."""
        return sum(map(len, self._ring))

    def exists(self, connection_id: str) -> bool:
        """Whether a connection with this id is there now."""
        return connection_id in self._named

    def find_websocket(self, connection_id: str) -> Peer | None:
        """The client of the connection with this id, if that is a WebSocket."""
        presence = self._named.get(connection_id)
        return presence.peer if presence is not None and presence.type is ConnectionType.WEBSOCKET else None

    def begin(self, presence: Presence) -> None:
        """Name a connection that begins or is handed over, if it matters to anybody, and keep it in mind."""
        if presence.slot is None:
            presence.slot = self._hand
            self._ring[self._hand].add(presence)
            presence.route.websockets += presence.type is ConnectionType.WEBSOCKET
        if presence.id is not None:
            self._named[presence.id] = presence
        if self.is_wanted:
            self._name(presence)

    def hold(self, presence: Presence, mode: Mode) -> None:
        """The client of a connection is held from now on."""
        presence.mode = mode
        presence.route.holds[mode] += 1
        presence.route.holds_opened[mode] += 1

    def release(self, presence: Presence) -> None:
        """The client is not held any more; if it was."""
        if presence.mode is not None:
            presence.route.holds[presence.mode] -= 1
            presence.mode = None

    def end(self, presence: Presence) -> None:
        """A connection is gone."""
        self.release(presence)
        if presence.slot is not None:
            self._ring[presence.slot].discard(presence)
            presence.slot = None
            presence.route.websockets -= presence.type is ConnectionType.WEBSOCKET
        presence.route.end(presence.started)
        if presence.id is not None:
            self._named.pop(presence.id, None)
            if self.is_wanted:
                self._send(ConnectionGone(presence.route.name, presence.id))

    def move_hand(self, now_s: int) -> None:
        """It is another second now: those in its slot are to be named again. Called once for each second."""
        self._hand = now_s % len(self._ring)
        if self.is_wanted:
            self._due.extend(self._ring[self._hand])

    def name_due(self) -> None:
        """Name some of those that are to be named again."""
        for _ in range(min(NAMED_PER_BEAT, len(self._due))):
            presence = self._due.popleft()
            if presence.slot is not None and self.is_wanted:
                self._name(presence)

    def _name(self, presence: Presence) -> None:
        connection_id = presence.id
        if connection_id is None:
            self._number += 1
            connection_id = presence.id = f"{self._instance}:{self._number}"
            self._named[connection_id] = presence
        address = presence.peer.client_address or None
        route = presence.route.name
        self._send(Connection(route, connection_id, presence.type, address, presence.is_tls, self._ttl_s))
