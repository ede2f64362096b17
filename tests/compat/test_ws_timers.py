"""Control messages with a clock: keep-alive messages and delayed ones."""

from __future__ import annotations

import base64
import time
from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.websocket import Frame, Opcode, WebSocketClient, binary, fragments, ping, pong, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import events_reply, opening
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item

LATE_S = 1.5  # what a busy machine may add
EARLY = 0.94  # the timers of 1.36 may be early by a twentieth


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(f"relay 127.0.0.1:{ws_backend.port}", f"events 127.0.0.1:{backend.port},over_http")


def bin64(data: bytes) -> str:
    """Base64, as in ``content-bin``."""
    return base64.b64encode(data).decode()


def expect_after(client: WebSocketClient, frame: Frame, least_s: float, most_s: float, start: float) -> float:
    """Assert that ``frame`` comes between so many seconds after ``start``."""
    client.expect(frame, timeout_s=most_s + LATE_S)
    now = time.monotonic()
    assert least_s * EARLY <= now - start < most_s + LATE_S, f"{now - start:.3f} s"
    return now


class TestKeepAlive:
    @pytest.mark.slow
    @pytest.mark.spec("ws-59", "ws-60", "ws-61", "ws-63")
    def test_timeouts(self, ws: WebSocketStage) -> None:
        """Many connections at a time. Up to a second is taken off at random."""
        forms: list[dict[str, Any]] = [
            {"timeout": 2},
            {"timeout": "2"},
            {"timeout": 1.7},
            {"timeout": 2, "mode": "interval"},
        ]
        armed = [ws.grip() for _ in forms]
        off, off_peer = ws.grip()
        void, void_peer = ws.grip()
        negative, negative_peer = ws.grip()
        default, default_peer = ws.grip()
        start = time.monotonic()
        for (_client, peer), form in zip(armed, forms, strict=True):
            peer.send(control("keep-alive", content="alive", **form))
        off_peer.send(control("keep-alive", content="alive", timeout=2), control("keep-alive"))
        void_peer.send(control("keep-alive", content="alive", message_type="other", timeout=2))
        negative_peer.send(control("keep-alive", content="alive", timeout=-1))
        default_peer.send(control("keep-alive", content="alive", timeout=0))
        times = [start] * len(forms)
        for _ in range(2):
            times = [
                expect_after(client, text("alive"), 1, 2, before)
                for (client, _peer), before in zip(armed, times, strict=True)
            ]
        for client in (off, void, negative, default):
            client.assert_silent(0.1)

    @pytest.mark.slow
    @pytest.mark.spec("ws-59", "ws-60")
    def test_modes(self, ws: WebSocketStage) -> None:
        """Idle mode waits for silence towards the client; interval mode does not care."""
        idle_channel, interval_channel = fresh_channel(), fresh_channel()
        idle, idle_peer = ws.grip(idle_channel)
        chatty, chatty_peer = ws.grip()
        interval, interval_peer = ws.grip(interval_channel)
        for peer, mode in [(idle_peer, "idle"), (chatty_peer, "idle"), (interval_peer, "interval")]:
            peer.send(control("keep-alive", content="alive", timeout=3, mode=mode))
        start = time.monotonic()
        seen_interval = False
        while time.monotonic() - start < 3.5 + LATE_S / 2:
            time.sleep(0.5)
            ws.publish(ws_item(idle_channel, "p"), ws_item(interval_channel, "p"))
            idle.expect_text("p")
            chatty.send_text("c")
            chatty_peer.expect_text("c")
            while (frame := interval.read()) != text("p"):
                assert frame == text("alive")
                seen_interval = True
        assert seen_interval
        chatty.expect_text("alive")
        expect_after(idle, text("alive"), 1.5, 3, time.monotonic())

    @pytest.mark.spec("ws-62")
    def test_types(self, ws: WebSocketStage) -> None:
        """``content-bin`` without a type is text here."""
        cases: list[tuple[dict[str, object], Frame]] = [
            ({"content_bin": bin64(b"abc")}, text("abc")),
            ({"content_bin": bin64(b"abc"), "content": "x"}, text("abc")),
            ({"content_bin": bin64(b"\0\xff"), "message_type": "binary"}, binary(b"\0\xff")),
            ({"content": "abc", "message_type": "binary"}, binary(b"abc")),
            ({"content": "", "message_type": "ping"}, ping()),
            ({"content": "abc", "message_type": "pong"}, pong(b"abc")),
            ({"content": ""}, text("")),
        ]
        connections = [ws.grip() for _ in cases]
        for (_client, peer), (fields, _frame) in zip(connections, cases, strict=True):
            peer.send(control("keep-alive", timeout=1, **fields))
        for (client, _peer), (_fields, frame) in zip(connections, cases, strict=True):
            client.expect(frame)

    def test_over_http(self, ws: WebSocketStage) -> None:
        keep_alive = frame_as_event(control("keep-alive", content="alive", timeout=1))
        client, _script = ws.over_http(first=opening(keep_alive, grip=True))
        client.expect_text("alive", "alive")

    @pytest.mark.spec("ws-65")
    def test_goes_on_when_detached(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        peer.send(control("keep-alive", content="alive", timeout=1), control("detach"))
        assert peer.read().opcode == Opcode.CLOSE
        peer.close()
        client.expect_text("alive", "alive")


class TestDelayed:
    @pytest.mark.spec("ws-63", "ws-64")
    def test_timeouts(self, ws: WebSocketStage) -> None:
        """Exact; one second when not told otherwise."""
        cases: list[tuple[dict[str, object], float]] = [
            ({}, 1),
            ({"timeout": 0}, 1),
            ({"timeout": 1}, 1),
            ({"timeout": "1"}, 1),
            ({"timeout": 2}, 2),
            ({"timeout": 1.7}, 2),
        ]
        connections = [ws.grip() for _ in cases]
        negative, negative_peer = ws.grip()
        start = time.monotonic()
        negative_peer.send(control("send-delayed", content="late", timeout=-1))
        for (_client, peer), (fields, _seconds) in zip(connections, cases, strict=True):
            peer.send(control("send-delayed", content="late", **fields))
        for (client, _peer), (_fields, seconds) in zip(connections, cases, strict=True):
            expect_after(client, text("late"), seconds, seconds, start)
        negative.assert_silent(0.1)

    @pytest.mark.spec("ws-64")
    def test_one_slot(self, ws: WebSocketStage) -> None:
        """A second one sends the first, and a flush sends what waits, once."""
        client, peer = ws.grip()
        for content in ("one", "two", "three"):
            peer.send(control("send-delayed", content=content, timeout=60))
        client.expect_text("one", "two")
        client.assert_silent(0.2)
        peer.send(control("flush-delayed"), control("flush-delayed"))
        client.expect_text("three")
        client.assert_silent(0.2)
        peer.send(control("send-delayed", content="four", timeout=60), control("flush-delayed"))
        client.expect_text("four")

    def test_types(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        for fields in (
            {},
            {"content_bin": bin64(b"abc")},
            {"content_bin": bin64(b"\0"), "message_type": "binary"},
            {"message_type": "ping", "content": "p"},
            {"content": "x", "message_type": "wrong"},
        ):
            peer.send(control("send-delayed", **fields), control("flush-delayed"))
        peer.send(control("send-delayed", content="end"), control("flush-delayed"))
        client.expect(text(""), text("abc"), binary(b"\0"), ping(b"p"), text("end"))

    def test_over_http(self, ws: WebSocketStage) -> None:
        delayed = frame_as_event(control("send-delayed", content="late", timeout=1))
        client, _script = ws.over_http(events_reply(delayed), first=opening(grip=True))
        client.send_text("x")
        client.expect_text("late")

    def test_flushing_nothing(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        peer.send(control("flush-delayed"), text("m:x"))
        client.expect_text("x")
        client.assert_silent(0.1)

    def test_keep_alive_waits_for_silence_after_it(self, ws: WebSocketStage) -> None:
        """A delayed message is a frame to the client like any other."""
        client, peer = ws.grip()
        peer.send(control("keep-alive", content="alive", timeout=3))
        peer.send(control("send-delayed", content="late", timeout=2))
        start = time.monotonic()
        client.read(timeout_s=5)
        client.read(timeout_s=5)
        assert time.monotonic() - start >= 4 * EARLY

    def test_dies_with_the_connection(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        peer.send(control("send-delayed", content="never", timeout=1))
        peer.close()
        client.assert_dropped()

    @differs("ws-publish-between-fragments")
    @pytest.mark.spec("ws-66")
    def test_keep_alive_during_a_message(self, ws: WebSocketStage) -> None:
        """Comes once, after the message."""
        client, peer = ws.grip()
        first, second = fragments(Opcode.TEXT, b"m:x", b"y")
        peer.send(control("keep-alive", content="alive", timeout=4), first)
        assert client.read_frame().payload == b"x"
        client.assert_silent(4.3)
        peer.send(second)
        assert client.read_frame().payload == b"y"
        client.expect(text("alive"), timeout_s=1)  # 1.36 has forgotten it, and sends the next one later
        client.assert_silent(0.2)
