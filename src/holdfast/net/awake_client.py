"""A client with a transport of its own, whatever is done for it: what is unsent, and how long it may be silent."""

from __future__ import annotations

import abc
import asyncio
from typing import TYPE_CHECKING, cast

from holdfast.net.below import owed_bytes
from holdfast.net.sockets import address_of, describe_peer
from holdfast.timers import Deadline

if TYPE_CHECKING:
    from holdfast.net.edge import Edge
    from holdfast.net.socket_transport import SocketTransport


class AwakeClient(asyncio.Protocol, abc.ABC):
    """The protocol of a client's transport.

    There is one deadline. While more is unsent than the transport wants to keep, it is for the client to take
    something, which may be as slow as it likes; otherwise it is for what `_time_out` says.

    Attributes:
        edge: what the listener's connections share.
        peer_address: IP address of the client, or empty text on a Unix socket.
        peer_name: address and port of the client as the system has them; of a Unix socket something else.
        started: what the edge must be told at the connection's end.
    """

    __slots__ = (
        "_below",
        "_deadline",
        "_is_write_paused",
        "_transport",
        "_unsent_bytes",
        "edge",
        "peer_address",
        "peer_name",
        "started",
    )

    def __init__(self, edge: Edge) -> None:
        self.edge = edge
        self.peer_name: object = None
        self.peer_address = ""
        self.started = 0
        self._transport: asyncio.Transport | SocketTransport
        self._below: asyncio.Transport | None = None
        self._is_write_paused = False
        self._unsent_bytes = 0
        self._deadline = Deadline(edge.runtime.wheel, self)

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        self._transport = cast("asyncio.Transport | SocketTransport", transport)
        self.peer_name = transport.get_extra_info("peername")
        self.peer_address = address_of(self.peer_name)
        self.edge.connections.add(self)

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._unsent_bytes = self.unsent_bytes
        self._set_deadline(self.edge.limits.send_timeout_s)

    def resume_writing(self) -> None:
        self._is_write_paused = False

    @property
    def is_write_paused(self) -> bool:
        """Whether more is unsent than the transport wants to keep."""
        return self._is_write_paused

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the system has not taken yet."""
        return owed_bytes(self._transport, self._below)

    def describe(self) -> str:
        """Address and port of the peer, for logs."""
        return describe_peer(self.peer_name)

    def cut_off(self) -> None:
        """Close at once, whatever is unsent."""
        self._transport.abort()

    @abc.abstractmethod
    def close_when_idle(self) -> None:
        """For an orderly stop: close as soon as what is being done is done."""

    def on_deadline(self, now_s: float) -> None:
        """The client was silent, or took nothing, for too long; or it takes something, and has more time for that."""
        if self._is_write_paused and self.unsent_bytes < self._unsent_bytes:
            self.pause_writing()
        else:
            self._time_out()

    @abc.abstractmethod
    def _time_out(self) -> None:
        """Its time is up."""

    def _set_deadline(self, seconds: float) -> None:
        self._deadline.set(self.edge.runtime.now() + seconds)

    def _leave_edge(self) -> None:
        self.edge.connections.discard(self)
        self._deadline.cancel()
