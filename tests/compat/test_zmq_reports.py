"""The reports among the statistics: what happened in each interval, by route."""

from __future__ import annotations

from collections import Counter

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.commands import Packet, StatsReader, read_stats
from tests.harness.grip import Stage, fresh_channel
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, ws_item
from tests.harness.zmq_sockets import ZmqSockets

REPORT_S = 1
COUNTERS = [
    f"{side}-{what}-{way}"
    for side in ("client", "server")
    for what in ("header-bytes", "content-bytes", "messages")
    for way in ("received", "sent")
]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, spec: str) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    routes = [
        f"* {target}",
        f"named,id=one {target}",
        f"counted,id=two {target}",
        f"relay,id=rel 127.0.0.1:{ws_backend.port}",
    ]
    return launch(*routes, settings={"handler": {"stats_spec": spec, "stats_report_interval": REPORT_S}})


class Totals(Counter[str]):
    """The sums over several reports, and the largest number of each kind."""

    def __init__(self) -> None:
        super().__init__()
        self.largest: Counter[str] = Counter()

    def add(self, report: Packet) -> Totals:
        """Add a report."""
        numbers = Counter({name: value for name, value in report.items() if isinstance(value, int)})
        self.update(numbers)
        self.largest |= numbers
        return self


@pytest.mark.spec("grip-113")
class TestReports:
    def test_items(self, stage: Stage, stats: StatsReader) -> None:
        """Items that were received, receivers or not, and deliveries."""
        channel = fresh_channel()
        stage.stream(channel)
        poll = stage.poll(channel)
        items = [stream_item(channel, "hello"), stream_item(fresh_channel(), "x"), response_item(channel, "r")]
        publish_ok(stage.proxy.control_port, *items)
        poll.read_response()
        totals = Totals()
        eventually(lambda: totals.add(stats.wait("report"))["received"] >= 3, "a report of three items")
        assert (totals["received"], totals["sent"], totals["http-response-sent"]) == (3, 2, 1)

    @differs("hold-route")
    def test_deliveries_of_a_route(self, stage: Stage, stats: StatsReader) -> None:
        """Items belong to no route; deliveries to the route of their client."""
        channel = fresh_channel()
        stage.stream(channel, host="named")
        publish_ok(stage.proxy.control_port, stream_item(channel, "hello"))
        stats.wait("report", route="one", sent=1, timeout_s=3)

    def test_deliveries_of_a_websocket(self, ws: WebSocketStage, stats: StatsReader) -> None:
        channel = fresh_channel()
        ws.grip(channel)
        stats.wait("report", route="rel", timeout_s=3)
        stats.collect(1.2 * REPORT_S)
        ws.publish(ws_item(channel, "hello"))
        stats.wait("report", route="rel", sent=1, timeout_s=3)

    @pytest.mark.slow
    def test_bytes(self, stage: Stage, stats: StatsReader) -> None:
        """All twelve numbers, on both sides. Pushpin's proxy reports its own every ten seconds."""
        path = stage.backend.serve(Reply(body=b"x" * 2000))
        fetch(stage.proxy.port, path, method="POST", host="counted", body=b"y" * 1000)
        totals = Totals()
        eventually(
            lambda: totals.add(stats.wait("report", route="two", timeout_s=15))["server-content-bytes-received"],
            "a report with the response's bytes",
            timeout_s=15,
        )
        contents = {name: totals[name] for name in COUNTERS if "-content-" in name}
        assert contents == {
            "client-content-bytes-received": 1000,
            "client-content-bytes-sent": 2000,
            "server-content-bytes-received": 2000,
            "server-content-bytes-sent": 1000,
        }
        headers = [totals[name] for name in COUNTERS if "-header-" in name]
        assert all(20 < size < 1000 for size in headers), headers

    def test_fields(self, stage: Stage, stats: StatsReader) -> None:
        fetch(stage.proxy.port, "/", host="named")
        packet = stats.wait("report", route="one")
        usual = ["connections", "minutes", "received", "sent", "http-response-sent", "duration"]
        assert set(packet) == {"from", "route", *usual, *COUNTERS}

    def test_connections_and_minutes(self, stage: Stage, stats: StatsReader) -> None:
        """The most in the interval, and a minute for each that begins."""
        clients = [stage.stream(fresh_channel(), host="counted") for _ in range(3)]
        totals = Totals()
        eventually(lambda: totals.add(stats.wait("report", route="two"))["minutes"] >= 3, "three minutes")
        assert totals["minutes"] == 3
        assert 1 <= totals.largest["connections"] <= 3
        del clients

    def test_interval(self, stage: Stage, stats: StatsReader) -> None:
        client = stage.stream(fresh_channel(), host="named")
        reports = [
            packet
            for kind, packet in stats.collect(3.5 * REPORT_S)
            if kind == "report" and packet.get("route") == "one"
        ]
        assert 2 <= len(reports) <= 5
        client.close()

    @pytest.mark.slow
    def test_silence(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        """After the last traffic, one report of zeros, and no more."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        settings = {"stats_spec": spec, "stats_report_interval": 1}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        stats = read_stats(sockets, spec, proxy)
        reports = [packet for kind, packet in stats.collect(5) if kind == "report"]
        assert reports
        last = {name: value for name, value in reports[-1].items() if name not in ("from", "duration")}
        assert set(last.values()) == {0}, last
        assert len(reports) <= 3

    def test_switched_off(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        spec = f"tcp://127.0.0.1:{free_port()}"
        settings = {"stats_spec": spec, "stats_report_interval": 0}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        stats = read_stats(sockets, spec, proxy)
        assert "report" not in {kind for kind, _ in stats.collect(2)}
