"""Exchanges of many packets: numbers, addresses, credits, keep-alives, and who is gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy import zhttp_stage
from tests.unit.proxy.zhttp_stage import HEAD, ME, Packet, StreamPeer, ZhttpStage, content_of, encode

from holdfast.errors import BackendError, BackendSilent, BadResponse, NoBackend
from holdfast.proxy import zhttp_streams
from holdfast.proxy.zhttp_session import Session
from holdfast.proxy.zhttp_streams import StreamService
from holdfast.wire.zhttp.packets import WINDOW_BYTES, Content, Data, Signal
from holdfast.wire.zhttp.responses import Response


class Owner:
    """Notes what its session says."""

    def __init__(self, service: StreamService) -> None:
        self.session: Session = service.open(self)
        self.contents: list[Content] = []
        self.errors: list[BackendError] = []

    def on_packet(self, response: Response) -> None:
        self.contents.append(response.content)

    def on_broken(self, error: BackendError) -> None:
        self.errors.append(error)

    async def expect(self, *contents: Content) -> None:
        await eventually(lambda: len(self.contents) >= len(contents), f"{contents}")
        assert self.contents == list(contents)

    async def expect_error(self) -> BackendError:
        await eventually(lambda: self.errors, "an error")
        (error,) = self.errors
        return error


class Exchange:
    """An exchange that has begun, from both sides."""

    def __init__(self, stage: ZhttpStage, peer: StreamPeer, owner: Owner, first: Packet) -> None:
        self.stage = stage
        self.peer = peer
        self.owner = owner
        self.first = first

    @property
    def session(self) -> Session:
        return self.owner.session

    def send(self, seq: int | None, /, **fields: object) -> None:
        self.peer.send(self.first, seq, **fields)


async def begin(stage: ZhttpStage, peer: StreamPeer, service: StreamService) -> Exchange:
    owner = Owner(service)
    owner.session.begin(HEAD, Data(b"x", True))
    return Exchange(stage, peer, owner, await peer.take())


async def exchanges(stage: ZhttpStage, count: int = 1) -> list[Exchange]:
    service = stage.zhttp.streams(stage.target())
    peer = await StreamPeer(stage).connected()
    return [await begin(stage, peer, service) for _ in range(count)]


async def test_packets_both_ways(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        first = exchange.first
        assert (first["from"], first["seq"], first["credits"], first["more"]) == (ME, 0, WINDOW_BYTES, True)
        exchange.session.send(Signal.KEEP_ALIVE)  # to nobody yet
        exchange.send(0, code=200, body="a", more=True, credits=5)
        await exchange.owner.expect(Data(b"a", True))
        assert (exchange.session.credits, exchange.session.address) == (5, b"be")
        exchange.session.send(Data(b"123", True))
        exchange.session.grant(0)
        exchange.session.grant(1)
        packets = [await exchange.peer.next(), await exchange.peer.next()]
        assert zhttp_stage.seqs_of(packets) == [1, 2]
        assert [content_of(packet) for packet in packets] == [
            {"body": b"123", "more": True},
            {"type": b"credit", "credits": 1},
        ]
        assert exchange.session.credits == 2
        exchange.session.end()
        exchange.session.send(Data(b"x"))
        exchange.session.grant(1)
        await settle()
        assert not exchange.peer.has_news
        await stage.expect_idle()


async def test_nobody_there(tmp_path: Path) -> None:
    """routes-76, ws-120."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        service = stage.zhttp.streams(stage.target())
        with pytest.raises(NoBackend, match=r"^no backend at zhttp/ipc://.* takes the request$"):
            Owner(service).session.begin(HEAD, Data())
        service.close()
        with pytest.raises(NoBackend, match=r"is not listened at$"):
            Owner(service).session.begin(HEAD, Data())
        assert stage.zhttp.exchange_count == 0


