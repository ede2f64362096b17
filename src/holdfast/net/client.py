"""The client side of HTTP/1.1: one connection, and its requests in order.

A request is parsed only when the one before it has been answered: pipelined requests wait as bytes, and the client is
no longer read from when too many wait. A client leaves this class altogether when it is held, see
`holdfast.net.parking`, and when its last request is answered, see `holdfast.net.leaving_client`.
"""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from typing import TYPE_CHECKING, cast

from holdfast.errors import WireError
from holdfast.logs import LIMITED
from holdfast.net.awake_client import AwakeClient
from holdfast.net.below import transport_below
from holdfast.net.client_state import ClientState
from holdfast.net.edge import Edge
from holdfast.net.exchange import ClientExchange, encode_refusal
from holdfast.net.leaving_client import LeavingClient
from holdfast.net.runtime import Cancellable
from holdfast.net.socket_transport import HIGH_WATER_BYTES, SocketTransport
from holdfast.wire.http1.head import RequestHead
from holdfast.wire.http1.repeated import head_hash

if TYPE_CHECKING:
    from holdfast.net.connection_duplex import ConnectionDuplex
    from holdfast.net.duplex import DuplexOwner
    from holdfast.net.outlets import ConnectionOutlet
    from holdfast.net.parked_duplex import ParkedDuplex
    from holdfast.net.parking import ParkingLot

log = logging.getLogger("holdfast.net.edge")

PIPELINE_BUFFER_BYTES = 65536
"""Bytes of further requests kept while one is being answered."""

REQUESTS_PER_TURN = 10
"""Pipelined requests of one client that are answered at once before others get their turn.

Those of an operator are not counted: what publishers say together is to leave together.
"""

# Short for the members: these lines run several times per request, and finding a member of an enum has its price.
_WAITING, _SERVING, _GIVEN_UP, _CLOSED = ClientState


