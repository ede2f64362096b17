"""Targets ``zhttpreq/…``: the whole request in one packet, the whole response in another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from tests.harness import tnet
from tests.harness.client import Connect, RawClient
from tests.harness.grip import fresh_channel
from tests.harness.messages import Response
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, stream_item
from tests.harness.websocket import WebSocketClient, text
from tests.harness.ws_events import OPEN, encode_events, text_event
from tests.harness.zhttp import ReqBackend, ReqExchange, encode_packet, fresh_path, header_list, path_of
from tests.harness.zmq_sockets import ZmqSockets

ORIGIN_ERROR = "Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def specs() -> dict[str, str]:
    """Endpoints by the host of their route."""
    return {host: f"tcp://127.0.0.1:{free_port()}" for host in ("req", "silent")}


@pytest.fixture(scope="module")
def proxy(launch: Launch, specs: dict[str, str]) -> ProxyUnderTest:
    req = f"zhttpreq/{specs['req']}"
    return launch(
        f"req {req}",
        f"debug,debug {req}",
        f"untrusted {req},untrusted",
        f"insecure {req},insecure,trust_connect_host,ssl",
        f"host {req},host=other.example",
        f"failover {req} test",
        f"events {req},over_http",
        f"plain,no_grip {req}",
        f"silent,debug zhttpreq/{specs['silent']}",
    )


@pytest.fixture(scope="module")
def zbackend(proxy: ProxyUnderTest, specs: dict[str, str]) -> Iterator[ReqBackend]:
    backend = ReqBackend(specs["req"])
    yield backend
    backend.stop()


class Asker:
    """Makes requests, whose exchanges the test plays."""

    def __init__(self, proxy: ProxyUnderTest, backend: ReqBackend, connect: Connect) -> None:
        self.proxy = proxy
        self.backend = backend
        self._connect = connect

    def ask(self, query: str = "", **options: Any) -> tuple[RawClient, ReqExchange]:
        """Make a request and take it at the backend."""
        path = fresh_path()
        client = self._connect(self.proxy.port)
        client.request(path + query, **{"host": "req", **options})
        return client, self.backend.take(path)

    def answer(self, **fields: object) -> Response:
        """The response that a client gets for a reply with these fields."""
        client, exchange = self.ask()
        exchange.reply(**fields)
        return client.read_response()


@pytest.fixture
def asker(proxy: ProxyUnderTest, zbackend: ReqBackend, connect: Connect) -> Asker:
    return Asker(proxy, zbackend, connect)


class TestRequest:
    @pytest.mark.spec("ws-114")
    def test_fields(self, asker: Asker) -> None:
        client, exchange = asker.ask("?a=b%20c", headers=[("X-A", "1")])
        packet = exchange.request
        assert set(packet) == {"from", "id", "method", "uri", "headers", "max-size", "ignore-policies"}
        assert (packet["method"], packet["max-size"], packet["ignore-policies"]) == (b"GET", 1_000_000, True)
        assert packet["uri"] == b"http://req" + path_of(packet).encode() + b"?a=b%20c"
        assert len(packet["id"]) == 36
        assert b" " not in packet["from"]
        headers = header_list(packet)
        assert ("Host", "req") in headers
        assert ("X-A", "1") in headers
        assert "Grip-Sig" in dict(headers)
        assert "Grip-Feature" in dict(headers)
        exchange.reply(code=200)
        assert client.read_response().status == 200

    @pytest.mark.spec("ws-114")
    def test_body(self, asker: Asker) -> None:
        client, exchange = asker.ask(method="POST", body=b"\x00\xff\r\n")
        assert (exchange.request["method"], exchange.request["body"]) == (b"POST", b"\x00\xff\r\n")
        assert ("Content-Length", "4") in header_list(exchange.request)
        exchange.reply(code=200)
        assert client.read_response().status == 200

    def test_chunked_body(self, asker: Asker) -> None:
        path = fresh_path()
        with RawClient(asker.proxy.port) as raw:
            raw.request(path, method="POST", host="req", headers=[("Transfer-Encoding", "chunked")])
            raw.send(b"3\r\nabc\r\n")
            raw.send(b"2\r\nde\r\n0\r\n\r\n")
            exchange = asker.backend.take(path)
            assert exchange.request["body"] == b"abcde"
            assert "more" not in exchange.request
            exchange.reply(code=200)
            assert raw.read_response().status == 200

    @differs("zhttpreq-body")
    def test_large_body(self, asker: Asker) -> None:
        """A million bytes are the most."""
        body = bytes(range(250)) * 4_000
        client, exchange = asker.ask(method="POST", body=body)
        assert exchange.request["body"] == body
        exchange.reply(code=200)
        assert client.read_response().status == 200

    @differs("zhttpreq-body")
    def test_body_that_is_too_large(self, asker: Asker, connect: Connect) -> None:
        """Refused at once."""
        client = connect(asker.proxy.port)
        client.request("/", method="POST", host="req", headers=[("Content-Length", "1000001")])
        client.send(b"x" * 1_000_001)
        response = client.read_response()
        assert (response.status, response.text) == (502, ORIGIN_ERROR)

    @pytest.mark.spec("ws-132")
    def test_headers_are_kept(self, asker: Asker) -> None:
        """Order, case, repetition, and bytes that are no ASCII."""
        sent = [("x-b", "1"), ("X-A", "2"), ("x-b", "w\xf6rld"), ("X-Empty", "")]
        _, exchange = asker.ask(headers=sent)
        names = {"x-b", "x-a", "x-empty"}
        assert [header for header in header_list(exchange.request) if header[0].lower() in names] == sent
        exchange.reply(code=200)

    @pytest.mark.parametrize(
        ("host", "flags"),
        [
            ("req", {"ignore-policies": True}),
            ("untrusted", {}),
            ("insecure", {"ignore-policies": True, "ignore-tls-errors": True, "trust-connect-host": True}),
        ],
    )
    def test_flags(self, asker: Asker, host: str, flags: dict[str, bool]) -> None:
        """What the target says of policies and TLS; the scheme follows its ``ssl``."""
        _, exchange = asker.ask(host=host)
        names = ("ignore-policies", "ignore-tls-errors", "trust-connect-host")
        assert {name: exchange.request[name] for name in names if name in exchange.request} == flags
        assert exchange.request["uri"].startswith(b"https://" if host == "insecure" else b"http://")
        exchange.reply(code=200)

    def test_host_of_the_target(self, asker: Asker) -> None:
        _, exchange = asker.ask(host="host")
        assert ("Host", "other.example") in header_list(exchange.request)
        assert exchange.request["uri"].startswith(b"http://other.example/")
        exchange.reply(code=200)

    def test_ids_differ(self, asker: Asker) -> None:
        """Several requests may wait at once, and be answered in any order."""
        exchanges = [asker.ask() for _ in range(5)]
        assert len({exchange.request["id"] for _, exchange in exchanges}) == 5
        for number, (_, exchange) in reversed(list(enumerate(exchanges))):
            exchange.reply(code=200, body=str(number))
        assert [client.read_response().text for client, _ in exchanges] == ["0", "1", "2", "3", "4"]

    @pytest.mark.spec("ws-114")
    def test_reply_socket(self, launch_once: Launch, sockets: ZmqSockets, connect: Connect) -> None:
        """Plain REP sockets share the load, and see the packet without an envelope."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        proxy = launch_once(f"* zhttpreq/{spec}")
        backend = sockets.connected(zmq.REP, spec)
        for _ in range(2):
            client = connect(proxy.port)
            client.request("/")
            request = backend.receive_one()
            assert request.startswith(b"T")
            backend.send(encode_packet({"id": tnet.decode(request[1:])["id"], "code": 200, "body": "hi"}))
            assert client.read_response().text == "hi"


