"""WebSocket-over-HTTP: messages become events, events become messages, one request at a time."""

from __future__ import annotations

import random
import threading

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually
from tests.harness.websocket import Frame, Opcode, binary, close, fragments, ping, pong, text
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
from tests.harness.ws_stage import WebSocketStage, ws_item

BINARY = random.Random(3).randbytes(150_000)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port},over_http"
    return launch(f"events {target}", f"one {target},one_event")


class TestFromTheClient:
    @pytest.mark.spec("ws-7", "ws-8", "ws-9", "ws-10")
    @pytest.mark.parametrize(
        ("frame", "body"),
        [
            pytest.param(text("hello"), b"TEXT 5\r\nhello\r\n", id="text"),
            pytest.param(text("wörld"), b"TEXT 6\r\nw\xc3\xb6rld\r\n", id="length in bytes"),
            pytest.param(text("x" * 100_000), b"TEXT 186a0\r\n" + b"x" * 100_000 + b"\r\n", id="100 000 bytes"),
            pytest.param(text("a\r\nTEXT\r\n"), b"TEXT 9\r\na\r\nTEXT\r\n\r\n", id="lines in the text"),
            pytest.param(text(""), b"TEXT\r\n", id="empty text"),
            pytest.param(binary(bytes(range(256))), b"BINARY 100\r\n" + bytes(range(256)) + b"\r\n", id="binary"),
            pytest.param(binary(b""), b"BINARY\r\n", id="empty binary"),
            pytest.param(ping(b"pp"), b"PING 2\r\npp\r\n", id="ping"),
            pytest.param(ping(), b"PING\r\n", id="empty ping"),
            pytest.param(pong(b"pp"), b"PONG 2\r\npp\r\n", id="pong"),
            pytest.param(pong(), b"PONG\r\n", id="empty pong"),
        ],
    )
    def test_message(self, ws: WebSocketStage, frame: Frame, body: bytes) -> None:
        client, script = ws.over_http()
        client.send(frame)
        request = script.wait_request(2)
        assert bytes(request.body) == body
        assert request.header("Content-Length") == str(len(body))
        client.assert_silent(0.1)

    @pytest.mark.spec("ws-11")
    @pytest.mark.parametrize("opcode", [Opcode.TEXT, Opcode.BINARY])
    def test_fragments(self, ws: WebSocketStage, opcode: Opcode) -> None:
        client, script = ws.over_http()
        for frame in fragments(opcode, b"he", b"", b"llo", b""):
            client.send(frame)
        script.wait_for(Event(opcode.name, b"hello"))

    def test_nothing_is_sent_before_the_last_fragment(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http()
        first, second = fragments(Opcode.TEXT, b"he", b"llo")
        client.send(first)
        client.assert_silent(0.2)
        assert len(script.requests) == 1
        client.send(second)
        script.wait_for(text_event("hello"))

    @pytest.mark.spec("ws-79")
    @differs("ws-interleaved-control")
    def test_control_between_fragments(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http()
        first, second = fragments(Opcode.TEXT, b"he", b"llo")
        client.send(first, ping(b"p"), second)
        script.wait_for(Event("PING", b"p"), text_event("hello"))

    @pytest.mark.spec("ws-12")
    def test_batch(self, ws: WebSocketStage) -> None:
        """What comes during a request goes out in the next one, in order."""
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()))
        client.send_text("first")
        script.wait_request(2)
        client.send(text("one"), ping(b"p"), binary(b"two"), text(""))
        client.assert_silent(0.2)
        assert len(script.requests) == 2
        gate.set()
        assert script.wait_events(3) == [text_event("one"), Event("PING", b"p"), Event("BINARY", b"two"), Event("TEXT")]

    @differs("ws-many-pings")
    def test_many_pings_during_a_request(self, ws: WebSocketStage) -> None:
        """The last one stands for those before it, as far as they are too many; messages are all there."""
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()))
        client.send_text("first")
        script.wait_request(2)
        client.send(text("one"), *(ping(b"%d" % number) for number in range(200)), text("two"))
        ws.proxy.settle()
        gate.set()
        pings = [Event("PING", b"%d" % number) for number in (*range(99), 199)]
        assert script.wait_events(3) == [text_event("one"), *pings, text_event("two")]

    def test_messages_before_the_answer_to_open(self, ws: WebSocketStage) -> None:
        """A client that does not wait for the 101."""
        gate = threading.Event()
        script = EventsBackend(ws.backend, held_back(gate, opening()))
        client = ws.client()
        client.handshake(script.path, host="events")
        client.send_text("early", "bird")
        script.wait_request(1)
        client.connection.assert_silent(0.2)
        gate.set()
        client.accepted()
        script.wait_for(text_event("early"), text_event("bird"))

    @pytest.mark.spec("ws-14")
    def test_one_request_at_a_time(self, ws: WebSocketStage) -> None:
        """Whatever comes, there is never a second request before the answer to the first."""
        running, most = 0, 0
        lock = threading.Lock()
        received: list[Event] = []

        def answer(request: Request) -> Reply:
            nonlocal running, most
            with lock:
                running += 1
                most = max(most, running)
                received.extend(parse_events(request.body))
            threading.Event().wait(0.02)
            with lock:
                running -= 1
            return events_reply(*([OPEN] if received == [OPEN] else []))

        path = ws.backend.serve(answer)
        client = ws.client()
        client.handshake(path, host="events")
        client.accepted()
        for number in range(200):
            client.send_text(str(number))
            if number % 20 == 0:
                threading.Event().wait(0.01)
        eventually(lambda: len(received) == 201, "all messages")
        assert received[1:] == [text_event(str(number)) for number in range(200)]
        assert most == 1

    @pytest.mark.spec("ws-13")
    def test_one_event(self, ws: WebSocketStage) -> None:
        """Also empty ones, and the close."""
        gate = threading.Event()
        client, script = ws.over_http(held_back(gate, events_reply()), host="one")
        client.send_text("first")
        script.wait_request(2)
        client.send(text("one"), text(""), ping(), text("two"), close(1000, "x"))
        gate.set()
        client.expect(close(1000, "x"))
        expected = [text_event("first"), text_event("one"), Event("TEXT"), Event("PING"), text_event("two")]
        assert [parse_events(request.body) for request in script.requests[1:]] == [
            *([event] for event in expected),
            [close_event(1000, "x")],
        ]

    @pytest.mark.spec("ws-36")
    def test_long_messages(self, ws: WebSocketStage) -> None:
        """200 000 bytes pass."""
        client, script = ws.over_http()
        client.send(binary(BINARY), timeout_s=5)
        script.wait_for(Event("BINARY", BINARY))
        client, script = ws.over_http()
        client.send(text("x" * 200_000))
        script.wait_for(text_event("x" * 200_000))

    @pytest.mark.spec("ws-36")
    @pytest.mark.parametrize("pieces", [1, 5])
    @differs("ws-close-codes")
    def test_too_long_message(self, ws: WebSocketStage, pieces: int) -> None:
        """Above 200 000 bytes the connection is closed."""
        client, _script = ws.over_http()
        data = b"x" * (300_000 // pieces)
        client.send(*fragments(Opcode.TEXT, *[data] * pieces)[: pieces if pieces == 1 else -1])
        client.expect(close(1009, "message exceeds 200000 bytes"))
        client.assert_dropped()


class TestToTheClient:
    @pytest.mark.spec("ws-21", "ws-22")
    @pytest.mark.parametrize(
        ("body", "frames"),
        [
            pytest.param(b"TEXT 5\r\nhello\r\n", [text("hello")], id="text"),
            pytest.param(b"TEXT 0\r\n\r\nTEXT\r\n", [text(""), text("")], id="empty text"),
            pytest.param(b"BINARY 2\r\n\x00\xff\r\nBINARY\r\n", [binary(b"\0\xff"), binary(b"")], id="binary"),
            pytest.param(b"PING 1\r\na\r\nPING\r\n", [ping(b"a"), ping()], id="ping"),
            pytest.param(b"PONG 1\r\na\r\nPONG 0\r\n\r\n", [pong(b"a"), pong()], id="pong"),
            pytest.param(b"TEXT A\r\n0123456789\r\nTEXT 0xA\r\n0123456789\r\n", [text("0123456789")] * 2, id="hex"),
            pytest.param(b"TEXT +2\r\nab\r\n", [text("ab")], id="plus sign"),
            pytest.param(b"TEXT 002\r\nab\r\n", [text("ab")], id="leading zeros"),
            pytest.param(b"TEXT 2\r\nab__TEXT 1\r\nc\r\n", [text("ab"), text("c")], id="end of content unchecked"),
            pytest.param(b"TEXT 8\r\nhi", [text("hi")], id="content cut short"),
            pytest.param(b"TEXT 2\r\nhi", [text("hi")], id="no last CRLF"),
            pytest.param(b"HELLO\r\nHELLO 4\r\nTEXT\r\ntext 1\r\na\r\nTEXT 1\r\nx\r\n", [text("x")], id="unknown"),
            pytest.param(b"TEXT 3\r\nm:x\r\nTEXT 4\r\nc:{}\r\n", [text("m:x"), text("c:{}")], id="no prefix logic"),
        ],
    )
    def test_events(self, ws: WebSocketStage, body: bytes, frames: list[Frame]) -> None:
        client, _script = ws.over_http(events_reply(body=body))
        client.send_text("x")
        client.expect(*frames)
        client.send_text("x")
        client.assert_silent(0.1)

    @pytest.mark.spec("ws-34")
    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(events_reply(DISCONNECT), id="disconnect"),
            pytest.param(events_reply(OPEN), id="open"),
            pytest.param(Reply(500, "Error"), id="status"),
            pytest.param(Reply(headers=[("Content-Type", "text/plain")]), id="type"),
            pytest.param(events_reply(body=b"TEXT zz\r\nhello\r\n"), id="length"),
            pytest.param(events_reply(body=b"TEXT 5"), id="no CRLF"),
        ],
    )
    def test_end_by_the_backend(self, ws: WebSocketStage, reply: Reply) -> None:
        """The client sees the end of the connection, no close frame, and the backend no DISCONNECT."""
        client, script = ws.over_http(reply)
        client.send_text("x")
        client.assert_dropped()
        threading.Event().wait(0.3)
        assert len(script.requests) == 2

    @pytest.mark.spec("ws-34")
    def test_nothing_after_disconnect(self, ws: WebSocketStage) -> None:
        client, _script = ws.over_http(events_reply(DISCONNECT, text_event("never"), CLOSE))
        client.send_text("x")
        client.assert_dropped()

    @pytest.mark.spec("ws-37")
    @pytest.mark.parametrize("size", [pytest.param(1_000_000 - 16, marks=differs("ws-large-event")), 1_000_001])
    def test_long_answer(self, ws: WebSocketStage, size: int) -> None:
        """A body of 1 000 000 bytes passes, above it the connection is dropped."""
        client, _script = ws.over_http(events_reply(Event("BINARY", b"x" * size)))
        client.send_text("x")
        if size > 1_000_000:
            client.assert_dropped()
        else:
            assert client.read(timeout_s=5) == binary(b"x" * size)

    @differs("ws-large-event")
    def test_long_message(self, ws: WebSocketStage) -> None:
        client, _script = ws.over_http(events_reply(Event("BINARY", BINARY), text_event("x")))
        client.send_text("x")
        client.expect(binary(BINARY), text("x"))

    def test_many_events(self, ws: WebSocketStage) -> None:
        """In one body, in order."""
        client, _script = ws.over_http(events_reply(*(text_event(str(number)) for number in range(80))))
        client.send_text("x")
        client.expect_text(*(str(number) for number in range(80)))


