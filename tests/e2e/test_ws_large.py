"""Much data through WebSockets. Pushpin 1.36 stalls on it more often than not, so these are not in tests/compat."""

from __future__ import annotations

import random
import threading
import time

import pytest
from tests.harness.backend import ScriptedBackend, held_back
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually
from tests.harness.websocket import Opcode, WebSocket, binary, close, fragments, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event, events_reply
from tests.harness.ws_stage import WebSocketStage

BINARY = random.Random(6).randbytes(3_000_000)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(f"relay 127.0.0.1:{ws_backend.port}", f"events 127.0.0.1:{backend.port},over_http")


def ends(ws: WebSocketStage, direction: str) -> tuple[WebSocket, WebSocket]:
    """A sender and a receiver."""
    client, peer = ws.relay()
    return (client, peer) if direction == "to the backend" else (peer, client)


@pytest.mark.parametrize("direction", ["to the backend", "to the client"])
class TestRelay:
    @pytest.mark.spec("ws-81")
    @pytest.mark.parametrize("frames", [1, 3, 1000])
    def test_long_message(self, ws: WebSocketStage, direction: str, frames: int) -> None:
        sender, receiver = ends(ws, direction)
        size = len(BINARY) // frames
        pieces = [BINARY[start : start + size] for start in range(0, len(BINARY), size)]
        thread = threading.Thread(target=lambda: sender.send(*fragments(Opcode.BINARY, *pieces), timeout_s=15))
        thread.start()
        assert receiver.read(timeout_s=15) == binary(BINARY)
        thread.join()

    def test_many_messages_to_a_late_reader(self, ws: WebSocketStage, direction: str) -> None:
        """What is not read is not taken without limit; nothing is lost, and the order stays."""
        sender, receiver = ends(ws, direction)
        messages = [text(f"{number:04}" + "x" * 9_996) for number in range(3000)]
        sent = threading.Event()

        def send() -> None:
            sender.send(*messages, timeout_s=20)
            sent.set()

        thread = threading.Thread(target=send)
        thread.start()
        assert not sent.wait(0.7), "30 MB are more than sockets hold"
        for number, message in enumerate(messages):
            assert receiver.read(timeout_s=10) == message, number
        thread.join()

    def test_sender_that_closes_and_leaves_at_once(self, ws: WebSocketStage, direction: str) -> None:
        """Its last words come, however late they are read."""
        sender, receiver = ends(ws, direction)
        messages = [text(f"{number:04}" + "x" * 9_996) for number in range(1000)]

        def send() -> None:
            sender.send(*messages, close(1000, "bye"), timeout_s=20)
            sender.connection.shut_writing()

        thread = threading.Thread(target=send)
        thread.start()
        time.sleep(0.3)
        for number, message in enumerate(messages):
            assert receiver.read(timeout_s=10) == message, number
        assert receiver.read(timeout_s=10) == close(1000, "bye")
        thread.join()


@pytest.mark.spec("ws-12")
def test_many_messages_behind_a_slow_backend(ws: WebSocketStage) -> None:
    """More than 200 000 bytes of complete messages wait in the client's connection and are not lost."""
    gate = threading.Event()
    client, script = ws.over_http(held_back(gate, events_reply()))
    client.send_text("first")
    script.wait_request(2)
    messages = [text(f"{number:04}" + "x" * 10_000) for number in range(3000)]
    sender = threading.Thread(target=lambda: client.send(*messages, timeout_s=30))
    sender.start()
    threading.Event().wait(0.5)
    assert sender.is_alive(), "30 MB are more than the proxy and two sockets take"
    gate.set()
    sender.join()
    eventually(lambda: len(script.all_events()) == 3001, "all messages", timeout_s=30)
    assert [event.content for event in script.all_events()[1:]] == [message.payload for message in messages]


def test_no_request_while_the_client_does_not_read(ws: WebSocketStage) -> None:
    """Answers that wait for the client keep its next messages from the backend; all goes on when it reads."""
    client, script = ws.over_http(
        *[events_reply(Event("BINARY", BINARY[:900_000])) for _ in range(40)], receive_buffer=4096
    )
    for _ in range(40):
        client.send_text("x")
        threading.Event().wait(0.05)
    asked = len(script.requests)
    assert asked < 30, "36 MB are more than the proxy takes"
    threading.Event().wait(0.5)
    assert len(script.requests) == asked
    for _ in range(asked - 1):
        assert client.read(timeout_s=10) == binary(BINARY[:900_000])
    eventually(lambda: len(script.all_events()) == 40, "the other messages", timeout_s=10)
