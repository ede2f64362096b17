"""Which sockets there are, as the routes change."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import zmq
from tests.harness.ports import free_port
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy.zhttp_stage import HEAD, ZhttpStage, decode, encode, receive, zhttp_stage

from holdfast.errors import NoBackend
from holdfast.proxy import zhttp_backends
from holdfast.routing.rules import Target


def files(stage: ZhttpStage) -> set[str]:
    return set(os.listdir(stage.directory))


async def test_rules_share_sockets(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        rules = stage.apply("a.com zhttpreq/ipc://{}/r", "b.com h:80 zhttpreq/ipc://{}/r", "c.com zhttp/ipc://{}/s")
        assert files(stage) == {"r", "s-out", "s-out-stream", "s-in"}
        assert stage.zhttp.requests(rules[0].targets[0]) is stage.zhttp.requests(rules[1].targets[1])
        assert stage.zhttp.exchange_count == 0


async def test_file_mode(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        stage.apply("a.com zhttp/ipc://{}/s,ipc_file_mode=600")
        assert {os.stat(tmp_path / name).st_mode & 0o777 for name in files(stage)} == {0o600}


def modes(stage: ZhttpStage) -> dict[str, int]:
    return {name: os.stat(stage.directory / name).st_mode & 0o777 for name in files(stage)}


async def test_file_mode_changed_by_a_reload(tmp_path: Path) -> None:
    """It is that of the new rules; without one in them, what the system made of the files. Sockets stay as they are."""
    async with zhttp_stage(tmp_path) as stage:
        stage.apply("a.com zhttp/ipc://{0}/s zhttpreq/ipc://{0}/r")
        made = modes(stage)
        inodes = {name: os.stat(tmp_path / name).st_ino for name in made}
        stage.apply("a.com zhttp/ipc://{0}/s,ipc_file_mode=600 zhttpreq/ipc://{0}/r,ipc_file_mode=640")
        assert modes(stage) == {"s-out": 0o600, "s-out-stream": 0o600, "s-in": 0o600, "r": 0o640}
        stage.apply("a.com zhttp/ipc://{0}/s,ipc_file_mode=660 zhttpreq/ipc://{0}/r")
        assert modes(stage) == {"s-out": 0o660, "s-out-stream": 0o660, "s-in": 0o660, "r": made["r"]}
        assert {name: os.stat(tmp_path / name).st_ino for name in made} == inodes


async def test_file_mode_of_files_that_are_not_ours_any_more(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """What nobody asks to be changed, or somebody else has made, is left alone; a file that is gone is said."""
    async with zhttp_stage(tmp_path) as stage:
        stage.apply("a.com zhttpreq/ipc://{0}/1,ipc_file_mode=600 zhttpreq/ipc://{0}/2 zhttpreq/ipc://{0}/3")
        (tmp_path / "1").chmod(0o644)
        (tmp_path / "other").touch(0o644)
        (tmp_path / "other").rename(tmp_path / "2")
        (tmp_path / "3").unlink()
        stage.apply(
            "a.com zhttpreq/ipc://{0}/1,ipc_file_mode=600 zhttpreq/ipc://{0}/2,ipc_file_mode=600 "
            "zhttpreq/ipc://{0}/3,ipc_file_mode=600"
        )
        assert modes(stage) == {"1": 0o644, "2": 0o644}
        assert f"cannot change the mode of {tmp_path}/3: No such file or directory" in caplog.text


async def test_a_reload(tmp_path: Path) -> None:
    """New specs are bound, and those that nobody names any more are closed; what stays is not touched."""
    async with zhttp_stage(tmp_path) as stage:
        stage.apply("a.com zhttpreq/ipc://{}/1", "b.com zhttpreq/ipc://{}/2")
        inode = os.stat(tmp_path / "2").st_ino
        rules = stage.apply("b.com zhttpreq/ipc://{}/2,ssl", "c.com zhttp/ipc://{}/3")
        assert files(stage) == {"2", "3-out", "3-out-stream", "3-in"}
        assert os.stat(tmp_path / "2").st_ino == inode
        old = Target(rules[0].targets[0].kind, "x", specs=(f"ipc://{tmp_path}/1",))
        with pytest.raises(NoBackend):
            stage.zhttp.requests(old)
        with pytest.raises(NoBackend):
            stage.zhttp.streams(old)


async def test_sockets_in_use_are_closed_later(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service = stage.zhttp.requests(stage.target("a.com zhttpreq/ipc://{}/r"))
        peer = stage.peer(zmq.ROUTER, "ipc://{}/r")
        asked = stage.start(service.ask(HEAD, b""))
        sender, empty, frame = await receive(peer)
        stage.apply("b.com test")
        assert files(stage) == {"r"}
        peer.send_multipart([sender, empty, encode({"id": decode(frame)["id"], "code": 200})])
        assert (await asked).code == 200
        await eventually(lambda: not files(stage), "closed sockets")


async def test_sockets_that_are_wanted_again(tmp_path: Path) -> None:
    async with zhttp_stage(tmp_path) as stage:
        service = stage.zhttp.requests(stage.target("a.com zhttpreq/ipc://{}/r"))
        asked = stage.start(service.ask(HEAD, b""))
        await settle()
        stage.apply("b.com test")
        assert stage.zhttp.requests(stage.target("c.com zhttpreq/ipc://{}/r")) is service
        asked.cancel()
        await settle()
        assert files(stage) == {"r"}


async def test_an_address_that_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is tried until it is free; meanwhile there is no backend."""
    async with zhttp_stage(tmp_path) as stage:
        spec = f"tcp://127.0.0.1:{free_port()}"
        other = zmq.Context()
        taken = other.socket(zmq.PULL)
        taken.bind(spec)
        service = stage.zhttp.requests(stage.target(f"a.com zhttpreq/{spec}"))
        with pytest.raises(NoBackend):
            await service.ask(HEAD, b"")
        stage.skip(1.2)
        (record,) = [record for record in caplog.records if record.levelname == "ERROR"]
        assert record.getMessage().endswith("Address already in use; trying again")
        taken.close()
        other.term()
        stage.skip(1.2)
        asked = stage.start(service.ask(HEAD, b""))
        await receive(stage.peer(zmq.ROUTER, spec))
        assert not asked.done()
        assert len(stage.runtime.wheel) == 1  # the time of the request


async def test_an_address_that_stays_taken(tmp_path: Path) -> None:
    """Until nobody wants it any more, or the process stops."""
    async with zhttp_stage(tmp_path) as stage:
        stage.apply("a.com zhttpreq/ipc:///nowhere/r", "b.com zhttp/ipc:///nowhere/s")
        stage.apply("b.com zhttp/ipc:///nowhere/s")
        stage.skip(1.2)
        stage.apply("c.com test")
        stage.skip(1.2)
        assert len(stage.runtime.wheel) == 0
        stage.apply("a.com zhttpreq/ipc:///nowhere/r")
        stage.zhttp.close()
        assert len(stage.runtime.wheel) == 0


async def test_too_many(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setattr(zhttp_backends, "MAX_SPECS", 2)
    async with zhttp_stage(tmp_path) as stage:
        stage.apply(*(f"{name}.com zhttpreq/ipc://{{}}/{name}" for name in "abc"))
        assert files(stage) == {"a", "b"}
        assert "too many unique zhttp route targets, limiting to 2" in caplog.messages
