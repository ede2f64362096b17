"""What a peer owes is counted through all transports that are between."""

from __future__ import annotations

import asyncio
from pathlib import Path

from tests.unit.net.helpers import HUGE, settle
from tests.unit.net.tls_pairs import tls_pair

from holdfast.net.below import owed_bytes, transport_below


async def test_below_tls(certificate: Path) -> None:
    """uvloop does not say what is below: this fails with a version that has it elsewhere."""
    async with tls_pair(certificate) as it:
        transport = it.transport
        below = transport_below(transport)
        assert below is not None
        assert below is not transport
        assert owed_bytes(transport, below) == 0
        transport.write(bytes(HUGE))
        assert transport.get_write_buffer_size() == 0
        assert HUGE // 4 < owed_bytes(transport, below) < HUGE + HUGE // 100
        await it.reader.readexactly(HUGE)
        await settle()
        assert owed_bytes(transport, below) == 0


async def test_nothing_is_below_another_transport() -> None:
    async with await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0) as server:
        host, port = server.sockets[0].getsockname()
        transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, host, port)
        assert transport_below(transport) is None
        transport.write(bytes(HUGE))
        assert owed_bytes(transport, None) == transport.get_write_buffer_size() > 0
        transport.abort()
        await settle()
