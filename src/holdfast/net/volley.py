"""The innermost loop of the fan-out: nothing but writes."""

from __future__ import annotations

import os
from collections.abc import Sequence
from itertools import repeat


def write_to_all(fds: Sequence[int], data: bytes) -> list[tuple[int, int]]:
    """Write `data` to every descriptor.

    Returns:
        Those that did not take all of it: the position in `fds`, and how many bytes were taken. One that is broken has
        taken none, like one that is full: the next write to it tells.
    """
    taken: list[int] = []
    writes = map(os.write, fds, repeat(data))  # a loop in C; one that fails is over, and the next one follows
    while len(taken) < len(fds):
        try:
            taken.extend(writes)
        except OSError:
            taken.append(0)
    size = len(data)
    if taken.count(size) == len(taken):
        return []
    return [(position, sent) for position, sent in enumerate(taken) if sent != size]
