"""One exchange of many packets with a ZeroMQ backend: numbers, address, credits, and the time without a sign of life.

What its packets mean is its owner's business: a request with its answer, or a WebSocket (ws spec §7.7).
"""

from __future__ import annotations

import logging
from typing import Protocol

from holdfast.errors import BackendError, BackendSilent, BadResponse
from holdfast.logs import LIMITED
from holdfast.net.runtime import Runtime
from holdfast.proxy.zhttp_values import SILENCE_S, make_exchange_id
from holdfast.timers import Deadline
from holdfast.wire.zhttp.packets import WINDOW_BYTES, Content, Data, Failure, Ping, Place, Pong, Signal
from holdfast.wire.zhttp.requests import RequestHead, encode_opening, encode_packet
from holdfast.wire.zhttp.responses import Response

log = logging.getLogger("holdfast.proxy.zhttp")

MAX_CREDITS = 1_000_000_000
"""As good as no limit: what is sent depends on the client, and is not kept here."""


class SessionOwner(Protocol):
    """Whose exchange it is."""

    def on_packet(self, response: Response) -> None:
        """The backend has sent a packet; after a failure or CANCEL the session is over."""
        ...

    def on_broken(self, error: BackendError) -> None:
        """The backend is gone or lost count; the session is over."""
        ...


class SessionService(Protocol):
    """What has the sockets."""

    runtime: Runtime
    proxy_id: bytes
    name: str

    def begin(self, session: Session, frame: bytes) -> None:
        """Send a session's first packet to some backend. Raises NoBackend."""
        ...

    def send_to(self, address: bytes, frame: bytes) -> None:
        """Send a later packet to the backend that has the exchange."""
        ...

    def keep_abandoned(self, session: Session) -> bool:
        """Whether there is room for a session that only waits for the backend's address, to tell it that it is over."""
        ...

    def forget(self, session: Session) -> None:
        """The session is over."""
        ...


class Session:
    """An exchange.

    Attributes:
        id: what packets name it by.
        address: of the backend that has it; None until that has said so.
        credits: bytes that the backend is ready to take.
        is_bulk_understood: packets about several exchanges may be sent to the backend.
        is_over: no packet is sent or expected any more.
    """

    __slots__ = (
        "_deadline",
        "_expected_seq",
        "_next_seq",
        "_owner",
        "_service",
        "_window_bytes",
        "address",
        "credits",
        "id",
        "is_bulk_understood",
        "is_over",
    )

    def __init__(self, service: SessionService, owner: SessionOwner) -> None:
        self.id = make_exchange_id()
        self.address: bytes | None = None
        self.credits = 0
        self.is_bulk_understood = False
        self.is_over = False
        self._service = service
        self._owner: SessionOwner | None = owner
        self._next_seq = 0
        self._expected_seq = 0
        self._window_bytes = WINDOW_BYTES
        self._deadline = Deadline(service.runtime.wheel, self)

    def describe(self) -> str:
        """Target and id, for logs."""
        return f"{self._service.name}, exchange {self.id.decode()}"

    # --- to the backend --------------------------------------------------------------------------------------------

    def begin(self, head: RequestHead, data: Data) -> None:
        """Send the first packet. Raises NoBackend."""
        frame = encode_opening(self._service.proxy_id, self.id, head, data)
        self._service.begin(self, frame)
        self._next_seq = 1
        self._touch()

    def send(self, content: Content, credits: int = 0) -> None:
        """Send a later packet, if the backend has said where to."""
        if self.address is not None and not self.is_over:
            self.credits -= content_size(content)
            frame = encode_packet(self._service.proxy_id, self.next_place(), content, credits)
            self._service.send_to(self.address, frame)

    def grant(self, size: int) -> None:
        """Let the backend send `size` bytes more: so many have been consumed."""
        if size and not self.is_over:
            self._window_bytes += size
            self.send(Signal.CREDIT, size)

    def keep_alive(self) -> None:
        """Say that we are still there."""
        self.send(Signal.KEEP_ALIVE)

    def next_place(self) -> Place:
        """The place of the next packet, which is sent now."""
        place = Place(self.id, self._next_seq)
        self._next_seq += 1
        return place

    def cancel(self) -> None:
        """Give up, and have the backend give up, as soon as it has said where it is."""
        self._owner = None
        if self.address is not None:
            self.send(Signal.CANCEL)
            self.end()
        elif not self._service.keep_abandoned(self):
            self.end()

    def end(self) -> None:
        """Everything is said."""
        self.is_over = True
        self._owner = None
        self._deadline.cancel()
        self._service.forget(self)

    # --- from the backend ------------------------------------------------------------------------------------------

    def receive(self, response: Response, seq: int | None) -> None:
        """Take a packet; failures and CANCEL count whatever their number (ws spec §7.7)."""
        content = response.content
        if response.sender is not None:
            self.address = response.sender
        if self._owner is None:
            self.cancel()
            return
        owner = self._owner
        if isinstance(content, Failure) or content is Signal.CANCEL:
            self.end()
            owner.on_packet(response)
            return
        if seq != self._expected_seq:
            self._lose_count(owner, seq)
            return
        self._expected_seq += 1
        self._touch()
        self._watch_window(content)
        self.is_bulk_understood |= response.has_bulk
        self.credits = min(self.credits + response.credits, MAX_CREDITS)
        owner.on_packet(response)

    def _lose_count(self, owner: SessionOwner, seq: int | None) -> None:
        text = f"packet {seq} came instead of {self._expected_seq}"
        log.warning("%s: %s", self.describe(), text, extra=LIMITED)
        self._service.runtime.counters.zhttp_sequence_faults += 1
        self.cancel()
        owner.on_broken(BadResponse(text))

    def _watch_window(self, content: Content) -> None:
        """Notice when the backend sends more than it was granted; that is tolerated, within limits of the owner's."""
        was_within = self._window_bytes >= 0
        self._window_bytes -= content_size(content)
        if was_within and self._window_bytes < 0:
            self._service.runtime.counters.zhttp_windows_exceeded += 1
            log.info("%s: backend sends more than it was granted", self.describe())

    def _touch(self) -> None:
        self._deadline.set(self._service.runtime.now() + SILENCE_S)

    def on_deadline(self, now_s: float) -> None:
        """The backend has been silent for too long."""
        owner = self._owner
        if owner is None:
            self.end()
            return
        self._service.runtime.counters.zhttp_timeouts += 1
        log.info("%s: silent for %g seconds", self.describe(), SILENCE_S)
        self.send(Signal.CANCEL)
        self.end()
        owner.on_broken(BackendSilent(f"backend was silent for {SILENCE_S:g} seconds"))


def content_size(content: Content) -> int:
    """The bytes of a packet that need credits."""
    if isinstance(content, Data):
        return len(content.body)
    return len(content.payload) if isinstance(content, Ping | Pong) else 0
