"""What is relayed between two WebSockets: order, backpressure both ways, and what GRIP takes out."""

from __future__ import annotations

import asyncio
import logging

import pytest
from tests.unit.proxy.helpers import in_own_time, settle
from tests.unit.proxy.sockets import FakeDuplex, order, socket_world
from tests.unit.push.helpers import message

from holdfast.proxy.websocket_client import EVENTS_PER_TURN
from holdfast.push.socket_writer import MAX_QUEUED_WRITES, MAX_WAITING_BYTES
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import PIECE_BYTES

TEXT, BINARY, CONT, PING, PONG = Opcode.TEXT, Opcode.BINARY, Opcode.CONT, Opcode.PING, Opcode.PONG


def all_kinds(end: FakeDuplex) -> list[bytes]:
    """A message in two fragments with a ping in between, another kind of message, and a pong."""
    return [
        end.frame(TEXT, b"1", is_final=False),
        end.frame(PING, b"p"),
        end.frame(CONT, b"2"),
        end.frame(BINARY, b"b"),
        end.frame(PONG),
    ]


RELAYED = ["1...", "ping p", "...2", "binary b", "pong"]


class TestBothWays:
    @in_own_time
    async def test_from_the_client(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.say(*all_kinds(client))
            assert backend.heard == RELAYED

    @in_own_time
    async def test_from_the_backend(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            backend.say(*all_kinds(backend))
            assert client.heard == RELAYED

    @in_own_time
    async def test_byte_by_byte(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            for end, other in ((client, backend), (backend, client)):
                for byte in b"".join(all_kinds(end)):
                    end.say(bytes([byte]))
                assert other.heard == RELAYED

    @in_own_time
    async def test_a_long_message_goes_in_pieces(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            frame = backend.frame(BINARY, bytes(3 * PIECE_BYTES + 1))
            backend.say(frame[:PIECE_BYTES])
            assert client.heard == []
            backend.say(frame[PIECE_BYTES:])
            assert [len(written) for written in client.written] == [PIECE_BYTES + 4] * 3 + [3]

    @in_own_time
    async def test_early_words(self) -> None:
        """What both have said before they were read is relayed, the backend's too."""
        async with socket_world() as world:
            client, backend = world.relay()
            client.text("first")
            backend.text("first")
            await settle()
            assert (client.heard, backend.heard) == (["first"], ["first"])


class TestBackpressure:
    @in_own_time
    async def test_a_slow_client(self) -> None:
        """The backend is read as far as the client takes it, and then not at all."""
        async with socket_world() as world:
            client, backend = world.relay()
            client.on_write = lambda: setattr(client, "is_blocked", True)
            backend.say(*(backend.frame(TEXT, b"%d" % number) for number in range(3)))
            backend.text("3")
            for taken in (1, 2, 3):
                assert len(client.heard) == taken
                assert not backend.is_reading
                client.drain()
            await settle()
            assert client.heard == ["0", "1", "2", "3"]
            client.on_write = lambda: None
            client.drain()
            assert backend.is_reading

    @in_own_time
    async def test_both_are_slow(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.is_blocked = backend.is_blocked = True
            client.text("up")
            backend.text("down")
            assert (client.is_reading, backend.is_reading) == (False, False)
            backend.drain()
            assert (client.heard, backend.heard) == ([], ["up"])
            client.drain()
            assert (client.heard, backend.heard) == (["down"], ["up"])
            assert (client.is_reading, backend.is_reading) == (True, True)

    @in_own_time
    async def test_a_close_waits_for_its_turn(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.is_blocked = True
            backend.text("last")
            backend.shut(4000)
            backend.leave()
            assert client.heard == []
            client.drain()
            await settle()
            assert client.heard == ["last", "close 4000"]

    @in_own_time
    async def test_a_client_that_closes_and_leaves_at_once(self) -> None:
        """What it has said has been written, but the backend may not have taken it: it is not cut off."""
        async with socket_world() as world:
            client, backend = world.relay()
            client.text("last")
            client.shut(4000)
            client.leave()
            assert (backend.heard, backend.end) == (["last", "close 4000"], "closed")

    @in_own_time
    async def test_a_close_in_the_same_piece(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.is_blocked = True
            backend.say(backend.frame(TEXT, b"last"), backend.frame(Opcode.CLOSE, b"\x0f\xa0"))
            assert client.heard == []
            client.drain()
            assert client.heard == ["last", "close 4000"]

    @in_own_time
    async def test_pings_are_not_for_nothing_either(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.is_blocked = True
            backend.say(*(backend.frame(PING) for _ in range(1000)))
            assert (client.heard, backend.is_reading) == ([], False)


class TestTurns:
    """One side has no more than a turn: what it has sent in one piece may be very many frames, or inflate."""

    @pytest.mark.parametrize("is_from_client", [True, False])
    def test_everybody_has_one(self, is_from_client: bool) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                ends = world.relay()
                end, other = ends if is_from_client else reversed(ends)
                end.say(*(end.frame(PING) for _ in range(2 * EVENTS_PER_TURN + 1)))
                for turn in (1, 2):
                    assert len(other.heard) == turn * EVENTS_PER_TURN
                    assert not end.is_reading
                    await asyncio.sleep(0)
                await settle()
                assert len(other.heard) == 2 * EVENTS_PER_TURN + 1
                assert end.is_reading

        run()

    @pytest.mark.parametrize("is_from_client", [True, False])
    def test_the_end_comes_in_between(self, is_from_client: bool) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                ends = world.relay()
                end, other = ends if is_from_client else reversed(ends)
                end.say(*(end.frame(PING) for _ in range(2 * EVENTS_PER_TURN)))
                other.leave()
                await settle()
                assert (len(other.heard), end.end is not None) == (EVENTS_PER_TURN, True)

        run()


class TestGrip:
    @in_own_time
    async def test_prefix(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay(b"m:")
            for content in ("m:1", "dropped", "m:", "c:{}"):
                backend.text(content)
            backend.say(backend.frame(BINARY, b"m:2"), backend.frame(PING, b"m:p"))
            assert client.heard == ["1", "", "binary 2", "ping m:p"]

    @in_own_time
    async def test_the_client_s_words_are_its_own(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay(b"m:")
            client.text("c:{}")
            client.text("x")
            assert backend.heard == ["c:{}", "x"]

    @in_own_time
    async def test_without_it_nothing_is_an_order(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            backend.text(order("detach"))
            assert (client.heard, backend.end) == ([order("detach")], None)

    @in_own_time
    async def test_a_dropped_message_leaks_no_fragment(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay(b"m:")
            backend.say(backend.frame(TEXT, b"drop", is_final=False), backend.frame(CONT, b"ped"))
            backend.say(backend.frame(TEXT, b"m", is_final=False), backend.frame(CONT, b":kept"))
            assert client.heard == ["kept"]


class TestPublishing:
    """Nothing gets between the fragments of a message, and what has to wait for its end is bounded."""

    @in_own_time
    async def test_waits_for_the_end_of_a_message(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay(b"")
            backend.text(order("subscribe", channel="c"))
            backend.say(backend.frame(TEXT, b"1", is_final=False))
            world.publish(message("p-c", "published"))
            await settle()
            backend.say(backend.frame(PING), backend.frame(CONT, b"2"))
            assert client.heard == ["1...", "ping", "...2", "published"]

    @pytest.mark.parametrize(
        ("content", "kept"),
        [("x", MAX_QUEUED_WRITES), ("x" * (MAX_WAITING_BYTES // 4), 3), ("x" * 3 * MAX_WAITING_BYTES, 1)],
    )
    def test_bound(self, content: str, kept: int, caplog: pytest.LogCaptureFixture) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                client, backend = world.relay(b"")
                backend.text(order("subscribe", channel="c"))
                backend.say(backend.frame(TEXT, b"1", is_final=False))
                for _ in range(kept + 5):
                    world.publish(message("p-c", content))
                    await settle()
                backend.say(backend.frame(CONT, b"2"))
                whole = [heard for heard in client.heard if not heard.endswith("...")]
                assert len(whole) == 1 + kept
                assert world.counters.drops_queue_full == 5

        with caplog.at_level(logging.CRITICAL):
            run()


class TestLogs:
    @in_own_time
    async def test_a_backend_that_breaks_off(self, caplog: pytest.LogCaptureFixture) -> None:
        caplog.set_level(logging.INFO)
        async with socket_world() as world:
            _, backend = world.relay()
            backend.leave()
            await asyncio.sleep(1)
        assert [record.getMessage() for record in caplog.records] == [
            "WebSocket of no channel, target h:1: backend broke off"
        ]
