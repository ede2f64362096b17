"""WebSocket-over-HTTP: keep-alive requests, and requests that are tried again. Slow by nature: 20 and 31 seconds."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.websocket import close
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import (
    DISCONNECT,
    Event,
    EventsBackend,
    close_event,
    events_reply,
    opening,
    text_event,
)
from tests.harness.ws_stage import WebSocketStage

SHORTEST_S = 20.0  # the least keep-alive interval
LATE_S = 3.0  # what a busy machine may add
EARLY = 0.94  # the timers of 1.36 may be early by a twentieth


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"events 127.0.0.1:{backend.port},over_http")


def interval(seconds: object) -> tuple[str, str]:
    """The header that asks for keep-alive requests."""
    return ("Keep-Alive-Interval", str(seconds))


def assert_kept_alive(script: EventsBackend, number: int) -> None:
    """The request with that number is an empty one, about 20 s after the one before it."""
    request = script.wait_request(number, timeout_s=SHORTEST_S + 10)
    assert (bytes(request.body), request.header("Content-Length")) == (b"", "0")
    assert SHORTEST_S * EARLY <= script.gap(number) < SHORTEST_S + LATE_S


@pytest.mark.slow
@pytest.mark.spec("ws-25", "ws-26", "ws-27")
def test_keep_alive(ws: WebSocketStage) -> None:
    """Six connections at the same time."""
    raised, raised_script = ws.over_http(events_reply(text_event("kept")), first=opening(headers=[interval(1)]))
    waiting_script = EventsBackend(ws.backend, events_reply(headers=[interval(20)]), opening(text_event("now")))
    waiting = ws.client()
    waiting.handshake(waiting_script.path, host="events")
    restarted, restarted_script = ws.over_http(first=opening(headers=[interval(20)]))
    off, off_script = ws.over_http(events_reply(headers=[interval(0)]), first=opening(headers=[interval(20)]))
    nonsense, nonsense_script = ws.over_http(first=opening(headers=[interval("x")]))
    closing, closing_script = ws.over_http(
        events_reply(), events_reply(close_event(4000, "z")), first=opening(headers=[interval(20)])
    )
    off.send_text("x")
    closing.send(close(1000))
    time.sleep(3)
    restarted.send_text("x")
    restarted_script.wait_request(2)

    assert_kept_alive(raised_script, 2)
    raised.expect_text("kept")
    assert waiting_script.wait_events(2, timeout_s=SHORTEST_S) == [Event("OPEN")]
    assert SHORTEST_S * EARLY <= waiting_script.gap(2) < SHORTEST_S + LATE_S
    waiting.accepted()
    waiting.expect_text("now")
    assert {event.type for event in closing_script.wait_events(3, timeout_s=SHORTEST_S)} <= {"CLOSE"}
    closing.expect(close(4000, "z"))
    assert_kept_alive(restarted_script, 3)
    nonsense.assert_silent(0.1)
    assert [len(script.requests) for script in (off_script, nonsense_script)] == [2, 1]


class TestRetry:
    @pytest.fixture
    def own_backend(self) -> Iterator[ScriptedBackend]:
        server = ScriptedBackend()
        yield server
        server.stop()

    @pytest.fixture
    def own(
        self, launch_once: Launch, own_backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
    ) -> WebSocketStage:
        """A proxy and a backend that may be stopped."""
        proxy = launch_once(f"events 127.0.0.1:{own_backend.port},over_http")
        return WebSocketStage(proxy, own_backend, ws_backend, connect)

    @pytest.mark.slow
    @pytest.mark.spec("ws-38")
    def test_backend_is_gone(self, own: WebSocketStage, own_backend: ScriptedBackend) -> None:
        """1 + 2 + 4 + 8 + 16 seconds, and less than one more each; then the connection ends."""
        client, _script = own.over_http()
        idle, _ = own.over_http()
        own_backend.stop()
        start = time.monotonic()
        client.send_text("x")
        client.assert_dropped(timeout_s=45)
        assert 31 <= time.monotonic() - start < 36 + LATE_S
        idle.assert_silent(0.1)

    @pytest.mark.spec("ws-38")
    def test_backend_comes_back(self, own: WebSocketStage, own_backend: ScriptedBackend) -> None:
        """The same body once, and then what came meanwhile. The counter starts anew."""
        client, script = own.over_http()
        leaving, leaving_script = own.over_http()
        own_backend.stop()
        start = time.monotonic()
        client.send_text("one")
        leaving.close()
        time.sleep(0.3)
        client.send_text("two", "three")
        own_backend.start()
        script.wait_for(*(text_event(content) for content in ("one", "two", "three")), timeout_s=6)
        assert time.monotonic() - start >= 1
        assert script.wait_events(2) == [text_event("one")]
        assert leaving_script.wait_events(2) == [DISCONNECT]
        count = len(script.requests)
        client.send_text("four")
        assert script.wait_events(count + 1) == [text_event("four")]

    @pytest.mark.spec("ws-39")
    def test_errors_are_answers(self, ws: WebSocketStage) -> None:
        """503 with Retry-After is not tried again."""
        client, script = ws.over_http(Reply(503, "Later", [("Retry-After", "1")]))
        client.send_text("x")
        client.assert_dropped()
        time.sleep(1.5)
        assert len(script.requests) == 2

    def test_answer_that_breaks_off(self, ws: WebSocketStage) -> None:
        """The backend has read the request, and may have done what was asked: it is not asked again."""
        client, script = ws.over_http(Reply(breaks_off=True, length=5))
        client.send_text("x")
        client.assert_dropped()
        time.sleep(1.5)
        assert len(script.requests) == 2
