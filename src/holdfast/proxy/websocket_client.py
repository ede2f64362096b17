"""The client's side of a WebSocket: its frames, its closing, and what control messages order (ws spec §1.4, §2.3-§2.7).

Two parties meet here: the client, behind a duplex, and whoever plays the backend: a WebSocket server, a web server that
gets events over HTTP, the built-in test target, or after `detach` nobody. Each of them implements `BackendSide`. What
the client speaks is the dialect of its hold: frames, or SockJS.

Closing is a conversation: each side sends one close frame, and the connection ends when both have. What breaks off
without them is passed on as breaking off.
"""

from __future__ import annotations

import enum
import logging
from collections.abc import Callable, Iterator, Sequence

from holdfast.errors import FrameError, GripError
from holdfast.grip.ws_control import (
    Control,
    Detach,
    FlushDelayed,
    SendDelayed,
    SetKeepAlive,
    SetMeta,
    SetSession,
    Subscribe,
    Unsubscribe,
    parse_control,
)
from holdfast.logs import LIMITED
from holdfast.net.duplex import Duplex
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.traffic import count_received, count_sent
from holdfast.proxy.websocket_backend import BackendSide, Nobody
from holdfast.push.dialects import Reader
from holdfast.push.socket_hold import MAX_META_BYTES, SocketHold
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import TrafficCounts
from holdfast.timers import Deadline
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Close, Data, Event, Ping, Pong

log = logging.getLogger("holdfast.proxy.websocket")

EVENTS_PER_TURN = 128
"""Frames, or pieces of them, that one side may have relayed before everybody else has a turn."""

GOING_AWAY = 1001
INTERNAL_ERROR = 1011


class _State(enum.Enum):
    OPEN = "both sides may speak"
    CLIENT_CLOSED = "the client has sent its close frame, and waits for ours"
    WE_CLOSED = "our close frame is sent, and the client's is awaited"
    CLOSED = "over"


_LISTENING = frozenset({_State.OPEN, _State.CLIENT_CLOSED})


