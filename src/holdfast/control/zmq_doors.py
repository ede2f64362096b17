"""The doors over ZeroMQ, as they are configured: for publishers, and for commands."""

from __future__ import annotations

import logging
from dataclasses import dataclass

from holdfast.control.commands import CommandDoor, CommandTargets
from holdfast.control.publish_zmq import PublishFrames, Topics
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_doors import Door, connect_sub, open_door
from holdfast.net.zmq_socket import ZmqContext, ZmqSocket
from holdfast.push.channels import Channel
from holdfast.wire.tnetstring import Map

log = logging.getLogger("holdfast.control.zmq")


@dataclass(frozen=True, slots=True)
class DoorSpecs:
    """Where the doors are; empty for those that there are not.

    Attributes:
        subs: the first one is bound, or all of them are connected to.
        ipc_file_mode: of the files of ipc addresses; None for what the system makes of them.
    """

    pull: str
    subs: tuple[str, ...]
    connects_subs: bool
    command: str
    ipc_file_mode: int | None

    def uris(self) -> Map:
        """What `get-zmq-uris` answers; a socket that connects has no address (grip spec §15.5)."""
        bound = "" if self.connects_subs or not self.subs else self.subs[0]
        named = {b"command": self.command, b"publish-pull": self.pull, b"publish-sub": bound}
        return {name: spec.encode() for name, spec in named.items() if spec}


class ZmqDoors:
    """All of them. Tell it of the channels that open and close."""

    def __init__(self, specs: DoorSpecs, runtime: Runtime, context: ZmqContext, targets: CommandTargets) -> None:
        self._specs = specs
        self._runtime = runtime
        self._context = context
        self._targets = targets
        self._topics: Topics | None = None
        self._sockets: list[ZmqSocket] = []

    def open(self) -> None:
        """Bind and connect. Raises ConfigError."""
        specs = self._specs
        if specs.pull:
            pull = self._frames("pull", has_topics=False)
            pull.socket = open_door(
                Door.PULL, self._runtime, self._context, pull.receive, specs.pull, specs.ipc_file_mode
            )
            self._opened(pull.socket, "publishers (PULL)", specs.pull)
        if specs.subs:
            self._open_sub(self._frames("sub", has_topics=True))
        if specs.command:
            door = CommandDoor(self._targets)
            door.socket = open_door(
                Door.COMMANDS, self._runtime, self._context, door.receive, specs.command, specs.ipc_file_mode
            )
            self._opened(door.socket, "commands", specs.command)

    def close(self) -> None:
        """Close them; what waits in them is dropped."""
        for socket in self._sockets:
            socket.close()

    def channel_opened(self, channel: Channel) -> None:
        """A channel has its first subscriber."""
        if self._topics is not None:
            self._topics.opened(channel)

    def channel_closed(self, name: str) -> None:
        """A channel has lost its last one, and does not linger."""
        if self._topics is not None:
            self._topics.closed(name)

    def _open_sub(self, frames: PublishFrames) -> None:
        specs = self._specs
        if specs.connects_subs:
            frames.socket = connect_sub(self._runtime, self._context, frames.receive, specs.subs)
            self._sockets.append(frames.socket)
            log.info("receiving what is published at %s", ", ".join(specs.subs))
        else:
            spec = specs.subs[0]
            frames.socket = open_door(Door.SUB, self._runtime, self._context, frames.receive, spec, specs.ipc_file_mode)
            self._opened(frames.socket, "publishers (SUB)", spec)
        self._topics = Topics(frames.socket)

    def _frames(self, name: str, *, has_topics: bool) -> PublishFrames:
        return PublishFrames(name, self._targets.publisher, self._runtime.counters, has_topics=has_topics)

    def _opened(self, socket: ZmqSocket, who: str, spec: str) -> None:
        self._sockets.append(socket)
        log.info("listening for %s on %s", who, spec)
