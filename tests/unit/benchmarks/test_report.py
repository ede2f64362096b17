"""Results as Markdown, and their place in the document."""

from __future__ import annotations

import pytest
from benchmarks.figures import LOST, PUSH_RATE, REQUEST_RATE, Held, Results, delivery_cpu
from benchmarks.report import (
    BEGIN_MARK,
    END_MARK,
    format_number,
    goals_table,
    replace_between_marks,
    results_table,
)
from benchmarks.run import DOCUMENT
from benchmarks.servers import Kind


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (0.0, "0"),
        (7.0, "7"),
        (0.2034, "0.20"),
        (9.876, "9.88"),
        (10.04, "10.0"),
        (123.4, "123"),
        (23456.7, "23,457"),
        (-0.25, "-0.25"),
    ],
)
def test_number(value: float | None, text: str) -> None:
    assert format_number(value) == text


def measured() -> Results:
    results = Results()
    results.add(Kind.FLOOR, {LOST: 0.0})
    results.add(Kind.PUSHPIN, {LOST: 3.0, REQUEST_RATE: 1000.0})
    results.add(Kind.HOLDFAST, {LOST: 0.0, REQUEST_RATE: 5000.0})
    return results


def test_results_table() -> None:
    assert results_table(measured()) == (
        "|  | Holdfast | Pushpin | C `send()` loop |\n"
        "| --- | ---: | ---: | ---: |\n"
        "| Proxied requests, 50 connections, requests/s | 5,000 | 1,000 | – |\n"
        "| Deliveries lost or publishes refused, worst run | 0 | 3 | 0 |"
    )


def test_goals_table_has_the_goals_that_were_measured() -> None:
    results = measured()
    results.add(Kind.HOLDFAST, {PUSH_RATE: 5000.0})
    assert goals_table(results) == (
        "| Goal | Measured | Reached |\n"
        "| --- | ---: | ---: |\n"
        "| Published through ZeroMQ PULL, one item a message, to one stream, items/s: at least 20000 "
        "| 5,000 | **no** |\n"
        "| Deliveries lost or publishes refused, worst run: at most 0 | 0 | yes |"
    )


def test_a_goal_that_compares_different_figures_says_with_what() -> None:
    results = Results()
    results.add(Kind.FLOOR, {delivery_cpu(1000, 1): 10.0})
    results.add(Kind.HOLDFAST, {delivery_cpu(1000, 1, Held.OVER_HTTP): 11.0})
    assert goals_table(results).splitlines()[2:] == [
        "| CPU per delivery, 1,000 WebSockets over HTTP, one publish at a time: "
        "at most 1.25 × C `send()` loop with streams | 1.10 | yes |"
    ]


def test_no_goal_measured_no_table() -> None:
    assert goals_table(Results()) == ""


def test_only_what_is_between_the_marks_is_replaced() -> None:
    text = f"before\n{BEGIN_MARK}\nold\n{END_MARK}\nafter\n"
    replaced = replace_between_marks(text, "new\n")
    assert replaced == f"before\n{BEGIN_MARK}\nnew\n{END_MARK}\nafter\n"
    assert replace_between_marks(replaced, "new") == replaced


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="none"),
        pytest.param(BEGIN_MARK, id="one"),
        pytest.param(END_MARK + BEGIN_MARK, id="wrong-order"),
        pytest.param((BEGIN_MARK + END_MARK) * 2, id="twice"),
    ],
)
def test_marks_that_are_not_there_once_in_order(text: str) -> None:
    with pytest.raises(ValueError, match="expected"):
        replace_between_marks(text, "new")


def test_the_document_has_the_marks() -> None:
    assert "new" in replace_between_marks(DOCUMENT.read_text(), "new")
