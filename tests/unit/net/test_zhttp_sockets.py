"""The sockets for ZeroMQ backends: what is no frame is noticed, and who connects late gets what was meant for him."""

from __future__ import annotations

from pathlib import Path

import pytest
import zmq
from tests.harness.ports import free_port
from tests.unit.net.helpers import eventually, settle
from tests.unit.net.test_zmq_socket import ZmqStage, zmq_stage

from holdfast.errors import ConfigError
from holdfast.net import zhttp_sockets
from holdfast.net.zhttp_sockets import LATE_S, RequestSocket, StreamSockets, bind_all


class Streams:
    """Stream sockets of a proxy called `me`, and what came by them."""

    def __init__(self, stage: ZmqStage) -> None:
        self.stage = stage
        self.published: list[bytes] = []
        self.routed: list[bytes] = []
        self.others = 0
        self.now_s = stage.runtime.now()
        stage.runtime.now = lambda: self.now_s
        self.specs = tuple(f"ipc://{stage.directory}/{name}" for name in ("out", "out-stream", "in"))
        self.sockets = StreamSockets(
            stage.runtime,
            stage.context,
            b"me",
            on_published=self.published.append,
            on_routed=self.routed.append,
            on_other=self._note_other,
        )
        bind_all(self.sockets, self.specs, None)

    def _note_other(self) -> None:
        self.others += 1

    def skip(self, seconds: float) -> None:
        self.now_s += seconds
        self.stage.runtime.wheel.advance(self.now_s)

    @property
    def unsent(self) -> int:
        return self.stage.runtime.counters.zhttp_packets_unsent


async def test_requests(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        answers: list[bytes] = []
        others: list[None] = []
        socket = RequestSocket(stage.runtime, stage.context, answers.append, lambda: others.append(None))
        bind_all(socket, (f"ipc://{tmp_path}/req",), None)
        assert not socket.send(b"nobody")
        told: list[None] = []
        socket.when_writable(lambda: told.append(None))
        peer = stage.peer(zmq.ROUTER, f"ipc://{tmp_path}/req")
        await eventually(lambda: told, "a backend")
        socket.when_writable(None)
        assert socket.send(b"T1")
        await eventually(lambda: peer.poll(0), "the request")
        sender, empty, frame = peer.recv_multipart()
        assert (empty, frame) == (b"", b"T1")
        for parts in ([b"T"], [b"x", b"T"], [b"", b"T", b"T"], [b"", b"T2"]):
            peer.send_multipart([sender, *parts])
        await eventually(lambda: answers, "the answer")
        assert (answers, len(others)) == ([b"T2"], 3)
        socket.close()


async def test_streams(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        streams = Streams(stage)
        assert not streams.sockets.send_first(b"nobody")
        pull, pub = stage.peer(zmq.PULL, streams.specs[0]), stage.peer(zmq.XPUB, streams.specs[2])
        await eventually(lambda: streams.sockets.send_first(b"T1"), "a backend")
        await eventually(lambda: pull.poll(0), "the packet")
        assert pull.recv_multipart() == [b"T1"]
        await eventually(lambda: pub.poll(0), "the subscription")
        assert pub.recv() == b"\x01me "
        for parts in ([b"me T2", b""], [b"you T"], [b"me T3"]):
            pub.send_multipart(parts)
        await eventually(lambda: streams.published, "what was published")
        assert (streams.published, streams.others) == ([b"me T3"], 1)
        streams.sockets.close()


@pytest.mark.parametrize("kind", [zmq.ROUTER, zmq.DEALER])
async def test_the_way_of_what_follows(tmp_path: Path, kind: int) -> None:
    async with zmq_stage(tmp_path) as stage:
        streams = Streams(stage)
        streams.sockets.send_to(b"be", b"T1")
        streams.skip(0.1)
        peer = stage.peer(kind, streams.specs[1], identity=b"be")
        envelope = [b"me"] if kind == zmq.ROUTER else []
        if kind == zmq.DEALER:  # a ROUTER has to wait until it knows the way
            peer.send_multipart([b"", b"T0"])
            await eventually(lambda: streams.routed, "a backend that has connected")
            streams.routed.clear()
        for number in range(20):  # none of them overtakes the first one
            streams.sockets.send_to(b"be", b"T%d" % (number + 2))
        received: list[bytes] = []
        while len(received) < 21:
            await settle()
            streams.skip(0.1)
            while peer.poll(0):
                received.append(peer.recv_multipart()[-1])
        assert received == [b"T%d" % (number + 1) for number in range(21)]
        streams.sockets.send_to(b"be", b"T")
        await eventually(lambda: peer.poll(0), "a packet without delay")
        for parts in ([b"", b"T1"], [b"x", b"T"], [b"T"]):
            peer.send_multipart([*envelope, *parts])
        await eventually(lambda: streams.others == 2, "what was sent")
        assert (streams.routed, streams.unsent) == ([b"T1"], 0)
        streams.sockets.close()


async def test_a_backend_that_does_not_come(tmp_path: Path) -> None:
    async with zmq_stage(tmp_path) as stage:
        streams = Streams(stage)
        assert streams.sockets.send_to(b"be", b"T1")
        assert streams.sockets.send_to(b"be", b"T2")
        streams.skip(LATE_S - 1)
        assert streams.unsent == 0
        streams.skip(2)
        assert (streams.unsent, len(stage.runtime.wheel)) == (2, 0)
        streams.sockets.close()


async def test_no_room_for_more(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zhttp_sockets, "MAX_LATE_BYTES", 10)
    monkeypatch.setattr(zhttp_sockets, "MAX_LATE_FRAMES", 2)
    async with zmq_stage(tmp_path) as stage:
        streams = Streams(stage)
        assert streams.sockets.send_to(b"a", b"12345")
        assert streams.sockets.send_to(b"a", b"1")
        assert not streams.sockets.send_to(b"a", b"1")
        assert not streams.sockets.send_to(b"b", b"12345")
        assert streams.sockets.send_to(b"b", b"1234")
        assert streams.unsent == 2
        streams.sockets.close()
        assert len(stage.runtime.wheel) == 0


async def test_what_cannot_be_bound_is_closed(tmp_path: Path) -> None:
    """All of it: the addresses are free again."""
    async with zmq_stage(tmp_path) as stage:
        specs = tuple(f"tcp://127.0.0.1:{free_port()}" for _ in range(3))
        taken = stage.socket(zmq.PULL)
        taken.bind(specs[2])

        def bind() -> None:
            sockets = StreamSockets(
                stage.runtime,
                stage.context,
                b"me",
                on_published=list[bytes]().append,
                on_routed=list[bytes]().append,
                on_other=list[bytes]().clear,
            )
            bind_all(sockets, specs, None)
            sockets.close()

        with pytest.raises(ConfigError, match="Address already in use"):
            bind()
        taken.close()
        await settle()

        def can_bind() -> bool:
            try:
                bind()
            except ConfigError:
                return False
            return True

        await eventually(can_bind, "free addresses")
