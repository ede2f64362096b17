"""A proxy without sockets: real holds and questions, scripted answers, and a clock that never makes anybody wait."""

from __future__ import annotations

import asyncio
import functools
import itertools
import selectors
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, ParamSpec, cast

from tests.unit.push.helpers import HTTP10, REQUEST, ROUTE, Client, make_instruct

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.grip.values import HoldMode, KeepAlive, Subscription
from holdfast.net.pool import BackendPool
from holdfast.net.runtime import Runtime
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.farewells import Farewells
from holdfast.proxy.network_filter import NetworkFilters
from holdfast.proxy.next_link import NextLinks
from holdfast.proxy.origin import HoldOrigin, Home, LinkTarget
from holdfast.proxy.own_request import OwnRequest, OwnRequests
from holdfast.proxy.sockjs_sessions import SockJsSessions
from holdfast.push.channels import Registry
from holdfast.push.fanout import Fanout
from holdfast.push.last_ids import LastIds
from holdfast.push.link import Link, LinkClock
from holdfast.push.outlet import HoldContext
from holdfast.push.plan import PlanTable, RouteTerms
from holdfast.push.recovering_stream import RecoveringStream, make_stream
from holdfast.push.response_hold import ResponseHold
from holdfast.push.run import Receipt
from holdfast.push.updates import Updates
from holdfast.routing.forward import ForwardPolicy
from holdfast.routing.table import RouteTable
from holdfast.routing.uri import parse_client_uri
from holdfast.statistics.collector import Statistics
from holdfast.wire.headers import Headers

if TYPE_CHECKING:
    from holdfast.push.channels import FilteringHold, Hold

BASE = parse_client_uri(b"/page", b"h.com", is_tls=False)
HOME = Home.of(BASE, "route")
START_S = 1000.0

Params = ParamSpec("Params")


class _Skipper(selectors.SelectSelector):
    """Instead of waiting it lets time pass."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = START_S

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        events = super().select(0)
        if not events and timeout:
            self.now_s += timeout
        return events


class _OwnTime(asyncio.SelectorEventLoop):
    """A loop whose clock moves only when everybody waits, and then to the next thing that is due."""

    def __init__(self) -> None:
        self._skipper = _Skipper()
        super().__init__(self._skipper)

    def time(self) -> float:
        return self._skipper.now_s


def in_own_time(test: Callable[Params, Coroutine[Any, Any, None]]) -> Callable[Params, None]:
    """Run a test that is a coroutine in a time of its own, in which hours are over at once."""

    @functools.wraps(test)
    def run(*args: Params.args, **kwargs: Params.kwargs) -> None:
        with asyncio.Runner(loop_factory=_OwnTime) as runner:
            runner.run(asyncio.wait_for(test(*args, **kwargs), 3600))

    return run


def now() -> float:
    """Seconds since the test began."""
    return round(asyncio.get_running_loop().time() - START_S, 3)


async def settle() -> None:
    """Let everything happen that needs no time."""
    for _ in range(20):
        await asyncio.sleep(0)


@dataclass
class Answer:
    """What a backend answers.

    Args:
        pieces: of the body; a number is a pause in seconds, an exception breaks it off.
        delay_s: before its head comes.
    """

    code: int = 200
    headers: Headers = field(default_factory=list)
    pieces: list[bytes | float | Exception] = field(default_factory=list)
    delay_s: float = 0.0
    reason: bytes = b"OK"
    content_length: int | None = None
    head_bytes: int = 0
    body_bytes: int = 0
    is_complete: bool = False
    is_closed: bool = False

    async def read(self) -> bytes:
        while self.pieces:
            piece = self.pieces.pop(0)
            if isinstance(piece, Exception):
                try:
                    raise piece
                finally:
                    del piece  # it refers to this frame
            if isinstance(piece, bytes):
                return piece
            await asyncio.sleep(piece)
        return b""

    def take(self) -> bytes:
        raise AssertionError("whoever asks reads")

    def close(self, *, is_request_sent: bool) -> None:
        self.is_closed = True


def hold_on(
    *channels: str,
    body: bytes = b"",
    pieces: Sequence[bytes | float | Exception] = (),
    headers: Headers | None = None,
    link: str | None = "</next>; rel=next",
    code: int = 200,
    delay_s: float = 0.0,
) -> Answer:
    """An answer that lets a stream go on, with these channels."""
    fields = [(b"Grip-Hold", b"stream"), *((b"Grip-Channel", channel.encode()) for channel in channels)]
    if link is not None:
        fields.append((b"Grip-Link", link.encode()))
    return Answer(code, [*fields, *(headers or [])], [*([body] if body else []), *pieces], delay_s)


class ScriptedRequests(OwnRequests):
    """Gives the answers of a script, one after the other, and notes who asked what, and when."""

    def __init__(self) -> None:
        self.turn = asyncio.Semaphore(100)
        self.script: list[Answer | Exception] = []
        self.asked: list[OwnRequest] = []
        self.times: list[float] = []
        self.open = 0

    @asynccontextmanager
    async def ask(self, request: OwnRequest) -> AsyncIterator[Answer]:
        self.asked.append(request)
        self.times.append(now())
        answer = self.script.pop(0)
        if isinstance(answer, Exception):
            raise answer
        self.open += 1
        try:
            await asyncio.sleep(answer.delay_s)
            yield answer
        finally:
            self.open -= 1


def make_context(
    runtime: Runtime,
    *,
    holds: HoldContext | None = None,
    pool: BackendPool | None = None,
    routes: RouteTable | None = None,
) -> ProxyContext:
    """What a test needs of a proxy's context."""
    unused: Any = None
    return ProxyContext(
        runtime=runtime,
        routes=routes or RouteTable([]),
        policy=ForwardPolicy(),
        pool=pool or unused,
        parking=None,
        outbox_limits=unused,
        holds=holds or cast(HoldContext, SimpleNamespace(statistics=Statistics())),
        plans=PlanTable(20),
        verifier=None,
        request_log=unused,
        is_debug=False,
        allow_compression=False,
        zhttp=unused,
        websocket_idle_s=1800,
        farewells=Farewells(1000, runtime.counters),
        sockjs=SockJsSessions(1000, "", runtime.counters),
        wall_clock=lambda: 0.0,
    )


