"""The sequencer, as conversations: what arrives when, and what leaves. Time is a number that the test moves.

Items are written `id<prev-id`, after an optional `channel:`; `-` is an item without id, and a trailing `!` is `no-seq`.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.counters import Counters, counter_values
from holdfast.errors import GripError
from holdfast.grip.item import Item, parse_item
from holdfast.grip.values import NO_META
from holdfast.push.last_ids import LastIds
from holdfast.push.sequencer import MAX_BUFFERED_PER_CHANNEL, Outcome, Sequencer
from holdfast.statistics.histogram import Histogram

DELIVER, BUFFERED, DUPLICATE = Outcome.DELIVER, Outcome.BUFFERED, Outcome.DUPLICATE
CONFLICT, FULL = Outcome.CONFLICT, Outcome.FULL

START_S = 1000.0
TTL_S = 60.0
WAIT_S = 5.0


def make_item(
    item_id: str | None, prev_id: str | None = None, *, channel: str = "c", is_unsequenced: bool = False
) -> Item:
    return Item(channel, item_id, prev_id, is_unsequenced, None, NO_META, None, None, None)


def parse(text: str) -> Item:
    """The item of this file's notation."""
    channel, _, rest = text.rpartition(":")
    item_id, _, prev_id = rest.removesuffix("!").partition("<")
    return make_item(
        None if item_id == "-" else item_id,
        prev_id or None,
        channel=channel or "c",
        is_unsequenced=rest.endswith("!"),
    )


def show(items: Iterable[Item]) -> str:
    """The items in this file's notation, separated by spaces."""
    return " ".join(
        (f"{item.channel}:" if item.channel != "c" else "")
        + ("-" if item.id is None else item.id)
        + (f"<{item.prev_id}" if item.prev_id else "")
        + ("!" if item.no_seq else "")
        for item in items
    )


@dataclass
class Talk:
    """A sequencer and its clock."""

    ttl_s: float = TTL_S
    wait_s: float = WAIT_S
    max_channels: int = 1000
    max_buffered: int = MAX_BUFFERED_PER_CHANNEL
    max_remembered: int = 1000
    now_s: float = START_S
    counters: Counters = field(default_factory=Counters)

    def __post_init__(self) -> None:
        self.last_ids = LastIds(self.max_channels)
        self.sequencer = Sequencer(
            self.last_ids,
            id_cache_ttl_s=self.ttl_s,
            message_wait_s=self.wait_s,
            max_buffered_per_channel=self.max_buffered,
            max_remembered_ids=self.max_remembered,
            counters=self.counters,
        )

    def submit(self, item: Item, *, is_subscribed: bool = True) -> tuple[Outcome, list[Item]]:
        outcome, items = self.sequencer.submit(item, is_subscribed=is_subscribed, now_s=self.now_s)
        assert bool(items) == (outcome is DELIVER)
        return outcome, list(items)

    def publish(self, *texts: str, is_subscribed: bool = True) -> str:
        """What leaves, or else the name of the outcome; one after the other, separated by `, `."""
        answers = []
        for text in texts:
            outcome, items = self.submit(parse(text), is_subscribed=is_subscribed)
            answers.append(show(items) if items else outcome.value)
        return ", ".join(answers)

    def release(self) -> str:
        return show(self.sequencer.release_due(self.now_s))


# --- order ------------------------------------------------------------------------------------------------------------

