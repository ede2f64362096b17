"""A process without descriptors for its backends: each connection that cannot be opened counts, and the log says why.

Requests fail one by one then, each with a line that looks like any other failure. What they have in common is said
once, loudly, and again while it lasts.
"""

from __future__ import annotations

import errno
import logging
import math

from holdfast.counters import Counters

log = logging.getLogger("holdfast.net.backend")

AGAIN_S = 10.0
"""From one line to the next, for as long as it lasts."""

NO_DESCRIPTOR = frozenset({errno.EMFILE, errno.ENFILE})
"""The process has no more, or the system."""


class DescriptorShortage:
    """Connections to backends that could not be opened because there was no descriptor for them."""

    def __init__(self, counters: Counters) -> None:
        self._counters = counters
        self._told_s = -math.inf
        self._untold = 0

    def note(self, exc: OSError, now_s: float) -> None:
        """A connection could not be opened; nothing happens if that had another reason."""
        if exc.errno not in NO_DESCRIPTOR:
            return
        self._counters.backend_descriptors_missing += 1
        self._untold += 1
        if now_s - self._told_s < AGAIN_S:
            return
        log.error(
            "backends: cannot connect: %s; requests fail (%d more). "
            "Raise the limit of open files, or lower client_maxconn",
            exc.strerror or exc,
            self._untold,
        )
        self._told_s, self._untold = now_s, 0
