from __future__ import annotations

from dataclasses import fields

import pytest

from holdfast.counters import HELP, Counters, counter_values


def test_every_counter_is_explained_and_nothing_else() -> None:
    assert list(HELP) == [field.name for field in fields(Counters)]


@pytest.mark.parametrize("name", HELP)
def test_an_explanation_is_one_phrase(name: str) -> None:
    """It stands behind `# HELP` in the metrics, in one line."""
    assert HELP[name] and HELP[name] == HELP[name].strip()
    assert not HELP[name].endswith(".") and "\n" not in HELP[name]


def test_values_are_what_was_counted_in_the_order_of_declaration() -> None:
    counters = Counters(deliveries=3)
    counters.items_received += 2
    values = counter_values(counters)
    assert list(values) == [field.name for field in fields(Counters)]
    assert {name: value for name, value in values.items() if value} == {"items_received": 2, "deliveries": 3}


def test_a_misspelt_counter_is_an_error() -> None:
    with pytest.raises(AttributeError):
        Counters().delivereis = 1  # type: ignore[attr-defined]
