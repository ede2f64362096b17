"""SockJS over WebSockets: raw ones, and those whose messages are frames of SockJS."""

from __future__ import annotations

import json

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.messages import HeaderList
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.websocket import Frame, Opcode, WebSocketClient, binary, close, fragments, ping, pong
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_stage import WebSocketStage

RAW = "/s/websocket"
FRAMED = "/s/000/x/websocket"
TEXT = ("Content-Type", "text/plain")
both = pytest.mark.parametrize("path", [RAW, FRAMED], ids=["raw", "framed"])


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        f"relay,sockjs=/s {target}",
        f"as-path,sockjs=/s,sockjs_as_path=/other {target}",
        f"events,sockjs=/s 127.0.0.1:{backend.port},over_http",
        f"dead,sockjs=/s 127.0.0.1:{free_port()}",
        "demo,sockjs=/s,sockjs_as_path=/ws test",
    )


def _begin(
    ws: WebSocketStage, path: str, headers: HeaderList | None = None, query: str = ""
) -> tuple[WebSocketClient, BackendPeer]:
    client = ws.client()
    client.handshake(path + query, host="relay", headers=headers or [])
    return client, ws.ws_backend.take("/s/websocket")


def _open(ws: WebSocketStage, path: str) -> tuple[WebSocketClient, BackendPeer]:
    client, peer = _begin(ws, path)
    peer.accept()
    client.accepted()
    if path != RAW:
        client.expect_text("o")
    return client, peer


