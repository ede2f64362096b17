"""The load programs against the two C servers: they build without a warning, and count right."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from http.client import HTTPConnection

import pytest
from benchmarks import figures
from benchmarks.crowd import Crowd
from benchmarks.figures import Cause, Held
from benchmarks.loads import Holding, Polls, Recovery, Requests, RoundTrips
from benchmarks.machine import missing_build_tool
from benchmarks.programs import LoadFailedError, Publishing, holding_arguments, running_beside
from benchmarks.pushing import Posting, Pushing
from benchmarks.run import build_programs
from benchmarks.servers import Kind, Server, missing_program, started
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


@pytest.fixture
def holdfast() -> Iterator[Server]:
    with started(Kind.HOLDFAST) as server:
        yield server


def test_every_delivery_is_counted(floor: Server) -> None:
    measured = Holding(50, (Publishing(3, 1), Publishing(2, 20))).measure(floor)
    assert measured[figures.LOST] == 0
    assert measured[figures.delivery_cpu(50, 1)] > 0
    assert measured[figures.delivery_cpu(50, 20)] > 0


def test_only_deliveries_are_measured_again(holdfast: Server) -> None:
    measured = Holding(50, (Publishing(3, 1),), is_again=True).measure(holdfast)
    assert set(measured) == {
        figures.delivery_cpu(50, 1),
        figures.delivery_latency(50),
        figures.LOST,
        figures.REFUSED,
    }


def test_a_load_program_that_gives_up_fails_the_measurement(floor: Server) -> None:
    nobody_takes_publishes = replace(floor, control_port=free_port())
    with pytest.raises(LoadFailedError, match="Connection refused"):
        Holding(1, (Publishing(1, 1),)).measure(nobody_takes_publishes)


def test_requests_are_counted(origin: Server) -> None:
    measured = Requests(requests=500, seconds=5).measure(origin)
    assert measured[figures.REQUEST_RATE] > 0
    assert measured[figures.REQUEST_CPU] > 0
    assert measured[figures.VARIED_REQUEST_CPU] > 0


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


@pytest.fixture
def nchan() -> Iterator[Server]:
    if missing_program(Kind.NCHAN) is not None:
        pytest.skip("no Nchan")
    with started(Kind.NCHAN) as server:
        yield server


@pytest.mark.parametrize("held", [held for held in Held if held is not Held.POLL])
def test_all_kinds_of_clients_are_held(holdfast: Server, held: Held) -> None:
    measured = Holding(50, (Publishing(3, 1), Publishing(2, 20)), held).measure(holdfast)
    assert (measured[figures.LOST], measured[figures.REFUSED]) == (0, 0)
    assert measured[figures.delivery_cpu(50, 20, held)] > 0
    assert measured[figures.open_rate(50, held)] > 0


@pytest.mark.parametrize("held", [Held.STREAM, Held.EVENT_STREAM, Held.OVER_HTTP])
def test_nchan_holds_them_too(nchan: Server, held: Held) -> None:
    measured = Holding(50, (Publishing(3, 1), Publishing(2, 20)), held).measure(nchan)
    assert (measured[figures.LOST], measured[figures.REFUSED]) == (0, 0)
    assert measured[figures.delivery_cpu(50, 20, held)] > 0
    assert figures.memory(50, held) in measured


def test_polls_are_answered(holdfast: Server) -> None:
    measured = Polls(50).measure(holdfast)
    assert (measured[figures.LOST], measured[figures.REFUSED]) == (0, 0)
    assert figures.memory_left(50, Held.POLL) in measured


def test_what_a_second_generation_adds_is_measured(holdfast: Server) -> None:
    measured = Holding(50, (), generations=2).measure(holdfast)
    assert measured[figures.memory_grown(50, 2)] < 100


@pytest.mark.parametrize("held", [Held.OVER_HTTP, Held.RELAYED])
def test_messages_are_answered(holdfast: Server, held: Held) -> None:
    measured = RoundTrips(held, messages=500, seconds=5).measure(holdfast)
    assert measured[figures.round_trip_rate(held)] > 0


def test_items_are_pushed(holdfast: Server) -> None:
    measured = Pushing(500).measure(holdfast)
    assert measured[figures.LOST] == 0
    assert measured[figures.PUSH_RATE] > 0
    assert measured[figures.PUSH_CPU] >= 0


def test_items_are_posted(holdfast: Server) -> None:
    measured = Posting(500).measure(holdfast)
    assert measured[figures.LOST] == 0
    assert measured[figures.POST_RATE] > 0
    assert measured[figures.POST_CPU] > 0


def test_items_are_posted_to_nchan(nchan: Server) -> None:
    assert Posting(500).measure(nchan)[figures.LOST] == 0


@pytest.mark.slow
def test_a_crowd_is_idle_and_disturbs() -> None:
    with started(Kind.HOLDFAST, has_metrics=True) as server:
        measured = Crowd(200, idle_s=1, broadcasts=3000, seconds=1).measure(server)
    assert (measured[figures.LOST], measured[figures.REFUSED]) == (0, 0)
    assert measured[figures.idle_cpu(200)] < 100
    assert measured[figures.longest_collection(200)] >= 0
    assert figures.disturbed_latency(200) in measured


def test_a_crowd_that_is_gone_too_soon_fails_the_measurement() -> None:
    with (
        started(Kind.HOLDFAST, has_metrics=True) as server,
        pytest.raises(LoadFailedError, match="too soon"),
    ):
        Crowd(10, idle_s=1, broadcasts=1, seconds=1).measure(server)


def test_a_program_that_gives_up_beside_another_measurement(floor: Server) -> None:
    nobody_takes_publishes = replace(floor, control_port=free_port())
    arguments = holding_arguments(nobody_takes_publishes, 1, [Publishing(1, 1)])
    with (
        running_beside("holdload", nobody_takes_publishes, *arguments) as program,
        pytest.raises(LoadFailedError, match="Connection refused"),
    ):
        program.wait_for("no such member")


def test_streams_recover(holdfast: Server) -> None:
    measured = Recovery(50, rounds=2, seconds=5).measure(holdfast)
    assert measured[figures.LOST] == 0
    for cause in Cause:
        assert measured[figures.recovery_requests(50, cause)] >= 1
        assert 0 < measured[figures.recovery_time(50, cause)] < 5000
        assert measured[figures.bystander_latency(50, cause, "max")] > 0


# RFC 6455 §1.3 has the first key with its answer; hashlib made the other, whose text fills more than one block.
@pytest.mark.parametrize(
    ("key", "accept"),
    [
        ("dGhlIHNhbXBsZSBub25jZQ==", "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="),
        ("x" * 80, "ShOnIpBGYxZZkUDOHG6lbctjpqI="),
    ],
)
def test_the_origin_accepts_websockets(origin: Server, key: str, accept: str) -> None:
    with closing(HTTPConnection("127.0.0.1", origin.port, timeout=5)) as connection:
        connection.request("GET", "/socket?channel=c", headers={"Sec-WebSocket-Key": key})
        response = connection.getresponse()
        assert (response.status, response.getheader("Sec-WebSocket-Accept")) == (101, accept)
