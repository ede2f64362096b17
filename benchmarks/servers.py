"""The servers that are compared: how each is started, on free ports, with a directory of its own."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, suppress
from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus
from http.client import HTTPConnection, HTTPException
from pathlib import Path

from benchmarks.processes import Running, ServerFailedError, running
from tests.harness.ports import free_port
from tests.harness.tls import make_certificate

import holdfast

PROJECT = Path(__file__).resolve().parents[1]
PROGRAMS = PROJECT / "benchmarks" / "bin"

_MAX_CLIENTS = 19_500
_ANSWER_TIMEOUT_S = 10.0
_NGINX = "/usr/sbin/nginx"  # not in everybody's PATH
_NCHAN_MODULE = Path("/usr/lib/nginx/modules/ngx_nchan_module.so")

# Both GRIP proxies get this file. No message_rate and no message_hwm: Pushpin then delivers without a limit. Long polls
# are not asked again a second after they came: who is asking just then misses what is published (1.36 cannot be told).
_GRIP_CONF = """\
[global]
{pushpin_global}rundir={directory}/run
ipc_prefix=bench-

[runner]
{pushpin_runner}http_port=127.0.0.1:{port}
https_ports=127.0.0.1:{tls_port}
logdir={directory}/log
log_level=1
client_maxconn={max_clients}

