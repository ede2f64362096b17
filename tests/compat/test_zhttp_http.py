"""Targets ``zhttp/…``: requests and responses in packets, with credits for what may be sent."""

from __future__ import annotations

import time
from typing import Any

import pytest
import zmq
from tests.harness.client import ClosedByServer, Connect, RawClient, fetch
from tests.harness.grip import fresh_channel
from tests.harness.ports import free_ports
from tests.harness.proxy import IS_PUSHPIN, Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, publish_ok, stream_item
from tests.harness.timing import scaled
from tests.harness.zhttp import (
    CREDITS,
    StreamAsker,
    as_fields,
    encode_packet,
    fresh_path,
    header_list,
    path_of,
)
from tests.harness.zmq_sockets import ZmqSockets

ORIGIN_ERROR = "Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def proxy(launch: Launch, zhttp_port: int) -> ProxyUnderTest:
    target = f"zhttp/tcp://127.0.0.1:{zhttp_port}"
    nobody = f"zhttp/tcp://127.0.0.1:{free_ports(3)}"
    return launch(
        f"z {target}",
        f"debug,debug {target}",
        f"untrusted {target},untrusted",
        f"insecure {target},insecure,trust_connect_host,ssl",
        f"failover {target} test",
        f"nobody {nobody}",
        f"nobody-first {nobody} test",
    )


class TestFirstPacket:
    @pytest.mark.spec("ws-121", "ws-122")
    def test_fields(self, asker: StreamAsker) -> None:
        client, exchange = asker.ask("?a=b%20c", headers=[("x-a", "w\xf6rld"), ("X-A", "2")])
        packet = dict(exchange.request)
        packet.pop("router-resp", None)
        usual = {"from", "id", "seq", "method", "uri", "headers", "stream", "credits", "ignore-policies", "ext"}
        assert set(packet) == usual
        assert (packet["seq"], packet["stream"], packet["credits"]) == (0, True, CREDITS)
        assert packet["ext"] == {"multi": True}
        assert (packet["method"], packet["ignore-policies"]) == (b"GET", True)
        assert packet["uri"] == b"http://z" + path_of(packet).encode() + b"?a=b%20c"
        headers = header_list(packet)
        assert [header for header in headers if header[0].lower() == "x-a"] == [("x-a", "w\xf6rld"), ("X-A", "2")]
        assert "Grip-Sig" in dict(headers)
        exchange.send(code=200)
        assert client.read_response().status == 200

    def test_body(self, asker: StreamAsker) -> None:
        """With the first packet, or when credits come."""
        client, exchange = asker.ask(method="POST", body=b"\x00\xff")
        assert exchange.read_body() == b"\x00\xff"
        exchange.send(code=200)
        assert client.read_response().status == 200

    @pytest.mark.parametrize(
        ("host", "flags"),
        [
            ("z", {"ignore-policies": True}),
            ("untrusted", {}),
            ("insecure", {"ignore-policies": True, "ignore-tls-errors": True, "trust-connect-host": True}),
        ],
    )
    def test_flags(self, asker: StreamAsker, host: str, flags: dict[str, bool]) -> None:
        _, exchange = asker.ask(host=host)
        names = ("ignore-policies", "ignore-tls-errors", "trust-connect-host")
        assert {name: exchange.request[name] for name in names if name in exchange.request} == flags
        assert exchange.request["uri"].startswith(b"https://" if host == "insecure" else b"http://")
        exchange.send(code=200)

    @pytest.mark.spec("ws-120")
    def test_nobody_there(self, proxy: ProxyUnderTest) -> None:
        """502 at once."""
        start = time.monotonic()
        response = fetch(proxy.port, "/", host="nobody")
        assert (response.status, response.text) == (502, ORIGIN_ERROR)
        assert time.monotonic() - start < scaled(2)

    def test_nobody_at_the_first_target(self, proxy: ProxyUnderTest) -> None:
        """It does not count as a failure to connect: the next target is not tried."""
        assert fetch(proxy.port, "/", host="nobody-first").status == 502


