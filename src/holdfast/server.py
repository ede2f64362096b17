"""One worker: everything is made here, put together, started and stopped. Nothing looks anything up."""

from __future__ import annotations

import asyncio
import logging
import os
import random
import time

from holdfast.config.derive import (
    forward_policy,
    publish_verifier,
    route_defaults,
    statistics_terms,
    upstream_verifier,
)
from holdfast.config.limits import client_capacity, edge_limits, file_ceiling
from holdfast.config.listen import Listen
from holdfast.config.load import Start
from holdfast.control.commands import CommandTargets
from holdfast.control.guard import Guard, GuardedDoor
from holdfast.control.metrics import Gauge, MetricsDoor
from holdfast.control.publish_http import PublishDoor
from holdfast.control.stats import StatsDoor
from holdfast.control.zmq_doors import DoorSpecs, ZmqDoors
from holdfast.counters import Counters
from holdfast.garbage import GarbageWatch
from holdfast.grip.publish_auth import PublishVerifier
from holdfast.logs import RequestLog
from holdfast.net.edge import Edge
from holdfast.net.exchange import Service
from holdfast.net.listener import Listener
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot, can_park
from holdfast.net.runtime import Runtime
from holdfast.net.tls import CertificateDirectory
from holdfast.net.zmq_socket import ZmqContext
from holdfast.parts import make_fanout, make_pool, make_proxy_id
from holdfast.proxy.backends import HeldBackends
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.service import ProxyService
from holdfast.proxy.sharing import Sharing
from holdfast.proxy.sockjs_sessions import SockJsSessions
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.zhttp_backends import ZhttpBackends
from holdfast.push.channels import Channel, Registry
from holdfast.push.last_ids import LastIds
from holdfast.push.link import LinkClock
from holdfast.push.outlet import HoldContext
from holdfast.push.plan import PlanTable
from holdfast.push.publisher import Publisher
from holdfast.push.sequencer import Sequencer
from holdfast.push.updates import Updates
from holdfast.routes_source import RoutesSource
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.table import RouteTable
from holdfast.statistics.collector import Statistics
from holdfast.wire.http1.head import HeadLimits

log = logging.getLogger("holdfast.server")

METRICS_MAX_CONNECTIONS = 16

PUBLISHERS_S = 1.0
"""How long publishers may take to end what they are saying when the process stops."""


