"""The form of log lines (routes spec §2.10)."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Iterator

import pytest

from holdfast.logs.lines import (
    TRACE,
    JsonFormatter,
    TextFormatter,
    Timestamps,
    encode_json,
    escape,
    level_label,
    level_name,
    python_level,
)

NOW_S = 1767323045.678  # 2026-01-02 03:04:05.678 UTC


@pytest.fixture(autouse=True)
def _time_zone(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "XXX-05:30")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def record(level: int, text: str, *args: object, has_error: bool = False) -> logging.LogRecord:
    error = None
    if has_error:
        try:
            raise ValueError("bad\x1b[31m\n[ERR] forged")
        except ValueError:
            error = sys.exc_info()
    made = logging.LogRecord("holdfast.x", level, "f.py", 1, text, args, error)
    made.created = NOW_S
    return made


@pytest.mark.parametrize(
    ("level", "python", "label", "name"),
    [
        (0, logging.ERROR, "ERR", "error"),
        (1, logging.WARNING, "WARN", "warning"),
        (2, logging.INFO, "INFO", "info"),
        (3, logging.DEBUG, "DEBUG", "debug"),
        (4, TRACE, "TRACE", "trace"),
        (9, TRACE, "TRACE", "trace"),
    ],
)
def test_levels(level: int, python: int, label: str, name: str) -> None:
    assert python_level(level) == python
    assert level_label(python) == label
    assert level_name(python) == name


def test_critical_is_an_error() -> None:
    assert level_label(logging.CRITICAL) == "ERR"


def test_text_line() -> None:
    line = TextFormatter().format(record(logging.INFO, "started %s", "well"))
    assert line == "[INFO] 2026-01-02 08:34:05.678 started well"


def test_text_lines_cannot_be_forged() -> None:
    line = TextFormatter().format(record(logging.WARNING, "%s", "a\r\n[ERR] b\x1b"))
    assert line == "[WARN] 2026-01-02 08:34:05.678 a\\x0d\\x0a[ERR] b\\x1b"


def test_tracebacks_are_indented() -> None:
    lines = TextFormatter().format(record(logging.ERROR, "oops", has_error=True)).split("\n")
    assert lines[:2] == ["[ERR] 2026-01-02 08:34:05.678 oops", "    Traceback (most recent call last):"]
    assert lines[-2:] == ["    ValueError: bad\\x1b[31m", "    [ERR] forged"]
    assert all(line.startswith("    ") for line in lines[1:])


def test_json_line() -> None:
    line = JsonFormatter().format(record(logging.WARNING, "x %d", 1))
    assert json.loads(line) == {
        "time": "2026-01-02T08:34:05.678+05:30",
        "level": "warning",
        "logger": "holdfast.x",
        "message": "x 1",
    }


def test_json_line_with_a_traceback_is_one_line() -> None:
    line = JsonFormatter().format(record(logging.ERROR, "oops", has_error=True))
    assert "\n" not in line
    assert json.loads(line)["traceback"].startswith("Traceback (most recent call last):\n")


def test_an_exception_that_is_none() -> None:
    made = record(logging.ERROR, "oops")
    made.exc_info = (None, None, None)
    assert TextFormatter().format(made) == "[ERR] 2026-01-02 08:34:05.678 oops"


def test_timestamps_go_on() -> None:
    timestamps = Timestamps(is_rfc3339=False)
    found = [timestamps.text(NOW_S + step)[-6:] for step in (0, 0.3, 0.322, 1)]
    assert found == ["05.678", "05.978", "06.000", "06.678"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain, ü and \\x", "plain, ü and \\x"),
        ("a\tb\x00", "a\\x09b\\x00"),
        ("\u2028", "\\u2028"),
        ("\U000e0001", "\\U000e0001"),
        ("\udc80", "\\udc80"),
    ],
)
def test_escape(text: str, expected: str) -> None:
    assert escape(text) == expected


def test_json_of_text_that_has_no_place_in_utf8() -> None:
    assert json.loads(encode_json({"a": "\udc80ü", "n": 1})) == {"a": "\\udc80ü", "n": 1}
