"""Filters of WebSocket subscriptions, and the meta values that they look at."""

from __future__ import annotations

from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.websocket import WebSocketClient, close, text
from tests.harness.ws_backend import BackendPeer, WebSocketBackend
from tests.harness.ws_events import opening
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        f"relay {target}",
        f"prefix,prefix=p- {target}",
        f"debug,debug {target}",
        f"events 127.0.0.1:{backend.port},over_http",
    )


def item(channel: str, content: str, **meta: str) -> dict[str, Any]:
    """An item with meta."""
    return {**ws_item(channel, content), "meta": meta}


class Listener:
    """A client on a channel of its own."""

    def __init__(self, ws: WebSocketStage, *filters: str, host: str = "relay", **meta: str) -> None:
        self.ws = ws
        self.channel = fresh_channel()
        self.client: WebSocketClient
        self.peer: BackendPeer
        self.client, self.peer = ws.grip(host=host)
        self.set_meta(**meta)
        self.peer.send(control("subscribe", channel=self.channel, filters=list(filters)), text("m:ready"))
        self.client.expect_text("ready")
        ws.proxy.settle()

    def set_meta(self, **meta: str | None) -> None:
        """Set meta values; None removes."""
        for name, value in meta.items():
            fields = {} if value is None else {"value": value}
            self.peer.send(control("set-meta", name=name, **fields))


class TestSkipSelf:
    @pytest.mark.spec("ws-58")
    def test_own_messages(self, ws: WebSocketStage) -> None:
        listener = Listener(ws, "skip-self", user="alice")
        channel = listener.channel
        items = (item(channel, "hers", sender="alice"), item(channel, "his", sender="bob"), item(channel, "nobody's"))
        ws.publish(*items)
        listener.client.expect_text("his", "nobody's")

    @pytest.mark.spec("ws-58")
    def test_removed(self, ws: WebSocketStage) -> None:
        """Without the value, with another one, and with an empty one, everything comes."""
        listener = Listener(ws, "skip-self", user="alice")
        hers = item(listener.channel, "hers", sender="alice")
        for value in (None, "bob", ""):
            listener.set_meta(user=value)
            listener.peer.send_text("m:set")
            listener.client.expect_text("set")
            ws.proxy.settle()
            ws.publish(hers)
            listener.client.expect_text("hers")
            listener.set_meta(user="alice")
            listener.peer.send_text("m:set")
            listener.client.expect_text("set")
            ws.proxy.settle()
            ws.publish(hers)
            listener.client.assert_silent(0.1)
        ws.publish(item(listener.channel, "empty sender", sender=""))
        listener.client.expect_text("empty sender")

    @pytest.mark.spec("ws-58")
    def test_over_http(self, ws: WebSocketStage) -> None:
        """Set-Meta-… headers are another thing: they do not count for filters."""
        channel = fresh_channel()
        first = opening(
            frame_as_event(control("set-meta", name="user", value="alice")),
            frame_as_event(control("subscribe", channel=channel, filters=["skip-self"])),
            grip=True,
            headers=[("Set-Meta-user", "bob")],
        )
        client, _script = ws.over_http(first=first)
        ws.wait_subscribed(client, channel)
        ws.publish(item(channel, "hers", sender="alice"), item(channel, "his", sender="bob"))
        client.expect_text("his")

    def test_filters_are_replaced(self, ws: WebSocketStage) -> None:
        """By another subscribe to the same channel."""
        listener = Listener(ws, "skip-self", user="alice")
        listener.peer.send(control("subscribe", channel=listener.channel), text("m:ready"))
        listener.client.expect_text("ready")
        ws.proxy.settle()
        ws.publish(item(listener.channel, "hers", sender="alice"))
        listener.client.expect_text("hers")


def test_skip_users(ws: WebSocketStage) -> None:
    listener = Listener(ws, "skip-users", user="alice")
    channel = listener.channel
    ws.publish(
        item(channel, "1", skip_users="alice"),
        item(channel, "2", skip_users="bob, alice ,carol"),
        item(channel, "3", skip_users="bob"),
        item(channel, "4", skip_users="alice2"),
        item(channel, "5"),
    )
    listener.client.expect_text("3", "4", "5")


@differs("ws-require-sub")
@pytest.mark.parametrize("host", ["relay", "prefix"])
def test_require_sub(ws: WebSocketStage, host: str) -> None:
    """Names without the route's prefix."""
    listener = Listener(ws, "require-sub", host=host)
    other = fresh_channel()
    listener.peer.send(control("subscribe", channel=other), text("m:ready"))
    listener.client.expect_text("ready")
    ws.proxy.settle()
    channel = ("p-" if host == "prefix" else "") + listener.channel
    ws.publish(
        item(channel, "1", require_sub=other),
        item(channel, "2", require_sub="unknown"),
        item(channel, "3", require_sub=""),
        item(channel, "4"),
    )
    listener.client.expect_text("1", "3", "4")


