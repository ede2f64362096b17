"""What a hold needed goes with it, at once: nothing waits for a collection of garbage, which may be minutes away."""

from __future__ import annotations

import threading

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok
from tests.harness.timing import eventually


@pytest.fixture(scope="module")
def metrics_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}", settings={"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"}})


def wait_for_plans(metrics_port: int, count: int) -> None:
    """Wait until as many plans are in use."""
    line = f"holdfast_hold_plans {count:.1f}"
    eventually(lambda: line in fetch(metrics_port, "/").text.splitlines(), line)


def test_followed_link(stage: Stage, metrics_port: int) -> None:
    """The answer of a link is kept for a second, for other streams."""
    channel = fresh_channel()
    link = stage.backend.serve(stream_reply(channel, b"more"))
    client = stage.hold(Reply(headers=[("Grip-Link", f"<{link}>; rel=next")], body=b"first"))
    client.read_head()
    assert client.read_data(9) == b"firstmore"
    wait_for_plans(metrics_port, 1)
    client.close()
    wait_for_plans(metrics_port, 0)


def test_client_that_leaves_during_a_retry(stage: Stage, metrics_port: int) -> None:
    """The request that is made again ends with the client."""
    channel = fresh_channel()
    is_over = threading.Event()
    path = stage.backend.serve_in_turn(poll_reply(channel), RawReply([is_over]))
    client = stage.client()
    client.request(path)
    stage.proxy.wait_held(path)
    publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"action": "hint"}}})
    eventually(lambda: len(stage.backend.requests(path)) == 2, "the second request")
    client.close()
    try:
        wait_for_plans(metrics_port, 0)
    finally:
        is_over.set()
