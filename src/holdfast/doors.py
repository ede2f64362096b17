"""The doors for publishers and operators, as they are configured: opened, and closed in good order."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable

from holdfast.config.derive import publish_verifier
from holdfast.config.limits import edge_limits
from holdfast.config.listen import Listen
from holdfast.config.load import Loaded
from holdfast.control.commands import CommandTargets
from holdfast.control.guard import Guard, GuardedDoor
from holdfast.control.metrics import Gauge, MetricsDoor
from holdfast.control.publish_http import PublishDoor
from holdfast.control.stats import StatsDoor
from holdfast.control.zmq_doors import DoorSpecs, ZmqDoors
from holdfast.grip.publish_auth import PublishVerifier
from holdfast.net.edge import Edge
from holdfast.net.exchange import Service
from holdfast.net.listener import Listener
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext
from holdfast.publishing import Publishing
from holdfast.push.channels import Channel
from holdfast.wire.http1.head import HeadLimits

log = logging.getLogger("holdfast.server")

METRICS_MAX_CONNECTIONS = 16

PUBLISHERS_S = 1.0
"""How long publishers may take to end what they are saying when the process stops."""


class Doors:
    """All of them, over HTTP and over ZeroMQ. Tell it of the channels that open and close.

    Args:
        instance: who statistics say they are from.
        refresh: has the backend of a WebSocket asked for news; False if there is no such WebSocket.
    """

    def __init__(
        self,
        loaded: Loaded,
        runtime: Runtime,
        context: ZmqContext,
        publishing: Publishing,
        outbox_limits: OutboxLimits,
        parking: ParkingLot | None,
        *,
        instance: str,
        refresh: Callable[[str], bool],
    ) -> None:
        self._settings = settings = loaded.settings
        self._runtime = runtime
        self._context = context
        self._publishing = publishing
        self._outbox_limits = outbox_limits
        self._parking = parking
        self._verifier = publish_verifier(loaded)
        self._zmq = self._make_zmq_doors(refresh)
        self._statistics = StatsDoor(
            runtime, publishing.statistics, sender=instance, notation=settings.handler.stats_format
        )
        self._edges: list[Edge] = []
        self._listeners: list[Listener] = []

    # --- life ------------------------------------------------------------------------------------------------------

    def open(self, gauges: list[Gauge], connection_minutes: Callable[[], int]) -> None:
        """Listen at all of them.

        Args:
            gauges: what the metrics tell besides what is counted.
            connection_minutes: of clients, up to now.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        self._zmq.open()
        handler = self._settings.handler
        if handler.stats_spec:
            self._statistics.open(self._context, handler.stats_spec, handler.ipc_file_mode)
            log.info("sending statistics at %s", handler.stats_spec)
        if self._settings.publish_listen is not None:
            self._open_publishing(self._settings.publish_listen)
        if self._settings.prometheus_listen is not None:
            self._open_metrics(self._settings.prometheus_listen, gauges, connection_minutes)

    def close(self) -> None:
        """Accept nobody any more."""
        for listener in self._listeners:
            listener.close()
        self._zmq.close()

    async def emptied(self) -> None:
        """Let publishers end what they are saying."""
        for edge in self._edges:
            edge.drain()
        try:
            async with asyncio.timeout(PUBLISHERS_S):
                for edge in self._edges:
                    await edge.emptied.wait()
        except TimeoutError:
            for edge in self._edges:
                edge.cut_off()

    def end_statistics(self) -> None:
        """Nothing happens any more that could be told."""
        self._statistics.close()

    # --- channels --------------------------------------------------------------------------------------------------

    def channel_opened(self, channel: Channel) -> None:
        """A channel has its first subscriber."""
        self._zmq.channel_opened(channel)

    def channel_closed(self, name: str) -> None:
        """A channel has lost its last one, and does not linger."""
        self._zmq.channel_closed(name)

    # --- making them -----------------------------------------------------------------------------------------------

    def _open_publishing(self, listen: Listen) -> None:
        settings = self._settings
        door = PublishDoor(
            self._publishing.publisher,
            self._publishing.recover,
            self._runtime.counters,
            HeadLimits(settings.handler.push_in_http_max_headers_size),
            settings.handler.push_in_http_max_body_size,
        )
        guarded = self._guarded(door, self._verifier)
        self._open_door("publishers", guarded, listen, settings.holdfast.publish_max_connections)

    def _open_metrics(self, listen: Listen, gauges: list[Gauge], connection_minutes: Callable[[], int]) -> None:
        statistics = self._publishing.statistics
        statistics.export()
        metrics = MetricsDoor(
            self._runtime.counters,
            gauges,
            statistics,
            self._settings.metrics_prefix,
            connection_minutes=connection_minutes,
        )
        self._open_door("metrics", self._guarded(metrics), listen, METRICS_MAX_CONNECTIONS)

    def _guarded(self, service: Service, verifier: PublishVerifier | None = None) -> GuardedDoor:
        names = self._settings.holdfast.control_hosts
        return GuardedDoor(service, Guard(self._runtime.counters, names, verifier, wall_clock=time.time))

    def _open_door(self, name: str, service: Service, listen: Listen, max_connections: int) -> None:
        limits = edge_limits(self._settings, max_connections)
        edge = Edge(
            name, self._runtime, service, limits, self._outbox_limits, counts_clients=False, parking=self._parking
        )
        listener = Listener(self._runtime, edge)
        self._edges.append(edge)
        self._listeners.append(listener)
        listener.listen(*listen)
        log.info("listening for %s on %s", name, listen)

    def _make_zmq_doors(self, refresh: Callable[[str], bool]) -> ZmqDoors:
        handler, publishing = self._settings.handler, self._publishing
        one_more = (handler.push_in_sub_spec,) if handler.push_in_sub_spec else ()
        specs = DoorSpecs(
            pull=handler.push_in_spec,
            subs=handler.push_in_sub_specs + one_more,
            connects_subs=handler.push_in_sub_connect,
            command=handler.command_spec,
            ipc_file_mode=handler.ipc_file_mode,
        )
        targets = CommandTargets(
            publisher=publishing.publisher,
            registry=publishing.registry,
            uris=specs.uris(),
            recover=publishing.recover,
            has_connection=publishing.statistics.connections.exists,
            refresh=refresh,
        )
        return ZmqDoors(specs, self._runtime, self._context, targets)
