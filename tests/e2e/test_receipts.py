"""The JSON answer to a publisher: what became of each item, in order, and that it is the truth."""

from __future__ import annotations

import json
import re
import select
import time

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import Item, item, publish, response_item, stream_item
from tests.harness.timing import scaled

CLIENTS, BROADCASTS = 1000, 50


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        settings={"handler": {"id_cache_ttl": 60, "update_on_first_subscription": "false"}},
    )


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def client(stage: Stage, channel: str) -> RawClient:
    """A stream on `channel`."""
    return stage.stream(channel)


def reported(response_text: str) -> list[tuple[int, int]]:
    """Receivers and dropped deliveries of each item of a JSON answer."""
    return [(item["receivers"], item["dropped"]) for item in json.loads(response_text)["items"]]


def states(control_port: int, *items: Item) -> list[tuple[str, int]]:
    """The state and the number of receivers of each item of one call."""
    response = publish(control_port, items, "application/json")
    assert response.status == 200
    told = json.loads(response.text)["items"]
    assert [each["channel"] for each in told] == [each["channel"] for each in items]
    assert all(set(each) == {"channel", "receivers", "dropped", "queued", "state"} for each in told)
    assert [each["dropped"] for each in told] == [0] * len(items)
    return [(each["state"], each["receivers"]) for each in told]


def test_every_state(client: RawClient, channel: str, control_port: int) -> None:
    items = [
        item(channel, "1"),
        item(channel, "3", "2"),
        item(channel, "1"),
        item(channel, "3b", "2"),
        item(channel, "3", "7"),
        item(channel, "9", "8", no_seq=True),
        item(channel, None),
    ]
    assert states(control_port, *items) == [
        ("delivered", 1),
        ("buffered", 0),
        ("duplicate", 0),
        ("refused", 0),
        ("duplicate", 0),
        ("delivered", 1),
        ("delivered", 1),
    ]


def test_in_a_later_call(stage: Stage, client: RawClient, channel: str, control_port: int) -> None:
    """An item that releases another counts for itself only."""
    stage.stream(channel)
    assert states(control_port, item(channel, "1")) == [("delivered", 2)]
    assert states(control_port, item(channel, "3", "2")) == [("buffered", 0)]
    assert states(control_port, item(channel, "3", "2")) == [("duplicate", 0)]
    assert states(control_port, item(channel, "2", "1")) == [("delivered", 2)]
    assert states(control_port, item(channel, "3", "2")) == [("duplicate", 0)]
    assert client.read_data(6) == b"1,2,3,"


def test_full_buffer(client: RawClient, channel: str, control_port: int) -> None:
    items = [item(channel, str(number), f"before {number}") for number in range(102)]
    told = states(control_port, item(channel, "first"), *items)
    assert told == [("delivered", 1), *[("buffered", 0)] * 100, *[("refused", 0)] * 2]


def test_nobody_there(channel: str, control_port: int) -> None:
    """Delivered to all zero of them; the second time it is a duplicate all the same."""
    told = states(control_port, item(channel, "3", "2"), item(channel, "3", "2"), item(channel, None, "7"))
    assert told == [("delivered", 0), ("duplicate", 0), ("delivered", 0)]


def test_json_tells_the_receivers(stage: Stage) -> None:
    """One object per item, in order."""
    one, two = fresh_channel(), fresh_channel()
    for channel in (one, one, two):
        stage.stream(channel)
    stage.poll(two)
    both = {"channel": two, "formats": {"http-stream": {"content": "x"}, "http-response": {"body": "x"}}}
    items = [stream_item(one, "x"), stream_item("nobody", "x"), both, response_item(one, "x")]
    response = publish(stage.proxy.control_port, items, "application/json")
    assert json.loads(response.text) == {
        "message": "Published",
        "items": [
            {"channel": one, "receivers": 2, "dropped": 0, "queued": 0, "state": "delivered"},
            {"channel": "nobody", "receivers": 0, "dropped": 0, "queued": 0, "state": "delivered"},
            {"channel": two, "receivers": 2, "dropped": 0, "queued": 0, "state": "delivered"},
            {"channel": one, "receivers": 0, "dropped": 0, "queued": 0, "state": "delivered"},
        ],
    }
    assert response.text.endswith("\n")


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
