"""The items of `log_level` and `--loglevel` (routes spec §2.4, §2.6)."""

from __future__ import annotations

import pytest

from holdfast.config.log_levels import LogLevels, parse_log_levels


@pytest.mark.parametrize(
    ("items", "expected"),
    [
        pytest.param([], LogLevels(2, {}), id="nothing"),
        pytest.param(["0"], LogLevels(0, {}), id="level"),
        pytest.param(["1", "3"], LogLevels(3, {}), id="the last level counts"),
        pytest.param(["proxy:3"], LogLevels(2, {"proxy": 3}), id="component"),
        pytest.param(["1", "handler:4", "connmgr:0"], LogLevels(1, {"handler": 4, "connmgr": 0}), id="both"),
        pytest.param(["condure:3", "pushpin-handler:1"], LogLevels(2, {"connmgr": 3, "handler": 1}), id="old names"),
        pytest.param(["zurl:3"], LogLevels(2, {}), id="a program that is gone"),
        pytest.param(["1" * 5000], LogLevels(111111111, {}), id="very much"),
    ],
)
def test_valid(items: list[str], expected: LogLevels) -> None:
    assert parse_log_levels(items) == expected


@pytest.mark.parametrize(
    ("items", "text"),
    [
        (["-1"], "log level must be greater than or equal to 0"),
        (["x"], "log level must be greater than or equal to 0"),
        (["proxy:-1"], "log level for service proxy must be greater than or equal to 0"),
        (["2", ""], "log level component cannot be empty"),
        ([":2"], "log level component name cannot be empty"),
        (["prxy:2"], "log level component prxy is none of connmgr, handler, proxy, runner"),
    ],
)
def test_invalid(items: list[str], text: str) -> None:
    with pytest.raises(ValueError) as caught:
        parse_log_levels(items)
    assert str(caught.value) == text


def test_levels_hold_no_components_unless_told() -> None:
    assert LogLevels(1).components == {}
