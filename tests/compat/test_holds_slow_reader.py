"""Clients that do not read: what they may have waiting is bounded, and nobody else notices them."""

from __future__ import annotations

import contextlib
import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import scaled


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


@differs("slow-reader")
def test_it_delays_nobody_and_is_cut(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """grip-100: others get everything at once; the slow one is disconnected, and the log names it."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}")
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    path = backend.serve(stream_reply(channel))
    slow = connect(proxy.port, receive_buffer=4096)
    slow.request(path)
    proxy.wait_held(path)
    quick = [stage.stream(channel) for _ in range(3)]
    content = "x" * 500_000
    longest = 0.0
    for _ in range(60):
        start = time.monotonic()
        publish_ok(proxy.control_port, stream_item(channel, content))
        for client in quick:
            assert client.read_data(500_000) == content.encode()
        longest = max(longest, time.monotonic() - start)
    assert longest < scaled(1)
    port = slow.local_address[1]
    named = proxy.wait_log(r"\[WARN\]")
    assert any(str(port) in line or f"{path} " in line for line in named), named
    assert len(slow.read_to_close()) < 30_000_000


def test_short_pause_loses_nothing(stage: Stage) -> None:
    """A client that reads late, within what it may have waiting, gets every byte in order."""
    channel = fresh_channel()
    client = stage.stream(channel)
    for number in range(30):
        publish_ok(stage.proxy.control_port, stream_item(channel, f"{number:02}" + "x" * 998))
    time.sleep(0.2)
    data = client.read_data(30_000)
    assert [data[start : start + 2].decode() for start in range(0, 30_000, 1000)] == [f"{n:02}" for n in range(30)]


def test_flood_during_a_hold(stage: Stage) -> None:
    """What a held client sends is not read without limit; whatever becomes of it, others are served."""
    channel = fresh_channel()
    client, other = stage.stream(channel), stage.stream(channel)
    sent = 0
    with contextlib.suppress(OSError):
        while sent < 60_000_000:
            client.send(b"x" * 1_000_000, timeout_s=1)
            sent += 1_000_000
    assert sent < 60_000_000
    publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
    assert other.read_data(1) == b"x"
