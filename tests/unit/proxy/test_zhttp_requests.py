"""Requests in one packet: matching, waiting for a backend, bounds, and answers that are none."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
import zmq
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy.zhttp_stage import HEAD, ME, Packet, ZhttpStage, decode, encode, receive, zhttp_stage

from holdfast.errors import BackendError, BackendSilent, BadResponse, ConnectError, NoBackend
from holdfast.proxy import zhttp_requests
from holdfast.proxy.reply import WholeReply
from holdfast.proxy.zhttp_requests import RequestService

LINE = "h.com zhttpreq/ipc://{}/r"


class Backend:
    """A backend on a ROUTER, which may answer whom and when it likes."""

    def __init__(self, stage: ZhttpStage) -> None:
        self._socket = stage.peer(zmq.ROUTER, "ipc://{}/r")
        self._sender = b""

    async def take(self) -> Packet:
        self._sender, empty, frame = await receive(self._socket)
        assert empty == b""
        return decode(frame)

    def send(self, *parts: bytes) -> None:
        self._socket.send_multipart([self._sender, *parts])

    def reply(self, packet: Packet) -> None:
        self.send(b"", encode(packet))


def service_of(stage: ZhttpStage) -> RequestService:
    return stage.zhttp.requests(stage.target(LINE))


async def answer_to(stage: ZhttpStage, fields: Packet) -> WholeReply:
    """What comes of a reply with these fields."""
    backend = Backend(stage)
    asked = stage.start(service_of(stage).ask(HEAD, b""))
    request = await backend.take()
    backend.reply({"id": request["id"], **fields})
    reply: WholeReply = await asked
    return reply


async def test_a_request_and_its_answer(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service, backend = service_of(stage), Backend(stage)
        asked = stage.start(service.ask(HEAD, b"body"))
        request = await backend.take()
        assert (request["from"], request["method"], request["body"]) == (ME, b"GET", b"body")
        backend.reply({"id": request["id"], "code": 200, "reason": "OK", "headers": [["X", "1"]], "body": "hi"})
        reply: WholeReply = await asked
        assert (reply.code, reply.reason, reply.headers, reply.take()) == (200, b"OK", [(b"X", b"1")], b"hi")
        await stage.expect_idle()
        stage.skip(0.1)
        assert len(stage.runtime.wheel) == 0


async def test_answers_in_another_order(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service, backend = service_of(stage), Backend(stage)
        asked = [stage.start(service.ask(HEAD, b"%d" % number)) for number in range(5)]
        requests = [await backend.take() for _ in asked]
        for request in reversed(requests):
            backend.reply({"id": request["id"], "code": 200, "body": request["body"]})
        assert [(await task).take() for task in asked] == [b"0", b"1", b"2", b"3", b"4"]


async def test_the_length_that_is_stated(tmp_path: Path) -> None:
    """It counts in answer to HEAD."""
    async with zhttp_stage(tmp_path) as stage:
        reply = await answer_to(stage, {"code": 200, "headers": [["Content-Length", "7"]]})
        assert reply.content_length == 7


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({}, BadResponse),
        ({"code": 100}, BadResponse),
        ({"code": 200, "more": True}, BadResponse),
        ({"type": "cancel"}, BadResponse),
        ({"type": "keep-alive"}, BadResponse),
        ({"type": "credit", "credits": 1}, BadResponse),
        ({"type": "ping"}, BadResponse),
        ({"type": "error"}, BadResponse),
        ({"type": "error", "condition": "tls-error"}, ConnectError),
    ],
)
async def test_answers_that_are_none(tmp_path: Path, fields: Packet, error: type[BackendError]) -> None:
    async with zhttp_stage(tmp_path) as stage:
        with pytest.raises(error):
            await answer_to(stage, fields)


async def test_messages_that_are_no_answer(tmp_path: Path) -> None:
    """ws-119: they are counted, and the request goes on waiting."""
    async with zhttp_stage(tmp_path) as stage:
        service, backend = service_of(stage), Backend(stage)
        asked = stage.start(service.ask(HEAD, b""))
        request = await backend.take()
        for frame in (
            b"",
            b"garbage",
            b"T",
            b"T99:x,",
            encode({"code": 200}),
            encode({"id": request["id"], "type": "?"}),
        ):
            backend.send(b"", frame)
        backend.send(b"")
        backend.send(b"", encode({"id": request["id"], "code": 200}), b"")
        backend.reply({"id": "nobody", "code": 200})
        backend.reply({"id": request["id"], "code": 201})
        backend.reply({"id": request["id"], "code": 202})
        assert (await asked).code == 201
        await eventually(lambda: stage.counters.zhttp_packets_unclaimed == 2, "the second answer")
        assert stage.counters.zhttp_packets_refused == 8


async def test_two_answers_at_once(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service, backend = service_of(stage), Backend(stage)
        asked = stage.start(service.ask(HEAD, b""))
        request = await backend.take()
        twice = [{"id": request["id"], "seq": 0}] * 2
        backend.reply({"id": twice, "type": "cancel"})
        with pytest.raises(BadResponse):
            await asked


async def test_silence(tmp_path: Path) -> None:
    """routes-76, ws-120: whether nobody answers or nobody is there, after a minute it is over."""
    async with zhttp_stage(tmp_path) as stage:
        service = service_of(stage)
        asked = stage.start(service.ask(HEAD, b""))
        await settle()
        stage.skip(59.5)
        await settle()
        assert not asked.done()
        stage.skip(1)
        with pytest.raises(BackendSilent):
            await asked
        await stage.expect_idle()
        backend = Backend(stage)
        await settle()
        again = stage.start(service.ask(HEAD, b"again"))
        assert (await backend.take())["body"] == b"again"
        stage.skip(61)
        with pytest.raises(BackendSilent):
            await again


async def test_requests_wait_for_a_backend(tmp_path: Path) -> None:
    """In their order, without those that are given up."""
    async with zhttp_stage(tmp_path) as stage:
        service = service_of(stage)
        asked = [stage.start(service.ask(HEAD, b"%d" % number)) for number in range(4)]
        await settle()
        asked[2].cancel()
        await settle()
        backend = Backend(stage)
        assert [(await backend.take())["body"] for _ in range(3)] == [b"0", b"1", b"3"]
        asked.append(stage.start(service.ask(HEAD, b"4")))
        assert (await backend.take())["body"] == b"4"


@pytest.mark.parametrize(("limit", "value"), [("MAX_WAITING", 1), ("MAX_WAITING_BYTES", 300)])
async def test_too_many_wait(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, value: int) -> None:
    monkeypatch.setattr(zhttp_requests, limit, value)
    async with zhttp_stage(tmp_path) as stage:
        service = service_of(stage)
        first = stage.start(service.ask(HEAD, b""))
        await settle()
        with pytest.raises(NoBackend, match=r"^1 requests to zhttpreq/ipc://.*/r wait already$"):
            await service.ask(HEAD, b"")
        assert stage.counters.zhttp_packets_unsent == 1
        first.cancel()
        await settle()
        second = stage.start(service.ask(HEAD, b""))
        await settle()
        assert not second.done()


async def test_a_service_that_is_closed(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service = service_of(stage)
        service.close()
        with pytest.raises(NoBackend, match=r"is not listened at$"):
            await service.ask(HEAD, b"")
        await asyncio.sleep(0)
