"""Keep-alives of streams: their data in each format, their times, and what postpones them."""

from __future__ import annotations

import threading
import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, instruct_reply, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import scaled


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


def hold(stage: Stage, value: str) -> RawClient:
    client = stage.hold(stream_reply(fresh_channel(), headers=[("Grip-Keep-Alive", value)]))
    client.read_head()
    return client


@pytest.mark.parametrize(
    ("value", "data"),
    [
        (r"a\n; timeout=1", rb"a\n"),
        (r"a\n\r\x41\\; format=cstring; timeout=1", b"a\n\rA\\"),
        ("AP8K; format=base64; timeout=1", b"\x00\xff\x0a"),
        ('"a"; timeout=1', b'"a"'),
        ("zero; timeout=0", b"zero"),
    ],
)
def test_data(stage: Stage, value: str, data: bytes) -> None:
    """grip-20, grip-21: each format; a timeout of 0 is one of 1."""
    client = hold(stage, value)
    for _ in range(2):
        assert client.read_data(len(data), timeout_s=1.5) == data


def test_jitter(stage: Stage) -> None:
    """grip-21: up to a second early, never late; and not always the same."""
    clients = [hold(stage, "x; timeout=2") for _ in range(8)]
    pauses: list[float] = []

    def read(client: RawClient) -> None:
        client.read_data(1, timeout_s=3)
        last = time.monotonic()
        for _ in range(2):
            client.read_data(1, timeout_s=3)
            now = time.monotonic()
            pauses.append(now - last)
            last = now

    threads = [threading.Thread(target=read, args=(client,)) for client in clients]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pauses) == 16
    assert 0.9 < min(pauses) < max(pauses) < 2 + scaled(0.8)
    assert max(pauses) - min(pauses) > 0.1


def test_idle_is_postponed_by_items(stage: Stage) -> None:
    """grip-22: also by one without content."""
    channel = fresh_channel()
    client = stage.hold(stream_reply(channel, headers=[("Grip-Keep-Alive", "KA; timeout=2")]))
    client.read_head()
    for number in range(6):
        publish_ok(stage.proxy.control_port, stream_item(channel, "" if number % 2 else "x"))
        time.sleep(0.6)
    assert client.read_data(3) == b"xxx"
    assert client.read_data(2, timeout_s=2.5) == b"KA"


@pytest.mark.parametrize("json", [False, True], ids=["header", "JSON"])
def test_interval_is_not_postponed(stage: Stage, json: bool) -> None:
    """grip-22, grip-23: a JSON keep-alive has this mode."""
    channel = fresh_channel()
    hold = {"mode": "stream", "channels": [{"name": channel}], "keep-alive": {"content": "KA", "timeout": 1}}
    header = ("Grip-Keep-Alive", "KA; timeout=1; mode=interval")
    client = stage.hold(instruct_reply({"hold": hold}) if json else stream_reply(channel, headers=[header]))
    client.read_head()
    for _ in range(8):
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        time.sleep(0.3)
    data = client.read_data(8)
    assert data.count(b"KA") >= 1


def test_none_without_the_header(stage: Stage) -> None:
    stage.stream(fresh_channel()).assert_silent(1.5)
