"""A run of items: what its receivers share."""

from __future__ import annotations

from collections.abc import Iterable
from types import MappingProxyType

import pytest
from tests.unit.push.helpers import World, answer, both, close, make_item, message, step, stream_hint, text

from holdfast.grip.item import Action, Item, MessageKind, ResponseFormat, StreamFormat
from holdfast.grip.values import Subscription
from holdfast.push.dialects import COMPRESSED
from holdfast.push.plan import HoldPlan
from holdfast.push.render import passes_whole
from holdfast.push.run import RUN_BYTES, RUN_ITEMS, WEIGHT_BYTES, Receipt, Run


def make_run(*items: Item) -> Run:
    run = Run("c")
    for item in items:
        run.add(item, Receipt(item.channel))
    return run


def begin(*items: Item) -> Run:
    run = make_run(*items)
    run.begin(5.0)
    return run


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
        run = make_run(text("c", "1"), text("c", "2", meta={"sender": "bob"}))

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
        run = make_run(message("c", "x" * (RUN_BYTES - 1)))
        assert not run.is_full
        run.add(message("c", "x"), Receipt("c"))
        assert run.is_full
        run.begin(0)
        assert run.weight == 1 + len(run.message_frames) // WEIGHT_BYTES > 4


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
        run = make_run(*[text("c", "") for _ in range(RUN_ITEMS - 1)])
        assert not run.is_full
        run.add(answer("c", "x"), Receipt("c"))
        assert run.is_full

    def test_many_bytes(self) -> None:
        run = make_run(text("c", "x" * (RUN_BYTES - 1)), answer("c", "y" * 10))
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


class TestIds:
    """grip spec §10.3"""

    def test_found_out_once(self) -> None:
        """Holds that were equal stay equal, and share what they have."""
        run = begin(step("c", 4), step("c", 5))
        ids = MappingProxyType({"c": "3", "d": "1"})
        after = run.ids_after(ids)
        assert after == {"c": "5", "d": "1"}
        assert run.ids_after(ids) is after
        assert ids == {"c": "3", "d": "1"}

    def test_nobody_can_change_them(self) -> None:
        assert not isinstance(begin(step("c", 4)).ids_after({"c": "3"}), dict)

    def test_without_an_id_anything_may_follow(self) -> None:
        assert begin(text("c", "x", prev_id="3")).ids_after({"c": "3", "d": "1"}) == {"d": "1"}

    def test_a_channel_without_ids(self) -> None:
        ids = {"d": "1"}
        assert begin(step("c", 4)).ids_after(ids) is ids

    def test_what_does_not_follow(self) -> None:
        run = begin(step("c", 4))
        assert run.ids_after({"c": "2"}) is None
        assert run.ids_after({"c": "3"}) == {"c": "4"}

    def test_others_are_not_mistaken_for_them(self) -> None:
        """However often an address is used again."""
        run = begin(step("c", 4))
        for number in range(100):
            assert run.ids_after({"c": str(number)}) == ({"c": "4"} if number == 3 else None)


SIMPLE: list[tuple[str, list[Item], bytes, bytes]] = [
    ("text", [text("c", "x")], b"1\r\nx\r\n", b""),
    ("both", [text("c", "x"), message("c", "y")], b"1\r\nx\r\n", b"\x81\x01y"),
    ("a close", [text("c", "x"), close("c")], b"", b""),
    ("a hint", [text("c", "x"), stream_hint("c")], b"", b""),
    ("an action", [text("c", "x"), message("c", "y"), message("c", action=Action.REFRESH)], b"1\r\nx\r\n", b""),
    (
        "content filters",
        [text("c", "x"), make_item("c", stream=StreamFormat(Action.SEND, b"y", content_filters=()))],
        b"",
        b"",
    ),
]


@pytest.mark.parametrize(("items", "chunk", "frames"), [case[1:] for case in SIMPLE], ids=[case[0] for case in SIMPLE])
def test_simple_runs(items: list[Item], chunk: bytes, frames: bytes) -> None:
    run = begin(*items)
    assert (run.simple_chunk, run.simple_frames) == (chunk, frames)


def test_forgetting() -> None:
    """What was made for holds does not outlive the last of them that needed it."""
    run = begin(step("c", 4))
    ids = {"c": "3"}
    before = run.ids_after(ids)
    run.encoded[1,] = b"x"
    run.forget()
    assert run.encoded == {}
    assert run.ids_after(ids) is not before
