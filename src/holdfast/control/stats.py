"""The statistics door: packets go out as the frames of an XPUB socket (grip spec §15.7).

To its subscribers an XPUB is a PUB. It tells us what they subscribe to, so that nothing is made that nobody wants.
"""

from __future__ import annotations

import logging

import zmq

from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqSocket
from holdfast.statistics.collector import PacketType, Statistics
from holdfast.wire.statistics import Notation, Packet, encode_statistics

log = logging.getLogger("holdfast.control.stats")

HWM = 200_000
"""Packets that wait for one slow subscriber; it loses later ones."""


class StatsDoor:
    """Sends what `statistics` tells.

    Args:
        sender: what every packet says it is from.
    """

    def __init__(
        self,
        runtime: Runtime,
        context: zmq.Context[zmq.Socket[bytes]],
        statistics: Statistics,
        *,
        sender: str,
        notation: Notation,
    ) -> None:
        self._runtime = runtime
        self._statistics = statistics
        self._sender = sender
        self._notation = notation
        self._socket = ZmqSocket(runtime, context, zmq.XPUB, hwm=HWM, on_message=self._on_subscription)

    def open(self, spec: str, ipc_file_mode: int | None = None) -> None:
        """Listen at `spec`, and send from now on. Raises ConfigError."""
        self._socket.bind(spec, ipc_file_mode)
        self._statistics.send = self._send
        self._statistics.start(self._runtime.wheel, self._runtime.now())

    def close(self) -> None:
        """Send nothing any more, and stop listening."""
        self._statistics.stop()
        self._statistics.send = _drop
        self._socket.close()

    def _send(self, packet: Packet) -> None:
        self._socket.send([encode_statistics(packet, self._sender, self._notation)])

    def _on_subscription(self, parts: list[bytes]) -> None:
        """The first subscription to a topic, or the end of the last one; anything else is nothing that we know."""
        message = parts[0]
        if message[:1] in (b"\x00", b"\x01"):
            self._statistics.want(types_of(message[1:]), 1 if message[0] else -1)


def types_of(topic: bytes) -> list[PacketType]:
    """The types of packets of which some begin with `topic`."""
    return [kind for kind in PacketType if _begins_alike(f"{kind.value} ".encode(), topic)]


def _begins_alike(one: bytes, other: bytes) -> bool:
    return one.startswith(other) or other.startswith(one)


def _drop(packet: Packet) -> None:
    """Nobody is there."""
