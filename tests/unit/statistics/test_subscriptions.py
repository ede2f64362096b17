"""Subscribers of channels, as conversations: what changes, and what is said."""

from __future__ import annotations

from dataclasses import dataclass, field

from holdfast.statistics.subscriptions import LOOKED_AT_PER_BEAT, Subscriptions
from holdfast.wire.statistics import Subscription, SubscriptionGone, SubscriptionMode

RESPONSE, STREAM, WEBSOCKET = SubscriptionMode


@dataclass
class FakeChannel:
    name: str
    responses: list[int] = field(default_factory=list)
    streams: list[int] = field(default_factory=list)
    sockets: list[int] = field(default_factory=list)
    lingers: bool = False


class Desk:
    """Subscriptions, one channel, and what is said of it since it was last asked for."""

    def __init__(self, ttl_s: int = 8) -> None:
        self._said: list[Subscription | SubscriptionGone] = []
        self.subscriptions = Subscriptions(ttl_s, self._said.append)
        self.channel = FakeChannel("c")
        self.now_s = 0

    def set(self, mode: SubscriptionMode, count: int) -> list[str]:
        holds = {RESPONSE: "responses", STREAM: "streams", WEBSOCKET: "sockets"}[mode]
        setattr(self.channel, holds, [0] * count)
        self.subscriptions.changed(mode, self.channel)
        return self.said()

    def wait(self, seconds: int = 1) -> list[str]:
        for _ in range(seconds):
            self.now_s += 1
            self.subscriptions.move_hand(self.now_s)
            self.subscriptions.tell_due()
        return self.said()

    def said(self) -> list[str]:
        texts = []
        for packet in self._said:
            count = "gone" if isinstance(packet, SubscriptionGone) else str(packet.subscribers)
            texts.append(f"{packet.mode.value} {packet.channel} {count}")
        self._said.clear()
        return texts


def test_the_first_at_once_others_soon_and_the_last_at_once() -> None:
    desk = Desk()
    assert desk.set(STREAM, 1) == ["stream c 1"]
    assert desk.set(STREAM, 2) == []
    assert desk.set(STREAM, 5) == []
    assert desk.wait() == ["stream c 5"]
    assert desk.wait() == []
    assert desk.set(STREAM, 0) == ["stream c gone"]
    assert desk.wait(20) == []
    assert len(desk.subscriptions) == 0


def test_the_packet() -> None:
    said: list[object] = []
    subscriptions = Subscriptions(60, said.append)
    channel = FakeChannel("c", sockets=[1, 2])
    subscriptions.changed(WEBSOCKET, channel)
    channel.sockets.clear()
    subscriptions.changed(WEBSOCKET, channel)
    assert said == [Subscription(None, WEBSOCKET, "c", 60, 2), SubscriptionGone(None, WEBSOCKET, "c")]


def test_a_number_that_is_back_is_not_told() -> None:
    desk = Desk()
    desk.set(STREAM, 1)
    desk.set(STREAM, 2)
    desk.set(STREAM, 1)
    assert desk.wait() == []


def test_a_change_of_a_channel_that_is_gone_is_not_told() -> None:
    desk = Desk()
    desk.set(STREAM, 1)
    desk.set(STREAM, 2)
    assert desk.set(STREAM, 0) == ["stream c gone"]
    assert desk.wait() == []


def test_nobody_there_and_nobody_known() -> None:
    assert Desk().set(STREAM, 0) == []


def test_modes_are_apart() -> None:
    desk = Desk()
    assert desk.set(STREAM, 1) + desk.set(RESPONSE, 1) + desk.set(WEBSOCKET, 1) == [
        "stream c 1",
        "response c 1",
        "ws c 1",
    ]


class TestLongPolls:
    def test_they_linger(self) -> None:
        desk = Desk()
        desk.set(RESPONSE, 1)
        desk.channel.lingers = True
        assert desk.set(RESPONSE, 0) == []
        assert desk.set(RESPONSE, 1) == []
        assert desk.set(RESPONSE, 0) == []
        assert desk.wait(6) == ["response c 1"]  # it is expected back
        desk.channel.lingers = False
        assert desk.set(RESPONSE, 0) == ["response c gone"]

    def test_others_do_not(self) -> None:
        desk = Desk()
        desk.set(STREAM, 1)
        desk.channel.lingers = True
        assert desk.set(STREAM, 0) == ["stream c gone"]


class TestAgain:
    def test_within_three_quarters_of_the_lifetime(self) -> None:
        desk = Desk(ttl_s=8)
        desk.wait(3)
        desk.set(STREAM, 1)
        assert [bool(desk.wait()) for _ in range(10)] == [False, False, False, False, True] * 2

    def test_from_the_last_time(self) -> None:
        desk = Desk(ttl_s=8)
        desk.set(STREAM, 1)
        desk.wait(3)
        desk.set(STREAM, 2)
        assert desk.wait(4) == ["stream c 2"]
        assert desk.wait(4) == ["stream c 2"]

    def test_a_short_lifetime(self) -> None:
        desk = Desk(ttl_s=1)
        desk.set(STREAM, 1)
        assert desk.wait(2) == ["stream c 1", "stream c 1"]

    def test_not_what_is_gone(self) -> None:
        desk = Desk(ttl_s=8)
        desk.set(STREAM, 1)
        desk.subscriptions.move_hand(5)
        desk.set(STREAM, 0)
        desk.subscriptions.tell_due()
        assert desk.said() == []


class TestWhoWantsToKnow:
    def test_is_told_what_there_is_bit_by_bit(self) -> None:
        desk = Desk()
        channels = [FakeChannel(str(number), streams=[1], sockets=[1]) for number in range(LOOKED_AT_PER_BEAT)]
        desk.subscriptions.start([*channels, FakeChannel("last", responses=[1, 2])])
        desk.subscriptions.tell_due()
        assert len(desk.said()) == 2 * LOOKED_AT_PER_BEAT
        desk.subscriptions.tell_due()
        assert desk.said() == ["response last 2"]

    def test_and_then_no_more(self) -> None:
        desk = Desk()
        desk.set(STREAM, 1)
        desk.set(STREAM, 2)
        desk.subscriptions.start([desk.channel])
        desk.subscriptions.stop()
        assert len(desk.subscriptions) == 0
        assert desk.wait(20) == []
