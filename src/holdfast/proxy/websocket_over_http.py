"""A WebSocket whose backend is a web server: what the client says reaches it as short requests (ws spec §1).

Between requests nothing of it is anywhere but here and in the parking lot: the session is a few fields, its client a
descriptor. At most one request of a session is on its way; what the client says meanwhile goes with the next one.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from collections.abc import Iterable
from typing import Any, cast

from holdfast.errors import BackendError, WireError
from holdfast.grip.ws_extension import ControlText, MessageSorter, parse_grip_extension
from holdfast.logs import LIMITED
from holdfast.proxy.acceptance import OPCODES, Acceptance, Agreement
from holdfast.proxy.answers import ErrorAnswer, origin_error
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.event_answers import (
    accepted_bytes,
    check_answer,
    has_events,
    next_interval_s,
    read_answer,
    set_meta,
)
from holdfast.proxy.event_queue import MAX_BYTES, EventQueue, Offer
from holdfast.proxy.event_requests import EventRequests
from holdfast.proxy.event_retries import ask_until_connected
from holdfast.proxy.reply import Reply
from holdfast.proxy.websocket_client import EVENTS_PER_TURN, WebSocketClient
from holdfast.proxy.websocket_rejection import Rejection, read_rejection
from holdfast.proxy.whole_request import WholeRequest
from holdfast.timers import Deadline
from holdfast.wire.headers import Headers, without, without_prefix
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus
from holdfast.wire.websocket.frames import MAX_CONTROL_BYTES, Opcode
from holdfast.wire.websocket.stream import Data, Ping, Pong
from holdfast.wire.ws_events import (
    DISCONNECT,
    OPEN,
    Event,
    EventType,
    close_event,
    encode_events,
)

log = logging.getLogger("holdfast.proxy.websocket")

MAX_UNSENT_BYTES = 200_000
"""What the backend has sent and the client has not taken, above which the backend is not asked (ws spec §1.3)."""

_OPEN = encode_events([OPEN])
_NOTHING = Offer(b"", 0, 0, 0, False, True)

_NOT_OF_101 = frozenset({b"content-type", b"keep-alive-interval", b"content-bytes-accepted"})
_EVENT_TYPES = {Opcode.TEXT: EventType.TEXT, Opcode.BINARY: EventType.BINARY}


class _State(enum.Enum):
    OPENING = "the backend has not accepted yet"
    OPEN = "both sides may speak"
    CLOSING = "the client's close is on its way to the backend, and may be answered"
    LEAVING = "a last CLOSE or DISCONNECT is on its way, and what comes of it does not matter"
    OVER = "the backend is not asked any more"


_LISTENING = frozenset({_State.OPEN, _State.CLOSING})
"""What the backend says matters."""


class EventsBackend:
    """The backend's side of one session. See `BackendSide`.

    Args:
        requests: makes the requests of this session.
        one_event: at most one event a request.
    """

    __slots__ = (
        "_deadline",
        "_interval_s",
        "_meta",
        "_one_event",
        "_proxy",
        "_queue",
        "_requests",
        "_sorter",
        "_state",
        "_task",
        "_wants_request",
        "client",
    )

    is_whole = True
    max_message_bytes = MAX_BYTES

    def __init__(self, proxy: ProxyContext, requests: EventRequests, *, one_event: bool) -> None:
        self.client: WebSocketClient
        self._proxy = proxy
        self._requests = requests
        self._one_event = one_event
        self._state = _State.OPENING
        self._task: asyncio.Task[None] | None = None
        self._wants_request = False
        self._meta: Headers = []
        self._interval_s = 0
        self._deadline: Deadline | None = None
        self._queue: EventQueue | None = None
        self._sorter: MessageSorter | None = None

    # --- opening ---------------------------------------------------------------------------------------------------

    @property
    def interval_s(self) -> int:
        """Seconds after which the backend wants to be asked again; 0 for never."""
        return self._interval_s

    def ask(self) -> WholeRequest:
        """The request whose answer tells whether the backend accepts the connection (ws spec §1.3)."""
        return self._requests.post(_OPEN, self._meta, 0)

    async def judge(self, reply: Reply) -> Acceptance | Rejection | None:
        """What the answer to it says.

        Returns:
            None when the backend has not decided yet, and is to be asked again after `interval_s`.

        Raises:
            ErrorAnswer: it did not accept properly.
            BackendError: it broke off its answer.
            WireError: 502, its answer makes no sense.
        """
        if not has_events(reply):
            return await read_rejection(reply)
        events = await self._read_events(reply)
        if events and events[0].type is EventType.OPEN:
            self.agree(Agreement(self._prefix(reply.headers), self._interval_s, self._meta))
            return Acceptance(without_prefix(without(reply.headers, _NOT_OF_101), b"set-meta-"), events[1:])
        if events or not self._interval_s:
            raise origin_error("backend did not accept the WebSocket")
        return None

    def agree(self, agreement: Agreement) -> None:
        """The backend has accepted, with these terms."""
        self._state = _State.OPEN
        self._interval_s = agreement.interval_s
        self._meta = agreement.meta
        self._sorter = MessageSorter(agreement.prefix) if agreement.prefix is not None else None

    @property
    def agreement(self) -> Agreement:
        """What has been agreed, until another answer changes it."""
        return Agreement(self._sorter.prefix if self._sorter is not None else None, self._interval_s, self._meta)

    def _prefix(self, headers: Headers) -> bytes | None:
        if not self._requests.has_grip:
            return None
        return parse_grip_extension([value for name, value in headers if name.lower() == b"sec-websocket-extensions"])

    def begin(self, events: list[Event]) -> None:
        """The client has its 101: act on what came with the acceptance, and read from the client."""
        self._restart_clock()
        if len(events) >= EVENTS_PER_TURN:
            self._begin_requests(events)
            return
        # As usual: others need no turn in between, and no task is needed.
        try:
            for event in events:
                self._act_on(event)
            self.client.go_on()
        except WireError as exc:
            self._fail(str(exc))

    # --- from the client -------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `BackendSide`."""
        return self._queue is not None and self._queue.is_full and self._state is _State.OPEN

    def take(self, event: Data | Ping | Pong) -> None:
        """See `BackendSide`."""
        if self._state is not _State.OPEN:
            return
        if isinstance(event, Data):
            self._enqueue(Event(_EVENT_TYPES[event.opcode], event.payload))
        else:
            self._enqueue(Event(EventType.PING if isinstance(event, Ping) else EventType.PONG, event.payload))

    def close(self, status: CloseStatus) -> None:
        """See `BackendSide`. Whether the client was the first to close tells whether the answer matters (§1.4)."""
        if self._state is _State.OPEN and self.client.is_waiting:
            self._state = _State.CLOSING
            self._enqueue(close_event(status))
        elif self._state is _State.OPEN:
            self._take_leave(close_event(status))

    def leave(self) -> None:
        """See `BackendSide`."""
        if self._state is _State.OPEN:
            self._take_leave(close_event(NO_STATUS))
        elif self._state is _State.CLOSING:
            self._take_leave()

    def break_off(self) -> None:
        """See `BackendSide`: a backend that has accepted the client is told, unless a CLOSE is on its way (§1.4)."""
        if self._state is _State.OPEN:
            self._queue = None
            self._take_leave(DISCONNECT)
        elif self._state is _State.CLOSING:
            self._take_leave()

    def client_drained(self) -> None:
        """See `BackendSide`."""
        self._wake()

    def refresh(self) -> None:
        """See `BackendSide` (ws spec §1.7)."""
        if self._state is _State.OPEN:
            self._wants_request = True
            self._wake()

    def _take_leave(self, last: Event | None = None) -> None:
        """Say `last`, or what has not been said yet; nobody waits for an answer any more."""
        self._state = _State.LEAVING
        if not self._proxy.farewells.begin(self):
            self._retire()
            if self._task is not None:
                self._task.cancel()
            return
        if last is not None:
            self._add(last)
        if self._task is None:
            self._proxy.farewells.start_in_turn(self._begin_farewell)

    def _begin_farewell(self) -> None:
        if self._state is _State.LEAVING and self._task is None:
            self._begin_requests()

    def _enqueue(self, event: Event) -> None:
        self._add(event)
        self._wake()

    def _add(self, event: Event) -> None:
        if self._queue is None:
            self._queue = EventQueue()
        if not self._queue.add(event):
            self._proxy.counters.websocket_pings_superseded += 1

    # --- requests --------------------------------------------------------------------------------------------------

    def _wake(self) -> None:
        """Begin a request if there is a reason for one, and none on its way."""
        if self._task is None and self._state is not _State.OPENING and self._has_reason:
            self._begin_requests()

    def _begin_requests(self, events: Iterable[Event] | None = None) -> None:
        self._task = self._proxy.runtime.spawn(self._run(events), "WebSocket events")

    @property
    def _has_reason(self) -> bool:
        if self._state is _State.OVER:
            return False
        if self._state is _State.LEAVING:
            return self._has_news
        if self.client.duplex.unsent_bytes >= MAX_UNSENT_BYTES:
            return False
        return self._wants_request or self._has_news

    @property
    def _has_news(self) -> bool:
        return self._queue is not None and self._queue.has_news

    async def _run(self, events: Iterable[Event] | None) -> None:
        """Act on what came with the acceptance, if that is new; make requests until there is no reason for another."""
        try:
            if events is not None:
                await self._act(events)
                self.client.go_on()
            while self._has_reason:
                self._wants_request = False
                await self._exchange()
            if self._state is _State.LEAVING:
                self._retire()
        except (ErrorAnswer, BackendError, WireError) as exc:
            self._fail(str(exc))
        except Exception:
            log.exception("the requests of connection %s failed", self._requests.connection_id)
            self._fail("internal error")
        finally:
            self._task = None

    async def _exchange(self) -> None:
        """One request with what is queued, and its answer; an empty one if nothing is (a keep-alive)."""
        queue = self._queue
        offer = queue.offer(one_event=self._one_event) if queue is not None else _NOTHING
        headers, events = await ask_until_connected(
            self._proxy, lambda: self._requests.post(offer.body, self._meta, offer.replayed_bytes), self._read_answer
        )
        if queue is not None and self._queue is not queue:
            return  # the client has broken off meanwhile, and what it said before does not matter
        if queue is not None:
            queue.settle(accepted_bytes(headers) if self._state is not _State.LEAVING else None)
            if queue.is_empty:
                self._queue = None
        if self._state is _State.LEAVING:
            return
        self._restart_clock()
        await self._act(events)
        if self._state is _State.CLOSING and not self._has_news and not self._interval_s:
            raise WireError(502, "backend did not answer the close")
        self.client.go_on()

    async def _read_answer(self, reply: Reply) -> tuple[Headers, list[Event]]:
        """What the answer to a request says, if that still matters. Raises BackendError, WireError."""
        check_answer(reply)
        if self._state is _State.LEAVING:
            return reply.headers, []
        return reply.headers, await self._read_events(reply)

    async def _read_events(self, reply: Reply) -> list[Event]:
        """The events of an answer, whose headers are obeyed too. Raises BackendError, WireError."""
        events = await read_answer(reply)
        self._interval_s = next_interval_s(self._interval_s, reply.headers)
        self._meta = set_meta(self._meta, reply.headers)
        return events

    # --- from the backend ------------------------------------------------------------------------------------------

    async def _act(self, events: Iterable[Event]) -> None:
        """Give the client what the backend says; a CLOSE is its last word. Raises WireError."""
        for number, event in enumerate(events, 1):
            if number % EVENTS_PER_TURN == 0:
                await asyncio.sleep(0)
            self._act_on(event)

    def _act_on(self, event: Event) -> None:
        """Give the client one event, unless it is left. Raises WireError."""
        if self._state not in _LISTENING:
            return
        if event.type in OPCODES:
            self._relay(Data(OPCODES[event.type], event.content))
        elif event.type in (EventType.PING, EventType.PONG):
            if len(event.content) > MAX_CONTROL_BYTES:
                raise WireError(502, f"{event.type.value.decode()} exceeds {MAX_CONTROL_BYTES} bytes")
            self.client.relay_control((Ping if event.type is EventType.PING else Pong)(event.content))
        elif event.type is EventType.CLOSE:
            if self._state is _State.CLOSING:
                self._take_leave()
            self.client.backend_closed(event.close_status)
        else:
            raise WireError(502, f"backend sent {event.type.value.decode()}")

    def _relay(self, message: Data) -> None:
        sorted_message: Any = message if self._sorter is None else self._sorter.sort(message)
        if isinstance(sorted_message, ControlText):
            self.client.obey(sorted_message.text)
        elif sorted_message is not None:
            self.client.relay(cast(Data, sorted_message))

    # --- time, and the end -----------------------------------------------------------------------------------------

    def _restart_clock(self) -> None:
        """Every answer restarts the interval after which an empty request is made (ws spec §1.5)."""
        if self._interval_s and self._state in _LISTENING:
            if self._deadline is None:
                self._deadline = Deadline(self._proxy.runtime.wheel, self)
            self._deadline.set(self._proxy.runtime.now() + self._interval_s)
        elif self._deadline is not None:
            self._deadline.clear()

    def on_deadline(self, now_s: float) -> None:
        """The backend wants to hear from us, if it is not just being asked: then its answer counts anew."""
        if self._task is None:
            self._wants_request = True
            self._wake()

    def _fail(self, text: str) -> None:
        """The backend fails: the client is cut off, unless it does not depend on the backend any more."""
        is_needed = self._state is not _State.LEAVING
        self._retire()
        if is_needed:
            log.warning("%s: %s", self.client.describe(), text, extra=LIMITED)
            self.client.backend_broke_off()

    def _retire(self) -> None:
        self._state = _State.OVER
        self._queue = None
        self._proxy.farewells.end(self)
        if self._deadline is not None:
            self._deadline.cancel()
