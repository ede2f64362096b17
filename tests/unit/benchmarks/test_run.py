"""The command line and the plan; what the figures name must be what the goals ask for."""

from __future__ import annotations

import pytest
from benchmarks import figures
from benchmarks.figures import Cause, Held
from benchmarks.loads import Holding, Load, Polls, Recovery, Requests, RoundTrips
from benchmarks.pushing import Pushing
from benchmarks.run import parse_options, plan_loads
from benchmarks.servers import Kind
from benchmarks.tls_holding import TlsHolding


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
    plan = plan_loads(parse_options([]), is_first=False)
    measured = {figures.LOST, figures.REFUSED}
    for load in plan:
        match load:
            case Holding():
                measured |= {figures.delivery_cpu(load.clients, each.burst, load.held) for each in load.publishing}
                measured.add(figures.memory(load.clients, load.held))
            case Requests():
                measured.add(figures.REQUEST_RATE)
            case RoundTrips():
                measured.add(figures.round_trip_rate(load.held))
            case Pushing():
                measured.add(figures.PUSH_RATE)
            case TlsHolding():
                measured.add(figures.tls_memory(load.clients))
            case Recovery():
                measured |= {figures.recovery_requests(load.clients, cause) for cause in Cause}
                measured |= {figures.bystander_latency(load.clients, cause, "p99") for cause in Cause}
    assert {goal.figure for goal in figures.GOALS} <= measured
    assert {goal.peer_figure for goal in figures.GOALS} - {None} <= measured


def test_a_quick_run_has_something_of_everything() -> None:
    plan = plan_loads(parse_options(["--quick"]), is_first=True)
    assert {type(load) for load in plan} == {Holding, Polls, Requests, RoundTrips, Recovery, Pushing, TlsHolding}


@pytest.mark.parametrize("held", [Held.STREAM, Held.OVER_HTTP])
@pytest.mark.parametrize(
    ("arguments", "expected"), [([], {Kind.HOLDFAST}), (["--many-pushpin"], {Kind.HOLDFAST, Kind.PUSHPIN})]
)
def test_the_most_clients_are_for_holdfast_unless_asked(held: Held, arguments: list[str], expected: set[Kind]) -> None:
    plan = plan_loads(parse_options(arguments), is_first=True)
    largest = max(
        (load for load in plan if isinstance(load, Holding) and load.held is held), key=lambda load: load.clients
    )
    assert largest.clients == 15_000
    assert {kind for kind in Kind if largest.fits(kind)} == expected


@pytest.mark.parametrize(("is_first", "expected"), [(True, {Kind.HOLDFAST, Kind.PUSHPIN}), (False, {Kind.HOLDFAST})])
def test_pushpin_recovers_only_once(is_first: bool, expected: set[Kind]) -> None:
    loads = [load for load in plan_loads(parse_options([]), is_first=is_first) if isinstance(load, Recovery)]
    assert {kind for kind in Kind for load in loads if load.fits(kind)} == expected


GRIP_PROXIES = {Kind.HOLDFAST, Kind.PUSHPIN}


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        pytest.param(Holding(10, ()), GRIP_PROXIES | {Kind.FLOOR}, id="streams"),
        pytest.param(Holding(10, (), Held.OVER_HTTP), GRIP_PROXIES, id="websockets"),
        pytest.param(Polls(10), GRIP_PROXIES, id="polls"),
        pytest.param(Requests(10, 1), set(Kind) - {Kind.FLOOR}, id="requests"),
        pytest.param(RoundTrips(Held.RELAYED, 10, 1), GRIP_PROXIES, id="round-trips"),
        pytest.param(Recovery(10, 1, 1), GRIP_PROXIES, id="recovery"),
        pytest.param(Pushing(10), GRIP_PROXIES, id="pushing"),
    ],
)
def test_which_servers_a_load_fits(load: Load, expected: set[Kind]) -> None:
    assert {kind for kind in Kind if load.fits(kind)} == expected
