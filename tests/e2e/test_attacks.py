"""Hostile clients, hostile backends and careless publishers: what they found once must not come back."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, holdfast_only
from tests.harness.publish import publish_ok, stream_item

GRIP_STREAM = [("Grip-Hold", "stream"), ("Grip-Channel", "unused")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"push_in_http_max_body_size": 30_000_000}},
    )


class TestBackends:
    @holdfast_only("1.36 takes a broken-off answer for a whole one")
    @pytest.mark.parametrize(
        "rest",
        [
            pytest.param([b"Content-Length: 20\r\n\r\nhalf"], id="sized"),
            pytest.param([b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"], id="chunked"),
            pytest.param([b"Transfer-Encoding: chunked\r\n\r\n4\r\nhalfZ\r\n"], id="broken chunks"),
        ],
    )
    def test_an_instruct_that_breaks_off(self, stage: Stage, rest: list[bytes]) -> None:
        """Nothing was sent to the client yet, so it gets a proper error, and keeps its connection."""
        head = b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nGrip-Channel: x\r\n"
        path = stage.backend.serve(RawReply([head, *rest]))
        client = stage.client()
        client.request(path)
        response = client.read_response()
        assert (response.status, response.text) == (502, "Error while proxying to origin.\n")
        client.request(stage.backend.serve(Reply(body=b"ok")))
        assert client.read_response().text == "ok"

    @holdfast_only("1.36 states a length of 0")
    @pytest.mark.parametrize("framing", [Framing.CHUNKED, Framing.UNTIL_CLOSE])
    def test_head_without_a_length(self, stage: Stage, framing: Framing) -> None:
        """A length that the backend does not state is not known, and above all it is not 0."""
        path = stage.backend.serve(RawReply([Reply(framing=framing).head()]))
        client = stage.client()
        client.request(path, method="HEAD")
        response = client.read_head(method="HEAD")
        assert response.status == 200
        assert response.header("Content-Length") is None

    @holdfast_only("upstream streams a body that such a status cannot have")
    @pytest.mark.parametrize("status", ["204", "304"])
    def test_large_body_with_a_status_that_has_none(self, stage: Stage, status: str) -> None:
        """The next response on the connection must not be preceded by bytes that its reader takes for a response."""
        headers = [*GRIP_STREAM, ("Grip-Status", status)]
        path = stage.backend.serve(Reply(headers=headers, body=b"x" * 150_000))
        client = stage.client()
        client.request(path)
        response = client.read_head()
        assert response.status == int(status)
        assert response.header("Transfer-Encoding") is None
        client.request(stage.backend.serve(Reply(body=b"ok")))
        assert client.read_response().text == "ok"


class TestPublishers:
    @holdfast_only("1.36 has no bound here")
    def test_one_large_item_for_many_who_do_not_read(self, stage: Stage, connect: Connect) -> None:
        """What many owe is the same bytes: it is kept once, and not once for each of them."""
        channel = fresh_channel()
        path = stage.backend.serve(Reply(headers=[("Grip-Hold", "stream"), ("Grip-Channel", channel)]))
        clients = [connect(stage.proxy.port, receive_buffer=4096) for _ in range(40)]
        for client in clients:
            client.request(path)
        stage.proxy.wait_held(path, len(clients))
        before = _resident_bytes(stage.proxy.pid)
        publish_ok(stage.proxy.control_port, stream_item(channel, "x" * 15_000_000))
        stage.proxy.wait_log(f"publish channel={channel} receivers={len(clients)}")
        growth = _resident_bytes(stage.proxy.pid) - before
        assert growth < 150_000_000  # 40 copies would be about 400 MB, even when the system has taken its share
        client = clients[0]
        client.read_head()
        assert client.read_data(15_000_000, timeout_s=20) == b"x" * 15_000_000


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    match = re.search(r"VmRSS:\s+(\d+) kB", status)
    assert match is not None
    return int(match[1]) * 1024
