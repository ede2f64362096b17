"""What clients owe who do not read: it is kept once."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"push_in_http_max_body_size": 30_000_000}},
    )


def test_one_large_item_for_many_who_do_not_read(stage: Stage, connect: Connect) -> None:
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
