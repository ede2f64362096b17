"""Fixtures of the black-box tests: backends and proxies that live as long as their module, clients as long as a test.

A module of end-to-end tests defines a fixture ``proxy`` (usually with `launch`) and then has `stage`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, RawClient
from tests.harness.commands import StatsReader, read_stats
from tests.harness.grip import Stage
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyConfig, ProxyUnderTest
from tests.harness.tls import connecting_to
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage
from tests.harness.zmq_sockets import ZmqSockets

# Examples are counted, not timed: the machine that runs the tests may be busy with something else.
settings.register_profile("untimed", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("untimed")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the modules that have slow tests: left to the end, one worker would wait and the others be idle."""
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(scope="session", autouse=True)
def _time_factor_is_ours() -> None:
    """Keep from proxies what only tests know: Holdfast warns of unknown variables that have its prefix."""
    os.environ.pop("HOLDFAST_TEST_TIME_FACTOR", None)


def _launcher() -> Iterator[Launch]:
    running: list[ProxyUnderTest] = []

    def launch(*routes: str, **fields: Any) -> ProxyUnderTest:
        proxy = ProxyUnderTest(ProxyConfig(routes=routes, **fields))
        running.append(proxy)
        proxy.start()
        return proxy

    yield launch
    for proxy in running:
        proxy.stop()


@pytest.fixture(scope="module")
def launch() -> Iterator[Launch]:
    """Start proxies that are shared by the tests of a module: ``launch("* 127.0.0.1:80", settings=...)``."""
    yield from _launcher()


@pytest.fixture
def launch_once() -> Iterator[Launch]:
    """Start proxies that belong to one test, because it signals them, reconfigures them or reads their whole log."""
    yield from _launcher()


@pytest.fixture(scope="module")
def backend() -> Iterator[ScriptedBackend]:
    """The backend of a module; its paths are per test."""
    server = ScriptedBackend()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ws_backend() -> Iterator[WebSocketBackend]:
    """The WebSocket backend of a module, which its tests play themselves."""
    server = WebSocketBackend()
    yield server
    server.stop()


@pytest.fixture(scope="module")
def metrics_port() -> int:
    """A free port, for the module's proxy to serve metrics at."""
    return free_port()


@pytest.fixture(scope="module")
def spec() -> str:
    """A free address for a ZeroMQ door of the module's proxy."""
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def specs() -> dict[str, str]:
    """The same for the doors of publishers and operators, by the names of their settings."""
    names = ("command_spec", "push_in_spec", "push_in_sub_specs")
    return {name: f"tcp://127.0.0.1:{free_port()}" for name in names}


@pytest.fixture
def control_port(proxy: ProxyUnderTest) -> int:
    """The publish door of the module's proxy."""
    return proxy.control_port


@pytest.fixture
def connect() -> Iterator[Connect]:
    """Open client connections that are closed when the test ends: ``connect(port)``."""
    clients: list[RawClient] = []

    def open_client(port: int, **options: Any) -> RawClient:
        client = RawClient(port, **options)
        clients.append(client)
        return client

    yield open_client
    for client in clients:
        client.close()


@pytest.fixture(scope="module")
def tls_port() -> int:
    """A free port, for the module's proxy to speak TLS at."""
    return free_port()


@pytest.fixture
def connect_tls(proxy: ProxyUnderTest, tls_port: int) -> Iterator[Connect]:
    """The same by TLS, at `tls_port` whatever port is asked for."""
    with connecting_to(tls_port) as connect:
        yield connect


@pytest.fixture
def sockets() -> Iterator[ZmqSockets]:
    """ZeroMQ sockets that are closed when the test ends."""
    opened = ZmqSockets()
    yield opened
    opened.close()


@pytest.fixture
def stats(proxy: ProxyUnderTest, sockets: ZmqSockets, spec: str) -> StatsReader:
    """What the module's proxy, whose `stats_spec` is `spec`, tells from now on."""
    return read_stats(sockets, spec, proxy)


@pytest.fixture
def stage(proxy: ProxyUnderTest, backend: ScriptedBackend, connect: Connect) -> Stage:
    """The module's proxy and backend, with clients that are closed when the test ends."""
    return Stage(proxy, backend, connect)


@pytest.fixture
def tls(proxy: ProxyUnderTest, backend: ScriptedBackend, connect_tls: Connect) -> Stage:
    """The same, with clients that speak TLS."""
    return Stage(proxy, backend, connect_tls)


@pytest.fixture
def ws(
    proxy: ProxyUnderTest, backend: ScriptedBackend, ws_backend: WebSocketBackend, connect: Connect
) -> Iterator[WebSocketStage]:
    """The module's proxy with both kinds of WebSocket backends; every connection is closed when the test ends."""
    yield WebSocketStage(proxy, backend, ws_backend, connect)
    ws_backend.close_connections()
