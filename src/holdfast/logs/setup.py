"""Setting up the log of the process: which messages are kept, in which form, and where they go.

Invariants: the standard library's loggers are the only global state; setting up again replaces what was set up before.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from holdfast.logs.lines import TRACE, JsonFormatter, LogFormat, TextFormatter, python_level
from holdfast.logs.requests import REQUEST_LOGGER
from holdfast.logs.sink import LogSink

PACKAGE_LOGGER = "holdfast"

# The work that a component of Pushpin has, so that `log_level=2,proxy:3` means what it meant there.
LOGGERS_OF_COMPONENT: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "connmgr": ("holdfast.net",),
        "handler": ("holdfast.control", "holdfast.push"),
        "proxy": ("holdfast.proxy", "holdfast.routing", REQUEST_LOGGER),
        "runner": ("holdfast.server", "holdfast.supervisor"),
    }
)

_NO_COMPONENTS: Mapping[str, int] = MappingProxyType({})


class SinkHandler(logging.Handler):
    """Hands the lines of ordinary messages to a sink, which has a limiter for some of them."""

    def __init__(self, sink: LogSink, formatter: logging.Formatter) -> None:
        super().__init__()
        self._sink = sink
        sink.limiter.write = self._write
        self.setFormatter(formatter)

    def emit(self, record: logging.LogRecord) -> None:
        """See `logging.Handler`."""
        if self._sink.limiter.admits(record):
            self._write(record)

    def _write(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # a wrong format string must not end what it is about
            self.handleError(record)
            return
        self._sink.write(line)

    def describe_loss(self, lines: int, reason: str) -> str:
        """The line that tells of lost lines."""
        text = f"log lines lost: {lines} ({reason})"
        return self.format(logging.LogRecord("holdfast.logs", logging.WARNING, "", 0, text, None, None))

    def flush(self) -> None:
        """Write what waits; the logging module calls this at exit."""
        self._sink.limiter.tell()
        self._sink.flush()


def configure_logging(
    level: int,
    log_format: LogFormat = "text",
    log_file: Path | None = None,
    components: Mapping[str, int] = _NO_COMPONENTS,
) -> LogSink:
    """Send the log to `log_file`, or to standard output.

    Args:
        level: by Pushpin's numbers: 0 errors, 1 warnings, 2 information, 3 debug, 4 and more trace.
        components: level by component of Pushpin, for the parts that do its work; `level` is that of all others.

    Raises:
        ConfigError: the file cannot be opened.
    """
    sink = LogSink() if log_file is None else LogSink.open(log_file)
    handler = SinkHandler(sink, JsonFormatter() if log_format == "json" else TextFormatter())
    sink.describe_loss = handler.describe_loss
    _use(handler)
    logging.addLevelName(TRACE, "TRACE")
    logging.getLogger(PACKAGE_LOGGER).setLevel(python_level(level))
    for component, names in LOGGERS_OF_COMPONENT.items():
        stated = components.get(component)
        for name in names:
            logging.getLogger(name).setLevel(logging.NOTSET if stated is None else python_level(stated))
    return sink


def _use(handler: SinkHandler) -> None:
    """Make `handler` the one of the root logger, so that messages of libraries end up in the same place."""
    root = logging.getLogger()
    for earlier in [entry for entry in root.handlers if isinstance(entry, SinkHandler)]:
        root.removeHandler(earlier)
        earlier.flush()
    root.addHandler(handler)
