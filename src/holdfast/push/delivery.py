"""A delivery: one run on its way to the holds that were subscribed when it was accepted."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.push.channels import Channel
from holdfast.push.run import Run
from holdfast.push.sweep import NOBODY, Sweep
from holdfast.push.volley import BulkWriter, fire

if TYPE_CHECKING:
    from holdfast.push.audience import Share
    from holdfast.push.channels import Hold
    from holdfast.push.socket_hold import SocketHold
    from holdfast.push.stream_hold import StreamHold

log = logging.getLogger("holdfast.push")


class Delivery(Run):
    """One run of items on its way to the holds that were subscribed when it was accepted.

    Args:
        over_http: those over HTTP.
        sockets: WebSockets, whose turn is after the others.
        unreached: which of all of them are watched.

    Attributes:
        number: grows in the order of acceptance.
        home: its channel, which may have lost its last subscriber meanwhile.
        messages_sent, messages_lost: plain WebSockets written to, and those that lost it.
        streams_sent, streams_lost: plain stream holds written to, and those that lost it.
        has_watched: there are, or were, watched holds.
        outstanding: how many of the holds that it began with the backlog still counts.
        unreached: those of them that have not been reached.
        audience: whom it was for, by route, while reports are wanted.
        paced: writes that wait for their turn under a rate limit.
    """

    __slots__ = (
        "_over_http",
        "_sockets",
        "audience",
        "has_watched",
        "home",
        "messages_lost",
        "messages_sent",
        "number",
        "on_settled",
        "outstanding",
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
        over_http: Sweep = NOBODY,
        sockets: Sweep = NOBODY,
        unreached: set[Hold] | None = None,
    ) -> None:
        super().__init__(home.name)
        self.number = number
        self.home = home
        self.version = home.version
        self.unreached = unreached if unreached is not None else set()
        self.on_settled: list[Callable[[], None]] = []
        self.messages_sent = 0
        self.messages_lost = 0
        self.streams_sent = 0
        self.streams_lost = 0
        self.paced = 0
        self.outstanding = 0
        self.audience: dict[str, Share] | None = None
        self.has_watched = bool(unreached)
        self._over_http = over_http
        self._sockets = sockets

    @property
    def remaining(self) -> int:
        """Holds that have not had their turn, and places that have been left."""
        return len(self._over_http) + len(self._sockets)

    def watch(self, hold: Hold) -> None:
        """From now on the hold's order across channels is watched; does nothing if it has had its turn here."""
        if self._over_http.expects(hold) or self._sockets.expects(hold):
            self.unreached.add(hold)
            self.has_watched = True

    def take_back(self, hold: StreamHold | SocketHold, *, is_socket: bool) -> None:
        """A hold is about to leave its place in a roster of the channel."""
        (self._sockets if is_socket else self._over_http).take_back(hold)

    def write_slice(
        self,
        limit: int,
        catch_up: Callable[[Hold, Delivery], None],
        writer: BulkWriter | None = None,
        *,
        is_oldest: bool = False,
    ) -> int:
        """Deliver to up to `limit` holds, all of them WebSockets or none; returns how many had their turn.

        Args:
            catch_up: what is done instead for holds whose order across channels is watched.
            writer: writes to many at once; None if nobody can.
            is_oldest: see `fire`.
        """
        is_sockets = not self._over_http
        sweep = self._sockets if is_sockets else self._over_http
        data = self.simple_frames if is_sockets else self.simple_chunk
        if not data or writer is None:
            count, holds = sweep.take(limit)
        elif sweep.offer(self):
            count, lines = sweep.take_lines(limit)
            self._note_taken(writer.send_all(lines, data), is_sockets=is_sockets)
            return count
        else:
            count, holds = sweep.take(limit)
            taken, holds = fire(self, data, holds, writer, is_oldest=is_oldest)
            self._note_taken(taken, is_sockets=is_sockets)
        for hold in holds:
            try:
                if self.has_watched and hold.is_order_watched:
                    catch_up(hold, self)
                elif hold.is_open:
                    hold.receive(self)
            except Exception:
                log.exception("delivery to a %s failed", hold.describe())
        return count

    def _note_taken(self, taken: int, *, is_sockets: bool) -> None:
        if is_sockets:
            self.messages_sent += taken
        else:
            self.streams_sent += taken

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
        self._over_http = self._sockets = NOBODY
        self.forget()
