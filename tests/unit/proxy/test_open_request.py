"""Asking a web server for a WebSocket where a connection to it is idle: without a task, if it answers at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.net.helpers import Peer, eventually, leaving_no, settle
from tests.unit.proxy.handshakes import Handshakes, handshake, handshakes, with_events

from holdfast.net.exchange import ClientExchange
from holdfast.net.runtime import Work
from holdfast.proxy import socket_recipe
from holdfast.proxy.event_answers import MAX_META_BYTES
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.open_request import OpenRequest
from holdfast.proxy.socket_recipe import find_way
from holdfast.proxy.websocket_client import EVENTS_PER_TURN, WebSocketClient
from holdfast.proxy.websocket_exchange import WebSocketExchange
from holdfast.proxy.websocket_over_http import EventsBackend
from holdfast.push.socket_hold import SocketHold
from holdfast.routing.forward import ForwardPolicy
from holdfast.wire.websocket.frames import Opcode, encode_close, encode_frame, encode_masked_frame

OPEN = b"OPEN\r\n"
HELLO = b"OPEN\r\nTEXT 5\r\nhello\r\n"
UNDECIDED = with_events(b"", b"Keep-Alive-Interval: 20")
REJECTION = b"HTTP/1.1 403 No\r\nContent-Length: 2\r\n\r\nno"
REJECTED = b"HTTP/1.1 403 No\r\nConnection: close\r\nContent-Length: 2\r\n\r\nno"


def text(content: bytes) -> bytes:
    return encode_frame(Opcode.TEXT, content)


class Asking:
    """A proxy with an idle connection to its backend.

    Attributes:
        tasks: the names of those that were made since it is idle, but for that of a listener.
    """

    def __init__(self, proxy: Handshakes, backend: Peer) -> None:
        self.proxy = proxy
        self.backend = backend
        self.tasks: list[str] = []
        runtime: Any = proxy.stage.runtime
        spawn = runtime.spawn

        def note(work: Work, name: str) -> asyncio.Task[None]:
            if name != "accept":
                self.tasks.append(name)
            task: asyncio.Task[None] = spawn(work, name)
            return task

        runtime.spawn = note

    async def ask(self, *, more: bytes = b"") -> Peer:
        """A client for whom the backend is just being asked."""
        client = await self.proxy.stage.ask(handshake() + more)
        await self.backend.read_until(OPEN)
        assert self.tasks == []
        return client

    async def expect_told(self) -> None:
        """The backend is told that the client has left."""
        await self.backend.read_until(b"DISCONNECT\r\n")
        await self.backend.send(with_events(b""))

    async def expect_over(self) -> None:
        """Nothing goes on any more."""
        await eventually(lambda: not self.proxy.stage.runtime.task_count, "nothing goes on")
        await eventually(lambda: not self.proxy.context.farewells, "nobody is left to be told of")


@asynccontextmanager
async def asking(*, has_parking: bool = True) -> AsyncIterator[Asking]:
    async with handshakes(has_parking=has_parking) as proxy:
        proxy.route_events()
        client = await proxy.stage.ask(handshake())
        backend, _ = await proxy.asked()
        await backend.expect(OPEN)
        await backend.send(REJECTION)
        await client.drain()
        await eventually(lambda: proxy.context.pool.idle_count == 1, "a connection is idle")
        proxy.log.outcomes.clear()
        yield Asking(proxy, backend)


# --- at once ----------------------------------------------------------------------------------------------------------


async def test_accepted(has_parking: bool) -> None:
    async with asking(has_parking=has_parking) as it:
        client = await it.ask()
        assert it.proxy.stage.runtime.task_count == 1
        await it.backend.send(with_events(HELLO, b"X-Mine: 1"))
        assert b"X-Mine: 1\r\n" in await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"))
        assert (it.tasks, it.proxy.log.outcomes) == ([], [("accept", 101)])
        assert it.proxy.context.pool.idle_count == 1


async def test_what_the_client_has_said_meanwhile() -> None:
    async with asking() as it:
        client = await it.ask(more=encode_masked_frame(Opcode.TEXT, b"early", b"1234"))
        await it.backend.send(with_events(OPEN))
        await client.read_until(b"\r\n\r\n")
        await it.backend.read_until(b"TEXT 5\r\nearly\r\n")
        await it.backend.send(with_events(b"TEXT 2\r\nre\r\n"))
        await client.expect(text(b"re"))
        assert it.tasks == ["WebSocket events"]


async def test_the_backend_closes_at_once() -> None:
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(with_events(b"OPEN\r\nTEXT 5\r\nhello\r\nCLOSE 2\r\n\x0f\xa0\r\n"))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"), encode_close(4000))


async def test_what_comes_with_it_makes_no_sense() -> None:
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(with_events(HELLO + OPEN))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"))
        await client.expect_end()
        assert it.tasks == []
        assert it.proxy.stage.counters.websockets_broken_off == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (REJECTION, 403),
        (with_events(b""), 502),
        (with_events(b"OPEN"), 502),
        (with_events(b"TEXT\r\n"), 502),
        (
            with_events(OPEN, b"Set-Meta-A: " + bytes([65]) * (MAX_META_BYTES // 2), b"Set-Meta-B: " + b"x" * 40_000),
            502,
        ),
    ],
    ids=["rejection", "nothing", "no event", "no acceptance", "too much meta"],
)
async def test_not_accepted(answer: bytes, outcome: int) -> None:
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(answer)
        if outcome == 403:
            await client.expect(REJECTED)
        else:
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
        await client.drain()
        assert it.proxy.log.outcomes == [("response", outcome)]
        await it.expect_over()


async def test_nothing_is_left_of_a_handshake() -> None:
    async with asking() as it, leaving_no(WebSocketExchange), leaving_no(OpenRequest):
        for answer in (REJECTION, with_events(b"TEXT\r\n"), with_events(OPEN)):
            client = await it.ask()
            await it.backend.send(answer)
            await client.read_until(b"\r\n\r\n")


async def test_a_path_that_the_route_does_not_allow() -> None:
    async with asking() as it:
        it.proxy.route(f"127.0.0.1:{it.proxy.port},over_http", condition="*,path_beg=/w,replace_beg=/../")
        client = await it.proxy.stage.ask(handshake())
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 400 ")
        await client.drain()
        assert (it.tasks, it.proxy.log.outcomes) == ([], [("response", 400)])


async def test_a_fault_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    """Whatever it is, the client is answered, and nothing is left."""

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("broken")

    async with asking() as it:
        client = await it.ask()
        with monkeypatch.context() as patch:
            patch.setattr(OpenRequest, "take_answer", fail)
            await it.backend.send(with_events(OPEN))
            assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 500 ")
        it.backend.close()
        await it.expect_over()
    assert "broken" in caplog.text
    caplog.clear()


async def test_a_fault_of_ours_when_it_is_open(monkeypatch: pytest.MonkeyPatch, caplog: Any) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("broken")

    monkeypatch.setattr(WebSocketClient, "relay", fail)
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(with_events(HELLO))
        await client.read_until(b"\r\n\r\n")
        await client.expect_end()
        await it.expect_told()
    caplog.clear()


# --- not at once ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("cut", "tasks"),
    [(20, ["exchange", "WebSocket open"]), (-len(HELLO), []), (-3, [])],
    ids=["head", "between", "body"],
)
async def test_an_answer_in_two_pieces(cut: int, tasks: list[str]) -> None:
    """Head and body, as many servers write them, need no task either."""
    async with asking() as it:
        client = await it.ask()
        answer = with_events(HELLO)
        await it.backend.send(answer[:cut])
        await settle()
        assert it.proxy.stage.runtime.task_count == max(len(tasks), 1)
        await it.backend.send(answer[cut:])
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"))
        assert it.tasks == tasks


async def test_a_long_answer() -> None:
    """More than a connection keeps."""
    async with asking() as it:
        client = await it.ask()
        message = bytes(200_000)
        await it.backend.send(with_events(OPEN + b"TEXT %x\r\n%b\r\n" % (len(message), message)))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(message))


async def test_a_client_leaves_between_the_pieces() -> None:
    async with asking() as it, leaving_no(OpenRequest):
        client = await it.ask()
        answer = with_events(HELLO)
        await it.backend.send(answer[:-3])
        await settle()
        client.close()
        await eventually(lambda: len(it.proxy.context.farewells) == 1, "the client has left")
        await it.backend.send(answer[-3:])
        await it.expect_told()
        await it.expect_over()


async def test_an_answer_that_breaks_off() -> None:
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(with_events(HELLO)[:-3])
        it.backend.close()
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
        await client.drain()


async def test_no_answer() -> None:
    """Nor is the backend asked once more: it may have begun with it (ws spec §1.8)."""
    async with asking() as it:
        client = await it.ask()
        it.backend.close()
        assert (await client.read_until(b"\r\n\r\n")).startswith(b"HTTP/1.1 502 ")
        await client.drain()


async def test_very_many_events() -> None:
    """Others have their turn."""
    async with asking() as it:
        client = await it.ask()
        await it.backend.send(with_events(OPEN + b"TEXT 1\r\nx\r\n" * EVENTS_PER_TURN))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"x") * EVENTS_PER_TURN)
        assert it.tasks == ["exchange", "WebSocket open", "WebSocket events"]


async def test_a_backend_that_has_not_decided() -> None:
    async with asking() as it:
        await it.ask()
        await it.backend.send(UNDECIDED)
        await eventually(lambda: it.tasks, "there is something to wait for")
        await settle()
        assert (it.tasks, it.proxy.stage.runtime.task_count) == (["exchange"], 1)


async def test_a_client_that_has_not_taken_its_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking() as it:
        monkeypatch.setattr(ClientExchange, "can_hold_at_once", False)
        client = await it.ask()
        await it.backend.send(with_events(HELLO))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"))
        assert it.tasks == ["exchange"]


async def test_no_idle_connection() -> None:
    async with asking() as it:
        it.proxy.context.pool.close()
        client = await it.proxy.stage.ask(handshake())
        backend, _ = await it.proxy.asked()
        await backend.expect(OPEN)
        await backend.send(with_events(HELLO))
        await client.read_until(b"\r\n\r\n")
        await client.expect(text(b"hello"))
        assert it.tasks == ["exchange", "WebSocket open"]


# --- clients that leave -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("way", ["close", "reset"])
@pytest.mark.parametrize(("answer", "is_told"), [(HELLO, True), (b"", False), (b"TEXT\r\n", False)])
async def test_a_client_leaves_before_the_answer(way: str, answer: bytes, is_told: bool) -> None:
    """ws spec §1.4: a backend that accepts it all the same is told; one that has not decided is not asked again."""
    async with asking() as it, leaving_no(WebSocketExchange), leaving_no(OpenRequest):
        client = await it.ask()
        getattr(client, way)()
        await eventually(lambda: len(it.proxy.context.farewells) == 1, "the client has left")
        assert it.proxy.log.outcomes == [("error", None)]
        await it.backend.send(with_events(answer, b"Keep-Alive-Interval: 20"))
        if is_told:
            await it.expect_told()
        await it.expect_over()


@pytest.mark.parametrize("is_first", [True, False])
async def test_a_client_leaves_in_the_turn_of_the_answer(is_first: bool) -> None:
    async with asking() as it:
        client = await it.ask()
        answer = with_events(HELLO)
        if is_first:
            client.reset()
        assert it.backend.send_what_fits(answer) == len(answer)
        if not is_first:
            client.reset()
        await it.expect_told()
        await it.expect_over()


async def test_a_client_leaves_between_the_answer_and_the_task(monkeypatch: pytest.MonkeyPatch) -> None:
    """What has been accepted has been accepted."""
    async with asking() as it, leaving_no(OpenRequest):
        await it.ask()
        connection = it.proxy.stage.connection
        monkeypatch.setattr(ClientExchange, "can_hold_at_once", False)
        go_on = WebSocketExchange._go_on

        def go_on_and_leave(exchange: WebSocketExchange) -> None:
            go_on(exchange)
            connection.cut_off()
            exchange.cancel()

        monkeypatch.setattr(WebSocketExchange, "_go_on", go_on_and_leave)
        await it.backend.send(with_events(HELLO))
        await it.expect_told()
        assert it.proxy.log.outcomes == [("error", None)]
        await it.expect_over()


async def test_a_client_leaves_before_anything_was_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its task has not begun, and never will."""
    async with asking() as it:
        it.proxy.context.pool.close()
        go_on = WebSocketExchange._go_on

        def go_on_and_leave(exchange: WebSocketExchange) -> None:
            go_on(exchange)
            exchange.cancel()

        monkeypatch.setattr(WebSocketExchange, "_go_on", go_on_and_leave)
        await it.proxy.stage.ask(handshake())
        await eventually(lambda: it.proxy.log.outcomes == [("error", None)], "it is over")
        assert it.tasks == ["exchange"]
        await it.expect_over()
        it.proxy.stage.connection.cut_off()


