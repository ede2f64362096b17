"""SockJS: heartbeats after 25 s, sessions that nobody polls, closed ones that linger. Long waits go side by side."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.sockjs import JSONP, XHR, Session, messages
from tests.harness.timing import scaled
from tests.harness.websocket import close, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import DISCONNECT, EventsBackend, opening
from tests.harness.ws_stage import WebSocketStage

pytestmark = pytest.mark.slow
HEARTBEAT_S = 25.0
IDLE_S = 5.0


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    events = f"127.0.0.1:{backend.port},over_http"
    return launch(
        f"relay,path_beg=/one/,sockjs=/one {target}",
        f"relay,path_beg=/two/,sockjs=/two {target}",
        f"events,path_beg=/three/,sockjs=/three {events}",
        "demo,sockjs=/s,sockjs_as_path=/ws test",
    )


def test_heartbeats(ws: WebSocketStage, connect: Connect) -> None:
    """routes-97, routes-101: for open polls and framed WebSockets, not for raw ones; and then all goes on."""
    sessions = [Session(connect, ws.proxy.port, "demo", "/s", transport) for transport in (XHR, JSONP)]
    for session in sessions:
        session.open()
    raw, framed = ws.client(), ws.client()
    for client, path in ((raw, "/s/websocket"), (framed, "/s/000/x/websocket")):
        client.handshake(path + "?channel=nobody", host="demo")
        client.accepted()
    framed.expect_text("o")
    start = time.monotonic()
    polls = [session.begin_poll() for session in sessions]
    for poll in polls:
        poll.assert_silent(HEARTBEAT_S / 2 - 1)
    framed.assert_silent(0.5)
    for session, poll in zip(sessions, polls, strict=True):
        session.check(poll.read_response(timeout_s=5), "h")
    framed.expect_text("h")
    assert HEARTBEAT_S - 1 < time.monotonic() - start < HEARTBEAT_S + scaled(2)
    raw.assert_silent(0.5)
    raw.send_text("x")
    raw.expect_text("x")
    framed.send_text('["x"]')
    framed.expect_text('a["x"]')
    for session in sessions:
        session.send("x")
        session.expect(messages("x"))


def test_client_that_does_not_poll(ws: WebSocketStage, connect: Connect) -> None:
    """routes-97: sends do not count; its backends see it break off, and its id is free."""
    relayed = Session(connect, ws.proxy.port, "relay", "/one")
    poll = relayed.begin_poll()
    peer = ws.ws_backend.take("/one")
    peer.accept()
    relayed.check(poll.read_response(), "o")
    script = EventsBackend(ws.backend, opening(), path="/three")
    evented = Session(connect, ws.proxy.port, "events", "/three")
    evented.open()
    start = time.monotonic()
    for number in range(4):
        relayed.send(f"{number}")
        peer.expect_text(f"{number}")
        peer.assert_silent(1)
    peer.assert_dropped(timeout_s=3)
    assert IDLE_S - 1 < time.monotonic() - start < IDLE_S + scaled(1.5)
    script.wait_for(DISCONNECT)
    for session in (relayed, evented):
        response = session.send_payload('["x"]')
        assert (response.status, response.text) == (404, "Not Found\n")
    evented.begin_poll()
    assert script.wait_request(3).body == b"OPEN\r\n"


def test_closed_session_lingers(ws: WebSocketStage, connect: Connect) -> None:
    """routes-98: five seconds from its close, however often it is asked for; then its id is free."""
    expected = 'c[4001,"bye"]'
    session = Session(connect, ws.proxy.port, "relay", "/two")
    poll = session.begin_poll()
    peer = ws.ws_backend.take("/two")
    peer.accept()
    session.check(poll.read_response(), "o")
    poll = session.begin_poll()
    poll.assert_silent(0.1)
    start = time.monotonic()
    peer.send(close(4001, "bye"))
    session.check(poll.read_response(), expected)
    while time.monotonic() - start < IDLE_S - 1:
        session.expect(expected)
        assert session.send_payload('["x"]').text == expected + "\n"
        time.sleep(0.5)
    time.sleep(2.5)
    response = session.send_payload('["x"]')
    assert (response.status, response.text) == (404, "Not Found\n")
    poll = session.begin_poll()
    again = ws.ws_backend.take("/two")
    again.accept()
    session.check(poll.read_response(), "o")
    again.send(text("new"))
    session.expect(messages("new"))
