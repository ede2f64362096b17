"""The command door: each method, what is refused, what is not answered, and the ids of connections."""

from __future__ import annotations

from typing import Any

import pytest
import zmq
from tests.harness import tnet
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.commands import CommandClient, StatsReader
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import response_item
from tests.harness.timing import eventually
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage
from tests.harness.zmq_sockets import ZmqSockets


def tcp() -> str:
    """A free endpoint."""
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def specs() -> dict[str, str]:
    return {"command_spec": tcp(), "push_in_spec": tcp(), "push_in_sub_specs": tcp(), "stats_spec": tcp()}


@pytest.fixture(scope="module")
def proxy(
    launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, specs: dict[str, str]
) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    routes = [f"* {target}", f"events {target},over_http", f"relay 127.0.0.1:{ws_backend.port}"]
    return launch(*routes, settings={"handler": specs})


@pytest.fixture
def door(proxy: ProxyUnderTest, sockets: ZmqSockets, specs: dict[str, str]) -> CommandClient:
    return CommandClient(sockets, specs["command_spec"])


@pytest.fixture
def stats(stage: Stage, sockets: ZmqSockets, specs: dict[str, str]) -> StatsReader:
    """Statistics of connections, of which the first has been seen."""
    reader = StatsReader(sockets, specs["stats_spec"], "conn")
    path = stage.backend.serve(Reply(body=b"ok"))

    def is_seen() -> bool:
        client = stage.client()
        client.request(path)
        client.read_response()
        try:
            reader.wait("conn", 0.1)
        except TimeoutError:
            return False
        return True

    eventually(is_seen, "statistics of connections")
    return reader


def connection_id(stats: StatsReader, kind: str, address: str) -> str:
    """The id of the connection that was made from ``address``."""
    return str(stats.wait("conn", type=kind, peer_address=address)["id"])


BAD = {"success": False, "condition": b"bad-request"}
NOT_FOUND = {"success": False, "condition": b"item-not-found"}
NO_METHOD = {"success": False, "condition": b"method-not-found"}
DONE = {"success": True, "value": None}