class TestDemo:
    """routes-101."""

    def test_raw(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake(RAW, host="demo")
        client.accepted()
        client.send_text("x", '["y"]')
        client.expect_text("x", '["y"]')

    @pytest.mark.parametrize("path", [FRAMED, "/s/0/x/anything", "/s/0/x/xhr", "/s//x/websocket"])
    def test_framed(self, ws: WebSocketStage, path: str) -> None:
        """The last part of the path does not matter, nor do the others."""
        client = ws.client()
        client.handshake(path, host="demo")
        client.accepted()
        client.expect_text("o")
        client.send_text('["x"]')
        client.expect_text('a["x"]')
        client.send_text('"x"')
        client.assert_dropped()

    def test_sessions_have_nothing_in_common(self, ws: WebSocketStage) -> None:
        """An id is no session here: each connection is one."""
        clients = [ws.client(), ws.client()]
        for client in clients:
            client.handshake(FRAMED, host="demo")
            client.accepted()
            client.expect_text("o")
        for number, client in enumerate(clients):
            client.send_text(f'["{number}"]')
            client.expect_text(f'a["{number}"]')

    @pytest.mark.parametrize(
        "path", ["/s", "/s/", "/s/x", "/s/info", "/s/0/websocket", "/s/0/x/websocket/", "/sx/0/x/y"]
    )
    def test_not_there(self, ws: WebSocketStage, path: str) -> None:
        client = ws.client()
        client.handshake(path, host="demo")
        response = client.refused()
        assert (response.status, response.reason, response.text) == (404, "Not Found", "Not Found\n")
        assert [header for header in response.headers if header[0] not in ("Connection", "Content-Length")] == [TEXT]


@both
class TestHandshake:
    def test_request(self, ws: WebSocketStage, path: str) -> None:
        """The prefix and ``/websocket``, with query and headers."""
        sent = [("Origin", "http://a"), ("Cookie", "a=b"), ("X-Own", "1"), ("Sec-WebSocket-Protocol", "p, q")]
        _client, peer = _begin(ws, path, sent, query="?x=1&y=%20")
        assert peer.request.target == "/s/websocket?x=1&y=%20"
        assert [header for header in peer.request.headers if header in sent] == sent
        assert (peer.request.header("Host"), peer.request.header("Sec-WebSocket-Extensions")) == ("relay", "grip")

    def test_answer(self, ws: WebSocketStage, path: str) -> None:
        """It is the backend's: nothing about CORS or caches."""
        client, peer = _begin(ws, path)
        peer.accept([("X-Own", "1"), ("Sec-WebSocket-Protocol", "q")])
        names = ["X-Own", "Sec-WebSocket-Protocol", "Upgrade", "Connection", "Sec-WebSocket-Accept"]
        assert client.accepted().names() == names

    def test_sockjs_as_path(self, ws: WebSocketStage, path: str) -> None:
        client = ws.client()
        client.handshake(path + "?x=1", host="as-path")
        assert ws.ws_backend.take("/other").request.target == "/other?x=1"

    def test_refusal(self, ws: WebSocketStage, path: str) -> None:
        inner = [("X-A", "1"), ("Content-Type", "a/b")]
        ws.backend.serve(Reply(403, "No Way", inner, b"nope"), path="/s/websocket")
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert (response.status, response.reason, response.text) == (403, "No Way", "nope")
        assert [header for header in response.headers if header[0] not in ("Connection", "Content-Length")] == inner

    def test_nobody_there(self, ws: WebSocketStage, path: str) -> None:
        client = ws.client()
        client.handshake(path, host="dead")
        response = client.refused()
        assert (response.status, response.text) == (502, "Error while proxying to origin.\n")


class TestRaw:
    def test_frames_pass(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, RAW)
        client.send_text("up", "")
        client.send(binary(b"\x00\xff"))
        peer.expect_text("up", "")
        peer.expect(binary(b"\x00\xff"))
        peer.send_text('a["x"]')
        peer.send(binary(b"\xff\x00"))
        client.expect_text('a["x"]')
        client.expect(binary(b"\xff\x00"))

    def test_close(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, RAW)
        peer.send(close(4002, "why"))
        client.expect(close(4002, "why"))


class TestFramed:
    def test_messages_to_the_client(self, ws: WebSocketStage) -> None:
        """One frame each."""
        client, peer = _open(ws, FRAMED)
        peer.send_text("one", 'q"\\/é\n\x01', "")
        peer.send(binary(b"b\xff"))
        client.expect_text('a["one"]', 'a["q\\"\\\\/é\\n\\u0001"]', 'a[""]', 'a["b\ufffd"]')

    def test_messages_to_the_backend(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        client.send_text('["a","b"]', "[]", '["\\u00e9\\n"]', ' [ "c" ] ')
        peer.expect_text("a", "b", "é\n", "c")
        client.send(*fragments(Opcode.TEXT, b'["fr', b'ag"]'))
        peer.expect_text("frag")
        client.send(binary(b'["binary"]'))
        peer.expect_text("binary")

    @pytest.mark.parametrize("content", ['"x"', "x", '["a",1]', "{}", "", "[null]", "1", '[["a"]]'])
    def test_what_is_no_list_of_texts(self, ws: WebSocketStage, content: str) -> None:
        """The connection drops without a close frame, and nothing of it is sent."""
        client, peer = _open(ws, FRAMED)
        client.send_text(content)
        client.assert_dropped()
        peer.assert_dropped()

    @differs("sockjs-fragments")
    def test_fragments_of_the_backend(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        peer.send(*fragments(Opcode.TEXT, b"a\xc3", b"\xa9", b"b"))
        client.expect_text('a["aéb"]', timeout_s=2)

    @differs("sockjs-pings")
    def test_pings_of_the_backend(self, ws: WebSocketStage) -> None:
        """Of RFC 6455, so no frames of SockJS."""
        client, peer = _open(ws, FRAMED)
        peer.send(ping(b"a"), pong(b"b"))
        client.expect(ping(b"a"), pong(b"b"))
        peer.send_text("x")
        client.expect_text('a["x"]')

    @pytest.mark.parametrize("size", [70_000, 200_000])
    def test_long_messages(self, ws: WebSocketStage, size: int) -> None:
        client, peer = _open(ws, FRAMED)
        client.send_text('["' + "x" * size + '"]')
        peer.expect_text("x" * size)
        peer.send_text("y" * size)
        client.expect_text('a["' + "y" * size + '"]')

    def test_longest_frame(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        contents = ["x" * 199_000, "y" * 200_000]
        frame = json.dumps(contents, separators=(",", ":")).ljust(400_000)
        client.send_text(frame)
        peer.expect_text(*contents)

    @differs("sockjs-stalled-message")
    def test_message_after_long_ones(self, ws: WebSocketStage) -> None:
        """Of the same frame, when the backend's window was full."""
        client, peer = _open(ws, FRAMED)
        contents = ["x" * 199_000, "y" * 200_000, "z"]
        client.send_text(json.dumps(contents, separators=(",", ":")))
        peer.expect_text(*contents, timeout_s=2)

    @pytest.mark.parametrize(
        "content", ['["' + "x" * 200_001 + '"]', '["x"]'.ljust(400_001)], ids=["message too long", "frame too long"]
    )
    def test_too_long(self, ws: WebSocketStage, content: str) -> None:
        client, peer = _open(ws, FRAMED)
        client.send_text(content)
        client.assert_dropped()
        peer.assert_dropped()

    @differs("sockjs-long-message")
    def test_longer_message_of_the_backend(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        peer.send_text("x" * 200_001)
        client.expect_text('a["' + "x" * 200_001 + '"]')

    @pytest.mark.parametrize("frame", [close(4001, "bye"), close(1000)])
    def test_close_of_the_backend(self, ws: WebSocketStage, frame: Frame) -> None:
        """An ordinary close frame, and no frame of SockJS before it."""
        client, peer = _open(ws, FRAMED)
        peer.send(frame)
        client.expect(frame)
        client.send(frame)
        client.assert_dropped()

    def test_close_of_the_client(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        client.send(close(4005, "done"))
        peer.expect(close(4005, "done"))
        peer.send(close(4005, "done"))
        client.expect(close(4005, "done"))

    def test_client_breaks_off(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        client.close()
        peer.assert_dropped()

    def test_backend_breaks_off(self, ws: WebSocketStage) -> None:
        client, peer = _open(ws, FRAMED)
        peer.close()
        client.assert_dropped()
