"""What reports say of the bytes and messages that passed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from holdfast.proxy.traffic import count_attempts, count_exchange, count_received, count_sent
from holdfast.statistics.routes import RouteCounts, SecondHand, TrafficCounts
from holdfast.wire.statistics import Traffic
from holdfast.wire.websocket.frames import Opcode
from holdfast.wire.websocket.stream import Data


@dataclass
class Noted:
    """What an exchange, its attempts, or a reply has noted."""

    head_bytes: int = 1
    body_bytes: int = 2
    head_bytes_sent: int = 3
    body_bytes_sent: int = 4


def test_an_exchange() -> None:
    counts, noted = RouteCounts(None, SecondHand()), Noted()
    client: Any = noted
    count_exchange(counts, client)
    count_exchange(counts, client)
    assert counts.client.value() == Traffic(2, 6, 4, 8)
    assert counts.server.value() == Traffic()


def test_the_backends_side() -> None:
    counts = RouteCounts(None, SecondHand())
    attempts: Any = Noted()
    reply: Any = Noted(10, 20)
    count_attempts(counts, attempts, None)
    assert counts.server.value() == Traffic(0, 3, 0, 4)
    count_attempts(counts, attempts, reply)
    assert counts.server.value() == Traffic(10, 6, 20, 8)


def test_pieces_of_a_message() -> None:
    traffic = TrafficCounts()
    for data in (Data(Opcode.TEXT, b"abc", is_last=False), Data(Opcode.TEXT, b"d", is_first=False)):
        count_received(traffic, data)
    count_sent(traffic, Data(Opcode.TEXT, b"xy"))
    assert traffic.value() == Traffic(0, 0, 4, 2, 1, 1)
