"""The log line of a request (routes spec §2.10, checklist routes-110)."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator

import pytest

from holdfast.logs.requests import REQUEST_LOGGER, Outcome, RequestLog, RequestRecord
from holdfast.logs.sink import LogSink

NOW_S = 1767323045.678
PREFIX = "[INFO] 2026-01-02 03:04:05.678 "


class Lines(LogSink):
    """A sink that keeps its lines."""

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []

    def write(self, line: str) -> None:
        self.lines.append(line)


@pytest.fixture(autouse=True)
def _surroundings(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    logger = logging.getLogger(REQUEST_LOGGER)
    level = logger.level
    logger.setLevel(logging.INFO)
    monkeypatch.setenv("TZ", "UTC0")
    time.tzset()
    yield
    logger.setLevel(level)
    monkeypatch.undo()
    time.tzset()


def full_record() -> RequestRecord:
    return RequestRecord(
        method=b"GET",
        uri="http://x.com/a?mode=trunc",
        target="127.0.0.1:21100",
        client_address="127.0.0.1",
        referer=b"http://ref/a b",
        route_id="foo",
        status=200,
        body_bytes=5,
        outcome=Outcome.RESPONSE,
        is_retry=True,
        shared=7,
        user_agent=b"curl/7.88.1 (x)",
    )


def text_of(record: RequestRecord, *, log_from: bool = False, log_user_agent: bool = False) -> str:
    sink = Lines()
    RequestLog(sink, log_from=log_from, log_user_agent=log_user_agent, now=lambda: NOW_S).finished(record)
    (line,) = sink.lines
    assert line.startswith(PREFIX)
    return line.removeprefix(PREFIX)


def json_of(record: RequestRecord, *, tells_all: bool) -> dict[str, object]:
    sink = Lines()
    log = RequestLog(sink, log_format="json", log_from=tells_all, log_user_agent=tells_all, now=lambda: NOW_S)
    log.finished(record)
    (line,) = sink.lines
    fields: dict[str, object] = json.loads(line)
    return fields


def test_everything() -> None:
    """routes-110."""
    assert text_of(full_record(), log_from=True, log_user_agent=True) == (
        "GET http://x.com/a?mode=trunc -> 127.0.0.1:21100 from=127.0.0.1 ref=http://ref/a%20b route=foo "
        "code=200 5 retry shared=7 ua=curl/7.88.1 (x)"
    )


def test_address_and_user_agent_are_told_only_if_asked_for() -> None:
    assert text_of(full_record()) == (
        "GET http://x.com/a?mode=trunc -> 127.0.0.1:21100 ref=http://ref/a%20b route=foo code=200 5 retry shared=7"
    )


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            RequestRecord(method=b"GET", uri="http://h/"), "GET http://h/ error", id="error without a target or route"
        ),
        pytest.param(
            RequestRecord(method=b"POST", uri="http://h/", target="test", outcome=Outcome.ACCEPT),
            "POST http://h/ -> test accept",
            id="GRIP took over",
        ),
        pytest.param(
            RequestRecord(method=b"GET", uri="http://h/", status=502, body_bytes=31, outcome=Outcome.RESPONSE),
            "GET http://h/ code=502 31",
            id="answer of our own",
        ),
    ],
)
def test_little(record: RequestRecord, expected: str) -> None:
    assert text_of(record, log_from=False, log_user_agent=True) == expected


@pytest.mark.parametrize(
    ("record", "expected"),
    [
        pytest.param(
            RequestRecord(method=b"GET", uri="http://h/", user_agent=b"x\n[ERR] y\xff"),
            "GET http://h/ error ua=x\\x0a[ERR] y\\xff",
            id="user agent",
        ),
        pytest.param(
            RequestRecord(method=b"GET", uri="http://h/", referer=b"x route=y\r\n\xff"),
            "GET http://h/ ref=x%20route=y%0D%0A%FF error",
            id="referer",
        ),
        pytest.param(
            RequestRecord(method=b"G\x7f", uri="http://h/\x1b"), "G\\x7f http://h/\\x1b error", id="method and URI"
        ),
    ],
)
def test_clients_cannot_forge_lines(record: RequestRecord, expected: str) -> None:
    assert text_of(record, log_user_agent=True) == expected


def test_json_has_the_same_as_fields() -> None:
    assert json_of(full_record(), tells_all=True) == {
        "time": "2026-01-02T03:04:05.678+00:00",
        "level": "info",
        "logger": "holdfast.requests",
        "message": "GET http://x.com/a?mode=trunc -> 127.0.0.1:21100 from=127.0.0.1 ref=http://ref/a%20b route=foo "
        "code=200 5 retry shared=7 ua=curl/7.88.1 (x)",
        "method": "GET",
        "uri": "http://x.com/a?mode=trunc",
        "target": "127.0.0.1:21100",
        "from": "127.0.0.1",
        "referer": "http://ref/a b",
        "route": "foo",
        "outcome": "response",
        "status": 200,
        "body_bytes": 5,
        "retry": True,
        "shared": 7,
        "user_agent": "curl/7.88.1 (x)",
    }


def test_json_leaves_out_what_is_not_there() -> None:
    record = RequestRecord(method=b"GET", uri="http://h/", user_agent=b"x", client_address="1.2.3.4")
    fields = json_of(record, tells_all=False)
    assert sorted(fields) == ["level", "logger", "message", "method", "outcome", "time", "uri"]
    assert fields["outcome"] == "error"


def test_nothing_is_written_below_the_level() -> None:
    logging.getLogger(REQUEST_LOGGER).setLevel(logging.WARNING)
    sink = Lines()
    log = RequestLog(sink)
    log.finished(full_record())
    assert not log.is_enabled
    assert sink.lines == []


def test_lost_lines_are_those_of_the_sink() -> None:
    sink = Lines()
    sink.lost_lines = 3
    assert RequestLog(sink).lost_lines == 3
