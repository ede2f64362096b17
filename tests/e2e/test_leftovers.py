"""What a hold needed goes with it, at once: nothing waits for a collection of garbage, which may be minutes away."""

from __future__ import annotations

import threading

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok
from tests.harness.timing import eventually
from tests.harness.websocket import WebSocketClient, close, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import close_event, events_reply
from tests.harness.ws_stage import WebSocketStage, control, ws_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}},
    )


def wait_for_plans(metrics_port: int, count: int) -> None:
    """Wait until as many plans are in use."""
    line = f"holdfast_hold_plans {count:.1f}"
    eventually(lambda: line in fetch(metrics_port, "/").text.splitlines(), line)


def test_followed_link(stage: Stage, metrics_port: int) -> None:
    """The answer of a link is kept for a second, for other streams."""
    channel = fresh_channel()
    link = stage.backend.serve(stream_reply(channel, b"more"))
    client = stage.hold(Reply(headers=[("Grip-Link", f"<{link}>; rel=next")], body=b"first"))
    client.read_head()
    assert client.read_data(9) == b"firstmore"
    wait_for_plans(metrics_port, 1)
    client.close()
    wait_for_plans(metrics_port, 0)


def test_client_that_leaves_during_a_retry(stage: Stage, metrics_port: int) -> None:
    """The request that is made again ends with the client."""
    channel = fresh_channel()
    is_over = threading.Event()
    path = stage.backend.serve_in_turn(poll_reply(channel), RawReply([is_over]))
    client = stage.client()
    client.request(path)
    stage.proxy.wait_held(path)
    publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"action": "hint"}}})
    eventually(lambda: len(stage.backend.requests(path)) == 2, "the second request")
    client.close()
    try:
        wait_for_plans(metrics_port, 0)
    finally:
        is_over.set()


class TestWebSockets:
    """Client, backend and hold know each other, as long as one of them speaks."""

    def test_client_closes(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, peer = ws.grip(fresh_channel())
        wait_for_plans(metrics_port, 1)
        client.send(close(1000))
        peer.expect(close(1000))
        peer.send(close(1000))
        client.expect(close(1000))
        self.assert_gone(metrics_port, client, peer)

    def test_client_vanishes(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, peer = ws.grip(fresh_channel())
        self.assert_gone(metrics_port, client, peer)

    def test_client_breaks_the_protocol(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, peer = ws.grip(fresh_channel())
        client.send_raw(b"\xff\xff")
        client.expect_end(1002)
        self.assert_gone(metrics_port, client, peer)

    def test_backend_closes(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, peer = ws.grip(fresh_channel())
        peer.send(close(1000))
        client.expect(close(1000))
        client.send(close(1000))
        self.assert_gone(metrics_port, client, peer)

    def test_backend_vanishes(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, peer = ws.grip(fresh_channel())
        peer.close()
        client.assert_dropped()
        self.assert_gone(metrics_port, client)

    @pytest.mark.parametrize("is_detached", [False, True])
    def test_publisher_closes(self, ws: WebSocketStage, metrics_port: int, is_detached: bool) -> None:
        channel = fresh_channel()
        client, peer = ws.grip(channel)
        if is_detached:
            peer.send(control("detach"))
            peer.expect(close())
        ws.publish(ws_item(channel, action="close", code=4000))
        client.expect(close(4000))
        client.send(close(4000))
        self.assert_gone(metrics_port, client, peer)

    def test_client_closes_over_http(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, script = ws.grip_over_http(fresh_channel())
        script.then(events_reply(close_event(1000)))
        client.send(close(1000))
        client.expect(close(1000))
        self.assert_gone(metrics_port, client)

    def test_client_vanishes_over_http(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, script = ws.grip_over_http(fresh_channel())
        script.then(events_reply())
        client.connection.close()
        script.wait_request(2)
        self.assert_gone(metrics_port, client)

    def test_backend_fails_over_http(self, ws: WebSocketStage, metrics_port: int) -> None:
        client, script = ws.grip_over_http(fresh_channel())
        script.then(Reply(500))
        client.send(text("x"))
        client.assert_dropped()
        self.assert_gone(metrics_port, client)

    @staticmethod
    def assert_gone(metrics_port: int, client: WebSocketClient, peer: BackendPeer | None = None) -> None:
        """Nothing is left once both connections are closed."""
        client.connection.close()
        if peer is not None:
            peer.close()
        wait_for_plans(metrics_port, 0)
