"""A volley: the same bytes for many clients, written one right after the other.

What lies between two system calls costs more than elsewhere: each of them leaves little in the processor's caches of
what the program was about. So a slice of a run is not "look at a hold, write, look at the next one". First every hold
is asked whether it takes the run's bytes as they are, which nearly all do, and then there are only writes.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from holdfast.push.channels import Hold
    from holdfast.push.delivery import Delivery
    from holdfast.push.lending import Line

log = logging.getLogger("holdfast.push")


class BulkWriter(Protocol):
    """Writes to many clients at once."""

    def write_all(self, fds: Sequence[int], data: bytes) -> int:
        """Write `data` to all; returns how many have it, or will when they have room: the others have left."""
        ...

    def send_all(self, lines: Sequence[Line], data: bytes) -> int:
        """The same through lines, which were lent."""
        ...


class Volley(NamedTuple):
    """What became of one.

    taken: how many clients have it, or will when they have room.
    others: the holds that have to be given the run singly.
    """

    taken: int
    others: list[Hold]


def fire(delivery: Delivery, data: bytes, holds: list[Hold], writer: BulkWriter, *, is_oldest: bool) -> Volley:
    """Write `data`, the ready bytes of a run, to those of the holds that take it as it is.

    Args:
        is_oldest: no run that was accepted earlier is still on its way, so that nobody has to be brought up to date.
    """
    fds: list[int] = []
    others: list[Hold] = []
    unreached = delivery.unreached
    for hold in holds:
        fd: int | None = None
        try:
            if not delivery.has_watched or not hold.is_order_watched:
                fd = hold.claim(delivery)
            elif is_oldest and hold in unreached and (fd := hold.claim(delivery)) is not None:
                unreached.discard(hold)
        except Exception:
            log.exception("claiming a run for a %s failed", hold.describe())
        if fd is not None:
            fds.append(fd)
        else:
            others.append(hold)
    return Volley(writer.write_all(fds, data), others)
