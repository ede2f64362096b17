"""The numbers for Prometheus that Pushpin has, too."""

from __future__ import annotations

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.ports import is_open
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, stream_item
from tests.harness.timing import eventually

METRICS = [
    ("request_received", "counter", "Number of requests received"),
    ("connection_connected", "gauge", "Number of concurrent connections"),
    ("connection_minute", "counter", "Number of minutes clients have been connected"),
    ("message_received", "counter", "Number of messages received by the publish API"),
    ("message_sent", "counter", "Number of messages sent to clients"),
]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, metrics_port: int) -> ProxyUnderTest:
    settings = {"handler": {"prometheus_port": f"127.0.0.1:{metrics_port}", "prometheus_prefix": "p_"}}
    proxy = launch(f"* 127.0.0.1:{backend.port}", settings=settings)
    eventually(lambda: is_open(metrics_port), "the port for Prometheus")
    return proxy


def values(port: int) -> dict[str, float]:
    """The metrics by name."""
    lines = [line for line in fetch(port, "/").text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in (line.split(" ") for line in lines)}


def test_names_types_and_help(proxy: ProxyUnderTest, metrics_port: int) -> None:
    """grip-114: in this order; any path, and any method."""
    for path, method in (("/metrics", "GET"), ("/x", "DELETE")):
        response = fetch(metrics_port, path, method=method)
        assert response.status == 200
        comments = [line for line in response.text.splitlines() if line.startswith("#")]
        expected = [
            line for name, kind, text in METRICS for line in (f"# HELP p_{name} {text}", f"# TYPE p_{name} {kind}")
        ]
        assert comments[: len(expected)] == expected


@differs("metrics-type")
def test_content_type(proxy: ProxyUnderTest, metrics_port: int) -> None:
    """Later versions of Prometheus want to be told the version of the format."""
    assert "version=0.0.4" in (fetch(metrics_port, "/").header("Content-Type") or "")


def test_what_is_counted(stage: Stage, metrics_port: int) -> None:
    """grip-114: requests, items and deliveries since the start."""
    before = values(metrics_port)
    channel = fresh_channel()
    for _ in range(2):
        stage.stream(channel)
    fetch(stage.proxy.port, stage.backend.serve(Reply(body=b"ok")))
    publish_ok(stage.proxy.control_port, stream_item(channel, "a"), stream_item(channel, "b"))
    names = ("p_request_received", "p_message_received", "p_message_sent")

    def grown() -> list[float]:
        now = values(metrics_port)
        return [now[name] - before[name] for name in names]

    eventually(lambda: grown() == [3, 2, 4], "3 requests, 2 items and 4 deliveries")
