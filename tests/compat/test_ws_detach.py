"""Detaching: the backend is rid of a client that keeps its connection and its channels."""

from __future__ import annotations

import threading

import pytest
from tests.harness.backend import ScriptedBackend, held_back
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.websocket import Frame, Opcode, WebSocketClient, close, ping, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import CLOSE, events_reply, text_event
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(f"relay 127.0.0.1:{ws_backend.port}", f"events 127.0.0.1:{backend.port},over_http")


def check_detached(ws: WebSocketStage, client: WebSocketClient, channel: str) -> None:
    """Assert that nobody answers the client, that publishes reach it, and that its close is answered with 1000."""
    client.assert_silent(0.1)
    client.send(text("into the void"), ping(b"x"))
    client.assert_silent(0.1)
    ws.publish(ws_item(channel, "still"))
    client.expect_text("still")
    client.send(close(4000, "bye"))
    client.expect(close(1000))
    client.connection.assert_closed()


@pytest.mark.spec("ws 65")
def test_relay(ws: WebSocketStage) -> None:
    """The backend is rid of the client, and the client keeps its channels."""
    channel = fresh_channel()
    client, peer = ws.grip(channel)
    peer.send(control("detach"))
    frame = peer.read()
    assert frame.opcode == Opcode.CLOSE
    peer.send(frame)
    peer.read_to_end()
    check_detached(ws, client, channel)


@pytest.mark.spec("ws 65")
def test_over_http(ws: WebSocketStage) -> None:
    channel = fresh_channel()
    client, script = ws.grip_over_http(channel)
    script.then(events_reply(frame_as_event(control("detach"))))
    client.send_text("go")
    assert script.wait_events(3) == [CLOSE]
    check_detached(ws, client, channel)
    assert len(script.requests) == 3


@pytest.mark.spec("ws 65")
def test_messages_that_wait(ws: WebSocketStage) -> None:
    """Still reach the backend, before the close; what it answers does not reach the client."""
    gate = threading.Event()
    client, script = ws.grip_over_http()
    detach = events_reply(frame_as_event(control("detach")))
    script.then(held_back(gate, detach), events_reply(text_event("m:never")), events_reply(text_event("m:never")))
    client.send_text("go")
    script.wait_request(2)
    client.send_text("one", "two")
    client.assert_silent(0.2)
    gate.set()
    script.wait_for(text_event("go"), text_event("one"), text_event("two"), CLOSE)
    client.assert_silent(0.2)


@pytest.mark.spec("ws 65")
@pytest.mark.parametrize("end", [close(4000, "x"), None])
def test_what_the_backend_does_afterwards(ws: WebSocketStage, end: Frame | None) -> None:
    channel = fresh_channel()
    client, peer = ws.grip(channel)
    peer.send(control("detach"))
    assert peer.read().opcode == Opcode.CLOSE
    if end is not None:
        peer.send(text("m:never"), end)
    peer.close()
    client.assert_silent(0.2)
    ws.publish(ws_item(channel, "still"))
    client.expect_text("still")
