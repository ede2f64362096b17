"""Conversations between a client and its backend, above all how they end: who closes, who answers, who vanishes."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.proxy.helpers import in_own_time, settle
from tests.unit.proxy.sockets import FakeDuplex, SocketWorld, order, socket_world
from tests.unit.push.helpers import message, text

from holdfast.grip.item import Action
from holdfast.push.socket_hold import MAX_META_BYTES
from holdfast.wire.websocket.frames import Opcode

CHANNEL = "p-c"


class Act:
    """What the steps of a conversation stand for."""

    def __init__(self, world: SocketWorld, client: FakeDuplex, backend: FakeDuplex) -> None:
        self._world = world
        self._client = client
        self._backend = backend

    async def run(self, step: str) -> None:
        who, _, what = step.partition(": ")
        end = {"client": self._client, "backend": self._backend}.get(who)
        if end is None:
            self._do(step)
        elif what == "vanishes":
            end.leave()
        elif what == "breaks the protocol":
            end.say(end.frame(Opcode.CONT, b"of nothing"))
        elif what == "is full":
            end.is_blocked = True
        elif what == "has room":
            end.drain()
        elif what == "detach":
            end.text(order("detach"))
        elif what.startswith("close"):
            code, _, reason = what.removeprefix("close").strip().partition(" ")
            end.shut(int(code) if code else None, reason)
        else:
            end.text(what)
        await settle()

    def _do(self, step: str) -> None:
        if step == "stop":
            self._client.owner.end()
            self._backend.owner.end()
        else:
            assert step == "publish close 4000 bye"
            self._world.publish(message(CHANNEL, action=Action.CLOSE, code=4000, reason="bye"))


async def converse(world: SocketWorld, *steps: str) -> tuple[FakeDuplex, FakeDuplex]:
    """A relayed WebSocket with GRIP on which the steps happen; its subscription is no part of them."""
    client, backend = world.relay(b"m:")
    backend.text(order("subscribe", channel="c"))
    await settle()
    act = Act(world, client, backend)
    for step in steps:
        await act.run(step)
    return client, backend


Ending = tuple[list[str], str | None, list[str], str | None]

CLOSINGS: dict[str, tuple[list[str], Ending]] = {
    "client, answered": (
        ["client: close 4000 x", "backend: close 4001 y"],
        (["close 4001 y"], "closed", ["close 4000 x"], "closed"),
    ),
    "client, answered without a code": (
        ["client: close", "backend: close"],
        (["close 1000"], "closed", ["close"], "closed"),
    ),
    "client, not answered": (["client: close 4000"], ([], None, ["close 4000"], None)),
    "client, and the backend says something before it answers": (
        ["client: close 4000", "backend: m:last", "backend: close 4000"],
        (["last", "close 4000"], "closed", ["close 4000"], "closed"),
    ),
    "client, and the backend vanishes": (
        ["client: close 4000", "backend: vanishes"],
        ([], "closed", ["close 4000"], "gone"),
    ),
    "client, and it vanishes": (["client: close 4000", "client: vanishes"], ([], "gone", ["close 4000"], "closed")),
    "client, which goes on": (["client: close 4000", "client: more"], ([], None, ["close 4000"], None)),
    "backend, answered": (
        ["backend: close 4000 x", "client: close 4001 y"],
        (["close 4000 x"], "closed", ["close 4001 y"], "closed"),
    ),
    "backend, without a code": (
        ["backend: close", "client: close"],
        (["close 1000"], "closed", ["close"], "closed"),
    ),
    "backend, not answered": (["backend: close 4000"], (["close 4000"], None, [], None)),
    "backend, which does not wait": (
        ["backend: close 4000", "backend: vanishes"],
        (["close 4000"], None, [], "gone"),
    ),
    "backend, which does not wait, answered": (
        ["backend: close 4000", "backend: vanishes", "client: close 4000"],
        (["close 4000"], "closed", [], "gone"),
    ),
    "backend, and the client vanishes": (
        ["backend: close 4000", "client: vanishes"],
        (["close 4000"], "gone", [], "aborted"),
    ),
    "backend, and the client says something before it answers": (
        ["backend: close 4000", "client: late", "client: close 4000"],
        (["close 4000"], "closed", ["close 4000"], "closed"),
    ),
    "backend, and the client breaks the protocol": (
        ["backend: close 4000", "client: breaks the protocol"],
        (["close 4000"], "closed", [], "aborted"),
    ),
    "nobody, the client vanishes": (["client: vanishes"], ([], "gone", [], "aborted")),
    "nobody, the backend vanishes": (["backend: vanishes"], ([], "closed", [], "gone")),
    "nobody, the client breaks the protocol": (
        ["client: breaks the protocol"],
        (["close 1002 continuation of no message"], "closed", [], "aborted"),
    ),
    "nobody, the backend breaks the protocol": (
        ["backend: breaks the protocol"],
        ([], "closed", [], "aborted"),
    ),
    "publisher, answered": (
        ["publish close 4000 bye", "client: close 4000"],
        (["close 4000 bye"], "closed", ["close"], "closed"),
    ),
    "publisher, and the client vanishes": (
        ["publish close 4000 bye", "client: vanishes"],
        (["close 4000 bye"], "gone", ["close"], "closed"),
    ),
    "publisher, while the client is not read": (
        ["backend: is full", "client: unread", "publish close 4000 bye", "client: close 4000"],
        (["close 4000 bye"], "closed", ["close"], "closed"),
    ),
    "client, and then a publisher": (
        ["client: close 4001", "publish close 4000 bye"],
        ([], None, ["close 4001"], None),
    ),
    "detached client": (
        ["backend: detach", "client: ignored", "client: close 4000"],
        (["close 1000"], "closed", ["close"], "closed"),
    ),
    "detached client, closed by a publisher": (
        ["backend: detach", "publish close 4000 bye", "client: close 4000"],
        (["close 4000 bye"], "closed", ["close"], "closed"),
    ),
    "detached client that vanishes": (["backend: detach", "client: vanishes"], ([], "gone", ["close"], "closed")),
    "client, and the backend wants to be left": (
        ["client: close 4000", "backend: detach"],
        (["close 1000"], "closed", ["close 4000"], "closed"),
    ),
    "detached client that was not read": (
        ["backend: is full", "client: unread", "backend: detach", "client: close 4000"],
        (["close 1000"], "closed", ["close"], "closed"),
    ),
    "process, answered": (["stop", "client: close 1001"], (["close 1001"], "closed", ["close 1001"], None)),
    "process, not answered": (["stop"], (["close 1001"], None, [], None)),
    "process, while the client waits": (
        ["client: close 4000", "stop"],
        (["close 1001"], "closed", ["close 4000"], None),
    ),
    "process, while the client is not read": (
        ["backend: is full", "client: unread", "stop", "client: close 1001"],
        (["close 1001"], "closed", ["close 1001"], None),
    ),
    "process, after the backend": (["backend: close 4000", "stop"], (["close 4000"], None, [], None)),
}


@pytest.mark.parametrize("name", CLOSINGS)
def test_closing(name: str) -> None:
    steps, ending = CLOSINGS[name]

    @in_own_time
    async def run() -> None:
        async with socket_world() as world:
            client, backend = await converse(world, *steps)
            assert (client.heard, client.end, backend.heard, backend.end) == ending

    run()


BROKEN_OFF = {
    "backend: vanishes": (1, 0),
    "backend: breaks the protocol": (1, 0),
    "client: vanishes": (0, 0),
    "client: breaks the protocol": (0, 1),
}


@pytest.mark.parametrize("step", BROKEN_OFF)
def test_counted(step: str) -> None:
    @in_own_time
    async def run() -> None:
        async with socket_world() as world:
            await converse(world, step)
            counters = world.counters
            assert (counters.websockets_broken_off, counters.websockets_malformed) == BROKEN_OFF[step]

    run()


class TestDetach:
    @in_own_time
    async def test_the_client_goes_on_without_it(self) -> None:
        async with socket_world() as world:
            client, backend = await converse(world, "backend: detach")
            world.publish(message(CHANNEL, "published"))
            await settle()
            assert client.heard == ["published"]
            assert backend.end == "closed"

    @pytest.mark.parametrize("rest", ["m:more", "close 4000", "breaks the protocol"])
    def test_what_comes_in_the_same_piece_does_not_matter(self, rest: str) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                client, backend = await converse(world)
                frames = [backend.frame(Opcode.TEXT, order("detach").encode())]
                if rest == "m:more":
                    frames.append(backend.frame(Opcode.TEXT, rest.encode()))
                elif rest == "close 4000":
                    frames.append(backend.frame(Opcode.CLOSE, b"\x0f\xa0"))
                else:
                    frames.append(backend.frame(Opcode.CONT))
                backend.say(*frames)
                await settle()
                assert (client.heard, client.end) == ([], None)
                assert world.counters.websockets_broken_off == 0

        run()

    @in_own_time
    async def test_twice(self) -> None:
        async with socket_world() as world:
            client, backend = await converse(world)
            detach = backend.frame(Opcode.TEXT, order("detach").encode())
            backend.say(detach, detach)
            assert (client.end, backend.heard, backend.end) == (None, ["close"], "closed")


class TestReading:
    @in_own_time
    async def test_as_far_as_the_backend_takes_it(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            backend.on_write = lambda: setattr(backend, "is_blocked", True)
            client.say(*(client.frame(Opcode.TEXT, b"%d" % number) for number in range(3)))
            assert (backend.heard, client.is_reading) == (["0"], False)
            backend.drain()
            assert (backend.heard, client.is_reading) == (["0", "1"], False)
            backend.on_write = lambda: None
            backend.drain()
            assert (backend.heard, client.is_reading) == (["0", "1", "2"], True)

    @in_own_time
    async def test_what_waited_is_not_lost_with_the_client(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            backend.is_blocked = True
            client.text("1")
            client.leave()
            assert (backend.heard, backend.end) == ([], None)
            backend.drain()
            await settle()
            assert (backend.heard, backend.end) == (["1"], "aborted")

    @in_own_time
    async def test_everything_before_a_fault_counts(self) -> None:
        async with socket_world() as world:
            client, backend = world.relay()
            client.say(client.frame(Opcode.TEXT, b"1"), client.frame(Opcode.CONT), client.frame(Opcode.TEXT, b"2"))
            assert (backend.heard, backend.end) == (["1"], "aborted")


class TestSilence:
    """No byte either way ends a WebSocket (ws spec §4.4)."""

    IDLE_S = 300

    @asynccontextmanager
    async def world(self) -> AsyncIterator[SocketWorld]:
        async with socket_world() as world:
            world.proxy.websocket_idle_s = self.IDLE_S
            yield world

    async def wait_for_end(self, client: FakeDuplex) -> float:
        await asyncio.sleep(2 * self.IDLE_S)
        assert client.end is not None
        return client.ended_s

    @in_own_time
    async def test_ends_both_sides(self) -> None:
        async with self.world() as world:
            client, backend = world.relay()
            end_s = await self.wait_for_end(client)
            assert (end_s // 10 * 10, client.heard, client.end) == (self.IDLE_S, [], "closed")
            assert (backend.end, world.counters.client_timeouts) == ("aborted", 1)

    @pytest.mark.parametrize("what", ["client", "backend", "ping", "published", "delayed", "keep-alive"])
    def test_begins_anew_with(self, what: str) -> None:
        @in_own_time
        async def run() -> None:
            async with self.world() as world:
                client, backend = await converse(world)
                if what == "keep-alive":
                    backend.text(order("keep-alive", content="k", timeout=200, mode="interval"))
                if what == "delayed":
                    backend.text(order("send-delayed", content="d", timeout=200))
                await asyncio.sleep(200)
                if what == "client":
                    client.text("a")
                elif what == "backend":
                    backend.text("m:b")
                elif what == "ping":
                    backend.say(backend.frame(Opcode.PING))
                elif what == "published":
                    world.publish(message(CHANNEL, "p"))
                await asyncio.sleep(280)
                assert client.end is None
                if what != "keep-alive":
                    assert await self.wait_for_end(client) // 10 * 10 == 200 + self.IDLE_S

        run()

    @in_own_time
    async def test_what_the_client_does_not_take_is_no_sign_of_life(self) -> None:
        async with self.world() as world:
            client, backend = await converse(world)
            backend.text(order("keep-alive", content="k", timeout=50))
            client.is_blocked = True
            assert await self.wait_for_end(client) // 10 * 10 == self.IDLE_S

    @in_own_time
    async def test_of_a_client_that_does_not_answer_a_close(self) -> None:
        async with self.world() as world:
            client, backend = await converse(world, "backend: close 4000")
            assert await self.wait_for_end(client) // 10 * 10 == self.IDLE_S
            assert backend.end == "aborted"


class TestOrders:
    @in_own_time
    async def test_too_many_filters(self) -> None:
        async with socket_world() as world:
            client, backend = await converse(world)
            backend.text(order("subscribe", channel="d", filters=["skip-self"] * 6))
            assert (client.heard, backend.heard, backend.end) == (["close 1011"], ["close"], "closed")

    @in_own_time
    async def test_too_much_meta(self) -> None:
        """It is not bounded by anything else: a backend may set it as often as it likes."""
        async with socket_world() as world:
            client, backend = await converse(world)
            for number in range(10):
                backend.text(order("set-meta", name=f"name{number}", value="x" * (MAX_META_BYTES // 5 - 5)))
            assert world.counters.control_messages_refused == 5
            backend.text(order("set-meta", name="name0"))
            backend.text(order("set-meta", name="user", value="me"))
            backend.text(order("subscribe", channel="d", filters=["skip-self"]))
            world.publish(message("p-d", "mine", meta={"sender": "me"}), message("p-d", "yours"))
            await settle()
            assert client.heard == ["yours"]
            assert (world.counters.control_messages_refused, client.end) == (5, None)

    @in_own_time
    async def test_plans_do_not_pile_up(self) -> None:
        async with socket_world() as world:
            _, backend = await converse(world)
            for number in range(500):
                backend.text(order("subscribe", channel="d", filters=[f"unknown-{number}"]))
                backend.text(order("set-meta", name="user", value=str(number)))
                backend.text(order("unsubscribe", channel="d"))
            assert len(world.proxy.plans) < 5
            assert len(world.registry) == 1

    @in_own_time
    async def test_what_is_no_order(self) -> None:
        async with socket_world() as world:
            client, _ = await converse(world, "backend: c:{}", "backend: c:", "backend: m:fine")
            assert (client.heard, world.counters.control_messages_refused) == (["fine"], 2)

    @in_own_time
    async def test_subscriptions_over_the_limit(self) -> None:
        async with socket_world() as world:
            _, backend = await converse(world)
            for number in range(25):
                backend.text(order("subscribe", channel=f"c{number}"))
            assert (len(world.registry), world.counters.subscriptions_refused) == (20, 6)

    @in_own_time
    async def test_orders_after_the_end(self) -> None:
        async with socket_world() as world:
            client, backend = await converse(world, "client: close 4000")
            for kind in ("subscribe", "unsubscribe"):
                backend.text(order(kind, channel="late"))
            backend.text(order("set-meta", name="user", value="late"))
            backend.text(order("keep-alive", content="late", timeout=1))
            backend.text(order("send-delayed", content="late", timeout=1))
            backend.text(order("flush-delayed"))
            await asyncio.sleep(5)
            assert (len(world.registry), client.heard) == (0, [])


class TestEcho:
    @in_own_time
    async def test_everything_comes_back(self) -> None:
        async with socket_world() as world:
            client = world.echo()
            client.text("hello")
            client.say(client.frame(Opcode.PING, b"p"), client.frame(Opcode.PONG, b"q"))
            client.shut(4000, "x")
            assert (client.heard, client.end) == (["hello", "ping p", "pong q", "close 4000 x"], "closed")

    @in_own_time
    async def test_no_more_is_read_than_is_taken(self) -> None:
        async with socket_world() as world:
            client = world.echo()
            client.on_write = lambda: setattr(client, "is_blocked", True)
            client.text("1")
            client.text("2")
            assert (client.heard, client.is_reading) == (["1"], False)
            client.drain()
            await settle()
            assert client.heard == ["1", "2"]

    @pytest.mark.parametrize("step", ["vanishes", "stop", "refresh"])
    def test_has_nothing_to_lose(self, step: str) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                client = world.echo()
                if step == "vanishes":
                    client.leave()
                elif step == "stop":
                    client.owner.end()
                    client.shut(1001)
                    assert client.end == "closed"

        run()


class TestRefresh:
    @in_own_time
    async def test_is_nothing_to_a_server_that_speaks_when_it_wants_to(self) -> None:
        async with socket_world() as world:
            client, backend = await converse(world)
            world.publish(message(CHANNEL, action=Action.REFRESH), text(CHANNEL, "for streams"))
            await settle()
            assert (client.heard, backend.heard) == ([], [])
