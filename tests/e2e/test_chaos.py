"""Everything goes wrong at once, and every client still gets every item once and in order.

A publisher that shuffles, repeats and drops; a backend that fails, is slow, and is killed; clients that leave, come
back and do not read. What a client gets may come by a publish, by a next link, by a repeated long poll, or in answer to
its own request: it must not be able to tell.

``HOLDFAST_CHAOS_SEED`` repeats a run, as far as chance is ours; ``HOLDFAST_CHAOS_ITEMS`` makes it longer.
"""

from __future__ import annotations

import asyncio
import os
import random
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.harness.item_store import ItemStore, item_line
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import Item, publish_ok
from tests.harness.recovering_clients import Manners, PollClient, RecoveringClient, StreamClient
from tests.harness.recovery_backend import RecoveryBackend
from tests.harness.timing import scaled
from tests.harness.watch import Watch, scrape

ITEMS = int(os.environ.get("HOLDFAST_CHAOS_ITEMS", "10000"))
SEED = int(os.environ.get("HOLDFAST_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))

CHANNELS = [f"c{number}" for number in range(10)]
DROP_RATES = (0, 0.005, 0.02, 0.05, 0.1)
"""Of the items of a channel, which are never published; each rate for two of the channels."""
CLIENTS_OF_A_KIND = 50
ITEMS_PER_S = 400
OUTAGES = 5
FAILURE_RATE = 0.1
LINGER_S = 3
ID_CACHE_TTL_S = 3
POLICY = ("disconnect", "drop")[SEED % 2]
RECOVERY_S = 40
"""From the last publish until the last client has everything: a link may have failed before, and then waits longer."""

RESTLESS = Manners(stay_s=5, pause_rate=0.01, max_pause_s=1)
STEADY = Manners(stay_s=60, pause_rate=0, max_pause_s=0)
SLOW = Manners(stay_s=30, pause_rate=0.5, max_pause_s=4, receive_buffer=2048)

# --- the publisher ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Step:
    """At `at_s` an item comes to exist, or is published."""

    at_s: float
    channel: str
    number: int
    is_published: bool


def make_schedule(dice: random.Random) -> list[Step]:
    """All steps in order: items are published late, and so shuffled; some twice, some never."""
    steps: list[Step] = []
    count = ITEMS // len(CHANNELS)
    mean_interval_s = len(CHANNELS) / ITEMS_PER_S
    for channel, drop_rate in zip(CHANNELS, DROP_RATES * 2, strict=True):
        at_s = 0.0
        interval_s = mean_interval_s
        for number in range(1, count + 1):
            if number % 50 == 1:  # a burst, as usual, or slower
                interval_s = mean_interval_s * dice.choice((0.1, 1, 1.9))
            at_s += interval_s
            steps.append(Step(at_s, channel, number, is_published=False))
            if dice.random() >= drop_rate:
                steps += [Step(when_s, channel, number, is_published=True) for when_s in publish_times(dice, at_s)]
    return sorted(steps)


def publish_times(dice: random.Random, stored_s: float) -> Iterator[float]:
    """When an item that exists since `stored_s` is published."""
    delay = dice.random()
    if delay < 0.85:
        at_s = stored_s + dice.uniform(0, 0.005)
    elif delay < 0.97:
        at_s = stored_s + dice.uniform(0, 0.3)
    else:
        at_s = stored_s + dice.uniform(0, 3)
    yield at_s
    if dice.random() < 0.05:
        yield at_s + dice.uniform(0, 2)
    if dice.random() < 0.02:
        yield at_s + ID_CACHE_TTL_S + dice.uniform(0, 3)


def make_item(channel: str, number: int) -> Item:
    """The item in both formats; one in thirty in one only, so that who uses the other has to notice."""
    text = item_line(channel, number).decode()
    formats: dict[str, dict[str, str]] = {"http-stream": {"content": text}, "http-response": {"body": text}}
    if number % 30 == 0:
        del formats["http-stream" if number % 60 else "http-response"]
    return {"channel": channel, "id": str(number), "prev-id": str(number - 1), "formats": formats}


class Publisher:
    """Carries out a schedule, in calls of one item and of many."""

    def __init__(self, control_port: int, store: ItemStore, schedule: Sequence[Step], dice: random.Random) -> None:
        self.published = 0
        self.is_over = threading.Event()
        self._control_port = control_port
        self._store = store
        self._schedule = schedule
        self._random = dice

    def run(self) -> None:
        """Blocks until all is published, or `is_over` is set."""
        start = time.monotonic()
        batch: list[Item] = []
        size = 1
        for step in self._schedule:
            wait_s = start + step.at_s - time.monotonic()
            if batch and (wait_s > 0 or len(batch) >= size):
                publish_ok(self._control_port, *batch)
                self.published += len(batch)
                batch = []
                size = self._random.choice((1, 5, 40))
            if self.is_over.wait(max(wait_s, 0)):
                return
            if step.is_published:
                batch.append(make_item(step.channel, step.number))
            else:
                self._store.add(step.channel, step.number)
        if batch:
            publish_ok(self._control_port, *batch)


# --- the run ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ItemStore]:
    store = ItemStore(tmp_path / "store", CHANNELS)
    yield store
    store.close()


@pytest.fixture
def chaos_backend(store: ItemStore) -> Iterator[RecoveryBackend]:
    backend = RecoveryBackend(store, FAILURE_RATE, SEED)
    backend.start()
    backend.wait_until_ready()
    yield backend
    backend.kill()


def make_clients(port: int, dice: random.Random) -> list[RecoveringClient]:
    """As many of each kind; some are steady, some do not read, and one in five has two channels."""
    clients: list[RecoveringClient] = []
    for number in range(CLIENTS_OF_A_KIND):
        for kind in (StreamClient, PollClient):
            channels = [CHANNELS[number % len(CHANNELS)]]
            if dice.random() < 0.2:
                channels.append(CHANNELS[(number + 3) % len(CHANNELS)])
            manners = dice.choices((RESTLESS, STEADY, SLOW), (6, 2, 2))[0]
            clients.append(kind(number, port, channels, manners, str(SEED)))
    return clients


async def run_all(clients: list[RecoveringClient], publisher: Publisher, backend: RecoveryBackend, last: int) -> None:
    """Run clients until each has everything, while the publisher publishes and the backend is killed now and then."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(run_late(client, number * 0.02)) for number, client in enumerate(clients)]
        outages = group.create_task(cause_outages(backend))
        try:
            await asyncio.to_thread(publisher.run)
        finally:
            publisher.is_over.set()
        await outages
        for client in clients:
            client.is_calm = True
        async with asyncio.timeout(scaled(RECOVERY_S)):
            for client in clients:
                await client.history.wait_for(last)
        await asyncio.sleep(1)  # for what should not come
        for task in tasks:
            task.cancel()


async def run_late(client: RecoveringClient, delay_s: float) -> None:
    """Run a client, after a while."""
    await asyncio.sleep(delay_s)
    await client.run()


async def cause_outages(backend: RecoveryBackend) -> None:
    """Kill the backend, several times, for a while."""
    dice = random.Random(f"{SEED} outages")
    for _ in range(OUTAGES):
        await asyncio.sleep(dice.uniform(0.5, 1.5) * ITEMS / ITEMS_PER_S / (OUTAGES + 1))
        backend.kill()
        await asyncio.sleep(dice.uniform(0, 2))
        backend.start()
        await asyncio.to_thread(backend.wait_until_ready)


# --- what is asserted ------------------------------------------------------------------------------------------------


def diagnose(clients: list[RecoveringClient], last: int, proxy: ProxyUnderTest) -> str:
    """What went wrong, with whom, and what happened before."""
    wrong = [client for client in clients if client.history.violation] or [
        client for client in clients if not client.history.has(last)
    ]
    lines = [f"HOLDFAST_CHAOS_SEED={SEED} HOLDFAST_CHAOS_ITEMS={ITEMS}"]
    for client in wrong[:3]:
        history = client.history
        lines += [f"{client.name} has {history.reached} of {last}: {history.violation or 'incomplete'}"]
        lines += [f"    {event}" for event in history.events]
    lines += [f"... and {len(wrong) - 3} more clients"] * (len(wrong) > 3)
    log = [line for line in proxy.log().splitlines() if "publish channel" not in line]
    return "\n".join([*lines, "the proxy's log, without publishes:", *log[-40:]])


@pytest.mark.slow
@pytest.mark.timeout(90 + 2 * ITEMS / ITEMS_PER_S)
def test_every_client_gets_every_item_once_and_in_order(
    launch_once: Launch, store: ItemStore, chaos_backend: RecoveryBackend, metrics_port: int
) -> None:
    print(f"HOLDFAST_CHAOS_SEED={SEED}, so the policy is to {POLICY}")
    proxy = launch_once(
        f"* 127.0.0.1:{chaos_backend.port}",
        settings={
            "handler": {
                "subscription_linger": LINGER_S,
                "message_wait": 300,
                "id_cache_ttl": ID_CACHE_TTL_S,
                "update_on_first_subscription": "true",
                "prometheus_port": f"127.0.0.1:{metrics_port}",
            },
            "holdfast": {"outbox_max_bytes": 8192, "outbox_policy": POLICY},
        },
    )
    dice = random.Random(f"{SEED} schedule")
    last = ITEMS // len(CHANNELS)
    publisher = Publisher(proxy.control_port, store, make_schedule(dice), dice)
    clients = make_clients(proxy.port, dice)
    start = time.monotonic()
    try:
        asyncio.run(run_all(clients, publisher, chaos_backend, last))
    except (ExceptionGroup, TimeoutError) as exc:
        pytest.fail(f"{exc!r}\n{diagnose(clients, last, proxy)}", pytrace=False)
    print(f"{time.monotonic() - start:.1f} s, {publisher.published} items published, the backend:", store.tallies())
    try:
        Watch(proxy.pid, metrics_port).wait_empty(LINGER_S + 5)
    finally:
        print("the proxy:", {name: value for name, value in scrape(metrics_port).items() if value})
    assert "Traceback" not in proxy.log()
