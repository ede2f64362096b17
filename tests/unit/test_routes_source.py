"""When a routes file is read that somebody is writing."""

from __future__ import annotations

import asyncio
import contextlib
import os
from pathlib import Path

import pytest
from tests.unit.routing.helpers import make_defaults

from holdfast import routes_source
from holdfast.routes_source import MAX_WAITS, RoutesSource
from holdfast.routing.table import RouteTable


class Reader:
    """A source, and how many routes each table had that it put in force."""

    def __init__(self, directory: Path) -> None:
        self.file = directory / "routes"
        self.sizes: list[int] = []
        self.source = RoutesSource(self.file, None, make_defaults(), self._apply)

    def _apply(self, table: RouteTable) -> None:
        self.sizes.append(len(table))

    def write(self, count: int) -> None:
        self.file.write_text("".join(f"host-{number} 127.0.0.1:80\n" for number in range(count)))

    def reload_takes_a_while(self) -> bool:
        """Whether it has to wait; then it is given up."""

        async def begin() -> bool:
            reloading = self.source.reload()
            try:
                reloading.send(None)
            except StopIteration:
                return False
            reloading.close()
            return True

        return asyncio.run(begin())


@pytest.fixture
def reader(tmp_path: Path) -> Reader:
    return Reader(tmp_path)


def test_at_rest(reader: Reader) -> None:
    """At once; so it is for a file that was written before, and has been renamed to be the routes."""
    reader.write(3)
    os.utime(reader.file, (1, 1))
    assert not reader.reload_takes_a_while()
    assert reader.sizes == [3]


def test_in_the_future(reader: Reader) -> None:
    """The clock of a file server may be ahead."""
    reader.write(3)
    os.utime(reader.file, (1e10, 1e10))
    assert not reader.reload_takes_a_while()
    assert reader.sizes == [3]


def test_missing(reader: Reader, caplog: pytest.LogCaptureFixture) -> None:
    assert not reader.reload_takes_a_while()
    assert reader.sizes == []
    assert caplog.messages == [f"unable to open routes file: {reader.file}"]


def test_just_written(reader: Reader) -> None:
    reader.write(3)
    assert reader.reload_takes_a_while()
    assert reader.sizes == []


def test_half_written(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """What is read is whole."""
    monkeypatch.setattr(routes_source, "SETTLED_S", 0.5)

    async def write_slowly() -> None:
        for count in (1, 2, 3):
            reader.write(count)
            await asyncio.sleep(0.02)

    async def run() -> None:
        await asyncio.gather(write_slowly(), reader.source.reload())

    asyncio.run(run())
    assert reader.sizes == [3]


def test_emptied(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is waited longer for what will be in it; but it may be empty for good."""
    monkeypatch.setattr(routes_source, "SETTLED_S", 0.0)
    reader.write(0)
    assert reader.reload_takes_a_while()
    monkeypatch.setattr(routes_source, "RELOAD_DELAY_S", 0.05)
    asyncio.run(reader.source.reload())
    assert reader.sizes == [0]


def test_never_at_rest(reader: Reader, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read in the end."""
    waits = 0

    async def write_meanwhile(_: float) -> None:
        nonlocal waits
        waits += 1
        reader.write(2)

    reader.write(1)
    monkeypatch.setattr(asyncio, "sleep", write_meanwhile)
    with contextlib.suppress(StopIteration):
        reader.source.reload().send(None)
    assert waits == MAX_WAITS
    assert reader.sizes == [2]


def test_routes_of_the_command_line(tmp_path: Path) -> None:
    sizes: list[int] = []
    source = RoutesSource(tmp_path / "routes", ("* test",), make_defaults(), lambda table: sizes.append(len(table)))
    asyncio.run(source.reload())
    assert sizes == [1]
