"""SockJS over HTTP, where Pushpin has nothing to compare with: streams, bounds, and how sessions end."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import threading
import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.client import ClosedByServer, Connect, RawClient
from tests.harness.grip import fresh_channel
from tests.harness.messages import Response
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually
from tests.harness.watch import scrape
from tests.harness.websocket import Opcode, WebSocketClient, close, fragments, ping, pong, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import CLOSE, DISCONNECT, EventsBackend, events_reply, opening
from tests.harness.ws_stage import WebSocketStage, control, ws_item
from websockets.sync.client import connect as connect_websocket

PRELUDE = b"h" * 2048 + b"\n"
STILL_OPEN = b'c[2010,"Another connection still open"]'
_numbers = itertools.count(1)
AWAY = b'c[1001,"Connection closed"]'


class SockJsStage:
    """SockJS clients on raw connections."""

    def __init__(self, ws: WebSocketStage, connect: Connect) -> None:
        self.ws = ws
        self._connect = connect

    def session(self, host: str = "relay") -> Session:
        return Session(self, host, f"/s/0/x{next(_numbers)}")

    def connect(self) -> RawClient:
        return self._connect(self.ws.proxy.port)


class Session:
    """One client."""

    def __init__(self, stage: SockJsStage, host: str, path: str) -> None:
        self.stage = stage
        self.host = host
        self.path = path

    def ask(self, name: str, *, body: bytes = b"", client: RawClient | None = None, version: str = "1.1") -> RawClient:
        """Send a request, without waiting for the answer."""
        client = client or self.stage.connect()
        method = "GET" if name in ("eventsource", "jsonp") else "POST"
        client.request(f"{self.path}/{name}", method=method, host=self.host, body=body or None, version=version)
        return client

    def get(self, name: str) -> Response:
        return self.ask(name).read_response()

    def poll(self) -> bytes:
        return self.get("xhr").body

    def send(self, *messages: str) -> Response:
        return self.ask("xhr_send", body=json.dumps(messages).encode()).read_response()

    def open(self) -> BackendPeer:
        """Open it by a poll; the end of a backend that speaks GRIP."""
        client = self.ask("xhr")
        peer = self.accept()
        assert client.read_response().body == b"o\n"
        return peer

    def accept(self) -> BackendPeer:
        peer = self.stage.ws.ws_backend.take("/s")
        peer.accept([("Sec-WebSocket-Extensions", 'grip; message-prefix=""')])
        return peer

    def stream(self, name: str) -> tuple[RawClient, Response]:
        """A streaming response whose head has come."""
        client = self.ask(name)
        return client, client.read_head()


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        "test,sockjs=/s,sockjs_as_path=/ws test",
        f"relay,sockjs=/s 127.0.0.1:{ws_backend.port}",
        f"relay,path_beg=/t,sockjs=/t 127.0.0.1:{ws_backend.port}",
        f"other,sockjs=/s 127.0.0.1:{ws_backend.port}",
        f"events,sockjs=/s 127.0.0.1:{backend.port},over_http",
        f"dead,sockjs=/s 127.0.0.1:{free_port()}",
        settings={
            "runner": {"allow_compression": "true"},
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}", "prometheus_prefix": ""},
        },
    )


@pytest.fixture
def sockjs(ws: WebSocketStage, connect: Connect) -> SockJsStage:
    return SockJsStage(ws, connect)


class TestStreams:
    def test_xhr_streaming(self, sockjs: SockJsStage) -> None:
        session = sockjs.session("test")
        client, head = session.stream("xhr_streaming")
        assert head.header("Content-Type") == "application/javascript"
        assert head.header("Access-Control-Allow-Origin") == "*"
        assert client.read_data(len(PRELUDE) + 2) == PRELUDE + b"o\n"
        assert session.send("a", "b").body == b"ok"
        assert client.read_data(14) == b'a["a"]\na["b"]\n'

    def test_eventsource(self, sockjs: SockJsStage) -> None:
        session = sockjs.session("test")
        client, head = session.stream("eventsource")
        assert head.header("Content-Type") == "text/event-stream"
        assert client.read_data(13) == b"\r\ndata: o\r\n\r\n"
        session.send("a")
        assert client.read_data(16) == b'data: a["a"]\r\n\r\n'

    @pytest.mark.parametrize(
        ("name", "rest"),
        [
            ("xhr", STILL_OPEN + b"\n"),
            ("xhr_streaming", PRELUDE + STILL_OPEN + b"\n"),
            ("eventsource", b"\r\ndata: " + STILL_OPEN + b"\r\n\r\n"),
        ],
    )
    def test_another_one(self, sockjs: SockJsStage, name: str, rest: bytes) -> None:
        session = sockjs.session("test")
        client, _ = session.stream("xhr_streaming")
        client.read_data(len(PRELUDE) + 2)
        assert session.get(name).body == rest
        session.send("a")
        assert client.read_data(7) == b'a["a"]\n'

    def test_ends_after_128_kib_and_goes_on_in_the_next(self, sockjs: SockJsStage) -> None:
        """On the same connection, without another opening."""
        session = sockjs.session()
        client = session.ask("xhr_streaming")
        peer = session.accept()
        client.read_head()
        client.read_data(len(PRELUDE) + 2)
        contents = [f"{number} " + "x" * 30_000 for number in range(8)]
        peer.send(*(text(content) for content in contents))
        received = client.read_chunks()
        session.ask("xhr_streaming", client=client)
        client.read_head()
        assert client.read_data(len(PRELUDE)) == PRELUDE
        expected = [json.dumps([content]) for content in contents]
        first = received.decode().splitlines()
        assert 128 * 1024 <= len(received) < 161 * 1024
        messages = [message for line in first for message in json.loads(line[1:])]
        while len(messages) < len(contents):
            messages += json.loads(client.read_chunk().decode()[1:])
        assert messages == [json.loads(text)[0] for text in expected]

    def test_http_10(self, sockjs: SockJsStage) -> None:
        """The end of the connection is that of the response."""
        session = sockjs.session()
        client = session.ask("eventsource", version="1.0")
        peer = session.accept()
        assert not client.read_head().has("Transfer-Encoding")
        peer.send(text("1"), close(4000, "bye"))
        assert client.read_to_close() == b'\r\ndata: o\r\n\r\ndata: a["1"]\r\n\r\ndata: c[4000,"bye"]\r\n\r\n'

    def test_a_client_that_leaves(self, sockjs: SockJsStage) -> None:
        session = sockjs.session()
        client = session.ask("xhr_streaming")
        peer = session.accept()
        client.read_head()
        client.close()
        peer.assert_dropped()
        assert session.send("a").status == 404

    def test_backend_breaks_off(self, sockjs: SockJsStage) -> None:
        """The response ends, and nothing is left of the session."""
        session = sockjs.session()
        client = session.ask("xhr_streaming")
        peer = session.accept()
        client.read_head()
        peer.close()
        assert client.read_chunks() == PRELUDE + b"o\n"
        assert session.send("a").status == 404

    def test_a_slow_client_holds_up_the_backend(self, sockjs: SockJsStage) -> None:
        """And gets everything in the end."""
        session = sockjs.session()
        client = sockjs.ws.client(receive_buffer=4096).connection
        assert isinstance(client, RawClient)
        session.ask("xhr_streaming", client=client)
        peer = session.accept()
        client.read_head()
        client.read_data(len(PRELUDE) + 2)
        peer.send(*(text("x" * 100_000) for _ in range(3)))
        count = 0
        for line in client.read_chunks().splitlines():
            count += len(json.loads(line[1:])[0])
        session.ask("xhr_streaming", client=client)
        client.read_head()
        assert client.read_data(len(PRELUDE)) == PRELUDE
        while count < 300_000:
            count += sum(map(len, json.loads(client.read_chunk()[1:])))
        assert count == 300_000


class TestSessions:
    def test_belong_to_their_host_and_route(self, sockjs: SockJsStage) -> None:
        session = sockjs.session()
        peer = session.open()
        for host, path in (("other", session.path), ("relay", "/t" + session.path[2:])):
            stranger = Session(sockjs, host, path)
            assert stranger.send("mine").status == 404
            stranger.ask("xhr")
            sockjs.ws.ws_backend.take(path[:2])
        assert session.send("a").body == b"ok"
        peer.expect_text("a")

    def test_a_connection_carries_everything_in_turn(self, sockjs: SockJsStage) -> None:
        session = sockjs.session("test")
        client = session.ask("xhr")
        assert client.read_response().body == b"o\n"
        session.ask("xhr_send", client=client, body=b'["a"]')
        session.ask("xhr", client=client)
        assert [client.read_response().body for _ in range(2)] == [b"ok", b'a["a"]\n']
        session.ask("xhr", client=client)
        client.assert_silent(0.2)
        session.send("b")
        assert client.read_response().body == b'a["b"]\n'

    def test_open_polls_are_parked(self, sockjs: SockJsStage, metrics_port: int) -> None:
        before = scrape(metrics_port)["parked_clients"]
        session = sockjs.session()
        session.open()
        session.ask("xhr")
        # the poll, and the socket to the backend
        eventually(lambda: scrape(metrics_port)["parked_clients"] >= before + 2, "parked clients")
        assert scrape(metrics_port)["sockjs_sessions"] >= 1

    def test_over_http(self, sockjs: SockJsStage, backend: ScriptedBackend) -> None:
        """The web server sees an ordinary session."""
        script = EventsBackend(backend, opening(), path="/s")
        session = sockjs.session("events")
        assert session.poll() == b"o\n"
        assert session.send("a").body == b"ok"
        (event,) = script.wait_events(2)
        assert (event.type, event.content) == ("TEXT", b"a")
        session.ask("xhr").close()
        eventually(lambda: DISCONNECT in script.all_events(), "DISCONNECT")

    def test_a_client_that_leaves_while_the_backend_thinks(self, sockjs: SockJsStage, backend: ScriptedBackend) -> None:
        gate = threading.Event()
        script = EventsBackend(backend, held_back(gate, opening()), path="/s")
        session = sockjs.session("events")
        client = session.ask("xhr")
        script.wait_request(1)
        client.close()
        eventually(lambda: session.send("a").status == 404, "the session to be forgotten")
        gate.set()
        assert script.wait_events(2) == [DISCONNECT]

    def test_refused_and_unreachable(self, sockjs: SockJsStage, backend: ScriptedBackend) -> None:
        EventsBackend(backend, Reply(403, headers=[("X-A", "b"), ("Content-Type", "text/x")], body=b"no"), path="/s")
        answer = sockjs.session("events").get("xhr_streaming")
        assert (answer.status, answer.header("X-A"), answer.body) == (403, "b", b"no")
        assert answer.header("Access-Control-Allow-Origin") == "*"
        answer = sockjs.session("dead").get("eventsource")
        assert (answer.status, answer.body) == (502, b"Error while proxying to origin.\n")
        assert not answer.has("Content-Type")

    def test_an_event_backend_that_closes(self, sockjs: SockJsStage, backend: ScriptedBackend) -> None:
        EventsBackend(backend, opening(), events_reply(CLOSE), path="/s")
        session = sockjs.session("events")
        session.poll()
        waiting = session.ask("xhr")
        session.send("a")
        assert waiting.read_response().body == b'c[0,"Connection closed"]\n'


class TestFramed:
    @pytest.fixture
    def opened(self, ws: WebSocketStage) -> tuple[WebSocketClient, BackendPeer]:
        """A client that has its first frame, and its backend."""
        client = ws.client()
        client.handshake("/s/0/x/websocket", host="relay")
        peer = ws.ws_backend.take("/s/websocket")
        peer.accept()
        client.accepted()
        client.expect_text("o")
        return client, peer

    def test_compressed_and_published(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        address = f"ws://test:{ws.proxy.port}/s/0/x/websocket?channel={channel}"
        with connect_websocket(address, sock=socket.create_connection(("127.0.0.1", ws.proxy.port))) as client:
            assert [extension.name for extension in client.protocol.extensions] == ["permessage-deflate"]
            assert client.recv(5) == "o"
            client.send('["echo"]')
            assert client.recv(5) == 'a["echo"]'
            ws.publish(ws_item(channel, "x" * 1000))
            assert client.recv(5) == 'a["' + "x" * 1000 + '"]'

    def test_a_ping_is_answered_by_the_backend(self, opened: tuple[WebSocketClient, BackendPeer]) -> None:
        client, peer = opened
        client.send(ping(b"p"))
        peer.expect(ping(b"p"))
        peer.send(pong(b"p"))
        client.expect(pong(b"p"))

    def test_fragments_pass_as_they_come(self, opened: tuple[WebSocketClient, BackendPeer]) -> None:
        client, peer = opened
        one, *others = fragments(Opcode.TEXT, b"w\xc3", b"\xb6", b'"')
        peer.send(one)
        assert client.read_frame().payload == b'a["w'
        peer.send(*others)
        assert client.read_frame().payload == "ö".encode()
        assert client.read_frame().payload == b'\\""]'


def test_too_many_sessions(launch_once: Launch, connect: Connect) -> None:
    proxy = launch_once("*,sockjs=/s,sockjs_as_path=/ws test", settings={"runner": {"client_maxconn": 3}})
    client = connect(proxy.port)
    answers = []
    for number in range(5):
        client.request(f"/s/0/{number}/xhr", method="POST")
        answers.append(client.read_response())
    assert [answer.status for answer in answers] == [200, 200, 200, 503, 503]
    assert answers[-1].body == b"Too many sessions.\n"
    proxy.wait_log("SockJS session refused: there are 3")
    time.sleep(5.3)
    client.request("/s/0/0/xhr", method="POST")
    assert client.read_response().body == b"o\n"


def test_orderly_stop(
    launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> None:
    """SIGTERM: whoever asks is told, backends are told, and everything ends in time."""
    proxy = launch_once(
        f"relay,sockjs=/s 127.0.0.1:{ws_backend.port}", f"events,sockjs=/s 127.0.0.1:{backend.port},over_http"
    )
    stage = SockJsStage(WebSocketStage(proxy, backend, ws_backend, connect), connect)
    script = EventsBackend(backend, opening(), path="/s")
    polled, streamed, absent = stage.session(), stage.session(), stage.session("events")
    first = polled.open()
    poll = polled.ask("xhr")
    stream = streamed.ask("xhr_streaming")
    second = streamed.accept()
    stream.read_head()
    stream.read_data(len(PRELUDE) + 2)
    assert absent.poll() == b"o\n"
    started = time.monotonic()
    proxy.send_signal(signal.SIGTERM)
    assert poll.read_response().body == AWAY + b"\n"
    assert stream.read_chunks() == AWAY + b"\n"
    for peer in (first, second):
        assert peer.read() == close()
        peer.close()
    script.wait_for(CLOSE)
    assert proxy.wait_exit() == 0
    assert time.monotonic() - started < 5


def test_requests_are_logged_and_counted(sockjs: SockJsStage, proxy: ProxyUnderTest, metrics_port: int) -> None:
    before = scrape(metrics_port)["sockjs_sessions_opened_total"]
    session = sockjs.session("test")
    session.poll()
    session.send("a")
    session.poll()
    path = session.path
    assert proxy.wait_log(rf"POST http://test{path}/xhr -> test code=200 2$")
    assert proxy.wait_log(rf"POST http://test{path}/xhr_send code=200 2$")
    session.ask("xhr")
    assert proxy.wait_log(rf"POST http://test{path}/xhr accept$")
    assert scrape(metrics_port)["sockjs_sessions_opened_total"] == before + 1


def test_control_messages(sockjs: SockJsStage) -> None:
    """Subscriptions, keep-alives and detach of the backend, for a client that polls."""
    channel = fresh_channel()
    session = sockjs.session()
    client = session.ask("xhr")
    peer = sockjs.ws.ws_backend.take("/s")
    peer.accept([("Sec-WebSocket-Extensions", "grip")])
    assert client.read_response().body == b"o\n"
    peer.send(control("subscribe", channel=channel), control("keep-alive", content="k", timeout=1), text("m:ready"))
    assert session.poll() == b'a["ready"]\n'
    assert session.poll() == b'a["k"]\n'
    peer.send(control("keep-alive"), control("detach"))
    assert peer.read().opcode == Opcode.CLOSE
    with pytest.raises(ClosedByServer):
        peer.read()
    sockjs.ws.publish(ws_item(channel, "still here"))
    frames = session.poll()
    assert frames.endswith(b'"still here"]\n')
