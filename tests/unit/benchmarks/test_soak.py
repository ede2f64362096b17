"""What a soak makes of what it has seen: lines through memory, percentiles, and what is wrong with a log or a gauge."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from benchmarks.soak.certificates import Certificates
from benchmarks.soak.channels import ALL, BULK, EVENTS, FOLLOWED, LIVE, PublishTimes, item_of
from benchmarks.soak.checks import (
    MAX_BLOCKS_LEFT,
    MAX_BLOCKS_PER_MINUTE,
    MAX_HEAP_LEFT_KB,
    MAX_KB_PER_MINUTE,
    counter_problems,
    leftover_problems,
    log_problems,
    memory_problems,
    remaining,
)
from benchmarks.soak.faults import Backends, Fault, make_schedule
from benchmarks.soak.samples import ZERO_AT_THE_END, Row, slope, slope_of
from benchmarks.soak.server import Holdfast
from benchmarks.soak.tally import summary


@pytest.mark.parametrize(
    ("points", "expected"),
    [
        ([], 0),
        ([(1, 5)], 0),
        ([(1, 5), (1, 7)], 0),
        ([(0, 1), (1, 3), (2, 5)], 2),
        ([(0, 4), (1, 3), (2, 4), (3, 3)], -0.2),
    ],
)
def test_slope(points: list[tuple[float, float]], expected: float) -> None:
    assert slope(points) == pytest.approx(expected)


def memory(kb_at: list[int], every_s: float = 60, **columns: list[int]) -> list[Row]:
    rows: list[Row] = [{"at_s": number * every_s, "rss_kb": kb} for number, kb in enumerate(kb_at)]
    return [
        row | {"python_blocks": 0} | {name: values[number] for name, values in columns.items()}
        for number, row in enumerate(rows)
    ]


def test_the_first_half_is_not_judged() -> None:
    rows = memory([*range(0, 30_000, 2000), *[30_000] * 15])
    assert slope_of(rows, "rss_kb") > MAX_KB_PER_MINUTE
    assert memory_problems(rows) == []


def test_the_first_third_of_blocks_is_not_judged() -> None:
    rows = memory([0] * 30, python_blocks=[*range(0, 10_000, 1000), *[10_000] * 20])
    assert slope_of(rows, "python_blocks") == 0
    assert slope_of(rows, "python_blocks", skipped=0) > 0
    assert memory_problems(rows) == []


@pytest.mark.parametrize(
    ("kb_per_minute", "minutes", "is_wrong"),
    [(MAX_KB_PER_MINUTE + 1, 30, True), (MAX_KB_PER_MINUTE - 1, 30, False), (MAX_KB_PER_MINUTE + 1, 20, False)],
)
def test_growth_is_wrong_when_the_run_was_long_enough(kb_per_minute: float, minutes: int, is_wrong: bool) -> None:
    rows = memory([round(60_000 + kb_per_minute * minute) for minute in range(minutes + 1)])
    assert bool(memory_problems(rows)) is is_wrong


@pytest.mark.parametrize(
    ("per_minute", "minutes", "is_wrong"),
    [(MAX_BLOCKS_PER_MINUTE + 1, 6, True), (MAX_BLOCKS_PER_MINUTE, 6, False), (MAX_BLOCKS_PER_MINUTE + 1, 4, False)],
)
def test_objects_that_stay_are_seen_sooner(per_minute: float, minutes: int, is_wrong: bool) -> None:
    rows = memory([0] * (minutes + 1), python_blocks=[round(per_minute * minute) for minute in range(minutes + 1)])
    assert bool(memory_problems(rows)) is is_wrong


@pytest.mark.parametrize(
    ("name", "left", "is_wrong"),
    [
        ("heap_used_kb", -500, False),
        ("heap_used_kb", MAX_HEAP_LEFT_KB, False),
        ("heap_used_kb", MAX_HEAP_LEFT_KB + 1, True),
        ("python_blocks", MAX_BLOCKS_LEFT, False),
        ("python_blocks", MAX_BLOCKS_LEFT + 1, True),
        ("heap_free_kb", 10 * MAX_HEAP_LEFT_KB, False),
    ],
)
def test_what_is_left_in_memory(name: str, left: int, is_wrong: bool) -> None:
    before = {"heap_used_kb": 9000, "heap_free_kb": 1, "python_blocks": 200_000}
    assert bool(leftover_problems(before, before | {name: before[name] + left})) is is_wrong


def test_summary() -> None:
    assert summary([]) == [0, 0, 0, 0]
    assert summary([0.001 * number for number in range(101)]) == [50, 99, 100, 101]


def test_what_remains() -> None:
    at_rest = dict.fromkeys(ZERO_AT_THE_END, 0.0) | {"tasks": 1.0}
    assert remaining(at_rest) == {}
    assert remaining(at_rest | {"tasks": 2.0, "channels": 3.0}) == {"tasks": 1.0, "channels": 3.0}


def test_counters() -> None:
    class Zero(dict[str, float]):
        def __missing__(self, name: str) -> float:
            return 0.0

    assert counter_problems(Zero()) == []
    assert counter_problems(Zero(drops_filter_failed_total=2.0, drops_outbox_full_total=9.0)) == [
        "drops_filter_failed_total is 2"
    ]


def test_log() -> None:
    innocent = [
        "[INFO] 2031-05-17 10:00:00.000 GET http://localhost/plain/500 code=200\n",
        "[WARN] 2031-05-17 10:00:00.000 client 127.0.0.1:9 on stream of b0 is too slow: 36038 bytes are waiting, "
        "limit 65536; disconnected\n",
        "[WARN] 2031-05-17 10:00:00.000 client 127.0.0.1:9, stream of e2: 100 items wait already; item lost\n",
        "[WARN] 2031-05-17 10:00:00.000 certificate x in /x: key values mismatch; the one before stays in use\n",
    ]
    assert log_problems(innocent) == []
    wrong = ["[ERR] 2031-05-17 10:00:00.000 request failed\n", "[ERR] 2031-05-17 10:00:01.000 request failed\n"]
    assert log_problems([*innocent, *wrong]) == [f"in the log 2 times: {wrong[0].rstrip()}"]
    assert len(log_problems(["Traceback (most recent call last):\n", "ValueError: x\n"])) == 2


class TestSchedule:
    """What is done when."""

    @pytest.mark.parametrize("seconds", [15, 60, 1800])
    def test_everything_happens_and_is_over(self, seconds: float) -> None:
        steps = make_schedule(seconds, 1)
        assert {step.fault for step in steps} == set(Fault)
        assert steps == sorted(steps)
        outages = [step.fault for step in steps if step.fault in (Fault.KILL, Fault.START)]
        assert outages == [Fault.KILL, Fault.START] * (len(outages) // 2)
        assert steps[-1].at_s < seconds

    def test_seed_decides(self) -> None:
        assert make_schedule(600, 1) == make_schedule(600, 1) != make_schedule(600, 2)


@pytest.mark.parametrize(
    ("begun_s", "failed_s", "is_explained"),
    [(9, 9, False), (9, 10, True), (12, 12, True), (9, 30, True), (20, 30, True), (21, 30, False)],
)
def test_outages_explain(tmp_path: Path, begun_s: float, failed_s: float, is_explained: bool) -> None:
    backends = Backends(tmp_path, 1)
    backends.outages.append((10, 20))
    assert backends.explain(begun_s, failed_s) is is_explained


class TestCertificates:
    """Which one clients may be shown, while it is renewed."""

    @pytest.fixture
    def server(self, tmp_path: Path) -> Certificates:
        made = Certificates(tmp_path)
        made.renew()
        return made

    def shown(self, directory: Path) -> bytes:
        return ssl.PEM_cert_to_DER_cert((directory / "runner" / "certs" / "localhost.crt").read_text())

    def test_both_processes_know_the_newest(self, tmp_path: Path, server: Certificates) -> None:
        clients = Certificates(tmp_path)
        for number in (1, 2, 3):
            assert clients.newest == number
            clients.see(self.shown(tmp_path), number)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            directory = tmp_path / "runner" / "certs"
            context.load_cert_chain(directory / "localhost.crt", directory / "localhost.key")
            server.renew()
        assert clients.seen == {1: 1, 2: 1, 3: 1}

    def test_an_old_one_is_wrong_only_for_who_came_later(self, tmp_path: Path, server: Certificates) -> None:
        old = self.shown(tmp_path)
        begun = server.newest
        server.renew()
        server.see(old, begun)
        with pytest.raises(AssertionError, match="certificate 1 was shown, 2 had replaced it"):
            server.see(old, server.newest)
        with pytest.raises(AssertionError, match="no certificate"):
            server.see(None, begun)


def test_sockjs_routes_take_each_kind_of_target(tmp_path: Path) -> None:
    Holdfast(tmp_path, {"port": 1, "ws_port": 2, "recovery_port": 3, "zmq_spec": "ipc://x"}).write_routes(
        by_rename=True
    )
    lines = (tmp_path / "routes").read_text().splitlines()
    sockjs = [line.rpartition(" ")[2] for line in lines if "sockjs_as_path" in line]
    assert sockjs == ["127.0.0.1:1,over_http", "127.0.0.1:2"] * 2
    assert "*,id=zmq,path_beg=/zmq/ zhttpreq/ipc://x" in lines


@pytest.mark.parametrize(
    ("channel", "formats", "has_id"),
    [
        (FOLLOWED[0], {"http-stream", "http-response"}, True),
        (EVENTS[0], {"http-stream"}, True),
        (LIVE[0], {"http-stream", "ws-message"}, False),
        (BULK[0], {"http-stream"}, False),
    ],
)
def test_items(channel: str, formats: set[str], has_id: bool) -> None:
    item = item_of(channel, 7)
    given = item["formats"]
    assert isinstance(given, dict)
    assert set(given) == formats
    assert (item.get("id"), item.get("prev-id")) == (("7", "6") if has_id else (None, None))


def test_times_are_shared(tmp_path: Path) -> None:
    here, there = PublishTimes(tmp_path / "times"), PublishTimes(tmp_path / "times")
    for place, channel in enumerate(ALL):
        here.set(channel, 5000, place + 0.5)
    assert [there.of(channel, 5000) for channel in ALL] == [place + 0.5 for place in range(len(ALL))]
