"""WebSockets over ``zhttp/…`` targets: every message a packet, or several."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.client import Connect
from tests.harness.grip import fresh_channel
from tests.harness.ports import free_ports
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok
from tests.harness.timing import eventually
from tests.harness.websocket import Opcode, WebSocketClient, binary, close, fragments, ping, pong, text
from tests.harness.ws_events import OPEN, encode_events, text_event
from tests.harness.ws_stage import control, ws_item
from tests.harness.zhttp import CREDITS, StreamAsker, header_list, path_of

ORIGIN_ERROR = "Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def proxy(launch: Launch, zhttp_port: int) -> ProxyUnderTest:
    target = f"zhttp/tcp://127.0.0.1:{zhttp_port}"
    nobody = f"zhttp/tcp://127.0.0.1:{free_ports(3)}"
    return launch(
        f"z {target}",
        f"secure {target},ssl",
        f"plain,no_grip {target}",
        f"failover {target} test",
        f"events {target},over_http",
        f"nobody {nobody}",
    )


class TestHandshake:
    @pytest.mark.spec("ws-129")
    def test_first_packet(self, asker: StreamAsker) -> None:
        client, exchange = asker.shake(query="?a=1", headers=[("X-A", "1"), ("Sec-WebSocket-Protocol", "p, q")])
        packet = dict(exchange.request)
        packet.pop("router-resp", None)
        assert set(packet) == {"from", "id", "seq", "uri", "headers", "credits", "ignore-policies", "ext"}
        assert packet["uri"] == b"ws://z" + path_of(packet).encode() + b"?a=1"
        assert (packet["seq"], packet["credits"], packet["ext"]) == (0, CREDITS, {"multi": True})
        headers = header_list(packet)
        for header in (
            ("Host", "z"),
            ("X-A", "1"),
            ("Sec-WebSocket-Protocol", "p, q"),
            ("Sec-WebSocket-Extensions", "grip"),
        ):
            assert header in headers
        answered = [["Sec-WebSocket-Protocol", "q"], ["X-B", "2"]]
        exchange.send(code=101, reason="Switching Protocols", headers=answered, credits=CREDITS)
        response = client.accepted()
        assert (response.header("Sec-WebSocket-Protocol"), response.header("X-B")) == ("q", "2")

    def test_secure(self, asker: StreamAsker) -> None:
        _, exchange = asker.shake(host="secure")
        assert exchange.request["uri"].startswith(b"wss://secure/")

    def test_without_grip(self, asker: StreamAsker) -> None:
        _, exchange = asker.shake(host="plain")
        assert "Sec-WebSocket-Extensions" not in dict(header_list(exchange.request))

    def test_other_code(self, asker: StreamAsker) -> None:
        """Whatever it says, an acceptance is a 101."""
        client, exchange = asker.shake()
        exchange.send(code=200, reason="Switching Protocols", credits=CREDITS)
        client.accepted()

    @pytest.mark.parametrize("kind", ["keep-alive", "credit"])
    def test_after_another_packet(self, asker: StreamAsker, kind: str) -> None:
        client, exchange = asker.shake()
        exchange.send(type=kind, **({"credits": 1000} if kind == "credit" else {}))
        exchange.send(code=101, reason="Switching Protocols", credits=CREDITS)
        client.accepted()

    @pytest.mark.spec("ws-130")
    def test_rejected(self, asker: StreamAsker) -> None:
        client, exchange = asker.shake()
        headers = [["Content-Type", "text/plain"], ["X-A", "1"]]
        exchange.send(type="error", condition="rejected", code=403, reason="Forbidden", headers=headers, body=b"no\n")
        response = client.refused()
        assert (response.status, response.reason, response.text) == (403, "Forbidden", "no\n")
        assert (response.header("Content-Type"), response.header("X-A")) == ("text/plain", "1")

    @pytest.mark.parametrize(
        "fields",
        [
            {"type": "error"},
            {"type": "error", "condition": "made-up"},
            {"type": "error", "condition": "remote-connection-failed"},
            {"type": "cancel"},
            {"type": "close"},
            {"type": "ping"},
        ],
        ids=["error", "made-up", "connect", "cancel", "close", "ping"],
    )
    def test_failed(self, asker: StreamAsker, fields: dict[str, Any]) -> None:
        client, exchange = asker.shake()
        exchange.send(**fields)
        response = client.refused()
        assert (response.status, response.text) == (502, ORIGIN_ERROR)

    @pytest.mark.parametrize("seq", [{}, {"seq": 3}], ids=["missing", "3"])
    @pytest.mark.spec("ws-124")
    def test_wrong_seq(self, asker: StreamAsker, seq: dict[str, int]) -> None:
        client, exchange = asker.shake()
        usual = {"from": asker.backend.name, "id": exchange.request["id"], "code": 101, "credits": CREDITS}
        exchange.send_packet({**usual, **seq})
        assert exchange.receive()["type"] == b"cancel"
        assert client.refused().status == 502

    def test_next_target(self, asker: StreamAsker) -> None:
        client, exchange = asker.shake(host="failover")
        exchange.send(type="error", condition="remote-connection-failed")
        assert client.refused().text == "no such test resource\n"

    @pytest.mark.spec("ws-120")
    def test_nobody_there(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = WebSocketClient(connect(proxy.port))
        client.handshake("/", host="nobody")
        response = client.refused()
        assert (response.status, response.text) == (502, ORIGIN_ERROR)


@pytest.mark.spec("ws-129")
class TestToTheBackend:
    def test_messages(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        client.send(text("wörld"), binary(b"\x00\xff"), text(""))
        assert exchange.receive() == {"content-type": b"text", "body": "wörld".encode()}
        assert exchange.receive() == {"content-type": b"binary", "body": b"\x00\xff"}
        packet = exchange.receive()
        assert (packet["content-type"], packet.get("body", b"")) == (b"text", b"")

    def test_fragments(self, asker: StreamAsker) -> None:
        """Each fragment says the type, and all but the last that there is more."""
        client, exchange = asker.socket()
        client.send(*fragments(Opcode.BINARY, b"ab", b"cd"))
        data = bytearray()
        more = True
        while more:
            packet = exchange.receive()
            assert packet["content-type"] == b"binary"
            data += packet.get("body", b"")
            more = packet.get("more", False)
        assert data == b"abcd"

    @pytest.mark.parametrize("frame", [ping(b"pp"), pong(b"pp"), ping()])
    def test_ping_and_pong(self, asker: StreamAsker, frame: Any) -> None:
        client, exchange = asker.socket()
        client.send(frame)
        packet = exchange.receive()
        assert packet["type"] == (b"ping" if frame.opcode == Opcode.PING else b"pong")
        assert packet.get("body", b"") == frame.payload

    @pytest.mark.parametrize(("code", "reason"), [(4000, "bye"), (1000, "")])
    def test_close(self, asker: StreamAsker, code: int, reason: str) -> None:
        """Each side sends one."""
        client, exchange = asker.socket()
        client.send(close(code, reason))
        packet = exchange.receive()
        assert (packet["type"], packet["code"], packet.get("body", b"")) == (b"close", code, reason.encode())
        exchange.send(type="close", code=code)
        client.expect_end(code)

    def test_close_without_code(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        client.send(close())
        packet = exchange.receive()
        assert packet["type"] == b"close"
        assert "code" not in packet
        exchange.send(type="close")
        client.read_to_end()

    @pytest.mark.spec("ws-128")
    def test_client_vanishes(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        client.close()
        assert exchange.receive() == {"type": b"cancel"}

    def test_waits_for_credits(self, asker: StreamAsker) -> None:
        """Without any nothing is sent, and then as much as there are."""
        client, exchange = asker.shake()
        exchange.send(code=101, reason="Switching Protocols", credits=3)
        client.accepted()
        client.send_text("abcdef")
        packet = exchange.receive()
        assert (packet["body"], packet.get("more")) == (b"abc", True)
        exchange.send(type="credit", credits=10)
        packet = exchange.receive()
        assert (packet["body"], packet.get("more", False)) == (b"def", False)

    @differs("zhttp-first-credits")
    def test_first_credits_later(self, asker: StreamAsker) -> None:
        """What waits goes when credits come."""
        client, exchange = asker.shake()
        exchange.send(code=101, reason="Switching Protocols")
        client.accepted()
        client.send_text("abc")
        exchange.send(body="mark")
        client.expect_text("mark")
        exchange.send(type="credit", credits=10)
        assert exchange.receive_type(None)["body"] == b"abc"


@pytest.mark.spec("ws-129")
class TestToTheClient:
    def test_messages(self, asker: StreamAsker) -> None:
        """Without a type they are text."""
        client, exchange = asker.socket()
        exchange.send(body="wörld")
        exchange.send(content_type="text", body="a")
        exchange.send(content_type="binary", body=b"\x00\xff")
        exchange.send(content_type="text")
        client.expect(text("wörld"), text("a"), binary(b"\x00\xff"), text(""))

    def test_fragments(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        exchange.send(content_type="binary", body=b"ab", more=True)
        exchange.send(content_type="binary", body=b"cd")
        client.expect(binary(b"abcd"))

    @pytest.mark.parametrize("frame", [ping(b"pp"), pong(b"pp"), ping()])
    def test_ping_and_pong(self, asker: StreamAsker, frame: Any) -> None:
        client, exchange = asker.socket()
        exchange.send(type="ping" if frame.opcode == Opcode.PING else "pong", body=frame.payload)
        client.expect(frame)

    def test_close(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        exchange.send(type="close", code=4000, body="bye")
        client.expect(close(4000, "bye"))
        client.send(close(4000))
        assert exchange.receive_type("close")["code"] == 4000

    def test_close_without_code(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        exchange.send(type="close")
        client.expect(close(1000))

    @pytest.mark.parametrize("fields", [{"type": "cancel"}, {"type": "error"}])
    def test_cancel(self, asker: StreamAsker, fields: dict[str, Any]) -> None:
        """No close frame."""
        client, exchange = asker.socket()
        exchange.send(**fields)
        client.assert_dropped()

    @pytest.mark.spec("ws-124")
    def test_wrong_seq(self, asker: StreamAsker) -> None:
        client, exchange = asker.socket()
        exchange.send_packet({"from": asker.backend.name, "id": exchange.request["id"], "seq": 9, "body": "never"})
        assert exchange.receive() == {"type": b"cancel"}
        client.assert_dropped()

    @pytest.mark.spec("ws-125")
    def test_credits(self, asker: StreamAsker) -> None:
        """Of what was passed on."""
        client, exchange = asker.socket()
        for _ in range(4):
            exchange.send(content_type="binary", body=b"x" * 100_000)
            client.expect(binary(b"x" * 100_000))
            exchange.receive_credits(100_000)


class TestOverHttp:
    def test_messages(self, asker: StreamAsker) -> None:
        """WebSocket-over-HTTP needs no more of the target than any request."""
        client, exchange = asker.shake(host="events")
        path = path_of(exchange.request)
        assert (exchange.request["method"], exchange.read_body()) == (b"POST", b"OPEN\r\n")
        events = [["Content-Type", "application/websocket-events"]]
        exchange.send(code=200, reason="OK", headers=events, body=encode_events(OPEN))
        client.accepted()
        client.send_text("hello")
        exchange = asker.backend.take(path)
        assert exchange.read_body() == b"TEXT 5\r\nhello\r\n"
        exchange.send(code=200, reason="OK", headers=events, body=encode_events(text_event("answer")))
        client.expect_text("answer")


class TestGrip:
    def test_published(self, asker: StreamAsker) -> None:
        channel = fresh_channel()
        client, exchange = asker.socket(extension="grip")
        exchange.send(body=control("subscribe", channel=channel).payload)
        exchange.send(body="m:hello")
        client.expect_text("hello")
        wait_subscribed(asker.proxy, client, channel)
        client.send_text("up")
        assert exchange.receive_type(None)["body"] == b"up"


def wait_subscribed(proxy: ProxyUnderTest, client: WebSocketClient, channel: str) -> None:
    """Publish until something arrives."""

    def arrives() -> bool:
        publish_ok(proxy.control_port, ws_item(channel, "published"))
        try:
            return client.read(0.1) == text("published")
        except TimeoutError:
            return False

    eventually(arrives, f"a subscription to {channel}")
