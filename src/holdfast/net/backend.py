"""The backend side of HTTP/1.1: one connection to a backend, and one request at a time on it.

What the bytes of its response mean is for `holdfast.wire.http1.response`.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from holdfast.errors import BackendError, BackendTimeout, BadResponse, ConnectError, WireError
from holdfast.net.backend_tls import is_about_our_certificate
from holdfast.net.below import pause_reading, resume_reading, source_of
from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import Duplex, DuplexOwner
from holdfast.net.endpoint import Endpoint
from holdfast.net.outlets import OutboxLimits
from holdfast.net.runtime import Runtime
from holdfast.net.socket_transport import SocketTransport
from holdfast.net.sockets import has_input
from holdfast.timers import Deadline
from holdfast.wire.http1.head import ResponseHead
from holdfast.wire.http1.repeated import ResponseHeads
from holdfast.wire.http1.response import ResponseReader


class BackendConnection(asyncio.Protocol):
    """A connection to a backend; at most one request at a time.

    After `send_request`, `read_head` returns the head of the response, then `read` its content piece by piece. Errors
    (BackendTimeout, BadResponse) are raised to whoever waits, or to the next one who does.

    Attributes:
        has_received: whether the backend has sent anything since the request.
        on_news: called once when something has arrived, or never will; it may use the connection as it likes.
    """

    __slots__ = (
        "_deadline",
        "_drain_waiter",
        "_error",
        "_is_lost",
        "_is_reading",
        "_is_write_paused",
        "_response",
        "_runtime",
        "_timeout_s",
        "_transport",
        "endpoint",
        "has_received",
        "on_idle_close",
        "on_news",
    )

    def __init__(self, runtime: Runtime, endpoint: Endpoint, heads: ResponseHeads, timeout_s: float) -> None:
        self.endpoint = endpoint
        self.has_received = False
        self.on_idle_close: BackendIdleListener | None = None
        self.on_news: Callable[[], object] | None = None
        self._runtime = runtime
        self._response = ResponseReader(heads)
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport | SocketTransport
        self._is_lost = False
        self._is_reading = True
        self._is_write_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._deadline: Deadline
        self._error: BackendError | None = None

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        self._transport = cast("asyncio.Transport | SocketTransport", transport)
        # Not before: nobody would cancel that of a connection that was never made, and it refers to us.
        self._deadline = Deadline(self._runtime.wheel, self)

    def data_received(self, data: bytes) -> None:
        self.has_received = True
        response = self._response
        try:
            if response.is_awaited:
                response.receive_head(data)
            elif not response.is_complete:
                response.receive_body(data)
            else:
                # Bytes that nobody asked for: the connection can no longer be trusted (RFC 9112 §9.2).
                self._transport.abort()
        except WireError as error:
            self._fail(BadResponse(error.text))
            self._transport.abort()
        if not response.is_complete:
            self._deadline.at_s = self._runtime.now() + self._timeout_s
        if response.is_full and self._is_reading:
            self._is_reading = False
            pause_reading(source_of(self._transport))
        self._tell()

    def pause_writing(self) -> None:
        self._is_write_paused = True

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

    def connection_lost(self, exc: Exception | None) -> None:
        self._is_lost = True
        self._deadline.cancel()
        self.resume_writing()
        response = self._response
        if response.is_awaited and not self.has_received and is_about_our_certificate(exc):
            self._fail(ConnectError(str(exc)))
        elif response.is_awaited:
            self._fail(BadResponse("backend closed the connection before answering"))
        elif not response.is_complete:
            if exc is not None or not response.receive_end():
                self._fail(BadResponse("backend broke off its response"))
        elif self.on_idle_close is not None:
            self.on_idle_close.idle_connection_closed(self)
        self._tell()

    # --- a request and its response --------------------------------------------------------------------------------

    def send_request(self, method: bytes, data: bytes, *, is_upgrade: bool = False) -> None:
        """Send the head, with the body or its beginning, of a request: the first, or the first since `park_idle`.

        Args:
            is_upgrade: 101 is an answer, after which `to_duplex` may be called.
        """
        self._response.expect(method, is_upgrade)
        if self._is_lost:
            self._fail(BadResponse("backend closed the connection before answering"))
            return
        self._deadline.set(self._runtime.now() + self._timeout_s)
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send more of the request body, as fast as the backend takes it."""
        if self.is_open and not isinstance(self._transport, SocketTransport) and not self.is_silent:
            await asyncio.sleep(0)  # to read it: a write that fails would have it thrown away (decision 16)
        if not self._is_lost:
            self._deadline.at_s = self._runtime.now() + self._timeout_s
            self._transport.write(data)
        while self._is_write_paused and not self._is_lost:
            self._drain_waiter = self._runtime.loop.create_future()
            await self._drain_waiter

    async def read_head(self) -> ResponseHead:
        """The head of the final response. Raises BackendTimeout or BadResponse."""
        while (head := self._response.head) is None:
            if self._error is not None:
                raise self._error.anew()
            await self._news()
        return head

    @property
    def head_bytes(self) -> int:
        """Of the head of the final response."""
        return self._response.head_bytes

    @property
    def whole_head(self) -> ResponseHead | None:
        """The head of the final response if its body is here as well."""
        return self._response.head if self._response.is_complete else None

    @property
    def coming_head(self) -> ResponseHead | None:
        """The head of the final response if there will be news of its body, which has not failed nor grown too long."""
        is_coming = not self._response.is_complete and self._is_reading and self._error is None
        return self._response.head if is_coming and not self._is_lost else None

    async def read(self) -> bytes:
        """The next content bytes, empty at the end. Raises BackendTimeout or BadResponse."""
        while not self._response.chunks:
            if self._error is not None:
                raise self._error.anew()
            if self._response.is_complete:
                return b""
            await self._news()
        return self.take()

    def take(self) -> bytes:
        """The content bytes that are here already."""
        content = self._response.take()
        if not self._is_reading and not self._is_lost:
            self._is_reading = True
            resume_reading(source_of(self._transport))
        return content

    @property
    def is_response_complete(self) -> bool:
        """Whether the whole response has arrived, read or not."""
        return self._response.is_complete and self._response.head is not None

    @property
    def is_open(self) -> bool:
        """Whether the connection, found usable when it became idle, still is."""
        return not self._is_lost and not self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on this connection."""
        response = self._response
        return (
            not self._is_lost
            and self._error is None
            and response.is_complete
            and (response.head is None or response.head.is_persistent)
            and not response.rest
            and not self._transport.is_closing()
        )

    @property
    def is_silent(self) -> bool:
        """Whether the backend has done nothing that is not read yet, as far as the system knows. It must be open."""
        transport = self._transport
        if isinstance(transport, SocketTransport):
            return not has_input(transport.fileno())
        return not has_input(transport.get_extra_info("socket").fileno())

    def park_idle(self, timeout_s: float, listener: BackendIdleListener) -> None:
        """Wait for another request, at most `timeout_s`. The connection must be usable."""
        if self._response.chunks:
            self._response.take()  # whoever asked is gone
        self.has_received = False
        self.on_idle_close = listener
        self._deadline.set(self._runtime.now() + timeout_s)

    def to_duplex(self, owner: DuplexOwner, limits: OutboxLimits, on_closed: Callable[[], None]) -> Duplex:
        """Give the connection up after a 101: what both sides say from now on is the owner's business.

        Args:
            on_closed: called once when it is closed.

        Raises:
            BadResponse: it is lost already, and the backend has said nothing.
        """
        transport, is_open = self._transport, self.is_open
        if not is_open and (isinstance(transport, SocketTransport) or not self._response.rest):
            raise BadResponse("backend closed the connection right after accepting")
        early, self._response.rest = self._response.rest, b""
        self._deadline.cancel()
        if isinstance(transport, SocketTransport):
            return transport.lot.park_duplex(transport, early, owner, on_closed)
        duplex = ConnectionDuplex(self._runtime, transport, early, owner, limits, on_closed)
        if not is_open:
            self._runtime.loop.call_soon(duplex.connection_lost, None)  # it came too late to be told
        return duplex

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _fail(self, error: BackendError) -> None:
        """Remember the first error for whoever reads; what arrived before it can still be read."""
        if self._error is None:
            self._error = error

    async def _news(self) -> None:
        future = self._runtime.loop.create_future()
        self.on_news = partial(_settle, future)
        try:
            await future
        finally:
            self.on_news = None

    def _tell(self) -> None:
        """Wake who waits: the last thing that a callback of the transport or of a timer does."""
        on_news, self.on_news = self.on_news, None
        if on_news is not None:
            on_news()

    def on_deadline(self, now_s: float) -> None:
        """The backend was silent for too long, or the connection idle."""
        if not self._is_reading:
            # Not the backend's silence: the client is slow, and we do not read.
            self._deadline.set(now_s + self._timeout_s)
            return
        if not self._response.is_complete:
            self._fail(BackendTimeout(f"backend was silent for {self._timeout_s:g} seconds"))
        self._transport.abort()
        self._tell()


def _settle(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


class BackendIdleListener(Protocol):
    """Who is told that an idle connection was closed."""

    def idle_connection_closed(self, connection: BackendConnection) -> None:
        """The connection must not be used any more."""
        ...
