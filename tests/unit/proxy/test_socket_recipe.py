"""When a WebSocket over HTTP is opened like the one before."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.proxy.helpers import Answer, in_own_time, settle
from tests.unit.proxy.sockets import SocketWorld, closing, events, order, socket_world
from tests.unit.routing.helpers import make_rule

from holdfast.proxy.acceptance import Acceptance, Agreement
from holdfast.proxy.reply import WholeReply
from holdfast.proxy.socket_recipe import MAX_BODY_BYTES, SocketRecipe, Way, find_way
from holdfast.push.dialects import COMPRESSED, PLAIN, SOCKJS, Dialect
from holdfast.push.socket_hold import SocketHold
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.frames import Opcode, encode_frame
from holdfast.wire.websocket.stream import Data
from holdfast.wire.ws_events import Event, EventType

HEADERS: Headers = [(b"X", b"1")]
BODY = b"OPEN\r\n"
RULE = make_rule("* 127.0.0.1:80,over_http 127.0.0.1:81,over_http")
GRIP = Agreement(b"m:", 30, [(b"Meta-A", b"1")])
NO_GRIP = Agreement(None, 0, [])


def reply(headers: Headers = HEADERS, body: bytes = BODY) -> WholeReply:
    return WholeReply(200, b"OK", headers, body, len(body))


def once(body: bytes = BODY) -> SocketRecipe:
    recipe = SocketRecipe.first(reply(body=body), RULE, RULE.targets[0], PLAIN, has_grip=True)
    assert recipe is not None
    return recipe


def is_for(recipe: SocketRecipe, answer: WholeReply | None = None, **other: Any) -> bool:
    asked = {"rule": RULE, "target": RULE.targets[0], "dialect": PLAIN, "has_grip": True, **other}
    return recipe.is_for(answer or reply(), **asked)


def test_the_same() -> None:
    assert is_for(once())
    assert is_for(once(), reply(body=bytes(bytearray(BODY))))


def test_anything_else() -> None:
    """Headers that look the same do not come from the same head."""
    assert not is_for(once(), reply(headers=list(HEADERS)))
    assert not is_for(once(), reply(body=BODY + BODY))
    assert not is_for(once(), rule=replace(RULE))
    assert not is_for(once(), target=RULE.targets[1])
    assert not is_for(once(), dialect=COMPRESSED)
    assert not is_for(once(), has_grip=False)


def test_what_is_too_long_is_not_kept_in_mind() -> None:
    assert is_for(once(b"x" * MAX_BODY_BYTES), reply(body=b"x" * MAX_BODY_BYTES))
    long = reply(body=b"x" * (MAX_BODY_BYTES + 1))
    assert SocketRecipe.first(long, RULE, RULE.targets[0], PLAIN, has_grip=True) is None


def text(content: str) -> Event:
    return Event(EventType.TEXT, content.encode())


def subscribe(channel: str, **fields: Any) -> Event:
    return text(order("subscribe", channel=channel, **fields))


async def opened(
    world: SocketWorld,
    *happened: Event,
    dialect: Dialect = PLAIN,
    has_grip: bool = True,
    answers: Sequence[Answer] = (),
) -> SocketHold:
    """The hold of a client who has been opened with these events."""
    backend, _ = world.make_events_backend(*answers, has_grip=has_grip)
    client = world.make_client(backend, dialect=dialect)
    backend.agree(GRIP if has_grip else NO_GRIP)
    world.open(client)
    backend.begin(list(happened))
    await settle()
    return client.hold


async def way_of(
    world: SocketWorld,
    *happened: Event,
    dialect: Dialect = PLAIN,
    has_grip: bool = True,
    answers: Sequence[Answer] = (),
) -> tuple[Way | None, tuple[str, ...]]:
    """The way that is found, and the channels of who was opened first."""
    hold = await opened(world, *happened, dialect=dialect, has_grip=has_grip, answers=answers)
    way = find_way(Acceptance(HEADERS, list(happened)), GRIP if has_grip else NO_GRIP, hold)
    assert way is None or way.plan() is hold.plan
    return way, hold.plan.channels


@in_own_time
async def test_subscriptions_and_messages() -> None:
    async with socket_world() as world:
        binary = Event(EventType.BINARY, b"m:2")
        way, channels = await way_of(
            world, subscribe("a"), text("m:1"), subscribe("b", filters=["x"]), binary, text("0")
        )
        assert way is not None
        assert channels == ("p-a", "p-b")
        frames = encode_frame(Opcode.TEXT, b"1") + encode_frame(Opcode.BINARY, b"2")
        assert (way.headers, way.first, way.agreement) == (HEADERS, frames, GRIP)


@in_own_time
async def test_without_grip_everything_is_a_message() -> None:
    async with socket_world() as world:
        way, channels = await way_of(world, subscribe("a"), has_grip=False)
        assert way is not None
        assert (channels, way.first) == ((), encode_frame(Opcode.TEXT, subscribe("a").content))


@in_own_time
async def test_in_the_dialect_of_the_client() -> None:
    async with socket_world() as world:
        way, _ = await way_of(world, text("m:" + 500 * "x"), dialect=COMPRESSED)
        assert way is not None
        assert 0 < len(way.first) < 100


MORE: list[tuple[str, list[Event]]] = [
    ("another order", [subscribe("a"), text(order("keep-alive", content="x"))]),
    ("an order that takes something back", [subscribe("a"), text(order("unsubscribe", channel="a"))]),
    ("an order that nobody understands", [subscribe("a"), text("c:nonsense")]),
    ("the same channel twice", [subscribe("a"), subscribe("a", filters=["x"])]),
    ("too many channels", [subscribe(str(number)) for number in range(21)]),
    ("a filter that asks the network", [subscribe("a", filters=["http-check"])]),
    ("a ping", [Event(EventType.PING)]),
    ("a close", [subscribe("a"), closing(4000)]),
]


@pytest.mark.parametrize("happened", [case[1] for case in MORE], ids=[case[0] for case in MORE])
def test_more_than_that(happened: list[Event]) -> None:
    @in_own_time
    async def run() -> None:
        async with socket_world() as world:
            way, _ = await way_of(world, *happened)
            assert way is None

    run()


@in_own_time
async def test_too_many_filters() -> None:
    """They close the WebSocket each time."""
    async with socket_world() as world:
        way, _ = await way_of(world, subscribe("a", filters=["x"] * 6), answers=[events()])
        assert way is None


@in_own_time
async def test_a_dialect_with_a_greeting() -> None:
    """It stands before the messages."""
    async with socket_world() as world:
        way, _ = await way_of(world, text("m:1"), dialect=SOCKJS)
        assert way is None


@in_own_time
async def test_learning() -> None:
    """Once for all if there is no way; the plan is not kept."""
    async with socket_world() as world:
        happened = [subscribe("a"), text("m:1")]
        hold = await opened(world, *happened)
        recipe = once()
        assert (recipe.follow(), recipe.is_simple) == (None, True)
        learnt = recipe.learn(Acceptance(HEADERS, happened), GRIP, hold)
        assert (is_for(learnt), learnt.is_simple) == (True, True)
        first = encode_frame(Opcode.TEXT, b"1")
        message = Data(Opcode.TEXT, b"1")
        assert learnt.follow() == (Acceptance(HEADERS, [], hold.plan, [message], first), GRIP)
        assert learnt.learn(Acceptance(HEADERS, [closing()]), GRIP, hold).is_simple is False
        del hold
    assert (learnt.follow(), learnt.is_simple) == (None, True)
