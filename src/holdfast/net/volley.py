"""The innermost loop of the fan-out: nothing but writes."""

from __future__ import annotations

import os
from collections.abc import Sequence


def write_to_all(fds: Sequence[int], data: bytes) -> list[tuple[int, int]]:
    """Write `data` to every descriptor.

    Returns:
        Those that did not take all of it: the position in `fds`, and how many bytes were taken. One that is broken has
        taken none, like one that is full: the next write to it tells.
    """
    write, size = os.write, len(data)
    unfinished = []
    for position, fd in enumerate(fds):
        try:
            sent = write(fd, data)
        except OSError:
            sent = 0
        if sent != size:
            unfinished.append((position, sent))
    return unfinished