@pytest.mark.spec("grip-108")
class TestMethods:
    def test_uris(self, door: CommandClient, specs: dict[str, str]) -> None:
        assert door.value("get-zmq-uris") == {
            "command": specs["command_spec"].encode(),
            "publish-pull": specs["push_in_spec"].encode(),
            "publish-sub": specs["push_in_sub_specs"].encode(),
        }

    def test_uris_of_what_is_open(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        """A SUB that connects is none that publishers can connect to."""
        settings = {"command_spec": tcp(), "push_in_sub_specs": tcp(), "push_in_sub_connect": "true"}
        launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": settings})
        door = CommandClient(sockets, settings["command_spec"])
        assert door.value("get-zmq-uris") == {"command": settings["command_spec"].encode()}

    def test_publish(self, stage: Stage, door: CommandClient) -> None:
        """TNetString items, in the order of the list."""
        channel = fresh_channel()
        stream, poll = stage.stream(channel), stage.poll(channel)
        items = [raw_item(channel, b"\x00a"), raw_item(channel, "b"), response_item(channel, "r")]
        assert door.value("publish", items=items) is None
        assert (stream.read_data(3), poll.read_response().text) == (b"\x00ab", "r")

    def test_publish_nothing(self, door: CommandClient) -> None:
        assert door.call("publish", items=[]) == DONE

    @pytest.mark.parametrize(
        ("args", "text"),
        [
            ({"x": 1}, "Invalid format: object does not contain 'items'"),
            ({"items": {}}, "Invalid format: object contains 'items' with wrong type"),
            ({"items": [5]}, "Invalid format: publish item object is not an object"),
            ({"items": [{"channel": "c"}]}, "Invalid format: no formats specified"),
        ],
    )
    def test_publish_refused(self, door: CommandClient, args: dict[str, Any], text: str) -> None:
        assert door.call("publish", **args) == {**BAD, "value": text.encode()}

    @differs("number-types")
    @pytest.mark.parametrize("code", [b"abc", True, 200.6])
    def test_number_that_is_none(self, door: CommandClient, code: object) -> None:
        text = "Invalid format: 'http-response' contains 'code' with wrong type"
        response = {"channel": "c", "formats": {"http-response": {"body": "x", "code": code}}}
        assert door.call("publish", items=[response]) == {**BAD, "value": text.encode()}

    @differs("response-splitting")
    @pytest.mark.parametrize(
        "fields", [{"reason": "a\r\nb"}, {"headers": [["X-A", "a\r\nX-B: b"]]}, {"headers": [["X-A\r\nX-B", "b"]]}]
    )
    def test_line_ends(self, door: CommandClient, fields: dict[str, Any]) -> None:
        response = {"channel": "c", "formats": {"http-response": {"body": "x", **fields}}}
        assert door.call("publish", items=[response])["success"] is False

    def test_publish_all_or_nothing(self, stage: Stage, door: CommandClient) -> None:
        channel = fresh_channel()
        stream = stage.stream(channel)
        assert door.call("publish", items=[raw_item(channel, "a"), raw_item(channel, 5)])["condition"] == b"bad-request"
        assert door.call("publish", items=[raw_item(channel, "b")]) == DONE
        assert stream.read_data(1) == b"b"

    def test_recover(self, stage: Stage, door: CommandClient) -> None:
        """All polls ask again."""
        channel = fresh_channel()
        stage.warm_up(channel)
        path = stage.backend.serve_in_turn(poll_reply(channel), Reply(body=b"again"))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        assert door.value("recover") is None
        assert client.read_response().text == "again"

    @pytest.mark.parametrize("request_", [{"method": "nonsense"}, {"method": ""}, {"method": "GET-ZMQ-URIS"}])
    def test_unknown(self, door: CommandClient, request_: dict[str, Any]) -> None:
        assert door.ask({"id": "1", **request_}) == NO_METHOD


def raw_item(channel: str, content: object) -> dict[str, Any]:
    return {"channel": channel, "formats": {"http-stream": {"content": content}}}


@pytest.mark.spec("grip-108")
class TestEnvelope:
    def test_without_an_id(self, door: CommandClient) -> None:
        assert door.ask({"method": "recover"}) == DONE

    def test_id_is_echoed(self, door: CommandClient) -> None:
        """Any bytes."""
        door.send(tnet.encode({"id": b"\x00\xff ", "method": "recover"}))
        answer = door.receive()
        assert answer == {"id": b"\x00\xff ", **DONE}

    def test_other_fields(self, door: CommandClient) -> None:
        """``from``, fields and arguments that nobody knows, and bytes after the request change nothing."""
        door.send(tnet.encode({"id": "0", "method": "nonsense"}) + b"rest")
        assert door.receive() == {"id": b"0", **NO_METHOD}
        assert door.ask({"id": "1", "from": "me", "method": "recover", "args": {"x": 1}, "y": [None]}) == DONE

    def test_request_socket(self, proxy: ProxyUnderTest, sockets: ZmqSockets, specs: dict[str, str]) -> None:
        """A plain REQ, twice."""
        client = sockets.connected(zmq.REQ, specs["command_spec"])
        for name in (b"1", b"2"):
            client.send(tnet.encode({"id": name, "method": "nonsense"}))
            assert tnet.decode(client.receive_one()) == {"id": name, **NO_METHOD}

    def test_two_clients(self, proxy: ProxyUnderTest, sockets: ZmqSockets, specs: dict[str, str]) -> None:
        """Each gets its own answers, in the order of its calls."""
        doors = [CommandClient(sockets, specs["command_spec"]) for _ in range(2)]
        for number in range(20):
            for name, door in enumerate(doors):
                door.send(tnet.encode({"id": f"{name}-{number}", "method": "get-zmq-uris"}))
        for number in range(20):
            for name, door in enumerate(doors):
                assert door.receive()["id"] == f"{name}-{number}".encode()

    @pytest.mark.parametrize(
        "parts",
        [
            [b"garbage"],
            [b""],
            [b"T" + tnet.encode({"id": "x", "method": "recover"})],
            [b'{"id":"x","method":"recover"}'],
            [tnet.encode(["recover"])],
            [tnet.encode({"id": "x"})],
            [tnet.encode({"id": "x", "method": 5})],
            [tnet.encode({"id": "x", "method": "recover", "args": [1]})],
            [tnet.encode({"id": 5, "method": "recover"})],
            [tnet.encode({"id": None, "method": "recover"})],
            [tnet.encode({"id": "x", "method": None})],
            [tnet.encode({"id": "x", "method": "recover", "args": None})],
            [tnet.encode({"id": "x", "method": "recover"}), b"another part"],
        ],
        ids=[
            "garbage",
            "empty",
            "T",
            "JSON",
            "list",
            "no method",
            "method",
            "args",
            "id",
            "null id",
            "null method",
            "null args",
            "parts",
        ],
    )
    def test_unanswered(self, door: CommandClient, parts: list[bytes]) -> None:
        """The first answer that comes is that of the next call."""
        door.send(*parts)
        assert door.call("nonsense") == NO_METHOD

    def test_without_a_delimiter(self, proxy: ProxyUnderTest, sockets: ZmqSockets, specs: dict[str, str]) -> None:
        client = sockets.connected(zmq.DEALER, specs["command_spec"])
        client.send(tnet.encode({"id": "x", "method": "recover"}))
        client.send(b"", tnet.encode({"id": "y", "method": "nonsense"}))
        assert tnet.decode(client.receive()[1])["id"] == b"y"

    @differs("truncated-tnetstring")
    def test_truncated(self, launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
        spec = tcp()
        launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"command_spec": spec}})
        door = CommandClient(sockets, spec)
        door.send(b"20:6:method,7:re}")
        assert door.call("nonsense") == NO_METHOD


