"""The command door: what other programs order over ZeroMQ (grip spec §15.5)."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from holdfast.control.publish_zmq import wait_while_congested
from holdfast.errors import PacketError
from holdfast.grip.commands import (
    CheckConnections,
    Command,
    CommandError,
    Condition,
    GetZmqUris,
    Publish,
    Recover,
    RefreshChannel,
    RefreshConnection,
    parse_command,
)
from holdfast.logs import LIMITED
from holdfast.net.zmq_socket import ZmqSocket
from holdfast.push.channels import Registry
from holdfast.push.publisher import Publisher
from holdfast.wire.tnetstring import Map, Value
from holdfast.wire.zrpc import encode_failure, encode_success, parse_command_request

log = logging.getLogger("holdfast.control.zmq")


@dataclass(frozen=True, slots=True)
class CommandTargets:
    """What commands act on.

    Attributes:
        uris: of the ZeroMQ doors, by the names of the protocol.
        recover: lets every held client ask its backend for what it may have missed.
        has_connection: whether a connection id is alive.
        refresh: asks the backend of a WebSocket-over-HTTP session; False if there is none with this id.
    """

    publisher: Publisher
    registry: Registry
    uris: Map
    recover: Callable[[], None]
    has_connection: Callable[[str], bool]
    refresh: Callable[[str], bool]


class CommandDoor:
    """Executes commands and answers. Its clients are REQ or DEALER sockets."""

    def __init__(self, targets: CommandTargets) -> None:
        self.socket: ZmqSocket
        self._targets = targets

    def receive(self, parts: list[bytes]) -> None:
        """Execute the command of one message. One that is none gets no answer: nobody may be waiting for it."""
        if b"" not in parts or parts.index(b"") != len(parts) - 2:
            log.warning("IN command: received message with an unexpected number of parts, skipping", extra=LIMITED)
            return
        try:
            request = parse_command_request(parts[-1])
        except PacketError as exc:
            log.warning("IN command: received message with invalid format (%s), skipping", exc, extra=LIMITED)
            return
        try:
            answer = encode_success(request.id, self._execute(parse_command(request)))
        except CommandError as exc:
            value = None if exc.value is None else exc.value.encode()
            answer = encode_failure(request.id, exc.condition.value, value)
        self.socket.send([*parts[:-1], answer])

    def _execute(self, command: Command) -> Value:
        """Do what is ordered, and return what the answer says. Raises CommandError."""
        targets = self._targets
        match command:
            case GetZmqUris():
                return targets.uris
            case Publish(items):
                targets.publisher.publish(items)
                wait_while_congested(self.socket, targets.publisher.fanout)
            case Recover():
                targets.recover()
            case CheckConnections(ids):
                return [each.encode() for each in dict.fromkeys(ids) if targets.has_connection(each)]
            case RefreshConnection(session):
                if not targets.refresh(session):
                    raise CommandError(Condition.ITEM_NOT_FOUND)
            case RefreshChannel(name):
                channel = targets.registry.find(name)
                for hold in list(channel.sockets) if channel is not None else ():
                    hold.refresh()
        return None
