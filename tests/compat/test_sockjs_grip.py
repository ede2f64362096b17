"""SockJS clients of a WebSocket-over-HTTP backend: its requests, and channels it subscribes them to."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from tests.harness.backend import AnyReply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok
from tests.harness.sockjs import CLOSED, JSONP, XHR, Session, Transport, messages
from tests.harness.timing import eventually
from tests.harness.websocket import WebSocketClient, text
from tests.harness.ws_events import (
    CLOSE,
    DISCONNECT,
    EVENTS_TYPE,
    Event,
    EventsBackend,
    close_event,
    events_reply,
    opening,
    text_event,
)
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item

both = pytest.mark.parametrize("transport", [XHR, JSONP], ids=["xhr", "jsonp"])
_numbers = itertools.count(1)
OTHERS = 60


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    """Each test has a prefix of its own, by which its backend knows its requests."""
    target = f"127.0.0.1:{backend.port},over_http"
    return launch(
        *(f"events,path_beg=/s{number}/,sockjs=/s{number} {target}" for number in range(1, OTHERS)),
        f"as-path,sockjs=/s,sockjs_as_path=/other {target}",
    )


class Stage:
    """Sessions at prefixes of their own."""

    def __init__(self, proxy: ProxyUnderTest, connect: Connect, backend: ScriptedBackend) -> None:
        self.proxy = proxy
        self._connect = connect
        self._backend = backend

    def open(
        self, transport: Transport, *events: Event, replies: tuple[AnyReply, ...] = ()
    ) -> tuple[Session, EventsBackend]:
        """An open session, and its backend, which answers OPEN with ``events`` and what follows with ``replies``."""
        prefix = f"/s{next(_numbers)}"
        script = EventsBackend(self._backend, opening(*events, grip=True), *replies, path=prefix)
        session = Session(self._connect, self.proxy.port, "events", prefix, transport)
        session.open()
        return session, script

    def subscribed(self, transport: Transport, channel: str) -> tuple[Session, EventsBackend]:
        """An open session that is subscribed to a channel."""
        session, script = self.open(transport, frame_as_event(control("subscribe", channel=channel)))
        poll = session.begin_poll()

        def arrives() -> bool:
            publish_ok(self.proxy.control_port, ws_item(channel, "probe"))
            return poll.is_readable(0.1)

        eventually(arrives, f"a subscription to {channel}")
        publish_ok(self.proxy.control_port, ws_item(channel, "end"))
        response = poll.read_response()
        while "end" not in response.text:
            response = session.poll()
        return session, script


@pytest.fixture
def stage(proxy: ProxyUnderTest, connect: Connect, backend: ScriptedBackend) -> Stage:
    return Stage(proxy, connect, backend)


@both
class TestRequests:
    def test_open(
        self, proxy: ProxyUnderTest, connect: Connect, backend: ScriptedBackend, transport: Transport
    ) -> None:
        script = EventsBackend(backend, opening(), path="/other")
        session = Session(connect, proxy.port, "as-path", "/s", transport)
        session.open(query="x=1", headers=[("X-Own", "1"), ("Cookie", "a=b")])
        (request,) = script.requests
        query = f"{transport.query}&x=1" if transport.query else "?x=1"
        assert (request.method, request.target, bytes(request.body)) == ("POST", f"/other{query}", b"OPEN\r\n")
        expected = {
            "Content-Type": EVENTS_TYPE,
            "Accept": EVENTS_TYPE,
            "Content-Length": "6",
            "X-Own": "1",
            "Cookie": "a=b",
        }
        assert {name: request.header(name) for name in expected} == expected

    def test_messages(self, stage: Stage, transport: Transport) -> None:
        session, script = stage.open(transport, replies=(events_reply(text_event('m:q"é')),))
        poll = session.begin_poll()
        session.send("é")
        session.check(poll.read_response(), messages('q"é'))
        script.wait_for(text_event("é"))

    def test_message_with_the_acceptance(self, stage: Stage, transport: Transport) -> None:
        session, _script = stage.open(transport, text_event("m:hello"))
        session.expect(messages("hello"))

    def test_close_event(self, stage: Stage, transport: Transport) -> None:
        session, script = stage.open(transport, replies=(events_reply(close_event(4007, "over")),))
        poll = session.begin_poll()
        session.send("x")
        session.check(poll.read_response(), 'c[4007,"over"]')
        session.expect('c[4007,"over"]')
        assert script.wait_events(2) == [text_event("x")]

    def test_disconnect_event(self, stage: Stage, transport: Transport) -> None:
        """The backend breaks off."""
        session, _script = stage.open(transport, replies=(events_reply(DISCONNECT),))
        poll = session.begin_poll()
        session.send("x")
        response = poll.read_response()
        assert (response.status, response.text) == (410, "Session terminated\n")

    def test_aborted_poll(self, stage: Stage, transport: Transport) -> None:
        session, script = stage.open(transport)
        poll = session.begin_poll(body=b"x" if transport is XHR else None)
        poll.assert_silent(0.2)
        poll.close()
        script.wait_for(DISCONNECT)


@both
class TestPublished:
    def test_waiting_poll(self, stage: Stage, transport: Transport) -> None:
        channel = fresh_channel()
        session, script = stage.subscribed(transport, channel)
        poll = session.begin_poll()
        poll.assert_silent(0.1)
        publish_ok(stage.proxy.control_port, ws_item(channel, 'n"é'))
        session.check(poll.read_response(), messages('n"é'))
        assert script.all_events() == []

    def test_between_polls(self, stage: Stage, transport: Transport) -> None:
        """What was published meanwhile, in one frame; binary messages as text."""
        channel = fresh_channel()
        session, _script = stage.subscribed(transport, channel)
        publish_ok(stage.proxy.control_port, *(ws_item(channel, content) for content in ("1", b"2\xff", "3")))
        stage.proxy.settle()
        session.expect(messages("1", "2\ufffd", "3"))

    def test_pings(self, stage: Stage, transport: Transport) -> None:
        channel = fresh_channel()
        session, _script = stage.subscribed(transport, channel)
        poll = session.begin_poll()
        publish_ok(stage.proxy.control_port, *(ws_item(channel, b"p", type=kind) for kind in ("ping", "pong")))
        poll.assert_silent(0.2)
        publish_ok(stage.proxy.control_port, ws_item(channel, "x"))
        session.check(poll.read_response(), messages("x"))

    @pytest.mark.parametrize(
        ("fields", "expected"), [({}, CLOSED), ({"code": 4003, "reason": "published"}, 'c[4003,"published"]')]
    )
    def test_close(self, stage: Stage, transport: Transport, fields: dict[str, Any], expected: str) -> None:
        """routes-98: and the backend is told as of any WebSocket."""
        channel = fresh_channel()
        session, script = stage.subscribed(transport, channel)
        publish_ok(stage.proxy.control_port, ws_item(channel, action="close", **fields))
        session.begin_poll().read_response()
        session.expect(expected)
        script.wait_for(CLOSE)


class TestWebSocketTransports:
    """The same channel reaches WebSocket clients of SockJS, each in its own way."""

    @pytest.mark.parametrize(
        ("endpoint", "expected"), [("/websocket", "published"), ("/0/x/websocket", 'a["published"]')]
    )
    def test_published(
        self, proxy: ProxyUnderTest, backend: ScriptedBackend, ws: WebSocketStage, endpoint: str, expected: str
    ) -> None:
        channel = fresh_channel()
        prefix = f"/s{next(_numbers)}"
        EventsBackend(
            backend,
            opening(frame_as_event(control("subscribe", channel=channel)), grip=True),
            path=f"{prefix}/websocket",
        )
        client = ws.client()
        client.handshake(prefix + endpoint, host="events")
        client.accepted()
        if endpoint != "/websocket":
            client.expect_text("o")
        _wait_subscribed(ws, client, channel)
        ws.publish(ws_item(channel, "published"))
        client.expect_text(expected)


def _wait_subscribed(ws: WebSocketStage, client: WebSocketClient, channel: str) -> None:
    def arrives() -> bool:
        ws.publish(ws_item(channel, "probe"))
        return client.connection.is_readable(0.1)

    eventually(arrives, f"a subscription to {channel}")
    ws.publish(ws_item(channel, "end"))
    while client.read().payload not in (text("end").payload, b'a["end"]'):
        pass
