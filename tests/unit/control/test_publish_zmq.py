"""The ZeroMQ doors of publishers (grip spec §15.3, §15.4), with a fake socket and a real publisher behind it."""

from __future__ import annotations

import logging
from typing import Any

import pytest
import tnetstring
import zmq
from tests.unit.control.zmq_fakes import FakeZmqSocket
from tests.unit.push.helpers import World

from holdfast.control.publish_zmq import PublishFrames, Topics
from holdfast.push import fanout
from holdfast.push.channels import Channel

ITEM = b'J{"channel":"c","formats":{"http-stream":{"content":"x"}}}'


class Door:
    def __init__(self, *, has_topics: bool) -> None:
        self.world = World()
        self.socket = FakeZmqSocket()
        name = "sub" if has_topics else "pull"
        self.frames = PublishFrames(name, self.world.publisher, self.world.counters, has_topics=has_topics)
        self.frames.socket = self.socket  # type: ignore[assignment]


def test_an_item_is_published() -> None:
    door = Door(has_topics=False)
    client = door.world.stream("c")
    door.frames.receive([ITEM])
    door.world.run()
    assert client.content == "x"
    assert door.socket.calls == []
    assert door.world.counters.items_received == 1


def test_the_topic_is_the_channel() -> None:
    """grip-107."""
    door = Door(has_topics=True)
    client = door.world.stream("topic")
    item: dict[bytes, Any] = {b"channel": b"c", b"formats": {b"http-stream": {b"content": b"y"}}}
    door.frames.receive([b"topic", b"T" + tnetstring.dumps(item)])
    door.world.run()
    assert client.content == "y"


@pytest.mark.parametrize(
    ("has_topics", "parts", "text"),
    [
        (False, [ITEM, ITEM], "IN pull: received message with parts != 1, skipping"),
        (True, [ITEM], "IN sub: received message with parts != 2, skipping"),
        (False, [b""], "IN pull: received message with invalid format (tnetstring parse failed), skipping"),
        (True, [b"", b"J{}"], "IN sub: received message with invalid format: "),
    ],
)
def test_what_is_no_item_is_skipped(
    has_topics: bool, parts: list[bytes], text: str, caplog: pytest.LogCaptureFixture
) -> None:
    """grip-106."""
    door = Door(has_topics=has_topics)
    door.frames.receive(parts)
    assert [(record.levelno, record.getMessage()[: len(text)]) for record in caplog.records] == [
        (logging.WARNING, text)
    ]
    assert (door.world.counters.publishes_refused, door.world.counters.items_received) == (1, 0)


def test_publishers_wait_while_there_is_too_much_to_write(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages stay in their socket, where ZeroMQ makes their publisher wait."""
    monkeypatch.setattr(fanout, "BACKLOG_WRITES", 2)
    door = Door(has_topics=False)
    for _ in range(3):
        door.world.stream("c")
    door.frames.receive([ITEM])
    assert door.socket.calls == ["pause"]
    door.world.run()
    assert door.socket.calls == ["pause", "resume"]


def test_topics() -> None:
    """grip-107: subscribed while the channel exists; after the socket is closed there is nothing to do."""
    socket = FakeZmqSocket()
    topics = Topics(socket)  # type: ignore[arg-type]
    topics.opened(Channel("ü"))
    topics.closed("ü")
    assert socket.options == [(zmq.SUBSCRIBE, "ü".encode()), (zmq.UNSUBSCRIBE, "ü".encode())]
    socket.is_closed = True
    topics.opened(Channel("d"))
    topics.closed("d")
    assert len(socket.options) == 2
