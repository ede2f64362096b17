"""Requests that share one to the backend: who gets what, who waits for whom, and when it is given up."""

from __future__ import annotations

import asyncio
import traceback
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any, TypeVar

import pytest
from tests.unit.proxy.helpers import Answer, in_own_time, now, settle
from tests.unit.routing.helpers import make_rule

from holdfast.counters import Counters
from holdfast.errors import BadResponse, WireError
from holdfast.net.runtime import Runtime
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.reply import Reply
from holdfast.proxy.sharing import KEPT_BYTES, Sharing
from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest
from holdfast.routing.rules import Target
from holdfast.wire.headers import Headers

RULE = make_rule("* 127.0.0.1:80")
REQUEST = OriginRequest(b"GET", b"/", Authority("h.com", None), [(b"Accept", b"*/*")])
PATIENCE_S = 60.0

T = TypeVar("T")


class Body(Answer):
    """An answer that may be complete at once."""

    def take(self) -> bytes:
        pieces, self.pieces = self.pieces, []
        return b"".join(piece for piece in pieces if isinstance(piece, bytes))


class Asker:
    """What asks a backend for one client."""

    def __init__(
        self, answer: Answer | Exception, request: OriginRequest = REQUEST, *, is_shareable: bool = True
    ) -> None:
        self.request = request
        self.is_shareable = is_shareable
        self.shared: int | None = None
        self.target: Target | None = None
        self.asked = 0
        self.is_cancelled = False
        self._answer = answer

    async def run(self, rule: Any) -> Reply:
        self.asked += 1
        self.target = rule.targets[0]
        try:
            await asyncio.sleep(self._answer.delay_s if isinstance(self._answer, Answer) else 1.0)
        except asyncio.CancelledError:
            self.is_cancelled = True
            raise
        if isinstance(self._answer, Exception):
            raise self._answer
        return self._answer


