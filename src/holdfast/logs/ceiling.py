"""Less to log about some requests than about others: the `log_level` of a route (routes spec §1.4)."""

from __future__ import annotations

import logging
from typing import TypeAlias

from holdfast.logs.lines import python_level

Log: TypeAlias = "logging.Logger | logging.LoggerAdapter[logging.Logger]"


def limited(log: logging.Logger, ceiling: int | None) -> Log:
    """`log` without the messages above `ceiling`, one of Pushpin's levels; None for all that `log` lets through.

    It is asked for when there is something to say, so that it costs those nothing who say nothing.
    """
    return log if ceiling is None else _LimitedLog(log, ceiling)


class _LimitedLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that also knows a limit of its own."""

    def __init__(self, log: logging.Logger, ceiling: int) -> None:
        super().__init__(log)
        self._lowest = python_level(ceiling)

    def isEnabledFor(self, level: int) -> bool:
        """Whether a message of `level` is written."""
        return level >= self._lowest and super().isEnabledFor(level)
