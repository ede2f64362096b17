"""Software that was written for Pushpin, unmodified: pubcontrol, gripcontrol, django-grip, requests and curl."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests
from gripcontrol import (
    Channel,
    GripPubControl,
    HttpResponseFormat,
    HttpStreamFormat,
    Response,
    create_grip_channel_header,
    create_hold_response,
    create_hold_stream,
    validate_sig,
)
from pubcontrol import Item
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.grip import Stage, fresh_channel, instruct_reply, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import close_item, publish_ok, response_item, stream_item
from tests.harness.timing import eventually, scaled


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


class TestGripControl:
    @pytest.fixture
    def publisher(self, proxy: ProxyUnderTest) -> Iterator[GripPubControl]:
        publisher = GripPubControl({"control_uri": f"http://127.0.0.1:{proxy.control_port}"})
        yield publisher
        publisher.close()

    def test_publish(self, stage: Stage, publisher: GripPubControl) -> None:
        """Both formats in one item, and each by itself, blocking."""
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        formats = [HttpStreamFormat("one"), HttpResponseFormat(code=201, headers={"X-A": "1"}, body="one")]
        publisher.publish(channel, Item(formats, id="1"), blocking=True)
        response = poll.read_response()
        assert (response.status, response.header("X-A"), response.text) == (201, "1", "one")
        publisher.publish_http_stream(channel, "two", blocking=True)
        publisher.publish_http_stream(channel, HttpStreamFormat(b"\x00\xff"), blocking=True)
        publisher.publish_http_stream(channel, HttpStreamFormat(close=True), blocking=True)
        assert stream.read_chunks() == b"onetwo\x00\xff"
        poll = stage.poll(channel)
        publisher.publish_http_response(channel, "three", blocking=True)
        assert poll.read_response().text == "three"

    def test_publish_with_a_callback(self, stage: Stage, publisher: GripPubControl) -> None:
        """Not blocking: many items are sent by its thread, in order."""
        channel = fresh_channel()
        stream = stage.stream(channel)
        results: list[bool] = []
        for number in range(20):
            publisher.publish_http_stream(
                channel, f"{number:02}", callback=lambda result, _message: results.append(result)
            )
        assert stream.read_data(40).decode() == "".join(f"{number:02}" for number in range(20))
        eventually(lambda: len(results) == 20, "twenty callbacks")
        assert all(results)

    def test_hold_instructs(self, stage: Stage) -> None:
        """The JSON that gripcontrol makes is understood."""
        channel = fresh_channel()
        headers = {"Content-Type": "text/event-stream"}
        instruct = create_hold_stream(Channel(channel), Response(headers=headers, body="hello"))
        stream = stage.hold(instruct_reply(instruct.encode()))
        assert stream.read_head().header("Content-Type") == "text/event-stream"
        assert stream.read_data(5) == b"hello"
        poll = stage.hold(instruct_reply(create_hold_response(channel, Response(body="later"), timeout=20).encode()))
        publish_ok(stage.proxy.control_port, stream_item(channel, "s"), response_item(channel, "r"))
        assert (stream.read_data(1), poll.read_response().text) == (b"s", "r")

    def test_channel_header(self, stage: Stage) -> None:
        one, two = fresh_channel(), fresh_channel()
        client = stage.stream(create_grip_channel_header([Channel(one), Channel(two)]))
        publish_ok(stage.proxy.control_port, stream_item(one, "1"), stream_item(two, "2"))
        assert client.read_data(2) == b"12"

    @pytest.mark.filterwarnings("ignore:The HMAC key is:UserWarning")
    def test_signature(self, stage: Stage) -> None:
        token = stage.received().header("Grip-Sig")
        assert validate_sig(token, "changeme")
        assert not validate_sig(token, "something else")


class TestDjango:
    @pytest.fixture(scope="class")
    @classmethod
    def django_port(cls) -> int:
        return free_port()

    @pytest.fixture(scope="class")
    @classmethod
    def proxy(cls, launch: Launch, django_port: int) -> Iterator[ProxyUnderTest]:
        """A proxy with the Django project behind it."""
        proxy = launch(f"* 127.0.0.1:{django_port}")
        program = Path(__file__).parent / "django_app" / "manage.py"
        with (proxy.directory / "django.log").open("wb") as log:
            server = subprocess.Popen(
                [sys.executable, str(program), "runserver", "--noreload", f"127.0.0.1:{django_port}"],
                env={**os.environ, "GRIP_CONTROL_URI": f"http://127.0.0.1:{proxy.control_port}"},
                stdout=log,
                stderr=log,
            )
        try:
            eventually(lambda: fetch(proxy.port, "/who").status == 200, "Django to answer", timeout_s=15)
            yield proxy
        finally:
            server.terminate()
            server.wait(10)

    def test_signed(self, proxy: ProxyUnderTest) -> None:
        """The project sees a proxy that signed with the key it knows."""
        seen = requests.get(f"http://127.0.0.1:{proxy.port}/who", timeout=scaled(5)).json()
        assert (seen["proxied"], seen["signed"]) == (True, True)
        assert "status" in seen["features"]

    def test_not_signed_without_the_proxy(self, proxy: ProxyUnderTest, django_port: int) -> None:
        seen = requests.get(f"http://127.0.0.1:{django_port}/who", timeout=scaled(5)).json()
        assert (seen["proxied"], seen["signed"]) == (False, False)

    def test_stream_and_poll(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        """What the project publishes, by a request through the proxy, reaches what the project holds."""
        channel = fresh_channel()
        stream, poll = connect(proxy.port), connect(proxy.port)
        stream.request(f"/stream/{channel}")
        assert stream.read_head().header("Content-Type") == "text/plain"
        assert stream.read_data(7) == b"[open]\n"
        poll.request(f"/poll/{channel}")
        proxy.wait_held(f"/stream/{channel}")
        proxy.wait_held(f"/poll/{channel}")
        assert fetch(proxy.port, f"/tell/{channel}", method="POST", body="wörld".encode()).text == "told\n"
        assert stream.read_data(6).decode() == "wörld"
        assert poll.read_response().text == "wörld"


class TestCurl:
    @staticmethod
    def start(proxy: ProxyUnderTest, path: str, *options: str) -> subprocess.Popen[bytes]:
        command = ["curl", "--silent", "--no-buffer", "--max-time", "20", *options]
        return subprocess.Popen([*command, f"http://127.0.0.1:{proxy.port}{path}"], stdout=subprocess.PIPE)

    def test_stream(self, stage: Stage) -> None:
        """``curl -N``: every item as it comes, and exit code 0 at the clean end."""
        channel = fresh_channel()
        path = stage.backend.serve(stream_reply(channel, b"[open]\n"))
        curl = self.start(stage.proxy, path)
        assert curl.stdout is not None
        assert curl.stdout.readline() == b"[open]\n"
        stage.proxy.wait_held(path)
        for number in range(3):
            publish_ok(stage.proxy.control_port, stream_item(channel, f"item {number}\n"))
            assert curl.stdout.readline().decode() == f"item {number}\n"
        publish_ok(stage.proxy.control_port, close_item(channel))
        assert curl.stdout.read() == b""
        assert curl.wait(scaled(5)) == 0
        curl.stdout.close()

    def test_upload_with_expect(self, stage: Stage, tmp_path: Path) -> None:
        """curl announces large uploads with ``Expect: 100-continue``."""
        path = stage.backend.serve(Reply(body=b"taken"))
        (tmp_path / "data").write_bytes(b"x" * 2_000_000)
        curl = self.start(stage.proxy, path, "-T", str(tmp_path / "data"))
        output, _ = curl.communicate(timeout=scaled(10))
        assert (output, curl.returncode) == (b"taken", 0)
        assert len(stage.backend.request(path).body) == 2_000_000

    def test_http_1_0(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"old"))
        output, _ = self.start(stage.proxy, path, "--http1.0").communicate(timeout=scaled(5))
        assert output == b"old"


def test_requests_session_polls(stage: Stage) -> None:
    """A `requests` session: five polls on its kept connection, each answered by a publish."""
    channel = fresh_channel()
    path = stage.backend.serve(instruct_reply({"hold": {"channels": [{"name": channel}]}}))
    received: list[str] = []

    def poll() -> None:
        with requests.Session() as session:
            url = f"http://127.0.0.1:{stage.proxy.port}{path}"
            received.extend(session.get(url, timeout=scaled(10)).text for _ in range(5))

    thread = threading.Thread(target=poll)
    thread.start()
    for number in range(5):
        stage.proxy.wait_held(path, number + 1)
        publish_ok(stage.proxy.control_port, response_item(channel, f"item {number}"))
    thread.join()
    assert received == [f"item {number}" for number in range(5)]
