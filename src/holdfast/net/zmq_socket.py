"""A ZeroMQ socket in the loop: messages in and out, many per turn, and never all of a turn.

ZeroMQ's descriptor tells only that something has changed, not that something is there, so every time it is readable,
and after every send, everything that can be received is received, but no more than `MESSAGES_PER_TURN` and
`BYTES_PER_TURN`: then others have a turn.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import zmq

from holdfast.errors import ConfigError
from holdfast.net.runtime import Runtime

log = logging.getLogger("holdfast.net.zmq")

MESSAGES_PER_TURN = 200
"""Received before others have a turn: one or two milliseconds of publishing."""

BYTES_PER_TURN = 1_000_000
"""Received before others have a turn, and the message that exceeds it."""

MAX_PARTS = 8
"""Of a message that are kept; nobody means more than four, and who is told of so many discards them."""

MAX_MESSAGE_BYTES = 16_000_000
"""Of one part; a peer that sends more is disconnected by the library."""


class ZmqContext:
    """What all sockets of the process share: a thread that does their work, started with the first of them."""

    def __init__(self) -> None:
        self._context: zmq.Context[zmq.Socket[bytes]] | None = None

    def socket(self, kind: int) -> zmq.Socket[bytes]:
        """A new socket of a type of `zmq`."""
        if self._context is None:
            self._context = zmq.Context()
        return self._context.socket(kind)

    def close(self) -> None:
        """Stop the thread, and close the sockets that are still open: it would wait for them."""
        if self._context is not None:
            self._context.destroy()


class ZmqSocket:
    """One socket.

    Args:
        kind: a socket type of `zmq`.
        hwm: messages that wait in either direction before more are refused (sending) or left with the peer (receiving).
        on_message: called with the parts of each message; may close the socket.

    Attributes:
        on_writable: called when a message could be sent, again and again until it is None. Only with an `on_message`.
    """

    def __init__(
        self,
        runtime: Runtime,
        context: ZmqContext,
        kind: int,
        *,
        hwm: int,
        on_message: Callable[[list[bytes]], None] | None = None,
    ) -> None:
        self.on_writable: Callable[[], None] | None = None
        self._runtime = runtime
        self._on_message = on_message
        self._socket = socket = context.socket(kind)
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.SNDHWM, hwm)
        socket.setsockopt(zmq.RCVHWM, hwm)
        socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
        self._is_scheduled = False
        self._is_paused = False
        self._files: list[_File] = []
        self._file_mode: int | None = None
        self._fd = int(socket.getsockopt(zmq.FD))
        if on_message is not None:
            runtime.loop.add_reader(self._fd, self._on_ready)

    @property
    def is_closed(self) -> bool:
        """Whether the socket has been closed."""
        return bool(self._socket.closed)

    def set_option(self, option: int, value: int | bytes) -> None:
        """Set an option of `zmq`; most must be set before `bind` and `connect`."""
        self._socket.setsockopt(option, value)

    def bind(self, spec: str, ipc_file_mode: int | None = None) -> None:
        """Listen; the directory of an ipc address is made if there is none. Raises ConfigError."""
        try:
            if "[" in spec:
                self._socket.setsockopt(zmq.IPV6, 1)
            path = spec.removeprefix("ipc://") if spec.startswith("ipc://") and not spec.startswith("ipc://@") else None
            if path is not None:
                os.makedirs(os.path.dirname(os.path.abspath(path)), exist_ok=True)
            self._socket.bind(spec)
            if path is not None:
                made = os.stat(path)
                self._files.append(_File(path, made.st_ino, stat.S_IMODE(made.st_mode)))
                if ipc_file_mode is not None:
                    os.chmod(path, ipc_file_mode)
                    self._file_mode = ipc_file_mode
        except zmq.ZMQError as exc:
            raise ConfigError(f"cannot bind {spec}: {zmq.strerror(exc.errno or 0)}") from exc
        except OSError as exc:
            raise ConfigError(f"cannot bind {spec}: {exc.strerror}") from exc
        self._schedule()

    def set_file_mode(self, ipc_file_mode: int | None) -> None:
        """Change the mode of the files of ipc addresses; None is what they were made with."""
        if ipc_file_mode != self._file_mode:
            self._file_mode = ipc_file_mode
            for file in self._files:
                file.change_mode(ipc_file_mode)

    def connect(self, spec: str) -> None:
        """Connect, now and whenever the connection is lost. Raises ConfigError for a spec that is none."""
        try:
            self._socket.connect(spec)
        except zmq.ZMQError as exc:
            raise ConfigError(f"cannot connect to {spec}: {zmq.strerror(exc.errno or 0)}") from exc
        self._schedule()

    def pause(self) -> None:
        """Leave messages in the socket."""
        self._is_paused = True

    def resume(self) -> None:
        """Take messages again."""
        if self._is_paused:
            self._is_paused = False
            self._schedule()

    def send(self, parts: Sequence[bytes]) -> bool:
        """Send a message; False when it cannot be taken: nobody is there, or those who are have too much."""
        try:
            self._socket.send_multipart(parts, zmq.NOBLOCK, copy=True)
        except zmq.Again:
            return False
        except zmq.ZMQError as exc:  # a ROUTER that knows no such peer
            log.debug("message not sent: %s", exc.strerror)
            return False
        self._schedule()
        return True

    def close(self) -> None:
        """Close; what waits in it is dropped, and the files of ipc addresses are removed if they are still ours."""
        if self._socket.closed:
            return
        if self._on_message is not None:
            self._runtime.loop.remove_reader(self._fd)
        self._socket.close()
        for file in self._files:
            file.remove()

    def _schedule(self) -> None:
        """Receive in the next turn: the descriptor does not tell of what has come while we did something else."""
        if not self._is_scheduled and self._on_message is not None:
            self._is_scheduled = True
            self._runtime.loop.call_soon(self._receive)

    def _on_ready(self) -> None:
        if not self._is_scheduled:
            self._receive()

    def _receive(self) -> None:
        self._is_scheduled = False
        assert self._on_message is not None
        received_bytes = 0
        for _ in range(MESSAGES_PER_TURN):
            if self._socket.closed:
                return
            if self._is_paused:
                self._socket.getsockopt(
                    zmq.EVENTS
                )  # or the descriptor would stay readable, and we be called for nothing
                return
            try:
                parts = self._receive_parts()
            except zmq.Again:
                self._tell_writable()
                return
            try:
                self._on_message(parts)
            except Exception:
                log.exception("a message was not understood")
            received_bytes += sum(map(len, parts))
            if received_bytes > BYTES_PER_TURN:
                break
        if not self._socket.closed:
            self._schedule()

    def _receive_parts(self) -> list[bytes]:
        """The parts of the next message; of one with too many, the first ones."""
        parts = [self._socket.recv(zmq.NOBLOCK)]
        while self._socket.getsockopt(zmq.RCVMORE):
            part = self._socket.recv(zmq.NOBLOCK)
            if len(parts) < MAX_PARTS:
                parts.append(part)
        return parts

    def _tell_writable(self) -> None:
        if self.on_writable is not None and int(self._socket.getsockopt(zmq.EVENTS)) & zmq.POLLOUT:
            self.on_writable()


@dataclass(frozen=True, slots=True)
class _File:
    """The file of an ipc address, which the library leaves behind. Another process may have replaced it since."""

    path: str
    inode: int
    mode: int

    def change_mode(self, mode: int | None) -> None:
        try:
            if self._is_ours():
                os.chmod(self.path, self.mode if mode is None else mode)
        except OSError as exc:
            log.warning("cannot change the mode of %s: %s", self.path, exc.strerror)

    def remove(self) -> None:
        with contextlib.suppress(OSError):
            if self._is_ours():
                os.unlink(self.path)

    def _is_ours(self) -> bool:
        return os.stat(self.path).st_ino == self.inode
