"""What a peer has not taken of what it was sent: more than a transport of uvloop tells, where it speaks TLS.

TLS is a transport above another one, and tells only what it has not handed down yet. When the one below has sent almost
all that it had, it is handed everything that waits, however much that is: then nothing waits above, and nothing was
taken.
"""

from __future__ import annotations

import asyncio
import gc
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from holdfast.net.socket_transport import SocketTransport


def transport_below(transport: asyncio.Transport | SocketTransport) -> asyncio.Transport | None:
    """The transport below one for TLS, None for any other. uvloop has a name for it only within itself."""
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
