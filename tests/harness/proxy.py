"""The proxy under test as a subprocess, behind one interface for Holdfast and for Debian's Pushpin.

``HOLDFAST_TEST_PROXY=pushpin`` selects Pushpin for tests/compat, so that the same tests show that what they call
compatible is what Pushpin 1.36 does. Everything of a proxy (configuration, routes, run files, logs) lives in one
temporary directory.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Protocol

import pytest
from tests.harness.ports import free_port, is_open
from tests.harness.timing import eventually, scaled

Settings = Mapping[str, Mapping[str, object]]

DRIVER_NAME = os.environ.get("HOLDFAST_TEST_PROXY", "holdfast")
IS_PUSHPIN = DRIVER_NAME == "pushpin"
PROJECT = Path(__file__).resolve().parents[2]

# What the tests rely on in both proxies; the rest is the program's own "if absent" (routes spec §2.4).
_BASE: dict[str, dict[str, object]] = {
    "global": {"rundir": "{directory}/run", "ipc_prefix": "t-"},
    "runner": {"logdir": "{directory}/log", "log_level": 2, "client_buffer_size": 8192, "client_maxconn": 2000},
    "proxy": {
        "routesfile": "routes",
        "set_x_forwarded_protocol": "proto-only",
        "sig_iss": "pushpin",
        "sig_key": "changeme",
    },
    # With it the first poll of every channel asks twice; tests of that switch it on. 1.36 does not know it.
    "handler": {"push_in_http_addr": "127.0.0.1", "update_on_first_subscription": "false"},
}

_ZURL: dict[str, dict[str, object]] = {
    "global": {"include": "{{libdir}}/internal.conf"},
    "runner": {"services": "condure,zurl,pushpin-proxy,pushpin-handler"},
    "proxy": {
        "zurl_out_specs": "ipc://{{rundir}}/{{ipc_prefix}}zurl-in",
        "zurl_out_stream_specs": "ipc://{{rundir}}/{{ipc_prefix}}zurl-in-stream",
        "zurl_in_specs": "ipc://{{rundir}}/{{ipc_prefix}}zurl-out",
        "updates_check": "off",
    },
}


def differs(row: str) -> pytest.MarkDecorator:
    """A mark for what Pushpin 1.36 does otherwise; ``row`` is the last cell of a row of docs/compat.md.

    With Pushpin under test the marked test must fail: tests/compat/conftest.py.
    """
    return pytest.mark.differs(row)


class NotStarted(Exception):
    """A proxy that does not accept connections; its output is the message."""


@dataclass(frozen=True)
class ProxyConfig:
    """How a proxy is started.

    Args:
        routes: lines of the routes file.
        settings: section -> key -> value, written to pushpin.conf over the tests' defaults; None leaves a key out.
        environment: extra environment variables.
        arguments: extra command line arguments.
        files: further files in its directory, by relative path.
        http_ports: text for ``http_port``, with ``{port}`` for the client port.
    """

    routes: Sequence[str] = ()
    settings: Settings = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: Sequence[str] = ()
    files: Mapping[str, bytes] = field(default_factory=dict)
    http_ports: str = "127.0.0.1:{port}"


class Driver(Protocol):
    """What differs between the programs."""

    settings: Settings

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """The command line that runs the program in the foreground, logging to its standard output."""

    def environment(self) -> dict[str, str]:
        """The environment it needs."""

    def publish_command(self) -> list[str]:
        """The command line of its tool for publishers."""


class HoldfastDriver:
    """Runs the Holdfast of this checkout."""

    settings: Settings = MappingProxyType({})

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        return [sys.executable, "-m", "holdfast", "--config", str(config_file), *arguments]

    def environment(self) -> dict[str, str]:
        """See `Driver`."""
        return {**os.environ, "PYTHONPATH": str(PROJECT / "src"), "PYTHONUNBUFFERED": "1"}

    def publish_command(self) -> list[str]:
        """See `Driver`."""
        return [sys.executable, "-m", "holdfast", "publish"]


class PushpinDriver:
    """Runs Debian's Pushpin 1.36 with a private zurl, which its runner starts."""

    settings: Settings = _ZURL

    def command(self, config_file: Path, arguments: Sequence[str]) -> list[str]:
        """See `Driver`."""
        return ["pushpin", "--config", str(config_file), "--merge-output", *arguments]

    def environment(self) -> dict[str, str]:
        """See `Driver`."""
        return dict(os.environ)

    def publish_command(self) -> list[str]:
        """See `Driver`."""
        return ["pushpin-publish"]


def selected_driver() -> Driver:
    """The driver that the environment selects."""
    return PushpinDriver() if IS_PUSHPIN else HoldfastDriver()


def _merged(*layers: Settings) -> dict[str, dict[str, object]]:
    result: dict[str, dict[str, object]] = {}
    for layer in layers:
        for section, values in layer.items():
            result.setdefault(section, {}).update(values)
    return result


