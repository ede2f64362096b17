"""Sockets on which both sides speak: parked descriptors and kept transports make the same promises."""

from __future__ import annotations

import socket

import pytest
from tests.unit.net.duplexes import place_for
from tests.unit.net.helpers import HUGE, eventually, settle

from holdfast.net.duplex import CLOSE_TIMEOUT_S
from holdfast.net.outlets import OutboxLimits, OutboxPolicy
from holdfast.net.parking import ParkingLot
from holdfast.net.reading import READ_BYTES

DISCONNECT = OutboxLimits(200_000, OutboxPolicy.DISCONNECT)
DROP = OutboxLimits(200_000, OutboxPolicy.DROP)
NO_ROOM = OutboxLimits(1, OutboxPolicy.DISCONNECT)


@pytest.fixture(params=["parked", "awake"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


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


async def test_nobody_is_too_slow_because_of_what_ends_the_handshake(kind: str) -> None:
    """First messages of the backend may come with it."""
    async with place_for(kind, DISCONNECT) as place:
        it = await place.pair(is_slow=True, is_reading=False)
        assert it.duplex.write_first(bytes(HUGE)) is True
        assert it.duplex.write(b"published") is True
        await it.peer.expect(bytes(HUGE), b"published")
        assert place.counters.drops_outbox_full == 0


async def test_what_was_relayed_and_is_taken_leaves_no_room_for_more(kind: str) -> None:
    """A peer that is never quite without something to take owes no more than others, however much it had."""
    async with place_for(kind, DROP) as place:
        it = await place.pair(is_slow=True)
        relayed, read = 0, 0
        while relayed < HUGE:
            if it.duplex.unsent_bytes < 1_000_000:
                it.duplex.relay(bytes(1_000_000))
                relayed += 1_000_000
            await it.peer.read(100_000)
            read += 100_000
        assert it.duplex.is_blocked
        owed = it.duplex.unsent_bytes
        written = 0
        while it.duplex.write(bytes(50_000)):
            written += 50_000
        assert 200_000 <= written <= 200_000 + owed
        await it.peer.expect(bytes(relayed - read + written))


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
        assert it.owner.told == []  # the peer may have said something before
        it.duplex.resume_reading()
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
