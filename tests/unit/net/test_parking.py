"""Parked clients: what is written arrives, slow ones are bounded, and each leaves exactly once."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AbstractAsyncContextManager
from typing import Any

import pytest
from tests.unit.net.held_clients import FIRST, Held, held_as
from tests.unit.net.helpers import (
    HUGE,
    IDLE_S,
    SEND_S,
    Owner,
    eventually,
    get,
    ok,
    settle,
    staged,
)

from holdfast.net.exchange import ClientExchange
from holdfast.net.leaving_client import LINGER_S
from holdfast.net.outlets import OutboxLimits, OutboxPolicy
from holdfast.net.parked_client import ParkedClient
from holdfast.net.parking import can_park


def held(**options: Any) -> AbstractAsyncContextManager[Held[ParkedClient]]:
    return held_as(ParkedClient, **options)


def test_this_system_has_epoll() -> None:
    assert can_park()


# --- writing -------------------------------------------------------------------------------------------------------


async def test_what_is_written_arrives_in_order() -> None:
    async with held() as it:
        assert (len(it.stage.lot or ()), it.stage.edge.open_connections, len(it.stage.edge.connections)) == (1, 1, 0)
        assert it.client.write(b"one") and it.client.write(b"two")
        assert not it.client.is_blocked
        await it.peer.expect(FIRST, b"onetwo")


async def test_an_empty_beginning_sends_nothing() -> None:
    async with held(first=b"") as it:
        await it.peer.expect_nothing()
        it.client.finish(ok(b"late"), is_reusable=True)
        await it.peer.expect(ok(b"late"))


async def test_bytes_from_before_come_first() -> None:
    """The answer to an earlier request is not overtaken, however large."""
    body = bytes(1_000_000)
    owner = Owner()

    async def answer(exchange: ClientExchange) -> None:
        if exchange.head.target == b"/hold":
            await owner.hold(exchange, FIRST)
        else:
            exchange.respond(200, b"OK", [], body)

    async with staged(answer) as stage:
        peer = await stage.ask(get() + get(b"/hold"), is_slow=True)
        await peer.expect(ok(body), FIRST)


async def test_a_short_write_waits_in_the_outbox_and_is_sent_later() -> None:
    async with held(first=bytes(HUGE), is_slow=True) as it:
        assert it.client.is_blocked
        await it.peer.expect(bytes(HUGE))
        await eventually(lambda: not it.client.is_blocked, "all sent")
        assert it.client.write(b"more")
        await it.peer.expect(b"more")


async def test_the_owner_is_told_when_everything_is_taken() -> None:
    """Once each time; not of what was never held up, and not of the end of the response."""
    async with held(first=b"", outbox=OutboxLimits(2 * HUGE, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        assert it.client.write(b"small")
        await it.peer.expect(b"small")
        for count in (1, 2):
            assert it.client.write(bytes(HUGE)) and it.client.write(b"more")
            await settle()
            assert it.owner.drained == count - 1
            await it.peer.expect(bytes(HUGE), b"more")
            await eventually(lambda: not it.client.is_blocked, "all sent")
            assert it.owner.drained == count
        it.client.finish(bytes(HUGE), is_reusable=False)
        await it.peer.expect(bytes(HUGE))
        await it.peer.expect_end()
        assert it.owner.drained == 2


async def test_order_is_kept_when_the_outbox_is_in_use() -> None:
    async with held(first=bytes(HUGE), outbox=OutboxLimits(2 * HUGE, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        for number in range(10):
            assert it.client.write(b"%d" % number)
        await it.peer.expect(bytes(HUGE), b"0123456789")


def fill(it: Held[ParkedClient]) -> None:
    """Write until the system takes no more."""
    while not it.client.is_blocked:
        assert it.client.write(bytes(100_000))


async def test_a_slow_client_is_disconnected(caplog: pytest.LogCaptureFixture) -> None:
    async with held(outbox=OutboxLimits(200_000, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        fill(it)
        while it.owner.gone == 0:
            taken = it.client.write(bytes(50_000))
            assert taken is (it.owner.gone == 0)
        assert it.is_released
        assert it.client.write(b"x") is None
        assert it.client.describe() == "gone"
        counters = it.stage.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected, it.owner.gone) == (1, 1, 1)
        host, port = it.peer.sock.getsockname()
        assert caplog.messages[0].startswith(f"client {host}:{port} on the hold is too slow: ")


async def test_a_slow_client_may_lose_deliveries_instead(caplog: pytest.LogCaptureFixture) -> None:
    async with held(first=b"", outbox=OutboxLimits(200_000, OutboxPolicy.DROP), is_slow=True) as it:
        size = 0
        while it.client.write(b"a" * 100_000):
            size += 100_000
        assert it.client.write(b"b" * 200_001) is False
        assert it.client.write(b"c")
        await it.peer.expect(b"a" * size, b"c")
        assert it.client.write(b"d")
        await it.peer.expect(b"d")
        counters = it.stage.counters
        assert (counters.drops_outbox_full, counters.slow_clients_disconnected, it.owner.gone) == (2, 0, 0)
        assert "delivery dropped" in caplog.messages[0]


async def test_one_large_delivery_goes_out_when_nothing_waits() -> None:
    """The bound is for what waits: a client that is not slow gets everything."""
    async with held(first=b"", outbox=OutboxLimits(1, OutboxPolicy.DISCONNECT), is_slow=True) as it:
        assert it.client.write(bytes(HUGE))
        await it.peer.expect(bytes(HUGE))


# --- the end of a response -----------------------------------------------------------------------------------------


async def test_a_reusable_client_asks_again() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(FIRST, b"end")
        assert len(it.stage.lot or ()) == 1
        for _ in range(2):
            await it.peer.send(get(b"/next"))
            await it.peer.expect(ok(b"/next"))
        assert (len(it.stage.lot or ()), len(it.stage.edge.connections), it.stage.edge.open_connections) == (0, 1, 1)
        assert it.stage.counters.connections_accepted == 1


async def test_a_reusable_client_may_be_held_again_and_again() -> None:
    async with held(first=b"") as it:
        for _ in range(5):
            assert it.owner.outlet is not None
            it.owner.outlet.finish(ok(b"x"), is_reusable=True)
            it.owner.outlet = None
            await it.peer.expect(ok(b"x"))
            await it.peer.send(get(b"/hold"))
            await eventually(lambda: it.owner.outlet, "held again")
        assert it.owner.gone == 0


async def test_a_client_that_is_not_reusable_is_closed() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=False)
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()
        assert it.is_released


async def test_the_owner_hears_nothing_after_the_end() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=True)
        it.peer.close()
        await eventually(lambda: it.is_released, "left")
        assert it.owner.gone == 0


async def test_a_client_between_requests_may_not_wait_for_ever() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(FIRST, b"end")
        it.stage.skip(IDLE_S - 1)
        await it.peer.expect_nothing()
        it.stage.skip(1.2)
        await it.peer.expect_end()
        assert it.is_released


async def test_held_clients_wait_as_long_as_they_like() -> None:
    async with held(first=b"") as it:
        it.stage.skip(100_000)
        await it.peer.expect_nothing()
        assert it.owner.gone == 0


@pytest.mark.parametrize("is_reusable", [True, False])
async def test_the_end_of_a_response_is_sent_to_a_slow_client_too(is_reusable: bool) -> None:
    async with held(first=b"", is_slow=True) as it:
        it.client.finish(bytes(HUGE), is_reusable=is_reusable)
        size = 0
        while size < HUGE:
            size += len(await it.peer.read(min(4_000_000, HUGE - size)))
            await settle()
            if size < HUGE:
                it.stage.skip(SEND_S - 1)
        if is_reusable:
            await it.peer.send(get())
            await it.peer.expect(ok(b"/"))
        else:
            await it.peer.expect_end()


async def test_a_client_that_takes_nothing_of_the_end_is_not_kept_for_ever() -> None:
    async with held(first=b"", is_slow=True) as it:
        it.client.finish(bytes(HUGE), is_reusable=True)
        it.stage.skip(SEND_S - 1)
        assert not it.is_released
        it.stage.skip(1.2)
        assert it.is_released
        assert (it.owner.gone, it.stage.counters.client_timeouts) == (0, 1)


# --- clients that speak while their response is held ---------------------------------------------------------------


@pytest.mark.parametrize("is_later", [False, True], ids=["with the request", "while held"])
async def test_a_pipelined_request_is_served_after_the_held_response(is_later: bool) -> None:
    async with held(pipelined=b"" if is_later else get(b"/2")) as it:
        if is_later:
            await it.peer.send(get(b"/2"))
        await it.peer.expect(FIRST)
        await it.peer.expect_nothing()
        it.client.write(b"more")
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(b"moreend", ok(b"/2"))
        await it.peer.send(get(b"/3"))
        await it.peer.expect(ok(b"/3"))


async def test_half_a_request_is_completed_later() -> None:
    data = get(b"/2")
    async with held(pipelined=data[:7]) as it:
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(FIRST, b"end")
        await it.peer.send(data[7:])
        await it.peer.expect(ok(b"/2"))


@pytest.mark.parametrize("is_later", [False, True], ids=["with the request", "while held"])
async def test_nothing_is_served_after_a_last_response(is_later: bool) -> None:
    """And what the client has sent does not destroy the response on its way (RFC 9112 §9.6)."""
    async with held(pipelined=b"" if is_later else get(b"/2")) as it:
        if is_later:
            await it.peer.send(get(b"/2") * 100)
            await settle()
        it.client.finish(b"end", is_reusable=False)
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()
        await it.peer.send(get(b"/3"))
        assert it.stage.counters.requests_received == 1
        it.stage.skip(LINGER_S + 0.2)
        await it.stage.expect_empty()


async def test_a_talkative_client_costs_nothing_while_it_is_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its bytes wait in the kernel, and epoll does not report them again and again."""
    async with held() as it:
        await it.peer.send(get(b"/2"))
        await settle()
        calls: list[int] = []
        monkeypatch.setattr(ParkedClient, "on_events", lambda self, events: calls.append(events))
        await settle()
        await it.peer.send(get(b"/3"))
        await settle()
        assert not calls
        monkeypatch.undo()