CONVERSATIONS = [
    ("no ids at all", "- - -", "-, -, -"),
    ("in order", "1 2<1 3<2", "1, 2<1, 3<2"),
    ("grip-78 two change places", "1 3<2 2<1", "1, buffered, 2<1 3<2"),
    ("backwards", "1 4<3 3<2 2<1", "1, buffered, buffered, 2<1 3<2 4<3"),
    ("a chain stops at the next gap", "1 5<4 3<2 2<1 4<3", "1, buffered, buffered, 2<1 3<2, 4<3 5<4"),
    ("the first item is taken as it is", "7<6 8<7", "7<6, 8<7"),
    ("without prev-id nothing is waited for", "1 5 6<5", "1, 5, 6<5"),
    ("without prev-id, yet others wait for it", "1 3<2 2", "1, buffered, 2 3<2"),
    ("channels do not wait for each other", "1 3<2 d:3<2 d:5<4", "1, buffered, d:3<2, buffered"),
    (
        "the same id in another channel",
        "1 d:1 3<2 d:3<2 d:2<1",
        "1, d:1, buffered, buffered, d:2<1 d:3<2",
    ),
    ("grip-83 an item without id clears the last id", "1 - 3<2", "1, -, 3<2"),
    ("also one that follows", "1 -<1 3<2", "1, -<1, 3<2"),
    ("also at the end of a chain", "1 -<2 2<1 9<8", "1, buffered, 2<1 -<2, 9<8"),
    ("an item without id is followed by nobody", "1 3<2 - 2", "1, buffered, -, 2 3<2"),
    ("an item without id waits as others do", "1 -<2", "1, buffered"),
    ("grip-84 the second with one prev-id is lost", "1 3<2 4<2 2<1", "1, buffered, conflict, 2<1 3<2"),
    ("not in another channel", "1 d:1 3<2 d:3<2", "1, d:1, buffered, buffered"),
    ("nor once the first has left", "1 3<2 2<1 9<2", "1, buffered, 2<1 3<2, buffered"),
    ("an item that follows itself", "1 2<2 2", "1, buffered, duplicate"),
    ("two that follow each other", "1 3<2 2<3", "1, buffered, buffered"),
    ("grip-81 no-seq does not wait", "1 3<2!", "1, 3<2!"),
    ("grip-81 no-seq does not move the last id", "1 5! 2<1 6<5", "1, 5!, 2<1, buffered"),
    ("no-seq is followed by nobody", "1 6<5 5!", "1, buffered, 5!"),
    ("no-seq makes no last id", "5! 9<8", "5!, 9<8"),
    ("a repeat", "1 1 2<1 1", "1, duplicate, 2<1, duplicate"),
    ("a repeat of what is buffered", "1 3<2 3<2 2<1 3<2", "1, buffered, duplicate, 2<1 3<2, duplicate"),
    ("a repeat with another prev-id", "1 2<1 2<9", "1, 2<1, duplicate"),
    ("a repeat with no-seq", "1 1!", "1, duplicate"),
    ("a repeat of no-seq", "1! 1", "1!, duplicate"),
    ("a repeat of what was lost", "1 3<2 4<2 4<3", "1, buffered, conflict, duplicate"),
    ("not in another channel", "1 d:1", "1, d:1"),
    ("items without id do not repeat each other", "- -", "-, -"),
]


@pytest.mark.parametrize(
    ("arrive", "leave"), [case[1:] for case in CONVERSATIONS], ids=[case[0] for case in CONVERSATIONS]
)
def test_conversation(arrive: str, leave: str) -> None:
    """What each item makes leave; what is not released at once shows `buffered`, or why it was lost."""
    assert Talk().publish(*arrive.split()) == leave


def test_twenty_in_one_call_arrive_in_order() -> None:
    """grip-87"""
    items = [make_item(str(number), str(number - 1)) for number in range(20)]
    talk = Talk()
    assert [talk.submit(item)[1] for item in items] == [[item] for item in items]


def test_twenty_without_ids_arrive_in_order() -> None:
    """grip-87: the items themselves, not equal ones."""
    talk = Talk()
    for item in [make_item(None) for _ in range(20)]:
        assert talk.submit(item)[1][0] is item


def test_a_numeric_id_never_gets_here() -> None:
    """grip-77"""
    with pytest.raises(GripError, match="'id' with wrong type"):
        parse_item({"channel": "c", "id": 1, "formats": {"http-stream": {"content": "x"}}})


