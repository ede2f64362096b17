"""A flood of lines that somebody outside causes: the first few, and then one that tells how many."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from pathlib import Path

import pytest

from holdfast.logs import LIMITED, configure_logging
from holdfast.logs.limiter import LINES_PER_SECOND, LineLimiter
from holdfast.push import outlet

START_S = 1_800_000_000


class Log:
    """A log of records whose time is given; keeps what is written."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.limiter = LineLimiter()
        self.limiter.write = lambda record: self.lines.append(record.getMessage())

    def warn(self, text: str, *args: object, at_s: float = 0, name: str = "x", is_limited: bool = True) -> None:
        record = logging.LogRecord(name, logging.WARNING, "", 0, text, args, None)
        record.created = START_S + at_s
        if is_limited:
            record.__dict__.update(LIMITED)
        if self.limiter.admits(record):
            self.limiter.write(record)


def numbered(*numbers: int) -> list[str]:
    return [f"bad {number}" for number in numbers]


def test_a_few_are_all_written() -> None:
    log = Log()
    for number in range(LINES_PER_SECOND):
        log.warn("bad %d", number)
    log.limiter.tell()
    assert log.lines == numbered(*range(LINES_PER_SECOND))


def test_the_rest_is_one_line() -> None:
    log = Log()
    for number in range(1000):
        log.warn("bad %d", number, at_s=number / 1000)
    assert log.lines == numbered(*range(LINES_PER_SECOND))
    log.limiter.tell()
    assert log.lines[LINES_PER_SECOND:] == [f"bad 999 (and {1000 - LINES_PER_SECOND - 1} more like this)"]
    log.limiter.tell()
    assert len(log.lines) == LINES_PER_SECOND + 1


def test_one_more_is_just_written() -> None:
    log = Log()
    for number in range(LINES_PER_SECOND + 1):
        log.warn("bad %d", number)
    log.limiter.tell()
    assert log.lines == numbered(*range(LINES_PER_SECOND + 1))


def test_the_next_second_begins_anew() -> None:
    log = Log()
    for number in range(LINES_PER_SECOND + 2):
        log.warn("bad %d", number)
    log.warn("bad %d", 100, at_s=1)
    first = LINES_PER_SECOND
    assert log.lines[first:] == [f"bad {first + 1} (and 1 more like this)", "bad 100"]


def test_kinds_do_not_disturb_each_other() -> None:
    log = Log()
    for number in range(100):
        log.warn("bad %d", number)
    log.warn("worse %d", 1)
    log.warn("bad %d", 1, name="y")
    assert log.lines[LINES_PER_SECOND:] == ["worse 1", "bad 1"]


def test_lines_without_the_mark_are_not_limited() -> None:
    log = Log()
    for number in range(100):
        log.warn("bad %d", number, is_limited=False)
    assert len(log.lines) == 100


def test_who_sees_to_it_that_the_number_is_told() -> None:
    """Called once until it is told."""
    log = Log()
    called: list[bool] = []
    log.limiter.on_suppressed = lambda: called.append(True)
    for number in range(30):
        log.warn("bad %d", number)
        log.warn("worse %d", number)
    assert called == [True]
    log.limiter.tell()
    log.warn("bad %d", 31)
    assert called == [True, True]


def test_push_marks_lines_alike() -> None:
    """It imports nothing of the log."""
    assert outlet.LIMITED == LIMITED


@pytest.fixture
def _restored() -> Iterator[None]:
    before = logging.getLogger().handlers[:]
    yield
    for handler in logging.getLogger().handlers[:]:
        if handler not in before:
            logging.getLogger().removeHandler(handler)
    logging.getLogger("holdfast").setLevel(logging.NOTSET)


@pytest.mark.usefixtures("_restored")
@pytest.mark.parametrize("log_format", ["text", "json"])
def test_the_log_of_the_process_has_one(tmp_path: Path, log_format: str) -> None:
    sink = configure_logging(2, "json" if log_format == "json" else "text", tmp_path / "log")
    for number in range(5000):
        logging.getLogger("holdfast.x").warning("bad %d", number, extra=LIMITED)
    for handler in logging.getLogger().handlers:
        handler.flush()
    sink.close()
    text = (tmp_path / "log").read_text()
    assert "more like this)" in text
    assert len(text.splitlines()) < 5 * LINES_PER_SECOND
