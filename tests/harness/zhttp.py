"""Backends that speak ZHTTP: a test takes a request, and answers it packet by packet.

Packets are maps whose keys are text and whose values are as they came; the keyword arguments that become fields are
written with an underscore for a hyphen.
"""

from __future__ import annotations

import itertools
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

import zmq
from tests.harness import tnet
from tests.harness.client import DEFAULT_TIMEOUT_S, Connect, RawClient
from tests.harness.messages import Response
from tests.harness.proxy import ProxyUnderTest
from tests.harness.timing import eventually, scaled
from tests.harness.websocket import WebSocketClient
from tests.harness.zmq_sockets import SUBSCRIBED, ZmqSocket, ZmqSockets

Packet = dict[str, Any]

CREDITS = 200_000
"""What a side offers in its first packet, and the most that a packet of ours carries."""

_numbers = itertools.count(1)


def fresh_path() -> str:
    """A path that no other test uses."""
    return f"/z{next(_numbers)}"


def encode_packet(packet: Packet) -> bytes:
    """A packet as it is sent."""
    return b"T" + tnet.encode(packet)


def decode_packet(data: bytes) -> Packet:
    """A packet as it came."""
    assert data[:1] == b"T", data
    packet = tnet.decode(data[1:])
    assert isinstance(packet, dict), data
    return packet


def as_fields(named: dict[str, object]) -> Packet:
    """Keyword arguments as fields."""
    return {name.replace("_", "-"): value for name, value in named.items()}


def path_of(packet: Packet) -> str:
    """The path of a request's URI."""
    path: str = urlsplit(packet["uri"].decode("latin-1")).path
    return path


def header_list(packet: Packet) -> list[tuple[str, str]]:
    """The headers of a packet."""
    return [(name.decode("latin-1"), value.decode("latin-1")) for name, value in packet["headers"]]


class _Waiting:
    """Requests that have come and were not asked for yet."""

    def __init__(self, socket: ZmqSocket) -> None:
        self._socket = socket
        self._messages: list[tuple[list[bytes], Packet]] = []

    def take(self, path: str, timeout_s: float) -> tuple[list[bytes], Packet]:
        """The parts and the packet of the next request for ``path``."""
        deadline = time.monotonic() + scaled(timeout_s)
        while True:
            for message in self._messages:
                if path_of(message[1]) == path:
                    self._messages.remove(message)
                    return message
            parts = self._socket.receive(max(deadline - time.monotonic(), 0.01) / scaled(1))
            self._messages.append((parts, decode_packet(parts[-1])))


class ReqExchange:
    """One request that waits for its reply."""

    def __init__(self, socket: ZmqSocket, envelope: Sequence[bytes], request: Packet) -> None:
        self._socket = socket
        self._envelope = envelope
        self.request = request

    def reply(self, **named: object) -> None:
        """Send the reply with these fields and the request's id."""
        self.reply_packet({"id": self.request["id"], **as_fields(named)})

    def reply_packet(self, packet: Packet) -> None:
        """Send this reply."""
        self.reply_raw(encode_packet(packet))

    def reply_raw(self, *parts: bytes) -> None:
        """Send these parts after the envelope."""
        self._socket.send(*self._envelope, *parts)


