"""A WebSocket whose backend is a WebSocket server: both directions are relayed as they come (ws spec §2).

With the `grip` extension, messages of the backend are orders, or carry the prefix of what is meant for the client.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Iterator

from holdfast.errors import FrameError
from holdfast.grip.ws_extension import ControlText, MessageSorter
from holdfast.logs import LIMITED
from holdfast.net.duplex import Duplex
from holdfast.proxy.websocket_client import EVENTS_PER_TURN, WebSocketClient
from holdfast.wire.websocket.close import NO_STATUS, CloseStatus, encode_close_payload
from holdfast.wire.websocket.frames import Opcode, encode_masked_frame
from holdfast.wire.websocket.stream import Close, Data, Event, FrameReader, Ping, Pong

log = logging.getLogger("holdfast.proxy.websocket")


class RelayBackend:
    """The backend's side: owner of the duplex towards the backend. See `BackendSide`.

    Args:
        target: as in the routes file, for logs.
        prefix: of the messages that are for the client, when the backend speaks GRIP; otherwise None.
    """

    __slots__ = ("_close_received", "_close_sent", "_events", "_reader", "_sorter", "_target", "client", "duplex")

    is_whole = False
    max_message_bytes = 0

    def __init__(self, target: str, prefix: bytes | None) -> None:
        self.client: WebSocketClient
        self.duplex: Duplex
        self._target = target
        self._sorter = MessageSorter(prefix) if prefix is not None else None
        self._reader: FrameReader | None = None
        self._events: Iterator[Event] | None = None
        self._close_sent = False
        self._close_received = False

    def describe(self) -> str:
        """See `DuplexOwner`."""
        return f"{self.client.describe()}, target {self._target}"

    def begin(self, duplex: Duplex) -> None:
        """The client has its 101: read from both sides."""
        self.duplex = duplex
        self.client.go_on()
        self._go_on()

    # --- from the client -------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `BackendSide`."""
        return self.duplex.is_blocked

    def take(self, event: Data | Ping | Pong) -> None:
        """See `BackendSide`."""
        if isinstance(event, Data):
            opcode = event.opcode if event.is_first else Opcode.CONT
            self._send(opcode, event.payload, is_final=event.is_last)
        else:
            self._send(Opcode.PING if isinstance(event, Ping) else Opcode.PONG, event.payload)

    def close(self, status: CloseStatus) -> None:
        """See `BackendSide`."""
        self._send_close(status)
        if self._close_received:
            self.duplex.close()

    def leave(self) -> None:
        """See `BackendSide`."""
        self._send_close(NO_STATUS)
        self._events = None
        self.duplex.close()

    def break_off(self) -> None:
        """See `BackendSide`. A client that has closed may leave without waiting: its last words are still sent."""
        self._events = None
        if self._close_sent:
            self.duplex.close()
        else:
            self.duplex.abort()

    def client_drained(self) -> None:
        """See `BackendSide`."""
        self._go_on()

    def refresh(self) -> None:
        """A WebSocket server speaks when it wants to (ws spec §1.7)."""

    def _send(self, opcode: Opcode, payload: bytes, *, is_final: bool = True) -> None:
        if not self._close_sent:
            self.duplex.relay(encode_masked_frame(opcode, payload, os.urandom(4), is_final=is_final))

    def _send_close(self, status: CloseStatus) -> None:
        self._send(Opcode.CLOSE, encode_close_payload(status))
        self._close_sent = True

    # --- from the backend ------------------------------------------------------------------------------------------

    def on_data(self, data: bytes) -> None:
        """See `DuplexOwner`."""
        reader = self._reader
        if reader is None:
            reader = self._reader = FrameReader(is_masked=False)
        self._events = reader.receive(data)
        self._go_on()

    def on_gone(self) -> None:
        """See `DuplexOwner`. A backend that has closed need not wait for the client's answer."""
        if not self._close_received:
            log.info("%s: backend broke off", self.describe())
            self.client.backend_broke_off()

    def on_drained(self) -> None:
        """See `DuplexOwner`."""
        self.client.go_on()

    def end(self) -> None:
        """See `DuplexOwner`: the client's side sees to it."""

    def _go_on(self) -> None:
        """Take from the backend, as far as the client can take it, and not too much in one turn."""
        count = 0
        while self._events is not None:
            count += 1
            if self.client.duplex.is_blocked or count > EVENTS_PER_TURN:
                self.duplex.pause_reading()
                if not self.client.duplex.is_blocked:
                    asyncio.get_running_loop().call_soon(self._go_on)
                return
            try:
                event = next(self._events, None)
            except FrameError as error:
                log.warning("%s: %s", self.describe(), error.text, extra=LIMITED)
                self.duplex.abort()
                self.client.backend_broke_off()
                return
            if event is None:
                self._events = None
                if self._reader is not None and self._reader.is_idle:
                    self._reader = None
            elif isinstance(event, Close):
                self._closed(event.status)
                return
            else:
                self._relay(event)
        self.duplex.resume_reading()

    def _relay(self, event: Data | Ping | Pong) -> None:
        if not isinstance(event, Data):
            self.client.relay_control(event)
            return
        sorted_event = event if self._sorter is None else self._sorter.sort(event)
        if isinstance(sorted_event, ControlText):
            self.client.obey(sorted_event.text)
        elif sorted_event is not None:
            self.client.relay(sorted_event)

    def _closed(self, status: CloseStatus) -> None:
        """The backend's close frame: either the answer to ours, or the first; then the client's answer is relayed."""
        self._events = None
        self._close_received = True
        self.client.backend_closed(status)
        if self._close_sent:
            self.duplex.close()
