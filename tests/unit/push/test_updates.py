"""Updates: who asks the backend again, and when. Time is told in seconds from the cause."""

from __future__ import annotations

import pytest
from tests.unit.push.helpers import Client, World, answer, hint, next_link, stream_hint, text

from holdfast.grip.values import Subscription
from holdfast.push.response_hold import ResponseHold
from holdfast.push.stream_hold import StreamHold
from holdfast.push.updates import BATCH_HOLDS, BATCH_REQUESTS


def holds(*clients: Client) -> list[ResponseHold]:
    return [client.hold for client in clients if isinstance(client.hold, ResponseHold)]


def soon(world: World, *clients: Client) -> None:
    for hold in holds(*clients):
        world.updates.ask_soon(hold, world.now_s)


class TestSoon:
    def test_after_a_tenth_of_a_second(self) -> None:
        """grip-50"""
        world = World()
        client = world.poll("c")
        soon(world, client)
        assert len(world.updates) == 1
        world.pass_time(0.09)
        assert world.retried == []
        world.pass_time(0.01)
        assert world.retried == holds(client)
        assert (client.end, world.counters.holds_retried) == (None, 1)
        world.assert_empty()

    def test_one_that_fails_does_not_stop_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        clients = [world.poll("c"), world.poll("c")]
        first, second = holds(*clients)
        asked: list[ResponseHold] = []

        def retry(hold: ResponseHold) -> None:
            if hold is first:
                raise RuntimeError("out of order")
            asked.append(hold)

        world.backends.retry = retry  # type: ignore[method-assign]
        soon(world, *clients)
        world.pass_time(0.1)
        assert asked == [second]
        assert len(world.updates) == 0
        assert "asking again for a long poll of c failed" in caplog.text

    def test_once_however_often_it_was_wished(self) -> None:
        world = World()
        client = world.poll("c")
        soon(world, client, client)
        world.pass_time(0.05)
        soon(world, client)
        world.pass_time(1)
        assert world.retried == holds(client)

    @pytest.mark.parametrize("extra", [0, 1])
    def test_in_batches(self, extra: int) -> None:
        """grip spec §7.2: a hundred every tenth of a second, first come, first served."""
        world = World()
        clients = [world.poll("c") for _ in range(2 * BATCH_REQUESTS + extra)]
        soon(world, *clients)
        for size in [0, BATCH_REQUESTS, 2 * BATCH_REQUESTS]:
            assert world.retried == holds(*clients)[:size]
            world.pass_time(0.1)
        assert world.retried == holds(*clients)
        world.pass_time(0.1)
        assert world.calls == []

    def test_starts_again_when_it_had_finished(self) -> None:
        world = World()
        first, second = world.poll("c"), world.poll("c")
        soon(world, first)
        world.pass_time(1)
        soon(world, second)
        world.pass_time(0.1)
        assert world.retried == holds(first, second)

    def test_who_wishes_it_during_a_batch_waits_for_the_next(self) -> None:
        world = World()
        first, second = world.poll("c"), world.poll("c")

        def retry(hold: ResponseHold) -> None:
            world.retried.append(hold)
            if hold is first.hold:
                soon(world, second)

        world.backends.retry = retry  # type: ignore[method-assign]
        soon(world, first)
        world.pass_time(0.1)
        assert world.retried == holds(first)
        world.pass_time(0.1)
        assert world.retried == holds(first, second)

    @pytest.mark.parametrize("how", ["answered", "left", "timed out"])
    def test_not_when_it_has_ended(self, how: str) -> None:
        """The client that is answered in the meantime has what it wanted."""
        world = World()
        client = world.poll("c", timeout_s=5)
        world.pass_time(4.95)
        soon(world, client)
        if how == "answered":
            world.deliver(answer("c", "x"))
        elif how == "left":
            client.leave()
        else:
            world.pass_time(0.05)
        assert len(world.updates) == 0
        world.pass_time(1)
        assert world.retried == []
        world.assert_empty()


class TestNow:
    def test_at_once_and_only_once(self) -> None:
        """A waiting wish is upgraded by an urgent one (grip spec §7.1)."""
        world = World()
        client = world.poll("c")
        soon(world, client)
        world.deliver(hint("c"))
        assert world.retried == holds(client)
        world.pass_time(1)
        assert world.retried == holds(client)
        assert world.counters.holds_retried == 1