class ReqBackend:
    """A backend of a ``zhttpreq/`` target, on a ROUTER, which may reply late, twice or never."""

    def __init__(self, spec: str) -> None:
        self._sockets = ZmqSockets()
        self._socket = self._sockets.connected(zmq.ROUTER, spec)
        self._waiting = _Waiting(self._socket)

    def take(self, path: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> ReqExchange:
        """Wait for the next request for ``path``."""
        (sender, empty, _), packet = self._waiting.take(path, timeout_s)
        assert empty == b""
        return ReqExchange(self._socket, [sender, empty], packet)

    def stop(self) -> None:
        """Disconnect."""
        self._sockets.close()


class StreamExchange:
    """One request of a ``zhttp/`` target with its packets in both directions."""

    def __init__(self, backend: StreamBackend, request: Packet) -> None:
        self._backend = backend
        self._next_seq = 0
        self._expected_seq = 1
        self.request = request

    def send(self, **named: object) -> None:
        """Send the next packet with these fields, and with ``from``, ``id`` and ``seq``."""
        usual = {"from": self._backend.name, "id": self.request["id"], "seq": self._next_seq}
        self._next_seq += 1
        self.send_packet({**usual, **as_fields(named)})

    def send_packet(self, packet: Packet) -> None:
        """Send this packet."""
        self._backend.publish(self.request["from"] + b" " + encode_packet(packet))

    def reply(self, **named: object) -> None:
        """Send the whole response in one packet with these fields."""
        self.send(**named)

    def receive(self, timeout_s: float = DEFAULT_TIMEOUT_S) -> Packet:
        """The proxy's next packet, which must have the next number; without what all have."""
        packet = self._backend.follow_up(self.request["id"], timeout_s)
        assert packet.pop("from") == self.request["from"]
        assert packet.pop("id") == self.request["id"]
        assert packet.pop("seq") == self._expected_seq, packet
        self._expected_seq += 1
        return packet

    def receive_type(self, wanted: str | None, timeout_s: float = DEFAULT_TIMEOUT_S) -> Packet:
        """Read up to the next packet of that type (None is data), adding nothing to it."""
        deadline = time.monotonic() + scaled(timeout_s)
        expected = None if wanted is None else wanted.encode()
        while True:
            packet = self.receive(max(deadline - time.monotonic(), 0.01) / scaled(1))
            if packet.get("type") == expected:
                return packet

    def read_body(self) -> bytes:
        """The request's body, for which credits are granted if there is more than came with the first packet."""
        packet = self.request
        body: bytes = packet.get("body", b"")
        while packet.get("more"):
            self.send(type="credit", credits=CREDITS)
            packet = self.receive()
            assert "type" not in packet, packet
            body += packet.get("body", b"")
        return body

    def receive_credits(self, total: int) -> int:
        """Read ``credit`` packets until they grant ``total``, and return how many there were."""
        granted = count = 0
        while granted < total:
            packet = self.receive()
            assert packet.get("type") == b"credit", packet
            granted += packet["credits"]
            count += 1
        assert granted == total
        return count


class StreamBackend:
    """A backend of a ``zhttp/`` target: requests by PULL, follow-ups by DEALER, responses by XPUB."""

    def __init__(self, requests: str, follow_ups: str, responses: str) -> None:
        self.name = f"backend-{next(_numbers)}"
        self._sockets = ZmqSockets()
        self._requests = _Waiting(self._sockets.connected(zmq.PULL, requests))
        self._follow_ups = self._sockets.connected(zmq.DEALER, follow_ups, self.name.encode())
        self._responses = self._sockets.connected(zmq.XPUB, responses)
        self._come: list[Packet] = []

    @classmethod
    def on_port(cls, port: int) -> StreamBackend:
        """Of the target ``zhttp/tcp://127.0.0.1:port``."""
        requests, follow_ups, responses = (f"tcp://127.0.0.1:{port + number}" for number in range(3))
        return cls(requests, follow_ups, responses)

    def wait_subscribed(self) -> None:
        """Wait until the proxy listens to us."""
        self._responses.receive_until(lambda parts: parts[0][:1] == SUBSCRIBED, "the proxy's subscription")

    def wait_connected(self, proxy: ProxyUnderTest, host: str) -> None:
        """Wait until the proxy listens to us, and until it reaches us with what follows a request."""
        self.wait_subscribed()

        def is_reached() -> bool:
            path = fresh_path()
            with RawClient(proxy.port) as client:
                client.request(path, host=host)
                try:
                    exchange = self.take(path, 0.5)
                except TimeoutError:
                    return False
                exchange.send(code=200, body="x", more=True)
                try:
                    exchange.receive_type("credit", 0.5)
                except TimeoutError:
                    return False
                exchange.send(body="y")
                return client.read_response().text == "xy"

        eventually(is_reached, f"packets of the proxy for {self.name}", timeout_s=10)

    def take(self, path: str, timeout_s: float = DEFAULT_TIMEOUT_S) -> StreamExchange:
        """Wait for the first packet of the next request for ``path``."""
        parts, packet = self._requests.take(path, timeout_s)
        assert len(parts) == 1, parts
        return StreamExchange(self, packet)

    def publish(self, data: bytes) -> None:
        """Send one message to the proxy's SUB."""
        self._responses.send(data)

    def route(self, *parts: bytes) -> None:
        """Send one message to the proxy's ROUTER."""
        self._follow_ups.send(*parts)

    def follow_up(self, exchange_id: bytes, timeout_s: float) -> Packet:
        """The next packet that the proxy sent for an exchange."""
        deadline = time.monotonic() + scaled(timeout_s)
        while True:
            for packet in self._come:
                if packet["id"] == exchange_id:
                    self._come.remove(packet)
                    return packet
            empty, data = self._follow_ups.receive(max(deadline - time.monotonic(), 0.01) / scaled(1))
            assert empty == b""
            self._come.extend(_single(decode_packet(data)))

    def stop(self) -> None:
        """Disconnect."""
        self._sockets.close()


def _single(packet: Packet) -> list[Packet]:
    """A packet for several exchanges, as one for each."""
    if not isinstance(packet["id"], list):
        return [packet]
    return [{**packet, "id": entry["id"], "seq": entry["seq"]} for entry in packet["id"]]


class StreamAsker:
    """Makes requests for one target ``zhttp/…``, whose exchanges the test plays."""

    def __init__(self, proxy: ProxyUnderTest, backend: StreamBackend, connect: Connect) -> None:
        self.proxy = proxy
        self.backend = backend
        self._connect = connect

    def client(self) -> RawClient:
        """A new connection to the proxy."""
        return self._connect(self.proxy.port)

    def ask(self, query: str = "", **options: Any) -> tuple[RawClient, StreamExchange]:
        """Make a request (see `encode_request`) and take it at the backend."""
        path = fresh_path()
        client = self.client()
        client.request(path + query, **{"host": "z", **options})
        return client, self.backend.take(path)

    def answer(self, **fields: object) -> Response:
        """The response that a client gets for one packet with these fields."""
        client, exchange = self.ask()
        exchange.send(**fields)
        return client.read_response()

    def shake(
        self, *, host: str = "z", headers: Sequence[tuple[str, str]] = (), query: str = ""
    ) -> tuple[WebSocketClient, StreamExchange]:
        """Send a WebSocket handshake and take it at the backend."""
        path = fresh_path()
        client = WebSocketClient(self.client())
        client.handshake(path + query, host=host, headers=headers)
        return client, self.backend.take(path)

    def socket(self, *, extension: str | None = None, host: str = "z") -> tuple[WebSocketClient, StreamExchange]:
        """A WebSocket that the backend has accepted; ``extension`` is its Sec-WebSocket-Extensions."""
        client, exchange = self.shake(host=host)
        headers = [] if extension is None else [["Sec-WebSocket-Extensions", extension]]
        exchange.send(code=101, reason="Switching Protocols", headers=headers, credits=CREDITS)
        client.accepted()
        return client, exchange
