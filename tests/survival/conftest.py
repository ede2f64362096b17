"""Fixtures of the tests of survival: a proxy whose metrics are open, and what it may not keep after a test."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import scaled
from tests.harness.watch import Bystander, Watch, nothing_kept
from tests.harness.ws_backend import WebSocketBackend


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"raw 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        "builtin test",
        f"* 127.0.0.1:{backend.port}",
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}", "subscription_linger": 0},
            "runner": {"allow_compression": "true"},
        },
    )


@pytest.fixture
def watch(proxy: ProxyUnderTest, metrics_port: int) -> Iterator[Watch]:
    """Stands before the other fixtures of a test: when the clients of the test are gone, so is everything else."""
    with nothing_kept(Watch(proxy.pid, metrics_port)) as watch:
        yield watch
    assert "Traceback" not in proxy.log(), proxy.end_of_log()


@pytest.fixture
def bystander(
    request: pytest.FixtureRequest, watch: Watch, proxy: ProxyUnderTest, backend: ScriptedBackend
) -> Iterator[Bystander]:
    """Somebody else, who may not wait for longer than the module says with `STALL_S`."""
    with Bystander(proxy.port, backend.serve(Reply(body=b"ok"))) as other:
        yield other
    print(f"the longest that somebody else waited: {other.longest_s * 1000:.0f} ms, {other.answers} answers")
    assert other.longest_s < scaled(request.module.STALL_S)
