"""What only a parked duplex does; `test_duplex` has what both kinds promise."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Iterator

import pytest
from tests.unit.net.duplexes import UNHEARD, Owner, Place, place_for
from tests.unit.net.helpers import HUGE, OUTBOX, Peer, admitted, eventually, settle

from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import LAST_WORDS_S
from holdfast.net.parked_duplex import ParkedDuplex
from holdfast.net.parked_socket import LISTEN

SAID = bytes(20_000)
"""What the system keeps, however little it was asked to."""


def over_pair(place: Place, ours: socket.socket) -> tuple[ParkedDuplex, Owner]:
    """A parked duplex with one end of a pair of sockets, whatever was written to that before."""
    owner = Owner()
    return place.lot.park_duplex(admitted(place.lot, ours), b"", owner, owner.on_closed), owner


@pytest.fixture
def pair() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Our end, which does not block and is closed by whoever gets it, and the peer's."""
    ours, theirs = socket.socketpair()
    ours.setblocking(False)
    yield ours, theirs
    theirs.close()


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


async def test_a_parked_duplex_meets_a_full_socket(pair: tuple[socket.socket, socket.socket]) -> None:
    """None of a write may fit, so that there is nothing of it to cut off."""
    ours, theirs = pair
    async with place_for("parked") as place:
        before = Peer(ours).send_what_fits(bytes(HUGE))
        duplex, owner = over_pair(place, ours)
        assert duplex.describe() == "unix"
        assert duplex.write(b"last") is True
        assert duplex.unsent_bytes == 4
        await Peer(theirs).expect(bytes(before), b"last")
        await eventually(lambda: owner.told == ["drained"], "drained")
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


async def test_what_comes_before_the_owner_has_said_whether_it_reads() -> None:
    """Epoll is told that it does not matter when it is there, and not before."""
    async with place_for("parked") as place:
        it = await place.pair(is_reading=False)
        assert isinstance(it.duplex, ParkedDuplex)
        assert it.duplex.mask() == LISTEN
        await it.peer.send(b"early")
        await eventually(lambda: not it.duplex.mask(), "the duplex waits for its owner")  # type: ignore[attr-defined]
        assert it.owner.told == []
        it.duplex.resume_reading()
        await it.expect_data(b"early")


async def test_whoever_reads_at_once_tells_epoll_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place_for("parked") as place:
        watched: list[int] = []
        monkeypatch.setattr(place.lot, "watch", lambda fd, mask: watched.append(mask))
        it = await place.pair()
        await it.peer.send(b"1")
        await it.expect_data(b"1")
        assert watched == []


async def test_a_peer_that_leaves_before_that(monkeypatch: pytest.MonkeyPatch) -> None:
    async with place_for("parked") as place:
        it = await place.pair(is_reading=False)
        it.peer.reset()
        await settle()
        it.duplex.resume_reading()
        await it.expect_gone()


@pytest.mark.parametrize("is_written_to", [False, True])
async def test_what_a_peer_said_before_a_reset_is_read(is_written_to: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also when a write has met the reset. epoll tells of that once, and not again and again."""
    async with place_for("parked") as place:
        it = await place.pair(is_reading=False)
        await it.peer.send(SAID)
        await settle()
        it.peer.reset()
        if is_written_to:
            it.duplex.relay(b"for nobody")
        await settle()
        calls: list[int] = []
        with monkeypatch.context() as patch:
            patch.setattr(ParkedDuplex, "on_events", lambda _, events: calls.append(events))
            await settle()
        assert (calls, it.owner.told) == ([], [])
        it.owner.act = lambda event: it.duplex.pause_reading() if event == "data" else None
        it.duplex.resume_reading()
        await settle()
        assert (it.owner.data, it.owner.told) == (SAID, [])
        it.duplex.resume_reading()
        await it.expect_gone()


@pytest.mark.parametrize("is_closed", [False, True])
async def test_nobody_waits_for_ever_for_last_words_to_be_taken(
    is_closed: bool, caplog: pytest.LogCaptureFixture
) -> None:
    async with place_for("parked") as place:
        it = await place.pair(is_reading=False)
        await it.peer.send(SAID)
        await settle()
        it.peer.reset()
        await settle()
        if is_closed:
            it.duplex.close()
            assert (it.owner.closed, it.owner.told) == (1, [])
            return
        place.skip(LAST_WORDS_S - 1)
        assert it.owner.told == []
        place.skip(1.2)
        assert (it.owner.closed, it.owner.told) == (1, ["gone"])
        assert caplog.messages == [UNHEARD]


async def test_whoever_waits_for_a_peer_that_is_reset_is_told() -> None:
    """It may be what keeps the owner from reading: the other side has to be read from, before it takes more."""
    async with place_for("parked") as place:
        it = await place.pair(is_slow=True, is_reading=False)
        it.duplex.relay(bytes(HUGE))
        it.peer.reset()
        await it.expect_told("drained")
        assert not it.duplex.is_blocked
        assert it.duplex.write(b"for nobody") is None
        it.duplex.resume_reading()
        await it.expect_told("drained", "gone")


async def test_what_ends_the_handshake_may_not_fit(pair: tuple[socket.socket, socket.socket]) -> None:
    ours, theirs = pair
    async with place_for("parked") as place:
        before = Peer(ours).send_what_fits(bytes(HUGE))
        duplex, owner = over_pair(place, ours)
        assert duplex.write_first(b"101") is True
        assert duplex.is_blocked
        await Peer(theirs).expect(bytes(before), b"101")
        await eventually(lambda: owner.told == ["drained"], "drained")
        duplex.abort()


async def test_what_ends_the_handshake_comes_too_late(pair: tuple[socket.socket, socket.socket]) -> None:
    """The owner, who has nothing yet, is not told of it."""
    ours, theirs = pair
    async with place_for("parked") as place:
        duplex, owner = over_pair(place, ours)
        theirs.close()
        assert duplex.write_first(b"101") is False
        assert (owner.told, owner.closed, duplex.is_parked) == ([], True, False)


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
