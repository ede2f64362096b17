"""Duplexes of either kind, with the plain sockets that they speak with."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Protocol

from tests.unit.net.helpers import OUTBOX, Peer, admitted, eventually, settle

from holdfast.counters import Counters
from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import Duplex
from holdfast.net.outlets import OutboxLimits
from holdfast.net.parking import ParkingLot
from holdfast.net.runtime import Runtime


class KeptDuplex(Duplex, Protocol):
    """What the table of tests needs beside: who makes duplexes ends the handshake, and who keeps them ends them."""

    def write_first(self, data: bytes) -> bool: ...

    def end_hold(self) -> None: ...


UNHEARD = "the socket: a peer is gone, and what it said last was not taken within 60 seconds and is lost"


class Owner:
    """Notes what it is told, and does what the test wants meanwhile."""

    def __init__(self) -> None:
        self.data = b""
        self.told: list[str] = []
        self.closed = 0
        self.act: Callable[[str], None] = lambda event: None

    def on_data(self, data: bytes) -> None:
        self.data += data
        self.act("data")

    def on_gone(self) -> None:
        self._note("gone")

    def on_drained(self) -> None:
        self._note("drained")

    def end(self) -> None:
        self._note("end")

    def describe(self) -> str:
        return "the socket"

    def on_closed(self) -> None:
        self.closed += 1

    def _note(self, event: str) -> None:
        self.told.append(event)
        self.act(event)


class Pair:
    """A duplex and the plain socket that it speaks with."""

    def __init__(self, duplex: KeptDuplex, owner: Owner, peer: Peer) -> None:
        self.duplex = duplex
        self.owner = owner
        self.peer = peer

    async def expect_data(self, data: bytes) -> None:
        await eventually(lambda: len(self.owner.data) >= len(data), f"{len(data)} bytes")
        assert self.owner.data == data

    async def expect_told(self, *events: str) -> None:
        await eventually(lambda: len(self.owner.told) >= len(events), f"told {events}")
        await settle()
        assert self.owner.told == list(events)

    async def expect_gone(self) -> None:
        """The owner is told last, once, and nothing can be done any more."""
        await eventually(lambda: self.owner.closed, "closed")
        await settle()
        assert self.owner.told[-1:] == ["gone"]
        assert (self.owner.told.count("gone"), self.owner.closed) == (1, 1)
        await self.use_in_vain()

    async def expect_closed(self) -> None:
        """The connection is closed, of which its owner is not told."""
        await eventually(lambda: self.owner.closed, "closed")
        await self.use_in_vain()

    async def use_in_vain(self) -> None:
        told = self.owner.told[:]
        assert self.duplex.write(b"late") is None
        self.duplex.relay(b"late")
        self.duplex.pause_reading()
        self.duplex.resume_reading()
        self.duplex.close()
        self.duplex.abort()
        self.duplex.end_hold()
        await settle()
        assert (self.owner.told, self.owner.closed) == (told, 1)


class Place:
    """Makes duplexes of one kind, on a clock that can jump."""

    def __init__(self, kind: str, limits: OutboxLimits) -> None:
        self.kind = kind
        self.limits = limits
        self.counters = Counters()
        self.runtime = Runtime(asyncio.get_running_loop(), self.counters)
        self.runtime.now = lambda: self.runtime.loop.time() + self._skipped_s
        self.lot = ParkingLot(self.runtime, limits)
        self.pairs: list[Pair] = []
        self._skipped_s = 0.0

    def skip(self, seconds: float) -> None:
        self._skipped_s += seconds
        while self.runtime.wheel.advance(self.runtime.now()):
            pass

    async def pair(self, early: bytes = b"", *, is_slow: bool = False, is_reading: bool = True) -> Pair:
        peer = socket.socket()
        with socket.create_server(("127.0.0.1", 0)) as server:
            if is_slow:
                peer.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
                server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            peer.connect(server.getsockname())
            sock, _ = server.accept()
        sock.setblocking(False)
        owner = Owner()
        pair = Pair(await self._duplex(sock, early, owner), owner, Peer(peer))
        self.pairs.append(pair)
        if is_reading:
            pair.duplex.resume_reading()
        return pair

    async def _duplex(self, sock: socket.socket, early: bytes, owner: Owner) -> KeptDuplex:
        if self.kind == "parked":
            return self.lot.park_duplex(admitted(self.lot, sock), early, owner, owner.on_closed)
        transport, _ = await self.runtime.loop.connect_accepted_socket(asyncio.Protocol, sock)
        return ConnectionDuplex(self.runtime, transport, early, owner, self.limits, owner.on_closed)

    async def close(self) -> None:
        """Whatever became of them, all are closed once, and neither lot nor wheel keeps them."""
        for pair in self.pairs:
            pair.owner.act = lambda event: None
            pair.duplex.abort()
            pair.peer.close()
        await settle()
        assert [pair.owner.closed for pair in self.pairs] == [1] * len(self.pairs)
        assert (len(self.lot), len(self.runtime.wheel)) == (0, 0)
        self.lot.close()
        self.runtime.close()


@asynccontextmanager
async def place_for(kind: str, limits: OutboxLimits = OUTBOX) -> AsyncIterator[Place]:
    place = Place(kind, limits)
    try:
        yield place
    finally:
        await place.close()
