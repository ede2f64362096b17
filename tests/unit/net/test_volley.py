"""Writing to many at once, and which descriptors may be written to like that."""

from __future__ import annotations

import gc
import os
import socket
from collections.abc import Callable
from typing import TypeAlias

import pytest
from tests.unit.net.duplexes import place_for
from tests.unit.net.held_clients import FIRST, held_as
from tests.unit.net.helpers import HUGE, OUTBOX, eventually, ok

from holdfast.net.duplex import Duplex
from holdfast.net.outlets import ConnectionOutlet, OutboxLimits, OutboxPolicy
from holdfast.net.parked_client import ParkedClient
from holdfast.net.parked_duplex import ParkedDuplex
from holdfast.net.parking import ParkingLot
from holdfast.net.volley import send_to_all, write_to_all

ToAll: TypeAlias = "Callable[[Pairs, bytes], list[tuple[int, int]]]"
WaysTo: TypeAlias = "Callable[..., Callable[[bytes], int]]"


class Pairs:
    """Sockets that do not block, with the other end of each."""

    def __init__(self, count: int) -> None:
        self.pairs = [socket.socketpair() for _ in range(count)]
        for ours, _ in self.pairs:
            ours.setblocking(False)

    @property
    def fds(self) -> list[int]:
        return [ours.fileno() for ours, _ in self.pairs]

    def received(self, position: int) -> bytes:
        return self.pairs[position][1].recv(HUGE)

    def close(self) -> None:
        for ours, theirs in self.pairs:
            ours.close()
            theirs.close()


def write_until_full(fd: int) -> None:
    """Write until the system takes no more."""
    try:
        while True:
            os.write(fd, bytes(65536))
    except BlockingIOError:
        pass


def write(pairs: Pairs, data: bytes) -> list[tuple[int, int]]:
    return write_to_all(pairs.fds, data)


def send(pairs: Pairs, data: bytes) -> list[tuple[int, int]]:
    return send_to_all([ours for ours, _ in pairs.pairs], data)


@pytest.mark.parametrize("to_all", [write, send])
class TestToAll:
    def test_everybody_takes_it(self, to_all: ToAll) -> None:
        pairs = Pairs(3)
        assert to_all(pairs, b"hello") == []
        assert [pairs.received(position) for position in range(3)] == [b"hello"] * 3
        pairs.close()

    def test_nobody_there(self, to_all: ToAll) -> None:
        assert to_all(Pairs(0), b"hello") == []

    def test_who_is_full_or_broken_keeps_nobody_from_theirs(self, to_all: ToAll) -> None:
        pairs = Pairs(4)
        write_until_full(pairs.fds[0])
        pairs.pairs[2][1].close()
        assert to_all(pairs, b"hello") == [(0, 0), (2, 0)]
        assert (pairs.received(1), pairs.received(3)) == (b"hello", b"hello")
        pairs.close()

    def test_a_part_is_taken(self, to_all: ToAll) -> None:
        pairs = Pairs(2)
        data = bytes(HUGE)
        (first, sent), (second, _) = to_all(pairs, data)
        assert (first, second) == (0, 1)
        assert 0 < sent < HUGE
        pairs.close()


def test_a_line_that_was_recalled_takes_nothing() -> None:
    pairs = Pairs(2)
    recalled, line = (socket.SocketType(fileno=os.dup(fd)) for fd in pairs.fds)
    os.close(recalled.detach())
    assert send_to_all([recalled, line], b"hello") == [(0, 0)]
    assert pairs.received(1) == b"hello"
    line.close()
    pairs.close()


def fd_of(target: ParkedClient | Duplex) -> int:
    """The descriptor for direct writes, which it has to have."""
    fd = target.direct_fd
    assert fd is not None
    return fd


def by_descriptor(lot: ParkingLot, *targets: ParkedClient | Duplex) -> Callable[[bytes], int]:
    """What writes to all of them."""
    fds = [fd_of(target) for target in targets]
    return lambda data: lot.write_all(fds, data)


def by_line(lot: ParkingLot, *targets: ParkedClient | Duplex) -> Callable[[bytes], int]:
    """The same, through what they have lent."""
    lines = [target.lend(_Patient()) for target in targets]
    return lambda data: lot.send_all(lines, data)


class _Patient:
    def on_recalled(self) -> None: ...


