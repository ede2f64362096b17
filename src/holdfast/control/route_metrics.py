"""The metrics that have labels, and the histograms: what `holdfast.statistics` counts, as Prometheus wants it.

Label values are ids of routes, which come from the routes file, and words that are written here or in an enumeration:
nothing that a client, a backend or a publisher says becomes one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric

from holdfast.statistics.histogram import Histogram
from holdfast.statistics.routes import Drop, Mode, RouteCounts, Routes, TrafficCounts
from holdfast.wire.statistics import Transport

_MODES = [mode.name.lower().replace("_", "-") for mode in Mode]
_DROPS = [drop.name.lower() for drop in Drop]


def histogram(name: str, text: str, values: Histogram) -> HistogramMetricFamily:
    """A histogram without labels."""
    family = HistogramMetricFamily(name, text)
    _add(family, [], values)
    return family


def route_metrics(prefix: str, routes: Routes) -> Iterator[Metric]:
    """Everything that is counted by route. A route without an id of its own has the label `route=""`.

    Args:
        prefix: put before every name.
    """
    all_counts = list(routes)
    prefix += "route_"
    yield _requests(prefix, all_counts)
    yield _connections(prefix, all_counts)
    yield from _holds(prefix, all_counts)
    yield _deliveries(prefix, all_counts)
    yield _drops(prefix, all_counts)
    yield from _traffic(prefix, all_counts)
    yield _backend_latency(prefix, all_counts)


def _requests(prefix: str, all_counts: Iterable[RouteCounts]) -> Metric:
    family = CounterMetricFamily(f"{prefix}requests", "Requests of clients, WebSockets included", labels=["route"])
    for counts in all_counts:
        family.add_metric([_label(counts)], counts.requests)
    return family


def _connections(prefix: str, all_counts: Iterable[RouteCounts]) -> Metric:
    text = "Requests in progress, holds and WebSockets now"
    family = GaugeMetricFamily(f"{prefix}connections", text, labels=["route", "kind"])
    for counts in all_counts:
        family.add_metric([_label(counts), "http"], counts.connections - counts.websockets)
        family.add_metric([_label(counts), "websocket"], counts.websockets)
    return family


def _holds(prefix: str, all_counts: Iterable[RouteCounts]) -> Iterator[Metric]:
    labels = ["route", "mode"]
    now = GaugeMetricFamily(f"{prefix}holds", "Clients held now", labels=labels)
    opened = CounterMetricFamily(f"{prefix}holds_opened", "Holds that have begun", labels=labels)
    for counts in all_counts:
        for mode, held, begun in zip(_MODES, counts.holds, counts.holds_opened, strict=True):
            now.add_metric([_label(counts), mode], held)
            opened.add_metric([_label(counts), mode], begun)
    yield now
    yield opened


def _deliveries(prefix: str, all_counts: Iterable[RouteCounts]) -> Metric:
    text = "Deliveries of items that were attempted: before filters, and those that were lost included"
    family = CounterMetricFamily(f"{prefix}deliveries_attempted", text, labels=["route", "format"])
    for counts in all_counts:
        by_format = {
            Transport.HTTP_RESPONSE: counts.http_response_sent,
            Transport.HTTP_STREAM: counts.sent - counts.http_response_sent - counts.ws_message_sent,
            Transport.WS_MESSAGE: counts.ws_message_sent,
        }
        for transport, deliveries in by_format.items():
            family.add_metric([_label(counts), transport.value], deliveries)
    return family


def _drops(prefix: str, all_counts: Iterable[RouteCounts]) -> Metric:
    family = CounterMetricFamily(f"{prefix}drops", "Deliveries lost", labels=["route", "reason"])
    for counts in all_counts:
        for reason, lost in zip(_DROPS, counts.drops, strict=True):
            family.add_metric([_label(counts), reason], lost)
    return family


def _traffic(prefix: str, all_counts: Iterable[RouteCounts]) -> Iterator[Metric]:
    labels = ["route", "side", "direction"]
    sizes = CounterMetricFamily(f"{prefix}bytes", "Bytes that passed, without framing", labels=[*labels, "part"])
    messages = CounterMetricFamily(f"{prefix}websocket_messages", "WebSocket messages that passed", labels=labels)
    for counts in all_counts:
        for side, traffic in (("client", counts.client), ("backend", counts.server)):
            for direction, header_bytes, content_bytes, passed in _by_direction(traffic):
                where = [_label(counts), side, direction]
                sizes.add_metric([*where, "header"], header_bytes)
                sizes.add_metric([*where, "content"], content_bytes)
                messages.add_metric(where, passed)
    yield sizes
    yield messages


def _by_direction(traffic: TrafficCounts) -> list[tuple[str, int, int, int]]:
    return [
        ("received", traffic.header_bytes_received, traffic.content_bytes_received, traffic.messages_received),
        ("sent", traffic.header_bytes_sent, traffic.content_bytes_sent, traffic.messages_sent),
    ]


def _backend_latency(prefix: str, all_counts: Iterable[RouteCounts]) -> Metric:
    text = "From a request to a backend to the head of its answer"
    family = HistogramMetricFamily(f"{prefix}backend_latency_seconds", text, labels=["route"])
    for counts in all_counts:
        _add(family, [_label(counts)], counts.backend_latency_s)
    return family


def _add(family: HistogramMetricFamily, labels: list[str], values: Histogram) -> None:
    bounds = [*map(str, values.bounds), "+Inf"]
    family.add_metric(labels, list(zip(bounds, values.cumulative(), strict=True)), values.sum)


def _label(counts: RouteCounts) -> str:
    return counts.name or ""
