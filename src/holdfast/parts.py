"""Parts of the server that are made from many settings: `server.py` would be hard to read with them."""

from __future__ import annotations

import os

from holdfast.config.settings import Settings
from holdfast.net.parking import ParkingLot
from holdfast.net.pool import BackendPool
from holdfast.net.runtime import Runtime
from holdfast.push.channels import Registry
from holdfast.push.fanout import Fanout
from holdfast.push.pacing import Pacer
from holdfast.statistics.collector import Statistics
from holdfast.wire.http1.head import HeadLimits


def make_proxy_id() -> bytes:
    """What ZeroMQ backends call this process; they may serve several machines, whose process numbers are the same."""
    return f"holdfast_{os.getpid()}_{os.urandom(4).hex()}".encode()


def make_fanout(settings: Settings, runtime: Runtime, registry: Registry, statistics: Statistics) -> Fanout:
    """The fan-out, with pacing if any is asked for."""
    handler = settings.handler
    pacer = None
    if handler.message_rate is not None or handler.message_hwm is not None:
        pacer = Pacer(
            rate=handler.message_rate,
            hwm=handler.message_hwm,
            block_size=handler.message_block_size,
            call_later=runtime.loop.call_later,
        )
    return Fanout(
        registry,
        runtime.counters,
        now=runtime.now,
        schedule=runtime.loop.call_soon,
        pacer=pacer,
        statistics=statistics,
    )


def make_pool(settings: Settings, runtime: Runtime, parking: ParkingLot | None, max_files: int) -> BackendPool:
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
