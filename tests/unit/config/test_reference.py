"""What a reference says of a setting."""

from __future__ import annotations

import pytest

from holdfast.config import kinds
from holdfast.config.options import Later, Option, Status
from holdfast.config.reference import describe_default, describe_status, describe_value, is_internal
from holdfast.config.unsupported import INTERNAL


def setting(
    *,
    shipped: str = "",
    absent: str = "",
    unit: str = "",
    status: Status = Status.SUPPORTED,
    later: Later | None = None,
    reason: str = "",
) -> Option:
    return Option("runner", "x", kinds.TEXT, shipped, absent, unit, "What.", status, later, reason)


@pytest.mark.parametrize(
    ("unit", "expected"),
    [("", "text"), ("seconds", "text, in seconds"), ("per second", "text, per second")],
)
def test_value(unit: str, expected: str) -> None:
    assert describe_value(setting(unit=unit)) == expected


@pytest.mark.parametrize(
    ("shipped", "absent", "expected"),
    [
        ("", "", "empty"),
        ("5", "5", "5"),
        ("5", "", "5; empty in a file without it"),
        ("", "0", "empty; 0 in a file without it"),
    ],
)
def test_default(shipped: str, absent: str, expected: str) -> None:
    assert describe_default(setting(shipped=shipped, absent=absent)) == expected


@pytest.mark.parametrize(
    ("status", "later", "expected"),
    [
        (Status.SUPPORTED, None, "works"),
        (Status.IGNORED, None, "ignored: why"),
        (Status.LATER, Later.REFUSE, "refused if set: why"),
        (Status.LATER, Later.WARN_IF_SET, "no effect, said in the log: why"),
        (Status.LATER, Later.WARN_IF_CHANGED, "no effect, said in the log if changed: why"),
    ],
)
def test_status(status: Status, later: Later | None, expected: str) -> None:
    assert describe_status(setting(status=status, later=later, reason="why")) == expected


def test_internal_sockets() -> None:
    assert is_internal(setting(status=Status.IGNORED, reason=INTERNAL))
    assert not is_internal(setting(status=Status.IGNORED, reason="why"))
