"""SockJS clients over HTTP, as conversations: what backends say and receivers get, and time (routes spec §4.3)."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.proxy.helpers import in_own_time, settle
from tests.unit.proxy.sockets import FakeDuplex, SocketWorld, order, socket_world
from tests.unit.push.helpers import message

from holdfast.grip.item import Action, MessageKind
from holdfast.proxy.sockjs_queue import BLOCKED_BYTES, FRAME_COST_BYTES
from holdfast.proxy.sockjs_session import SockJsSession
from holdfast.proxy.sockjs_sessions import SessionKey
from holdfast.proxy.websocket_relay import RelayBackend
from holdfast.push.dialects import MAX_QUEUED_BYTES, SOCKJS_HTTP
from holdfast.wire.sockjs import is_close
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data, Event

KEY = SessionKey("h.com", "*", "*,*,*,*", b"/s", b"x")


class FakeReceiver:
    """A response in the test's hand."""

    def __init__(self, *, is_streaming: bool = False) -> None:
        self.can_take = True
        self.is_done = False
        self.frames: list[str] = []
        self._is_streaming = is_streaming

    def give(self, frame: bytes) -> None:
        assert self.can_take
        assert not self.is_done
        self.frames.append(frame.decode())
        self.is_done = not self._is_streaming or is_close(frame)

    def terminate(self) -> None:
        self.frames.append("terminated")
        self.is_done = True


class Session:
    """One session, and its backend's end."""

    def __init__(self, world: SocketWorld, *, is_relaying: bool = True) -> None:
        self.world = world
        self.sessions = world.proxy.sockjs
        self.session = SockJsSession(self.sessions, KEY, world.runtime, "192.0.2.1")
        assert self.sessions.add(KEY, self.session)
        self.backend: FakeDuplex
        if is_relaying:
            self.open()

    def open(self, prefix: bytes | None = b"") -> None:
        backend = RelayBackend("h:1", prefix)
        client = self.world.make_client(backend, dialect=SOCKJS_HTTP)
        self.session.open(client, self.world.make_presence(client))
        self.backend = FakeDuplex(backend, is_client=False)
        backend.begin(self.backend)

    def poll(self) -> list[str]:
        """What a poll gets at once."""
        return self.held().frames

    def held(self, *, is_streaming: bool = False) -> FakeReceiver:
        """A receiver that waits for more, unless it was given something."""
        receiver = FakeReceiver(is_streaming=is_streaming)
        assert self.session.attach(receiver)
        self.session.deliver()
        return receiver

    def begin_to_send(self) -> asyncio.Task[bool]:
        return asyncio.create_task(self.session.send(texts("a")))  # noqa: TID251 -- a request, which may be cancelled

    @property
    def is_known(self) -> bool:
        return self.sessions.find(KEY) is self.session


@asynccontextmanager
async def session(*, is_relaying: bool = True) -> AsyncIterator[Session]:
    """A session at whose end nothing may be left."""
    async with socket_world() as world:
        yield Session(world, is_relaying=is_relaying)


def texts(*contents: str) -> list[Event]:
    return [Data(Opcode.TEXT, content.encode()) for content in contents]


class TestFrames:
    @in_own_time
    async def test_all_messages_in_one_frame(self) -> None:
        async with session() as one:
            assert one.poll() == ["o"]
            for content in ("1", "2", "3"):
                one.backend.text(content)
            assert one.poll() == ['a["1","2","3"]']
            waiting = one.held()
            one.backend.text("4")
            one.backend.text("5")
            assert waiting.frames == ['a["4"]']
            assert one.poll() == ['a["5"]']
            one.backend.leave()

    @in_own_time
    async def test_a_stream_gets_them_one_by_one(self) -> None:
        async with session() as one:
            stream = one.held(is_streaming=True)
            one.backend.text("1")
            stream.can_take = False
            one.backend.text("2")
            one.backend.text("3")
            stream.can_take = True
            one.session.deliver()
            assert stream.frames == ["o", 'a["1"]', 'a["2","3"]']
            one.backend.leave()
            assert stream.frames[3:] == ["terminated"]

    @in_own_time
    async def test_published(self) -> None:
        async with session() as one:
            one.backend.text(order("subscribe", channel="c"))
            assert one.poll() == ["o"]
            one.world.publish(message("p-c", "1"), message("p-c", "p", kind=MessageKind.PING), message("p-c", "2"))
            await settle()
            assert one.poll() == ['a["1","2"]']
            one.backend.leave()

    @pytest.mark.spec("routes-96")
    @in_own_time
    async def test_one_receiver_at_a_time(self) -> None:
        async with session() as one:
            one.poll()
            first = one.held()
            assert not one.session.attach(FakeReceiver())
            one.backend.text("1")
            assert first.frames == ['a["1"]']
            one.backend.leave()

    @in_own_time
    async def test_not_before_it_is_open(self) -> None:
        async with session(is_relaying=False) as one:
            first = one.held()
            assert not one.session.attach(FakeReceiver())
            assert first.frames == []
            one.open()
            assert first.frames == ["o"]
            one.backend.leave()

    @in_own_time
    async def test_discarded(self) -> None:
        async with session(is_relaying=False) as one:
            one.session.discard()
            assert not one.is_known


