"""The command door and the statistics of a proxy, as a program that watches it uses them."""

from __future__ import annotations

import itertools
import json
import time
from typing import Any

import zmq
from tests.harness import tnet
from tests.harness.client import DEFAULT_TIMEOUT_S, fetch
from tests.harness.proxy import ProxyUnderTest
from tests.harness.timing import eventually, scaled
from tests.harness.zmq_sockets import ZmqSocket, ZmqSockets

Packet = dict[str, Any]

_numbers = itertools.count(1)


class CommandClient:
    """Calls commands on a DEALER, so that frames without an answer do not block the next call."""

    def __init__(self, sockets: ZmqSockets, spec: str) -> None:
        self._socket = sockets.connected(zmq.DEALER, spec)

    def send(self, *parts: bytes) -> None:
        """Send a message as it is, after the empty delimiter."""
        self._socket.send(b"", *parts)

    def call(self, method: str, timeout_s: float = DEFAULT_TIMEOUT_S, **args: Any) -> Packet:
        """Call a method, and return its response without the id, which must be the next to come and echo ours."""
        request: Packet = {"id": f"call-{next(_numbers)}", "method": method}
        if args:
            request["args"] = args
        return self.ask(request, timeout_s)

    def ask(self, request: Packet, timeout_s: float = DEFAULT_TIMEOUT_S) -> Packet:
        """Send a request and return its response without the id."""
        self.send(tnet.encode(request))
        response = self.receive(timeout_s)
        assert response.pop("id", None) == (request["id"].encode() if "id" in request else None), response
        return response

    def receive(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Packet:
        """The next response."""
        empty, body = self._socket.receive(timeout_s)
        assert empty == b""
        response: Packet = tnet.decode(body)
        return response

    def value(self, method: str, **args: Any) -> Any:
        """Call a method, which must succeed, and return its value."""
        response = self.call(method, **args)
        assert response.pop("success") is True, response
        assert list(response) == ["value"], response
        return response["value"]


def decode_frame(frame: bytes) -> tuple[str, Packet]:
    """Type and content of one frame of statistics, with text for byte strings in both formats."""
    kind, space, data = frame.partition(b" ")
    assert space, frame
    if data[:1] == b"J":
        return kind.decode(), json.loads(data[1:])
    assert data[:1] == b"T", frame
    content = tnet.decode(data[1:])
    assert isinstance(content, dict), frame
    return kind.decode(), {key: value.decode() if isinstance(value, bytes) else value for key, value in content.items()}


class StatsReader:
    """Reads statistics from a SUB socket.

    A publisher does not know a subscriber at once: before anything is expected, something has to have been seen.
    """

    def __init__(self, sockets: ZmqSockets, spec: str, *kinds: str) -> None:
        self.socket: ZmqSocket = sockets.open(zmq.SUB)
        for kind in kinds:
            self.socket.subscribe(f"{kind} ".encode())
        if not kinds:
            self.socket.subscribe(b"")
        self.socket.connect(spec)

    def receive(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> tuple[str, Packet]:
        """The next packet and its type."""
        return decode_frame(self.socket.receive_one(timeout_s))

    def wait(self, wanted: str, timeout_s: float = DEFAULT_TIMEOUT_S, **fields: object) -> Packet:
        """Read up to the next packet of type ``wanted`` that has ``fields`` (an underscore stands for a hyphen)."""
        named = {name.replace("_", "-"): value for name, value in fields.items()}
        deadline = time.monotonic() + scaled(timeout_s)
        while (left := deadline - time.monotonic()) > 0:
            try:
                kind, packet = decode_frame(self.socket.receive_one(left / scaled(1)))
            except TimeoutError:
                break
            if kind == wanted and named.items() <= packet.items():
                return packet
        raise TimeoutError(f"no {wanted} with {named} within the time")

    def collect(self, seconds: float) -> list[tuple[str, Packet]]:
        """Everything that comes within ``seconds`` (not scaled)."""
        packets: list[tuple[str, Packet]] = []
        deadline = time.monotonic() + seconds
        while (left := deadline - time.monotonic()) > 0:
            try:
                packets.append(decode_frame(self.socket.receive_one(left / scaled(1))))
            except TimeoutError:
                break
        return packets


def read_stats(sockets: ZmqSockets, spec: str, proxy: ProxyUnderTest) -> StatsReader:
    """A reader of everything, which is known to the proxy."""
    reader = StatsReader(sockets, spec)

    def is_known() -> bool:
        fetch(proxy.port, "/")
        try:
            reader.receive(0.1)
        except TimeoutError:
            return False
        return True

    eventually(is_known, "statistics")
    return reader
