"""Signals while there is traffic, and a process that the system stops for a while."""

from __future__ import annotations

import itertools
import os
import signal
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import HoldfastDriver, Launch, ProxyConfig, ProxyUnderTest
from tests.harness.publish import publish, publish_ok, stream_item
from tests.harness.timing import eventually, scaled
from tests.harness.watch import Bystander, Watch, in_thread
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage

STOPPED_S = 2.5
SHORT_S = 1
"""Time limits that pass while the process is stopped."""


@pytest.fixture
def metrics_port() -> int:
    return free_port()


class TestStandingStill:
    """SIGSTOP, or a machine that is paused: peers go on meanwhile, and nobody is cut off for what we did not read."""

    @pytest.fixture
    def proxy(self, launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
        limits = ("header_timeout", "body_timeout", "idle_timeout", "websocket_idle_timeout", "backend_timeout")
        return launch_once(
            f"relay 127.0.0.1:{ws_backend.port}",
            f"* 127.0.0.1:{backend.port}",
            settings={"holdfast": dict.fromkeys(limits, SHORT_S)},
        )

    def test_who_speaks_meanwhile_is_heard(self, proxy: ProxyUnderTest, stage: Stage, ws: WebSocketStage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        gate = threading.Event()
        slow = stage.backend.serve(RawReply([gate, Reply(body=b"at last").head(), b"at last"]))
        websocket, peer = ws.relay()
        idle, head, body, asked = (stage.client() for _ in range(4))
        idle.request(path)
        idle.read_response()
        streams = [stage.stream(fresh_channel()) for _ in range(3)]
        head.send(f"GET {path} HTTP/1.1\r\nHost".encode())
        body.send(f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n12345".encode())
        asked.request(slow)
        eventually(lambda: stage.backend.requests(slow), "the request")
        proxy.send_signal(signal.SIGSTOP)
        time.sleep(0.2)
        idle.request(path)
        head.send(b": a\r\n\r\n")
        body.send(b"67890")
        gate.set()
        websocket.send(text("from the client"))
        peer.send(text("from the backend"))
        time.sleep(STOPPED_S)
        proxy.send_signal(signal.SIGCONT)
        assert [client.read_response().text for client in (idle, head, body, asked)] == ["ok", "ok", "ok", "at last"]
        websocket.expect(text("from the backend"))
        peer.expect(text("from the client"))
        for stream in streams:
            stream.assert_silent(0.05)
        assert proxy.wait_log(r"\[WARN\] .*the process stood still for [23]\.\d seconds")

    def test_who_is_silent_is_cut_off_nevertheless(self, proxy: ProxyUnderTest, stage: Stage) -> None:
        silent = stage.client()
        silent.send(b"GET / HT")
        proxy.send_signal(signal.SIGSTOP)
        time.sleep(STOPPED_S)
        proxy.send_signal(signal.SIGCONT)
        assert silent.read_response().status == 408


@dataclass
class Received:
    """What a stream has had, and how it ended."""

    items: list[int] = field(default_factory=list)
    is_ended_well: bool = False


def follow(client: RawClient, received: Received) -> None:
    """Read a stream of numbered lines to its end."""
    try:
        client.read_head()
        while chunk := client.read_chunk(20):
            received.items += [int(line) for line in chunk.split()]
        received.is_ended_well = True
    except (ClosedByServer, OSError):
        return


@pytest.fixture
def proxy(launch_once: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    return launch_once(
        f"* 127.0.0.1:{backend.port}", settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}}
    )


class Load:
    """Streams on one channel, and a publisher that numbers its items."""

    STREAMS = 30

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.channel = fresh_channel()
        self.acknowledged: list[int] = []
        self.received = [Received() for _ in range(self.STREAMS)]
        self.is_over = threading.Event()
        path = stage.backend.serve(stream_reply(self.channel))
        self.threads: list[threading.Thread] = []
        for received in self.received:
            client = stage.client()
            client.request(path)
            self.threads.append(in_thread(lambda client=client, received=received: follow(client, received)))  # type: ignore[misc]
        stage.proxy.wait_held(path, self.STREAMS)

    def publish(self) -> None:
        """Until it is over, or the door is closed."""
        for number in itertools.count():
            if self.is_over.is_set():
                return
            try:
                response = publish(self.stage.proxy.control_port, [stream_item(self.channel, f"{number}\n")])
            except (OSError, ClosedByServer):
                return
            if response.status == 200:
                self.acknowledged.append(number)


def test_sigterm_under_load(proxy: ProxyUnderTest, stage: Stage) -> None:
    """What was acknowledged is delivered to all, in order and once, and every stream ends as streams do."""
    load = Load(stage)
    publisher = in_thread(load.publish)
    eventually(lambda: len(load.acknowledged) > 50, "some traffic")
    proxy.send_signal(signal.SIGTERM)
    assert proxy.wait_exit() == 0
    publisher.join(scaled(5))
    for thread in load.threads:
        thread.join(scaled(5))
    for received in load.received:
        assert received.is_ended_well
        assert received.items[: len(load.acknowledged)] == load.acknowledged
        assert len(received.items) <= len(load.acknowledged) + 1  # the answer to the last one may be lost
    assert "Traceback" not in proxy.log()


def test_sighup_under_load(proxy: ProxyUnderTest, backend: ScriptedBackend, stage: Stage) -> None:
    """Routes are read again and again: no request fails, and no item is lost."""
    fresh = proxy.directory / "fresh"  # a file that is rewritten in place is read half-written sometimes
    load = Load(stage)
    publisher = in_thread(load.publish)
    path = backend.serve(Reply(body=b"ok"))
    with Bystander(proxy.port, path, pause_s=0) as other:
        for number in range(30):
            others = [f"host{n}.example test\n" for n in range(number)]
            fresh.write_text("".join([f"* 127.0.0.1:{backend.port}\n", *others]))
            fresh.rename(proxy.routes_file)
            proxy.send_signal(signal.SIGHUP)
            time.sleep(0.03)
        assert other.answers > 50
    load.is_over.set()
    publisher.join()
    eventually(lambda: all(len(r.items) == len(load.acknowledged) for r in load.received), "all items")
    assert all(received.items == load.acknowledged for received in load.received)
    assert len(proxy.log_lines(r" reloading$")) >= 10
    assert "Traceback" not in proxy.log()


class ToFullDisk(HoldfastDriver):
    """Starts the program with a standard output that takes nothing."""

    def command(self, config_file: object, arguments: object) -> list[str]:
        """See `Driver`."""
        return ["sh", "-c", 'exec "$@" >/dev/full', "sh", *super().command(config_file, arguments)]  # type: ignore[arg-type]


def test_full_disk_under_load(backend: ScriptedBackend, connect: Connect, metrics_port: int) -> None:
    """Lines that cannot be written are counted, and cost neither memory nor anybody's time."""
    config = ProxyConfig(
        routes=[f"* 127.0.0.1:{backend.port}"], settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}}
    )
    proxy = ProxyUnderTest(config, ToFullDisk())
    proxy.start()
    try:
        watch = Watch(proxy.pid, metrics_port)
        path = backend.serve(Reply(body=b"ok"))
        request = b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()
        client = connect(proxy.port)

        def ask(count: int) -> None:
            for _ in range(count // 50):
                client.send(request * 50)
                for _ in range(50):
                    client.read_response()

        ask(500)
        start = watch.memory()
        with Bystander(proxy.port, path) as other:
            ask(3_000)
        assert other.longest_s < scaled(0.5)
        assert watch.metric("log_lines_lost") > 2_000
        assert watch.memory() - start < 5_000_000
    finally:
        proxy.stop()


JUMPING = """
import random, time
real = time.time
time.time = lambda: real() + random.choice((-1e6, 1e6))
"""
"""A wall clock that shows another day each time."""


class TestClock:
    """The wall clock signs; everything else is measured by one that does not jump."""

    @pytest.fixture
    def jumping(
        self, backend: ScriptedBackend, launch_once: Launch, tmp_path: object, metrics_port: int
    ) -> Iterator[ProxyUnderTest]:
        site = f"{tmp_path}/site"
        os.mkdir(site)
        with open(f"{site}/sitecustomize.py", "w") as file:
            file.write(
                "import time, random\nreal = time.time\ntime.time = lambda: real() + random.choice((-1e6, 1e6))\n"
            )
        proxy = launch_once(
            f"* 127.0.0.1:{backend.port}",
            settings={"holdfast": {"idle_timeout": 3}},
            environment={"PYTHONPATH": f"{site}{os.pathsep}{HoldfastDriver().environment()['PYTHONPATH']}"},
        )
        yield proxy

    def test_time_limits_do_not_jump(self, jumping: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        stage = Stage(jumping, backend, connect)
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.hold(poll_reply(channel, headers=[("Grip-Timeout", "5")]))
        idle = stage.client()
        start = time.monotonic()
        for number in range(20):
            publish_ok(jumping.control_port, stream_item(channel, f"{number:2}"))
        assert stream.read_data(40) == b"".join(b"%2d" % number for number in range(20))
        idle.assert_closed()
        assert 2.5 < time.monotonic() - start < 3 + scaled(2)
        assert poll.read_response().text == "timeout\n"
        assert 3.9 < time.monotonic() - start < 5 + scaled(2)