class TestRequestBody:
    @pytest.mark.spec("ws-126")
    def test_waits_for_credits(self, asker: StreamAsker) -> None:
        """What the first packet does not hold goes as the backend allows."""
        client, exchange = asker.ask(method="POST", body=b"x" * 100 + b"y" * 499_900)
        body = bytearray(exchange.request.get("body", b""))
        assert exchange.request["more"] is True
        assert len(body) <= CREDITS
        exchange.send(type="credit", credits=1000)
        rest = len(body) + 1000
        more = True
        while more:
            packet = exchange.receive()
            assert "type" not in packet, packet
            body += packet.get("body", b"")
            assert len(body) <= rest
            more = packet.get("more", False)
            if more and len(body) == rest:
                exchange.send(type="credit", credits=100_000)
                rest += 100_000
        assert body == b"x" * 100 + b"y" * 499_900
        exchange.send(code=200)
        assert client.read_response().status == 200

    def test_response_before_the_end(self, asker: StreamAsker) -> None:
        """It reaches the client, who still sends."""
        client = asker.client()
        path = fresh_path()
        client.request(path, method="POST", host="z", headers=[("Content-Length", "300001")])
        client.send(b"x" * 300_000)
        exchange = asker.backend.take(path)
        assert exchange.request["more"] is True
        exchange.send(code=413, reason="Enough", credits=0, body="no")
        response = client.read_response()
        assert (response.status, response.text) == (413, "no")

    def test_reply_must_say_from(self, asker: StreamAsker) -> None:
        """When there is more to send, to whom?"""
        client, exchange = asker.ask(method="POST", body=b"x" * 300_000)
        exchange.send_packet({"id": exchange.request["id"], "seq": 0, "type": "credit", "credits": 1000})
        assert client.read_response().status == 502


class TestResponse:
    @pytest.mark.spec("ws-123")
    def test_one_packet(self, asker: StreamAsker) -> None:
        headers = [["x-b", "1"], ["X-A", b"w\xf6rld"], ["x-b", "2"]]
        response = asker.answer(code=201, reason="Made", headers=headers, body=b"\x00\xff")
        assert (response.status, response.reason, response.body) == (201, "Made", b"\x00\xff")
        assert response.headers == [("x-b", "1"), ("X-A", "w\xf6rld"), ("x-b", "2"), ("Content-Length", "2")]

    def test_several_packets(self, asker: StreamAsker) -> None:
        """Chunked, as they come."""
        client, exchange = asker.ask()
        exchange.send(code=200, reason="OK", body="abc", more=True)
        assert client.read_head().header("Transfer-Encoding") == "chunked"
        assert client.read_data(3) == b"abc"
        exchange.send(body="def", more=True)
        assert client.read_data(3) == b"def"
        exchange.send(more=True)
        exchange.send()
        assert client.read_chunk() == b""

    def test_content_length(self, asker: StreamAsker) -> None:
        client, exchange = asker.ask()
        exchange.send(code=200, headers=[["Content-Length", "6"]], body="abc", more=True)
        exchange.send(body="def")
        response = client.read_response()
        assert (response.framing, response.text) == ("sized", "abcdef")

    @pytest.mark.spec("ws-125")
    def test_credits(self, asker: StreamAsker) -> None:
        """The backend may send what the proxy could pass on, and is told so."""
        client, exchange = asker.ask()
        exchange.send(code=200, body=b"a" * CREDITS, more=True)
        exchange.receive_credits(CREDITS)
        exchange.send(body=b"b" * 100_000)
        assert client.read_response().body == b"a" * CREDITS + b"b" * 100_000

    @differs("zhttp-slow-reader")
    @pytest.mark.spec("ws-125")
    def test_slow_client(self, asker: StreamAsker, connect: Connect) -> None:
        """What the client does not read earns no credits; when it reads, the response goes on."""
        client = connect(asker.proxy.port, receive_buffer=1 << 16)
        path = fresh_path()
        client.request(path, host="z")
        exchange = asker.backend.take(path)
        allowed = CREDITS
        size = 0
        exchange.send(code=200, more=True)
        while size < 20_000_000:
            count = min(allowed, 50_000)
            exchange.send(body=b"x" * count, more=True)
            size += count
            allowed -= count
            try:
                while not allowed:
                    allowed += exchange.receive_type("credit", 1.5)["credits"]
            except TimeoutError:
                break
        assert size < 20_000_000
        client.read_head()
        assert client.read_data(size) == b"x" * size
        exchange.receive_credits(CREDITS - allowed)
        exchange.send()
        assert client.read_chunk() == b""

    @differs("router-resp")
    @pytest.mark.spec("ws-123")
    @pytest.mark.parametrize("kind", [zmq.DEALER, zmq.ROUTER])
    def test_by_router(self, asker: StreamAsker, sockets: ZmqSockets, zhttp_port: int, kind: int) -> None:
        """Responses may go the way that the follow-ups come."""
        client, exchange = asker.ask()
        assert exchange.request.get("router-resp") is True
        name = fresh_channel().encode()
        usual = {"from": name, "id": exchange.request["id"]}
        socket = sockets.connected(kind, f"tcp://127.0.0.1:{zhttp_port + 1}", name)
        envelope = [b""] if kind == zmq.DEALER else [exchange.request["from"], b""]
        socket.send_reachable(*envelope, encode_packet({**usual, "seq": 0, "code": 200, "body": "a", "more": True}))
        assert socket.receive()[:-1] == envelope
        socket.send(*envelope, encode_packet({**usual, "seq": 1, "body": "b"}))
        assert client.read_response().text == "ab"

    @pytest.mark.parametrize("tolerated", [{"code": "201"}, {"code": 201, "unknown": [1], "user-data": {"a": 1}}])
    def test_tolerated(self, asker: StreamAsker, tolerated: dict[str, Any]) -> None:
        response = asker.answer(body="x", **as_fields(tolerated))
        assert (response.status, response.text) == (201, "x")

    def test_keep_alives(self, asker: StreamAsker) -> None:
        """They count for nothing but the order; several exchanges may share one."""
        one, first = asker.ask()
        two, second = asker.ask()
        ids = [{"id": exchange.request["id"], "seq": 0} for exchange in (first, second)]
        shared = {"from": asker.backend.name, "id": ids, "type": "keep-alive", "ext": {"multi": True}}
        asker.backend.publish(first.request["from"] + b" " + encode_packet(shared))
        for client, exchange in ((one, first), (two, second)):
            usual = {"from": asker.backend.name, "id": exchange.request["id"]}
            exchange.send_packet({**usual, "seq": 1, "type": "keep-alive"})
            exchange.send_packet({**usual, "seq": 2, "code": 200, "body": "x"})
            assert client.read_response().text == "x"


