"""A SockJS client that others wrote: sockjs-client in node, over every transport that it has there."""

from __future__ import annotations

import json
import os
import queue
import shutil
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok
from tests.harness.timing import scaled
from tests.harness.websocket import WebSocket, close, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import EventsBackend, events_reply, opening, text_event
from tests.harness.ws_stage import WebSocketStage, control, ws_item

HERE = Path(__file__).parent
TRANSPORTS = ["websocket", "xhr-streaming", "eventsource", "xhr-polling"]
# A path each, because a client that has ended may still be reported to its backend.
EVENTS = {transport: f"/events-{transport}" for transport in TRANSPORTS}


def paths(path: str) -> str:
    """Props of a route whose backends see that path, too."""
    return f"sockjs={path},sockjs_as_path={path}"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The client program, its package installed beside it."""
    if shutil.which("npm") is None:
        if os.environ.get("CI"):
            pytest.fail("npm is missing")
        pytest.skip("npm is missing")
    directory = tmp_path_factory.mktemp("sockjs")
    for name in ("package.json", "client.js"):
        shutil.copy(HERE / "sockjs_client" / name, directory)
    install = ["npm", "install", "--no-audit", "--no-fund", "--loglevel=error"]
    subprocess.run(install, cwd=directory, check=True, timeout=90)
    return directory / "client.js"


class SockJsClient:
    """One client in a process of its own."""

    def __init__(self, program: Path, url: str, transport: str) -> None:
        self._process = subprocess.Popen(
            ["node", str(program), url, transport], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self._events: queue.Queue[list[object]] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._events.put(json.loads(line))

    def send(self, *messages: str) -> None:
        """Send messages, in one go."""
        assert self._process.stdin is not None
        self._process.stdin.write("".join(json.dumps(message) + "\n" for message in messages))
        self._process.stdin.flush()

    def leave(self) -> None:
        """Have it close."""
        assert self._process.stdin is not None
        self._process.stdin.close()

    def expect(self, *events: list[object]) -> None:
        """Assert that exactly these come next."""
        for event in events:
            assert self._events.get(timeout=scaled(8)) == event

    def messages(self, count: int) -> list[object]:
        """The next messages."""
        events = [self._events.get(timeout=scaled(8)) for _ in range(count)]
        assert {kind for kind, *_ in events} == {"message"}
        return [content for _, content in events]

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()
        self._reader.join()
        for stream in (self._process.stdin, self._process.stdout):
            assert stream is not None
            stream.close()


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(
        "127.0.0.1,path_beg=/echo,sockjs=/echo,sockjs_as_path=/echo/ws test",
        f"127.0.0.1,path_beg=/relay,sockjs=/relay 127.0.0.1:{ws_backend.port}",
        *(f"127.0.0.1,path_beg={path},{paths(path)} 127.0.0.1:{backend.port},over_http" for path in EVENTS.values()),
    )


@pytest.fixture(params=TRANSPORTS)
def transport(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


@pytest.fixture
def clients(program: Path, proxy: ProxyUnderTest, transport: str) -> Iterator[list[SockJsClient]]:
    started: list[SockJsClient] = []
    yield started
    for client in started:
        client.stop()


class Start:
    """Starts clients."""

    def __init__(self, program: Path, proxy: ProxyUnderTest, transport: str, clients: list[SockJsClient]) -> None:
        self._program = program
        self._proxy = proxy
        self._clients = clients
        self.transport = transport

    def __call__(self, prefix: str) -> SockJsClient:
        client = SockJsClient(self._program, f"http://127.0.0.1:{self._proxy.port}{prefix}", self.transport)
        self._clients.append(client)
        return client


@pytest.fixture
def client_of(program: Path, proxy: ProxyUnderTest, transport: str, clients: list[SockJsClient]) -> Start:
    return Start(program, proxy, transport, clients)


def accept(ws_backend: WebSocketBackend, transport: str, *, grip: bool = False) -> WebSocket:
    """The backend's end of the next WebSocket."""
    peer = ws_backend.take("/relay/websocket" if transport == "websocket" else "/relay")
    peer.accept([("Sec-WebSocket-Extensions", "grip")] if grip else [])
    return peer


def test_echo(client_of: Start) -> None:
    client = client_of("/echo")
    client.expect(["open", client_of.transport])
    strange = 'w\u00f6rld "\\ \u2028\u200f\ufeff\uffff \U0001f600 \x00\x1f\x7f'
    client.send("hello", "", strange)
    assert client.messages(3) == ["hello", "", strange]
    many = [f"message {number}" for number in range(300)]
    client.send(*many)
    assert client.messages(300) == many


def test_both_sides_close(client_of: Start, ws_backend: WebSocketBackend, ws: WebSocketStage) -> None:
    client = client_of("/relay")
    peer = accept(ws_backend, client_of.transport)
    client.expect(["open", client_of.transport])
    client.send("question")
    peer.expect_text("question")
    peer.send(text("answer"), close(4001, "b\u00fce"))
    client.expect(["message", "answer"], ["close", 4001, "b\u00fce"])
    client = client_of("/relay")
    peer = accept(ws_backend, client_of.transport)
    client.expect(["open", client_of.transport])
    client.leave()
    client.expect(["close", 3456, "enough"])
    assert peer.read_to_end(8) in ([], [close(1000)], [close(3456, "enough")], [close()])


def test_publish(client_of: Start, ws_backend: WebSocketBackend, ws: WebSocketStage, proxy: ProxyUnderTest) -> None:
    """More than fits into one streaming response, so the client comes back for the rest."""
    channel = fresh_channel()
    client = client_of("/relay")
    peer = accept(ws_backend, client_of.transport, grip=True)
    peer.send(control("subscribe", channel=channel), text("m:subscribed"))
    client.expect(["open", client_of.transport], ["message", "subscribed"])
    contents = [f"{number} " + "x" * 15_000 for number in range(20)]
    for content in contents:
        publish_ok(proxy.control_port, ws_item(channel, content))
        assert client.messages(1) == [content]
    publish_ok(proxy.control_port, ws_item(channel, action="close", code=4002, reason="over"))
    client.expect(["close", 4002, "over"])


def test_over_http(client_of: Start, backend: ScriptedBackend) -> None:
    """A web server sees a WebSocket, whatever the client uses."""
    script = EventsBackend(backend, opening(), events_reply(text_event("answer")), path=EVENTS[client_of.transport])
    client = client_of(EVENTS[client_of.transport])
    client.expect(["open", client_of.transport])
    client.send("question")
    client.expect(["message", "answer"])
    assert script.wait_events(2) == [text_event("question")]
