"""The process and its surroundings: signals, the service manager, and a disk that is full."""

from __future__ import annotations

import os
import re
import resource
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.ports import free_port, is_open
from tests.harness.proxy import HoldfastDriver, Launch, ProxyConfig, ProxyUnderTest, Settings
from tests.harness.timing import eventually, scaled

STOP_SIGNALS = pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])


class Ignoring(HoldfastDriver):
    """Starts the program with some signals ignored, as `nohup` and background jobs of shells do."""

    def __init__(self, *names: str) -> None:
        self._names = " ".join(names)

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        command = super().command(config_file, arguments)
        return ["sh", "-c", f"trap '' {self._names}; exec \"$@\"", "sh", *command]


class ToFullDisk(HoldfastDriver):
    """Starts the program with a standard output that takes nothing."""

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        return ["sh", "-c", 'exec "$@" >/dev/full', "sh", *super().command(config_file, arguments)]


@pytest.fixture
def launch_ignoring() -> Iterator[Callable[..., ProxyUnderTest]]:
    """Start a proxy with some signals ignored: ``launch_ignoring("HUP")``."""
    started: list[ProxyUnderTest] = []

    def launch(*names: str) -> ProxyUnderTest:
        proxy = ProxyUnderTest(ProxyConfig(routes=["* test"]), Ignoring(*names))
        started.append(proxy)
        proxy.start()
        return proxy

    yield launch
    for proxy in started:
        proxy.stop()


def slow_request(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect, *pieces: Any) -> RawClient:
    """A client that has the beginning of a response."""
    path = backend.serve(Reply(body=[b"begun ", *pieces], framing=Framing.CHUNKED))
    client = connect(proxy.port)
    client.request(path)
    client.read_head()
    return client


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="nobody else tells how large the table is")
def test_there_is_room_for_the_descriptors_of_all_clients(launch_once: Launch) -> None:
    """A table that has to grow while there are threads makes everybody wait."""
    proxy = launch_once("* test", settings={"runner": {"client_maxconn": 3000}})
    room = re.search(r"^FDSize:\s+(\d+)$", Path(f"/proc/{proxy.pid}/status").read_text(), re.MULTILINE)
    assert room is not None
    assert int(room[1]) >= min(6512, resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)[1])


class TestStopping:
    @STOP_SIGNALS
    def test_requests_in_progress_end_well(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, number: signal.Signals
    ) -> None:
        """Within ``stop_timeout``; new clients are not accepted meanwhile."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}")
        gate = threading.Event()
        client = slow_request(proxy, backend, connect, gate, b"ended")
        proxy.send_signal(number)
        eventually(lambda: not is_open(proxy.port) and not is_open(proxy.control_port), "both ports to close")
        assert proxy.exit_code() is None
        gate.set()
        assert client.read_chunks() == b"begun ended"
        assert proxy.wait_exit() == 0

    def test_what_takes_longer_is_cut_off(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect
    ) -> None:
        """After ``stop_timeout``, and the log says how many."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"holdfast": {"stop_timeout": "0.7"}})
        gate = threading.Event()
        slow_request(proxy, backend, connect, gate)
        start = time.monotonic()
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0
        assert 0.6 < time.monotonic() - start < scaled(4)
        proxy.wait_log(r"\[WARN\].* 1 clients did not finish in time")
        gate.set()

    @STOP_SIGNALS
    def test_as_soon_as_the_port_is_open(self, launch_once: Launch, number: signal.Signals) -> None:
        """There may be clients already."""
        proxy = launch_once("* test")
        proxy.send_signal(number)
        assert proxy.wait_exit() == 0
        proxy.wait_log(r"stopping\.\.\.$")

    @STOP_SIGNALS
    def test_a_second_signal_ends_at_once(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, number: signal.Signals
    ) -> None:
        """routes spec §2.8."""
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"holdfast": {"stop_timeout": "60"}})
        gate = threading.Event()
        client = slow_request(proxy, backend, connect, gate)
        proxy.send_signal(signal.SIGTERM)
        proxy.wait_log(r"stopping\.\.\.$")
        time.sleep(0.2)
        assert proxy.exit_code() is None
        proxy.send_signal(number)
        assert proxy.wait_exit(4) == 0
        client.read_to_close()
        assert "Traceback" not in proxy.log()
        gate.set()


class TestIgnoredSignals:
    def test_sighup_under_nohup(self, launch_ignoring: Callable[..., ProxyUnderTest]) -> None:
        """routes spec §2.8: it does nothing, and the other signals have their effect."""
        proxy = launch_ignoring("HUP")
        proxy.write_routes(["none.example test"])
        proxy.send_signal(signal.SIGHUP)
        assert fetch(proxy.port, "/").status == 200
        assert not proxy.log_lines(r" reloading$")
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0

    def test_sigint_of_a_background_job(self, launch_ignoring: Callable[..., ProxyUnderTest]) -> None:
        proxy = launch_ignoring("INT")
        proxy.send_signal(signal.SIGINT)
        assert fetch(proxy.port, "/").status == 200
        assert not proxy.log_lines(r"stopping")
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0


