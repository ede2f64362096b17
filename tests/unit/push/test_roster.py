"""Rosters: who is written to without being asked, and that nobody else is."""

from __future__ import annotations

from collections.abc import Iterable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.unit.push.helpers import (
    HTTP10,
    PLAN,
    Client,
    FakeOutlet,
    ListableHold,
    Mood,
    SocketClient,
    World,
    at,
    close,
    keep_alive,
    make_item,
    make_plan,
    message,
    next_link,
    piece,
    prev_ids,
    recovering,
    step,
    text,
)

from holdfast.grip.item import Action, Item, MessageKind, StreamFormat
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.grip.ws_control import Message, SetKeepAlive
from holdfast.push.channels import Channel
from holdfast.push.roster import UNLISTED, Roster
from holdfast.push.run import Receipt, Run
from holdfast.push.socket_hold import SocketHold
from holdfast.push.stream_hold import StreamHold
from holdfast.push.subscribers import Subscribers


def make_run(at_s: float = 5.0, *items: Item) -> Run:
    run = Run("c")
    for item in items or [text("c", "x")]:
        run.add(item, Receipt("c"))
    run.begin(at_s)
    return run


def run_over(roster: Roster[ListableHold], at_s: float, end: int) -> None:
    assert roster.begin_run(make_run(at_s))
    roster.note_reached(end)


def filled(count: int) -> tuple[Roster[ListableHold], list[ListableHold]]:
    roster: Roster[ListableHold] = Roster(PLAN)
    holds = [ListableHold() for _ in range(count)]
    for hold in holds:
        roster.enter(hold)
    return roster, holds


def lines_of(holds: Iterable[ListableHold]) -> list[FakeOutlet]:
    """What their outlets lend."""
    return [hold.outlet for hold in holds]


class TestPlaces:
    def test_in_the_order_of_entering(self) -> None:
        roster, holds = filled(3)
        assert ([hold.place for hold in holds], roster.lines, roster.holds) == ([0, 1, 2], lines_of(holds), holds)

    def test_one_that_is_left_stays_vacant(self) -> None:
        roster, [first, second, third] = filled(3)
        roster.leave(second)
        fourth = ListableHold()
        roster.enter(fourth)
        assert (second.place, third.place, fourth.place) == (UNLISTED, 2, 3)
        assert roster.holds == [first, None, third, fourth]
        assert roster.lines == [first.outlet, None, third.outlet, fourth.outlet]
        assert (len(roster), roster.vacancies) == (3, 1)

    def test_closing_ranks(self) -> None:
        roster, [first, second, third, fourth] = filled(4)
        roster.leave(first)
        roster.leave(third)
        roster.close_ranks()
        assert ([second.place, fourth.place], roster.holds) == ([0, 1], [second, fourth])
        assert roster.lines == lines_of([second, fourth])
        assert (len(roster), roster.vacancies) == (2, 0)

    def test_sparse_is_more_than_half(self) -> None:
        roster, holds = filled(4)
        for hold, is_sparse in zip(holds, [False, False, True, True], strict=True):
            roster.leave(hold)
            assert roster.is_sparse is is_sparse


class TestWhenItWasWritten:
    """What a hold knows about that when it leaves."""

    def test_as_it_was_if_there_was_no_run(self) -> None:
        roster, [hold] = filled(1)
        hold.written_at_s = 3.0
        roster.leave(hold)
        assert hold.written_at_s == 3.0

    def test_with_the_last_run_that_went_so_far(self) -> None:
        roster, [early, late] = filled(2)
        run_over(roster, 5.0, 1)
        roster.leave(early)
        roster.leave(late)
        assert (early.written_at_s, late.written_at_s) == (5.0, 0.0)

    def test_never_earlier_than_it_knew(self) -> None:
        roster, [hold] = filled(1)
        run_over(roster, 5.0, 1)
        hold.written_at_s = 6.0
        roster.leave(hold)
        assert hold.written_at_s == 6.0

    def test_after_closing_ranks(self) -> None:
        roster, [first, second, third] = filled(3)
        run_over(roster, 5.0, 2)
        roster.leave(first)
        roster.close_ranks()
        roster.leave(second)
        roster.leave(third)
        assert (second.written_at_s, third.written_at_s) == (5.0, 0.0)

    def test_not_before_the_run_has_come(self) -> None:
        roster, [early, late] = filled(2)
        roster.begin_run(make_run(5.0))
        roster.note_reached(1)
        roster.leave(early)
        roster.leave(late)
        assert [(hold.written_at_s, hold.kept_up) for hold in (early, late)] == [(5.0, [5.0]), (0.0, [None])]

    def test_before_the_run_has_come_that_is_the_one_before(self) -> None:
        roster, [early, late, new] = filled(3)
        run_over(roster, 5.0, 2)
        assert roster.begin_run(make_run(9.0))
        roster.note_reached(1)
        for hold in (early, late, new):
            roster.leave(hold)
        assert [(hold.written_at_s, hold.kept_up) for hold in (early, late, new)] == [
            (9.0, [9.0]),
            (5.0, [5.0]),
            (0.0, [None]),
        ]

    def test_new_places_after_closing_ranks_have_none(self) -> None:
        roster, holds = filled(3)
        run_over(roster, 5.0, 3)
        run_over(roster, 6.0, 3)
        for hold in holds[:2]:
            roster.leave(hold)
        roster.close_ranks()
        roster.enter(late := ListableHold())
        roster.leave(late)
        assert late.kept_up == [None]