@pytest.mark.parametrize("prev_id", ["", "0"])
def test_the_empty_string_is_an_id(prev_id: str) -> None:
    """grip spec §8.1: it is remembered, set, compared and waited for like any other."""
    talk = Talk()
    talk.submit(make_item("1"))
    assert talk.submit(make_item("2", prev_id)) == (BUFFERED, [])
    assert [item.id for item in talk.submit(make_item(prev_id, "1"))[1]] == [prev_id, "2"]
    assert talk.submit(make_item(prev_id)) == (DUPLICATE, [])


# --- subscribers ------------------------------------------------------------------------------------------------------


def test_without_subscribers_nothing_is_sequenced() -> None:
    """grip-82"""
    talk = Talk()
    assert talk.publish("1", "9<8", "5<4", is_subscribed=False) == "1, 9<8, 5<4"
    assert talk.last_ids.get("c") is None
    assert talk.publish("3<2") == "3<2"


def test_without_subscribers_a_known_last_id_stays() -> None:
    """grip spec §9 step 3: the table is not touched."""
    talk = Talk()
    talk.publish("1")
    talk.publish("9<8", "-", is_subscribed=False)
    assert talk.last_ids.get("c") == "1"


def test_a_repeat_counts_also_when_nobody_was_subscribed() -> None:
    """grip-79"""
    talk = Talk()
    assert talk.publish("1", is_subscribed=False) == "1"
    assert talk.publish("1") == "duplicate"
    assert talk.publish("1", is_subscribed=False) == "duplicate"


def test_a_forgotten_channel_loses_its_last_id_and_what_is_buffered() -> None:
    """grip spec §9; the lost items are returned in order of arrival, and counted."""
    talk = Talk()
    talk.publish("1", "d:1", "9<8", "d:9<8", "3<2", "6<5")
    assert show(talk.sequencer.forget_channel("c")) == "9<8 3<2 6<5"
    assert (talk.last_ids.get("c"), talk.last_ids.get("d")) == (None, "1")
    assert talk.counters.drops_channel_gone == 3
    assert talk.sequencer.buffered == 1
    talk.now_s += WAIT_S
    assert talk.release() == "d:9<8"


def test_a_forgotten_channel_starts_anew_and_its_ids_are_still_known() -> None:
    talk = Talk()
    talk.publish("1", "3<2")
    talk.sequencer.forget_channel("c")
    assert talk.publish("3<2", "7<6", "2<1") == "duplicate, 7<6, buffered"


def test_forgetting_an_unknown_channel() -> None:
    talk = Talk()
    assert talk.sequencer.forget_channel("c") == []
    assert talk.counters.drops_channel_gone == 0


# --- repeats over time ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_s", "outcome"),
    [(0, DUPLICATE), (59.75, DUPLICATE), (60, DUPLICATE), (60.25, DELIVER), (1e6, DELIVER)],
)
def test_an_id_is_remembered_for_the_ttl(age_s: float, outcome: Outcome) -> None:
    """grip-79"""
    talk = Talk()
    talk.publish("1")
    talk.now_s += age_s
    assert talk.submit(make_item("1"))[0] is outcome


def test_a_repeat_does_not_prolong_it() -> None:
    """grip spec §9 step 2"""
    talk = Talk()
    talk.publish("1")
    talk.now_s += 40
    assert talk.publish("1") == "duplicate"
    talk.now_s += 40
    assert talk.publish("1", "1") == "1, duplicate"
    talk.now_s += 60
    assert talk.publish("1") == "duplicate"


def test_ttl_of_zero_is_off() -> None:
    """grip spec §9 step 1"""
    talk = Talk(ttl_s=0)
    assert talk.publish("1", "1", "1") == "1, 1, 1"
    assert talk.sequencer.remembered == 0


def test_old_ids_are_removed_a_few_at_a_time() -> None:
    """The first item after a busy minute does not pay for all; and an old id that is still there is not a repeat."""
    talk = Talk()
    talk.publish(*(str(number) for number in range(100)))
    assert talk.sequencer.remembered == 100
    talk.now_s += 61
    assert talk.publish("50", "50") == "50, duplicate"
    assert 1 < talk.sequencer.remembered < 100
    talk.publish(*(f"new {number}" for number in range(20)))
    assert talk.sequencer.remembered == 21


