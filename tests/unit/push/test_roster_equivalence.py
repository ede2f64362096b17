"""Rosters are nobody's business: clients, publishers and counters see the same with them and without."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.unit.push.helpers import (
    HTTP10,
    HTTP11,
    Client,
    SocketClient,
    World,
    close,
    every,
    keep_alive,
    later,
    make_item,
    message,
    next_link,
    piece,
    prev_ids,
    recovering,
    step,
    stream_hint,
    text,
)

from holdfast.grip.item import Action, Item, StreamFormat
from holdfast.grip.values import KeepAliveMode, Subscription
from holdfast.push import subscribers
from holdfast.push.recovering_stream import RecoveringStream
from holdfast.push.run import Receipt
from holdfast.push.stream_hold import StreamHold

NEVER = 1_000_000
"""A crowd that is not reached."""

CHANNELS = st.sampled_from(["c"] * 5 + ["d"])
FILTERS: st.SearchStrategy[tuple[str, ...]] = st.sampled_from([()] * 5 + [("skip-self",)])
KINDS = st.sampled_from(
    ["next"] * 16 + ["plain", "gap", "again", "hint", "both", "filtered", "close", "own", "own next"]
)
KEEP_ALIVES = st.sampled_from([None, (5, KeepAliveMode.IDLE), (7, KeepAliveMode.INTERVAL)])
JITTER = [number / 10 % 1 for number in range(1000)]


@contextmanager
def crowd(count: int) -> Iterator[None]:
    before, subscribers.CROWD = subscribers.CROWD, count
    try:
        yield
    finally:
        subscribers.CROWD = before


class TwoWorlds(RuleBasedStateMachine):
    """Everything happens in two worlds, of which only one has rosters.

    Invariant: whenever no run is on its way, everybody has got the same, keep-alives and all, and publishers were told
    the same. Time passes only then: during a run it would matter who is written to first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.number = 0
        self.begun: set[int] = set()
        self.last_ids = {"c": 0, "d": 0}
        self.answered = 0

    @initialize(slice_writes=st.integers(1, 5), data=st.data())
    def begin(self, slice_writes: int, data: st.DataObject) -> None:
        self.worlds = [World(slice_writes=slice_writes, jitter=JITTER) for _ in range(2)]
        self.clients: list[list[Client | SocketClient]] = [[], []]
        self.receipts: list[list[Receipt]] = [[], []]
        self.open: list[int] = []
        for keep in data.draw(st.lists(KEEP_ALIVES, max_size=4)):
            self.stream("c", None, (), keep, 1)
            self.socket("c", (), keep)
            self.linked("c", (), keep, is_following=True, timeout_s=120)

    def in_both(self, act: Callable[[int, World], object]) -> None:
        for which, (count, world) in enumerate(zip([1, NEVER], self.worlds, strict=True)):
            with crowd(count):
                act(which, world)

    def to_one(self, data: st.DataObject, act: Callable[[Client | SocketClient], object]) -> None:
        number = data.draw(st.sampled_from(self.open))
        self.in_both(lambda which, world: act(self.clients[which][number]))

    def to_a_socket(self, act: Callable[[SocketClient], object], number: int) -> None:
        def obey(which: int, world: World) -> None:
            client = self.clients[which][number]
            assert isinstance(client, SocketClient)
            act(client)

        self.in_both(obey)

    @property
    def sockets(self) -> list[int]:
        return [number for number in self.open if isinstance(self.clients[0][number], SocketClient)]

    # --- clients

    @rule(
        channel=CHANNELS,
        other=st.sampled_from([None, None, None, "e"]),
        filters=FILTERS,
        keep=KEEP_ALIVES,
        old=st.integers(0, 9),
    )
    def stream(
        self,
        channel: str,
        other: str | None,
        filters: tuple[str, ...],
        keep: tuple[int, KeepAliveMode] | None,
        old: int,
    ) -> None:
        channels: list[str | Subscription] = [
            Subscription(channel, None, filters),
            *([other] if other is not None else []),
        ]
        order = keep_alive(b"K", *keep) if keep is not None else None
        framing = HTTP11 if old else HTTP10
        self.add(lambda world: world.stream(*channels, keep_alive=order, framing=framing))

    @rule(
        channel=CHANNELS,
        filters=FILTERS,
        keep=KEEP_ALIVES,
        is_following=st.sampled_from([True, True, True, False]),
        timeout_s=st.sampled_from([3, 120]),
    )
    def linked(
        self,
        channel: str,
        filters: tuple[str, ...],
        keep: tuple[int, KeepAliveMode] | None,
        *,
        is_following: bool,
        timeout_s: int,
    ) -> None:
        where = Subscription(channel, str(self.last_ids[channel]) if is_following else None, filters)
        order = keep_alive(b"K", *keep) if keep is not None else None
        self.add(
            lambda world: world.stream(where, keep_alive=order, meta={"user": "bob"}, link=next_link("/n", timeout_s))
        )

    @rule(channel=CHANNELS, filters=FILTERS, keep=KEEP_ALIVES)
    def socket(self, channel: str, filters: tuple[str, ...], keep: tuple[int, KeepAliveMode] | None) -> None:
        def come(world: World) -> SocketClient:
            client = world.socket(Subscription(channel, None, filters))
            if keep is not None:
                client.hold.set_keep_alive(every(keep[0], "K", keep[1]))
            return client

        self.add(come)

    @rule(channel=CHANNELS)
    def poll(self, channel: str) -> None:
        self.add(lambda world: world.poll(channel, timeout_s=NEVER))

    def add(self, come: Callable[[World], Client | SocketClient]) -> None:
        self.open.append(len(self.clients[0]))
        self.in_both(lambda which, world: self.clients[which].append(come(world)))

    @precondition(lambda self: self.open)
    @rule(data=st.data())
    def leave(self, data: st.DataObject) -> None:
        """Only when no run is on its way: who leaves meanwhile may have had it or not."""
        self.in_both(lambda which, world: world.run())
        number = data.draw(st.sampled_from(self.open))
        self.open.remove(number)
        self.begun.discard(number)
        self.in_both(lambda which, world: self.clients[which][number].leave())

    @precondition(lambda self: self.open)
    @rule(data=st.data(), is_blocked=st.booleans())
    def block(self, data: st.DataObject, *, is_blocked: bool) -> None:
        """Those with a link only when no run is on its way: who is blocked does not ask for what a run has shown."""
        number = data.draw(st.sampled_from(self.open))
        if isinstance(self.clients[0][number].hold, RecoveringStream):
            self.in_both(lambda which, world: world.run())

        def act(which: int, world: World) -> None:
            client = self.clients[which][number]
            client.outlet.is_blocked = is_blocked
            if isinstance(client, Client) and client.hold.is_open and not is_blocked:
                client.hold.on_drained()

        self.in_both(act)

    # --- next links

    @precondition(lambda self: self.linked_streams)
    @rule(data=st.data())
    def recover(self, data: st.DataObject) -> None:
        """An operator has one ask its link."""
        self.in_both(lambda which, world: world.run())
        number = data.draw(st.sampled_from(self.linked_streams))
        self.in_both(lambda which, world: recovering(self.clients[which][number]).update(world.now()))

    @rule(keep=KEEP_ALIVES, timeout_s=st.sampled_from([3, 120]), filters=FILTERS, is_behind=st.booleans())
    def answer(
        self,
        keep: tuple[int, KeepAliveMode] | None,
        timeout_s: int,
        filters: tuple[str, ...],
        *,
        is_behind: bool,
    ) -> None:
        """All who have asked go on, with all that was published or all but one item."""
        self.in_both(lambda which, world: world.run())
        where = Subscription("c", str(self.last_ids["c"] - is_behind), filters)
        order = keep_alive(b"K", *keep) if keep is not None else None

        def act(which: int, world: World) -> None:
            asked = zip(world.backends.followed, world.backends.since_s, strict=True)
            for hold, since_s in sorted([*asked][self.answered :], key=lambda entry: self.number_of(which, entry[0])):
                if hold.is_open:
                    client = self.clients[which][self.number_of(which, hold)]
                    assert isinstance(client, Client)
                    link = next_link("/n", timeout_s)
                    world.resume(client, where, keep_alive=order, meta={"user": "bob"}, link=link, asked_s=since_s)

        answered = len(self.worlds[0].backends.followed)
        self.in_both(act)
        self.answered = answered

    @property
    def linked_streams(self) -> list[int]:
        return [number for number in self.open if isinstance(self.clients[0][number].hold, RecoveringStream)]

    def number_of(self, which: int, hold: StreamHold) -> int:
        [number] = [number for number, client in enumerate(self.clients[which]) if client.hold is hold]
        return number

    # --- orders

    @precondition(lambda self: self.sockets)
    @rule(data=st.data())
    def relay(self, data: st.DataObject) -> None:
        """Begin a message of the backend, or end it. Not during a run, so that it is known what comes first."""
        self.in_both(lambda which, world: world.run())
        number = data.draw(st.sampled_from(self.sockets))
        is_first = number not in self.begun
        self.to_a_socket(lambda client: client.hold.relay(piece("R", first=is_first, last=not is_first)), number)
        self.begun ^= {number}

    @precondition(lambda self: self.sockets)
    @rule(data=st.data(), what=st.sampled_from(["c", "d", "-c", "-d", "filters", "meta", "idle", "interval", "later"]))
    def order(self, data: st.DataObject, what: str) -> None:
        if what in ("-c", "-d", "later", "idle", "interval", "filters", "meta"):
            self.in_both(lambda which, world: world.run())
        number = data.draw(st.sampled_from(self.sockets))

        def obey(client: SocketClient) -> None:
            hold = client.hold
            match what:
                case "c" | "d":
                    hold.subscribe(what, ())
                case "-c" | "-d":
                    hold.unsubscribe(what[1:])
                case "filters":
                    hold.subscribe("c", ("skip-self",))
                case "meta":
                    hold.set_meta("user", "bob")
                case "later":
                    hold.send_delayed(later(3, "L"))
                case _:
                    hold.set_keep_alive(every(5, "K", KeepAliveMode(what)))

        self.to_a_socket(obey, number)

    # --- publishers, turns and time

    @rule(what=st.lists(st.tuples(CHANNELS, KINDS, st.integers(0, 3)), min_size=1, max_size=6))
    def publish(self, what: list[tuple[str, str, int]]) -> None:
        """Publish items, with some turns of the loop after each."""
        for channel, kind, turns in what:
            self.publish_one(channel, kind)
            self.write(turns)

    def publish_one(self, channel: str, kind: str) -> None:
        self.number += 1
        content = f"{self.number} "
        items: list[Item] = [text(channel, content), message(channel, content)]
        if kind in ("next", "gap", "own next"):
            last_id, self.last_ids[channel] = self.last_ids[channel], self.last_ids[channel] + 1 + (kind == "gap")
            meta = {"sender": "bob"} if kind == "own next" else None
            item_id, prev_id = str(self.last_ids[channel]), str(last_id + (kind == "gap"))
            following = text(channel, content, meta=meta, item_id=item_id, prev_id=prev_id, no_seq=True)
            items = [following, message(channel, content, meta=meta)]
        elif kind == "again":
            items = [step(channel, self.last_ids[channel])]
        elif kind == "hint":
            items = [stream_hint(channel, item_id=str(self.last_ids[channel]))]
        if kind == "both":
            items = [text("c", content), message("d", content), text("d", content)]
        elif kind == "filtered":
            items = [make_item(channel, stream=StreamFormat(Action.SEND, content.encode(), ("var-subst",)))]
        elif kind == "close":
            items = [close(channel)]
        elif kind == "own":
            items = [message(channel, content, meta={"sender": "bob"})]
        self.in_both(lambda which, world: self.receipts[which].extend(world.publish(*items)))

    def write(self, turns: int) -> None:
        def turn(which: int, world: World) -> None:
            for _ in range(turns):
                world.run_turn()

        self.in_both(turn)

    @rule(seconds=st.integers(1, 9))
    def pass_time(self, seconds: int) -> None:
        self.in_both(lambda which, world: world.run())
        self.in_both(lambda which, world: world.pass_time(seconds))
        self.in_both(lambda which, world: world.run())

    @invariant()
    def everything_is_the_same(self) -> None:
        if not hasattr(self, "worlds") or any(world.turns for world in self.worlds):
            return
        one_world, other_world = self.worlds
        assert repr(one_world.counters) == repr(other_world.counters)
        assert one_world.fanout.backlog == other_world.fanout.backlog == 0
        with_rosters, without = self.clients
        for one, other in zip(with_rosters, without, strict=True):
            assert received(one) == received(other)
            assert one.outlet.finished == other.outlet.finished
            assert one.hold.is_open == other.hold.is_open
            if isinstance(one, Client) and isinstance(other, Client):
                assert prev_ids(one.hold) == prev_ids(other.hold)
        assert self.asked(0) == self.asked(1)
        assert repr(self.receipts[0]) == repr(self.receipts[1])

    def asked(self, which: int) -> list[tuple[int, float]]:
        """Which streams have asked their link since it was last answered, and why since when."""
        backends = self.worlds[which].backends
        asked = zip(backends.followed, backends.since_s, strict=True)
        return sorted([(self.number_of(which, hold), since_s) for hold, since_s in asked][self.answered :])

    def teardown(self) -> None:
        if not hasattr(self, "worlds"):
            return
        self.in_both(lambda which, world: world.run())
        self.everything_is_the_same()
        self.in_both(lambda which, world: [self.clients[which][number].leave() for number in self.open])
        for world in self.worlds:
            world.pass_time(10)
            world.assert_empty()


def received(client: Client | SocketClient) -> str | list[str]:
    """What came, however much of it came together: that depends on how many turns the run before has taken."""
    return client.content if isinstance(client, Client) else client.messages


TwoWorlds.TestCase.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
test_with_rosters_and_without = TwoWorlds.TestCase
