"""Rates and high-water marks, and a broadcast to many: what is accepted arrives, and what does not is told."""

from __future__ import annotations

import json
import re
import select
import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.proxy import Launch, holdfast_only
from tests.harness.publish import publish, publish_ok, stream_item
from tests.harness.timing import scaled

CLIENTS, BROADCASTS = 1000, 50


def reported(response_text: str) -> list[tuple[int, int]]:
    """Receivers and dropped deliveries of each item of a JSON answer."""
    return [(item["receivers"], item["dropped"]) for item in json.loads(response_text)["items"]]


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
    """grip-98: the first ten of twenty arrive; the log says so, and Holdfast tells the publisher too."""
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


@holdfast_only("1.36 tells only 'Published'")
def test_loss_is_reported(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """grip-98: per item, how many receivers it had and how many deliveries were dropped."""
    settings = {"handler": {"message_rate": 20, "message_hwm": 10}}
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
    stage = Stage(proxy, backend, connect)
    channel = fresh_channel()
    clients = [stage.stream(channel) for _ in range(4)]
    items = [stream_item(channel, f"{number}") for number in range(5)]
    outcome = reported(publish(proxy.control_port, items, "application/json").text)
    assert len(outcome) == 5
    assert outcome[0] == (4, 0)
    assert sum(dropped for _, dropped in outcome) == 10
    received = sum(len(_available(client, 1.0)) for client in clients)
    assert received == 10


def _available(client: RawClient, seconds: float) -> bytes:
    data = b""
    try:
        while True:
            data += client.read_data(1, timeout_s=seconds)
    except TimeoutError:
        return data


@holdfast_only("1.36 applies the shipped message_rate and loses deliveries")
@pytest.mark.slow
def test_broadcast_to_a_thousand(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """Every delivery arrives with the shipped limits in the file, which are named once and not applied."""
    settings = {
        "runner": {"client_maxconn": 50000},
        "handler": {"message_rate": 2500, "message_hwm": 25000},
    }
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
    channel = fresh_channel()
    path = backend.serve(stream_reply(channel))
    clients = [connect(proxy.port) for _ in range(CLIENTS)]
    for client in clients:
        client.request(path)
    for client in clients:
        client.read_head(timeout_s=10)
    proxy.wait_held(path, CLIENTS)
    start = time.monotonic()
    for number in range(BROADCASTS):
        item = stream_item(channel, f"item {number:04}\n")
        outcome = reported(publish(proxy.control_port, [item], "application/json").text)
        assert outcome == [(CLIENTS, 0)]
    expected = "".join(f"item {number:04}\n" for number in range(BROADCASTS)).encode()
    for client in clients:
        assert client.read_data(len(expected)) == expected
    assert time.monotonic() - start < scaled(12)
    assert select.select(clients, [], [], 0.1)[0] == []
    assert len(proxy.log_lines(r"message_rate")) == 1
    assert not re.search(r"\[(WARN|ERR)\].*dropp", proxy.log())
