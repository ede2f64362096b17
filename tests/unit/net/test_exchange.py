"""One request with its response: the body as it arrives, and the framing of the answer."""

from __future__ import annotations

import asyncio

import pytest
from tests.unit.net.helpers import HUGE, Answer, Owner, echo, eventually, get, ok, settle, staged

from holdfast.net.client import PIPELINE_BUFFER_BYTES
from holdfast.net.exchange import BODY_BUFFER_BYTES, ClientExchange, ClientGone
from holdfast.wire.cross_origin import BegunResponse, Cors, WholeResponse
from holdfast.wire.headers import Headers

POST_5 = get(b"/", b"Content-Length: 5", method=b"POST")
POST_CHUNKED = get(b"/", b"Transfer-Encoding: chunked", method=b"POST")
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


# --- request bodies ------------------------------------------------------------------------------------------------


async def echo_body(exchange: ClientExchange) -> None:
    pieces = []
    while piece := await exchange.read_chunk():
        pieces.append(piece)
    exchange.respond(200, b"OK", [], b"".join(pieces))


BODIES: list[tuple[str, bytes, bytes]] = [
    ("none", get(), b""),
    ("empty", get(b"/", b"Content-Length: 0", method=b"POST"), b""),
    ("sized", POST_5 + b"hello", b"hello"),
    ("chunked", POST_CHUNKED + b"2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\n", b"hello"),
    ("chunked and empty", POST_CHUNKED + b"0\r\n\r\n", b""),
]


@pytest.mark.parametrize("is_bytewise", [False, True], ids=["whole", "byte by byte"])
@pytest.mark.parametrize(("data", "body"), [case[1:] for case in BODIES], ids=[case[0] for case in BODIES])
async def test_a_body_and_then_the_next_request(data: bytes, body: bytes, is_bytewise: bool) -> None:
    data += get(b"/next")
    async with staged(echo_body) as stage:
        peer = await stage.connect()
        for start in range(0, len(data), 1 if is_bytewise else len(data)):
            await peer.send(data[start : start + 1] if is_bytewise else data)
        await peer.expect(ok(body), ok(b""))


async def test_read_prefix_waits_for_so_much_or_the_end() -> None:
    prefixes: list[bytes] = []

    async def answer(exchange: ClientExchange) -> None:
        prefixes.append(await exchange.read_prefix(3))
        prefixes.append(await exchange.read_prefix(3))
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(POST_5)
        for piece in (b"h", b"el", b"lo"):
            await settle()
            await peer.send(piece)
        await peer.expect(ok(b"/"))
        assert prefixes == [b"hel", b"lo"]


async def test_read_prefix_of_more_than_is_kept_unasked() -> None:
    piece, size = bytes(BODY_BUFFER_BYTES), 3 * BODY_BUFFER_BYTES
    prefixes: list[bytes] = []

    async def answer(exchange: ClientExchange) -> None:
        prefixes.append(await exchange.read_prefix(size + 1))
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: %d" % size, method=b"POST"))
        for _ in range(3):
            await settle()
            await peer.send(piece)
        await peer.expect(ok(b"/"))
        assert prefixes == [bytes(size)]


async def test_the_rest_of_a_body_that_a_hold_does_not_want() -> None:
    """A client that keeps its transport is read from, to see it leave: its own body is not too much to say."""
    owner = Owner()
    async with staged(lambda exchange: owner.hold(exchange, ok(b"")), has_parking=False) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: %d" % HUGE, method=b"POST"))
        await peer.expect(ok(b""))
        await peer.send(bytes(HUGE))
        assert owner.gone == 0
        await peer.send(get(b"/next"))
        await settle()
        assert owner.gone == 0
        await peer.send(bytes(2 * PIPELINE_BUFFER_BYTES))
        await eventually(lambda: owner.gone, "said too much")


async def test_a_large_body_waits_in_the_system() -> None:
    """And the client is read from again when there is room."""
    gate = asyncio.Event()

    async def answer(exchange: ClientExchange) -> None:
        await gate.wait()
        size = 0
        while piece := await exchange.read_chunk():
            size += len(piece)
        exchange.respond(200, b"OK", [], b"%d" % size)

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: %d" % HUGE, method=b"POST"))
        sent = 0
        for _ in range(5):
            sent += peer.send_what_fits(bytes(HUGE - sent))
            await settle()
        assert sent < HUGE
        gate.set()
        await peer.send(bytes(HUGE - sent))
        await peer.expect(ok(b"%d" % HUGE))


