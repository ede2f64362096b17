"""Where log lines go: collected, and written with one system call (design: nothing per request may cost much).

Invariants: no method raises because of the output; a line that cannot be written is counted and the loss is told once
writing works again; what is pending is bounded.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from holdfast.errors import ConfigError
from holdfast.logs.limiter import LineLimiter

MAX_PENDING_CHARACTERS = 65536

STDOUT_FD = 1
_OPEN_FLAGS = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_FILE_MODE = 0o644
_NEWLINE = "\n"


class LogSink:
    """Collects lines and writes them together.

    Attributes:
        on_first_line: called when a line waits and none did before; it must see to it that `flush` is called soon.
            Without it every line is written at once.
        limiter: of lines that somebody outside can cause at will; whoever makes lines asks it.
        describe_loss: makes the line that tells of lost lines, from their number and the reason.
        lost_lines: lines that could not be written, since the start.
    """

    __slots__ = (
        "_fd",
        "_is_torn",
        "_path",
        "_pending",
        "_pending_characters",
        "_reason",
        "_untold",
        "describe_loss",
        "limiter",
        "lost_lines",
        "on_first_line",
    )

    def __init__(self, fd: int = STDOUT_FD, path: Path | None = None) -> None:
        """Write to `fd`; `path` is what `reopen` opens anew."""
        self.on_first_line: Callable[[], None] | None = None
        self.limiter = LineLimiter()
        self.describe_loss: Callable[[int, str], str] = _describe_loss
        self.lost_lines = 0
        self._fd = fd
        self._path = path
        self._pending: list[str] = []
        self._pending_characters = 0
        self._untold = 0
        self._reason = ""
        self._is_torn = False  # the output ends within a line

    @classmethod
    def open(cls, path: Path) -> LogSink:
        """Append to a file.

        Raises:
            ConfigError: it cannot be opened.
        """
        try:
            return cls(os.open(path, _OPEN_FLAGS, _FILE_MODE), path)
        except OSError as exc:
            raise ConfigError(f"cannot open log file {path}: {exc.strerror}") from exc

    def write(self, line: str) -> None:
        """Take one line, without line end."""
        pending = self._pending
        pending.append(line)
        self._pending_characters += len(line)
        if self.on_first_line is None or self._pending_characters > MAX_PENDING_CHARACTERS:
            self.flush()
        elif len(pending) == 1:
            self.on_first_line()

    def flush(self) -> None:
        """Write all lines that wait."""
        if not self._pending:
            return
        lines, self._pending, self._pending_characters = self._pending, [], 0
        if self._untold and not self._emit([self.describe_loss(self._untold, self._reason)]):
            self._untold = 0
        lost = self._emit(lines)
        self._untold += lost
        self.lost_lines += lost

    def reopen(self) -> str | None:
        """Open the file anew, for whoever renamed it; what is wrong if that fails.

        The old file stays in use then.
        """
        self.flush()
        if self._path is None:
            return None
        try:
            fd = os.open(self._path, _OPEN_FLAGS, _FILE_MODE)
        except OSError as exc:
            return f"cannot open log file {self._path}: {exc.strerror}"
        os.close(self._fd)
        self._fd = fd
        self._is_torn = False
        return None

    def close(self) -> None:
        """Write what waits and close the file, if there is one."""
        self.flush()
        if self._path is not None:
            os.close(self._fd)
            self._fd = -1
            self._path = None

    def _emit(self, lines: list[str]) -> int:
        """Write `lines` and return how many of them were lost, one that was cut off included."""
        start = "\n" if self._is_torn else ""
        data = f"{start}{_NEWLINE.join(lines)}\n".encode("utf-8", "backslashreplace")
        written = self._write(data)
        if written:
            self._is_torn = not data.endswith(b"\n", 0, written)
        return data.count(b"\n", written) - (len(start) if not written else 0)

    def _write(self, data: bytes) -> int:
        """How many bytes could be written."""
        written = 0
        try:
            while written < len(data):
                written += os.write(self._fd, data[written:] if written else data)
        except OSError as exc:
            self._reason = exc.strerror or str(exc)
        return written


def _describe_loss(lines: int, reason: str) -> str:
    return f"log lines lost: {lines} ({reason})"
