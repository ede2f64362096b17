"""Sockets on which both sides speak at any time: WebSockets, whose frames are a matter of their owner.

A duplex hands what the peer sends to its owner as it comes, and writes what it is given. It is a parked descriptor
(`parked_duplex`), or keeps its transport where it cannot be parked (`connection_duplex`: TLS, systems without epoll).
Nothing is read before the owner wants it.
"""

from __future__ import annotations

import logging
from typing import Protocol

from holdfast.logs import LIMITED
from holdfast.net.outlets import Borrower, Described, Line

log = logging.getLogger("holdfast.net.duplex")

CLOSE_TIMEOUT_S = 10.0
"""How long a peer may take to read the last bytes and close, before the connection is cut."""

LAST_WORDS_S = 60.0
"""How long an owner that does not want to read may take for what a peer has said that is gone."""


class DuplexOwner(Described, Protocol):
    """Whose connection it is."""

    def on_data(self, data: bytes) -> None:
        """The peer has sent bytes."""
        ...

    def on_gone(self) -> None:
        """The peer has closed or broken the connection, or was cut off; the duplex must not be used any more."""
        ...

    def on_drained(self) -> None:
        """The peer, which was blocked, has taken what was written."""
        ...

    def end(self) -> None:
        """The process stops: close in good order."""
        ...


class Duplex(Protocol):
    """One such connection."""

    @property
    def is_blocked(self) -> bool:
        """Whether the peer has not yet taken what was written."""
        ...

    @property
    def direct_fd(self) -> int | None:
        """See `Outlet`."""
        ...

    def lend(self, borrower: Borrower) -> Line:
        """See `Outlet`."""
        ...

    @property
    def unsent_bytes(self) -> int:
        """Bytes that the peer has not taken."""
        ...

    def write(self, data: bytes) -> bool | None:
        """Send or queue what is published; False: lost because the peer is slow, None: it is gone."""
        ...

    def relay(self, data: bytes) -> None:
        """Send or queue what another peer sent, which is no longer read from while this one `is_blocked`.

        It does not count against the bound of what is published: nobody is too slow because of it.
        """
        ...

    def pause_reading(self) -> None:
        """Stop taking what the peer sends."""
        ...

    def resume_reading(self) -> None:
        """Take what the peer sends."""
        ...

    def close(self) -> None:
        """Close when everything is sent. The owner is not told of anything after this."""
        ...

    def abort(self) -> None:
        """Close at once. The owner is not told of anything after this."""
        ...

    @property
    def peer_address(self) -> str:
        """IP address of the peer; empty text for one that has none, or is gone."""
        ...

    def describe(self) -> str:
        """Address and port of the peer, for logs."""
        ...


def note_unheard(owner: Described) -> None:
    """Log that the peer of `owner` is gone, and what it said last was not taken within `LAST_WORDS_S`."""
    text = "%s: a peer is gone, and what it said last was not taken within %d seconds and is lost"
    log.warning(text, owner.describe(), LAST_WORDS_S, extra=LIMITED)
