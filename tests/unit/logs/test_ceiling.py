"""A log with a ceiling (routes spec §1.4, `log_level`)."""

from __future__ import annotations

import logging

import pytest

from holdfast.logs import TRACE, limited

NAME = "holdfast.test.ceiling"
LEVELS = {
    "error": logging.ERROR,
    "warning": logging.WARNING,
    "info": logging.INFO,
    "debug": logging.DEBUG,
    "trace": TRACE,
}


@pytest.mark.parametrize(
    ("ceiling", "expected"),
    [
        (None, "error warning info debug trace"),
        (0, "error"),
        (1, "error warning"),
        (2, "error warning info"),
        (3, "error warning info debug"),
        (4, "error warning info debug trace"),
        (99, "error warning info debug trace"),
    ],
)
def test_ceilings(caplog: pytest.LogCaptureFixture, ceiling: int | None, expected: str) -> None:
    caplog.set_level(TRACE, NAME)
    log = limited(logging.getLogger(NAME), ceiling)
    for name, level in LEVELS.items():
        log.log(level, "%s", name)
    assert " ".join(caplog.messages) == expected


def test_it_only_takes_away(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING, NAME)
    log = limited(logging.getLogger(NAME), 4)
    log.info("not this")
    log.warning("this")
    assert caplog.messages == ["this"]
    assert not log.isEnabledFor(logging.INFO)


def test_without_a_ceiling_it_is_the_log_itself() -> None:
    log = logging.getLogger(NAME)
    assert limited(log, None) is log
