"""Parts of the server that are made from many settings: `server.py` would be hard to read with them."""

from __future__ import annotations

import os
import time

from holdfast.config.derive import forward_policy, upstream_verifier
from holdfast.config.load import Loaded
from holdfast.config.settings import Settings
from holdfast.logs import RequestLog
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot
from holdfast.net.pool import BackendPool
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.sockjs_sessions import SockJsSessions
from holdfast.proxy.zhttp_backends import ZhttpBackends
from holdfast.publishing import Publishing
from holdfast.push.plan import PlanTable
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.table import RouteTable
from holdfast.wire.http1.head import HeadLimits


def make_proxy(
    loaded: Loaded,
    runtime: Runtime,
    publishing: Publishing,
    parking: ParkingLot | None,
    outbox_limits: OutboxLimits,
    context: ZmqContext,
    request_log: RequestLog,
    *,
    capacity: int,
    max_files: int,
) -> ProxyContext:
    """What proxied exchanges use; no routes yet.

    Args:
        capacity: clients at once.
        max_files: the descriptor number from which on there are none for backends.
    """
    settings = loaded.settings
    return ProxyContext(
        runtime=runtime,
        routes=RouteTable([]),
        policy=forward_policy(settings.proxy),
        pool=_make_pool(settings, runtime, parking, max_files),
        holds=publishing.holds,
        plans=PlanTable(settings.handler.connection_subscription_max),
        verifier=upstream_verifier(loaded),
        request_log=request_log,
        is_debug=settings.proxy.debug,
        wall_clock=time.time,
        parking=parking,
        outbox_limits=outbox_limits,
        allow_compression=settings.runner.allow_compression,
        websocket_idle_s=settings.holdfast.websocket_idle_timeout,
        zhttp=ZhttpBackends(runtime, context, _make_proxy_id()),
        farewells=Farewells(capacity, runtime.counters),
        cross_origin=JsonpTerms() if settings.proxy.auto_cross_origin else None,
        sockjs=SockJsSessions(capacity, settings.proxy.sockjs_url, runtime.counters),
    )


def _make_proxy_id() -> bytes:
    """What ZeroMQ backends call this process; they may serve several machines, whose process numbers are the same."""
    return f"holdfast_{os.getpid()}_{os.urandom(4).hex()}".encode()


def _make_pool(settings: Settings, runtime: Runtime, parking: ParkingLot | None, max_files: int) -> BackendPool:
    """The connections to backends."""
    return BackendPool(
        runtime,
        limits=HeadLimits(settings.runner.client_buffer_size),
        connect_timeout_s=settings.holdfast.backend_connect_timeout,
        timeout_s=settings.holdfast.backend_timeout,
        idle_timeout_s=settings.holdfast.backend_idle_timeout,
        max_idle=settings.holdfast.backend_max_idle,
        max_files=max_files,
        parking=parking,
    )