# --- clients that leave --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("has_spoken", [False, True], ids=["silent", "after another request"])
@pytest.mark.parametrize("how", ["close", "reset", "half"])
async def test_the_owner_is_told_once_when_the_client_leaves(how: str, has_spoken: bool) -> None:
    async with held() as it:
        if has_spoken:
            await it.peer.send(get(b"/2"))
            await settle()
        if how == "half":
            it.peer.sock.shutdown(socket.SHUT_WR)
        else:
            getattr(it.peer, how)()
        await eventually(lambda: it.owner.gone, "told")
        await settle()
        assert it.owner.gone == 1 and it.is_released
        assert it.client.write(b"x") is None
        it.client.finish(b"x", is_reusable=True)
        it.client.end_hold()
        assert it.owner.gone == 1


async def test_the_owner_is_told_when_a_write_meets_a_closed_connection() -> None:
    async with held(first=b"") as it:
        it.peer.reset()
        while it.client.write(b"x") is not None:
            pass
        assert it.owner.gone == 1 and it.is_released


async def test_a_blocked_client_that_leaves() -> None:
    async with held(first=bytes(HUGE), is_slow=True) as it:
        it.peer.reset()
        await eventually(lambda: it.owner.gone, "told")
        assert it.is_released


async def test_a_write_after_the_end_does_not_reach_another_client() -> None:
    """The system gives descriptors out again at once."""
    async with held(first=b"") as it:
        it.peer.reset()
        await eventually(lambda: it.owner.gone, "told")
        reading, writing = os.pipe()
        spare = [os.dup(writing) for _ in range(30)]
        assert it.client.write(b"secret") is None
        os.set_blocking(reading, False)
        with pytest.raises(BlockingIOError):
            os.read(reading, 100)
        for fd in (reading, writing, *spare):
            os.close(fd)


