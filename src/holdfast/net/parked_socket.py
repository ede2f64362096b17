"""A socket in the parking lot: a bare descriptor, and an outbox while its peer is slow."""

from __future__ import annotations

import abc
import contextlib
import errno
import os
import select
import socket
from collections.abc import Iterator
from typing import TYPE_CHECKING

from holdfast.net.outbox import Outbox
from holdfast.net.sockets import address_of, describe_peer

if TYPE_CHECKING:
    from holdfast.net.outlets import Borrower, Line
    from holdfast.net.parking import ParkingLot

LISTEN = select.EPOLLIN | select.EPOLLRDHUP if hasattr(select, "EPOLLRDHUP") else 0
BROKEN = select.EPOLLHUP | select.EPOLLERR if hasattr(select, "EPOLLRDHUP") else 0
GONE = select.EPOLLRDHUP | BROKEN if hasattr(select, "EPOLLRDHUP") else 0


@contextlib.contextmanager
def _borrowed(fd: int) -> Iterator[socket.socket]:
    """A socket object for a descriptor that stays open. It takes no descriptor more: there may be none.

    Raises OSError when it was closed before.
    """
    if fd < 0:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    sock = socket.socket(fileno=fd)
    try:
        yield sock
    finally:
        sock.detach()


def peer_name(fd: int) -> object:
    """The address of the peer, as sockets tell it. Raises OSError when it is gone."""
    with _borrowed(fd) as sock:
        return sock.getpeername()


class ParkedSocket(abc.ABC):
    """A parked socket. What it is used for is a matter of its kind.

    Invariant: the descriptor is in the lot's table exactly while it is registered with epoll. Afterwards `_fd` is -1: a
    write that comes too late meets no descriptor, rather than one that belongs to somebody else by then.

    Attributes:
        direct_fd: the descriptor for writes without asking first: nothing waits, and nobody objects. Or None. Whoever
            was lent a line is told when it becomes that.
    """

    __slots__ = ("_borrower", "_fd", "_line", "_lot", "_outbox", "direct_fd")

    def __init__(self, lot: ParkingLot, fd: int) -> None:
        self._lot = lot
        self._fd = fd
        self._outbox: Outbox | None = None
        self.direct_fd: int | None = None
        self._borrower: Borrower | None = None
        self._line: socket.SocketType | None = None

    def lend(self, borrower: Borrower) -> Line:
        """See `Outlet`.

        A socket object closes its descriptor when it is forgotten. So there is one at most, kept until it is recalled,
        and detached then.
        """
        if self._line is None:
            self._line = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM, 0, self._fd)
        self._borrower = borrower
        return self._line

    def _recall(self) -> None:
        """From now on nobody may write to the descriptor without asking."""
        self.direct_fd = None
        line, self._line = self._line, None
        borrower, self._borrower = self._borrower, None
        if line is not None:
            line.detach()
        if borrower is not None:
            borrower.on_recalled()

    @property
    def is_blocked(self) -> bool:
        """Whether the peer has not yet taken what was written."""
        return self._outbox is not None

    @property
    def outbox_bytes(self) -> int:
        """How much the peer has not yet taken."""
        return len(self._outbox) if self._outbox is not None else 0

    @property
    def is_parked(self) -> bool:
        """Whether it is still in the lot."""
        return self._fd >= 0

    def describe(self) -> str:
        """Address and port of the peer, for logs."""
        try:
            return describe_peer(self._peer_name())
        except OSError:
            return "gone"

    @property
    def peer_address(self) -> str:
        """IP address of the peer; empty text for one that has none, or is gone."""
        try:
            return address_of(self._peer_name())
        except OSError:
            return ""

    def _peer_name(self) -> object:
        return peer_name(self._fd)

    @abc.abstractmethod
    def on_events(self, events: int) -> None:
        """What epoll reported for the descriptor."""

    @abc.abstractmethod
    def end_hold(self) -> None:
        """The process stops: end in good order what is going on."""

    @abc.abstractmethod
    def mask(self) -> int:
        """The events that matter now, apart from room for more output."""

    @abc.abstractmethod
    def _leave(self) -> None:
        """The peer is gone, or must go: close the descriptor, and tell whom it concerns."""

    def _break_off(self) -> None:
        """The peer takes no more; it may have said why before that, where that matters."""
        self._leave()

    @abc.abstractmethod
    def _on_drained(self) -> None:
        """The peer has taken everything."""

    @abc.abstractmethod
    def _on_progress(self) -> None:
        """The peer has taken something."""

    def go_on_writing(self, data: bytes, sent: int) -> bool:
        """Of `data`, `sent` bytes were written to `direct_fd`: send or queue the rest; False when the peer is gone."""
        return self._send(data, sent) is True

    def _send(self, data: bytes, sent: int = 0) -> bool | None:
        """Write now what the system takes of what is not sent, and queue the rest; None when the peer is gone."""
        if self._outbox is not None:
            self._outbox.append(data)
            return True
        try:
            sent += os.write(self._fd, memoryview(data)[sent:] if sent else data)
        except BlockingIOError:
            pass
        except OSError:
            self._break_off()
            return None
        if sent < len(data):
            self._outbox = Outbox(data, sent)
            self._recall()
            self._lot.slow.add(self)
            self._watch()
        return True

    def _flush(self) -> None:
        if self._outbox is None:
            return
        try:
            is_empty = self._outbox.write_to(self._fd)
        except BlockingIOError:
            return
        except OSError:
            self._break_off()
            return
        if not is_empty:
            self._on_progress()
            return
        self._drop_outbox()
        self._watch()
        self._on_drained()

    def _drop_outbox(self) -> None:
        if self._outbox is not None:
            self._outbox = None
            self._lot.slow.discard(self)

    def _watch(self) -> None:
        """Tell epoll what matters now."""
        mask = self.mask()
        if self._outbox is not None:
            mask |= select.EPOLLOUT
        self._lot.watch(self._fd, mask)

    def _shut_down(self) -> None:
        """Send the end of the stream; the socket may be broken already."""
        with contextlib.suppress(OSError), _borrowed(self._fd) as sock:
            sock.shutdown(socket.SHUT_WR)

    def _forget(self) -> int:
        """Leave the lot; returns the descriptor, which is still open."""
        self._recall()
        self._drop_outbox()
        self._lot.forget(self._fd)
        fd, self._fd = self._fd, -1
        return fd
