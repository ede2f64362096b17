"""Very many connections: idle, coming and going, reset, half closed. None of them costs anything once it is gone."""

from __future__ import annotations

import os
import resource
import socket
import struct
import time
from collections.abc import Callable, Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient, encode_request
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.proxy import ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.watch import MB, Bystander, Watch

FACTOR = int(os.environ.get("HOLDFAST_SURVIVAL_FACTOR", "1"))
"""How many times more connections there are."""

IDLE = 1_500 * FACTOR
CHURN = 2_000 * FACTOR
WARM_UP = 500

STALL_S = 1.0
"""The longest that somebody else may wait."""


@pytest.fixture(autouse=True)
def files() -> Iterator[None]:
    """Our ends are descriptors too."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def connected(port: int) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", port))
    sock.settimeout(scaled(5))
    return sock


def reset(sock: socket.socket) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


def open_connections(watch: Watch, count: int) -> None:
    eventually(lambda: watch.metric("open_connections") == count, f"{count} connections", timeout_s=10)


def test_idle(watch: Watch, bystander: Bystander, proxy: ProxyUnderTest) -> None:
    """Two generations: the second costs no memory that the first has not cost."""
    grown = []
    for _ in range(2):
        start = watch.memory()
        clients = [connected(proxy.port) for _ in range(IDLE)]
        open_connections(watch, IDLE + 1)
        grown.append(watch.memory() - start)
        for client in clients:
            client.close()
        open_connections(watch, 1)
    print("grown by", grown)
    assert grown[0] < 3_000 * IDLE
    assert grown[1] < 0.3 * grown[0] + 1 * MB


def test_held_and_reset(watch: Watch, bystander: Bystander, stage: Stage) -> None:
    """Streams and polls that are reset all at once, while something is published to them."""
    channel = fresh_channel()
    paths = [stage.backend.serve(stream_reply(channel)), stage.backend.serve(poll_reply(channel))]
    for _ in range(2):
        clients = [connected(stage.proxy.port) for _ in range(400)]
        for number, client in enumerate(clients):
            client.sendall(encode_request(paths[number % 2]))
        eventually(lambda: watch.metric("parked_clients") == 400, "all held", timeout_s=10)
        for number, client in enumerate(clients):
            if number % 40 == 0:
                publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
            reset(client)
        open_connections(watch, 1)
        assert watch.metric("channels") == 0


def come_and_leave(sock: socket.socket, request: bytes) -> None:
    sock.close()


def ask_and_leave(sock: socket.socket, request: bytes) -> None:
    sock.sendall(request)
    assert sock.recv(1000).startswith(b"HTTP/1.1 200")
    sock.close()


def ask_and_reset(sock: socket.socket, request: bytes) -> None:
    sock.sendall(request)
    reset(sock)


def half_ask_and_reset(sock: socket.socket, request: bytes) -> None:
    sock.sendall(request[:20])
    reset(sock)


def half_close(sock: socket.socket, request: bytes) -> None:
    """The end of what a client sends is its end, asked for or not: it is closed."""
    sock.sendall(request[:-2])
    sock.shutdown(socket.SHUT_WR)
    while sock.recv(1000):
        pass
    sock.close()


def speak_nonsense(sock: socket.socket, request: bytes) -> None:
    sock.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n")
    while sock.recv(1000):
        pass
    sock.close()


@pytest.mark.parametrize(
    "behave", [come_and_leave, ask_and_leave, ask_and_reset, half_ask_and_reset, half_close, speak_nonsense]
)
def test_churn(
    watch: Watch,
    bystander: Bystander,
    proxy: ProxyUnderTest,
    backend: ScriptedBackend,
    behave: Callable[[socket.socket, bytes], None],
) -> None:
    """However many have been there, no memory and no descriptor tells of them."""
    request = encode_request(backend.serve(Reply(body=b"ok")))

    def come_and_go(count: int) -> None:
        for _ in range(count):
            behave(connected(proxy.port), request)
        open_connections(watch, 1)

    come_and_go(WARM_UP)
    start = watch.memory()
    before = watch.sockets_in_use()
    come_and_go(CHURN)
    print("grown by", watch.memory() - start)
    assert watch.memory() - start < 2 * MB
    eventually(lambda: watch.sockets_in_use() <= before + 2, "as few descriptors as before")


def test_silent_ones_are_named_and_counted(watch: Watch, stage: Stage) -> None:
    """A client that takes nothing of what is published to it is disconnected; the log says who and why."""
    channel = fresh_channel()
    path = stage.backend.serve(stream_reply(channel))
    slow = RawClient(stage.proxy.port, receive_buffer=2048)
    slow.request(path)
    stage.proxy.wait_held(path)
    quick = stage.stream(channel)
    before = watch.metric("slow_clients_disconnected")
    deadline = time.monotonic() + scaled(20)
    while watch.metric("slow_clients_disconnected") == before and time.monotonic() < deadline:
        publish_ok(stage.proxy.control_port, stream_item(channel, "x" * 200_000))
        quick.read_data(200_000)
    assert watch.metric("slow_clients_disconnected") == before + 1
    stage.proxy.wait_log(rf"{slow.local_address[0]}:{slow.local_address[1]}.*slow")
    assert watch.metric("drops_outbox_full") >= 1
    slow.close()
