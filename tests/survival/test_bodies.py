"""Large bodies on unusual ways: to and from ZeroMQ backends, past targets that fail, towards one that never answers.

Memory stays flat, somebody else is served all the time, and what arrives is whole.
"""

from __future__ import annotations

import itertools
import socket
import threading
from collections.abc import Iterator
from functools import partial

import pytest
from tests.harness.backend import AnyReply, Handler, RawReply, Reply, ScriptedBackend
from tests.harness.bodies import LARGE, PIECE, framing_header, read_body, send_body
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage
from tests.harness.messages import Request
from tests.harness.ports import free_ports
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import scaled
from tests.harness.watch import MB, Bystander, Watch, in_thread
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.zhttp import CREDITS, StreamAsker, StreamBackend, fresh_path

CONNECT_TIMEOUT_S = 2.0
STALL_S = 0.5
"""The longest that somebody else may wait: the backends of these tests are busy with the same processor."""

UPLOADS = 60

_numbers = itertools.count()


class DeafPort:
    """A port that does not answer who wants to connect: its queue is full, and nobody accepts."""

    def __init__(self) -> None:
        self._listener = socket.socket()
        self._listener.bind(("127.0.0.1", 0))
        self._listener.listen(0)
        self.port: int = self._listener.getsockname()[1]
        self._waiting: list[socket.socket] = []
        while not self._is_deaf():
            assert len(self._waiting) < 20, "this system answers always"

    def _is_deaf(self) -> bool:
        sock = socket.socket()
        self._waiting.append(sock)
        sock.settimeout(scaled(0.3))
        try:
            sock.connect(("127.0.0.1", self.port))
        except TimeoutError:
            return True
        return False

    def close(self) -> None:
        for sock in (self._listener, *self._waiting):
            sock.close()


@pytest.fixture(scope="module")
def deaf() -> Iterator[DeafPort]:
    port = DeafPort()
    yield port
    port.close()


@pytest.fixture(scope="module")
def zhttp_port() -> int:
    return free_ports(3)


@pytest.fixture(scope="module")
def proxy(
    launch: Launch,
    backend: ScriptedBackend,
    ws_backend: WebSocketBackend,
    zhttp_port: int,
    deaf: DeafPort,
    metrics_port: int,
) -> ProxyUnderTest:
    raw = f"127.0.0.1:{ws_backend.port}"
    return launch(
        f"z zhttp/tcp://127.0.0.1:{zhttp_port}",
        f"raw {raw}",
        f"dead-first 127.0.0.1:1 {raw}",
        f"deaf 127.0.0.1:{deaf.port}",
        f"deaf-first 127.0.0.1:{deaf.port} {raw}",
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
            "holdfast": {"backend_connect_timeout": CONNECT_TIMEOUT_S},
        },
    )


@pytest.fixture(scope="module")
def zbackend(proxy: ProxyUnderTest, zhttp_port: int) -> Iterator[StreamBackend]:
    backend = StreamBackend.on_port(zhttp_port)
    backend.wait_connected(proxy, "z")
    yield backend
    backend.stop()


@pytest.fixture
def asker(watch: Watch, proxy: ProxyUnderTest, zbackend: StreamBackend, connect: Connect) -> StreamAsker:
    return StreamAsker(proxy, zbackend, connect)


def upload(client: RawClient, path: str, host: str) -> threading.Thread:
    """Begin a large upload; the thread that goes on with it."""
    client.request(path, method="POST", host=host, headers=[framing_header("sized")])
    return in_thread(lambda: send_body(client, "sized"))


