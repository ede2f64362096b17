"""Clients that want to pass for the proxy, where Pushpin lets them; for the rest see tests/e2e/test_forged_grip.py."""

from __future__ import annotations

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event
from tests.harness.ws_stage import WebSocketStage


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(f"events,proto=ws 127.0.0.1:{backend.port},over_http", f"* 127.0.0.1:{backend.port}")


@differs("grip-spelling")
def test_other_spellings_of_grip(stage: Stage) -> None:
    """Some servers make an underscore of every character that is no letter or digit."""
    request = stage.received(headers=[("Grip.Sig", "forged"), ("Grip~Sig", "forged")])
    assert b"forged" not in request.raw_head


@differs("events-by-another-route")
def test_events_by_another_route(stage: Stage) -> None:
    """They would come with our signature, which is all that the server can check."""
    path = stage.backend.serve(Reply(body=b"believed"))
    headers = [("Content-Type", "application/websocket-events"), ("Connection-Id", "of somebody else")]
    response = fetch(stage.proxy.port, path, method="POST", headers=headers, body=b"TEXT 1\r\nx\r\n")
    assert (response.status, response.text) == (403, "Client not allowed to send WebSocket events directly.\n")
    assert stage.backend.requests(path) == []


@differs("handshake-spelling")
@pytest.mark.parametrize("name", ["Connection_Id", "Meta_User", "Content-Bytes-Replayed"])
def test_headers_of_a_handshake(ws: WebSocketStage, name: str) -> None:
    client, script = ws.over_http(headers=[(name, "7")])
    client.send_text("x")
    script.wait_for(Event("TEXT", b"x"))
    for request in script.requests:
        assert not request.has(name)
