"""Samples to numbers, and numbers against goals."""

from __future__ import annotations

import pytest
from benchmarks.figures import (
    GOALS,
    LOST,
    POST_CPU,
    POST_RATE,
    PUSH_CPU,
    PUSH_RATE,
    REFUSED,
    REQUEST_CPU,
    REQUEST_LATENCY,
    REQUEST_RATE,
    VARIED_REQUEST_CPU,
    Cause,
    Figure,
    Goal,
    Held,
    Results,
    Summary,
    bystander_latency,
    delivery_cpu,
    delivery_latency,
    disturbed_latency,
    idle_cpu,
    longest_collection,
    memory,
    memory_grown,
    memory_left,
    memory_pss,
    open_cpu,
    open_rate,
    recovery_cpu,
    recovery_requests,
    recovery_time,
    round_trip_cpu,
    round_trip_latency,
    round_trip_rate,
)
from benchmarks.servers import Kind

CPU = Figure("CPU", "µs")
OTHER_CPU = Figure("CPU of something else", "µs")
LOSSES = Figure("Losses", summary=Summary.WORST)


def results(figure: Figure, **samples: list[float]) -> Results:
    collected = Results()
    for name, values in samples.items():
        for value in values:
            collected.add(Kind(name), {figure: value})
    return collected


@pytest.mark.parametrize(
    ("figure", "samples", "expected"),
    [
        pytest.param(CPU, [3.0], 3.0, id="one"),
        pytest.param(CPU, [9.0, 1.0, 2.0], 2.0, id="median-of-three"),
        pytest.param(CPU, [1.0, 2.0], 1.5, id="median-of-two"),
        pytest.param(LOSSES, [0.0, 7.0, 0.0], 7.0, id="one-bad-run-counts"),
    ],
)
def test_samples_become_one_number(figure: Figure, samples: list[float], expected: float) -> None:
    assert results(figure, holdfast=samples).value(figure, Kind.HOLDFAST) == expected


def test_what_was_not_measured_has_no_number() -> None:
    collected = results(CPU, holdfast=[1.0])
    assert collected.value(CPU, Kind.PUSHPIN) is None
    assert collected.value(LOSSES, Kind.HOLDFAST) is None


def test_columns_are_the_measured_servers_in_their_order() -> None:
    assert results(CPU, floor=[1.0], holdfast=[1.0]).kinds() == [Kind.HOLDFAST, Kind.FLOOR]


@pytest.mark.parametrize(
    ("goal", "measured", "is_reached"),
    [
        pytest.param(Goal(CPU, Kind.FLOOR, 1.5, is_most=True), 1.5, True, id="most-as-a-multiple"),
        pytest.param(Goal(CPU, Kind.FLOOR, 1.4, is_most=True), 1.5, False, id="above-the-most"),
        pytest.param(Goal(CPU, Kind.FLOOR, 1.5, is_most=False), 1.5, True, id="least"),
        pytest.param(Goal(CPU, Kind.FLOOR, 1.6, is_most=False), 1.5, False, id="below-the-least"),
        pytest.param(Goal(CPU, None, 15.0, is_most=True), 15.0, True, id="by-itself"),
        pytest.param(Goal(CPU, Kind.FLOOR, 1.5, is_most=True, peer_figure=OTHER_CPU), 0.5, True, id="other-figure"),
    ],
)
def test_goal(goal: Goal, measured: float, is_reached: bool) -> None:
    collected = results(CPU, holdfast=[15.0], floor=[10.0])
    collected.add(Kind.FLOOR, {OTHER_CPU: 30.0})
    assert goal.measured(collected) == measured
    assert goal.is_reached(measured) is is_reached


@pytest.mark.parametrize("samples", [{"holdfast": [1.0]}, {"floor": [1.0]}, {"holdfast": [1.0], "floor": [0.0]}])
def test_goal_without_both_parts_is_not_measured(samples: dict[str, list[float]]) -> None:
    assert Goal(CPU, Kind.FLOOR, 1.5, is_most=True).measured(results(CPU, **samples)) is None


def test_ratio_is_that_of_neighbours() -> None:
    """In a run on a machine that becomes twice as fast in its second half."""
    collected = Results()
    for own, peer in [(24.0, 20.0), (24.0, 20.0), (12.0, 10.0), (15.0, 10.0)]:
        collected.add(Kind.HOLDFAST, {CPU: own})
        collected.add(Kind.FLOOR, {CPU: peer})
    collected.add(Kind.HOLDFAST, {CPU: 11.0})
    assert collected.ratio((CPU, Kind.HOLDFAST), (CPU, Kind.FLOOR)) == 1.2


def test_no_two_figures_have_the_same_heading() -> None:
    """The table has a row per heading."""
    made = [
        *(delivery_cpu(1000, burst, held) for burst in (1, 20) for held in Held),
        *(figure(1000, held) for figure in (delivery_latency, memory, memory_pss, memory_left) for held in Held),
        *(figure(1000, held) for figure in (open_rate, open_cpu) for held in Held),
        *(figure(held) for figure in (round_trip_rate, round_trip_cpu, round_trip_latency) for held in Held),
        *(figure(1000, cause) for figure in (recovery_requests, recovery_time, recovery_cpu) for cause in Cause),
        *(bystander_latency(1000, cause, point) for cause in Cause for point in ("p50", "p99", "max")),
        *(memory_grown(1000, generations, held) for generations in (2, 3) for held in Held),
        *(figure(1000) for figure in (idle_cpu, disturbed_latency, longest_collection)),
        *(LOST, REFUSED, REQUEST_RATE, REQUEST_CPU, VARIED_REQUEST_CPU, REQUEST_LATENCY),
        *(POST_RATE, POST_CPU, PUSH_RATE, PUSH_CPU),
    ]
    assert len({figure.heading for figure in made}) == len(made)


def test_the_floor_is_compared_by_its_streams() -> None:
    goals = [goal for goal in GOALS if goal.peer is Kind.FLOOR]
    compared = {goal.peer_figure or goal.figure for goal in goals}
    assert compared == {delivery_cpu(clients, 1) for clients in (1000, 5000)} | {delivery_cpu(5000, 20)}
    assert len(goals) > len(compared)


@pytest.mark.parametrize("held", [Held.STREAM, Held.EVENT_STREAM, Held.OVER_HTTP])
@pytest.mark.parametrize("clients", [1000, 5000])
def test_every_fan_out_is_compared_with_every_peer(clients: int, held: Held) -> None:
    peers = {goal.peer: goal.limit for goal in GOALS if goal.figure == delivery_cpu(clients, 1, held)}
    assert peers == {Kind.FLOOR: 1.25, Kind.NCHAN: 1.0, Kind.PUSHPIN: 0.2}
    peers = {goal.peer: goal.limit for goal in GOALS if goal.figure == delivery_cpu(clients, 20, held)}
    assert peers == {Kind.NCHAN: 0.5, Kind.PUSHPIN: 0.5}
