"""The ZeroMQ doors for publishers: PULL, and SUB with a topic per channel (grip spec §15.3, §15.4).

Nobody is answered there: what is wrong with a message is logged and counted. While too many writes are outstanding,
messages are left in their sockets, where ZeroMQ holds them and in the end their publishers.
"""

from __future__ import annotations

import logging

from holdfast.counters import Counters
from holdfast.errors import GripError
from holdfast.grip.item_frame import parse_item_frame
from holdfast.logs import LIMITED
from holdfast.net.zmq_doors import subscribe, unsubscribe
from holdfast.net.zmq_socket import ZmqSocket
from holdfast.push.channels import Channel
from holdfast.push.fanout import Fanout
from holdfast.push.publisher import Publisher

log = logging.getLogger("holdfast.control.zmq")


class PublishFrames:
    """Publishes what comes out of a socket.

    Args:
        name: of the door, in the log.
        has_topics: whether a message has its topic before the item.

    Attributes:
        socket: set when it exists.
    """

    def __init__(self, name: str, publisher: Publisher, counters: Counters, *, has_topics: bool) -> None:
        self.socket: ZmqSocket
        self._name = name
        self._publisher = publisher
        self._counters = counters
        self._parts = 2 if has_topics else 1

    def receive(self, parts: list[bytes]) -> None:
        """Publish the item of one message."""
        if len(parts) != self._parts:
            self._refuse(f"parts != {self._parts}")
            return
        try:
            item = parse_item_frame(parts[-1], parts[0] if self._parts == 2 else b"")
        except GripError as error:
            self._refuse(str(error))
            return
        self._publisher.publish([item])
        wait_while_congested(self.socket, self._publisher.fanout)

    def _refuse(self, why: str) -> None:
        self._counters.publishes_refused += 1
        log.warning("IN %s: received message with %s, skipping", self._name, why, extra=LIMITED)


class Topics:
    """Keeps a SUB socket subscribed to exactly the channels that exist, so that upstream sends no more than that."""

    def __init__(self, socket: ZmqSocket) -> None:
        self._socket = socket

    def opened(self, channel: Channel) -> None:
        """A channel has its first subscriber."""
        if not self._socket.is_closed:
            subscribe(self._socket, channel.name.encode())

    def closed(self, name: str) -> None:
        """A channel has lost its last one, and does not linger."""
        if not self._socket.is_closed:
            unsubscribe(self._socket, name.encode())


def wait_while_congested(socket: ZmqSocket, fanout: Fanout) -> None:
    """Take nothing more from publishers until most of what they have published is written."""
    if fanout.is_congested:
        socket.pause()
        fanout.when_clear(socket.resume)
