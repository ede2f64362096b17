"""Metrics for Prometheus over HTTP (grip spec §15.8): Pushpin's five names, and everything that Holdfast counts.

Nothing is counted here. docs/metrics.md lists all of it for operators.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from holdfast.control.route_metrics import histogram, route_metrics
from holdfast.counters import HELP, Counters, counter_values
from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.statistics.collector import Statistics
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.reasons import reason_phrase

PUBLISH_LATENCY = "From when an item may leave to the last of its writes, for each item that somebody is subscribed to"
HELD_BACK = "How long items waited for the item before them"


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that goes up and down, asked of the part that owns it."""

    name: str
    help: str
    read: Callable[[], float]


class MetricsDoor:
    """The service of the metrics port: any path and method answers all metrics.

    Args:
        statistics: what is counted by route, and durations.
        prefix: put before every name.
        gauges: what is asked at each scrape; the first is the number of open client connections.
        connection_minutes: minutes that clients have been connected, each begun one counted.
    """

    def __init__(
        self,
        counters: Counters,
        gauges: list[Gauge],
        statistics: Statistics,
        prefix: str,
        *,
        connection_minutes: Callable[[], int],
    ) -> None:
        self.limits = HeadLimits()
        self._counters = counters
        self._gauges = gauges
        self._statistics = statistics
        self._prefix = prefix
        self._connection_minutes = connection_minutes

    def serve(self, exchange: ClientExchange) -> None:
        """Answer with the text format."""
        body = self._pushpins().encode() + generate_latest(self)
        exchange.respond(200, b"OK", [(b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")], body)

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """As the client ports do."""
        text = f"{error.text}\n".encode()
        return error.status, reason_phrase(error.status), [(b"Content-Type", b"text/plain")], text

    def collect(self) -> Iterator[Metric]:
        """Called by the renderer: every metric of our own."""
        prefix, statistics = f"{self._prefix}holdfast_", self._statistics
        for name, value in counter_values(self._counters).items():
            yield CounterMetricFamily(prefix + name, HELP[name], value=value)
        for gauge in self._gauges:
            yield GaugeMetricFamily(prefix + gauge.name, gauge.help, value=gauge.read())
        yield histogram(prefix + "publish_latency_seconds", PUBLISH_LATENCY, statistics.publish_latency_s)
        yield histogram(prefix + "held_back_seconds", HELD_BACK, statistics.held_back_s)
        statistics.routes.forget_unused()
        yield from route_metrics(prefix, statistics.routes)

    def _pushpins(self) -> str:
        """Pushpin's metrics. Not by the library, which lets the names of all counters end in `_total`."""
        counters = self._counters
        values = [
            ("request_received", "counter", "Number of requests received", counters.requests_received),
            ("connection_connected", "gauge", "Number of concurrent connections", self._gauges[0].read()),
            (
                "connection_minute",
                "counter",
                "Number of minutes clients have been connected",
                self._connection_minutes(),
            ),
            (
                "message_received",
                "counter",
                "Number of messages received by the publish API",
                counters.items_received,
            ),
            ("message_sent", "counter", "Number of messages sent to clients", counters.deliveries),
        ]
        return "".join(
            f"# HELP {self._prefix}{name} {text}\n# TYPE {self._prefix}{name} {kind}\n{self._prefix}{name} {value}\n"
            for name, kind, text, value in values
        )
