from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.push.last_ids import MAX_CHANNELS, LastIds


def contents(last_ids: LastIds, channels: str = "abcde") -> dict[str, str]:
    return {channel: last_id for channel in channels if (last_id := last_ids.get(channel)) is not None}


def test_unknown_until_set_and_again_when_removed() -> None:
    last_ids = LastIds()
    assert last_ids.get("a") is None
    last_ids.set("a", "1")
    last_ids.set("b", "2")
    last_ids.set("a", "3")
    assert contents(last_ids) == {"a": "3", "b": "2"}
    last_ids.remove("a")
    last_ids.remove("never known")
    assert contents(last_ids) == {"b": "2"}
    assert len(last_ids) == 1


def test_the_empty_string_is_an_id() -> None:
    """grip spec §8.1; for channels likewise."""
    last_ids = LastIds()
    last_ids.set("", "")
    assert last_ids.get("") == ""


def test_clear() -> None:
    last_ids = LastIds()
    last_ids.set("a", "1")
    last_ids.clear()
    assert last_ids.get("a") is None
    assert len(last_ids) == 0


def test_a_million_channels_unless_told_otherwise() -> None:
    """grip spec §9"""
    assert MAX_CHANNELS == 1_000_000


EVICTIONS = [
    ("as many as fit", "abc", "abc"),
    ("the first one set goes", "abcd", "bcd"),
    ("setting again counts", "abcad", "cad"),
    ("setting again is not a new channel", "abcabc", "abc"),
    ("one after the other", "abcde", "cde"),
]


@pytest.mark.parametrize(("channels", "kept"), [case[1:] for case in EVICTIONS], ids=[case[0] for case in EVICTIONS])
def test_the_least_recently_set_is_evicted(channels: str, kept: str) -> None:
    last_ids = LastIds(max_channels=3)
    for number, channel in enumerate(channels):
        last_ids.set(channel, str(number))
    assert contents(last_ids) == {channel: str(channels.rindex(channel)) for channel in kept}
    assert len(last_ids) == 3


def test_reading_does_not_count_as_setting() -> None:
    last_ids = LastIds(max_channels=2)
    last_ids.set("a", "1")
    last_ids.set("b", "2")
    last_ids.get("a")
    last_ids.set("c", "3")
    assert contents(last_ids) == {"b": "2", "c": "3"}


def test_a_removed_channel_makes_room() -> None:
    last_ids = LastIds(max_channels=2)
    last_ids.set("a", "1")
    last_ids.set("b", "2")
    last_ids.remove("b")
    last_ids.set("c", "3")
    assert contents(last_ids) == {"a": "1", "c": "3"}


@given(
    st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from(["set", "set", "remove", "clear"])), max_size=40),
    st.integers(1, 4),
)
def test_equals_a_list(steps: list[tuple[str, str]], max_channels: int) -> None:
    last_ids = LastIds(max_channels)
    model: list[tuple[str, str]] = []
    for number, (channel, what) in enumerate(steps):
        if what == "clear":
            last_ids.clear()
            model = []
            continue
        model = [entry for entry in model if entry[0] != channel]
        if what == "remove":
            last_ids.remove(channel)
        else:
            last_ids.set(channel, str(number))
            model = [*model, (channel, str(number))][-max_channels:]
        assert contents(last_ids) == dict(model)
        assert len(last_ids) == len(model) <= max_channels


PASSED: list[tuple[str, dict[str, str], bool, dict[str, str]]] = [
    ("nothing to compare", {}, False, {"a": "1", "b": "2", "c": ""}),
    ("equal", {"a": "1", "b": "2"}, False, {"a": "1", "b": "2", "c": ""}),
    ("unknown", {"d": "7"}, False, {"a": "1", "b": "2", "c": ""}),
    ("one differs", {"a": "0", "b": "2"}, True, {"b": "2", "c": ""}),
    ("two differ", {"a": "0", "b": "1", "d": "7"}, True, {"c": ""}),
    ("the empty string is an id", {"c": "0"}, True, {"a": "1", "b": "2"}),
    ("on both sides", {"a": "", "c": ""}, True, {"b": "2", "c": ""}),
]


@pytest.mark.parametrize(
    ("prev_ids", "expected", "left"), [case[1:] for case in PASSED], ids=[case[0] for case in PASSED]
)
def test_who_is_behind(prev_ids: dict[str, str], expected: bool, left: dict[str, str]) -> None:
    """grip spec §5.5, §6.4: every conflicting entry is forgotten, and no other."""
    last_ids = LastIds()
    for channel, last_id in [("a", "1"), ("b", "2"), ("c", "")]:
        last_ids.set(channel, last_id)
    assert last_ids.has_passed(prev_ids) is expected
    assert contents(last_ids) == left
    assert not last_ids.has_passed(prev_ids)
