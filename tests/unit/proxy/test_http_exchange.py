"""The short cut of the usual request: what it does without a task, and that whatever is unusual goes on in one."""

from __future__ import annotations

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.net.helpers import Peer, Stage, eventually, get, leaving_no, ok, settle, staged
from tests.unit.routing.helpers import make_rule

from holdfast.net.exchange import ClientExchange
from holdfast.net.pool import BackendPool
from holdfast.proxy import http_exchange
from holdfast.proxy.attempts import PREFIX_BYTES, Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.http_exchange import HttpExchange
from holdfast.push.outlet import HoldContext
from holdfast.push.plan import PlanTable
from holdfast.routing.forward import ForwardPolicy, OriginRequest, build_origin_request, relayed_headers
from holdfast.routing.rules import Rule
from holdfast.routing.table import RouteTable
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.http1.response import BODY_BUFFER_BYTES

BACKEND_TIMEOUT_S = 50.0
NOW_S = 1_700_000_000.5
BAD_GATEWAY = b"HTTP/1.1 502 Bad Gateway\r\nContent-Type: text/plain\r\nContent-Length: 32\r\n\r\n"
ORIGIN_ERROR = BAD_GATEWAY + b"Error while proxying to origin.\n"


class Log:
    """What would be logged of each request."""

    is_enabled = True

    def __init__(self) -> None:
        self.outcomes: list[str] = []

    def finished(self, record: Any) -> None:
        self.outcomes.append(record.outcome.value)


class ProxyStage:
    """A proxy in front of a backend that is in the test's hand."""

    def __init__(self) -> None:
        self.log = Log()
        self.stage: Stage
        self._context: ProxyContext
        self._backend = socket.create_server(("127.0.0.1", 0))
        self._backend.setblocking(False)
        self._peers: list[Peer] = []

    def answer(self, exchange: ClientExchange) -> Any:
        return HttpExchange(self._context, exchange).start()

    def open(self, stage: Stage) -> None:
        self.stage = stage
        pool = BackendPool(
            stage.runtime,
            limits=HeadLimits(),
            connect_timeout_s=5.0,
            timeout_s=BACKEND_TIMEOUT_S,
            idle_timeout_s=500.0,
            max_idle=5,
        )
        unused: Any = None
        self.holds = HoldContext(unused, unused, unused, unused, unused, unused, unused, unused)
        log: Any = self.log
        self._context = ProxyContext(
            runtime=stage.runtime,
            routes=RouteTable(),
            policy=ForwardPolicy(),
            pool=pool,
            holds=self.holds,
            plans=unused,
            verifier=None,
            request_log=log,
            is_debug=False,
            wall_clock=lambda: NOW_S,  # it stands still: what goes to a backend is made anew every second
            parking=None,
            outbox_limits=unused,
            allow_compression=False,
            websocket_idle_s=1.0,
            zhttp=unused,
            farewells=unused,
            sockjs=unused,
        )
        self.rule = make_rule(f"localhost 127.0.0.1:{self._backend.getsockname()[1]}")

    def set_time(self, now_s: float) -> None:
        """Let it be this time."""
        self._context.wall_clock = lambda: now_s

    @property
    def rule(self) -> Rule:
        """The only route."""
        (rule,) = self._context.routes
        return rule

    @rule.setter
    def rule(self, rule: Rule) -> None:
        self._context.routes = RouteTable([rule])

    async def accept(self) -> Peer:
        """The backend's end of the next connection."""
        peer = Peer((await self.stage.runtime.loop.sock_accept(self._backend))[0])
        self._peers.append(peer)
        return peer

    async def warm_up(self) -> tuple[Peer, Peer]:
        """A client, and the backend's end of a connection that has become idle."""
        client = await self.stage.ask(GET)
        backend = await self.accept()
        await backend.read_until(b"\r\n\r\n")
        await backend.send(ok(b"first"))
        await client.expect(ok(b"first"))
        await eventually(lambda: self.stage.runtime.task_count == 0, "the task has ended")
        self.log.outcomes.clear()
        return client, backend

    async def ask_again(self) -> tuple[Peer, Peer]:
        """The same, and a request on both that has not been answered."""
        client, backend = await self.warm_up()
        await client.send(GET)
        await backend.read_until(b"\r\n\r\n")
        assert self.is_short
        return client, backend

    @property
    def is_short(self) -> bool:
        """Whether a request is in progress that has no task."""
        return len(self.stage.runtime.callbacks) == self.stage.runtime.task_count == 1

    @property
    def is_over(self) -> bool:
        return self.stage.runtime.task_count == 0

    def close(self) -> None:
        self._context.pool.close()
        self._backend.close()
        for peer in self._peers:
            peer.close()


