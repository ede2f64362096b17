"""What happens to an item that a hold does not get: it is counted, and the log names the client where it is a loss."""

from __future__ import annotations

import logging

import pytest

from holdfast.counters import Counters
from holdfast.push.outlet import note_overflow, note_skip
from holdfast.push.render import ItemSkipped


def test_too_many_wait(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    note_overflow(counters, "192.0.2.1:5000", "stream of c")
    assert counters.drops_queue_full == 1
    assert caplog.messages == ["client 192.0.2.1:5000, stream of c: 100 items wait already; item lost"]


def test_failed(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    note_skip(counters, "192.0.2.1:5000", "stream of c", ItemSkipped("filter error: x: y", is_failure=True))
    assert (counters.drops_filter_failed, counters.deliveries_filtered) == (1, 0)
    assert caplog.messages == ["client 192.0.2.1:5000, stream of c: item not delivered: filter error: x: y"]


def test_dropped_on_purpose(caplog: pytest.LogCaptureFixture) -> None:
    counters = Counters()
    with caplog.at_level(logging.DEBUG):
        note_skip(counters, "192.0.2.1:5000", "stream of c", ItemSkipped())
    assert (counters.drops_filter_failed, counters.deliveries_filtered) == (0, 1)
    assert caplog.messages == []
