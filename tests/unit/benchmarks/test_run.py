"""The command line and the plan; what the figures name must be what the goals ask for."""

from __future__ import annotations

import pytest
from benchmarks import figures
from benchmarks.loads import Polls, Requests, Streams
from benchmarks.run import parse_options, plan_loads
from benchmarks.servers import Kind


@pytest.mark.parametrize(
    ("arguments", "rounds", "writes"),
    [
        ([], 3, True),
        (["--quick"], 1, False),
        (["--quick", "--rounds", "2", "--write"], 2, True),
        (["--no-write"], 3, False),
    ],
)
def test_a_quick_run_is_one_round_and_is_not_recorded(arguments: list[str], rounds: int, writes: bool) -> None:
    options = parse_options(arguments)
    assert (options.rounds, options.write) == (rounds, writes)


def test_servers_are_chosen_by_name() -> None:
    assert parse_options(["--servers", "floor,holdfast"]).servers == [Kind.FLOOR, Kind.HOLDFAST]
    assert parse_options([]).servers == list(Kind)


@pytest.mark.parametrize("arguments", [["--servers", "nobody"], ["--rounds", "0"]])
def test_bad_options_are_refused(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        parse_options(arguments)
    assert arguments[0] in capsys.readouterr().err


def test_the_default_plan_measures_what_the_goals_ask_for() -> None:
    plan = plan_loads(parse_options([]))
    streams = {load.clients: load for load in plan if isinstance(load, Streams)}
    asked = {goal.figure for goal in figures.GOALS}
    for clients in (1000, 5000):
        assert {phase.burst for phase in streams[clients].publishing} == {1, 20}
        assert {figures.delivery_cpu(clients, burst) for burst in (1, 20)} <= asked
    assert figures.stream_memory(15_000) in asked
    assert 15_000 in streams
    assert any(isinstance(load, Requests) for load in plan)


@pytest.mark.parametrize(
    ("arguments", "expected"), [([], {Kind.HOLDFAST}), (["--many-pushpin"], {Kind.HOLDFAST, Kind.PUSHPIN})]
)
def test_the_most_clients_are_for_holdfast_unless_asked(arguments: list[str], expected: set[Kind]) -> None:
    largest = max(
        (load for load in plan_loads(parse_options(arguments)) if isinstance(load, Streams)),
        key=lambda load: load.clients,
    )
    assert {kind for kind in Kind if largest.fits(kind)} == expected


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        pytest.param(Streams(10, ()), {Kind.HOLDFAST, Kind.PUSHPIN, Kind.FLOOR}, id="streams"),
        pytest.param(Polls(10), {Kind.HOLDFAST, Kind.PUSHPIN}, id="polls"),
        pytest.param(Requests(10, 1), set(Kind) - {Kind.FLOOR}, id="requests"),
    ],
)
def test_which_servers_a_load_fits(load: Streams | Polls | Requests, expected: set[Kind]) -> None:
    assert {kind for kind in Kind if load.fits(kind)} == expected
