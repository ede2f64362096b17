"""Publishing as fast as a ZeroMQ socket takes it, into a channel with one subscriber."""

from __future__ import annotations

import socket
import threading
import time
from dataclasses import dataclass

import zmq
from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.processes import cpu_s
from benchmarks.servers import Kind, Server

_REQUEST = b"GET /stream?channel=pushed HTTP/1.1\r\nHost: localhost\r\n\r\n"
_ITEM = b'J{"channel":"pushed","formats":{"http-stream":{"content":"%07d~"}}}'
_MARK = b"~"  # once in each item, and nowhere else
_SILENCE_S = 10.0
"""After so long without a byte the rest is lost."""


@dataclass(frozen=True, slots=True)
class Pushing:
    """Publishes ``items`` through PULL, one item a message."""

    items: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.items:,} items through PULL"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        pids = server.running.pids()
        with socket.create_connection(("127.0.0.1", server.port), timeout=_SILENCE_S) as client:
            client.sendall(_REQUEST)
            client.recv(65536)  # held: what is published now arrives
            _receive_items(client, self._push(server, 1), 1)
            cpu_before_s, start = cpu_s(pids), time.monotonic()
            received = _receive_items(client, self._push(server, self.items), self.items)
            seconds, spent_s = time.monotonic() - start, cpu_s(pids) - cpu_before_s
        return {
            figures.PUSH_RATE: received / seconds,
            figures.PUSH_CPU: spent_s * 1_000_000 / max(received, 1),
            figures.LOST: self.items - received,
        }

    def _push(self, server: Server, items: int) -> threading.Thread:
        thread = threading.Thread(target=_push_all, args=(server.push_spec, items))
        thread.start()
        return thread


def _push_all(spec: str, items: int) -> None:
    with zmq.Context() as context, context.socket(zmq.PUSH) as push:
        push.connect(spec)
        for number in range(items):
            push.send(_ITEM % number)


def _receive_items(client: socket.socket, publisher: threading.Thread, items: int) -> int:
    """How many of the items arrive, in any order."""
    received = 0
    try:
        while received < items:
            data = client.recv(65536)
            if not data:
                break
            received += data.count(_MARK)
    except TimeoutError:
        pass
    publisher.join()
    return received
