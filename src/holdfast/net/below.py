"""The transport below one for TLS, which uvloop has a name for only within itself.

Two things can only be done there. It tells what the peer has not taken, when it was handed everything that waited
above. And reading has to be paused there: the transport above goes on reading when it is paused, and throws away what
it has not handed on when it finds the end of the stream behind that.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, Any, cast

if TYPE_CHECKING:
    from holdfast.net.socket_transport import SocketTransport

_NO_LIMIT = 1 << 30


def transport_below(transport: asyncio.Transport | SocketTransport) -> asyncio.Transport | None:
    """The transport below one for TLS, None for any other."""
    protocol = transport.get_extra_info("uvloop.sslproto")
    if protocol is None:
        return None
    parts = [part for part in gc.get_referents(protocol) if hasattr(part, "get_write_buffer_size")]
    return next((cast(asyncio.Transport, part) for part in parts if part is not transport), None)


def owed_bytes(transport: asyncio.Transport | SocketTransport, below: asyncio.Transport | None) -> int:
    """Bytes that the system has not taken.

    Args:
        below: what `transport_below` has found.
    """
    size = transport.get_write_buffer_size()
    return size if below is None else size + below.get_write_buffer_size()


def source_of(transport: asyncio.Transport | SocketTransport) -> asyncio.Transport | SocketTransport:
    """Where reading from the peer is to be paused."""
    return transport_below(transport) or transport


def pause_reading(source: asyncio.Transport | SocketTransport) -> None:
    """Read no more from the peer; what was read is still received."""
    if not source.is_closing():
        source.pause_reading()


def resume_reading(source: asyncio.Transport | SocketTransport) -> None:
    """Read on after `pause_reading`."""
    if not source.is_closing():
        source.resume_reading()


def move_pause_below(transport: asyncio.Transport, below: asyncio.Transport) -> None:
    """Pause below what may have been paused above. What waits above, 256 kB and a bit, is received soon.

    When much waits above, TLS pauses the transport below by itself, and has it go on when that was received. It must
    not do that any more: nobody would be left who pauses.
    """
    if not transport.is_closing():
        cast(Any, transport).set_read_buffer_limits(_NO_LIMIT, _NO_LIMIT)
        pause_reading(below)
        transport.resume_reading()
