"""WebSocket backends: the handshake, frames both ways, and the ends."""

from __future__ import annotations

import random
import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import ClosedByServer
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tokens import token_claims
from tests.harness.websocket import Frame, Opcode, WebSocket, binary, close, fragments, ping, pong, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage

BAD_GATEWAY = b"Error while proxying to origin.\n"
BINARY = random.Random(4).randbytes(150_000)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        f"relay {target}",
        f"no-grip,no_grip {target}",
        f"second 127.0.0.1:{free_port()} {target}",
        f"dead 127.0.0.1:{free_port()}",
        f"dead-debug,debug 127.0.0.1:{free_port()} 127.0.0.1:{free_port()}",
        f"as-host {target},host=other.example",
        f"headers,header=X-Own:1 {target}",
        "built-in test",
        "cut,path_beg=/cut/ test",
    )


class TestHandshake:
    def test_request(self, ws: WebSocketStage) -> None:
        """The client's headers stay, those of its own handshake do not: ws spec §2.1."""
        own = [("Origin", "http://a"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Own", "x")]
        protocol = ("Sec-WebSocket-Protocol", "one, two")
        client, peer = ws.shake(headers=[*own, protocol, ("Sec-WebSocket-Extensions", "x-mine")], query="?a=%20b&c")
        request = peer.request
        assert (request.method, request.version) == ("GET", "HTTP/1.1")
        assert request.target.endswith("?a=%20b&c")
        assert [header for header in request.headers if header in own] == own
        expected = {
            "Host": "relay",
            "Upgrade": "websocket",
            "Connection": "Upgrade",
            "Sec-WebSocket-Version": "13",
            "Sec-WebSocket-Extensions": "grip",
            "Sec-WebSocket-Protocol": "one, two",
        }
        assert {name: request.header(name) for name in expected} == expected
        assert request.header("Sec-WebSocket-Key") != client.key
        assert token_claims(request.header("Grip-Sig"), b"changeme")["iss"] == "pushpin"
        assert not request.has("Content-Length")

    def test_without_grip(self, ws: WebSocketStage) -> None:
        _client, peer = ws.shake(host="no-grip", headers=[("Grip-Sig", "forged")])
        for name in ("Sec-WebSocket-Extensions", "Grip-Sig", "Grip-Feature"):
            assert not peer.request.has(name)

    def test_forged_headers(self, ws: WebSocketStage) -> None:
        headers = [("Grip-Sig", "forged"), ("Grip-Feature", "forged"), ("Sec-WebSocket-Extensions", "grip; forged")]
        _client, peer = ws.shake(headers=headers)
        assert b"forged" not in peer.request.raw_head

    def test_target_parameters(self, ws: WebSocketStage) -> None:
        _client, peer = ws.shake(host="as-host")
        assert peer.request.header("Host") == "other.example"
        _client, peer = ws.shake(host="headers")
        assert peer.request.header("X-Own") == "1"

    def test_answer(self, ws: WebSocketStage) -> None:
        """The backend's headers, extensions left out, and the edge's three."""
        client, peer = ws.shake()
        peer.accept(
            [
                ("X-A", "1"),
                ("Sec-WebSocket-Protocol", "two"),
                ("Set-Cookie", "a"),
                ("Set-Cookie", "b"),
                ("Sec-WebSocket-Extensions", "grip, x-other"),
            ]
        )
        response = client.accepted()
        own = ["Upgrade", "Connection", "Sec-WebSocket-Accept"]
        assert response.names() == ["X-A", "Sec-WebSocket-Protocol", "Set-Cookie", "Set-Cookie", *own]
        assert response.header("Sec-WebSocket-Protocol") == "two"

    def test_messages_in_the_segment_of_the_answer(self, ws: WebSocketStage) -> None:
        """A backend may speak at once, and a client before it has the answer."""
        client, peer = ws.shake()
        client.send_text("early")
        peer.accept()
        peer.send_text("hello", "again")
        client.accepted()
        client.expect_text("hello", "again")
        peer.expect(text("early"))

    @differs("ws-accept-value")
    def test_wrong_accept_value(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake()
        peer.accept(accept="AAAAAAAAAAAAAAAAAAAAAAAAAAA=")
        response = client.refused()
        assert (response.status, response.body) == (502, BAD_GATEWAY)

    @pytest.mark.spec("ws-68")
    @pytest.mark.parametrize("data", [b"", b"garbage\r\n\r\n"], ids=["end", "garbage"])
    def test_no_answer(self, ws: WebSocketStage, data: bytes) -> None:
        client, peer = ws.shake()
        peer.send_raw(data)
        peer.close()
        response = client.refused()
        assert (response.status, response.body) == (502, BAD_GATEWAY)
        assert (response.header("Content-Type"), response.header("Content-Length")) == (None, str(len(BAD_GATEWAY)))

    @pytest.mark.spec("ws-68")
    def test_no_backend(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/", host="dead")
        response = client.refused()
        assert (response.status, response.body) == (502, BAD_GATEWAY)
        assert (response.header("Content-Type"), response.header("Content-Length")) == (None, str(len(BAD_GATEWAY)))
        client = ws.client()
        client.handshake("/", host="dead-debug")
        assert client.refused().body.startswith(b"Unable to connect to any targets. Tried: 127.0.0.1:")

    def test_next_target(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay(host="second")
        peer.send_text("x")
        client.expect_text("x")

    @pytest.mark.spec("ws-67")
    def test_rejection(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake()
        peer.reject(Reply(403, "Forbidden", [("Content-Type", "text/x")], b"not you"))
        response = client.refused()
        assert (response.status, response.body) == (403, b"not you")

    @differs("ws-rejection-headers")
    @pytest.mark.spec("ws-67")
    @pytest.mark.parametrize("status", [200, 302, 403])
    def test_rejection_has_its_headers(self, ws: WebSocketStage, status: int) -> None:
        headers = [("Content-Type", "text/x"), ("Location", "/x"), ("Set-Cookie", "a"), ("Set-Cookie", "b")]
        client, peer = ws.shake()
        peer.reject(Reply(status, "My Reason", [*headers, ("Sec-WebSocket-Extensions", "x")], b"not you"))
        response = client.refused()
        assert (response.status, response.reason) == (status, "My Reason")
        assert [header for header in response.headers if header[0] not in ("Connection", "Content-Length")] == headers

    @differs("ws-long-rejection")
    @pytest.mark.spec("ws-67")
    def test_long_rejection(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake()
        peer.reject(Reply(403, "No", body=BINARY[:100_000]))
        assert client.refused().body == BINARY[:100_000]


class TestFrames:
    @pytest.mark.spec("ws-45", "ws-46")
    @pytest.mark.parametrize(
        "frame",
        [
            text("hello"),
            text("wörld"),
            text(""),
            binary(bytes(range(256))),
            binary(b""),
            text("m:x"),
            text("c:{}"),
            binary(BINARY),
            text("x" * 70_000),
            ping(),
            pong(),
        ],
        ids=lambda frame: f"{frame.opcode}-{len(frame.payload)}",
    )
    def test_both_ways(self, ws: WebSocketStage, frame: Frame) -> None:
        client, peer = ws.relay()
        client.send(frame)
        peer.expect(frame)
        peer.send(frame)
        client.expect(frame)

    @pytest.mark.spec("ws-45")
    @differs("ws-control-payload")
    @pytest.mark.parametrize("frame", [ping(b"pp"), pong(b"pp"), ping(b"x" * 125)], ids=["ping", "pong", "long ping"])
    def test_payload_of_control_frames(self, ws: WebSocketStage, frame: Frame) -> None:
        client, peer = ws.relay()
        client.send(frame)
        peer.expect(frame)
        peer.send(frame)
        client.expect(frame)

    def test_masks(self, ws: WebSocketStage) -> None:
        """Towards backends always, towards clients never."""
        client, peer = ws.relay()
        for frame in (text("x"), ping(), text("y" * 300)):
            client.send(frame)
            assert peer.read_frame().is_masked
            peer.send(frame)
            assert not client.read_frame().is_masked

    def test_fragments(self, ws: WebSocketStage) -> None:
        """Messages stay messages of their type, both ways, whatever their frames are."""
        client, peer = ws.relay()
        ends: list[tuple[WebSocket, WebSocket]] = [(client, peer), (peer, client)]
        for sender, receiver in ends:
            sender.send(*fragments(Opcode.TEXT, b"he", b"", b"llo"), *fragments(Opcode.BINARY, b"", b"\0", b""))
            receiver.expect(text("hello"), binary(b"\0"))

    def test_fragments_are_not_kept_back(self, ws: WebSocketStage) -> None:
        """A part of a message is relayed before the rest is there."""
        client, peer = ws.relay()
        first, second = fragments(Opcode.TEXT, b"x" * 20_000, b"y")
        ends: list[tuple[WebSocket, WebSocket]] = [(client, peer), (peer, client)]
        for sender, receiver in ends:
            sender.send(first)
            received, frame = 0, receiver.read_frame()
            while received + len(frame.payload) < 20_000:
                received += len(frame.payload)
                frame = receiver.read_frame()
            assert not frame.is_final
            sender.send(second)
            while not receiver.read_frame().is_final:
                pass

    @pytest.mark.spec("ws-79")
    @differs("ws-interleaved-control")
    def test_control_between_fragments(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        first, second = fragments(Opcode.TEXT, b"he", b"llo")
        client.send(first, ping(), second)
        received = [peer.read_frame() for _ in range(3)]
        assert sorted(frame.opcode for frame in received) == sorted((Opcode.TEXT, Opcode.CONTINUATION, Opcode.PING))
        assert b"".join(frame.payload for frame in received) == b"hello"
        peer.send(first, pong(), second)
        received = [client.read_frame() for _ in range(3)]
        assert sorted(frame.opcode for frame in received) == sorted((Opcode.TEXT, Opcode.CONTINUATION, Opcode.PONG))

    def test_no_pong_of_our_own(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        client.send(ping())
        peer.expect(ping())
        client.assert_silent(0.2)
        peer.send(ping())
        client.expect(ping())
        peer.assert_silent(0.2)

    def test_many_messages_keep_their_order(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        contents = [str(number) for number in range(500)]
        for number in range(0, 500, 50):
            client.send_text(*contents[number : number + 50])
            peer.expect_text(*contents[number : number + 50])
            peer.send_text(*contents[number : number + 50])
            client.expect_text(*contents[number : number + 50])


class TestEnds:
    @pytest.mark.spec("ws-45")
    @pytest.mark.parametrize("frame", [close(1001, "x"), close(4000), close(1000, "ü" * 61)])
    def test_client_closes(self, ws: WebSocketStage, frame: Frame) -> None:
        client, peer = ws.relay()
        client.send(text("last"), frame)
        peer.expect(text("last"), frame)
        client.assert_silent(0.2)
        peer.send(close(4001, "answer"))
        client.expect(close(4001, "answer"))
        client.connection.assert_closed()
        assert peer.read_to_end() == []

    @pytest.mark.spec("ws-45")
    def test_client_closes_without_a_code(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        client.send(close())
        peer.expect(close())
        peer.send(close())
        client.expect(close(1000))
        client.connection.assert_closed()

    @pytest.mark.spec("ws-45")
    @pytest.mark.parametrize(
        ("frame", "expected"),
        [(close(4000, "bye"), close(4000, "bye")), (close(1001), close(1001)), (close(), close(1000))],
    )
    def test_backend_closes(self, ws: WebSocketStage, frame: Frame, expected: Frame) -> None:
        client, peer = ws.relay()
        peer.send(frame)
        client.expect(expected)
        client.send(close(4002, "mine"))
        client.connection.assert_closed()
        assert [answer.opcode for answer in peer.read_to_end()] == [Opcode.CLOSE]

    @differs("ws-last-message")
    def test_message_just_before_the_close(self, ws: WebSocketStage) -> None:
        """Target of ws spec §2.7: is never lost."""
        for number in range(20):
            client, peer = ws.relay()
            peer.send(text(f"last {number}"), close(4000))
            client.expect(text(f"last {number}"), close(4000))

    def test_no_answer_to_a_close(self, ws: WebSocketStage) -> None:
        """Both sides may take their time."""
        client, peer = ws.relay()
        client.send(close(1000))
        peer.expect(close(1000))
        client.assert_silent(1.5)
        peer.close()
        client.assert_dropped()

    @pytest.mark.spec("ws-69")
    @pytest.mark.parametrize("how", ["end", "reset"])
    def test_backend_vanishes(self, ws: WebSocketStage, how: str) -> None:
        client, peer = ws.relay()
        peer.send_text("x")
        client.expect_text("x")
        if how == "end":
            peer.close()
        else:
            peer.connection.reset()
        client.assert_dropped()

    @pytest.mark.parametrize("how", ["end", "reset", "only writing"])
    def test_client_vanishes(self, ws: WebSocketStage, how: str) -> None:
        """The backend's connection ends without a close frame."""
        client, peer = ws.relay()
        client.send_text("x")
        peer.expect_text("x")
        if how == "end":
            client.close()
        elif how == "reset":
            client.connection.reset()
        else:
            client.connection.shut_writing()
        assert peer.read_to_end() == []

    def test_client_vanishes_during_the_handshake(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake()
        client.close()
        time.sleep(0.2)
        try:
            peer.accept()
            peer.connection.read_to_close()
        except (ClosedByServer, BrokenPipeError, ConnectionResetError):
            pass


class TestTestTarget:
    def test_echo(self, ws: WebSocketStage) -> None:
        """Spec §2.9."""
        client = ws.client()
        client.handshake("/ws", host="built-in")
        client.accepted()
        for frame in (text("x"), binary(b"y"), ping(b"z"), pong(b"z")):
            client.send(frame)
            client.expect(frame)
        ws.wait_subscribed(client, "test")
        client.send(close(4000, "x"))
        client.expect(close(4000, "x"))

    def test_channels(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/cut/ws/?channel=built-in-a&channel=built-in-b", host="cut")
        client.accepted()
        for channel in ("built-in-a", "built-in-b"):
            ws.wait_subscribed(client, channel)

    def test_other_path(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/other", host="built-in")
        response = client.refused()
        assert (response.status, response.body) == (404, b"no such test resource\n")
        assert response.header("Content-Type") == "text/plain"
