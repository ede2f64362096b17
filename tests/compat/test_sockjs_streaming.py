"""SockJS: the transports xhr_streaming and eventsource, which Pushpin does not have (SockJS protocol 0.3.3)."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, Connect, RawClient
from tests.harness.cors import without_framing
from tests.harness.grip import fresh_channel
from tests.harness.messages import Response
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok
from tests.harness.sockjs import COMMON, STILL_OPEN, Session, common, messages
from tests.harness.timing import scaled
from tests.harness.websocket import close
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_stage import ws_item

OTHERS = 60
HEARTBEAT_S = 25.0
_numbers = itertools.count(1)


@dataclass(frozen=True)
class Streaming:
    """A transport whose answer goes on: what it begins with, and how a frame is written."""

    name: str
    method: str
    content_type: str
    prelude: bytes
    before: str
    after: str

    def encode(self, frame: str) -> bytes:
        """A frame as it is written."""
        return f"{self.before}{frame}{self.after}".encode()


XHR_STREAMING = Streaming("xhr_streaming", "POST", "application/javascript", b"h" * 2048 + b"\n", "", "\n")
EVENTSOURCE = Streaming("eventsource", "GET", "text/event-stream", b"\r\n", "data: ", "\r\n\r\n")
both = pytest.mark.parametrize("transport", [XHR_STREAMING, EVENTSOURCE], ids=["xhr_streaming", "eventsource"])


class Stream:
    """One answer of a streaming transport."""

    def __init__(self, session: Session, transport: Streaming, query: str = "", origin: str | None = None) -> None:
        self.transport = transport
        self.client: RawClient = session.request(
            transport.name + query,
            method=transport.method,
            headers=[] if origin is None else [("Origin", origin)],
            body=b"" if transport.method == "POST" else None,
        )

    def begin(self) -> Response:
        """Read head and prelude."""
        head = self.client.read_head()
        assert (head.status, head.framing) == (200, "chunked"), head
        assert head.headers[0] == ("Content-Type", self.transport.content_type)
        assert self.client.read_data(len(self.transport.prelude)) == self.transport.prelude
        return head

    def expect(self, *frames: str, timeout_s: float = 5.0) -> None:
        """Read these frames."""
        for frame in frames:
            expected = self.transport.encode(frame)
            assert self.client.read_data(len(expected), timeout_s) == expected

    def read_frame(self) -> str | None:
        """Read the next frame, whatever it is; None is the end of the answer."""
        data = b""
        try:
            while not data.endswith(self.transport.after.encode()):
                data += self.client.read_data(1)
        except ClosedByServer:
            assert data == b""
            return None
        return data.decode().removeprefix(self.transport.before).removesuffix(self.transport.after)

    def expect_end(self) -> None:
        """Assert that the answer is complete."""
        assert self.client.read_chunks() == b""


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        *(f"relay,path_beg=/s{number}/,sockjs=/s{number} {target}" for number in range(1, OTHERS)),
        f"events,sockjs=/s 127.0.0.1:{backend.port},over_http",
        "demo,sockjs=/s,sockjs_as_path=/ws test",
    )


class Stage:
    """Sessions of the demo, and those whose WebSocket the test plays."""

    def __init__(self, connect: Connect, port: int, backend: WebSocketBackend) -> None:
        self._connect = connect
        self._port = port
        self._backend = backend

    def session(self, host: str = "demo") -> Session:
        """A session that is not open yet."""
        return Session(self._connect, self._port, host, "/s")

    def demo(self, transport: Streaming, query: str = "") -> tuple[Session, Stream]:
        """An open session of the demo."""
        session = self.session()
        stream = Stream(session, transport, query)
        stream.begin()
        stream.expect("o")
        return session, stream

    def relay(self, transport: Streaming) -> tuple[Session, Stream, BackendPeer]:
        """An open session, and its WebSocket."""
        prefix = f"/s{next(_numbers)}"
        session = Session(self._connect, self._port, "relay", prefix)
        stream = Stream(session, transport)
        peer = self._backend.take(prefix)
        peer.accept()
        stream.begin()
        stream.expect("o")
        return session, stream, peer


@pytest.fixture
def stage(proxy: ProxyUnderTest, connect: Connect, ws_backend: WebSocketBackend) -> Iterator[Stage]:
    yield Stage(connect, proxy.port, ws_backend)
    ws_backend.close_connections()


@differs("sockjs-streaming")
@both
class TestStreaming:
    def test_opening(self, stage: Stage, transport: Streaming) -> None:
        stream = Stream(stage.session(), transport, origin="http://a")
        head = stream.begin()
        assert without_framing(head) == [("Content-Type", transport.content_type), *common("http://a")]
        stream.expect("o")
        stream.client.assert_silent(0.2)

    def test_messages(self, stage: Stage, transport: Streaming) -> None:
        """One frame after the other in one answer."""
        session, stream = stage.demo(transport)
        session.send("a")
        stream.expect(messages("a"))
        session.send('q"é\n')
        stream.expect(messages('q"é\n'))

    def test_message_of_the_backend(self, stage: Stage, transport: Streaming) -> None:
        session, stream, peer = stage.relay(transport)
        peer.send_text("one")
        stream.expect(messages("one"))
        session.send("up")
        peer.expect_text("up")
        peer.send_text("two")
        stream.expect(messages("two"))

    def test_published_message(self, stage: Stage, proxy: ProxyUnderTest, transport: Streaming) -> None:
        channel = fresh_channel()
        _session, stream = stage.demo(transport, f"?channel={channel}")
        proxy.settle()
        publish_ok(proxy.control_port, ws_item(channel, "published"))
        stream.expect(messages("published"))

    def test_messages_between_two_answers(self, launch_once: Launch, connect: Connect, transport: Streaming) -> None:
        """A session may begin with polls, and what waited is in the first frame."""
        own = launch_once("demo,sockjs=/s,sockjs_as_path=/ws test")
        session = Session(connect, own.port, "demo", "/s")
        session.open()
        session.send("a", "b")
        stream = Stream(session, transport)
        stream.begin()
        stream.expect(messages("a", "b"))

    def test_close_of_the_backend(self, stage: Stage, transport: Streaming) -> None:
        """The last frame, and the end; then the session lingers."""
        session, stream, peer = stage.relay(transport)
        peer.send(close(4001, "bye"))
        stream.expect('c[4001,"bye"]')
        stream.expect_end()
        again = Stream(session, transport)
        again.begin()
        again.expect('c[4001,"bye"]')
        again.expect_end()
        session.expect('c[4001,"bye"]')

    def test_second_one(self, stage: Stage, transport: Streaming) -> None:
        session, stream = stage.demo(transport)
        second = Stream(session, transport)
        second.begin()
        second.expect(STILL_OPEN)
        second.expect_end()
        session.expect(STILL_OPEN)
        session.send("x")
        stream.expect(messages("x"))

    def test_client_leaves(self, stage: Stage, transport: Streaming) -> None:
        session, stream, peer = stage.relay(transport)
        stream.client.close()
        peer.assert_dropped(timeout_s=2)
        assert session.send_payload('["x"]').status == 404

    def test_refusal(self, stage: Stage, backend: ScriptedBackend, transport: Streaming) -> None:
        """Is the whole answer, as with a poll."""
        backend.serve(Reply(403, "No Way", [("X-A", "1")], b"nope"), path="/s")
        response = Stream(stage.session("events"), transport).client.read_response()
        assert (response.status, response.reason, response.text) == (403, "No Way", "nope")
        assert without_framing(response) == [("X-A", "1"), *COMMON]

    def test_wrong_method(self, stage: Stage, transport: Streaming) -> None:
        """The transport is there, and known by its own method only."""
        session, _stream = stage.demo(transport)
        other = "GET" if transport.method == "POST" else "PUT"
        response = session.request(transport.name, method=other).read_response()
        assert (response.status, response.text) == (404, "Not Found\n")

    def test_many_messages(self, stage: Stage, transport: Streaming) -> None:
        """An answer may end after some amount of bytes; the next one goes on where it ended, and nothing is lost."""
        session, stream, peer = stage.relay(transport)
        sent = [f"{number:03}" + "x" * 9_997 for number in range(40)]
        for content in sent:
            peer.send_text(content)
        received: list[str] = []
        while len(received) < len(sent):
            frame = stream.read_frame()
            if frame is None:
                stream = Stream(session, transport)
                stream.begin()
            else:
                received += json.loads(frame.removeprefix("a"))
        assert received == sent


@pytest.mark.slow
@differs("sockjs-streaming")
def test_heartbeats(stage: Stage) -> None:
    """Every 25 seconds, in the same answer."""
    streams = [stage.demo(transport, "?channel=nobody") for transport in (XHR_STREAMING, EVENTSOURCE)]
    start = time.monotonic()
    for _session, stream in streams:
        stream.client.assert_silent(HEARTBEAT_S / 2 - 1)
    for _session, stream in streams:
        stream.expect("h")
    assert HEARTBEAT_S - 1 < time.monotonic() - start < HEARTBEAT_S + scaled(2)
    for session, stream in streams:
        session.send("x")
        stream.expect(messages("x"))