GET = get(b"/", b"Host: localhost")


@asynccontextmanager
async def proxy_stage() -> AsyncIterator[ProxyStage]:
    proxy = ProxyStage()
    async with staged(proxy.answer) as stage:
        proxy.open(stage)
        try:
            yield proxy
        finally:
            proxy.close()
            await settle()


async def test_a_whole_answer_is_relayed_without_a_task() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(ok(b"hello"))
        await client.expect(ok(b"hello"))
        assert proxy.is_over and proxy.log.outcomes == ["response"]


# --- requests that come again --------------------------------------------------------------------------------------


class Preparations:
    """How many requests were prepared from scratch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.count = 0
        monkeypatch.setattr(http_exchange, "build_origin_request", self._build)

    def _build(self, *args: Any, **more: Any) -> OriginRequest:
        self.count += 1
        return build_origin_request(*args, **more)


@pytest.fixture
def preparations(monkeypatch: pytest.MonkeyPatch) -> Preparations:
    return Preparations(monkeypatch)


async def poll(client: Peer, backend: Peer, data: bytes = GET) -> bytes:
    """What the backend gets for a request, which it answers."""
    await client.send(data)
    received = await backend.read_until(b"\r\n\r\n")
    await backend.send(ok(b"hello"))
    await client.expect(ok(b"hello"))
    return received


async def test_a_request_that_comes_again(preparations: Preparations) -> None:
    """It is prepared the first time, and the second, after which it is known; nobody sees a difference."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        received = [await poll(client, backend) for _ in range(4)]
        assert received == received[:1] * 4 and b"\r\nGrip-Sig: " in received[0]
        assert preparations.count == 2
        assert proxy.log.outcomes == ["response"] * 4
        (counts,) = proxy.holds.statistics.routes
        assert (counts.requests, counts.connections) == (5, 0)
        assert proxy.stage.counters.backend_requests == 5


async def test_requests_that_come_in_turn(preparations: Preparations) -> None:
    other = get(b"/other", b"Host: localhost")
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        for data in (other, GET, other, GET):
            assert (await poll(client, backend, data)).startswith(data[:10])
        assert preparations.count == 5


async def test_the_signature_of_a_request_that_comes_again(preparations: Preparations) -> None:
    """It is the one of the second."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        first, second, third = [await poll(client, backend) for _ in range(3)]
        proxy.set_time(NOW_S + 1)
        later = [await poll(client, backend) for _ in range(3)]
        assert first == second == third != later[0] and later == later[:1] * 3
        assert preparations.count == 3


async def test_other_routes_for_a_request_that_comes_again(preparations: Preparations) -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        before = [await poll(client, backend) for _ in range(3)]
        proxy.rule = replace(proxy.rule, header_sets=((b"X-A", b"1"),))
        after = [await poll(client, backend) for _ in range(3)]
        assert not any(b"\r\nX-A: 1\r\n" in head for head in before)
        assert all(b"\r\nX-A: 1\r\n" in head for head in after)
        assert preparations.count == 3


async def test_a_request_that_comes_again_and_finds_nobody(preparations: Preparations) -> None:
    """The connection to the backend is stale: the request is sent once more."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        received = [await poll(client, backend) for _ in range(3)]
        await client.send(GET)
        await backend.read_until(b"\r\n\r\n")
        backend.close()
        other = await proxy.accept()
        assert await other.read_until(b"\r\n\r\n") == received[-1]
        await other.send(ok(b"hello"))
        await client.expect(ok(b"hello"))
        assert preparations.count == 2


# --- answers that come again ---------------------------------------------------------------------------------------

HEAD_OF_ANSWER = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nKeep-Alive: 5\r\nContent-Length: 5\r\n\r\n"
RELAYED = b"HTTP/1.1 200 OK\r\nX-A: 1\r\nContent-Length: 5\r\n\r\n"
RELAYED_10 = b"HTTP/1.0 200 OK\r\nX-A: 1\r\nConnection: keep-alive\r\nContent-Length: 5\r\n\r\n"


