"""Holding streams by TLS: what a client costs that keeps its transport."""

from __future__ import annotations

import json
import os
import selectors
import socket
import ssl
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.processes import cpu_s
from benchmarks.programs import LoadFailedError
from benchmarks.servers import Kind, Server

_REQUEST = b"GET /stream?channel=tls HTTP/1.1\r\nHost: localhost\r\n\r\n"
_MARK = b"~"  # once in each item, and nowhere else
_SILENCE_S = 10.0
"""After so long without a byte the rest is lost."""

_WARM_UP_CLIENTS = 50
_SETTLE_S = 1.0
_LEAVE_S = 5.0
"""What is free is given back when no more becomes free."""


@dataclass(frozen=True, slots=True)
class TlsHolding:
    """Holds streams by TLS and publishes to them, one item at a time.

    Args:
        clients: how many.
        rounds: how many items.
    """

    clients: int
    rounds: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} streams by TLS"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        pids = server.running.pids()
        with _held(server, _WARM_UP_CLIENTS) as warm_up:
            _publish(server)
            _receive(warm_up)
        time.sleep(_SETTLE_S)
        before_bytes, before_s, start = _resident_bytes(pids), cpu_s(pids), time.monotonic()
        with _held(server, self.clients) as clients:
            seconds, open_s = time.monotonic() - start, cpu_s(pids) - before_s
            time.sleep(_SETTLE_S)
            grown_bytes = _resident_bytes(pids) - before_bytes
            before_s, received = cpu_s(pids), 0
            for _ in range(self.rounds):
                _publish(server)
                received += _receive(clients)
            delivery_s = cpu_s(pids) - before_s
        time.sleep(_LEAVE_S)
        return {
            figures.tls_memory(self.clients): grown_bytes / self.clients / 1000,
            figures.tls_memory_left(self.clients): (_resident_bytes(pids) - before_bytes) / self.clients / 1000,
            figures.tls_open_rate(self.clients): self.clients / seconds,
            figures.tls_open_cpu(self.clients): open_s * 1e6 / self.clients,
            figures.tls_delivery_cpu(self.clients): delivery_s * 1e6 / max(received, 1),
            figures.LOST: self.clients * self.rounds - received,
        }


@contextmanager
def _held(server: Server, count: int) -> Iterator[Sequence[ssl.SSLSocket]]:
    """So many clients with their streams, opened one after the other without resumption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    clients: list[ssl.SSLSocket] = []
    try:
        for _ in range(count):
            raw = socket.create_connection(("127.0.0.1", server.tls_port), timeout=_SILENCE_S)
            client = context.wrap_socket(raw, server_hostname="localhost")
            clients.append(client)
            client.sendall(_REQUEST)
            if not client.recv(65536).startswith(b"HTTP/1.1 200"):
                raise LoadFailedError(f"client {len(clients)} is not held")
            client.setblocking(False)
        yield clients
    finally:
        for client in clients:
            client.close()


def _publish(server: Server) -> None:
    item = {"channel": "tls", "formats": {"http-stream": {"content": _MARK.decode()}}}
    connection = HTTPConnection("127.0.0.1", server.control_port, timeout=_SILENCE_S)
    connection.request("POST", "/publish/", json.dumps({"items": [item]}))
    status = connection.getresponse().status
    connection.close()
    if status != 200:
        raise LoadFailedError(f"publishing was answered with {status}")


def _receive(clients: Sequence[ssl.SSLSocket]) -> int:
    """Read until every client has had one item, and return how many had."""
    received = 0
    with selectors.DefaultSelector() as selector:
        for client in clients:
            selector.register(client, selectors.EVENT_READ)
        while received < len(clients):
            ready = selector.select(_SILENCE_S)
            if not ready:
                break
            for key, _ in ready:
                assert isinstance(key.fileobj, ssl.SSLSocket)
                try:
                    data = key.fileobj.recv(65536)
                except ssl.SSLWantReadError:  # a ticket, or half a record
                    continue
                if not data:
                    selector.unregister(key.fileobj)
                received += data.count(_MARK)
    return received


def _resident_bytes(pids: Iterable[int]) -> int:
    return sum(int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in pids) * os.sysconf("SC_PAGE_SIZE")
