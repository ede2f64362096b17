"""A client whose response is held, or has just ended, in the parking lot.

While its response is held, a client that speaks (a pipelined request) is left alone: its bytes wait in the kernel, and
that is all the flow control needed. After the response has ended the client stays parked until it speaks again, and is
then woken into an ordinary `ClientConnection`.
"""

from __future__ import annotations

import enum
import os
import select
from typing import TYPE_CHECKING

from holdfast.net.awake_client import AwakeClient
from holdfast.net.client import ClientConnection
from holdfast.net.edge import Edge
from holdfast.net.exchange import ClientExchange
from holdfast.net.leaving_client import LeavingClient
from holdfast.net.outlets import OutletOwner, reject_when_full
from holdfast.net.parked_socket import BROKEN, GONE, LISTEN, ParkedSocket
from holdfast.wire.http1.head import RequestHead

if TYPE_CHECKING:
    from holdfast.net.parking import ParkingLot


class _State(enum.Enum):
    HELD = "a response is being held"
    ENDING = "the last bytes of the response are being sent"
    IDLE = "waiting for the next request"
    GONE = "no longer here"


class ParkedClient(ParkedSocket):
    """A client whose response is held; the outlet of its hold.

    Invariant: `Edge.closed` is called once for every client that leaves from here.
    """

    __slots__ = (
        "_early",
        "_edge",
        "_has_unread",
        "_is_reusable",
        "_owner",
        "_slot",
        "_started",
        "_state",
    )

    def __init__(self, lot: ParkingLot, edge: Edge, fd: int, early: bytes, owner: OutletOwner, started: int) -> None:
        super().__init__(lot, fd)
        self.direct_fd = fd
        self._edge = edge
        self._early = early
        self._owner: OutletOwner | None = owner
        self._started = started
        self._state = _State.HELD
        self._has_unread = False
        self._is_reusable = True
        self._slot = 0

    # --- the outlet ------------------------------------------------------------------------------------------------

    def write(self, data: bytes) -> bool | None:
        """Send or queue bytes of the held response; False: lost because the client is slow, None: it is gone."""
        if self._outbox is not None and len(self._outbox) + len(data) > self._lot.limits.max_bytes:
            return self._reject(len(self._outbox))
        return self._send(data)

    def write_first(self, data: bytes) -> bool:
        """Send the beginning of a response, whatever its size: the outbox bound is for what is published.

        Returns:
            Whether the client is still there.
        """
        return self._send(data) is not None

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        """Send the end of the response; the owner is not told of anything after this."""
        if self._state is _State.GONE:
            return
        self._owner = None
        self._recall()
        self._is_reusable = is_reusable and not self._edge.is_draining
        self._state = _State.ENDING
        if not self._send(data):
            return
        if self._outbox is None:
            self._end()
        else:
            self._arm(self._edge.limits.send_timeout_s)

    @property
    def client_address(self) -> str:
        """IP address of the client, or empty text on a Unix socket."""
        return self.peer_address

    def reopen(self, head: RequestHead, body: bytes) -> ClientExchange | None:
        """Take the client out of the lot, before anything of its response was sent, to answer its request anew.

        Returns:
            The exchange, or None when the client has left.
        """
        self._owner = None
        if self._state is not _State.HELD:
            return None
        fd = self._release()
        connection = ClientConnection(self._edge, is_new=False, early=self._early)
        connection.started = self._started
        exchange = connection.reopen(head, body)
        self._lot.wake(fd, connection)
        return exchange

    def end_hold(self) -> None:
        """The process stops: end what is held in good order, and close who is between requests."""
        if self._owner is not None:
            self._owner.end()
        elif self._state is _State.IDLE:
            self._leave()

    # --- events ----------------------------------------------------------------------------------------------------

    def on_events(self, events: int) -> None:
        """What epoll reported for the descriptor."""
        if events & select.EPOLLOUT and not events & BROKEN:
            self._flush()
            return
        if events & GONE:
            self._leave()
        elif self._state is _State.IDLE:
            self._wake()
        else:
            self._has_unread = True
            self._watch()

    def on_timer(self, now_s: float) -> None:
        """The client has not sent its next request, or has taken nothing of the end of its response, in time."""
        self._slot = 0
        if self._state is _State.ENDING:
            self._edge.runtime.counters.client_timeouts += 1
        self._leave()

    def mask(self) -> int:
        """See `ParkedSocket`. Input that has to wait is not listened to, or it would be reported for ever."""
        return select.EPOLLRDHUP if self._has_unread and self._state is not _State.IDLE else LISTEN

    # --- inside ----------------------------------------------------------------------------------------------------

    def _on_progress(self) -> None:
        if self._state is _State.ENDING:
            self._arm(self._edge.limits.send_timeout_s)

    def _on_drained(self) -> None:
        if self._state is _State.ENDING:
            self._end()
        elif self._owner is not None:
            self.direct_fd = self._fd
            self._owner.on_drained()

    def _end(self) -> None:
        """The response is over and sent."""
        if self._early or (self._has_unread and not self._is_reusable):
            self._wake()
        elif not self._is_reusable:
            self._leave()
        else:
            self._state = _State.IDLE
            self._watch()
            self._arm(self._edge.limits.idle_timeout_s)

    def _arm(self, seconds: float) -> None:
        """Have `on_timer` called after `seconds`, instead of whenever it was to be."""
        runtime = self._edge.runtime
        if self._slot:
            runtime.wheel.remove(self._slot, self)
        self._slot = runtime.wheel.add(runtime.now() + seconds, self)

    def _wake(self) -> None:
        """Give the client a transport again, to read what it has sent, or to let go of it gently."""
        fd = self._release()
        connection: AwakeClient
        if self._is_reusable:
            connection = ClientConnection(self._edge, is_new=False, early=self._early)
        else:
            connection = LeavingClient(self._edge)
        connection.started = self._started
        self._lot.wake(fd, connection)

    def _reject(self, pending_bytes: int) -> bool:
        assert self._owner is not None
        counters = self._edge.runtime.counters
        if reject_when_full(self.describe(), self._owner, self._lot.limits, counters, pending_bytes):
            self._leave()
        return False

    def _leave(self) -> None:
        """Close the descriptor, and tell the owner if the response was still held."""
        if self._state is _State.GONE:
            return
        os.close(self._release())
        self._edge.closed(self._started)
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.on_client_gone()

    def _release(self) -> int:
        self._state = _State.GONE
        if self._slot:
            self._edge.runtime.wheel.remove(self._slot, self)
        return self._forget()
