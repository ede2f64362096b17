"""Metrics for Prometheus over HTTP (grip spec §15.8): Pushpin's five names, and everything that Holdfast counts."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.exposition import generate_latest

from holdfast.counters import HELP, Counters, counter_values
from holdfast.errors import WireError
from holdfast.net.exchange import ClientExchange
from holdfast.wire.headers import Headers
from holdfast.wire.http1.head import HeadLimits
from holdfast.wire.reasons import reason_phrase


@dataclass(frozen=True, slots=True)
class Gauge:
    """A value that goes up and down, asked of the part that owns it."""

    name: str
    help: str
    read: Callable[[], float]


class MetricsDoor:
    """The service of the metrics port: any path and method answers all metrics.

    Args:
        prefix: put before every name.
        gauges: what is asked at each scrape.
    """

    def __init__(self, counters: Counters, gauges: list[Gauge], prefix: str) -> None:
        self.limits = HeadLimits()
        self._counters = counters
        self._gauges = gauges
        self._prefix = prefix

    def serve(self, exchange: ClientExchange) -> None:
        """Answer with the text format."""
        body = generate_latest(self)
        exchange.respond(200, b"OK", [(b"Content-Type", b"text/plain; version=0.0.4; charset=utf-8")], body)

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """As the client ports do."""
        text = f"{error.text}\n".encode()
        return error.status, reason_phrase(error.status), [(b"Content-Type", b"text/plain")], text

    def collect(self) -> Iterator[Metric]:
        """Called by the renderer: every metric, Pushpin's first."""
        counters = self._counters
        yield self._counter("request_received", "Number of requests received", counters.requests_received)
        yield self._gauge("connection_connected", "Number of concurrent connections", self._gauges[0].read())
        yield self._counter(
            "message_received", "Number of messages received by the publish API", counters.items_received
        )
        yield self._counter("message_sent", "Number of messages sent to clients", counters.deliveries)
        for name, value in counter_values(counters).items():
            yield self._counter(f"holdfast_{name}", HELP[name], value)
        for gauge in self._gauges:
            yield self._gauge(f"holdfast_{gauge.name}", gauge.help, gauge.read())

    def _counter(self, name: str, text: str, value: int) -> Metric:
        return CounterMetricFamily(self._prefix + name, text, value=value)

    def _gauge(self, name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(self._prefix + name, text, value=value)
