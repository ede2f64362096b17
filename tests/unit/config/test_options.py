"""The declaration of settings."""

from __future__ import annotations

from dataclasses import dataclass, fields

from holdfast.config import kinds
from holdfast.config.options import Later, Option, Status, option, options_of


@dataclass(frozen=True)
class Example:
    """A section."""

    speed: int | None = option(kinds.POSITIVE, "5", "How fast.", absent="", unit="km/h")
    names: tuple[str, ...] = option(kinds.TEXTS, "a,b", "Who.")
    key: str = option(kinds.TEXT, "s3cret", "Which key.", is_secret=True)


def test_a_section_is_a_dataclass_with_the_shipped_defaults() -> None:
    assert Example() == Example(speed=5, names=("a", "b"), key="s3cret")
    assert [field.name for field in fields(Example)] == ["speed", "names", "key"]


def test_secrets_are_not_shown() -> None:
    assert "s3cret" not in repr(Example())


def test_options_of_a_section() -> None:
    speed, names, key = options_of("car", Example)
    assert speed == Option("car", "speed", kinds.POSITIVE, "5", "", "km/h", "How fast.")
    assert (names.shipped, names.absent) == ("a,b", "a,b")
    assert speed.status is Status.SUPPORTED
    assert speed.later is None
    assert key.key == ("car", "key")
    assert key.path == "car/key"
    assert key.variable == "HOLDFAST_CAR_KEY"


def test_defaults_depend_on_whether_there_is_a_file() -> None:
    speed, names, _ = options_of("car", Example)
    assert speed.default(has_file=False) == 5
    assert speed.default(has_file=True) is None
    assert names.default(has_file=True) == ("a", "b")


def test_what_is_to_come_has_three_ways() -> None:
    assert {entry.value for entry in Later} == {"refuse", "warn if set", "warn if changed"}