def test_remembered_ids_are_bounded() -> None:
    """With more than fit, the oldest is forgotten early and that is counted."""
    talk = Talk(max_remembered=3)
    talk.publish("1", "2", "3", "1")
    assert (talk.sequencer.remembered, talk.counters.ids_forgotten_early) == (3, 0)
    talk.publish("4")
    assert (talk.sequencer.remembered, talk.counters.ids_forgotten_early) == (3, 1)
    assert talk.publish("2", "3", "4", "1") == "duplicate, duplicate, duplicate, 1"


def test_what_is_too_old_anyway_is_not_forgotten_early() -> None:
    talk = Talk(max_remembered=3)
    talk.publish("1", "2", "3")
    talk.now_s += 61
    talk.publish("4", "5", "6")
    assert (talk.sequencer.remembered, talk.counters.ids_forgotten_early) == (3, 0)


# --- waiting ----------------------------------------------------------------------------------------------------------


def test_waits_for_message_wait() -> None:
    """grip-80"""
    talk = Talk()
    assert talk.sequencer.next_due_s is None
    talk.publish("1", "3<2")
    assert talk.sequencer.next_due_s == START_S + WAIT_S
    talk.now_s += WAIT_S - 0.25
    assert talk.release() == ""
    talk.now_s += 0.25
    assert talk.release() == "3<2"
    assert talk.sequencer.next_due_s is None
    assert talk.last_ids.get("c") == "3"


def test_arrival_order_across_channels() -> None:
    """grip spec §9, deviation: also within one moment. Only what is due leaves."""
    talk = Talk()
    talk.publish("1", "d:1", "e:1")
    talk.publish("e:7<6", "5<4", "d:9<8", "e:4<3")
    talk.now_s += 1
    talk.publish("9<8")
    assert talk.sequencer.next_due_s == START_S + WAIT_S
    talk.now_s = START_S + WAIT_S
    assert talk.release() == "e:7<6 5<4 d:9<8 e:4<3"
    assert talk.sequencer.next_due_s == START_S + 1 + WAIT_S
    talk.now_s += 1
    assert talk.release() == "9<8"


def test_each_is_followed_by_its_chain() -> None:
    """The chain comes along even if it has not waited, and before what arrived earlier."""
    talk = Talk()
    talk.publish("1", "5<4", "9<8")
    talk.now_s += 1
    talk.publish("7<6", "6<5")
    talk.now_s = START_S + WAIT_S
    assert talk.release() == "5<4 6<5 7<6 9<8"
    assert talk.counters.items_released_late == 2
    assert talk.sequencer.buffered == 0


def test_an_item_without_id_released_late_clears_the_last_id() -> None:
    talk = Talk()
    talk.publish("1", "-<8", "4<3")
    talk.now_s += WAIT_S
    assert talk.release() == "-<8 4<3"
    assert talk.last_ids.get("c") == "4"
    talk.publish("-<3")
    talk.now_s += WAIT_S
    assert talk.release() == "-<3"
    assert talk.last_ids.get("c") is None


def test_an_old_item_sets_the_table_backwards() -> None:
    """grip spec §9: it waits the full time, and then its successors wait for those it stands before."""
    talk = Talk()
    talk.publish("1", "2<1", "3<2", "1b<1")
    talk.now_s += WAIT_S
    assert talk.release() == "1b<1"
    assert talk.publish("4<3") == "buffered"


def test_nobody_waits_for_what_is_unknown_again() -> None:
    """`recover` clears the table and leaves the buffer; the next item is taken as it is and frees who follows it."""
    talk = Talk()
    talk.publish("1", "5<4")
    talk.last_ids.clear()
    assert talk.sequencer.buffered == 1
    assert talk.publish("3<2", "4<3") == "3<2, 4<3 5<4"


def test_an_evicted_channel_is_unknown_again() -> None:
    talk = Talk(max_channels=1)
    assert talk.publish("1", "d:1", "3<2") == "1, d:1, 3<2"


