"""A client that others wrote: the ``websockets`` package, in front of a server of the same package."""

from __future__ import annotations

import asyncio
import random
import threading
from collections.abc import Iterator, Sequence

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import scaled
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, ws_item
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosedError, ConnectionClosedOK, InvalidStatus
from websockets.http11 import Request, Response
from websockets.sync.client import ClientConnection, connect
from websockets.sync.server import ServerConnection, serve
from websockets.typing import Subprotocol

BINARY = random.Random(7).randbytes(3_000_000)
CHAT = Subprotocol("chat")
TEXT = "wörld " * 500_000


def answer(connection: ServerConnection) -> None:
    """Echo, close as asked by ``close CODE REASON``, ping as asked by ``ping``, or leave without a word."""
    for message in connection:
        if message == "ping":
            connection.send(f"pong: {connection.ping().wait(scaled(5))}")
        elif message == "vanish":
            connection.socket.close()
        elif isinstance(message, str) and message.startswith("close "):
            _, code, reason = message.split(" ")
            connection.close(int(code), reason)
        else:
            connection.send(message)


def refuse(connection: ServerConnection, request: Request) -> Response | None:
    """Refuse one path."""
    return connection.respond(418, "no tea here\n") if request.path == "/refused" else None


def select_chat(_connection: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The subprotocol that the server speaks."""
    return CHAT if CHAT in offered else None


@pytest.fixture(scope="module")
def server_port() -> Iterator[int]:
    """A server that echoes."""
    port = free_port()
    with serve(
        answer, "127.0.0.1", port, process_request=refuse, max_size=None, select_subprotocol=select_chat
    ) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield port
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "compressed"])
def proxy(request: pytest.FixtureRequest, launch: Launch, server_port: int) -> ProxyUnderTest:
    allowed = "true" if request.param else "false"
    return launch("built-in test", f"* 127.0.0.1:{server_port}", settings={"runner": {"allow_compression": allowed}})


@pytest.fixture
def client(proxy: ProxyUnderTest) -> Iterator[ClientConnection]:
    with connect(url(proxy), max_size=None, open_timeout=scaled(5), close_timeout=scaled(5)) as connection:
        yield connection


def url(proxy: ProxyUnderTest, path: str = "/") -> str:
    """The address of the proxy for WebSockets."""
    return f"ws://127.0.0.1:{proxy.port}{path}"


class TestEcho:
    @pytest.mark.parametrize("message", ["hello", "", "wörld", b"\0\xff", b"", "x" * 100_000])
    def test_messages(self, client: ClientConnection, message: str | bytes) -> None:
        client.send(message)
        assert client.recv(scaled(5)) == message

    @pytest.mark.spec("ws-81")
    @pytest.mark.parametrize("message", [TEXT, BINARY], ids=["text", "binary"])
    def test_long_messages(self, client: ClientConnection, message: str | bytes) -> None:
        client.send(message)
        assert client.recv(scaled(15)) == message

    def test_fragments(self, client: ClientConnection) -> None:
        client.send(["he", "l", "lö"])
        client.send([b"a", b"b"])
        assert [client.recv(scaled(5)), client.recv(scaled(5))] == ["hellö", b"ab"]

    def test_many(self, client: ClientConnection) -> None:
        for number in range(500):
            client.send(str(number))
            if number >= 100:
                assert client.recv(scaled(5)) == str(number - 100)
        assert [client.recv(scaled(5)) for _ in range(100)] == [str(number) for number in range(400, 500)]

    def test_pings(self, client: ClientConnection) -> None:
        """Answered by the other end, not by the proxy."""
        assert client.ping(b"payload").wait(scaled(5))
        client.send("ping")
        assert client.recv(scaled(5)) == "pong: True"

    def test_subprotocol(self, proxy: ProxyUnderTest) -> None:
        with connect(url(proxy), subprotocols=[Subprotocol("other"), CHAT]) as client:
            assert client.subprotocol == CHAT


class TestEnds:
    def test_client_closes(self, client: ClientConnection) -> None:
        client.close(4001, "enough")
        assert (client.close_code, client.close_reason) == (4001, "enough")

    @pytest.mark.parametrize(("code", "error"), [(1000, ConnectionClosedOK), (4002, ConnectionClosedError)])
    def test_server_closes(self, client: ClientConnection, code: int, error: type[Exception]) -> None:
        client.send(f"close {code} bye")
        with pytest.raises(error):
            client.recv(scaled(5))
        assert (client.close_code, client.close_reason) == (code, "bye")

    def test_server_vanishes(self, client: ClientConnection) -> None:
        """The client sees no close frame: 1006."""
        client.send("vanish")
        with pytest.raises(ConnectionClosedError):
            client.recv(scaled(5))
        assert client.close_code == 1006

    def test_refused(self, proxy: ProxyUnderTest) -> None:
        with pytest.raises(InvalidStatus) as refusal, connect(url(proxy, "/refused")):
            pass
        assert (refusal.value.response.status_code, refusal.value.response.body) == (418, b"no tea here\n")


def test_compression_is_what_the_setting_says(proxy: ProxyUnderTest, request: pytest.FixtureRequest) -> None:
    """And messages come through that compress well and badly."""
    is_allowed = "compressed" in request.node.callspec.id
    with connect(url(proxy), max_size=None) as client:
        assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"] * is_allowed
        for message in ("hello " * 10_000, "x", BINARY[:50_000]):
            client.send(message)
            assert client.recv(scaled(5)) == message


def test_hundred_clients(proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> None:
    """Of asyncio, all on one channel of the built-in target: what is published reaches each, in order."""
    stage = WebSocketStage(proxy, backend, ws_backend, lambda port: pytest.fail(f"no raw client for {port}"))

    async def listen(ready: asyncio.Semaphore) -> list[str | bytes]:
        address = f"ws://built-in:{proxy.port}/ws?channel=hundred"
        async with connect_async(address, host="127.0.0.1", port=proxy.port) as client:
            await client.send("ready")
            assert await client.recv() == "ready"
            ready.release()
            return [await client.recv() for _ in range(20)]

    async def run() -> list[list[str | bytes]]:
        ready = asyncio.Semaphore(0)
        listeners = [asyncio.create_task(listen(ready)) for _ in range(100)]  # noqa: TID251 -- a client, not Holdfast
        for _ in listeners:
            await ready.acquire()
        await asyncio.sleep(0.3)
        for number in range(20):
            item = ws_item("hundred", f"item {number}") if number % 2 else ws_item("hundred", b"%d" % number)
            await asyncio.to_thread(stage.publish, item)
        return await asyncio.gather(*listeners)

    expected = [f"item {number}" if number % 2 else b"%d" % number for number in range(20)]
    assert asyncio.run(asyncio.wait_for(run(), scaled(20))) == [expected] * 100
