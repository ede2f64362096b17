"""The log: lines for people or as JSON, collected and written together."""

from holdfast.logs.ceiling import Log, limited
from holdfast.logs.limiter import LIMITED
from holdfast.logs.lines import TRACE, LogFormat, escape, python_level
from holdfast.logs.requests import Outcome, RequestLog, RequestRecord
from holdfast.logs.setup import configure_logging
from holdfast.logs.sink import LogSink

__all__ = [
    "LIMITED",
    "TRACE",
    "Log",
    "LogFormat",
    "LogSink",
    "Outcome",
    "RequestLog",
    "RequestRecord",
    "configure_logging",
    "escape",
    "limited",
    "python_level",
]