class TestSends:
    @pytest.mark.spec("routes-95")
    @in_own_time
    async def test_taken(self) -> None:
        async with session() as one:
            assert await one.session.send(texts("a", "", "b"))
            assert one.backend.heard == ["a", "", "b"]
            assert not one.session.is_sending
            one.backend.leave()

    @in_own_time
    async def test_waits_for_the_backend(self) -> None:
        async with session() as one:
            one.backend.is_blocked = True
            sending = one.begin_to_send()
            await settle()
            assert one.session.is_sending
            assert one.backend.heard == []
            one.backend.drain()
            assert await sending
            assert one.backend.heard == ["a"]
            one.backend.leave()

    @in_own_time
    async def test_before_the_opening_has_ended(self) -> None:
        async with session(is_relaying=False) as one:
            assert await one.session.send(texts("a"))
            assert one.session.is_sending
            one.open()
            assert not one.session.is_sending
            assert one.backend.heard == ["a"]
            one.backend.leave()

    @in_own_time
    async def test_a_client_that_does_not_wait(self) -> None:
        """It is taken all the same, and others are refused meanwhile."""
        async with session() as one:
            one.backend.is_blocked = True
            sending = one.begin_to_send()
            await settle()
            sending.cancel()
            await settle()
            assert one.session.is_sending
            one.backend.drain()
            assert one.backend.heard == ["a"]
            assert not one.session.is_sending
            one.backend.leave()

    @in_own_time
    async def test_the_backend_is_gone_before(self) -> None:
        async with session() as one:
            one.backend.is_blocked = True
            sending = one.begin_to_send()
            await settle()
            one.backend.leave()
            assert not await sending


