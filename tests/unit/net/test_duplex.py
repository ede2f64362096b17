"""Sockets on which both sides speak: parked descriptors and kept transports make the same promises."""

from __future__ import annotations

import asyncio
import select
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from tests.unit.net.helpers import HUGE, OUTBOX, Peer, admitted, eventually, settle

from holdfast.counters import Counters
from holdfast.net.duplex import CLOSE_TIMEOUT_S, READ_BYTES, ConnectionDuplex, Duplex, ParkedDuplex
from holdfast.net.outlets import OutboxLimits, OutboxPolicy
from holdfast.net.parking import ParkingLot
from holdfast.net.runtime import Runtime

DISCONNECT = OutboxLimits(200_000, OutboxPolicy.DISCONNECT)
DROP = OutboxLimits(200_000, OutboxPolicy.DROP)
NO_ROOM = OutboxLimits(1, OutboxPolicy.DISCONNECT)


class KeptDuplex(Duplex, Protocol):
    """What the table of tests needs beside: who keeps duplexes has them end when the process stops."""

    def end_hold(self) -> None: ...


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


@pytest.fixture(params=["parked", "awake"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@asynccontextmanager
async def place_for(kind: str, limits: OutboxLimits = OUTBOX) -> AsyncIterator[Place]:
    place = Place(kind, limits)
    try:
        yield place
    finally:
        await place.close()


# --- reading -------------------------------------------------------------------------------------------------------


async def test_nothing_is_read_before_the_owner_wants_it(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        await it.peer.send(b"then")
        await settle()
        assert it.owner.data == b""
        it.duplex.resume_reading()
        await it.expect_data(b"earlythen")


async def test_early_bytes_come_at_once_and_once(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        it.duplex.resume_reading()
        assert it.owner.data == b"early"
        it.duplex.pause_reading()
        it.duplex.resume_reading()
        it.duplex.resume_reading()
        await settle()
        assert it.owner.data == b"early"


async def test_much_comes_in_order(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        data = bytes(range(256)) * (20 * READ_BYTES // 256)
        await it.peer.send(data)
        await it.expect_data(data)
        assert it.owner.told == []


async def test_reading_is_paused_and_resumed(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        await it.peer.send(b"1")
        await it.expect_data(b"1")
        it.duplex.pause_reading()
        it.duplex.pause_reading()
        await it.peer.send(b"2")
        await settle()
        assert it.owner.data == b"1"
        it.duplex.resume_reading()
        await it.expect_data(b"12")


async def test_a_peer_is_held_back_while_it_is_not_read_from(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.pause_reading()
        sent = 0
        while more := it.peer.send_what_fits(bytes(HUGE)):
            sent += more
            await settle()
        assert it.owner.data == b""
        it.duplex.resume_reading()
        await eventually(lambda: len(it.owner.data) == sent, "all that was sent")


async def test_the_owner_may_pause_while_it_is_told(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        it.owner.act = lambda event: it.duplex.pause_reading()
        it.duplex.resume_reading()
        await it.peer.send(b"1")
        await settle()
        assert it.owner.data == b"early"
        it.duplex.resume_reading()
        await it.expect_data(b"early1")
        await it.peer.send(b"2")
        await settle()
        assert it.owner.data == b"early1"


async def test_writing_goes_on_while_reading_is_paused(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_reading=False)
        assert it.duplex.write(b"hello") is True
        await it.peer.expect(b"hello")


# --- writing -------------------------------------------------------------------------------------------------------


async def test_what_is_written_and_relayed_arrives_in_order(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        assert it.duplex.write(b"one") is True
        it.duplex.relay(b"two")
        assert it.duplex.write(b"three") is True
        assert not it.duplex.is_blocked
        await it.peer.expect(b"onetwothree")
        await settle()
        assert it.owner.told == []


async def test_one_large_write_goes_out_when_nothing_waits(kind: str) -> None:
    async with place_for(kind, NO_ROOM) as place:
        it = await place.pair(is_slow=True)
        assert it.duplex.write(bytes(HUGE)) is True
        await it.peer.expect(bytes(HUGE))
        await it.expect_told("drained")


async def test_what_is_relayed_has_no_bound(kind: str) -> None:
    async with place_for(kind, NO_ROOM) as place:
        it = await place.pair(is_slow=True)
        for _ in range(4):
            it.duplex.relay(b"x" * (HUGE // 4))
        assert it.duplex.is_blocked
        await settle()
        assert 0 < it.duplex.unsent_bytes < HUGE
        assert it.owner.told == []
        await it.peer.expect(b"x" * HUGE)
        await it.expect_told("drained")
        assert (it.duplex.is_blocked, it.duplex.unsent_bytes) == (False, 0)
        assert place.counters.drops_outbox_full == 0


async def test_the_owner_may_write_when_it_is_told_of_room(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(HUGE))
        it.owner.act = lambda event: it.duplex.relay(bytes(HUGE)) if len(it.owner.told) == 1 else None
        await it.peer.expect(bytes(HUGE), bytes(HUGE))
        await it.expect_told("drained", "drained")


async def test_both_sides_may_be_busy(kind: str) -> None:
    """A peer that does not read is still read from."""
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(HUGE))
        await it.peer.send(b"hello")
        await it.expect_data(b"hello")
        assert it.duplex.is_blocked


async def test_a_slow_peer_is_disconnected(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with place_for(kind, DISCONNECT) as place:
        it = await place.pair(is_slow=True)
        while it.duplex.write(bytes(50_000)):
            await settle()
        assert it.owner.told[-1] == "gone"
        assert it.duplex.write(b"x") is None
        await it.expect_gone()
        counters = place.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected) == (1, 1)
        host, port = it.peer.sock.getsockname()
        assert caplog.messages[0].startswith(f"client {host}:{port} on the socket is too slow: ")


async def test_nobody_is_too_slow_because_of_what_is_relayed(kind: str) -> None:
    async with place_for(kind, DISCONNECT) as place:
        it = await place.pair(is_slow=True)
        for _ in range(2):
            it.duplex.relay(bytes(HUGE))
        assert it.duplex.write(b"published") is True
        await it.peer.expect(bytes(2 * HUGE), b"published")
        assert place.counters.drops_outbox_full == 0


async def test_a_slow_peer_may_lose_what_is_written_instead(kind: str, caplog: pytest.LogCaptureFixture) -> None:
    async with place_for(kind, DROP) as place:
        it = await place.pair(is_slow=True)
        size = 0
        while it.duplex.write(b"a" * 50_000):
            size += 50_000
            await settle()
        it.duplex.relay(b"b")
        await it.peer.expect(b"a" * size, b"b")
        await eventually(lambda: not it.duplex.is_blocked, "drained")
        assert it.duplex.write(b"c") is True
        await it.peer.expect(b"c")
        counters = place.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected) == (1, 0)
        assert "gone" not in it.owner.told
        assert "delivery dropped" in caplog.messages[0]


# --- peers that leave ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_the_owner_is_told_once_when_the_peer_leaves(kind: str, how: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        if how == "half":
            it.peer.sock.shutdown(socket.SHUT_WR)
        else:
            getattr(it.peer, how)()
        await it.expect_gone()


async def test_what_a_peer_said_before_it_left_comes_first(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        data = bytes(4 * READ_BYTES)
        await it.peer.send(data)
        it.peer.close()
        await settle()
        assert it.owner.told == []
        it.duplex.resume_reading()
        await it.expect_gone()
        assert it.owner.data == b"early" + data


async def test_a_peer_that_resets_while_it_is_not_read_from(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_reading=False)
        it.peer.reset()
        await settle()
        it.duplex.resume_reading()
        await it.expect_gone()


async def test_a_blocked_peer_that_leaves(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(HUGE))
        it.peer.reset()
        await it.expect_gone()


@pytest.mark.parametrize("how", ["write", "relay"])
async def test_the_owner_is_told_when_a_write_meets_a_closed_connection(kind: str, how: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_reading=False)
        it.peer.reset()
        for _ in range(5):
            getattr(it.duplex, how)(b"x")
            await settle()
        await it.expect_gone()


async def test_the_owner_may_abort_while_it_is_told_of_the_end(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        it.owner.act = lambda event: it.duplex.abort()
        it.peer.close()
        await it.expect_gone()


# --- closing -------------------------------------------------------------------------------------------------------


async def test_closing_sends_everything_and_waits_for_the_peer(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(HUGE))
        it.duplex.close()
        assert it.duplex.write(b"late") is None
        await it.peer.expect(bytes(HUGE))
        await it.peer.expect_end()
        await settle()
        assert it.owner.closed == 0
        it.peer.close()
        await it.expect_closed()
        assert it.owner.told == []


async def test_closing_discards_what_still_comes(kind: str) -> None:
    """Unread, it would make the system reset the connection and destroy what is on its way."""
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        await it.peer.send(b"unread")
        it.duplex.relay(b"last")
        it.duplex.close()
        await it.peer.send(bytes(1_000_000))
        await it.peer.expect(b"last")
        await it.peer.expect_end()
        it.peer.close()
        await it.expect_closed()
        assert (it.owner.data, it.owner.told) == (b"", [])


async def test_the_owner_may_close_while_it_is_told(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        it.owner.act = lambda event: it.duplex.close()
        await it.peer.send(b"1")
        await it.peer.expect_end()
        await it.peer.send(b"2")
        await settle()
        it.peer.close()
        await it.expect_closed()
        assert (it.owner.data, it.owner.told) == (b"1", [])


async def test_a_closed_duplex_is_read_from_whatever_its_owner_does_after(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        it.duplex.close()
        it.duplex.pause_reading()
        await it.peer.send(bytes(HUGE))
        it.peer.close()
        await it.expect_closed()


@pytest.mark.parametrize("size", [0, HUGE], ids=["reads, but does not close", "does not read"])
async def test_a_peer_that_does_not_close_is_cut_off(kind: str, size: int) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(size))
        it.duplex.close()
        await settle()
        place.skip(CLOSE_TIMEOUT_S - 1)
        await settle()
        assert it.owner.closed == 0
        place.skip(1.2)
        await it.expect_closed()
        assert it.owner.told == []


async def test_closing_twice(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        it.duplex.close()
        place.skip(5)
        it.duplex.close()
        await it.peer.expect_end()
        it.peer.close()
        await it.expect_closed()


async def test_aborting_closes_at_once(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(is_slow=True)
        it.duplex.relay(bytes(HUGE))
        it.duplex.abort()
        assert await it.peer.drain() < HUGE
        await it.expect_closed()
        assert it.owner.told == []


async def test_the_owner_may_abort_while_it_is_told(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair(b"early", is_reading=False)
        it.owner.act = lambda event: it.duplex.abort()
        it.duplex.resume_reading()
        await it.expect_closed()
        assert (it.owner.data, it.owner.told) == (b"early", [])


# --- together ------------------------------------------------------------------------------------------------------


async def test_an_owner_that_fails_does_not_stop_the_others(kind: str) -> None:
    def fail(event: str) -> None:
        raise ValueError("broken owner")

    async with place_for(kind) as place:
        broken, other = await place.pair(is_slow=True), await place.pair()
        broken.owner.act = fail
        await broken.peer.send(b"x")
        await other.peer.send(b"hello")
        await other.expect_data(b"hello")
        broken.peer.close()
        await eventually(lambda: broken.owner.closed, "closed")
        assert other.duplex.write(b"world") is True
        await other.peer.expect(b"world")
        assert other.owner.told == []


async def test_an_owner_that_fails_when_it_is_to_end_does_not_keep_the_others_from_it() -> None:
    def fail(event: str) -> None:
        raise ValueError("broken owner")

    async with place_for("parked") as place:
        broken, other = await place.pair(), await place.pair()
        broken.owner.act = fail
        place.lot.end_holds()
        assert (broken.owner.told, other.owner.told) == (["end"], ["end"])
        place.lot.close()
        assert (broken.owner.told, other.owner.told) == (["end", "gone"], ["end", "gone"])
        place.lot = ParkingLot(place.runtime, place.limits)


async def test_an_orderly_stop_is_a_matter_of_the_owner(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        it.owner.act = lambda event: it.duplex.close()
        it.duplex.end_hold()
        it.duplex.end_hold()
        assert it.owner.told == ["end"]
        await it.peer.expect_end()


async def test_description(kind: str) -> None:
    async with place_for(kind) as place:
        it = await place.pair()
        host, port = it.peer.sock.getsockname()
        assert it.duplex.describe() == f"{host}:{port}"


# --- what only one kind does ---------------------------------------------------------------------------------------


async def test_a_parked_duplex_is_told_of_events_that_have_passed() -> None:
    """The descriptor may have been read empty, or the outbox written empty, since epoll reported it."""
    async with place_for("parked") as place:
        it = await place.pair()
        assert isinstance(it.duplex, ParkedDuplex)
        it.duplex.on_events(select.EPOLLIN)
        it.duplex.on_events(select.EPOLLOUT)
        assert it.owner.told == []
        await it.peer.send(b"1")
        await it.expect_data(b"1")


async def test_a_parked_duplex_meets_a_full_socket() -> None:
    """None of a write may fit, so that there is nothing of it to cut off."""
    async with place_for("parked") as place:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        before = Peer(ours).send_what_fits(bytes(HUGE))
        owner = Owner()
        duplex = place.lot.park_duplex(admitted(place.lot, ours), b"", owner, owner.on_closed)
        assert duplex.describe() == "unix"
        assert duplex.write(b"last") is True
        assert duplex.unsent_bytes == 4
        await Peer(theirs).expect(bytes(before), b"last")
        await eventually(lambda: owner.told == ["drained"], "drained")
        theirs.close()
        duplex.abort()


async def test_a_parked_duplex_is_told_of_room_that_is_gone_again() -> None:
    async with place_for("parked") as place:
        it = await place.pair(is_slow=True)
        assert isinstance(it.duplex, ParkedDuplex)
        it.duplex.relay(bytes(HUGE))
        await settle()
        it.duplex.on_events(select.EPOLLOUT)
        assert (it.owner.told, it.duplex.is_blocked) == ([], True)
        await it.peer.expect(bytes(HUGE))
        await it.expect_told("drained")


async def test_a_parked_duplex_is_told_of_room_when_its_peer_is_gone() -> None:
    """The reset may come between what epoll reports and the write."""
    async with place_for("parked") as place:
        it = await place.pair(is_slow=True)
        assert isinstance(it.duplex, ParkedDuplex)
        it.duplex.relay(bytes(HUGE))
        it.peer.reset()
        it.duplex.on_events(select.EPOLLOUT)
        assert (it.owner.told, it.duplex.is_blocked) == ([], False)
        await it.expect_gone()


async def test_a_parked_duplex_costs_nothing_while_it_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place_for("parked") as place:
        it = await place.pair(is_reading=False, is_slow=True)
        it.duplex.relay(bytes(HUGE))
        await it.peer.expect(bytes(HUGE))
        await it.expect_told("drained")
        await it.peer.send(b"unread")
        it.peer.sock.shutdown(socket.SHUT_WR)
        await settle()
        calls: list[int] = []
        monkeypatch.setattr(ParkedDuplex, "on_events", lambda self, events: calls.append(events))
        await settle()
        assert not calls
        monkeypatch.undo()


async def test_a_unix_socket_has_no_address() -> None:
    async with place_for("awake") as place:
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        transport, _ = await place.runtime.loop.connect_accepted_socket(asyncio.Protocol, ours)
        owner = Owner()
        duplex = ConnectionDuplex(place.runtime, transport, b"", owner, OUTBOX, owner.on_closed)
        assert duplex.describe() == "unix"
        duplex.abort()
        theirs.close()
        await eventually(lambda: owner.closed, "closed")


# --- TLS -----------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Key and certificate, signed by itself."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "a.test")])
    now = datetime.now(UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .sign(key, hashes.SHA256())
    )
    path = tmp_path_factory.mktemp("tls") / "a.test.pem"
    path.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + signed.public_bytes(serialization.Encoding.PEM)
    )
    return path


class TlsPair:
    """A duplex whose client speaks TLS, and that client."""

    def __init__(self, place: Place, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.place = place
        self.reader = reader
        self.writer = writer
        self.owner = Owner()
        self.duplex: ConnectionDuplex

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()


@asynccontextmanager
async def tls_pair(certificate: Path) -> AsyncIterator[TlsPair]:
    async with place_for("tls") as place:
        server_tls, client_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        server_tls.load_cert_chain(certificate)
        client_tls.check_hostname = False
        client_tls.verify_mode = ssl.CERT_NONE
        loop = place.runtime.loop
        with socket.create_server(("127.0.0.1", 0)) as server:
            opening = loop.create_task(asyncio.open_connection(*server.getsockname(), ssl=client_tls))
            sock, _ = await loop.run_in_executor(None, server.accept)
        sock.setblocking(False)
        transport, _ = await loop.connect_accepted_socket(asyncio.Protocol, sock, ssl=server_tls)
        it = TlsPair(place, *await opening)
        it.duplex = ConnectionDuplex(place.runtime, transport, b"early", it.owner, OUTBOX, it.owner.on_closed)
        try:
            yield it
        finally:
            it.duplex.abort()
            it.writer.transport.abort()
            await eventually(lambda: it.owner.closed, "closed")
            await settle()


async def test_both_sides_speak_tls(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        await it.send(b"one")
        await settle()
        assert it.owner.data == b""
        it.duplex.resume_reading()
        await it.send(b"two")
        await eventually(lambda: len(it.owner.data) == 11, "all")
        assert it.owner.data == b"earlyonetwo"
        assert it.duplex.write(b"hello") is True
        it.duplex.relay(bytes(HUGE))
        assert await it.reader.readexactly(5 + HUGE) == b"hello" + bytes(HUGE)


async def test_closing_a_tls_connection_sends_everything(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.resume_reading()
        it.duplex.relay(bytes(HUGE))
        it.duplex.close()
        assert len(await it.reader.read()) == HUGE
        it.writer.close()
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == []


async def test_a_tls_peer_that_does_not_read_is_cut_off(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.relay(bytes(HUGE))
        it.duplex.close()
        await settle()
        assert it.owner.closed == 0
        it.place.skip(CLOSE_TIMEOUT_S + 0.2)
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == []


async def test_a_tls_peer_leaves(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.resume_reading()
        it.writer.close()
        await eventually(lambda: it.owner.closed, "closed")
        assert it.owner.told == ["gone"]


async def test_what_a_parked_peer_said_before_a_write_failed_comes_first() -> None:
    """Both sides speak: that the peer takes no more may be seen before what it has said last."""
    async with place_for("parked") as place:
        it = await place.pair()
        await it.peer.send(b"why")
        it.peer.close()
        it.duplex.relay(b"for nobody")
        it.duplex.relay(b"nor this")
        assert it.duplex.write(b"published") is None
        assert not it.owner.told and not it.duplex.is_blocked
        await eventually(lambda: it.owner.told == ["gone"], "gone")
        assert it.owner.data == b"why"