@pytest.mark.parametrize("seq", [None, 1, -1, 99])
async def test_a_wrong_number(tmp_path: Path, seq: int | None) -> None:
    """ws-124."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(seq, code=200)
        assert type(await exchange.owner.expect_error()) is BadResponse
        assert content_of(await exchange.peer.next()) == {"type": b"cancel"}
        assert (exchange.owner.contents, stage.counters.zhttp_sequence_faults) == ([], 1)
        await stage.expect_idle()


@pytest.mark.parametrize("fields", [{"type": "error"}, {"type": "cancel"}])
async def test_failures_need_no_number(tmp_path: Path, fields: dict[str, str]) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(7, **fields)
        await eventually(lambda: exchange.owner.contents, "the failure")
        assert exchange.session.is_over
        await stage.expect_idle()
        await settle()
        assert not exchange.peer.has_news


async def test_keep_alives(tmp_path: Path) -> None:
    """ws-127: every 45 seconds, as long as it lasts."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(0, type="keep-alive")
        await exchange.owner.expect(Signal.KEEP_ALIVE)
        stage.skip(44)
        await settle()
        assert not exchange.peer.has_news
        stage.skip(2)
        packet = await exchange.peer.next()
        assert (packet["seq"], content_of(packet)) == (1, {"type": b"keep-alive"})
        exchange.send(1, type="keep-alive")
        await eventually(lambda: len(exchange.owner.contents) == 2, "another sign of life")
        stage.skip(46)
        assert (await exchange.peer.next())["seq"] == 2
        exchange.session.end()
        await settle()
        stage.skip(50)
        assert len(stage.runtime.wheel) == 0


