"""Whatever comes to publishing and command doors: it is answered, holds get their items, and the log shows no fault."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import zmq
from hypothesis import strategies as st
from tests.fuzz import test_items as items
from tests.fuzz import test_tnetstrings as tnetstrings
from tests.fuzz.bystander import PATIENCE_S, Bystander
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz
from tests.harness import tnet
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, RawClient
from tests.harness.commands import CommandClient
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import post_publish, publish_ok, stream_item
from tests.harness.zmq_sockets import ZmqSocket, ZmqSockets

EXAMPLES = 60
STREAM = [("Grip-Hold", "stream"), ("Content-Type", "text/plain")]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, specs: dict[str, str]) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}", settings={"handler": specs})


@pytest.fixture(scope="module")
def doors() -> Iterator[ZmqSockets]:
    sockets = ZmqSockets()
    yield sockets
    sockets.close()


@pytest.fixture(scope="module")
def push(doors: ZmqSockets, specs: dict[str, str]) -> ZmqSocket:
    return doors.connected(zmq.PUSH, specs["push_in_spec"])


@pytest.fixture(scope="module")
def pub(doors: ZmqSockets, specs: dict[str, str]) -> ZmqSocket:
    return doors.connected(zmq.PUB, specs["push_in_sub_specs"])


@pytest.fixture(scope="module")
def commands(doors: ZmqSockets, specs: dict[str, str]) -> CommandClient:
    return CommandClient(doors, specs["command_spec"])


class Audience:
    """Holds of a channel that nobody but us publishes to, and of the one that everything is published to."""

    def __init__(self, proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
        self._proxy = proxy
        self._bystander = Bystander(proxy, backend.serve(Reply(body=b"ok")), b"ok")
        self._quiet = self._hold(backend.serve(Reply(headers=[*STREAM, ("Grip-Channel", "quiet")])))
        self._paths = [
            backend.serve(Reply(headers=[*STREAM, ("Grip-Channel", "a; filter=skip-self"), ("Grip-Keep-Alive", "k")])),
            backend.serve(Reply(headers=[("Grip-Hold", "response"), ("Grip-Channel", "a")], body=b'{"a":1}')),
        ]
        self._victims = [self._hold(path) for path in self._paths]
        self._count = 0

    def _hold(self, path: str) -> RawClient:
        client = RawClient(self._proxy.port)
        client.request(path)
        self._proxy.wait_held(path)
        return client

    def check(self) -> None:
        """Assert that the hold of the quiet channel gets an item, and open again what has ended."""
        self._count += 1
        content = f"<{self._count}>".encode()
        publish_ok(self._proxy.control_port, stream_item("quiet", content.decode()))
        self._quiet.read_until(content, PATIENCE_S)
        for number, victim in enumerate(self._victims):
            while victim.is_readable(0):
                try:
                    victim.read_exactly(1)
                except ClosedByServer:
                    victim.close()
                    victim = self._victims[number] = RawClient(self._proxy.port)
                    victim.request(self._paths[number])
                    break
        self._bystander.check()

    def close(self) -> None:
        """Leave."""
        self._bystander.close()
        for client in (self._quiet, *self._victims):
            client.close()


@pytest.fixture(scope="module")
def audience(proxy: ProxyUnderTest, backend: ScriptedBackend) -> Iterator[Audience]:
    listening = Audience(proxy, backend)
    yield listening
    listening.check()
    listening.close()


@fuzz(mutated(items.JSON_SEEDS, items.TOKENS), examples=EXAMPLES)
def test_any_body(proxy: ProxyUnderTest, audience: Audience, body: bytes) -> None:
    response = post_publish(proxy.control_port, body)
    assert response.status in (200, 400)
    assert response.text.endswith("\n")
    audience.check()


@fuzz(mutated(items.FRAMES, items.FRAME_TOKENS), st.lists(st.binary(max_size=4), max_size=2), examples=EXAMPLES)
def test_any_pushed_message(
    push: ZmqSocket, pub: ZmqSocket, audience: Audience, frame: bytes, parts: list[bytes]
) -> None:
    push.send(frame, *parts)
    pub.send(b"a", frame, *parts)
    audience.check()


COMMANDS = [
    tnet.encode({"id": "1", "method": "publish", "args": {"items": items.ITEMS[:2]}}),
    tnet.encode({"id": "1", "method": "conncheck", "args": {"ids": ["a"]}}),
    tnet.encode({"id": "1", "method": "refresh", "args": {"cid": "a"}}),
    tnet.encode({"id": "1", "method": "recover"}),
    tnet.encode({"method": "get-zmq-uris"}),
]


@fuzz(mutated(COMMANDS, tnetstrings.TOKENS), st.lists(st.binary(max_size=4), max_size=2), examples=EXAMPLES)
def test_any_command(commands: CommandClient, audience: Audience, frame: bytes, parts: list[bytes]) -> None:
    commands.send(frame, *parts)
    commands.send(tnet.encode({"id": "last", "method": "get-zmq-uris"}))
    while True:
        answer = commands.receive(PATIENCE_S)
        assert answer["success"] in (True, False)
        if answer.get("id") == b"last":
            break
    audience.check()


def test_the_seeds_are_items(proxy: ProxyUnderTest, audience: Audience) -> None:
    """What is mutated is valid, or nothing but refusals would be tried."""
    for item in items.ITEMS:
        response = post_publish(proxy.control_port, json.dumps({"items": [item]}).encode())
        assert (response.status, response.text) == (200, "Published\n")
    audience.check()
