"""Publishing to the SUB door: what a publisher sees of the subscriptions, and whom its messages reach."""

from __future__ import annotations

import time
from collections.abc import Sequence

import pytest
import zmq
from tests.harness import tnet
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel, instruct_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item
from tests.harness.ws_events import events_reply
from tests.harness.ws_stage import WebSocketStage, control, frame_as_event
from tests.harness.zmq_sockets import SUBSCRIBED, UNSUBSCRIBED, ZmqSocket, ZmqSockets

LINGER_S = 2


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, spec: str) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    settings = {"handler": {"push_in_sub_specs": spec, "subscription_linger": LINGER_S}}
    return launch(f"* {target}", f"events {target},over_http", f"prefixed,prefix=p- {target}", settings=settings)


@pytest.fixture
def door(sockets: ZmqSockets, spec: str) -> ZmqSocket:
    """A publisher's XPUB socket."""
    return sockets.connected(zmq.XPUB, spec)


def wait_subscribed(door: ZmqSocket, channel: str) -> None:
    """Wait until the proxy subscribes to ``channel``."""
    wanted = SUBSCRIBED + channel.encode()
    door.receive_until(lambda parts: parts == [wanted], f"a subscription to {channel}")


def wait_unsubscribed(door: ZmqSocket, channel: str, timeout_s: float = 5.0) -> None:
    """Wait until the proxy unsubscribes from ``channel``."""
    wanted = UNSUBSCRIBED + channel.encode()
    door.receive_until(lambda parts: parts == [wanted], f"an unsubscription from {channel}", timeout_s)


def about(door: ZmqSocket, channel: str, seconds: float) -> list[bytes]:
    """What is said of ``channel`` within ``seconds``; tests before may still be lingering out."""
    said: list[bytes] = []
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        try:
            data = door.receive_one(left)
        except TimeoutError:
            break
        if data[1:] == channel.encode():
            said.append(data[:1])
    return said


def stream_formats(content: str | bytes) -> dict[str, object]:
    return {"formats": {"http-stream": {"content": content}}}


def send(door: ZmqSocket, topic: str, content: str, channel: str | None = None) -> None:
    """Publish a stream item under ``topic``; ``channel`` is the one inside."""
    inner = {} if channel is None else {"channel": channel}
    door.send(topic.encode(), tnet.encode({**inner, **stream_formats(content)}))