[proxy]
routesfile=routes
sig_iss=bench
sig_key=changeme
{pushpin_proxy}
[handler]
push_in_http_addr=127.0.0.1
push_in_http_port={control_port}
push_in_spec={push_spec}
update_on_first_subscription=false
{metrics}"""

# The origin is a WebSocket server, but for the path at which it wants to hear of WebSockets over HTTP.
_GRIP_ROUTES = """\
* 127.0.0.1:{origin_port}
*,path_beg=/events 127.0.0.1:{origin_port},over_http
"""

_PUSHPIN_PROXY = """\
zurl_out_specs=ipc://{rundir}/{ipc_prefix}zurl-in
zurl_out_stream_specs=ipc://{rundir}/{ipc_prefix}zurl-in-stream
zurl_in_specs=ipc://{rundir}/{ipc_prefix}zurl-out
updates_check=off
"""

_NGINX_CONF = """\
{modules}
daemon off;
worker_processes 1;
pid {directory}/nginx.pid;
error_log stderr error;
events {{ worker_connections 19900; }}
http {{
    access_log off;
    keepalive_requests 1000000000;
    client_body_temp_path {directory}/run;
    proxy_temp_path {directory}/run;
    fastcgi_temp_path {directory}/run;
    uwsgi_temp_path {directory}/run;
    scgi_temp_path {directory}/run;
{servers}}}
"""

_NGINX_PROXY = """\
    upstream origin {{ server 127.0.0.1:{origin_port}; keepalive 64; keepalive_requests 1000000000; }}
    server {{
        listen 127.0.0.1:{port};
        location / {{ proxy_pass http://origin; proxy_http_version 1.1; proxy_set_header Connection ""; }}
    }}
"""

# Messages are not kept, which Nchan does by default: nobody else here keeps them.
_NCHAN_SERVERS = """\
    nchan_store_messages off;
    server {{
        listen 127.0.0.1:{port};
        location /stream {{ nchan_subscriber http-chunked; nchan_channel_id $arg_channel; }}
        location /sse {{ nchan_subscriber eventsource; nchan_channel_id $arg_channel; }}
        location /socket {{ nchan_subscriber websocket; nchan_channel_id $arg_channel; }}
    }}
    server {{
        listen 127.0.0.1:{control_port};
        location /publish {{ nchan_publisher http; nchan_channel_id $arg_channel; }}
    }}
"""


class Kind(StrEnum):
    """The servers, by the names of the command line, in the order of the table's columns."""

    HOLDFAST = "holdfast"
    PUSHPIN = "pushpin"
    FLOOR = "floor"
    NCHAN = "nchan"
    NGINX = "nginx"
    DIRECT = "direct"

    @property
    def heading(self) -> str:
        """What the table calls it."""
        return _HEADINGS[self]

    @property
    def can_hold(self) -> bool:
        """Whether it holds streams and takes publishes."""
        return self in (Kind.HOLDFAST, Kind.PUSHPIN, Kind.FLOOR, Kind.NCHAN)

    @property
    def is_grip_proxy(self) -> bool:
        """Whether it speaks GRIP with a backend."""
        return self in (Kind.HOLDFAST, Kind.PUSHPIN)

    @property
    def can_proxy(self) -> bool:
        """Whether an ordinary request gets the origin's answer through it."""
        return self not in (Kind.FLOOR, Kind.NCHAN)


_HEADINGS: Mapping[Kind, str] = {
    Kind.HOLDFAST: "Holdfast",
    Kind.PUSHPIN: "Pushpin",
    Kind.FLOOR: "C `send()` loop",
    Kind.NCHAN: "Nchan",
    Kind.NGINX: "nginx",
    Kind.DIRECT: "origin, no proxy",
}


_PROGRAMS_OF: Mapping[Kind, tuple[str, ...]] = {
    Kind.PUSHPIN: ("pushpin", "zurl"),
    Kind.NGINX: (_NGINX,),
    Kind.NCHAN: (_NGINX,),
}


@dataclass(frozen=True, slots=True)
class Server:
    """A server that is ready, with the origin behind it.

    Args:
        kind: which one.
        port: where clients connect.
        control_port: where publishes go; 0 if it takes none.
        origin_port: where the origin can be asked directly; 0 if there is none.
        tls_port: where clients connect by TLS; 0 if they cannot.
        push_spec: where ZeroMQ publishers connect; empty if it takes none.
        metrics_port: where it tells its metrics; 0 if it does not.
        running: the server's process (not the origin's, unless the origin is what is measured).
    """

    kind: Kind
    port: int
    control_port: int
    origin_port: int
    running: Running
    push_spec: str = ""
    tls_port: int = 0
    metrics_port: int = 0


def missing_program(kind: Kind) -> str | None:
    """The program that ``kind`` needs and this machine does not have, or None."""
    if kind is Kind.NCHAN and not _NCHAN_MODULE.exists():
        return _NCHAN_MODULE.name
    return next((program for program in _PROGRAMS_OF.get(kind, ()) if shutil.which(program) is None), None)


def version_of(kind: Kind) -> str | None:
    """Name and version for the record, or None for the programs of this directory."""
    match kind:
        case Kind.HOLDFAST:
            return f"Holdfast {holdfast.__version__} on Python {platform.python_version()}"
        case Kind.PUSHPIN:
            return f"Pushpin {_output_of('pushpin', '--version').split()[-1]}"
        case Kind.NGINX:
            return _output_of(_NGINX, "-v").rpartition(" ")[2]
        case _:
            return None


@contextmanager
def started(kind: Kind, *, has_metrics: bool = False) -> Iterator[Server]:
    """Run a server, and the origin it needs, while the block runs.

    Args:
        has_metrics: a GRIP proxy also tells its metrics, at `Server.metrics_port`.
    """
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="holdfast-bench-")))
        for name in ("run", "log"):
            (directory / name).mkdir()
        if kind is Kind.FLOOR or kind is Kind.NCHAN:
            yield stack.enter_context(_floor(directory) if kind is Kind.FLOOR else _nchan(directory))
            return
        origin_port = free_port()
        origin = stack.enter_context(_program("origin", directory, origin_port))
        if kind is Kind.DIRECT:
            yield Server(kind, origin_port, 0, origin_port, origin)
        elif kind is Kind.NGINX:
            yield stack.enter_context(_nginx_proxy(directory, origin_port))
        else:
            yield stack.enter_context(_grip_proxy(kind, directory, origin_port, has_metrics=has_metrics))


