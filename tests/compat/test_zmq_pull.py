"""Publishing to the PULL door: the encodings of an item, what is refused, and that all doors are one publisher."""

from __future__ import annotations

import json
import os
import stat
import subprocess
from pathlib import Path
from typing import Any

import pytest
import zmq
from tests.harness import tnet
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.ports import free_port
from tests.harness.proxy import PROJECT, Launch, ProxyUnderTest, differs, selected_driver
from tests.harness.publish import publish_ok, stream_item, with_ids
from tests.harness.timing import scaled
from tests.harness.websocket import binary, text
from tests.harness.ws_stage import WebSocketStage
from tests.harness.zmq_sockets import ZmqSocket, ZmqSockets


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, spec: str) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    settings = {"handler": {"push_in_spec": spec, "id_cache_ttl": 60}}
    return launch(f"* {target}", f"events {target},over_http", settings=settings)


@pytest.fixture
def door(sockets: ZmqSockets, spec: str) -> ZmqSocket:
    """A publisher's PUSH socket."""
    return sockets.connected(zmq.PUSH, spec)


def item(channel: str, content: str | bytes, **fields: Any) -> dict[str, Any]:
    """An item with an ``http-stream`` format; bytes stay bytes."""
    return {"channel": channel, **fields, "formats": {"http-stream": {"content": content}}}


def as_json(value: object) -> bytes:
    return b"J" + json.dumps(value).encode()


def as_tagged(value: object) -> bytes:
    return b"T" + tnet.encode(value)


ENCODINGS = [
    pytest.param(as_json, id="J"),
    pytest.param(as_tagged, id="T"),
    pytest.param(tnet.encode, id="bare"),
]