def _as_ini(settings: Mapping[str, Mapping[str, object]]) -> str:
    lines: list[str] = []
    for section, values in settings.items():
        lines.append(f"[{section}]")
        lines += [f"{key}={value}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


class ProxyUnderTest:
    """One running proxy."""

    def __init__(self, config: ProxyConfig, driver: Driver | None = None) -> None:
        self._driver = driver or selected_driver()
        self.config = config
        self.port = free_port()
        self.control_port = free_port()
        self.directory = Path(tempfile.mkdtemp(prefix="holdfast-test-"))
        self._log_file = self.directory / "output"
        self._process: subprocess.Popen[bytes] | None = None
        for name in ("run", "log"):
            (self.directory / name).mkdir()
        for relative, content in config.files.items():
            path = self.directory / relative
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content)
        self.write_routes(config.routes)
        (self.directory / "pushpin.conf").write_text(self._config_text())

    def _config_text(self) -> str:
        ports: Settings = {
            "runner": {"http_port": self.config.http_ports.format(port=self.port)},
            "handler": {"push_in_http_port": self.control_port},
        }
        base = {
            section: {
                key: value.format(directory=self.directory) if isinstance(value, str) else value
                for key, value in values.items()
            }
            for section, values in _merged(_BASE, self._driver.settings).items()
        }
        return _as_ini(_merged(base, ports, self.config.settings))

    # --- running -----------------------------------------------------------------------------------------------------

    def start(self, wait: bool = True) -> None:
        """Start the program and wait until it accepts clients and publishers."""
        command = self._driver.command(self.directory / "pushpin.conf", self.config.arguments)
        with self._log_file.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=self.directory,
                env={**self._driver.environment(), **self.config.environment},
                start_new_session=True,
            )
        if wait:
            self._wait_until_ready()

    def _wait_until_ready(self) -> None:
        deadline = time.monotonic() + scaled(15)
        for port in (self.port, self.control_port):
            while not is_open(port):
                if self.exit_code() is not None:
                    raise NotStarted(f"the proxy ended with {self.exit_code()}:\n{self.log()}")
                if time.monotonic() > deadline:
                    raise NotStarted(f"port {port} is not open:\n{self.log()}")
                time.sleep(0.02)
        if IS_PUSHPIN:  # its ports open before its parts are connected
            for part in ("proxy", "handler", "zurl"):
                while not self.log_lines(rf"\[{part}\] started"):
                    if time.monotonic() > deadline:
                        raise NotStarted(f"{part} has not started:\n{self.log()}")
                    time.sleep(0.02)
            time.sleep(0.5)

    @property
    def pid(self) -> int:
        """The process id of the (main) process."""
        assert self._process is not None
        return self._process.pid

    def exit_code(self) -> int | None:
        """The exit code, or None while it runs."""
        assert self._process is not None
        return self._process.poll()

    def wait_exit(self, timeout_s: float = 8.0) -> int:
        """Wait until the program ends and return its exit code."""
        assert self._process is not None
        return self._process.wait(scaled(timeout_s))

    def send_signal(self, number: signal.Signals) -> None:
        """Send a signal to the main process."""
        os.kill(self.pid, number)

    def end_of_log(self) -> str:
        """The last lines of the output, for the message of a failure."""
        return "\n".join(self.log().splitlines()[-15:])

    def stop(self) -> None:
        """End the program (its whole process group, if it does not end when asked) and remove the directory."""
        if self._process is not None and self._process.poll() is None:
            self._process.terminate()
            try:
                self._process.wait(scaled(6))
            except subprocess.TimeoutExpired:
                os.killpg(self._process.pid, signal.SIGKILL)
                self._process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)

    # --- files -------------------------------------------------------------------------------------------------------

    @property
    def routes_file(self) -> Path:
        """The routes file."""
        return self.directory / "routes"

    def write_routes(self, lines: Sequence[str]) -> None:
        """Rewrite the routes file in place."""
        self.routes_file.write_text("".join(f"{line}\n" for line in lines))

    def log(self) -> str:
        """All output of the program so far."""
        return self._log_file.read_text(errors="replace")

    def log_lines(self, pattern: str) -> list[str]:
        """The lines of the output in which ``pattern`` (a regular expression) is found."""
        return [line for line in self.log().splitlines() if re.search(pattern, line)]

    def wait_log(self, pattern: str, count: int = 1, timeout_s: float = 5.0) -> list[str]:
        """Wait until ``pattern`` is found in at least ``count`` lines of the output and return those lines."""
        eventually(
            lambda: len(self.log_lines(pattern)) >= count, f"{count} × {pattern!r} in the log", timeout_s=timeout_s
        )
        return self.log_lines(pattern)

    def wait_held(self, path: str, count: int = 1) -> None:
        """Wait until ``count`` requests for ``path`` are held and subscribed."""
        self.wait_log(rf"{re.escape(path)}\b.* accept\b", count)
        time.sleep(0.05 if IS_PUSHPIN else 0.01)  # the line is written just before the subscription

    def settle(self) -> None:
        """Wait until what a backend said over a WebSocket has its effect: in 1.36 it goes through three processes."""
        time.sleep(0.1)

    def settle_first_subscriptions(self) -> None:
        """Let 1.36 have the updates that it makes a second after channels got their first subscriber.

        It cannot be told not to (grip spec §7.3), and they would disturb a test of times, or of a number of requests.
        """
        if IS_PUSHPIN:
            time.sleep(1.3)


Launch = Callable[..., ProxyUnderTest]
"""Starts a proxy that is stopped by its fixture: ``launch(*routes, **fields of ProxyConfig)``."""
