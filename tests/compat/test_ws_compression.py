"""permessage-deflate towards clients (``allow_compression``, since 1.37)."""

from __future__ import annotations

import random
import zlib

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.websocket import Frame, Opcode, WebSocketClient, binary, close, fragments, ping, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import DISCONNECT, Event
from tests.harness.ws_stage import WebSocketStage, ws_item

OFFER = "permessage-deflate"
ANSWER = "permessage-deflate; client_no_context_takeover; server_no_context_takeover"
END = b"\0\0\xff\xff"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        settings={"runner": {"allow_compression": "true"}},
    )


def deflate(data: bytes) -> bytes:
    """Data compressed as RFC 7692 §7.2.1 says, in a context of its own."""
    compressor = zlib.compressobj(wbits=-15)
    return (compressor.compress(data) + compressor.flush(zlib.Z_SYNC_FLUSH)).removesuffix(END)


def inflate(data: bytes) -> bytes:
    """What a message of the server says, in a context of its own."""
    return zlib.decompressobj(wbits=-15).decompress(data + END)


def compressed(opcode: Opcode, content: bytes) -> Frame:
    """A compressed message in one frame."""
    return Frame(opcode, deflate(content), rsv=4)


def connected(ws: WebSocketStage, extension: str | None = None) -> tuple[WebSocketClient, BackendPeer]:
    """A client with compression."""
    return ws.relay(headers=[("Sec-WebSocket-Extensions", OFFER)], extension=extension)


