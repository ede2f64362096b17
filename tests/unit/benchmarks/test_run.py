"""The command line and the plan; what the figures name must be what the goals ask for."""

from __future__ import annotations

import pytest
from benchmarks import figures
from benchmarks.crowd import Crowd
from benchmarks.figures import Cause, Figure, Held
from benchmarks.loads import Holding, Load, Polls, Recovery, Requests, RoundTrips
from benchmarks.pushing import Posting, Pushing
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


def figures_of(load: Load) -> set[Figure]:
    """What a load measures, of what goals are about."""
    match load:
        case Holding(is_again=True):
            return {figures.delivery_cpu(load.clients, each.burst, load.held) for each in load.publishing}
        case Holding():
            return {
                *(figures.delivery_cpu(load.clients, each.burst, load.held) for each in load.publishing),
                figures.memory(load.clients, load.held),
                figures.memory_grown(load.clients, load.generations, load.held),
                figures.open_rate(load.clients, load.held),
            }
        case Polls():
            return {figures.memory(load.clients, Held.POLL)}
        case Requests():
            return {figures.REQUEST_CPU, figures.VARIED_REQUEST_CPU}
        case RoundTrips():
            return {figures.round_trip_rate(load.held)}
        case Pushing():
            return {figures.PUSH_RATE}
        case Posting():
            return {figures.POST_RATE}
        case Recovery():
            return {
                *(figures.recovery_requests(load.clients, cause) for cause in Cause),
                *(figures.bystander_latency(load.clients, cause, "p99") for cause in Cause),
            }
        case TlsHolding():
            return {figures.tls_memory(load.clients)}
        case Crowd():
            made = (figures.idle_cpu, figures.disturbed_latency, figures.longest_collection)
            return {figure(load.clients) for figure in made}
        case _:
            raise AssertionError(load)


def test_the_default_plan_measures_what_the_goals_ask_for() -> None:
    """Of Holdfast and of the peers."""
    plan = plan_loads(parse_options([]), is_first=True)
    measured = {(kind, figure) for load in plan for kind in Kind if load.fits(kind) for figure in figures_of(load)}
    goals = [goal for goal in figures.GOALS if goal.figure not in (figures.LOST, figures.REFUSED)]
    assert {(Kind.HOLDFAST, goal.figure) for goal in goals} <= measured
    assert {(goal.peer, goal.peer_figure or goal.figure) for goal in goals if goal.peer is not None} <= measured


def test_a_quick_run_has_something_of_everything() -> None:
    plan = plan_loads(parse_options(["--quick"]), is_first=True)
    assert {type(load) for load in plan} == {
        Holding,
        Polls,
        Requests,
        RoundTrips,
        Recovery,
        Posting,
        Pushing,
        TlsHolding,
        Crowd,
    }


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


def test_what_takes_long_is_made_once() -> None:
    first, later = (plan_loads(parse_options([]), is_first=is_first) for is_first in (True, False))
    assert {type(load) for load in first} - {type(load) for load in later} == {Polls, Crowd}
    assert not any(isinstance(load, Holding) and load.clients == 15_000 for load in later)
    for plan, expected in ((first, {Kind.HOLDFAST, Kind.PUSHPIN}), (later, {Kind.HOLDFAST})):
        recovering = [load for load in plan if isinstance(load, Recovery)]
        assert {kind for kind in Kind for load in recovering if load.fits(kind)} == expected


GRIP_PROXIES = {Kind.HOLDFAST, Kind.PUSHPIN}


@pytest.mark.parametrize(
    ("load", "expected"),
    [
        pytest.param(Holding(10, ()), GRIP_PROXIES | {Kind.FLOOR, Kind.NCHAN}, id="streams"),
        pytest.param(Holding(10, (), Held.EVENT_STREAM), GRIP_PROXIES | {Kind.NCHAN}, id="event-streams"),
        pytest.param(Holding(10, (), Held.OVER_HTTP), GRIP_PROXIES | {Kind.NCHAN}, id="websockets"),
        pytest.param(Holding(10, (), Held.LINKED_STREAM), GRIP_PROXIES, id="linked-streams"),
        pytest.param(Holding(10, (), only=frozenset({Kind.FLOOR})), {Kind.FLOOR}, id="only-one"),
        pytest.param(Polls(10), GRIP_PROXIES, id="polls"),
        pytest.param(Requests(10, 1), set(Kind) - {Kind.FLOOR, Kind.NCHAN}, id="requests"),
        pytest.param(RoundTrips(Held.RELAYED, 10, 1), GRIP_PROXIES, id="round-trips"),
        pytest.param(Recovery(10, 1, 1), GRIP_PROXIES, id="recovery"),
        pytest.param(Pushing(10), GRIP_PROXIES, id="pushing"),
        pytest.param(Posting(10), {Kind.HOLDFAST, Kind.NCHAN}, id="posting"),
        pytest.param(Crowd(10, 1, 1, 1), {Kind.HOLDFAST}, id="crowd"),
    ],
)
def test_which_servers_a_load_fits(load: Load, expected: set[Kind]) -> None:
    assert {kind for kind in Kind if load.fits(kind)} == expected
