"""ZeroMQ sockets in the loop, with peers that are plain sockets of the library."""

from __future__ import annotations

import asyncio
import itertools
import os
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import zmq
from tests.harness.ports import free_port
from tests.unit.net.helpers import eventually, settle

from holdfast.counters import Counters
from holdfast.errors import ConfigError
from holdfast.net import zmq_socket
from holdfast.net.runtime import Runtime
from holdfast.net.zmq_socket import ZmqContext, ZmqSocket


class ZmqStage:
    """A runtime with sockets, and their peers; all are closed at the end."""

    def __init__(self, directory: Path) -> None:
        self.runtime = Runtime(asyncio.get_running_loop(), Counters())
        self.context = ZmqContext()
        self.received: list[list[bytes]] = []
        self.sockets: list[ZmqSocket] = []
        self.directory = directory
        self._peers: zmq.Context[zmq.Socket[bytes]] = zmq.Context()
        self._peer_sockets: list[zmq.Socket[bytes]] = []

    def socket(self, kind: int, hwm: int = 100, *, is_receiving: bool = True) -> ZmqSocket:
        on_message = self.received.append if is_receiving else None
        made = ZmqSocket(self.runtime, self.context, kind, hwm=hwm, on_message=on_message)
        self.sockets.append(made)
        return made

    def bound(self, kind: int, hwm: int = 100) -> tuple[ZmqSocket, str]:
        made, spec = self.socket(kind, hwm), f"ipc://{self.directory}/{len(self.sockets)}"
        made.bind(spec)
        return made, spec

    def peer(self, kind: int, spec: str, hwm: int = 0, identity: bytes = b"") -> zmq.Socket[bytes]:
        made = self._peers.socket(kind)
        if identity:
            made.setsockopt(zmq.ROUTING_ID, identity)
        made.setsockopt(zmq.IPV6, 1)
        made.setsockopt(zmq.LINGER, 0)
        made.setsockopt(zmq.RCVHWM, hwm)
        made.setsockopt(zmq.SNDHWM, hwm)
        made.connect(spec)
        self._peer_sockets.append(made)
        return made

    async def expect(self, count: int) -> None:
        await eventually(lambda: len(self.received) >= count, f"{count} messages")
        assert len(self.received) == count

    def close(self) -> None:
        for peer in self._peer_sockets:
            peer.close()
        self._peers.destroy()
        for made in self.sockets:
            made.close()
        self.context.close()
        self.runtime.close()


@asynccontextmanager
async def zmq_stage(directory: Path) -> AsyncIterator[ZmqStage]:
    stage = ZmqStage(directory)
    try:
        yield stage
    finally:
        stage.close()


async def test_messages_both_ways(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        dealer, spec = stage.bound(zmq.DEALER)
        peer = stage.peer(zmq.DEALER, spec)
        peer.send_multipart([b"", b"one"])
        await stage.expect(1)
        assert stage.received == [[b"", b"one"]]
        assert dealer.send([b"two", b""])
        await eventually(lambda: peer.poll(0), "the answer")
        assert peer.recv_multipart() == [b"two", b""]


async def test_what_came_while_something_was_sent(tmp_path: Path) -> None:
    """The descriptor says nothing of it."""
    async with zmq_stage(tmp_path) as stage:
        dealer, spec = stage.bound(zmq.DEALER)
        peer = stage.peer(zmq.DEALER, spec)
        peer.send(b"hello")
        await stage.expect(1)
        for number in range(50):
            peer.send(b"x")
            assert dealer.send([b"y"])
            await stage.expect(number + 2)


async def test_other_work_has_its_turn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_socket, "MESSAGES_PER_TURN", 10)
    async with zmq_stage(tmp_path) as stage:
        _, spec = stage.bound(zmq.PULL, hwm=1000)
        peer = stage.peer(zmq.PUSH, spec)
        for _ in range(500):
            peer.send(b"x")
        turns: list[int] = []
        while len(stage.received) < 500:
            turns.append(len(stage.received))
            await asyncio.sleep(0)
        assert max(b - a for a, b in itertools.pairwise(turns)) <= 20  # two turns may lie between two looks


async def test_large_messages_take_turns_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zmq_socket, "BYTES_PER_TURN", 1000)
    async with zmq_stage(tmp_path) as stage:
        _, spec = stage.bound(zmq.PULL, hwm=1000)
        peer = stage.peer(zmq.PUSH, spec)
        for _ in range(50):
            peer.send(b"x" * 1001)
        turns: list[int] = []
        while len(stage.received) < 50:
            turns.append(len(stage.received))
            await asyncio.sleep(0)
        assert max(b - a for a, b in itertools.pairwise(turns)) <= 2


async def test_too_many_parts(tmp_path: Path) -> None:
    """Not all of them are kept."""
    async with zmq_stage(tmp_path) as stage:
        _, spec = stage.bound(zmq.PULL)
        stage.peer(zmq.PUSH, spec).send_multipart([b"%d" % number for number in range(100)])
        await stage.expect(1)
        assert stage.received == [[b"%d" % number for number in range(zmq_socket.MAX_PARTS)]]


