"""The registry: who is subscribed to what, and that nothing stays behind."""

from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.push.helpers import HTTP11, REQUEST, World, make_instruct, message, next_link, text

from holdfast.grip.values import HoldMode
from holdfast.push.channels import Channel, Registry
from holdfast.push.plan import RouteTerms
from holdfast.push.response_hold import ResponseHold
from holdfast.push.socket_hold import SocketHold
from holdfast.push.stream_hold import StreamHold


def make_stream(world: World, *channels: str) -> StreamHold:
    return StreamHold(world.context, world.plan(make_instruct(HoldMode.STREAM, *channels)), HTTP11)


def make_poll(world: World, *channels: str) -> ResponseHold:
    return ResponseHold(world.context, world.plan(make_instruct(HoldMode.RESPONSE, *channels)), HTTP11, REQUEST)


def find(world: World, name: str) -> Channel:
    channel = world.registry.find(name)
    assert channel is not None
    return channel


class TestSubscribing:
    def test_a_channel_exists_while_somebody_is_subscribed(self) -> None:
        world = World()
        one, two = make_stream(world, "a"), make_poll(world, "a")
        assert world.registry.find("a") is None

        world.registry.add_stream(one)
        world.registry.add_response(two)
        assert (len(world.registry), len(find(world, "a"))) == (1, 2)

        world.registry.remove_stream(one)
        assert len(find(world, "a")) == 1
        world.registry.remove_response(two)
        assert world.registry.find("a") is None
        assert len(world.registry) == 0

    def test_by_mode(self) -> None:
        world = World()
        stream, poll = make_stream(world, "a"), make_poll(world, "a")
        world.registry.add_stream(stream)
        world.registry.add_response(poll)
        channel = find(world, "a")
        assert (set(channel.streams), set(channel.responses)) == ({stream}, {poll})

    def test_a_mode_nobody_uses_costs_no_set(self) -> None:
        world = World()
        world.registry.add_stream(make_stream(world, "a"))
        world.registry.add_stream(make_stream(world, "b"))
        assert find(world, "a").responses is find(world, "b").responses
        assert find(world, "a").watched is find(world, "a").responses

    def test_several_channels(self) -> None:
        """grip-9: and only holds on several channels are watched across them."""
        world = World()
        alone, spread = make_stream(world, "a"), make_stream(world, "a", "b")
        world.registry.add_stream(alone)
        world.registry.add_stream(spread)
        assert set(find(world, "a").streams) == {alone, spread}
        assert set(find(world, "b").streams) == {spread}
        assert find(world, "a").watched.keys() == find(world, "b").watched.keys() == {spread}

        world.registry.remove_stream(spread)
        assert find(world, "a").watched.keys() == set()
        assert world.registry.find("b") is None

    def test_no_channel(self) -> None:
        world = World()
        stream = make_stream(world)
        world.registry.add_stream(stream)
        world.registry.remove_stream(stream)
        assert len(world.registry) == 0


