"""WebSockets by packets: the handshake, pieces and credits both ways, and every way to end."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import pytest
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy import zhttp_stage
from tests.unit.proxy.zhttp_stage import Packet, StreamPeer, ZhttpStage, content_of

from holdfast.errors import BackendError, BackendSilent, BadResponse, ConnectError
from holdfast.proxy import zhttp_websocket
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_rejection import Rejection
from holdfast.proxy.zhttp_websocket import ZhttpSocketBackend
from holdfast.wire.headers import Headers
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data, Ping, Pong
from holdfast.wire.zhttp.requests import RequestHead

HEAD = RequestHead(None, b"ws://h.com/", [(b"Host", b"h.com")])
GRIP: Headers = [(b"Sec-WebSocket-Extensions", b"grip")]


class Client:
    """The client's side, which notes what it is told; it is its own duplex."""

    def __init__(self) -> None:
        self.is_blocked = False
        self.told: list[object] = []
        self.goes_on = 0

    @property
    def duplex(self) -> Client:
        return self

    def relay(self, data: Data) -> None:
        self.told.append(data)

    def relay_control(self, event: Ping | Pong) -> None:
        self.told.append(event)

    def obey(self, text: bytes) -> None:
        self.told.append(text)

    def backend_closed(self, status: CloseStatus) -> None:
        self.told.append(status)

    def backend_broke_off(self) -> None:
        self.told.append("broke off")

    def go_on(self) -> None:
        self.goes_on += 1


class Socket:
    """A WebSocket from both sides."""

    def __init__(self, stage: ZhttpStage, peer: StreamPeer, *, has_grip: bool = True) -> None:
        self.stage = stage
        self.peer = peer
        self.client = Client()
        self.first: Packet = {}
        self._seq = 0
        self.backend = ZhttpSocketBackend(stage.proxy, stage.zhttp.streams(stage.target()), has_grip=has_grip)
        self.backend.client = cast(WebSocketClient, self.client)
        self.opening = stage.start(self.backend.open(HEAD))

    def send(self, **fields: object) -> None:
        self.peer.send(self.first, self._seq, **fields)
        self._seq += 1

    async def next(self) -> Packet:
        return content_of(await self.peer.next())

    async def expect(self, *told: object) -> None:
        await eventually(lambda: len(self.client.told) >= len(told), f"{told}")
        assert self.client.told == list(told)

    async def expect_silence(self) -> None:
        await settle()
        assert not self.peer.has_news

    async def accept(self, credits: int = 100, headers: Headers | None = None) -> None:
        """Let the backend accept, and both sides speak."""
        fields = [[name, value] for name, value in headers or []]
        self.send(code=101, reason="Yes", headers=fields, credits=credits)
        head = await self.opening
        assert (head.code, head.reason, head.headers) == (101, b"Yes", headers or [])
        self.backend.begin()


async def asked(stage: ZhttpStage, *, has_grip: bool = True) -> Socket:
    stage.target()
    socket = Socket(stage, await StreamPeer(stage).connected(), has_grip=has_grip)
    socket.first = await socket.peer.take()
    return socket


async def opened(stage: ZhttpStage, credits: int = 100, headers: Headers | None = None) -> Socket:
    socket = await asked(stage)
    await socket.accept(credits, headers)
    return socket


def text(payload: bytes, **fields: Any) -> Data:
    return Data(Opcode.TEXT, payload, **fields)


# --- opening


async def test_accepted(tmp_path: Path) -> None:
    """ws-129: signs of life may come first."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        assert "method" not in socket.first
        assert "stream" not in socket.first
        assert (socket.first["uri"], socket.first["credits"]) == (b"ws://h.com/", 200_000)
        socket.send(type="keep-alive")
        socket.send(type="credit", credits=3)
        await settle()
        assert not socket.opening.done()
        await socket.accept(0)
        assert socket.client.goes_on == 1
        socket.backend.take(text(b"abc"))
        assert await socket.next() == {"content-type": b"text", "body": b"abc"}


async def test_rejected(tmp_path: Path) -> None:
    """ws-130."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        headers = [["X", "1"]]
        socket.send(type="error", condition="rejected", code=403, reason="No", headers=headers, body=b"x" * 100_001)
        assert await socket.opening == Rejection(403, b"No", [(b"X", b"1")], b"x" * 100_000)
        await stage.expect_idle()


