"""The intake: what a client has, what comes next for it, and what waits."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.push.helpers import answer, close, make_item, next_link, step, stream_hint, text

from holdfast.grip.item import Item
from holdfast.push.channels import Channel
from holdfast.push.delivery import Delivery
from holdfast.push.intake import MAX_QUEUED, Intake, Phase, Queued
from holdfast.push.run import Receipt

GIVEN = MappingProxyType({"c": "3"})
"""As a plan has it: shared by all equal holds, and not to be changed."""


def make_intake(prev_ids: Mapping[str, str] = GIVEN) -> Intake:
    return Intake(prev_ids, None)


def queued(item: Item) -> Queued:
    return Queued(item.channel, item, Receipt(item.channel))


def make_run(*items: Item) -> Delivery:
    delivery = Delivery(1, Channel(items[0].channel))
    for item in items:
        delivery.add(item, Receipt(item.channel))
    delivery.begin(0)
    return delivery


def waiting(intake: Intake) -> list[str | None]:
    """The ids of the items that wait, taken out."""
    ids = []
    while (first := intake.take()) is not None:
        ids.append(first.item.id)
    return ids


NO_ID = text("c", "x", prev_id="3")
FOLLOWS: list[tuple[str, Item, bool, bool]] = [
    ("the next", step("c", 4), True, False),
    ("a later one", step("c", 5), False, False),
    ("an earlier one", step("c", 2), False, False),
    ("the newest again", step("c", 3), False, True),
    ("no prev-id", text("c", "x", item_id="4"), False, False),
    ("no id", NO_ID, True, False),
    ("neither", text("c", "x"), False, False),
    ("empty prev-id", text("c", "x", item_id="4", prev_id=""), False, False),
    ("one that names itself", text("c", "x", item_id="3", prev_id="3"), True, True),
    ("of a channel without ids", step("d", 9), True, False),
    ("of a channel without ids, with the same id", step("d", 3), True, False),
]


@pytest.mark.parametrize(("item", "follows", "has"), [case[1:] for case in FOLLOWS], ids=[case[0] for case in FOLLOWS])
def test_what_comes_next(item: Item, follows: bool, has: bool) -> None:
    """grip spec §10.3"""
    intake = make_intake()
    assert (intake.follows(item.channel, item), intake.has(item.channel, item)) == (follows, has)


RUNS: list[tuple[str, Delivery, bool]] = [
    ("one", make_run(step("c", 4)), True),
    ("a chain", make_run(step("c", 4), step("c", 5), step("c", 6)), True),
    ("a chain that begins later", make_run(step("c", 5), step("c", 6)), False),
    ("a chain that begins earlier", make_run(step("c", 3), step("c", 4)), False),
    ("a gap inside", make_run(step("c", 4), step("c", 6)), False),
    ("an item without prev-id inside", make_run(step("c", 4), text("c", "x", item_id="5")), False),
    ("an item without id inside", make_run(NO_ID, text("c", "x")), False),
    ("an item without id at the end", make_run(NO_ID), True),
    ("long polls do not count", make_run(step("c", 4), answer("c", "x"), step("c", 5)), True),
    ("a hint", make_run(step("c", 4), stream_hint("c", item_id="5", prev_id="4")), False),
    ("a channel without ids", make_run(step("d", 7), step("d", 1)), True),
    ("a hint on a channel without ids", make_run(stream_hint("d")), False),
]


@pytest.mark.parametrize(("run", "expected"), [case[1:] for case in RUNS], ids=[case[0] for case in RUNS])
def test_whole_runs(run: Delivery, expected: bool) -> None:
    assert (make_intake().ids_after(run) is not None) is expected


@pytest.mark.parametrize("phase", [Phase.WAITING, Phase.FETCHING, Phase.FILTERING])
def test_no_run_is_taken_whole_while_there_is_something_to_do(phase: Phase) -> None:
    intake = make_intake()
    intake.phase = phase
    assert intake.ids_after(make_run(step("c", 4))) is None
    assert intake.ids_after(make_run(step("d", 4))) is None


class TestAdvance:
    def test_the_next_must_follow(self) -> None:
        intake = make_intake()
        intake.advance("c", "4")
        assert intake.follows("c", step("c", 5))
        assert not intake.follows("c", step("c", 4))
        intake.advance("c", "5")
        assert intake.prev_ids == {"c": "5"}

    def test_what_was_given_stays_as_it_was(self) -> None:
        """Equal holds share it."""
        given_ids = MappingProxyType({"c": "3"})
        first, second = make_intake(given_ids), make_intake(given_ids)
        first.advance("c", "4")
        assert (first.prev_ids, second.prev_ids) == ({"c": "4"}, {"c": "3"})
        assert given_ids == {"c": "3"}

    def test_without_an_id_anything_may_follow(self) -> None:
        """grip spec §10.3"""
        intake = make_intake()
        intake.advance("c", None)
        assert intake.prev_ids == {}
        intake.advance("c", "7")
        assert intake.prev_ids == {}
        assert intake.follows("c", step("c", 1))

    def test_the_empty_string_is_an_id(self) -> None:
        intake = make_intake()
        intake.advance("c", "")
        assert intake.prev_ids == {"c": ""}

    def test_channels_without_ids_stay_without(self) -> None:
        intake = make_intake()
        intake.advance("d", "4")
        assert intake.prev_ids is GIVEN


class TestActivity:
    """grip spec §6.8: every subscribed channel has had an item."""

    @pytest.mark.parametrize("channels", [(), ("c",)])
    def test_of_one_channel(self, channels: tuple[str, ...]) -> None:
        intake = make_intake()
        assert intake.is_active("c", channels)
        assert intake.is_active("c", channels)

    def test_of_several(self) -> None:
        intake = make_intake()
        steps = [("a", False), ("a", False), ("b", False), ("c", True), ("c", False), ("b", False), ("a", True)]
        for channel, expected in steps:
            assert intake.is_active(channel, ("a", "b", "c")) is expected

    def test_begins_anew_with_the_next_hold(self) -> None:
        intake = make_intake()
        intake.is_active("a", ("a", "b"))
        intake.begin_again({}, None, ("a", "b"))
        assert not intake.is_active("b", ("a", "b"))
        assert intake.is_active("a", ("a", "b"))


def test_who_waits_for_the_client_is_told_once() -> None:
    intake = make_intake()
    told: list[str] = []
    intake.drained()
    intake.on_drained = lambda: told.append("free")
    intake.drained()
    intake.drained()
    assert told == ["free"]


class TestQueue:
    def test_first_in_first_out(self) -> None:
        intake = make_intake()
        assert (len(intake), intake.first(), intake.take()) == (0, None, None)
        one, two = queued(step("c", 4)), queued(step("d", 5))
        assert intake.put(one) and intake.put(two)
        assert (len(intake), intake.first()) == (2, one)
        assert (intake.take(), intake.take(), intake.take()) == (one, two, None)

    def test_back_to_the_front(self) -> None:
        intake = make_intake()
        one, two = queued(step("c", 4)), queued(step("c", 5))
        intake.put_back(two)
        intake.put_back(one)
        assert (intake.take(), intake.take()) == (one, two)

    def test_clear(self) -> None:
        intake = make_intake()
        intake.put(queued(step("c", 4)))
        intake.clear()
        intake.clear()
        assert (len(intake), intake.take()) == (0, None)

    def test_is_bounded(self) -> None:
        """grip spec §10.1: the newest does not get in. There is always room for the one that was just taken out."""
        intake = make_intake()
        assert MAX_QUEUED == 100
        for number in range(MAX_QUEUED):
            assert intake.put(queued(step("c", number)))
        assert not intake.put(queued(step("c", MAX_QUEUED)))
        first = intake.take()
        assert first is not None
        intake.put_back(first)
        assert not intake.put(queued(step("c", MAX_QUEUED)))
        assert waiting(intake) == [str(number) for number in range(MAX_QUEUED)]


NOTHING_WAITS: list[Item] = []
# queue, ids of the answer, its channels, what is left, whether something may be missing
ANSWERS: list[tuple[str, list[Item], dict[str, str], tuple[str, ...], list[str | None], bool]] = [
    ("nothing waits", NOTHING_WAITS, {"c": "3"}, ("c",), [], False),
    ("2 3 4 5, answer up to 3", [step("c", n) for n in (2, 3, 4, 5)], {"c": "3"}, ("c",), ["4", "5"], False),
    ("all new", [step("c", n) for n in (4, 5)], {"c": "3"}, ("c",), ["4", "5"], False),
    ("all old, the newest among them", [step("c", n) for n in (2, 3)], {"c": "3"}, ("c",), [], False),
    ("all old, or all new: who knows", [step("c", n) for n in (7, 8)], {"c": "3"}, ("c",), [], True),
    ("old ones after the newest", [step("c", 3), step("c", 2)], {"c": "3"}, ("c",), [], True),
    ("a gap, then one that fits", [step("c", 7), step("c", 4)], {"c": "3"}, ("c",), ["4"], False),
    ("no ids: everything is new", [step("c", 9)], {}, ("c",), ["9"], False),
    ("other channels", [step("d", 1), step("c", 4), step("d", 2)], {"c": "3"}, ("c",), ["4"], False),
    ("only other channels", [step("d", 1)], {"c": "3"}, ("c",), [], False),
    ("no channel at all", [step("c", 4)], {}, (), [], False),
    (
        "an odd one before another channel's next",
        [step("d", 9), step("c", 4)],
        {"c": "3", "d": "1"},
        ("c", "d"),
        ["4"],
        True,
    ),
    (
        "newest of two channels",
        [step("c", 3), step("d", 0), step("d", 1), step("d", 2)],
        {"c": "3", "d": "1"},
        ("c", "d"),
        ["2"],
        False,
    ),
    ("no prev-id, as a close has it", [close("c")], {"c": "3"}, ("c",), [], False),
]


@pytest.mark.parametrize(
    ("items", "prev_ids", "channels", "left", "is_uncertain"),
    [case[1:] for case in ANSWERS],
    ids=[case[0] for case in ANSWERS],
)
def test_what_an_answer_leaves(
    items: list[Item], prev_ids: dict[str, str], channels: tuple[str, ...], left: list[str | None], is_uncertain: bool
) -> None:
    """grip-69, grip spec §10.4"""
    intake = make_intake({"c": "1"})
    for item in items:
        intake.put(queued(item))
    assert intake.begin_again(prev_ids, None, channels) is is_uncertain
    assert waiting(intake) == left


def test_an_answer_begins_everything_anew() -> None:
    intake, link = make_intake(), next_link()
    intake.phase, intake.is_relaying = Phase.FETCHING, True
    intake.begin_again({"d": "1"}, link, ("d",))
    assert (intake.phase, intake.is_relaying, intake.link, intake.prev_ids) == (Phase.OPEN, False, link, {"d": "1"})


@given(st.lists(st.tuples(st.sampled_from("cde"), st.integers(1, 5)), max_size=12), st.integers(0, 5))
def test_an_answer_leaves_an_end_of_the_queue(entries: list[tuple[str, int]], prev_id: int) -> None:
    """Of the channels that are still held. What is left begins with what follows; nothing between is taken out."""
    intake = make_intake({})
    items = [make_item(channel, item_id=str(n), prev_id=str(n - 1)) for channel, n in entries]
    for item in items:
        intake.put(queued(item))
    intake.begin_again({"c": str(prev_id)}, None, ("c", "d"))
    held = [item for item in items if item.channel in ("c", "d")]
    first = intake.first()
    assert first is None or intake.follows(first.channel, first.item)
    left = []
    while (entry := intake.take()) is not None:
        left.append(entry.item)
    assert left == held[len(held) - len(left) :]