class Server:
    """A running Holdfast.

    Args:
        start: settings, routes and where they came from.
        request_log: where the line of each finished request goes.
        max_files: descriptors that the system allows the process.
        garbage: only for the metrics.
    """

    def __init__(
        self,
        start: Start,
        loop: asyncio.AbstractEventLoop,
        request_log: RequestLog,
        max_files: int,
        garbage: GarbageWatch,
    ) -> None:
        settings = start.loaded.settings
        self._settings = settings
        self._runtime = runtime = Runtime(loop, Counters())
        self._registry = Registry(runtime.wheel, runtime.now, settings.handler.subscription_linger)
        instance = f"holdfast_{os.getpid()}"
        self._statistics = Statistics(statistics_terms(settings, instance), runtime.counters)
        self._statistics.channels = self._registry.channels
        self._statistics.watch = self._watch_subscriptions
        self._stats_door = StatsDoor(runtime, self._statistics, sender=instance, notation=settings.handler.stats_format)
        self._last_ids = LastIds()
        self._updates = Updates(runtime.wheel, runtime.now, loop.call_later)
        self._fanout = make_fanout(settings, runtime, self._registry, self._statistics)
        self._sequencer = Sequencer(
            self._last_ids,
            id_cache_ttl_s=settings.handler.id_cache_ttl,
            message_wait_s=settings.handler.message_wait / 1000,
            counters=runtime.counters,
            held_back_s=self._statistics.held_back_s,
        )
        self._publisher = Publisher(
            self._fanout,
            self._sequencer,
            self._registry,
            runtime.counters,
            wheel=runtime.wheel,
            now=runtime.now,
        )
        self._plans = PlanTable(settings.handler.connection_subscription_max)
        self._outbox_limits = OutboxLimits(settings.holdfast.outbox_max_bytes, settings.holdfast.outbox_policy)
        self._parking = ParkingLot(runtime, self._outbox_limits) if can_park() else None
        ceiling = file_ceiling(max_files)
        self._pool = make_pool(settings, runtime, self._parking, ceiling)
        self._zmq = ZmqContext()
        self._zhttp = ZhttpBackends(runtime, self._zmq, make_proxy_id())
        capacity = client_capacity(settings.runner.client_maxconn, max_files)
        self._farewells = Farewells(capacity, runtime.counters)
        self._sockjs = SockJsSessions(capacity, settings.proxy.sockjs_url, runtime.counters)
        self._proxy = ProxyContext(
            runtime=runtime,
            routes=RouteTable([]),
            policy=forward_policy(settings.proxy),
            pool=self._pool,
            holds=HoldContext(
                self._registry,
                runtime.wheel,
                runtime.counters,
                runtime.now,
                random.random,
                self._last_ids,
                self._updates,
                LinkClock(),
                self._statistics,
            ),
            plans=self._plans,
            verifier=upstream_verifier(start.loaded),
            request_log=request_log,
            is_debug=settings.proxy.debug,
            wall_clock=time.time,
            parking=self._parking,
            outbox_limits=self._outbox_limits,
            allow_compression=settings.runner.allow_compression,
            websocket_idle_s=settings.holdfast.websocket_idle_timeout,
            zhttp=self._zhttp,
            farewells=self._farewells,
            cross_origin=JsonpTerms() if settings.proxy.auto_cross_origin else None,
            sockjs=self._sockjs,
        )
        self._updates.backends = HeldBackends(self._proxy)
        self._zmq_doors = self._make_zmq_doors()
        self._registry.events.opened = self._channel_opened
        self._registry.events.closed = self._channel_closed
        self._routes = RoutesSource(
            start.loaded.routes_path, start.route_lines, route_defaults(start.loaded), self._apply_routes
        )
        self._sharing = Sharing(runtime, settings.holdfast.send_timeout) if settings.handler.share_all else None
        self._clients = Edge(
            "clients",
            runtime,
            ProxyService(
                self._proxy,
                HeadLimits(settings.runner.client_buffer_size),
                settings.proxy.max_open_requests,
                self._sharing,
            ),
            edge_limits(settings, capacity, ceiling),
            self._outbox_limits,
            parking=self._parking,
        )
        self._certificates = CertificateDirectory(start.loaded.certificates_path)
        self._listeners: list[Listener] = []
        self._publish_verifier = publish_verifier(start.loaded)
        self._doors: list[Edge] = []
        self._garbage = garbage

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the routes and listen on every port.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        self._runtime.spawn(self._routes.watch(), "routes watcher")
        await asyncio.sleep(0)  # the watch stands before the file is read: no change can fall between
        self._routes.load()
        self._zmq_doors.open()
        if self._settings.handler.stats_spec:
            handler = self._settings.handler
            self._stats_door.open(self._zmq, handler.stats_spec, handler.ipc_file_mode)
            log.info("sending statistics at %s", handler.stats_spec)
        self._open_doors()
        # last: who can connect here can be published to
        self._open_client_ports(self._make_listener(self._clients))

    def reload(self) -> None:
        """Read the routes again at once."""
        self._routes.load()

    async def stop(self) -> None:
        """Stop in good order: accept nobody, end what is held, let running requests finish within `stop_timeout`."""
        for listener in self._listeners:
            listener.close()
        self._zmq_doors.close()
        await self._end_publishing()
        self._clients.drain()
        if self._parking is not None:
            self._parking.end_holds()
        self._sockjs.end_all()
        try:
            async with asyncio.timeout(self._settings.holdfast.stop_timeout):
                await self._clients.emptied.wait()
                await self._farewells.ended()
        except TimeoutError:
            clients, backends = self._clients.open_connections, len(self._farewells)
            log.warning("%d clients did not finish in time, %d backends were not told", clients, backends)
        self._farewells.close()
        await self._runtime.cancel_tasks()
        self._pool.close()
        if self._parking is not None:
            self._parking.close()
        self._zhttp.close()
        self._stats_door.close()
        self._zmq.close()
        self._runtime.close()

    async def _end_publishing(self) -> None:
        """Let publishers end what they are saying, and what was published go out; only then may holds end."""
        for door in self._doors:
            door.drain()
        try:
            async with asyncio.timeout(PUBLISHERS_S):
                for door in self._doors:
                    await door.emptied.wait()
        except TimeoutError:
            for door in self._doors:
                door.cut_off()
        self._fanout.flush()
        lost = self._fanout.paced, self._sequencer.buffered
        if any(lost):
            log.warning(
                "lost: %d deliveries because of message_rate, %d items that wait for the one before them", *lost
            )

    # --- doors -----------------------------------------------------------------------------------------------------

    def _open_doors(self) -> None:
        settings, counters = self._settings, self._runtime.counters
        if settings.publish_listen is not None:
            door = PublishDoor(
                self._publisher,
                self._recover,
                counters,
                HeadLimits(settings.handler.push_in_http_max_headers_size),
                settings.handler.push_in_http_max_body_size,
            )
            limit = settings.holdfast.publish_max_connections
            guarded = self._guarded(door, self._publish_verifier)
            self._open_door("publishers", guarded, settings.publish_listen, limit)
        if settings.prometheus_listen is not None:
            self._statistics.export()
            metrics = MetricsDoor(
                counters,
                self._gauges(),
                self._statistics,
                settings.metrics_prefix,
                connection_minutes=lambda: self._clients.connection_minutes,
            )
            guarded = self._guarded(metrics)
            self._open_door("metrics", guarded, settings.prometheus_listen, METRICS_MAX_CONNECTIONS)

    def _guarded(self, service: Service, verifier: PublishVerifier | None = None) -> GuardedDoor:
        names = self._settings.holdfast.control_hosts
        return GuardedDoor(service, Guard(self._runtime.counters, names, verifier, wall_clock=time.time))

    def _open_door(self, name: str, service: Service, listen: Listen, max_connections: int) -> None:
        limits = edge_limits(self._settings, max_connections)
        door = Edge(name, self._runtime, service, limits, self._outbox_limits, counts_clients=False)
        self._doors.append(door)
        self._make_listener(door).listen(*listen)
        log.info("listening for %s on %s", name, listen)

    def _open_client_ports(self, listener: Listener) -> None:
        runner = self._settings.runner
        for plain in runner.http_port:
            listener.listen(*plain)
            log.info("listening for clients on %s", plain)
        if runner.https_ports and not self._certificates.available():
            log.warning("no certificates in %s: no TLS client can connect", self._certificates.path)
        for tls in runner.https_ports:
            listener.listen(*tls, self._certificates)
            log.info("listening for clients on %s by TLS, certificates in %s", tls, self._certificates.path)
        for file in runner.local_ports:
            listener.listen_on_file(file)
            log.info("listening for clients on %s", file.path)

    def _make_zmq_doors(self) -> ZmqDoors:
        handler = self._settings.handler
        one_more = (handler.push_in_sub_spec,) if handler.push_in_sub_spec else ()
        specs = DoorSpecs(
            pull=handler.push_in_spec,
            subs=handler.push_in_sub_specs + one_more,
            connects_subs=handler.push_in_sub_connect,
            command=handler.command_spec,
            ipc_file_mode=handler.ipc_file_mode,
        )
        targets = CommandTargets(
            publisher=self._publisher,
            registry=self._registry,
            uris=specs.uris(),
            recover=self._recover,
            has_connection=self._statistics.connections.exists,
            refresh=self._refresh,
        )
        return ZmqDoors(specs, self._runtime, self._zmq, targets)

    def _make_listener(self, edge: Edge) -> Listener:
        listener = Listener(self._runtime, edge)
        self._listeners.append(listener)
        return listener

    def _gauges(self) -> list[Gauge]:
        """What is asked at each scrape; the first is Pushpin's `connection_connected` too."""
        parking, garbage = self._parking, self._garbage
        return [
            Gauge("open_connections", "Client connections open now", lambda: self._clients.open_connections),
            Gauge("parked_clients", "Held clients without a transport", lambda: len(parking) if parking else 0),
            Gauge("outboxes", "Parked sockets whose peer is slow", lambda: len(parking.slow) if parking else 0),
            Gauge("outbox_bytes", "What their peers have yet to take", lambda: parking.outbox_bytes if parking else 0),
            Gauge("channels", "Channels with a subscriber", lambda: len(self._registry)),
            Gauge("hold_plans", "Distinct instructs among the holds", lambda: len(self._plans)),
            Gauge("held_back_items", "Items that wait for the one before them", lambda: self._sequencer.buffered),
            Gauge("remembered_ids", "Item ids kept to notice repeats", lambda: self._sequencer.remembered),
            Gauge("waiting_retries", "Held clients whose backend will be asked again", lambda: len(self._updates)),
            Gauge("fanout_backlog", "Accepted deliveries that are not written yet", lambda: self._fanout.backlog),
            Gauge("paced_deliveries", "Deliveries that wait because of message_rate", lambda: self._fanout.paced),
            Gauge("sockjs_sessions", "SockJS clients over HTTP", lambda: len(self._sockjs)),
            Gauge("farewells", "WebSockets that are over, whose backend is being told", lambda: len(self._farewells)),
            Gauge("backend_idle_connections", "Idle connections to backends", lambda: self._pool.idle_count),
            Gauge("shareable_requests", "Requests whose answer others can join", lambda: len(self._sharing or ())),
            Gauge("zhttp_exchanges", "Exchanges with ZeroMQ backends", lambda: self._zhttp.exchange_count),
            Gauge("tasks", "Requests and other work in progress", lambda: self._runtime.task_count),
            Gauge("garbage_collections", "Garbage collections since the start", lambda: garbage.collections),
            Gauge("garbage_collection_seconds", "How long they took together", lambda: garbage.seconds),
            Gauge("garbage_collection_longest_seconds", "How long the longest took", lambda: garbage.longest_s),
            Gauge("log_lines_lost", "Log lines that could not be written", lambda: self._proxy.request_log.lost_lines),
        ]

    def _recover(self) -> None:
        """Publishers may have lost items: forget what is known, and let everybody ask again (grip spec §7.1)."""
        self._last_ids.clear()
        now_s = self._runtime.now()
        for hold in self._registry.holds():
            hold.update(now_s)

    def _refresh(self, connection_id: str) -> bool:
        """Have the backend of a WebSocket asked for news; False if there is no such WebSocket (ws spec §1.7)."""
        client = self._statistics.connections.find_websocket(connection_id)
        if isinstance(client, WebSocketClient):
            client.refresh()
        return client is not None

    def _watch_subscriptions(self, is_wanted: bool) -> None:
        """It begins to matter how many subscribers channels have, or no longer does."""
        self._registry.events.subscribed = self._statistics.subscriptions.changed if is_wanted else None

    def _channel_opened(self, channel: Channel) -> None:
        self._zmq_doors.channel_opened(channel)
        if self._settings.handler.update_on_first_subscription:
            self._updates.watch_first_subscription(channel)

    def _channel_closed(self, name: str) -> None:
        self._zmq_doors.channel_closed(name)
        self._publisher.forget_channel(name)

    def _apply_routes(self, table: RouteTable) -> None:
        self._proxy.routes = table
        self._zhttp.apply(table)
        self._statistics.routes.configure(rule.id for rule in table if rule.has_explicit_id)
