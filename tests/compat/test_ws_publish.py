"""Publishing in the ``ws-message`` format: what is refused, what arrives, and clients that do not read."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish
from tests.harness.timing import scaled
from tests.harness.websocket import Frame, Opcode, binary, close, ping, pong, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import CLOSE
from tests.harness.ws_stage import WebSocketStage, ws_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        settings={"handler": {"id_cache_ttl": 60, "update_on_first_subscription": "false"}},
    )


class TestRefused:
    @pytest.mark.spec("ws-71")
    @pytest.mark.parametrize(
        ("message", "error"),
        [
            ([], "'ws-message' is not an object"),
            ("x", "'ws-message' is not an object"),
            ({"action": 1}, "'ws-message' contains 'action' with wrong type"),
            ({"type": "other", "content": "x"}, "'ws-message' contains 'type' with unknown value"),
            ({}, "'ws-message' does not contain 'content' or 'content-bin'"),
            ({"type": "text"}, "'ws-message' does not contain 'content' or 'content-bin'"),
            ({"type": "binary"}, "'ws-message' does not contain 'content' or 'content-bin'"),
            ({"content": 1}, "'ws-message' contains 'content' with wrong type"),
            ({"content": None}, "'ws-message' contains 'content' with wrong type"),
            ({"content-bin": 1}, "'ws-message' contains 'content-bin' with wrong type"),
            ({"action": "close", "code": []}, "'ws-message' contains 'code' with wrong type"),
            ({"action": "close", "code": -1}, "'ws-message' contains 'code' with invalid value"),
            ({"content": "x", "content-filters": "x"}, "'ws-message' contains 'content-filters' with wrong type"),
            ({"content": "x", "content-filters": [1]}, "content-filters contains element with wrong type"),
        ],
    )
    def test_text(self, proxy: ProxyUnderTest, message: object, error: str) -> None:
        response = publish(proxy.control_port, [{"channel": "x", "formats": {"ws-message": message}}])
        assert (response.status, response.text) == (400, f"Invalid format: {error}\n")

    @pytest.mark.spec("ws-71")
    def test_unknown_action(self, proxy: ProxyUnderTest) -> None:
        """Whatever the text (1.36 has none)."""
        response = publish(proxy.control_port, [ws_item("x", "x", action="other")])
        assert response.status == 400

    @differs("ws-close-code-range")
    @pytest.mark.parametrize("code", [65536, 70000])
    def test_code_too_large(self, proxy: ProxyUnderTest, code: int) -> None:
        response = publish(proxy.control_port, [ws_item("x", action="close", code=code)])
        assert (response.status, response.text) == (
            400,
            "Invalid format: 'ws-message' contains 'code' with invalid value\n",
        )

    @differs("ws-long-control-frame")
    @pytest.mark.parametrize("kind", ["ping", "pong"])
    def test_long_ping(self, proxy: ProxyUnderTest, kind: str) -> None:
        """RFC 6455 §5.5: at most 125 bytes."""
        assert publish(proxy.control_port, [ws_item("x", "x" * 126, type=kind)]).status == 400

    def test_all_or_nothing(self, ws: WebSocketStage) -> None:
        """One bad item, and none of its call is delivered."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        response = publish(ws.proxy.control_port, [ws_item(channel, "x"), ws_item(channel)])
        assert response.status == 400
        client.assert_silent(0.2)