class TestIds:
    """What a hold that follows ids has had when it leaves (grip spec §10.3)."""

    def make(self, count: int, last_id: str = "1") -> tuple[Roster[ListableHold], list[ListableHold]]:
        ids = {"c": last_id}
        roster: Roster[ListableHold] = Roster(PLAN, ids)
        holds = [ListableHold(followed_ids=ids) for _ in range(count)]
        for hold in holds:
            roster.enter(hold)
        return roster, holds

    def test_a_run_that_follows(self) -> None:
        roster, [hold] = self.make(1)
        assert roster.begin_run(make_run(5.0, step("c", 2), step("c", 3)))
        roster.note_reached(1)
        roster.leave(hold)
        assert (dict(hold.followed_ids), hold.kept_up) == ({"c": "3"}, [5.0])

    def test_a_run_that_does_not(self) -> None:
        roster, [hold] = self.make(1)
        assert not roster.begin_run(make_run(5.0, step("c", 3)))
        roster.leave(hold)
        assert (dict(hold.followed_ids), hold.kept_up) == ({"c": "1"}, [None])

    def test_of_those_that_a_run_has_not_reached(self) -> None:
        roster, [early, late, later] = self.make(3)
        assert roster.begin_run(make_run(5.0, step("c", 2)))
        roster.note_reached(1)
        after = ListableHold(followed_ids=roster.ids)
        roster.enter(after)
        for hold in (early, late, after):
            roster.leave(hold)
        assert [dict(hold.followed_ids)["c"] for hold in (early, late, after)] == ["2", "1", "2"]
        assert [hold.kept_up for hold in (early, late, after)] == [[5.0], [None], [None]]
        assert later.place == 2

    def test_of_those_that_have_come_after_it_was_accepted(self) -> None:
        """It comes to them singly."""
        roster, [early, late] = self.make(2)
        assert roster.begin_run(make_run(5.0, step("c", 2)))
        roster.note_reached(1)
        for hold in (early, late):
            roster.leave(hold)
        assert [(dict(hold.followed_ids)["c"], hold.kept_up) for hold in (early, late)] == [("2", [5.0]), ("1", [None])]

    def test_after_closing_ranks(self) -> None:
        roster, [first, second] = self.make(2)
        assert roster.begin_run(make_run(5.0, step("c", 2)))
        roster.note_reached(2)
        roster.leave(first)
        roster.close_ranks()
        roster.enter(third := ListableHold(followed_ids=roster.ids))
        roster.leave(second)
        roster.leave(third)
        assert (dict(second.followed_ids), second.kept_up) == ({"c": "2"}, [5.0])
        assert (dict(third.followed_ids), third.kept_up) == ({"c": "2"}, [None])

    def test_who_is_admitted(self) -> None:
        roster, _ = self.make(1)
        assert [roster.admits(ListableHold(followed_ids=ids)) for ids in ({"c": "1"}, {"c": "2"}, {})] == [
            True,
            False,
            False,
        ]

    def test_a_run_after_which_nothing_is_to_follow(self) -> None:
        """Whoever has had it is of another kind, and has to be asked once."""
        roster, _ = self.make(1)
        assert not roster.begin_run(make_run(5.0, make_item("c", stream=StreamFormat(Action.SEND, b"x"), prev_id="1")))
        assert roster.ids == {"c": "1"}

    def test_filters_have_to_let_the_run_pass(self) -> None:
        roster: Roster[ListableHold] = Roster(make_plan("skip-self", meta={"user": "bob"}))
        assert not roster.begin_run(make_run(5.0, text("c", "x", meta={"sender": "bob"})))
        assert roster.begin_run(make_run(5.0, text("c", "x", meta={"sender": "eve"})))