@pytest.mark.spec("grip-109")
class TestConnCheck:
    def test_live_ids(self, stage: Stage, ws: WebSocketStage, door: CommandClient, stats: StatsReader) -> None:
        """Those of held and of WebSocket connections; others are left out."""
        stream = stage.client("127.0.0.77")
        path = stage.backend.serve(poll_reply(fresh_channel()))
        stream.request(path)
        stage.proxy.wait_held(path)
        held = connection_id(stats, "http", "127.0.0.77")
        _, script = ws.over_http(source="127.0.0.78")
        socket = connection_id(stats, "ws", "127.0.0.78")
        assert socket == script.requests[0].header("Connection-Id")
        assert door.value("conncheck", ids=[]) == []
        assert set(door.value("conncheck", ids=["nobody", held, socket])) == {held.encode(), socket.encode()}

    def test_repeated_id(self, ws: WebSocketStage, door: CommandClient) -> None:
        """Named once."""
        _, script = ws.over_http()
        name = script.requests[0].header("Connection-Id")
        assert name is not None
        assert door.value("conncheck", ids=[name, name]) == [name.encode()]

    def test_websocket_that_left(self, ws: WebSocketStage, door: CommandClient, stats: StatsReader) -> None:
        client, _ = ws.over_http(source="127.0.0.79")
        name = connection_id(stats, "ws", "127.0.0.79")
        assert door.value("conncheck", ids=[name]) == [name.encode()]
        client.close()
        eventually(lambda: door.value("conncheck", ids=[name]) == [], "the WebSocket to be forgotten")

    @differs("conncheck-closed")
    def test_hold_that_left(self, stage: Stage, door: CommandClient, stats: StatsReader) -> None:
        client = stage.client("127.0.0.80")
        path = stage.backend.serve(poll_reply(fresh_channel()))
        client.request(path)
        stage.proxy.wait_held(path)
        name = connection_id(stats, "http", "127.0.0.80")
        assert door.value("conncheck", ids=[name]) == [name.encode()]
        client.close()
        eventually(lambda: door.value("conncheck", ids=[name]) == [], "the hold to be forgotten", timeout_s=3)

    @pytest.mark.parametrize("args", [{"x": 1}, {"ids": "x"}, {"ids": {"x": 1}}, {"ids": [1]}, {"ids": ["x", 1]}])
    def test_refused(self, door: CommandClient, args: dict[str, Any]) -> None:
        assert door.call("conncheck", **args) == BAD


@pytest.mark.spec("grip-108")
class TestRefresh:
    """It lets WebSocket-over-HTTP connections ask their backend, with an empty request (ws spec §1.7)."""

    @pytest.mark.spec("ws-42")
    def test_by_id(self, ws: WebSocketStage, door: CommandClient) -> None:
        _, script = ws.over_http()
        name = script.requests[0].header("Connection-Id")
        assert door.call("refresh", cid=name) == DONE
        assert script.wait_events(2) == []

    def test_by_channel(self, ws: WebSocketStage, door: CommandClient) -> None:
        channel = fresh_channel()
        scripts = [ws.grip_over_http(channel)[1] for _ in range(2)]
        _, other = ws.grip_over_http(fresh_channel())
        assert door.call("refresh", channel=channel) == DONE
        assert [script.wait_events(2) for script in scripts] == [[], []]
        assert len(other.requests) == 1

    def test_channel_of_nobody(self, door: CommandClient) -> None:
        assert door.call("refresh", channel=fresh_channel()) == DONE

    def test_hold_of_http(self, stage: Stage, door: CommandClient, stats: StatsReader) -> None:
        """grip-109."""
        client = stage.client("127.0.0.81")
        path = stage.backend.serve(poll_reply(fresh_channel()))
        client.request(path)
        stage.proxy.wait_held(path)
        assert door.call("refresh", cid=connection_id(stats, "http", "127.0.0.81")) == NOT_FOUND

    def test_relayed_websocket(self, ws: WebSocketStage, door: CommandClient, stats: StatsReader) -> None:
        """It is known, and there is nothing to ask."""
        client, peer = ws.relay(source="127.0.0.82")
        assert door.call("refresh", cid=connection_id(stats, "ws", "127.0.0.82")) == DONE
        peer.send(text("after"))
        client.expect_text("after")

    def test_nobody(self, door: CommandClient) -> None:
        """Also when there is a channel: the id counts."""
        assert door.call("refresh", cid="nobody") == NOT_FOUND
        assert door.call("refresh", cid="nobody", channel=fresh_channel()) == NOT_FOUND

    @pytest.mark.parametrize("args", [{"x": 1}, {"cid": 5}, {"cid": 5, "channel": "c"}, {"channel": 5}, {"cid": None}])
    def test_refused(self, door: CommandClient, args: dict[str, Any]) -> None:
        assert door.call("refresh", **args) == BAD


@pytest.mark.spec("grip-108")
def test_ipc(launch_once: Launch, backend: ScriptedBackend, sockets: ZmqSockets) -> None:
    spec = "ipc://{rundir}/{ipc_prefix}command"
    proxy = launch_once(f"* 127.0.0.1:{backend.port}", settings={"handler": {"command_spec": spec}})
    given = f"ipc://{proxy.directory}/run/t-command"
    assert CommandClient(sockets, given).value("get-zmq-uris") == {"command": given.encode()}