class TestMoving:
    """grip spec §6.7: the channels of a stream become those of its link's answer."""

    def move(self, world: World, hold: StreamHold, *channels: str) -> None:
        plan = world.plan(make_instruct(HoldMode.STREAM, *channels))
        world.registry.move_stream(hold, plan)
        hold.plan = plan

    @pytest.mark.parametrize(
        ("before", "after"),
        [("a", "a"), ("a", "b"), ("a", "ab"), ("ab", "b"), ("ab", "cd"), ("", "a"), ("a", ""), ("abc", "cad")],
    )
    def test_exactly_those(self, before: str, after: str) -> None:
        world = World()
        hold, other = make_stream(world, *before), make_stream(world, "a")
        world.registry.add_stream(hold)
        world.registry.add_stream(other)
        self.move(world, hold, *after)
        for name in "abcd":
            channel = world.registry.find(name)
            assert (channel is not None and hold in channel.streams) is (name in after)
        assert len(world.registry) == len(set(after) | {"a"})
        world.registry.remove_stream(hold)
        world.registry.remove_stream(other)
        assert len(world.registry) == 0

    def test_is_watched_from_the_second_channel_on(self) -> None:
        world = World()
        hold = make_stream(world, "a")
        world.registry.add_stream(hold)
        self.move(world, hold, "b")
        assert not find(world, "b").watched
        self.move(world, hold, "b", "c")
        assert find(world, "b").watched.keys() == find(world, "c").watched.keys() == {hold}
        self.move(world, hold, "a")
        assert find(world, "a").watched.keys() == {hold}

    def test_what_is_on_its_way_is_watched_too(self) -> None:
        world = World()
        client = world.stream("a", link=next_link())
        world.publish(text("a", "1"))
        assert isinstance(client.hold, StreamHold)
        self.move(world, client.hold, "a", "b")
        [delivery] = find(world, "a").deliveries
        assert delivery.unreached == {client.hold}

    def test_what_it_leaves_behind_does_not_follow(self) -> None:
        """Not even when it is back before that is written."""
        world = World()
        client, other = world.stream("a", link=next_link()), world.stream("a")
        assert isinstance(client.hold, StreamHold)
        world.publish(text("a", "1"))
        self.move(world, client.hold, "b")
        world.publish(text("a", "2"), text("b", "3"))
        self.move(world, client.hold, "a")
        world.publish(text("a", "4"))
        world.run()
        assert (client.content, other.content) == ("4", "124")

    def test_events(self) -> None:
        world = World()
        hold = make_stream(world, "a", "b")
        world.registry.add_stream(hold)
        opened: list[str] = []
        closed: list[str] = []
        world.registry.events.opened = lambda channel: opened.append(channel.name)
        world.registry.events.closed = closed.append
        self.move(world, hold, "b", "c")
        assert (opened, closed) == (["c"], ["a"])


class TestVersion:
    def test_grows_with_every_subscription_and_with_nothing_else(self) -> None:
        world = World()
        one, two = make_stream(world, "a"), make_poll(world, "a")
        world.registry.add_stream(one)
        channel = find(world, "a")
        first = channel.version
        world.registry.add_response(two)
        second = channel.version
        assert second > first
        world.registry.remove_response(two)
        assert channel.version == second


class TestSockets:
    """ws spec §2.4: the channels of a WebSocket come and go."""

    def test_join_and_leave(self) -> None:
        world = World()
        stream = world.stream("a")
        client = world.socket("a")
        channel = find(world, "a")
        assert (set(channel.sockets), set(channel.streams), len(channel)) == ({client.hold}, {stream.hold}, 2)
        stream.leave()
        assert find(world, "a") is channel
        client.hold.unsubscribe("a")
        assert len(world.registry) == 0
        client.hold.subscribe("b", ())
        assert set(find(world, "b").sockets) == {client.hold}
        client.leave()
        world.assert_empty()

    def test_of_the_route(self) -> None:
        world = World()
        client = world.socket(route=RouteTerms(implicit_channels=("a", "b")))
        assert (
            set(find(world, "a").sockets)
            == find(world, "a").watched.keys()
            == find(world, "b").watched.keys()
            == {client.hold}
        )
        client.leave()
        world.assert_empty()

    def test_is_watched_from_the_second_channel_on(self) -> None:
        world = World()
        client = world.socket("a")
        assert not find(world, "a").watched
        client.hold.subscribe("b", ())
        assert find(world, "a").watched.keys() == find(world, "b").watched.keys() == {client.hold}
        client.hold.unsubscribe("a")
        assert find(world, "b").watched.keys() == {client.hold}
        client.leave()
        world.assert_empty()

    def test_what_is_on_its_way_is_watched_too(self) -> None:
        world = World()
        client = world.socket("a")
        world.publish(message("a", "1"))
        client.hold.subscribe("b", ())
        [delivery] = find(world, "a").deliveries
        assert delivery.unreached == {client.hold}

    def test_what_it_leaves_behind_does_not_follow(self) -> None:
        """Not even when it is back before that is written."""
        world = World()
        client, other = world.socket("a"), world.socket("a")
        world.publish(message("a", "1"))
        client.hold.unsubscribe("a")
        world.publish(message("a", "2"))
        client.hold.subscribe("a", ())
        world.publish(message("a", "3"))
        world.run()
        assert (client.messages, other.messages) == (["3"], ["1", "2", "3"])

    def test_other_filters_are_no_new_subscription(self) -> None:
        world = World()
        client = world.socket("a")
        version = find(world, "a").version
        client.hold.subscribe("a", ("skip-self",))
        client.hold.set_meta("user", "bob")
        assert find(world, "a").version == version


