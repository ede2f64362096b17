"""Backend connections: opened when needed, kept for a while, used again newest first."""

from __future__ import annotations

import asyncio
import socket
import ssl
import sys
from functools import partial

from holdfast.errors import ConnectError
from holdfast.net.backend import BackendConnection
from holdfast.net.backend_tls import TlsContexts
from holdfast.net.connecting import connected_socket
from holdfast.net.endpoint import Endpoint
from holdfast.net.parking import ParkingLot
from holdfast.net.resolving import Resolver
from holdfast.net.runtime import Runtime
from holdfast.net.shortage import NO_DESCRIPTOR, DescriptorShortage
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.http1.repeated import ResponseHeads

CLOSING_S = 0.001
"""What a transport of the loop needs to close its socket, once it is told to."""


class BackendPool:
    """Idle connections per endpoint.

    Args:
        limits: of response heads.
        connect_timeout_s: for name resolution, TCP and TLS together.
        timeout_s: silence of a backend that ends an exchange.
        idle_timeout_s: how long an idle connection is kept.
        max_idle: idle connections kept per endpoint.
        max_files: the descriptor number from which on there are none for backends.
        parking: whose sockets connections without TLS use, or None where there is no epoll.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        limits: HeadLimits,
        connect_timeout_s: float,
        timeout_s: float,
        idle_timeout_s: float,
        max_idle: int,
        max_files: int = sys.maxsize,
        parking: ParkingLot | None = None,
    ) -> None:
        self._parking = parking
        self._runtime = runtime
        self._heads = ResponseHeads(limits)
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._max_idle = max_idle
        self._max_files = max_files
        self._idle: dict[Endpoint, list[BackendConnection]] = {}
        self._contexts = TlsContexts()
        self._resolver = Resolver(runtime.loop)
        self._shortage = DescriptorShortage(runtime.counters)

    @property
    def idle_count(self) -> int:
        """Idle connections kept now."""
        return sum(map(len, self._idle.values()))

    def take_idle(self, endpoint: Endpoint, *, is_repeatable: bool = True) -> BackendConnection | None:
        """The connection that was used last, or None when none is idle.

        Args:
            is_repeatable: the request can be sent again if the backend is just closing the connection. For one that
                cannot the system is asked, which may know what we have not read yet (RFC 9112 §9.3.1).
        """
        idle = self._idle.get(endpoint)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._idle[endpoint]
            connection.on_idle_close = None
            if connection.is_open:
                if is_repeatable or connection.is_silent:
                    return connection
                connection.abort()
        return None

    async def connect(self, endpoint: Endpoint) -> BackendConnection:
        """Open a new connection.

        Raises:
            ConnectError: refused, unreachable, unresolvable, too slow, or TLS failed.
            AddressRefused: the endpoint is restricted to public addresses and has none.
        """
        connection = BackendConnection(self._runtime, endpoint, self._heads, self._timeout_s)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                await self._open(connection, endpoint)
        except TimeoutError as exc:
            raise ConnectError(f"no connection within {self._connect_timeout_s:g} seconds") from exc
        except OSError as exc:
            self._shortage.note(exc, self._runtime.now())
            raise ConnectError(exc.strerror or str(exc) or type(exc).__name__) from exc
        except ValueError as exc:
            raise ConnectError(str(exc)) from exc
        return connection

    def release(self, connection: BackendConnection) -> None:
        """Give a connection back: it is kept if it can carry another request, otherwise closed."""
        idle = self._idle.get(connection.endpoint)
        if not connection.is_usable or len(idle or ()) >= self._max_idle:
            connection.abort()
            return
        connection.park_idle(self._idle_timeout_s, self)
        if idle is None:
            self._idle[connection.endpoint] = [connection]
        else:
            idle.append(connection)

    def idle_connection_closed(self, connection: BackendConnection) -> None:
        """An idle connection was closed by the backend or by its timeout."""
        idle = self._idle.get(connection.endpoint, [])
        if connection in idle:
            idle.remove(connection)
        if not idle:
            self._idle.pop(connection.endpoint, None)

    def close(self) -> None:
        """Close all idle connections."""
        for idle in list(self._idle.values()):
            for connection in list(idle):
                connection.on_idle_close = None
                connection.abort()
        self._idle.clear()

    async def _open(self, connection: BackendConnection, endpoint: Endpoint) -> None:
        loop, name = self._runtime.loop, endpoint.server_name
        context = None
        if name is not None:
            context = self._contexts.get(is_verified=endpoint.is_verified, identity=endpoint.identity)
            # A name that cannot be asked for raises ValueError here; in the loop's hands it would leak the connection.
            context.wrap_bio(ssl.MemoryBIO(), ssl.MemoryBIO(), server_hostname=name)
        sock = await self._connected_socket(endpoint)
        if context is None and self._parking is not None:
            self._parking.connect(sock, connection)
        else:
            # The loop closes the socket itself if this fails.
            await loop.create_connection(lambda: connection, sock=sock, ssl=context, server_hostname=name)

    async def _connected_socket(self, endpoint: Endpoint) -> socket.socket:
        connect = partial(
            connected_socket,
            self._runtime.loop,
            self._resolver,
            endpoint.host,
            endpoint.port,
            is_public_only=endpoint.is_public_only,
            max_files=self._max_files,
        )
        try:
            return await connect()
        except OSError as exc:
            if exc.errno not in NO_DESCRIPTOR or not self._idle:
                raise
        # There is no descriptor left: what is idle is kept for speed only.
        self.close()
        await asyncio.sleep(CLOSING_S)
        return await connect()
