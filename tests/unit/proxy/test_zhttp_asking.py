"""Asking ZeroMQ backends: what becomes of a request body that comes in pieces, and that all of it is counted."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import zmq
from tests.unit.proxy.zhttp_stage import StreamPeer, ZhttpStage, decode, receive, zhttp_stage

from holdfast.errors import ConnectError
from holdfast.net.exchange import ClientGone
from holdfast.proxy import zhttp_asking
from holdfast.proxy.answers import ErrorAnswer
from holdfast.proxy.attempts import Attempts
from holdfast.routing.authority import Authority
from holdfast.routing.forward import OriginRequest
from holdfast.wire.zhttp.packets import WINDOW_BYTES

REQUEST = OriginRequest(b"POST", b"/", Authority("h.com", None), [])
IN_ONE, IN_MANY = "h.com zhttpreq/ipc://{}/r", "h.com zhttp/ipc://{}/z"


class Pieces:
    """A request body after its beginning; a client that leaves does so after the last piece."""

    def __init__(self, *pieces: bytes, leaves: bool = False) -> None:
        self.content_length: int | None = None
        self.is_body_complete = not pieces and not leaves
        self._leaves = leaves
        self._pieces: Iterator[bytes] = iter(pieces)

    async def read_chunk(self) -> bytes:
        piece = next(self._pieces, b"")
        if not piece and self._leaves:
            raise ClientGone
        return piece


def attempts_of(stage: ZhttpStage, first: bytes, rest: Pieces) -> Attempts:
    return Attempts(stage.proxy, rest, REQUEST, first)


# what is there at first, what follows
BODIES = [(b"", []), (b"ab", []), (b"ab", [b"c", b"de"]), (b"", [b"x"]), (b"a" * WINDOW_BYTES + b"b", [b"c"])]
IDS = ["none", "whole", "in pieces", "late", "more than a window"]


@pytest.mark.parametrize(("first", "rest"), BODIES, ids=IDS)
async def test_a_body_in_one_packet(tmp_path: Path, first: bytes, rest: list[bytes]) -> None:
    async with zhttp_stage(tmp_path) as stage:
        (rule,) = stage.apply(IN_ONE)
        backend = stage.peer(zmq.ROUTER, "ipc://{}/r")
        attempts = attempts_of(stage, first, Pieces(*rest))
        stage.start(attempts.run(rule))
        *_, frame = await receive(backend)
        content = first + b"".join(rest)
        assert decode(frame).get("body", b"") == content
        assert (attempts.body_bytes_sent, attempts.is_body_sent) == (len(content), True)


@pytest.mark.parametrize(("first", "rest"), BODIES, ids=IDS)
async def test_a_body_in_many_packets(tmp_path: Path, first: bytes, rest: list[bytes]) -> None:
    async with zhttp_stage(tmp_path) as stage:
        (rule,) = stage.apply(IN_MANY)
        peer = await StreamPeer(stage).connected()
        attempts = attempts_of(stage, first, Pieces(*rest))
        stage.start(attempts.run(rule))
        packet = begun = await peer.take()
        received = packet.get("body", b"")
        if packet.get("more"):
            peer.send(begun, 0, type="credit", credits=WINDOW_BYTES)
        while packet.get("more"):
            packet = await peer.next()
            received += packet.get("body", b"")
        content = first + b"".join(rest)
        assert received == content
        assert (attempts.body_bytes_sent, attempts.is_body_sent) == (len(content), True)


async def test_a_body_that_is_too_long_for_a_packet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One byte more than is allowed; no packet is sent."""
    monkeypatch.setattr(zhttp_asking, "MAX_BODY_BYTES", 4)
    async with zhttp_stage(tmp_path) as stage:
        (rule,) = stage.apply(IN_ONE)
        attempts = attempts_of(stage, b"ab", Pieces(b"c", b"de", b"f"))
        with pytest.raises(ErrorAnswer) as caught:
            await attempts.run(rule)
        assert (caught.value.code, caught.value.debug_text) == (502, "request body exceeds 4 bytes")
        assert (attempts.body_bytes_sent, stage.counters.backend_requests) == (0, 0)


async def test_a_client_that_leaves_within_its_body(tmp_path: Path) -> None:
    """The backend is not told that the body is complete."""
    async with zhttp_stage(tmp_path) as stage:
        (rule,) = stage.apply(IN_MANY)
        peer = await StreamPeer(stage).connected()
        attempts = attempts_of(stage, b"a", Pieces(b"b", leaves=True))
        stage.start(attempts.run(rule))
        begun = await peer.take()
        peer.send(begun, 0, type="credit", credits=WINDOW_BYTES)
        packet = await peer.next()
        assert (packet["body"], packet["more"], attempts.is_body_sent) == (b"b", True, False)
        attempts.stop()


async def test_no_backend_is_no_reason_for_the_next_target(tmp_path: Path) -> None:
    """It counts as asked (ws spec §7.7)."""
    async with zhttp_stage(tmp_path) as stage:
        (rule,) = stage.apply(IN_MANY + " test")
        with pytest.raises(ErrorAnswer) as caught:
            await attempts_of(stage, b"", Pieces()).run(rule)
        assert not isinstance(caught.value.__cause__, ConnectError)
        assert stage.counters.backend_failovers == 0
