"""Descriptors of the process: as many as the system allows, in a table that need not grow while clients wait."""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource
import sys

MAX_ROOM = 262_144
"""Descriptors for which room is made at the start: 2 MB of the system's memory. A table for more grows when it must."""


def raise_limit() -> int:
    """Every client is a descriptor: use all that the system allows, and return how many those are."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    except (ValueError, OSError):
        return soft
    return hard if hard != resource.RLIM_INFINITY else sys.maxsize


def make_room(count: int) -> None:
    """Have the system's table of our descriptors large enough for so many, while there is one thread only.

    Linux doubles a table that is full, which is fast in a process of one thread. With more it waits until no processor
    can be looking at the old table: 7 to 16 ms were measured, at the 64th, 256th, 512th, 1,024th ... client, in which
    nobody is served. A table never shrinks.
    """
    # Without a descriptor, or where so many are not allowed, it grows when it must.
    with contextlib.suppress(OSError), open(os.devnull, "rb") as some_file:
        os.close(fcntl.fcntl(some_file, fcntl.F_DUPFD_CLOEXEC, min(count, MAX_ROOM) - 1))
