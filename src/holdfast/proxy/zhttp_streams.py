"""Exchanges of many packets with the backends of a `zhttp/` target: who is there, and to whom a packet belongs.

What the packets of one exchange mean is for `proxy/zhttp_session.py` and its owners.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from itertools import islice

from holdfast.errors import NoBackend, PacketError
from holdfast.logs import LIMITED
from holdfast.net.runtime import Runtime
from holdfast.net.zhttp_sockets import StreamSockets, bind_all
from holdfast.net.zmq_socket import ZmqContext
from holdfast.proxy.zhttp_session import Session, SessionOwner
from holdfast.timers import Deadline
from holdfast.wire.zhttp.packets import MAX_IDS, Signal
from holdfast.wire.zhttp.requests import encode_bulk
from holdfast.wire.zhttp.responses import Response, parse_published_response, parse_response

log = logging.getLogger("holdfast.proxy.zhttp")

KEEP_ALIVE_S = 45.0
TOGETHER_S = 1.0
"""Keep-alives that are due so soon are sent with those that are due, so that they share packets."""

KEEP_ALIVES_PER_TURN = 2000

MAX_ABANDONED = 10_000
"""Exchanges that are over before the backend has said where it is; those of further ones are not told."""


class StreamService:
    """The backends that connect to the three sockets of one spec.

    Args:
        name: the target as in the routes file, for logs.
        on_idle: called when no exchange is left.
    """

    def __init__(
        self, runtime: Runtime, context: ZmqContext, proxy_id: bytes, name: str, on_idle: Callable[[], None]
    ) -> None:
        self.runtime = runtime
        self.proxy_id = proxy_id
        self.name = name
        self._context = context
        self._on_idle = on_idle
        self._sockets: StreamSockets | None = None
        self._sessions: dict[bytes, Session] = {}
        # by session, when its next keep-alive is due; the first one first
        self._due: dict[Session, float] = {}
        self._abandoned: set[Session] = set()
        self._deadline = Deadline(runtime.wheel, self)

    def __len__(self) -> int:
        return len(self._sessions)

    def bind(self, specs: tuple[str, ...], ipc_file_mode: int | None) -> None:
        """Listen for backends. Raises ConfigError."""
        sockets = StreamSockets(
            self.runtime,
            self._context,
            self.proxy_id,
            on_published=self._receive_published,
            on_routed=self._receive_routed,
            on_other=self._refuse_parts,
        )
        bind_all(sockets, specs, ipc_file_mode)
        self._sockets = sockets

    def set_file_mode(self, ipc_file_mode: int | None) -> None:
        """See `ZmqSocket.set_file_mode`."""
        if self._sockets is not None:
            self._sockets.set_file_mode(ipc_file_mode)

    def close(self) -> None:
        """Stop; backends are told of exchanges that are not over."""
        for session in list(self._sessions.values()):
            session.cancel()
        self._deadline.cancel()
        if self._sockets is not None:
            self._sockets.close()
            self._sockets = None

    # --- for sessions ----------------------------------------------------------------------------------------------

    def open(self, owner: SessionOwner) -> Session:
        """A session, which has not begun."""
        return Session(self, owner)

    def begin(self, session: Session, frame: bytes) -> None:
        """Send a session's first packet to some backend. Raises NoBackend."""
        if self._sockets is None:
            raise NoBackend(f"{self.name} is not listened at")
        if not self._sockets.send_first(frame):
            raise NoBackend(f"no backend at {self.name} takes the request")
        self._sessions[session.id] = session
        self._due[session] = self.runtime.now() + KEEP_ALIVE_S
        if len(self._due) == 1:
            self._deadline.set(self.runtime.now() + KEEP_ALIVE_S)

    def send_to(self, address: bytes, frame: bytes) -> None:
        """Send a later packet to the backend that has the exchange."""
        if self._sockets is not None:
            self._sockets.send_to(address, frame)

    def keep_abandoned(self, session: Session) -> bool:
        """See `SessionService`."""
        if len(self._abandoned) >= MAX_ABANDONED and session not in self._abandoned:
            self.runtime.counters.zhttp_packets_unsent += 1
            return False
        self._abandoned.add(session)
        return True

    def forget(self, session: Session) -> None:
        """The session is over."""
        self._abandoned.discard(session)
        if self._sessions.pop(session.id, None) is not None:
            del self._due[session]
            if not self._sessions:
                self._on_idle()

    # --- keep-alives -----------------------------------------------------------------------------------------------

    def on_deadline(self, now_s: float) -> None:
        """Tell the backends of the sessions whose time has come that we are still there."""
        by_address: dict[bytes, list[Session]] = {}
        for session, due_s in list(islice(self._due.items(), KEEP_ALIVES_PER_TURN)):
            if due_s > now_s + TOGETHER_S:
                break
            del self._due[session]
            self._due[session] = now_s + KEEP_ALIVE_S
            if session.address is not None and session.is_bulk_understood:
                by_address.setdefault(session.address, []).append(session)
            else:
                session.keep_alive()
        for address, sessions in by_address.items():
            self._send_keep_alives(address, sessions)
        for due_s in self._due.values():
            self._deadline.set(due_s)
            break

    def _send_keep_alives(self, address: bytes, sessions: list[Session]) -> None:
        if len(sessions) == 1:
            sessions[0].keep_alive()
            return
        for start in range(0, len(sessions), MAX_IDS):
            places = [session.next_place() for session in sessions[start : start + MAX_IDS]]
            self.send_to(address, encode_bulk(self.proxy_id, places, Signal.KEEP_ALIVE))

    # --- from backends ---------------------------------------------------------------------------------------------

    def _receive_published(self, frame: bytes) -> None:
        try:
            response = parse_published_response(frame, self.proxy_id)
        except PacketError as exc:
            self._refuse(str(exc))
        else:
            self._receive(response)

    def _receive_routed(self, frame: bytes) -> None:
        try:
            response = parse_response(frame)
        except PacketError as exc:
            self._refuse(str(exc))
        else:
            self._receive(response)

    def _receive(self, response: Response) -> None:
        for place in response.places:
            session = self._sessions.get(place.id)
            if session is None:
                self.runtime.counters.zhttp_packets_unclaimed += 1
                log.debug("%s: packet of no open exchange", self.name)
            else:
                session.receive(response, place.seq)

    def _refuse_parts(self) -> None:
        self._refuse("wrong number of parts")

    def _refuse(self, text: str) -> None:
        self.runtime.counters.zhttp_packets_refused += 1
        log.warning("%s: message thrown away: %s", self.name, text, extra=LIMITED)