def test_require_sub_without_the_channel(ws: WebSocketStage) -> None:
    listener = Listener(ws, "require-sub")
    ws.publish(item(listener.channel, "1", require_sub="unknown"), item(listener.channel, "2"))
    listener.client.expect_text("2")


class TestContent:
    @pytest.mark.spec("ws-76")
    def test_var_subst(self, ws: WebSocketStage) -> None:
        listener = Listener(ws, "var-subst", user="alice", city="Köln")
        channel = listener.channel
        ws.publish(
            item(channel, "%(user)s is %(user)s: 100%%"),
            item(channel, "in %(city)s"),
            item(channel, "plain"),
        )
        listener.client.expect_text("alice is alice: 100%", "in Köln", "plain")

    @pytest.mark.spec("ws-76")
    @pytest.mark.parametrize("content", ["%(unknown)s", "%d", "50%", "%(user", "%(user)d"])
    def test_errors_drop_the_message(self, ws: WebSocketStage, content: str) -> None:
        """For this connection only, and not the next message."""
        listener, plain = Listener(ws, "var-subst", user="alice"), Listener(ws)
        plain.peer.send(control("subscribe", channel=listener.channel), text("m:ready"))
        plain.client.expect_text("ready")
        ws.proxy.settle()
        ws.publish(item(listener.channel, content), item(listener.channel, "next"))
        listener.client.expect_text("next")
        plain.client.expect_text(content, "next")

    @pytest.mark.parametrize(
        ("content", "expected"),
        [
            ("%(other)I at 100%%", "6f74686572 at 100%"),
            pytest.param("%I", "6669786564", marks=differs("ws-build-id")),
        ],
        ids=["text", "id"],
    )
    def test_build_id(self, ws: WebSocketStage, content: str, expected: str) -> None:
        listener = Listener(ws, "build-id", id_format="fixed", id_encoding="hex")
        ws.publish({**ws_item(listener.channel, content), "id": "i7"})
        listener.client.expect_text(expected)

    def test_only_this_connection(self, ws: WebSocketStage) -> None:
        one, two = Listener(ws, "var-subst", user="one"), Listener(ws, "var-subst", user="two")
        two.peer.send(control("subscribe", channel=one.channel, filters=["var-subst"]), text("m:ready"))
        two.client.expect_text("ready")
        ws.proxy.settle()
        ws.publish(item(one.channel, "for %(user)s"))
        one.client.expect_text("for one")
        two.client.expect_text("for two")

    @pytest.mark.spec("ws-75")
    def test_content_filters(self, ws: WebSocketStage) -> None:
        """The list must name the subscription's content filters, in order; other filters do not count."""
        substituting, plain = Listener(ws, "skip-self", "var-subst", user="alice"), Listener(ws, "skip-self")
        channel = substituting.channel
        plain.peer.send(control("subscribe", channel=channel), text("m:ready"))
        plain.client.expect_text("ready")
        ws.proxy.settle()
        ws.publish(
            ws_item(channel, "%%1", **{"content-filters": ["var-subst"]}),
            ws_item(channel, "%%2", **{"content-filters": []}),
            ws_item(channel, "%%3", **{"content-filters": ["build-id", "var-subst"]}),
            ws_item(channel, "%%4"),
        )
        substituting.client.expect_text("%1", "%4")
        plain.client.expect_text("%%2", "%%4")


@differs("ws-debug-filters")
class TestDebugRoute:
    """The client of a ``debug`` route is closed with 1011 and told why: ws spec §2.4, §3.4."""

    def test_error(self, ws: WebSocketStage) -> None:
        listener = Listener(ws, "var-subst", host="debug")
        ws.publish(item(listener.channel, "%(unknown)s"))
        frame = listener.client.read()
        assert frame.close_code == 1011
        assert frame.payload[2:].startswith(b"filter error: ")

    def test_mismatch(self, ws: WebSocketStage) -> None:
        listener = Listener(ws, "var-subst", host="debug")
        ws.publish(ws_item(listener.channel, "x", **{"content-filters": ["build-id", "var-subst"]}))
        reason = "content filter mismatch: subscription=var-subst message=build-id,var-subst"
        listener.client.expect(close(1011, reason))

    @pytest.mark.spec("ws-55")
    def test_too_many(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip(host="debug")
        peer.send(control("subscribe", channel="many", filters=["skip-self"] * 6))
        client.expect(close(1011, "too many filters for channel 'many'"))
