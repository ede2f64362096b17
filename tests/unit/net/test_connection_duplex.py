"""What only a duplex with a transport does, which is to speak TLS; `test_duplex` has what both kinds promise."""

from __future__ import annotations

from pathlib import Path

from tests.unit.net.helpers import HUGE, OUTBOX, eventually, settle
from tests.unit.net.tls_pairs import tls_pair

from holdfast.net.duplex import CLOSE_TIMEOUT_S


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


async def test_what_a_tls_peer_said_before_it_left_comes_first(certificate: Path) -> None:
    """Also if the owner did not want it at the time, and all that it has to be told was read at once."""
    async with tls_pair(certificate) as it:
        it.writer.write(bytes(HUGE))
        it.writer.close()
        await settle()
        it.duplex.resume_reading()
        while "gone" not in it.owner.told:
            it.duplex.pause_reading()
            await settle()
            it.duplex.resume_reading()
            await settle()
        assert it.owner.data == b"early" + bytes(HUGE)


async def test_a_tls_peer_is_gone_for_those_who_write_at_once(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.resume_reading()
        for _ in range(2):
            it.duplex.relay(bytes(HUGE))
        assert it.duplex.is_blocked
        it.owner.act = lambda event: it.duplex.pause_reading()
        await it.send(b"last words")
        await eventually(lambda: it.owner.data == b"earlylast words", "read")
        it.writer.transport.abort()
        it.duplex.write(b"for nobody")
        await eventually(lambda: it.owner.closed, "closed")
        assert (it.owner.told, it.duplex.is_blocked, it.duplex.unsent_bytes) == (["drained"], False, 0)
        assert it.duplex.write(b"for nobody") is None
        it.duplex.resume_reading()
        await eventually(lambda: it.owner.told == ["drained", "gone"], "gone")


async def test_a_duplex_takes_over_a_tls_transport_that_was_paused(certificate: Path) -> None:
    async with tls_pair(certificate, is_paused=True) as it:
        it.duplex.resume_reading()
        await it.send(b"one")
        await eventually(lambda: it.owner.data == b"earlyone", "all")


async def test_what_was_handed_down_counts(certificate: Path) -> None:
    """A slow peer owes what is below TLS as well, where all of it goes when there is room."""
    async with tls_pair(certificate) as it:
        assert it.duplex.write(bytes(HUGE)) is True
        assert it.duplex.unsent_bytes == 0
        assert it.duplex.write(b"more") is False
        assert it.owner.told == ["gone"]


async def test_what_is_relayed_does_not_count(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.relay(bytes(HUGE))
        assert it.duplex.write(bytes(OUTBOX.max_bytes - 10_000)) is True
        assert it.duplex.write(bytes(20_000)) is False
        assert it.owner.told == ["gone"]


async def test_what_was_relayed_and_taken_gives_no_credit(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        it.duplex.relay(bytes(HUGE))
        await it.reader.readexactly(HUGE)
        assert it.duplex.write(bytes(HUGE)) is True
        assert it.duplex.write(b"more") is False
