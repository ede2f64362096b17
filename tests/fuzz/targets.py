"""What makes a test a fuzz target: a few fixed examples in the suite, new ones for a given time on demand.

`HOLDFAST_FUZZ_SECONDS` is how long each target runs. It then goes through rounds, each with a seed of its own, and what
fails names its seed: with `HOLDFAST_FUZZ_SEED` the target runs that one round, with the same examples.
"""

from __future__ import annotations

import inspect
import os
import secrets
import time
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, Phase, given, seed, settings
from hypothesis import strategies as st

SECONDS = float(os.environ.get("HOLDFAST_FUZZ_SECONDS", "0"))
SEED = os.environ.get("HOLDFAST_FUZZ_SEED", "")

EXAMPLES_IN_SUITE = 120
EXAMPLES_IN_ROUND = 1000
_SEEDS = 2**32

_CHECKS_THAT_COUNT_TIME = (HealthCheck.too_slow, HealthCheck.data_too_large, HealthCheck.large_base_example)

Test = Callable[..., None]


def fuzz(*inputs: st.SearchStrategy[Any], examples: int = EXAMPLES_IN_SUITE) -> Callable[[Test], Test]:
    """Run a test with `inputs`, which become its last arguments.

    Args:
        examples: how many the suite runs, always the same; for a target that is slow, or quick.
    """

    def decorate(test: Test) -> Test:
        if not (SECONDS or SEED):
            return _suite_settings(examples)(given(*inputs)(test))
        return _with_time(test, inputs)

    return decorate


def _suite_settings(examples: int) -> settings:
    return settings(
        max_examples=examples,
        derandomize=True,
        database=None,
        deadline=None,
        suppress_health_check=_CHECKS_THAT_COUNT_TIME,
    )


def _with_time(test: Test, inputs: tuple[st.SearchStrategy[Any], ...]) -> Test:
    """The test as a loop of rounds."""

    def run(**fixtures: Any) -> None:
        end = time.monotonic() + SECONDS
        while True:
            number = int(SEED) if SEED else secrets.randbelow(_SEEDS)
            _run_round(test, inputs, number, fixtures)
            if SEED or time.monotonic() > end:
                return

    run.__name__ = test.__name__
    run.__doc__ = test.__doc__
    run.__module__ = test.__module__
    run.__signature__ = inspect.signature(given(*inputs)(test))  # type: ignore[attr-defined]  # the fixtures
    return run


def _run_round(test: Test, inputs: tuple[st.SearchStrategy[Any], ...], number: int, fixtures: dict[str, Any]) -> None:
    round_settings = settings(
        max_examples=EXAMPLES_IN_ROUND,
        database=None,
        deadline=None,
        suppress_health_check=_CHECKS_THAT_COUNT_TIME,
        phases=(Phase.explicit, Phase.generate, Phase.shrink),
    )
    try:
        seed(number)(round_settings(given(*inputs)(test)))(**fixtures)
    except BaseException as exc:
        exc.add_note(f"Once more: make fuzz SEED={number} ARGS='-k {test.__name__}'")
        raise
