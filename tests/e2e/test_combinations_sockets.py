"""Sockets in every phase that they can be in, whose other side ends, breaks, or says too much; none is left open."""

from __future__ import annotations

import contextlib
import threading
import time

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, encode_request
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.leaks import no_free_descriptor
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, response_item
from tests.harness.timing import eventually
from tests.harness.websocket import WebSocketClient, close, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage

pytestmark = pytest.mark.usefixtures("lets_go")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        "test test",
        f"* 127.0.0.1:{backend.port}",
        f"relay 127.0.0.1:{ws_backend.port}",
        settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}},
    )


class TestWithoutDescriptors:
    """What needs no new descriptor goes on when there is none."""

    def test_parked_client_asks_again(self, stage: Stage, connect: Connect) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "item"))
        assert client.read_response().text == "item"
        with no_free_descriptor(stage.proxy):
            client.request("/", host="test")
            assert client.read_response().status == 200
        client.close()

    def test_last_response_is_ended(self, stage: Stage, connect: Connect) -> None:
        """With unread input a client is let go of gently, which shuts its socket down."""
        client = connect(stage.proxy.port)
        client.request("/", host="test")
        assert client.read_response().status == 200
        last = encode_request("/", host="test", headers=[("Connection", "close")])
        with no_free_descriptor(stage.proxy):
            client.send(last + encode_request("/", host="test"))
            assert client.read_response().status == 200
            client.assert_closed(1)


class TestBackendThatAnswersEarly:
    """The answer reaches the client although the backend does not take the rest of the request."""

    @pytest.mark.parametrize("resets", [False, True])
    @pytest.mark.parametrize("is_chunked", [False, True])
    def test_answer_arrives(self, stage: Stage, connect: Connect, resets: bool, is_chunked: bool) -> None:
        answer = b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 4\r\nConnection: close\r\n\r\nbig\n"
        for _ in range(10):
            path = stage.backend.serve(RawReply([answer], resets=resets), early=True)
            client = connect(stage.proxy.port)
            framing = ("Transfer-Encoding", "chunked") if is_chunked else ("Content-Length", "30000000")
            client.send(encode_request(path, method="POST", headers=[framing]))
            sender = threading.Thread(target=self._send, args=(client, is_chunked))
            sender.start()
            response = client.read_response()
            assert (response.status, response.text) == (413, "big\n")
            client.close()
            sender.join()

    def _send(self, client: RawClient, is_chunked: bool) -> None:
        piece = b"x" * 10_000
        with contextlib.suppress(OSError):
            for _ in range(3000):
                client.send(b"%x\r\n%b\r\n" % (len(piece), piece) if is_chunked else piece)


@pytest.mark.parametrize("resets", [False, True])
def test_post_is_never_repeated(stage: Stage, connect: Connect, resets: bool) -> None:
    """A backend that breaks an idle connection just as it is used again."""
    path = stage.backend.serve_in_turn(
        *[reply for _ in range(20) for reply in (Reply(body=b"ok"), RawReply([], resets=resets))]
    )
    client = connect(stage.proxy.port)
    statuses = []
    for _ in range(40):
        client.request(path, method="POST", body=b"x")
        statuses.append(client.read_response().status)
    assert len(stage.backend.requests(path)) <= 40
    assert statuses.count(200) == 20
    client.close()


def test_why_a_websocket_ends_is_told(ws: WebSocketStage, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    """A backend that closes without listening any more, to a client that goes on talking."""
    for _ in range(10):
        client, peer = ws.relay()
        is_over = threading.Event()
        talker = threading.Thread(target=talk, args=(client, is_over))
        talker.start()
        time.sleep(0.05)
        peer.send(text("why"), close(4001, "policy"))
        peer.close()
        client.expect(text("why"), close(4001, "policy"))
        is_over.set()
        talker.join()
        client.close()


def talk(client: WebSocketClient, is_over: threading.Event) -> None:
    with contextlib.suppress(OSError):
        while not is_over.is_set():
            client.send(text("x"))


PHASES = ["waiting", "half a head", "half a body", "serving", "streaming", "held", "idle after a hold", "last"]


def client_in(phase: str, stage: Stage, connect: Connect, gate: threading.Event) -> RawClient:
    """A client whose connection is in this phase."""
    client = connect(stage.proxy.port, receive_buffer=4096)
    match phase:
        case "half a head":
            client.send(b"GET / HTTP/1.1\r\nHost: x")
        case "half a body":
            client.send(encode_request(stage.backend.serve(Reply()), method="POST", headers=[("Content-Length", "9")]))
        case "serving":
            path = stage.backend.serve(RawReply([gate]))
            client.request(path)
            stage.backend.request(path)
        case "streaming":
            path = stage.backend.serve(Reply(body=[b"x" * 3_000_000, gate]))
            client.request(path)
            client.read_head()
        case "held" | "idle after a hold":
            channel = fresh_channel()
            client.request(stage.backend.serve(poll_reply(channel)))
            eventually(lambda: stage.proxy.log_lines("accept"), "held")
            if phase == "idle after a hold":
                eventually(lambda: is_answered(stage.proxy, channel, client), "answered")
        case "last":
            request = encode_request("/", host="test", headers=[("Connection", "close")])
            client.send(request + b"x" * 100_000)
    return client


def is_answered(proxy: ProxyUnderTest, channel: str, client: RawClient) -> bool:
    publish_ok(proxy.control_port, response_item(channel, "item"))
    return client.is_readable(0.05)


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("end", ["close", "half", "reset", "data and reset", "data and half", "half and reset"])
def test_client_that_leaves(stage: Stage, connect: Connect, phase: str, end: str) -> None:
    gate = threading.Event()
    client = client_in(phase, stage, connect, gate)
    with contextlib.suppress(OSError):  # the other side may have closed it already
        if end.startswith("data"):
            client.send(encode_request("/", host="test"))
        if "half" in end:
            client.shut_writing()
        if end.endswith("reset"):
            client.reset()
        elif end == "close":
            client.close()
        else:
            with contextlib.suppress(OSError):
                client.read_to_close()
            client.close()
    gate.set()
