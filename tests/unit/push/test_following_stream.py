"""Streams whose filters ask the network (grip spec §11.4): what waits, and in which order it goes on.

What those do that have a next link is in `test_recovering_stream`.
"""

from __future__ import annotations

from tests.unit.push.helpers import (
    DEBUG_ROUTE,
    HTTP10,
    World,
    at,
    filtered_stream,
    let_pass,
    phase,
    stream_hint,
    text,
    waiting,
    with_intake,
)

from holdfast.push.intake import Phase
from holdfast.push.render import ItemSkipped


class TestNetworkFilters:
    """The hold's queue waits; order is kept."""

    def test_one_item(self) -> None:
        world = World()
        client = filtered_stream(world)
        [receipt] = world.publish(text("c", "x"))
        world.run()
        assert (world.backends.filtering, phase(client), client.writes) == ([client.hold], Phase.FILTERING, [])
        assert (receipt.queued, receipt.receivers) == (1, 0)
        let_pass(client, b"new")
        assert (client.content, phase(client), receipt.receivers) == ("new", Phase.OPEN, 1)

    def test_others_wait_behind_it(self) -> None:
        world = World()
        client = filtered_stream(world)
        receipts = world.publish(text("c", "1"), text("d", "2"), text("c", "3"), text("d", "4"))
        world.run()
        assert (client.writes, waiting(client)) == ([], 4)
        let_pass(client, b"one")
        assert (client.writes, phase(client), len(world.backends.filtering)) == (["one", "2"], Phase.FILTERING, 2)
        let_pass(client, b"three")
        assert (client.writes, phase(client), waiting(client)) == (["one", "2", "three", "4"], Phase.OPEN, 0)
        assert [(receipt.receivers, receipt.queued) for receipt in receipts] == [(1, 1)] * 4

    def test_other_channels_do_not_wait_for_nothing(self) -> None:
        world = World()
        client = filtered_stream(world)
        world.deliver(text("d", "x"))
        assert (client.content, world.backends.filtering) == ("x", [])

    def test_failed(self) -> None:
        world = World()
        client = filtered_stream(world)
        receipts = world.publish(text("c", "x"))
        world.run()
        with_intake(client).skipped(ItemSkipped("filter error: http-modify: x", is_failure=True))
        assert (client.end, phase(client), receipts[0].dropped) == (None, Phase.OPEN, 1)
        assert world.counters.drops_filter_failed == 1

    def test_failed_in_debug_mode(self) -> None:
        world = World()
        client = world.stream(at(None, "c", "http-check"), route=DEBUG_ROUTE, framing=HTTP10)
        world.deliver(text("c", "x"), text("c", "y"))
        with_intake(client).skipped(ItemSkipped("filter error: http-check: x", is_failure=True))
        assert client.end == b"\n\nfilter error: http-check: x\n"
        assert len(world.backends.filtering) == 1
        world.assert_empty()

    def test_ended_meanwhile(self) -> None:
        world = World()
        client = filtered_stream(world)
        world.deliver(text("c", "1"))
        client.leave()
        assert with_intake(client).rendering() is None
        with_intake(client).filtered(b"x")
        with_intake(client).skipped(ItemSkipped())
        assert client.writes == []
        world.assert_empty()

    def test_a_hint(self) -> None:
        """There is no link to ask: nothing happens, and nothing is lost."""
        world = World()
        client = world.stream(at(None, "c", "http-check"), "d")
        world.deliver(text("c", "x"), text("c", "y"))
        world.deliver(stream_hint("d"))
        world.deliver(text("d", "z"))
        for _ in range(2):
            assert phase(client) is Phase.FILTERING
            with_intake(client).filtered(b"!")
        assert (client.content, phase(client)) == ("!!z", Phase.OPEN)
