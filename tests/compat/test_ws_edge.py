"""The edge: handshakes that are none, and frames that a client must not send."""

from __future__ import annotations

import struct

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import encode_request
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import scaled
from tests.harness.websocket import MASK, Frame, Opcode, WebSocketClient, binary, close, fragments, ping, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import CLOSE, DISCONNECT, Event, close_event
from tests.harness.ws_stage import WebSocketStage

INVALID = (
    b'Request contained an Upgrade header with value "websocket" but the request was not a valid WebSocket request.\n'
)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        f"* 127.0.0.1:{backend.port}",
    )


class TestHandshake:
    @differs("ws-invalid-handshake")
    @pytest.mark.spec("ws-82")
    @pytest.mark.parametrize(
        ("leave_out", "headers", "options"),
        [
            pytest.param(["Sec-WebSocket-Key"], [], {}, id="no key"),
            pytest.param(["Sec-WebSocket-Version"], [], {}, id="no version"),
            pytest.param(["Sec-WebSocket-Version"], [("Sec-WebSocket-Version", "8")], {}, id="version 8"),
            pytest.param([], [], {"method": "POST"}, id="POST"),
            pytest.param([], [], {"body": b"x"}, id="body"),
            pytest.param([], [("Transfer-Encoding", "chunked")], {}, id="chunked"),
            pytest.param([], [("Sec-WebSocket-Extensions", 'x; a="b')], {}, id="extensions"),
        ],
    )
    def test_invalid(
        self, ws: WebSocketStage, leave_out: list[str], headers: list[tuple[str, str]], options: dict[str, str | bytes]
    ) -> None:
        """400, which says so, and the end of the connection."""
        client = ws.client()
        client.handshake("/", host="relay", leave_out=leave_out, headers=headers, **options)
        response = client.refused()
        assert (response.status, response.reason, response.body) == (400, "Bad Request", INVALID)
        assert response.header("Content-Type") == "text/plain"

    @pytest.mark.spec("ws-82")
    def test_invalid_ends_the_connection(self, ws: WebSocketStage) -> None:
        """Whatever is said, the backend does not see it."""
        for leave_out, method in (["Sec-WebSocket-Key"], "GET"), ([], "POST"):
            client = ws.client()
            client.handshake("/invalid", host="*", leave_out=leave_out, method=method)
            client.connection.read_to_close()
        assert b"/invalid" not in ws.backend.all_heads()

    def test_empty_body(self, ws: WebSocketStage) -> None:
        """``Content-Length: 0`` is tolerated. 1.36 may say that it closes besides, so only the status is looked at."""
        client, peer = ws.shake(headers=[("Content-Length", "0")])
        peer.accept()
        status = b"HTTP/1.1 101 "
        assert client.connection.read_exactly(len(status), scaled(5)) == status

    @pytest.mark.spec("ws-83")
    def test_no_connection_header(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/without", host="relay", leave_out=["Connection"])
        ws.ws_backend.take("/without").accept()
        client.accepted()

    def test_http_1_0(self, ws: WebSocketStage) -> None:
        """Is not refused."""
        client = ws.client()
        client.handshake("/old", host="relay", version="1.0")
        ws.ws_backend.take("/old").accept()
        client.accepted()

    @differs("ws-upgrade-case")
    @pytest.mark.spec("ws-83")
    @pytest.mark.parametrize("value", ["WebSocket", "WEBSOCKET"])
    def test_case_of_upgrade(self, ws: WebSocketStage, value: str) -> None:
        client = ws.client()
        client.handshake("/case", host="relay", leave_out=["Upgrade"], headers=[("Upgrade", value)])
        ws.ws_backend.take("/case").accept()
        client.accepted()

    def test_other_upgrades(self, stage: Stage) -> None:
        """Are ignored."""
        request = stage.received(headers=[("Upgrade", "h2c"), ("Connection", "Upgrade")])
        assert request.method == "GET"

    @pytest.mark.parametrize("key", ["x", "k" * 220, "not base64!"])
    def test_key_is_any_text(self, ws: WebSocketStage, key: str) -> None:
        client = ws.client()
        client.handshake("/key", host="relay", leave_out=["Sec-WebSocket-Key"], headers=[("Sec-WebSocket-Key", key)])
        client.key = key
        ws.ws_backend.take("/key").accept()
        client.accepted()

    def test_after_other_requests(self, ws: WebSocketStage, stage: Stage) -> None:
        """On a connection that served requests before, and pipelined behind one."""
        path = ws.backend.serve(Reply(body=b"ok"))
        raw = stage.client()
        raw.request(path, host="other")
        assert raw.read_response().body == b"ok"
        raw.send(encode_request(path, host="other"))
        client = WebSocketClient(raw)
        client.handshake("/after", host="relay")
        assert raw.read_response().body == b"ok"
        peer = ws.ws_backend.take("/after")
        peer.accept()
        client.accepted()
        client.send_text("x")
        peer.expect_text("x")


# What fails a connection, and the close code that says so.
FAILING = [
    pytest.param([Frame(3, b"x")], 1002, id="opcode 3"),
    pytest.param([Frame(7)], 1002, id="opcode 7"),
    pytest.param([Frame(11, b"x")], 1002, id="opcode 11"),
    pytest.param([Frame(15)], 1002, id="opcode 15"),
    pytest.param([Frame(0, b"x")], 1002, id="stray continuation"),
    pytest.param([Frame(0, b"x", is_final=False)], 1002, id="stray first continuation"),
    pytest.param([Frame(1, b"x", is_final=False), text("y")], 1002, id="nested text"),
    pytest.param([Frame(1, b"x", is_final=False), binary(b"y")], 1002, id="nested binary"),
    pytest.param([ping(b"x" * 126)], 1002, id="long ping"),
    pytest.param([Frame(Opcode.CLOSE, b"\x03\xe8" + b"x" * 124)], 1002, id="long close"),
    pytest.param([Frame(Opcode.PING, b"x", is_final=False)], 1002, id="fragmented ping"),
    pytest.param([Frame(Opcode.CLOSE, b"", is_final=False)], 1002, id="fragmented close"),
    pytest.param([Frame(Opcode.TEXT, b"x", rsv=4)], 1002, id="RSV1"),
    pytest.param([Frame(Opcode.CLOSE, b"\x03\xe8\xff")], 1007, id="reason is no UTF-8"),
]
# The same, but Pushpin lets it pass.
REFUSED = [
    pytest.param([Frame(Opcode.TEXT, b"x", rsv=2)], 1002, id="RSV2"),
    pytest.param([Frame(Opcode.BINARY, b"x", rsv=1)], 1002, id="RSV3"),
    pytest.param([Frame(Opcode.PING, b"x", rsv=1)], 1002, id="RSV3 of a ping"),
    pytest.param([text(b"a\xffb")], 1007, id="text is no UTF-8"),
    pytest.param(fragments(Opcode.TEXT, b"\xc3", b"x"), 1007, id="text is no UTF-8 over fragments"),
    pytest.param([text(b"\xc3")], 1007, id="text ends within a character"),
    pytest.param([text(b"\xed\xa0\x80")], 1007, id="surrogate"),
    *(
        pytest.param([Frame(Opcode.CLOSE, struct.pack("!H", code))], 1002, id=f"close code {code}")
        for code in (0, 999, 1004, 1005, 1006, 1015, 2999, 5000)
    ),
]


class TestFailingFrames:
    @pytest.mark.spec("ws-80")
    @pytest.mark.parametrize(("frames", "code"), FAILING)
    def test_relay(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        """The client's connection ends, and so does the backend's, without a close frame."""
        client, peer = ws.relay()
        client.send(*frames)
        assert [frame.close_code for frame in client.read_to_end()] in ([], [code])
        assert [frame for frame in peer.read_to_end() if frame.opcode == Opcode.CLOSE] == []

    @pytest.mark.spec("ws-80")
    @pytest.mark.parametrize(("frames", "code"), FAILING)
    def test_over_http(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        """The backend is told of a disconnect."""
        client, script = ws.over_http()
        client.send(*frames)
        assert [frame.close_code for frame in client.read_to_end()] in ([], [code])
        script.wait_for(DISCONNECT)

    @differs("ws-failure-code")
    @pytest.mark.spec("ws-80")
    @pytest.mark.parametrize(("frames", "code"), FAILING)
    def test_close_code(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        """The client is told why."""
        client, _peer = ws.relay()
        client.send(*frames)
        client.expect_end(code)

    @differs("ws-strict-frames")
    @pytest.mark.parametrize(("frames", "code"), REFUSED)
    def test_what_pushpin_lets_pass(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        client, peer = ws.relay()
        client.send(*frames)
        client.expect_end(code, timeout_s=2)
        assert [frame for frame in peer.read_to_end() if frame.opcode == Opcode.CLOSE] == []

    @differs("ws-strict-frames")
    @pytest.mark.parametrize(("frames", "code"), REFUSED[-2:])
    def test_what_pushpin_lets_pass_over_http(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        client, script = ws.over_http()
        client.send(*frames)
        client.expect_end(code, timeout_s=2)
        script.wait_for(DISCONNECT)

    @differs("ws-strict-frames")
    @pytest.mark.parametrize("frame", [text("x"), ping(b""), close(1000)], ids=["text", "ping", "close"])
    def test_unmasked(self, ws: WebSocketStage, frame: Frame) -> None:
        client, peer = ws.relay()
        client.send_raw(frame.encode(None))
        client.expect_end(1002, timeout_s=2)
        assert peer.read_to_end() == []

    def test_messages_before_it(self, ws: WebSocketStage) -> None:
        """Were complete, and reach the backend."""
        client, script = ws.over_http()
        client.send_text("x")
        script.wait_request(2)
        client.send(Frame(3))
        script.wait_for(Event("TEXT", b"x"), DISCONNECT)


class TestPassingFrames:
    @pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65_535, 65_536, 100_000])
    def test_lengths(self, ws: WebSocketStage, size: int) -> None:
        client, peer = ws.relay()
        client.send(binary(b"x" * size))
        peer.expect(binary(b"x" * size))
        peer.send(binary(b"y" * size))
        client.expect(binary(b"y" * size))

    def test_byte_by_byte(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http()
        for data in (text("hellö").encode(MASK), ping(b"p").encode(b"\0\0\0\0"), close(4000, "x").encode(MASK)):
            for number in range(len(data)):
                client.send_raw(data[number : number + 1])
        client.expect(close(4000, "x"))
        script.wait_for(Event("TEXT", "hellö".encode()), Event("PING", b"p"), close_event(4000, "x"))

    def test_lengths_that_are_not_the_shortest(self, ws: WebSocketStage) -> None:
        """Two bytes of length for a short message (RFC 6455 §5.2): whatever becomes of it, it does no harm."""
        client, peer = ws.relay()
        client.send_raw(bytes([0x81, 0x80 | 126, 0, 1]) + b"\0\0\0\0" + b"x")
        ended = client.connection.is_readable(0.3)
        if not ended:
            peer.expect_text("x")

    def test_character_over_two_fragments(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http()
        client.send(*fragments(Opcode.TEXT, b"\xc3", b"\xbc"))
        script.wait_for(Event("TEXT", "ü".encode()))

    def test_close_of_one_byte(self, ws: WebSocketStage) -> None:
        """Has no code: ws spec §4.2."""
        client, peer = ws.relay()
        client.send(Frame(Opcode.CLOSE, b"\x03"))
        peer.expect(close())
        client, script = ws.over_http()
        client.send(Frame(Opcode.CLOSE, b"\x03"))
        script.wait_for(CLOSE)

    def test_data_after_close(self, ws: WebSocketStage) -> None:
        """Is not looked at."""
        client, peer = ws.relay()
        client.send(close(1000), text("never"), Frame(3))
        peer.expect(close(1000))
        peer.send(close(1000))
        client.expect(close(1000))
        assert peer.read_to_end() == []

    def test_enormous_length(self, ws: WebSocketStage) -> None:
        """Is awaited: what comes of it is relayed, and no memory is set aside."""
        client, peer = ws.relay()
        client.send_raw(binary(b"x" * 40_000).encode(MASK, length=1 << 40))
        received = 0
        while received < 32_768:
            frame = peer.read_frame()
            assert not frame.is_final
            received += len(frame.payload)
        client.close()
        assert peer.connection.read_to_close() == b""

    @differs("ws-strict-frames")
    def test_length_over_63_bits(self, ws: WebSocketStage) -> None:
        """RFC 6455 §5.2: the most significant bit must be 0."""
        client, _peer = ws.relay()
        client.send_raw(binary(b"x").encode(MASK, length=1 << 63))
        client.expect_end(1002, timeout_s=2)


class TestFramesOfBackends:
    @differs("ws-backend-frames")
    @pytest.mark.parametrize(
        "frames",
        [
            pytest.param([Frame(3, b"x")], id="opcode 3"),
            pytest.param([Frame(0, b"x")], id="stray continuation"),
            pytest.param([Frame(1, b"x", is_final=False), text("y")], id="nested text"),
            pytest.param([Frame(Opcode.TEXT, b"x", rsv=4)], id="RSV1"),
            pytest.param([ping(b"x" * 126)], id="long ping"),
        ],
    )
    def test_failing(self, ws: WebSocketStage, frames: list[Frame]) -> None:
        """The client's connection ends without a close frame: ws spec §2.7."""
        client, peer = ws.relay()
        peer.send(*frames)
        assert [frame for frame in client.connection.read_to_close() if frame == 0x88] == []

    @differs("ws-backend-frames")
    def test_masked(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        peer.send_raw(text("x").encode(MASK))
        client.assert_dropped()
