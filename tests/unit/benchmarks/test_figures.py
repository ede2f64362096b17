"""Samples to numbers, and numbers against goals."""

from __future__ import annotations

import pytest
from benchmarks.figures import Figure, Goal, Results, Summary
from benchmarks.servers import Kind

CPU = Figure("CPU", "µs")
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
    ],
)
def test_goal(goal: Goal, measured: float, is_reached: bool) -> None:
    assert goal.measured(results(CPU, holdfast=[15.0], floor=[10.0])) == measured
    assert goal.is_reached(measured) is is_reached


@pytest.mark.parametrize("samples", [{"holdfast": [1.0]}, {"floor": [1.0]}, {"holdfast": [1.0], "floor": [0.0]}])
def test_goal_without_both_parts_is_not_measured(samples: dict[str, list[float]]) -> None:
    assert Goal(CPU, Kind.FLOOR, 1.5, is_most=True).measured(results(CPU, **samples)) is None