# --- holds ------------------------------------------------------------------------------------------------------------


def listed_streams(world: World, count: int = 1) -> list[Client]:
    clients = [world.stream("c") for _ in range(count)]
    world.deliver(text("c", "0"))
    assert [place_of(client) for client in clients] == list(range(count))
    return clients


def listed_socket(world: World) -> SocketClient:
    client = world.socket("c")
    world.deliver(message("c", "0"))
    assert place_of(client) == 0
    return client


def place_of(client: Client | SocketClient) -> int:
    assert isinstance(client.hold, StreamHold | SocketHold)
    return client.hold.place


class TestWhoIsListed:
    def test_plain_ones(self) -> None:
        world = World()
        listed_streams(world)
        listed_socket(world)

    @pytest.mark.parametrize(
        "make",
        [
            lambda world: world.stream("c", framing=HTTP10),
            lambda world: world.stream("c", "d"),
            lambda world: world.stream(Subscription("c", None, ("var-subst",))),
            lambda world: world.stream(at("0"), link=next_link()),
            lambda world: world.socket("c", "d"),
            lambda world: world.socket(Subscription("c", None, ("var-subst",))),
        ],
        ids=["HTTP/1.0", "two channels", "changing", "not following", "socket on two channels", "changing socket"],
    )
    def test_not_these(self, make: object) -> None:
        world = World()
        assert callable(make)
        client = make(world)
        world.deliver(text("c", "x"), message("c", "x"))
        assert place_of(client) == UNLISTED

    @pytest.mark.parametrize(
        "make",
        [
            lambda world: world.stream(at(None, "c", "skip-self"), meta={"user": "bob"}),
            lambda world: world.stream("c", link=next_link()),
            lambda world: world.stream(at("0"), link=next_link()),
            lambda world: world.stream(at("0", "c", "skip-self"), link=next_link()),
            lambda world: world.socket(at(None, "c", "skip-self")),
        ],
        ids=["filtered", "linked", "following", "following and filtered", "filtered socket"],
    )
    def test_these(self, make: object) -> None:
        world = World()
        assert callable(make)
        client = make(world)
        world.deliver(step("c", 1, "x"), message("c", "x"))
        assert place_of(client) == 0
        world.deliver(step("c", 2, "y"), message("c", "y"))
        assert (place_of(client), received(client)) == (0, "xy")

    def test_not_under_a_rate(self) -> None:
        world = World(rate=100)
        client = world.stream("c")
        world.deliver(text("c", "x"))
        assert place_of(client) == UNLISTED

    def test_with_keep_alive(self) -> None:
        """grip spec §6.2: a run postpones it for those in the roster as well."""
        world = World()
        client = world.stream("c", keep_alive=keep_alive(b".", 20))
        for _ in range(5):
            world.deliver(text("c", "x"))
            world.pass_time(15)
        assert client.writes == ["x"] * 5
        world.pass_time(6)
        assert client.writes == ["x"] * 5 + ["."]

    def test_with_keep_alive_on_a_socket(self) -> None:
        """ws spec §2.5"""
        world = World()
        client = world.socket("c")
        client.hold.set_keep_alive(SetKeepAlive(Message(MessageKind.TEXT, b"."), 20, KeepAliveMode.IDLE))
        for _ in range(5):
            world.deliver(message("c", "x"))
            world.pass_time(15)
        assert client.messages == ["x"] * 5
        world.pass_time(6)
        assert client.messages == ["x"] * 5 + ["."]


