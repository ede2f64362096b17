"""The configurations that people begin with start as they are: ours in `examples/`, and the one of Debian's Pushpin."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from tests.harness.client import fetch
from tests.harness.ports import free_port, is_open
from tests.harness.proxy import PROJECT, ProxyConfig, ProxyUnderTest, PushpinDriver
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually, scaled

EXAMPLE = PROJECT / "examples" / "holdfast.conf"
DEBIAN = Path("/etc/pushpin/pushpin.conf")

needs_pushpin = pytest.mark.skipif(not DEBIAN.exists(), reason="needs Debian's pushpin package")


class Place:
    """A directory to run `holdfast` in, with ports of its own: those of a configuration may be in use."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.port, self.control_port, self.pull_port = free_port(), free_port(), free_port()
        self._environment = {
            **os.environ,
            "PYTHONPATH": str(PROJECT / "src"),
            "HOLDFAST_RUNNER_HTTP_PORT": f"127.0.0.1:{self.port}",
            "HOLDFAST_HANDLER_PUSH_IN_HTTP_PORT": str(self.control_port),
        }

    def command(self, *arguments: str | Path) -> list[str]:
        return [sys.executable, "-m", "holdfast", *map(str, arguments)]

    def start(self, config: Path, **environment: str) -> subprocess.Popen[bytes]:
        with (self.directory / "log").open("wb") as log:
            return subprocess.Popen(
                self.command("--config", config),
                cwd=self.directory,
                env={**self._environment, **environment},
                stdout=log,
                stderr=log,
            )

    def check(self, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            self.command("check", *arguments),
            cwd=self.directory,
            env=self._environment,
            capture_output=True,
            text=True,
            timeout=scaled(20),
        )

    def complaints(self) -> list[str]:
        """Warnings and errors of the log, but for what this machine's limits are."""
        lines = (self.directory / "log").read_text().splitlines()
        return [line for line in lines if not line.startswith("[INFO]") and "open files allowed" not in line]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


Start = Callable[..., None]


@pytest.fixture
def start(place: Place) -> Iterator[Start]:
    """Start a server that must end well when the test is over: ``start(config, VARIABLE=...)``."""
    servers: list[subprocess.Popen[bytes]] = []

    def start_it(config: Path, **environment: str) -> None:
        server = place.start(config, **environment)
        servers.append(server)

        def is_up() -> bool:
            assert server.poll() is None, (place.directory / "log").read_text()
            return is_open(place.port) and is_open(place.control_port)

        eventually(is_up, "both ports", 10)

    yield start_it
    for server in servers:
        server.terminate()
        assert server.wait(scaled(8)) == 0


def test_our_example(place: Place, start: Start) -> None:
    start(EXAMPLE)
    assert fetch(place.port, "/holdfast-hello").text == "Hello from the Pushpin test handler!\n"
    publish_ok(place.control_port, stream_item("nobody", "x"))
    assert place.complaints() == []


def test_check_of_our_example(place: Place) -> None:
    result = place.check("--config", EXAMPLE, "http://x/a", "ws://x/a", "http://x/holdfast-hello")
    assert (result.returncode, result.stderr) == (0, "")
    assert [line.strip() for line in result.stdout.splitlines() if re.match(r"  \d\. ", line)] == [
        "1. localhost:8000: http://x/a",
        "2. localhost:8001: http://x/a",
        "1. localhost:8000: ws://x/a",
        "2. localhost:8001: ws://x/a",
        "1. test: http://x/",
    ]


def test_what_is_commented_out_in_our_example_is_right(place: Place) -> None:
    """Every setting and route in it is one, with a value that is accepted."""
    for name in ("holdfast.conf", "routes"):
        text = (EXAMPLE.parent / name).read_text()
        shown, count = re.subn(r"^#(?=\w+=|\w\S* \S+:\d)", "", text, flags=re.MULTILINE)
        assert count >= 1
        (place.directory / name).write_text(shown)
    result = place.check("--config", place.directory / "holdfast.conf", "https://api.example.com/")
    assert (result.returncode, result.stderr) == (0, "")


@needs_pushpin
def test_debians_files_as_they_are(place: Place, start: Start) -> None:
    """Configuration, routes and what they include stay where they are; the ports and the run directory are moved."""
    start(
        DEBIAN,
        HOLDFAST_HANDLER_PUSH_IN_SPEC=f"tcp://127.0.0.1:{place.pull_port}",
        HOLDFAST_HANDLER_PUSH_IN_SUB_SPECS=f"tcp://127.0.0.1:{free_port()}",
        HOLDFAST_HANDLER_COMMAND_SPEC=f"tcp://127.0.0.1:{free_port()}",
        HOLDFAST_GLOBAL_RUNDIR=str(place.directory / "run"),
    )
    assert fetch(place.port, "/").text == "Hello from the Pushpin test handler!\n"
    publish_ok(place.control_port, stream_item("nobody", "x"))
    assert is_open(place.pull_port)
    assert (place.directory / "run" / "pushpin-stats").is_socket()
    assert place.complaints() == []


@needs_pushpin
def test_beside_pushpin(place: Place) -> None:
    """A trial as docs/deploy.md has it: one configuration, two programs; `--id` and `--port` keep them apart."""
    stats = {"stats_spec": "ipc://{rundir}/{ipc_prefix}stats"}
    pushpin = ProxyUnderTest(ProxyConfig(["* test"], {"handler": stats}), PushpinDriver())
    holdfast = None
    try:
        pushpin.start(wait=False)
        eventually(lambda: is_open(pushpin.port) and is_open(pushpin.control_port), "Pushpin", 15)
        port = free_port()
        arguments = ("--id", "1", "--port", f"127.0.0.1:{port}")
        holdfast = subprocess.Popen(
            place.command("--config", pushpin.directory / "pushpin.conf", *arguments),
            cwd=place.directory,
            env={**os.environ, "PYTHONPATH": str(PROJECT / "src"), "HOLDFAST_GLOBAL_RUNDIR": str(place.directory)},
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        eventually(lambda: is_open(port) and is_open(pushpin.control_port + 10), "Holdfast", 10)
        assert (place.directory / "p1-stats").is_socket()
        assert fetch(port, "/").text == "Hello from the Pushpin test handler!\n"
        publish_ok(pushpin.control_port + 10, stream_item("nobody", "x"))
        publish_ok(pushpin.control_port, stream_item("nobody", "x"))
    finally:
        if holdfast is not None:
            holdfast.terminate()
            holdfast.wait(scaled(8))
        pushpin.stop()