async def test_a_client_that_leaves_is_noticed_although_its_whole_body_waits() -> None:
    """A large body that is complete is no reason not to listen."""

    async def answer(exchange: ClientExchange) -> None:
        await asyncio.Event().wait()

    size = 90_000
    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: %d" % size, method=b"POST") + bytes(size))
        await settle()
        peer.close()
        await stage.expect_empty()


@pytest.mark.parametrize("size", [5, 70_000])
async def test_take_gives_what_is_here(size: int) -> None:
    taken: list[bytes] = []

    async def answer(exchange: ClientExchange) -> None:
        await eventually(lambda: exchange.is_body_complete, "here")
        taken.append(exchange.take())
        taken.append(exchange.take())
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: %d" % size, method=b"POST") + bytes(size))
        await peer.expect(ok(b"/"))
        assert taken == [bytes(size), b""]


# --- 100-continue --------------------------------------------------------------------------------------------------

EXPECTING = get(b"/", b"Content-Length: 5", b"Expect: 100-continue", method=b"POST")


async def test_the_client_is_asked_to_go_on_once() -> None:
    """routes-65"""
    async with staged(echo_body) as stage:
        peer = await stage.ask(EXPECTING)
        await peer.expect(CONTINUE)
        await peer.send(b"he")
        await settle()
        await peer.send(b"llo")
        await peer.expect(ok(b"hello"))


async def test_the_client_is_not_asked_when_its_body_is_on_the_way() -> None:
    async with staged(echo_body) as stage:
        peer = await stage.ask(EXPECTING + b"hello")
        await peer.expect(ok(b"hello"))


async def test_the_client_is_not_asked_for_a_body_that_nobody_wants() -> None:
    """The connection closes, since the body may come or not (RFC 9110 §10.1.1)."""
    async with staged(echo) as stage:
        peer = await stage.ask(EXPECTING)
        await peer.expect(ok(b"/", b"Connection: close"))
        await peer.expect_end()


@pytest.mark.parametrize(
    "field", [b"Content-Length: 0", b"A: b"], ids=["an empty body need not be asked for", "nor one that is none"]
)
async def test_nothing_to_expect(field: bytes) -> None:
    async with staged(echo_body) as stage:
        peer = await stage.ask(get(b"/", field, b"Expect: 100-continue", method=b"POST"))
        await peer.expect(ok(b""))


# --- responses in one go -------------------------------------------------------------------------------------------


def respond(code: int, body: bytes, **options: object) -> Answer:
    return lambda exchange: exchange.respond(code, b"X", [(b"A", b"b")], body, **options)  # type: ignore[arg-type]


WHOLE: list[tuple[str, bytes, Answer, bytes]] = [
    ("plain", get(), respond(200, b"hi"), b"HTTP/1.1 200 X\r\nA: b\r\nContent-Length: 2\r\n\r\nhi"),
    ("empty", get(), respond(404, b""), b"HTTP/1.1 404 X\r\nA: b\r\nContent-Length: 0\r\n\r\n"),
    ("routes-69: 204", get(), respond(204, b"hi"), b"HTTP/1.1 204 X\r\nA: b\r\n\r\n"),
    ("routes-69: 304", get(), respond(304, b"hi"), b"HTTP/1.1 304 X\r\nA: b\r\n\r\n"),
    (
        "routes-69: HEAD has the length",
        get(method=b"HEAD"),
        respond(200, b"hi"),
        b"HTTP/1.1 200 X\r\nA: b\r\nContent-Length: 2\r\n\r\n",
    ),
    (
        "HEAD with the length that a backend stated",
        get(method=b"HEAD"),
        respond(200, b"", length=7),
        b"HTTP/1.1 200 X\r\nA: b\r\nContent-Length: 7\r\n\r\n",
    ),
    (
        "HEAD of unknown length",
        get(method=b"HEAD"),
        respond(200, b"", is_head_only=True),
        b"HTTP/1.1 200 X\r\nA: b\r\n\r\n",
    ),
    (
        "HTTP/1.0 that stays open",
        get(b"/", b"Connection: keep-alive", version=b"1.0"),
        respond(200, b"hi"),
        b"HTTP/1.0 200 X\r\nA: b\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi",
    ),
]


