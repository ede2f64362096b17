"""Hostile WebSocket clients and backends: memory stays bounded, others are served, and nothing is left afterwards."""

from __future__ import annotations

import os
import signal
import socket
import struct
import threading
import time
import zlib
from collections.abc import Callable, Iterator

import pytest
from tests.harness.backend import ScriptedBackend, held_back
from tests.harness.client import ClosedByServer, Connect, fetch
from tests.harness.grip import fresh_channel
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually, scaled
from tests.harness.watch import MB, Watch, nothing_kept
from tests.harness.websocket import MASK, Frame, Opcode, ping, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import Event, events_reply, opening, text_event
from tests.harness.ws_stage import WebSocketStage, control, ws_item

DEFLATE = [("Sec-WebSocket-Extensions", "permessage-deflate")]


def routes(backend: ScriptedBackend, ws_backend: WebSocketBackend) -> list[str]:
    return [
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        f"* 127.0.0.1:{backend.port}",
    ]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        *routes(backend, ws_backend),
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
            "runner": {"allow_compression": "true"},
        },
    )


@pytest.fixture
def watch(proxy: ProxyUnderTest, metrics_port: int) -> Iterator[Watch]:
    """Stands before `ws` among the arguments of a test: everything is gone after it, once its clients are."""
    # what a client has sent before it left is acted on first
    with nothing_kept(Watch(proxy.pid, metrics_port), timeout_s=60, spare_descriptors=3) as watch:
        yield watch


def send_what_is_taken(connection: socket.socket, data: bytes, seconds: float = 1.0) -> None:
    """Send until nothing more is taken."""
    connection.settimeout(scaled(seconds))
    try:
        connection.sendall(data)
    except TimeoutError:
        return


def read_all(peer: BackendPeer) -> Callable[[], int]:
    """Read in a thread of its own; tells how much came."""
    sizes: list[int] = []

    def run() -> None:
        peer.connection.raw.settimeout(None)
        try:
            while data := peer.connection.raw.recv(1 << 20):
                sizes.append(len(data))
        except OSError:
            return

    threading.Thread(target=run, daemon=True).start()
    return lambda: sum(sizes)


