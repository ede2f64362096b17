"""The running process as the network layer sees it: loop, clock, timers, the one door to new tasks."""

from __future__ import annotations

import asyncio
import logging
import math
import time
from collections.abc import Callable, Coroutine
from typing import Any, Protocol, TypeVar, cast

from holdfast.counters import Counters
from holdfast.timers import TimerWheel

log = logging.getLogger("holdfast.net.runtime")

TICK_S = 0.1
"""Precision of all timeouts and keep-alives. Ten wake-ups a second are not measurable; finer ones would be."""

STALL_S = 1.0
"""A tick that is later than this means that the process stood still: it was stopped, or its machine was."""

CATCH_UP_S = 0.5
"""How long nothing is due after that, so that what peers have sent meanwhile is read before they count as silent."""


Work = Coroutine[Any, Any, None]


T = TypeVar("T")


def run_at_once(coroutine: Coroutine[Any, Any, T]) -> T:
    """The result of a coroutine that is known to find nothing to wait for, so that it needs no task."""
    try:
        coroutine.send(None)
    except StopIteration as done:
        return cast(T, done.value)
    coroutine.close()
    raise RuntimeError(f"{coroutine!r} has something to wait for")


class Cancellable(Protocol):
    """Work in progress: a task, or something that goes on by callbacks."""

    def cancel(self) -> object:
        """Stop, because nobody waits for it any more."""
        ...


class Runtime:
    """What every part that talks to the network shares.

    Args:
        loop: the running event loop.
        counters: the process's counters.

    Attributes:
        callbacks: work in progress that has no task; it enters and removes itself.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, counters: Counters) -> None:
        self.loop = loop
        self.counters = counters
        # Not the loop's own clock, which stands still within a turn: what came first is asked of it too.
        self.now: Callable[[], float] = time.monotonic
        self.wheel = TimerWheel(TICK_S)
        self.callbacks: set[Cancellable] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._tick_due_s = loop.time() + TICK_S
        self._tick = loop.call_later(TICK_S, self._on_tick)

    def spawn(self, coroutine: Work, name: str) -> asyncio.Task[None]:
        """Start a task that is referenced until it ends and whose failure is logged: the only place tasks are made."""
        task = self.loop.create_task(coroutine, name=name)
        self._tasks.add(task)
        task.add_done_callback(self._on_task_done)
        return task

    @property
    def task_count(self) -> int:
        """Tasks, and other work, that have not ended."""
        return len(self._tasks) + len(self.callbacks)

    async def cancel_tasks(self) -> None:
        """Cancel everything that is in progress, and wait until all tasks have ended."""
        for work in list(self.callbacks):
            work.cancel()
        tasks = [task for task in self._tasks if task is not asyncio.current_task()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def close(self) -> None:
        """Stop the clock tick."""
        self._tick.cancel()

    def _on_task_done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (exc := task.exception()) is not None:
            log.error("%s failed: %r", task.get_name(), exc, exc_info=exc)

    def _on_tick(self) -> None:
        late_s = self.loop.time() - self._tick_due_s
        if late_s > STALL_S:
            log.warning("the process stood still for %.1f seconds", late_s)
            self._tick_due_s = math.inf  # once: on a machine that is always late, timers are nevertheless due some time
            self._tick = self.loop.call_later(CATCH_UP_S, self._on_tick)
            return
        has_more = True
        try:
            has_more = self.wheel.advance(self.now())
        finally:
            # An entry that fails must not stop the clock of all others.
            delay_s = 0 if has_more else TICK_S
            self._tick_due_s = self.loop.time() + delay_s
            self._tick = self.loop.call_later(delay_s, self._on_tick)
