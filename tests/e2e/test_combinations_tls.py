"""TLS together with holds, WebSockets, slow readers, capacity, reloads, and clients that speak something else."""

from __future__ import annotations

import contextlib
import os
import socket
import ssl
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.harness.backend import AnyReply, RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, RawConnection, encode_request, open_socket
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.messages import Request
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import close_item, publish_ok, recover, response_item, stream_item
from tests.harness.timing import scaled
from tests.harness.tls import TlsClient, client_context, make_certificate, wait_tls_port
from tests.harness.websocket import close, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import events_reply, text_event
from tests.harness.ws_stage import WebSocketStage

TLS_PORT = free_port()

pytestmark = pytest.mark.usefixtures("lets_go")


@pytest.fixture(scope="module")
def tls_port() -> int:
    return TLS_PORT


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    proxy = launch(
        "test test",
        f"* {target}",
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events {target},over_http",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{TLS_PORT}", "allow_compression": "true", "client_maxconn": 60},
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
        },
        files=make_certificate("default.test").files(f"default_{TLS_PORT}"),
    )
    wait_tls_port(proxy, TLS_PORT)
    return proxy


def test_poll_that_is_asked_again_and_again(tls: Stage) -> None:
    """Its connection is reopened with what the client has sent meanwhile, and used further afterwards."""
    channel = fresh_channel()
    path = tls.backend.serve(poll_reply(channel))
    client = tls.client()
    client.send(encode_request(path) + encode_request("/", host="test") + encode_request(path))
    for number in range(1, 5):
        tls.proxy.wait_held(path, number)
        recover(tls.proxy.control_port)
    tls.proxy.wait_held(path, 5)
    publish_ok(tls.proxy.control_port, response_item(channel, "one"))
    assert client.read_response().text == "one"
    assert client.read_response().status == 200
    tls.proxy.wait_held(path, 6)
    publish_ok(tls.proxy.control_port, response_item(channel, "two"))
    assert client.read_response().text == "two"


def test_retry_while_the_client_leaves(tls: Stage) -> None:
    for _ in range(5):
        gate = threading.Event()
        has_asked = threading.Event()
        replies: list[AnyReply] = [poll_reply(fresh_channel()), RawReply([gate])]

        def answer(
            _request: Request, replies: list[AnyReply] = replies, event: threading.Event = has_asked
        ) -> AnyReply:
            if len(replies) == 1:
                event.set()
            return replies.pop(0)

        path = tls.backend.serve(answer)
        client = tls.client()
        client.request(path)
        tls.proxy.wait_held(path)
        recover(tls.proxy.control_port)
        assert has_asked.wait(scaled(5))
        client.reset()
        gate.set()


def test_stream_with_links(tls: Stage) -> None:
    channel = fresh_channel()
    last = tls.backend.serve(stream_reply(channel, b"3"))
    second = tls.backend.serve(Reply(headers=[("Grip-Link", f"<{last}>; rel=next")], body=b"2" * 300_000))
    client = tls.client()
    client.request(tls.backend.serve(Reply(headers=[("Grip-Link", f"<{second}>; rel=next")], body=b"1" * 90_000)))
    expected = b"1" * 90_000 + b"2" * 300_000 + b"3"
    client.read_head()
    assert client.read_data(len(expected), 10) == expected
    publish_ok(tls.proxy.control_port, stream_item(channel, "item"), close_item(channel))
    assert client.read_chunks() == b"item"


def test_websockets(
    proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect_tls: Connect
) -> None:
    ws = WebSocketStage(proxy, backend, ws_backend, connect_tls)
    client, peer = ws.relay(headers=[("Sec-WebSocket-Extensions", "permessage-deflate")])
    client.send(text("x" * 300_000))
    assert peer.read(10).payload == b"x" * 300_000
    peer.send(close(4000, "bye"))
    client.expect(close(4000, "bye"))
    client.send(close(4000))
    client.read_to_end()
    client, _ = ws.over_http(events_reply(text_event("answer")))
    client.send_text("question")
    client.expect_text("answer")
    client.connection.reset()
    ws_backend.close_connections()


@pytest.mark.parametrize("phase", ["handshake", "half a head", "serving", "streaming", "poll", "stream", "websocket"])
@pytest.mark.parametrize("end", ["reset", "close", "half"])
def test_leaving(
    proxy: ProxyUnderTest,
    backend: ScriptedBackend,
    ws_backend: WebSocketBackend,
    connect_tls: Connect,
    phase: str,
    end: str,
) -> None:
    gate = threading.Event()
    tls = Stage(proxy, backend, connect_tls)
    if phase == "handshake":
        client: RawConnection = RawClient(TLS_PORT)
        client.send(b"\x16\x03\x01\x02\x00\x01\x00")
    elif phase == "websocket":
        ws = WebSocketStage(proxy, backend, ws_backend, connect_tls)
        socket_client, _ = ws.grip(fresh_channel())
        client = socket_client.connection
    elif phase == "poll":
        client = tls.poll(fresh_channel())
    elif phase == "stream":
        client = tls.stream(fresh_channel())
    else:
        client = tls.client()
        if phase == "half a head":
            client.send(b"GET / HT")
        elif phase == "serving":
            path = backend.serve(RawReply([gate]))
            client.request(path)
            backend.request(path)
        else:
            client.request(backend.serve(Reply(body=[b"x" * 3_000_000, gate])))
            client.read_head()
    if end == "half":
        client.raw.shutdown(socket.SHUT_WR)
        time.sleep(0.05)
        client.close()
    else:
        getattr(client, end)()
    gate.set()
    ws_backend.close_connections()


