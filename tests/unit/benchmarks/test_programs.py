"""The load programs against the two C servers: they build without a warning, and count right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection

import pytest
from benchmarks import figures
from benchmarks.loads import LoadFailedError, Publishing, Requests, Streams
from benchmarks.machine import missing_build_tool
from benchmarks.run import build_programs
from benchmarks.servers import Kind, Server, started
from tests.harness.ports import free_port

pytestmark = pytest.mark.skipif(missing_build_tool() is not None, reason="no C compiler or no make")


@pytest.fixture(scope="module", autouse=True)
def _programs() -> None:
    build_programs()


@pytest.fixture
def floor() -> Iterator[Server]:
    with started(Kind.FLOOR) as server:
        yield server


@pytest.fixture
def origin() -> Iterator[Server]:
    with started(Kind.DIRECT) as server:
        yield server


def test_every_delivery_is_counted(floor: Server) -> None:
    measured = Streams(50, (Publishing(3, 1), Publishing(2, 20))).measure(floor)
    assert measured[figures.LOST] == 0
    assert measured[figures.delivery_cpu(50, 1)] > 0
    assert measured[figures.delivery_cpu(50, 20)] > 0


def test_a_load_program_that_gives_up_fails_the_measurement(floor: Server) -> None:
    nobody_takes_publishes = replace(floor, control_port=free_port())
    with pytest.raises(LoadFailedError, match="Connection refused"):
        Streams(1, (Publishing(1, 1),)).measure(nobody_takes_publishes)


def test_requests_are_counted(origin: Server) -> None:
    measured = Requests(requests=500, seconds=5).measure(origin)
    assert measured[figures.REQUEST_RATE] > 0
    assert measured[figures.REQUEST_CPU] > 0


def test_servers_end_with_the_block() -> None:
    with started(Kind.DIRECT) as server:
        pids = server.running.pids()
        assert pids == (server.running.pid,)
    for pid in pids:
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)


def test_the_plain_answer_has_a_hundred_bytes(origin: Server) -> None:
    with closing(HTTPConnection("127.0.0.1", origin.port, timeout=5)) as connection:
        connection.request("GET", "/plain")
        assert len(connection.getresponse().read()) == 100