class TestReply:
    @pytest.mark.spec("ws-115")
    def test_relayed(self, asker: Asker) -> None:
        headers = [["Content-Type", "text/plain"], ["x-b", "1"], ["X-A", b"w\xf6rld"], ["x-b", "2"]]
        response = asker.answer(code=201, reason="Made", headers=headers, body=b"\x00\xff")
        assert (response.status, response.reason, response.body) == (201, "Made", b"\x00\xff")
        assert response.headers[:4] == [("Content-Type", "text/plain"), ("x-b", "1"), ("X-A", "w\xf6rld"), ("x-b", "2")]
        assert response.header("Content-Length") == "2"

    @pytest.mark.spec("ws-116")
    def test_missing_body(self, asker: Asker) -> None:
        response = asker.answer(code=200, reason="OK", headers=[["X-A", "1"]])
        assert (response.status, response.header("Content-Length"), response.body) == (200, "0", b"")

    @pytest.mark.spec("ws-116")
    def test_missing_reason(self, asker: Asker) -> None:
        response = asker.answer(code=200, headers=[["X-A", "1"]], body="x")
        assert (response.status, response.reason, response.text) == (200, "", "x")

    @pytest.mark.spec("ws-116")
    def test_missing_headers(self, asker: Asker) -> None:
        response = asker.answer(code=200, reason="OK", body="x")
        assert response.headers == [("Content-Length", "1")]

    @differs("zhttp-no-code")
    @pytest.mark.spec("ws-116")
    def test_missing_code(self, asker: Asker) -> None:
        response = asker.answer(headers=[["X-A", "1"]], body="x")
        assert (response.status, response.text) == (502, ORIGIN_ERROR)

    def test_no_content(self, asker: Asker) -> None:
        response = asker.answer(code=204, reason="No Content", body="x")
        assert (response.status, response.has("Content-Length")) == (204, False)

    @differs("zhttp-length")
    def test_wrong_length(self, asker: Asker) -> None:
        """What the client is told is what it gets."""
        response = asker.answer(code=200, headers=[["Content-Length", "7"]], body="abc")
        assert (response.header("Content-Length"), response.text) == ("3", "abc")

    def test_hop_by_hop(self, asker: Asker) -> None:
        headers = [["Transfer-Encoding", "chunked"], ["Connection", "close"], ["X-A", "1"]]
        response = asker.answer(code=200, headers=headers, body="abc")
        assert response.headers == [("X-A", "1"), ("Content-Length", "3")]

    @pytest.mark.parametrize(
        "fields",
        [
            {"from": "me", "seq": 7, "unknown": [1, None], "user-data": {"a": 1}, "credits": 5},
            {"code": "201"},
        ],
        ids=["other fields", "code as bytes"],
    )
    def test_tolerated(self, asker: Asker, fields: dict[str, Any]) -> None:
        client, exchange = asker.ask()
        exchange.reply_packet({"id": exchange.request["id"], "code": 201, "body": "x", **fields})
        response = client.read_response()
        assert (response.status, response.text) == (201, "x")

    def test_bytes_after_the_packet(self, asker: Asker) -> None:
        client, exchange = asker.ask()
        exchange.reply_raw(encode_packet({"id": exchange.request["id"], "code": 200, "body": "x"}) + b"rest")
        assert client.read_response().text == "x"

    def test_large_body(self, asker: Asker) -> None:
        body = bytes(range(256)) * 12_000
        assert asker.answer(code=200, body=body).body == body

    @pytest.mark.spec("ws-117")
    @pytest.mark.parametrize(
        ("condition", "status", "body"),
        [
            ("length-required", 411, "Must provide Content-Length header.\n"),
            ("policy-violation", 502, ORIGIN_ERROR),
            ("remote-connection-failed", 502, ORIGIN_ERROR),
            ("max-size-exceeded", 502, ORIGIN_ERROR),
            ("undefined-condition", 502, ORIGIN_ERROR),
            ("made-up", 502, ORIGIN_ERROR),
            (None, 502, ORIGIN_ERROR),
        ],
    )
    def test_error(self, asker: Asker, condition: str | None, status: int, body: str) -> None:
        response = asker.answer(type="error", **({} if condition is None else {"condition": condition}))
        assert (response.status, response.text) == (status, body)

    @pytest.mark.parametrize("condition", ["remote-connection-failed", "connection-timeout", "tls-error"])
    def test_next_target(self, asker: Asker, condition: str) -> None:
        """Only conditions of connecting lead to it."""
        client, exchange = asker.ask(host="failover")
        exchange.reply(type="error", condition=condition)
        assert client.read_response().text == "no such test resource\n"
        client, exchange = asker.ask(host="failover")
        exchange.reply(type="error", condition="disconnected")
        assert client.read_response().status == 502

    @pytest.mark.spec("ws-118")
    @pytest.mark.parametrize(
        "fields",
        [{"type": "cancel"}, {"type": "keep-alive"}, {"type": "credit", "credits": 5}, {"more": True, "code": 200}],
    )
    def test_not_in_this_mode(self, asker: Asker, fields: dict[str, Any]) -> None:
        """502 at once."""
        response = asker.answer(**fields)
        assert (response.status, response.text) == (502, ORIGIN_ERROR)