class ClientConnection(AwakeClient):
    """A client connection whose requests are served.

    Attributes:
        work: answers the request that is being served; cancelled when the client leaves.

    Args:
        is_new: False for a client that is counted already: a parked one that has been woken, or one by TLS.
        is_tls: the client speaks TLS, so that it cannot be parked.
        early: bytes that were read before it was parked.
    """

    __slots__ = (
        "_buffer",
        "_drain_waiter",
        "_exchange",
        "_is_advancing",
        "_is_head_started",
        "_is_new",
        "_is_reading",
        "_is_yielding",
        "_last_hash",
        "_outlet",
        "_state",
        "is_tls",
        "work",
    )

    def __init__(self, edge: Edge, *, is_new: bool = True, is_tls: bool = False, early: bytes = b"") -> None:
        super().__init__(edge)
        self.is_tls = is_tls
        self._is_new = is_new
        self._buffer = early
        self._last_hash = 0
        self._state = _WAITING
        self._exchange: ClientExchange | None = None
        self.work: Cancellable | None = None
        self._outlet: ConnectionOutlet | None = None
        self._is_reading = True
        self._is_advancing = False
        self._is_yielding = False
        self._is_head_started = False
        self._drain_waiter: asyncio.Future[None] | None = None

    # --- asyncio.Protocol ------------------------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport | SocketTransport) -> None:
        super().connection_made(transport)
        if self._is_new:
            self.started = self.edge.opened()
        if self.is_tls:
            self._transport.set_write_buffer_limits(HIGH_WATER_BYTES)  # it would keep eight times as much
            self._below = transport_below(self._transport)
        if self._state is _WAITING:
            self._set_deadline(self.edge.limits.idle_timeout_s)
            if self._buffer:
                self._advance()

    def data_received(self, data: bytes) -> None:
        if self._state is _SERVING:
            self._receive_while_serving(data)
        elif self._state is _WAITING:
            self._buffer = self._buffer + data if self._buffer else data
            self._advance()
            if (self._is_write_paused or self._is_yielding) and len(self._buffer) > PIPELINE_BUFFER_BYTES:
                self.pause_reading()

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
        self._wake_drain()
        if self._outlet is not None and self._state is not _CLOSED:
            self._outlet.drained()

    def connection_lost(self, exc: Exception | None) -> None:
        if self._state is _GIVEN_UP:
            # A transport for TLS was about to tell us when it was given to somebody else.
            cast(asyncio.Transport, self._transport).get_protocol().connection_lost(exc)
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
        if self._is_advancing or self._is_yielding:
            return
        self._is_advancing = True
        transport, count = self._transport, 0
        try:
            while self._state is _WAITING and self._buffer and not (self._is_write_paused or transport.is_closing()):
                count += 1
                if count > REQUESTS_PER_TURN and self.edge.counts_clients:
                    self._yield()
                    return
                data = self._buffer
                try:
                    parsed = self.edge.heads.parse(data, self._last_hash)
                except WireError as error:
                    self._refuse(error)
                    return
                if parsed is None:
                    self._await_rest_of_head()
                    return
                head, length = parsed
                self._buffer, self._last_hash = b"", head_hash(data)
                exchange = ClientExchange(self, head)
                exchange.head_bytes = length
                self._serve(exchange, data[length:])
        finally:
            self._is_advancing = False

    def _yield(self) -> None:
        """Go on with the next requests in the next turn of the loop."""
        self._is_yielding = True
        if len(self._buffer) > PIPELINE_BUFFER_BYTES:
            self.pause_reading()
        self.edge.runtime.loop.call_soon(self._go_on)

    def _go_on(self) -> None:
        self._is_yielding = False
        if self._state is _WAITING:
            self.resume_reading()
            self._advance()

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
        self._give_up().linger()

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
        """Whether the client has left or was cut off, or is somebody else's."""
        return self._state is _CLOSED or self._state is _GIVEN_UP or self._transport.is_closing()

    def write(self, data: bytes) -> None:
        """Write bytes of a response; ignored when the client has left."""
        if self._state is _SERVING:
            self._transport.write(data)

    async def drain(self) -> None:
        """Wait while the transport has too much unsent."""
        while self._is_write_paused and self._state is _SERVING:
            self._drain_waiter = self.edge.runtime.loop.create_future()
            await self._drain_waiter

    def _wake_drain(self) -> None:
        if self._drain_waiter is not None and not self._drain_waiter.done():
            self._drain_waiter.set_result(None)

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
            self._give_up().close()
        else:
            self._give_up().linger()

    def abort_exchange(self) -> None:
        """Close so that the client sees a truncated response: what was written goes out, nothing ends it."""
        if self._state is _SERVING:
            self._give_up().close()

    def pause_reading(self) -> None:
        """Stop reading from the client; one that is held must go instead: its leaving would never be noticed."""
        if self._outlet is not None:
            self._disconnect_talkative()
        elif self._is_reading:
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

    def to_duplex(self, owner: DuplexOwner) -> ParkedDuplex | ConnectionDuplex:
        """Give the connection up as a duplex; it counts as open until that is closed. It must have been flushed."""
        edge, parking = self.edge, self.parking
        if parking is not None:
            return parking.park_duplex(*self.let_go(), owner, partial(edge.closed, self.started))
        self._leave_client()
        early, self._buffer = self._buffer, b""
        return edge.keep_duplex(cast(asyncio.Transport, self._transport), early, owner, self.started)

    def _leave_client(self) -> None:
        self._state = _GIVEN_UP
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
        self.resume_reading()
        if self.edge.is_draining:
            # Not now: whoever holds it has something to do first.
            self.edge.runtime.loop.call_soon(outlet.end_hold)

    def _disconnect_talkative(self) -> None:
        if not self.is_lost:
            log.info("client %s: says too much while it is held, closed", self.describe(), extra=LIMITED)
            self.edge.runtime.counters.talkative_clients_disconnected += 1
            self.cut_off()

    # --- closing ---------------------------------------------------------------------------------------------------

    def close_when_idle(self) -> None:
        """For an orderly stop: end what is held, close now if no request is being served, else after it."""
        if self._outlet is not None:
            self._outlet.end_hold()
        elif self._state is _WAITING:
            self._give_up().close()

    def _give_up(self) -> LeavingClient:
        """Do nothing for the client any more; the one returned sees it out."""
        self._leave_client()
        self._buffer = b""
        leaving = LeavingClient(self.edge)
        leaving.take_over(self)
        self._below = None
        self._wake_drain()
        return leaving

    def _time_out(self) -> None:
        """No request, the rest of none, or nothing taken of its response."""
        if self._state is _WAITING and not self._is_head_started and not self._is_write_paused:
            self._give_up().close()
            return
        self.edge.runtime.counters.client_timeouts += 1
        if self._is_write_paused:
            log.info("client %s: takes nothing of its response, closed", self.describe())
            self._transport.abort()
        elif self._state is _WAITING:
            limit_s = self.edge.limits.header_timeout_s
            self._refuse(WireError(408, f"Request header not complete after {limit_s:g} seconds."))
        else:
            self._refuse_body(WireError(408, f"No request body bytes for {self.edge.limits.body_timeout_s:g} seconds."))