def test_releasing_nothing() -> None:
    assert Talk().release() == ""


# --- bounds and counters ----------------------------------------------------------------------------------------------


def test_a_hundred_may_wait_per_channel() -> None:
    """grip-85: the 101st is lost, whatever other channels do; and there is room again when one has left."""
    talk = Talk()
    talk.publish("0", "d:0")
    outcomes = [talk.submit(make_item(str(number), str(number - 1)))[0] for number in range(2, 103)]
    assert outcomes == [BUFFERED] * 100 + [FULL]
    assert talk.publish("d:9<8") == "buffered"
    assert talk.sequencer.buffered == 101
    assert talk.publish("again<5") == "conflict", "said first: it would not help if there were room"
    assert len(talk.submit(make_item("1", "0"))[1]) == 101
    assert talk.sequencer.buffered == 1
    assert talk.publish("200<199") == "buffered"


def test_channels_that_had_something_buffered_leave_nothing_behind() -> None:
    talk = Talk(ttl_s=0, max_channels=1)
    tracemalloc.start()
    try:
        for number in range(1000):
            name = f"channel {number}"
            assert talk.publish(f"{name}:1", f"{name}:3<2", f"{name}:2<1").endswith(f"{name}:3<2")
        assert tracemalloc.get_traced_memory()[0] < 50_000
    finally:
        tracemalloc.stop()


COUNTED = [
    ("delivered", "1 2<1 - 9! d:1", {}),
    ("repeats", "1 1 2<1 1!", {"items_duplicate": 2}),
    ("found its place", "1 3<2 2<1", {"items_buffered": 1}),
    ("waited in vain, followed by who did not", "1 3<2 4<3", {"items_buffered": 2, "items_released_late": 1}),
    ("same prev-id", "1 3<2 4<2 2<1", {"items_buffered": 1, "drops_sequence_conflict": 1}),
    ("no room", "1 5<4 7<6 9<8 4<1", {"items_buffered": 2, "drops_sequence_full": 1, "items_released_late": 1}),
    ("channel gone", "d:1 d:3<2 d:5<4", {"items_buffered": 2, "drops_channel_gone": 2}),
    ("too many ids", "1 2 3 4 5 6 7 8", {"ids_forgotten_early": 2}),
]


@pytest.mark.parametrize(("arrive", "counted"), [case[1:] for case in COUNTED], ids=[case[0] for case in COUNTED])
def test_what_happened_is_counted(arrive: str, counted: dict[str, int]) -> None:
    """grip spec §13.7: then the channel `d` is left, and then all wait until they are released."""
    talk = Talk(max_buffered=2, max_remembered=6)
    talk.publish(*arrive.split())
    talk.sequencer.forget_channel("d")
    talk.now_s += WAIT_S
    talk.release()
    assert {name: value for name, value in counter_values(talk.counters).items() if value} == counted


# --- against a naive model --------------------------------------------------------------------------------------------