class TestSend:
    @pytest.mark.spec("ws-70")
    @pytest.mark.parametrize(
        ("item", "frame"),
        [
            (ws_item("", "wörld"), text("wörld")),
            (ws_item("", ""), text("")),
            (ws_item("", b"\0\xff"), binary(b"\0\xff")),
            (ws_item("", b""), binary(b"")),
            (ws_item("", "x", type="binary"), binary(b"x")),
            (ws_item("", b"abc", type="text"), text("abc")),
            (ws_item("", b"abc", **{"content-bin": "eHl6"}), binary(b"abc")),
            (ws_item("", "p", type="ping"), ping(b"p")),
            (ws_item("", "x" * 125, type="pong"), pong(b"x" * 125)),
            (ws_item("", "m:x"), text("m:x")),
            (ws_item("", "c:{}"), text("c:{}")),
            (ws_item("", "x", action="send"), text("x")),
            (ws_item("", "x", code="ignored"), text("x")),
        ],
        ids=lambda value: "" if isinstance(value, Frame) else json.dumps(value)[39:70],
    )
    def test_types(self, ws: WebSocketStage, item: dict[str, Any], frame: Frame) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish({**item, "channel": channel})
        client.expect(frame)

    @differs("ws-empty-ping")
    @pytest.mark.spec("ws-73")
    @pytest.mark.parametrize("kind", ["ping", "pong"])
    def test_ping_without_content(self, ws: WebSocketStage, kind: str) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, type=kind))
        client.expect(Frame(Opcode[kind.upper()]))

    def test_format_beside_the_channel(self, ws: WebSocketStage) -> None:
        """The old form of an item: ws spec §3.1."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish({"channel": channel, "ws-message": {"content": "x"}})
        client.expect_text("x")

    def test_other_formats(self, ws: WebSocketStage) -> None:
        """Are for others; an item that has ours among them is delivered."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        stream = {"http-stream": {"content": "stream"}, "http-response": {"body": "x"}}
        ws.publish({"channel": channel, "formats": stream})
        ws.publish({"channel": channel, "formats": {**stream, "ws-message": {"content": "mine"}}})
        client.expect_text("mine")

    @pytest.mark.parametrize("size", [126, 65_535, 65_536, 200_000])
    def test_sizes(self, ws: WebSocketStage, size: int) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, "x" * size))
        client.expect(text("x" * size))
        ws.publish(ws_item(channel, "end"))
        client.expect_text("end")

    @differs("ws-after-a-long-one")
    def test_item_after_a_long_one(self, ws: WebSocketStage) -> None:
        """Is not lost because the client has not had time to read."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, "x" * 200_000), ws_item(channel, "next"))
        client.expect_text("x" * 200_000, "next")

    def test_to_many(self, ws: WebSocketStage) -> None:
        """Both kinds of backends, one channel."""
        channel = fresh_channel()
        clients = [ws.grip(channel)[0] for _ in range(5)] + [ws.grip_over_http(channel)[0] for _ in range(5)]
        ws.publish(ws_item(channel, "begin"))
        for client in clients:
            client.skip_to(text("begin"))
        ws.publish(ws_item(channel, "one"), ws_item(channel, b"two"))
        for client in clients:
            client.expect(text("one"), binary(b"two"))

    @pytest.mark.spec("ws-74")
    def test_hint(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, action="hint"), ws_item(channel, "x"))
        client.expect_text("x")

    @differs("refresh")
    @pytest.mark.spec("ws-42")
    def test_refresh_of_a_relay(self, ws: WebSocketStage) -> None:
        """Is accepted, and nothing happens."""
        channel = fresh_channel()
        client, peer = ws.grip(channel)
        ws.publish(ws_item(channel, action="refresh"), ws_item(channel, "x"))
        client.expect_text("x")
        peer.assert_silent(0.1)


class TestClose:
    @pytest.mark.spec("ws-72")
    @pytest.mark.parametrize(
        ("fields", "frame"),
        [
            ({}, close(1000)),
            ({"reason": "lost"}, close(1000)),
            ({"code": 4000, "reason": "bye"}, close(4000, "bye")),
            ({"code": "4000"}, close(4000)),
            ({"code": 4000, "reason": "x" * 123}, close(4000, "x" * 123)),
        ],
    )
    def test_frame(self, ws: WebSocketStage, fields: dict[str, Any], frame: Frame) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, "last"), ws_item(channel, action="close", **fields), ws_item(channel, "never"))
        client.expect(text("last"), frame)
        client.assert_silent(0.1)
        client.send(close(1000))
        client.connection.assert_closed()

    @differs("ws-long-reason")
    def test_long_reason(self, ws: WebSocketStage) -> None:
        """Target of ws spec §3.3: cut between characters."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        ws.publish(ws_item(channel, action="close", code=4000, reason="ü" * 70))
        client.expect(close(4000, "ü" * 61))

    def test_backend_of_a_relay(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        client, peer = ws.grip(channel)
        ws.publish(ws_item(channel, action="close", code=4000, reason="bye"))
        client.expect(close(4000, "bye"))
        assert peer.read().opcode == Opcode.CLOSE
        client.send(close(4000))
        peer.send(close(4000))
        client.connection.assert_closed()
        assert peer.read_to_end() == []

    def test_backend_over_http(self, ws: WebSocketStage) -> None:
        """Hears of it by a CLOSE without content: ws spec §1.4."""
        channel = fresh_channel()
        client, script = ws.grip_over_http(channel)
        ws.publish(ws_item(channel, action="close", code=4000, reason="bye"))
        client.expect(close(4000, "bye"))
        assert script.wait_events(2) == [CLOSE]
        client.send(close(4001))
        client.connection.assert_closed()
        assert len(script.requests) == 2


class TestOrder:
    @pytest.mark.spec("ws-77")
    def test_one_call_and_many(self, ws: WebSocketStage) -> None:
        one, two = fresh_channel(), fresh_channel()
        client, _peer = ws.grip(one, two)
        ws.publish(*(ws_item((one, two)[n % 2], f"{n}") for n in range(6)))
        for number in range(6, 20):
            ws.publish(ws_item((one, two)[number % 3 == 0], f"{number}"))
        client.expect_text(*(f"{number}" for number in range(20)))

    @pytest.mark.spec("ws-77")
    def test_ids(self, ws: WebSocketStage) -> None:
        """An id twice is delivered once; what comes too early waits for the item before it."""
        channel = fresh_channel()
        client, _peer = ws.grip(channel)

        def item(content: str, **fields: str) -> dict[str, Any]:
            return {**ws_item(channel, content), **fields}

        ws.publish({**item("a", id="1")}, {**item("a again", id="1")})
        ws.publish({**item("c", id="3"), "prev-id": "2"})
        client.expect_text("a")
        client.assert_silent(0.2)
        ws.publish({**item("b", id="2"), "prev-id": "1"})
        client.expect_text("b", "c")


class TestSlowReader:
    def test_short_pause_loses_nothing(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        client, _peer = ws.grip(channel)
        for number in range(30):
            ws.publish(ws_item(channel, f"{number:02}" + "x" * 998))
        time.sleep(0.2)
        for number in range(30):
            assert client.read().payload[:2] == b"%02d" % number

    @differs("slow-reader")
    @pytest.mark.spec("ws-78")
    def test_is_cut(
        self, launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
    ) -> None:
        """Others get everything at once; the slow one is disconnected, the log names it, the backend sees its end."""
        stage = self.stage(launch_once, backend, ws_backend, connect, {})
        slow, slow_peer, quick, channel = self.audience(stage)
        longest = 0.0
        for _ in range(60):
            start = time.monotonic()
            stage.publish(ws_item(channel, "x" * 500_000))
            assert len(quick.read().payload) == 500_000
            longest = max(longest, time.monotonic() - start)
        assert longest < scaled(1.5)
        names = (str(slow.connection.local_address[1]), f"{slow_peer.request.path} ")
        named = stage.proxy.wait_log(r"\[WARN\]")
        assert any(name in line for line in named for name in names), named
        assert slow_peer.read_to_end() == []
        assert len(slow.connection.read_to_close()) < 30_000_000

    @pytest.mark.spec("ws-78")
    def test_drops(
        self, launch_once: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
    ) -> None:
        """With ``outbox_policy=drop`` (1.36 knows nothing else) it loses messages, whole ones, and stays."""
        stage = self.stage(launch_once, backend, ws_backend, connect, {"holdfast": {"outbox_policy": "drop"}})
        slow, slow_peer, _quick, channel = self.audience(stage)
        for start in range(0, 3000, 50):
            stage.publish(*(ws_item(channel, f"{number:04}" + "x" * 3996) for number in range(start, start + 50)))
        numbers = []
        while slow.connection.is_readable(1):
            frame = slow.read()
            numbers.append(int(frame.payload[:4]))
            assert len(frame.payload) == 4000
        assert numbers == sorted(set(numbers))
        assert 1 < len(numbers) < 3000
        stage.publish(ws_item(channel, "later"))
        slow.expect_text("later")
        slow_peer.send_text("m:still there")
        slow.expect_text("still there")

    @staticmethod
    def stage(
        launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect, settings: Any
    ) -> WebSocketStage:
        return WebSocketStage(
            launch(f"relay 127.0.0.1:{ws_backend.port}", settings=settings), backend, ws_backend, connect
        )

    @staticmethod
    def audience(stage: WebSocketStage) -> Any:
        """A client that does not read and one that does, on one channel."""
        channel = fresh_channel()
        slow, slow_peer = stage.grip(channel, receive_buffer=4096)
        quick, _ = stage.grip(channel)
        stage.publish(ws_item(channel, "begin"))
        for client in (slow, quick):
            client.skip_to(text("begin"))
        return slow, slow_peer, quick, channel
