"""A proxy's side of ZeroMQ backends on real sockets, with backends that the test plays, and a clock that can jump."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import zmq
from tests.harness import tnet
from tests.unit.net.helpers import eventually
from tests.unit.proxy.helpers import make_context
from tests.unit.routing.helpers import make_rule

from holdfast.counters import Counters
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext
from holdfast.proxy.zhttp_backends import ZhttpBackends
from holdfast.routing.rules import Rule, Target
from holdfast.routing.table import RouteTable
from holdfast.wire.zhttp.requests import RequestHead

Packet = dict[str, Any]

HEAD = RequestHead(b"GET", b"http://h.com/", [(b"Host", b"h.com")])
ME = b"me_1"


class ZhttpStage:
    """The backends of the rules of a proxy."""

    def __init__(self, directory: Path) -> None:
        self._skipped_s = 0.0
        self.counters = Counters()
        self.runtime = Runtime(asyncio.get_running_loop(), self.counters)
        self.runtime.now = lambda: self.runtime.loop.time() + self._skipped_s
        self.directory = directory
        self.context = ZmqContext()
        self.zhttp = ZhttpBackends(self.runtime, self.context, ME)
        self.proxy = make_context(self.runtime)
        self.proxy.zhttp = self.zhttp
        self._peers: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._sockets: list[zmq.Socket[bytes]] = []
        self._tasks: list[asyncio.Task[Any]] = []

    def apply(self, *lines: str) -> tuple[Rule, ...]:
        """Put routes in force; `{}` in a line is the directory of ipc addresses."""
        rules = tuple(make_rule(line.format(self.directory)) for line in lines)
        self.proxy.routes = RouteTable(rules)
        self.zhttp.apply(rules)
        return rules

    def target(self, line: str = "h.com zhttp/ipc://{}/z") -> Target:
        """The one target of the only route."""
        ((target,),) = (rule.targets for rule in self.apply(line))
        return target

    def peer(self, kind: int, spec: str, identity: bytes = b"") -> zmq.Socket[bytes]:
        made = self._peers.socket(kind)
        made.setsockopt(zmq.LINGER, 0)
        if identity:
            made.setsockopt(zmq.ROUTING_ID, identity)
        made.connect(spec.format(self.directory))
        self._sockets.append(made)
        return made

    def start(self, coroutine: Any) -> asyncio.Task[Any]:
        """Let something go on that is awaited later."""
        task = self.runtime.loop.create_task(coroutine)
        self._tasks.append(task)
        return task

    def skip(self, seconds: float) -> None:
        """Let time pass, and everything be due that is."""
        self._skipped_s += seconds
        while self.runtime.wheel.advance(self.runtime.now()):
            pass

    async def expect_idle(self) -> None:
        """No exchange is open, and nothing waits for its time."""
        await eventually(lambda: self.zhttp.exchange_count == 0, "all exchanges are over")

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self.runtime.cancel_tasks()
        for socket in self._sockets:
            socket.close()
        self._peers.term()
        self.zhttp.close()
        self.context.close()
        self.runtime.close()


@asynccontextmanager
async def zhttp_stage(directory: Path) -> AsyncIterator[ZhttpStage]:
    stage = ZhttpStage(directory)
    try:
        yield stage
    finally:
        await stage.close()


async def receive(socket: zmq.Socket[bytes]) -> list[bytes]:
    """The parts of the next message."""
    await eventually(lambda: socket.poll(0), "a message")
    return socket.recv_multipart()


def encode(packet: Packet) -> bytes:
    return b"T" + tnet.encode(packet)


def decode(frame: bytes) -> Packet:
    assert frame[:1] == b"T"
    packet: Packet = tnet.decode(frame[1:])
    return packet


class StreamPeer:
    """A backend of a `zhttp/` target."""

    def __init__(self, stage: ZhttpStage, name: bytes = b"be", base: str = "ipc://{}/z") -> None:
        self.name = name
        self._pull = stage.peer(zmq.PULL, f"{base}-out")
        self._router = stage.peer(zmq.DEALER, f"{base}-out-stream", name)
        self._pub = stage.peer(zmq.XPUB, f"{base}-in")

    async def connected(self) -> StreamPeer:
        """Wait until the proxy would hear us."""
        assert await receive(self._pub) == [b"\x01" + ME + b" "]
        return self

    async def take(self) -> Packet:
        """The first packet of the next exchange."""
        (frame,) = await receive(self._pull)
        return decode(frame)

    async def next(self) -> Packet:
        """The next packet of those that follow."""
        empty, frame = await receive(self._router)
        assert empty == b""
        return decode(frame)

    @property
    def has_news(self) -> bool:
        """Whether such a packet is here."""
        return bool(self._router.poll(0))

    def publish(self, data: bytes) -> None:
        self._pub.send(data)

    def route(self, *parts: bytes) -> None:
        """Send a message to the proxy's ROUTER."""
        self._router.send_multipart(parts)

    def send(self, first: Packet, seq: int | None, /, **fields: object) -> None:
        """Send a packet of the exchange that `first` began."""
        packet: Packet = {"from": self.name, "id": first["id"]}
        if seq is not None:
            packet["seq"] = seq
        packet |= {name.replace("_", "-"): value for name, value in fields.items()}
        self.publish(ME + b" " + encode({name: value for name, value in packet.items() if value is not None}))


def content_of(packet: Packet) -> Packet:
    """A packet without what all packets have."""
    return {name: value for name, value in packet.items() if name not in ("from", "id", "seq")}


def seqs_of(packets: Sequence[Packet]) -> list[int]:
    return [packet["seq"] for packet in packets]