@pytest.mark.parametrize(("data", "answer", "expected"), [c[1:] for c in WHOLE], ids=[c[0] for c in WHOLE])
async def test_whole_responses_leave_the_connection_usable(data: bytes, answer: Answer, expected: bytes) -> None:
    async with staged(answer) as stage:
        peer = await stage.ask(data)
        await peer.expect(expected)
        await peer.send(data)
        await peer.expect(expected)
        await peer.expect_nothing()


async def test_an_unread_body_makes_a_response_the_last() -> None:
    """Its rest would be taken for the next request."""
    async with staged(echo) as stage:
        peer = await stage.ask(POST_5 + b"hel")
        await peer.expect(ok(b"/", b"Connection: close"))
        await peer.send(b"lo" + get(b"/2"))
        await peer.expect_end()
        assert stage.counters.requests_received == 1


async def test_a_response_may_be_made_the_last() -> None:
    def answer(exchange: ClientExchange) -> None:
        exchange.make_last()
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await peer.expect(ok(b"/", b"Connection: close"))
        await peer.expect_end()


@pytest.mark.parametrize(
    ("data", "is_plain"),
    [
        (get(), True),
        (POST_5 + b"hello", True),
        (POST_5 + b"hel", False),
        (get(method=b"HEAD"), False),
        (get(b"/", b"Connection: close"), False),
        (get(b"/", b"Connection: keep-alive", version=b"1.0"), False),
        (get(b"/transformed"), False),
    ],
)
async def test_a_head_that_is_encoded_already(data: bytes, is_plain: bool) -> None:
    """It says what the usual one would where the exchange is plain."""
    seen: list[object] = []

    def answer(exchange: ClientExchange) -> None:
        if exchange.head.target == b"/transformed":
            exchange.transform = Shouting()
        seen.append(exchange.is_plain)
        exchange.respond_encoded(ok(b""), b"")
        seen.append((exchange.has_started, exchange.head_bytes_sent, exchange.body_bytes_sent))

    async with staged(answer) as stage:
        peer = await stage.ask(data)
        await peer.expect(ok(b""))
    assert seen == [is_plain, (True, len(ok(b"")), 0)]


# --- responses in pieces -------------------------------------------------------------------------------------------

PIECES = [b"hello", b"", b" ", b"world"]
CHUNKED_HEAD = b"HTTP/1.1 200 OK\r\nA: b\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
CHUNKS = b"5\r\nhello\r\n1\r\n \r\n5\r\nworld\r\n0\r\n\r\n"

