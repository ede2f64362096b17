"""The innermost loops of the fan-out: nothing but writes."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator, Sequence
from itertools import repeat
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from holdfast.net.outlets import Line

_send = cast("Callable[[Line, bytes], int]", socket.SocketType.send)  # every line that is lent is one of those


def write_to_all(fds: Sequence[int], data: bytes) -> list[tuple[int, int]]:
    """Write `data` to every descriptor.

    Returns:
        Those that did not take all of it: the position in `fds`, and how many bytes were taken. One that is broken has
        taken none, like one that is full: the next write to it tells.
    """
    return _incomplete(map(os.write, fds, repeat(data)), len(fds), len(data))


def send_to_all(lines: Sequence[Line], data: bytes) -> list[tuple[int, int]]:
    """Write `data` to every line, which takes less of the processor than to a descriptor. See `write_to_all`."""
    return _incomplete(map(_send, lines, repeat(data)), len(lines), len(data))


def _incomplete(writes: Iterator[int], count: int, size: int) -> list[tuple[int, int]]:
    """Make `count` writes: a loop in C. One that fails is over, and the next one follows."""
    taken: list[int] = []
    while len(taken) < count:
        try:
            taken.extend(writes)
        except OSError:
            taken.append(0)
    if taken.count(size) == count:
        return []
    return [(position, sent) for position, sent in enumerate(taken) if sent != size]
