"""The backend side of HTTP/1.1: one connection to a backend, and one request with its response on it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from functools import partial
from typing import Protocol, cast

from holdfast.errors import BackendError, BackendTimeout, BadResponse, ConnectError, WireError
from holdfast.net.backend_tls import is_about_our_certificate
from holdfast.net.connection_duplex import ConnectionDuplex
from holdfast.net.duplex import Duplex, DuplexOwner
from holdfast.net.endpoint import Endpoint
from holdfast.net.outlets import OutboxLimits
from holdfast.net.runtime import Runtime
from holdfast.net.socket_transport import SocketTransport
from holdfast.net.sockets import has_input
from holdfast.timers import Deadline
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody, UntilCloseBody
from holdfast.wire.http1.head import ResponseHead
from holdfast.wire.http1.repeated import ResponseHeads

BODY_BUFFER_BYTES = 65536
"""Response body bytes kept before the backend is no longer read from."""

MAX_INTERIM_RESPONSES = 16
"""1xx responses skipped before one answer; a backend that sends more is broken."""


class BackendConnection(asyncio.Protocol):
    """A connection to a backend; at most one request at a time.

    After `send_request`, `read_head` returns the head of the response, then `read` its content piece by piece. Errors
    (BackendTimeout, BadResponse) are raised to whoever waits, or to the next one who does.

    Attributes:
        head_bytes: of the head of the final response.
        on_news: called once when something has arrived, or never will; it may use the connection as it likes.
    """

    __slots__ = (
        "_buffer",
        "_chunks",
        "_deadline",
        "_decoder",
        "_drain_waiter",
        "_error",
        "_head",
        "_heads",
        "_interim",
        "_is_awaiting_head",
        "_is_lost",
        "_is_reading",
        "_is_upgrade",
        "_is_write_paused",
        "_method",
        "_pending_bytes",
        "_runtime",
        "_timeout_s",
        "_transport",
        "endpoint",
        "has_received",
        "head_bytes",
        "on_idle_close",
        "on_news",
    )

    def __init__(self, runtime: Runtime, endpoint: Endpoint, heads: ResponseHeads, timeout_s: float) -> None:
        self.endpoint = endpoint
        self.has_received = False
        self.head_bytes = 0
        self.on_idle_close: BackendIdleListener | None = None
        self.on_news: Callable[[], object] | None = None
        self._runtime = runtime
        self._heads = heads
        self._timeout_s = timeout_s
        self._transport: asyncio.Transport | SocketTransport
        self._is_lost = False
        self._is_reading = True
        self._is_write_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._deadline: Deadline
        self._method = b""
        self._is_awaiting_head = False
        self._is_upgrade = False
        self._interim = 0
        self._buffer = b""
        self._head: ResponseHead | None = None
        self._decoder: BodyDecoder | None = None
        self._chunks: list[bytes] = []
        self._pending_bytes = 0
        self._error: BackendError | None = None

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        self._transport = cast("asyncio.Transport | SocketTransport", transport)
        # Not before: nobody would cancel that of a connection that was never made, and it refers to us.
        self._deadline = Deadline(self._runtime.wheel, self)

    def data_received(self, data: bytes) -> None:
        self.has_received = True
        if self._is_awaiting_head:
            self._receive_head(data)
        elif self._decoder is not None and not self._decoder.is_complete:
            self._receive_body(data)
        else:
            # Bytes that nobody asked for: the connection can no longer be trusted (RFC 9112 §9.2).
            self._transport.abort()
        if self._is_awaiting_head or self._decoder is not None:
            self._deadline.at_s = self._runtime.now() + self._timeout_s
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
        if self._is_awaiting_head and not self.has_received and is_about_our_certificate(exc):
            self._fail(ConnectError(str(exc)))
        elif self._is_awaiting_head:
            self._fail(BadResponse("backend closed the connection before answering"))
        elif self._decoder is not None and not self._decoder.is_complete:
            if exc is not None or not self._decoder.feed_eof():
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
        self._method = method
        self._is_upgrade = is_upgrade
        self._is_awaiting_head = True
        if self._is_lost:
            self._fail(BadResponse("backend closed the connection before answering"))
            return
        self._deadline.set(self._runtime.now() + self._timeout_s)
        self._transport.write(data)

    async def write(self, data: bytes) -> None:
        """Send more of the request body, as fast as the backend takes it."""
        if self.is_open and not isinstance(self._transport, SocketTransport) and has_input(self._transport):
            await asyncio.sleep(0)  # to read it: a write that fails would have it thrown away (decision 16)
        if not self._is_lost:
            self._deadline.at_s = self._runtime.now() + self._timeout_s
            self._transport.write(data)
        while self._is_write_paused and not self._is_lost:
            self._drain_waiter = self._runtime.loop.create_future()
            await self._drain_waiter

    async def read_head(self) -> ResponseHead:
        """The head of the final response. Raises BackendTimeout or BadResponse."""
        while self._head is None:
            if self._error is not None:
                raise self._error.anew()
            await self._news()
        return self._head

    @property
    def whole_head(self) -> ResponseHead | None:
        """The head of the final response if its body is here as well."""
        return self._head if self._decoder is None or self._decoder.is_complete else None

    @property
    def coming_head(self) -> ResponseHead | None:
        """The head of the final response if there will be news of its body, which has not failed nor grown too long."""
        decoder = self._decoder
        is_coming = decoder is not None and not decoder.is_complete and self._is_reading and self._error is None
        return self._head if is_coming and not self._is_lost else None

    async def read(self) -> bytes:
        """The next content bytes, empty at the end. Raises BackendTimeout or BadResponse."""
        while not self._chunks:
            if self._error is not None:
                raise self._error.anew()
            if self._decoder is None or self._decoder.is_complete:
                return b""
            await self._news()
        return self.take()

    def take(self) -> bytes:
        """The content bytes that are here already."""
        content = self._chunks[0] if len(self._chunks) == 1 else b"".join(self._chunks)
        self._chunks.clear()
        self._pending_bytes = 0
        if not self._is_reading and not self._is_lost:
            self._is_reading = True
            self._transport.resume_reading()
        return content

    @property
    def is_response_complete(self) -> bool:
        """Whether the whole response has arrived, read or not."""
        return self._head is not None and (self._decoder is None or self._decoder.is_complete)

    @property
    def is_open(self) -> bool:
        """Whether the connection, found usable when it became idle, still is."""
        return not self._is_lost and not self._transport.is_closing()

    @property
    def is_usable(self) -> bool:
        """Whether another request can be sent on this connection."""
        head, decoder = self._head, self._decoder
        return (
            not self._is_lost
            and self._error is None
            and not self._is_awaiting_head
            and (head is None or head.is_persistent)
            and (decoder is None or (decoder.is_complete and not decoder.rest))
            and not self._transport.is_closing()
        )

    def park_idle(self, timeout_s: float, listener: BackendIdleListener) -> None:
        """Wait for another request, at most `timeout_s`. The connection must be usable."""
        self._head = self._decoder = None
        self._chunks.clear()
        self._pending_bytes = self._interim = 0
        self.has_received = False
        self.on_idle_close = listener
        self._deadline.set(self._runtime.now() + timeout_s)

    def to_duplex(self, owner: DuplexOwner, limits: OutboxLimits, on_closed: Callable[[], None]) -> Duplex:
        """Give the connection up after a 101: what both sides say from now on is the owner's business.

        Args:
            on_closed: called once when it is closed.

        Raises:
            BadResponse: it is lost already.
        """
        if not self.is_open:
            raise BadResponse("backend closed the connection right after accepting")
        early, self._buffer = self._buffer, b""
        self._deadline.cancel()
        transport = self._transport
        if isinstance(transport, SocketTransport):
            return transport.lot.park_duplex(transport, early, owner, on_closed)
        return ConnectionDuplex(self._runtime, transport, early, owner, limits, on_closed)

    def abort(self) -> None:
        """Close at once."""
        self._transport.abort()

    # --- inside ----------------------------------------------------------------------------------------------------

    def _receive_head(self, data: bytes) -> None:
        self._buffer = data = self._buffer + data if self._buffer else data
        try:
            parsed = self._heads.parse(data)
            while parsed is not None and parsed[0].code < 200 and not self._is_answer(parsed[0]):
                self._skip_interim(*parsed)
                parsed = self._heads.parse(self._buffer)
        except WireError as error:
            self._fail(BadResponse(error.text))
            self._transport.abort()
            return
        if parsed is None:
            return
        head, length = parsed
        self.head_bytes = length
        rest, self._buffer = self._buffer[length:], b""
        self._is_awaiting_head = False
        self._head = head
        if head.code == 101:
            self._buffer = rest
            self._pause_reading()
        elif self._method == b"HEAD" or head.code == 204 or head.code == 304:
            if rest:
                self._transport.abort()
        elif head.content_length == len(rest):
            # All of it in one go, as usual: there is nothing to decode.
            self._chunks.append(rest)
        else:
            self._decoder = self._frame(head)
            self._receive_body(rest)

    def _pause_reading(self) -> None:
        self._is_reading = False
        self._transport.pause_reading()

    def _is_answer(self, head: ResponseHead) -> bool:
        return head.code == 101 and self._is_upgrade

    def _skip_interim(self, head: ResponseHead, length: int) -> None:
        """1xx responses are not for us (RFC 9110 §15.2); 101 would need an Upgrade that we did not send."""
        self._interim += 1
        if head.code == 101 or self._interim > MAX_INTERIM_RESPONSES:
            raise WireError(502, f"Failed to parse response: unexpected status {head.code}")
        self._buffer = self._buffer[length:]

    def _frame(self, head: ResponseHead) -> BodyDecoder:
        """RFC 9112 §6.3, for a response that may have a body."""
        if head.is_chunked:
            return ChunkedBody("response")
        if head.content_length is not None:
            return SizedBody(head.content_length)
        head.is_persistent = False
        return UntilCloseBody()

    def _receive_body(self, data: bytes) -> None:
        assert self._decoder is not None
        try:
            content = self._decoder.feed(data)
        except WireError as error:
            self._fail(BadResponse(error.text))
            self._transport.abort()
            return
        if content:
            self._chunks.append(content)
            self._pending_bytes += len(content)
            if self._pending_bytes > BODY_BUFFER_BYTES and self._is_reading and not self._decoder.is_complete:
                self._pause_reading()

    def _fail(self, error: BackendError) -> None:
        """Remember the first error for whoever reads; what arrived before it can still be read."""
        self._is_awaiting_head = False
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
        if self._is_awaiting_head or (self._head is not None and not self.is_response_complete):
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
