"""A delivery: one run on its way to the holds that were subscribed when it was accepted."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Sequence
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.push.channels import Channel
from holdfast.push.run import Run
from holdfast.push.volley import WriteAll, fire

if TYPE_CHECKING:
    from holdfast.push.audience import Share
    from holdfast.push.channels import Hold
    from holdfast.push.socket_hold import SocketHold

log = logging.getLogger("holdfast.push")


class Delivery(Run):
    """One run of items on its way to the holds that were subscribed when it was accepted.

    Args:
        holds: those over HTTP.
        unreached: which of all of them are watched.
        sockets: WebSockets, whose turn is after the others.

    Attributes:
        number: grows in the order of acceptance.
        home: its channel, which may have lost its last subscriber meanwhile.
        messages_sent, messages_lost: plain WebSockets written to, and those that lost it.
        streams_sent, streams_lost: plain stream holds written to, and those that lost it.
        has_watched: there are, or were, watched holds.
        unreached: those of them that have not been reached.
        audience: whom it was for, by route, while reports are wanted.
        paced: writes that wait for their turn under a rate limit.
    """

    __slots__ = (
        "_first_socket",
        "_holds",
        "_position",
        "audience",
        "has_watched",
        "home",
        "messages_lost",
        "messages_sent",
        "number",
        "on_settled",
        "paced",
        "streams_lost",
        "streams_sent",
        "unreached",
        "version",
    )

    def __init__(
        self,
        number: int,
        home: Channel,
        holds: Sequence[Hold],
        unreached: set[Hold],
        sockets: Collection[SocketHold] = (),
    ) -> None:
        super().__init__(home.name)
        self.number = number
        self.home = home
        self.version = home.version
        self.unreached = unreached
        self.on_settled: list[Callable[[], None]] = []
        self.messages_sent = 0
        self.messages_lost = 0
        self.streams_sent = 0
        self.streams_lost = 0
        self.paced = 0
        self.audience: dict[str, Share] | None = None
        self._holds: list[Hold] = [*holds, *sockets]
        self._first_socket = len(holds)
        self.has_watched = bool(unreached)
        self._position = 0

    @property
    def remaining(self) -> int:
        """Holds that have not had their turn."""
        return len(self._holds) - self._position

    def watch(self, hold: Hold) -> None:
        """From now on the hold's order across channels is watched; does nothing if it has had its turn here."""
        if hold in self._holds[self._position :]:
            self.unreached.add(hold)
            self.has_watched = True

    def write_slice(
        self,
        limit: int,
        catch_up: Callable[[Hold, Delivery], None],
        write_all: WriteAll | None = None,
        *,
        is_oldest: bool = False,
    ) -> int:
        """Deliver to up to `limit` holds, all of them WebSockets or none; returns how many there were.

        Args:
            catch_up: what is done instead for holds whose order across channels is watched.
            write_all: writes to many at once; None if nobody can.
            is_oldest: see `fire`.
        """
        start = self._position
        is_sockets = start >= self._first_socket
        end = start + limit if is_sockets else min(start + limit, self._first_socket)
        holds = self._holds[start:end]
        self._position += len(holds)
        count = len(holds)
        data = self.simple_frames if is_sockets else self.simple_chunk
        if data and write_all is not None:
            taken, holds = fire(self, data, holds, write_all, is_oldest=is_oldest)
            if is_sockets:
                self.messages_sent += taken
            else:
                self.streams_sent += taken
        for hold in holds:
            try:
                if self.has_watched and hold.is_order_watched:
                    catch_up(hold, self)
                elif hold.is_open:
                    hold.receive(self)
            except Exception:
                log.exception("delivery to a %s failed", hold.describe())
        return count

    def settle(self, counters: Counters) -> None:
        """Write the results into the receipts. Runs that all plain streams shared are counted here, once."""
        for receipt in self._streamed:
            receipt.streams += self.streams_sent
            receipt.dropped += self.streams_lost
            counters.deliveries += self.streams_sent
        for receipt in self._messaged:
            receipt.sockets += self.messages_sent
            receipt.dropped += self.messages_lost
            counters.deliveries += self.messages_sent
        for item, receipt in self.entries:
            log.info("publish channel=%s receivers=%d", item.channel, receipt.receivers)
        self._holds = []
        self._position = 0
        self.forget()