class TestNegotiation:
    @differs("ws-compression")
    @pytest.mark.spec("ws-84")
    @pytest.mark.parametrize(
        ("offer", "answer"),
        [
            (OFFER, ANSWER),
            ("permessage-deflate; client_max_window_bits", ANSWER),
            ("permessage-deflate; client_max_window_bits=10", ANSWER),
            ('permessage-deflate; client_max_window_bits="10"', ANSWER),
            ("permessage-deflate; client_no_context_takeover", ANSWER),
            ("permessage-deflate; client_no_context_takeover; server_no_context_takeover", ANSWER),
            ("permessage-deflate; server_max_window_bits=15", f"{ANSWER}; server_max_window_bits=15"),
            ("other, permessage-deflate", ANSWER),
            ("permessage-deflate; server_max_window_bits=10, permessage-deflate", ANSWER),
            ("permessage-deflate; unknown, permessage-deflate", ANSWER),
        ],
    )
    def test_accepted(self, ws: WebSocketStage, offer: str, answer: str) -> None:
        client, peer = ws.shake(headers=[("Sec-WebSocket-Extensions", offer)])
        peer.accept()
        assert client.accepted().all("Sec-WebSocket-Extensions") == [answer]

    @pytest.mark.spec("ws-84")
    @pytest.mark.parametrize(
        "offer",
        [
            "other",
            "permessage-deflate; unknown",
            "permessage-deflate; client_no_context_takeover=1",
            "permessage-deflate; server_no_context_takeover; server_no_context_takeover",
            "permessage-deflate; server_max_window_bits",
            "permessage-deflate; server_max_window_bits=10",
            "permessage-deflate; server_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=7",
            "permessage-deflate; client_max_window_bits=16",
            "permessage-deflate; client_max_window_bits=x",
        ],
    )
    def test_not_accepted(self, ws: WebSocketStage, offer: str) -> None:
        """Is no error."""
        client, peer = ws.relay(headers=[("Sec-WebSocket-Extensions", offer)])
        client.send_text("x")
        peer.expect_text("x")

    @differs("ws-compression")
    @pytest.mark.spec("ws-84")
    def test_over_http(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http(headers=[("Sec-WebSocket-Extensions", OFFER)])
        assert b"permessage" not in script.requests[0].raw_head
        client.send(compressed(Opcode.TEXT, b"hello"))
        script.wait_for(Event("TEXT", b"hello"))

    def test_of_client_and_proxy_only(self, ws: WebSocketStage) -> None:
        """The client's offer does not reach the backend, and the proxy makes none."""
        _client, peer = ws.shake(headers=[("Sec-WebSocket-Extensions", OFFER)])
        assert b"permessage" not in peer.request.raw_head

    @pytest.mark.spec("ws-84")
    def test_without_an_offer(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay()
        peer.send_text("x" * 1000)
        client.expect_text("x" * 1000)


@differs("ws-compression")
@pytest.mark.spec("ws-85")
class TestMessages:
    @pytest.mark.parametrize("content", [b"", b"x", b"hello" * 1000, random.Random(5).randbytes(30_000)])
    def test_from_the_client(self, ws: WebSocketStage, content: bytes) -> None:
        """Compressed or not."""
        client, peer = connected(ws)
        client.send(compressed(Opcode.BINARY, content), binary(content), compressed(Opcode.BINARY, content))
        peer.expect(*[binary(content)] * 3)

    def test_fragments(self, ws: WebSocketStage) -> None:
        """Of any size; only the first has RSV1."""
        client, peer = connected(ws)
        data = deflate(b"hello hello hello")
        for cut in range(1, len(data)):
            first, second = fragments(Opcode.TEXT, data[:cut], data[cut:])
            client.send(Frame(first.opcode, first.payload, is_final=False, rsv=4), second)
        for _cut in range(1, len(data)):
            peer.expect(text("hello hello hello"))

    def test_control_between_fragments(self, ws: WebSocketStage) -> None:
        client, script = ws.over_http(headers=[("Sec-WebSocket-Extensions", OFFER)])
        first, second = fragments(Opcode.TEXT, deflate(b"hello")[:3], deflate(b"hello")[3:])
        client.send(Frame(first.opcode, first.payload, is_final=False, rsv=4), ping(b"p"), second)
        script.wait_for(Event("PING", b"p"), Event("TEXT", b"hello"))

    def test_to_the_client(self, ws: WebSocketStage) -> None:
        """In a context of its own each; control frames plain."""
        client, peer = connected(ws)
        for _ in range(3):
            peer.send(text("hello " * 200))
            frame = client.read()
            assert (frame.opcode, frame.rsv) == (Opcode.TEXT, 4)
            assert len(frame.payload) < 100
            assert inflate(frame.payload).decode() == "hello " * 200
        peer.send(ping(b"hello"))
        client.expect(ping(b"hello"))
        peer.send(close(4000, "hello"))
        client.expect(close(4000, "hello"))

    def test_published(self, ws: WebSocketStage) -> None:
        """To clients with and without compression."""
        channel = fresh_channel()
        client, peer = connected(ws, extension="grip")
        plain, plain_peer = ws.relay(extension="grip")
        for end in (peer, plain_peer):
            end.send_text(f'c:{{"type": "subscribe", "channel": "{channel}"}}', "m:ready")
        assert inflate(client.read().payload) == b"ready"
        plain.expect_text("ready")
        ws.proxy.settle()
        for content in ("hello " * 200, "x", ""):
            ws.publish(ws_item(channel, content))
            frame = client.read()
            assert (inflate(frame.payload) if frame.rsv else frame.payload) == content.encode()
            plain.expect_text(content)
        ws.publish(ws_item(channel, "hello", type="ping"))
        client.expect(ping(b"hello"))

    @pytest.mark.parametrize(
        ("frames", "code"),
        [
            pytest.param([Frame(Opcode.TEXT, b"\xff\xff\xff\xff", rsv=4)], 1002, id="corrupt"),
            pytest.param([Frame(Opcode.PING, b"x", rsv=4)], 1002, id="compressed ping"),
            pytest.param([Frame(1, b"x", is_final=False), Frame(0, b"x", rsv=4)], 1002, id="RSV1 of a continuation"),
            pytest.param([compressed(Opcode.TEXT, b"\xff\xff")], 1007, id="no UTF-8"),
        ],
    )
    def test_failing(self, ws: WebSocketStage, frames: list[Frame], code: int) -> None:
        client, script = ws.over_http(headers=[("Sec-WebSocket-Extensions", OFFER)])
        client.send(*frames)
        ends = client.read_to_end()
        assert [frame.close_code for frame in ends] in ([code], [1007])
        script.wait_for(DISCONNECT)


def test_bomb(ws: WebSocketStage) -> None:
    """A message that inflates to more than WebSocket-over-HTTP takes ends the connection, and not the proxy."""
    client, _script = ws.over_http(headers=[("Sec-WebSocket-Extensions", OFFER)])
    client.send(compressed(Opcode.BINARY, bytes(200_000_000)))
    client.read_to_end(timeout_s=10)
    other, script = ws.over_http()
    other.send_text("x")
    script.wait_for(Event("TEXT", b"x"))


class TestNotAllowed:
    @pytest.fixture(scope="class")
    @classmethod
    def proxy(cls, launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
        """A proxy with the default: no compression."""
        return launch(f"relay 127.0.0.1:{ws_backend.port}", f"events 127.0.0.1:{backend.port},over_http")

    @pytest.mark.spec("ws-84")
    def test_no_answer(self, ws: WebSocketStage) -> None:
        """Neither to an offer, nor when a backend answers what nobody offered."""
        client, peer = ws.shake(headers=[("Sec-WebSocket-Extensions", OFFER)])
        assert "permessage" not in (peer.request.header("Sec-WebSocket-Extensions") or "")
        peer.accept()
        assert not client.accepted().has("Sec-WebSocket-Extensions")
        peer.send_text("x" * 1000)
        client.expect_text("x" * 1000)
