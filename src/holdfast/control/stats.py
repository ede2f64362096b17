"""The statistics door: packets go out as the frames of an XPUB socket (grip spec §15.7).

To its subscribers an XPUB is a PUB. It tells us what they subscribe to, so that nothing is made that nobody wants.
"""

from __future__ import annotations

from holdfast.net.runtime import Runtime
from holdfast.net.zmq_doors import Door, open_door
from holdfast.net.zmq_socket import ZmqContext, ZmqSocket
from holdfast.statistics.collector import PacketType, Statistics
from holdfast.wire.statistics import Notation, Packet, encode_statistics


class StatsDoor:
    """Sends what `statistics` tells.

    Args:
        sender: who every packet says it is from.
    """

    def __init__(self, runtime: Runtime, statistics: Statistics, *, sender: str, notation: Notation) -> None:
        self._runtime = runtime
        self._statistics = statistics
        self._sender = sender
        self._notation = notation
        self._socket: ZmqSocket | None = None

    def open(self, context: ZmqContext, spec: str, ipc_file_mode: int | None = None) -> None:
        """Listen at `spec`, and send from now on. Raises ConfigError."""
        self._socket = open_door(Door.STATISTICS, self._runtime, context, self._on_subscription, spec, ipc_file_mode)
        self._statistics.send = self._send
        self._statistics.start(self._runtime.wheel, self._runtime.now())

    def close(self) -> None:
        """Send nothing any more, and stop listening."""
        self._statistics.stop()
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, packet: Packet) -> None:
        if self._socket is not None:
            self._socket.send([encode_statistics(packet, self._sender, self._notation)])

    def _on_subscription(self, parts: list[bytes]) -> None:
        """The first subscription to a topic, or the end of the last one; a subscriber that says more is not heard."""
        message = parts[0]
        if message[:1] in (b"\x00", b"\x01"):
            self._statistics.want(types_of(message[1:]), 1 if message[0] else -1)


def types_of(topic: bytes) -> list[PacketType]:
    """The types of packets of which some begin with `topic`."""
    return [kind for kind in PacketType if _begin_alike(f"{kind.value} ".encode(), topic)]


def _begin_alike(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)
