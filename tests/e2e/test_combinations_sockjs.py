"""SockJS together with everything else that a route, a listener or a client can be."""

from __future__ import annotations

import itertools
import json
import signal
import socket
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import RawClient, RawConnection, encode_request
from tests.harness.grip import fresh_channel
from tests.harness.leaks import gauges, without_leaks
from tests.harness.messages import HeaderList, Response
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok
from tests.harness.timing import eventually
from tests.harness.tls import connecting_to, make_certificate, wait_tls_port
from tests.harness.websocket import close, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import events_reply, opening, text_event
from tests.harness.ws_stage import control, ws_item

TLS_PORT = free_port()
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def proxy(
    launch: Launch,
    backend: ScriptedBackend,
    ws_backend: WebSocketBackend,
    metrics_port: int,
    tmp_path_factory: pytest.TempPathFactory,
) -> ProxyUnderTest:
    relay = f"127.0.0.1:{ws_backend.port}"
    proxy = launch(
        "test,sockjs=/s,sockjs_as_path=/ws,aco,id=t test",
        f"relay,sockjs=/s,aco,prefix=p-,log_level=3 {relay},sub=implicit",
        f"nogrip,sockjs=/s,no_grip {relay}",
        f"events,sockjs=/s {f'127.0.0.1:{backend.port}'},over_http",
        f"split,sockjs=/s,ssl=yes,id=secure {relay}",
        f"split,sockjs=/s,ssl=no,id=open {relay}",
        f"both,sockjs=/s 127.0.0.1:{free_port()} {relay}",
        f"*,sockjs=/s {relay}",
        f"other,path_beg=/,id=other,sockjs=/s {relay}",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{TLS_PORT}", "local_ports": "unix.sock"},
            "handler": {"share_all": "true", "prometheus_port": f"127.0.0.1:{metrics_port}"},
            "proxy": {"accept_pushpin_route": "true", "accept_x_forwarded_protocol": "true"},
        },
        files=make_certificate("default.test").files(f"default_{TLS_PORT}"),
    )
    wait_tls_port(proxy, TLS_PORT)
    return proxy


@pytest.fixture(autouse=True)
def lets_go(proxy: ProxyUnderTest, metrics_port: int, ws_backend: WebSocketBackend) -> Iterator[None]:
    with without_leaks(proxy, metrics_port):
        yield
        ws_backend.close_connections()


class Session:
    """A SockJS client whose every request may take another way."""

    def __init__(self, port: int, host: str, id: str | None = None) -> None:
        self.port = port
        self.host = host
        self.path = f"/s/000/{id or f'id{next(_numbers)}'}"
        self.open_clients: list[RawConnection] = []

    def ask(
        self,
        name: str,
        *,
        body: bytes = b"",
        headers: HeaderList | None = None,
        version: str = "1.1",
        client: RawConnection | None = None,
        method: str = "POST",
    ) -> RawConnection:
        client = client or RawClient(self.port)
        self.open_clients.append(client)
        client.send(
            encode_request(
                f"{self.path}/{name}", method=method, host=self.host, headers=headers, body=body, version=version
            )
        )
        return client

    def get(self, name: str, **options: object) -> Response:
        client = self.ask(name, **options)  # type: ignore[arg-type]
        try:
            return client.read_response(timeout_s=10)
        finally:
            if "client" not in options:
                client.close()

    def poll(self, **options: object) -> str:
        return self.get("xhr", **options).text

    def send(self, *messages: str, **options: object) -> Response:
        return self.get("xhr_send", body=json.dumps(messages).encode(), **options)

    def close(self) -> None:
        for client in self.open_clients:
            client.close()


OpenSession = Callable[..., Session]


@pytest.fixture
def open_session() -> Iterator[OpenSession]:
    """Make sessions whose connections are closed when the test ends."""
    sessions: list[Session] = []

    def make(*args: Any) -> Session:
        sessions.append(Session(*args))
        return sessions[-1]

    yield make
    for session in sessions:
        session.close()


def accept(ws_backend: WebSocketBackend, *, grip: bool = True) -> BackendPeer:
    peer = ws_backend.take("/s")
    peer.accept([("Sec-WebSocket-Extensions", 'grip; message-prefix=""')] if grip else [])
    return peer


def unix_client(proxy: ProxyUnderTest) -> RawConnection:
    sock = socket.socket(socket.AF_UNIX)
    sock.connect(str(proxy.directory / "unix.sock"))
    return RawConnection(sock)


def test_one_session_over_all_kinds_of_listeners(
    open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend
) -> None:
    """By TLS, on a Unix socket and in the clear: the session is the same."""
    with connecting_to(TLS_PORT) as connect_tls:
        session = open_session(proxy.port, "relay")
        ways: list[Callable[[], RawConnection]] = [
            lambda: connect_tls(0),
            lambda: unix_client(proxy),
            lambda: RawClient(proxy.port),
        ]
        first = session.ask("xhr", client=connect_tls(0))
        peer = accept(ws_backend)
        assert first.read_response().text == "o\n"
        for way in ways:
            for other in ways:
                poll = session.ask("xhr", client=way())
                sender = other()
                assert session.send("up", client=sender).text == "ok"
                peer.expect_text("up")
                peer.send(text("down"))
                assert poll.read_response().text == 'a["down"]\n'
                poll.close()
                sender.close()
        peer.send(close(4000, "bye"))
        assert session.poll() == 'c[4000,"bye"]\n'
        first.close()


