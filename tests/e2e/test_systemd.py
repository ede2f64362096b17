"""packaging/systemd/holdfast.service: systemd understands it, and Holdfast can do its work under its restrictions."""

from __future__ import annotations

import ctypes.util
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.harness import unit_sandbox
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.ports import free_port
from tests.harness.proxy import PROJECT, HoldfastDriver, ProxyConfig, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually, scaled

from holdfast.config.settings import HoldfastSettings

UNIT = PROJECT / "packaging" / "systemd" / "holdfast.service"
PROGRAM = "/opt/holdfast/bin/holdfast"

MAX_EXPOSURE = 25
"""Ten times what `systemd-analyze security` may find; a unit without any restriction has 96."""

needs_systemd = pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="needs systemd-analyze")
needs_seccomp = pytest.mark.skipif(ctypes.util.find_library("seccomp") is None, reason="needs libseccomp")


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program that is there."""
    text = UNIT.read_text()
    assert PROGRAM in text
    path = tmp_path / UNIT.name
    path.write_text(text.replace(PROGRAM, shutil.which("true") or ""))
    return path


def analyze(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["systemd-analyze", *arguments], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=scaled(30)
    )


@needs_systemd
def test_systemd_understands_it(unit: Path) -> None:
    result = analyze("verify", unit)
    assert (result.returncode, result.stdout) == (0, "")


@needs_systemd
def test_it_is_confined(unit: Path) -> None:
    result = analyze("security", "--offline=yes", f"--threshold={MAX_EXPOSURE}", unit)
    assert result.returncode == 0, result.stdout


def test_stopping_has_the_time_that_holdfast_takes() -> None:
    (timeout,) = unit_sandbox.directives(UNIT.read_text())["TimeoutStopSec"]
    assert int(timeout) >= HoldfastSettings().stop_timeout + 5


class Confined(HoldfastDriver):
    """Starts the program under the restrictions of the unit."""

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        return confined(super().command(config_file, arguments))


def confined(command: Sequence[str]) -> list[str]:
    return [sys.executable, str(Path(unit_sandbox.__file__)), str(UNIT), *command]


@pytest.fixture
def proxy(backend: ScriptedBackend) -> Iterator[ProxyUnderTest]:
    """Confined, with everything that opens sockets of its own kind."""
    settings = {
        "handler": {
            "push_in_spec": f"tcp://127.0.0.1:{free_port()}",
            "command_spec": "ipc://{rundir}/{ipc_prefix}command",
            "stats_spec": "ipc://{rundir}/{ipc_prefix}stats",
            "prometheus_port": free_port(),
            "ipc_file_mode": "660",
        }
    }
    routes = [
        f"* 127.0.0.1:{backend.port}",
        f"name localhost:{backend.port}",
        f"zhttp zhttp/tcp://127.0.0.1:{free_port()}",
    ]
    proxy = ProxyUnderTest(ProxyConfig(routes, settings), Confined())
    try:
        proxy.start()
        yield proxy
    finally:
        proxy.stop()


@needs_systemd
@needs_seccomp
class TestSandbox:
    @pytest.mark.parametrize(
        ("code", "error"),
        [
            ("import mmap; mmap.mmap(-1, 4096, prot=7)", "PermissionError"),
            ("import os; os.setuid(os.getuid())", "PermissionError"),
            ("import socket; socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM)", "Address family not supported"),
            ("import socket; socket.socket(); socket.socket(socket.AF_UNIX)", None),
        ],
    )
    def test_it_confines(self, code: str, error: str | None) -> None:
        result = subprocess.run(
            confined([sys.executable, "-c", code]), capture_output=True, text=True, timeout=scaled(20)
        )
        assert (result.returncode, error is None) in {(0, True), (1, False)}, result.stderr
        assert (error or "") in result.stderr

    def test_holdfast_works(self, proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
        """Names are resolved, clients held and published to; a changed file is noticed; it stops in good order."""
        stage = Stage(proxy, backend, connect)
        assert stage.received(host="name").method == "GET"
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(proxy.control_port, stream_item(channel, "confined"))
        assert client.read_data(8) == b"confined"
        proxy.wait_log("listening for backends at zhttp/tcp")
        proxy.write_routes(["* test"])
        eventually(lambda: fetch(proxy.port, "/").text.startswith("Hello"), "the new route")
        proxy.send_signal(signal.SIGTERM)
        assert proxy.wait_exit() == 0
        assert not re.search("Traceback|not permitted|not supported", proxy.log())
