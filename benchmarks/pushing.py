"""Publishing as fast as it is taken, over ZeroMQ or HTTP, into a channel with one subscriber."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress
from dataclasses import dataclass, replace
from http.client import HTTPConnection

import zmq
from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.processes import cpu_s
from benchmarks.programs import ask
from benchmarks.servers import Kind, Server

_REQUEST = b"GET /stream?channel=pushed HTTP/1.1\r\nHost: localhost\r\nTE: chunked\r\n\r\n"  # Nchan asks for TE
_ITEM = b'J{"channel":"pushed","formats":{"http-stream":{"content":"%07d~"}}}'
_POSTED: Mapping[Kind, tuple[str, str]] = {
    Kind.HOLDFAST: ("/publish/", '{"items":[{"channel":"pushed","formats":{"http-stream":{"content":".......~"}}}]}'),
    Kind.NCHAN: ("/publish?channel=pushed", ".......~"),
}
"""Path and body of a publish. Pushpin closes the connection after each."""
_END = "!"  # as the mark
_WARM_UP_ITEMS = 500
_POSTING_S = 10
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
        with _subscriber(server) as client:
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


@dataclass(frozen=True, slots=True)
class Posting:
    """Publishes ``items`` over HTTP, one item a request, over 10 keep-alive connections."""

    items: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.items:,} items over HTTP"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind in _POSTED

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        door = replace(server, port=server.control_port)
        path, body = _POSTED[server.kind]
        arguments = ("--path", path, "--post", body, "--warmup-requests", str(_WARM_UP_ITEMS))
        with _subscriber(server) as client, ThreadPoolExecutor(1) as executor:
            counting = executor.submit(_count_until_end, client)
            answer = ask(door, self.items, _POSTING_S, *arguments, connections=10)
            _post_end(server)
            received = counting.result()
        # At the end, one more of each connection may be on its way, which may arrive or not.
        return {
            figures.POST_RATE: answer["requests_per_s"],
            figures.POST_CPU: answer["cpu_us_per_request"],
            figures.LOST: max(0, _WARM_UP_ITEMS + answer["requests"] - received),
        }


def _subscriber(server: Server) -> socket.socket:
    """A client that is held: what is published from now on arrives."""
    client = socket.create_connection(("127.0.0.1", server.port), timeout=_SILENCE_S)
    client.sendall(_REQUEST)
    client.recv(65536)
    return client


def _post_end(server: Server) -> None:
    """Publish what tells the subscriber that nothing else follows."""
    with closing(HTTPConnection("127.0.0.1", server.control_port, timeout=_SILENCE_S)) as connection:
        path, body = _POSTED[server.kind]
        connection.request("POST", path, body.replace(_MARK.decode(), _END))
        connection.getresponse()


def _count_until_end(client: socket.socket) -> int:
    """How many items arrive before the end."""
    received = 0
    with suppress(TimeoutError):
        while data := client.recv(65536):
            received += data.count(_MARK)
            if _END.encode() in data:
                break
    return received


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
