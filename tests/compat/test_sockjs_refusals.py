"""SockJS with backends that refuse a client, that are not there, or that make no sense."""

from __future__ import annotations

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.cors import without_framing
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.sockjs import COMMON, JSONP, XHR, Session, Transport, common
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import EVENTS_TYPE, opening
from tests.harness.ws_stage import WebSocketStage

BAD_GATEWAY = "Error while proxying to origin.\n"
both = pytest.mark.parametrize("transport", [XHR, JSONP], ids=["xhr", "jsonp"])


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    dead = f"127.0.0.1:{free_port()}"
    return launch(
        f"relay,sockjs=/s 127.0.0.1:{ws_backend.port}",
        f"events,sockjs=/s 127.0.0.1:{backend.port},over_http",
        f"dead,sockjs=/s {dead}",
        f"dead-debug,debug,sockjs=/s {dead}",
        f"second,sockjs=/s {dead} 127.0.0.1:{backend.port},over_http",
    )


@both
class TestOverHttp:
    def test_refusal(
        self, proxy: ProxyUnderTest, connect: Connect, backend: ScriptedBackend, transport: Transport
    ) -> None:
        """Status, headers and body of the backend, never wrapped; and the next poll opens anew."""
        inner = [("X-A", "1"), ("Content-Type", "a/b"), ("Set-Cookie", "q")]
        backend.serve_in_turn(Reply(403, "No Way", inner, b"nope"), opening(), path="/s")
        session = Session(connect, proxy.port, "events", "/s", transport)
        response = session.poll(headers=[("Origin", "http://a")])
        assert (response.status, response.reason, response.text) == (403, "No Way", "nope")
        assert without_framing(response) == [*inner, *common("http://a")]
        assert session.send_payload('["x"]').status == 404
        session.open()

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(headers=[("Content-Type", EVENTS_TYPE)], body=b"TEXT 1\r\nx\r\n"), id="no OPEN"),
            pytest.param(Reply(headers=[("Content-Type", EVENTS_TYPE)], body=b"nonsense"), id="no events"),
            pytest.param(RawReply([b"nonsense\r\n\r\n"]), id="no HTTP"),
        ],
    )
    def test_nonsense(
        self,
        proxy: ProxyUnderTest,
        connect: Connect,
        backend: ScriptedBackend,
        transport: Transport,
        reply: Reply | RawReply,
    ) -> None:
        backend.serve(reply, path="/s")
        response = Session(connect, proxy.port, "events", "/s", transport).poll()
        assert (response.status, response.reason, response.text) == (502, "Bad Gateway", BAD_GATEWAY)
        assert without_framing(response) == COMMON

    def test_next_target(
        self, proxy: ProxyUnderTest, connect: Connect, backend: ScriptedBackend, transport: Transport
    ) -> None:
        backend.serve(opening(), path="/s")
        Session(connect, proxy.port, "second", "/s", transport).open()


@both
class TestWebSocket:
    def test_refusal(self, ws: WebSocketStage, connect: Connect, transport: Transport) -> None:
        session = Session(connect, ws.proxy.port, "relay", "/s", transport)
        poll = session.begin_poll()
        ws.ws_backend.take("/s").reject(Reply(403, "No", body=b"nope"))
        response = poll.read_response()
        assert (response.status, response.text) == (403, "nope")
        assert without_framing(response) == COMMON

    @differs("ws-rejection-headers")
    def test_reason_and_headers_of_a_refusal(self, ws: WebSocketStage, connect: Connect, transport: Transport) -> None:
        session = Session(connect, ws.proxy.port, "relay", "/s", transport)
        poll = session.begin_poll()
        ws.ws_backend.take("/s").reject(Reply(403, "No Way", [("X-A", "1")], b"nope"))
        response = poll.read_response()
        assert (response.reason, without_framing(response)) == ("No Way", [("X-A", "1"), *COMMON])

    def test_nobody_there(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        """Without a Content-Type, as for other WebSockets."""
        response = Session(connect, proxy.port, "dead", "/s", transport).poll(headers=[("Origin", "http://a")])
        assert (response.status, response.reason, response.text) == (502, "Bad Gateway", BAD_GATEWAY)
        assert without_framing(response) == common("http://a")

    def test_debug(self, proxy: ProxyUnderTest, connect: Connect, transport: Transport) -> None:
        response = Session(connect, proxy.port, "dead-debug", "/s", transport).poll()
        assert response.text.startswith("Unable to connect to any targets. Tried: 127.0.0.1:")
