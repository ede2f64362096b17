"""Rates and high-water marks: how fast deliveries are made, and which are dropped."""

from __future__ import annotations

import time

from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, differs
from tests.harness.publish import publish, publish_ok, stream_item
from tests.harness.timing import scaled


def test_rate(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """grip-97: ten deliveries at five a second take 1.8 s, in order."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"message_rate": 5}})
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    client = stage.stream(channel)
    start = time.monotonic()
    publish_ok(proxy.control_port, *(stream_item(channel, str(number)) for number in range(10)))
    assert client.read_data(1) == b"0"
    assert time.monotonic() - start < scaled(0.3)
    assert client.read_data(9) == b"123456789"
    assert 1.7 < time.monotonic() - start < 1.8 + scaled(0.5)


def test_rate_counts_deliveries(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """Clients count, not publish calls: one item for six clients takes a second."""
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"message_rate": 5}})
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    clients = [stage.stream(channel) for _ in range(6)]
    start = time.monotonic()
    publish_ok(proxy.control_port, stream_item(channel, "x"))
    assert [client.read_data(1) for client in clients] == [b"x"] * 6
    assert 0.9 < time.monotonic() - start < 1 + scaled(0.5)


def test_high_water_mark(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """grip-98: the first ten of twenty arrive; the log says so."""
    settings = {"handler": {"message_rate": 20, "message_hwm": 10}}
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    client = stage.stream(channel)
    items = [stream_item(channel, f"{number:02}") for number in range(20)]
    assert publish(proxy.control_port, items).status == 200
    assert client.read_data(20) == b"00010203040506070809"
    client.assert_silent(0.5)
    proxy.wait_log(r"\[WARN\].* exceeded publish hwm \(10\), dropping message")


@differs("shipped-rate")
def test_shipped_rate(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """The limits of the shipped file hold nothing back: 6000 deliveries need not take the 2.4 s of 2500 a second."""
    settings = {"handler": {"message_rate": 2500, "message_hwm": 25000}}
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    clients = [stage.stream(channel) for _ in range(100)]
    start = time.monotonic()
    publish_ok(proxy.control_port, *(stream_item(channel, f"{number:02}") for number in range(60)))
    expected = "".join(f"{number:02}" for number in range(60)).encode()
    assert [client.read_data(120) for client in clients] == [expected] * 100
    assert time.monotonic() - start < 2
