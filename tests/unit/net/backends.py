"""A backend that does what a test says, byte by byte, and the pool that connects to it."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from tests.unit.net.helpers import OUTBOX, Peer, settle

from holdfast.counters import Counters
from holdfast.net.backend import BackendConnection
from holdfast.net.endpoint import Endpoint
from holdfast.net.parking import ParkingLot, can_park
from holdfast.net.pool import BackendPool
from holdfast.net.runtime import Runtime
from holdfast.wire.http1.head import HeadLimits

TIMEOUT_S = 50.0
POOL_IDLE_S = 30.0
REQUEST = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


class BackendStage:
    """A listening socket, and a pool with the clock in the test's hand.

    Attributes:
        has_parking: whether connections use the sockets of a parking lot, or transports of the loop.
    """

    has_parking = True

    def __init__(self, *, max_idle: int, connect_timeout_s: float) -> None:
        self._skipped_s = 0.0
        self._peers: list[Peer] = []
        self.runtime = Runtime(asyncio.get_running_loop(), Counters())
        self.runtime.now = lambda: self.runtime.loop.time() + self._skipped_s
        self.lot = ParkingLot(self.runtime, OUTBOX) if self.has_parking and can_park() else None
        self.pool = BackendPool(
            self.runtime,
            limits=HeadLimits(max_bytes=1000),
            connect_timeout_s=connect_timeout_s,
            timeout_s=TIMEOUT_S,
            idle_timeout_s=POOL_IDLE_S,
            max_idle=max_idle,
            parking=self.lot,
        )
        self._listening = socket.create_server(("127.0.0.1", 0))
        self._listening.setblocking(False)
        self.endpoint = Endpoint("127.0.0.1", self._listening.getsockname()[1])

    def skip(self, seconds: float) -> None:
        """Let time pass, and everything be due that is."""
        self._skipped_s += seconds
        self.runtime.wheel.advance(self.runtime.now())

    async def accept(self) -> Peer:
        """The backend's end of the next connection."""
        peer = Peer((await self.runtime.loop.sock_accept(self._listening))[0])
        self._peers.append(peer)
        return peer

    async def connect(self) -> tuple[BackendConnection, Peer]:
        """Both ends of a new connection."""
        return await self.pool.connect(self.endpoint), await self.accept()

    async def ask(self, method: bytes = b"GET") -> tuple[BackendConnection, Peer]:
        """Both ends of a connection on which a request has been sent and received."""
        connection, peer = await self.connect()
        connection.send_request(method, REQUEST)
        await peer.expect(REQUEST)
        return connection, peer

    async def close(self) -> None:
        self._listening.close()
        for peer in self._peers:
            peer.close()
        self.pool.close()
        await settle()
        if self.lot is not None:
            self.lot.close()
        self.runtime.close()


@asynccontextmanager
async def backend_stage(*, max_idle: int = 2, connect_timeout_s: float = 5.0) -> AsyncIterator[BackendStage]:
    """A backend and a pool; at the end no timer may be left."""
    stage = BackendStage(max_idle=max_idle, connect_timeout_s=connect_timeout_s)
    try:
        yield stage
    finally:
        await stage.close()
    assert (stage.pool.idle_count, stage.runtime.task_count, len(stage.runtime.wheel)) == (0, 0, 0)
