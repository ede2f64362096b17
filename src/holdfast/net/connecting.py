"""From the name of a backend to a socket that is connected to it."""

from __future__ import annotations

import asyncio
import errno
import os
import socket

from holdfast.errors import AddressRefused
from holdfast.net.address_policy import public_addresses
from holdfast.net.resolving import AddressInfo, Resolver

MAX_ADDRESSES = 16
"""Addresses of one name that are tried (routes spec §3.9)."""


async def connected_socket(
    loop: asyncio.AbstractEventLoop, resolver: Resolver, host: str, port: int, *, is_public_only: bool, max_files: int
) -> socket.socket:
    """Connect to the first address of `host` that can be connected to, without a delay for small packets.

    Args:
        is_public_only: only to addresses of the public network, the very ones that were checked.
        max_files: the descriptor number from which on there are none for us; others need the rest.

    Raises:
        AddressRefused: it has no address that is allowed.
        OSError: it has none at all, or none that can be connected to.
        ValueError: it cannot be a name.
    """
    found = await resolver.resolve(host, port)
    if is_public_only:
        allowed = frozenset(public_addresses(str(address[0]) for *_, address in found))
        found = [info for info in found if str(info[-1][0]) in allowed]
        if not found:
            raise AddressRefused(f"no address of {host} is allowed for an untrusted target")
    number = errno.EADDRNOTAVAIL
    for info in found[:MAX_ADDRESSES]:
        try:
            return await _connect(loop, info, max_files)
        except OSError as exc:
            number = exc.errno or errno.EIO
    raise OSError(number, os.strerror(number))


async def _connect(loop: asyncio.AbstractEventLoop, info: AddressInfo, max_files: int) -> socket.socket:
    family, kind, protocol, _, address = info
    sock = socket.socket(family, kind, protocol)
    try:
        if sock.fileno() >= max_files:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))
        sock.setblocking(False)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        await loop.sock_connect(sock, address)
    except BaseException:
        sock.close()
        raise
    return sock
