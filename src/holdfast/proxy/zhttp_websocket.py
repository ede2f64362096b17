"""A WebSocket whose backend speaks ZHTTP: messages, and pieces of them, are packets (ws spec §7.8)."""

from __future__ import annotations

import asyncio
import logging
from collections import deque

from holdfast.errors import BackendError, BadResponse
from holdfast.grip.ws_extension import ControlText, MessageSorter, parse_grip_extension
from holdfast.logs import LIMITED
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.socket_request import SocketRequest
from holdfast.proxy.websocket_client import WebSocketClient
from holdfast.proxy.websocket_rejection import MAX_REJECTION_BYTES, Rejection
from holdfast.proxy.zhttp_session import content_size
from holdfast.proxy.zhttp_streams import StreamService
from holdfast.proxy.zhttp_values import failure_error, final_code, make_socket_head
from holdfast.routing.rules import Target
from holdfast.wire.headers import Headers, without
from holdfast.wire.websocket import stream
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import MAX_CONTROL_BYTES, Opcode
from holdfast.wire.zhttp.packets import (
    Close,
    Condition,
    Content,
    Data,
    Failure,
    MessageType,
    Ping,
    Pong,
    Signal,
)
from holdfast.wire.zhttp.requests import RequestHead
from holdfast.wire.zhttp.responses import Response, ResponseHead

log = logging.getLogger("holdfast.proxy.websocket")

MAX_WAITING_BYTES = 16_000_000
"""Of what the client has not taken; more is from a backend that does not count credits, and ends it."""

PACKET_COST_BYTES = 100
"""What a packet counts besides its content: a backend could send very many that are empty."""

_GRIP: Headers = [(b"Sec-WebSocket-Extensions", b"grip")]
_OF_THE_CLIENTS_SIDE = frozenset({b"sec-websocket-extensions"})
_TYPES = {Opcode.TEXT: MessageType.TEXT, Opcode.BINARY: MessageType.BINARY}


def make_handshake(proxy: ProxyContext, asked: SocketRequest, target: Target) -> RequestHead:
    """What a client's handshake says to a ZeroMQ backend."""
    request = asked.forwarded(proxy, asked.rule, b"GET", without(asked.headers, _OF_THE_CLIENTS_SIDE))
    return make_socket_head(request, target, _GRIP if asked.has_grip else [])