def deflated(data: bytes) -> bytes:
    """What RFC 7692 makes of a message."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Others:
    """Somebody else, who is served all the time; the longest that it took."""

    def __init__(self, metrics_port: int) -> None:
        self._port = metrics_port
        self.longest_s = 0.0

    def ask(self) -> None:
        start = time.monotonic()
        assert fetch(self._port, "/").status == 200
        self.longest_s = max(self.longest_s, time.monotonic() - start)


# --- clients ----------------------------------------------------------------------------------------------------------


class TestClients:
    @pytest.mark.parametrize("host", ["relay", "events"])
    def test_handshakes_that_nobody_answers(self, watch: Watch, ws: WebSocketStage, host: str) -> None:
        """A web server may be accepting a client that has left; how many are waited for is bounded, and seen."""
        gate = threading.Event()
        path = ws.backend.serve(held_back(gate, events_reply(Event("OPEN"))))
        clients = [ws.client() for _ in range(300)]
        try:
            for client in clients:
                client.handshake(path, host=host)
            eventually(lambda: watch.metric("tasks") >= 300, "all wait")
            for client in clients:
                client.close()
            eventually(lambda: watch.metric("open_connections") == 0, "all have left")
            assert watch.metric("farewells") == (300 if host == "events" else 0)
        finally:
            gate.set()
        assert watch.peak_memory() < 200 * MB

    @pytest.mark.parametrize("host", ["relay", "events"])
    def test_half_frames(self, watch: Watch, ws: WebSocketStage, host: str) -> None:
        start = watch.memory()
        for _ in range(200):
            client = ws.relay()[0] if host == "relay" else ws.over_http()[0]
            client.send_raw(Frame(Opcode.BINARY, bytes(15_000)).encode(MASK, length=1 << 40)[:15_000])
        ws.proxy.settle()
        assert watch.memory() - start < 30 * MB

    def test_fragments_without_end(self, watch: Watch, ws: WebSocketStage) -> None:
        """A message to a web server is collected, and limited; empty fragments are nothing to collect."""
        client, script = ws.over_http()
        client.send(Frame(Opcode.TEXT, b"", is_final=False))
        client.connection.send(Frame(Opcode.CONTINUATION, b"", is_final=False).encode(MASK) * 200_000, 20)
        client.connection.send(Frame(Opcode.CONTINUATION, b"x", is_final=False).encode(MASK) * 200_000, 20)
        client.send(Frame(Opcode.CONTINUATION, b"y"))
        assert [frame.close_code for frame in client.read_to_end(20)] == [1009]
        script.wait_for(Event("DISCONNECT"))
        assert watch.peak_memory() < 150 * MB

    def test_pings_without_end(self, watch: Watch, ws: WebSocketStage) -> None:
        """They wait for the backend like everything else, and then in the client's own socket."""
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()))
        try:
            client.send_text("first")
            script.wait_request(2)
            send_what_is_taken(client.connection.raw, ping().encode(MASK) * 2 * MB)
            assert watch.peak_memory() < 150 * MB
        finally:
            client.close()
            gate.set()

    @pytest.mark.parametrize("is_read", [True, False])
    def test_bomb_that_is_relayed(self, watch: Watch, ws: WebSocketStage, metrics_port: int, is_read: bool) -> None:
        """It is inflated no faster than the backend takes it, and others have their turn."""
        client, peer = ws.relay(headers=DEFLATE)
        size = read_all(peer) if is_read else lambda: 0
        bomb = Frame(Opcode.BINARY, deflated(bytes(50 * MB)), rsv=4)
        client.send(bomb, bomb, bomb)
        others = Others(metrics_port)
        deadline = time.monotonic() + scaled(20)
        while size() < 150 * MB and time.monotonic() < deadline and (is_read or others.longest_s == 0):
            others.ask()
        assert size() >= 150 * MB or not is_read
        assert others.longest_s < scaled(3)
        assert watch.peak_memory() < 150 * MB

    def test_bomb_for_a_web_server(self, watch: Watch, ws: WebSocketStage) -> None:
        client, _ = ws.over_http(headers=DEFLATE)
        client.send(Frame(Opcode.BINARY, deflated(bytes(50 * MB)), rsv=4))
        assert [frame.close_code for frame in client.read_to_end()] == [1009]
        assert watch.peak_memory() < 150 * MB

    def test_nobody_reads(self, watch: Watch, ws: WebSocketStage) -> None:
        """What is relayed waits in the sockets, not in the proxy."""
        start = watch.memory()
        frame = Frame(Opcode.BINARY, bytes(3 * MB))
        for _ in range(10):
            client, peer = ws.relay()
            send_what_is_taken(client.connection.raw, frame.encode(MASK) * 5, 0.1)
            send_what_is_taken(peer.connection.raw, frame.encode(None) * 5, 0.1)
        assert watch.peak_memory() - start < 20 * MB

    def test_large_messages_both_ways_at_once(self, watch: Watch, ws: WebSocketStage) -> None:
        start = watch.memory()
        client, peer = ws.relay()
        frame = Frame(Opcode.BINARY, os.urandom(3 * MB))
        threads = [
            threading.Thread(target=end.send, args=(frame,), kwargs={"timeout_s": 20.0}) for end in (client, peer)
        ]
        received: list[Frame] = []
        threads += [threading.Thread(target=lambda end=end: received.append(end.read(20.0))) for end in (client, peer)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert received == [frame, frame]
        assert watch.peak_memory() - start < 20 * MB

    def test_churn(self, watch: Watch, ws: WebSocketStage) -> None:
        """Memory comes back: it does not matter how many have been there."""

        def come_and_go(count: int) -> None:
            for number in range(count):
                channel = fresh_channel()
                if number % 2:
                    client, peer = ws.relay(extension="grip")
                    peer.send(control("subscribe", channel=channel), control("keep-alive", content="k", timeout=5))
                    peer.send(text("m:hello"))
                    client.expect_text("hello")
                    ws.ws_backend.close_connections()
                else:
                    client, _ = ws.over_http(first=opening(Event("TEXT", b"hello")))
                    client.expect_text("hello")
                client.close()

        come_and_go(200)
        watch.wait_empty()
        start = watch.memory()
        come_and_go(600)
        watch.wait_empty()
        assert watch.memory() - start < 8 * MB


# --- backends ---------------------------------------------------------------------------------------------------------


class TestBackends:
    @pytest.mark.parametrize("kind", ["subscribe", "set-meta", "send-delayed", "keep-alive"])
    def test_orders_without_end(self, watch: Watch, ws: WebSocketStage, metrics_port: int, kind: str) -> None:
        client, peer = ws.grip()
        orders = [
            control(
                kind,
                channel=f"c{number % 30}",
                filters=[f"unknown-{number}"],
                name=f"name-{number}",
                value="v" * 500,
                content="x",
                timeout=2**31 - 1 if number % 2 else 5,
            )
            for number in range(10_000)
        ]
        peer.send(*orders, timeout_s=30)
        peer.send(text("m:done"))
        client.skip_to(text("done"))
        assert watch.metric("hold_plans") <= 3
        assert watch.metric("channels") <= 20
        assert watch.peak_memory() < 150 * MB

    def test_subscriptions_in_a_loop(self, watch: Watch, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        for number in range(3_000):
            fields = {"channel": f"{number}" + "x" * 1_000, "filters": [f"f{number}"]}
            peer.send(control("subscribe", **fields), control("unsubscribe", **fields), timeout_s=30)
        peer.send(text("m:done"))
        client.expect_text("done", timeout_s=20)
        assert (watch.metric("hold_plans"), watch.metric("channels")) == (1, 0)
        assert watch.peak_memory() < 150 * MB

    @pytest.mark.parametrize("event", [b"TEXT\r\n", b"PING\r\n", b"NEW\r\n"])
    def test_very_many_events(self, watch: Watch, ws: WebSocketStage, metrics_port: int, event: bytes) -> None:
        """The largest body, in the smallest events; others are served meanwhile."""
        body = event * (MB // len(event))
        client, script = ws.over_http(events_reply(body=body), events_reply(text_event("done")))
        others = Others(metrics_port)
        client.send_text("go")
        script.wait_request(2)
        client.send_text("again")
        for _ in range(50):
            others.ask()
        assert others.longest_s < scaled(0.25)
        client.skip_to(text("done"))
        assert watch.peak_memory() < 200 * MB

    def test_much_for_a_slow_client(self, watch: Watch, ws: WebSocketStage) -> None:
        """A backend is not asked while a client has not taken what it said before."""
        start = watch.memory()
        much = events_reply(Event("BINARY", bytes(MB - 100)))
        client, script = ws.over_http(*[much] * 100, receive_buffer=4096)
        for _ in range(30):
            client.send_text("more")
            time.sleep(0.02)
        ws.proxy.settle()
        assert len(script.requests) < 20
        assert watch.peak_memory() - start < 20 * MB

    @pytest.mark.parametrize(
        "rest", [b"\xff" * 100, b"\x81\x7f" + b"\xff" * 8, b"HTTP/1.1 200 OK\r\n\r\n", b"\x09\x7e"]
    )
    def test_nonsense_after_the_acceptance(self, watch: Watch, ws: WebSocketStage, rest: bytes) -> None:
        for _ in range(20):
            client, peer = ws.shake()
            peer.accept()
            peer.send_raw(rest)
            client.accepted()
            client.assert_dropped()

    def test_accepts_and_resets(self, watch: Watch, ws: WebSocketStage) -> None:
        for _ in range(100):
            client, peer = ws.shake()
            peer.connection.raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            peer.accept()
            peer.close()
            try:
                client.accepted()
            except ClosedByServer:
                continue
            client.assert_dropped()

    def test_long_prefix(self, watch: Watch, ws: WebSocketStage) -> None:
        """It is as long as a header may be; a megabyte is no answer at all."""
        prefix = "x" * 7_000
        client, peer = ws.relay(extension=f"grip; message-prefix={prefix}")
        peer.send(text(prefix[:-1]), text(prefix + "hi"))
        client.expect_text("hi")
        client, peer = ws.shake()
        peer.accept([("Sec-WebSocket-Extensions", "grip; message-prefix=" + "x" * MB)])
        assert client.refused().status == 502

    def test_meta_without_end(self, watch: Watch, ws: WebSocketStage) -> None:
        """What a web server sets is sent with every request from then on."""
        replies = [events_reply(headers=[(f"Set-Meta-{number}", "x" * 7_000)]) for number in range(12)]
        client, script = ws.over_http(*replies)
        for number in range(9):
            client.send_text(str(number))
            script.wait_request(number + 2)
        client.send_text("10")
        client.assert_dropped()
        assert len(script.requests) <= 11

    def test_undecided_for_ever(self, watch: Watch, ws: WebSocketStage) -> None:
        path = ws.backend.serve(events_reply(headers=[("Keep-Alive-Interval", str(2**31 - 1))]))
        clients = [ws.client() for _ in range(100)]
        for client in clients:
            client.handshake(path, host="events")
        eventually(lambda: len(ws.backend.requests(path)) == 100, "all have asked")
        for client in clients:
            client.close()


# --- slow readers -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("policy", ["disconnect", "drop"])
def test_clients_that_do_not_read(
    launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect, policy: str
) -> None:
    """What is published is kept up to `outbox_max_bytes` for each, whatever becomes of it then."""
    port = free_port()
    proxy = launch_once(
        *routes(backend, ws_backend),
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{port}"},
            "holdfast": {"outbox_policy": policy, "outbox_max_bytes": 100_000},
        },
    )
    ws = WebSocketStage(proxy, backend, ws_backend, connect)
    watch = Watch(proxy.pid, port)
    channel = fresh_channel()
    clients = [ws.grip(channel, receive_buffer=4096)[0] for _ in range(10)]
    start = watch.memory()
    for _ in range(10):
        ws.publish(*(ws_item(channel, "x" * 50_000) for _ in range(15)))
    eventually(lambda: watch.metric("drops_outbox_full_total") >= 10, "all are slow")
    assert watch.memory() - start < 20 * MB
    disconnected = watch.metric("slow_clients_disconnected_total")
    assert disconnected == (10 if policy == "disconnect" else 0)
    for client in clients:
        client.close()
    ws_backend.close_connections()
    watch.wait_empty()


# --- the end ----------------------------------------------------------------------------------------------------------

STOP_S = 1.5


@pytest.fixture
def stopping(
    launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> WebSocketStage:
    proxy = launch_once(*routes(backend, ws_backend), settings={"holdfast": {"stop_timeout": STOP_S}})
    return WebSocketStage(proxy, backend, ws_backend, connect)


class TestStop:
    """SIGTERM: clients get 1001, backends are told, and everything ends in time."""

    def stop(self, ws: WebSocketStage) -> float:
        ws.proxy.send_signal(signal.SIGTERM)
        return time.monotonic()

    def assert_ended(self, ws: WebSocketStage, start: float, at_most_s: float = STOP_S + 1) -> None:
        assert ws.proxy.wait_exit() == 0
        assert time.monotonic() - start < scaled(at_most_s)
        assert not ws.proxy.log_lines(r"ERROR|Traceback")

    def test_answered(self, stopping: WebSocketStage) -> None:
        ws = stopping
        client, peer = ws.relay()
        other, script = ws.over_http()
        start = self.stop(ws)
        for end in (client, other):
            frame = end.read()
            assert frame.close_code == 1001
            end.send(Frame(Opcode.CLOSE, b"\x03\xe9"))
            end.assert_dropped()
            end.close()
        assert peer.read().close_code == 1001
        script.wait_for(Event("CLOSE", b"\x03\xe9"))
        self.assert_ended(ws, start, STOP_S)

    def test_the_backend_is_told_although_it_is_slow(self, stopping: WebSocketStage) -> None:
        ws = stopping
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()))
        client.send_text("first")
        script.wait_request(2)
        start = self.stop(ws)
        assert client.read().close_code == 1001
        client.send(Frame(Opcode.CLOSE, b"\x03\xe9"))
        client.assert_dropped()
        client.close()
        time.sleep(0.2)
        gate.set()
        script.wait_for(text_event("first"), Event("CLOSE", b"\x03\xe9"))
        self.assert_ended(ws, start)

    @pytest.mark.parametrize("state", ["silent", "closing", "not taken", "not read", "fragment", "handshake", "open"])
    def test_whatever_they_are_doing(self, stopping: WebSocketStage, state: str) -> None:
        ws = stopping
        gate = threading.Event()
        if state == "handshake":
            ws.shake()
        elif state == "open":
            path = ws.backend.serve(held_back(gate, events_reply(Event("OPEN"))))
            ws.client().handshake(path, host="events")
            time.sleep(0.2)
        elif state == "closing":
            client, script = ws.over_http(held_back(gate, events_reply()))
            client.send(Frame(Opcode.CLOSE, b"\x0f\xa0"))
            script.wait_request(2)
        elif state == "not taken":
            client, peer = ws.relay(receive_buffer=4096)
            send_what_is_taken(peer.connection.raw, Frame(Opcode.BINARY, bytes(20 * MB)).encode(None), 0.3)
        elif state == "not read":
            client, _ = ws.relay()
            send_what_is_taken(client.connection.raw, Frame(Opcode.BINARY, bytes(20 * MB)).encode(MASK), 0.3)
        elif state == "fragment":
            client, peer = ws.relay()
            peer.send(Frame(Opcode.TEXT, b"1", is_final=False))
            client.read_frame()
        else:
            ws.relay()
        start = self.stop(ws)
        if state in ("not read", "fragment"):
            assert client.read_frame().close_code == 1001
        self.assert_ended(ws, start)
        gate.set()

    def test_many(self, stopping: WebSocketStage) -> None:
        ws = stopping
        channel = fresh_channel()
        clients = [ws.grip(channel)[0] for _ in range(50)] + [ws.over_http()[0] for _ in range(50)]
        start = self.stop(ws)
        for client in clients:
            client.skip_to(Frame(Opcode.CLOSE, b"\x03\xe9"))
        self.assert_ended(ws, start)
