"""One SockJS client over HTTP, from its opening to its last frame (routes spec §4.3).

To everything behind it a session is the connection of a WebSocket's client: a duplex that is written to in SockJS
frames, and read from in lists of messages. A frame is kept until a response is there that can take it, a receiver; of
those there is one at most.
"""

from __future__ import annotations

import asyncio
import enum
import logging
from typing import TYPE_CHECKING, Protocol

from holdfast.net.outlets import Undirected
from holdfast.proxy.sockjs_queue import FrameQueue
from holdfast.proxy.sockjs_sessions import SessionKey, SockJsSessions
from holdfast.timers import Deadline
from holdfast.wire.sockjs import HEARTBEAT, is_close
from holdfast.wire.websocket.close import NO_STATUS
from holdfast.wire.websocket.stream import Close, Event

if TYPE_CHECKING:
    from holdfast.net.runtime import Runtime
    from holdfast.proxy.websocket_client import WebSocketClient
    from holdfast.statistics.connections import Presence

log = logging.getLogger("holdfast.proxy.sockjs")

HEARTBEAT_S = 25.0
"""How long a receiver waits for a frame before it gets a heartbeat."""

ABSENCE_S = 5.0
"""How long a client may be without a receiver, and how long a session remembers that it is closed."""


class Receiver(Protocol):
    """A response that takes frames."""

    @property
    def can_take(self) -> bool:
        """Whether it can take one now; if not, it calls `SockJsSession.deliver` when it can."""
        ...

    @property
    def is_done(self) -> bool:
        """Whether it takes no more, because it has ended with the last one."""
        ...

    def give(self, frame: bytes) -> None:
        """Write a frame."""
        ...

    def terminate(self) -> None:
        """The session is over without a last frame; a receiver that cannot write yet finds out when it can."""
        ...


class _State(enum.Enum):
    OPENING = "the backend has not accepted yet"
    OPEN = "both sides may speak"
    BROKEN = "the backend is gone without a close; the client still gets what was before"
    CLOSED = "the last frame waits"
    LINGERING = "the last frame was given, and is given again to whoever asks"
    OVER = "forgotten"