class TestFirstSubscription:
    """grip-51"""

    def test_a_second_later(self) -> None:
        world = World(asks_first=True)
        client = world.poll("c")
        world.pass_time(1)
        assert world.retried == []
        world.pass_time(0.2)
        assert world.retried == holds(client)

    def test_everybody_who_is_there_by_then(self) -> None:
        """grip spec §7.3: whoever subscribed first; a stream without next link has nothing to ask."""
        world = World(asks_first=True)
        stream = world.stream("c")
        world.pass_time(0.5)
        clients = [world.poll("c"), world.poll("c")]
        world.pass_time(0.7)
        assert set(world.retried) == set(holds(*clients))
        assert stream.end is None

    def test_not_again_while_the_channel_is_subscribed(self) -> None:
        world = World(asks_first=True)
        world.stream("c")
        world.pass_time(1.5)
        world.poll("c")
        world.pass_time(5)
        assert world.retried == []

    def test_not_again_while_it_lingers(self) -> None:
        world = World(asks_first=True, linger_s=60)
        world.poll("c")
        world.pass_time(30)
        assert len(world.retried) == 1
        world.poll("c")
        world.pass_time(30)
        assert len(world.retried) == 1

    def test_again_after_that(self) -> None:
        world = World(asks_first=True, linger_s=60)
        world.poll("c")
        world.pass_time(70)
        client = world.poll("c")
        world.pass_time(1.2)
        assert world.retried[1:] == holds(client)

    def test_not_when_all_have_left_within_the_second(self) -> None:
        """A channel of that name that was opened later has its own second."""
        world = World(asks_first=True)
        world.poll("c").leave()
        world.pass_time(0.5)
        client = world.poll("c")
        world.pass_time(0.9)
        assert world.retried == []
        world.pass_time(0.3)
        assert world.retried == holds(client)

    def test_of_each_channel(self) -> None:
        world = World(asks_first=True)
        client = world.poll("a", "b")
        world.pass_time(2)
        assert world.retried == holds(client)

    def test_switched_off(self) -> None:
        world = World(asks_first=False)
        world.poll("c")
        world.pass_time(5)
        assert world.retried == []


class TestHint:
    def test_asks_at_once(self) -> None:
        """grip-50"""
        world = World()
        clients = [world.poll("c"), world.poll("c")]
        stream, other = world.stream("c"), world.poll("d")
        assert world.deliver(hint("c")) == [(0, 0)]
        assert set(world.retried) == set(holds(*clients))
        assert (stream.outlet.written, stream.end, other.end) == ([], None, None)
        assert world.counters.holds_abandoned == 0

    def test_filters_are_asked_first(self) -> None:
        """grip spec §10.6"""
        world = World()
        skipping = Subscription("c", None, ("require-sub",))
        world.poll(skipping)
        world.deliver(hint("c"))
        assert len(world.retried) == 1

    def test_the_rest_of_the_run_is_not_for_it(self) -> None:
        world = World()
        client = world.poll("c")
        assert world.deliver(hint("c"), answer("c", "x"), text("c", "y")) == [(0, 0)] * 3
        assert (client.end, world.retried) == (None, holds(client))


def streams(world: World, count: int) -> list[StreamHold]:
    """Streams with a next link that are to ask it soon."""
    made = []
    for _ in range(count):
        hold = world.stream("c", link=next_link()).hold
        assert isinstance(hold, StreamHold)
        hold.update(world.now_s)
        made.append(hold)
    return made


class TestStreams:
    """grip spec §7.2: a batch is a hundred requests; those that share an answer make none."""

    def test_each_with_a_request_of_its_own(self) -> None:
        world = World()
        asking = streams(world, BATCH_REQUESTS + 1)
        world.pass_time(0.1)
        assert world.backends.followed == asking[:BATCH_REQUESTS]
        world.pass_time(0.1)
        assert world.backends.followed == asking

    @pytest.mark.parametrize("extra", [0, 1])
    def test_sharing_an_answer(self, extra: int) -> None:
        """Not without bound: looking at them takes time too."""
        world = World()
        world.backends.shares = True
        asking = streams(world, BATCH_HOLDS + extra)
        world.pass_time(0.1)
        assert world.backends.followed == asking[:BATCH_HOLDS]
        assert len(world.updates) == extra
        world.pass_time(0.1)
        assert world.backends.followed == asking
        world.pass_time(0.1)
        assert world.calls == []

    def test_since_when(self) -> None:
        """Of two causes the later one counts: what was asked in between is no answer to it."""
        world = World()
        [hold] = streams(world, 1)
        world.pass_time(0.05)
        hold.update(world.now_s)
        world.pass_time(0.05)
        assert world.backends.since_s == [1000.05]

    def test_one_that_ends_during_the_batch_is_not_asked_for(self) -> None:
        """What one asks may end another."""
        world = World()
        first, second = streams(world, 2)

        def follow(hold: StreamHold, since_s: float) -> bool:
            world.backends.followed.append(hold)
            second.end()
            return True

        world.backends.follow = follow  # type: ignore[method-assign]
        world.pass_time(0.2)
        assert world.backends.followed == [first]

    def test_first_subscription(self) -> None:
        """grip-51"""
        world = World(asks_first=True)
        client = world.stream("c", link=next_link())
        world.pass_time(1.2)
        assert world.backends.followed == [client.hold]

    def test_hint(self) -> None:
        world = World()
        client = world.stream("c", link=next_link())
        world.deliver(stream_hint("c"))
        assert world.backends.followed == [client.hold]
