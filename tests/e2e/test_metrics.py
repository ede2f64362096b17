"""What the metrics say of real traffic, and that docs/metrics.md says what there is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from prometheus_client.metrics_core import Metric
from prometheus_client.parser import text_string_to_metric_families
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.ports import free_port, free_ports
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, response_item, stream_item, with_ids
from tests.harness.timing import eventually
from tests.harness.watch import scrape
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, ws_item
from tests.harness.zhttp import ReqBackend, StreamAsker, StreamBackend, fresh_path

DOCUMENT = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"


class Metrics:
    """The metrics of a proxy, and how they have grown since this was made."""

    def __init__(self, port: int) -> None:
        self.port = port
        self._before = self._samples()

    def families(self) -> list[Metric]:
        return list(text_string_to_metric_families(fetch(self.port, "/metrics").text))

    def _samples(self) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
        return {
            (sample.name, frozenset(sample.labels.items())): sample.value
            for family in self.families()
            for sample in family.samples
        }

    def grown(self, name: str, **labels: str) -> float:
        """By how much the samples with these labels have grown, all together."""

        def is_meant(key: tuple[str, frozenset[tuple[str, str]]]) -> bool:
            return key[0] == f"holdfast_{name}" and set(labels.items()) <= key[1]

        now = self._samples()
        return sum(value - self._before.get(key, 0) for key, value in now.items() if is_meant(key))

    def routes(self) -> set[str]:
        return {dict(labels)["route"] for name, labels in self._samples() if name == "holdfast_route_requests_total"}

    def expect(self, expected: float, name: str, **labels: str) -> None:
        """Wait until they have grown by this."""
        eventually(lambda: self.grown(name, **labels) == expected, f"{name} {labels} = {expected}")


def test_who_reads_them_does_not_count(launch_once: Launch) -> None:
    """Nor does who has read them: with nobody else there is the same every time."""
    port = free_port()
    launch_once("* test", settings=settings(port))
    assert {scrape(port)["tasks"] for _ in range(50)} == {1}


def settings(port: int, **handler: object) -> dict[str, dict[str, object]]:
    return {
        "handler": {"prometheus_port": f"127.0.0.1:{port}", **handler},
        "holdfast": {"outbox_policy": "drop", "outbox_max_bytes": 100_000},
    }


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, metrics_port: int) -> ProxyUnderTest:
    return launch(
        f"* 127.0.0.1:{backend.port}",
        f"one,id=one 127.0.0.1:{backend.port}",
        f"relay,id=relay 127.0.0.1:{ws_backend.port}",
        f"events,id=events 127.0.0.1:{backend.port},over_http",
        "test,id=test test",
        settings=settings(metrics_port),
    )


@pytest.fixture
def metrics(proxy: ProxyUnderTest, metrics_port: int) -> Metrics:
    return Metrics(metrics_port)


# --- what is held -----------------------------------------------------------------------------------------------------


def test_a_long_poll(stage: Stage, metrics: Metrics) -> None:
    channel = fresh_channel()
    client = stage.poll(channel, host="one")
    metrics.expect(1, "route_holds", route="one", mode="response")
    metrics.expect(1, "route_connections", route="one", kind="http")
    publish_ok(stage.proxy.control_port, response_item(channel, "hello"))
    assert client.read_response().body == b"hello"
    metrics.expect(0, "route_holds", route="one")
    metrics.expect(0, "route_connections", route="one")
    metrics.expect(1, "route_holds_opened_total", route="one")
    metrics.expect(1, "route_requests_total", route="one")
    metrics.expect(1, "route_deliveries_attempted_total", route="one", format="http-response")
    metrics.expect(1, "route_backend_latency_seconds_count", route="one")
    metrics.expect(1, "publish_latency_seconds_count")
    assert metrics.grown("route_requests_total", route="") == 0


@pytest.mark.parametrize(("host", "route"), [("one", "one"), ("localhost", "")])
def test_streams(stage: Stage, metrics: Metrics, host: str, route: str) -> None:
    """One observation for an item that two clients get, and none for one that nobody gets."""
    channel = fresh_channel()
    clients = [stage.stream(channel, host=host) for _ in range(2)]
    metrics.expect(2, "route_holds", route=route, mode="stream")
    publish_ok(stage.proxy.control_port, stream_item(channel, "hello"), stream_item("nobody", "hello"))
    for client in clients:
        assert client.read_data(5) == b"hello"
    metrics.expect(1, "publish_latency_seconds_count")
    metrics.expect(2, "route_deliveries_attempted_total", route=route, format="http-stream")
    metrics.expect(2, "route_backend_latency_seconds_count", route=route)
    metrics.expect(2 * 5, "route_bytes_total", route=route, side="client", direction="sent", part="content")
    for client in clients:
        client.close()
    metrics.expect(0, "route_holds", route=route)
    metrics.expect(0, "route_connections", route=route)
    assert metrics.grown("route_requests_total") == 2  # none but these


def test_a_long_poll_that_asks_again(stage: Stage, metrics: Metrics) -> None:
    """One request of a client, two to the backend; held no more while it asks."""
    channel = fresh_channel()
    client = stage.poll(channel, host="one")
    publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"action": "hint"}}})
    metrics.expect(2, "route_holds_opened_total", route="one")
    metrics.expect(1, "route_holds", route="one")
    metrics.expect(1, "route_requests_total", route="one")
    metrics.expect(2, "route_backend_latency_seconds_count", route="one")
    client.close()
    metrics.expect(0, "route_holds", route="one")


def test_a_relayed_websocket(ws: WebSocketStage, metrics: Metrics) -> None:
    channel = fresh_channel()
    client, peer = ws.grip(channel)
    before = metrics.grown("route_deliveries_attempted_total", route="relay")
    client.send_text("up")
    peer.expect(text("up"))
    ws.publish(ws_item(channel, "down"))
    client.expect_text("down")
    metrics.expect(1, "route_holds", route="relay", mode="websocket-relayed")
    metrics.expect(1, "route_connections", route="relay", kind="websocket")
    metrics.expect(0, "route_connections", route="relay", kind="http")
    metrics.expect(before + 1, "route_deliveries_attempted_total", route="relay", format="ws-message")
    metrics.expect(1, "route_websocket_messages_total", route="relay", side="client", direction="received")
    metrics.expect(1, "route_backend_latency_seconds_count", route="relay")
    client.close()
    metrics.expect(0, "route_holds", route="relay")
    metrics.expect(0, "route_connections", route="relay")


def test_a_websocket_over_http(ws: WebSocketStage, metrics: Metrics) -> None:
    """Every request with events is a question to the backend."""
    client, script = ws.over_http(Reply(headers=[("Content-Type", "application/websocket-events")]))
    metrics.expect(1, "route_holds", route="events", mode="websocket-over-http")
    client.send_text("up")
    script.wait_request(1)
    metrics.expect(2, "route_backend_latency_seconds_count", route="events")
    metrics.expect(1, "route_requests_total", route="events")
    client.close()
    metrics.expect(0, "route_connections", route="events")


def test_a_websocket_with_the_test_target(ws: WebSocketStage, metrics: Metrics) -> None:
    client = ws.client()
    client.handshake("/ws", host="test")
    client.accepted()
    metrics.expect(1, "route_holds", route="test", mode="websocket-test")
    client.close()
    metrics.expect(0, "route_holds", route="test")


# --- durations --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("pause_s", [0, 0.3])
def test_a_backend_that_takes_its_time(stage: Stage, metrics: Metrics, pause_s: float) -> None:
    """Until the head of its answer, not until the end."""
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n"
    path = stage.backend.serve(RawReply([pause_s, head, 0.3, b"ok"]))
    assert fetch(stage.proxy.port, path, host="one").body == b"ok"
    metrics.expect(1, "route_backend_latency_seconds_count", route="one")
    assert metrics.grown("route_backend_latency_seconds_bucket", route="one", le="0.25") == (0 if pause_s else 1)
    assert pause_s <= metrics.grown("route_backend_latency_seconds_sum", route="one") < pause_s + 0.25


def test_a_backend_that_does_not_answer(stage: Stage, metrics: Metrics) -> None:
    path = stage.backend.serve(RawReply())
    assert fetch(stage.proxy.port, path, host="one").status == 502
    metrics.expect(1, "backend_failures_total")
    metrics.expect(1, "route_requests_total", route="one")
    assert metrics.grown("route_backend_latency_seconds_count") == 0


def test_a_request_that_is_answered_at_once(stage: Stage, metrics: Metrics) -> None:
    """Those that take the short cut, over a connection that is there already."""
    path = stage.backend.serve(Reply(body=b"ok"))
    for _ in range(3):
        assert fetch(stage.proxy.port, path, host="one").body == b"ok"
    metrics.expect(3, "route_backend_latency_seconds_count", route="one")
    metrics.expect(3, "route_requests_total", route="one")
    metrics.expect(6, "route_bytes_total", route="one", side="backend", direction="received", part="content")


def test_an_item_that_waits_for_another(stage: Stage, metrics: Metrics) -> None:
    channel = fresh_channel()
    client = stage.stream(channel)
    port = stage.proxy.control_port
    publish_ok(port, with_ids(stream_item(channel, "1"), "1"), with_ids(stream_item(channel, "3"), "3", "2"))
    metrics.expect(1, "held_back_items")
    publish_ok(port, with_ids(stream_item(channel, "2"), "2", "1"))
    assert client.read_data(3) == b"123"
    metrics.expect(1, "held_back_seconds_count")
    metrics.expect(3, "publish_latency_seconds_count")


def test_backends_over_zeromq(launch_once: Launch, connect: Connect) -> None:
    """In one packet and in many, and a WebSocket; from the request to the first packet of the answer."""
    port, requests, metrics_port = free_ports(3), f"tcp://127.0.0.1:{free_port()}", free_port()
    proxy = launch_once(
        f"z,id=z zhttp/tcp://127.0.0.1:{port}", f"req,id=req zhttpreq/{requests}", settings=settings(metrics_port)
    )
    streams, packets = StreamBackend.on_port(port), ReqBackend(requests)
    try:
        streams.wait_connected(proxy, "z")
        metrics, asker = Metrics(metrics_port), StreamAsker(proxy, streams, connect)
        assert asker.answer(code=200, body=b"ok").body == b"ok"
        metrics.expect(1, "route_backend_latency_seconds_count", route="z")
        asker.socket()
        metrics.expect(2, "route_backend_latency_seconds_count", route="z")
        metrics.expect(1, "route_holds", route="z", mode="websocket-zhttp")
        client, path = connect(proxy.port), fresh_path()
        client.request(path, host="req")
        packets.take(path).reply(code=200, body=b"ok")
        assert client.read_response().body == b"ok"
        metrics.expect(1, "route_backend_latency_seconds_count", route="req")
    finally:
        streams.stop()
        packets.stop()


# --- losses -----------------------------------------------------------------------------------------------------------


def slow_stream(stage: Stage, connect: Connect, channel: str) -> RawClient:
    client = connect(stage.proxy.port, receive_buffer=4096)
    path = stage.backend.serve(stream_reply(channel))
    client.request(path, host="one")
    stage.proxy.wait_held(path)
    return client


def test_slow_clients(stage: Stage, connect: Connect, metrics: Metrics) -> None:
    channel = fresh_channel()
    client = slow_stream(stage, connect, channel)
    large = stream_item(channel, "x" * 500_000)

    def loses() -> bool:
        publish_ok(stage.proxy.control_port, large)
        return metrics.grown("route_drops_total", route="one", reason="outbox_full") >= 3

    eventually(loses, "losses")
    assert metrics.grown("route_drops_total") == metrics.grown("drops_outbox_full_total")
    assert metrics.grown("outboxes") == 1
    assert metrics.grown("outbox_bytes") > 0
    client.close()
    metrics.expect(0, "outboxes")
    metrics.expect(0, "outbox_bytes")


def test_filters_that_fail(stage: Stage, metrics: Metrics) -> None:
    channel = fresh_channel()
    stage.stream(f"{channel}; filter=var-subst", host="one")
    publish_ok(stage.proxy.control_port, stream_item(channel, "%(nobody)s"))
    metrics.expect(1, "route_drops_total", route="one", reason="filter_failed")
    metrics.expect(1, "drops_filter_failed_total")


def test_too_much_for_the_rate(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    port = free_port()
    proxy = launch_once(f"*,id=one 127.0.0.1:{backend.port}", settings=settings(port, message_rate=20, message_hwm=3))
    stage, channel = Stage(proxy, backend, connect), fresh_channel()
    for _ in range(5):
        stage.stream(channel)
    metrics = Metrics(port)
    publish_ok(proxy.control_port, stream_item(channel, "x"))
    metrics.expect(2, "route_drops_total", route="one", reason="message_hwm")
    metrics.expect(2, "drops_message_hwm_total")
    metrics.expect(3, "deliveries_total")
    metrics.expect(1, "publish_latency_seconds_count")


# --- routes come and go -----------------------------------------------------------------------------------------------


def test_routes_that_go(launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
    """Their series stay while a client is there."""
    port = free_port()

    def route(name: str) -> str:
        return f"{name},id={name} 127.0.0.1:{backend.port}"

    proxy = launch_once(route("held"), route("left"), route("stays"), route("unused"), settings=settings(port))
    stage, metrics = Stage(proxy, backend, connect), Metrics(port)
    path = backend.serve(Reply(body=b"ok"))
    for host in ("left", "stays"):
        assert fetch(proxy.port, path, host=host).body == b"ok"
    client = stage.stream(fresh_channel(), host="held")
    assert metrics.routes() == {"", "held", "left", "stays"}
    proxy.write_routes([route("stays")])
    eventually(lambda: metrics.routes() == {"", "held", "stays"}, "the one without clients is gone")
    assert metrics.grown("route_requests_total", route="stays") == 1
    client.close()
    eventually(lambda: metrics.routes() == {"", "stays"}, "the other one is gone")


# --- the document -----------------------------------------------------------------------------------------------------


def documented() -> dict[str, str]:
    """The names in the tables, and their types."""
    types: dict[str, str] = {}
    for section in re.split(r"^## ", DOCUMENT.read_text(), flags=re.MULTILINE):
        implied = re.search(r"^(Gauge|Counter)s without labels\.$", section, re.MULTILINE)
        for name, second in re.findall(r"^\| `((?:holdfast_)?\w+_\w+)` \| ([^|]*) \|", section, re.MULTILINE):
            types[name] = implied[1].lower() if implied else second
    return types


def exported(families: list[Metric]) -> dict[str, str]:
    """The names, as a query has them, and their types."""
    return {
        f"{family.name}_total" if family.type == "counter" and "holdfast_" in family.name else family.name: family.type
        for family in families
    }


def test_the_document_lists_every_family_and_no_other(metrics: Metrics) -> None:
    assert documented() == exported(metrics.families())


def test_the_document_lists_the_labels(metrics: Metrics) -> None:
    rows = dict(re.findall(r"^\| `(holdfast_route_\w+)` \| \w+ \| ([^|]*) \|", DOCUMENT.read_text(), re.MULTILINE))
    names = {name: set(re.findall(r"`(\w+)`", labels)) for name, labels in rows.items()}
    for name, family in zip(exported(metrics.families()), metrics.families(), strict=True):
        labels = {label for sample in family.samples for label in sample.labels} - {"le"}
        assert labels == names.get(name, set()), name


def test_the_alerts_use_what_there_is(metrics: Metrics) -> None:
    (rules,) = re.findall(r"^```yaml\n(.*?)^```", DOCUMENT.read_text(), re.MULTILINE | re.DOTALL)
    samples = {sample.name for family in metrics.families() for sample in family.samples}
    used = set(re.findall(r"\bholdfast_\w+", rules))
    assert used
    assert used <= samples
