"""The transport over a bare descriptor: the rules of asyncio's, on real sockets."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

import pytest
from tests.unit.net.helpers import HUGE, OUTBOX, Peer, Witness, admitted, eventually, settle

from holdfast.counters import Counters
from holdfast.net.parking import ParkingLot, can_park
from holdfast.net.runtime import Runtime
from holdfast.net.socket_transport import HIGH_WATER_BYTES, SocketTransport

pytestmark = pytest.mark.skipif(not can_park(), reason="this system has no epoll")


@dataclass
class Line:
    """A connection, seen from both ends."""

    lot: ParkingLot
    transport: SocketTransport
    protocol: Witness
    peer: Peer

    async def expect_lost(self) -> None:
        await eventually(lambda: self.protocol.told[-1:] == ["lost"], "lost")
        assert self.protocol.told.count("lost") == 1
        assert self.transport.is_closing() and not self.transport.is_parked and not len(self.lot)

    def fill(self) -> None:
        """Write more than the system takes."""
        self.transport.write(b"x" * HUGE)
        assert 0 < self.transport.get_write_buffer_size() < HUGE


@asynccontextmanager
async def line(*, is_client: bool = True) -> AsyncIterator[Line]:
    runtime = Runtime(asyncio.get_running_loop(), Counters())
    lot = ParkingLot(runtime, OUTBOX)
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    protocol, peer = Witness(), Peer(theirs)
    transport = admitted(lot, ours, protocol, is_client=is_client)
    try:
        yield Line(lot, transport, protocol, peer)
    finally:
        theirs.close()
        lot.close()
        await settle()
        runtime.close()


async def test_bytes_both_ways() -> None:
    async with line() as it:
        it.transport.write(b"to the peer")
        await it.peer.expect(b"to the peer")
        await it.peer.send(b"from it")
        await eventually(lambda: it.protocol.received == b"from it", "received")
        assert it.transport.get_extra_info("peername") == "somewhere"
        assert it.transport.get_extra_info("socket") is None
        assert it.transport.can_write_eof() and not it.protocol.told


async def test_it_is_not_counted_as_parked() -> None:
    async with line() as it:
        assert len(it.lot) == 0


async def test_the_peer_ends_its_stream() -> None:
    async with line() as it:
        await it.peer.send(b"last words")
        it.peer.sock.shutdown(socket.SHUT_WR)
        await it.expect_lost()
        assert it.protocol.received == b"last words"
        await it.peer.expect_end()


async def test_a_reset() -> None:
    async with line() as it:
        it.transport.write(b"never read")
        it.peer.close()
        await it.expect_lost()


async def test_what_was_queued_is_sent_before_it_closes() -> None:
    async with line() as it:
        it.fill()
        it.transport.close()
        it.transport.close()
        it.transport.write(b"too late")
        await settle()
        assert it.transport.is_parked and it.transport.is_closing()
        assert await it.peer.drain() == HUGE
        await it.expect_lost()


async def test_an_end_after_what_was_queued() -> None:
    """Our side of the stream ends; the peer may still speak."""
    async with line() as it:
        it.fill()
        it.transport.write_eof()
        assert await it.peer.drain() == HUGE
        await it.peer.send(b"still here")
        await eventually(lambda: it.protocol.received == b"still here", "received")
        it.transport.close()
        await it.expect_lost()


async def test_abort_forgets_what_was_queued() -> None:
    async with line() as it:
        it.fill()
        it.transport.abort()
        it.transport.abort()
        assert "lost" not in it.protocol.told  # in a later turn
        assert await it.peer.drain() < HUGE
        await it.expect_lost()
        it.transport.write_eof()
        it.transport.resume_reading()


async def test_writing_is_paused_while_the_peer_is_slow() -> None:
    async with line() as it:
        it.fill()
        assert it.protocol.told == ["pause"]
        it.transport.write(b"more")
        assert it.protocol.told == ["pause"]
        remaining = HUGE + 4
        while it.transport.get_write_buffer_size() > HIGH_WATER_BYTES // 4:
            assert it.protocol.told == ["pause"]
            remaining -= len(await it.peer.read(100_000))
            await settle()
        assert it.protocol.told == ["pause", "resume"]
        assert len(await it.peer.read(remaining)) == remaining


async def test_a_limit_of_nothing() -> None:
    """For whoever waits until all is sent."""
    async with line() as it:
        while not it.transport.get_write_buffer_size():
            it.transport.write(b"x" * 1000)
        assert it.protocol.told == []
        it.transport.set_write_buffer_limits(0)
        assert it.protocol.told == ["pause"]
        it.peer.close()
        await it.expect_lost()


async def test_reading_pauses() -> None:
    async with line() as it:
        it.transport.pause_reading()
        it.transport.pause_reading()
        await it.peer.send(b"later")
        await settle()
        assert it.protocol.received == b""
        it.transport.resume_reading()
        await eventually(lambda: it.protocol.received == b"later", "received")


async def test_a_backend_that_leaves_while_reading_is_paused() -> None:
    """What it has sent is for somebody; until that is read it must not be reported over and over."""
    async with line(is_client=False) as it:
        it.transport.pause_reading()
        await it.peer.send(b"all of it")
        it.peer.close()
        await settle()
        assert it.protocol.told == []
        it.transport.resume_reading()
        await it.expect_lost()
        assert it.protocol.received == b"all of it"


async def test_a_client_that_leaves_while_reading_is_paused() -> None:
    """It is noticed at once: whoever works for it can stop."""
    async with line() as it:
        it.transport.pause_reading()
        await it.peer.send(b"more of a body")
        it.peer.close()
        await it.expect_lost()
        assert it.protocol.received == b""


async def test_a_protocol_that_fails_loses_its_connection_only(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR, "holdfast.net.parking")
    async with line() as it:
        it.protocol.fails = True
        await it.peer.send(b"hello")
        await it.expect_lost()
        assert [record.exc_info is not None for record in caplog.records] == [True]


async def test_what_is_given_up_is_neither_closed_nor_told() -> None:
    async with line() as it:
        fd = it.transport.release()
        it.transport.write(b"not written")
        it.transport.abort()
        await settle()
        assert it.protocol.told == []
        os.write(fd, b"still open")
        await it.peer.expect(b"still open")
        it.lot.forget(fd)
        os.close(fd)
        assert len(it.lot) == 0


async def test_a_backend_that_takes_no_more_is_heard_to_the_end() -> None:
    """The first write that fails comes before what it has sent is read; a reset then is no good end of what it sent."""
    async with line(is_client=False) as it:
        it.transport.pause_reading()
        await it.peer.send(b"too large")
        it.peer.close()
        it.transport.write(b"the rest of the request")
        it.transport.write(b"and more")
        assert not it.transport.is_closing()
        it.transport.resume_reading()
        await it.expect_lost()
        assert it.protocol.received == b"too large"
        assert isinstance(it.protocol.error, ConnectionResetError)


async def test_who_waits_to_write_to_a_backend_that_takes_no_more_goes_on() -> None:
    async with line(is_client=False) as it:
        it.transport.pause_reading()
        it.fill()
        it.peer.close()
        await eventually(lambda: it.protocol.told[-2:] == ["pause", "resume"], "goes on")
        assert it.transport.get_write_buffer_size() == 0 and not it.lot.slow
        it.transport.close()
        await it.expect_lost()


async def test_events_do_not_reach_a_socket_that_took_over_a_number() -> None:
    """Two sockets have news in one turn; the first that is served closes the other, whose number is used again."""
    runtime = Runtime(asyncio.get_running_loop(), Counters())
    lot = ParkingLot(runtime, OUTBOX)
    pairs = [socket.socketpair() for _ in range(3)]
    for pair in pairs:
        pair[0].setblocking(False)
    protocols = [Witness() for _ in pairs]
    transports = [admitted(lot, pair[0], protocol) for pair, protocol in zip(pairs[:2], protocols, strict=False)]
    numbers = [transport._fd for transport in transports]
    newcomers: list[SocketTransport] = []

    def replace(number: int) -> None:
        if newcomers:
            return
        transports[1 - number].abort()
        os.dup2(pairs[2][0].fileno(), numbers[1 - number])
        newcomers.append(admitted(lot, socket.socket(fileno=numbers[1 - number]), protocols[2]))
        newcomers[0].pause_reading()

    for number, protocol in enumerate(protocols[:2]):
        protocol.on_data = partial(replace, number)
        pairs[number][1].send(b"x")
        pairs[number][1].close()  # a hang-up, which would be the end of whoever it is told to
    try:
        await eventually(lambda: newcomers, "the number is used again")
        await settle()
        assert protocols[2].told == [] and newcomers[0].is_parked
    finally:
        pairs[2][0].close()
        pairs[2][1].close()
        lot.close()
        await settle()
        runtime.close()
