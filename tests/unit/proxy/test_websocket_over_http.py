"""WebSockets whose backend is a web server, as conversations: what clients say, what is posted, what is answered."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

import pytest
from tests.unit.proxy.helpers import Answer, in_own_time, settle
from tests.unit.proxy.sockets import (
    FakeDuplex,
    ScriptedPosts,
    SocketWorld,
    ask,
    closing,
    events,
    opening,
    order,
    socket_world,
    unreachable,
)
from tests.unit.push.helpers import message

from holdfast.errors import BadResponse, WireError
from holdfast.grip.item import Action
from holdfast.proxy.acceptance import Acceptance
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.event_answers import MAX_META_BYTES, MAX_RESPONSE_BYTES
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.websocket_client import EVENTS_PER_TURN, WebSocketClient
from holdfast.proxy.websocket_over_http import MAX_UNSENT_BYTES
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.ws_events import DISCONNECT, OPEN, Event, EventType

CHANNEL = "p-c"


def subscribed(interval: str | None = None) -> Answer:
    """The backend accepts, and subscribes the client."""
    return opening(order("subscribe", channel="c"), grip=True, interval=interval)


class TestOpening:
    @in_own_time
    async def test_accepted(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(first=opening("hello", closing(4000)))
            assert (client.heard, client.end, posts.posted) == (["hello", "close 4000"], None, [])

    @in_own_time
    async def test_rejected(self) -> None:
        async with socket_world() as world:
            backend, _ = world.make_events_backend(Answer(403, [(b"X", b"1")], [b"n", b"o" * 150_000], reason=b"No"))
            answer = await ask(backend)
            assert answer == Rejection(403, b"No", [(b"X", b"1")], b"n" + b"o" * 99_999)

    @in_own_time
    async def test_undecided(self) -> None:
        async with socket_world() as world:
            backend, posts = world.make_events_backend(events(interval="3"), opening(interval="30"))
            assert await ask(backend) is None
            assert backend.interval_s == 20
            assert isinstance(await ask(backend), Acceptance)
            assert (posts.posted, backend.interval_s) == (["OPEN", "OPEN"], 30)

    @pytest.mark.parametrize(
        ("answer", "error"),
        [
            (events(), ErrorAnswer),
            (events(interval="0"), ErrorAnswer),
            (events("hello", interval="30"), ErrorAnswer),
            (events(body=b"OPEN"), WireError),
            (opening("x" * MAX_RESPONSE_BYTES), WireError),
            (unreachable(), ErrorAnswer),
            (Answer(200, [(b"Content-Type", b"application/websocket-events")], [BadResponse("cut")]), BadResponse),
        ],
    )
    def test_failing(self, answer: Answer | Exception, error: type[Exception]) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                backend, _ = world.make_events_backend(answer)
                with pytest.raises(error):
                    await ask(backend)
                backend.break_off()

        run()

    @in_own_time
    async def test_a_client_that_left_meanwhile(self) -> None:
        async with socket_world() as world:
            backend, posts = world.make_events_backend(opening(), events())
            await ask(backend)
            backend.break_off()
            await settle()
            assert posts.posted == ["OPEN", "DISCONNECT"]

    @in_own_time
    async def test_answer_that_cannot_be_obeyed(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(first=opening("hello", Event(EventType.PING, b"x" * 126)))
            assert (client.heard, client.end, posts.posted) == (["hello"], "closed", [])


class TestBatches:
    @in_own_time
    async def test_what_comes_meanwhile_goes_together(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events("re 1", delay_s=5), events("re 2"))
            client.text("1")
            await asyncio.sleep(1)
            client.text("2")
            client.say(client.frame(Opcode.PING, b"p"), client.frame(Opcode.BINARY, b"b"), client.frame(Opcode.PONG))
            await asyncio.sleep(5)
            assert posts.posted == ["TEXT 1", "TEXT 2, PING p, BINARY b, PONG"]
            assert client.heard == ["re 1", "re 2"]

    @in_own_time
    async def test_one_event(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(*(events() for _ in range(3)), events(closing()), one_event=True)
            client.say(*(client.frame(Opcode.TEXT, name) for name in (b"1", b"", b"3")))
            client.shut(4000)
            await settle()
            assert posts.posted == ["TEXT 1", "TEXT", "TEXT 3", "CLOSE 4000"]
            assert (client.heard, client.end) == (["close 1000"], "closed")

    @in_own_time
    async def test_a_message_is_whole(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events())
            client.say(client.frame(Opcode.TEXT, b"1", is_final=False))
            await settle()
            assert posts.posted == []
            client.say(client.frame(Opcode.CONT, b"2"))
            await settle()
            assert posts.posted == ["TEXT 12"]

    @in_own_time
    async def test_a_client_is_not_read_while_the_queue_is_full(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(delay_s=5), events(), events(), events())
            client.text("x" * 150_000)
            await settle()
            client.text("y" * 100_000)
            client.text("z" * 100_000)
            client.text("unread")
            assert not client.is_reading
            await asyncio.sleep(6)
            assert client.is_reading
            assert [len(posted) for posted in posts.posted] == [150_005, 100_005, 100_005, 11]

    @in_own_time
    async def test_a_message_that_is_too_long(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events())
            client.text("x" * 200_001)
            await settle()
            assert client.heard == ["close 1009 message exceeds 200000 bytes"]
            assert (client.end, posts.posted) == ("closed", ["DISCONNECT"])


class TestManyEvents:
    @in_own_time
    async def test_others_have_their_turn(self) -> None:
        async with socket_world() as world:
            client, _ = await world.over_http(events(*["x"] * (3 * EVENTS_PER_TURN)))
            heard: list[int] = []

            def look() -> None:
                heard.append(len(client.heard))
                if heard[-1] < 3 * EVENTS_PER_TURN:
                    asyncio.get_running_loop().call_soon(look)

            client.text("1")
            look()
            await settle()
            assert sorted(set(heard))[1:] == [number * EVENTS_PER_TURN - 1 for number in (1, 2, 3)] + [
                3 * EVENTS_PER_TURN
            ]

    @in_own_time
    async def test_a_client_that_leaves_in_between(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(*["x"] * (3 * EVENTS_PER_TURN)), events())
            client.on_write = client.leave
            client.text("1")
            await settle()
            assert (posts.posted, client.heard) == (["TEXT 1", "DISCONNECT"], ["x"])


class TestKeptBack:
    @in_own_time
    async def test_is_offered_again_with_what_is_new(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(accepted=5), events())
            client.text("[foo][hello")
            await settle()
            assert posts.posted == ["TEXT [foo][hello"]
            client.text(" world]")
            await settle()
            assert posts.posted[1:] == ["TEXT [hello, TEXT  world]"]
            assert posts.replayed == [0, 6]

    @in_own_time
    async def test_more_than_was_offered(self) -> None:
        async with socket_world() as world:
            client, _ = await world.over_http(events("lost", accepted=2))
            client.text("1")
            await settle()
            assert (client.heard, client.end, world.counters.websockets_broken_off) == ([], "closed", 1)

    @pytest.mark.parametrize("value", [b"-1", b"x", b""])
    def test_no_number_is_everything(self, value: bytes) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                answer = events(headers=[(b"Content-Bytes-Accepted", value)])
                client, posts = await world.over_http(answer, events())
                client.text("1")
                await settle()
                client.text("2")
                await settle()
                assert posts.posted == ["TEXT 1", "TEXT 2"]

        run()

    @in_own_time
    async def test_does_not_matter_to_a_last_word(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(accepted=1), events(accepted=0), first=subscribed())
            client.text("12")
            await settle()
            world.publish(message(CHANNEL, action=Action.CLOSE, code=4000))
            await settle()
            client.shut(4000)
            assert posts.posted == ["TEXT 12", "TEXT 2, CLOSE"]


class TestRetries:
    @in_own_time
    async def test_until_the_backend_is_there(self) -> None:
        async with socket_world(jitter=0.5) as world:
            client, posts = await world.over_http(unreachable(), unreachable(), events("re"), unreachable(), events())
            client.text("1")
            await asyncio.sleep(1)
            client.text("2")
            await asyncio.sleep(20)
            assert posts.posted == ["TEXT 1"] * 3 + ["TEXT 2"] * 2
            assert [round(at_s, 1) for at_s in posts.times] == [0, 1.5, 4, 4, 5.5]
            assert (client.heard, world.counters.websocket_retries) == (["re"], 3)

    @in_own_time
    async def test_not_for_ever(self) -> None:
        async with socket_world(jitter=0.9) as world:
            client, posts = await world.over_http(*(unreachable() for _ in range(6)))
            client.text("1")
            await asyncio.sleep(100)
            assert [round(at_s, 1) for at_s in posts.times] == [0, 1.9, 4.8, 9.7, 18.6, 35.5]
            assert (client.heard, client.end, round(client.ended_s, 1)) == ([], "closed", 35.5)

    @pytest.mark.parametrize("make_failure", [origin_error, BadResponse])
    def test_not_for_what_may_have_arrived(self, make_failure: Callable[[], Exception]) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                client, posts = await world.over_http(make_failure())
                client.text("1")
                await settle()
                assert (posts.posted, client.end) == (["TEXT 1"], "closed")

        run()

    @in_own_time
    async def test_of_a_client_that_leaves(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(unreachable(), events(), unreachable(), events())
            client.text("1")
            await settle()
            client.leave()
            await asyncio.sleep(20)
            assert posts.posted == ["TEXT 1", "TEXT 1", "DISCONNECT", "DISCONNECT"]

    @in_own_time
    async def test_an_answer_that_breaks_off(self) -> None:
        async with socket_world() as world:
            answer = Answer(200, [(b"Content-Type", b"application/websocket-events")], [b"TEXT", BadResponse("cut")])
            client, _ = await world.over_http(answer)
            client.text("1")
            await settle()
            assert (client.heard, client.end) == ([], "closed")


class TestMeta:
    @in_own_time
    async def test_comes_back(self) -> None:
        async with socket_world() as world:
            first = opening(headers=[(b"Set-Meta-A", b"1"), (b"Set-Meta-B", b"2"), (b"Set-Meta-", b"no")])
            second = events(headers=[(b"set-meta-a", b"3")])
            third = events(headers=[(b"Set-Meta-B", b"")])
            client, posts = await world.over_http(second, third, events(), first=first)
            for name in ("1", "2"):
                client.text(name)
                await settle()
            client.leave()
            await settle()
            assert posts.posted == ["TEXT 1", "TEXT 2", "DISCONNECT"]
            assert posts.meta == [
                [(b"Meta-A", b"1"), (b"Meta-B", b"2")],
                [(b"Meta-B", b"2"), (b"Meta-a", b"3")],
                [(b"Meta-a", b"3")],
            ]

    @in_own_time
    async def test_too_much(self) -> None:
        """Every answer may add to it, and every request has all of it."""
        async with socket_world() as world:
            size = MAX_META_BYTES // 3
            answers = [events(headers=[(b"Set-Meta-%d" % number, b"x" * size)]) for number in range(3)]
            client, posts = await world.over_http(*answers)
            for number in range(3):
                assert client.end is None
                client.text(str(number))
                await settle()
            assert (client.end, len(posts.posted)) == ("closed", 3)


class TestKeepAlive:
    @in_own_time
    async def test_every_interval(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(
                events(), events("re"), events(interval="30"), events(interval="0"), first=opening(interval="1")
            )
            await asyncio.sleep(25)
            client.text("1")
            await asyncio.sleep(200)
            assert posts.posted == ["", "TEXT 1", "", ""]
            # at 20, its own, 20 after that, 30 after that
            assert [round(at_s) for at_s in posts.times] == [20, 25, 45, 75]
            assert client.heard == ["re"]

    @pytest.mark.parametrize("value", ["0", "-5", "x", ""])
    def test_off(self, value: str) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                _, posts = await world.over_http(events(interval=value), first=opening(interval="20"))
                await asyncio.sleep(100)
                assert posts.posted == [""]

        run()

    @in_own_time
    async def test_is_counted_from_the_answer(self) -> None:
        """A question that takes longer than the interval is not asked twice."""
        async with socket_world() as world:
            client, posts = await world.over_http(
                events(delay_s=50), events(interval="0"), first=opening(interval="20")
            )
            client.text("1")
            await asyncio.sleep(100)
            assert [round(at_s) for at_s in posts.times] == [0, 70]

    @in_own_time
    async def test_its_answer_counts_although_the_client_speaks(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(
                events("news", delay_s=5), events(interval="0"), first=opening(interval="20")
            )
            await asyncio.sleep(22)
            client.text("1")
            await asyncio.sleep(10)
            assert (client.heard, posts.posted) == (["news"], ["", "TEXT 1"])

    @in_own_time
    async def test_for_many_years(self) -> None:
        async with socket_world() as world:
            _, posts = await world.over_http(first=opening(interval=str(2**31 - 1)))
            await asyncio.sleep(100)
            assert posts.posted == []


class TestRefresh:
    @in_own_time
    async def test_asks_at_once_or_next(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events("re", delay_s=5), events(), first=_free())
            for _ in range(3):
                world.publish(message(CHANNEL, action=Action.REFRESH))
                await asyncio.sleep(1)
            await asyncio.sleep(10)
            assert (posts.posted, client.heard) == (["", ""], ["re"])

    @in_own_time
    async def test_not_when_it_is_over(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(interval="20"), events(closing()), first=subscribed())
            client.shut()
            await settle()
            assert isinstance(client.owner, WebSocketClient)
            client.owner.refresh()
            await settle()
            assert posts.posted == ["CLOSE"]
            await asyncio.sleep(21)
            assert posts.posted == ["CLOSE", ""]


class TestSlowClients:
    @in_own_time
    async def test_the_backend_is_not_asked(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(events(), first=opening(interval="20"))
            client.is_blocked, client.unsent_bytes = True, MAX_UNSENT_BYTES
            client.text("1")
            await asyncio.sleep(50)
            assert posts.posted == []
            client.drain()
            await settle()
            assert posts.posted == ["TEXT 1"]
            await self.leave(client, posts)

    @in_own_time
    async def test_but_is_told_that_they_leave(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http()
            client.unsent_bytes = MAX_UNSENT_BYTES
            client.text("lost")
            await self.leave(client, posts)

    @in_own_time
    async def test_also_what_they_said_last(self) -> None:
        async with socket_world() as world:
            client, posts = await world.over_http()
            client.unsent_bytes = MAX_UNSENT_BYTES
            client.shut(4000)
            await settle()
            assert posts.posted == []
            await self.leave(client, posts, "CLOSE 4000")

    async def leave(self, client: FakeDuplex, posts: ScriptedPosts, last: str = "DISCONNECT") -> None:
        posts.script.append(events())
        client.leave()
        await settle()
        assert posts.posted[-1] == last


# --- the end ----------------------------------------------------------------------------------------------------------

BAD_TYPE = events("lost", media_type=b"application/websocket-events; charset=utf-8")

Step = str | float
Ending = tuple[list[str], list[str], str | None]

ENDINGS: dict[str, tuple[list[Answer | Exception], list[Step], Ending]] = {
    "the client vanishes": ([events()], ["vanishes"], (["DISCONNECT"], [], "gone")),
    "the client vanishes, which cannot be told at once": (
        [unreachable(), events()],
        ["vanishes", 5.0],
        (["DISCONNECT", "DISCONNECT"], [], "gone"),
    ),
    "the client vanishes during a request": (
        [events("lost", delay_s=3), events()],
        ["1", "2", "vanishes", 5.0],
        (["TEXT 1", "DISCONNECT"], [], "gone"),
    ),
    "the client vanishes during a request that fails": (
        [events(code=500, delay_s=3)],
        ["1", "vanishes", 5.0],
        (["TEXT 1"], [], "gone"),
    ),
    "the client breaks the protocol": (
        [events()],
        ["breaks the protocol"],
        (["DISCONNECT"], ["close 1002 continuation of no message"], "closed"),
    ),
    "the client closes, and is answered": (
        [events("last", closing(4001, "y"))],
        ["close 4000 x"],
        (["CLOSE 4000 x"], ["last", "close 4001 y"], "closed"),
    ),
    "the client closes, and is answered without a code": (
        [events(closing())],
        ["close"],
        (["CLOSE"], ["close 1000"], "closed"),
    ),
    "the client closes, and is not answered": ([events("last")], ["close"], (["CLOSE"], ["last"], "closed")),
    "the client closes, and vanishes": (
        [events(delay_s=3)],
        ["close", "vanishes", 5.0],
        (["CLOSE"], [], "gone"),
    ),
    "the client closes during a request": (
        [events("re", delay_s=3), events(closing())],
        ["1", "2", "close 4000", 5.0],
        (["TEXT 1", "TEXT 2, CLOSE 4000"], ["re", "close 1000"], "closed"),
    ),
    "the client closes during a request, and vanishes": (
        [events("lost", delay_s=3), events()],
        ["1", "close 4000", "vanishes", 5.0],
        (["TEXT 1", "CLOSE 4000"], [], "gone"),
    ),
    "the client closes, is answered later": (
        [events(interval="20"), events(), events(closing(4000))],
        ["close", 100.0],
        (["CLOSE", "", ""], ["close 4000"], "closed"),
    ),
    "the client closes, might be answered later, and vanishes": (
        [events(interval="20"), events()],
        ["close", 30.0, "vanishes", 100.0],
        (["CLOSE", ""], [], "gone"),
    ),
    "the client closes, might be answered later, and vanishes meanwhile": (
        [events(interval="20"), events(delay_s=5)],
        ["close", 22.0, "vanishes", 100.0],
        (["CLOSE", ""], [], "gone"),
    ),
    "the client closes, and the backend wants to be left": (
        [events(interval="20"), events(order("detach"))],
        ["close 4000", 100.0],
        (["CLOSE 4000", ""], ["close 1000"], "closed"),
    ),
    "the backend closes, and is answered": (
        [events("last", closing(4000, "x")), events("lost")],
        ["1", "late", "close 4001"],
        (["TEXT 1", "CLOSE 4001"], ["last", "close 4000 x"], "closed"),
    ),
    "the backend closes, and is answered when it does not listen": (
        [events(closing(4000)), *(unreachable() for _ in range(6))],
        ["1", "close 4001", 100.0],
        (["TEXT 1", *["CLOSE 4001"] * 6], ["close 4000"], "closed"),
    ),
    "the backend closes, and the client vanishes": (
        [events(closing(4000)), events()],
        ["1", "vanishes"],
        (["TEXT 1", "DISCONNECT"], ["close 4000"], "gone"),
    ),
    "both close": (
        [events(closing(4000), delay_s=3), events()],
        ["1", "close 4001", 5.0],
        (["TEXT 1", "CLOSE 4001"], ["close 4000"], "closed"),
    ),
    "both close, and the client vanishes": (
        [events(closing(4000), delay_s=3), events()],
        ["1", "close 4001", "vanishes", 5.0],
        (["TEXT 1", "CLOSE 4001"], [], "gone"),
    ),
    "the backend breaks off": ([events(DISCONNECT)], ["1"], (["TEXT 1"], [], "closed")),
    "the backend opens twice": ([events("first", OPEN)], ["1"], (["TEXT 1"], ["first"], "closed")),
    "the backend fails": ([events(code=500)], ["1"], (["TEXT 1"], [], "closed")),
    "the backend answers with something else": ([BAD_TYPE], ["1"], (["TEXT 1"], [], "closed")),
    "the backend makes no sense": ([events(body=b"TEXT x\r\n")], ["1"], (["TEXT 1"], [], "closed")),
    "the backend says too much": (
        [events("x" * MAX_RESPONSE_BYTES)],
        ["1"],
        (["TEXT 1"], [], "closed"),
    ),
    "a publisher closes": (
        [events()],
        ["publish close", "close 4000"],
        (["CLOSE"], ["close 4000 bye"], "closed"),
    ),
    "a publisher closes during a request": (
        [events("lost", closing(4001), delay_s=3), events("lost")],
        ["1", "2", "publish close", "3", "close 4000", 5.0],
        (["TEXT 1", "TEXT 2, CLOSE"], ["close 4000 bye"], "closed"),
    ),
    "a publisher closes, and the client vanishes": (
        [events()],
        ["publish close", "vanishes"],
        (["CLOSE"], ["close 4000 bye"], "gone"),
    ),
    "a publisher closes while the client waits for an answer": (
        [events(delay_s=3, interval="20"), events(closing())],
        ["close", "publish close", 30.0],
        (["CLOSE", ""], ["close 1000"], "closed"),
    ),
    "the backend wants to be left": (
        [events(order("detach"), "lost", closing(4001)), events("lost")],
        ["1", "2", 100.0, "close 4000"],
        (["TEXT 1", "CLOSE"], ["close 1000"], "closed"),
    ),
    "the backend wants to be left, and breaks off": (
        [events(order("detach"), DISCONNECT), events(code=500)],
        ["1"],
        (["TEXT 1", "CLOSE"], [], None),
    ),
    "the process stops": ([events()], ["stop", "close 1001"], (["CLOSE 1001"], ["close 1001"], "closed")),
    "the process stops during a request": (
        [events("lost", delay_s=3), events()],
        ["1", "stop", "close 1001", 5.0],
        (["TEXT 1", "CLOSE 1001"], ["close 1001"], "closed"),
    ),
    "the process stops while the client waits for an answer": (
        [events(delay_s=3)],
        ["close 4000", "stop", 5.0],
        (["CLOSE 4000"], ["close 1001"], "closed"),
    ),
}


async def act(world: SocketWorld, client: FakeDuplex, steps: Sequence[Step]) -> None:
    for step in steps:
        match step:
            case float():
                await asyncio.sleep(step)
            case "vanishes":
                client.leave()
            case "breaks the protocol":
                client.say(client.frame(Opcode.CONT))
            case "stop":
                client.owner.end()
            case "publish close":
                world.publish(message(CHANNEL, action=Action.CLOSE, code=4000, reason="bye"))
            case str() if step.startswith("close"):
                code, _, reason = step.removeprefix("close").strip().partition(" ")
                client.shut(int(code) if code else None, reason)
            case str():
                client.text(step)
        await settle()


@pytest.mark.parametrize("name", ENDINGS)
def test_ending(name: str) -> None:
    answers, steps, ending = ENDINGS[name]

    @in_own_time
    async def run() -> None:
        async with socket_world() as world:
            client, posts = await world.over_http(*map(_fresh, answers), first=_free())
            await act(world, client, steps)
            assert (posts.posted, client.heard, client.end) == ending

    run()


def _free() -> Answer:
    """Accepted, subscribed, and every message passes."""
    grip = (b"Sec-WebSocket-Extensions", b"grip; message-prefix")
    return opening(order("subscribe", channel="c"), headers=[grip])


def _fresh(answer: Answer | Exception) -> Answer | Exception:
    """Answers are used up when they are read; those of a table must not be."""
    if isinstance(answer, Exception):
        return unreachable()
    return Answer(answer.code, answer.headers, list(answer.pieces), answer.delay_s)


class TestFarewells:
    """Sessions that outlive their client are bounded: clients come and go faster than backends answer."""

    @in_own_time
    async def test_no_room_for_another(self) -> None:
        async with socket_world() as world:
            world.proxy.farewells = Farewells(1, world.counters)
            first, first_posts = await world.over_http(events(delay_s=5))
            second, second_posts = await world.over_http()
            first.leave()
            second.leave()
            await settle()
            assert (first_posts.posted, second_posts.posted) == (["DISCONNECT"], [])
            assert (len(world.proxy.farewells), world.counters.farewells_refused) == (1, 1)
            await world.proxy.farewells.ended()
            third, third_posts = await world.over_http(events())
            third.leave()
            await settle()
            assert third_posts.posted == ["DISCONNECT"]

    @in_own_time
    async def test_no_room_ends_what_is_under_way(self) -> None:
        async with socket_world() as world:
            world.proxy.farewells = Farewells(0, world.counters)
            client, posts = await world.over_http(events(delay_s=500))
            client.text("1")
            await settle()
            assert posts.open == 1
            client.leave()
            await settle()
            assert (posts.open, world.runtime.task_count) == (0, 0)

    @in_own_time
    async def test_no_room_for_what_the_backend_asked_for(self) -> None:
        async with socket_world() as world:
            world.proxy.farewells = Farewells(0, world.counters)
            client, posts = await world.over_http(events(order("detach"), "lost"), first=_free())
            client.text("1")
            await settle()
            client.shut(4000)
            assert (posts.posted, client.heard, client.end) == (["TEXT 1"], ["close 1000"], "closed")


class TestGrip:
    @in_own_time
    async def test_orders_and_prefixes(self) -> None:
        async with socket_world() as world:
            client, _ = await world.over_http(events("m:1", "dropped", order("nonsense"), "m:2"), first=subscribed())
            client.text("x")
            await settle()
            assert client.heard == ["1", "2"]

    @pytest.mark.parametrize("has_grip", [True, False])
    def test_only_if_both_want_it(self, has_grip: bool) -> None:
        @in_own_time
        async def run() -> None:
            async with socket_world() as world:
                first = opening("m:1", grip=not has_grip)
                client, _ = await world.over_http(first=first, has_grip=has_grip)
                assert client.heard == ["m:1"]

        run()

    @in_own_time
    async def test_every_kind_of_event(self) -> None:
        async with socket_world() as world:
            kinds = [Event(kind, b"x") for kind in (EventType.BINARY, EventType.PING, EventType.PONG)]
            client, _ = await world.over_http(first=opening(*kinds))
            assert client.heard == ["binary x", "ping x", "pong x"]
