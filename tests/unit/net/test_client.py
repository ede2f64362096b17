"""Client connections: requests in order, limits of time and memory, and an end in every case."""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Coroutine
from dataclasses import replace
from typing import Any

import pytest
from tests.unit.net.helpers import (
    BODY_S,
    HEADER_S,
    HUGE,
    IDLE_S,
    LIMITS,
    SEND_S,
    Answer,
    echo,
    eventually,
    get,
    ok,
    read_all,
    refused,
    settle,
    staged,
)

from holdfast.net.client import REQUESTS_PER_TURN, ClientConnection
from holdfast.net.exchange import ClientExchange
from holdfast.net.leaving_client import LINGER_S

# --- requests in order ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pieces", [1, 7, 1000], ids=["in one go", "in some pieces", "byte by byte"])
async def test_pipelined_requests_are_answered_in_order(pieces: int) -> None:
    """routes-71"""
    data = b"\r\n".join([get(b"/1"), get(b"/2"), get(b"/3")])
    step = -(-len(data) // pieces)
    async with staged(echo) as stage:
        peer = await stage.connect()
        for start in range(0, len(data), step):
            await peer.send(data[start : start + step])
        await peer.expect(ok(b"/1"), ok(b"/2"), ok(b"/3"))
        assert (stage.counters.connections_accepted, stage.counters.requests_received) == (1, 3)


async def test_a_request_waits_for_the_answer_to_the_one_before() -> None:
    gates = {b"/1": asyncio.Event(), b"/2": asyncio.Event()}
    begun: list[bytes] = []

    async def answer(exchange: ClientExchange) -> None:
        begun.append(exchange.head.target)
        await gates[exchange.head.target].wait()
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/1") + get(b"/2"))
        gates[b"/2"].set()
        await peer.expect_nothing()
        assert begun == [b"/1"]
        gates[b"/1"].set()
        await peer.expect(ok(b"/1"), ok(b"/2"))


async def test_a_client_that_pipelines_without_end_is_not_read_from_meanwhile() -> None:
    gate = asyncio.Event()
    requests = get(b"/" + b"x" * 900) * (HUGE // 900)

    async def answer(exchange: ClientExchange) -> None:
        await gate.wait()
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/1"))
        sent = 0
        for _ in range(5):
            sent += peer.send_what_fits(requests[sent:])
            await settle()
        assert sent < len(requests)
        gate.set()
        await peer.expect(ok(b"/1"), ok(b"/" + b"x" * 900))
        assert stage.edge.open_connections == 1


@pytest.mark.parametrize("has_parking", [True, False])
async def test_a_client_that_pipelines_lets_others_have_their_turn(has_parking: bool) -> None:
    """What is answered at once has to be bounded, too: 64 KiB are thousands of requests."""
    served, longest = 0, 0

    def answer(exchange: ClientExchange) -> None:
        nonlocal served
        served += 1
        echo(exchange)

    def watch(before: int) -> None:
        nonlocal longest
        longest = max(longest, served - before)
        asyncio.get_running_loop().call_soon(watch, served)

    count = 10_000
    async with staged(answer, has_parking=has_parking) as stage:
        watch(0)
        peer = await stage.connect()
        await asyncio.gather(
            peer.send(b"".join(get(b"/%d" % number) for number in range(count))),
            peer.expect(*[ok(b"/%d" % number) for number in range(count)]),
        )
        assert (served, longest) == (count, REQUESTS_PER_TURN)
        await peer.send(get(b"/last"))
        await peer.expect(ok(b"/last"))


async def test_what_a_publisher_pipelines_is_taken_together() -> None:
    """Because it is to leave together."""
    turns: set[int] = set()
    turn = 0

    def answer(exchange: ClientExchange) -> None:
        turns.add(turn)
        echo(exchange)

    def watch() -> None:
        nonlocal turn
        turn += 1
        asyncio.get_running_loop().call_soon(watch)

    count = 10 * REQUESTS_PER_TURN
    async with staged(answer) as stage:
        stage.edge.counts_clients = False
        peer = await stage.connect()
        await settle()
        watch()
        await peer.send(get() * count)
        await peer.expect(*[ok(b"/")] * count)
        assert len(turns) == 1


@pytest.mark.parametrize("count", [REQUESTS_PER_TURN - 1, REQUESTS_PER_TURN, REQUESTS_PER_TURN + 1, 3_000])
@pytest.mark.parametrize("size", [100, 60_000, 70_000, 200_000])
async def test_a_body_behind_pipelined_requests_is_read(count: int, size: int) -> None:
    async def upload(exchange: ClientExchange) -> None:
        body = b""
        while piece := await exchange.read_chunk():
            body += piece
        exchange.respond(200, b"OK", [], b"%d" % len(body))

    def answer(exchange: ClientExchange) -> Coroutine[Any, Any, None] | None:
        if exchange.head.method == b"POST":
            return upload(exchange)
        echo(exchange)
        return None

    post = get(b"/", b"Content-Length: %d" % size, method=b"POST") + bytes(size)
    async with staged(answer) as stage:
        peer = await stage.connect()
        await asyncio.gather(
            peer.send(get(b"/x") * count + post + get(b"/y")),
            peer.expect(*[ok(b"/x")] * count, ok(b"%d" % size), ok(b"/y")),
        )


async def test_a_client_that_leaves_before_its_next_turn() -> None:
    served = 0

    def answer(exchange: ClientExchange) -> None:
        nonlocal served
        served += 1
        echo(exchange)
        if served == REQUESTS_PER_TURN:
            asyncio.get_running_loop().call_soon(stage.connection.cut_off)

    async with staged(answer) as stage:
        await stage.ask(get() * 100)
        await eventually(lambda: stage.edge.open_connections == 0, "gone")
        assert served == REQUESTS_PER_TURN


async def test_a_client_that_pipelines_and_does_not_read_is_not_served_without_end() -> None:
    """Or its answers would fill the memory."""
    body = bytes(200_000)
    count = 100
    served = 0

    def answer(exchange: ClientExchange) -> None:
        nonlocal served
        served += 1
        exchange.respond(200, b"OK", [], body)

    async with staged(answer) as stage:
        peer = await stage.ask(get() * count, is_slow=True)
        await settle()
        assert served < count / 2
        for _ in range(count):
            await peer.expect(ok(body))
        assert served == count
        await peer.send(get())
        await peer.expect(ok(body))


async def test_requests_of_a_client_that_does_not_read_wait_in_the_system() -> None:
    async with staged(lambda exchange: exchange.respond(200, b"OK", [], bytes(HUGE))) as stage:
        peer = await stage.ask(get(), is_slow=True)
        await settle()
        requests = get() * (HUGE // 20)
        sent = 0
        for _ in range(5):
            sent += peer.send_what_fits(requests[sent:])
            await settle()
        assert sent < len(requests)
        stage.skip(SEND_S)
        await peer.drain()
        assert (stage.edge.open_connections, stage.counters.client_timeouts) == (0, 1)


async def test_http10_closes_after_the_answer() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(get(b"/", version=b"1.0"))
        await peer.expect(b"HTTP/1.0 200 OK\r\nContent-Length: 1\r\n\r\n/")
        await peer.expect_end()


async def test_what_follows_a_last_request_is_read_and_not_served() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(get(b"/1", b"Connection: close") + get(b"/2"))
        await peer.expect(ok(b"/1", b"Connection: close"))
        await peer.expect_end()
        await peer.send(get(b"/3") * 1000)
        assert stage.counters.requests_received == 1


# --- refusals ------------------------------------------------------------------------------------------------------

MALFORMED = "Failed to parse request: invalid token"


@pytest.mark.parametrize("before", [b"", get(b"/1")], ids=["first", "second"])
async def test_a_request_that_is_no_request(before: bytes) -> None:
    """routes-72: it is answered, and nothing that follows is looked at."""
    async with staged(echo) as stage:
        peer = await stage.ask(before + b"G@T / HTTP/1.1\r\n\r\n" + get(b"/2"))
        if before:
            await peer.expect(ok(b"/1"))
        await peer.expect(refused(400, MALFORMED))
        await peer.expect_end()
        assert stage.counters.requests_malformed == 1


async def test_a_request_header_without_end() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(b"GET / HTTP/1.1\r\nA: " + b"b" * 1000)
        await peer.expect(refused(400, "Request header size exceeded limit of 1000 bytes."))
        await peer.expect_end()


CHUNKED_POST = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")


@pytest.mark.parametrize("sent_at_once", [b"x\r\n", b"1\r\na\r\n"], ids=["with the head", "later"])
async def test_a_body_with_broken_framing(sent_at_once: bytes) -> None:
    """routes spec §3.2; the exchange is cancelled before anything else is read."""
    async with staged(read_all) as stage:
        peer = await stage.ask(CHUNKED_POST + sent_at_once)
        if sent_at_once != b"x\r\n":
            await settle()
            await peer.send(b"x\r\n" + get())
        await peer.expect(refused(400, "Failed to parse request: invalid chunk size"))
        await peer.expect_end()


async def test_a_body_with_broken_framing_while_the_answer_is_sent() -> None:
    async def answer(exchange: ClientExchange) -> None:
        exchange.start_response(200, b"OK", [], None)
        exchange.write(b"a")
        await exchange.read_chunk()

    async with staged(answer) as stage:
        peer = await stage.ask(CHUNKED_POST)
        assert (await peer.read_until(b"1\r\na\r\n")).startswith(b"HTTP/1.1 200 OK\r\n")
        await peer.send(b"x\r\n")
        await peer.drain()
        await stage.expect_empty()


# --- time ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("before", [b"", get(b"/1")], ids=["never spoke", "between requests"])
async def test_an_idle_connection_is_closed_without_a_word(before: bytes) -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(before)
        if before:
            await peer.expect(ok(b"/1"))
        await eventually(lambda: stage.edge.open_connections, "accepted")
        stage.skip(IDLE_S - 1)
        await peer.expect_nothing()
        stage.skip(1.2)
        await peer.expect_end()
        assert stage.counters.client_timeouts == 0


async def test_a_request_header_that_takes_too_long() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(b"GET / HT")
        await settle()
        stage.skip(HEADER_S - 1)
        await peer.send(b"TP/1.1\r\nA: ")
        await peer.expect_nothing()
        stage.skip(1.2)
        await peer.expect(refused(408, "Request header not complete after 10 seconds."))
        await peer.expect_end()
        assert stage.counters.client_timeouts == 1


async def test_the_time_for_a_header_starts_anew_with_each_request() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(b"GET /1 HTTP/1.1\r\n")
        await settle()
        stage.skip(HEADER_S - 1)
        await peer.send(b"\r\nGET /2 HTTP/1.1\r\n")
        await peer.expect(ok(b"/1"))
        stage.skip(HEADER_S - 1)
        await peer.send(b"\r\n")
        await peer.expect(ok(b"/2"))


async def test_a_request_body_that_stops_coming() -> None:
    async with staged(read_all) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: 9", method=b"POST"))
        for _ in range(3):
            await settle()
            stage.skip(BODY_S - 1)
            await peer.send(b"a")
        await settle()
        stage.skip(BODY_S + 0.2)
        await peer.expect(refused(408, "No request body bytes for 30 seconds."))
        await peer.expect_end()
        stage.skip(LINGER_S + 0.2)
        await stage.expect_empty()


async def test_no_time_runs_while_the_service_works() -> None:
    gate = asyncio.Event()

    async def answer(exchange: ClientExchange) -> None:
        await gate.wait()
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await eventually(lambda: stage.counters.requests_received, "received")
        stage.skip(1000)
        gate.set()
        await peer.expect(ok(b"/"))


def huge_answer(is_whole: bool) -> Answer:
    async def in_pieces(exchange: ClientExchange) -> None:
        exchange.start_response(200, b"OK", [], HUGE)
        for _ in range(HUGE // 100_000):
            exchange.write(bytes(100_000))
            await exchange.drain()
        exchange.end_response()

    def at_once(exchange: ClientExchange) -> None:
        exchange.respond(200, b"OK", [], bytes(HUGE))

    return at_once if is_whole else in_pieces


@pytest.mark.parametrize("field", [b"A: b", b"Connection: close"], ids=["persistent", "last"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in pieces"])
async def test_a_client_that_takes_nothing_of_a_response_is_cut_off(is_whole: bool, field: bytes) -> None:
    async with staged(huge_answer(is_whole)) as stage:
        peer = await stage.ask(get(b"/", field), is_slow=True)
        await settle()
        stage.skip(SEND_S - 1)
        assert stage.edge.open_connections == 1
        stage.skip(1.2)
        await stage.expect_empty()
        assert await peer.drain() < HUGE


@pytest.mark.parametrize("field", [b"A: b", b"Connection: close"], ids=["persistent", "last"])
@pytest.mark.parametrize("is_whole", [True, False], ids=["whole", "in pieces"])
async def test_a_client_that_takes_a_response_slowly_gets_it(is_whole: bool, field: bytes) -> None:
    async with staged(huge_answer(is_whole)) as stage:
        peer = await stage.ask(get(b"/", field), is_slow=True)
        await peer.read_until(b"\r\n\r\n")
        size = 0
        while size < HUGE:
            size += len(await peer.read(min(4_000_000, HUGE - size)))
            await settle()
            if size < HUGE:
                stage.skip(SEND_S - 1)
        assert size == HUGE
        assert stage.counters.client_timeouts == 0


@pytest.mark.parametrize("field", [b"A: b", b"Connection: close"], ids=["persistent", "last"])
async def test_a_client_that_does_not_take_the_last_few_bytes_is_not_kept_for_ever(field: bytes) -> None:
    """So few that the transport does not even complain."""

    async def answer(exchange: ClientExchange) -> None:
        exchange.start_response(200, b"OK", [], HUGE)
        connection = stage.connection
        while not connection.unsent_bytes:
            exchange.write(bytes(50_000))
            await asyncio.sleep(0.001)
        assert connection.unsent_bytes < 60_000
        exchange.end_response()

    async with staged(answer) as stage:
        await stage.ask(get(b"/", field), is_slow=True)
        await eventually(lambda: stage.counters.requests_received and not stage.runtime.task_count, "answered")
        for _ in range(2):
            stage.skip(SEND_S + IDLE_S)
            await settle()
        await stage.expect_empty()


async def test_time_for_the_body_runs_on_when_the_client_takes_its_response_again() -> None:
    """The client reads the response and sends nothing more of its body."""

    async def answer(exchange: ClientExchange) -> None:
        body = stage.runtime.spawn(read_all(exchange), "body")
        exchange.start_response(200, b"OK", [], None)
        exchange.write(bytes(HUGE))
        try:
            await body
        finally:
            body.cancel()

    async with staged(answer) as stage:
        peer = await stage.ask(CHUNKED_POST, is_slow=True)
        await settle()
        await peer.read(HUGE)
        await settle()
        stage.skip(BODY_S + 0.2)
        await peer.drain()
        assert stage.counters.client_timeouts == 1


# --- the end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("is_reset", [False, True], ids=["closed", "reset"])
async def test_a_client_that_leaves_ends_its_exchange(is_reset: bool) -> None:
    ended: list[str] = []

    async def answer(exchange: ClientExchange) -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await eventually(lambda: stage.runtime.task_count, "being served")
        if is_reset:
            peer.reset()
        else:
            peer.close()
        await stage.expect_empty()
        assert ended == ["cancelled"]


async def test_a_client_that_leaves_wakes_who_waits_for_it_to_read() -> None:
    async with staged(huge_answer(is_whole=False)) as stage:
        peer = await stage.ask(get(), is_slow=True)
        await settle()
        assert stage.runtime.task_count == 1
        peer.reset()
        await stage.expect_empty()


async def test_a_response_that_breaks_off() -> None:
    """The client sees what was written, and that it is not all (RFC 9112 §8)."""

    async def answer(exchange: ClientExchange) -> None:
        exchange.start_response(200, b"OK", [], 10)
        exchange.write(b"hello")
        exchange.abort()
        exchange.end_response()

    async with staged(answer) as stage:
        peer = await stage.ask(get() + get())
        await peer.expect(ok(bytes(10))[:-10], b"hello")
        await peer.expect_end()


class TestOrderlyStop:
    async def test_idle_connections_close_at_once(self) -> None:
        async with staged(echo) as stage:
            peer = await stage.ask(get())
            await peer.expect(ok(b"/"))
            stage.edge.drain()
            await peer.expect_end()
            await stage.edge.emptied.wait()

    async def test_a_request_being_served_is_answered_first(self) -> None:
        gate = asyncio.Event()

        async def answer(exchange: ClientExchange) -> None:
            await gate.wait()
            echo(exchange)

        async with staged(answer) as stage:
            peer = await stage.ask(get())
            await eventually(lambda: stage.runtime.task_count, "being served")
            stage.edge.drain()
            assert not stage.edge.emptied.is_set()
            gate.set()
            await peer.expect(ok(b"/", b"Connection: close"))
            await peer.expect_end()
            await stage.edge.emptied.wait()

    async def test_a_response_that_has_begun_is_ended_first(self) -> None:
        """Although its head said that the connection stays."""
        gate = asyncio.Event()

        async def answer(exchange: ClientExchange) -> None:
            exchange.start_response(200, b"OK", [], 1)
            await gate.wait()
            exchange.write(b"a")
            exchange.end_response()

        async with staged(answer) as stage:
            peer = await stage.ask(get())
            await peer.read_until(b"\r\n\r\n")
            stage.edge.drain()
            gate.set()
            await peer.expect(b"a")
            await peer.expect_end()

    async def test_a_client_that_does_not_read_holds_it_up_for_the_send_timeout_only(self) -> None:
        async with staged(huge_answer(is_whole=True)) as stage:
            await stage.ask(get(), is_slow=True)
            await settle()
            stage.edge.drain()
            stage.skip(SEND_S + 0.2)
            await stage.edge.emptied.wait()


# --- the rest ------------------------------------------------------------------------------------------------------


async def test_peers_are_described_by_address_and_port(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "holdfast.net")
    async with staged(echo) as stage:
        peer = await stage.ask(b"\x00")
        await peer.drain()
        host, port = peer.sock.getsockname()
        assert caplog.messages == [f"client {host}:{port}: request refused: {MALFORMED}"]


async def test_a_unix_socket_has_no_address() -> None:
    ours, theirs = socket.socketpair()
    async with staged(echo) as stage:
        connection = ClientConnection(stage.edge)
        await stage.runtime.loop.connect_accepted_socket(lambda: connection, ours)
        assert (connection.peer_address, connection.describe()) == ("", "unix")
        theirs.close()


async def test_small_packets_are_sent_at_once() -> None:
    async with staged(echo) as stage:
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        connection = stage.connection
        assert stage.lot is not None
        transport, _ = connection.let_go()
        fd = transport.release()
        stage.lot.forget(fd)
        with socket.socket(fileno=fd) as sock:
            assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
            assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        stage.edge.closed(connection.started)


async def test_limits_are_those_of_the_listener() -> None:
    async with staged(echo, limits=replace(LIMITS, idle_timeout_s=1000)) as stage:
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        stage.skip(999)
        await peer.expect_nothing()


async def test_nothing_is_served_to_a_client_that_turned_out_to_be_gone() -> None:
    """The end of one response shows that it has left; what it asked after that is of no use any more."""
    exchanges: list[ClientExchange] = []
    async with staged(exchanges.append) as stage:
        peer = await stage.ask(get() + get())
        await eventually(lambda: exchanges, "asked")
        peer.reset()
        exchanges[0].respond(200, b"OK", [], b"late")
        await settle()
        assert len(exchanges) == 1
        await stage.expect_empty()
