"""The grip extension: when it is on, what becomes of the backend's messages, and subscriptions."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tokens import make_token
from tests.harness.websocket import Opcode, binary, close, fragments, ping, pong, text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event, close_event, events_reply, opening, text_event
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event, ws_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{ws_backend.port}"
    return launch(
        f"relay {target}",
        f"no-grip,no_grip {target}",
        f"prefix,prefix=p- {target},sub=implicit-prefix",
        f"implicit {target},sub=implicit-a,sub=implicit-b",
        f"events 127.0.0.1:{backend.port},over_http",
        f"implicit-events 127.0.0.1:{backend.port},over_http,sub=implicit-c",
        settings={"proxy": {"upstream_key": "up"}},
    )


class TestNegotiation:
    @pytest.mark.spec("ws-47", "ws-48", "ws-49")
    @pytest.mark.parametrize(
        ("extension", "sent", "expected"),
        [
            ("grip", "m:x", "x"),
            ("grip", "m:", ""),
            ("grip", "m:m:x", "m:x"),
            ("foo, grip", "m:x", "x"),
            ("foo; a=b, grip; message-prefix=x:", "x:y", "y"),
            ("grip;message-prefix=x:", "x:y", "y"),
            ("grip; message-prefix", "m:x", "m:x"),
            ('grip; message-prefix=""', "m:x", "m:x"),
            ('grip; message-prefix="q\\"z"', 'q"zx', "x"),
            ("grip; other=1; message-prefix=x:", "x:y", "y"),
        ],
    )
    def test_on(self, ws: WebSocketStage, extension: str, sent: str, expected: str) -> None:
        """Also with the edge of the prefix rule: control messages are none for the client."""
        client, peer = ws.relay(extension=extension)
        peer.send_text('c:{"type": "unknown"}', sent)
        client.expect_text(expected)

    @pytest.mark.spec("ws-46", "ws-49")
    @pytest.mark.parametrize(
        "extension",
        [None, "GRIP", "Grip", "foo", 'grip; message-prefix="m:', "grip; message-prefix=", "agrip", "grip2"],
    )
    def test_off(self, ws: WebSocketStage, extension: str | None) -> None:
        client, peer = ws.relay(extension=extension)
        peer.send_text("m:x", "c:{}", "y")
        client.expect_text("m:x", "c:{}", "y")

    def test_two_headers(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake()
        peer.accept([("Sec-WebSocket-Extensions", "foo"), ("Sec-WebSocket-Extensions", "grip")])
        client.accepted()
        peer.send_text("m:x")
        client.expect_text("x")

    def test_not_on_the_route(self, ws: WebSocketStage) -> None:
        client, peer = ws.relay(host="no-grip", extension="grip")
        peer.send_text("m:x", "c:{}")
        client.expect_text("m:x", "c:{}")

    def test_trusted_client(self, ws: WebSocketStage) -> None:
        """A proxy in front of us that signs speaks GRIP with the backend itself."""
        token = make_token({"iss": "x", "exp": int(time.time()) + 3600}, b"up")
        client, peer = ws.relay(extension="grip", headers=[("Grip-Sig", token)])
        assert peer.request.header("Grip-Sig") is not None
        peer.send_text("m:x", "c:{}")
        client.expect_text("m:x", "c:{}")


class TestMessages:
    @pytest.mark.spec("ws-47", "ws-50")
    def test_prefix(self, ws: WebSocketStage) -> None:
        """Binary messages have it, too; what has none is dropped; control frames are relayed."""
        client, peer = ws.grip()
        peer.send(text("x"), binary(b"x"), text(""), binary(b"m:a"), binary(b"c:{}"), text("M:x"), text("m:b"))
        client.expect(binary(b"a"), text("b"))
        peer.send(ping(), pong(), text("m:c"))
        client.expect(ping(), pong(), text("c"))

    @pytest.mark.spec("ws-47")
    def test_over_http(self, ws: WebSocketStage) -> None:
        events = (text_event("x"), Event("BINARY", b"m:a"), Event("PING", b"m:"), text_event("m:b"))
        client, _script = ws.over_http(events_reply(*events), first=opening(text_event("m:hi"), grip=True))
        client.expect_text("hi")
        client.send_text("go")
        client.expect(binary(b"a"), ping(b"m:"), text("b"))

    @pytest.mark.spec("ws-48")
    def test_prefix_over_http(self, ws: WebSocketStage) -> None:
        extension = ("Sec-WebSocket-Extensions", "grip; message-prefix=x:")
        client, _script = ws.over_http(first=opening(text_event("m:no"), text_event("x:hi"), headers=[extension]))
        client.expect_text("hi")

    @pytest.mark.spec("ws-48")
    def test_empty_prefix(self, ws: WebSocketStage) -> None:
        """Everything but control messages passes."""
        client, peer = ws.relay(extension="grip; message-prefix")
        channel = fresh_channel()
        peer.send(text("x"), binary(b"c:x"), text(""))
        client.expect(text("x"), binary(b"c:x"), text(""))
        ws.subscribe(client, peer, channel)

    def test_prefix_that_begins_like_control(self, ws: WebSocketStage) -> None:
        """Control is looked for first."""
        client, peer = ws.relay(extension="grip; message-prefix=c:")
        peer.send(text("c:x"), binary(b"c:y"))
        client.expect(binary(b"y"))

    def test_from_the_client_nothing_changes(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        channel = fresh_channel()
        for frame in (text("x"), text("m:x"), binary(b"c:"), control("subscribe", channel=channel)):
            client.send(frame)
            peer.expect(frame)
        ws.assert_not_subscribed(client, channel)

    def test_fragments(self, ws: WebSocketStage) -> None:
        """A message is judged as a whole."""
        client, peer = ws.grip()
        peer.send(*fragments(Opcode.TEXT, b"m:he", b"l", b"lo"), *fragments(Opcode.BINARY, b"m:", b"x"))
        client.expect(text("hello"), binary(b"x"))

    @pytest.mark.spec("ws-50")
    def test_fragmented_control(self, ws: WebSocketStage) -> None:
        """Is no control message, and nothing for the client."""
        client, peer = ws.grip()
        channel = fresh_channel()
        whole = control("subscribe", channel=channel).payload
        peer.send(*fragments(Opcode.TEXT, whole[:9], whole[9:]))
        ws.assert_not_subscribed(client, channel)
        peer.send_text("m:x")
        client.expect_text("x")

    @differs("ws-dropped-fragments")
    @pytest.mark.spec("ws-51")
    def test_dropped_fragments(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        peer.send(*fragments(Opcode.TEXT, b"drop", b"m:", b"ped"), text("m:x"))
        client.expect_text("x")

    @differs("ws-split-prefix")
    @pytest.mark.parametrize("pieces", [(b"m", b":he", b"llo"), (b"", b"m:hello"), (b"m", b"", b":", b"hello")])
    def test_split_prefix(self, ws: WebSocketStage, pieces: tuple[bytes, ...]) -> None:
        """Target of ws spec §2.3: decided once enough bytes are known."""
        client, peer = ws.grip()
        peer.send(*fragments(Opcode.TEXT, *pieces), text("m:x"))
        client.expect_text("hello", "x")


class TestSubscriptions:
    @pytest.mark.spec("ws-52")
    def test_subscribe_and_unsubscribe(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        channel = fresh_channel()
        for _ in range(2):
            ws.subscribe(client, peer, channel)
        ws.publish(ws_item(channel, "once"), ws_item(channel, b"\0"))
        client.expect(text("once"), binary(b"\0"))
        client.assert_silent(0.1)
        peer.send(control("unsubscribe", channel="other"), control("unsubscribe", channel=channel), text("m:off"))
        client.expect_text("off")
        ws.proxy.settle()
        ws.assert_not_subscribed(client, channel)
        ws.subscribe(client, peer, channel)

    @pytest.mark.spec("ws-52")
    def test_over_http(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        client, script = ws.grip_over_http(channel)
        ws.publish(ws_item(channel, "x"))
        client.expect_text("x")
        script.then(events_reply(frame_as_event(control("unsubscribe", channel=channel)), text_event("m:off")))
        client.send_text("go")
        client.expect_text("off")
        ws.proxy.settle()
        ws.assert_not_subscribed(client, channel)

    def test_two_channels(self, ws: WebSocketStage) -> None:
        """One item each; both orders of subscription."""
        one, two = fresh_channel(), fresh_channel()
        client, _peer = ws.grip(one, two)
        other, _ = ws.grip(two)
        ws.publish(ws_item(two, "begin"))
        for each in (client, other):
            each.skip_to(text("begin"))
        ws.publish(ws_item(one, "1"), ws_item(two, "2"), ws_item(one, "3"))
        client.expect_text("1", "2", "3")
        other.expect_text("2")

    @pytest.mark.spec("ws-53")
    @pytest.mark.parametrize(
        "message",
        [
            "c:",
            "c:{",
            "c:[]",
            'c:["subscribe"]',
            "c:null",
            "c:1",
            "c:{}",
            'c:{"type": "unknown"}',
            'c:{"type": 1}',
            'c:{"type": null}',
            'c:{"type": "subscribe"}',
            'c:{"type": "subscribe", "channel": ""}',
            'c:{"type": "subscribe", "channel": 1}',
            'c:{"type": "subscribe", "channel": "CHANNEL", "filters": null}',
            'c:{"type": "subscribe", "channel": "CHANNEL", "filters": "x"}',
            'c:{"type": "subscribe", "channel": "CHANNEL", "filters": [1]}',
            'c:{"type": "unsubscribe"}',
            'c:{"type": "set-meta"}',
            'c:{"type": "set-meta", "name": ""}',
            'c:{"type": "set-meta", "name": "a", "value": null}',
            'c:{"type": "keep-alive", "content": null}',
            'c:{"type": "session", "id": 1}',
            'C:{"type": "subscribe", "channel": "CHANNEL"}',
        ],
    )
    def test_invalid_control_messages(self, ws: WebSocketStage, message: str) -> None:
        """Nothing of them has an effect, and the next one works."""
        client, peer = ws.grip()
        channel = fresh_channel()
        peer.send_text(message.replace("CHANNEL", channel), "m:x")
        client.expect_text("x")
        ws.assert_not_subscribed(client, channel, 0.1)
        ws.subscribe(client, peer, channel)
        peer.assert_silent(0.05)

    def test_what_is_tolerated(self, ws: WebSocketStage) -> None:
        """Unknown fields and filters, white space, escapes."""
        client, peer = ws.grip()
        one, two = fresh_channel(), fresh_channel()
        ws.subscribe(client, peer, one, filters=["unknown"], other=[1, None])
        peer.send_text(f'c: \n{{ "type" : "sub\\u0073cribe", "channel": "{two}" }} ')
        ws.wait_subscribed(client, two)

    @pytest.mark.spec("ws-54")
    def test_limit(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        channels = [fresh_channel() for _ in range(22)]
        peer.send(*(control("subscribe", channel=channel) for channel in channels))
        ws.wait_subscribed(client, channels[19])
        ws.publish(*(ws_item(channel, str(number)) for number, channel in enumerate(channels)))
        client.expect_text(*(str(number) for number in range(20)))
        client.assert_silent(0.2)
        peer.send(control("unsubscribe", channel=channels[0]))
        ws.proxy.settle()
        ws.subscribe(client, peer, channels[21])

    @differs("many-filters")
    @pytest.mark.spec("ws-55")
    def test_six_filters(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        peer.send(control("subscribe", channel=fresh_channel(), filters=["skip-self"] * 6))
        client.expect(close(1011))

    @pytest.mark.spec("ws-55")
    def test_five_filters(self, ws: WebSocketStage) -> None:
        client, peer = ws.grip()
        ws.subscribe(client, peer, fresh_channel(), filters=["skip-self"] * 5)

    @pytest.mark.spec("ws-56")
    @pytest.mark.parametrize("extension", [None, "grip"])
    def test_channels_of_the_target(self, ws: WebSocketStage, extension: str | None) -> None:
        client, peer = ws.relay(host="implicit", extension=extension)
        ws.wait_subscribed(client, "implicit-a")
        peer.send(control("unsubscribe", channel="implicit-a"), text("m:x"))
        if extension is None:
            client.read()
        client.expect_text("x" if extension else "m:x")
        ws.proxy.settle()
        for channel in ("implicit-a", "implicit-b"):
            ws.wait_subscribed(client, channel)

    @pytest.mark.spec("ws-56")
    def test_channels_of_the_target_over_http(self, ws: WebSocketStage) -> None:
        client, _script = ws.over_http(host="implicit-events")
        ws.wait_subscribed(client, "implicit-c")

    @pytest.mark.spec("ws-57")
    def test_prefix_of_the_route(self, ws: WebSocketStage) -> None:
        channel = fresh_channel()
        client, peer = ws.relay(host="prefix", extension="grip")
        peer.send(control("subscribe", channel=channel))
        ws.wait_subscribed(client, f"p-{channel}")
        ws.wait_subscribed(client, "implicit-prefix")
        ws.assert_not_subscribed(client, channel, 0.1)
        peer.send(control("unsubscribe", channel=channel))
        ws.proxy.settle()
        ws.assert_not_subscribed(client, f"p-{channel}")


class TestDuringAMessage:
    @differs("ws-publish-between-fragments")
    @pytest.mark.spec("ws-66")
    def test_publish(self, ws: WebSocketStage) -> None:
        """Each once, in order, after the message that is half relayed."""
        channel = fresh_channel()
        client, peer = ws.grip(channel)
        first, second = fragments(Opcode.TEXT, b"m:" + b"x" * 100, b"y")
        peer.send(first)
        head = client.read_frame()
        assert not head.is_final
        ws.publish(ws_item(channel, "one"), ws_item(channel, "two"))
        client.assert_silent(0.2)
        peer.send(second)
        assert client.read_frame().payload == b"y"
        client.expect_text("one", "two")
        peer.send_text("m:later")
        client.expect_text("later")

    @pytest.mark.spec("ws-66")
    def test_never_within(self, ws: WebSocketStage) -> None:
        """Many publishes beside many fragmented messages: no message is torn."""
        channel = fresh_channel()
        client, peer = ws.grip(channel)
        for number in range(30):
            peer.send(*fragments(Opcode.TEXT, b"m:a", b"b", str(number).encode()))
            ws.publish(ws_item(channel, "published"))
        relayed: list[bytes] = []
        while len(relayed) < 30:
            frame = client.read()
            if frame != text("published"):
                relayed.append(frame.payload)
        assert relayed == [f"ab{number}".encode() for number in range(30)]


def test_close_of_a_grip_connection(ws: WebSocketStage) -> None:
    """Nothing is published to it afterwards, and its backend gets the answer."""
    channel = fresh_channel()
    client, script = ws.grip_over_http(channel)
    script.then(events_reply(close_event(4000)))
    client.send_text("x")
    client.expect(close(4000))
    ws.publish(ws_item(channel, "never"))
    client.assert_silent(0.2)
    client.send(close(4000))
    client.connection.assert_closed()