class World:
    """Clients that ask through one place."""

    def __init__(self) -> None:
        self.counters = Counters()
        self.runtime = Runtime(asyncio.get_running_loop(), self.counters)
        self.sharing = Sharing(self.runtime, PATIENCE_S)
        self.tasks: list[asyncio.Task[Any]] = []

    def ask(self, asker: Any, rule: Any = RULE, *, is_trusted: bool = False) -> asyncio.Task[Reply]:
        return self.spawn(self.sharing.ask(asker, rule, is_trusted=is_trusted))

    def spawn(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.append(task)
        return task

    @property
    def counts(self) -> tuple[int, int, int]:
        counters = self.counters
        return counters.requests_shared, counters.answers_not_shared, counters.sharers_left_behind


@asynccontextmanager
async def world() -> AsyncIterator[World]:
    made = World()
    yield made
    for task in made.tasks:
        task.cancel()
    await settle()
    assert (len(made.sharing), made.runtime.task_count) == (0, 0)
    made.runtime.close()


async def whole(reply: Reply) -> bytes:
    """The body, which is read as fast as it comes."""
    pieces = []
    while piece := await reply.read():
        pieces.append(piece)
    reply.close(is_request_sent=True)
    return b"".join(pieces)


def answer(*pieces: bytes | float | Exception, headers: Headers | None = None, delay_s: float = 1.0) -> Body:
    return Body(headers=headers or [(b"X-Own", b"1")], pieces=list(pieces), delay_s=delay_s, head_bytes=10)


@in_own_time
async def test_one_asks_and_all_get_the_answer() -> None:
    async with world() as it:
        backend = answer(b"a", 1.0, b"b")
        askers = [Asker(backend) for _ in range(3)]
        replies = await asyncio.gather(*map(it.ask, askers))
        assert [reply.headers for reply in replies] == [[(b"X-Own", b"1")]] * 3
        assert len({id(reply.headers) for reply in replies}) == 3
        assert await asyncio.gather(*map(whole, replies)) == [b"ab"] * 3
        assert [asker.asked for asker in askers] == [1, 0, 0]
        assert [asker.target for asker in askers] == [RULE.targets[0]] * 3
        assert {asker.shared for asker in askers} == {1}
        assert [(reply.head_bytes, reply.body_bytes) for reply in replies] == [(10, 2), (0, 0), (0, 0)]
        assert it.counts == (2, 0, 0)
        assert backend.is_closed


@in_own_time
async def test_alone() -> None:
    async with world() as it:
        asker = Asker(answer(b"a"))
        assert await whole(await it.ask(asker)) == b"a"
        assert (asker.shared, it.counts) == (None, (0, 0, 0))


@in_own_time
async def test_what_cannot_be_shared_is_asked_directly() -> None:
    async with world() as it:
        backend = answer(b"a")
        assert await it.ask(Asker(backend, is_shareable=False)) is backend


@in_own_time
async def test_others_are_not_joined() -> None:
    async with world() as it:
        askers = [Asker(answer(b"a")) for _ in range(4)]
        askers[1].request = REQUEST._replace(path_and_query=b"/other")
        same_line = replace(RULE)
        assert same_line == RULE
        first = it.ask(askers[0]), it.ask(askers[1])
        after_reload, trusted = it.ask(askers[2], same_line), it.ask(askers[3], is_trusted=True)
        for task in (*first, after_reload, trusted):
            await whole(await task)
        assert [asker.asked for asker in askers] == [1] * 4


@in_own_time
async def test_the_whole_answer_at_once() -> None:
    async with world() as it:
        backend = answer(b"abc")
        backend.is_complete = True
        replies = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
        assert [(reply.is_complete, reply.take(), reply.take()) for reply in replies] == [(True, b"abc", b"")] * 2


class TestLateClients:
    @in_own_time
    async def test_they_get_what_has_come(self) -> None:
        async with world() as it:
            backend = answer(b"a" * KEPT_BYTES, 10.0, b"b")
            first = it.spawn(whole(await it.ask(Asker(backend))))
            await asyncio.sleep(1)
            late = await it.ask(Asker(backend))
            assert (now(), late.take()) == (2, b"a" * KEPT_BYTES)
            assert await late.read() == b"b"
            assert await first == b"a" * KEPT_BYTES + b"b"
            assert await late.read() == b""

    @in_own_time
    async def test_they_get_the_head_when_nothing_else_has_come(self) -> None:
        async with world() as it:
            backend = answer(10.0, b"a")
            first = await it.ask(Asker(backend))
            late = await it.ask(Asker(backend))
            assert (now(), late.headers) == (1, first.headers)
            assert [*await asyncio.gather(whole(first), whole(late))] == [b"a"] * 2

    @in_own_time
    async def test_they_come_too_late_for_a_long_body(self) -> None:
        async with world() as it:
            first = await it.ask(Asker(answer(b"a" * (KEPT_BYTES + 1), 10.0, b"b")))
            await first.read()
            late = Asker(answer(b"c"))
            assert await whole(await it.ask(late)) == b"c"
            assert len(await whole(first)) == 1

    @in_own_time
    async def test_they_come_too_late_for_a_complete_one(self) -> None:
        """Though its clients have not taken it yet."""
        async with world() as it:
            await it.ask(Asker(answer()))
            await settle()
            late = Asker(answer(b"c"))
            assert await whole(await it.ask(late)) == b"c"


class TestLeaving:
    @in_own_time
    async def test_the_first_one_leaves(self) -> None:
        async with world() as it:
            asker = Asker(answer(b"a"))
            first, second = it.ask(asker), it.ask(Asker(answer()))
            await settle()
            first.cancel()
            assert await whole(await second) == b"a"
            assert not asker.is_cancelled

    @in_own_time
    async def test_the_last_one_leaves_before_the_head(self) -> None:
        async with world() as it:
            asker = Asker(answer(b"a"))
            tasks = [it.ask(asker), it.ask(Asker(answer()))]
            await settle()
            for task in tasks:
                task.cancel()
            await settle()
            assert asker.is_cancelled
            late = Asker(answer(b"c"))
            assert await whole(await it.ask(late)) == b"c"

    @in_own_time
    async def test_the_last_one_leaves_before_the_end(self) -> None:
        async with world() as it:
            backend = answer(b"a", 10.0, b"b")
            replies = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            for reply in replies:
                assert await reply.read() == b"a"
                reply.close(is_request_sent=True)
            await settle()
            assert (backend.is_closed, now()) == (True, 1)

    @in_own_time
    async def test_in_the_same_turn_as_the_answer_comes(self) -> None:
        async with world() as it:
            backend = answer(b"a", delay_s=0.0)
            task = it.ask(Asker(backend))
            await asyncio.sleep(0)
            task.cancel()
            await settle()
            assert len(it.sharing) == 0


class TestFailure:
    @pytest.mark.parametrize(
        "error", [ErrorAnswer(502, "text", "debug", is_last=True), WireError(400, "text"), ValueError("a bug")]
    )
    @in_own_time
    async def test_before_the_answer(self, error: Exception) -> None:
        """All raise it, and its traceback does not grow with their number."""
        async with world() as it:
            askers = [Asker(error) for _ in range(50)]
            outcomes = await asyncio.gather(*map(it.ask, askers), return_exceptions=True)
            assert outcomes == [error] * 50
            assert len(traceback.extract_tb(error.__traceback__)) < 12
            assert [asker.asked for asker in askers] == [1] + [0] * 49
            assert {asker.target for asker in askers} == {RULE.targets[0]}

    @in_own_time
    async def test_in_the_middle(self) -> None:
        async with world() as it:
            backend = answer(b"a", BadResponse("broke off"))
            replies = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            for reply in replies:
                assert await reply.read() == b"a"
            for reply in replies:
                with pytest.raises(BadResponse):
                    await reply.read()
                assert not reply.is_complete


class TestForOneClient:
    @in_own_time
    async def test_the_others_ask_for_themselves(self) -> None:
        async with world() as it:
            private: Headers = [(b"Set-Cookie", b"session=1")]
            askers = [Asker(answer(bytes([65 + number]), headers=private)) for number in range(3)]
            replies = await asyncio.gather(*map(it.ask, askers))
            assert await asyncio.gather(*map(whole, replies)) == [b"A", b"B", b"C"]
            assert [asker.asked for asker in askers] == [1] * 3
            assert it.counts == (0, 1, 0)

    @in_own_time
    async def test_one_who_is_there_gets_it(self) -> None:
        """The one whose request it was has left."""
        async with world() as it:
            private: Headers = [(b"Set-Cookie", b"session=1")]
            askers = [Asker(answer(bytes([65 + number]), headers=private)) for number in range(3)]
            tasks = [*map(it.ask, askers)]
            await settle()
            tasks[0].cancel()
            assert await whole(await tasks[1]) == b"A"
            assert await whole(await tasks[2]) == b"C"
            assert askers[1].shared is None

    @pytest.mark.parametrize(
        ("body", "asked"),
        [
            (b'{"response": {"headers": {"set-cookie": "a=b"}}}', [1, 1]),
            (b'{"response": {"headers": [["Cache-Control", "private"]]}}', [1, 1]),
            (b'{"response": {"headers": {"x": "set-cookie"}}}', [1, 0]),
            (b"{", [1, 0]),
        ],
    )
    @in_own_time
    async def test_json(self, body: bytes, asked: list[int]) -> None:
        """The body of an instruct has the client's headers in it, even if it comes slowly."""
        async with world() as it:
            json: Headers = [(b"Content-Type", b"application/grip-instruct")]
            askers = [Asker(answer(body[:1], 1.0, body[1:], headers=json)) for _ in range(2)]
            replies = await asyncio.gather(*map(it.ask, askers))
            assert await asyncio.gather(*map(whole, replies)) == [body] * 2
            assert [asker.asked for asker in askers] == asked


class TestPace:
    @in_own_time
    async def test_the_backend_is_read_as_fast_as_the_slowest_reads(self) -> None:
        async with world() as it:
            backend = answer(b"a", b"b", b"c")
            fast, slow = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            rest = it.spawn(whole(fast))
            for expected in (b"a", b"b", b"c", b""):
                await asyncio.sleep(PATIENCE_S - 1)
                assert await slow.read() == expected
            assert await rest == b"abc"
            assert it.counts == (1, 0, 0)

    @in_own_time
    async def test_who_leaves_others_waiting_is_left_behind(self) -> None:
        async with world() as it:
            backend = answer(b"a", b"b", b"c")
            fast, stuck = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            assert await whole(fast) == b"abc"
            assert now() == 1 + PATIENCE_S
            assert await stuck.read() == b"a"
            with pytest.raises(BadResponse):
                await stuck.read()
            assert not stuck.is_complete
            stuck.close(is_request_sent=True)
            assert it.counts == (1, 0, 1)

    @in_own_time
    async def test_if_all_are_slow_nobody_is_left_behind(self) -> None:
        async with world() as it:
            backend = answer(b"a", b"b")
            replies = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            await asyncio.sleep(10 * PATIENCE_S)
            assert await asyncio.gather(*map(whole, replies)) == [b"ab"] * 2
            assert it.counts == (1, 0, 0)

    @in_own_time
    async def test_nobody_waits_for_one_who_has_left(self) -> None:
        async with world() as it:
            backend = answer(b"a", b"b")
            fast, stuck = await asyncio.gather(*(it.ask(Asker(backend)) for _ in range(2)))
            rest = it.spawn(whole(fast))
            await asyncio.sleep(5)
            stuck.close(is_request_sent=True)
            assert (await rest, now()) == (b"ab", 6)
