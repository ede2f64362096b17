"""Shared requests under attack: clients that do not read, that leave, and answers that were made for one of many."""

from __future__ import annotations

import itertools
import random
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, Connect, RawClient
from tests.harness.messages import HeaderList, Request
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually, scaled
from tests.harness.watch import scrape

BODY = bytes(range(256)) * 4096 * 8
SEND_TIMEOUT_S = 2


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "proxy": {"x_forwarded_for": "append"},
            "handler": {"share_all": "true", "prometheus_port": f"127.0.0.1:{metrics_port}"},
        },
        environment={"HOLDFAST_HOLDFAST_SEND_TIMEOUT": str(SEND_TIMEOUT_S)},
    )


class TestSlowClients:
    def test_stuck_client_is_cut_off(
        self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, metrics_port: int
    ) -> None:
        """One that takes nothing holds up the others for as long as `send_timeout`, and no longer."""
        gate = threading.Event()
        path = backend.serve(Reply(body=[b"", gate, BODY], framing=Framing.CHUNKED))
        stuck, quick = connect(proxy.port, receive_buffer=4096), connect(proxy.port)
        for client in (stuck, quick):
            client.request(path)
            client.read_head()
        gate.set()
        start = time.monotonic()
        assert quick.read_chunks(scaled(20)) == BODY
        assert SEND_TIMEOUT_S - 0.5 < time.monotonic() - start < scaled(SEND_TIMEOUT_S + 4)
        assert len(backend.requests(path)) == 1
        with pytest.raises(ClosedByServer):
            stuck.read_chunks(scaled(20))
        names = "client_timeouts_total", "sharers_left_behind_total"  # whichever is the first to notice
        eventually(lambda: sum(scrape(metrics_port)[name] for name in names) >= 1, "the client is counted")

    def test_dripping_client_is_left_behind(
        self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, metrics_port: int
    ) -> None:
        """It takes some bytes all the time, so that the time limit of its connection is never reached."""
        before = scrape(metrics_port)["sharers_left_behind_total"]
        gate = threading.Event()
        path = backend.serve(Reply(body=[b"", gate, BODY], framing=Framing.CHUNKED))
        dripping, quick = connect(proxy.port, receive_buffer=4096), connect(proxy.port)
        for client in (dripping, quick):
            client.request(path)
            client.read_head()
        gate.set()
        done = threading.Event()
        drip = threading.Thread(target=self._drip, args=(dripping, done))
        drip.start()
        try:
            assert quick.read_chunks(scaled(30)) == BODY
        finally:
            done.set()
            drip.join()
        assert scrape(metrics_port)["sharers_left_behind_total"] == before + 1

    def _drip(self, client: RawClient, done: threading.Event) -> None:
        while not done.wait(0.1):
            client.raw.recv(4096)


def test_addresses_count_where_they_are_forwarded(
    proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect
) -> None:
    gate = threading.Event()
    path = backend.serve(Reply(body=[b"a", gate, b"b"], length=2))
    clients = [connect(proxy.port, source=source) for source in ("127.0.0.1", "127.0.0.2", "127.0.0.1")]
    for client in clients:
        client.request(path)
        client.read_head()
    gate.set()
    assert [client.read_exactly(2) for client in clients] == [b"ab"] * 3
    assert [request.header("X-Forwarded-For") for request in backend.requests(path)] == ["127.0.0.1", "127.0.0.2"]


def test_nobody_gets_what_is_for_another(proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
    """Users and strangers ask for the same at the same time; strangers get sessions, some leave before that."""
    tokens = itertools.count(1)

    def answer(request: Request) -> Reply:
        time.sleep(0.02)
        cookie = request.header("Cookie")
        if cookie is None:
            return Reply(headers=[("Set-Cookie", f"session={next(tokens)}")], body=b"stranger")
        return Reply(body=cookie.encode())

    path = backend.serve(answer)
    random_numbers = random.Random(5)
    users = [random_numbers.choice([None, "user=a", "user=b", "user=c"]) for _ in range(400)]

    def ask(user: str | None) -> str | None:
        headers: HeaderList = [] if user is None else [("Cookie", user)]
        with RawClient(proxy.port) as client:
            client.request(path, headers=headers)
            if random_numbers.random() < 0.1:
                return None
            response = client.read_response(timeout_s=scaled(20))
            assert response.text == (user or "stranger")
            return response.header("Set-Cookie")

    with ThreadPoolExecutor(20) as pool:
        sessions = [session for session in pool.map(ask, users) if session is not None]
    assert len(sessions) > 50
    assert len(set(sessions)) == len(sessions)
    assert len(backend.requests(path)) < 350, "users share"


def test_many(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, metrics_port: int) -> None:
    """Three hundred clients, one request, and the whole answer for each."""
    before = scrape(metrics_port)["requests_shared_total"]
    gate = threading.Event()
    body = BODY[:1_000_000]
    path = backend.serve(Reply(body=[b"", gate, body], length=len(body)))
    clients = [connect(proxy.port) for _ in range(300)]
    for client in clients:
        client.request(path)
    for client in clients:
        client.read_head()
    assert scrape(metrics_port)["shareable_requests"] == 1
    gate.set()
    with ThreadPoolExecutor(len(clients)) as pool:
        assert all(pool.map(lambda client: client.read_exactly(len(body), scaled(20)) == body, clients))
    assert len(backend.requests(path)) == 1
    assert scrape(metrics_port)["requests_shared_total"] == before + 299
    eventually(lambda: scrape(metrics_port)["shareable_requests"] == 0, "nothing is left")
    eventually(lambda: scrape(metrics_port)["tasks"] <= 3, "no task is left")


def test_with_a_limit_of_open_requests(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """Who waits for a turn does not join, and nobody waits for ever."""
    settings = {"proxy": {"max_open_requests": 2}, "handler": {"share_all": "true"}}
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
    path = backend.serve(lambda _request: Reply(body=b"answer"))
    clients = [connect(proxy.port) for _ in range(20)]
    for client in clients:
        client.request(path)
    assert [client.read_response().text for client in clients] == ["answer"] * 20
