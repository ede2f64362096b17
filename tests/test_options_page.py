"""docs/options.md is what `holdfast options --markdown` prints, and nothing that can be set is missing in it."""

from __future__ import annotations

from pathlib import Path

import pytest

from holdfast.cli import all_parsers
from holdfast.cli_reference import COMMAND, reference_page
from holdfast.config.options import Option, Status
from holdfast.config.table import OPTIONS
from holdfast.routing.params import CONDITION_PARAMETERS, TARGET_PARAMETERS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"


def test_the_page_is_not_stale() -> None:
    assert PAGE.read_text() == reference_page(all_parsers()), f"{COMMAND} > docs/options.md writes it anew"


@pytest.mark.parametrize("option", OPTIONS.values(), ids=lambda option: option.path)
def test_every_setting_is_on_the_page(option: Option) -> None:
    """What works has an entry with its variable; what does not is named with the reason."""
    page = reference_page(all_parsers())
    if option.status is Status.SUPPORTED:
        assert f"### `{option.name}`\n{option.help}\n" in page
        assert f"`{option.variable}`" in page
    else:
        assert f"`{option.path}`" in page or f"`{option.name}`" in page.partition("Sockets inside")[2]


def test_every_parameter_of_routes_is_on_the_page() -> None:
    page = reference_page(all_parsers())
    names = [parameter.name for parameter in (*CONDITION_PARAMETERS, *TARGET_PARAMETERS)]
    assert [name for name in names if f"\n| `{name}` | " not in page] == []


@pytest.mark.parametrize("flag", ["--loglevel X", "--no-seq", "--control-port", "--markdown", "[URL]..."])
def test_command_lines_are_on_the_page(flag: str) -> None:
    assert f"`{flag}" in reference_page(all_parsers())