class TestGrip:
    @pytest.mark.spec("ws-115")
    def test_stream(self, asker: Asker) -> None:
        channel = fresh_channel()
        client, exchange = asker.ask()
        headers = [["Grip-Hold", "stream"], ["Grip-Channel", channel], ["Content-Type", "text/plain"]]
        exchange.reply(code=200, reason="OK", headers=headers, body="[open]\n")
        assert client.read_head().header("Content-Type") == "text/plain"
        assert client.read_data(7) == b"[open]\n"
        asker.proxy.wait_held(path_of(exchange.request))
        publish_ok(asker.proxy.control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"

    def test_retry(self, asker: Asker) -> None:
        """A retried long poll goes the same way again."""
        channel = fresh_channel()
        client, exchange = asker.ask("?q", method="POST", body=b"data")
        headers = [["Grip-Hold", "response"], ["Grip-Channel", channel]]
        exchange.reply(code=200, headers=headers)
        asker.proxy.wait_held(path_of(exchange.request))
        hint = {"channel": channel, "formats": {"http-response": {"action": "hint"}}}
        publish_ok(asker.proxy.control_port, hint)
        again = asker.backend.take(path_of(exchange.request))
        assert (again.request["uri"], again.request["body"]) == (exchange.request["uri"], b"data")
        assert again.request["id"] != exchange.request["id"]
        again.reply(code=200, body="again")
        assert client.read_response().text == "again"

    def test_without_grip(self, asker: Asker) -> None:
        client, exchange = asker.ask(host="plain")
        exchange.reply(code=200, headers=[["Grip-Hold", "stream"], ["Grip-Channel", "c"]], body="x")
        assert client.read_response().header("Grip-Hold") == "stream"

    def test_next_link(self, asker: Asker) -> None:
        client, exchange = asker.ask()
        path = fresh_path()
        exchange.reply(code=200, headers=[["Grip-Link", f"<{path}>; rel=next"]], body="a")
        following = asker.backend.take(path)
        channel = fresh_channel()
        following.reply(code=200, headers=[["Grip-Hold", "stream"], ["Grip-Channel", channel]], body="b")
        client.read_head()
        assert client.read_data(2) == b"ab"


class TestWebSockets:
    @pytest.mark.spec("ws-43")
    def test_over_http(self, asker: Asker, connect: Connect) -> None:
        path = fresh_path()
        client = WebSocketClient(connect(asker.proxy.port))
        client.handshake(path, host="events")
        exchange = asker.backend.take(path)
        assert (exchange.request["method"], exchange.request["body"]) == (b"POST", b"OPEN\r\n")
        assert exchange.request["uri"].startswith(b"http://events/")
        events = [["Content-Type", "application/websocket-events"]]
        exchange.reply(code=200, headers=events, body=encode_events(OPEN, text_event("first")))
        client.accepted()
        client.expect_text("first")
        client.send(text("hello"))
        exchange = asker.backend.take(path)
        assert exchange.request["body"] == b"TEXT 5\r\nhello\r\n"
        exchange.reply(code=200, headers=events, body=encode_events(text_event("answer")))
        client.expect_text("answer")

    @pytest.mark.spec("ws-131")
    @pytest.mark.parametrize(
        ("host", "body"), [("req", ORIGIN_ERROR), ("debug", "WebSockets cannot be used with zhttpreq target\n")]
    )
    def test_refused(self, proxy: ProxyUnderTest, connect: Connect, host: str, body: str) -> None:
        client = WebSocketClient(connect(proxy.port))
        client.handshake("/", host=host)
        response = client.refused()
        assert (response.status, response.text) == (502, body)