class TestLeavingIt:
    def test_a_client_that_is_slow(self) -> None:
        world = World()
        slow, fine = listed_streams(world, 2)
        slow.outlet.is_blocked = True
        assert place_of(slow) == UNLISTED
        assert world.deliver(text("c", "1")) == [(2, 0)]
        assert (slow.writes, fine.writes) == (["0", "1"], ["0", "1"])
        slow.outlet.is_blocked = False
        world.deliver(text("c", "2"))
        assert place_of(slow) == 2
        assert slow.writes == ["0", "1", "2"]

    def test_a_client_that_has_left(self) -> None:
        world = World()
        gone, fine = listed_streams(world, 2)
        gone.leave()
        assert world.deliver(text("c", "1")) == [(1, 0)]
        assert (gone.writes, fine.writes) == (["0"], ["0", "1"])
        fine.leave()
        world.assert_empty()

    def test_a_client_that_turns_out_to_have_left(self) -> None:
        world = World()
        gone, fine = listed_streams(world, 2)
        gone.outlet.mood = Mood.GONE
        assert world.deliver(text("c", "1")) == [(1, 0)]
        assert (gone.hold.is_open, place_of(gone), fine.writes) == (False, UNLISTED, ["0", "1"])

    def test_a_socket_in_the_middle_of_a_message(self) -> None:
        """ws spec §2.8: what is published waits for its end."""
        world = World()
        client = listed_socket(world)
        client.hold.relay(piece("be", first=True))
        assert place_of(client) == UNLISTED
        world.deliver(message("c", "1"))
        client.hold.relay(piece("gun", last=True))
        world.deliver(message("c", "2"))
        assert client.messages == ["0", "begun", "1", "2"]

    def test_a_socket_that_goes_elsewhere(self) -> None:
        world = World()
        client = listed_socket(world)
        client.hold.unsubscribe("c")
        client.hold.subscribe("d", ())
        world.deliver(message("c", "lost"), message("d", "1"))
        assert client.messages == ["0", "1"]

    def test_a_socket_that_gets_another_channel(self) -> None:
        world = World()
        client = listed_socket(world)
        client.hold.subscribe("d", ())
        world.deliver(message("c", "1"), message("d", "2"), message("c", "3"))
        assert (place_of(client), client.messages) == (UNLISTED, ["0", "1", "2", "3"])


class TestRunsOnTheirWay:
    """With two writes a turn, somebody always has not had the run yet."""

    def test_who_is_slow_meanwhile_gets_it_singly(self) -> None:
        world = World(slice_writes=2)
        clients = listed_streams(world, 5)
        world.publish(text("c", "1"))
        world.run_turn()
        for client in clients:
            client.outlet.is_blocked = True
        world.run()
        assert [client.writes for client in clients] == [["0", "1"]] * 5
        assert world.fanout.backlog == 0

    def test_who_leaves_meanwhile_does_not(self) -> None:
        world = World(slice_writes=2)
        clients = listed_streams(world, 5)
        [receipt] = world.publish(text("c", "1"))
        world.run_turn()
        for client in clients[1:4]:
            client.leave()
        world.run()
        assert [client.writes for client in clients] == [["0", "1"]] * 2 + [["0"]] * 2 + [["0", "1"]]
        assert (receipt.streams, world.fanout.backlog) == (3, 0)

    def test_what_was_written_before_postpones_what_is_due_now(self) -> None:
        """grip spec §6.2, §6.8; ws spec §2.5: those that a run has not reached have had the one before."""
        world = World(slice_writes=2)
        streams = [world.stream(at("0"), keep_alive=keep_alive(b"K", 20), link=next_link("/n", 20)) for _ in range(5)]
        sockets = [world.socket("c") for _ in range(5)]
        for number, seconds in ((1, 0), (2, 15), (3, 4)):
            world.pass_time(seconds)
            world.deliver(step("c", number), message("c", str(number)))
        world.publish(step("c", 4), message("c", "4"))
        world.run_turn()
        world.pass_time(1.5)
        assert [client.hold.last_written_s() for client in sockets] == [world.now_s - 1.5] * 5
        world.run()
        world.pass_time(1)
        assert [client.content for client in streams] == ["1234"] * 5
        assert world.backends.followed == []

    def test_places_are_kept_until_it_has_arrived(self) -> None:
        world = World(slice_writes=2)
        clients = listed_streams(world, 5)
        world.publish(text("c", "1"))
        world.run_turn()
        for client in clients[:3]:
            client.leave()
        assert [place_of(client) for client in clients[3:]] == [3, 4]
        world.run()
        world.deliver(text("c", "2"))
        assert [place_of(client) for client in clients[3:]] == [0, 1]
        assert [client.writes for client in clients[3:]] == [["0", "1", "2"]] * 2

    def test_several(self) -> None:
        world = World(slice_writes=2)
        clients = listed_streams(world, 3)
        world.publish(text("c", "1"))
        world.run_turn()
        world.publish(text("c", "2"))
        clients[0].outlet.is_blocked = clients[2].outlet.is_blocked = True
        world.run()
        assert [client.content for client in clients] == ["012"] * 3

    def test_who_comes_meanwhile_does_not_get_it(self) -> None:
        world = World(slice_writes=2)
        clients = listed_streams(world, 3)
        world.publish(text("c", "1"))
        world.run_turn()
        late = world.stream("c")
        world.run()
        world.deliver(text("c", "2"))
        assert (late.content, [client.content for client in clients]) == ("2", ["012"] * 3)

    def test_what_is_more_than_bytes(self) -> None:
        """Each hold has to do something itself then."""
        world = World(slice_writes=2)
        clients = listed_streams(world, 5)
        filtered = make_item("c", stream=StreamFormat(Action.SEND, b"1", ("var-subst",)))
        world.deliver(filtered, text("c", "2"), close("c"))
        assert [(client.content, client.end) for client in clients] == [("02", b"0\r\n\r\n")] * 5
        world.assert_empty()


