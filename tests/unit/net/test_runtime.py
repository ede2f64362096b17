from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.unit.net.helpers import eventually, settle

import holdfast.net.runtime as runtime_module
from holdfast.counters import Counters
from holdfast.net.runtime import Runtime, run_at_once


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


async def test_a_process_that_stood_still_reads_before_anything_is_due(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A deadline that what was sent meanwhile moves does not pass. It is waited for once."""
    monkeypatch.setattr(runtime_module, "STALL_S", 0.2)
    monkeypatch.setattr(runtime_module, "CATCH_UP_S", 0.1)
    async with running() as runtime:
        await asyncio.sleep(0.15)
        entry = Entry()
        start_s = runtime.now()
        slot = runtime.wheel.add(start_s + 0.1, entry)
        time.sleep(0.45)  # noqa: ASYNC251 -- that is the point
        await asyncio.sleep(0.02)
        assert entry.fired_at_s == []
        runtime.wheel.remove(slot, entry)
        late = Entry()
        runtime.wheel.add(start_s + 0.1, late)
        time.sleep(0.35)  # noqa: ASYNC251 -- still
        await eventually(lambda: late.fired_at_s, "fired")
        assert entry.fired_at_s == []
        assert [message.startswith("the process stood still for 0.") for message in caplog.messages] == [True]


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


async def test_a_coroutine_that_has_nothing_to_wait_for() -> None:
    async def inner() -> int:
        return 7

    async def outer() -> int:
        return await inner()

    assert run_at_once(outer()) == 7


async def test_a_coroutine_that_waits_after_all() -> None:
    """It does not go on behind our backs."""
    steps: list[str] = []

    async def waits() -> None:
        try:
            await asyncio.sleep(1)
        finally:
            steps.append("closed")

    with pytest.raises(RuntimeError, match=r"waits.* has something to wait for"):
        run_at_once(waits())
    assert steps == ["closed"]


async def test_a_coroutine_that_fails() -> None:
    async def fails() -> None:
        raise ValueError("reason")

    with pytest.raises(ValueError, match="reason"):
        run_at_once(fails())
