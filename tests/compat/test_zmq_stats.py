"""The statistics: what is said when, in both formats."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, fetch
from tests.harness.commands import Packet, StatsReader, decode_frame, read_stats
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item, with_ids
from tests.harness.timing import eventually
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, ws_item
from tests.harness.zmq_sockets import ZmqSockets

LINGER_S = 2


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, spec: str) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    routes = [
        f"* {target}",
        f"named,id=one {target}",
        f"events {target},over_http",
        f"relay,id=rel 127.0.0.1:{ws_backend.port}",
    ]
    settings = {"stats_spec": spec, "subscription_linger": LINGER_S}
    return launch(*routes, settings={"handler": settings})


class TestFormats:
    @pytest.mark.spec("grip-110")
    def test_tnetstring(self, stage: Stage, stats: StatsReader) -> None:
        """The type, a blank, and a map; the default."""
        fetch(stage.proxy.port, "/")
        frame = stats.socket.receive_one()
        kind, packet = decode_frame(frame)
        assert frame.startswith(f"{kind} T".encode())
        assert packet["from"]

    @pytest.mark.spec("grip-110")
    def test_json(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        """Compact, and with the same fields."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        settings = {"stats_spec": spec, "stats_format": "json"}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        stats = read_stats(sockets, spec, proxy)
        fetch(proxy.port, "/")
        frame = stats.socket.receive_until(lambda parts: parts[0].startswith(b"conn "), "a connection")[0]
        assert frame.startswith(b"conn J{")
        assert b": " not in frame
        assert b", " not in frame
        kind, packet = decode_frame(frame)
        assert kind == "conn"
        assert {"from", "id"} < set(packet)

    @pytest.mark.spec("grip-110")
    def test_topics(self, stage: Stage, sockets: ZmqSockets, spec: str, stats: StatsReader) -> None:
        """A subscriber chooses types by their names with the blank."""
        reader = StatsReader(sockets, spec, "message")
        channel = fresh_channel()
        stage.stream(channel)

        def is_received() -> bool:
            publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
            try:
                return reader.receive(0.1)[0] == "message"
            except TimeoutError:
                return False

        eventually(is_received, "a message")
        fetch(stage.proxy.port, "/")
        stats.wait("counts")
        assert {kind for kind, _ in reader.collect(0.2)} <= {"message"}

    def test_ipc(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        settings = {"stats_spec": "ipc://{rundir}/{ipc_prefix}stats"}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        read_stats(sockets, f"ipc://{proxy.directory}/run/t-stats", proxy)


@pytest.fixture
def short_lived(
    launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets
) -> tuple[Stage, StatsReader]:
    """A proxy whose statistics live for four seconds, and their reader."""
    spec = f"tcp://127.0.0.1:{free_port()}"
    settings = {
        "global": {"stats_connection_ttl": 4},
        "handler": {"stats_spec": spec, "stats_subscription_ttl": 4, "stats_report_interval": 0},
    }
    target = f"127.0.0.1:{backend.port}"
    proxy = launch_once(f"* {target}", f"named,id=one {target}", settings=settings)
    return Stage(proxy, backend, connect), read_stats(sockets, spec, proxy)


class TestRequests:
    def test_activity(self, stage: Stage, stats: StatsReader) -> None:
        """New requests, by route if that has an id."""
        for _ in range(2):
            fetch(stage.proxy.port, "/", host="named")
        count = 0
        while count < 2:
            count += stats.wait("activity", route="one")["count"]
        assert count == 2

    def test_counts(self, stage: Stage, stats: StatsReader) -> None:
        """New requests, all together."""
        for _ in range(2):
            fetch(stage.proxy.port, "/", host="named")
        count = 0
        while count < 2:
            packet = stats.wait("counts")
            assert "route" not in packet
            count += packet["requests-received"]

    def test_route_without_an_id(self, stage: Stage, stats: StatsReader) -> None:
        fetch(stage.proxy.port, "/")
        while "route" in stats.wait("activity"):
            pass  # told late, of a test before


class TestConnections:
    def test_hold(self, stage: Stage, stats: StatsReader) -> None:
        path = stage.backend.serve(poll_reply(fresh_channel()))
        client = stage.client("127.0.0.71")
        client.request(path)
        packet = stats.wait("conn", type="http", peer_address="127.0.0.71")
        assert packet["ttl"] == 120
        assert "ssl" not in packet
        assert "unavailable" not in packet
        stage.proxy.wait_held(path)
        client.close()
        gone = stats.wait("conn", id=packet["id"], unavailable=True)
        assert set(gone) == {"from", "id", "unavailable"}

    def test_short_request(self, stage: Stage, stats: StatsReader) -> None:
        """Comes and goes, too."""
        client = stage.client("127.0.0.72")
        client.request(stage.backend.serve(Reply(body=b"ok")), host="named")
        client.read_response()
        packet = stats.wait("conn", type="http", peer_address="127.0.0.72")
        assert packet["route"] == "one"
        stats.wait("conn", id=packet["id"], unavailable=True)

    @pytest.mark.parametrize("host", ["relay", "events"])
    def test_websocket(self, ws: WebSocketStage, stats: StatsReader, host: str) -> None:
        if host == "relay":
            client, _ = ws.relay(source="127.0.0.73")
        else:
            client, script = ws.over_http(source="127.0.0.73")
        packet = stats.wait("conn", type="ws", peer_address="127.0.0.73")
        if host == "events":
            assert packet["id"] == script.requests[0].header("Connection-Id")
        client.close()
        stats.wait("conn", id=packet["id"], unavailable=True)

    def test_refreshed(self, short_lived: tuple[Stage, StatsReader]) -> None:
        """Within three quarters of their time to live, connections and subscriptions are named again."""
        stage, stats = short_lived
        channel = fresh_channel()
        stage.stream(channel)
        stats.wait("sub", channel=channel, mode="stream", subscribers=1, ttl=4)
        packets = stats.collect(4)
        assert [packet for kind, packet in packets if kind == "sub" and packet.get("subscribers") == 1]
        assert [packet for kind, packet in packets if kind == "conn" and packet.get("ttl") == 4]

    @differs("hold-route")
    def test_route_of_a_hold(self, short_lived: tuple[Stage, StatsReader]) -> None:
        """Packets of a connection name its route, while it is held and when it is gone, too."""
        stage, stats = short_lived
        client = stage.stream(fresh_channel(), host="named")
        stats.collect(4)
        client.close()
        assert stats.wait("conn", unavailable=True).get("route") == "one"

    @differs("stats-connection-send")
    def test_switched_off(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        spec = f"tcp://127.0.0.1:{free_port()}"
        settings = {"global": {"stats_connection_send": "false"}, "handler": {"stats_spec": spec}}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings=settings)
        stats = read_stats(sockets, spec, proxy)
        fetch(proxy.port, "/")
        assert "conn" not in {kind for kind, _ in stats.collect(1)}


@pytest.mark.spec("grip-111")
class TestSubscriptions:
    def test_stream(self, stage: Stage, stats: StatsReader) -> None:
        """The first at once, another number within a second, and the last at once."""
        channel = fresh_channel()
        one = stage.stream(channel)
        packet = stats.wait("sub", channel=channel)
        assert {**packet, "from": ""} == {
            "from": "",
            "mode": "stream",
            "channel": channel,
            "ttl": 60,
            "subscribers": 1,
        }
        two = stage.stream(channel)
        stats.wait("sub", channel=channel, subscribers=2, timeout_s=2.5)
        two.close()
        stats.wait("sub", channel=channel, subscribers=1, timeout_s=2.5)
        one.close()
        start = time.monotonic()
        gone = stats.wait("sub", channel=channel, unavailable=True)
        assert time.monotonic() - start < LINGER_S
        assert set(gone) == {"from", "mode", "channel", "unavailable"}

    def test_poll(self, stage: Stage, stats: StatsReader) -> None:
        """Is there until it has lingered."""
        channel = fresh_channel()
        poll = stage.poll(channel)
        stats.wait("sub", channel=channel, mode="response", subscribers=1)
        publish_ok(stage.proxy.control_port, response_item(channel, "x"))
        poll.read_response()
        start = time.monotonic()
        stats.wait("sub", channel=channel, mode="response", unavailable=True)
        assert time.monotonic() - start > LINGER_S - 0.2

    def test_websocket(self, ws: WebSocketStage, stats: StatsReader) -> None:
        channel = fresh_channel()
        client, _ = ws.grip_over_http(channel)
        stats.wait("sub", channel=channel, mode="ws", subscribers=1)
        client.close()
        stats.wait("sub", channel=channel, mode="ws", unavailable=True)

    def test_modes_are_apart(self, stage: Stage, stats: StatsReader) -> None:
        channel = fresh_channel()
        stage.stream(channel)
        stage.poll(channel)
        stats.wait("sub", channel=channel, mode="stream", subscribers=1)
        stats.wait("sub", channel=channel, mode="response", subscribers=1)


@pytest.mark.spec("grip-112")
class TestMessages:
    def test_receivers(self, stage: Stage, ws: WebSocketStage, stats: StatsReader) -> None:
        """One packet for each format that reached somebody, with the number of receivers."""
        channel = fresh_channel()
        clients = [stage.stream(channel), stage.stream(channel), stage.poll(channel)]
        ws.grip_over_http(channel)
        stats.collect(0.2)
        formats = {**stream_item(channel, "s")["formats"], **response_item(channel, "r")["formats"]}
        formats.update(ws_item(channel, "w")["formats"])
        publish_ok(stage.proxy.control_port, with_ids({"channel": channel, "formats": formats}, "5"))
        assert clients[0].read_data(1) == b"s"
        found: dict[str, Packet] = {}
        for _ in range(3):
            packet = stats.wait("message", channel=channel)
            found[packet["transport"]] = packet
        assert {name: packet["count"] for name, packet in found.items()} == {
            "http-stream": 2,
            "http-response": 1,
            "ws-message": 1,
        }
        assert {packet["item-id"] for packet in found.values()} == {"5"}
        assert not any("blocks" in packet for packet in found.values())

    def test_without_an_id(self, stage: Stage, stats: StatsReader) -> None:
        channel = fresh_channel()
        stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        assert "item-id" not in stats.wait("message", channel=channel)

    def test_nobody(self, stage: Stage, stats: StatsReader) -> None:
        """What reaches nobody is not mentioned."""
        lonely, channel = fresh_channel(), fresh_channel()
        stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(lonely, "x"), stream_item(channel, "x"))
        packets: list[str] = []
        while not packets or packets[-1] != channel:
            packets.append(stats.wait("message")["channel"])
        assert lonely not in packets

    def test_route(self, stage: Stage, stats: StatsReader) -> None:
        """An item belongs to none."""
        channel = fresh_channel()
        stage.stream(channel, host="named")
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        assert "route" not in stats.wait("message", channel=channel)

    def test_blocks(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect, sockets: ZmqSockets) -> None:
        """With a block size: of all receivers together."""
        spec = f"tcp://127.0.0.1:{free_port()}"
        settings = {"stats_spec": spec, "message_block_size": 10}
        proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        stats = read_stats(sockets, spec, proxy)
        channel = fresh_channel()
        stage = Stage(proxy, backend, connect)
        for _ in range(2):
            stage.stream(channel)
        publish_ok(proxy.control_port, stream_item(channel, "x" * 25))
        packet = stats.wait("message", channel=channel)
        assert (packet["count"], packet["blocks"]) == (2, 6)
