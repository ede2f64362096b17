"""Asking backends on behalf of holds: gone links, and long polls that ask again (grip spec §5.6, §6.9)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
from tests.unit.net.backends import BackendStage, backend_stage
from tests.unit.net.helpers import Peer, eventually, settle
from tests.unit.proxy.helpers import BASE, HOME, make_context
from tests.unit.push.helpers import HTTP11, ROUTE, Client, at, make_instruct, step
from tests.unit.routing.helpers import make_table

from holdfast.counters import Counters
from holdfast.grip.item import Item
from holdfast.grip.values import HoldMode, Subscription
from holdfast.proxy import backends
from holdfast.proxy.backends import HeldBackends
from holdfast.proxy.held_request import HeldRequest
from holdfast.proxy.origin import HoldOrigin, LinkTarget
from holdfast.push.channels import Registry
from holdfast.push.fanout import Fanout
from holdfast.push.last_ids import LastIds
from holdfast.push.link import Link, LinkClock
from holdfast.push.outlet import HoldContext
from holdfast.push.recovering_stream import make_stream
from holdfast.push.response_hold import ResponseHold
from holdfast.push.run import Receipt
from holdfast.push.stream_hold import StreamHold
from holdfast.push.updates import Updates
from holdfast.routing.uri import ClientUri
from holdfast.wire.http1.encode import encode_request_head
from holdfast.wire.http1.head import RequestHead

GONE = BASE._replace(path=b"/gone")
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
REQUEST = HeldRequest(encode_request_head(RequestHead(b"GET", b"/poll", True, [])), b"body", "route")


@dataclass
class Reopened:
    """An outlet whose client can be taken back; here it has always left by then."""

    requests: list[tuple[bytes, bytes]] = field(default_factory=list)

    def reopen(self, head: RequestHead, body: bytes) -> None:
        self.requests.append((head.target, body))


class Stage:
    """Everything that a hold needs, and a backend in the test's hand."""

    def __init__(self, backend: BackendStage) -> None:
        self.backend = backend
        runtime = backend.runtime
        loop = runtime.loop
        self.registry = Registry(runtime.wheel, runtime.now)
        self.updates = Updates(runtime.wheel, runtime.now, loop.call_later)
        self.context = HoldContext(
            self.registry,
            runtime.wheel,
            runtime.counters,
            runtime.now,
            lambda: 0.0,
            LastIds(),
            self.updates,
            LinkClock(),
        )
        routes = make_table(f"h.com,id=route 127.0.0.1:{backend.endpoint.port}")
        self.proxy = make_context(runtime, holds=self.context, pool=backend.pool, routes=routes)
        self.backends = self.updates.backends = HeldBackends(self.proxy)
        self.fanout = Fanout(self.registry, runtime.counters, now=runtime.now, schedule=loop.call_soon)

    @property
    def counters(self) -> Counters:
        return self.backend.runtime.counters

    def stream(
        self, *channels: str | Subscription, gone: ClientUri | None = GONE, meta: dict[str, str | None] | None = None
    ) -> Client:
        plan = self.proxy.plan(make_instruct(HoldMode.STREAM, *channels, meta=meta), ROUTE, "test")
        link = Link(LinkTarget(BASE._replace(path=b"/next"), HOME), 1000)
        client = Client(make_stream(self.context, plan, HTTP11, link, HoldOrigin(HOME, BASE, gone)))
        client.hold.open(client.outlet)
        return client

    def poll(self, *channels: str | Subscription, origin: HoldOrigin | None) -> tuple[ResponseHold, Reopened]:
        plan = self.proxy.plan(make_instruct(HoldMode.RESPONSE, *channels), ROUTE, "test")
        hold = ResponseHold(self.context, plan, HTTP11, REQUEST, origin)
        outlet: Any = Reopened()
        hold.open(outlet)
        return hold, outlet

    def publish(self, *items: Item) -> None:
        self.fanout.deliver([(item, Receipt(item.channel)) for item in items])

    async def answer(self, *responses: bytes) -> bytes:
        """Answer the next request; returns its head."""
        peer = await self.backend.accept()
        return await answer_on(peer, *responses)


async def answer_on(peer: Peer, *responses: bytes) -> bytes:
    head = await peer.read_until(b"\r\n\r\n")
    for response in responses:
        await peer.send(response)
    return head


@asynccontextmanager
async def staged() -> AsyncIterator[Stage]:
    async with backend_stage() as backend:
        stage = Stage(backend)
        yield stage
        await eventually(lambda: backend.runtime.task_count == 0, "no task is left")
        assert len(stage.registry) == len(stage.updates) == 0