@pytest.mark.parametrize("ways_to", [by_descriptor, by_line])
class TestLot:
    """What becomes of those who did not take everything."""

    async def test_the_rest_waits(self, ways_to: WaysTo) -> None:
        """Also that of many; the bytes are the same for all."""
        data = bytes(HUGE)
        async with held_as(ParkedClient, is_slow=True) as it:
            lot = it.stage.lot
            assert lot is not None
            await it.peer.expect(FIRST)
            assert ways_to(lot, it.client)(data) == 1
            assert it.client.is_blocked
            await it.peer.expect(data)
            await eventually(lambda: not it.client.is_blocked, "all sent")

    async def test_who_is_gone_is_not_counted(self, ways_to: WaysTo) -> None:
        async with place_for("parked") as place:
            gone, fine = await place.pair(is_reading=False), await place.pair()
            gone.peer.reset()  # which nobody has noticed yet
            assert ways_to(place.lot, gone.duplex, fine.duplex)(b"hello") == 1
            await fine.peer.expect(b"hello")
            gone.duplex.resume_reading()
            await gone.expect_gone()

    async def test_who_has_left_meanwhile(self, ways_to: WaysTo) -> None:
        """Nothing is written to whoever has the number next."""
        async with place_for("parked") as place:
            it = await place.pair()
            write = ways_to(place.lot, it.duplex)
            it.duplex.abort()
            assert write(b"hello") == 0

    async def test_one_that_fails(
        self, ways_to: WaysTo, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        async with place_for("parked") as place:
            faulty, fine = await place.pair(is_slow=True), await place.pair()
            monkeypatch.setattr(ParkedDuplex, "go_on_writing", _fail)
            write_until_full(fd_of(faulty.duplex))
            assert ways_to(place.lot, faulty.duplex, fine.duplex)(b"hello") == 1
            await fine.peer.expect(b"hello")
            assert caplog.messages == [f"writing to the parked socket of {faulty.duplex.describe()} failed"]


def _fail(*_: object) -> bool:
    raise RuntimeError("fault")


class TestWhoIsDirect:
    async def test_a_held_client_that_is_not_slow(self) -> None:
        limits = OutboxLimits(2 * HUGE, OutboxPolicy.DISCONNECT)
        async with held_as(ParkedClient, outbox=limits, is_slow=True) as it:
            await it.peer.expect(FIRST)
            assert write_to_all([fd_of(it.client)], b"direct") == []
            assert it.client.write(bytes(HUGE))
            assert it.client.direct_fd is None
            await it.peer.expect(b"direct", bytes(HUGE))
            await eventually(lambda: not it.client.is_blocked, "all sent")
            assert write_to_all([fd_of(it.client)], b"again") == []
            await it.peer.expect(b"again")

    async def test_not_after_the_end(self) -> None:
        """The descriptor is used on, for the next request."""
        async with held_as(ParkedClient, first=b"") as it:
            it.client.finish(ok(b"end"), is_reusable=True)
            assert it.client.direct_fd is None
            await it.peer.expect(ok(b"end"))

    async def test_not_after_the_client_has_left(self) -> None:
        async with held_as(ParkedClient) as it:
            it.peer.close()
            await eventually(lambda: it.is_released, "released")
            assert it.client.direct_fd is None

    async def test_nobody_who_keeps_a_transport(self) -> None:
        async with held_as(ConnectionOutlet) as it:
            assert it.client.direct_fd is None

    async def test_a_parked_duplex_that_is_not_slow(self) -> None:
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair(is_slow=True)
            assert write_to_all([fd_of(it.duplex)], b"direct") == []
            it.duplex.relay(bytes(HUGE))
            assert it.duplex.direct_fd is None
            await it.peer.expect(b"direct", bytes(HUGE))
            await it.expect_told("drained")
            assert write_to_all([fd_of(it.duplex)], b"again") == []
            await it.peer.expect(b"again")

    async def test_not_a_duplex_that_is_closing(self) -> None:
        """Also not when what waits has been sent after that."""
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair(is_slow=True)
            it.duplex.relay(bytes(HUGE))
            it.duplex.close()
            assert it.duplex.direct_fd is None
            await it.peer.expect(bytes(HUGE))
            await it.peer.expect_end()
            assert it.duplex.direct_fd is None

    async def test_not_a_duplex_whose_peer_takes_no_more(self) -> None:
        """What it has said before is still read."""
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair()
            await it.peer.send(b"why")
            it.peer.close()
            it.duplex.relay(b"for nobody")
            it.duplex.relay(b"nor this")
            assert it.duplex.direct_fd is None
            await eventually(lambda: it.owner.told == ["gone"], "gone")
            assert it.duplex.direct_fd is None

    async def test_no_duplex_that_keeps_a_transport(self) -> None:
        async with place_for("awake", OUTBOX) as place:
            it = await place.pair()
            assert it.duplex.direct_fd is None


class Keeper:
    """Keeps a line, as long as it may."""

    def __init__(self, target: ParkedClient | Duplex) -> None:
        self.recalls = 0
        self._fd = fd_of(target)
        self._target = target
        self.line = target.lend(self)
        assert self.line.fileno() == self._fd

    def on_recalled(self) -> None:
        self.recalls += 1
        assert self._target.direct_fd is None
        assert self.line.fileno() == -1
        os.fstat(self._fd)  # which is still the client's


class TestLending:
    """Whoever keeps a line hears at once, and once, that nothing must be sent through it any more."""

    async def test_what_is_sent_comes(self) -> None:
        async with place_for("parked") as place:
            it = await place.pair()
            assert Keeper(it.duplex).line.send(b"hello") == 5
            await it.peer.expect(b"hello")

    async def test_there_is_one_line_for_all_borrowers(self) -> None:
        """A second one would close the descriptor when one of them is forgotten."""
        async with place_for("parked") as place:
            it = await place.pair()
            first = Keeper(it.duplex).line
            assert Keeper(it.duplex).line is first
            del first
            gc.collect()
            it.duplex.relay(b"hello")
            await it.peer.expect(b"hello")

    async def test_forgotten_lines_close_nothing(self, recwarn: pytest.WarningsRecorder) -> None:
        async with held_as(ParkedClient, first=b"") as it:
            Keeper(it.client)
            it.client.finish(ok(b"end"), is_reusable=True)
            gc.collect()
            await it.peer.expect(ok(b"end"))
        assert not recwarn.list

    async def test_a_client_that_is_slow(self) -> None:
        async with held_as(ParkedClient, is_slow=True) as it:
            keeper = Keeper(it.client)
            await it.peer.expect(FIRST)
            it.client.write(bytes(HUGE))
            assert keeper.recalls == 1
            await it.peer.expect(bytes(HUGE))
            await eventually(lambda: not it.client.is_blocked, "all sent")
            again = Keeper(it.client)
            it.client.write(b"more")
            assert (keeper.recalls, again.recalls) == (1, 0)

    async def test_the_end_of_the_response(self) -> None:
        async with held_as(ParkedClient, first=b"") as it:
            keeper = Keeper(it.client)
            it.client.finish(ok(b"end"), is_reusable=True)
            assert keeper.recalls == 1

    async def test_a_client_that_leaves(self) -> None:
        async with held_as(ParkedClient) as it:
            keeper = Keeper(it.client)
            it.peer.close()
            await eventually(lambda: it.is_released, "released")
            assert keeper.recalls == 1

    async def test_a_duplex_that_is_slow(self) -> None:
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair(is_slow=True)
            keeper = Keeper(it.duplex)
            it.duplex.relay(bytes(HUGE))
            assert keeper.recalls == 1
            await it.peer.expect(bytes(HUGE))

    async def test_a_duplex_that_closes(self) -> None:
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair()
            keeper = Keeper(it.duplex)
            it.duplex.close()
            assert keeper.recalls == 1

    async def test_a_duplex_that_is_aborted(self) -> None:
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair()
            keeper = Keeper(it.duplex)
            it.duplex.abort()
            assert keeper.recalls == 1

    async def test_a_duplex_whose_peer_takes_no_more(self) -> None:
        async with place_for("parked", OUTBOX) as place:
            it = await place.pair()
            keeper = Keeper(it.duplex)
            it.peer.close()
            it.duplex.relay(b"for nobody")
            it.duplex.relay(b"nor this")
            assert keeper.recalls == 1
            await eventually(lambda: it.owner.told == ["gone"], "gone")
            assert keeper.recalls == 1

    async def test_nothing_that_keeps_a_transport(self) -> None:
        async with place_for("awake", OUTBOX) as place:
            it = await place.pair()
            with pytest.raises(AssertionError, match="has no descriptor to lend"):
                it.duplex.lend(NotImplemented)
