"""Where log lines go."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from holdfast.errors import ConfigError
from holdfast.logs.sink import MAX_PENDING_CHARACTERS, LogSink


@dataclass
class Output:
    """A stand-in for `os.write`: takes what `room` says and then fails."""

    room: int | None = None
    written: bytes = b""
    calls: int = 0

    def write(self, _fd: int, data: bytes) -> int:
        self.calls += 1
        if self.room is None:
            self.written += data
            return len(data)
        taken, self.room = data[: self.room], self.room - len(data[: self.room])
        if not taken:
            raise OSError(28, "No space left on device")
        self.written += taken
        return len(taken)


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch) -> Output:
    output = Output()
    monkeypatch.setattr(os, "write", output.write)
    return output


@pytest.fixture
def log_file(tmp_path: Path) -> Iterator[tuple[LogSink, Path]]:
    path = tmp_path / "log"
    sink = LogSink.open(path)
    yield sink, path
    sink.close()


def test_without_a_schedule_lines_are_written_at_once(output: Output) -> None:
    sink = LogSink()
    sink.write("a")
    assert output.written == b"a\n"


def test_lines_of_one_turn_are_written_together(output: Output) -> None:
    sink = LogSink()
    asked: list[int] = []
    sink.on_first_line = lambda: asked.append(1)
    sink.write("a")
    sink.write("ü")
    assert (asked, output.calls) == ([1], 0)
    sink.flush()
    sink.flush()
    assert (output.written, output.calls) == ("a\nü\n".encode(), 1)
    sink.write("b")
    assert asked == [1, 1]


def test_what_is_pending_is_bounded(output: Output) -> None:
    sink = LogSink()
    sink.on_first_line = lambda: None
    line = "x" * 1000
    for _ in range(MAX_PENDING_CHARACTERS // 1000 + 1):
        sink.write(line)
    assert output.calls == 1


def test_what_has_no_place_in_utf8_is_escaped(output: Output) -> None:
    LogSink().write("\udc80")
    assert output.written == b"\\udc80\n"


def test_a_short_write_goes_on(output: Output, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "write", lambda fd, data: output.write(fd, data[:2]))
    LogSink().write("abc")
    assert (output.written, output.calls) == (b"abc\n", 2)


def test_loss_is_counted_and_told_once(output: Output) -> None:
    sink = LogSink()
    output.room = 0
    sink.write("a")
    sink.write("b")
    assert (output.written, sink.lost_lines) == (b"", 2)
    output.room = None
    sink.write("c")
    sink.write("d")
    assert output.written == b"log lines lost: 2 (No space left on device)\nc\nd\n"
    assert sink.lost_lines == 2


def test_a_line_that_was_cut_off_does_not_run_into_the_next(output: Output) -> None:
    sink = LogSink()
    sink.on_first_line = lambda: None
    output.room = 5
    for line in ("aa", "bbbb", "cc"):
        sink.write(line)
    sink.flush()
    assert (output.written, sink.lost_lines) == (b"aa\nbb", 2)
    output.room = 0
    sink.write("dd")
    sink.flush()
    assert sink.lost_lines == 3
    output.room = None
    sink.write("ee")
    sink.flush()
    assert output.written == b"aa\nbb\nlog lines lost: 3 (No space left on device)\nee\n"


def test_a_broken_pipe_does_not_raise() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    sink = LogSink(writer)
    sink.write("a")
    os.close(writer)
    sink.write("b")
    assert sink.lost_lines == 2


def test_files_are_appended_to(log_file: tuple[LogSink, Path]) -> None:
    sink, path = log_file
    path.write_text("before\n")
    sink.write("after")
    assert path.read_text() == "before\nafter\n"


def test_reopen_follows_a_rename(log_file: tuple[LogSink, Path]) -> None:
    sink, path = log_file
    sink.on_first_line = lambda: None
    sink.write("old")
    old = path.rename(path.with_suffix(".1"))
    assert sink.reopen() is None
    sink.write("new")
    sink.flush()
    assert (old.read_text(), path.read_text()) == ("old\n", "new\n")


def test_a_file_that_cannot_be_reopened_stays_in_use(log_file: tuple[LogSink, Path]) -> None:
    sink, path = log_file
    old = path.rename(path.with_suffix(".1"))
    path.mkdir()
    assert sink.reopen() == f"cannot open log file {path}: Is a directory"
    sink.write("a")
    assert old.read_text() == "a\n"


def test_standard_output_is_not_reopened_or_closed(output: Output) -> None:
    sink = LogSink()
    assert sink.reopen() is None
    sink.close()
    sink.write("a")
    assert output.written == b"a\n"


def test_closing_writes_what_waits(tmp_path: Path) -> None:
    path = tmp_path / "log"
    sink = LogSink.open(path)
    sink.on_first_line = lambda: None
    sink.write("a")
    sink.close()
    sink.close()
    assert path.read_text() == "a\n"


def test_a_file_that_cannot_be_opened(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"^cannot open log file \S+/none/log: No such file or directory$"):
        LogSink.open(tmp_path / "none" / "log")
