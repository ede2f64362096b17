"""The log line of a finished request (routes spec §2.10), written past the machinery of the logging module.

Invariants: one line per request, at level info; whatever a client sent is escaped. This runs once per request: no
`LogRecord`, no handler, and nothing is formatted when the level is off.
"""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from holdfast.logs.lines import LogFormat, Timestamps, encode_json, escape
from holdfast.logs.sink import LogSink

REQUEST_LOGGER = "holdfast.requests"

_NOT_IN_WORDS = re.compile(rb"[^\x21-\x7e]")


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
        shared: the same number for all requests that shared one to the backend; None for one of its own.
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
    shared: int | None = None
    user_agent: bytes | None = None


class RequestLog:
    """Writes the lines of finished requests.

    Args:
        log_from, log_user_agent: whether to tell the client's address and User-Agent.
        now: seconds since 1970.

    Attributes:
        is_enabled: whether lines are written at all; depends on the log level at the time of making.
    """

    __slots__ = ("_has_address", "_has_user_agent", "_line", "_now", "_sink", "_timestamps", "is_enabled")

    def __init__(
        self,
        sink: LogSink,
        *,
        log_format: LogFormat = "text",
        log_from: bool = False,
        log_user_agent: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.is_enabled = logging.getLogger(REQUEST_LOGGER).isEnabledFor(logging.INFO)
        self._sink = sink
        self._has_address = log_from
        self._has_user_agent = log_user_agent
        self._now = now
        is_json = log_format == "json"
        self._timestamps = Timestamps(is_rfc3339=is_json)
        self._line = self._json_line if is_json else self._text_line

    @property
    def lost_lines(self) -> int:
        """Lines of the whole log that could not be written, since the start."""
        return self._sink.lost_lines

    def finished(self, record: RequestRecord) -> None:
        """Write the line of a request."""
        if self.is_enabled:
            self._sink.write(self._line(record))

    def _text_line(self, record: RequestRecord) -> str:
        return f"[INFO] {self._timestamps.text(self._now())} {self._describe(record)}"

    def _json_line(self, record: RequestRecord) -> str:
        """The text as `message`, and the same as fields; what is not there has none."""
        fields: dict[str, str | int | None] = {
            "time": self._timestamps.text(self._now()),
            "level": "info",
            "logger": REQUEST_LOGGER,
            "message": self._describe(record),
            "method": _decode(record.method),
            "uri": escape(record.uri),
            "outcome": record.outcome.value,
        }
        if record.target is not None:
            fields["target"] = record.target
        if record.route_id is not None:
            fields["route"] = record.route_id
        if record.outcome is Outcome.RESPONSE:
            fields["status"] = record.status
            fields["body_bytes"] = record.body_bytes
        if record.is_retry:
            fields["retry"] = True
        if record.shared is not None:
            fields["shared"] = record.shared
        if self._has_address:
            fields["from"] = record.client_address
        if record.referer is not None:
            fields["referer"] = _decode(record.referer)
        if self._has_user_agent and record.user_agent is not None:
            fields["user_agent"] = _decode(record.user_agent)
        return encode_json(fields)

    def _describe(self, record: RequestRecord) -> str:
        """`METHOD URI[ -> TARGET][ from=ADDR][ ref=REFERER][ route=ID] RESULT[ retry][ shared=X][ ua=UA]`."""
        target = f" -> {record.target}" if record.target is not None else ""
        address = f" from={record.client_address}" if self._has_address and record.client_address else ""
        referer = f" ref={_one_word(record.referer)}" if record.referer is not None else ""
        route = f" route={record.route_id}" if record.route_id is not None else ""
        outcome = record.outcome
        result = f"code={record.status} {record.body_bytes}" if outcome is Outcome.RESPONSE else outcome.value
        retry = " retry" if record.is_retry else ""
        shared = f" shared={record.shared}" if record.shared is not None else ""
        sent = record.user_agent if self._has_user_agent else None
        user_agent = f" ua={_decode(sent)}" if sent is not None else ""
        method = record.method.decode("latin-1")
        text = f"{method} {record.uri}{target}{address}{referer}{route} {result}{retry}{shared}{user_agent}"
        return text if text.isprintable() else escape(text)


def _decode(value: bytes) -> str:
    return escape(value.decode("utf-8", "backslashreplace"))


def _one_word(value: bytes) -> str:
    """A header value in the form of a URI, so that a blank in it cannot look like the next field of the line."""
    return _NOT_IN_WORDS.sub(_encode_byte, value).decode()


def _encode_byte(match: re.Match[bytes]) -> bytes:
    return b"%%%02X" % match[0][0]
