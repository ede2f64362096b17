"""The lines of the log, as text for people and as JSON (routes spec §2.10).

Invariants: one entry is one line, except for the indented lines of a traceback; control characters in anything that a
client may have sent are escaped, so nobody outside can write an entry or drive a terminal.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Literal

import orjson

LogFormat = Literal["text", "json"]

TRACE = 5
"""Level of the standard library below DEBUG, for Pushpin's level 4."""

_PYTHON_LEVELS = (logging.ERROR, logging.WARNING, logging.INFO, logging.DEBUG, TRACE)


def python_level(level: int) -> int:
    """The standard library's level for Pushpin's: 0 errors, 1 warnings, 2 information, 3 debug, 4 and more trace."""
    return _PYTHON_LEVELS[min(level, len(_PYTHON_LEVELS) - 1)]


def level_label(level: int) -> str:
    """`ERR`, `WARN`, `INFO`, `DEBUG` or `TRACE`, as text lines have it."""
    if level >= logging.ERROR:
        return "ERR"
    if level >= logging.WARNING:
        return "WARN"
    if level >= logging.INFO:
        return "INFO"
    return "DEBUG" if level >= logging.DEBUG else "TRACE"


def level_name(level: int) -> str:
    """`error`, `warning`, `info`, `debug` or `trace`, as JSON lines have it."""
    return {"ERR": "error", "WARN": "warning"}.get(level_label(level), level_label(level).lower())


def escape(text: str) -> str:
    """`text` with every character escaped that is no printable one."""
    return text if text.isprintable() else "".join(map(_escape_character, text))


def _escape_character(char: str) -> str:
    if char.isprintable():
        return char
    code = ord(char)
    if code <= 0xFF:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"


class Timestamps:
    """Times of log entries, local; the part that changes once per second is made once per second."""

    __slots__ = ("_head", "_is_rfc3339", "_second", "_tail")

    def __init__(self, *, is_rfc3339: bool) -> None:
        self._is_rfc3339 = is_rfc3339
        self._second = -1
        self._head = ""
        self._tail = ""

    def text(self, now_s: float) -> str:
        """`2026-01-02 03:04:05.678`, or by RFC 3339 `2026-01-02T03:04:05.678+01:00`; `now_s` counts from 1970."""
        second, milliseconds = divmod(int(now_s * 1000), 1000)
        if second != self._second:
            self._start(second)
        return f"{self._head}.{milliseconds:03d}{self._tail}"

    def _start(self, second: int) -> None:
        self._second = second
        local = time.localtime(second)
        if self._is_rfc3339:
            self._head, offset = time.strftime("%Y-%m-%dT%H:%M:%S %z", local).split()
            self._tail = f"{offset[:3]}:{offset[3:]}"
        else:
            self._head = time.strftime("%Y-%m-%d %H:%M:%S", local)


class TextFormatter(logging.Formatter):
    """`[INFO] 2026-01-02 03:04:05.678 TEXT`, and a traceback in indented lines after it."""

    def __init__(self) -> None:
        super().__init__()
        self._timestamps = Timestamps(is_rfc3339=False)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        time_text = self._timestamps.text(record.created)
        line = f"[{level_label(record.levelno)}] {time_text} {escape(record.getMessage())}"
        trace = _traceback(self, record)
        return line if trace is None else "\n    ".join([line, *map(escape, trace.splitlines())])


class JsonFormatter(logging.Formatter):
    """One JSON object: `time`, `level`, `logger`, `message`, and `traceback` if there is one."""

    def __init__(self) -> None:
        super().__init__()
        self._timestamps = Timestamps(is_rfc3339=True)

    def format(self, record: logging.LogRecord) -> str:
        """See `logging.Formatter`."""
        fields = {
            "time": self._timestamps.text(record.created),
            "level": level_name(record.levelno),
            "logger": record.name,
            "message": escape(record.getMessage()),
        }
        trace = _traceback(self, record)
        if trace is not None:
            fields["traceback"] = trace
        return encode_json(fields)


def encode_json(fields: Mapping[str, object]) -> str:
    """One line of JSON; what has no place in UTF-8 is escaped."""
    try:
        return orjson.dumps(fields).decode()
    except orjson.JSONEncodeError:  # a lone surrogate
        return orjson.dumps({key: _without_surrogates(value) for key, value in fields.items()}).decode()


def _without_surrogates(value: object) -> object:
    return value.encode("utf-8", "backslashreplace").decode() if isinstance(value, str) else value


def _traceback(formatter: logging.Formatter, record: logging.LogRecord) -> str | None:
    if record.exc_info is None or record.exc_info[0] is None:
        return None
    return formatter.formatException(record.exc_info)
