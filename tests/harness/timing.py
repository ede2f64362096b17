"""Time in tests: one factor that stretches every deadline, and one way to wait for a condition.

Only deadlines (how long to wait for something that must happen) are stretched. Periods in which nothing may happen, and
periods that a test measures, are not.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable

TIME_FACTOR = float(os.environ.get("HOLDFAST_TEST_TIME_FACTOR", "1"))


def scaled(seconds: float) -> float:
    """Return a deadline in seconds, stretched by ``HOLDFAST_TEST_TIME_FACTOR``."""
    return seconds * TIME_FACTOR


def eventually(condition: Callable[[], object], what: str, timeout_s: float = 5.0) -> None:
    """Wait until ``condition()`` is true.

    Raises:
        AssertionError: it was still false after ``timeout_s`` seconds (scaled); ``what`` is the message.
    """
    deadline = time.monotonic() + scaled(timeout_s)
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {scaled(timeout_s):.1f} s: {what}")
        time.sleep(0.005)
