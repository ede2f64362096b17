"""docs/limits.md lists every bound: settings, constants with their values, and the counters of what was dropped."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest

from holdfast.config.options import Status
from holdfast.config.table import OPTIONS
from holdfast.counters import Counters

PROJECT = Path(__file__).resolve().parents[1]
SOURCE = PROJECT / "src" / "holdfast"
TEXT = (PROJECT / "docs" / "limits.md").read_text()

BOUND = re.compile(r"MAX_|_HWM$|_PER_(?:SECOND|TURN|BEAT)$|LINGER_S$|BACKLOG|^RUN_|^BATCH_(?:REQUESTS|HOLDS)|SLICE$")
NO_BOUNDS = {
    "config/listen.py: MAX_PORT": "what a port is",
    "config/resolve.py: SHIPPED_MESSAGE_HWM": "a value of others",
    "control/publish_item.py: MAX_CODE": "what a code is",
    "grip/values.py: MAX_CODE": "what a code is",
    "proxy/next_link.py: SLICE": "as in the fan-out",
    "proxy/test_target.py: MAX_BODY_BYTES": "as of every request that may be held",
    "proxy/zhttp_session.py: MAX_CREDITS": "keeps a number small",
    "wire/params.py: MAX_INT": "what a number is",
    "wire/tnetstring.py: MAX_INT": "what a number is",
    "wire/websocket/close.py: MAX_CLOSE_CODE": "what a code is",
    "wire/zhttp/responses.py: MAX_CODE": "what a code is",
}
COUNTERS_OF_LOSS = re.compile(r"^drops_|_refused$|_unauthorized$|_timeouts$|_disconnected$|_exceeded$|_malformed$")
SETTINGS_THAT_BOUND = re.compile(r"max|_timeout$|_hwm$|_rate$|_buffer_size$|_block_size$|_ttl$|_linger$|_wait$")
NO_LIMITS = {"stats_connection_ttl", "stats_subscription_ttl"}  # how often something is said again


def constants() -> Iterator[tuple[str, float]]:
    """`FILE: NAME` and value of every public constant at the top of a module whose name is that of a bound."""
    for path in sorted(SOURCE.rglob("*.py")):
        file = str(path.relative_to(SOURCE))
        if file.startswith("demo/"):
            continue
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                name = node.targets[0].id
                if name.isupper() and name[0] != "_" and BOUND.search(name) and isinstance(node.value, ast.Constant):
                    yield f"{file}: {name}", node.value.value  # type: ignore[misc]


def value_in_source(file: str, name: str) -> float:
    for node in ast.parse((SOURCE / file).read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == name:
            return float(ast.literal_eval(node.value))
    raise AssertionError(f"{file} has no {name}")


ROWS = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in TEXT.splitlines() if line.startswith("| ")]
LISTED = {
    f"{found[2]}: {found[1]}": row[1]
    for row in ROWS
    if (found := re.fullmatch(r"`(\w+)` \(`([\w/]+\.py)`\)", row[0].strip("| "))) is not None
}


def number(text: str) -> float:
    found = re.match(r"[\d.]+", text)
    assert found is not None, text
    return float(found[0])


def test_every_constant_is_listed() -> None:
    assert sorted({name for name, _ in constants()} - set(LISTED) - set(NO_BOUNDS)) == []


@pytest.mark.parametrize("name", sorted(LISTED))
def test_constants_are_what_the_list_says(name: str) -> None:
    assert number(LISTED[name]) == value_in_source(*name.split(": "))


def test_the_exceptions_exist() -> None:
    for name in NO_BOUNDS:
        file, _, constant = name.partition(": ")
        assert re.search(rf"^{constant} = ", (SOURCE / file).read_text(), re.MULTILINE), name


SETTINGS = {option.name: option for option in OPTIONS.values() if option.status is Status.SUPPORTED}


def test_every_setting_that_bounds_is_listed() -> None:
    wanted = {name for name in SETTINGS if SETTINGS_THAT_BOUND.search(name)} - NO_LIMITS
    listed = set(re.findall(r"^\| `([a-z_]+)` ", TEXT, re.MULTILINE))
    assert sorted(wanted - listed) == []
    assert sorted(listed - set(SETTINGS)) == []


STATED = [(row[0].strip("`| "), row[1]) for row in ROWS if re.fullmatch(r"`[a-z_]+`", row[0].strip("| "))]


@pytest.mark.parametrize(("name", "stated"), STATED)
def test_settings_are_what_the_list_says(name: str, stated: str) -> None:
    shipped = SETTINGS[name].shipped
    assert (stated == "none") is (shipped == "")
    assert shipped == "" or number(stated) == float(shipped)


def test_every_counter_of_a_loss_is_listed() -> None:
    counters = {field.name for field in fields(Counters)}
    named = set(re.findall(r"`([a-z_]+)`", TEXT))
    assert sorted(name for name in counters - named if COUNTERS_OF_LOSS.search(name)) == []


def test_what_is_named_exists() -> None:
    known = {field.name for field in fields(Counters)} | set(SETTINGS) | {"waiting_retries", "farewells"}
    assert sorted(set(re.findall(r"`([a-z_]+)`", TEXT)) - known - {"recover"}) == []
