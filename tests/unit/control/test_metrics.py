"""The metrics door: Pushpin's five names to the letter, and everything of our own, as Prometheus reads it."""

from __future__ import annotations

from dataclasses import fields
from typing import cast

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.unit.control.test_publish_http import FakeExchange

from holdfast.control.metrics import Gauge, MetricsDoor
from holdfast.counters import HELP, Counters
from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.statistics.collector import Statistics
from holdfast.wire.http1.head import RequestHead

COUNTERS = Counters(requests_received=1, items_received=3, deliveries=5, drops_outbox_full=7)
GAUGES = [Gauge("open_connections", "Client connections open now", lambda: 2), Gauge("half", "A half", lambda: 0.5)]


def scrape(prefix: str = "", method: bytes = b"GET", path: bytes = b"/metrics") -> FakeExchange:
    exchange = FakeExchange(RequestHead(method, path, True, []))
    door = MetricsDoor(COUNTERS, GAUGES, Statistics(), prefix, connection_minutes=lambda: 4)
    door.serve(cast(ClientExchange, exchange))
    return exchange


def parse(exchange: FakeExchange) -> dict[str, Metric]:
    """The metrics by name. The parser takes `_total` from the names of counters that have it."""
    families = list(text_string_to_metric_families(exchange.body.decode()))
    return {family.name: family for family in families}


@pytest.mark.parametrize("prefix", ["", "pushpin_"])
def test_pushpins_metrics(prefix: str) -> None:
    """grip-114: names, types, help and order as given."""
    expected = f"""\
# HELP {prefix}request_received Number of requests received
# TYPE {prefix}request_received counter
{prefix}request_received 1
# HELP {prefix}connection_connected Number of concurrent connections
# TYPE {prefix}connection_connected gauge
{prefix}connection_connected 2
# HELP {prefix}connection_minute Number of minutes clients have been connected
# TYPE {prefix}connection_minute counter
{prefix}connection_minute 4
# HELP {prefix}message_received Number of messages received by the publish API
# TYPE {prefix}message_received counter
{prefix}message_received 3
# HELP {prefix}message_sent Number of messages sent to clients
# TYPE {prefix}message_sent counter
{prefix}message_sent 5
"""
    assert scrape(prefix).body.decode().startswith(expected)


def test_prometheus_reads_all_of_it() -> None:
    metrics = parse(scrape("p_"))
    values = {name: family.samples[0].value for name, family in metrics.items() if len(family.samples) == 1}
    ours = {f"p_holdfast_{field.name}": getattr(COUNTERS, field.name) for field in fields(Counters)}
    assert values == {
        "p_request_received": 1,
        "p_connection_connected": 2,
        "p_connection_minute": 4,
        "p_message_received": 3,
        "p_message_sent": 5,
        "p_holdfast_open_connections": 2,
        "p_holdfast_half": 0.5,
        "p_holdfast_route_requests": 0,
        **ours,
    }


def test_types_and_help() -> None:
    metrics = parse(scrape())
    assert metrics["connection_connected"].type == metrics["holdfast_half"].type == "gauge"
    assert {metrics[name].type for name in ("request_received", "message_sent", "holdfast_deliveries")} == {"counter"}
    assert metrics["holdfast_drops_outbox_full"].documentation == HELP["drops_outbox_full"]
    assert metrics["holdfast_half"].documentation == "A half"


def test_routes_that_are_gone_are_forgotten() -> None:
    statistics = Statistics()
    statistics.routes.configure(["stays"])
    for name in ("stays", "gone"):
        statistics.routes.find(name)
    door = MetricsDoor(COUNTERS, GAUGES, statistics, "", connection_minutes=lambda: 0)
    exchange = FakeExchange(RequestHead(b"GET", b"/", True, []))
    door.serve(cast(ClientExchange, exchange))
    samples = parse(exchange)["holdfast_route_requests"].samples
    assert [sample.labels for sample in samples] == [{"route": ""}, {"route": "stays"}]


def test_the_histograms_of_the_process() -> None:
    statistics = Statistics()
    statistics.publish_latency_s.observe(0.02)
    statistics.held_back_s.observe(3)
    door = MetricsDoor(COUNTERS, GAUGES, statistics, "", connection_minutes=lambda: 0)
    families = {family.name: family for family in door.collect()}
    for name, seconds in (("holdfast_publish_latency_seconds", 0.02), ("holdfast_held_back_seconds", 3)):
        assert families[name].samples[-2].value == 1
        assert families[name].samples[-1].value == seconds


@pytest.mark.parametrize(("method", "path"), [(b"GET", b"/"), (b"GET", b"/x?y"), (b"POST", b"/metrics")])
def test_any_path_and_method(method: bytes, path: bytes) -> None:
    """grip spec §15.8"""
    exchange = scrape(method=method, path=path)
    assert exchange.status == 200
    assert (exchange.header(b"content-type") or b"").startswith(b"text/plain")


def test_requests_that_do_not_parse() -> None:
    door = MetricsDoor(COUNTERS, GAUGES, Statistics(), "", connection_minutes=lambda: 0)
    answer = door.describe_refusal(WireError(400, "Bad."))
    assert answer == (400, b"Bad Request", [(b"Content-Type", b"text/plain")], b"Bad.\n")
    assert door.limits.max_bytes == 8192
