"""One answer for clients that have only in common what they ask: CORS, JSON-P, TLS, HTTP/1.0, and who leaves."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import pytest
from tests.harness.backend import AnyReply, Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, encode_request
from tests.harness.grip import fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.leaks import gauges
from tests.harness.messages import Request
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import close_item, publish_ok, recover, response_item, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.tls import make_certificate, wait_tls_port

pytestmark = pytest.mark.usefixtures("lets_go")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int, tls_port: int) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    proxy = launch(
        f"*,aco {target}",
        f"basic,aco,jsonp_mode=basic,jsonp_defmethod=GET {target}",
        f"over,aco 127.0.0.1:{free_port()} {target}",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{tls_port}"},
            "handler": {"share_all": "true", "prometheus_port": f"127.0.0.1:{metrics_port}"},
            "proxy": {"set_x_forwarded_protocol": "false"},
        },
        files=make_certificate("default.test").files(f"default_{tls_port}"),
    )
    wait_tls_port(proxy, tls_port)
    return proxy


@dataclass(frozen=True)
class Kind:
    """One kind of client."""

    query: str = ""
    version: str = "1.1"
    is_tls: bool = False
    closes: bool = False

    def ask(self, connect: Connect, connect_tls: Connect, port: int, path: str, host: str = "localhost") -> RawClient:
        client = (connect_tls if self.is_tls else connect)(port)
        headers = [("Accept", "*/*"), *([("Connection", "close")] if self.closes else [])]
        client.request(path + self.query, headers=headers, version=self.version, host=host)
        return client

    @property
    def callback(self) -> str | None:
        return self.query.partition("=")[2] or None


KINDS = [
    Kind(),
    Kind("?callback=one"),
    Kind("?callback=%C3%A4%22"),
    Kind("?callback=one", is_tls=True),
    Kind(is_tls=True),
    Kind(version="1.0"),
    Kind("?callback=old", version="1.0"),
    Kind(closes=True),
    Kind("?callback=last", closes=True),
]

TEXT = 'ä \u2028 "quoted" \\ \n' * 50
LARGE = TEXT * 300


def read_script(text: str) -> dict[str, object]:
    """What a script of the extended mode gives to its function."""
    loaded = json.loads(text[text.index("(") + 1 : text.rindex(")")])
    assert isinstance(loaded, dict)
    return loaded


def check(kind: Kind, client: RawClient, status: int, body: str) -> None:
    response = client.read_response(timeout_s=scaled(20))
    if kind.callback is None:
        assert (response.status, response.text) == (status, body)
        assert response.header("Access-Control-Allow-Origin") == "*"
    else:
        assert response.status == 200
        name = 'ä"' if "%" in kind.callback else kind.callback
        assert response.text.startswith(f"/**/{name}(")
        script = read_script(response.text)
        assert (script["code"], script["body"]) == (status, body)
    client.close()


def gated(gate: threading.Event, *replies: AnyReply) -> Callable[[Request], AnyReply]:
    """Answers with the replies in turn, the first when the gate opens."""
    rest = list(replies)

    def answer(_request: Request) -> AnyReply:
        gate.wait(scaled(10))
        return rest.pop(0) if len(rest) > 1 else rest[0]

    return answer


def shared_by_all(metrics_port: int, proxy: ProxyUnderTest, count: int) -> None:
    eventually(lambda: gauges(metrics_port)["holdfast_route_connections"] >= count, "all have asked")


@pytest.mark.parametrize(
    ("reply", "status", "body"),
    [
        (Reply(body=TEXT.encode()), 200, TEXT),
        (Reply(404, "Not Found", body=b""), 404, ""),
        (Reply(204, "No Content"), 204, ""),
        (Reply(304, "Not Modified", [("ETag", '"x"')]), 304, ""),
        (Reply(body=[LARGE.encode()[:7], 0.05, LARGE.encode()[7:]], length=len(LARGE.encode())), 200, LARGE),
        (
            Reply(
                body=[LARGE.encode()[i : i + 9_999] for i in range(0, len(LARGE.encode()), 9_999)],
                framing=Framing.CHUNKED,
            ),
            200,
            LARGE,
        ),
        (Reply(body=[TEXT.encode()[:3], 0.05, TEXT.encode()[3:]], framing=Framing.UNTIL_CLOSE), 200, TEXT),
        (RawReply([b"HTTP/1.1 200 OK\r\nContent-Le"]), 502, "Error while proxying to origin.\n"),
        (instruct_reply({"response": {"code": 201, "body": "made"}}), 201, "made"),
    ],
    ids=["whole", "empty", "204", "304", "large", "chunked", "until close", "broken", "instruct"],
)
def test_answers(
    proxy: ProxyUnderTest,
    backend: ScriptedBackend,
    connect: Connect,
    connect_tls: Connect,
    metrics_port: int,
    reply: AnyReply,
    status: int,
    body: str,
) -> None:
    gate = threading.Event()
    path = backend.serve(gated(gate, reply))
    clients = [kind.ask(connect, connect_tls, proxy.port, path) for kind in KINDS]
    shared_by_all(metrics_port, proxy, len(KINDS))
    gate.set()
    for kind, client in zip(KINDS, clients, strict=True):
        check(kind, client, status, body)
    assert len(backend.requests(path)) == 1


def test_failover(
    proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, connect_tls: Connect, metrics_port: int
) -> None:
    gate = threading.Event()
    path = backend.serve(gated(gate, Reply(body=TEXT.encode())))
    clients = [kind.ask(connect, connect_tls, proxy.port, path, host="over") for kind in KINDS]
    shared_by_all(metrics_port, proxy, len(KINDS))
    gate.set()
    for kind, client in zip(KINDS, clients, strict=True):
        check(kind, client, 200, TEXT)
    assert len(backend.requests(path)) == 1


@pytest.mark.parametrize("who", ["first", "last", "all"])
def test_leaving(
    proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, connect_tls: Connect, metrics_port: int, who: str
) -> None:
    gate = threading.Event()
    path = backend.serve(gated(gate, Reply(body=TEXT.encode())))
    clients = []
    for kind in KINDS:
        clients.append(kind.ask(connect, connect_tls, proxy.port, path))
        shared_by_all(metrics_port, proxy, len(clients))
    leaving = {"first": clients[:3], "last": clients[-3:], "all": clients}[who]
    for client in leaving:
        client.close()
    eventually(lambda: gauges(metrics_port)["holdfast_route_connections"] <= len(KINDS) - len(leaving), "left")
    gate.set()
    for kind, client in zip(KINDS, clients, strict=True):
        if client not in leaving:
            check(kind, client, 200, TEXT)


def test_polls(
    proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, connect_tls: Connect, metrics_port: int
) -> None:
    """Held from one instruct, asked again together, and answered each in its own way."""
    channel = fresh_channel()
    gate = threading.Event()
    path = backend.serve(gated(gate, poll_reply(channel)))
    clients = [kind.ask(connect, connect_tls, proxy.port, path) for kind in KINDS]
    shared_by_all(metrics_port, proxy, len(KINDS))
    gate.set()
    eventually(lambda: gauges(metrics_port)["holdfast_route_holds"] == len(KINDS), "all are held")
    assert len(backend.requests(path)) == 1
    recover(proxy.control_port)
    eventually(
        lambda: gauges(metrics_port)["holdfast_route_holds"] == len(KINDS) and len(backend.requests(path)) > 1, "again"
    )
    time.sleep(0.2)
    publish_ok(proxy.control_port, response_item(channel, TEXT))
    for kind, client in zip(KINDS, clients, strict=True):
        check(kind, client, 200, TEXT)


@pytest.mark.parametrize("beginning", [b"x", b"y" * 150_000], ids=["short", "long"])
def test_streams(
    proxy: ProxyUnderTest,
    backend: ScriptedBackend,
    connect: Connect,
    connect_tls: Connect,
    metrics_port: int,
    beginning: bytes,
) -> None:
    """A stream is never JSON-P; all get the beginning, what is published, and the end."""
    channel = fresh_channel()
    gate = threading.Event()
    path = backend.serve(gated(gate, stream_reply(channel, beginning)))
    clients = [kind.ask(connect, connect_tls, proxy.port, path) for kind in KINDS]
    shared_by_all(metrics_port, proxy, len(KINDS))
    gate.set()
    received: dict[int, bytes] = {}

    def read(number: int, client: RawClient) -> None:
        received[number] = client.read_response(timeout_s=scaled(20)).body

    readers = [threading.Thread(target=read, args=pair) for pair in enumerate(clients)]
    for reader in readers:
        reader.start()
    eventually(lambda: gauges(metrics_port)["holdfast_route_holds"] == len(KINDS), "all are held", timeout_s=10)
    publish_ok(proxy.control_port, stream_item(channel, "item"))
    publish_ok(proxy.control_port, close_item(channel))
    for reader in readers:
        reader.join()
    assert list(received.values()) == [beginning + b"item"] * len(KINDS)
    assert len(backend.requests(path)) == 1
    for client in clients:
        client.close()


def test_next_link(
    proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, connect_tls: Connect, metrics_port: int
) -> None:
    gate = threading.Event()
    channel = fresh_channel()
    link = backend.serve(stream_reply(channel, b"more"))
    path = backend.serve(gated(gate, Reply(headers=[("Grip-Link", f"<{link}>; rel=next")], body=b"first")))
    clients = [kind.ask(connect, connect_tls, proxy.port, path) for kind in KINDS]
    shared_by_all(metrics_port, proxy, len(KINDS))
    gate.set()
    eventually(lambda: gauges(metrics_port)["holdfast_route_holds"] == len(KINDS), "all are held")
    time.sleep(0.3)
    publish_ok(proxy.control_port, close_item(channel))
    for client in clients:
        assert client.read_response().body == b"firstmore"
        client.close()


METHODS = ["HEAD", "OPTIONS", "get", "PRI", "POST", "DELETE", "A" * 300]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("mode", ["localhost", "basic"])
def test_methods(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, method: str, mode: str) -> None:
    """Whatever method a page asks for, the answer is a script, and the connection to the backend stays in step."""
    path = backend.serve(Reply(body=b"" if method == "HEAD" else b"1", length=1))
    client = connect(proxy.port)
    for _ in range(3):
        client.request(f"{path}?callback=f&_method={method}", host=mode)
        response = client.read_response()
        if mode == "basic" and method == "HEAD":
            assert response.status == 500
        else:
            assert response.status == 200
            assert response.text.startswith("/**/f("), response
    plain = connect(proxy.port)
    plain.request(backend.serve(Reply(body=b"plain")))
    assert plain.read_response().text == "plain"
    client.close()
    plain.close()


def test_pipeline(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
    """Answers that are changed and such that are not, on one connection, with polls between."""
    channel = fresh_channel()
    plain, poll = backend.serve(Reply(body=b"1")), backend.serve(poll_reply(channel))
    script = f"{plain}?callback=f"
    client = connect(proxy.port)
    client.send(
        b"".join(encode_request(target) for target in (plain, script, f"{poll}?callback=g", script, poll, plain))
    )
    assert client.read_response().text == "1"
    assert client.read_response().text.startswith("/**/f(")
    proxy.wait_held(f"{poll}")
    publish_ok(proxy.control_port, response_item(channel, "item"))
    assert client.read_response().text.startswith("/**/g(")
    assert client.read_response().text.startswith("/**/f(")
    proxy.wait_held(f"{poll}", 2)
    publish_ok(proxy.control_port, response_item(channel, "item"))
    assert client.read_response().text == "item"
    assert client.read_response().text == "1"
    client.close()
