"""SockJS over HTTP with WebSocket backends: what they see of a client, and what the client gets of them."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.cors import without_framing
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.sockjs import (
    CLOSED,
    COMMON,
    JSONP,
    STILL_OPEN,
    TEXT,
    XHR,
    Session,
    Transport,
    messages,
)
from tests.harness.websocket import Frame, Opcode, binary, close, fragments, ping, pong, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend

OTHERS = 60
both = pytest.mark.parametrize("transport", [XHR, JSONP], ids=["xhr", "jsonp"])
_numbers = itertools.count(1)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    """Each test has a prefix of its own, by which it knows its WebSockets."""
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        *(f"relay,path_beg=/s{number}/,sockjs=/s{number} {target}" for number in range(1, OTHERS)),
        f"as-path,sockjs=/s,sockjs_as_path=/other {target}",
    )


class Stage:
    """Sessions whose WebSockets the test plays."""

    def __init__(self, connect: Connect, port: int, backend: WebSocketBackend) -> None:
        self._connect = connect
        self._port = port
        self._backend = backend

    def begin(self, transport: Transport = XHR, **options: Any) -> tuple[Session, RawClient, BackendPeer]:
        """A session, its first poll, and the handshake at the backend."""
        prefix = f"/s{next(_numbers)}"
        session = Session(self._connect, self._port, "relay", prefix, transport)
        poll = session.begin_poll(**options)
        return session, poll, self._backend.take(prefix)

    def open(self, transport: Transport = XHR) -> tuple[Session, BackendPeer]:
        """An open session and its WebSocket."""
        session, poll, peer = self.begin(transport)
        peer.accept()
        session.check(poll.read_response(), "o")
        return session, peer


@pytest.fixture
def stage(proxy: ProxyUnderTest, connect: Connect, ws_backend: WebSocketBackend) -> Iterator[Stage]:
    yield Stage(connect, proxy.port, ws_backend)
    ws_backend.close_connections()


class TestOpening:
    def test_request(self, stage: Stage) -> None:
        """One WebSocket at the prefix, with the headers and the query of the first poll."""
        sent = [("Origin", "http://a"), ("Cookie", "a=b"), ("X-Own", "1"), ("Sec-WebSocket-Protocol", "p")]
        _session, poll, peer = stage.begin(query="x=1&y=%20", headers=sent)
        request = peer.request
        assert (request.method, request.target) == ("GET", f"{request.path}?x=1&y=%20")
        assert [header for header in request.headers if header in sent] == sent
        expected = {
            "Host": "relay",
            "Upgrade": "websocket",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Extensions": "grip",
        }
        assert {name: request.header(name) for name in expected} == expected
        assert request.has("Sec-WebSocket-Key") and request.has("Grip-Sig")
        assert not request.has("Content-Length")
        poll.assert_silent(0.2)
        peer.accept([("X-Foo", "1"), ("Sec-WebSocket-Protocol", "p")])
        response = poll.read_response()
        assert (response.text, response.has("X-Foo"), response.has("Sec-WebSocket-Protocol")) == ("o\n", False, False)

    @both
    def test_sockjs_as_path(
        self, proxy: ProxyUnderTest, connect: Connect, ws_backend: WebSocketBackend, transport: Transport
    ) -> None:
        session = Session(connect, proxy.port, "as-path", "/s", transport)
        poll = session.begin_poll()
        peer = ws_backend.take("/other")
        assert peer.request.target == "/other" + transport.query
        peer.accept()
        session.check(poll.read_response(), "o")
        peer.close()

    def test_meanwhile(self, stage: Stage) -> None:
        """A second poll is one too many; what is sent waits."""
        session, poll, peer = stage.begin()
        session.expect(STILL_OPEN)
        session.send("early")
        peer.accept()
        session.check(poll.read_response(), "o")
        peer.expect_text("early")


class TestMessages:
    @both
    def test_from_the_client(self, stage: Stage, transport: Transport) -> None:
        session, peer = stage.open(transport)
        session.send('q"é\n', "")
        peer.expect_text('q"é\n', "")
        session.send("\U0001f600")
        peer.expect_text("\U0001f600")

    @both
    def test_to_the_client(self, stage: Stage, transport: Transport) -> None:
        session, peer = stage.open(transport)
        poll = session.begin_poll()
        peer.send_text('q"é\n')
        session.check(poll.read_response(), messages('q"é\n'))
        peer.send_text("")
        session.expect(messages(""))

    def test_all_that_waits_in_one_frame(self, stage: Stage, proxy: ProxyUnderTest) -> None:
        session, peer = stage.open()
        peer.send_text("one", "two")
        peer.send(binary(b"three"))
        proxy.settle()
        session.expect(messages("one", "two", "three"))

    def test_binary(self, stage: Stage) -> None:
        session, peer = stage.open()
        poll = session.begin_poll()
        peer.send(binary(b"\xc3\xa9\xff."))
        session.check(poll.read_response(), messages("é\ufffd."))

    def test_pings_and_pongs(self, stage: Stage) -> None:
        """They do not reach the client, and nobody answers them."""
        session, peer = stage.open()
        poll = session.begin_poll()
        peer.send(ping(b"a"), pong(b"b"))
        poll.assert_silent(0.3)
        peer.send_text("x")
        session.check(poll.read_response(), messages("x"))

    @differs("sockjs-fragments")
    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
    def test_fragments(self, stage: Stage, opcode: Opcode) -> None:
        session, peer = stage.open()
        poll = session.begin_poll()
        peer.send(*fragments(opcode, b"a\xc3", b"\xa9", b"b"))
        session.check(poll.read_response(timeout_s=2), messages("aéb"))

    def test_many(self, stage: Stage) -> None:
        """What does not fit into a queue of 200,000 bytes waits at the backend."""
        session, peer = stage.open()
        sent = [f"{number:02}" + "x" * 9_998 for number in range(30)]
        for content in sent:
            peer.send_text(content)
        received: list[str] = []
        while len(received) < len(sent):
            received += json.loads(session.poll().text[1:])
        assert received == sent

    def test_second_send(self, stage: Stage) -> None:
        """A backend that does not read stops the client: a send waits, and one more is refused."""
        session, peer = stage.open()
        first = _send_until_one_waits(session)
        response = session.send_payload('["never"]')
        assert (response.status, response.reason, response.text) == (400, "Bad Request", "Already sending\n")
        assert without_framing(response) == [TEXT, *COMMON]
        while not first.is_readable(0):
            assert len(peer.read().payload) == 90_000
        assert first.read_response().text == "ok"
        session.send("then")
        peer.skip_to(text("then"))


def _send_until_one_waits(session: Session) -> RawClient:
    for _ in range(200):
        client = session.request("xhr_send", method="POST", body=b'["' + b"z" * 90_000 + b'"]')
        if not client.is_readable(1):
            return client
        assert client.read_response().text == "ok"
        client.close()
    raise AssertionError("18 MB are somewhere")


class TestClose:
    """Also routes-98."""

    @both
    @pytest.mark.parametrize(
        ("frame", "expected"),
        [
            (close(4001, 'b"é'), 'c[4001,"b\\"é"]'),
            (close(1000, "done"), 'c[1000,"done"]'),
            (close(1001), 'c[1001,"Connection closed"]'),
            (close(), CLOSED),
        ],
        ids=["4001", "1000", "no reason", "no code"],
    )
    def test_while_a_poll_waits(self, stage: Stage, transport: Transport, frame: Frame, expected: str) -> None:
        session, peer = stage.open(transport)
        poll = session.begin_poll()
        poll.assert_silent(0.1)
        peer.send(frame)
        session.check(poll.read_response(), expected)
        session.expect(expected)

    def test_every_request_is_answered_with_it(self, stage: Stage, proxy: ProxyUnderTest) -> None:
        session, peer = stage.open()
        peer.send(close(4001, "bye"))
        proxy.settle()
        for _ in range(2):
            session.expect('c[4001,"bye"]')
            assert session.send_payload('["x"]').text == 'c[4001,"bye"]\n'
        for endpoint in ("jsonp?c=cb", 'jsonp_send?c=cb&d=["x"]'):
            assert session.request(endpoint).read_response().text == '/**/cb("c[4001,\\"bye\\"]");\n'

    @differs("sockjs-last-message")
    def test_message_just_before_it(self, launch_once: Launch, connect: Connect, ws_backend: WebSocketBackend) -> None:
        """The message comes first, and a poll at this moment ends no process."""
        own = launch_once(f"relay,sockjs=/s 127.0.0.1:{ws_backend.port}")
        for number in range(20):
            session = Session(connect, own.port, "relay", "/s")
            poll = session.begin_poll()
            peer = ws_backend.take("/s")
            peer.accept()
            session.check(poll.read_response(), "o")
            peer.send(text(f"last {number}"), close(4000, "bye"))
            session.expect(messages(f"last {number}"), timeout_s=2)
            session.expect('c[4000,"bye"]', timeout_s=2)

    def test_backend_learns_that_it_is_closed(self, stage: Stage) -> None:
        session, peer = stage.open()
        poll = session.begin_poll()
        peer.send(close(4001, "bye"))
        session.check(poll.read_response(), 'c[4001,"bye"]')
        frames = peer.read_to_end()
        assert [frame.opcode for frame in frames] == [Opcode.CLOSE]

    @both
    def test_backend_breaks_off(self, stage: Stage, transport: Transport) -> None:
        """Without a close frame: the session has never been closed, it is gone."""
        session, peer = stage.open(transport)
        poll = session.begin_poll()
        poll.assert_silent(0.1)
        peer.close()
        response = poll.read_response()
        assert (response.status, response.reason, response.text) == (410, "Gone", "Session terminated\n")
        assert session.send_payload('["x"]').status == 404

    def test_backend_breaks_off_between_polls(
        self, stage: Stage, proxy: ProxyUnderTest, ws_backend: WebSocketBackend
    ) -> None:
        """The next one opens anew."""
        session, peer = stage.open()
        peer.close()
        proxy.settle()
        session.begin_poll()
        again = ws_backend.take(peer.request.path)
        assert again.request.header("Sec-WebSocket-Key") != peer.request.header("Sec-WebSocket-Key")


class TestAbort:
    """A client that breaks off a poll has gone."""

    @pytest.mark.parametrize(
        ("transport", "body"),
        [
            pytest.param(JSONP, None, id="jsonp"),
            pytest.param(XHR, b"x", id="xhr"),
            pytest.param(XHR, None, id="xhr without a length"),
            pytest.param(XHR, b"", id="xhr of length 0", marks=differs("sockjs-abort-unnoticed")),
        ],
    )
    def test_session_is_forgotten(
        self, stage: Stage, ws_backend: WebSocketBackend, transport: Transport, body: bytes | None
    ) -> None:
        """The backend sees it break off at once."""
        session, peer = stage.open(transport)
        poll = session.begin_poll(body=body)
        poll.assert_silent(0.2)
        poll.close()
        peer.assert_dropped(timeout_s=2)
        response = session.send_payload('["x"]')
        assert (response.status, response.text) == (404, "Not Found\n")
        poll = session.begin_poll()
        ws_backend.take(peer.request.path).accept()
        session.check(poll.read_response(), "o")
