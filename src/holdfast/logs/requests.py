"""The log line of a finished request (routes spec §2.10), written past the machinery of the logging module.

Invariants: one line per request, at level info; whatever a client sent is escaped. This runs once per request: no
`LogRecord`, no handler, and nothing is formatted when the level is off.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from typing import Any

from holdfast.logs.lines import JsonFormatter, LogFormat, TextFormatter, escape
from holdfast.logs.sink import LogSink

LOGGER_NAME = "holdfast.requests"


class Outcome(Enum):
    """How a request ended."""

    RESPONSE = "response"
    ACCEPT = "accept"  # GRIP took it over
    ERROR = "error"


@dataclass(slots=True, kw_only=True)
class RequestRecord:
    """What is told about one request; filled while it goes by.

    Attributes:
        uri: the client's full URI, before the route changes it.
        target: as in the routes file; None if none was chosen.
        client_address: without port.
        referer, user_agent: header values as received; None without such a header.
        route_id: of a route that states one; None for a derived id.
        status, body_bytes: of a response; the body as sent.
        is_retry: whether the request was held before and came back.
    """

    method: bytes
    uri: str
    target: str | None = None
    client_address: str = ""
    referer: bytes | None = None
    route_id: str | None = None
    status: int | None = None
    body_bytes: int = 0
    outcome: Outcome = Outcome.ERROR
    is_retry: bool = False
    user_agent: bytes | None = None


class RequestLog:
    """Writes the lines of finished requests.

    Attributes:
        is_enabled: whether lines are written at all.
    """

    __slots__ = ("_finish", "_has_address", "_has_user_agent", "_json", "_now", "_sink", "_text", "is_enabled")

    def __init__(
        self,
        sink: LogSink,
        *,
        log_format: LogFormat = "text",
        log_from: bool = False,
        log_user_agent: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        """
        Args:
            log_from, log_user_agent: whether to tell the client's address and User-Agent.
            now: seconds since 1970.
        """
        self.is_enabled = logging.getLogger(LOGGER_NAME).isEnabledFor(logging.INFO)
        self._sink = sink
        self._has_address = log_from
        self._has_user_agent = log_user_agent
        self._now = now
        self._text = TextFormatter()
        self._json = JsonFormatter()
        self._finish = self._json_line if log_format == "json" else self._text_line

    def finished(self, record: RequestRecord) -> None:
        """Write the line of a request."""
        if self.is_enabled:
            self._sink.write(self._finish(record))

    def _text_line(self, record: RequestRecord) -> str:
        return self._text.line(logging.INFO, self._now(), self._describe(record))

    def _json_line(self, record: RequestRecord) -> str:
        return self._json.entry(logging.INFO, self._now(), LOGGER_NAME, self._describe(record), self._fields(record))

    def _describe(self, record: RequestRecord) -> str:
        """`METHOD URI[ -> TARGET][ from=ADDR][ ref=REFERER][ route=ID] RESULT[ retry][ ua=UA]`."""
        text = f"{record.method.decode('latin-1')} {record.uri}"
        if record.target is not None:
            text = f"{text} -> {record.target}"
        if self._has_address:
            text = f"{text} from={record.client_address}"
        if record.referer is not None:
            text = f"{text} ref={_one_word(record.referer)}"
        if record.route_id is not None:
            text = f"{text} route={record.route_id}"
        outcome = record.outcome
        if outcome is Outcome.RESPONSE:
            text = f"{text} code={record.status} {record.body_bytes}"
        else:
            text = f"{text} {outcome.value}"
        if record.is_retry:
            text = f"{text} retry"
        if self._has_user_agent and record.user_agent is not None:
            text = f"{text} ua={_decode(record.user_agent)}"
        return text

    def _fields(self, record: RequestRecord) -> dict[str, Any]:
        """The same as fields; what is not there has none."""
        fields: dict[str, Any] = {
            "method": _decode(record.method),
            "uri": escape(record.uri),
            "target": record.target,
            "from": record.client_address if self._has_address else None,
            "referer": None if record.referer is None else _decode(record.referer),
            "route": record.route_id,
            "outcome": record.outcome.value,
            "status": record.status,
            "body_bytes": record.body_bytes,
            "retry": record.is_retry or None,
            "user_agent": _decode(record.user_agent) if self._has_user_agent and record.user_agent else None,
        }
        return {name: value for name, value in fields.items() if value is not None}


def _decode(value: bytes) -> str:
    return escape(value.decode("utf-8", "backslashreplace"))


def _one_word(value: bytes) -> str:
    """A header value in the form of a URI, so that a blank in it cannot look like the next field of the line."""
    return "".join(chr(byte) if 0x21 <= byte <= 0x7E else f"%{byte:02X}" for byte in value)
