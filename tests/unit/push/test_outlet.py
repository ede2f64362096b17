"""What happens to an item that a hold does not get: it is counted, and the log names the client where it is a loss."""

from __future__ import annotations

import logging

import pytest

from holdfast.counters import Counters
from holdfast.push.outlet import Framing, FramingTable, note_overflow, note_skip
from holdfast.push.render import ItemSkipped
from holdfast.wire.cross_origin import Cors


def test_framings_of_like_clients_are_one() -> None:
    table = FramingTable()
    plain = Framing(is_http11=True, is_persistent=True, is_bodyless=False)
    first = table.find(plain, Cors.of([(b"Origin", b"https://a.com")]))
    assert table.find(plain, Cors.of([(b"Origin", b"https://a.com")])) is first
    other = table.find(plain, Cors.of([(b"Origin", b"https://b.com")]))
    assert (first != other, first.is_http11, len(table)) == (True, True, 2)
    del first
    assert len(table) == 1


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