class TestFailures:
    @pytest.mark.spec("ws-124")
    @pytest.mark.parametrize("seq", [{}, {"seq": 1}, {"seq": 7}], ids=["missing", "1", "7"])
    def test_wrong_first_seq(self, asker: StreamAsker, seq: dict[str, int]) -> None:
        client, exchange = asker.ask()
        usual = {"from": asker.backend.name, "id": exchange.request["id"], "code": 200, "body": "x"}
        exchange.send_packet({**usual, **seq})
        assert exchange.receive()["type"] == b"cancel"
        response = client.read_response()
        assert (response.status, response.text) == (502, ORIGIN_ERROR)

    @pytest.mark.spec("ws-124")
    @pytest.mark.parametrize("seq", [{}, {"seq": 0}, {"seq": 2}], ids=["missing", "0", "2"])
    def test_wrong_seq_later(self, asker: StreamAsker, seq: dict[str, int]) -> None:
        client, exchange = asker.ask()
        exchange.send(code=200, body="abc", more=True)
        client.read_head()
        assert client.read_data(3) == b"abc"
        usual = {"from": asker.backend.name, "id": exchange.request["id"]}
        exchange.send_packet({**usual, **seq, "body": "never"})
        exchange.receive_type("cancel")
        assert rest_of(client) == b""

    @pytest.mark.parametrize(
        ("fields", "status", "body"),
        [
            ({"type": "error", "condition": "length-required"}, 411, "Must provide Content-Length header.\n"),
            ({"type": "error", "condition": "remote-connection-failed"}, 502, ORIGIN_ERROR),
            ({"type": "error", "condition": "rejected", "code": 403}, 502, ORIGIN_ERROR),
            ({"type": "error", "condition": "made-up"}, 502, ORIGIN_ERROR),
            ({"type": "error"}, 502, ORIGIN_ERROR),
            ({"type": "cancel"}, 502, ORIGIN_ERROR),
        ],
    )
    def test_error(self, asker: StreamAsker, fields: dict[str, Any], status: int, body: str) -> None:
        response = asker.answer(**fields)
        assert (response.status, response.text) == (status, body)

    def test_error_needs_no_seq(self, asker: StreamAsker) -> None:
        client, exchange = asker.ask()
        exchange.send_packet({"id": exchange.request["id"], "type": "error", "condition": "length-required"})
        assert client.read_response().status == 411

    def test_next_target(self, asker: StreamAsker) -> None:
        client, exchange = asker.ask(host="failover")
        exchange.send(type="error", condition="remote-connection-failed")
        assert client.read_response().text == "no such test resource\n"

    @differs("zhttp-broken-off")
    @pytest.mark.parametrize("kind", ["error", "cancel"])
    def test_failure_in_the_body(self, asker: StreamAsker, kind: str) -> None:
        """The client can tell that the end is missing."""
        client, exchange = asker.ask()
        exchange.send(code=200, body="abc", more=True)
        client.read_head()
        assert client.read_data(3) == b"abc"
        exchange.send(type=kind)
        with pytest.raises(ClosedByServer):
            client.read_chunk()

    @pytest.mark.spec("ws-128")
    def test_client_leaves_early(self, asker: StreamAsker) -> None:
        """Before the response, when the backend has said who it is. More than is granted, less than hides the end."""
        client, exchange = asker.ask(method="POST", body=b"x" * (300_000 if IS_PUSHPIN else 200_000))
        exchange.send(type="credit", credits=1000)
        assert exchange.receive()["more"] is True
        client.close()
        assert exchange.receive_type("cancel")

    @pytest.mark.spec("ws-128")
    def test_client_leaves(self, asker: StreamAsker) -> None:
        client, exchange = asker.ask()
        exchange.send(code=200, body="abc", more=True)
        client.read_head()
        client.close()
        assert exchange.receive_type("cancel")

    def test_discarded(self, asker: StreamAsker) -> None:
        """Messages that are no packets, or for nobody, change nothing; there is a warning."""
        before = len(asker.proxy.log_lines(r"\[WARN\]"))
        client, exchange = asker.ask()
        sender = exchange.request["from"]
        usual = {"from": asker.backend.name, "id": exchange.request["id"]}
        asker.backend.publish(sender)
        for data in (
            b"",
            b"garbage",
            b'J{"id":"x"}',
            b"T",
            b"Tgarbage",
            encode_packet({"seq": 0, "code": 200}),
            encode_packet({**usual, "seq": 0, "code": [200]}),
            encode_packet({**usual, "seq": 0, "code": 200, "headers": {"X-A": "1"}}),
            encode_packet({**usual, "seq": 0, "code": 200, "headers": [["X-A"]]}),
            encode_packet({**usual, "seq": 0, "type": "made-up"}),
            encode_packet({"id": "nobody", "from": asker.backend.name, "seq": 0, "type": "cancel"}),
        ):
            asker.backend.publish(sender + b" " + data)
        exchange.send(code=200, body="x")
        assert client.read_response().text == "x"
        asker.proxy.wait_log(r"\[WARN\]", before + 1)


def rest_of(client: RawClient) -> bytes:
    """What is still to come of a chunked body, whether its end is marked or not."""
    try:
        return client.read_chunks()
    except ClosedByServer as closed:
        return closed.received


class TestGrip:
    def test_stream(self, asker: StreamAsker) -> None:
        channel = fresh_channel()
        client, exchange = asker.ask()
        headers = [["Grip-Hold", "stream"], ["Grip-Channel", channel], ["Content-Type", "text/plain"]]
        exchange.send(code=200, headers=headers, body="[op", more=True)
        exchange.send(body="en]\n")
        client.read_head()
        assert client.read_data(7) == b"[open]\n"
        asker.proxy.wait_held(path_of(exchange.request))
        publish_ok(asker.proxy.control_port, stream_item(channel, "x"), close_item(channel))
        assert client.read_chunks() == b"x"