async def test_a_message_that_fails_does_not_stop_the_others(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        received: list[list[bytes]] = []

        def receive(parts: list[bytes]) -> None:
            received.append(parts)
            raise ValueError

        pull = ZmqSocket(stage.runtime, stage.context, zmq.PULL, hwm=10, on_message=receive)
        stage.sockets.append(pull)
        pull.bind(f"ipc://{tmp_path}/failing")
        peer = stage.peer(zmq.PUSH, f"ipc://{tmp_path}/failing")
        peer.send(b"1")
        peer.send(b"2")
        await eventually(lambda: len(received) == 2, "both messages")


async def test_nobody_there(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        dealer, _ = stage.bound(zmq.DEALER)
        assert not dealer.send([b"x"])


async def test_an_unknown_peer(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        router = stage.socket(zmq.ROUTER)
        router.set_option(zmq.ROUTER_MANDATORY, 1)
        router.bind(f"ipc://{tmp_path}/router")
        assert not router.send([b"nobody", b"x"])


async def test_the_high_water_mark_and_what_follows(tmp_path: Path) -> None:
    """A peer that does not read: more is refused, and when it reads we are told."""
    async with zmq_stage(tmp_path) as stage:
        dealer, spec = stage.bound(zmq.DEALER, hwm=5)
        peer = stage.peer(zmq.DEALER, spec, hwm=1)
        peer.send(b"here")
        await stage.expect(1)
        told: list[None] = []
        sent = 0
        while dealer.send([b"x" * 100_000]):
            sent += 1
            await settle()
        dealer.on_writable = lambda: told.append(None)
        await settle()
        assert not told
        for _ in range(sent):
            await eventually(lambda: peer.poll(0), "another message")
            peer.recv()
        await eventually(lambda: told, "word that there is room")
        dealer.on_writable = None
        assert dealer.send([b"x"])


async def test_told_of_a_new_peer(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        dealer, spec = stage.bound(zmq.DEALER)
        assert not dealer.send([b"x"])
        told: list[None] = []
        dealer.on_writable = lambda: told.append(None)
        stage.peer(zmq.DEALER, spec)
        await eventually(lambda: told, "word of the peer")


async def test_closing(tmp_path: Path) -> None:
    """In the middle of what is received; the file of the address goes with it."""
    async with zmq_stage(tmp_path) as stage:
        received: list[list[bytes]] = []

        def receive(parts: list[bytes]) -> None:
            received.append(parts)
            pull.close()

        pull = ZmqSocket(stage.runtime, stage.context, zmq.PULL, hwm=10, on_message=receive)
        pull.bind(f"ipc://{tmp_path}/closing")
        peer = stage.peer(zmq.PUSH, f"ipc://{tmp_path}/closing")
        peer.send(b"1")
        peer.send(b"2")
        await eventually(lambda: pull.is_closed, "the end")
        pull.close()
        await settle()
        assert received == [[b"1"]]
        assert os.listdir(tmp_path) == []


async def test_a_file_that_somebody_else_has_replaced(tmp_path: Path) -> None:
    """An address taken over by another process stays its own."""
    async with zmq_stage(tmp_path) as stage:
        first, spec = stage.bound(zmq.PULL)
        second = stage.socket(zmq.PULL)
        second.bind(spec)
        first.close()
        stage.peer(zmq.PUSH, spec).send(b"x")
        await stage.expect(1)


async def test_file_mode(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        stage.socket(zmq.PULL).bind(f"ipc://{tmp_path}/x", 0o604)
        assert stat.S_IMODE((tmp_path / "x").stat().st_mode) == 0o604


async def test_ipv6(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        spec = f"tcp://[::1]:{free_port('::1')}"
        stage.socket(zmq.PULL).bind(spec)
        stage.peer(zmq.PUSH, spec).send(b"x")
        await stage.expect(1)


async def test_addresses_that_cannot_be(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        first = stage.socket(zmq.PULL)
        spec = f"tcp://127.0.0.1:{free_port()}"
        first.bind(spec)
        with pytest.raises(ConfigError, match=r"^cannot bind tcp.*: Address already in use$"):
            stage.socket(zmq.PULL).bind(spec)
        with pytest.raises(ConfigError, match=r"^cannot bind ipc:///dev/null/x: Not a directory$"):
            stage.socket(zmq.PULL).bind("ipc:///dev/null/x")
        with pytest.raises(ConfigError, match=r"^cannot connect to nonsense"):
            stage.socket(zmq.PULL).connect("nonsense")


async def test_connecting(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        _, spec = stage.bound(zmq.PULL)
        push = stage.socket(zmq.PUSH, is_receiving=False)
        push.connect(spec)
        assert push.send([b"x"])
        await stage.expect(1)


async def test_a_context_that_was_not_needed() -> None:
    ZmqContext().close()


async def test_the_directory_is_made(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        stage.socket(zmq.PULL).bind(f"ipc://{tmp_path}/run/holdfast/door")
        assert (tmp_path / "run" / "holdfast" / "door").exists()


async def test_a_name_that_is_no_file(tmp_path: Path) -> None:
    """What Linux calls an abstract socket."""
    async with zmq_stage(tmp_path) as stage:
        spec = f"ipc://@holdfast-{os.getpid()}"
        stage.socket(zmq.PULL).bind(spec, 0o600)
        stage.peer(zmq.PUSH, spec).send(b"x")
        await stage.expect(1)