class TestThoseThatFollow:
    """Streams with ids and links: what they have had is known to the roster (grip spec §6.8, §10.3)."""

    def listed(self, world: World, count: int = 1) -> list[Client]:
        clients = [world.stream(at("0"), link=next_link(timeout_s=20)) for _ in range(count)]
        world.deliver(step("c", 1))
        assert [place_of(client) for client in clients] == list(range(count))
        return clients

    def test_a_gap(self) -> None:
        world = World()
        clients = self.listed(world, 3)
        world.deliver(step("c", 2), step("c", 4))
        assert [client.content for client in clients] == ["12"] * 3
        world.pass_time(0.2)
        assert world.backends.followed == [client.hold for client in clients]

    def test_an_item_that_they_have(self) -> None:
        world = World()
        [client] = self.listed(world)
        world.deliver(step("c", 2))
        world.deliver(step("c", 2))
        assert (client.content, world.counters.items_not_needed, prev_ids(client.hold)) == ("12", 1, {"c": "2"})

    def test_what_is_written_postpones_the_link(self) -> None:
        world = World()
        [client] = self.listed(world)
        for number in range(2, 6):
            world.pass_time(15)
            world.deliver(step("c", number))
        world.pass_time(19)
        assert (client.content, world.backends.followed) == ("12345", [])
        world.pass_time(2)
        assert world.backends.followed == [client.hold]

    def test_asking_before_a_run_has_come(self) -> None:
        """It comes all the same: it follows."""
        world = World(slice_writes=2)
        clients = self.listed(world, 5)
        world.publish(step("c", 2))
        world.run_turn()
        for client in clients:
            recovering(client).update(world.now())
        assert [prev_ids(client.hold)["c"] for client in clients] == ["2", "2", "1", "1", "1"]
        world.run()
        assert [client.content for client in clients] == ["12"] * 5
        assert [prev_ids(client.hold)["c"] for client in clients] == ["2"] * 5

    def test_entering_while_the_next_run_is_on_its_way(self) -> None:
        world = World(slice_writes=2)
        clients = [world.stream(at("0"), link=next_link()) for _ in range(3)]
        world.publish(step("c", 1))
        world.run_turn()
        world.publish(step("c", 2))
        world.run()
        assert [client.content for client in clients] == ["12"] * 3
        world.deliver(step("c", 3))
        assert [client.content for client in clients] == ["123"] * 3

    def test_an_item_without_content(self) -> None:
        world = World()
        [client] = self.listed(world)
        world.deliver(step("c", 2, ""))
        world.deliver(step("c", 3))
        world.pass_time(1)
        assert (client.content, world.backends.followed) == ("13", [])

    def test_an_item_without_id(self) -> None:
        """From then on anything may come; such a roster is another one."""
        world = World()
        [client] = self.listed(world)
        world.deliver(text("c", "x", prev_id="1", no_seq=True))
        world.deliver(text("c", "y"))
        other = world.stream(at("0"), link=next_link())
        world.deliver(step("c", 1))
        world.deliver(step("c", 2))
        assert (client.content, other.content) == ("1xy12", "12")
        assert (place_of(client), place_of(other)) == (0, 0)
        assert recovering(client).roster is not recovering(other).roster

    def test_a_client_that_is_slow(self) -> None:
        world = World()
        slow, fine = self.listed(world, 2)
        world.deliver(step("c", 2))
        slow.outlet.mood = Mood.REFUSES
        world.deliver(step("c", 3))
        assert [prev_ids(client.hold)["c"] for client in (slow, fine)] == ["2", "3"]

    def test_nothing_is_left_of_them(self) -> None:
        world = World()
        for client in self.listed(world, 3):
            client.leave()
        world.pass_time(1)
        world.assert_empty()


