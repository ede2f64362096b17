"""The Holdfast of a soak: how it is configured, and what can be read of it from outside."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from itertools import cycle
from pathlib import Path

from benchmarks.processes import Running, running
from benchmarks.servers import PROJECT
from benchmarks.soak.certificates import Certificates
from benchmarks.soak.channels import LIVE
from benchmarks.soak.samples import INSIDE, Process
from tests.harness.ports import free_port
from tests.harness.timing import eventually

LINGER_S = 3
_CONF = """\
[runner]
http_port=127.0.0.1:{port}
https_ports=127.0.0.1:{tls_port}
allow_compression=true
log_level=2
client_maxconn=2000

[proxy]
routesfile=routes
sig_iss=soak
sig_key=changeme

[handler]
push_in_http_addr=127.0.0.1
push_in_http_port={control_port}
push_in_spec={push_spec}
prometheus_port=127.0.0.1:{metrics_port}
subscription_linger={linger_s}
id_cache_ttl=60
message_wait=5000

[holdfast]
outbox_max_bytes=65536
"""
_ROUTES = """\
# written for the {count}. time
*,id=recovery,path_beg=/stream/ 127.0.0.1:{recovery_port}
*,id=recovery,path_beg=/poll/ 127.0.0.1:{recovery_port}
*,id=recovery,path_beg=/next/ 127.0.0.1:{recovery_port}
{sockjs}*,id=zmq,path_beg=/zmq/ zhttpreq/{zmq_spec}
*,id=relay,path_beg=/relay/ 127.0.0.1:{ws_port}
*,id=events,path_beg=/events/ 127.0.0.1:{port},over_http
* 127.0.0.1:{port}
"""
_SOCKJS_ROUTE = "*,id=sockjs-{channel},path_beg=/sockjs/{channel},sockjs=/sockjs/{channel},sockjs_as_path={target}\n"
# What SockJS clients of one channel talk to: a WebSocket over HTTP or a relayed one.
_SOCKJS_TARGETS = ("/events/{channel} 127.0.0.1:{port},over_http", "/relay/{channel} 127.0.0.1:{ws_port}")


class Holdfast:
    """The server that is measured, in a directory of its own.

    Args:
        backends: their addresses, by what the routes call them.

    Attributes:
        certificates: what it shows to clients by TLS.
        push_spec: where ZeroMQ publishers connect.
        log_files: in the order in which they were written; the first is written to now until it is rotated.
    """

    def __init__(self, directory: Path, backends: Mapping[str, object]) -> None:
        self.port, self.tls_port, self.control_port = free_port(), free_port(), free_port()
        self.certificates = Certificates(directory)
        self.push_spec = f"ipc://{directory}/push"
        self.rotated: list[Path] = []
        self._metrics_port = free_port()
        self._directory = directory
        self._log_file = directory / "holdfast.log"
        self._memory_file = directory / "memory"
        self._backends = backends
        self._routes_written = 0
        self._running: Running | None = None

    @contextmanager
    def started(self) -> Iterator[Process]:
        """Run it while the block runs."""
        config_file = self._directory / "pushpin.conf"
        config_file.write_text(
            _CONF.format(
                port=self.port,
                tls_port=self.tls_port,
                control_port=self.control_port,
                push_spec=self.push_spec,
                metrics_port=self._metrics_port,
                linger_s=LINGER_S,
            )
        )
        self.write_routes(by_rename=False)
        self.certificates.renew()
        self._memory_file.write_text("0 0 0")
        program = [sys.executable, "-m", "benchmarks.soak.watched", str(self._memory_file)]
        command = [*program, "--config", str(config_file), "--logfile", str(self._log_file)]
        environment = {**os.environ, "PYTHONPATH": f"{PROJECT / 'src'}{os.pathsep}{PROJECT}"}
        output = self._directory / "holdfast.output"
        ports = [self.port, self.tls_port, self.control_port, self._metrics_port]
        with running(command, output, ports, environment) as process:
            self._running = process
            yield Process(process.pid)

    def write_routes(self, *, by_rename: bool) -> None:
        """Write the routes again, in place or as a new file in the old one's place."""
        self._routes_written += 1
        sockjs = "".join(
            _SOCKJS_ROUTE.format(channel=channel, target=target.format(channel=channel, **self._backends))
            for channel, target in zip(LIVE, cycle(_SOCKJS_TARGETS), strict=False)
        )
        text = _ROUTES.format(count=self._routes_written, sockjs=sockjs, **self._backends)
        routes_file = self._directory / "routes"
        if by_rename:
            new_file = self._directory / "routes.new"
            new_file.write_text(text)
            new_file.replace(routes_file)
        else:
            routes_file.write_text(text)

    def reload(self) -> None:
        """SIGHUP."""
        assert self._running is not None
        os.kill(self._running.pid, signal.SIGHUP)

    def rotate_log(self) -> None:
        """Rename the log, and have it opened anew."""
        old_file = self._directory / f"holdfast.log.{len(self.rotated) + 1}"
        self._log_file.rename(old_file)
        self.rotated.append(old_file)
        self.reload()

    def metrics(self) -> dict[str, float]:
        """What it tells of itself, without labels and without the common prefix."""
        connection = HTTPConnection("127.0.0.1", self._metrics_port, timeout=20)
        try:
            connection.request("GET", "/metrics")
            lines = connection.getresponse().read().decode().splitlines()
        finally:
            connection.close()
        pairs = (line.rsplit(" ", 1) for line in lines if not line.startswith("#") and "{" not in line)
        return {name.removeprefix("holdfast_"): float(value) for name, value in pairs}

    def memory(self) -> dict[str, int]:
        """What the heap of the C library had in use and free, and Python's blocks in use, up to a second ago."""
        return dict(zip(INSIDE, map(int, self._memory_file.read_text().split()), strict=True))

    def tasks(self) -> list[str]:
        """Every task that it has, and where it waits."""
        assert self._running is not None
        file = self._memory_file.with_suffix(".tasks")
        file.unlink(missing_ok=True)
        os.kill(self._running.pid, signal.SIGUSR2)
        eventually(file.exists, "the server to tell its tasks")
        return file.read_text().splitlines()

    def log_lines(self) -> Iterator[str]:
        """Everything that it has written, output included."""
        for file in (*self.rotated, self._log_file, self._directory / "holdfast.output"):
            with file.open(errors="replace") as lines:
                yield from lines
