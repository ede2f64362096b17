from __future__ import annotations

import logging
import socket
from dataclasses import replace

import pytest
from tests.unit.net.helpers import LIMITS, echo, eventually, get, ok, settle, staged

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
        await stage.listener.listen("127.0.0.1", 0)
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
        await listener.listen(host, 0)
        port = listener.addresses[0][1]
        with pytest.raises(ConfigError) as caught:
            await listener.listen(host, port)
        assert str(caught.value).startswith(f"cannot listen on {place}:{port}: ")
        listener.close()