class TestLinger:
    """grip spec §5.8. Time is told from the moment the long poll leaves."""

    def test_in_full(self) -> None:
        world = World(linger_s=60)
        world.poll("a", "b").leave()
        world.pass_time(59.8)
        assert len(world.registry) == 2
        assert len(find(world, "a")) == 0
        world.pass_time(0.4)
        world.assert_empty()

    def test_in_full_although_a_stream_leaves_meanwhile(self) -> None:
        world = World(linger_s=60)
        stream, poll = world.stream("a"), world.poll("a")
        poll.leave()
        world.pass_time(10)
        stream.leave()
        world.pass_time(49.8)
        assert len(world.registry) == 1
        world.pass_time(0.4)
        world.assert_empty()

    def test_streams_alone_do_not(self) -> None:
        world = World(linger_s=60)
        world.stream("a").leave()
        world.assert_empty()

    def test_a_subscriber_outlives_it(self) -> None:
        world = World(linger_s=60)
        world.poll("a").leave()
        stream = world.stream("a")
        world.pass_time(70)
        assert len(find(world, "a")) == 1
        stream.leave()
        world.assert_empty()

    def test_starts_anew_with_the_last_poll(self) -> None:
        world = World(linger_s=60)
        first, second = world.poll("a", timeout_s=500), world.poll("a", timeout_s=500)
        first.leave()
        world.pass_time(40)
        second.leave()
        world.pass_time(59.8)
        assert len(world.registry) == 1
        world.pass_time(0.4)
        world.assert_empty()

    def test_starts_anew_after_it_has_ended(self) -> None:
        world = World(linger_s=60)
        first, second = world.poll("a", timeout_s=500), world.poll("a", timeout_s=500)
        first.leave()
        world.pass_time(70)
        second.leave()
        world.pass_time(59.8)
        assert len(world.registry) == 1
        world.pass_time(0.4)
        world.assert_empty()

    def test_off(self) -> None:
        world = World(linger_s=0)
        world.poll("a").leave()
        world.assert_empty()


class TestEvents:
    """A channel is opened and closed once, however many subscribe."""

    def watch(self, world: World) -> list[str]:
        events: list[str] = []
        world.registry.events.opened = lambda channel: events.append(f"+{channel.name}")
        world.registry.events.closed = lambda name: events.append(f"-{name}")
        return events

    def test_once(self) -> None:
        world = World()
        events = self.watch(world)
        one, two = world.stream("a", "b"), world.poll("a")
        one.leave()
        assert events == ["+a", "+b", "-b"]
        two.leave()
        assert events == ["+a", "+b", "-b", "-a"]

    def test_not_while_it_lingers(self) -> None:
        world = World(linger_s=60)
        events = self.watch(world)
        for _ in range(3):
            world.poll("a").leave()
            world.pass_time(50)
        assert events == ["+a"]
        world.pass_time(10.2)
        assert events == ["+a", "-a"]
        world.poll("a")
        assert events == ["+a", "-a", "+a"]

    def test_nobody_needs_to_listen(self) -> None:
        registry = Registry()
        hold = make_stream(World(), "a")
        registry.add_stream(hold)
        registry.remove_stream(hold)
        assert len(registry) == 0


def test_holds() -> None:
    """For those who let everybody ask again: each once, and those without channel not."""
    world = World()
    clients = [world.poll("a", "b"), world.poll("b"), world.stream("b", "c")]
    world.stream()
    assert world.registry.holds() == {client.hold for client in clients}