IN_PIECES: list[tuple[str, bytes, int | None, bytes, bool]] = [
    ("sized", get(), 11, b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 11\r\n\r\nhello world", True),
    ("routes-68: chunked", get(), None, CHUNKED_HEAD + CHUNKS, True),
    ("HEAD", get(method=b"HEAD"), None, CHUNKED_HEAD, True),
    ("HEAD, sized", get(method=b"HEAD"), 11, b"HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 11\r\n\r\n", True),
    ("routes-68: HTTP/1.0 closes", get(version=b"1.0"), None, b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello world", False),
    (
        "HTTP/1.0 cannot stay open without a length",
        get(b"/", b"Connection: keep-alive", version=b"1.0"),
        None,
        b"HTTP/1.0 200 OK\r\nA: b\r\n\r\nhello world",
        False,
    ),
]


@pytest.mark.parametrize(
    ("data", "length", "expected", "is_persistent"), [c[1:] for c in IN_PIECES], ids=[c[0] for c in IN_PIECES]
)
async def test_responses_in_pieces(data: bytes, length: int | None, expected: bytes, is_persistent: bool) -> None:
    sent: list[int] = []

    async def answer(exchange: ClientExchange) -> None:
        headers: Headers = [(b"A", b"b")]
        assert not exchange.has_started
        exchange.start_response(200, b"OK", headers, length)
        assert exchange.has_started
        for piece in PIECES:
            exchange.write(piece)
            await exchange.drain()
        exchange.end_response()
        sent.append(exchange.body_bytes_sent)

    async with staged(answer) as stage:
        peer = await stage.ask(data)
        await peer.expect(expected)
        if is_persistent:
            await peer.send(data)
            await peer.expect(expected)
        else:
            await peer.expect_end()
        assert sent[0] == (0 if data.startswith(b"HEAD") else 11)


async def test_drain_waits_for_the_client() -> None:
    written = 0

    async def answer(exchange: ClientExchange) -> None:
        nonlocal written
        exchange.start_response(200, b"OK", [], HUGE)
        while written < HUGE:
            exchange.write(bytes(100_000))
            written += 100_000
            await exchange.drain()
        exchange.end_response()

    async with staged(answer) as stage:
        peer = await stage.ask(get(), is_slow=True)
        await settle()
        assert written < HUGE
        await peer.expect(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % HUGE, bytes(HUGE))


# --- the client ----------------------------------------------------------------------------------------------------


async def test_who_asks() -> None:
    seen: list[tuple[str, bool]] = []

    def answer(exchange: ClientExchange) -> None:
        seen.append((exchange.client_address, exchange.is_tls))
        echo(exchange)

    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await peer.expect(ok(b"/"))
        assert seen == [("127.0.0.1", False)]


async def test_a_body_of_a_client_that_is_gone_cannot_be_read() -> None:
    raised: list[type[BaseException]] = []

    async def answer(exchange: ClientExchange) -> None:
        stage.connection.cut_off()
        try:
            await exchange.read_chunk()
        except ClientGone as gone:
            raised.append(type(gone))

    async with staged(answer) as stage:
        await stage.ask(POST_5)
        await eventually(lambda: raised, "raised")
        await stage.expect_empty()


async def test_a_client_that_left_is_not_held() -> None:
    owner = Owner()
    outcome: list[object] = []

    async def answer(exchange: ClientExchange) -> None:
        stage.connection.cut_off()
        outcome.append(await exchange.hold(owner, b"first"))

    async with staged(answer) as stage:
        await stage.ask(get())
        await eventually(lambda: outcome, "tried")
        assert outcome == [None] and owner.gone == 0


# --- transforms ----------------------------------------------------------------------------------------------------


class Shouting:
    """Makes one response of another: all letters are capital ones, and the first piece of a body comes before it."""

    def __init__(self) -> None:
        self.lengths: list[int | None] = []

    @property
    def cors(self) -> Cors:
        raise NotImplementedError

    def whole(self, code: int, reason: bytes, headers: Headers, body: bytes, length: int | None) -> WholeResponse:
        self.lengths.append(length)
        return 200, reason.upper(), [*headers, (b"X", b"1")], body.upper() + b"!"

    def begin(self, code: int, reason: bytes, headers: Headers, length: int | None) -> BegunResponse:
        self.lengths.append(length)
        return BegunResponse(200, reason.upper(), headers, None, ShoutedPieces())

    def held(self, code: int, reason: bytes, headers: Headers, body: bytes) -> WholeResponse:
        raise NotImplementedError


class ShoutedPieces:
    prefix = b"<"

    def piece(self, content: bytes) -> bytes:
        return content.strip().upper()

    def end(self) -> bytes:
        return b">"


async def test_a_whole_response_is_transformed() -> None:
    """Its framing is that of what comes of it; what a backend said of its length counts for HEAD alone."""
    transform = Shouting()

    def answer(exchange: ClientExchange) -> None:
        exchange.transform = transform
        exchange.respond(204, b"ok", [], b"body", length=7)

    head = b"HTTP/1.1 200 OK\r\nX: 1\r\nContent-Length: "
    async with staged(answer) as stage:
        peer = await stage.ask(get() + get(method=b"HEAD"))
        await peer.expect(head + b"5\r\n\r\nBODY!", head + b"7\r\n\r\n")
    assert transform.lengths == [7, 7]


async def test_a_body_is_transformed_piece_by_piece() -> None:
    """A piece of which nothing is left must not end it."""
    transform = Shouting()

    def answer(exchange: ClientExchange) -> None:
        exchange.transform = transform
        exchange.start_response(404, b"ok", [], 7)
        for piece in (b"a", b" ", b"b"):
            exchange.write(piece)
        exchange.end_response()
        assert exchange.body_bytes_sent == 4

    head = b"HTTP/1.1 200 OK\r\nConnection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with staged(answer) as stage:
        peer = await stage.ask(get())
        await peer.expect(head + b"1\r\n<\r\n1\r\nA\r\n1\r\nB\r\n1\r\n>\r\n0\r\n\r\n")
    assert transform.lengths == [7]


async def test_a_body_that_is_stated_elsewhere() -> None:
    """Its length is its own, whatever the head says."""

    def answer(exchange: ClientExchange) -> None:
        exchange.replace_body(b"hello")
        assert (exchange.is_body_complete, exchange.content_length) == (True, 5)
        exchange.respond(200, b"OK", [], exchange.take())

    async with staged(answer) as stage:
        peer = await stage.ask(get(b"/", b"Content-Length: 0") + get())
        await peer.expect(ok(b"hello"), ok(b"hello"))