class TestMeta:
    @pytest.mark.spec("ws-28")
    def test_is_remembered(self, ws: WebSocketStage) -> None:
        """Set, replaced without case, removed; a new value moves to the end."""
        first = opening(headers=[("Set-Meta-A", "x"), ("Set-Meta-B", "1"), ("Set-Meta-C", "1")])
        second = events_reply(headers=[("set-meta-a", "y"), ("Set-Meta-B", "")])
        client, script = ws.over_http(second, events_reply(), first=first)
        expected = [
            [],
            [("Meta-A", "x"), ("Meta-B", "1"), ("Meta-C", "1")],
            [("Meta-C", "1"), ("Meta-a", "y")],
            [("Meta-C", "1"), ("Meta-a", "y")],
        ]
        for number in (2, 3, 4):
            client.send_text("x")
            script.wait_request(number)
        for request, wanted in zip(script.requests, expected, strict=True):
            metas = [(name, value) for name, value in request.headers if name.lower().startswith("meta-")]
            assert [(name.lower(), value) for name, value in metas] == [(name.lower(), value) for name, value in wanted]

    @pytest.mark.spec("ws-28")
    def test_disconnect_has_it(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http(first=opening(headers=[("Set-Meta-A", "x"), ("Set-Meta-", "y")]))
        client.close()
        request = script.wait_request(2)
        assert bytes(request.body) == b"DISCONNECT\r\n"
        assert [header for header in request.headers if header[0].startswith("Meta-")] == [("Meta-A", "x")]


class TestRefresh:
    @pytest.mark.spec("ws-42")
    @differs("refresh")
    def test_by_publish(self, ws: WebSocketStage) -> None:
        """An empty request at once, or right after the one in flight."""
        client, script = ws.grip_over_http("refreshed")
        ws.publish(ws_item("refreshed", action="refresh"))
        request = script.wait_request(2)
        assert (bytes(request.body), request.header("Content-Length")) == (b"", "0")
        gate = threading.Event()
        script.then(held_back(gate, events_reply()), events_reply(text_event("m:seen")))
        client.send_text("x")
        script.wait_request(3)
        ws.publish(ws_item("refreshed", action="refresh"))
        client.assert_silent(0.2)
        gate.set()
        assert script.wait_events(4) == []
        client.expect_text("seen")

    @differs("ws-refresh")
    def test_what_the_client_says_during_it(self, ws: WebSocketStage) -> None:
        """It goes out next, and what the backend answers to the empty request arrives all the same."""
        gate = threading.Event()
        client, script = ws.grip_over_http("talkative")
        script.then(held_back(gate, events_reply(text_event("m:seen"))))
        ws.publish(ws_item("talkative", action="refresh"))
        script.wait_request(2)
        client.send_text("x")
        client.assert_silent(0.2)
        gate.set()
        client.expect_text("seen")
        assert script.wait_events(3) == [text_event("x")]
