"""The sockets that publishers and operators reach us at (grip spec §15.3-§15.7)."""

from __future__ import annotations

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


def open_pull(
    runtime: Runtime, context: ZmqContext, on_message: OnMessage, spec: str, ipc_file_mode: int | None
) -> ZmqSocket:
    """A bound PULL socket. Raises ConfigError."""
    socket = ZmqSocket(runtime, context, zmq.PULL, hwm=PUBLISH_HWM, on_message=on_message)
    socket.bind(spec, ipc_file_mode)
    return socket


def open_router(
    runtime: Runtime, context: ZmqContext, on_message: OnMessage, spec: str, ipc_file_mode: int | None
) -> ZmqSocket:
    """A bound ROUTER socket. Raises ConfigError."""
    socket = ZmqSocket(runtime, context, zmq.ROUTER, hwm=COMMANDS_HWM, on_message=on_message)
    socket.bind(spec, ipc_file_mode)
    return socket


def open_xpub(
    runtime: Runtime, context: ZmqContext, on_message: OnMessage, spec: str, ipc_file_mode: int | None
) -> ZmqSocket:
    """A bound XPUB socket, to its subscribers a PUB; what they subscribe to are its messages. Raises ConfigError."""
    socket = ZmqSocket(runtime, context, zmq.XPUB, hwm=STATISTICS_HWM, on_message=on_message)
    socket.bind(spec, ipc_file_mode)
    return socket


def open_sub(
    runtime: Runtime, context: ZmqContext, on_message: OnMessage, spec: str, ipc_file_mode: int | None
) -> ZmqSocket:
    """A bound SUB socket that is not subscribed to anything. Raises ConfigError."""
    socket = ZmqSocket(runtime, context, zmq.SUB, hwm=PUBLISH_HWM, on_message=on_message)
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
