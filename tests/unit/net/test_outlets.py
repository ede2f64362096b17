"""Holds of clients that keep their transport: the same promises as for parked ones."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.unit.net.held_clients import FIRST, Held, held_as
from tests.unit.net.helpers import (
    HUGE,
    SEND_S,
    Owner,
    eventually,
    get,
    ok,
    settle,
    staged,
)

from holdfast.net.exchange import ClientExchange
from holdfast.net.outlets import ConnectionOutlet, OutboxLimits, OutboxPolicy


def held(**options: Any) -> AbstractAsyncContextManager[Held[ConnectionOutlet]]:
    return held_as(ConnectionOutlet, **options)


async def test_what_is_written_arrives_in_order() -> None:
    async with held() as it:
        assert it.client.write(b"one") and it.client.write(b"two")
        await it.peer.expect(FIRST, b"onetwo")
        assert not it.client.is_blocked
        assert it.stage.runtime.task_count == 0


async def test_the_owner_is_told_when_everything_is_taken() -> None:
    async with held(first=b"", outbox=OutboxLimits(2 * HUGE, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        assert it.client.write(bytes(HUGE))
        await settle()
        assert (it.client.is_blocked, it.owner.drained) == (True, 0)
        await it.peer.expect(bytes(HUGE))
        await eventually(lambda: it.owner.drained, "told")
        assert it.owner.drained == 1
        it.client.finish(bytes(HUGE), is_reusable=False)
        await it.peer.expect(bytes(HUGE))
        await it.peer.expect_end()
        assert it.owner.drained == 1


async def test_a_pipelined_request_is_served_after_the_held_response() -> None:
    async with held(pipelined=get(b"/2")) as it:
        await it.peer.send(get(b"/3"))
        await it.peer.expect(FIRST)
        await it.peer.expect_nothing()
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(b"end", ok(b"/2"), ok(b"/3"))


@pytest.mark.parametrize("is_before", [False, True], ids=["while it is held", "before it is held"])
async def test_a_client_that_says_too_much_is_disconnected(is_before: bool, caplog: pytest.LogCaptureFixture) -> None:
    """It would have to be listened to no longer, and then nobody would notice that it leaves."""
    caplog.set_level(logging.INFO)
    much = get(b"/" + b"x" * 900) * 300
    async with held(pipelined=much if is_before else b"") as it:
        if not is_before:
            it.peer.send_what_fits(much)
        await eventually(lambda: it.owner.gone, "told")
        await it.stage.expect_empty()
        assert (it.owner.gone, it.stage.counters.talkative_clients_disconnected) == (1, 1)
        assert sum("says too much while it is held" in message for message in caplog.messages) == 1


async def test_a_client_that_has_said_too_much_may_leave() -> None:
    """It was no longer listened to before it was held."""
    async with held(pipelined=get(b"/" + b"x" * 900) * 80) as it:
        it.peer.close()
        await eventually(lambda: it.owner.gone, "told")
        await it.stage.expect_empty()


async def test_a_client_may_be_held_again() -> None:
    async with held(first=b"") as it:
        for _ in range(3):
            assert it.owner.outlet is not None
            it.owner.outlet.finish(ok(b"x"), is_reusable=True)
            it.owner.outlet = None
            await it.peer.expect(ok(b"x"))
            await it.peer.send(get(b"/hold"))
            await eventually(lambda: it.owner.outlet, "held again")


async def test_a_client_that_is_not_reusable_is_closed() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=False)
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()
        await it.stage.expect_empty()
        assert (it.owner.gone, it.client.write(b"x")) == (0, None)


async def test_held_clients_wait_as_long_as_they_like() -> None:
    async with held(first=b"") as it:
        it.stage.skip(100_000)
        await it.peer.expect_nothing()
        assert it.owner.gone == 0


@pytest.mark.parametrize("how", ["close", "reset"])
async def test_the_owner_is_told_once_when_the_client_leaves(how: str) -> None:
    async with held() as it:
        getattr(it.peer, how)()
        await eventually(lambda: it.owner.gone, "told")
        assert it.client.write(b"x") is None
        await it.stage.expect_empty()
        assert it.owner.gone == 1


async def test_a_slow_client_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    async with held(outbox=OutboxLimits(200_000, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        while it.client.write(bytes(50_000)):
            await settle()
        assert it.owner.gone == 1
        assert it.client.write(b"x") is None
        await it.stage.expect_empty()
        counters = it.stage.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected, it.owner.gone) == (1, 1, 1)
        host, port = it.peer.sock.getsockname()
        assert caplog.messages[0].startswith(f"client {host}:{port} on the hold is too slow: ")


async def test_a_slow_client_may_lose_deliveries_instead(caplog: pytest.LogCaptureFixture) -> None:
    async with held(first=b"", outbox=OutboxLimits(200_000, OutboxPolicy.DROP), is_slow=True) as it:
        size = 0
        while it.client.write(b"a" * 50_000):
            size += 50_000
            await settle()
        assert it.client.is_blocked
        await it.peer.expect(b"a" * size)
        assert it.client.write(b"b")
        await it.peer.expect(b"b")
        counters = it.stage.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected, it.owner.gone) == (1, 0, 0)
        assert "delivery dropped" in caplog.messages[0]


async def test_one_large_delivery_goes_out_when_nothing_waits() -> None:
    async with held(first=b"", outbox=OutboxLimits(1, OutboxPolicy.DISCONNECT)) as it:
        assert it.client.write(bytes(HUGE))
        await it.peer.expect(bytes(HUGE))


async def test_a_client_that_takes_nothing_of_the_end_is_not_kept_for_ever() -> None:
    async with held(first=b"", is_slow=True) as it:
        it.client.finish(bytes(HUGE), is_reusable=False)
        await settle()
        it.stage.skip(SEND_S + 0.2)
        await it.stage.expect_empty()
        assert it.owner.gone == 0


async def test_a_client_that_left_before_it_could_be_held() -> None:
    owner = Owner()

    async def answer(exchange: ClientExchange) -> None:
        exchange.write(b"")
        stage.connection.cut_off()
        await owner.hold(exchange, FIRST)

    async with staged(answer, has_parking=False) as stage:
        await stage.ask(get())
        await eventually(lambda: stage.counters.requests_received, "asked")
        await stage.expect_empty()
        assert owner.outlet is None


async def test_an_orderly_stop_ends_what_is_held() -> None:
    async with held() as it:
        it.stage.edge.drain()
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()
        await it.stage.edge.emptied.wait()
        it.client.end_hold()
        it.client.client_gone()
        assert it.owner.gone == 0


async def test_description() -> None:
    async with held() as it:
        host, port = it.peer.sock.getsockname()
        assert it.client.describe() == f"{host}:{port}"