@pytest.mark.spec("grip-107")
class TestSubscriptions:
    def test_stream(self, stage: Stage, door: ZmqSocket) -> None:
        """The proxy is subscribed to exactly the channel, once, while somebody listens."""
        channel = fresh_channel()
        one = stage.stream(channel)
        wait_subscribed(door, channel)
        two = stage.stream(channel)
        one.close()
        assert about(door, channel, 0.5) == []
        two.close()
        wait_unsubscribed(door, channel)

    def test_stream_lingers_not(self, stage: Stage, door: ZmqSocket) -> None:
        """Streams and WebSockets leave at once."""
        channel = fresh_channel()
        client = stage.stream(channel)
        wait_subscribed(door, channel)
        start = time.monotonic()
        client.close()
        wait_unsubscribed(door, channel)
        assert time.monotonic() - start < LINGER_S

    @pytest.mark.slow
    def test_poll_lingers(self, stage: Stage, door: ZmqSocket) -> None:
        """After the last poll ``subscription_linger`` passes, in which the next poll comes."""
        channel = fresh_channel()
        poll = stage.poll(channel)
        wait_subscribed(door, channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "x"))
        poll.read_response()
        poll = stage.poll(channel)
        assert about(door, channel, LINGER_S + 0.5) == []
        publish_ok(stage.proxy.control_port, response_item(channel, "x"))
        poll.read_response()
        start = time.monotonic()
        wait_unsubscribed(door, channel)
        assert time.monotonic() - start > LINGER_S - 0.2

    def test_websocket(self, ws: WebSocketStage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        client, script = ws.grip_over_http()
        script.then(
            *(events_reply(frame_as_event(control(kind, channel=channel))) for kind in ("subscribe", "unsubscribe"))
        )
        client.send_text("now")
        wait_subscribed(door, channel)
        client.send_text("no longer")
        wait_unsubscribed(door, channel)

    def test_late_publisher(self, stage: Stage, sockets: ZmqSockets, spec: str) -> None:
        """One that connects later learns what the proxy is subscribed to."""
        channel = fresh_channel()
        client = stage.stream(channel)
        door = sockets.connected(zmq.XPUB, spec)
        wait_subscribed(door, channel)
        send(door, channel, "x")
        assert client.read_data(1) == b"x"

    def test_prefix(self, stage: Stage, door: ZmqSocket) -> None:
        """The name is that of the channel, the route's prefix included."""
        channel = fresh_channel()
        client = stage.stream(channel, host="prefixed")
        wait_subscribed(door, f"p-{channel}")
        send(door, f"p-{channel}", "x")
        assert client.read_data(1) == b"x"

    def test_many_channels(self, stage: Stage, door: ZmqSocket) -> None:
        """A client that comes and goes with several channels."""
        channels = [fresh_channel() for _ in range(5)]
        client = stage.stream(", ".join(channels))
        assert read_signs(door, channels) == {SUBSCRIBED + channel.encode() for channel in channels}
        client.close()
        assert read_signs(door, channels) == {UNSUBSCRIBED + channel.encode() for channel in channels}


def read_signs(door: ZmqSocket, channels: Sequence[str]) -> set[bytes]:
    """What is said next of each of the channels."""
    names = {channel.encode() for channel in channels}
    return {
        door.receive_until(lambda parts: parts[0][1:] in names, "a word on one of the channels")[0] for _ in channels
    }


@pytest.mark.spec("grip-107")
class TestMessages:
    @pytest.mark.parametrize("tag", [b"", b"T", b"J"])
    def test_encodings(self, stage: Stage, door: ZmqSocket, tag: bytes) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        wait_subscribed(door, channel)
        data = b'{"formats":{"http-stream":{"content":"x"}}}' if tag == b"J" else tnet.encode(stream_formats("x"))
        door.send(channel.encode(), tag + data)
        assert client.read_data(1) == b"x"

    def test_topic_is_the_channel(self, stage: Stage, door: ZmqSocket) -> None:
        """Whatever the item says."""
        channel, other = fresh_channel(), fresh_channel()
        client, bystander = stage.stream(channel), stage.stream(other)
        wait_subscribed(door, channel)
        send(door, channel, "a", channel=other)
        door.send(channel.encode(), tnet.encode({"channel": 5, **stream_formats("b")}))
        assert client.read_data(2) == b"ab"
        bystander.assert_silent(0.2)

    def test_empty_topic(self, stage: Stage, door: ZmqSocket) -> None:
        """Then the item's own channel counts. ZeroMQ passes it on only if somebody listens to the empty channel."""
        channel = fresh_channel()
        client = stage.stream(channel)
        instruct = {"hold": {"mode": "stream", "channels": [{"name": ""}]}}
        listener = stage.hold(instruct_reply(instruct))
        listener.read_head()
        wait_subscribed(door, "")
        send(door, "", "x", channel=channel)
        assert client.read_data(1) == b"x"
        listener.close()
        wait_unsubscribed(door, "")

    def test_longer_topic(self, stage: Stage, door: ZmqSocket) -> None:
        """Reaches the proxy because of the prefix, and nobody there."""
        channel = fresh_channel()
        client = stage.stream(channel)
        wait_subscribed(door, channel)
        send(door, channel + "bar", "never")
        send(door, channel, "x")
        assert client.read_data(1) == b"x"
        client.assert_silent(0.2)

    def test_order(self, stage: Stage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        wait_subscribed(door, channel)
        for number in range(500):
            send(door, channel, f"{number:03}")
        assert client.read_data(1500).decode() == "".join(f"{number:03}" for number in range(500))

    def test_all_modes(self, stage: Stage, ws: WebSocketStage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        socket, _ = ws.grip_over_http(channel)
        wait_subscribed(door, channel)
        formats = {
            "http-stream": {"content": b"\x00s"},
            "http-response": {"body": b"\x00r"},
            "ws-message": {"content": "w"},
        }
        door.send(channel.encode(), tnet.encode({"formats": formats}))
        assert (stream.read_data(2), poll.read_response().body) == (b"\x00s", b"\x00r")
        socket.expect_text("w")


PREFIX = "IN sub: received message with "
WARNING = rf"\[WARN\].* {PREFIX}"
REFUSED: list[tuple[str, list[bytes], str]] = [
    ("one part", [], "parts != 2, skipping"),
    ("three parts", [b"J{}", b"x"], "parts != 2, skipping"),
    ("empty", [b""], "invalid format (tnetstring parse failed), skipping"),
    ("no JSON", [b"Jx"], "invalid format (json parse failed), skipping"),
    ("JSON array", [b"J[1]"], "invalid format (not a valid json object), skipping"),
    ("garbage", [b"garbage"], "invalid format (tnetstring parse failed), skipping"),
    ("no formats", [tnet.encode({})], "invalid format: no formats specified, skipping"),
]


@pytest.mark.spec("grip-105")
@pytest.mark.parametrize(("parts", "reason"), [pytest.param(parts, text, id=name) for name, parts, text in REFUSED])
def test_refused(stage: Stage, door: ZmqSocket, parts: list[bytes], reason: str) -> None:
    """One warning each, and the next message of the same publisher arrives."""
    before = len(stage.proxy.log_lines(WARNING))
    channel = fresh_channel()
    client = stage.stream(channel)
    wait_subscribed(door, channel)
    door.send(channel.encode(), *parts)
    send(door, channel, "next")
    assert client.read_data(4) == b"next"
    (line,) = stage.proxy.wait_log(WARNING, before + 1)[before:]
    assert line.endswith(PREFIX + reason), line


@differs("truncated-tnetstring")
def test_truncated(launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets) -> None:
    """grip-105: never fatal."""
    spec = f"tcp://127.0.0.1:{free_port()}"
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"push_in_sub_specs": spec}})
    channel = fresh_channel()
    client = Stage(proxy, backend, connect).stream(channel)
    door = sockets.connected(zmq.XPUB, spec)
    wait_subscribed(door, channel)
    door.send(channel.encode(), b"20:abc,")
    send(door, channel, "next")
    assert client.read_data(4) == b"next"
    proxy.wait_log(WARNING + r"invalid format \(tnetstring parse failed\), skipping$")