class TestTime:
    @pytest.mark.spec("routes-97")
    @in_own_time
    async def test_a_heartbeat_after_25_seconds(self) -> None:
        async with session() as one:
            one.poll()
            waiting = one.held()
            await asyncio.sleep(24.8)
            assert waiting.frames == []
            await asyncio.sleep(0.4)
            assert waiting.frames == ["h"]
            one.backend.leave()

    @in_own_time
    async def test_a_stream_has_many(self) -> None:
        async with session() as one:
            stream = one.held(is_streaming=True)
            await asyncio.sleep(20)
            one.backend.text("1")
            await asyncio.sleep(24.8)
            assert stream.frames == ["o", 'a["1"]']
            await asyncio.sleep(0.4)
            stream.can_take = False
            await asyncio.sleep(25.2)
            stream.can_take = True
            await asyncio.sleep(25.2)
            assert stream.frames == ["o", 'a["1"]', "h", "h"]
            one.session.receiver_gone(stream)

    @pytest.mark.spec("routes-97")
    @in_own_time
    async def test_gone_after_5_seconds_without_a_receiver(self) -> None:
        """The backend sees that its client is gone."""
        async with session() as one:
            one.poll()
            await asyncio.sleep(4.8)
            assert one.poll() == []
            await asyncio.sleep(20)
            one.backend.text("1")
            await asyncio.sleep(4.8)
            assert one.backend.end is None
            await asyncio.sleep(0.4)
            assert one.backend.end == "aborted"
            assert not one.is_known
            assert one.world.counters.sockjs_sessions_abandoned == 1

    @in_own_time
    async def test_polls_are_a_sign_of_life(self) -> None:
        """Half an hour without a word is the end of a silent WebSocket, but this one asks all the time."""
        async with session() as one:
            one.poll()
            for _ in range(100):
                assert one.held().frames == []
                await asyncio.sleep(25.5)
            assert one.backend.end is None
            one.backend.leave()

    @in_own_time
    async def test_so_are_streams_that_take_heartbeats(self) -> None:
        async with session() as one:
            stream = one.held(is_streaming=True)
            await asyncio.sleep(1900)
            assert one.backend.end is None
            one.session.receiver_gone(stream)

    @in_own_time
    async def test_one_that_takes_nothing_is_silent(self) -> None:
        """Like any WebSocket's client, for half an hour."""
        async with session() as one:
            stream = one.held(is_streaming=True)
            stream.can_take = False
            await asyncio.sleep(1790)
            assert one.backend.end is None
            await asyncio.sleep(20)
            assert one.backend.end == "aborted"
            assert stream.frames[-1] == "terminated"
            assert not one.is_known

    @in_own_time
    async def test_a_receiver_that_leaves_ends_the_session(self) -> None:
        async with session() as one:
            one.poll()
            waiting = one.held()
            one.session.receiver_gone(FakeReceiver())
            assert one.backend.end is None
            one.session.receiver_gone(waiting)
            assert one.backend.end == "aborted"
            assert not one.is_known


class TestClosing:
    @pytest.mark.spec("routes-98")
    @in_own_time
    async def test_remembered_for_5_seconds(self) -> None:
        """However often it is asked for."""
        async with session() as one:
            one.poll()
            one.backend.text("1")
            one.backend.shut(4001, "bye")
            await settle()
            assert one.backend.heard == ["close"]
            assert one.session.last_frame == b'c[4001,"bye"]'
            await asyncio.sleep(3)
            assert one.poll() == ['a["1"]']
            await asyncio.sleep(3)
            assert one.poll() == ['c[4001,"bye"]']
            for _ in range(4):
                await asyncio.sleep(1.2)
                assert one.poll() == ['c[4001,"bye"]']
            await asyncio.sleep(0.4)
            assert not one.is_known

    @in_own_time
    async def test_nobody_asks(self) -> None:
        async with session() as one:
            one.poll()
            one.backend.shut()
            await asyncio.sleep(5.2)
            assert not one.is_known
            assert one.world.counters.sockjs_sessions_abandoned == 0

    @in_own_time
    async def test_a_waiting_receiver_is_told(self) -> None:
        async with session() as one:
            stream = one.held(is_streaming=True)
            one.backend.shut(1000)
            assert stream.frames == ["o", 'c[1000,"Connection closed"]']
            assert stream.is_done

    @in_own_time
    async def test_a_receiver_that_leaves_before_the_last_frame(self) -> None:
        async with session() as one:
            stream = one.held(is_streaming=True)
            stream.can_take = False
            one.backend.shut(1000)
            await settle()
            one.session.receiver_gone(stream)
            assert one.is_known
            assert one.poll() == ['c[1000,"Connection closed"]']

    @in_own_time
    async def test_a_publisher_closes(self) -> None:
        async with session() as one:
            one.backend.text(order("subscribe", channel="c"))
            one.poll()
            one.world.publish(message("p-c", "1"), message("p-c", action=Action.CLOSE, code=4000, reason="over"))
            await settle()
            assert one.session.write(b"late") is None
            assert one.poll() == ['a["1"]']
            assert one.poll() == ['c[4000,"over"]']
            assert one.backend.end == "closed"

    @in_own_time
    async def test_the_backend_breaks_off(self) -> None:
        async with session() as one:
            one.poll()
            waiting = one.held()
            one.backend.leave()
            assert waiting.frames == ["terminated"]
            assert not one.is_known

    @in_own_time
    async def test_what_came_before_it_broke_off_is_not_lost(self) -> None:
        async with session() as one:
            one.poll()
            one.backend.text("1")
            one.backend.leave()
            assert one.is_known
            assert one.poll() == ['a["1"]']
            assert not one.is_known
            other = Session(one.world)
            other.poll()
            other.backend.text("1")
            other.backend.leave()
            await asyncio.sleep(5.2)
            assert not other.is_known

    @in_own_time
    async def test_the_process_stops(self) -> None:
        async with session() as one:
            one.poll()
            waiting = one.held()
            one.sessions.end_all()
            assert waiting.frames == ['c[1001,"Connection closed"]']
            assert one.backend.heard == ["close"]
            one.sessions.end_all()
            one.backend.shut()

    @in_own_time
    async def test_opened_while_the_process_stops(self) -> None:
        async with session(is_relaying=False) as one:
            first = one.held(is_streaming=True)
            one.sessions.end_all()
            one.open()
            await settle()
            assert first.frames == ["o", 'c[1001,"Connection closed"]']
            one.backend.shut()