class ProxyWorld:
    """Holds of a proxy, and what asks backends for them. Must be made in the loop, and closed.

    Attributes:
        backends: who is told by the holds; links are followed and filters run, everything else is noted.
    """

    def __init__(self, *answers: Answer | Exception, jitter: float = 0.0) -> None:
        loop = asyncio.get_running_loop()
        self.counters = Counters()
        self.runtime = Runtime(loop, self.counters)
        moments = itertools.count()
        # A real clock does not stand still either: what comes later is later.
        self.runtime.now = lambda: loop.time() + next(moments) * 1e-6
        self.registry = Registry(self.runtime.wheel, self.runtime.now)
        self.last_ids = LastIds()
        self.updates = Updates(self.runtime.wheel, self.runtime.now, loop.call_later)
        self.updates.backends = self
        self.link_clock = LinkClock()
        self.context = HoldContext(
            self.registry,
            self.runtime.wheel,
            self.counters,
            self.runtime.now,
            lambda: jitter,
            self.last_ids,
            self.updates,
            self.link_clock,
        )
        self.fanout = Fanout(self.registry, self.counters, now=self.runtime.now, schedule=loop.call_soon)
        self.proxy = make_context(self.runtime, holds=self.context)
        self.requests = ScriptedRequests()
        self.requests.script = list(answers)
        self.links = NextLinks(self.proxy, self.requests)
        self.filters = NetworkFilters(self.proxy, self.requests)
        self.clients: list[Client] = []
        self.retried: list[ResponseHold] = []
        self.ended: list[Hold] = []

    # --- what holds tell

    def retry(self, hold: ResponseHold) -> None:
        self.retried.append(hold)

    def follow(self, hold: RecoveringStream, since_s: float) -> bool:
        return self.links.follow(hold, since_s)

    def filter(self, hold: FilteringHold) -> None:
        self.filters.filter(hold)

    def hold_ended(self, hold: Hold) -> None:
        self.ended.append(hold)

    # --- clients

    def stream(
        self,
        *channels: str | Subscription,
        target: bytes = b"/next",
        timeout_s: int = 1000,
        route: RouteTerms = ROUTE,
        keep_alive: KeepAlive | None = None,
        meta: dict[str, str | None] | None = None,
        home: Home = HOME,
    ) -> Client:
        """A client that is not sent chunks, so that what it gets can be read."""
        instruct = make_instruct(HoldMode.STREAM, *channels, keep_alive=keep_alive, meta=meta)
        uri = parse_client_uri(target, b"h.com", is_tls=False)
        link = Link(LinkTarget(uri, home), timeout_s)
        plan = self.proxy.plan(instruct, route, "test")
        client = Client(make_stream(self.context, plan, HTTP10, link, HoldOrigin(home, BASE)))
        self.clients.append(client)
        client.hold.open(client.outlet)
        return client

    def poll(
        self,
        *channels: str | Subscription,
        meta: dict[str, str | None] | None = None,
        route: RouteTerms = ROUTE,
    ) -> Client:
        instruct = make_instruct(HoldMode.RESPONSE, *channels, meta=meta)
        plan = self.proxy.plan(instruct, route, "test")
        client = Client(ResponseHold(self.context, plan, HTTP10, REQUEST, HoldOrigin(HOME, BASE)))
        self.clients.append(client)
        client.hold.open(client.outlet)
        return client

    def publish(self, *items: Item) -> None:
        self.fanout.deliver([(item, Receipt(item.channel)) for item in items])

    # --- the end

    async def close(self) -> None:
        """Everybody leaves, and nothing is left of them."""
        for client in self.clients:
            client.leave()
        await asyncio.sleep(200)
        assert (self.runtime.task_count, len(self.links), self.requests.open) == (0, 0, 0)
        assert (len(self.registry), len(self.runtime.wheel), len(self.updates), len(self.link_clock)) == (0, 0, 0, 0)
        assert self.requests.script == []
        self.runtime.close()


@asynccontextmanager
async def proxy_world(*answers: Answer | Exception, jitter: float = 0.0) -> AsyncIterator[ProxyWorld]:
    """A world whose backend gives these answers, all of them."""
    world = ProxyWorld(*answers, jitter=jitter)
    yield world
    await world.close()
