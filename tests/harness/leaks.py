"""What a proxy holds on to, and whether it lets go: its descriptors and the gauges of its metrics."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager

from tests.harness.client import fetch
from tests.harness.proxy import ProxyUnderTest
from tests.harness.timing import eventually

GAUGES = (
    "connection_connected",
    "holdfast_farewells",
    "holdfast_hold_plans",
    "holdfast_open_connections",
    "holdfast_outboxes",
    "holdfast_parked_clients",
    "holdfast_route_connections",
    "holdfast_route_holds",
    "holdfast_shareable_requests",
    "holdfast_sockjs_sessions",
    "holdfast_tasks",
    "holdfast_waiting_retries",
    "holdfast_zhttp_exchanges",
)
"""Those that are as they were when everybody has left."""

IDLE = "holdfast_backend_idle_connections"
"""Those that are kept may become more."""


def gauges(metrics_port: int) -> dict[str, float]:
    """What these gauges say, summed over their labels."""
    values = dict.fromkeys([*GAUGES, IDLE], 0.0)
    for line in fetch(metrics_port, "/metrics").text.splitlines():
        name, _, rest = line.partition(" ")
        name = name.partition("{")[0]
        if name in values:
            values[name] += float(rest.rpartition(" ")[2] or rest)
    return values


def descriptors(proxy: ProxyUnderTest) -> list[int]:
    """The descriptors of the process, smallest first."""
    return sorted(int(name) for name in os.listdir(f"/proc/{proxy.pid}/fd"))


def grown(before: dict[str, float], now: dict[str, float]) -> dict[str, tuple[float, float]]:
    """The gauges that say more than before, and what they say."""
    return {name: (before[name], now[name]) for name in GAUGES if now[name] > before[name]}


def busy_descriptors(proxy: ProxyUnderTest, metrics_port: int) -> float:
    """How many descriptors are open, apart from idle connections to backends."""
    return len(descriptors(proxy)) - gauges(metrics_port)[IDLE]


@contextmanager
def without_leaks(proxy: ProxyUnderTest, metrics_port: int) -> Iterator[None]:
    """Assert that everything is let go of that is taken inside, and that nothing is logged as a bug."""
    before, count = gauges(metrics_port), busy_descriptors(proxy, metrics_port)
    yield
    try:
        eventually(lambda: not grown(before, gauges(metrics_port)), "everything is let go of", timeout_s=10)
    except AssertionError as error:
        raise AssertionError(f"{grown(before, gauges(metrics_port))}\n{proxy.end_of_log()}") from error
    eventually(lambda: busy_descriptors(proxy, metrics_port) <= count, f"{count} descriptors", timeout_s=10)
    assert not proxy.log_lines("Traceback|never awaited|never retrieved|Unclosed"), proxy.end_of_log()


@contextmanager
def no_free_descriptor(proxy: ProxyUnderTest) -> Iterator[None]:
    """The process cannot open another descriptor meanwhile."""
    limits = resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE)
    used = descriptors(proxy)
    first_free = next(number for number in range(len(used) + 1) if number not in used)
    resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, (first_free, limits[1]))
    try:
        yield
    finally:
        resource.prlimit(proxy.pid, resource.RLIMIT_NOFILE, limits)