@pytest.mark.parametrize(
    ("fields", "error"),
    [
        ({"type": "error", "condition": "remote-connection-failed"}, ConnectError),
        ({"type": "error", "condition": "rejected"}, BadResponse),
        ({"type": "error", "condition": "rejected", "code": 101}, BadResponse),
        ({"type": "error"}, BadResponse),
        ({"type": "cancel"}, BadResponse),
        ({"type": "close"}, BadResponse),
        ({"type": "ping"}, BadResponse),
        ({"from": None, "code": 101}, BadResponse),
    ],
)
async def test_not_accepted(tmp_path: Path, fields: dict[str, Any], error: type[BackendError]) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        socket.send(**fields)
        with pytest.raises(error):
            await socket.opening


async def test_no_answer(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        stage.skip(61)
        with pytest.raises(BackendSilent):
            await socket.opening
        await stage.expect_idle()


async def test_a_client_that_leaves_meanwhile(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        socket.opening.cancel()
        await settle()
        socket.send(code=101)
        assert await socket.next() == {"type": b"cancel"}
        await stage.expect_idle()


async def test_what_comes_before_the_client_is_told(tmp_path: Path) -> None:
    """It waits, in its order, even if the backend is gone by then."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        socket.send(code=101)
        socket.send(body="hi")
        await socket.opening
        await settle()
        assert socket.client.told == []
        socket.backend.begin()
        await socket.expect(text(b"hi"))
        assert await socket.next() == {"type": b"credit", "credits": 2}


@pytest.mark.parametrize("kind", ["silence", "cancel"])
async def test_a_backend_that_is_gone_before_the_client_is_told(tmp_path: Path, kind: str) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage)
        socket.send(code=101)
        await socket.opening
        if kind == "cancel":
            socket.send(type="cancel")
        else:
            stage.skip(61)
        await stage.expect_idle()
        assert socket.client.told == []
        socket.backend.begin()
        await socket.expect("broke off")


# --- to the backend


async def test_messages_to_the_backend(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        for event in (
            text(b"a"),
            Data(Opcode.BINARY, b"b", True, False, True),
            Ping(b"p"),
            Data(Opcode.BINARY, b"c", False, True, True),
            Pong(b""),
            text(b""),
        ):
            socket.backend.take(event)
        assert not socket.backend.is_blocked
        assert [await socket.next() for _ in range(6)] == [
            {"content-type": b"text", "body": b"a"},
            {"content-type": b"binary", "body": b"b", "more": True},
            {"type": b"ping", "body": b"p"},
            {"content-type": b"binary", "body": b"c"},
            {"type": b"pong", "body": b""},
            {"content-type": b"text", "body": b""},
        ]


async def test_messages_wait_for_credits(tmp_path: Path) -> None:
    """A piece is cut to what may be sent; the client is read from again when all is sent."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage, 0)
        socket.backend.take(text(b"abcde"))
        assert socket.backend.is_blocked
        await socket.expect_silence()
        goes_on = socket.client.goes_on
        socket.send(type="credit", credits=2)
        assert await socket.next() == {"content-type": b"text", "body": b"ab", "more": True}
        assert (socket.backend.is_blocked, socket.client.goes_on) == (True, goes_on)
        socket.send(type="credit", credits=5)
        assert await socket.next() == {"content-type": b"text", "body": b"cde"}
        assert (socket.backend.is_blocked, socket.client.goes_on) == (False, goes_on + 1)


async def test_a_ping_is_not_cut(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage, 2)
        socket.backend.take(Ping(b"abc"))
        await socket.expect_silence()
        socket.send(type="credit", credits=1)
        assert await socket.next() == {"type": b"ping", "body": b"abc"}


# --- to the client


async def test_messages_to_the_client(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.send(body="a")
        socket.send(body="b", content_type="text", more=True)
        socket.send(type="ping", body="p")
        socket.send(body="c", content_type="binary", more=True)
        socket.send(body="d")
        socket.send(body="e", content_type="binary")
        socket.send(type="pong")
        await socket.expect(
            text(b"a"),
            text(b"b", is_last=False, is_fragmented=True),
            Ping(b"p"),
            text(b"c", is_first=False, is_last=False, is_fragmented=True),
            text(b"d", is_first=False, is_fragmented=True),
            Data(Opcode.BINARY, b"e"),
            Pong(b""),
        )
        granted = 0
        while granted < 6:
            granted += (await socket.next())["credits"]
        await socket.expect_silence()


async def test_grip(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage, headers=GRIP)
        socket.send(body="m:hi")
        socket.send(body="nobody's")
        socket.send(body='c:{"type":"x"}')
        socket.send(body="c:", more=True)
        socket.send(body="ignored")
        socket.send(body="m", more=True)
        socket.send(body=":x")
        await socket.expect(text(b"hi"), b'{"type":"x"}', text(b"x", is_fragmented=True))


async def test_no_grip_on_this_route(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await asked(stage, has_grip=False)
        await socket.accept(headers=GRIP)
        socket.send(body="c:x")
        await socket.expect(text(b"c:x"))


async def test_a_slow_client(tmp_path: Path) -> None:
    """What it cannot take waits, and earns no credits."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.client.is_blocked = True
        socket.send(body="a")
        socket.send(body="bc")
        await socket.expect_silence()
        assert socket.client.told == []
        socket.client.is_blocked = False
        socket.backend.client_drained()
        await socket.expect(text(b"a"), text(b"bc"))
        assert await socket.next() == {"type": b"credit", "credits": 3}


async def test_a_backend_that_does_not_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Empty packets cost as well."""
    monkeypatch.setattr(zhttp_websocket, "MAX_WAITING_BYTES", 250)
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.client.is_blocked = True
        for _ in range(3):
            socket.send()
        await socket.expect("broke off")
        assert await socket.next() == {"type": b"cancel"}
        await stage.expect_idle()


async def test_a_ping_that_no_frame_can_carry(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.send(type="ping", body="x" * 126)
        socket.send(body="a")
        await socket.expect(text(b"a"))
        assert stage.counters.zhttp_packets_refused == 1


# --- the end


async def test_the_client_closes(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.backend.close(CloseStatus(4000, "bye"))
        socket.backend.take(text(b"too late"))
        assert await socket.next() == {"type": b"close", "code": 4000, "body": b"bye"}
        socket.send(body="last words")
        socket.send(type="close", code=4001, body="\xe9")
        await socket.expect(text(b"last words"), CloseStatus(4001, "\xe9"))
        await stage.expect_idle()


async def test_the_backend_closes(tmp_path: Path) -> None:
    """What it says afterwards does not count."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.send(type="close", code=1000, body=b"\xff")
        await socket.expect(CloseStatus(1000, "\ufffd"))
        socket.backend.close(NO_STATUS)
        assert await socket.next() == {"type": b"close"}
        await stage.expect_idle()


@pytest.mark.parametrize("fields", [{"type": "cancel"}, {"body": "x"}, None])
async def test_a_backend_that_does_not_wait_for_the_answer(tmp_path: Path, fields: dict[str, Any] | None) -> None:
    """It has closed, and that counts, however it goes then."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage, 0)
        socket.send(type="close")
        await socket.expect(NO_STATUS)
        if fields is None:
            stage.skip(61)
        else:
            socket.peer.send(socket.first, 9, **fields)
        await stage.expect_idle()
        socket.backend.close(NO_STATUS)
        assert socket.client.told == [NO_STATUS]


async def test_nothing_after_a_close(tmp_path: Path) -> None:
    """Not even what waited for credits."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage, 0)
        socket.backend.take(text(b"abc"))
        socket.send(type="close")
        await socket.expect(NO_STATUS)
        socket.backend.close(NO_STATUS)
        socket.send(type="credit", credits=10)
        assert await socket.next() == {"type": b"close"}
        await socket.expect_silence()


async def test_leaving(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.backend.leave()
        assert await socket.next() == {"type": b"close"}
        await stage.expect_idle()
        socket.send(body="nobody's")
        await settle()
        assert socket.client.told == []


async def test_breaking_off(tmp_path: Path) -> None:
    """ws-128; and once is enough."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.backend.refresh()
        socket.backend.break_off()
        socket.backend.break_off()
        assert await socket.next() == {"type": b"cancel"}
        await socket.expect_silence()
        await stage.expect_idle()


@pytest.mark.parametrize("fields", [{"type": "cancel"}, {"type": "error"}])
async def test_the_backend_breaks_off(tmp_path: Path, fields: dict[str, Any]) -> None:
    """The client has got everything before."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.client.is_blocked = True
        socket.send(body="a")
        socket.send(**fields)
        await settle()
        socket.client.is_blocked = False
        socket.backend.client_drained()
        await socket.expect(text(b"a"), "broke off")
        await stage.expect_idle()


async def test_a_wrong_number(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        socket = await opened(stage)
        socket.peer.send(socket.first, 9, body="a")
        await socket.expect("broke off")
        assert await socket.next() == {"type": b"cancel"}
