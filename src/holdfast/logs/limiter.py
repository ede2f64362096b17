"""Bounds the log lines that somebody outside can cause at will: a flood of bad messages must not flood the log.

A call that logs such a line says so with `extra=LIMITED`; of each kind the first few in a second are written, and then
one line that tells how many were not. A kind is what the code says: logger and format string, so there are few.

Invariants: a line that is not written is never formatted; every one is counted in a line that is.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

LIMITED: Mapping[str, object] = MappingProxyType({"is_limited": True})
LINES_PER_SECOND = 10
"""Enough to see what is going on; ten lines a second for a day are a file of 100 MB, not a full disk."""


@dataclass(slots=True)
class _Kind:
    second: int
    written: int = 0
    suppressed: int = 0
    last: logging.LogRecord | None = None


class LineLimiter:
    """Decides for one log which lines are written.

    Attributes:
        write: writes the line of a record.
        on_suppressed: called when a line is suppressed and none was before; it must see to it that `tell` is called
            within a second or so. Without it the number is told before the next line of that kind.
    """

    def __init__(self) -> None:
        self.write: Callable[[logging.LogRecord], None]
        self.on_suppressed: Callable[[], object] | None = None
        self._kinds: dict[tuple[str, str], _Kind] = {}
        self._is_telling_due = False

    def admits(self, record: logging.LogRecord) -> bool:
        """Whether a line is to be written."""
        if not hasattr(record, "is_limited"):
            return True
        second = int(record.created)
        kind = self._kinds.setdefault((record.name, str(record.msg)), _Kind(second))
        if kind.second != second:
            self._tell(kind)
            kind.second, kind.written = second, 0
        if kind.written < LINES_PER_SECOND:
            kind.written += 1
            return True
        kind.suppressed += 1
        kind.last = record
        if self.on_suppressed is not None and not self._is_telling_due:
            self._is_telling_due = True
            self.on_suppressed()
        return False

    def tell(self) -> None:
        """Write how many lines of each kind were not written."""
        self._is_telling_due = False
        for kind in self._kinds.values():
            self._tell(kind)

    def _tell(self, kind: _Kind) -> None:
        last, count = kind.last, kind.suppressed
        if last is None:
            return
        kind.last, kind.suppressed = None, 0
        text = f"{last.getMessage()} (and {count - 1} more like this)" if count > 1 else last.getMessage()
        self.write(logging.LogRecord(last.name, last.levelno, last.pathname, last.lineno, text, None, None))