class TestBounds:
    @in_own_time
    async def test_the_backend_is_not_read_from_while_much_waits(self) -> None:
        async with session() as one:
            one.poll()
            count = 0
            while one.backend.is_reading:
                count += 1
                one.backend.text("x" * 10_000)
            assert count == -(-BLOCKED_BYTES // 10_056)
            one.backend.text("more")
            assert one.session.unsent_bytes < BLOCKED_BYTES + 11_000
            assert one.poll()[0].count("x") == count * 10_000
            await settle()
            assert one.backend.is_reading
            assert one.poll() == ['a["more"]']
            one.backend.leave()

    @in_own_time
    async def test_too_much_is_the_end(self, caplog: pytest.LogCaptureFixture) -> None:
        async with session() as one:
            one.backend.text(order("subscribe", channel="c"))
            one.poll()
            with caplog.at_level(logging.WARNING):
                for _ in range(MAX_QUEUED_BYTES // 50_000 + 1):
                    one.world.publish(message("p-c", "x" * 50_000))
                    await settle()
            assert not one.is_known
            assert one.backend.end == "aborted"
            assert one.world.counters.sockjs_sessions_overflowed == 1
            assert "192.0.2.1 (SockJS session x): " in caplog.text

    @in_own_time
    async def test_one_message_of_the_backend_that_is_too_long(self) -> None:
        async with session() as one:
            one.poll()
            one.backend.text("x" * MAX_QUEUED_BYTES)
            assert not one.is_known
            assert one.backend.end == "aborted"

    @in_own_time
    async def test_empty_messages_cost_something(self) -> None:
        async with session() as one:
            one.poll()
            count = 0
            while one.backend.is_reading:
                count += 1
                one.backend.text("")
            assert count == -(-BLOCKED_BYTES // (len('a[""]') + FRAME_COST_BYTES))
            one.backend.leave()
            one.poll()


class TestRegistry:
    @in_own_time
    async def test_no_more_than_allowed(self, caplog: pytest.LogCaptureFixture) -> None:
        async with socket_world() as world:
            sessions = world.proxy.sockjs
            for number in range(1000):
                key = KEY._replace(session_id=b"%d" % number)
                assert sessions.add(key, SockJsSession(sessions, key, world.runtime, ""))
            with caplog.at_level(logging.WARNING):
                assert not sessions.add(KEY, SockJsSession(sessions, KEY, world.runtime, ""))
            assert "there are 1000" in caplog.text
            assert (world.counters.sockjs_sessions_opened, world.counters.sockjs_sessions_refused) == (1000, 1)
            assert len(sessions) == 1000
            for number in range(1000):
                sessions.forget(KEY._replace(session_id=b"%d" % number))
            sessions.forget(KEY)
            assert len(sessions) == 0

    @in_own_time
    async def test_one_that_fails_to_end_does_not_matter_to_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        class Broken(SockJsSession):
            def end(self) -> None:
                raise RuntimeError("no")

        async with socket_world() as world:
            sessions = world.proxy.sockjs
            key = KEY._replace(session_id=b"broken")
            sessions.add(key, Broken(sessions, key, world.runtime, ""))
            one = Session(world)
            one.poll()
            sessions.end_all()
            assert "ending a SockJS session failed" in caplog.text
            assert one.poll() == ['c[1001,"Connection closed"]']
            sessions.forget(key)
            one.backend.shut()