def _program(name: str, directory: Path, *ports: int) -> AbstractContextManager[Running]:
    command = [str(PROGRAMS / name), *map(str, ports)]
    return running(command, directory / f"{name}.log", ports)


@contextmanager
def _floor(directory: Path) -> Iterator[Server]:
    port, control_port = free_port(), free_port()
    with _program("floor", directory, port, control_port) as process:
        yield Server(Kind.FLOOR, port, control_port, 0, process)


@contextmanager
def _nginx_proxy(directory: Path, origin_port: int) -> Iterator[Server]:
    port = free_port()
    with _nginx(directory, "", _NGINX_PROXY.format(port=port, origin_port=origin_port), [port]) as process:
        _wait_until_answering(port, "/plain")
        yield Server(Kind.NGINX, port, 0, origin_port, process)


@contextmanager
def _nchan(directory: Path) -> Iterator[Server]:
    port, control_port = free_port(), free_port()
    servers = _NCHAN_SERVERS.format(port=port, control_port=control_port)
    with _nginx(directory, f"load_module {_NCHAN_MODULE};", servers, [port, control_port]) as process:
        yield Server(Kind.NCHAN, port, control_port, 0, process)


def _nginx(directory: Path, modules: str, servers: str, ports: Sequence[int]) -> AbstractContextManager[Running]:
    config_file = directory / "nginx.conf"
    config_file.write_text(_NGINX_CONF.format(directory=directory, modules=modules, servers=servers))
    return running([_NGINX, "-p", str(directory), "-c", str(config_file)], directory / "nginx.log", ports)


@contextmanager
def _grip_proxy(kind: Kind, directory: Path, origin_port: int, *, has_metrics: bool) -> Iterator[Server]:
    port, control_port, tls_port = free_port(), free_port(), free_port()
    metrics_port = free_port() if has_metrics else 0
    certificates = directory / "runner" / "certs"
    certificates.mkdir(parents=True)
    make_certificate("localhost").write(certificates, "localhost")
    is_pushpin = kind is Kind.PUSHPIN
    push_spec = f"ipc://{directory}/push"
    (directory / "routes").write_text(_GRIP_ROUTES.format(origin_port=origin_port))
    config_file = directory / "pushpin.conf"
    config_file.write_text(
        _GRIP_CONF.format(
            directory=directory,
            pushpin_global="include={libdir}/internal.conf\n" if is_pushpin else "",
            pushpin_runner="services=condure,zurl,pushpin-proxy,pushpin-handler\n" if is_pushpin else "",
            pushpin_proxy=_PUSHPIN_PROXY if is_pushpin else "",
            port=port,
            tls_port=tls_port,
            control_port=control_port,
            push_spec=push_spec,
            max_clients=_MAX_CLIENTS,
            metrics=f"prometheus_port={metrics_port}\n" if has_metrics else "",
        )
    )
    program = ["pushpin", "--merge-output"] if is_pushpin else [sys.executable, "-m", "holdfast"]
    environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
    command = [*program, "--config", str(config_file)]
    with running(command, directory / f"{kind}.log", [port, control_port], environment) as process:
        _wait_until_answering(port, "/stream?channel=ready")
        yield Server(kind, port, control_port, origin_port, process, push_spec, tls_port, metrics_port)


def _wait_until_answering(port: int, path: str) -> None:
    """Wait until ``path`` is answered with 200: a proxy of several processes opens its ports before they all work."""
    deadline = time.monotonic() + _ANSWER_TIMEOUT_S
    while time.monotonic() < deadline:
        with suppress(OSError, HTTPException), closing(HTTPConnection("127.0.0.1", port, timeout=2)) as connection:
            connection.request("GET", path)
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(0.05)
    raise ServerFailedError(f"the proxy on port {port} does not answer {path}")


def _output_of(*command: str) -> str:
    result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=True)
    return result.stdout.strip()
