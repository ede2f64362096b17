"""What a hold writes to: the rules that parked descriptors and awake connections have in common."""

from __future__ import annotations

import enum
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from holdfast.counters import Counters
from holdfast.logs import LIMITED

if TYPE_CHECKING:
    from holdfast.net.client import ClientConnection
    from holdfast.net.exchange import ClientExchange
    from holdfast.wire.http1.head import RequestHead

log = logging.getLogger("holdfast.net.outlets")


class OutboxPolicy(enum.Enum):
    """What happens when the outbox of a slow client is full."""

    DISCONNECT = "disconnect"
    DROP = "drop"


@dataclass(frozen=True, slots=True)
class OutboxLimits:
    """Bound and policy of every outbox.

    Args:
        max_bytes: bytes that one client may owe before the policy applies.
    """

    max_bytes: int
    policy: OutboxPolicy


class Described(Protocol):
    """Who can be named in a log line."""

    def describe(self) -> str:
        """What it is."""
        ...


class Line(Protocol):
    """A socket object on a descriptor that somebody else owns: the shortest way to one client."""

    def fileno(self) -> int:
        """The descriptor; -1 once it has been recalled."""
        ...

    def send(self, data: bytes, /) -> int:
        """Write what the system takes; returns how many bytes. Raises OSError, also once it has been recalled."""
        ...


class Borrower(Protocol):
    """Who keeps a line for longer than a moment."""

    def on_recalled(self) -> None:
        """Do not send through it any more: something waits for the peer, or it has left."""
        ...


class OutletOwner(Described, Protocol):
    """The hold behind an outlet."""

    def on_client_gone(self) -> None:
        """The client left, or was disconnected. The outlet must not be used any more."""
        ...

    def on_drained(self) -> None:
        """The client, which was blocked, has taken what was written."""
        ...

    def end(self) -> None:
        """The process stops: end the response in good order."""
        ...


class Outlet(Protocol):
    """Where the bytes of a held response go."""

    @property
    def direct_fd(self) -> int | None:
        """The descriptor, while what is published can be written to it as well as to this; else None."""
        ...

    def lend(self, borrower: Borrower) -> Line:
        """Let `borrower` keep a line to `direct_fd`, which is not None, until it is recalled.

        There is one borrower at a time.
        """
        ...

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not yet taken what was written."""
        ...

    def write(self, data: bytes) -> bool | None:
        """Send or queue bytes; False: lost because the client is slow, None: it is gone."""
        ...

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        """Send the end of the response; the owner is not told of anything after this."""
        ...

    @property
    def client_address(self) -> str:
        """IP address of the client, or empty text on a Unix socket."""
        ...

    def reopen(self, head: RequestHead, body: bytes) -> ClientExchange | None:
        """Take the client back, before anything of its response was sent, to answer its request anew.

        Returns:
            The exchange, or None when the client has left.
        """
        ...

    def describe(self) -> str:
        """Address and port of the client, for logs."""
        ...


def reject_when_full(
    client: str, owner: Described, limits: OutboxLimits, counters: Counters, pending_bytes: int
) -> bool:
    """Apply the policy to a delivery that does not fit; returns whether the client must be disconnected."""
    counters.drops_outbox_full += 1
    if limits.policy is OutboxPolicy.DROP:
        log.warning(
            "client %s on %s is slow: %d bytes are waiting, limit %d; delivery dropped",
            client,
            owner.describe(),
            pending_bytes,
            limits.max_bytes,
            extra=LIMITED,
        )
        return False
    counters.slow_clients_disconnected += 1
    log.warning(
        "client %s on %s is too slow: %d bytes are waiting, limit %d; disconnected",
        client,
        owner.describe(),
        pending_bytes,
        limits.max_bytes,
        extra=LIMITED,
    )
    return True


class Undirected:
    """An outlet, or a duplex, that nobody writes around."""

    __slots__ = ()

    direct_fd = None

    def lend(self, borrower: Borrower) -> Line:
        """See `Outlet`. There is nothing to lend."""
        raise AssertionError(f"{type(self).__name__} has no descriptor to lend to {borrower!r}")


class ConnectionOutlet(Undirected):
    """The outlet of a hold whose client keeps its transport: TLS clients, and systems without epoll."""

    __slots__ = ("_connection", "_limits", "_owner")

    def __init__(self, connection: ClientConnection, owner: OutletOwner, limits: OutboxLimits) -> None:
        self._connection = connection
        self._owner: OutletOwner | None = owner
        self._limits = limits

    @property
    def is_blocked(self) -> bool:
        """Whether the client has not yet taken what was written."""
        return self._connection.is_write_paused

    def write(self, data: bytes) -> bool | None:
        """Send or queue bytes of the held response; False: lost because the client is slow, None: it is gone."""
        if self._owner is None:
            return None
        waiting = self._connection.unsent_bytes
        if waiting and waiting + len(data) > self._limits.max_bytes:
            return self._reject(waiting)
        self._connection.write(data)
        return True

    def write_first(self, data: bytes) -> None:
        """Send the beginning of a response, whatever its size."""
        self._connection.write(data)

    def finish(self, data: bytes, *, is_reusable: bool) -> None:
        """Send the end of the response; the owner is not told of anything after this."""
        self._owner = None
        self._connection.write(data)
        self._connection.end_exchange(is_persistent=is_reusable and not self._connection.edge.is_draining)

    def describe(self) -> str:
        """Address and port of the client, for logs."""
        return self._connection.describe()

    @property
    def client_address(self) -> str:
        """IP address of the client."""
        return self._connection.peer_address

    def reopen(self, head: RequestHead, body: bytes) -> ClientExchange | None:
        """Answer the request anew, before anything of its response was sent; None when the client has left."""
        self._owner = None
        return None if self._connection.is_lost else self._connection.reopen(head, body)

    def end_hold(self) -> None:
        """The process stops."""
        if self._owner is not None:
            self._owner.end()

    def drained(self) -> None:
        """The connection has room again."""
        if self._owner is not None:
            self._owner.on_drained()

    def client_gone(self) -> None:
        """The connection was lost."""
        if self._owner is not None:
            owner, self._owner = self._owner, None
            owner.on_client_gone()

    def _reject(self, waiting: int) -> bool:
        assert self._owner is not None
        counters = self._connection.edge.runtime.counters
        if reject_when_full(self.describe(), self._owner, self._limits, counters, waiting):
            self._connection.cut_off()
            self.client_gone()
        return False