async def test_shared_keep_alives(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of all that have the same backend, if that understands it."""
    monkeypatch.setattr(zhttp_streams, "MAX_IDS", 2)
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        several = await exchanges(stage, 5)
        peer = several[0].peer
        for exchange in several[:4]:
            exchange.send(0, type="keep-alive", ext={"multi": exchange is not several[3]})
        await eventually(lambda: all(exchange.owner.contents for exchange in several[:4]), "signs of life")
        stage.skip(46)
        packets = [await peer.next() for _ in range(3)]
        single = [packet for packet in packets if isinstance(packet["id"], bytes)]
        shared = [packet for packet in packets if isinstance(packet["id"], list)]
        assert {packet["id"] for packet in single} == {several[2].first["id"], several[3].first["id"]} or len(
            single
        ) == 1
        ids = {member["id"] for packet in shared for member in packet["id"]}
        assert len(ids) + len({packet["id"] for packet in single}) == 4
        assert all(member["seq"] == 1 for packet in shared for member in packet["id"])
        await settle()
        assert not peer.has_news  # nobody knows where the fifth is


async def test_keep_alives_that_are_due_soon_go_along(tmp_path: Path) -> None:
    """And no others."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        service = stage.zhttp.streams(stage.target())
        peer = await StreamPeer(stage).connected()
        several = []
        for pause_s in (0, 0.5, 5):
            stage.skip(pause_s)
            several.append(await begin(stage, peer, service))
            several[-1].send(0, type="keep-alive", ext={"multi": True})
            await several[-1].owner.expect(Signal.KEEP_ALIVE)
        stage.skip(45.2 - 5.5)
        packet = await peer.next()
        assert packet["id"] == [{"id": exchange.first["id"], "seq": 1} for exchange in several[:2]]
        stage.skip(4)
        await settle()
        assert not peer.has_news
        stage.skip(1.5)
        assert (await peer.next())["id"] == several[2].first["id"]


async def test_many_keep_alives_take_turns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(zhttp_streams, "KEEP_ALIVES_PER_TURN", 2)
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        several = await exchanges(stage, 5)
        for exchange in several:
            exchange.send(0, type="keep-alive")
        await eventually(lambda: all(exchange.owner.contents for exchange in several), "signs of life")
        stage.skip(46)
        for _ in range(3):
            stage.skip(0.2)
        packets = [await several[0].peer.next() for _ in range(5)]
        assert len({packet["id"] for packet in packets}) == 5


async def test_silence(tmp_path: Path) -> None:
    """ws-127: a minute without a packet ends it; every packet counts."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        stage.skip(55)
        exchange.send(0, type="keep-alive")
        await exchange.owner.expect(Signal.KEEP_ALIVE)
        stage.skip(55)
        assert not exchange.owner.errors
        stage.skip(6)
        assert type(await exchange.owner.expect_error()) is BackendSilent
        kinds = [(await exchange.peer.next())["type"] for _ in range(2)]
        assert kinds == [b"keep-alive", b"cancel"]
        assert stage.counters.zhttp_timeouts == 1
        await stage.expect_idle()


async def test_giving_up(tmp_path: Path) -> None:
    """ws-128."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(0, type="keep-alive")
        await exchange.owner.expect(Signal.KEEP_ALIVE)
        exchange.session.cancel()
        assert content_of(await exchange.peer.next()) == {"type": b"cancel"}
        await stage.expect_idle()


async def test_giving_up_before_the_backend_has_said_where_it_is(tmp_path: Path) -> None:
    """It is told when it does, or forgotten when it does not."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        first, second = await exchanges(stage, 2)
        first.session.cancel()
        second.session.cancel()
        first.send(0, **{"from": None}, code=200)
        first.send(1, code=200, more=True)
        assert content_of(await first.peer.next()) == {"type": b"cancel"}
        assert (first.owner.contents, stage.zhttp.exchange_count) == ([], 1)
        stage.skip(61)
        await stage.expect_idle()
        assert (first.owner.errors, second.owner.errors, stage.counters.zhttp_timeouts) == ([], [], 0)


async def test_too_many_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then it is not waited for what their backends say."""
    monkeypatch.setattr(zhttp_streams, "MAX_ABANDONED", 1)
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        first, second, third = await exchanges(stage, 3)
        first.session.cancel()
        first.session.cancel()
        second.session.cancel()
        assert (stage.zhttp.exchange_count, stage.counters.zhttp_packets_unsent) == (2, 1)
        first.send(0, code=200)
        assert content_of(await first.peer.next()) == {"type": b"cancel"}
        third.session.cancel()
        assert (stage.zhttp.exchange_count, stage.counters.zhttp_packets_unsent) == (1, 1)


async def test_more_than_was_granted(tmp_path: Path) -> None:
    """It is noticed once, and tolerated."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(0, code=200, body=b"x" * WINDOW_BYTES, more=True)
        await eventually(lambda: len(exchange.owner.contents) == 1, "what is granted")
        assert stage.counters.zhttp_windows_exceeded == 0
        exchange.send(1, body="x", more=True)
        exchange.send(2, type="ping", body="x")
        await eventually(lambda: len(exchange.owner.contents) == 3, "more")
        assert stage.counters.zhttp_windows_exceeded == 1


async def test_credits_without_end(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        for seq in range(3):
            exchange.send(seq, type="credit", credits=2**31 - 1)
        await eventually(lambda: len(exchange.owner.contents) == 3, "all of them")
        assert exchange.session.credits == 1_000_000_000


async def test_messages_that_are_no_packets(tmp_path: Path) -> None:
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        peer, usual = exchange.peer, {"from": "be", "id": exchange.first["id"], "seq": 0}
        peer.publish(ME + b" ")
        peer.publish(ME + b" garbage")
        peer.publish(ME + b" " + encode({**usual, "code": [1]}))
        peer.publish(ME + b" " + encode({**usual, "id": "nobody"}))
        peer.publish(ME + b" " + encode({**usual, "id": [{"id": "nobody", "seq": 0}], "type": "cancel"}))
        exchange.send(0, code=200)
        await exchange.owner.expect(Data())
        assert stage.counters.zhttp_packets_refused == 3
        assert stage.counters.zhttp_packets_unclaimed == 2


async def test_the_other_way(tmp_path: Path) -> None:
    """What comes by ROUTER counts as well."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.peer.route(b"", b"garbage")
        exchange.peer.route(b"T")
        exchange.peer.route(b"", encode({"from": "be", "id": exchange.first["id"], "seq": 0, "code": 200}))
        await exchange.owner.expect(Data())
        assert stage.counters.zhttp_packets_refused == 2


async def test_the_end_of_the_process(tmp_path: Path) -> None:
    """Backends are told that nobody is interested any more."""
    async with zhttp_stage.zhttp_stage(tmp_path) as stage:
        (exchange,) = await exchanges(stage)
        exchange.send(0, type="keep-alive")
        await exchange.owner.expect(Signal.KEEP_ALIVE)
        stage.zhttp.close()
        assert content_of(await exchange.peer.next()) == {"type": b"cancel"}
        assert exchange.owner.errors == []
