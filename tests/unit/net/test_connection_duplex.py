"""What only a duplex with a transport does, which is to speak TLS; `test_duplex` has what both kinds promise."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import cast

import pytest
from tests.unit.net.duplexes import UNHEARD
from tests.unit.net.helpers import HUGE, OUTBOX, eventually, settle
from tests.unit.net.tls_pairs import TlsPair, tls_pair

from holdfast.net.below import owed_bytes, transport_below
from holdfast.net.duplex import CLOSE_TIMEOUT_S, LAST_WORDS_S


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
    """With what waits above; and no more is read before the owner wants it."""
    waiting = bytes(HUGE)
    async with tls_pair(certificate, waiting=waiting) as it:
        it.duplex.resume_reading()
        await it.send(b"one")
        await eventually(lambda: len(it.owner.data) == len(waiting) + 8, "all")
        assert it.owner.data == b"early" + waiting + b"one"


async def test_a_tls_peer_does_not_fill_the_memory_of_who_does_not_read(certificate: Path) -> None:
    async with tls_pair(certificate, waiting=bytes(30_000_000)) as it:
        await asyncio.sleep(0.3)
        writer = cast(asyncio.Transport, it.writer.transport)
        assert owed_bytes(writer, transport_below(writer)) > 10_000_000


async def lose(it: TlsPair) -> None:
    """The peer is gone, which a write meets."""
    it.writer.transport.abort()
    for _ in range(3):
        it.duplex.write(b"for nobody")
        await settle()
    await eventually(lambda: it.owner.closed, "closed")


async def test_nobody_waits_for_ever_for_last_words_to_be_taken(
    certificate: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with tls_pair(certificate) as it:
        await lose(it)
        it.place.skip(LAST_WORDS_S - 1)
        assert it.owner.told == []
        it.place.skip(1.2)
        assert it.owner.told == ["gone"]
        assert caplog.messages == [UNHEARD]


async def test_last_words_may_be_taken_piece_by_piece(certificate: Path) -> None:
    async with tls_pair(certificate) as it:
        await lose(it)
        it.owner.act = lambda event: it.duplex.pause_reading() if event == "data" else None
        it.duplex.resume_reading()
        await settle()
        assert (it.owner.data, it.owner.told) == (b"early", [])
        it.duplex.resume_reading()
        await eventually(lambda: it.owner.told == ["gone"], "gone")


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
