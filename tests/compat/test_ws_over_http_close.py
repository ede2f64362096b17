"""WebSocket-over-HTTP: who closes first, who vanishes, and what the other side hears of it."""

from __future__ import annotations

import threading

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend, held_back
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually
from tests.harness.websocket import Frame, Opcode, close, fragments, text
from tests.harness.ws_events import (
    CLOSE,
    DISCONNECT,
    OPEN,
    Event,
    EventsBackend,
    close_event,
    events_reply,
    opening,
    parse_events,
    text_event,
)
from tests.harness.ws_stage import WebSocketStage


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"events 127.0.0.1:{backend.port},over_http")


class TestClientFirst:
    @pytest.mark.spec("ws-29", "ws-30")
    @pytest.mark.parametrize(
        ("frame", "body"),
        [
            pytest.param(close(1001, "x"), b"CLOSE 3\r\n\x03\xe9x\r\n", id="code and reason"),
            pytest.param(close(4000), b"CLOSE 2\r\n\x0f\xa0\r\n", id="code"),
            pytest.param(
                close(3000, "ü" * 61), b"CLOSE 7c\r\n\x0b\xb8" + "ü".encode() * 61 + b"\r\n", id="long reason"
            ),
            pytest.param(close(), b"CLOSE\r\n", id="empty"),
        ],
    )
    def test_close(self, ws: WebSocketStage, frame: Frame, body: bytes) -> None:
        client, script = ws.over_http()
        client.send(frame)
        assert bytes(script.wait_request(2).body) == body
        client.expect(frame if frame.payload else close(1000))
        client.connection.assert_closed()
        assert len(script.requests) == 2

    @pytest.mark.spec("ws-31")
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            pytest.param(close_event(4000, "abc"), close(4000, "abc"), id="code and reason"),
            pytest.param(CLOSE, close(1000), id="empty"),
            pytest.param(Event("CLOSE", b"x"), close(1000), id="one byte"),
        ],
    )
    def test_answer(self, ws: WebSocketStage, answer: Event, expected: Frame) -> None:
        """The client receives what the backend answers, after the events before it."""
        client, _script = ws.over_http(events_reply(text_event("last"), answer, text_event("never")))
        client.send(close(1001, "x"))
        client.expect(text("last"), expected)
        client.connection.assert_closed()

    @pytest.mark.spec("ws-32")
    @pytest.mark.parametrize("events", [(), (text_event("x"),)])
    def test_no_close_in_the_answer(self, ws: WebSocketStage, events: tuple[Event, ...]) -> None:
        """Unclean: the client sees the end of the connection, and no close frame."""
        client, script = ws.over_http(events_reply(*events))
        client.send(close(1001, "x"))
        assert [frame.opcode for frame in client.read_to_end() if frame != text("x")] == []
        assert len(script.requests) == 2

    def test_messages_go_before_it(self, ws: WebSocketStage) -> None:
        """Messages that wait, and the close, in order; what follows a close frame is not looked at."""
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()))
        client.send_text("first")
        script.wait_request(2)
        client.send(text("one"), text("two"), close(1000), text("never"))
        client.assert_silent(0.2)
        gate.set()
        client.expect(close(1000))
        script.wait_for(*(text_event(content) for content in ("first", "one", "two")), close_event(1000))

    def test_close_within_a_message(self, ws: WebSocketStage) -> None:
        """A partial message is no message."""
        client, script = ws.over_http()
        client.send(fragments(Opcode.TEXT, b"a", b"b")[0], close(1000))
        client.read_to_end()
        eventually(lambda: script.all_events(), "the end")
        assert [event.type for event in script.all_events()] in (["CLOSE"], ["DISCONNECT"])


