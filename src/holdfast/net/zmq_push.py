"""One message to a PULL socket, from a program that does nothing else."""

from __future__ import annotations

import zmq

from holdfast.errors import ConfigError


def push_message(spec: str, frame: bytes, timeout_s: float) -> None:
    """Connect, send, and wait until the message is sent; blocking.

    Raises:
        ConfigError: `spec` is no address.
        TimeoutError: nobody listened there.
    """
    timeout_ms = int(timeout_s * 1000)
    with zmq.Context() as context, context.socket(zmq.PUSH) as socket:
        socket.setsockopt(zmq.IMMEDIATE, 1)  # without it a message waits for whoever may come, and counts as sent
        socket.setsockopt(zmq.SNDTIMEO, timeout_ms)
        socket.setsockopt(zmq.LINGER, timeout_ms)
        try:
            socket.connect(spec)
        except zmq.ZMQError as exc:
            raise ConfigError(f"cannot connect to {spec}: {zmq.strerror(exc.errno or 0)}") from exc
        try:
            socket.send(frame)
        except zmq.Again as exc:
            raise TimeoutError(f"nobody listens at {spec}") from exc
