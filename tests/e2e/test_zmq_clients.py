"""The publishers' libraries over ZeroMQ, unmodified: pubcontrol and gripcontrol, with pyzmq and tnetstring3."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import zmq
from gripcontrol import GripPubControl, HttpResponseFormat, HttpStreamFormat, WebSocketMessageFormat
from pubcontrol import Format, Item, PubControl, ZmqPubControlClient
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually
from tests.harness.websocket import text
from tests.harness.ws_stage import WebSocketStage

Events = list[tuple[str, str]]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, specs: dict[str, str]) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    settings = {"handler": {**specs, "subscription_linger": 1}}
    return launch(f"* {target}", f"events {target},over_http", settings=settings)


@pytest.fixture
def context() -> Iterator[zmq.Context[Any]]:
    """The libraries leave theirs open."""
    made: zmq.Context[Any] = zmq.Context()
    yield made
    made.destroy(linger=0)


@pytest.fixture
def events() -> Events:
    """What a library says of subscriptions."""
    return []


@pytest.fixture
def pushing(proxy: ProxyUnderTest, specs: dict[str, str], context: zmq.Context[Any]) -> Iterator[GripPubControl]:
    """A publisher that pushes; it asks the command door where to."""
    publisher = GripPubControl({"control_zmq_uri": specs["command_spec"]}, zmq_context=context)
    yield publisher
    publisher.close()


@pytest.fixture
def subscribed(
    proxy: ProxyUnderTest, specs: dict[str, str], context: zmq.Context[Any], events: Events
) -> Iterator[GripPubControl]:
    """A publisher that publishes only what somebody is subscribed to."""
    publisher = GripPubControl(
        {"control_zmq_uri": specs["command_spec"], "require_subscribers": True},
        sub_callback=lambda kind, channel: events.append((kind, channel)),
        zmq_context=context,
    )
    yield publisher
    publisher.close()


class RawStream(Format):  # type: ignore[misc]  # the library has no types
    """Bytes for streams."""

    def __init__(self, content: bytes) -> None:
        self.content = content

    def name(self) -> str:
        """The name of the format."""
        return "http-stream"

    def export(self) -> dict[str, bytes]:
        """Its fields."""
        return {"content": self.content}


class RawResponse(RawStream):
    """Bytes for long polls."""

    def name(self) -> str:
        """The name of the format."""
        return "http-response"

    def export(self) -> dict[str, bytes]:
        """Its fields."""
        return {"body": self.content}


def three_formats(content: str) -> list[Any]:
    return [HttpStreamFormat(content), HttpResponseFormat(body=content), WebSocketMessageFormat(content)]


class TestPush:
    def test_all_formats(self, stage: Stage, ws: WebSocketStage, pushing: GripPubControl) -> None:
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        socket, _ = ws.grip_over_http(channel)
        pushing.publish(channel, Item(three_formats("wörld"), id="1"), blocking=True)
        assert stream.read_data(6).decode() == "wörld"
        assert poll.read_response().text == "wörld"
        socket.expect(text("wörld"))

    def test_bytes(self, stage: Stage, pushing: GripPubControl) -> None:
        """As formats of one's own have them, which is how pubcontrol's documentation begins."""
        channel, data = fresh_channel(), bytes(range(256))
        stream, poll = stage.stream(channel), stage.poll(channel)
        pushing.publish(channel, Item([RawStream(data), RawResponse(data)]), blocking=True)
        assert (stream.read_data(256), poll.read_response().body) == (data, data)

    def test_bytes_of_gripcontrol(self, stage: Stage, pushing: GripPubControl) -> None:
        """Its formats turn bytes into base64, which only the HTTP door understands (grip spec §8.4)."""
        channel = fresh_channel()
        stream = stage.stream(channel)
        pushing.publish_http_stream(channel, HttpStreamFormat(b"\x00\xff"), blocking=True)
        pushing.publish_http_stream(channel, "x", blocking=True)
        assert stream.read_data(1) == b"x"
        stage.proxy.wait_log(r"IN pull: .*'http-stream' does not contain 'content', skipping$")

    def test_response(self, stage: Stage, pushing: GripPubControl) -> None:
        channel = fresh_channel()
        poll = stage.poll(channel)
        response = HttpResponseFormat(code=201, reason="Made", headers={"X-A": "1"}, body="x")
        pushing.publish_http_response(channel, response, blocking=True)
        answer = poll.read_response()
        assert (answer.status, answer.reason, answer.header("X-A"), answer.text) == (201, "Made", "1", "x")

    def test_close(self, stage: Stage, pushing: GripPubControl) -> None:
        channel = fresh_channel()
        stream = stage.stream(channel)
        pushing.publish_http_stream(channel, "x", blocking=True)
        pushing.publish_http_stream(channel, HttpStreamFormat(close=True), blocking=True)
        assert stream.read_chunks() == b"x"

    def test_many_with_a_callback(self, stage: Stage, pushing: GripPubControl) -> None:
        """Blocking ones keep their order; the callback is for others."""
        channel = fresh_channel()
        stream = stage.stream(channel)
        results: list[bool] = []
        pushing.publish_http_stream(channel, "000", blocking=True)
        for number in range(1, 200):
            pushing.publish_http_stream(
                channel, f"{number:03}", callback=lambda result, _message: results.append(result)
            )
        eventually(lambda: len(results) == 199, "as many callbacks")
        assert all(results)
        data = stream.read_data(600).decode()
        assert sorted(data[at : at + 3] for at in range(0, 600, 3)) == [f"{number:03}" for number in range(200)]

    def test_explicit_address(self, stage: Stage, specs: dict[str, str], context: zmq.Context[Any]) -> None:
        """Without the command door."""
        channel = fresh_channel()
        stream = stage.stream(channel)
        publisher = PubControl({"zmq_push_uri": specs["push_in_spec"]}, zmq_context=context)
        publisher.publish(channel, Item(HttpStreamFormat("x")), blocking=True)
        assert stream.read_data(1) == b"x"
        publisher.close()


class TestRequireSubscribers:
    def test_subscriptions_are_told(self, stage: Stage, subscribed: GripPubControl, events: Events) -> None:
        """The callback follows who is there, and what is published then arrives."""
        channel = fresh_channel()
        one = stage.stream(channel)
        eventually(lambda: ("sub", channel) in events, "the subscription")
        two = stage.stream(channel)
        subscribed.publish_http_stream(channel, "hello", blocking=True)
        assert (one.read_data(5), two.read_data(5)) == (b"hello", b"hello")
        one.close()
        two.close()
        eventually(lambda: ("unsub", channel) in events, "the end of the subscription")
        assert [event for event in events if event[1] == channel] == [("sub", channel), ("unsub", channel)]

    def test_all_formats(self, stage: Stage, ws: WebSocketStage, subscribed: GripPubControl, events: Events) -> None:
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        socket, _ = ws.grip_over_http(channel)
        eventually(lambda: ("sub", channel) in events, "the subscription")
        subscribed.publish(channel, Item(three_formats("wörld"), id="1"), blocking=True)
        assert (stream.read_data(6).decode(), poll.read_response().text) == ("wörld", "wörld")
        socket.expect(text("wörld"))

    def test_order(self, stage: Stage, subscribed: GripPubControl, events: Events) -> None:
        channel = fresh_channel()
        stream = stage.stream(channel)
        eventually(lambda: ("sub", channel) in events, "the subscription")
        for number in range(200):
            subscribed.publish_http_stream(channel, f"{number:03}", blocking=True)
        assert stream.read_data(600).decode() == "".join(f"{number:03}" for number in range(200))

    def test_client_of_its_own(
        self, stage: Stage, specs: dict[str, str], context: zmq.Context[Any], events: Events
    ) -> None:
        """`ZmqPubControlClient` with the address of the SUB door."""
        publisher = ZmqPubControlClient(
            None,
            pub_uri=specs["push_in_sub_specs"],
            require_subscribers=True,
            sub_callback=lambda kind, channel: events.append((kind, channel)),
            context=context,
        )
        channel = fresh_channel()
        stream = stage.stream(channel)
        eventually(lambda: ("sub", channel) in events, "the subscription")
        publisher.publish(channel, Item(HttpStreamFormat("x")), blocking=True)
        assert stream.read_data(1) == b"x"
        publisher.close()
