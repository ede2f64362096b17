"""How many sessions may outlive their client, and who waits for them."""

from __future__ import annotations

import asyncio

from tests.unit.net.helpers import settle

from holdfast.counters import Counters
from holdfast.proxy.farewells import Farewells


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
