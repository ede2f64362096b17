"""A ZeroMQ socket that does nothing but keep what it is told."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class FakeZmqSocket:
    """See `holdfast.net.zmq_socket.ZmqSocket`."""

    def __init__(self) -> None:
        self.sent: list[list[bytes]] = []
        self.calls: list[str] = []
        self.options: list[tuple[int, Any]] = []
        self.is_closed = False

    def send(self, parts: Sequence[bytes]) -> bool:
        self.sent.append(list(parts))
        return True

    def set_option(self, option: int, value: Any) -> None:
        self.options.append((option, value))

    def pause(self) -> None:
        self.calls.append("pause")

    def resume(self) -> None:
        self.calls.append("resume")

    def close(self) -> None:
        self.calls.append("close")