# --- everything in any order ------------------------------------------------------------------------------------------


class Crowd(RuleBasedStateMachine):
    """Invariant: everybody gets every item of the time of their subscription, once and in order, whatever happens; and
    a descriptor is in a roster exactly while it may be written to without asking."""

    def __init__(self) -> None:
        super().__init__()
        self.world = World(slice_writes=3)
        self.expected: dict[Client | SocketClient, list[str]] = {}
        self.begun: set[Client | SocketClient] = set()
        self.number = 0

    @rule(is_socket=st.booleans())
    def come(self, *, is_socket: bool) -> None:
        client = self.world.socket("c") if is_socket else self.world.stream("c")
        self.expected[client] = []

    @rule(count=st.integers(1, 3))
    def publish(self, count: int) -> None:
        for _ in range(count):
            self.number += 1
            self.world.publish(text("c", f"{self.number} "), message("c", f"{self.number} "))
            for items in self.expected.values():
                items.append(f"{self.number} ")

    @rule(turns=st.integers(1, 4))
    def write(self, turns: int) -> None:
        for _ in range(turns):
            if self.world.turns:
                self.world.run_turn()

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        client = self.pick(data)
        expected = "".join(self.expected.pop(client))
        self.begun -= {client}
        client.leave()
        assert expected.startswith(received(client))

    @precondition(lambda self: self.expected)
    @rule(data=st.data(), is_blocked=st.booleans())
    def block(self, data: st.DataObject, *, is_blocked: bool) -> None:
        self.pick(data).outlet.is_blocked = is_blocked

    @precondition(lambda self: self.expected)
    @rule(data=st.data())
    def relay(self, data: st.DataObject) -> None:
        """Begin a message of the backend, or end it; it is empty, so that it does not count."""
        client = self.pick(data)
        if isinstance(client, SocketClient):
            client.hold.relay(piece("", first=client not in self.begun, last=client in self.begun))
            self.begun ^= {client}

    def pick(self, data: st.DataObject) -> Client | SocketClient:
        return data.draw(st.sampled_from(list(self.expected)))

    @invariant()
    def rosters_are_right(self) -> None:
        channel = self.world.registry.find("c")
        if channel is None:
            return
        assert self.world.fanout.backlog >= 0
        for subscribers in (channel.streams, channel.sockets):
            listed = check(subscribers)
            assert not channel.deliveries or len(subscribers) == len(subscribers.singles) + len(listed)
            for hold in listed:
                assert hold.is_open
                assert not (isinstance(hold, SocketHold) and hold.is_mid_message)

    def teardown(self) -> None:
        for begun in self.begun:
            assert isinstance(begun, SocketClient)
            begun.hold.relay(piece("", last=True))
        self.world.run()
        assert self.world.fanout.backlog == 0
        for client, items in self.expected.items():
            assert received(client) == "".join(items)
            client.leave()
        self.world.assert_empty()


def check(subscribers: Subscribers[StreamHold] | Subscribers[SocketHold]) -> list[StreamHold | SocketHold]:
    """Whoever is in a roster, which agrees with what they say themselves."""
    assert all(hold.place == UNLISTED and hold.roster is None for hold in subscribers.singles)
    listed: list[StreamHold | SocketHold] = []
    for roster in subscribers.rosters.values():
        holds = [hold for hold in roster.holds if hold is not None]
        assert roster.vacancies == roster.lines.count(None) == len(roster.holds) - len(holds)
        for hold in holds:
            assert hold.roster is roster
            line = roster.lines[hold.place]
            assert line is not None and line.fileno() == hold.outlet.direct_fd
            assert roster.holds[hold.place] is hold
        listed += holds
    return listed


def received(client: Client | SocketClient) -> str:
    return client.content if isinstance(client, Client) else "".join(client.messages)


Crowd.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
test_everything_in_any_order = Crowd.TestCase


def test_channels_share_what_they_have_not() -> None:
    one, two = Channel("a"), Channel("b")
    assert one.streams is two.streams