async def test_an_answer_to_somebody_who_has_just_left() -> None:
    """It is for whoever goes on with the request."""
    async with asking() as it:
        await it.ask()
        connection = it.proxy.stage.connection
        exchange: Any = connection.work
        exchange.cancel()
        exchange._on_answer()
        assert it.tasks == ["WebSocket open"]
        await it.backend.send(with_events(HELLO))
        await it.expect_told()
        await it.expect_over()
        connection.cut_off()


async def test_too_many_have_left() -> None:
    async with asking() as it:
        it.proxy.context.farewells = Farewells(0, it.proxy.stage.counters)
        client = await it.ask()
        client.close()
        assert await it.backend.drain() == 0
        assert it.proxy.stage.counters.farewells_refused == 1
        await it.expect_over()


async def test_the_process_stops_meanwhile() -> None:
    async with asking() as it:
        await it.ask()
        await it.proxy.stage.runtime.cancel_tasks()
        assert await it.backend.drain() == 0
        await it.expect_over()
        it.proxy.stage.connection.cut_off()


async def test_a_handshake_by_a_header_of_the_proxy_before() -> None:
    """Nothing of it is different."""
    async with asking() as it:
        it.proxy.context.policy = ForwardPolicy(accept_x_forwarded_protocol=True)
        client = await it.ask()
        await it.backend.send(with_events(OPEN))
        await client.read_until(b"\r\n\r\n")
        assert it.tasks == []


