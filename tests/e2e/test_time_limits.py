"""How long a client may say nothing, or say it slowly: `header_timeout`, `idle_timeout`, `websocket_idle_timeout`."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import scaled
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import DISCONNECT
from tests.harness.ws_stage import WebSocketStage, control, ws_item

from holdfast.push.subscribers import CROWD


@pytest.fixture(scope="module")
def hasty(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    environment = {"HOLDFAST_HOLDFAST_HEADER_TIMEOUT": "1", "HOLDFAST_HOLDFAST_IDLE_TIMEOUT": "2"}
    return launch(f"* 127.0.0.1:{backend.port}", environment=environment)


def seconds_until_closed(client: RawClient, drip: bytes = b"") -> float:
    start = time.monotonic()
    for _ in range(int(scaled(6) / 0.2)):
        try:
            if drip:
                client.send(drip)
            client.read_to_close(0.2)
        except TimeoutError:
            continue
        except OSError:
            pass
        return time.monotonic() - start
    raise AssertionError("the server does not close")


def test_slow_header_is_cut(hasty: ProxyUnderTest, connect: Connect) -> None:
    """A client that feeds its header byte by byte does not prolong its time."""
    client = connect(hasty.port)
    client.send(b"GET / HTTP/1.1\r\nHost: x\r\nX: ")
    assert 0.7 < seconds_until_closed(client, drip=b"x") < scaled(3)


def test_slow_second_header_is_cut(hasty: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
    path = backend.serve(Reply(body=b"ok"))
    client = connect(hasty.port)
    client.request(path)
    client.read_response()
    client.send(b"GET / HTTP/1.1\r\n")
    assert 0.7 < seconds_until_closed(client, drip=b"x") < scaled(3)


def test_silent_client_is_cut(hasty: ProxyUnderTest, connect: Connect) -> None:
    assert 0.7 < seconds_until_closed(connect(hasty.port)) < scaled(4)


def test_idle_connection_is_cut(hasty: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
    path = backend.serve(Reply(body=b"ok"))
    client = connect(hasty.port)
    client.request(path)
    client.read_response()
    assert 1.5 < seconds_until_closed(client) < scaled(5)


def test_held_client_is_not_idle(hasty: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
    stage = Stage(hasty, backend, connect)
    channel = fresh_channel()
    client = stage.hold(stream_reply(channel))
    client.read_head()
    client.assert_silent(3)
    publish_ok(hasty.control_port, stream_item(channel, "still here"))
    assert client.read_data(10) == b"still here"


@pytest.fixture(scope="module")
def impatient(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    routes = (f"relay 127.0.0.1:{ws_backend.port}", f"events 127.0.0.1:{backend.port},over_http")
    return launch(*routes, environment={"HOLDFAST_HOLDFAST_WEBSOCKET_IDLE_TIMEOUT": "2"})


@pytest.mark.spec("ws-86")
def test_silent_websocket_is_cut(
    impatient: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> None:
    """A byte in either direction prolongs it; in the end there is no close frame, and the backend sees a break."""
    ws = WebSocketStage(impatient, backend, ws_backend, connect)
    (client, peer), (other, script) = ws.relay(), ws.over_http()
    client.assert_silent(1.2)
    peer.send_text("x")
    client.expect_text("x")
    other.assert_dropped(timeout_s=scaled(3))
    script.wait_for(DISCONNECT)
    client.send_text("y")
    peer.expect_text("y")
    client.assert_silent(1.2)
    client.assert_dropped(timeout_s=scaled(3))
    assert peer.read_to_end() == []


@pytest.mark.spec("ws-86")
def test_published_messages_prolong_every_websocket_of_a_crowd(
    impatient: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> None:
    """Nobody looks at those who are written to together."""
    ws = WebSocketStage(impatient, backend, ws_backend, connect)
    channel = fresh_channel()
    pairs = [ws.relay(extension="grip") for _ in range(CROWD)]
    for _, peer in pairs:
        peer.send(control("subscribe", channel=channel))
    for _ in range(10):
        time.sleep(0.4)
        ws.publish(ws_item(channel, "x"))
    ws.publish(ws_item(channel, "end"))
    for client, _ in pairs:
        client.skip_to(text("end"))
    for client, peer in pairs:
        client.close()
        peer.close()
