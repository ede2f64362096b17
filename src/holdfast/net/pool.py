"""Backend connections: opened when needed, kept for a while, used again newest first."""

from __future__ import annotations

import asyncio
import socket

from holdfast.errors import AddressRefused, ConnectError
from holdfast.net.address_policy import public_addresses
from holdfast.net.backend import BackendConnection, Endpoint
from holdfast.net.backend_tls import TlsContexts
from holdfast.net.runtime import Runtime
from holdfast.wire.http1.head import HeadLimits

MAX_ADDRESSES = 16
"""Addresses of one name that are tried (routes spec §3.9)."""


class BackendPool:
    """Idle connections per endpoint.

    Args:
        limits: of response heads.
        connect_timeout_s: for name resolution, TCP and TLS together.
        timeout_s: silence of a backend that ends an exchange.
        idle_timeout_s: how long an idle connection is kept.
        max_idle: idle connections kept per endpoint.
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
    ) -> None:
        self._runtime = runtime
        self._limits = limits
        self._connect_timeout_s = connect_timeout_s
        self._timeout_s = timeout_s
        self._idle_timeout_s = idle_timeout_s
        self._max_idle = max_idle
        self._idle: dict[Endpoint, list[BackendConnection]] = {}
        self._contexts = TlsContexts()

    @property
    def idle_count(self) -> int:
        """Idle connections kept now."""
        return sum(map(len, self._idle.values()))

    def take_idle(self, endpoint: Endpoint) -> BackendConnection | None:
        """The connection that was used last, or None when none is idle."""
        idle = self._idle.get(endpoint)
        while idle:
            connection = idle.pop()
            if not idle:
                del self._idle[endpoint]
            connection.on_idle_close = None
            if connection.is_open:
                return connection
        return None

    async def connect(self, endpoint: Endpoint) -> BackendConnection:
        """Open a new connection.

        Raises:
            ConnectError: refused, unreachable, unresolvable, too slow, or TLS failed.
            AddressRefused: the endpoint is restricted to public addresses and has none.
        """
        connection = BackendConnection(self._runtime, endpoint, self._limits, self._timeout_s)
        try:
            async with asyncio.timeout(self._connect_timeout_s):
                transport = await self._open(connection, endpoint)
        except TimeoutError as exc:
            raise ConnectError(f"no connection within {self._connect_timeout_s:g} seconds") from exc
        except (OSError, ValueError) as exc:
            raise ConnectError(str(exc) or type(exc).__name__) from exc
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def release(self, connection: BackendConnection) -> None:
        """Give a connection back: it is kept if it can carry another request, otherwise closed."""
        idle = self._idle.get(connection.endpoint, [])
        if not connection.is_usable or len(idle) >= self._max_idle:
            connection.abort()
            return
        connection.park_idle(self._idle_timeout_s, self)
        if not idle:
            self._idle[connection.endpoint] = idle
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

    async def _open(self, connection: BackendConnection, endpoint: Endpoint) -> asyncio.BaseTransport:
        """Connect, for restricted endpoints to the very addresses that were checked, one after the other."""
        loop = self._runtime.loop
        context = None
        if endpoint.server_name is not None:
            context = self._contexts.get(is_verified=endpoint.is_verified, identity=endpoint.identity)
        hosts = [endpoint.host]
        if endpoint.is_public_only:
            found = await loop.getaddrinfo(endpoint.host, endpoint.port, type=socket.SOCK_STREAM)
            hosts = public_addresses(str(address[0]) for *_, address in found)[:MAX_ADDRESSES]
            if not hosts:
                raise AddressRefused(f"no address of {endpoint.host} is allowed for an untrusted target")
        for last, host in enumerate(hosts, 1 - len(hosts)):
            try:
                transport, _ = await loop.create_connection(
                    lambda: connection, host, endpoint.port, ssl=context, server_hostname=endpoint.server_name
                )
            except OSError:
                if last == 0:
                    raise
            else:
                return transport
        raise ConnectError(f"{endpoint.host} has no address")
