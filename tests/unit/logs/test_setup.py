"""Setting up the log of the process."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

import holdfast
from holdfast.errors import ConfigError
from holdfast.logs import LogSink, RequestLog, RequestRecord, configure_logging
from holdfast.logs.requests import REQUEST_LOGGER
from holdfast.logs.setup import LOGGERS_OF_COMPONENT, SinkHandler


@pytest.fixture(autouse=True)
def _restore() -> Iterator[None]:
    root = logging.getLogger()
    handlers = root.handlers[:]
    yield
    for handler in root.handlers[:]:
        if handler not in handlers:
            root.removeHandler(handler)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("holdfast"):
            logging.getLogger(name).setLevel(logging.NOTSET)


def lines(path: Path) -> list[str]:
    return [line.partition("] ")[0] + "] " + line[line.index("] ") + 26 :] for line in path.read_text().splitlines()]


def test_messages_and_requests_go_to_the_file(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = configure_logging(2, "text", path)
    logging.getLogger("holdfast.x").info("hello %s", "you")
    logging.getLogger("holdfast.x").debug("not this")
    RequestLog(sink).finished(RequestRecord(method=b"GET", uri="http://h/"))
    sink.close()
    assert lines(path) == ["[INFO] hello you", "[INFO] GET http://h/ error"]


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = configure_logging(0, "json", path)
    logging.getLogger("holdfast.x").error("oops")
    logging.getLogger("holdfast.x").warning("not this")
    sink.close()
    (line,) = path.read_text().splitlines()
    assert json.loads(line).items() >= {"level": "error", "logger": "holdfast.x", "message": "oops"}.items()


def test_messages_of_libraries_come_too(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = configure_logging(2, "text", path)
    logging.getLogger("asyncio").warning("slow")
    sink.close()
    assert lines(path) == ["[WARN] slow"]


def test_components_have_levels_of_their_own(tmp_path: Path) -> None:
    configure_logging(1, log_file=tmp_path / "log", components={"proxy": 3, "handler": 0, "connmgr": 4}).close()
    levels = {name: logging.getLogger(f"holdfast.{name}").getEffectiveLevel() for name in ("proxy", "push", "net.edge")}
    assert levels == {"proxy": logging.DEBUG, "push": logging.ERROR, "net.edge": 5}
    assert logging.getLogger("holdfast.server").getEffectiveLevel() == logging.WARNING
    assert logging.getLogger(REQUEST_LOGGER).isEnabledFor(logging.INFO)


def test_every_logger_of_the_server_belongs_to_a_component() -> None:
    known = tuple(name for names in LOGGERS_OF_COMPONENT.values() for name in names)
    sources = Path(holdfast.__file__).parent.rglob("*.py")
    used = {name for path in sources for name in re.findall(r'getLogger\("(holdfast\.[^"]+)"\)', path.read_text())}
    assert "holdfast.proxy" in used
    assert {name for name in used if not f"{name}.".startswith(tuple(f"{part}." for part in known))} <= {
        "holdfast.demo"
    }


def test_setting_up_again_replaces(tmp_path: Path) -> None:
    first = configure_logging(2, log_file=tmp_path / "1", components={"proxy": 4})
    first.on_first_line = lambda: None
    logging.getLogger("holdfast.proxy").info("one")
    second = configure_logging(2, log_file=tmp_path / "2")
    logging.getLogger("holdfast.proxy").info("two")
    logging.getLogger("holdfast.proxy").debug("not this")
    first.close()
    second.close()
    assert lines(tmp_path / "1") == ["[INFO] one"]
    assert lines(tmp_path / "2") == ["[INFO] two"]


def test_loss_is_told_in_the_format_of_the_log(tmp_path: Path) -> None:
    sink = configure_logging(2, log_file=tmp_path / "log")
    assert sink.describe_loss(3, "why").endswith(" log lines lost: 3 (why)")
    assert sink.describe_loss(3, "why").startswith("[WARN] ")
    sink.close()


def test_a_wrong_format_string_ends_nothing(capsys: pytest.CaptureFixture[str]) -> None:
    handler = SinkHandler(LogSink(), logging.Formatter())
    handler.handle(logging.LogRecord("x", logging.INFO, "f", 1, "%d", ("no number",), None))
    assert "Logging error" in capsys.readouterr().err


def test_the_end_of_the_process_writes_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = configure_logging(2, log_file=path)
    sink.on_first_line = lambda: None
    logging.getLogger("holdfast.x").info("last words")
    for handler in logging.getLogger().handlers:
        handler.flush()  # as logging.shutdown does
    assert lines(path) == ["[INFO] last words"]
    sink.close()


def test_standard_output_is_the_default(capfd: pytest.CaptureFixture[str]) -> None:
    configure_logging(2)
    logging.getLogger("holdfast.x").info("hello")
    assert capfd.readouterr().out.endswith(" hello\n")


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError):
        configure_logging(2, log_file=tmp_path / "none" / "log")
