from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.net.helpers import eventually, settle

from holdfast.counters import Counters
from holdfast.net.runtime import Runtime


@asynccontextmanager
async def running() -> AsyncIterator[Runtime]:
    runtime = Runtime(asyncio.get_running_loop(), Counters())
    try:
        yield runtime
    finally:
        await runtime.cancel_tasks()
        runtime.close()


class Entry:
    def __init__(self) -> None:
        self.fired_at_s: list[float] = []

    def on_timer(self, now_s: float) -> None:
        self.fired_at_s.append(now_s)


class Faulty(Entry):
    def on_timer(self, now_s: float) -> None:
        super().on_timer(now_s)
        raise RuntimeError("broken")


async def test_the_clock_ticks() -> None:
    async with running() as runtime:
        entry = Entry()
        due_s = runtime.now() + 0.05
        runtime.wheel.add(due_s, entry)
        await eventually(lambda: entry.fired_at_s, "fired")
        assert due_s <= entry.fired_at_s[0] < due_s + 1


async def test_many_timers_fire_in_turns() -> None:
    """Without a pause between the turns."""
    async with running() as runtime:
        entries = [Entry() for _ in range(2500)]
        for entry in entries:
            runtime.wheel.add(0, entry)
        await eventually(lambda: not len(runtime.wheel), "all fired")
        times = [entry.fired_at_s[0] for entry in entries]
        assert max(times) - min(times) < 0.09


async def test_a_timer_that_fails_does_not_stop_the_clock() -> None:
    errors: list[dict[str, Any]] = []
    async with running() as runtime:
        runtime.loop.set_exception_handler(lambda _, context: errors.append(context))
        faulty, entry = Faulty(), Entry()
        runtime.wheel.add(0, faulty)
        await eventually(lambda: faulty.fired_at_s, "failed")
        runtime.wheel.add(0, entry)
        await eventually(lambda: entry.fired_at_s, "fired")
        assert [str(context["exception"]) for context in errors] == ["broken"]


async def test_tasks_are_counted_until_they_end() -> None:
    async with running() as runtime:
        gate = asyncio.Event()

        async def work() -> None:
            await gate.wait()

        task = runtime.spawn(work(), "work")
        assert (runtime.task_count, task.get_name()) == (1, "work")
        gate.set()
        await task
        await settle()
        assert runtime.task_count == 0


async def test_a_task_that_fails_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    async def work() -> None:
        raise RuntimeError("broken")

    async with running() as runtime:
        runtime.spawn(work(), "work")
        await eventually(lambda: runtime.task_count == 0, "ended")
        assert caplog.messages == ["work failed: RuntimeError('broken')"]


async def test_all_tasks_can_be_cancelled_by_one_of_them(caplog: pytest.LogCaptureFixture) -> None:
    """Which is not cancelled itself; and cancelling is no failure."""
    async with running() as runtime:
        ended: list[str] = []

        async def wait() -> None:
            try:
                await asyncio.Event().wait()
            finally:
                ended.append("wait")

        async def stop() -> None:
            await runtime.cancel_tasks()
            ended.append("stop")

        for _ in range(2):
            runtime.spawn(wait(), "wait")
        await settle()
        runtime.spawn(stop(), "stop")
        await eventually(lambda: runtime.task_count == 0, "ended")
        assert ended == ["wait", "wait", "stop"] and not caplog.messages