# --- like the one before ----------------------------------------------------------------------------------------------

ORDER = b'c:{"type":"subscribe","channel":"c"}'
EVENTS = b"OPEN\r\nTEXT 24\r\n" + ORDER + b"\r\nTEXT 4\r\nm:hi\r\n"


def welcoming(more: bytes = b"") -> bytes:
    return with_events(EVENTS + more, b"Sec-WebSocket-Extensions: grip")


async def welcome(it: Asking, more: bytes = b"") -> SocketHold:
    """The hold of a client who is opened with that, and more events."""
    sockets = it.proxy.context.holds.registry.find("c")
    before = set(sockets.sockets) if sockets is not None else set()
    client = await it.ask()
    await it.backend.send(welcoming(more))
    await client.read_until(b"\r\n\r\n")
    await client.expect(text(b"hi"))
    channel = it.proxy.context.holds.registry.find("c")
    assert channel is not None
    (hold,) = set(channel.sockets) - before
    return hold


async def test_the_third_is_opened_like_the_second(monkeypatch: pytest.MonkeyPatch) -> None:
    obeyed: list[bytes] = []
    obey = WebSocketClient.obey

    def note(client: WebSocketClient, order: bytes) -> None:
        obeyed.append(order)
        obey(client, order)

    monkeypatch.setattr(WebSocketClient, "obey", note)
    async with asking() as it:
        holds = [await welcome(it) for _ in range(4)]
        assert len(obeyed) == 2
        assert len({id(hold.plan) for hold in holds}) == 1
        assert all(hold.written_at_s for hold in holds)
        assert it.tasks == []
        holds.clear()


