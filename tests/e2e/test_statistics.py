"""Statistics beyond what Pushpin promises: who comes late, connections that go on, and that nothing stays behind."""

from __future__ import annotations

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.commands import Packet, StatsReader
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, response_item
from tests.harness.timing import eventually
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage
from tests.harness.zmq_sockets import ZmqSockets

HINT = {"formats": {"http-response": {"action": "hint"}}}


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, spec: str) -> ProxyUnderTest:
    settings = {
        "global": {"stats_connection_ttl": 4},
        "handler": {"stats_spec": spec, "stats_subscription_ttl": 4, "stats_report_interval": 1},
    }
    routes = [
        f"* 127.0.0.1:{backend.port}",
        f"poll,id=poll 127.0.0.1:{backend.port}",
        f"relay,id=relay 127.0.0.1:{ws_backend.port}",
        f"events,id=events 127.0.0.1:{backend.port},over_http",
        "nowhere,id=nowhere 127.0.0.1:1",
    ]
    return launch(*routes, settings=settings)


def test_who_was_there_before(stage: Stage, sockets: ZmqSockets, spec: str) -> None:
    """A subscriber that comes late learns of connections and channels within three quarters of their lifetime."""
    channel = fresh_channel()
    client = stage.client("127.0.0.91")
    path = stage.backend.serve(stream_reply(channel))
    client.request(path)
    stage.proxy.wait_held(path)
    stats = StatsReader(sockets, spec, "conn", "sub")
    packets = [packet for _, packet in stats.collect(4)]
    assert [packet["subscribers"] for packet in packets if packet.get("channel") == channel]
    assert [packet["id"] for packet in packets if packet.get("peer-address") == "127.0.0.91"]


def test_a_long_poll_that_asks_again_is_one_connection(stage: Stage, stats: StatsReader) -> None:
    channel = fresh_channel()
    client = stage.client("127.0.0.92")
    path = stage.backend.serve_in_turn(poll_reply(channel), Reply(body=b"second"))
    client.request(path, host="poll")
    stage.proxy.wait_held(path)
    publish_ok(stage.proxy.control_port, {"channel": channel, **HINT})
    assert client.read_response().body == b"second"
    packets: list[Packet] = []
    while not packets or "unavailable" not in packets[-1]:
        packets.append(stats.wait("conn", route="poll"))
    assert len({packet["id"] for packet in packets}) == 1
    assert [packet.get("unavailable", False) for packet in packets] == [False] * (len(packets) - 1) + [True]


def test_messages_of_websockets(ws: WebSocketStage, stats: StatsReader) -> None:
    client, peer = ws.relay()
    stats.wait("report", route="relay")
    client.send_text("12345", "6")
    peer.expect(text("12345"), text("6"))
    peer.send(text("abc"))
    client.expect_text("abc")
    numbers: dict[str, int] = {}

    def is_counted() -> bool:
        report = stats.wait("report", route="relay")
        for name in report:
            if "-messages-" in name or "-content-" in name:
                numbers[name] = numbers.get(name, 0) + report[name]
        return numbers["client-messages-sent"] == 1 and numbers["client-messages-received"] == 2

    eventually(is_counted, "all messages in reports")
    assert (numbers["server-messages-sent"], numbers["server-messages-received"]) == (2, 1)
    assert (numbers["client-content-bytes-received"], numbers["server-content-bytes-sent"]) == (6, 6)
    assert (numbers["client-content-bytes-sent"], numbers["server-content-bytes-received"]) == (3, 3)


def test_nobody_stays_behind(stage: Stage, ws: WebSocketStage, connect: Connect, stats: StatsReader) -> None:
    """However a connection ends, it is not counted any more, and is said to be gone."""
    channel = fresh_channel()
    proxy = stage.proxy
    for host in ("localhost", "nowhere", "poll"):
        fetch(proxy.port, "/", host=host)
    stream, poll = stage.stream(channel, host="poll"), stage.poll(channel, host="poll")
    answered = stage.poll(channel, host="poll")
    publish_ok(proxy.control_port, response_item(channel, "x"))
    answered.read_response()
    impatient = stage.client()
    impatient.request(stage.backend.serve(Reply(body=[b"late", 1.0, b"r"], length=5)), host="poll")
    relayed, _ = ws.relay()
    events, _ = ws.over_http()
    refused, peer = ws.shake()
    peer.reject(Reply(403))
    for client in (stream, poll, impatient, relayed, events, refused):
        client.close()

    def is_over() -> bool:
        reports = [packet for kind, packet in stats.collect(1.3) if kind == "report"]
        return all(report["connections"] == 0 for report in reports)

    eventually(is_over, "reports without connections", timeout_s=10)
