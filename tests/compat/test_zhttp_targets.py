"""The sockets of ``zhttp/…`` and ``zhttpreq/…`` targets: where they are, how long, and what does not end the proxy."""

from __future__ import annotations

import signal
import stat
import time
from collections.abc import Callable, Sequence

import pytest
from tests.harness.client import Connect, fetch
from tests.harness.ports import free_port, free_ports, is_open
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually, scaled
from tests.harness.zhttp import ReqBackend, StreamAsker, StreamBackend, encode_packet, fresh_path

UNREACHABLE = "Error: zhttp service for route is unreachable.\n"


class TestSockets:
    @pytest.mark.spec("routes-76", "ws-121")
    def test_ports(self, launch_once: Launch) -> None:
        """All are bound by the proxy, when it starts."""
        first, req = free_ports(3), free_port()
        launch_once(f"a zhttp/tcp://127.0.0.1:{first}", f"b zhttpreq/tcp://127.0.0.1:{req}")
        eventually(lambda: all(is_open(port) for port in (first, first + 1, first + 2, req)), "four open ports")

    def test_ipc(self, launch_once: Launch, connect: Connect) -> None:
        """Three files with one base, and the mode that the target asks for."""
        proxy = launch_once("first test")
        base = f"ipc://{proxy.directory}/run/z"
        req = f"ipc://{proxy.directory}/run/req"
        proxy.write_routes([f"z zhttp/{base},ipc_file_mode=600", f"req zhttpreq/{req},ipc_file_mode=640"])
        proxy.send_signal(signal.SIGHUP)
        modes = {"z-out": 0o600, "z-out-stream": 0o600, "z-in": 0o600, "req": 0o640}
        files = {name: proxy.directory / "run" / name for name in modes}
        eventually(lambda: all(file.exists() for file in files.values()), "four socket files")
        eventually(
            lambda: {name: stat.S_IMODE(file.stat().st_mode) for name, file in files.items()} == modes, "their modes"
        )
        stream = StreamBackend(f"{base}-out", f"{base}-out-stream", f"{base}-in")
        backend = ReqBackend(req)
        try:
            stream.wait_connected(proxy, "z")
            client, path = connect(proxy.port), fresh_path()
            client.request(path, host="req")
            backend.take(path).reply(code=200, body="x")
            assert client.read_response().text == "x"
        finally:
            stream.stop()
            backend.stop()

    def test_port_in_use_by_two_routes(self, launch_once: Launch, connect: Connect) -> None:
        """One spec is one socket, however many routes and targets name it."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        proxy = launch_once(f"a zhttpreq/{spec}", f"b,debug zhttpreq/{spec},untrusted")
        backend = ReqBackend(spec)
        try:
            for host in ("a", "b"):
                client, path = connect(proxy.port), fresh_path()
                client.request(path, host=host)
                backend.take(path).reply(code=200, body=host)
                assert client.read_response().text == host
        finally:
            backend.stop()

    def test_changed_routes(self, launch_once: Launch, connect: Connect) -> None:
        """New ones are bound, and those that are gone are closed when the last request has its response."""
        old, new = free_port(), free_port()
        proxy = launch_once(f"* zhttpreq/tcp://127.0.0.1:{old}")
        backend = ReqBackend(f"tcp://127.0.0.1:{old}")
        try:
            client, path = connect(proxy.port), fresh_path()
            client.request(path)
            exchange = backend.take(path)
            proxy.write_routes([f"* zhttpreq/tcp://127.0.0.1:{new}"])
            proxy.send_signal(signal.SIGHUP)
            eventually(lambda: is_open(new), "the new port")
            assert is_open(old)
            exchange.reply(code=200, body="x")
            assert client.read_response().text == "x"
            eventually(lambda: not is_open(old), "the old port to be closed", timeout_s=10)
        finally:
            backend.stop()

    def test_backends_share_the_load(self, launch_once: Launch, connect: Connect) -> None:
        """In turn, when both are connected."""
        spec, port = f"tcp://127.0.0.1:{free_port()}", free_ports(3)
        proxy = launch_once(f"req zhttpreq/{spec}", f"z zhttp/tcp://127.0.0.1:{port}")
        backends = [ReqBackend(spec) for _ in range(2)]
        streams = [StreamBackend.on_port(port) for _ in range(2)]
        try:
            for stream in streams:
                stream.wait_subscribed()
            eventually(lambda: {serve_one(proxy, "req", backends, connect) for _ in range(2)} == {0, 1}, "both")
            eventually(lambda: {serve_one(proxy, "z", streams, connect) for _ in range(2)} == {0, 1}, "both streams")
        finally:
            for backend in backends:
                backend.stop()
            for stream in streams:
                stream.stop()

    @differs("zhttp-bad-spec")
    @pytest.mark.parametrize("target", ["zhttp/nonsense", "zhttpreq/nonsense"])
    def test_bad_spec(self, launch_once: Launch, target: str) -> None:
        """The line is dropped with a warning."""
        proxy = launch_once("old test")
        proxy.write_routes([f"bad {target}", "new test"])
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_log(r"\[WARN\].*routes:1")
        eventually(lambda: fetch(proxy.port, "/", host="new").status == 200, "the other line")
        assert fetch(proxy.port, "/", host="bad").status == 502


def serve_one(
    proxy: ProxyUnderTest, host: str, backends: Sequence[ReqBackend | StreamBackend], connect: Connect
) -> int:
    """Make a request, and return the number of the backend to which it came."""
    client, path = connect(proxy.port), fresh_path()
    client.request(path, host=host)
    deadline = time.monotonic() + scaled(5)
    while time.monotonic() < deadline:
        for number, backend in enumerate(backends):
            try:
                exchange = backend.take(path, 0.05)
            except TimeoutError:
                continue
            exchange.reply(code=200, body="x")
            assert client.read_response().text == "x"
            return number
    raise AssertionError(f"no backend was asked for {path}")


@differs("truncated-tnetstring")
@pytest.mark.spec("ws-119")
class TestTruncated:
    DATA = b"T100:2:id,36:"

    def test_req(self, launch_once: Launch, connect: Connect) -> None:
        spec = f"tcp://127.0.0.1:{free_port()}"
        proxy = launch_once(f"* zhttpreq/{spec}")
        backend = ReqBackend(spec)
        try:
            client, path = connect(proxy.port), fresh_path()
            client.request(path)
            exchange = backend.take(path)
            exchange.reply_raw(self.DATA)
            exchange.reply(code=200, body="x")
            assert client.read_response().text == "x"
        finally:
            backend.stop()

    def test_stream(self, launch_once: Launch, connect: Connect) -> None:
        port = free_ports(3)
        proxy = launch_once(f"z zhttp/tcp://127.0.0.1:{port}")
        backend = StreamBackend.on_port(port)
        try:
            backend.wait_connected(proxy, "z")
            client, exchange = StreamAsker(proxy, backend, connect).ask()
            backend.publish(exchange.request["from"] + b" " + self.DATA)
            exchange.send(code=200, body="x")
            assert client.read_response().text == "x"
        finally:
            backend.stop()


# --- sixty seconds of silence ----------------------------------------------------------------------------------------

SILENCE_S = 60


def between(start: float, least_s: float, most_s: float) -> bool:
    return least_s < time.monotonic() - start < most_s + scaled(3)


@pytest.mark.slow
@pytest.mark.spec("ws-119", "ws-120", "routes-76")
def test_requests_that_are_not_answered(launch_once: Launch, connect: Connect) -> None:
    """Nobody connected, no reply, or one that is none: 502 after 60 s, all at the same time."""
    spec, lonely = (f"tcp://127.0.0.1:{free_port()}" for _ in range(2))
    proxy = launch_once(f"req,debug zhttpreq/{spec}", f"nobody,debug zhttpreq/{lonely}")
    backend = ReqBackend(spec)
    replies: list[Callable[[bytes], list[bytes]]] = [
        lambda name: [encode_packet({"code": 200})],
        lambda name: [encode_packet({"id": "another", "code": 200})],
        lambda name: [encode_packet({"id": name, "code": 200})[1:]],
        lambda name: [b"garbage"],
        lambda name: [b""],
        lambda name: [encode_packet({"id": name, "code": [200]})],
        lambda name: [encode_packet({"id": name, "code": 200, "headers": {"X-A": "1"}})],
        lambda name: [encode_packet({"id": name, "code": 200, "headers": [["X-A"]]})],
        lambda name: [encode_packet({"id": name, "code": 200, "headers": [["X-A", 1]]})],
        lambda name: [encode_packet({"id": name, "code": 200, "body": 5})],
        lambda name: [encode_packet({"id": name, "code": 200, "type": "made-up"})],
        lambda name: [encode_packet({"id": name, "code": 200, "type": ""})],
        lambda name: [encode_packet({"id": name, "code": 200}), b"another part"],
    ]
    try:
        start = time.monotonic()
        unanswered = [connect(proxy.port)]
        unanswered[0].request("/", host="nobody")
        for reply in [None, *replies]:
            client, path = connect(proxy.port), fresh_path()
            client.request(path, host="req")
            exchange = backend.take(path)
            if reply is not None:
                exchange.reply_raw(*reply(exchange.request["id"]))
            unanswered.append(client)
        for client in unanswered:
            response = client.read_response(timeout_s=SILENCE_S + 5)
            assert (response.status, response.text) == (502, UNREACHABLE)
            assert between(start, SILENCE_S - 2, SILENCE_S)
    finally:
        backend.stop()


@pytest.mark.slow
@pytest.mark.spec("ws-127")
def test_silent_backend(launch_once: Launch, connect: Connect) -> None:
    """60 s without a packet end an exchange; a keep-alive is one, and the proxy sends its own after 45 s."""
    port = free_ports(3)
    proxy = launch_once(f"z,debug zhttp/tcp://127.0.0.1:{port}")
    backend = StreamBackend.on_port(port)
    try:
        backend.wait_connected(proxy, "z")
        asker = StreamAsker(proxy, backend, connect)
        start = time.monotonic()
        mute, _ = asker.ask()
        begun, halfway = asker.ask()
        halfway.send(code=200, body="abc", more=True)
        begun.read_head()
        assert begun.read_data(3) == b"abc"
        silent_socket, _ = asker.socket()
        patient, kept = asker.ask()
        kept.send(code=200, body="a", more=True)
        patient.read_head()
        assert patient.read_data(1) == b"a"
        patient_socket, kept_socket = asker.socket()
        for exchange in (kept, kept_socket):
            exchange.receive_type("keep-alive", timeout_s=50)
        assert between(start, 43, 47)
        for exchange in (kept, kept_socket):
            exchange.send(type="keep-alive")
        response = mute.read_response(timeout_s=SILENCE_S)
        assert (response.status, response.text) == (502, UNREACHABLE)
        assert between(start, SILENCE_S - 2, SILENCE_S)
        silent_socket.assert_dropped(timeout_s=5)
        time.sleep(max(start + SILENCE_S + 5 - time.monotonic(), 0))
        kept.send(body="b")
        assert patient.read_chunks() == b"b"
        kept_socket.send(body="hello")
        patient_socket.expect_text("hello")
    finally:
        backend.stop()