def rss(proxy: ProxyUnderTest) -> int:
    with open(f"/proc/{proxy.pid}/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_readers_that_do_not_read(tls: Stage, connect_tls: Connect) -> None:
    """Of a large answer each holds no more than some buffers."""
    body = b"x" * 20_000_000
    path = tls.backend.serve(Reply(body=body))
    before = rss(tls.proxy)
    clients = [connect_tls(0, receive_buffer=4096) for _ in range(10)]
    for client in clients:
        client.request(path)
    time.sleep(1)
    assert rss(tls.proxy) - before < 30_000_000
    assert len(clients[0].read_response(timeout_s=scaled(20)).body) == len(body)


def test_full_and_pipelined(proxy: ProxyUnderTest, connect: Connect, metrics_port: int) -> None:
    """More handshakes at once than there may be connections: none is refused, all are served in the end."""

    def ask(number: int) -> list[int]:
        with TlsClient(TLS_PORT) as client:
            client.send(b"".join(encode_request("/", host="test") for _ in range(20)))
            return [client.read_response(timeout_s=scaled(20)).status for _ in range(20)]

    idle = [connect(proxy.port) for _ in range(45)]
    with ThreadPoolExecutor(40) as pool:
        assert list(pool.map(ask, range(120))) == [[200] * 20] * 120
    for client in idle:
        client.close()


def test_certificate_that_changes_meanwhile(proxy: ProxyUnderTest, tls: Stage) -> None:
    """Connections go on; handshakes get one or the other, and never fail."""
    client = tls.stream(channel := fresh_channel())
    is_over = threading.Event()
    directory = next(proxy.directory.rglob(f"default_{TLS_PORT}.crt")).parent

    def shake() -> set[str]:
        subjects = set()
        while not is_over.is_set():
            with TlsClient(TLS_PORT) as one:
                subjects.add(one.subject)
        return subjects

    with ThreadPoolExecutor(3) as pool:
        found = [pool.submit(shake) for _ in range(3)]
        for number in range(5):
            for name, data in make_certificate(f"new{number}.test").files(f"default_{TLS_PORT}").items():
                path = directory / name.rpartition("/")[2]
                path.with_suffix(".tmp").write_bytes(data)
                path.with_suffix(".tmp").replace(path)
            time.sleep(0.2)
        is_over.set()
        assert "new4.test" in set().union(*(one.result() for one in found))
    publish_ok(proxy.control_port, stream_item(channel, "still here"))
    assert client.read_chunk() == b"still here"


HELLOS = {
    "plain": encode_request("/"),
    "zeros": bytes(600),
    "huge record": b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000,
    "alert": b"\x15\x03\x01\x00\x02\x02\x28",
    "half": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    "sslv2": b"\x80\x2e\x01\x03\x01" + bytes(41),
    "nothing": b"",
}


@pytest.mark.parametrize("hello", HELLOS)
def test_what_is_no_tls(connect: Connect, hello: str) -> None:
    client = connect(TLS_PORT)
    client.send(HELLOS[hello])
    client.shut_writing()
    client.read_to_close()


def test_tls_on_the_plain_port(proxy: ProxyUnderTest) -> None:
    with pytest.raises(ssl.SSLError):
        TlsClient(proxy.port)


@pytest.mark.parametrize(
    "name", ["a" * 63 + ".test", ".".join(["a" * 60] * 4), "..", "a/../b", "*", "x" * 250, "127.0.0.1", "ä.test"]
)
def test_names(proxy: ProxyUnderTest, name: str) -> None:
    """Whatever a client calls us, it gets the default certificate, or an alert."""
    try:
        with TlsClient(TLS_PORT, server_name=name) as client:
            client.request("/", host="test")
            assert client.read_response().status == 200
    except (ssl.SSLError, ValueError, OSError) as exc:
        assert not isinstance(exc, TimeoutError)


def test_early_data_and_tickets(proxy: ProxyUnderTest) -> None:
    """A session that is taken up again is a new connection like others; early data is not offered."""
    context = client_context()
    with TlsClient(TLS_PORT, context=context) as client:
        client.request("/", host="test")
        assert client.read_response().status == 200
        session = client.tls.session
    for _ in range(3):
        sock = open_socket(TLS_PORT, "127.0.0.1", None, None)
        with context.wrap_socket(sock, server_hostname="x", session=session) as again:
            again.sendall(encode_request("/", host="test"))
            assert again.recv(100).startswith(b"HTTP/1.1 200")


def test_no_compression(proxy: ProxyUnderTest) -> None:
    """Nothing is compressed in TLS 1.2 either."""
    context = client_context(newest=ssl.TLSVersion.TLSv1_2)
    with TlsClient(TLS_PORT, context=context) as client:
        client.request("/", host="test")
        assert client.read_response().status == 200
        assert client.tls.version() == "TLSv1.2" and client.tls.compression() is None


def test_data_after_close_notify(proxy: ProxyUnderTest) -> None:
    """What follows the end of TLS is nothing."""
    incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
    sock = open_socket(TLS_PORT, "127.0.0.1", None, None)
    tls = client_context().wrap_bio(incoming, outgoing, server_hostname="x")
    while True:
        try:
            tls.do_handshake()
            break
        except ssl.SSLWantReadError:
            sock.sendall(outgoing.read())
            incoming.write(sock.recv(65536))
    tls.write(encode_request("/", host="test"))
    with contextlib.suppress(ssl.SSLWantReadError):
        tls.unwrap()
    sock.sendall(outgoing.read() + b"GET / HTTP/1.1\r\nHost: x\r\n\r\n" * 100)
    while sock.recv(65536):
        pass
    sock.close()
