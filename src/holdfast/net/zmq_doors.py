"""The sockets that publishers and operators reach us at (grip spec §15.3-§15.7)."""

from __future__ import annotations

import enum
from collections.abc import Callable, Sequence

import zmq

from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext, ZmqSocket

PUBLISH_HWM = 101_000
COMMANDS_HWM = 1000
STATISTICS_HWM = 200_000
"""For each subscriber; one that is slow loses what is newer."""

KEEPALIVE_IDLE_S = 30
KEEPALIVE_PROBES = 6
KEEPALIVE_INTERVAL_S = 5

OnMessage = Callable[[list[bytes]], None]


class Door(enum.Enum):
    """The sockets that are bound: type and high-water mark."""

    PULL = (zmq.PULL, PUBLISH_HWM)
    SUB = (zmq.SUB, PUBLISH_HWM)  # not subscribed to anything
    COMMANDS = (zmq.ROUTER, COMMANDS_HWM)
    STATISTICS = (zmq.XPUB, STATISTICS_HWM)  # to its subscribers a PUB; what they subscribe to are its messages


def open_door(
    door: Door, runtime: Runtime, context: ZmqContext, on_message: OnMessage, spec: str, ipc_file_mode: int | None
) -> ZmqSocket:
    """The socket of a door, bound. Raises ConfigError."""
    kind, hwm = door.value
    socket = ZmqSocket(runtime, context, kind, hwm=hwm, on_message=on_message)
    socket.bind(spec, ipc_file_mode)
    return socket


def connect_sub(runtime: Runtime, context: ZmqContext, on_message: OnMessage, specs: Sequence[str]) -> ZmqSocket:
    """A SUB socket that is connected to all of these, and not subscribed to anything. Raises ConfigError."""
    socket = ZmqSocket(runtime, context, zmq.SUB, hwm=PUBLISH_HWM, on_message=on_message)
    socket.set_option(zmq.TCP_KEEPALIVE, 1)
    socket.set_option(zmq.TCP_KEEPALIVE_IDLE, KEEPALIVE_IDLE_S)
    socket.set_option(zmq.TCP_KEEPALIVE_CNT, KEEPALIVE_PROBES)
    socket.set_option(zmq.TCP_KEEPALIVE_INTVL, KEEPALIVE_INTERVAL_S)
    for spec in specs:
        socket.connect(spec)
    return socket


def subscribe(socket: ZmqSocket, topic: bytes) -> None:
    """Have a SUB socket receive what is published under `topic`, or under one that begins with it."""
    socket.set_option(zmq.SUBSCRIBE, topic)


def unsubscribe(socket: ZmqSocket, topic: bytes) -> None:
    """End one subscription."""
    socket.set_option(zmq.UNSUBSCRIBE, topic)
