"""A run of items on its way: what its receivers share, and how it is handed out."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import pytest
from tests.unit.push.helpers import Mood, World, answer, both, close, make_item, message, step, stream_hint, text

from holdfast.counters import Counters
from holdfast.grip.item import Action, Item, MessageKind, ResponseFormat, StreamFormat
from holdfast.grip.values import Subscription
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.dialects import COMPRESSED
from holdfast.push.plan import HoldPlan
from holdfast.push.render import passes_whole
from holdfast.push.run import RUN_BYTES, RUN_ITEMS, WEIGHT_BYTES, Receipt
from holdfast.push.stream_hold import StreamHold

if TYPE_CHECKING:
    from holdfast.push.channels import Hold


def make_delivery(*items: Item, holds: Sequence[Hold] = (), unreached: Sequence[Hold] = ()) -> Delivery:
    delivery = Delivery(1, Channel("c"), list(holds), set(unreached))
    for item in items:
        delivery.add(item, Receipt(item.channel))
    return delivery


def begin(*items: Item) -> Delivery:
    delivery = make_delivery(*items)
    delivery.begin(5.0)
    return delivery


def no_catch_up(hold: Hold, delivery: Delivery) -> None:
    raise AssertionError(f"{hold.describe()} is not watched")


class TestBegin:
    def test_one_item(self) -> None:
        """Its bytes are not copied."""
        item = text("c", "hello")
        run = begin(item)
        assert item.http_stream is not None
        assert run.stream_content is item.http_stream.content
        assert (run.stream_chunk, run.now_s, run.has_begun) == (b"5\r\nhello\r\n", 5.0, True)

    def test_several(self) -> None:
        run = begin(text("c", "one "), answer("c", "not for streams"), text("c", ""), text("c", "two"))
        assert (run.stream_content, run.stream_chunk) == (b"one two", b"7\r\none two\r\n")

    def test_nothing_for_streams(self) -> None:
        run = begin(answer("c", "x"))
        assert (run.stream_content, run.stream_chunk) == (b"", b"")
        assert (run.has_stream_content, run.has_stream_items, run.has_hint, run.closes_streams) == (False,) * 4

    def test_nothing_in_it(self) -> None:
        """An empty chunk would end the body."""
        run = begin(text("c", ""))
        assert (run.stream_chunk, run.has_stream_content, run.has_stream_items) == (b"", True, True)

    def test_a_close_is_the_last(self) -> None:
        run = begin(text("c", "one"), close("c"), text("c", "two"), close("c"))
        assert (run.stream_content, run.closes_streams) == (b"one", True)

    def test_refresh_is_nothing(self) -> None:
        run = begin(make_item("c", stream=StreamFormat(Action.REFRESH)))
        assert (run.has_stream_content, run.has_stream_items, run.has_hint) == (False, True, False)

    def test_hint(self) -> None:
        assert begin(text("c", "one"), stream_hint("c")).has_hint

    @pytest.mark.parametrize(
        ("item", "expected"),
        [
            (both("c", "x"), False),
            (make_item("c", stream=StreamFormat(Action.SEND, b"x", ())), True),
            (make_item("c", response=ResponseFormat(Action.SEND, body=b"x", content_filters=("a",))), True),
        ],
        ids=["none", "for streams", "for long polls"],
    )
    def test_content_filters(self, item: Item, expected: bool) -> None:
        assert begin(text("c", "one"), item).has_content_filters is expected


class TestFilters:
    def test_what_passes_is_found_out_once_for_each_plan(self, monkeypatch: pytest.MonkeyPatch) -> None:
        asked: list[object] = []
        world, filters = World(), Subscription("c", None, ("skip-self",))
        bobs = [world.stream(filters, meta={"user": "bob"}).hold.plan for _ in range(3)]
        eve = world.stream(filters, meta={"user": "eve"}).hold.plan
        run = make_delivery(text("c", "1"), text("c", "2", meta={"sender": "bob"}))

        def counted(plan: HoldPlan, channel: str, items: Iterable[Item]) -> bool:
            asked.append(plan)
            return passes_whole(plan, channel, items)

        monkeypatch.setattr("holdfast.push.run.passes_whole", counted)
        assert [run.passes(plan) for plan in (*bobs, eve)] == [False, False, False, True]
        assert asked == [bobs[0], eve]


class TestMessages:
    def test_one(self) -> None:
        run = begin(text("c", "for streams"), message("c", "hello"))
        assert (run.message_frames, run.has_message_actions) == (b"\x81\x05hello", False)
        assert run.stream_content == b"for streams"

    def test_several(self) -> None:
        run = begin(message("c", "1"), message("c", action=Action.HINT), message("c", "2", kind=MessageKind.PING))
        assert (run.message_frames, run.has_message_actions) == (b"\x81\x011\x89\x012", False)

    def test_none(self) -> None:
        run = begin(text("c", "x"), answer("c", "y"))
        assert (run.message_frames, run.frames_for(COMPRESSED), run.has_message_actions) == (b"", b"", False)

    @pytest.mark.parametrize("action", [Action.CLOSE, Action.REFRESH])
    def test_actions(self, action: Action) -> None:
        run = begin(message("c", "1"), message("c", action=action))
        assert (run.message_frames, run.has_message_actions) == (b"\x81\x011", True)

    def test_compressed_once(self) -> None:
        """Control frames, actions and items for others are left as they are, or out."""
        kinds = [message("c", "x" * 50), message("c", "p", kind=MessageKind.PING), message("c", action=Action.HINT)]
        run = begin(text("c", "x"), *kinds)
        frames = run.frames_for(COMPRESSED)
        assert frames.startswith(b"\xc1")
        assert frames.endswith(b"\x89\x01p")
        assert len(frames) < len(run.message_frames)
        assert run.frames_for(COMPRESSED) is frames

    def test_content_filters(self) -> None:
        assert begin(message("c", "x", content_filters=())).has_content_filters
        assert not begin(message("c", "x")).has_content_filters

    def test_size_and_weight(self) -> None:
        run = make_delivery(message("c", "x" * (RUN_BYTES - 1)))
        assert not run.is_full
        run.add(message("c", "x"), Receipt("c"))
        assert run.is_full
        run.begin(0)
        assert run.weight == 1 + len(run.message_frames) // WEIGHT_BYTES > 4

    def test_receipts(self) -> None:
        """Actions are no messages: whoever acted on one counts for itself."""
        items = [message("c", "1"), text("c", "x"), message("c", action=Action.REFRESH), message("c", "")]
        run = begin(*items)
        run.messages_sent, run.messages_lost = 3, 1
        counters = Counters()
        run.settle(counters)
        receipts = [receipt for _, receipt in run.entries]
        assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(3, 1), (0, 0), (0, 0), (3, 1)]
        assert counters.deliveries == 6


class TestWatch:
    """ws spec §2.4, grip spec §6.7: a hold whose order across channels is watched when the run is on its way."""

    def make(self, world: World) -> tuple[list[Hold], Delivery]:
        holds: list[Hold] = [world.stream("c").hold for _ in range(4)]
        return holds, make_delivery(text("c", "x"), holds=holds)

    def test_before_the_run_begins(self) -> None:
        holds, run = self.make(World())
        run.watch(holds[1])
        assert run.unreached == {holds[1]}

    def test_only_if_it_has_not_had_its_turn(self) -> None:
        world = World()
        holds, run = self.make(world)
        run.begin(0)
        run.write_slice(2, no_catch_up)
        for hold in holds:
            run.watch(hold)
        assert run.unreached == {holds[2], holds[3]}

    def test_only_if_it_is_a_receiver(self) -> None:
        world = World()
        _, run = self.make(world)
        run.watch(world.stream("c").hold)
        assert run.unreached == set()

    def test_is_brought_up_to_date_then(self) -> None:
        world = World()
        holds, run = self.make(world)
        run.begin(0)
        assert isinstance(holds[3], StreamHold)
        holds[3].is_order_watched = True
        run.watch(holds[3])
        caught: list[Hold] = []
        run.write_slice(4, lambda hold, delivery: caught.append(hold))
        assert caught == [holds[3]]


CHAINS: list[tuple[str, list[Item], bool, str | None, str | None]] = [
    ("one", [step("c", 4)], True, "3", "4"),
    ("several", [step("c", 4), step("c", 5), step("c", 6)], True, "3", "6"),
    ("with others between", [step("c", 4), answer("c", "x"), step("c", 5)], True, "3", "5"),
    ("a gap", [step("c", 4), step("c", 6)], False, "3", "6"),
    ("nothing to follow", [text("c", "x"), text("c", "y")], False, None, None),
    ("until the close", [step("c", 4), close("c"), step("c", 9)], False, "3", None),
    ("no id at the end", [step("c", 4), text("c", "x", prev_id="4")], True, "3", None),
]


@pytest.mark.parametrize(
    ("items", "is_chain", "first_prev_id", "last_id"), [case[1:] for case in CHAINS], ids=[case[0] for case in CHAINS]
)
def test_chains(items: list[Item], is_chain: bool, first_prev_id: str | None, last_id: str | None) -> None:
    run = begin(*items)
    assert (run.is_chain, run.first_prev_id, run.last_id) == (is_chain, first_prev_id, last_id)


class TestSize:
    def test_many_items(self) -> None:
        run = make_delivery(*[text("c", "") for _ in range(RUN_ITEMS - 1)])
        assert not run.is_full
        run.add(answer("c", "x"), Receipt("c"))
        assert run.is_full

    def test_many_bytes(self) -> None:
        run = make_delivery(text("c", "x" * (RUN_BYTES - 1)), answer("c", "y" * 10))
        assert not run.is_full
        run.add(text("c", "x"), Receipt("c"))
        assert run.is_full

    @pytest.mark.parametrize(
        ("item", "weight"),
        [
            (text("c", ""), 1),
            (text("c", "x" * (WEIGHT_BYTES - 1)), 1),
            (text("c", "x" * WEIGHT_BYTES), 2),
            (answer("c", "x" * 3 * WEIGHT_BYTES), 4),
            (make_item("c", response=ResponseFormat(Action.HINT)), 1),
        ],
    )
    def test_large_ones_weigh_more(self, item: Item, weight: int) -> None:
        assert begin(item).weight == weight


class TestSlices:
    def test_each_hold_once(self) -> None:
        world = World()
        clients = [world.stream("c") for _ in range(5)]
        run = make_delivery(text("c", "x"), holds=[client.hold for client in clients])
        assert (run.remaining, run.has_begun) == (5, False)
        run.begin(0)
        for written, remaining in [(2, 3), (2, 1), (1, 0), (0, 0)]:
            assert (run.write_slice(2, no_catch_up), run.remaining) == (written, remaining)
        assert [client.writes for client in clients] == [["x"]] * 5

    def test_not_those_that_have_ended(self) -> None:
        world = World()
        client = world.stream("c")
        run = make_delivery(text("c", "x"), holds=[client.hold])
        client.leave()
        run.begin(0)
        run.write_slice(1, no_catch_up)
        assert client.writes == []

    def test_watched_ones_are_brought_up_to_date(self) -> None:
        world = World()
        watched, plain = world.stream("c", "d"), world.stream("c")
        holds: list[Hold] = [watched.hold, plain.hold]
        run = make_delivery(text("c", "x"), holds=holds, unreached=[watched.hold])
        run.begin(0)
        caught: list[tuple[Hold, Delivery]] = []
        run.write_slice(2, lambda hold, delivery: caught.append((hold, delivery)))
        assert caught == [(watched.hold, run)]
        assert (watched.writes, plain.writes) == ([], ["x"])

    def test_one_that_fails_does_not_stop_the_others(self, caplog: pytest.LogCaptureFixture) -> None:
        world = World()
        broken, fine = world.stream("c"), world.stream("c")
        broken.outlet.mood = Mood.BREAKS
        run = make_delivery(text("c", "x"), holds=[broken.hold, fine.hold])
        run.begin(0)
        assert run.write_slice(2, no_catch_up) == 2
        assert fine.writes == ["x"]
        assert caplog.messages == ["delivery to a stream of c failed"]


def test_receipts(caplog: pytest.LogCaptureFixture) -> None:
    """Those that shared the bytes are counted for every item that had some."""
    items = [text("c", "one"), text("c", ""), answer("c", "x"), text("c", "two")]
    run = make_delivery(*items)
    run.begin(0)
    run.streams_sent, run.streams_lost = 3, 1
    run.encoded[1,] = b"x"
    counters = Counters()
    with caplog.at_level(logging.INFO):
        run.settle(counters)
    receipts = [receipt for _, receipt in run.entries]
    assert [(receipt.receivers, receipt.dropped) for receipt in receipts] == [(3, 1), (0, 0), (0, 0), (3, 1)]
    assert counters.deliveries == 6
    assert caplog.messages == [f"publish channel=c receivers={count}" for count in (3, 0, 0, 3)]
    assert (run.remaining, run.encoded) == (0, {})
