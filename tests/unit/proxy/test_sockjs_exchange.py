"""Requests of SockJS clients on real sockets, also where clients cannot be parked (routes spec §4.2, §4.3)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest
from tests.unit.net.helpers import eventually, settle
from tests.unit.proxy.handshakes import Handshakes, accepted, handshakes

from holdfast.wire.websocket.frames import Opcode, encode_close, encode_frame

COMMON = (
    b"Cache-Control: no-store, no-cache, must-revalidate, max-age=0\r\nAccess-Control-Allow-Origin: *\r\n"
    b"Access-Control-Allow-Credentials: true\r\n"
)


def request(path: str, body: bytes = b"", *, method: str = "POST", headers: str = "") -> bytes:
    head = f"{method} /s{path} HTTP/1.1\r\nHost: h.com\r\n{headers}"
    return (head + (f"Content-Length: {len(body)}\r\n" if body else "") + "\r\n").encode() + body


def answered(body: bytes, *, content_type: bytes = b"text/plain", status: bytes = b"200 OK") -> bytes:
    head = b"HTTP/1.1 %b\r\nContent-Type: %b\r\n%bContent-Length: %d\r\n\r\n"
    return head % (status, content_type, COMMON, len(body)) + body


def message(content: bytes) -> bytes:
    return encode_frame(Opcode.TEXT, content)


@asynccontextmanager
async def sessions(*, has_parking: bool = True) -> AsyncIterator[Handshakes]:
    """At the end every session is forgotten."""
    async with handshakes(has_parking=has_parking) as proxy:
        proxy.route(condition="*,sockjs=/s")
        yield proxy
        for peer in proxy.stage.peers:
            peer.close()
        await settle()
        proxy.stage.skip(6)
        await eventually(lambda: len(proxy.context.sockjs) == 0, "no session is left")


async def test_a_session(has_parking: bool) -> None:
    async with sessions(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend = await proxy.accept()
        await client.expect(answered(b"o\n"))
        await client.send(request("/0/x/xhr_send", b'["a"]'))
        await client.expect(answered(b"ok"))
        await client.send(request("/0/x/xhr"))
        await settle()
        await backend.send(message(b"1"))
        await client.expect(answered(b'a["1"]\n'))
        await client.send(request("/0/x/xhr"))
        await settle()
        await backend.send(encode_close(4000, "bye"))
        await client.expect(answered(b'c[4000,"bye"]\n'))
        outcomes = [("response", 200), ("response", 200), ("accept", None), ("accept", None)]
        assert proxy.log.outcomes == outcomes


async def test_a_stream(has_parking: bool) -> None:
    async with sessions(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(request("/0/x/eventsource", method="GET"))
        backend = await proxy.accept()
        head = await client.read_until(b"\r\n\r\n")
        assert head.endswith(COMMON + b"Connection: Transfer-Encoding\r\nTransfer-Encoding: chunked\r\n\r\n")
        await client.expect(b"2\r\n\r\n\r\nb\r\ndata: o\r\n\r\n\r\n")
        await backend.send(message(b"1"))
        await client.expect(b'10\r\ndata: a["1"]\r\n\r\n\r\n')
        proxy.context.sockjs.end_all()
        ending = b'data: c[1001,"Connection closed"]\r\n\r\n'
        await client.expect(b"%x\r\n%b\r\n0\r\n\r\n" % (len(ending), ending))
        assert proxy.log.outcomes == [("accept", None)]


async def test_a_poll_when_the_backend_breaks_off(has_parking: bool) -> None:
    async with sessions(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend = await proxy.accept()
        await client.expect(answered(b"o\n"))
        await client.send(request("/0/x/xhr"))
        await settle()
        backend.close()
        await client.expect(answered(b"Session terminated\n", status=b"410 Gone"))


async def test_an_orderly_stop_reaches_polls(has_parking: bool) -> None:
    async with sessions(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        await proxy.accept()
        await client.expect(answered(b"o\n"))
        await client.send(request("/0/x/xhr"))
        await settle()
        proxy.stage.edge.drain()
        if proxy.stage.lot is not None:
            proxy.stage.lot.end_holds()
        await client.expect(answered(b'c[1001,"Connection closed"]\n'))


async def test_a_client_that_leaves(has_parking: bool) -> None:
    async with sessions(has_parking=has_parking) as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend = await proxy.accept()
        await client.expect(answered(b"o\n"))
        await client.send(request("/0/x/xhr"))
        await settle()
        client.close()
        await eventually(lambda: len(proxy.context.sockjs) == 0, "the session is forgotten")
        await backend.expect_end()


async def test_a_client_that_leaves_during_the_opening() -> None:
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend, _ = await proxy.asked()
        client.close()
        await eventually(lambda: len(proxy.context.sockjs) == 0, "the session is forgotten")
        await backend.expect_end()
        assert proxy.log.outcomes == [("error", None)]


async def test_a_backend_that_accepts_and_is_gone() -> None:
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend, asked = await proxy.asked()
        await backend.send(accepted(asked))
        backend.close()
        first = await client.read_until(b"o\n")
        assert first == answered(b"o\n")


@pytest.mark.parametrize(
    ("asked", "answer"),
    [
        (request("/0/x/xhr_send", b"[]"), answered(b"Not Found\n", status=b"404 Not Found")),
        (request("/nothing"), answered(b"Not Found\n", status=b"404 Not Found")),
        (request("/0/x/jsonp", method="GET"), answered(b"Bad Request\n", status=b"400 Bad Request")),
        (
            request("/0/x/xhr", method="OPTIONS"),
            b"HTTP/1.1 204 No Content\r\nContent-Type: text/plain\r\n" + COMMON + b"\r\n",
        ),
    ],
)
async def test_answers_without_a_session(asked: bytes, answer: bytes) -> None:
    async with sessions() as proxy:
        client = await proxy.stage.ask(asked)
        await client.expect(answer)


async def test_a_body_that_is_too_large() -> None:
    """It is not waited for."""
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr", b"x" * 100_001)[:-1])
        await client.read_until(b"\r\n\r\nRequest too large.\n")


async def test_a_chunked_body_that_is_too_large() -> None:
    async with sessions() as proxy:
        chunks = b"10000\r\n" + b"x" * 0x10000 + b"\r\n"
        head = request("/0/x/xhr_send", headers="Transfer-Encoding: chunked\r\n")
        client = await proxy.stage.ask(head + chunks * 2)
        await client.read_until(b"\r\n\r\nRequest too large.\n")


@pytest.mark.spec("routes-102")
async def test_iframe() -> None:
    async with sessions() as proxy:
        etag = proxy.context.sockjs.page.etag.decode()
        client = await proxy.stage.ask(request("/iframe.html", method="GET"))
        head = await client.read_until(b"\r\n\r\n")
        assert f"ETag: {etag}\r\n".encode() in head
        assert b"Cache-Control: public, max-age=31536000\r\nCache-Control: no-store" in head
        await client.expect(proxy.context.sockjs.page.body)
        await client.send(request("/iframe.html", method="GET", headers=f"If-None-Match: {etag}\r\n"))
        await client.expect(b"HTTP/1.1 304 Not Modified\r\n" + f"ETag: {etag}\r\n".encode() + COMMON + b"\r\n")


async def test_jsonp() -> None:
    async with sessions() as proxy:
        script = b"application/javascript"
        client = await proxy.stage.ask(request("/0/x/jsonp?c=cb", method="GET"))
        backend, asked = await proxy.asked()
        assert asked.startswith(b"GET /s?c=cb HTTP/1.1\r\n")
        await backend.send(accepted(asked) + message(b"1"))
        await client.expect(answered(b'/**/cb("o");\n', content_type=script))
        await client.send(request("/0/x/jsonp_send?c=cb", b"d=%5B%22a%22%5D"))
        await client.expect(answered(b'/**/cb("ok");\n', content_type=script))
        await client.send(request("/0/x/jsonp_send?d=[%22b%22]", method="GET"))
        await client.expect(answered(b"ok"))
        await client.send(request("/0/x/jsonp_send", b"x=1"))
        await client.expect(answered(b"Payload expected\n", status=b"400 Bad Request"))
        await client.send(request("/0/x/jsonp?c=cb", method="GET"))
        await client.expect(answered(b'/**/cb("a[\\"1\\"]");\n', content_type=script))
        await backend.send(encode_close(4000, "bye"))
        await client.send(request("/0/x/jsonp?c=cb", method="GET"))
        await client.expect(answered(b'/**/cb("c[4000,\\"bye\\"]");\n', content_type=script))
        await client.send(request("/0/x/jsonp_send", b"d=%5B%22a%22%5D"))
        await client.expect(answered(b'c[4000,"bye"]\n'))


async def test_one_send_at_a_time() -> None:
    """The first of them is told that all is well, but the backend has not even accepted."""
    async with sessions() as proxy:
        first = await proxy.stage.ask(request("/0/x/xhr"))
        backend, asked = await proxy.asked()
        second = await proxy.stage.ask(request("/0/x/xhr_send", b'["a"]'))
        await second.expect(answered(b"ok"))
        third = await proxy.stage.ask(request("/0/x/xhr_send", b'["b"]'))
        await third.expect(answered(b"Already sending\n", status=b"400 Bad Request"))
        await backend.send(accepted(asked))
        await first.expect(answered(b"o\n"))
        await third.send(request("/0/x/xhr_send", b'["b"]'))
        await third.expect(answered(b"ok"))


async def test_a_rejection_is_not_remembered() -> None:
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        backend, _ = await proxy.asked()
        await backend.send(b"HTTP/1.1 403 Go Away\r\nX-Why: 1\r\nContent-Length: 2\r\n\r\nno")
        answer = b"HTTP/1.1 403 Go Away\r\nX-Why: 1\r\n" + COMMON + b"Content-Length: 2\r\n\r\nno"
        await client.expect(answer)
        assert len(proxy.context.sockjs) == 0
        assert proxy.log.outcomes == [("response", 403)]
        await client.send(request("/0/x/xhr"))
        await proxy.accept()
        await client.expect(answered(b"o\n"))


async def test_a_session_belongs_to_its_host() -> None:
    """Also where one route is for all hosts."""
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr"))
        await proxy.accept()
        await client.expect(answered(b"o\n"))
        stranger = request("/0/x/xhr_send", b'["a"]').replace(b"Host: h.com", b"Host: other.com")
        await client.send(stranger)
        await client.expect(answered(b"Not Found\n", status=b"404 Not Found"))
        await client.send(request("/0/x/xhr_send", b'["a"]'))
        await client.expect(answered(b"ok"))


async def test_nobody_to_ask() -> None:
    async with sessions() as proxy:
        proxy.route("127.0.0.1:1", condition="*,debug,sockjs=/s")
        client = await proxy.stage.ask(request("/0/x/xhr"))
        head = await client.read_until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 502 Bad Gateway\r\n" + COMMON)
        assert b"Content-Type" not in head
        await client.read_until(b"Unable to connect to any targets. Tried: 127.0.0.1:1\n")
        assert len(proxy.context.sockjs) == 0


async def test_a_client_that_leaves_in_the_middle_of_its_body() -> None:
    async with sessions() as proxy:
        client = await proxy.stage.ask(request("/0/x/xhr_send", b'["a"]')[:-1])
        await settle()
        client.close()
        await eventually(lambda: len(proxy.log.outcomes) == 1, "the end of the request")
        assert proxy.log.outcomes == [("error", None)]


async def test_what_makes_no_sense_is_not_ours() -> None:
    """Whoever answers otherwise answers that, too."""
    async with sessions() as proxy:
        client = await proxy.stage.ask(b"POST /s/0/x/xhr HTTP/1.1\r\nHost: a/b\r\n\r\n")
        await client.read_until(b"plain")
        client = await proxy.stage.ask(b"GET /elsewhere HTTP/1.1\r\nHost: h.com\r\n\r\n")
        await client.read_until(b"plain")


async def test_a_failure_of_ours(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    async with sessions() as proxy:
        monkeypatch.setattr("holdfast.proxy.sockjs_front.Opening.run", lambda _: 1 / 0)
        client = await proxy.stage.ask(request("/0/x/xhr"))
        await client.read_until(b"Failed to process request.\n")
        assert "SockJS request for http://h.com/s/0/x/xhr failed" in caplog.text
        assert len(proxy.context.sockjs) == 0
