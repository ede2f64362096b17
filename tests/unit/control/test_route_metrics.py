"""What is counted by route, as Prometheus reads it."""

from __future__ import annotations

import re

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families

from holdfast.control.route_metrics import histogram, route_metrics
from holdfast.statistics.histogram import Histogram
from holdfast.statistics.routes import Drop, Mode, Routes

ODD_ID = 'a "b"\\,c'


LABELS = ("route", "kind", "mode", "format", "reason", "side", "direction", "part", "le")


def _labels(labels: dict[str, str]) -> str:
    assert set(labels) <= set(LABELS)
    return " ".join(labels[name] for name in LABELS if labels.get(name))


class Exported:
    """Routes, and what comes of them."""

    def __init__(self) -> None:
        self.routes = Routes()

    def collect(self) -> list[Metric]:
        return list(route_metrics("p_", self.routes))

    def values(self, name: str) -> dict[str, float]:
        """The samples of a family: the values of their labels, put together, and what is not 0."""
        text = generate_latest(self).decode()
        (family,) = [each for each in text_string_to_metric_families(text) if each.name == f"p_route_{name}"]
        return {_labels(sample.labels): sample.value for sample in family.samples if sample.value}


def test_every_family_is_there_before_anything_happens() -> None:
    exported = Exported()
    families = {family.name: family for family in exported.collect()}
    assert {name: family.type for name, family in families.items()} == {
        "p_route_requests": "counter",
        "p_route_connections": "gauge",
        "p_route_holds": "gauge",
        "p_route_holds_opened": "counter",
        "p_route_deliveries_attempted": "counter",
        "p_route_drops": "counter",
        "p_route_bytes": "counter",
        "p_route_websocket_messages": "counter",
        "p_route_backend_latency_seconds": "histogram",
    }
    for family in families.values():
        assert {sample.labels["route"] for sample in family.samples} == {""}
        assert not any(sample.value for sample in family.samples)


def test_label_values_are_words() -> None:
    for family in Exported().collect():
        for sample in family.samples:
            words = {name: value for name, value in sample.labels.items() if name not in ("route", "le")}
            assert all(re.fullmatch("[a-z_-]+", value) for value in words.values())


def test_requests_and_connections() -> None:
    exported = Exported()
    counts = exported.routes.find(ODD_ID)
    counts.end(counts.begin())
    for _ in range(3):
        counts.begin()
    counts.websockets = 1
    exported.routes.unnamed.begin()
    assert exported.values("requests") == {ODD_ID: 4, "": 1}
    assert exported.values("connections") == {f"{ODD_ID} http": 2, f"{ODD_ID} websocket": 1, "http": 1}


def test_holds() -> None:
    exported = Exported()
    for mode in Mode:
        exported.routes.unnamed.holds[mode] = 1 + mode
        exported.routes.unnamed.holds_opened[mode] = 11 + mode
    names = [
        "response",
        "stream",
        "websocket-relayed",
        "websocket-over-http",
        "websocket-zhttp",
        "websocket-test",
    ]
    assert exported.values("holds") == {name: number for number, name in enumerate(names, 1)}
    assert exported.values("holds_opened") == {name: number for number, name in enumerate(names, 11)}


def test_deliveries_and_drops() -> None:
    exported = Exported()
    counts = exported.routes.find("r")
    counts.sent, counts.http_response_sent, counts.ws_message_sent = 10, 1, 2
    for drop in Drop:
        counts.drops[drop] = 1 + drop
    assert exported.values("deliveries_attempted") == {"r http-response": 1, "r http-stream": 7, "r ws-message": 2}
    assert exported.values("drops") == {
        "r outbox_full": 1,
        "r message_hwm": 2,
        "r filter_failed": 3,
        "r queue_full": 4,
    }


def test_traffic() -> None:
    exported = Exported()
    counts = exported.routes.unnamed
    for number, traffic in enumerate((counts.client, counts.server)):
        traffic.header_bytes_received = 10 * number + 1
        traffic.header_bytes_sent = 10 * number + 2
        traffic.content_bytes_received = 10 * number + 3
        traffic.content_bytes_sent = 10 * number + 4
        traffic.messages_received = 10 * number + 5
        traffic.messages_sent = 10 * number + 6
    assert exported.values("bytes") == {
        "client received header": 1,
        "client sent header": 2,
        "client received content": 3,
        "client sent content": 4,
        "backend received header": 11,
        "backend sent header": 12,
        "backend received content": 13,
        "backend sent content": 14,
    }
    assert exported.values("websocket_messages") == {
        "client received": 5,
        "client sent": 6,
        "backend received": 15,
        "backend sent": 16,
    }


def test_backends() -> None:
    exported = Exported()
    counts = exported.routes.find("r")
    for seconds in (0.03, 0.5, 100):
        counts.backend_latency_s.observe(seconds)
    by_bound = exported.values("backend_latency_seconds")
    assert (by_bound["r 0.05"], by_bound["r 0.5"], by_bound["r 60"], by_bound["r +Inf"]) == (1, 2, 2, 3)
    assert "r 0.025" not in by_bound
    assert by_bound["r"] == 100.53  # the sum, which comes last


def test_a_histogram_without_labels() -> None:
    values = Histogram((0.5, 1))
    values.observe(0.7)
    family = histogram("h_seconds", "What it is", values)
    assert [(sample.name, sample.labels, sample.value) for sample in family.samples] == [
        ("h_seconds_bucket", {"le": "0.5"}, 0),
        ("h_seconds_bucket", {"le": "1"}, 1),
        ("h_seconds_bucket", {"le": "+Inf"}, 1),
        ("h_seconds_count", {}, 1),
        ("h_seconds_sum", {}, 0.7),
    ]
