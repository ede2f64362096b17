"""The statistics door: which packets a topic asks for, and what goes out."""

from __future__ import annotations

from typing import Any

import pytest
from tests.unit.control.zmq_fakes import FakeZmqSocket

from holdfast.control import stats
from holdfast.control.stats import StatsDoor, types_of
from holdfast.statistics.collector import PacketType, Statistics
from holdfast.timers import TimerWheel
from holdfast.wire.statistics import Counts, Notation


@pytest.mark.parametrize(
    ("topic", "expected"),
    [
        pytest.param(b"", set(PacketType), id="everything"),
        pytest.param(b"conn ", {PacketType.CONNECTION}, id="one"),
        pytest.param(b"co", {PacketType.CONNECTION, PacketType.COUNTS}, id="beginning of two"),
        pytest.param(b'sub J{"from"', {PacketType.SUBSCRIPTION}, id="more than the type"),
        pytest.param(b"report", {PacketType.REPORT}, id="without the blank"),
        pytest.param(b"x", set(), id="none"),
        pytest.param(b"connections ", set(), id="another word"),
    ],
)
def test_topics(topic: bytes, expected: set[PacketType]) -> None:
    assert set(types_of(topic)) == expected


class FakeRuntime:
    def __init__(self) -> None:
        self.wheel = TimerWheel()

    def now(self) -> float:
        return 0.0


class TestDoor:
    @pytest.fixture
    def socket(self, monkeypatch: pytest.MonkeyPatch) -> FakeZmqSocket:
        socket = FakeZmqSocket()
        monkeypatch.setattr(stats, "open_door", lambda *_: socket)
        return socket

    def test_a_subscriber_comes_and_goes(self, socket: FakeZmqSocket) -> None:
        runtime: Any = FakeRuntime()
        context: Any = None
        statistics = Statistics()
        door = StatsDoor(runtime, statistics, sender="me", notation=Notation.JSON)
        door.open(context, "ipc://x")
        door._on_subscription([b"\x01message "])
        assert statistics.wants_messages
        statistics.send(Counts(2))
        assert socket.sent == [[b'counts J{"from":"me","requests-received":2}']]
        door._on_subscription([b"\x02message "])
        door._on_subscription([b""])
        assert statistics.wants_messages
        door._on_subscription([b"\x00message "])
        assert not statistics.wants_messages
        door.close()
        statistics.send(Counts(2))
        assert len(socket.sent) == 1
        assert "close" in socket.calls

    def test_one_that_was_never_opened(self) -> None:
        runtime: Any = FakeRuntime()
        StatsDoor(runtime, Statistics(), sender="me", notation=Notation.JSON).close()