@dataclass
class Model:
    """grip spec §9, word for word, with lists."""

    ttl_s: float
    wait_s: float
    max_channels: int
    max_buffered: int
    max_remembered: int
    remembered: list[tuple[float, str, str]] = field(default_factory=list)
    table: list[tuple[str, str]] = field(default_factory=list)
    buffer: list[tuple[float, Item]] = field(default_factory=list)

    def submit(self, item: Item, *, is_subscribed: bool, now_s: float) -> tuple[Outcome, list[Item]]:
        # 1. Forget remembered ids older than the ttl; 0 = feature off.
        self.remembered = [entry for entry in self.remembered if self.ttl_s and not now_s - entry[0] > self.ttl_s]
        # 2. Remembered: drop. Otherwise remember.
        if item.id is not None and self.ttl_s:
            if any(entry[1:] == (item.channel, item.id) for entry in self.remembered):
                return DUPLICATE, []
            self.remembered = [*self.remembered, (now_s, item.channel, item.id)][-self.max_remembered :]
        # 3. no-seq or nobody there: deliver now, table untouched.
        if item.no_seq or not is_subscribed:
            return DELIVER, [item]
        # 4. L known, prev-id present and different: buffer.
        last_id = dict(self.table).get(item.channel)
        if last_id is not None and item.prev_id is not None and item.prev_id != last_id:
            waiting = [other for _, other in self.buffer if other.channel == item.channel]
            if any(other.prev_id == item.prev_id for other in waiting):
                return CONFLICT, []
            if len(waiting) >= self.max_buffered:
                return FULL, []
            self.buffer.append((now_s, item))
            return BUFFERED, []
        # 5. Deliver, and whoever follows.
        return DELIVER, self.deliver(item)

    def deliver(self, item: Item) -> list[Item]:
        self.table = [entry for entry in self.table if entry[0] != item.channel]
        if item.id is None:
            return [item]
        self.table = [*self.table, (item.channel, item.id)][-self.max_channels :]
        for entry in self.buffer:
            if entry[1].channel == item.channel and entry[1].prev_id == item.id:
                self.buffer.remove(entry)
                return [item, *self.deliver(entry[1])]
        return [item]

    def release_due(self, now_s: float) -> list[Item]:
        released: list[Item] = []
        while self.buffer and self.buffer[0][0] + self.wait_s <= now_s:
            released += self.deliver(self.buffer.pop(0)[1])
        return released

    def forget_channel(self, channel: str) -> list[Item]:
        self.table = [entry for entry in self.table if entry[0] != channel]
        lost = [item for _, item in self.buffer if item.channel == channel]
        self.buffer = [entry for entry in self.buffer if entry[1].channel != channel]
        return lost


@dataclass(frozen=True)
class Publish:
    item: Item
    is_subscribed: bool


@dataclass(frozen=True)
class Pass:
    """Time passes; what is due is released."""

    seconds: float


@dataclass(frozen=True)
class Leave:
    """The last subscriber of a channel leaves."""

    channel: str


@dataclass(frozen=True)
class Recover:
    """All last ids are forgotten."""


Step = Publish | Pass | Leave | Recover

IDS = st.sampled_from(["", "1", "2", "3", "4", "5", "6"])
CHANNELS = st.sampled_from("abc")
PUBLISHES = st.builds(
    Publish,
    st.builds(
        make_item,
        st.one_of(IDS, IDS, IDS, st.none()),
        st.one_of(IDS, IDS, IDS, st.none()),
        channel=st.sampled_from("aaabc"),
        is_unsequenced=st.sampled_from([False, False, False, True]),
    ),
    st.sampled_from([True, True, True, False]),
)
PASSES = st.builds(Pass, st.sampled_from([0.0, 0.5, 1.0, 2.5, 5.0, 8.0]))  # exact in binary: no rounding
STEPS = st.lists(
    st.one_of(PUBLISHES, PUBLISHES, PUBLISHES, PUBLISHES, PASSES, st.builds(Leave, CHANNELS), st.builds(Recover)),
    max_size=60,
)


def is_same(ours: Iterable[Item], theirs: Iterable[Item]) -> bool:
    """The very same items in the same order; equal ones are not enough."""
    return [id(item) for item in ours] == [id(item) for item in theirs]


@given(
    steps=STEPS,
    ttl_s=st.sampled_from([0.0, 1.0, 8.0]),
    wait_s=st.sampled_from([0.0, 1.0, 5.0]),
    max_channels=st.integers(1, 3),
    max_buffered=st.integers(1, 4),
    max_remembered=st.sampled_from([1, 2, 5, 100]),
)
def test_equals_the_model(
    steps: list[Step], ttl_s: float, wait_s: float, max_channels: int, max_buffered: int, max_remembered: int
) -> None:
    talk = Talk(ttl_s, wait_s, max_channels, max_buffered, max_remembered)
    model = Model(ttl_s, wait_s, max_channels, max_buffered, max_remembered)
    sequencer = talk.sequencer
    for step in steps:
        match step:
            case Publish(item, is_subscribed):
                outcome, items = talk.submit(item, is_subscribed=is_subscribed)
                expected, expected_items = model.submit(item, is_subscribed=is_subscribed, now_s=talk.now_s)
                assert outcome is expected
                assert is_same(items, expected_items)
            case Pass(seconds):
                talk.now_s += seconds
                assert is_same(sequencer.release_due(talk.now_s), model.release_due(talk.now_s))
            case Leave(channel):
                assert is_same(sequencer.forget_channel(channel), model.forget_channel(channel))
            case Recover():
                talk.last_ids.clear()
                model.table = []
        assert {channel: talk.last_ids.get(channel) for channel in "abc"} == dict.fromkeys("abc") | dict(model.table)
        assert sequencer.buffered == len(model.buffer) <= 3 * max_buffered
        assert sequencer.next_due_s == (model.buffer[0][0] + wait_s if model.buffer else None)
        assert sequencer.remembered <= max_remembered