@pytest.mark.parametrize("version", ["1.0", "1.1"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_polls_of_one_connection(
    open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend, version: str, is_tls: bool
) -> None:
    """Pipelined polls and sends wait for their turn."""
    session = open_session(proxy.port, "test")
    with connecting_to(TLS_PORT) as connect_tls:
        client = connect_tls(0) if is_tls else RawClient(proxy.port)
        keep = [("Connection", "keep-alive")] if version == "1.0" else []

        def encode(name: str, body: bytes) -> bytes:
            target = f"{session.path}/{name}"
            return encode_request(target, method="POST", host="test", version=version, headers=keep, body=body)

        poll, send = encode("xhr", b""), encode("xhr_send", b'["a"]')
        client.send(poll + send + poll + send + poll + poll)
        assert [client.read_response().text for _ in range(5)] == ["o\n", "ok", 'a["a"]\n', "ok", 'a["a"]\n']
        assert session.send("b").text == "ok"
        assert client.read_response().text == 'a["b"]\n'
        client.send(poll)
        time.sleep(0.2)
        client.close()


def test_publishing(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    """With a prefix and a channel of the route, to waiting and absent clients; WebSocket and poll side by side."""
    session = open_session(proxy.port, "relay")
    first = session.ask("xhr")
    peer = accept(ws_backend)
    assert first.read_response().text == "o\n"
    peer.send(control("subscribe", channel="x"))
    poll = session.ask("xhr")

    def arrives() -> bool:
        publish_ok(proxy.control_port, ws_item("p-x", "probe"))
        return poll.is_readable(0.1)

    eventually(arrives, "subscribed")
    poll.read_response()
    publish_ok(
        proxy.control_port,
        *[ws_item("implicit", f"m{number}") for number in range(5)],
        ws_item("p-x", b"\xff\xfe"),
        ws_item("x", "never"),
    )
    time.sleep(0.2)
    received = "".join(session.poll() for _ in range(1))
    assert '"m0","m1","m2","m3","m4"' in received and "never" not in received
    publish_ok(proxy.control_port, ws_item("implicit", action="close", code=4001, reason="end"))
    assert session.poll() == 'c[4001,"end"]\n'


def test_routes_by_scheme(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    """Two routes of one host have sessions of their own, whatever says that the client came by TLS."""
    plain, forwarded = (open_session(proxy.port, "split", "same") for _ in range(2))
    first = plain.ask("xhr")
    peer = accept(ws_backend)
    assert first.read_response().text == "o\n"
    https = [("X-Forwarded-Proto", "https")]
    second = forwarded.ask("xhr", headers=https)
    other = accept(ws_backend)
    assert second.read_response().text == "o\n"
    assert forwarded.send("secret", headers=https).text == "ok"
    other.expect_text("secret")
    assert plain.send("open").text == "ok"
    peer.expect_text("open")
    for client in (first, second):
        client.close()


def test_wanted_route(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    session = open_session(proxy.port, "elsewhere")
    first = session.ask("xhr", headers=[("Pushpin-Route", "other")])
    peer = accept(ws_backend)
    assert first.read_response().text == "o\n"
    assert session.send("x").status == 404
    assert session.send("x", headers=[("Pushpin-Route", "other")]).text == "ok"
    peer.expect_text("x")


def test_without_grip(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    session = open_session(proxy.port, "nogrip")
    first = session.ask("xhr")
    peer = accept(ws_backend)
    assert first.read_response().text == "o\n"
    peer.send(text('c:{"type": "subscribe", "channel": "q"}'))
    assert "subscribe" in session.poll()


def test_nothing_is_acknowledged_that_nobody_takes(
    open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend
) -> None:
    """The backend has broken off; what it said before that still waits for the client."""
    session = open_session(proxy.port, "relay")
    first = session.ask("xhr")
    peer = accept(ws_backend)
    assert first.read_response().text == "o\n"
    peer.send(text("last words"))
    peer.close()
    time.sleep(0.2)
    assert session.send("x").status == 404
    assert session.poll() == 'a["last words"]\n'


def test_failover(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    session = open_session(proxy.port, "both")
    first = session.ask("xhr")
    accept(ws_backend)
    assert first.read_response().text == "o\n"


def test_many_openings_at_once(open_session: OpenSession, proxy: ProxyUnderTest, metrics_port: int) -> None:
    """Two hundred clients with fifty ids: one of each opens, others find it being opened, or poll."""

    def client(number: int) -> str:
        return open_session(proxy.port, "test", f"many{number % 50}").poll()

    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(client, range(50)))
        assert answers == ["o\n"] * 50
    assert gauges(metrics_port)["holdfast_sockjs_sessions"] == 50


@pytest.mark.parametrize("end", ["reset", "half", "close"])
@pytest.mark.parametrize("name", ["xhr", "xhr_streaming"])
@pytest.mark.parametrize("is_tls", [False, True])
def test_leaving(
    open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend, end: str, name: str, is_tls: bool
) -> None:
    """While the backend is being asked, and while a response is held."""
    with connecting_to(TLS_PORT) as connect_tls:
        for is_opened in (False, True):
            session = open_session(proxy.port, "relay")
            opener = session.ask("xhr", client=connect_tls(0) if is_tls else RawClient(proxy.port))
            if is_opened:
                peer = accept(ws_backend)
                opener.read_response()
                opener.close()
                opener = session.ask(name, client=connect_tls(0) if is_tls else RawClient(proxy.port))
                time.sleep(0.05)
            else:
                peer = ws_backend.take("/s")
            getattr(opener, {"half": "shut_writing"}.get(end, end))()
            peer.assert_dropped()
            opener.close()


def test_sends(open_session: OpenSession, proxy: ProxyUnderTest, ws_backend: WebSocketBackend) -> None:
    """Large and strange ones, and such that the backend does not take."""
    session = open_session(proxy.port, "test")
    assert session.poll() == "o\n"
    for body, status in [
        (b"x" * 100_001, 400),
        (b"[" * 99_999, 400),
        (b'["' + b"y" * 99_000 + b'"]', 200),
        (b"[" + b"9" * 99_000 + b"]", 400),
        (b"\xff", 400),
        (b'["\\ud800"]', 200),
        (b'["' + b"\\u0000" * 1000 + b'"]', 200),
        (b"null", 400),
        (b"[]", 200),
        (b"", 400),
    ]:
        assert session.get("xhr_send", body=body).status == status, body[:20]
        if status == 200 and body != b"[]":
            assert session.poll().startswith('a["')
    assert send_slowly(session, b'["' + b"z" * 99_000 + b'"]').text == "ok"
    assert session.poll().startswith('a["zzz')
    sender = session.ask("xhr_send", body=json.dumps(["m"] * 20_000).encode())
    received: list[str] = []
    while len(received) < 20_000:
        received += json.loads(session.poll()[1:])
    assert received == ["m"] * 20_000
    assert sender.read_response().text == "ok"


def send_slowly(session: Session, body: bytes) -> Response:
    """Send messages in pieces, of which each comes by itself."""
    client = RawClient(session.port)
    request = encode_request(f"{session.path}/xhr_send", method="POST", host=session.host, body=body)
    for start in range(0, len(request), 33_000):
        client.send(request[start : start + 33_000])
        time.sleep(0.05)
    try:
        return client.read_response()
    finally:
        client.close()


def test_over_http(open_session: OpenSession, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
    """A session of a web server, by TLS: refreshed, and closed by a publish."""
    channel = fresh_channel()
    backend.serve_in_turn(
        opening(
            text_event("c:" + json.dumps({"type": "subscribe", "channel": channel})), text_event("m:hello"), grip=True
        ),
        events_reply(),
        path="/s",
    )
    with connecting_to(TLS_PORT) as connect_tls:
        session = open_session(proxy.port, "events")
        client = connect_tls(0)
        assert session.poll(client=client) == "o\n"
        assert session.poll(client=client) == 'a["hello"]\n'
        publish_ok(proxy.control_port, ws_item(channel, "item"))
        assert session.poll(client=client) == 'a["item"]\n'
        publish_ok(proxy.control_port, ws_item(channel, action="close"))
        assert session.poll(client=client).startswith("c[")
        client.close()


def test_route_goes_away(open_session: OpenSession, launch_once: Launch, ws_backend: WebSocketBackend) -> None:
    """Its sessions end when their clients stay away, and an orderly stop ends the others."""
    port = free_port()
    routes = [f"a,sockjs=/s 127.0.0.1:{ws_backend.port}", "b test"]
    proxy = launch_once(*routes, settings={"handler": {"prometheus_port": f"127.0.0.1:{port}"}})
    with without_leaks(proxy, port):
        session, other = open_session(proxy.port, "a"), open_session(proxy.port, "a")
        for one in (session, other):
            client = one.ask("xhr")
            accept(ws_backend)
            assert client.read_response().text == "o\n"
            client.close()
        poll = session.ask("xhr")
        time.sleep(0.1)
        proxy.write_routes(["a,sockjs=/other test", "b test"])
        eventually(lambda: session.get("xhr_send", body=b'["x"]').status != 200, "the route is gone")
        assert not poll.is_readable(0.2)
        eventually(lambda: gauges(port)["holdfast_sockjs_sessions"] == 1, "one is left", timeout_s=8)
        poll.close()
    proxy.write_routes(routes)
    last = open_session(proxy.port, "a")
    eventually(lambda: last.send("x").text == "Not Found\n", "the route is back")
    client = last.ask("xhr")
    accept(ws_backend)
    assert client.read_response().text == "o\n"
    poll = last.ask("xhr")
    time.sleep(0.1)
    proxy.send_signal(signal.SIGTERM)
    assert poll.read_response().text == 'c[1001,"Connection closed"]\n'
    assert proxy.wait_exit() == 0
    assert not proxy.log_lines("Traceback")
