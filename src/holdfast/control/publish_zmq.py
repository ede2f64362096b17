"""The ZeroMQ doors for publishers: PULL, and SUB with a topic per channel (grip spec §15.3, §15.4).

Nobody is answered there: what is wrong with a message is logged and counted. While too many writes are outstanding,
messages are left in their sockets, where ZeroMQ holds them and in the end their publishers.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from holdfast.counters import Counters
from holdfast.errors import GripError
from holdfast.grip.item_frame import parse_item_frame
from holdfast.net.zmq_socket import ZmqSocket
from holdfast.push.publisher import Publisher

log = logging.getLogger("holdfast.control.zmq")


class PublishFrames:
    """Publishes what comes out of a socket.

    Args:
        name: of the door, in the log.
        topics: whether a message has its topic before the item.
        socket: set when it exists; it is paused while there is too much to do.
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
        if self._publisher.fanout.is_congested:
            self.socket.pause()
            self._publisher.fanout.when_clear(self.socket.resume)

    def _refuse(self, why: str) -> None:
        self._counters.publishes_refused += 1
        log.warning("IN %s: received message with %s, skipping", self._name, why)


class Topics:
    """Keeps a SUB socket subscribed to exactly the channels that exist, so that upstream sends no more than that.

    Args:
        subscribe, unsubscribe: what is to be done to the socket.
    """

    def __init__(self, subscribe: Callable[[bytes], None], unsubscribe: Callable[[bytes], None]) -> None:
        self._subscribe = subscribe
        self._unsubscribe = unsubscribe

    def opened(self, name: str) -> None:
        """A channel has its first subscriber."""
        self._subscribe(name.encode())

    def closed(self, name: str) -> None:
        """A channel has lost its last one, and does not linger."""
        self._unsubscribe(name.encode())
