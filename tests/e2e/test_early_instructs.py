"""A backend that holds a long poll before it has all of the request: what is held is the whole request."""

from __future__ import annotations

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient, encode_chunk
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import hint_item, publish_ok, response_item
from tests.harness.timing import eventually
from tests.harness.watch import scrape

BEGINNING = b"a" * 12_000
"""So much of a body is sent on before the rest has come."""


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    settings = {"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}", "update_on_first_subscription": "false"}}
    return launch(f"* 127.0.0.1:{backend.port}", settings=settings)


pytestmark = pytest.mark.usefixtures("lets_go")


def begin(stage: Stage, path: str, framing: str) -> RawClient:
    """A client that has sent the beginning of a body, which its backend has answered."""
    client = stage.client()
    client.send(f"POST {path} HTTP/1.1\r\nHost: localhost\r\n{framing}\r\n\r\n".encode())
    client.send(encode_chunk(BEGINNING) if "chunked" in framing else BEGINNING)
    eventually(lambda: stage.backend.requests(path), "the request")
    client.assert_silent(0.2)
    return client


def test_made_again(stage: Stage) -> None:
    """The rest of the body, which looks like another request here, is none; and the request made again has it."""
    channel = fresh_channel()
    replies = [poll_reply(channel), Reply(body=b"answer")]
    path = stage.backend.serve(lambda _request: replies.pop(0), early=True)
    elsewhere = stage.backend.serve(Reply(body=b"elsewhere"))
    rest = f"GET {elsewhere} HTTP/1.1\r\nHost: localhost\r\n\r\n".encode()
    client = begin(stage, path, f"Content-Length: {len(BEGINNING + rest)}")
    client.send(rest)
    stage.proxy.wait_held(path)
    publish_ok(stage.proxy.control_port, hint_item(channel))
    assert client.read_response().body == b"answer"
    eventually(lambda: [r.body for r in stage.backend.requests(path)] == [BEGINNING + rest] * 2, "the request, twice")
    client.send(rest)
    assert client.read_response().body == b"elsewhere"
    assert len(stage.backend.requests(elsewhere)) == 1


def test_in_chunks(stage: Stage) -> None:
    channel = fresh_channel()
    path = stage.backend.serve(poll_reply(channel), early=True)
    client = begin(stage, path, "Transfer-Encoding: chunked")
    client.send(encode_chunk(b"b" * 80_000) + encode_chunk(b""))
    stage.proxy.wait_held(path)
    publish_ok(stage.proxy.control_port, response_item(channel, "news"))
    assert client.read_response().body == b"news"
    assert stage.backend.request(path).body == BEGINNING + b"b" * 80_000


def test_too_long(stage: Stage) -> None:
    """grip-14: what turns out to be longer than may be held is refused."""
    path = stage.backend.serve(poll_reply(fresh_channel()), early=True)
    client = begin(stage, path, "Transfer-Encoding: chunked")
    client.send(encode_chunk(b"b" * 90_000) + encode_chunk(b""))
    assert client.read_response().status == 400


def test_client_leaves(stage: Stage, metrics_port: int) -> None:
    """Nothing is held then."""
    before = scrape(metrics_port)["holds_opened_total"]
    path = stage.backend.serve(poll_reply(fresh_channel()), early=True)
    begin(stage, path, "Content-Length: 20000").close()
    eventually(lambda: scrape(metrics_port)["open_connections"] == 0, "the client is gone")
    assert scrape(metrics_port)["holds_opened_total"] == before