class TestGone:
    async def test_is_told_once(self) -> None:
        """grip-73: one POST with an empty body and no extra headers."""
        async with staged() as stage:
            client = stage.stream("c")
            client.leave()
            client.leave()
            head = await stage.answer(OK)
            assert head.startswith(b"POST /gone HTTP/1.1\r\n")
            assert b"\r\nHost: h.com\r\n" in head
            assert b"\r\nContent-Length: 0\r\n" in head
            assert b"Grip-Last" not in head
            await eventually(lambda: stage.backend.runtime.task_count == 0, "done")
            assert (stage.counters.gone_reported, stage.counters.gone_reports_failed) == (1, 0)
            assert stage.counters.backend_requests == 1

    async def test_nobody_wants_to_know(self) -> None:
        async with staged() as stage:
            stage.stream("c", gone=None).leave()
            await settle()
            assert (stage.counters.gone_reported, stage.counters.backend_requests) == (0, 0)

    @pytest.mark.parametrize(
        ("response", "why"),
        [
            (b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n", "status 500"),
            (b"HTTP/1.1 302 Found\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n", "status 302"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx", "status 200"),
            (b"garbage\r\n\r\n", "Error"),
        ],
    )
    async def test_what_comes_of_it_is_only_logged(
        self, response: bytes, why: str, caplog: pytest.LogCaptureFixture
    ) -> None:
        """grip spec §6.9: never again."""
        async with staged() as stage:
            stage.stream("c").leave()
            await stage.answer(response)
            await eventually(lambda: stage.counters.gone_reports_failed, "noted")
            await settle()
            assert (stage.counters.gone_reported, stage.counters.backend_requests) == (1, 1)
            assert f"gone link http://h.com/gone: {why}" in caplog.text

    @pytest.mark.parametrize("code", [b"204 No Content", b"299 Fine"])
    async def test_any_success(self, code: bytes) -> None:
        async with staged() as stage:
            stage.stream("c").leave()
            await stage.answer(
                b"HTTP/1.1 %b\r\n%b\r\n" % (code, b"" if code[:3] == b"204" else b"Content-Length: 0\r\n")
            )
            await eventually(lambda: stage.backend.runtime.task_count == 0, "done")
            assert stage.counters.gone_reports_failed == 0

    async def test_not_of_all_of_a_crowd(
        self, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
    ) -> None:
        """When backends do not answer, they must not become more and more."""
        monkeypatch.setattr(backends, "MAX_REPORTS", 2)
        async with staged() as stage:
            for _ in range(3):
                stage.stream("c").leave()
            assert (stage.backend.runtime.task_count, stage.counters.gone_reports_failed) == (2, 1)
            assert "gone link http://h.com/gone: not asked, 2 others wait" in caplog.text
            for _ in range(2):
                await stage.answer(OK.replace(b"\r\n", b"\r\nConnection: close\r\n", 1))
            await eventually(lambda: stage.backend.runtime.task_count == 0, "done")
            stage.stream("c").leave()
            await stage.answer(OK)
            assert (stage.counters.gone_reported, stage.counters.gone_reports_failed) == (3, 1)


class TestRetry:
    @pytest.mark.parametrize("origin", [None, HoldOrigin(HOME, BASE)], ids=["no origin", "no gone link"])
    async def test_the_request_is_made_again(self, origin: HoldOrigin | None) -> None:
        async with staged() as stage:
            hold, outlet = stage.poll("c", origin=origin)
            hold.update(stage.backend.runtime.now(), is_urgent=True)
            await eventually(lambda: outlet.requests, "reopened")
            assert outlet.requests == [(b"/poll", b"body")]
            assert stage.counters.gone_reported == 0

    async def test_not_before_the_backend_knows_that_the_hold_is_gone(self) -> None:
        """grip spec §6.9"""
        async with staged() as stage:
            hold, outlet = stage.poll("c", origin=HoldOrigin(HOME, BASE, GONE))
            hold.update(stage.backend.runtime.now(), is_urgent=True)
            peer = await stage.backend.accept()
            assert (await answer_on(peer)).startswith(b"POST /gone ")
            await settle()
            assert outlet.requests == []
            await peer.send(OK)
            await eventually(lambda: outlet.requests, "reopened")
            assert stage.counters.gone_reported == 1

    async def test_even_if_it_does_not_want_to_know(self) -> None:
        async with staged() as stage:
            hold, outlet = stage.poll("c", origin=HoldOrigin(HOME, BASE, GONE))
            hold.update(stage.backend.runtime.now(), is_urgent=True)
            await stage.answer(b"HTTP/1.1 500 Oh\r\nContent-Length: 0\r\n\r\n")
            await eventually(lambda: outlet.requests, "reopened")


async def test_next_links() -> None:
    async with staged() as stage:
        client = stage.stream(at("1"), gone=None)
        assert isinstance(client.hold, StreamHold)
        client.hold.update(stage.backend.runtime.now(), is_urgent=True)
        grip = b"Grip-Hold: stream\r\nGrip-Channel: c; prev-id=2\r\nGrip-Link: </n>; rel=next\r\n"
        head = await stage.answer(b"HTTP/1.1 200 OK\r\n", grip, b"Content-Length: 1\r\n\r\n2")
        assert head.startswith(b"GET /next HTTP/1.1\r\n")
        assert b"\r\nGrip-Last: c; last-id=1\r\n" in head
        await eventually(lambda: client.content, "relayed")
        stage.publish(step("c", 3))
        await eventually(lambda: client.content == "23", "goes on")
        client.leave()


async def test_filters() -> None:
    async with staged() as stage:
        client = stage.stream(at(None, "c", "http-modify"), gone=None, meta={"url": "/filter"})
        stage.publish(step("c", 1, "x"))
        peer = await stage.backend.accept()
        assert (await answer_on(peer)).startswith(b"POST /filter HTTP/1.1\r\n")
        await peer.expect(b"x")
        await peer.send(b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nnew")
        await eventually(lambda: client.content == "new", "filtered")
        client.leave()
