"""One worker: everything is made here, put together, started and stopped. Nothing looks anything up."""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable

from holdfast.config.derive import route_defaults, statistics_terms
from holdfast.config.limits import client_capacity, edge_limits, file_ceiling
from holdfast.config.load import Start
from holdfast.counters import Counters
from holdfast.doors import Doors
from holdfast.garbage import GarbageWatch
from holdfast.gauges import make_gauges
from holdfast.logs import RequestLog
from holdfast.net.edge import Edge
from holdfast.net.listener import Listener
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot, can_park
from holdfast.net.runtime import Runtime
from holdfast.net.tls import CertificateDirectory
from holdfast.net.zmq_socket import ZmqContext
from holdfast.parts import make_proxy
from holdfast.proxy.backends import HeldBackends
from holdfast.proxy.service import ProxyService
from holdfast.proxy.sharing import Sharing
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.publishing import Publishing
from holdfast.push.channels import Channel
from holdfast.routes_source import RoutesSource
from holdfast.routing.table import RouteTable
from holdfast.statistics.collector import Statistics
from holdfast.wire.http1.head import HeadLimits

log = logging.getLogger("holdfast.server")


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
        loaded, instance = start.loaded, f"holdfast_{os.getpid()}"
        self._settings = settings = loaded.settings
        self._runtime = runtime = Runtime(loop, Counters())
        self._statistics = Statistics(statistics_terms(settings, instance), runtime.counters)
        outbox_limits = OutboxLimits(settings.holdfast.outbox_max_bytes, settings.holdfast.outbox_policy)
        self._parking = parking = ParkingLot(runtime, outbox_limits) if can_park() else None
        self._publishing = publishing = Publishing(settings, runtime, self._statistics, parking)
        self._zmq = ZmqContext()
        capacity, ceiling = client_capacity(settings.runner.client_maxconn, max_files), file_ceiling(max_files)
        self._proxy = make_proxy(
            loaded,
            runtime,
            publishing,
            self._parking,
            outbox_limits,
            self._zmq,
            request_log,
            capacity=capacity,
            max_files=ceiling,
        )
        publishing.updates.backends = HeldBackends(self._proxy)
        self._routes = RoutesSource(loaded.routes_path, start.route_lines, route_defaults(loaded), self._apply_routes)

        sharing = Sharing(runtime, settings.holdfast.send_timeout) if settings.handler.share_all else None
        head_limits = HeadLimits(settings.runner.client_buffer_size)
        self._clients = Edge(
            "clients",
            runtime,
            ProxyService(self._proxy, head_limits, settings.proxy.max_open_requests, sharing),
            edge_limits(settings, capacity, ceiling),
            outbox_limits,
            parking=self._parking,
        )
        self._listener = Listener(runtime, self._clients)
        self._certificates = CertificateDirectory(loaded.certificates_path)

        self._doors = Doors(
            loaded, runtime, self._zmq, publishing, outbox_limits, parking, instance=instance, refresh=self._refresh
        )
        self._gauges = make_gauges(self._clients, self._proxy, publishing, sharing, garbage)
        publishing.registry.events.opened = self._channel_opened
        publishing.registry.events.closed = self._channel_closed

    # --- life ------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Load the routes and listen on every port.

        Raises:
            ConfigError: an address cannot be listened on.
        """
        self._runtime.spawn(self._routes.watch(), "routes watcher")
        await asyncio.sleep(0)  # the watch stands before the file is read: no change can fall between
        self._routes.load()
        self._doors.open(self._gauges, lambda: self._clients.connection_minutes)
        self._open_client_ports()  # last: who can connect here can be published to

    def reload(self, done: Callable[[], None]) -> None:
        """Read the routes again, at once unless they are just being written; `done` is called then, unless it stops."""

        async def read() -> None:
            try:
                await self._routes.reload()
            finally:
                if not self._clients.is_draining:
                    done()

        self._runtime.spawn(read(), "routes reload")

    async def stop(self) -> None:
        """Stop in good order: accept nobody, end what is held, let running requests finish within `stop_timeout`."""
        proxy = self._proxy
        self._listener.close()
        self._doors.close()
        await self._doors.emptied()
        self._publishing.flush()  # only then may holds end
        self._clients.drain()
        if self._parking is not None:
            self._parking.end_holds()
        proxy.sockjs.end_all()
        try:
            async with asyncio.timeout(self._settings.holdfast.stop_timeout):
                await self._clients.emptied.wait()
                await proxy.farewells.ended()
        except TimeoutError:
            clients, backends = self._clients.open_connections, len(proxy.farewells)
            log.warning("%d clients did not finish in time, %d backends were not told", clients, backends)
        proxy.farewells.close()
        await self._runtime.cancel_tasks()
        proxy.pool.close()
        if self._parking is not None:
            self._parking.close()
        proxy.zhttp.close()
        self._doors.end_statistics()
        self._zmq.close()
        self._runtime.close()

    def _open_client_ports(self) -> None:
        runner, listener = self._settings.runner, self._listener
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

    # --- what one part is told for others --------------------------------------------------------------------------

    def _refresh(self, connection_id: str) -> bool:
        """Have the backend of a WebSocket asked for news; False if there is no such WebSocket (ws spec §1.7)."""
        client = self._statistics.connections.find_websocket(connection_id)
        if isinstance(client, WebSocketClient):
            client.refresh()
        return client is not None

    def _channel_opened(self, channel: Channel) -> None:
        self._doors.channel_opened(channel)
        if self._settings.handler.update_on_first_subscription:
            self._publishing.updates.watch_first_subscription(channel)

    def _channel_closed(self, name: str) -> None:
        self._doors.channel_closed(name)
        self._publishing.publisher.forget_channel(name)

    def _apply_routes(self, table: RouteTable) -> None:
        self._proxy.routes = table
        self._proxy.zhttp.apply(table)
        self._statistics.routes.configure(rule.id for rule in table if rule.has_explicit_id)