class TestServiceManager:
    @pytest.fixture
    def manager(self, tmp_path: Path) -> Iterator[socket.socket]:
        """Where a service manager listens."""
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
            receiver.bind(str(tmp_path / "notify"))
            receiver.settimeout(scaled(8))
            yield receiver

    def test_what_it_hears(self, manager: socket.socket) -> None:
        """READY when clients and publishers are accepted, RELOADING and READY on SIGHUP, STOPPING at the end."""
        proxy = ProxyUnderTest(ProxyConfig(routes=["* test"], environment={"NOTIFY_SOCKET": manager.getsockname()}))
        try:
            proxy.start(wait=False)
            assert manager.recv(1000) == b"READY=1"
            assert is_open(proxy.port) and is_open(proxy.control_port)
            before_us = time.monotonic_ns() // 1000
            proxy.send_signal(signal.SIGHUP)
            state, _, monotonic = manager.recv(1000).partition(b"\n")
            assert state == b"RELOADING=1"
            assert before_us <= int(monotonic.removeprefix(b"MONOTONIC_USEC=")) <= time.monotonic_ns() // 1000
            assert manager.recv(1000) == b"READY=1"
            proxy.send_signal(signal.SIGTERM)
            assert manager.recv(1000) == b"STOPPING=1\nEXTEND_TIMEOUT_USEC=15000000"
            assert proxy.wait_exit() == 0
        finally:
            proxy.stop()


class TestFullDisk:
    """A log that cannot be written: `/dev/full` is a file on a full disk."""

    def test_the_server_goes_on_and_tells_later(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.symlink_to("/dev/full")
        metrics_port = free_port()
        settings = {"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}}
        proxy = ProxyUnderTest(ProxyConfig(["* test"], settings, arguments=["--logfile", str(log)]))
        try:
            proxy.start()
            for _ in range(5):
                assert fetch(proxy.port, "/?lost").status == 200
            (tmp_path / "new").touch()
            os.replace(tmp_path / "new", log)
            proxy.send_signal(signal.SIGHUP)
            eventually(lambda: "log lines lost" in log.read_text(), "what was lost")
            first, *others = log.read_text().splitlines()
            assert "[WARN]" in first
            lost = int(first.partition("log lines lost: ")[2].partition(" (No space left on device)")[0])
            assert lost >= 5
            assert not [line for line in others if "/?lost" in line]
            assert re.search(
                rf"^holdfast_log_lines_lost {lost}(\.0)?$", fetch(metrics_port, "/metrics").text, re.MULTILINE
            )
            assert fetch(proxy.port, "/?kept").status == 200
            eventually(lambda: "/?kept" in log.read_text(), "the log of a request")
            assert log.read_text().count("log lines lost") == 1
            assert proxy.log() == ""
        finally:
            proxy.stop()

    def test_standard_output(self) -> None:
        """Also from the start on, with no file to open anew."""
        proxy = ProxyUnderTest(ProxyConfig(routes=["* test"]), ToFullDisk())
        try:
            proxy.start()
            assert fetch(proxy.port, "/").status == 200
            proxy.send_signal(signal.SIGHUP)
            assert fetch(proxy.port, "/").status == 200
            proxy.send_signal(signal.SIGTERM)
            assert proxy.wait_exit() == 0
        finally:
            proxy.stop()


@pytest.mark.parametrize(
    ("settings", "arguments", "text"),
    [
        ({}, ["--logfile=/no/such/directory/log"], "cannot open log file /no/such/directory/log: No such file or dir"),
        ({"proxy": {"sig_key": "file:/no/such/key"}}, [], "proxy/sig_key"),
        ({"handler": {"push_in_spec": "tcp://127.0.0.1:x"}}, [], "cannot bind tcp://127.0.0.1:x"),
        ({"runner": {"client_maxconn": "many"}}, [], "runner/client_maxconn"),
    ],
    ids=["log file", "key", "address", "value"],
)
def test_what_cannot_start_ends_with_1(settings: Settings, arguments: list[str], text: str) -> None:
    """routes-109: and says why, in words."""
    proxy = ProxyUnderTest(ProxyConfig(["* test"], settings, arguments=arguments))
    try:
        proxy.start(wait=False)
        assert proxy.wait_exit() == 1
        assert text in proxy.log()
        assert "Traceback" not in proxy.log()
    finally:
        proxy.stop()
