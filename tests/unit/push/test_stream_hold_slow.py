"""Streams that follow ids, of clients that are slow: what they lose they must be able to notice."""

from __future__ import annotations

from tests.unit.push.helpers import Mood, World, recovering, text

from holdfast.grip.values import Subscription
from holdfast.push.link import Link

AT_1 = Subscription("c", prev_id="1")


def follow(world: World) -> None:
    """Let time pass until whoever has to ask the next link has asked."""
    world.pass_time(0.2)


def test_lost_item_is_asked_for() -> None:
    """The item after the one that was lost does not follow."""
    world = World()
    client = world.stream(AT_1, link=Link("next", 100))
    client.outlet.mood = Mood.REFUSES
    assert world.deliver(text("c", "two", item_id="2", prev_id="1")) == [(0, 1)]
    client.outlet.mood = Mood.TAKES
    world.deliver(text("c", "three", item_id="3", prev_id="2"))
    follow(world)
    assert (world.backends.followed, client.content) == ([client.hold], "")


def test_lost_piece_of_a_link_ends_the_stream() -> None:
    """What is left of the answer would go on behind a gap that nobody could see."""
    world = World()
    client = world.stream(AT_1, link=Link("next", 100))
    world.deliver(text("c", "three", item_id="3", prev_id="2"))
    follow(world)
    hold = recovering(client)
    hold.relay(b"two")
    client.outlet.mood = Mood.REFUSES
    hold.relay(b"three")
    assert (client.content, client.end) == ("two", b"0\r\n\r\n")
    hold.relay(b"four")
    world.assert_empty()
