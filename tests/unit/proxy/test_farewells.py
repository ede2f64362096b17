"""How many sessions may outlive their client, and who waits for them."""

from __future__ import annotations

import asyncio

from tests.unit.net.helpers import settle

from holdfast.counters import Counters
from holdfast.proxy.farewells import STARTS_PER_TURN, Farewells


async def test_room_for_so_many() -> None:
    counters = Counters()
    farewells = Farewells(2, counters)
    assert [farewells.begin(name) for name in "abc"] == [True, True, False]
    assert (len(farewells), counters.farewells_refused) == (2, 1)
    farewells.end("c")
    farewells.end("a")
    assert farewells.begin("c")


async def test_waiting_for_the_last() -> None:
    farewells = Farewells(2, Counters())
    await farewells.ended()
    for name in "ab":
        farewells.begin(name)
    async with asyncio.TaskGroup() as group:
        waiting = group.create_task(farewells.ended())
        farewells.end("a")
        await settle()
        assert not waiting.done()
        farewells.end("b")


async def test_few_start_in_each_turn_and_in_order() -> None:
    farewells = Farewells(2, Counters())
    started: list[int] = []
    for number in range(2 * STARTS_PER_TURN + 1):
        farewells.start_in_turn(lambda number=number: started.append(number))  # type: ignore[misc]
    counts = []
    for _ in range(4):
        counts.append(len(started))
        await asyncio.sleep(0)
    assert counts == [0, STARTS_PER_TURN, 2 * STARTS_PER_TURN, 2 * STARTS_PER_TURN + 1]
    assert started == sorted(started)


async def test_one_that_starts_another() -> None:
    farewells = Farewells(2, Counters())
    started: list[str] = []

    def first() -> None:
        started.append("first")
        farewells.start_in_turn(lambda: started.append("second"))

    farewells.start_in_turn(first)
    await asyncio.sleep(0)
    assert started == ["first"]
    await asyncio.sleep(0)
    assert started == ["first", "second"]


async def test_nobody_starts_after_the_close() -> None:
    farewells = Farewells(2, Counters())
    started: list[str] = []
    farewells.start_in_turn(lambda: started.append("before"))
    farewells.close()
    farewells.start_in_turn(lambda: started.append("after"))
    await settle()
    assert started == []