class TestBackendFirst:
    @pytest.mark.spec("ws-33")
    @pytest.mark.parametrize(
        ("event", "frame"),
        [
            pytest.param(close_event(4000, "bye"), close(4000, "bye"), id="code and reason"),
            pytest.param(close_event(1001), close(1001), id="code"),
            pytest.param(close_event(999), close(999), id="any code"),
            pytest.param(CLOSE, close(1000), id="empty"),
        ],
    )
    def test_close(self, ws: WebSocketStage, event: Event, frame: Frame) -> None:
        client, script = ws.over_http(events_reply(text_event("last"), event, text_event("never")))
        client.send_text("x")
        client.expect(text("last"), frame)
        client.assert_silent(0.2)
        assert len(script.requests) == 2
        client.send(close(4001, "mine"))
        assert script.wait_events(3) == [close_event(4001, "mine")]
        client.connection.assert_closed()
        assert len(script.requests) == 3

    @pytest.mark.spec("ws-33")
    def test_close_in_the_answer_to_open(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http(first=opening(text_event("hello"), close_event(4000)))
        client.expect(text("hello"), close(4000))
        client.send(close(4000))
        assert script.wait_events(2) == [close_event(4000)]
        client.connection.assert_closed()

    def test_answer_to_the_last_close_does_not_matter(self, ws: WebSocketStage) -> None:
        client, _script = ws.over_http(events_reply(close_event(4000)), Reply(500, "Error"))
        client.send_text("x")
        client.expect(close(4000))
        client.send(close(4000))
        client.connection.assert_closed()


class TestVanished:
    @pytest.mark.spec("ws-35")
    @pytest.mark.parametrize("how", ["end", "reset", "protocol error"])
    def test_disconnect(self, ws: WebSocketStage, how: str) -> None:
        """One request, and nothing after it."""
        client, script = ws.over_http()
        if how == "protocol error":
            client.send(Frame(3))
        elif how == "reset":
            client.connection.reset()
        else:
            client.close()
        request = script.wait_request(2)
        assert bytes(request.body) == b"DISCONNECT\r\n"
        assert request.header("Connection-Id") == script.requests[0].header("Connection-Id")
        threading.Event().wait(0.3)
        assert len(script.requests) == 2

    @pytest.mark.spec("ws-35")
    def test_after_the_pending_request(self, ws: WebSocketStage) -> None:
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply(text_event("too late"))))
        client.send_text("x")
        script.wait_request(2)
        client.close()
        threading.Event().wait(0.3)
        assert len(script.requests) == 2
        gate.set()
        assert script.wait_events(3) == [DISCONNECT]

    @pytest.mark.spec("ws-35")
    def test_during_open(self, ws: WebSocketStage) -> None:
        """The backend is told of it once it has accepted."""
        gate = threading.Event()
        script = EventsBackend(ws.backend, held_back(gate, opening()))
        client = ws.client()
        client.handshake(script.path, host="events")
        script.wait_request(1)
        client.close()
        threading.Event().wait(0.3)
        assert len(script.requests) == 1
        gate.set()
        assert script.wait_events(2) == [DISCONNECT]

    def test_during_an_open_that_is_rejected(self, ws: WebSocketStage) -> None:
        gate = threading.Event()
        script = EventsBackend(ws.backend, held_back(gate, Reply(403, "No")))
        client = ws.client()
        client.handshake(script.path, host="events")
        script.wait_request(1)
        client.close()
        gate.set()
        threading.Event().wait(0.3)
        assert len(script.requests) == 1

    def test_answer_does_not_matter(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http(Reply(500, "Error"))
        client.close()
        script.wait_request(2)
        threading.Event().wait(0.3)
        assert len(script.requests) == 2

    def test_between_the_close_frames(self, ws: WebSocketStage) -> None:
        """A client that got a close frame and leaves without its own has vanished, too."""
        client, script = ws.over_http(events_reply(close_event(4000)))
        client.send_text("x")
        client.expect(close(4000))
        client.close()
        assert script.wait_events(3) == [DISCONNECT]

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(RawReply([b"garbage\r\n\r\n"]), id="garbage"),
            pytest.param(RawReply(), id="end", marks=differs("ws-sent-twice")),
            pytest.param(RawReply(resets=True), id="reset", marks=differs("ws-sent-twice")),
        ],
    )
    def test_backend_that_fails(self, ws: WebSocketStage, reply: RawReply) -> None:
        """After the whole request was sent there is no second try, and no DISCONNECT."""
        client, script = ws.over_http(reply)
        client.send_text("x")
        client.assert_dropped()
        threading.Event().wait(0.3)
        assert len(script.requests) == 2


def test_client_that_only_stops_writing(ws: WebSocketStage) -> None:
    """Its end of the stream is the end of the connection."""
    client, script = ws.over_http()
    client.connection.shut_writing()
    assert script.wait_events(2) == [DISCONNECT]
    client.assert_dropped()


def test_open_requests_of_many(ws: WebSocketStage) -> None:
    """Connections do not wait for each other."""
    gate = threading.Event()
    path = ws.backend.serve(held_back(gate, opening()))
    clients = [ws.client() for _ in range(20)]
    for client in clients:
        client.handshake(path, host="events")
    eventually(lambda: len(ws.backend.requests(path)) == 20, "twenty requests at a time")
    gate.set()
    for client in clients:
        client.accepted()
    assert {tuple(parse_events(request.body)) for request in ws.backend.requests(path)} == {(OPEN,)}