@pytest.mark.parametrize(
    ("last", "body", "expected", "count"),
    [
        (GET, b"other", RELAYED + b"other", 2),
        (get(b"/", b"Host: localhost", method=b"HEAD"), b"", RELAYED, 3),
        (get(b"/", b"Host: localhost", b"Connection: keep-alive", version=b"1.0"), b"other", RELAYED_10 + b"other", 3),
    ],
    ids=["plain", "HEAD", "HTTP/1.0"],
)
async def test_an_answer_that_comes_again(
    last: bytes, body: bytes, expected: bytes, count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is made of its head the third time, unless the client gets something else."""
    made = []

    def relay(headers: Headers, *, is_framed_anew: bool = False) -> Headers:
        made.append(headers)
        return relayed_headers(headers, is_framed_anew=is_framed_anew)

    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        monkeypatch.setattr(http_exchange, "relayed_headers", relay)
        for request, content, response in (
            (GET, b"first", RELAYED + b"first"),
            (GET, b"again", RELAYED + b"again"),
            (last, body, expected),
        ):
            await client.send(request)
            await backend.read_until(b"\r\n\r\n")
            await backend.send(HEAD_OF_ANSWER + content)
            await client.expect(response)
        assert proxy.is_over and proxy.log.outcomes == ["response"] * 3
        assert len(made) == count


async def test_how_long_the_backend_took_is_of_no_interest_without_metrics() -> None:
    async with proxy_stage() as proxy:
        await proxy.warm_up()
        (counts,) = proxy.holds.statistics.routes
        assert counts.requests == 1
        assert counts.backend_latency_s.cumulative()[-1] == 0


@pytest.mark.parametrize("size", [5, None])
async def test_how_long_the_backend_took(size: int | None) -> None:
    """Once a request, whether or not its answer comes at once."""
    answer = ok(b"hello")
    async with proxy_stage() as proxy:
        proxy.holds.statistics.export()
        client, backend = await proxy.ask_again()
        proxy.stage.skip(3)
        await backend.send(answer[:size])
        await eventually(lambda: not proxy.is_short, "it has come")
        await backend.send(answer[len(answer) if size is None else size :])
        await client.expect(answer)
        await eventually(lambda: proxy.is_over, "ended")
        (counts,) = proxy.holds.statistics.routes
        assert counts.backend_latency_s.cumulative()[-1] == 2
        assert 3 <= counts.backend_latency_s.sum < 4
        assert counts.server.content_bytes_received == len(b"first" + b"hello")


async def test_a_request_with_its_body() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        await client.send(get(b"/", b"Host: localhost", b"Content-Length: 4", method=b"POST") + b"body")
        head = await backend.read_until(b"\r\n\r\n")
        assert b"Content-Length: 4\r\n" in head and await backend.read(4) == b"body"
        assert proxy.is_short
        await backend.send(ok(b"hello"))
        await client.expect(ok(b"hello"))


async def test_a_body_that_is_not_here_is_waited_for() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        await client.send(get(b"/", b"Host: localhost", b"Content-Length: 4", method=b"POST") + b"bo")
        await settle()
        assert proxy.stage.runtime.task_count == 1 and not proxy.is_short
        await client.send(b"dy")
        await backend.read_until(b"\r\n\r\nbody")
        await backend.send(ok(b"hello"))
        await client.expect(ok(b"hello"))


async def test_an_answer_in_pieces() -> None:
    """A task takes over at the first piece, wherever that ends: the client is not kept waiting for the rest."""
    answer = ok(b"hello")
    for size in (5, len(answer) - 5, len(answer) - 1):
        async with proxy_stage() as proxy:
            client, backend = await proxy.ask_again()
            await backend.send(answer[:size])
            await eventually(lambda: not proxy.is_short, "a task has taken over")
            await backend.send(answer[size:])
            await client.expect(answer)
            await eventually(lambda: proxy.is_over, "ended")
            assert proxy.log.outcomes == ["response"]


async def test_an_instruct() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(ok(b"hello", b"Grip-Status: 201"))
        await client.expect(b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello")
        await eventually(lambda: proxy.is_over, "ended")
        assert proxy.stage.counters.backend_requests == 2


CREATED = b"HTTP/1.1 201 Created\r\nContent-Length: 5\r\n\r\nhello"
INSTRUCT = ok(b"hello", b"Grip-Status: 201")
CHUNKED_INSTRUCT = (
    b"HTTP/1.1 200 OK\r\nGrip-Status: 201\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3\r\nllo\r\n0\r\n\r\n"
)
ENDLESS_INSTRUCT = b"HTTP/1.1 200 OK\r\nGrip-Status: 201\r\n\r\nhello"


@pytest.mark.parametrize(
    "instruct", [INSTRUCT, CHUNKED_INSTRUCT, ENDLESS_INSTRUCT], ids=["sized", "chunked", "until close"]
)
async def test_an_instruct_in_pieces(instruct: bytes) -> None:
    """Nothing of it is for the client before all of it is here: no task has to wait for that."""
    for size in range(instruct.index(b"\r\n\r\n") + 4, len(instruct)):
        async with proxy_stage() as proxy:
            client, backend = await proxy.ask_again()
            await backend.send(instruct[:size])
            await settle()
            assert proxy.is_short
            await backend.send(instruct[size:])
            if instruct is ENDLESS_INSTRUCT:
                assert proxy.is_short
                backend.close()
            await client.expect(CREATED)
            assert proxy.is_over and proxy.log.outcomes == ["response"]


async def test_a_long_instruct_is_left_to_a_task() -> None:
    """More than is kept of an answer that nobody takes."""
    body = b"x" * (BODY_BUFFER_BYTES + 100)
    instruct = ok(body, b"Grip-Status: 201")
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(instruct[:-10])
        await eventually(lambda: not proxy.is_short, "a task has taken over")
        await backend.send(instruct[-10:])
        await client.expect(CREATED.replace(b"hello", body).replace(b"5", b"%d" % len(body), 1))


async def test_an_instruct_that_is_broken_off() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(INSTRUCT[:-1])
        await settle()
        assert proxy.is_short
        backend.close()
        await client.expect(ORIGIN_ERROR)
        await eventually(lambda: proxy.is_over, "ended")
        assert (proxy.stage.counters.backend_failures, proxy.log.outcomes) == (1, ["response"])


async def test_an_instruct_whose_rest_does_not_come() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(INSTRUCT[:-1])
        await settle()
        proxy.stage.skip(BACKEND_TIMEOUT_S + 1)
        await client.expect(ORIGIN_ERROR)
        await eventually(lambda: proxy.is_over, "ended")


async def test_a_client_that_leaves_during_its_instruct_leaves_nothing() -> None:
    async with proxy_stage() as proxy, leaving_no(HttpExchange), leaving_no(Attempts):
        client, backend = await proxy.ask_again()
        await backend.send(INSTRUCT[:-1])
        await settle()
        assert proxy.is_short
        client.close()
        assert await backend.drain() == 0
        await eventually(lambda: proxy.is_over, "ended")
        assert proxy.log.outcomes == ["error"]


async def test_requests_that_came_together_share_a_connection() -> None:
    """The connection to the backend is idle again before the next request is looked at."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        await client.send(GET * 3)
        for content in (b"1", b"2", b"3"):
            await backend.read_until(b"\r\n\r\n")
            assert proxy.is_short
            await backend.send(ok(content))
            await client.expect(ok(content))
        assert proxy.is_over and proxy.log.outcomes == ["response"] * 3


async def test_a_stale_connection() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        backend.close()
        backend = await proxy.accept()
        await backend.read_until(b"\r\n\r\n")
        await backend.send(ok(b"hello"))
        await client.expect(ok(b"hello"))
        assert (proxy.stage.counters.backend_retries, proxy.stage.counters.backend_requests) == (1, 3)


async def test_an_answer_that_is_none() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(b"what?\r\n\r\n")
        await client.expect(ORIGIN_ERROR)
        await eventually(lambda: proxy.is_over, "ended")
        assert (proxy.stage.counters.backend_failures, proxy.log.outcomes) == (1, ["response"])


async def test_a_silent_backend() -> None:
    async with proxy_stage() as proxy:
        client, _ = await proxy.ask_again()
        proxy.stage.skip(BACKEND_TIMEOUT_S + 1)
        await client.expect(ORIGIN_ERROR)


async def test_a_client_that_leaves() -> None:
    """Its request is not waited for any longer, and its connection to the backend is not used again."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        client.close()
        assert await backend.drain() == 0
        await eventually(lambda: proxy.is_over, "ended")
        assert proxy.log.outcomes == ["error"]


async def test_a_client_that_leaves_as_its_task_begins() -> None:
    """A task that is cancelled before its first step runs no line of its coroutine."""
    async with proxy_stage() as proxy:
        _, backend = await proxy.ask_again()
        (exchange,) = proxy.stage.runtime.callbacks
        assert isinstance(exchange, HttpExchange)
        exchange._on_news()
        exchange.cancel()
        assert await backend.drain() == 0
        await eventually(lambda: proxy.is_over, "ended")
        assert proxy.log.outcomes == ["error"]


@pytest.mark.parametrize("fields", [[], [b"Grip-Hold: stream", b"Grip-Channel: a"]], ids=["answer", "hold"])
async def test_a_client_that_leaves_as_its_answer_comes(fields: list[bytes]) -> None:
    """Both are seen in one turn of the loop: the request ends once, held or not."""
    async with proxy_stage() as proxy:
        proxy._context.plans = PlanTable(10)
        proxy._context.pool._parking = proxy.stage.lot
        client, backend = await proxy.ask_again()
        counts = proxy.holds.statistics.routes.find(proxy.rule.key)
        client.close()
        backend.send_what_fits(ok(b"hello", *fields))
        await eventually(lambda: proxy.is_over and not proxy.stage.edge.open_connections, "over")
        assert len(proxy.log.outcomes) == 1
        assert counts.connections == 0


async def test_a_client_that_leaves_before_its_backend_is_connected() -> None:
    """Its request counts already, and must not for ever, though its task is never begun."""
    async with proxy_stage() as proxy:
        exchanges: list[HttpExchange] = []
        answer = proxy.answer

        def leave(exchange: ClientExchange) -> Any:
            work = answer(exchange)
            assert isinstance(exchange._connection.work, HttpExchange)
            exchanges.append(exchange._connection.work)
            exchanges[0].cancel()
            return work

        proxy.stage.edge.service.serve = leave  # type: ignore[method-assign]
        await proxy.stage.ask(GET)
        await eventually(lambda: exchanges and proxy.is_over, "over")
        assert proxy.log.outcomes == ["error"]
        assert proxy.holds.statistics.routes.find(proxy.rule.key).connections == 0


async def test_a_client_that_leaves_before_its_backend_is_connected_leaves_nothing() -> None:
    async with proxy_stage() as proxy, leaving_no(HttpExchange):
        answer = proxy.answer

        def leave(exchange: ClientExchange) -> Any:
            work = answer(exchange)
            assert isinstance(exchange._connection.work, HttpExchange)
            exchange._connection.work.cancel()
            return work

        proxy.stage.edge.service.serve = leave  # type: ignore[method-assign]
        client = await proxy.stage.ask(GET)
        await eventually(lambda: proxy.log.outcomes and proxy.is_over, "over")
        client.close()


async def test_a_client_that_leaves_during_its_upload_leaves_nothing() -> None:
    async with proxy_stage() as proxy, leaving_no(HttpExchange), leaving_no(Attempts):
        client, backend = await proxy.warm_up()
        size = 2 * PREFIX_BYTES
        await client.send(get(b"/", b"Host: localhost", b"Content-Length: %d" % (size + 1), method=b"POST"))
        await client.send(b"x" * size)
        await backend.read_until(b"x" * size)
        client.close()
        await eventually(lambda: proxy.is_over, "ended")


async def test_a_client_that_leaves_during_its_answer() -> None:
    async with proxy_stage() as proxy:
        client, backend = await proxy.ask_again()
        await backend.send(ok(b"hello")[:-1])
        await client.expect(ok(b"hello")[:-1])
        client.close()
        await eventually(lambda: proxy.is_over, "ended")
        assert proxy.log.outcomes == ["error"]


async def test_a_client_that_leaves_during_its_answer_leaves_nothing() -> None:
    async with proxy_stage() as proxy, leaving_no(HttpExchange):
        client, backend = await proxy.ask_again()
        await backend.send(ok(b"hello")[:-1])
        await client.expect(ok(b"hello")[:-1])
        client.close()
        await eventually(lambda: proxy.is_over, "ended")


async def test_a_stop() -> None:
    async with proxy_stage() as proxy:
        _, backend = await proxy.ask_again()
        await proxy.stage.runtime.cancel_tasks()
        assert proxy.is_over and proxy.log.outcomes == ["error"]
        assert await backend.drain() == 0


async def test_a_request_that_goes_nowhere_is_answered_at_once() -> None:
    async with proxy_stage() as proxy:
        client = await proxy.stage.ask(get(b"/", b"Host: elsewhere"))
        await client.expect(BAD_GATEWAY.replace(b"32", b"16"), b"Route not found\n")
        assert proxy.log.outcomes == ["response"] and proxy.stage.counters.request_errors == 1


async def test_a_request_that_must_not_be_sent() -> None:
    """The parser and the routes refuse line breaks; should one come as far as this, nothing of it leaves."""
    async with proxy_stage() as proxy:
        client, backend = await proxy.warm_up()
        proxy.rule = replace(proxy.rule, header_sets=((b"X", b"a\nb"),))
        await client.send(GET)
        await client.expect(b"HTTP/1.1 400 Bad Request\r\n")
        assert await backend.drain() == 0
        assert proxy.is_over and proxy.log.outcomes == ["response"]