class TestItems:
    @pytest.mark.spec("grip-105")
    @pytest.mark.parametrize("encode", ENCODINGS)
    def test_encodings(self, stage: Stage, door: ZmqSocket, encode: Any) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        door.send(encode(item(channel, "hello")))
        assert client.read_data(5) == b"hello"

    @pytest.mark.spec("grip-106")
    def test_raw_bytes(self, stage: Stage, door: ZmqSocket) -> None:
        """In a TNetString both contents are bytes as they are."""
        channel, data = fresh_channel(), bytes(range(256))
        stream, poll = stage.stream(channel), stage.poll(channel)
        response = {"code": 201, "reason": "Made", "headers": [["X-A", "1"], ["X-A", "2"]], "body": data}
        formats = {"http-stream": {"content": data}, "http-response": response}
        door.send(tnet.encode({"channel": channel, "formats": formats}))
        assert stream.read_data(256) == data
        answer = poll.read_response()
        assert (answer.status, answer.reason, answer.all("X-A"), answer.body) == (201, "Made", ["1", "2"], data)

    @pytest.mark.spec("grip-106")
    def test_websocket_content(self, ws: WebSocketStage, door: ZmqSocket) -> None:
        """``content-bin`` is raw, too, and makes the message binary."""
        channel = fresh_channel()
        client, _ = ws.grip_over_http(channel)
        for fields in ({"content": "wörld"}, {"content-bin": b"\x00\xff"}, {"content": b"\x00\xff", "type": "binary"}):
            door.send(tnet.encode({"channel": channel, "formats": {"ws-message": fields}}))
        client.expect(text("wörld"), binary(b"\x00\xff"), binary(b"\x00\xff"))

    def test_base64_in_json(self, stage: Stage, door: ZmqSocket) -> None:
        """JSON items are those of the HTTP door."""
        channel = fresh_channel()
        client = stage.stream(channel)
        door.send(as_json(stream_item(channel, b"\x00\xff")))
        assert client.read_data(2) == b"\x00\xff"

    def test_header_map(self, stage: Stage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        poll = stage.poll(channel)
        response = {"headers": {"X-A": "1"}, "body": "x"}
        door.send(tnet.encode({"channel": channel, "formats": {"http-response": response}}))
        assert poll.read_response().header("X-A") == "1"

    def test_legacy_formats(self, stage: Stage, door: ZmqSocket) -> None:
        """Without ``formats`` they are looked for at the top."""
        channel = fresh_channel()
        client = stage.stream(channel)
        door.send(tnet.encode({"channel": channel, "http-stream": {"content": "old"}}))
        assert client.read_data(3) == b"old"

    def test_null_is_absent(self, stage: Stage, door: ZmqSocket) -> None:
        """In a TNetString, unlike in JSON (grip spec §8.4)."""
        channel = fresh_channel()
        client = stage.stream(channel)
        door.send(tnet.encode(item(channel, "x", id=None, **{"prev-id": None, "meta": None})))
        assert client.read_data(1) == b"x"

    def test_body_patch(self, stage: Stage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        poll = stage.hold(poll_reply(channel, b'{"a": 1}'))
        patch = [{"op": "add", "path": "/b", "value": 2}]
        door.send(tnet.encode({"channel": channel, "formats": {"http-response": {"body-patch": patch}}}))
        assert json.loads(poll.read_response().text) == {"a": 1, "b": 2}

    def test_bytes_after_the_item(self, stage: Stage, door: ZmqSocket) -> None:
        """What follows the outermost TNetString is not looked at."""
        channel = fresh_channel()
        client = stage.stream(channel)
        door.send(tnet.encode(item(channel, "x")) + b"rest")
        assert client.read_data(1) == b"x"

    def test_order(self, stage: Stage, sockets: ZmqSockets, spec: str) -> None:
        """Many items of one publisher arrive in order, whatever others send."""
        channel = fresh_channel()
        client = stage.stream(channel)
        mine, other = sockets.connected(zmq.PUSH, spec), sockets.connected(zmq.PUSH, spec)
        for number in range(500):
            mine.send(tnet.encode(item(channel, f"{number:03}")))
            other.send(as_json(item(fresh_channel(), "x")))
        assert client.read_data(1500).decode() == "".join(f"{number:03}" for number in range(500))


class TestOnePublisher:
    """Sequencing is per process, over all doors together (grip spec §9)."""

    def test_repeated_id(self, stage: Stage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, with_ids(stream_item(channel, "a"), "1"))
        assert client.read_data(1) == b"a"
        door.send(tnet.encode(item(channel, "b", id="1")))
        door.send(tnet.encode(item(channel, "c", id="2")))
        assert client.read_data(1) == b"c"

    def test_item_that_waits(self, stage: Stage, door: ZmqSocket) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, with_ids(stream_item(channel, "1"), "1"))
        door.send(tnet.encode(item(channel, "3", id="3", **{"prev-id": "2"})))
        door.send(tnet.encode(item(channel, "2", id="2", **{"prev-id": "1"})))
        assert client.read_data(3) == b"123"


PREFIX = "IN pull: received message with "
WARNING = rf"\[WARN\].* {PREFIX}"
REFUSED: list[tuple[str, list[bytes], str]] = [
    ("two parts", [b"J{}", b"x"], "parts != 1, skipping"),
    ("empty", [b""], "invalid format (tnetstring parse failed), skipping"),
    ("no JSON", [b"Jx"], "invalid format (json parse failed), skipping"),
    ("J alone", [b"J"], "invalid format (json parse failed), skipping"),
    ("JSON array", [b"J[1]"], "invalid format (not a valid json object), skipping"),
    ("no TNetString", [b"garbage"], "invalid format (tnetstring parse failed), skipping"),
    ("T alone", [b"T"], "invalid format (tnetstring parse failed), skipping"),
    ("unknown type", [b"3:abc?"], "invalid format (tnetstring parse failed), skipping"),
    ("huge", [b"9999999999:x}"], "invalid format (tnetstring parse failed), skipping"),
    ("length without an end", [b"T999999999999999999999"], "invalid format (tnetstring parse failed), skipping"),
    ("truncated within", [b"T12:7:channel,9:c}"], "invalid format (tnetstring parse failed), skipping"),
    ("no map", [tnet.encode("text")], "invalid format: publish item object is not an object, skipping"),
    ("call", [as_json({"items": []})], "invalid format: publish item object does not contain 'channel', skipping"),
    (
        "content-bin",
        [tnet.encode({"channel": "c", "formats": {"http-stream": {"content-bin": b"x"}}})],
        "invalid format: 'http-stream' does not contain 'content', skipping",
    ),
    (
        "body-bin",
        [tnet.encode({"channel": "c", "formats": {"http-response": {"body-bin": b"x"}}})],
        "invalid format: 'http-response' does not contain 'body' or 'body-patch', skipping",
    ),
    ("no formats", [tnet.encode({"channel": "c"})], "invalid format: no formats specified, skipping"),
    (
        "JSON null",
        [as_json(item("c", "x", id=None))],
        "invalid format: publish item object contains 'id' with wrong type, skipping",
    ),
    (
        "number as id",
        [tnet.encode(item("c", "x", id=1))],
        "invalid format: publish item object contains 'id' with wrong type, skipping",
    ),
]


@pytest.mark.spec("grip-105")
@pytest.mark.parametrize(("parts", "reason"), [pytest.param(parts, text, id=name) for name, parts, text in REFUSED])
def test_refused(stage: Stage, door: ZmqSocket, parts: list[bytes], reason: str) -> None:
    """One warning each, and the next item of the same publisher arrives."""
    before = len(refusals(stage.proxy))
    channel = fresh_channel()
    client = stage.stream(channel)
    door.send(*parts)
    door.send(tnet.encode(item(channel, "next")))
    assert client.read_data(4) == b"next"
    stage.proxy.wait_log(WARNING, before + 1)
    (line,) = refusals(stage.proxy)[before:]
    assert line.endswith(PREFIX + reason), line


def refusals(proxy: ProxyUnderTest) -> list[str]:
    return proxy.log_lines(WARNING)


@differs("truncated-tnetstring")
@pytest.mark.parametrize("data", [b"20:abc,", b"T20:7:channel,1:c,}"], ids=["bare", "T"])
def test_truncated(
    launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets, data: bytes
) -> None:
    """grip-105: never fatal."""
    spec = f"tcp://127.0.0.1:{free_port()}"
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"push_in_spec": spec}})
    channel = fresh_channel()
    client = Stage(proxy, backend, connect).stream(channel)
    door = sockets.connected(zmq.PUSH, spec)
    door.send(data)
    door.send(tnet.encode(item(channel, "next")))
    assert client.read_data(4) == b"next"
    proxy.wait_log(WARNING + r"invalid format \(tnetstring parse failed\), skipping$")