class TestZeroMQ:
    def test_response(self, watch: Watch, bystander: Bystander, asker: StreamAsker) -> None:
        """As fast as the client takes it: that is what credits are for."""
        client, exchange = asker.ask()
        start = watch.memory()
        sizes: list[int] = []

        def read() -> None:
            client.read_head(20)
            sizes.append(read_body(client, None))

        reader = in_thread(read)
        exchange.send(code=200, headers=[["Content-Length", str(LARGE)]], more=True)
        granted = CREDITS
        for sent in range(len(PIECE), LARGE + 1, len(PIECE)):
            while granted < sent:
                granted += exchange.receive_type("credit", 20)["credits"]
            exchange.send(body=PIECE, more=sent < LARGE)
        reader.join()
        assert sizes == [LARGE]
        assert watch.peak_memory() - start < 10 * MB

    def test_request(self, watch: Watch, bystander: Bystander, asker: StreamAsker) -> None:
        """As fast as the backend grants credits."""
        start = watch.memory()
        path, client = fresh_path(), asker.client()
        sender = upload(client, path, "z")
        exchange = asker.backend.take(path)
        packet, size = exchange.request, len(exchange.request.get("body", b""))
        exchange.send(type="credit", credits=CREDITS)
        while packet.get("more"):
            packet = exchange.receive(20)
            if "type" in packet:
                continue
            size += len(packet.get("body", b""))
            exchange.send(type="credit", credits=len(packet.get("body", b"")))
        sender.join()
        assert size == LARGE
        exchange.send(code=200, body="ok")
        assert client.read_response().text == "ok"
        assert watch.peak_memory() - start < 10 * MB

    def test_backends_that_grant_nothing(self, watch: Watch, bystander: Bystander, asker: StreamAsker) -> None:
        """The clients wait, as their backend does; that they are reset is noticed although nothing is read of them."""
        start = watch.memory()
        clients = []
        for _ in range(20):
            path, client = fresh_path(), asker.client()
            client.request(path, method="POST", host="z", headers=[framing_header("sized")])
            client.send(PIECE)
            asker.backend.take(path)
            client.raw.settimeout(0.05)
            with pytest.raises(TimeoutError):
                client.raw.sendall(PIECE * 200)
            clients.append(client)
        assert watch.peak_memory() - start < 20 * MB
        for client in clients:
            client.reset()

    def test_clients_that_take_nothing(self, watch: Watch, bystander: Bystander, asker: StreamAsker) -> None:
        """The backend gets no credits, for as long as it may."""
        start = watch.memory()
        clients = []
        for _ in range(20):
            client, exchange = asker.ask()
            clients.append(client)
            exchange.send(code=200, headers=[["Content-Length", str(LARGE)]], more=True)
            granted, sent = CREDITS, 0
            try:
                while sent < 20 * MB:
                    if granted < sent + len(PIECE):
                        granted += exchange.receive_type("credit", 0.1)["credits"]
                        continue
                    exchange.send(body=PIECE, more=True)
                    sent += len(PIECE)
            except TimeoutError:
                pass
            assert sent < 20 * MB
        assert watch.peak_memory() - start < 20 * MB
        for client in clients:
            client.close()


@pytest.mark.parametrize("host", ["dead-first", "deaf-first"])
def test_a_failover(watch: Watch, bystander: Bystander, stage: Stage, ws_backend: WebSocketBackend, host: str) -> None:
    """The body waits with the client until a target is found, which then gets all of it."""
    before = watch.metric("backend_failovers")
    path, client = f"/upload{next(_numbers)}", stage.client()
    start = watch.memory()
    sender = upload(client, path, host)
    peer = ws_backend.take(path, CONNECT_TIMEOUT_S + 5)
    assert watch.peak_memory() - start < 8 * MB
    assert read_body(peer.connection, None) == LARGE
    peer.send_raw(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
    sender.join()
    assert client.read_response().text == "ok"
    assert watch.metric("backend_failovers") == before + 1
    assert watch.peak_memory() - start < 8 * MB
    ws_backend.close_connections()


def once_per_connection(seen: set[int]) -> Handler:
    """A backend that answers the first request of each connection, and closes instead of answering another one."""

    def answer(request: Request) -> AnyReply:
        if request.connection in seen:
            return RawReply([])
        seen.add(request.connection)
        return Reply(body=b"ok")

    return answer


def test_retries(watch: Watch, stage: Stage) -> None:
    """A body that was there as a whole is sent again on a new connection; a long one is gone, and nobody keeps it."""
    seen: set[int] = set()
    path = stage.backend.serve(once_per_connection(seen))
    long_one = stage.backend.serve(once_per_connection(seen), early=True)
    before = watch.metric("backend_retries")
    start = watch.memory()
    client = stage.client()
    for number in range(50):
        body = b"%05d" % number * 1_800
        client.request(path, method="PUT", body=body)
        assert client.read_response().text == "ok"
        assert stage.backend.requests(path)[-1].body == body
    assert watch.metric("backend_retries") == before + 49
    for _ in range(20):
        other = stage.client()
        other.request(long_one, method="PUT", headers=[("Content-Length", str(5 * MB))])
        sender = in_thread(partial(send_in_vain, other, 5 * MB))
        assert other.read_response().status in (200, 502)
        other.close()
        sender.join()
    assert watch.peak_memory() - start < 20 * MB
    client.close()


def send_in_vain(client: RawClient, size: int) -> None:
    """Send zeros until somebody has heard enough."""
    try:
        client.send(bytes(size))
    except OSError:
        return


def test_connects_that_hang(watch: Watch, bystander: Bystander, stage: Stage) -> None:
    """They end with their time limit; until then the clients wait, with their bodies, and nobody else."""
    start = watch.memory()
    clients = [stage.client() for _ in range(UPLOADS)]
    for client in clients:
        client.request("/", method="POST", host="deaf", headers=[framing_header("sized")])
        client.raw.setblocking(False)
        for _ in range(100):
            try:
                client.raw.send(PIECE)
            except BlockingIOError:
                break
        client.raw.setblocking(True)
    answers = bystander.answers
    for client in clients:
        assert client.read_response(timeout_s=CONNECT_TIMEOUT_S + 5).status == 502
        client.close()
    assert bystander.answers - answers > 10
    assert watch.peak_memory() - start < UPLOADS * 0.3 * MB