async def test_each_message_is_counted() -> None:
    async with asking() as it:
        statistics = it.proxy.context.holds.statistics
        statistics.export()
        for _ in range(4):
            await welcome(it)
        client, server = statistics.routes.unnamed.client, statistics.routes.unnamed.server
        assert (client.messages_sent, client.content_bytes_sent) == (4, 8)
        assert (server.messages_received, server.content_bytes_received) == (4, 8)


async def test_what_cannot_be_done_so_is_found_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    found: list[object] = []

    def note(*arguments: Any) -> object:
        found.append(find_way(*arguments))
        return found[-1]

    monkeypatch.setattr(socket_recipe, "find_way", note)
    async with asking() as it:
        for _ in range(4):
            await welcome(it, b"PING\r\n")
        assert found == [None]


async def test_a_client_leaves_that_is_opened_like_the_one_before(monkeypatch: pytest.MonkeyPatch) -> None:
    async with asking() as it:
        for _ in range(2):
            await welcome(it)
        client = await it.ask()
        client.reset()
        assert it.backend.send_what_fits(welcoming()) == len(welcoming())
        await it.expect_told()


async def test_another_answer_is_not_learned_for_one_that_did_not_decide(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even if their heads are equal; events that are not known say nothing."""
    monkeypatch.setattr(EventsBackend, "interval_s", 0)
    interval = b"Keep-Alive-Interval: 20"
    async with asking() as it:
        for _ in range(3):
            client = await it.proxy.stage.ask(handshake())
            for answer in (b"WAIT\r\n", OPEN):
                await it.backend.read_until(OPEN)
                await it.backend.send(with_events(answer, interval))
            await client.read_until(b"\r\n\r\n")
