from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
from dataclasses import replace

import pytest
from tests.unit.net.helpers import LIMITS, echo, eventually, get, ok, settle, staged

import holdfast.net.acceptor as acceptor_module
from holdfast.errors import ConfigError
from holdfast.net.listener import Listener


async def test_at_the_limit_new_clients_wait_until_one_leaves(caplog: pytest.LogCaptureFixture) -> None:
    """routes spec §3.2: nobody is refused, nobody is forgotten."""
    caplog.set_level(logging.WARNING, "holdfast.net.edge")
    async with staged(echo, limits=replace(LIMITS, max_connections=2)) as stage:
        peers = [await stage.ask(get(b"/%d" % number)) for number in range(5)]
        for number, peer in enumerate(peers):
            await peer.expect(ok(b"/%d" % number))
            await settle()
            assert stage.edge.open_connections == min(2, 5 - number)
            if number + 2 < 5:
                await peers[number + 2].expect_nothing()
            peer.close()
        assert stage.counters.connections_accepted == 5
        assert caplog.messages[0] == "test: limit of 2 connections reached, new ones wait"


async def test_several_may_come_and_go_at_once() -> None:
    async with staged(echo, limits=replace(LIMITS, max_connections=3)) as stage:
        for _ in range(5):
            peers = [await stage.ask(get()) for _ in range(6)]
            for peer in peers[:3]:
                await peer.expect(ok(b"/"))
            for peer in peers[:3]:
                peer.close()
            for peer in peers[3:]:
                await peer.expect(ok(b"/"))
                peer.close()
        assert stage.counters.connections_accepted == 30


async def test_several_addresses_share_one_limit() -> None:
    async with staged(echo, limits=replace(LIMITS, max_connections=1)) as stage:
        stage.listener.listen("127.0.0.1", 0)
        addresses = stage.listener.addresses
        assert len({port for _, port in addresses}) == 2
        first = await stage.ask(get())
        await first.expect(ok(b"/"))
        with socket.create_connection(addresses[1]) as other:
            other.sendall(get())
            await settle()
            assert stage.edge.open_connections == 1
            first.close()
            await eventually(lambda: stage.counters.requests_received == 2, "served")
        await stage.expect_empty()
        again = await stage.ask(get())
        await again.expect(ok(b"/"))


async def test_nobody_is_accepted_after_the_end() -> None:
    async with staged(echo, limits=replace(LIMITS, max_connections=1)) as stage:
        address = stage.listener.addresses[0]
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        stage.listener.close()
        peer.close()
        await stage.expect_empty()
        assert stage.listener.addresses == []
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address)


@pytest.mark.parametrize(("host", "place"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_an_address_in_use(host: str, place: str) -> None:
    async with staged(echo) as stage:
        listener = Listener(stage.runtime, stage.edge)
        listener.listen(host, 0)
        port = listener.addresses[0][1]
        with pytest.raises(ConfigError) as caught:
            listener.listen(host, port)
        assert str(caught.value).startswith(f"cannot listen on {place}:{port}: ")
        listener.close()


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM])
async def test_a_system_that_can_give_no_more_is_asked_again_later(
    number: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Who knocks meanwhile waits; the loop is not kept busy."""
    caplog.set_level(logging.ERROR, "holdfast.net.edge")
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.05)
    calls = 0

    def fail(_: socket.socket) -> None:
        nonlocal calls
        calls += 1
        raise OSError(number, "no more")

    async with staged(echo) as stage:
        with monkeypatch.context() as patch:
            patch.setattr(acceptor_module, "accept_client", fail)
            peer = await stage.ask(get(b"/waits"))
            await eventually(lambda: stage.counters.accept_failures == 2, "asked again")
            assert calls == 2
        await peer.expect(ok(b"/waits"))
        assert caplog.messages == ["test: cannot accept: no more; new ones wait"] * 2


async def test_some_descriptors_are_left_for_others(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever is accepted with one too many is the last, until there are enough again."""
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.05)
    with socket.socket() as lowest:
        ceiling = lowest.fileno() + 6
    async with staged(echo, limits=replace(LIMITS, max_files=ceiling)) as stage:
        taken: list[socket.socket] = []
        while not taken or taken[-1].fileno() < ceiling:
            taken.append(socket.socket())
        last = await stage.ask(get(b"/last"))
        await last.expect(ok(b"/last"))
        peer = await stage.ask(get(b"/waits"))
        await eventually(lambda: stage.counters.accept_failures >= 2, "asked again")
        await peer.expect_nothing()
        last.close()
        for sock in taken:
            sock.close()
        await peer.expect(ok(b"/waits"))
        assert stage.counters.connections_accepted == 2


async def test_a_system_without_any_descriptor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not even for the question whether there is one."""
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.02)
    async with staged(echo, limits=replace(LIMITS, max_files=0)) as stage:
        first = await stage.ask(get(b"/last"))
        await first.expect(ok(b"/last"))
        with monkeypatch.context() as patch:
            patch.setattr(os, "dup", _fail_for_want_of_files)
            await eventually(lambda: stage.counters.accept_failures >= 3, "asked again")


def _fail_for_want_of_files(_: int) -> int:
    raise OSError(errno.EMFILE, "no more")


async def test_a_client_that_has_left_before_it_was_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(_: socket.socket) -> None:
        monkeypatch.undo()
        raise OSError(errno.ECONNABORTED, "left")

    async with staged(echo) as stage:
        monkeypatch.setattr(acceptor_module, "accept_client", fail)
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        assert stage.counters.accept_failures == 0


async def test_a_client_that_the_system_cannot_watch(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is let go, nothing of it is kept, and others wait until there is room."""
    monkeypatch.setattr(acceptor_module, "RETRY_S", 0.05)

    def fail(*_: object) -> None:
        raise OSError(errno.ENOSPC, "no room")

    async with staged(echo) as stage:
        assert stage.lot is not None
        with monkeypatch.context() as patch:
            patch.setattr(stage.lot, "admit", fail)
            peer = await stage.ask(get())
            await peer.expect_end()
            await eventually(lambda: stage.counters.accept_failures, "failed")
        assert (stage.edge.open_connections, len(stage.lot), stage.lot._awake) == (0, 0, 0)
        assert "test: cannot accept: no room; new ones wait" in caplog.messages
        await (await stage.ask(get(b"/later"))).expect(ok(b"/later"))


async def test_an_end_while_nobody_is_accepted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither starts to accept again."""

    def fail(_: socket.socket) -> None:
        raise OSError(errno.EMFILE, "no more")

    async with staged(echo) as stage:
        with monkeypatch.context() as patch:
            patch.setattr(acceptor_module, "RETRY_S", 0.02)
            patch.setattr(acceptor_module, "accept_client", fail)
            await stage.ask(get())
            await eventually(lambda: stage.counters.accept_failures, "failed")
            stage.listener.close()
        await asyncio.sleep(0.05)
        assert stage.counters.connections_accepted == 0
