"""What all client connections of one listener share, those by TLS as well: service, limits, timeouts, who is open."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import DuplexOwner
from holdfast.net.exchange import Service
from holdfast.net.minutes import MinuteMeter
from holdfast.net.outlets import OutboxLimits
from holdfast.net.runtime import Runtime
from holdfast.wire.http1.repeated import RequestHeads

if TYPE_CHECKING:
    from holdfast.net.awake_client import AwakeClient
    from holdfast.net.parking import ParkingLot


@dataclass(frozen=True, slots=True)
class EdgeLimits:
    """Bounds of one listener's connections.

    Args:
        max_connections: open connections, held ones included.
        header_timeout_s: from the first byte of a request head to its last.
        idle_timeout_s: between requests.
        body_timeout_s: silence while a request body is expected.
        send_timeout_s: a client that takes nothing of its response.
        max_files: nobody is accepted while descriptors from this number on are in use; others need the rest.
    """

    max_connections: int
    header_timeout_s: float
    idle_timeout_s: float
    body_timeout_s: float
    send_timeout_s: float
    max_files: int = sys.maxsize


class Edge:
    """One kind of listener (client ports, or a control door), whatever number of sockets it listens on.

    Attributes:
        heads: reads the heads of its requests.
        on_capacity: called when the number of open connections reaches the limit (True) or falls below it (False).
        emptied: set when the last connection has ended during an orderly stop.

    Args:
        parking: where held clients are parked, or None where there is no epoll.
        counts_clients: its peers are clients, whose connections and requests are counted; operators are not.
    """

    def __init__(
        self,
        name: str,
        runtime: Runtime,
        service: Service,
        limits: EdgeLimits,
        outbox_limits: OutboxLimits,
        *,
        parking: ParkingLot | None = None,
        counts_clients: bool = True,
    ) -> None:
        self.name = name
        self.runtime = runtime
        self.service = service
        self.heads = RequestHeads(service.limits)
        self.limits = limits
        self.outbox_limits = outbox_limits
        self.parking = parking
        self.counts_clients = counts_clients
        self.is_draining = False
        self.connections: set[AwakeClient] = set()
        self.on_capacity: Callable[[bool], None] | None = None
        self.emptied = asyncio.Event()
        self._duplexes: set[ConnectionDuplex] = set()
        self._open = 0
        self._minutes = MinuteMeter()

    @property
    def open_connections(self) -> int:
        """Connections that are open now, awake and parked."""
        return self._open

    @property
    def connection_minutes(self) -> int:
        """Minutes that connections have been open, each begun one counted (grip spec §15.7)."""
        return self._minutes.read(self.runtime.now())

    def opened(self) -> int:
        """A connection was accepted; returns what `closed` must be given."""
        self._open += 1
        self.runtime.counters.connections_accepted += self.counts_clients
        if self._open == self.limits.max_connections and self.on_capacity is not None:
            self.on_capacity(True)
        return self._minutes.start(self.runtime.now())

    def closed(self, started: int) -> None:
        """A connection has ended."""
        self._open -= 1
        self._minutes.end(self.runtime.now(), started)
        if self.is_draining and not self._open:
            self.emptied.set()
        if self._open == self.limits.max_connections - 1 and self.on_capacity is not None:
            self.on_capacity(False)

    def keep_duplex(
        self, transport: asyncio.Transport, early: bytes, owner: DuplexOwner, started: int
    ) -> ConnectionDuplex:
        """Make a connection that cannot be parked a duplex, which an orderly stop ends as well."""

        def on_closed() -> None:
            self._duplexes.discard(duplex)
            self.closed(started)

        duplex = ConnectionDuplex(self.runtime, transport, early, owner, self.outbox_limits, on_closed)
        self._duplexes.add(duplex)
        if self.is_draining:
            # Not now: whoever wants it has something to do first.
            self.runtime.loop.call_soon(duplex.end_hold)
        return duplex

    def drain(self) -> None:
        """Begin an orderly stop: every connection closes after what it is doing; `emptied` is set after the last."""
        self.is_draining = True
        if not self._open:
            self.emptied.set()
        for connection in list(self.connections):
            connection.close_when_idle()
        for duplex in list(self._duplexes):
            duplex.end_hold()

    def cut_off(self) -> None:
        """Close every connection at once, whatever it is doing."""
        for connection in list(self.connections):
            connection.cut_off()