class TestSpecs:
    def test_connect(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets
    ) -> None:
        """The proxy connects to all publishers, one of which comes later; the single setting adds to the list."""
        specs = [f"tcp://127.0.0.1:{free_port()}" for _ in range(3)]
        early = [sockets.bound(zmq.XPUB, spec) for spec in specs[:2]]
        settings = {
            "push_in_sub_specs": f"{specs[0]},{specs[1]}",
            "push_in_sub_spec": specs[2],
            "push_in_sub_connect": "true",
        }
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        channel = fresh_channel()
        client = Stage(proxy, backend, connect).stream(channel)
        doors = [*early, sockets.bound(zmq.XPUB, specs[2])]
        for number, door in enumerate(doors):
            wait_subscribed(door, channel)
            send(door, channel, str(number))
            assert client.read_data(1).decode() == str(number)

    def test_binds_only_the_first(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        specs = [f"tcp://127.0.0.1:{free_port()}" for _ in range(2)]
        launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"push_in_sub_specs": ",".join(specs)}})
        sockets.bound(zmq.XPUB, specs[1])
        with pytest.raises(zmq.ZMQError):
            sockets.bound(zmq.XPUB, specs[0])

    def test_ipc(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets) -> None:
        proxy = launch_once(
            f"* 127.0.0.1:{backend.port}", settings={"handler": {"push_in_sub_specs": "ipc://{rundir}/{ipc_prefix}sub"}}
        )
        channel = fresh_channel()
        client = Stage(proxy, backend, connect).stream(channel)
        door = sockets.connected(zmq.XPUB, f"ipc://{proxy.directory}/run/t-sub")
        wait_subscribed(door, channel)
        send(door, channel, "x")
        assert client.read_data(1) == b"x"
