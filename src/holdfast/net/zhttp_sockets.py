"""The sockets that ZeroMQ backends connect to: frames go in and out, and mean something elsewhere (ws spec §7.2)."""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import zmq

from holdfast.errors import ConfigError
from holdfast.logs import LIMITED
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext, ZmqSocket

log = logging.getLogger("holdfast.net.zmq")

REQUESTS_HWM = 100
"""Requests that a backend has been given, and has not taken yet; more wait here, or go to others."""

STREAM_HWM = 101_000

LINGER_MS = 300
"""How long the process may wait at its end for backends to take what was said to them last."""

RETRY_S = 0.1
LATE_S = 10.0
"""A backend that has answered has this long to connect its other sockets."""

MAX_LATE_FRAMES = 1000
MAX_LATE_BYTES = 20_000_000

OnFrame = Callable[[bytes], None]


class RequestSocket:
    """A DEALER, for backends that have a REP: a request goes out in one frame, and its answer comes in one.

    Args:
        on_frame: called with each answer.
        on_other: called when something comes that is none.
    """

    def __init__(self, runtime: Runtime, context: ZmqContext, on_frame: OnFrame, on_other: Callable[[], None]) -> None:
        self._on_frame = on_frame
        self._on_other = on_other
        self._socket = ZmqSocket(runtime, context, zmq.DEALER, hwm=REQUESTS_HWM, on_message=self._receive)

    def bind(self, specs: tuple[str, ...], ipc_file_mode: int | None) -> None:
        """Listen at the one spec. Raises ConfigError."""
        (spec,) = specs
        self._socket.bind(spec, ipc_file_mode)

    def set_file_mode(self, ipc_file_mode: int | None) -> None:
        """See `ZmqSocket.set_file_mode`."""
        self._socket.set_file_mode(ipc_file_mode)

    def send(self, frame: bytes) -> bool:
        """Send a request; False if there is nobody who takes it now."""
        return self._socket.send([b"", frame])

    def when_writable(self, tell: Callable[[], None] | None) -> None:
        """Have `tell` called while a request could be sent; None to be left alone."""
        self._socket.on_writable = tell

    def close(self) -> None:
        """Close."""
        self._socket.close()

    def _receive(self, parts: list[bytes]) -> None:
        if len(parts) == 2 and parts[0] == b"":
            self._on_frame(parts[1])
        else:
            self._on_other()


@dataclass(slots=True)
class _Late:
    """What waits for a backend that has not connected its ROUTER or DEALER yet."""

    until_s: float
    frames: deque[bytes] = field(default_factory=deque)


class StreamSockets:
    """A PUSH for first packets, a ROUTER for those that follow, and a SUB for what backends say.

    Args:
        proxy_id: what backends publish to, and the identity of the ROUTER.
        on_published, on_routed: called with each frame that comes by SUB or ROUTER.
        on_other: called when something comes that is none.
    """

    def __init__(
        self,
        runtime: Runtime,
        context: ZmqContext,
        proxy_id: bytes,
        *,
        on_published: OnFrame,
        on_routed: OnFrame,
        on_other: Callable[[], None],
    ) -> None:
        self._runtime = runtime
        self._on_published = on_published
        self._on_routed = on_routed
        self._on_other = on_other
        self._push = ZmqSocket(runtime, context, zmq.PUSH, hwm=REQUESTS_HWM)
        self._router = ZmqSocket(runtime, context, zmq.ROUTER, hwm=STREAM_HWM, on_message=self._receive_routed)
        self._router.set_option(zmq.LINGER, LINGER_MS)  # the last packets tell backends that exchanges are over
        self._router.set_option(zmq.ROUTING_ID, proxy_id)
        self._router.set_option(zmq.ROUTER_MANDATORY, 1)
        # a backend that comes back under its name gets what is meant for it, even if its last connection still stands
        self._router.set_option(zmq.ROUTER_HANDOVER, 1)
        self._sub = ZmqSocket(runtime, context, zmq.SUB, hwm=STREAM_HWM, on_message=self._receive_published)
        self._sub.set_option(zmq.SUBSCRIBE, b"%b " % proxy_id)
        self._late: dict[bytes, _Late] = {}
        self._late_bytes = 0
        self._slot = 0

    def bind(self, specs: tuple[str, ...], ipc_file_mode: int | None) -> None:
        """Listen at three specs, for PUSH, ROUTER and SUB. Raises ConfigError."""
        for socket, spec in zip((self._push, self._router, self._sub), specs, strict=True):
            socket.bind(spec, ipc_file_mode)

    def set_file_mode(self, ipc_file_mode: int | None) -> None:
        """See `ZmqSocket.set_file_mode`."""
        for socket in (self._push, self._router, self._sub):
            socket.set_file_mode(ipc_file_mode)

    def send_first(self, frame: bytes) -> bool:
        """Send the first packet of an exchange to some backend; False if there is none that takes it now."""
        return self._push.send([frame])

    def send_to(self, address: bytes, frame: bytes) -> bool:
        """Send a packet to a backend, in order; it may take a moment to connect. False if there is no room for that."""
        late = self._late.get(address)
        if late is None and self._router.send([address, b"", frame]):
            return True
        if late is None:
            late = self._late[address] = _Late(self._runtime.now() + LATE_S)
        if len(late.frames) >= MAX_LATE_FRAMES or self._late_bytes + len(frame) > MAX_LATE_BYTES:
            self._runtime.counters.zhttp_packets_unsent += 1
            return False
        late.frames.append(frame)
        self._late_bytes += len(frame)
        if not self._slot:
            self._slot = self._runtime.wheel.add(self._runtime.now() + RETRY_S, self)
        return True

    def on_timer(self, now_s: float) -> None:
        """Try again what could not be sent; see `timers.Timed`."""
        self._slot = 0
        for address, late in list(self._late.items()):
            while late.frames and self._router.send([address, b"", late.frames[0]]):
                self._late_bytes -= len(late.frames.popleft())
            if late.frames and now_s >= late.until_s:
                log.warning(
                    "%d packets for backend %r were not sent: it is not there", len(late.frames), address, extra=LIMITED
                )
                self._runtime.counters.zhttp_packets_unsent += len(late.frames)
                self._late_bytes -= sum(map(len, late.frames))
                late.frames.clear()
            if not late.frames:
                del self._late[address]
        if self._late:
            self._slot = self._runtime.wheel.add(now_s + RETRY_S, self)

    def close(self) -> None:
        """Close."""
        if self._slot:
            self._runtime.wheel.remove(self._slot, self)
            self._slot = 0
        for socket in (self._push, self._router, self._sub):
            socket.close()

    def _receive_published(self, parts: list[bytes]) -> None:
        if len(parts) == 1:
            self._on_published(parts[0])
        else:
            self._on_other()

    def _receive_routed(self, parts: list[bytes]) -> None:
        """What a backend's ROUTER sends to the identity of ours arrives behind its own one."""
        if len(parts) == 3 and parts[1] == b"":
            self._on_routed(parts[2])
        else:
            self._on_other()


def bind_all(sockets: RequestSocket | StreamSockets, specs: tuple[str, ...], ipc_file_mode: int | None) -> None:
    """Bind, or close again what could not be bound. Raises ConfigError."""
    try:
        sockets.bind(specs, ipc_file_mode)
    except ConfigError:
        sockets.close()
        raise