@given(STEPS)
def test_nothing_is_lost_or_doubled_without_its_counter(steps: list[Step]) -> None:
    """Each item leaves once, or waits, or is counted; and an id leaves at most once per ttl."""
    talk = Talk(ttl_s=8, max_buffered=3)
    submitted = 0
    left: list[Item] = []
    arrivals: dict[int, float] = {}
    for step in steps:
        match step:
            case Publish(item, is_subscribed):
                arrivals[id(item)] = talk.now_s
                submitted += 1
                left += talk.submit(item, is_subscribed=is_subscribed)[1]
            case Pass(seconds):
                talk.now_s += seconds
                left += talk.sequencer.release_due(talk.now_s)
            case Leave(channel):
                talk.sequencer.forget_channel(channel)
            case Recover():
                talk.last_ids.clear()
    counters = talk.counters
    drops = counters.drops_sequence_conflict + counters.drops_sequence_full + counters.drops_channel_gone
    assert len(left) + drops + counters.items_duplicate + talk.sequencer.buffered == submitted
    assert len({id(item) for item in left}) == len(left)
    seen: dict[tuple[str, str], list[float]] = {}
    for item in left:
        if item.id is not None:
            seen.setdefault((item.channel, item.id), []).append(arrivals[id(item)])
    for times_s in seen.values():
        times_s.sort()
        assert all(later - earlier > 8 for earlier, later in pairwise(times_s))


@given(st.data())
def test_whatever_the_order_of_arrival_each_leaves_once_in_order(data: st.DataObject) -> None:
    """A publisher that shuffles and repeats, within the time and the room there is; grip-78 in general."""
    numbers = data.draw(st.permutations(range(1, 30)))
    repeats = data.draw(st.lists(st.tuples(st.integers(0, 29), st.integers(0, 29)), max_size=30))
    arriving = [0, *numbers]
    for position, number in repeats:
        arriving.insert(position + 1, number)
    talk = Talk()
    left: list[Item] = []
    for number in arriving:
        left += talk.submit(make_item(str(number), str(number - 1) if number else None))[1]
        talk.now_s += 0.0625
    assert [item.id for item in left] == [str(number) for number in range(30)]
    assert talk.sequencer.buffered == 0
    assert talk.counters.items_duplicate == len(repeats)


def test_how_long_items_waited() -> None:
    """Whether the item before came in time or not; not those that were lost."""
    talk = Talk()
    histogram = Histogram((1, WAIT_S))
    talk.sequencer = Sequencer(
        talk.last_ids, id_cache_ttl_s=0, message_wait_s=WAIT_S, counters=talk.counters, held_back_s=histogram
    )
    talk.publish("1", "3<2")
    talk.now_s += 0.5
    talk.publish("2<1")
    assert histogram.cumulative() == [1, 1, 1]
    talk.publish("9<8", "7<6")
    talk.now_s += WAIT_S
    assert talk.release() == "9<8 7<6"
    assert (histogram.cumulative(), histogram.sum) == ([1, 3, 3], 0.5 + 2 * WAIT_S)
    talk.publish("19<18")
    talk.sequencer.forget_channel("c")
    assert histogram.cumulative() == [1, 3, 3]