class RegistryAndModel(RuleBasedStateMachine):
    """The registry beside a dict of sets. A publish reads what the model says it should."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World()
        self.streams: dict[str, set[StreamHold]] = {}
        self.polls: dict[str, set[ResponseHold]] = {}
        self.sockets: dict[str, set[SocketHold]] = {}
        self.holds: list[StreamHold | ResponseHold | SocketHold] = []
        self.spread: set[StreamHold | ResponseHold | SocketHold] = set()

    names = st.lists(st.sampled_from("abcd"), max_size=3, unique=True)

    @rule(names=names)
    def subscribe_stream(self, names: list[str]) -> None:
        hold = make_stream(self.world, *names)
        self.world.registry.add_stream(hold)
        self.holds.append(hold)
        if len(names) > 1:
            self.spread.add(hold)
        for name in names:
            self.streams.setdefault(name, set()).add(hold)

    @rule(names=names)
    def subscribe_poll(self, names: list[str]) -> None:
        hold = make_poll(self.world, *names)
        self.world.registry.add_response(hold)
        self.holds.append(hold)
        if len(names) > 1:
            self.spread.add(hold)
        for name in names:
            self.polls.setdefault(name, set()).add(hold)

    @precondition(lambda self: any(isinstance(hold, StreamHold) for hold in self.holds))
    @rule(data=st.data(), names=names)
    def move_stream(self, data: st.DataObject, names: list[str]) -> None:
        hold = data.draw(st.sampled_from([hold for hold in self.holds if isinstance(hold, StreamHold)]))
        plan = self.world.plan(make_instruct(HoldMode.STREAM, *names))
        self.world.registry.move_stream(hold, plan)
        hold.plan = plan
        for name in "abcd":
            self.streams.get(name, set()).discard(hold)
        for name in names:
            self.streams.setdefault(name, set()).add(hold)
        if len(names) > 1:
            self.spread.add(hold)

    @rule()
    def open_socket(self) -> None:
        self.holds.append(self.world.socket().hold)

    @precondition(lambda self: any(isinstance(hold, SocketHold) for hold in self.holds))
    @rule(data=st.data(), name=st.sampled_from("abcd"))
    def change_socket(self, data: st.DataObject, name: str) -> None:
        hold = data.draw(st.sampled_from([hold for hold in self.holds if isinstance(hold, SocketHold)]))
        members = self.sockets.setdefault(name, set())
        if hold in members:
            hold.unsubscribe(name)
            members.discard(hold)
        else:
            hold.subscribe(name, ())
            members.add(hold)
            if sum(hold in others for others in self.sockets.values()) > 1:
                self.spread.add(hold)

    @precondition(lambda self: self.holds)
    @rule(data=st.data())
    def unsubscribe(self, data: st.DataObject) -> None:
        hold = self.holds.pop(data.draw(st.integers(0, len(self.holds) - 1)))
        if isinstance(hold, StreamHold):
            self.world.registry.remove_stream(hold)
        elif isinstance(hold, SocketHold):
            hold.close()
        else:
            self.world.registry.remove_response(hold)
        for name in hold.plan.channels:
            self.streams.get(name, set()).discard(hold)
            self.polls.get(name, set()).discard(hold)
            self.sockets.get(name, set()).discard(hold)

    @rule(name=st.sampled_from("abcd"))
    def publish(self, name: str) -> None:
        streams, polls = self.streams.get(name, set()), self.polls.get(name, set())
        sockets = self.sockets.get(name, set())
        channel = self.world.registry.find(name)
        if not streams and not polls and not sockets:
            assert channel is None
            return
        assert channel is not None
        assert (set(channel.streams), set(channel.responses), set(channel.sockets)) == (streams, polls, sockets)
        assert set(channel.watched) == (streams | polls | sockets) & self.spread

    @invariant()
    def only_used_channels_exist(self) -> None:
        used = {name for name in "abcd" for members in (self.streams, self.polls, self.sockets) if members.get(name)}
        assert len(self.world.registry) == len(used)


TestRegistryAndModel = RegistryAndModel.TestCase
TestRegistryAndModel.settings = settings(max_examples=50, stateful_step_count=30, deadline=None)