async def test_a_client_that_has_left_before_it_is_parked_is_not_held() -> None:
    """Or its hold would be subscribed for ever."""
    owner = Owner()
    done: list[bool] = []

    async def answer(exchange: ClientExchange) -> None:
        peer.reset()
        # The reset has arrived, but the loop has not looked at the socket yet.
        await owner.hold(exchange, FIRST)
        done.append(True)

    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await stage.expect_empty()
        await eventually(lambda: done, "tried")
        assert owner.outlet is None


async def test_a_client_that_leaves_while_it_is_woken() -> None:
    async with held() as it:
        it.client.finish(b"end", is_reusable=True)
        await it.peer.send(get())
        it.peer.reset()
        await it.stage.expect_empty()


# --- the end of the process ----------------------------------------------------------------------------------------


async def test_an_orderly_stop_ends_what_is_held() -> None:
    async with held() as it:
        it.stage.edge.drain()
        assert it.stage.lot is not None
        it.stage.lot.end_holds()
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()
        assert it.stage.edge.emptied.is_set()


async def test_an_orderly_stop_closes_who_is_between_requests() -> None:
    async with held() as it:
        it.client.finish(b"x", is_reusable=True)
        it.stage.edge.drain()
        assert it.stage.lot is not None and not it.stage.edge.emptied.is_set()
        it.stage.lot.end_holds()
        await it.peer.expect(FIRST, b"x")
        await it.peer.expect_end()
        assert it.stage.edge.emptied.is_set()


async def test_nobody_is_kept_for_another_request_during_an_orderly_stop() -> None:
    async with held() as it:
        it.stage.edge.drain()
        it.client.finish(b"end", is_reusable=True)
        await it.peer.expect(FIRST, b"end")
        await it.peer.expect_end()


async def test_closing_the_lot_closes_everybody() -> None:
    async with held() as it:
        assert it.stage.lot is not None
        it.stage.lot.close()
        it.stage.lot = None
        await it.peer.expect(FIRST)
        await it.peer.expect_end()
        assert it.owner.gone == 1


# --- the rest ------------------------------------------------------------------------------------------------------


async def test_description() -> None:
    async with held() as it:
        host, port = it.peer.sock.getsockname()
        assert it.client.describe() == f"{host}:{port}"


async def test_many_clients_at_once() -> None:
    """More than are handled in one turn."""
    outlets: list[ParkedClient] = []

    class Counted(Owner):
        async def hold(self, exchange: ClientExchange, first: bytes) -> None:
            outlet = await exchange.hold(self, first)
            assert isinstance(outlet, ParkedClient)
            outlets.append(outlet)

    async with staged(lambda exchange: Counted().hold(exchange, b"")) as stage:
        peers = [await stage.ask(get()) for _ in range(99)]
        await eventually(lambda: len(outlets) == 99, "all held")
        for number, outlet in enumerate(outlets):
            assert outlet.write(b"hello")
            if number % 2:
                outlet.finish(b"", is_reusable=True)
        await asyncio.gather(*(peer.expect(b"hello") for peer in peers))
        assert len(stage.lot or ()) == 99