class SockJsSession(Undirected):
    """Duplex of its WebSocket client. `open` or `discard` must follow its making.

    Args:
        client_address: of who has opened it.
    """

    __slots__ = (
        "_deadline",
        "_frames",
        "_key",
        "_last",
        "_owner",
        "_receiver",
        "_runtime",
        "_sent",
        "_sessions",
        "_state",
        "_unsent",
        "peer_address",
    )

    def __init__(self, sessions: SockJsSessions, key: SessionKey, runtime: Runtime, client_address: str) -> None:
        self.peer_address = client_address
        self._sessions = sessions
        self._key = key
        self._runtime = runtime
        self._state = _State.OPENING
        self._owner: WebSocketClient | None = None
        self._receiver: Receiver | None = None
        self._frames = FrameQueue()
        self._last: bytes | None = None
        self._unsent: list[Event] | None = None
        self._sent: asyncio.Future[bool] | None = None
        self._deadline = Deadline(runtime.wheel, self)

    # --- opening and ending ----------------------------------------------------------------------------------------

    def open(self, owner: WebSocketClient, presence: Presence) -> None:
        """A backend has accepted."""
        self._state = _State.OPEN
        self._owner = owner
        owner.open(self, presence)
        if self._sessions.is_ending:
            # Not now: whoever opens it has something to do first.
            self._runtime.loop.call_soon(self.end)

    def discard(self) -> None:
        """No backend has accepted, or the client has left before. Nothing happens to one that was opened."""
        if self._state is _State.OPENING:
            self._end()

    def end(self) -> None:
        """The process stops."""
        if self._state is _State.OPEN and self._owner is not None:
            self._owner.end()
            self._answer_close()

    # --- for requests ----------------------------------------------------------------------------------------------

    def attach(self, receiver: Receiver) -> bool:
        """Give frames to this receiver from now on, when it calls `deliver`; False if there is another."""
        if self._receiver is not None:
            return False
        self._receiver = receiver
        self._show_life()
        if self._state is not _State.LINGERING:
            self._deadline.set(self._runtime.now() + HEARTBEAT_S)
        return True

    def _show_life(self) -> None:
        if self._owner is not None:
            self._owner.touch()

    def has(self, receiver: Receiver) -> bool:
        """Whether frames are given to this receiver."""
        return self._receiver is receiver

    def receiver_gone(self, receiver: Receiver) -> None:
        """Its client has left in the middle: that is the end of an open session (§4.3)."""
        if self._receiver is not receiver:
            return
        self._receiver = None
        if self._state in (_State.OPENING, _State.OPEN, _State.BROKEN):
            self._leave()
        elif self._state is _State.CLOSED:
            self._deadline.set(self._runtime.now() + ABSENCE_S)

    @property
    def last_frame(self) -> bytes | None:
        """What every request is answered with, once the session is closed."""
        return self._last

    @property
    def is_sending(self) -> bool:
        """Whether messages of the client have not been taken yet."""
        return self._sent is not None

    async def send(self, messages: list[Event]) -> bool:
        """Have the backend take messages; False if it is gone before.

        A client that does not wait for the end of this changes nothing: they are being taken. Compat: one that sends
        before the backend has accepted does not wait.
        """
        sent = self._sent = self._runtime.loop.create_future()
        self._unsent = messages
        if self._state is _State.OPENING:
            return True
        self.resume_reading()
        return await asyncio.shield(sent)

    def deliver(self) -> None:
        """Give the receiver what it can take."""
        was_blocked = self.is_blocked
        while self._receiver is not None and self._receiver.can_take:
            frame = self._take_frame()
            if frame is None:
                break
            self._give(self._receiver, frame)
        if self._state is _State.BROKEN and not self._frames:
            self._end()
        elif was_blocked and not self.is_blocked and self._owner is not None:
            self._owner.on_drained()

    def _take_frame(self) -> bytes | None:
        """The next frame; the last one when nothing else is there."""
        frame = self._frames.take()
        if frame is not None:
            return frame
        if self._state is _State.CLOSED:
            self._state = _State.LINGERING
            self._deadline.set(self._runtime.now() + ABSENCE_S)
        return self._last

    def _give(self, receiver: Receiver, frame: bytes) -> None:
        receiver.give(frame)
        if self._receiver is not receiver:
            return  # its client turned out to be gone
        if receiver.is_done:
            self._receiver = None
        if self._state is not _State.LINGERING:
            self._deadline.set(self._runtime.now() + (ABSENCE_S if receiver.is_done else HEARTBEAT_S))

    # --- the duplex ------------------------------------------------------------------------------------------------

    @property
    def is_blocked(self) -> bool:
        """See `Duplex`."""
        return self._frames.is_blocked

    @property
    def unsent_bytes(self) -> int:
        """See `Duplex`."""
        return self._frames.size_bytes

    def write(self, data: bytes) -> bool | None:
        """See `Duplex`."""
        if self._owner is None or self._last is not None:
            return None
        return self._queue(data)

    def relay(self, data: bytes) -> None:
        """See `Duplex`. The last frame is answered at once: clients over HTTP do not."""
        if self._owner is None:
            return
        if is_close(data):
            self._state = _State.CLOSED
            self._last = data
            self._runtime.loop.call_soon(self._answer_close)
            self.deliver()
        else:
            self._queue(data)

    def _queue(self, frame: bytes) -> bool:
        if not self._frames.add(frame):
            self._overflow()
            return False
        self.deliver()
        return True

    def _overflow(self) -> None:
        self._sessions.counters.sockjs_sessions_overflowed += 1
        log.warning("%s: %d bytes wait already, session ended", self.describe(), self._frames.size_bytes)
        self._leave()

    def pause_reading(self) -> None:
        """See `Duplex`. The request whose messages are not taken is not answered, and others are refused."""

    def resume_reading(self) -> None:
        """See `Duplex`: everything that the client has sent is taken."""
        unsent, self._unsent = self._unsent, None
        if unsent is None:
            self._settle(is_taken=True)
        elif self._owner is not None:
            self._owner.receive(iter(unsent))
        else:
            self._settle(is_taken=False)

    def _settle(self, *, is_taken: bool) -> None:
        sent, self._sent = self._sent, None
        if sent is not None and not sent.done():
            sent.set_result(is_taken)

    def _answer_close(self) -> None:
        """On behalf of the client."""
        if self._owner is not None and self._last is not None:
            self._owner.receive(iter([Close(NO_STATUS, b"")]))

    def close(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._settle(is_taken=False)
        if self._state is _State.OPEN:
            self._state = _State.BROKEN
            self.deliver()

    def abort(self) -> None:
        """See `Duplex`."""
        self._owner = None
        self._end()

    def describe(self) -> str:
        """See `Duplex`."""
        return f"{self.peer_address or 'unix'} (SockJS session {self._key.session_id.decode('latin-1')})"

    # --- time, and the end -----------------------------------------------------------------------------------------

    def on_deadline(self, now_s: float) -> None:
        """A receiver waits for long, or there is none, or the session has been closed for long."""
        if self._receiver is None or self._state is _State.LINGERING:
            if self._state is _State.OPEN:
                self._sessions.counters.sockjs_sessions_abandoned += 1
            self._leave()
        elif self._receiver.can_take:
            self._show_life()
            self._give(self._receiver, HEARTBEAT)
        else:
            self._deadline.set(now_s + HEARTBEAT_S)

    def _leave(self) -> None:
        """The client is gone."""
        owner, self._owner = self._owner, None
        self._end()
        if owner is not None:
            owner.on_gone()

    def _end(self) -> None:
        """Forget it."""
        self._state = _State.OVER
        self._frames.clear()
        self._deadline.cancel()
        self._sessions.forget(self._key)
        self._settle(is_taken=False)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.terminate()
