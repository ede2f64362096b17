"""Backends that are gone before, in the middle of, and after their answer: clients are told, and nothing remains."""

from __future__ import annotations

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.links import NextLink
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually
from tests.harness.watch import MB, Bystander, Watch
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event, events_reply, opening
from tests.harness.ws_stage import WebSocketStage, ws_item

TIMES = 100


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        "dead 127.0.0.1:1",
        f"failover 127.0.0.1:1 127.0.0.1:{backend.port}",
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}", "subscription_linger": 0}},
    )


BEFORE = [
    pytest.param(RawReply([]), id="closed before the answer"),
    pytest.param(RawReply([], resets=True), id="reset before the answer"),
    pytest.param(RawReply([b"HTTP/1.1 200 OK\r\nContent-Le"]), id="in the middle of the head"),
    pytest.param(RawReply([b"HTTP/1.1 200 OK\r\nContent-Le"], resets=True), id="reset in the middle of the head"),
]

MIDDLE = [
    pytest.param(Reply(body=b"x" * 500_000, length=MB, breaks_off=True), id="sized"),
    pytest.param(Reply(body=b"x" * 500_000, framing=Framing.CHUNKED, breaks_off=True), id="chunked"),
    pytest.param(
        RawReply([b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n", b"x" * 100_000], resets=True), id="reset"
    ),
]


class TestHttp:
    @pytest.mark.parametrize("reply", BEFORE)
    def test_before_the_answer(self, watch: Watch, stage: Stage, reply: RawReply) -> None:
        path = stage.backend.serve(reply)
        client = stage.client()
        before = watch.metric("backend_failures")
        with Bystander(stage.proxy.port, stage.backend.serve(Reply(body=b"ok"))):
            for _ in range(TIMES):
                client.request(path)
                assert client.read_response().status == 502
        assert watch.metric("backend_failures") == before + TIMES
        client.close()

    @pytest.mark.parametrize("reply", MIDDLE)
    def test_in_the_middle(self, watch: Watch, stage: Stage, reply: Reply | RawReply) -> None:
        """It can be seen that the response is not whole."""
        path = stage.backend.serve(reply)
        before = watch.metric("responses_truncated")
        with Bystander(stage.proxy.port, stage.backend.serve(Reply(body=b"ok"))):
            for _ in range(TIMES // 4):
                client = stage.client()
                client.request(path)
                with pytest.raises(ClosedByServer):
                    client.read_response()
                client.close()
        assert watch.metric("responses_truncated") == before + TIMES // 4

    def test_after_the_answer(self, watch: Watch, stage: Stage) -> None:
        """Connections that have gone stale meanwhile are not noticed by anybody."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        for _ in range(TIMES // 4):
            client.request(path)
            assert client.read_response().text == "ok"
            stage.backend.cut_connections()
        client.close()

    def test_nobody_is_there(self, watch: Watch, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        for _ in range(TIMES):
            client.request("/", host="dead")
            assert client.read_response().status == 502
            client.request(path, host="failover")
            assert client.read_response().text == "ok"
        client.close()

    def test_in_the_middle_of_a_request(self, watch: Watch, stage: Stage, ws: WebSocketStage) -> None:
        """A backend that goes while a body is sent to it: the client is answered, and may send the rest in vain."""
        for number in range(20):
            client = stage.client()
            client.request(f"/broken{number}", method="POST", host="relay", headers=[("Content-Length", str(10 * MB))])
            client.send(b"x" * 300_000)
            peer = ws.ws_backend.take(f"/broken{number}")
            peer.connection.reset()
            assert client.read_response().status == 502
            client.close()


class TestHolds:
    def test_a_stream_outlives_its_backend(self, watch: Watch, stage: Stage) -> None:
        channel = fresh_channel()
        clients = [stage.stream(channel) for _ in range(20)]
        stage.backend.stop()
        publish_ok(stage.proxy.control_port, stream_item(channel, "still here"))
        for client in clients:
            assert client.read_data(10) == b"still here"
        stage.backend.start()
        for client in clients:
            client.close()

    def test_a_link_whose_backend_is_away_for_a_while(self, watch: Watch, stage: Stage) -> None:
        """It is asked again, and what was published meanwhile is delivered."""
        channel = fresh_channel()
        link = NextLink(stage.backend)
        link.answers(RawReply([]), RawReply([], resets=True), link.holds(channel, b"recovered"))
        client = stage.hold(Reply(headers=[link.header()], body=b"first"))
        client.read_head()
        assert client.read_data(14, timeout_s=10) == b"firstrecovered"
        publish_ok(stage.proxy.control_port, stream_item(channel, "next"))
        assert client.read_data(4) == b"next"
        client.close()

    @pytest.mark.parametrize("reply", BEFORE)
    def test_instead_of_an_instruct(self, watch: Watch, stage: Stage, reply: RawReply) -> None:
        for _ in range(20):
            assert fetch(stage.proxy.port, stage.backend.serve(reply)).status == 502

    def test_in_the_middle_of_an_instruct(self, watch: Watch, stage: Stage) -> None:
        instruct = stream_reply(fresh_channel(), b"x" * 100_000).headers
        path = stage.backend.serve(Reply(headers=instruct, body=b"x" * 50_000, length=100_000, breaks_off=True))
        for _ in range(20):
            assert fetch(stage.proxy.port, path).status == 502
        assert watch.metric("channels") == 0


class TestWebSockets:
    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_before_the_handshake_is_answered(self, watch: Watch, ws: WebSocketStage, how: str) -> None:
        for _ in range(20):
            client, peer = ws.shake()
            getattr(peer.connection, how)()
            assert client.refused().status == 502
            client.close()

    @pytest.mark.parametrize("how", ["close", "reset"])
    def test_in_the_middle_of_a_message(self, watch: Watch, ws: WebSocketStage, how: str) -> None:
        """Whatever waited for the end of the message is lost, and so is the client."""
        before = watch.metric("websockets_broken_off")
        for _ in range(20):
            channel = fresh_channel()
            client, peer = ws.grip(channel)
            peer.send_raw(b"\x01\x04m:be")
            assert client.read_frame().payload == b"be"
            ws.publish(ws_item(channel, "waits"))
            getattr(peer.connection, how)()
            client.assert_dropped()
            client.close()
        assert watch.metric("websockets_broken_off") == before + 20

    def test_over_http(self, watch: Watch, ws: WebSocketStage) -> None:
        for _ in range(10):
            client, script = ws.over_http(RawReply([], resets=True), first=opening(Event("TEXT", b"hello")))
            client.expect_text("hello")
            client.send(text("x"))
            client.assert_dropped()
            client.close()
            assert len(script.requests) >= 2

    def test_over_http_in_the_middle_of_an_answer(self, watch: Watch, ws: WebSocketStage) -> None:
        whole = events_reply(Event("TEXT", b"x" * 1000))
        for _ in range(10):
            client, _ = ws.over_http(RawReply([whole.head(), b"TEXT 3E8\r\nxx"]))
            client.send(text("x"))
            client.assert_dropped()
            client.close()

    def test_over_http_that_is_away_for_a_while(self, watch: Watch, ws: WebSocketStage) -> None:
        """A backend that cannot be connected to is tried again; the client does not notice."""
        client, script = ws.over_http(events_reply(Event("TEXT", b"back")))
        ws.backend.stop()
        client.send(text("anybody?"))
        eventually(lambda: watch.metric("websocket_retries") >= 1, "a retry")
        ws.backend.start()
        client.expect_text("back", timeout_s=15)
        client.close()
        assert script.requests
