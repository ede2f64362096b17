"""Sessions that outlive their client, because their backend is still to be told that it has left (ws spec §1.4).

Backends may take minutes to answer, and clients come and go much faster: how many such sessions there are is bounded.
When a crowd leaves, few of them begin in each turn of the loop: the next ones use the backend connections of those that
have been answered meanwhile, and neither connections nor memory for all of them are needed at once. Nobody waits for an
answer to somebody else, so a backend that hangs delays none. An orderly stop waits for them.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from holdfast.counters import Counters

STARTS_PER_TURN = 10


class Farewells:
    """Those who are saying their last word.

    Args:
        max_open: at once; the backends of further ones are not told.
    """

    def __init__(self, max_open: int, counters: Counters) -> None:
        self._max_open = max_open
        self._counters = counters
        self._open: set[object] = set()
        self._is_empty = asyncio.Event()
        self._is_empty.set()
        self._waiting: deque[Callable[[], None]] = deque()
        self._is_closed = False

    def __len__(self) -> int:
        return len(self._open)

    def begin(self, who: object) -> bool:
        """Whether there is room for one more; whoever gets it calls `end`."""
        if len(self._open) >= self._max_open:
            self._counters.farewells_refused += 1
            return False
        self._open.add(who)
        self._is_empty.clear()
        return True

    def start_in_turn(self, start: Callable[[], None]) -> None:
        """Call `start` soon, after those that have come before; never once this is closed."""
        if self._is_closed:
            return
        self._waiting.append(start)
        if len(self._waiting) == 1:
            asyncio.get_running_loop().call_soon(self._start_some)

    def _start_some(self) -> None:
        starts = [self._waiting.popleft() for _ in range(min(len(self._waiting), STARTS_PER_TURN))]
        if self._waiting:
            asyncio.get_running_loop().call_soon(self._start_some)
        for start in starts:
            start()

    def close(self) -> None:
        """Start nobody any more: the time of an orderly stop is over."""
        self._is_closed = True
        self._waiting.clear()

    def end(self, who: object) -> None:
        """It is said, or cannot be. Nothing happens when nothing was begun."""
        self._open.discard(who)
        if not self._open:
            self._is_empty.set()

    async def ended(self) -> None:
        """Wait until nobody is saying anything."""
        await self._is_empty.wait()
