"""From the name of a backend to a socket that is connected to it."""

from __future__ import annotations

import asyncio
import os
import socket
from collections.abc import Sequence
from typing import Any

from holdfast.errors import AddressRefused, ConnectError
from holdfast.net.address_policy import public_addresses

MAX_ADDRESSES = 16
"""Addresses of one name that are tried (routes spec §3.9)."""

_AddressInfo = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]


async def connected_socket(
    loop: asyncio.AbstractEventLoop, host: str, port: int, *, is_public_only: bool
) -> socket.socket:
    """Connect to the first address of `host` that can be connected to, without a delay for small packets.

    Args:
        is_public_only: only to addresses of the public network, the very ones that were checked.

    Raises:
        ConnectError: the name has no address, or none that can be connected to.
        AddressRefused: it has none that is allowed.
        OSError: it cannot be resolved.
        ValueError: it cannot be a name.
    """
    found = await _resolve(loop, host, port)
    if is_public_only:
        allowed = frozenset(public_addresses(str(address[0]) for *_, address in found))
        found = [info for info in found if str(info[-1][0]) in allowed]
        if not found:
            raise AddressRefused(f"no address of {host} is allowed for an untrusted target")
    problem = f"{host} has no address"
    for info in found[:MAX_ADDRESSES]:
        try:
            return await _connect(loop, info)
        except OSError as exc:
            problem = os.strerror(exc.errno) if exc.errno is not None else str(exc)
    raise ConnectError(problem)


async def _resolve(loop: asyncio.AbstractEventLoop, host: str, port: int) -> Sequence[_AddressInfo]:
    """The addresses of a name; an address is its own, and nobody has to be asked."""
    try:
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
    except socket.gaierror:
        return await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)


async def _connect(loop: asyncio.AbstractEventLoop, info: _AddressInfo) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
