"""A request with its answer in packets: bodies both ways, lengths, and everything that can break off."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy.zhttp_stage import HEAD, Packet, StreamPeer, ZhttpStage, content_of, zhttp_stage

from holdfast.errors import BackendError, BackendSilent, BadResponse, ConnectError, NoBackend
from holdfast.proxy import zhttp_reply
from holdfast.proxy.zhttp_reply import StreamReply
from holdfast.wire.zhttp.packets import WINDOW_BYTES
from holdfast.wire.zhttp.requests import RequestHead


class Exchange:
    """A request that has been sent."""

    def __init__(self, stage: ZhttpStage, peer: StreamPeer, reply: StreamReply, rest: bytes) -> None:
        self.stage = stage
        self.peer = peer
        self.reply = reply
        self.rest = rest
        self.first: Packet = {}

    def send(self, seq: int | None, /, **fields: object) -> None:
        self.peer.send(self.first, seq, **fields)

    async def next(self) -> Packet:
        return content_of(await self.peer.next())

    async def read_all(self) -> bytes:
        pieces: list[bytes] = []
        while piece := await self.reply.read():
            pieces.append(piece)
        return b"".join(pieces)


async def ask(stage: ZhttpStage, body: bytes = b"", *, is_whole: bool = True, method: bytes = b"GET") -> Exchange:
    service = stage.zhttp.streams(stage.target())
    peer = await StreamPeer(stage).connected()
    reply = StreamReply(service)
    head = RequestHead(method, HEAD.uri, HEAD.headers)
    rest = reply.send_request(head, body, is_whole=is_whole)
    exchange = Exchange(stage, peer, reply, rest)
    exchange.first = await peer.take()
    return exchange


async def test_one_packet(tmp_path: Path) -> None:
    """ws-122, ws-123."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"body", method=b"PUT")
        assert (exchange.first["method"], exchange.first["body"], exchange.rest) == (b"PUT", b"body", b"")
        assert "more" not in exchange.first
        exchange.send(0, code=201, reason="Made", headers=[["X", "1"]], body="hi")
        await exchange.reply.read_head()
        reply = exchange.reply
        assert (reply.code, reply.reason, reply.headers, reply.content_length) == (201, b"Made", [(b"X", b"1")], None)
        assert reply.is_complete
        assert (await reply.read(), await reply.read()) == (b"hi", b"")
        reply.close(is_request_sent=True)
        await stage.expect_idle()
        await settle()
        assert not exchange.peer.has_news


async def test_credits_for_what_is_read(tmp_path: Path) -> None:
    """ws-125: and not for what is not."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, more=True)
        await exchange.reply.read_head()
        assert not exchange.reply.is_complete
        exchange.send(1, body="abc", more=True)
        exchange.send(2, body="de", more=True)
        await settle()
        assert not exchange.peer.has_news
        assert await exchange.reply.read() == b"abcde"
        assert await exchange.next() == {"type": b"credit", "credits": 5}
        exchange.send(3, type="keep-alive")
        exchange.send(4, type="ping", body="ignored")
        exchange.send(5)
        assert await exchange.reply.read() == b""
        assert exchange.reply.is_complete
        await stage.expect_idle()


async def test_no_peer(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        reply = StreamReply(stage.zhttp.streams(stage.target()))
        with pytest.raises(NoBackend):
            reply.send_request(HEAD, b"", is_whole=True)


# --- request bodies


async def test_a_body_waits_for_credits(tmp_path: Path) -> None:
    """ws-126: the first packet needs none, what follows does, and its end does not."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a" * WINDOW_BYTES + b"bcd")
        assert (len(exchange.first["body"]), exchange.first["more"], exchange.rest) == (WINDOW_BYTES, True, b"bcd")
        sending = stage.start(exchange.reply.write(exchange.rest))
        exchange.send(0, type="credit", credits=2)
        assert await exchange.next() == {"body": b"bc", "more": True}
        await settle()
        assert not sending.done()
        exchange.send(1, type="keep-alive", credits=1)
        assert await exchange.next() == {"body": b"d", "more": True}
        await sending
        await exchange.reply.end_body()
        assert await exchange.next() == {}
        exchange.send(2, code=200)
        await exchange.reply.read_head()
        await stage.expect_idle()