class TestPublishCommand:
    """grip-115, routes-115: the ZeroMQ half; the HTTP half is in test_publish_command.py."""

    @staticmethod
    def run(spec: str, *arguments: str) -> tuple[int, str]:
        environment = {**os.environ, "PYTHONPATH": str(PROJECT / "src")}
        command = [*selected_driver().publish_command(), *arguments, "--spec", spec]
        done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=scaled(15), check=False)
        return done.returncode, done.stdout

    def test_item(self, sockets: ZmqSockets, tmp_path: Path) -> None:
        """One bare TNetString, with bytes as they are."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        door = sockets.bound(zmq.PULL, spec)
        (tmp_path / "data").write_bytes(b"\xff\xfe")
        arguments = ["c", f"@{tmp_path}/data", "--id", "2", "--prev-id", "1", "--sender", "bob", "-H", "X-A: 1"]
        assert self.run(spec, *arguments) == (0, "Published\n")
        received = tnet.decode(door.receive_one())
        response = received["formats"].pop("http-response")
        assert received == {
            "channel": b"c",
            "id": b"2",
            "prev-id": b"1",
            "meta": {"sender": b"bob"},
            "formats": {"http-stream": {"content": b"\xff\xfe"}, "ws-message": {"content": b"\xff\xfe"}},
        }
        assert (response["code"], response["body"]) == (200, b"\xff\xfe")
        assert response["headers"] == [[b"X-A", b"1"]]

    def test_arrives(self, stage: Stage, spec: str) -> None:
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        assert self.run(spec, channel, "hello") == (0, "Published\n")
        assert (stream.read_data(6), poll.read_response().text) == (b"hello\n", "hello\n")


class TestSpecs:
    def test_ipc(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets) -> None:
        """A socket file in the run directory, with the mode that is asked for."""
        settings = {"handler": {"push_in_spec": "ipc://{rundir}/{ipc_prefix}push", "ipc_file_mode": "600"}}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
        stage = Stage(proxy, backend, connect)
        file = proxy.directory / "run" / "t-push"
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        channel = fresh_channel()
        client = stage.stream(channel)
        sockets.connected(zmq.PUSH, f"ipc://{file}").send(tnet.encode(item(channel, "x")))
        assert client.read_data(1) == b"x"
