"""`holdfast demo`: a page to look at, served through Holdfast itself from a backend in this package."""

from __future__ import annotations

import argparse
import socket
import sys
from collections.abc import Sequence

from holdfast.config.listen import Listen
from holdfast.config.load import Overrides, Start, load_settings
from holdfast.demo.backend import running_backend
from holdfast.supervisor import serve

LOOPBACK = "127.0.0.1"
_LOCALHOST = frozenset({LOOPBACK, "0.0.0.0", "::", "::1"})
_WARNINGS = "1"


def run(argv: Sequence[str]) -> int:
    """Serve the demo until told to stop.

    Args:
        argv: the arguments after `holdfast demo`.

    Returns:
        The exit code of the process.
    """
    arguments = make_parser().parse_args(argv)
    clients, publishers = Listen(arguments.host, arguments.port), Listen(LOOPBACK, arguments.control_port)
    if (problem := _why_not(clients, "--port") or _why_not(publishers, "--control-port")) is not None:
        print(f"holdfast demo: {problem}", file=sys.stderr)
        return 1
    with running_backend(publishers.port) as backend:
        start = demo_start(clients, publishers, backend.server_port)
        print(greeting(clients, publishers), flush=True)
        return serve(start)


def demo_start(clients: Listen, publishers: Listen, backend_port: int) -> Start:
    """What Holdfast is started with: two listeners and one route, whatever files and environment there are."""
    values = {
        ("runner", "http_port"): str(clients),
        ("runner", "client_maxconn"): "1000",
        ("runner", "log_level"): _WARNINGS,
        ("handler", "push_in_http_addr"): publishers.host,
        ("handler", "push_in_http_port"): str(publishers.port),
    }
    loaded = load_settings(None, environ={}, overrides=Overrides(values=values, needs_file=False), search=())
    return Start(loaded, route_lines=(f"* {LOOPBACK}:{backend_port},over_http",))


def greeting(clients: Listen, publishers: Listen) -> str:
    """What the user reads: where the page is, and how to follow and publish from a terminal."""
    url = f"http://{Listen('localhost' if clients.host in _LOCALHOST else clients.host, clients.port)}"
    return f"""\
Holdfast demo: {url}/

Follow the stream in another terminal:
  curl -N {url}/stream
and publish to everyone who follows it:
  curl http://localhost:{publishers.port}/publish/ -d \\
    '{{"items": [{{"channel": "demo", "formats": {{"http-stream": {{"content": "hello\\n"}}}}}}]}}'

Ctrl-C ends it.
"""


def make_parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        prog="holdfast demo",
        description="Serve a page that shows an HTTP stream, server-sent events, a long poll and a WebSocket live.",
    )
    parser.add_argument("--host", default=LOOPBACK, help="address to serve the page at (default: %(default)s)")
    parser.add_argument("--port", type=_port, default=7999, help="port of the page (default: %(default)s)")
    parser.add_argument(
        "--control-port", type=_port, default=5561, help="port for publishing, on loopback (default: %(default)s)"
    )
    return parser


def _port(text: str) -> int:
    port = int(text)
    if not 1 <= port <= 65535:
        raise argparse.ArgumentTypeError(f"{port} is not a port from 1 to 65535")
    return port


def _why_not(listen: Listen, option: str) -> str | None:
    """Why one cannot listen at an address; None if one can."""
    try:
        family = socket.getaddrinfo(listen.host, listen.port, type=socket.SOCK_STREAM)[0][0]
        socket.create_server((listen.host, listen.port), family=family).close()
    except OSError as error:
        reason = str(error.strerror).partition(" (")[0].lower()
        return f"cannot listen at {listen}: {reason}; {option} chooses another place"
    return None
