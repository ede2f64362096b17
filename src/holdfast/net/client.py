"""The client side of HTTP/1.1: one connection, its requests in order, its timeouts.

A request is parsed only when the one before it has been answered: pipelined requests wait as bytes, and the client is
no longer read from when too many wait. A held client leaves this class altogether: see `holdfast.net.parking`.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, cast

from holdfast.errors import WireError
from holdfast.net.client_state import ClientState
from holdfast.net.edge import Edge
from holdfast.net.exchange import ClientExchange, encode_refusal
from holdfast.net.owed import owed_bytes, transport_below
from holdfast.net.runtime import Cancellable
from holdfast.net.socket_transport import HIGH_WATER_BYTES, SocketTransport
from holdfast.net.sockets import describe_peer
from holdfast.timers import Deadline
from holdfast.wire.http1.head import RequestHead, parse_request_head

if TYPE_CHECKING:
    from holdfast.net.duplex import Duplex, DuplexOwner
    from holdfast.net.outlets import ConnectionOutlet
    from holdfast.net.parking import ParkingLot

log = logging.getLogger("holdfast.net.edge")

PIPELINE_BUFFER_BYTES = 65536
"""Bytes of further requests kept while one is being answered."""

LINGER_S = 2.0
"""How long input is read and thrown away after a last response, so that a reset does not destroy it (RFC 9112 §9.6)."""


# Short for the members: these lines run several times per request, and finding a member of an enum has its price.
_WAITING, _SERVING, _LINGERING, _PARKED, _CLOSED = ClientState


class ClientConnection(asyncio.Protocol):
    """A client connection that is awake.

    Attributes:
        peer_name: address and port of the client as the system has them; of a Unix socket something else.
        started: what the edge must be told at the connection's end.
        work: answers the request that is being served; cancelled when the client leaves.

    Args:
        edge: what the listener's connections share.
        is_new: False for a client that is counted already: a parked one that has been woken, or one by TLS.
        is_tls: the client speaks TLS, so that it cannot be parked.
        early: bytes that were read before it was parked.
        is_last: nothing is served any more: only let go of the client gently.
    """

    __slots__ = (
        "_below",
        "_buffer",
        "_deadline",
        "_drain_waiter",
        "_exchange",
        "_is_advancing",
        "_is_head_started",
        "_is_new",
        "_is_reading",
        "_is_write_paused",
        "_outlet",
        "_state",
        "_transport",
        "_unsent_bytes",
        "edge",
        "is_tls",
        "peer_name",
        "started",
        "work",
    )

    def __init__(
        self, edge: Edge, *, is_new: bool = True, is_tls: bool = False, early: bytes = b"", is_last: bool = False
    ) -> None:
        self.edge = edge
        self.is_tls = is_tls
        self.peer_name: object = None
        self.started = 0
        self._is_new = is_new
        self._buffer = early
        self._state = _LINGERING if is_last else _WAITING
        self._exchange: ClientExchange | None = None
        self.work: Cancellable | None = None
        self._outlet: ConnectionOutlet | None = None
        self._transport: asyncio.Transport | SocketTransport
        self._below: asyncio.Transport | None = None
        self._is_reading = True
        self._is_advancing = False
        self._is_head_started = False
        self._is_write_paused = False
        self._drain_waiter: asyncio.Future[None] | None = None
        self._unsent_bytes = 0
        self._deadline = Deadline(edge.runtime.wheel, self)

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        self._transport = transport = cast("asyncio.Transport | SocketTransport", transport)
        self.peer_name = transport.get_extra_info("peername")
        self.edge.connections.add(self)
        if self._is_new:
            self.started = self.edge.opened()
        if self.is_tls:
            transport.set_write_buffer_limits(HIGH_WATER_BYTES)  # it would keep eight times as much
            self._below = transport_below(transport)
        if self._state is not _SERVING:
            self._set_deadline(self.edge.limits.idle_timeout_s)
        if self._state is _LINGERING:
            self.linger()
        elif self._state is _WAITING and self._buffer:
            self._advance()

    def data_received(self, data: bytes) -> None:
        if self._state is _SERVING:
            self._receive_while_serving(data)
        elif self._state is _WAITING:
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
            if self._is_write_paused and len(self._buffer) > PIPELINE_BUFFER_BYTES:
                self.pause_reading()

    def pause_writing(self) -> None:
        self._is_write_paused = True
        self._unsent_bytes = self.unsent_bytes
        self._set_deadline(self.edge.limits.send_timeout_s)

    def resume_writing(self) -> None:
        self._is_write_paused = False
        if self._state is _SERVING:
            if self._exchange is not None and self._exchange.is_awaiting_body:
                self.expect_body(self._exchange)
            else:
                self._deadline.clear()
        elif self._state is _WAITING:
            self._set_deadline(self.edge.limits.idle_timeout_s)
            self.resume_reading()
            self._advance()
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)
        if self._outlet is not None and self._state is not _CLOSED:
            self._outlet.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is _PARKED:
            return
        self._state = _CLOSED
        self._leave_edge()
        self.edge.closed(self.started)
        self.resume_writing()
        if self._outlet is not None:
            self._outlet.client_gone()
        if self.work is not None:
            self.work.cancel()
        # These refer to us, and all would wait for a collection of garbage, together with the buffers of TLS.
        self._exchange = self._outlet = self.work = self._below = None

    # --- requests --------------------------------------------------------------------------------------------------

    def _advance(self) -> None:
        """Serve requests from the buffer until one must be waited for; a loop, because pipelines are long.

        Nothing is served to a client that has not taken the answers before: they would fill the memory.
        """
        if self._is_advancing:
            return
        self._is_advancing = True
        try:
            while self._state is _WAITING and self._buffer and not self._is_write_paused and not self.is_lost:
                try:
                    parsed = parse_request_head(self._buffer, self.edge.service.limits)
                except WireError as error:
                    self._refuse(error)
                    return
                if parsed is None:
                    self._await_rest_of_head()
                    return
                head, length = parsed
                rest, self._buffer = self._buffer[length:], b""
                exchange = ClientExchange(self, head)
                exchange.head_bytes = length
                self._serve(exchange, rest)
        finally:
            self._is_advancing = False

    def _await_rest_of_head(self) -> None:
        if not self._is_head_started:
            self._is_head_started = True
            self._set_deadline(self.edge.limits.header_timeout_s)

    def _serve(self, exchange: ClientExchange, rest: bytes) -> None:
        self._state = _SERVING
        self._is_head_started = False
        self._deadline.clear()
        self._exchange = exchange
        if self.edge.counts_clients:
            self.edge.runtime.counters.requests_received += 1
        if rest:
            self._receive_while_serving(rest)
        if self._state is _SERVING:
            coroutine = self.edge.service.serve(exchange)
            if coroutine is not None:
                self.work = self.edge.runtime.spawn(coroutine, "exchange")

    def _receive_while_serving(self, data: bytes) -> None:
        assert self._exchange is not None
        try:
            rest = self._exchange.receive(data)
        except WireError as error:
            self._refuse_body(error)
            return
        if rest:
            self._buffer += rest
            if len(self._buffer) > PIPELINE_BUFFER_BYTES:
                self.pause_reading()

    def _refuse(self, error: WireError) -> None:
        """Answer a request that could not be parsed, and close: what follows it cannot be trusted."""
        log.info("client %s: request refused: %s", self.describe(), error.text)
        self.edge.runtime.counters.requests_malformed += 1
        self._transport.write(encode_refusal(self.edge.service, error))
        self.linger()

    def _refuse_body(self, error: WireError) -> None:
        """The framing of a request body broke: end the exchange, and answer unless its response has begun."""
        assert self._exchange is not None
        has_started = self._exchange.has_started
        self._cancel_exchange()
        if has_started:
            log.info("client %s: request body refused: %s", self.describe(), error.text)
            self._transport.abort()
        else:
            self._refuse(error)

    def _cancel_exchange(self) -> None:
        self._exchange = None
        if self.work is not None:
            self.work.cancel()
            self.work = None

    # --- for the exchange ------------------------------------------------------------------------------------------

    @property
    def is_lost(self) -> bool:
        """Whether the client has left or was cut off."""
        return self._state is _CLOSED or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write bytes of a response; ignored when the client has left."""
        if self._state is _SERVING:
            self._transport.write(data)

    @property
    def is_write_paused(self) -> bool:
        """Whether more is unsent than the transport wants to keep."""
        return self._is_write_paused

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the system has not taken yet."""
        return owed_bytes(self._transport, self._below)

    async def drain(self) -> None:
        """Wait while the transport has too much unsent."""
        while self._is_write_paused and self._state is _SERVING:
            self._drain_waiter = self.edge.runtime.loop.create_future()
            await self._drain_waiter

    def expect_body(self, exchange: ClientExchange) -> None:
        """The exchange waits for body bytes: the client must not be silent for long."""
        if self._exchange is exchange:
            self._set_deadline(self.edge.limits.body_timeout_s)

    def expect_nothing(self, exchange: ClientExchange) -> None:
        """The exchange no longer waits for the client. If it is over, another deadline may have been set by now."""
        if self._exchange is exchange and not self._is_write_paused:
            self._deadline.clear()

    def end_exchange(self, *, is_persistent: bool) -> None:
        """The response is written: go on with the next request, or close."""
        if self._state is not _SERVING:
            return
        exchange = self._exchange
        assert exchange is not None
        self._exchange = self.work = self._outlet = None
        if is_persistent and not self.edge.is_draining:
            self._state = _WAITING
            if not self._is_write_paused:
                self._set_deadline(self.edge.limits.idle_timeout_s)
            if not self._is_reading:
                self.resume_reading()
            if self._buffer:
                self._advance()
        elif exchange.is_body_complete and not self._buffer:
            self._close()
        else:
            self.linger()

    def abort_exchange(self) -> None:
        """Close so that the client sees a truncated response: what was written goes out, nothing ends it."""
        self._exchange = self.work = None
        self._close()

    def cut_off(self) -> None:
        """Close at once, whatever is unsent."""
        self._transport.abort()

    def pause_reading(self) -> None:
        """Stop reading from the client."""
        if self._is_reading:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """Read from the client again."""
        if not self._is_reading and not self._transport.is_closing():
            self._is_reading = True
            self._transport.resume_reading()

    # --- holds -----------------------------------------------------------------------------------------------------

    @property
    def has_begun(self) -> bool:
        """Whether it got its transport, which TLS clients get when their handshake has succeeded."""
        return hasattr(self, "_transport")

    def discard(self) -> None:
        """It will not begin."""
        self._deadline.cancel()

    @property
    def parking(self) -> ParkingLot | None:
        """Where it can be parked; None if it must keep its transport, because of TLS or for want of epoll."""
        return self._transport.lot if isinstance(self._transport, SocketTransport) else None

    async def flushed(self) -> None:
        """Wait until every byte written has been handed to the system, if that matters: when it can be parked."""
        if self.parking is not None and self._transport.get_write_buffer_size():
            self._transport.set_write_buffer_limits(0)
            await self.drain()

    def let_go(self) -> tuple[SocketTransport, bytes]:
        """Leave the client to somebody else: its flushed transport, and the bytes read beyond the request.

        After this the connection object is dead and is not told of anything.
        """
        assert isinstance(self._transport, SocketTransport)
        self._leave_client()
        return self._transport, self._buffer

    def to_duplex(self, owner: DuplexOwner) -> Duplex:
        """Give the connection up as a duplex; it counts as open until that is closed. It must have been flushed."""
        edge, parking = self.edge, self.parking
        if parking is not None:
            return parking.park_duplex(*self.let_go(), owner, partial(edge.closed, self.started))
        self._leave_client()
        early, self._buffer = self._buffer, b""
        return edge.keep_duplex(cast(asyncio.Transport, self._transport), early, owner, self.started)

    def _leave_client(self) -> None:
        self._state = _PARKED
        self._leave_edge()
        self._exchange = self.work = None

    def reopen(self, head: RequestHead, body: bytes) -> ClientExchange:
        """Serve a request that came earlier once more, in the task that calls this."""
        self._state = _SERVING
        self._exchange = exchange = ClientExchange(self, head, body)
        self._outlet = None
        self.work = asyncio.current_task()
        return exchange

    def keep_as_outlet(self, outlet: ConnectionOutlet) -> None:
        """Keep the transport for a hold, where it cannot be parked."""
        self.work = None
        self._outlet = outlet
        if self.edge.is_draining:
            # Not now: whoever holds it has something to do first.
            self.edge.runtime.loop.call_soon(outlet.end_hold)

    # --- closing ---------------------------------------------------------------------------------------------------

    def describe(self) -> str:
        """Address and port of the peer, for logs."""
        return describe_peer(self.peer_name)

    def close_when_idle(self) -> None:
        """For an orderly stop: end what is held, close now if no request is being served, else after it."""
        if self._outlet is not None:
            self._outlet.end_hold()
        elif self._state is _WAITING:
            self._close()

    def _close(self) -> None:
        """Close as soon as everything is sent; a client that does not take it is not waited for without end."""
        self._state = _LINGERING
        self._buffer = b""
        self.pause_writing()
        self._transport.close()

    def linger(self) -> None:
        """Send no more, discard what still comes for a moment, then close; TLS does so when it is closed."""
        if not self._transport.can_write_eof():
            self._close()
            return
        self._state = _LINGERING
        self._buffer = b""
        self._set_deadline(LINGER_S)
        self._transport.write_eof()
        self.resume_reading()

    def _leave_edge(self) -> None:
        self.edge.connections.discard(self)
        self._deadline.cancel()

    # --- timeouts --------------------------------------------------------------------------------------------------

    def _set_deadline(self, seconds: float) -> None:
        self._deadline.set(self.edge.runtime.now() + seconds)

    def on_deadline(self, now_s: float) -> None:
        """The client was silent, or took nothing, for too long."""
        unsent_bytes = self.unsent_bytes
        if self._is_write_paused:
            is_sending = unsent_bytes < self._unsent_bytes
        else:
            is_sending = unsent_bytes > 0 and self._state is _LINGERING
        if is_sending:
            self.pause_writing()
        else:
            self._time_out()

    def _time_out(self) -> None:
        if self._state is _LINGERING:
            self._transport.abort()
        elif self._is_write_paused:
            self.edge.runtime.counters.client_timeouts += 1
            log.info("client %s: takes nothing of its response, closed", self.describe())
            self._transport.abort()
        elif self._state is _WAITING and self._is_head_started:
            self.edge.runtime.counters.client_timeouts += 1
            limit_s = self.edge.limits.header_timeout_s
            self._refuse(WireError(408, f"Request header not complete after {limit_s:g} seconds."))
        elif self._state is _WAITING:
            self._close()
        else:
            self.edge.runtime.counters.client_timeouts += 1
            self._refuse_body(WireError(408, f"No request body bytes for {self.edge.limits.body_timeout_s:g} seconds."))
