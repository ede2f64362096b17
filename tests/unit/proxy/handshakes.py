"""A proxy on real sockets in front of backends that are in the test's hand."""

from __future__ import annotations

import socket
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.harness.websocket import KEY, accept_value
from tests.unit.net.helpers import HUGE, Peer, Stage, eventually, ok, staged
from tests.unit.routing.helpers import make_rule

from holdfast.net.exchange import ClientExchange
from holdfast.net.pool import BackendPool
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.sockjs_exchange import find_sockjs
from holdfast.proxy.sockjs_sessions import SockJsSessions
from holdfast.proxy.websocket_exchange import WebSocketExchange
from holdfast.push.channels import Registry
from holdfast.push.last_ids import LastIds
from holdfast.push.link import LinkClock
from holdfast.push.outlet import HoldContext
from holdfast.push.plan import PlanTable
from holdfast.push.updates import Updates
from holdfast.routing.forward import ForwardPolicy
from holdfast.routing.table import RouteTable
from holdfast.wire.http1.head import HeadLimits


def handshake(*fields: bytes) -> bytes:
    lines = [
        b"GET /ws HTTP/1.1",
        b"Host: a.com",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Key: " + KEY.encode(),
        b"Sec-WebSocket-Version: 13",
        *fields,
    ]
    return b"\r\n".join([*lines, b"", b""])


class Log:
    """What would be logged of each request."""

    is_enabled = True

    def __init__(self) -> None:
        self.outcomes: list[tuple[str, int | None]] = []

    def finished(self, record: Any) -> None:
        self.outcomes.append((record.outcome.value, record.status))


class Handshakes:
    """A proxy in front of backends that are in the test's hand."""

    def __init__(self) -> None:
        self.log = Log()
        self.stage: Stage
        self.context: ProxyContext
        self._backend = socket.create_server(("127.0.0.1", 0))
        self._backend.setblocking(False)
        self._peers: list[Peer] = []

    @property
    def port(self) -> int:
        port: int = self._backend.getsockname()[1]
        return port

    def answer(self, exchange: ClientExchange) -> Any:
        sockjs = find_sockjs(self.context, exchange) if self.context.routes.sockjs_prefixes else None
        if sockjs is not None:
            return sockjs.run()
        if exchange.head.upgrade != b"websocket":
            exchange.respond(200, b"OK", [], bytes(HUGE) if exchange.head.target == b"/huge" else b"plain")
            return None
        WebSocketExchange(self.context, exchange).start()
        return None

    def open(self, stage: Stage) -> None:
        self.stage = stage
        runtime = stage.runtime
        pool = BackendPool(
            runtime,
            limits=HeadLimits(),
            connect_timeout_s=5.0,
            timeout_s=50.0,
            idle_timeout_s=500.0,
            max_idle=5,
        )
        registry = Registry(runtime.wheel, runtime.now)
        updates = Updates(runtime.wheel, runtime.now, runtime.loop.call_later)
        log: Any = self.log
        unused: Any = None
        self.context = ProxyContext(
            runtime=runtime,
            routes=RouteTable(),
            policy=ForwardPolicy(),
            pool=pool,
            holds=HoldContext(
                registry, runtime.wheel, stage.counters, runtime.now, lambda: 0.0, LastIds(), updates, LinkClock()
            ),
            plans=PlanTable(20),
            verifier=None,
            request_log=log,
            is_debug=False,
            wall_clock=time.time,
            parking=stage.lot,
            outbox_limits=stage.edge.outbox_limits,
            allow_compression=False,
            websocket_idle_s=1800.0,
            farewells=Farewells(10, stage.counters),
            sockjs=SockJsSessions(1000, "", stage.counters),
            zhttp=unused,
        )
        self.route()

    def route(self, *targets: str, condition: str = "*") -> None:
        """The targets of the only route; without any it is the backend."""
        line = " ".join(targets or [f"127.0.0.1:{self.port}"])
        self.context.routes = RouteTable([make_rule(f"{condition} {line}")])

    def route_events(self) -> None:
        self.route(f"127.0.0.1:{self.port},over_http")

    async def connected(self) -> Peer:
        """The backend's end of the next connection, which has sent a request."""
        peer = Peer((await self.stage.runtime.loop.sock_accept(self._backend))[0])
        self._peers.append(peer)
        return peer

    async def asked(self) -> tuple[Peer, bytes]:
        """The same, with the request that it sent."""
        peer = await self.connected()
        return peer, await peer.read_until(b"\r\n\r\n")

    async def accept(self, *fields: bytes, rest: bytes = b"") -> Peer:
        """The backend's end of a handshake that it has accepted."""
        peer, request = await self.asked()
        await peer.send(accepted(request, *fields) + rest)
        return peer

    async def open_pair(self) -> tuple[Peer, Peer]:
        """A client and its backend."""
        client = await self.stage.ask(handshake())
        backend = await self.accept()
        await client.read_until(b"\r\n\r\n")
        return client, backend

    def close(self) -> None:
        for peer in self._peers:
            peer.close()
        self._backend.close()
        self.context.pool.close()


def accepted(request: bytes, *fields: bytes) -> bytes:
    """A 101 that fits the request."""
    (key,) = [line.split(b": ")[1] for line in request.split(b"\r\n") if line.startswith(b"Sec-WebSocket-Key")]
    lines = [
        b"HTTP/1.1 101 Switching Protocols",
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Accept: " + accept_value(key.decode()).encode(),
        *fields,
    ]
    return b"\r\n".join([*lines, b"", b""])


def with_events(body: bytes, *fields: bytes) -> bytes:
    return ok(body, b"Content-Type: application/websocket-events", *fields)


@asynccontextmanager
async def handshakes(*, has_parking: bool = True) -> AsyncIterator[Handshakes]:
    """At the end everybody leaves, and nothing may remain."""
    proxy = Handshakes()
    async with staged(proxy.answer, has_parking=has_parking) as stage:
        proxy.open(stage)
        yield proxy
        proxy.context.farewells = Farewells(0, stage.counters)
        for peer in [*stage.peers, *proxy._peers]:
            peer.close()
        await eventually(lambda: not stage.edge.open_connections, "no client is left")
        await eventually(lambda: not stage.runtime.task_count and not stage.lot, "nothing is left")
        assert len(proxy.context.holds.registry) == 0
        proxy.close()