class WebSocketClient:
    """A client that has been accepted; owner of its duplex, and session of its hold.

    Attributes:
        hold: what goes to the client goes through it; set by whoever makes both.
        duplex: set by `open`.
    """

    __slots__ = ("_backend", "_deadline", "_events", "_presence", "_proxy", "_reader", "_state", "duplex", "hold")

    def __init__(self, proxy: ProxyContext, backend: BackendSide) -> None:
        self.hold: SocketHold
        self.duplex: Duplex
        self._proxy = proxy
        self._backend: BackendSide = backend
        self._state = _State.OPEN
        self._presence: Presence | None = None
        self._reader: Reader | None = None
        self._events: Iterator[Event] | None = None
        self._deadline = Deadline(proxy.runtime.wheel, self)

    @property
    def client_address(self) -> str:
        """IP address of the client, for statistics."""
        return self.duplex.peer_address

    def open(self, duplex: Duplex, presence: Presence) -> None:
        """The client has its 101: subscribe it. It is read from with the first `go_on`.

        Args:
            presence: its connection, as statistics know it.
        """
        self.duplex = duplex
        self._presence = presence
        presence.peer = self
        self.touch()
        self.hold.open(duplex)
        self._proxy.counters.websockets_opened += 1

    @property
    def is_waiting(self) -> bool:
        """Whether the client has closed, and waits for the backend's answer."""
        return self._state is _State.CLIENT_CLOSED

    def describe(self) -> str:
        """See `DuplexOwner`."""
        return self.hold.describe()

    # --- what the client sends -------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """See `DuplexOwner`. A reader exists only while a frame or a message is incomplete."""
        reader = self._reader
        if reader is None:
            limit = self._backend.max_message_bytes if self._backend.is_whole else None
            reader = self._reader = self.hold.dialect.reader(limit)
        self.receive(reader.receive(data))

    def receive(self, events: Iterator[Event]) -> None:
        """The client has sent these; the duplex is asked to go on reading when the last of them has been taken."""
        self.touch()
        self._events = events
        self.go_on()

    def go_on(self) -> None:
        """Take from the client, as far as the backend can take it; the rest waits, first here, then in its socket."""
        count = 0
        while self._events is not None:
            if self._is_blocked:
                break
            count += 1
            if count > EVENTS_PER_TURN:
                # Compressed, a few bytes are very many: others have their turn.
                self.duplex.pause_reading()
                self._proxy.runtime.loop.call_soon(self.go_on)
                return
            try:
                event = next(self._events, None)
            except FrameError as error:
                self._refuse(error)
            else:
                self._take(event)
        if self._state is not _State.CLOSED:
            if self._is_blocked:
                self.duplex.pause_reading()
            else:
                self.duplex.resume_reading()

    @property
    def _is_blocked(self) -> bool:
        """Whether what the client sends has to wait. Once a side has closed, only the client's close matters."""
        return self._state is _State.OPEN and self._backend.is_blocked

    def _take(self, event: Event | None) -> None:
        """Act on what the client has sent; None is the end of what has arrived."""
        if event is None:
            self._events = None
            if self._reader is not None and self._reader.is_idle:
                self._reader = None
        elif isinstance(event, Close):
            self._client_closed(event.status)
        elif self._state is _State.OPEN:
            if isinstance(event, Data) and self._proxy.holds.statistics.wants_reports:
                self._count(event, count_received, count_sent)
            self._backend.take(event)

    def _refuse(self, error: FrameError) -> None:
        """The client breaks the protocol: tell it, and let the backend see that it is gone."""
        log.info("client %s, %s: %s", self.duplex.describe(), self.describe(), error.text, extra=LIMITED)
        self._proxy.counters.websockets_malformed += 1
        if error.code is not None and self._state is not _State.WE_CLOSED:
            self._relay_close(CloseStatus(error.code, error.text))
        self._end().break_off()

    def on_gone(self) -> None:
        """See `DuplexOwner`: the client left without a close frame."""
        if self._state is not _State.CLOSED:
            self._retire().break_off()

    def on_drained(self) -> None:
        """See `DuplexOwner`."""
        self._backend.client_drained()

    # --- what the backend sends ------------------------------------------------------------------------------------

    def relay(self, data: Data) -> None:
        """Send a message of the backend, or a piece of one; also one that comes before its answer to a close."""
        if self._state in _LISTENING:
            if self._proxy.holds.statistics.wants_reports:
                self._count(data, count_sent, count_received)
            self.hold.relay(data)

    def note_relayed(self, messages: Sequence[Data]) -> None:
        """These messages of the backend were sent with the 101."""
        self.hold.written_at_s = self._proxy.runtime.now()
        if self._proxy.holds.statistics.wants_reports:
            for data in messages:
                self._count(data, count_sent, count_received)

    def relay_control(self, event: Ping | Pong) -> None:
        """Send a ping or pong of the backend."""
        if self._state in _LISTENING:
            self.hold.relay_control(Opcode.PING if isinstance(event, Ping) else Opcode.PONG, event.payload)

    def obey(self, text: bytes) -> None:
        """Do what a control message orders; what is not understood is ignored (§2.4)."""
        try:
            order = parse_control(text)
            self._obey(order)
        except GripError as exc:
            self._proxy.counters.control_messages_refused += 1
            log.debug("%s: control message ignored: %s", self.describe(), exc)

    def _obey(self, order: Control) -> None:
        match order:
            case Subscribe() if order.has_too_many_filters:
                is_debug = self.hold.plan.route.is_debug
                text = f"too many filters for channel '{order.channel}'" if is_debug else ""
                self.close_published(CloseStatus(INTERNAL_ERROR, text))
            case Subscribe(channel, filters):
                if not self.hold.subscribe(channel, filters):
                    self._proxy.counters.subscriptions_refused += 1
                    log.info("%s: subscription to %s refused, there are too many", self.describe(), channel)
            case Unsubscribe(channel):
                self.hold.unsubscribe(channel)
            case SetMeta(name, value):
                if not self.hold.set_meta(name, value):
                    self._proxy.counters.control_messages_refused += 1
                    log.info("%s: meta refused, it would exceed %d bytes", self.describe(), MAX_META_BYTES)
            case SetKeepAlive():
                self.hold.set_keep_alive(order)
            case SendDelayed():
                self.hold.send_delayed(order)
            case FlushDelayed():
                self.hold.flush_delayed()
            case Detach():
                self._leave_backend()
            case SetSession():
                log.debug("%s: GRIP sessions are not kept", self.describe())

    # --- closing ---------------------------------------------------------------------------------------------------

    def _client_closed(self, status: CloseStatus) -> None:
        """The client's close frame: the backend is told, and has the last word unless it was the first to close."""
        if self._state is _State.WE_CLOSED:
            self._end().close(status)
        else:
            self._state = _State.CLIENT_CLOSED
            self.hold.close()
            self._backend.close(status)

    def backend_closed(self, status: CloseStatus) -> None:
        """The backend closes, or answers the client's close; without a code the client gets 1000 (§1.4, §2.7)."""
        if self._state is _State.OPEN:
            self._say_close(status)
        elif self._state is _State.CLIENT_CLOSED:
            self._relay_close(status)
            self._end()

    def backend_broke_off(self) -> None:
        """The backend is gone without a close frame: so are we, when everything before is sent."""
        if self._state is not _State.CLOSED:
            self._proxy.counters.websockets_broken_off += 1
            self._end()

    def close_published(self, status: CloseStatus) -> None:
        """See `SocketSession`: close the client, and leave the backend."""
        if self._state is _State.OPEN:
            self._say_close(status)
            self._leave_backend()

    def refresh(self) -> None:
        """See `SocketSession`."""
        self._backend.refresh()

    def end(self) -> None:
        """See `DuplexOwner`: the process stops."""
        self.backend_closed(CloseStatus(GOING_AWAY))

    def on_deadline(self, now_s: float) -> None:
        """No byte either way for very long (§4.4)."""
        quiet_until_s = self.hold.last_written_s() + self._proxy.websocket_idle_s
        if now_s < quiet_until_s:
            self._deadline.set(quiet_until_s)
            return
        log.info("client %s, %s: silent for too long, closed", self.duplex.describe(), self.describe())
        self._proxy.counters.client_timeouts += 1
        self.give_up()

    def give_up(self) -> None:
        """End both sides without a close frame."""
        self._end().break_off()

    def _say_close(self, status: CloseStatus) -> None:
        """We are the first to close; of what the client still sends only its answer matters."""
        self._state = _State.WE_CLOSED
        self.hold.close()
        self._relay_close(status)
        self.go_on()

    def _relay_close(self, status: CloseStatus) -> None:
        self.duplex.relay(self.hold.dialect.encode_close(status))

    def _leave_backend(self) -> None:
        """Let go of the backend; a client that waits for its answer to a close gets it from nobody."""
        backend, self._backend = self._backend, Nobody(self)
        backend.leave()
        if self._state is _State.CLIENT_CLOSED:
            self.backend_closed(NO_STATUS)
        self.go_on()

    def touch(self) -> None:
        """The client has shown that it is there."""
        self._deadline.set(self._proxy.runtime.now() + self._proxy.websocket_idle_s)

    def _end(self) -> BackendSide:
        """Close the connection when everything is sent; returns the backend, which may have to be told."""
        backend = self._retire()
        self.duplex.close()
        return backend

    def _retire(self) -> BackendSide:
        """It is over. Who knows us is forgotten, so that both go at once, and not with a collection of garbage."""
        self._state = _State.CLOSED
        self._reader = None
        self._events = None
        self._deadline.cancel()
        self.hold.close()
        self._depart()
        backend, self._backend = self._backend, Nobody()
        return backend

    def discard(self) -> None:
        """The client has left before it got its 101."""
        self._retire()

    def _depart(self) -> None:
        presence, self._presence = self._presence, None
        if presence is not None:
            self._proxy.holds.statistics.connections.end(presence)

    def _count(
        self,
        data: Data,
        count_client: Callable[[TrafficCounts, Data], None],
        count_server: Callable[[TrafficCounts, Data], None],
    ) -> None:
        """Count what goes from one side to the other."""
        if self._presence is not None:
            count_client(self._presence.route.client, data)
            count_server(self._presence.route.server, data)
