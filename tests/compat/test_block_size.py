"""``message_block_size``: a large delivery takes as many turns of the rate as it has blocks (grip spec §13.3)."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import Item, publish_ok, response_item, stream_item
from tests.harness.timing import scaled

TURN_S = 0.1  # with a message_rate of 10
EARLY_S = 0.05  # the timer of 1.36 does not add up its turns exactly
BLOCK_BYTES = 100

pytestmark = pytest.mark.spec("grip-99")


def started(launch: Launch, backend: ScriptedBackend, block_bytes: int | None) -> ProxyUnderTest:
    settings = {"handler": {"message_rate": 10, "message_block_size": block_bytes}}
    return launch(f"* 127.0.0.1:{backend.port}", settings=settings)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return started(launch, backend, BLOCK_BYTES)


@pytest.fixture(scope="module")
def without_blocks(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return started(launch, backend, None)


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def client(stage: Stage, channel: str) -> Iterator[RawClient]:
    """A stream on `channel`; the turns that its items took are over when the next test begins."""
    yield stage.stream(channel)
    time.sleep(2 * TURN_S)


def sized(channel: str, count: int, size: int | None = None) -> Item:
    """An item with a content of ``count`` bytes that says it has ``size``."""
    item = stream_item(channel, "x" * count)
    return item if size is None else {**item, "size": size}


def delay(proxy: ProxyUnderTest, client: RawClient, first: Item, second: Item, turns: int) -> None:
    """Assert that the first item comes at once, and the second so many turns later."""
    start = time.monotonic()
    publish_ok(proxy.control_port, first, second)
    length = len(first["formats"]["http-stream"]["content"])
    client.read_data(length)
    assert time.monotonic() - start < scaled(0.3)
    client.read_data(1)
    assert turns * TURN_S - EARLY_S < time.monotonic() - start < turns * TURN_S + scaled(0.4)


@pytest.mark.parametrize(("count", "turns"), [(1, 1), (100, 1), (101, 2), (300, 3), (301, 4), (1000, 10)])
def test_blocks(proxy: ProxyUnderTest, client: RawClient, channel: str, count: int, turns: int) -> None:
    """A begun block counts as a whole one."""
    delay(proxy, client, sized(channel, count), sized(channel, 1), turns)


@pytest.mark.parametrize(("count", "size", "turns"), [(1, 500, 5), (500, 1, 1), (500, 250, 3)])
def test_size_of_the_item(
    proxy: ProxyUnderTest, client: RawClient, channel: str, count: int, size: int, turns: int
) -> None:
    """What the publisher says counts more than the content."""
    delay(proxy, client, sized(channel, count, size), sized(channel, 1), turns)


def test_bytes_not_characters(proxy: ProxyUnderTest, client: RawClient, channel: str) -> None:
    start = time.monotonic()
    publish_ok(proxy.control_port, stream_item(channel, "é" * 150), sized(channel, 1))
    client.read_data(301)
    assert 3 * TURN_S - EARLY_S < time.monotonic() - start < 3 * TURN_S + scaled(0.4)


def test_each_delivery_counts(stage: Stage, client: RawClient, channel: str) -> None:
    """One item of two blocks for three clients: they get it one after the other."""
    clients = [client, stage.stream(channel), stage.stream(channel)]
    start = time.monotonic()
    publish_ok(stage.proxy.control_port, sized(channel, 2 * BLOCK_BYTES))
    for each in clients:
        each.read_data(2 * BLOCK_BYTES)
    assert 4 * TURN_S - EARLY_S < time.monotonic() - start < 4 * TURN_S + scaled(0.4)


def test_poll(stage: Stage, client: RawClient, channel: str) -> None:
    """The body of a response counts like the content of a stream."""
    poll = stage.hold(poll_reply(channel))
    item = response_item(channel, "x" * 3 * BLOCK_BYTES)
    start = time.monotonic()
    publish_ok(stage.proxy.control_port, item, sized(channel, 1))
    assert len(poll.read_response().body) == 3 * BLOCK_BYTES
    client.read_data(1)
    assert 3 * TURN_S - EARLY_S < time.monotonic() - start < 3 * TURN_S + scaled(0.4)


def test_without_blocks(without_blocks: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> None:
    """Every delivery is one, whatever size it says."""
    channel = fresh_channel()
    client = Stage(without_blocks, backend, connect).stream(channel)
    delay(without_blocks, client, sized(channel, 1000, 1000), sized(channel, 1), 1)
