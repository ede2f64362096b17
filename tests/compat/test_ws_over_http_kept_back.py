"""WebSocket-over-HTTP: a backend takes only a part of what it was sent (Content-Bytes-Accepted, since 1.41)."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.websocket import Frame, binary, close, ping, text
from tests.harness.ws_events import Event, close_event, events_reply, text_event
from tests.harness.ws_stage import WebSocketStage


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"events 127.0.0.1:{backend.port},over_http")


def accepts(count: object, *events: Event) -> Reply:
    """A reply that accepts so many bytes."""
    return events_reply(*events, headers=[("Content-Bytes-Accepted", str(count))])


CASES: Sequence[tuple[str, list[Frame], int, str, list[Event]]] = [
    ("the example", [text("[foo][hello")], 5, "6", [text_event("[hello")]),
    ("nothing", [text("abc")], 0, "3", [text_event("abc")]),
    ("on a boundary", [text("abc"), text("def")], 3, "3", [text_event("def")]),
    ("within the second", [text("abc"), binary(b"defg")], 5, "2", [Event("BINARY", b"fg")]),
    ("empty ones in front go, too", [text("abc"), text(""), text("def")], 3, "3", [text_event("def")]),
    ("a ping counts", [ping(b"pp"), text("abc")], 3, "2", [text_event("bc")]),
    ("within bytes of a character", [text("ü€")], 3, "2", [Event("TEXT", b"\x82\xac")]),
]


@differs("ws-kept-back")
@pytest.mark.spec("ws-40")
@pytest.mark.parametrize(
    ("frames", "count", "replayed", "again"), [case[1:] for case in CASES], ids=[case[0] for case in CASES]
)
def test_rest_is_sent_again(
    ws: WebSocketStage, frames: list[Frame], count: int, replayed: str, again: list[Event]
) -> None:
    """At the head of the next request, which new data causes; each piece is an event."""
    gate = threading.Event()
    client, script = ws.over_http(held_back(gate, events_reply()), accepts(count))
    client.send_text("first")
    script.wait_request(2)
    client.send(*frames)
    client.assert_silent(0.1)
    gate.set()
    assert not script.wait_request(3).has("Content-Bytes-Replayed")
    client.assert_silent(0.2)
    assert len(script.requests) == 3, "what was kept back is no reason for a request"
    client.send_text(" world]")
    assert script.wait_events(4) == [*again, text_event(" world]")]
    assert script.wait_request(4).header("Content-Bytes-Replayed") == replayed
    client.send_text("x")
    assert script.wait_events(5) == [text_event("x")]
    assert not script.wait_request(5).has("Content-Bytes-Replayed")


@differs("ws-kept-back")
@pytest.mark.spec("ws-40")
def test_kept_back_twice(ws: WebSocketStage) -> None:
    client, script = ws.over_http(accepts(1), accepts(2))
    client.send_text("abc")
    script.wait_request(2)
    client.send_text("def")
    assert script.wait_events(3) == [text_event("bc"), text_event("def")]
    client.send_text("x")
    assert script.wait_events(4) == [text_event("def"), text_event("x")]


@pytest.mark.parametrize("value", ["", "x", "-1"])
def test_value_that_is_none(ws: WebSocketStage, value: str) -> None:
    """Everything is accepted."""
    client, script = ws.over_http(accepts(value))
    client.send_text("abc")
    script.wait_request(2)
    client.send_text("x")
    assert script.wait_events(3) == [text_event("x")]


@pytest.mark.parametrize("count", [3, "03"])
def test_all_of_it(ws: WebSocketStage, count: object) -> None:
    client, script = ws.over_http(accepts(count, text_event("seen")))
    client.send_text("abc")
    client.expect_text("seen")
    client.send_text("x")
    assert script.wait_events(3) == [text_event("x")]
    assert not script.wait_request(3).has("Content-Bytes-Replayed")


@differs("ws-kept-back")
@pytest.mark.spec("ws-41")
def test_more_than_was_offered(ws: WebSocketStage) -> None:
    client, script = ws.over_http(accepts(4))
    client.send_text("abc")
    client.assert_dropped()
    threading.Event().wait(0.2)
    assert len(script.requests) == 2


@differs("ws-kept-back")
@pytest.mark.spec("ws-40")
def test_close_waits_for_what_was_before_it(ws: WebSocketStage) -> None:
    """A close counts as not sent while something before it was not accepted: it is sent again, with the rest."""
    gate = threading.Event()
    client, script = ws.over_http(held_back(gate, events_reply()), accepts(1))
    client.send_text("first")
    script.wait_request(2)
    client.send(text("abc"), close(1000, "x"))
    client.assert_silent(0.1)
    gate.set()
    assert script.wait_events(3) == [text_event("abc"), close_event(1000, "x")]
    assert script.wait_events(4) == [text_event("bc"), close_event(1000, "x")]
    client.expect(close(1000, "x"))


@differs("ws-kept-back")
@pytest.mark.spec("ws-40")
def test_close_is_accepted_with_its_content(ws: WebSocketStage) -> None:
    """Two bytes of code and one of reason were offered."""
    client, script = ws.over_http(accepts(2, close_event(1000)))
    client.send(close(1000, "x"))
    client.assert_dropped()
    assert len(script.requests) == 2
    client, _script = ws.over_http(accepts(3, close_event(1000)))
    client.send(close(1000, "x"))
    client.expect(close(1000))


def test_close_of_which_nothing_is_accepted_is_not_answered(ws: WebSocketStage) -> None:
    """Without a keep-alive there is no request that could bring the answer, and no end of it."""
    gate = threading.Event()
    client, script = ws.over_http(held_back(gate, events_reply()), accepts(0))
    client.send_text("first")
    script.wait_request(2)
    client.send(text("abc"), close(1000, "x"))
    client.assert_silent(0.1)
    gate.set()
    client.assert_dropped()
    threading.Event().wait(0.2)
    assert len(script.requests) == 3
