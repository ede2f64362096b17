"""A process that runs out of descriptors: who is there is served, publishing goes on, and who comes late is told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.ports import free_port
from tests.harness.proxy import HoldfastDriver, ProxyConfig, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually
from tests.harness.watch import Watch
from tests.harness.ws_backend import WebSocketBackend

FILES = 128


class WithFewFiles(HoldfastDriver):
    """Starts the program with a low limit of open files."""

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        return ["sh", "-c", f'ulimit -n {FILES}; exec "$@"', "sh", *super().command(config_file, arguments)]


@pytest.fixture
def metrics_port() -> int:
    return free_port()


@pytest.fixture
def proxy(backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> Iterator[ProxyUnderTest]:
    config = ProxyConfig(
        routes=[f"relay 127.0.0.1:{ws_backend.port}", f"* 127.0.0.1:{backend.port}"],
        settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}},
    )
    proxy = ProxyUnderTest(config, WithFewFiles())
    proxy.start()
    yield proxy
    proxy.stop()


@pytest.fixture
def watch(proxy: ProxyUnderTest, metrics_port: int) -> Watch:
    return Watch(proxy.pid, metrics_port)


HANDSHAKE = [
    ("Upgrade", "websocket"),
    ("Connection", "Upgrade"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]


NEVER = threading.Event()


@pytest.fixture(autouse=True)
def end_of_never() -> Iterator[None]:
    """Let the threads of the backend end."""
    NEVER.clear()
    yield
    NEVER.set()


def ask_slowly(stage: Stage) -> None:
    """Requests that are being answered need two descriptors."""
    path = stage.backend.serve(RawReply([NEVER]))
    for _ in range(FILES + 20):
        stage.client().request(path)


def shake_hands(stage: Stage) -> None:
    """So do WebSockets that are relayed."""
    for _ in range(FILES + 20):
        stage.client().request("/", host="relay", headers=HANDSHAKE)


def say_nothing(stage: Stage) -> None:
    """Clients that only connect need one: half of all is the most that they get."""
    for _ in range(FILES + 20):
        stage.client()


@pytest.mark.parametrize("attack", [ask_slowly, shake_hands, say_nothing])
def test_publishing_goes_on(
    stage: Stage, ws_backend: WebSocketBackend, watch: Watch, connect: Connect, attack: Callable[[Stage], None]
) -> None:
    proxy, backend = stage.proxy, stage.backend
    clients: list[RawClient] = []

    def connect_for_now(port: int, **options: object) -> RawClient:
        client = connect(port, **options)
        clients.append(client)
        return client

    others = Stage(proxy, backend, connect_for_now)
    channel = fresh_channel()
    held, awake = stage.stream(channel), stage.client()
    path = backend.serve(Reply(body=b"ok"))
    awake.request("/unknown")
    assert awake.read_response().status == 404
    before = watch.sockets_in_use()
    attack(others)
    eventually(lambda: watch.metric("open_connections") >= FILES // 4, "all that can be accepted")
    for number in range(20):
        publish_ok(proxy.control_port, stream_item(channel, f"{number:2}"))
    assert held.read_data(40) == b"".join(b"%2d" % number for number in range(20))
    assert watch.descriptors() < FILES - 10
    awake.request(path)
    assert awake.read_response().status in (200, 502)
    for client in clients:
        client.close()
    ws_backend.close_connections()
    NEVER.set()
    eventually(lambda: watch.metric("open_connections") == 2, "only those who were there before")
    # Clients are gone a moment before what was asked for them is given up.
    eventually(lambda: fetch(proxy.port, path).status == 200, "backends can be asked again")
    awake.request(path)
    assert awake.read_response().status == 200
    eventually(lambda: watch.sockets_in_use() <= before, "as few descriptors as before")
    assert "Traceback" not in proxy.log()


def test_accepting_pauses_and_goes_on(stage: Stage, watch: Watch) -> None:
    """What cannot be accepted waits; that is counted, and the log says why."""
    path = stage.backend.serve(RawReply([NEVER]))
    for _ in range(45):
        stage.client().request(path)
        time.sleep(0.02)  # or all are accepted before the first backend is connected to
    stage.proxy.wait_log(r"\[ERR\] .*clients: cannot accept: Too many open files; new ones wait")
    assert watch.metric("accept_failures") >= 1
    late = stage.client()
    late.request(stage.backend.serve(Reply(body=b"ok")))
    late.assert_silent(0.3)
    NEVER.set()
    assert late.read_response(timeout_s=10).status in (200, 502)


def test_a_long_poll_is_asked_again_when_there_are_none(stage: Stage) -> None:
    """A client that is woken needs no descriptor more: its backend cannot be reached, and it is told so."""
    proxy = stage.proxy
    channel = fresh_channel()
    poll = stage.poll(channel)
    ask_slowly(stage)
    proxy.wait_log(r"Too many open files")
    publish_ok(proxy.control_port, {"channel": channel, "formats": {"http-response": {"action": "hint"}}})
    assert poll.read_response(timeout_s=10).status in (200, 502)
    assert "Traceback" not in proxy.log()


@pytest.mark.parametrize("attack", [ask_slowly, shake_hands])
def test_that_backends_cannot_be_connected_to_is_said_once(
    stage: Stage, ws_backend: WebSocketBackend, watch: Watch, attack: Callable[[Stage], None]
) -> None:
    """Who is answered with 502 for want of descriptors has a line of his own, and all together one that is loud."""
    attack(stage)
    eventually(lambda: watch.metric("backend_descriptors_missing") >= 5, "requests that fail")
    (line,) = stage.proxy.wait_log(r"\[ERR\] .*backends: cannot connect: Too many open files; requests fail")
    assert "Raise the limit of open files" in line
    ws_backend.close_connections()