class ZhttpSocketBackend:
    """The backend's side, from its handshake on. See `BackendSide`.

    Args:
        has_grip: messages of the backend may be GRIP's, if it says so.
    """

    __slots__ = (
        "_answer",
        "_close_received",
        "_close_sent",
        "_fragments",
        "_has_grip",
        "_is_relaying",
        "_outbox",
        "_proxy",
        "_session",
        "_sorter",
        "_waiting",
        "_waiting_bytes",
        "client",
    )

    is_whole = False
    max_message_bytes = 0

    def __init__(self, proxy: ProxyContext, service: StreamService, *, has_grip: bool) -> None:
        self.client: WebSocketClient
        self._proxy = proxy
        self._session = service.open(self)
        self._has_grip = has_grip
        self._sorter: MessageSorter | None = None
        self._answer: asyncio.Future[ResponseHead | Rejection] = proxy.runtime.loop.create_future()
        self._is_relaying = False
        self._outbox: deque[stream.Data | stream.Ping | stream.Pong] = deque()
        # what the backend has said, and the client cannot take yet
        self._waiting: deque[Content] = deque()
        self._waiting_bytes = 0
        self._fragments: Opcode | None = None
        self._close_sent = False
        self._close_received = False

    # --- opening ---------------------------------------------------------------------------------------------------

    async def open(self, head: RequestHead) -> ResponseHead | Rejection:
        """Ask the backend for a WebSocket. Raises BackendError."""
        try:
            self._proxy.counters.backend_requests += 1
            self._session.begin(head, Data())
            return await self._answer
        except asyncio.CancelledError:
            self._session.cancel()
            raise

    def begin(self) -> None:
        """The client has its 101: relay both ways."""
        self._is_relaying = True
        self.client.go_on()
        self._go_on()

    def _receive_answer(self, response: Response) -> None:
        if self._answer.done():  # nobody waits any more
            return
        try:
            self._read_answer(response)
        except BackendError as exc:
            self._session.cancel()
            self._answer.set_exception(exc)

    def _read_answer(self, response: Response) -> None:
        """Accept, reject, or wait on. Raises BackendError."""
        content, head = response.content, response.head
        match content:
            case Failure(Condition.REJECTED):
                body = content.body[:MAX_REJECTION_BYTES]
                self._answer.set_result(Rejection(final_code(head), head.reason, head.headers, body))
            case Failure():
                raise failure_error(content.condition)
            case Signal.KEEP_ALIVE | Signal.CREDIT:
                pass
            case Data():
                if self._session.address is None:
                    raise BadResponse("backend does not say where messages should go")
                if self._has_grip:
                    values = [value for name, value in head.headers if name.lower() == b"sec-websocket-extensions"]
                    prefix = parse_grip_extension(values)
                    self._sorter = MessageSorter(prefix) if prefix is not None else None
                self._answer.set_result(head)
            case _:
                raise BadResponse("backend did not accept the WebSocket")

    # --- from the client -------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `BackendSide`."""
        return bool(self._outbox)

    def take(self, event: stream.Data | stream.Ping | stream.Pong) -> None:
        """See `BackendSide`."""
        if not self._close_sent:
            self._outbox.append(event)
            self._send_outbox()

    def close(self, status: CloseStatus) -> None:
        """See `BackendSide`."""
        self._send_close(status)
        if self._close_received:
            self._session.end()

    def leave(self) -> None:
        """See `BackendSide`."""
        self._send_close(NO_STATUS)
        self._retire()
        self._session.end()

    def break_off(self) -> None:
        """See `BackendSide`."""
        self._retire()
        if not self._session.is_over:
            self._session.cancel()

    def client_drained(self) -> None:
        """See `BackendSide`."""
        self._go_on()

    def refresh(self) -> None:
        """The backend speaks when it wants to (ws spec §1.7)."""

    def _send_outbox(self) -> None:
        """Send what the backend is ready to take; a piece of a message may be cut for that, a ping or pong not."""
        while self._outbox:
            event = self._outbox[0]
            room = max(self._session.credits, 0)
            if len(event.payload) > room:
                if room and isinstance(event, stream.Data):
                    self._outbox[0] = stream.Data(event.opcode, event.payload[room:], False, event.is_last)
                    self._session.send(Data(event.payload[:room], True, _TYPES[event.opcode]))
                return
            self._outbox.popleft()
            if isinstance(event, stream.Data):
                self._session.send(Data(event.payload, not event.is_last, _TYPES[event.opcode]))
            else:
                self._session.send(Ping(event.payload) if isinstance(event, stream.Ping) else Pong(event.payload))

    def _send_close(self, status: CloseStatus) -> None:
        if not self._close_sent:
            self._close_sent = True
            self._outbox.clear()
            self._session.send(Close(status.code, status.reason.encode()))

    def _retire(self) -> None:
        self._outbox.clear()
        self._waiting.clear()
        self._is_relaying = False

    # --- from the backend ------------------------------------------------------------------------------------------

    def on_packet(self, response: Response) -> None:
        """See `SessionOwner`."""
        content = response.content
        if not self._answer.done() or self._answer.cancelled():
            self._receive_answer(response)
            return
        if response.credits and self._outbox:
            self._send_outbox()
            if not self._outbox and self._is_relaying:
                self.client.go_on()
        if isinstance(content, Signal) and content is not Signal.CANCEL:
            return
        self._waiting.append(content)
        self._waiting_bytes += _cost(content)
        if self._waiting_bytes > MAX_WAITING_BYTES:
            text = "%s: backend sent %d bytes more than it may"
            log.warning(text, self._session.describe(), self._waiting_bytes, extra=LIMITED)
            self._session.cancel()
            self._give_up()
        else:
            self._go_on()

    def on_broken(self, error: BackendError) -> None:
        """See `SessionOwner`."""
        if self._answer.done():
            self._give_up()
        else:
            self._answer.set_exception(error)

    def _give_up(self) -> None:
        """The backend is gone; one that has closed need not wait for the client's answer."""
        if self._close_received:
            return
        log.info("%s: backend broke off", self._session.describe())
        is_relaying = self._is_relaying
        self._retire()
        if is_relaying:
            self.client.backend_broke_off()
        else:  # the client is just being told that it is accepted
            self._waiting.append(Signal.CANCEL)

    def _go_on(self) -> None:
        """Give the client what it can take, and let the backend send as much again."""
        consumed = 0
        while self._waiting and self._is_relaying and not self.client.duplex.is_blocked:
            content = self._waiting.popleft()
            self._waiting_bytes -= _cost(content)
            consumed += content_size(content)
            self._relay(content)
        if not self._close_received:
            self._session.grant(consumed)

    def _relay(self, content: Content) -> None:
        match content:
            case Data():
                self._relay_data(content)
            case Ping(payload) | Pong(payload):
                self._relay_control(content, payload)
            case Close():
                self._closed(content)
            case _:
                self._give_up()

    def _relay_data(self, data: Data) -> None:
        is_first = self._fragments is None
        opcode = self._fragments or (Opcode.BINARY if data.message_type is MessageType.BINARY else Opcode.TEXT)
        event = stream.Data(opcode, data.body, is_first, not data.has_more, data.has_more or not is_first)
        self._fragments = opcode if data.has_more else None
        sorted_event = event if self._sorter is None else self._sorter.sort(event)
        if isinstance(sorted_event, ControlText):
            self.client.obey(sorted_event.text)
        elif sorted_event is not None:
            self.client.relay(sorted_event)

    def _relay_control(self, content: Ping | Pong, payload: bytes) -> None:
        if len(payload) > MAX_CONTROL_BYTES:
            self._proxy.counters.zhttp_packets_refused += 1
            log.warning(
                "%s: ping or pong of %d bytes thrown away", self._session.describe(), len(payload), extra=LIMITED
            )
        else:
            self.client.relay_control(stream.Ping(payload) if isinstance(content, Ping) else stream.Pong(payload))

    def _closed(self, content: Close) -> None:
        """The backend's close: either the answer to ours, or the first; then the client's answer is sent."""
        self._close_received = True
        self._waiting.clear()
        self.client.backend_closed(CloseStatus(content.code, content.reason.decode("utf-8", "replace")))
        if self._close_sent:
            self._session.end()


def _cost(content: Content) -> int:
    return content_size(content) + PACKET_COST_BYTES