async def test_the_end_waits_for_an_address(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        assert exchange.first["more"] is True
        ending = stage.start(exchange.reply.end_body())
        await settle()
        assert not ending.done()
        exchange.send(0, type="keep-alive")
        assert await exchange.next() == {}
        await ending


async def test_a_body_needs_an_address(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        exchange.send(0, **{"from": None}, code=200)
        with pytest.raises(BadResponse, match="does not say where"):
            await exchange.reply.read_head()


async def test_an_answer_before_the_end_of_the_body(tmp_path: Path) -> None:
    """The rest goes on; the exchange is over when both are."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        exchange.send(0, code=200, body="early", credits=10)
        await exchange.reply.read_head()
        await exchange.reply.write(b"b")
        assert await exchange.next() == {"body": b"b", "more": True}
        await exchange.reply.end_body()
        assert await exchange.next() == {}
        await stage.expect_idle()


async def test_a_body_that_is_not_needed_any_more(tmp_path: Path) -> None:
    """The backend is told that nothing more comes."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        exchange.send(0, code=413)
        await exchange.reply.read_head()
        exchange.reply.close(is_request_sent=False)
        assert await exchange.next() == {"type": b"cancel"}
        await stage.expect_idle()


async def test_a_body_to_nobody(tmp_path: Path) -> None:
    """An exchange that is over takes everything."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        writing = stage.start(exchange.reply.write(b"b"))
        await settle()
        exchange.send(0, type="cancel")
        await writing
        await exchange.reply.write(b"c")
        await exchange.reply.end_body()


# --- answers that break off


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"type": "error", "condition": "remote-connection-failed"}, ConnectError),
        ({"type": "error"}, BadResponse),
        ({"type": "cancel"}, BadResponse),
        ({}, BadResponse),
        ({"code": 101}, BadResponse),
        ({"seq": 5, "code": 200}, BadResponse),
    ],
)
async def test_no_answer(tmp_path: Path, fields: dict[str, Any], error: type[BackendError]) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(fields.pop("seq", 0), **fields)
        with pytest.raises(error):
            await exchange.reply.read_head()
        exchange.reply.close(is_request_sent=True)
        await stage.expect_idle()


async def test_silence(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        reading = stage.start(exchange.reply.read_head())
        await settle()
        stage.skip(61)
        with pytest.raises(BackendSilent):
            await reading


@pytest.mark.parametrize("fields", [{"type": "error"}, {"type": "cancel"}])
async def test_an_answer_that_breaks_off(tmp_path: Path, fields: dict[str, Any]) -> None:
    """After what came before."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, body="abc", more=True)
        await exchange.reply.read_head()
        exchange.send(1, **fields)
        await settle()
        assert await exchange.reply.read() == b"abc"
        with pytest.raises(BadResponse):
            await exchange.reply.read()


async def test_a_client_that_leaves(tmp_path: Path) -> None:
    """ws-128."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, body="abc", more=True)
        await exchange.reply.read_head()
        reading = stage.start(exchange.read_all())
        assert (await exchange.next())["type"] == b"credit"
        reading.cancel()
        await asyncio.sleep(0)
        exchange.reply.close(is_request_sent=True)
        assert await exchange.next() == {"type": b"cancel"}


# --- lengths


async def test_a_length(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, headers=[["Content-Length", "4"]], body="ab", more=True)
        await exchange.reply.read_head()
        assert exchange.reply.content_length == 4
        exchange.send(1, body="cd")
        assert await exchange.read_all() == b"abcd"


async def test_more_than_the_length(tmp_path: Path) -> None:
    """Never more than announced (ws spec §5.3), and the backend can send to its end."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, headers=[["Content-Length", "3"]], body="ab", more=True)
        await exchange.reply.read_head()
        exchange.send(1, body="cde", more=True)
        exchange.send(2, body="fg", more=True)
        exchange.send(3)
        assert await exchange.next() == {"type": b"credit", "credits": 2}
        assert await exchange.read_all() == b"abc"


async def test_less_than_the_length(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, headers=[["Content-Length", "3"]], body="ab", more=True)
        await exchange.reply.read_head()
        exchange.send(1)
        assert await exchange.reply.read() == b"ab"
        with pytest.raises(BadResponse, match="less than its Content-Length"):
            await exchange.reply.read()


@pytest.mark.parametrize(("method", "code"), [(b"HEAD", 200), (b"GET", 204), (b"GET", 304)])
async def test_answers_without_a_body(tmp_path: Path, method: bytes, code: int) -> None:
    """What the backend sends nevertheless is nobody's."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, method=method)
        exchange.send(0, code=code, headers=[["Content-Length", "9"]], body="abc", more=True)
        await exchange.reply.read_head()
        assert (exchange.reply.is_complete, exchange.reply.content_length) == (True, 9)
        assert exchange.reply.take() == b""
        exchange.reply.close(is_request_sent=True)
        assert await exchange.next() == {"type": b"credit", "credits": 3}
        assert await exchange.next() == {"type": b"cancel"}


async def test_a_backend_that_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zhttp_reply, "MAX_PENDING_BYTES", 5)
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage)
        exchange.send(0, code=200, body="abcde", more=True)
        await exchange.reply.read_head()
        exchange.send(1, body="f", more=True)
        assert await exchange.next() == {"type": b"cancel"}
        assert await exchange.reply.read() == b"abcdef"
        with pytest.raises(BadResponse, match="more than it was granted"):
            await exchange.reply.read()


async def test_packets_after_the_end(tmp_path: Path) -> None:
    """While the request is still on its way."""
    async with zhttp_stage(tmp_path) as stage:
        exchange = await ask(stage, b"a", is_whole=False)
        exchange.send(0, code=200, body="x")
        exchange.send(1, body="y")
        exchange.send(2, type="error")
        await eventually(lambda: stage.zhttp.exchange_count == 0, "the end")
        assert await exchange.read_all() == b"x"
