"""Whatever a backend answers: its client gets HTTP or is cut off, others are served, and the log shows no fault."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from hypothesis import strategies as st
from tests.fuzz import test_instructs as instructs
from tests.fuzz import test_ws_control as ws_control
from tests.fuzz import test_ws_events as ws_events
from tests.fuzz.bystander import Bystander, read_what_comes
from tests.fuzz.http1 import RESPONSE_TOKENS, RESPONSES
from tests.fuzz.mutations import PLACES, cut, mutated
from tests.fuzz.targets import fuzz
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, RawClient
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, stream_item
from tests.harness.ws_events import events_reply

EXAMPLES = 60
WAIT_S = 0.03
SHAKE = (
    b"GET /any HTTP/1.1\r\nHost: events\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
)
HELLO = b"\x81\x85\0\0\0\0hello"


@dataclass
class Backend:
    """What the next request is answered with."""

    reply: Reply | RawReply

    def answer(self, _request: Request) -> Reply | RawReply:
        return self.reply


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"events {target},over_http", f"raw {target}", f"* {target}")


@pytest.fixture(scope="module")
def origin(backend: ScriptedBackend) -> Backend:
    made = Backend(Reply())
    backend.serve(made.answer, "/any")
    return made


@pytest.fixture(scope="module")
def bystander(proxy: ProxyUnderTest, backend: ScriptedBackend) -> Iterator[Bystander]:
    waiting = Bystander(proxy, backend.serve(Reply(body=b"ok")), b"ok")
    yield waiting
    waiting.check()
    waiting.close()


def ask(proxy: ProxyUnderTest) -> None:
    """Make the request; the client accepts nothing that is not HTTP."""
    with RawClient(proxy.port) as client:
        client.request("/any")
        if not client.is_readable(1):
            return
        try:
            client.read_response(timeout_s=WAIT_S)
        except (ClosedByServer, TimeoutError):
            return


@fuzz(mutated(RESPONSES, RESPONSE_TOKENS), PLACES, st.booleans(), examples=EXAMPLES)
def test_any_response(
    proxy: ProxyUnderTest, origin: Backend, bystander: Bystander, data: bytes, places: list[int], resets: bool
) -> None:
    origin.reply = RawReply(cut(data, places), resets=resets)
    ask(proxy)
    bystander.check()


@fuzz(instructs.HEADERS, instructs.BODIES, st.booleans(), examples=EXAMPLES)
def test_any_instruct(
    proxy: ProxyUnderTest,
    origin: Backend,
    bystander: Bystander,
    headers: list[tuple[bytes, bytes]],
    body: bytes,
    is_json: bool,
) -> None:
    """What it comes to is published to, and all that are held ask again."""
    fields = [(name.decode(), value.decode("latin-1")) for name, value in headers if name != b"Content-Length"]
    if is_json:
        fields.append(("Content-Type", "application/grip-instruct"))
    origin.reply = Reply(headers=fields, body=body)
    with RawClient(proxy.port) as client:
        client.request("/any")
        client.is_readable(WAIT_S)
        origin.reply = Reply(404)
        publish_ok(proxy.control_port, *(stream_item(channel, "item\n") for channel in ("a", "b", "test")))
        read_what_comes(client, WAIT_S / 3)
    bystander.check()


EVENTS = mutated([b"OPEN\r\n" + seed for seed in ws_events.SEEDS], ws_events.TOKENS)
CONTROLS = mutated(ws_control.CONTROLS, ws_control.TOKENS)
EXTENSIONS = st.sampled_from(["grip", 'grip; message-prefix=""', "grip; message-prefix=x"])


@fuzz(EVENTS, CONTROLS, EXTENSIONS, examples=EXAMPLES)
def test_any_events(
    proxy: ProxyUnderTest, origin: Backend, bystander: Bystander, events: bytes, control: bytes, extension: str
) -> None:
    order = b"c:" + control
    body = b"OPEN\r\nTEXT %x\r\n%b\r\n%b" % (len(order), order, events)
    origin.reply = events_reply(body=body, headers=[("Sec-WebSocket-Extensions", extension)])
    with RawClient(proxy.port) as client:
        client.send(SHAKE)
        client.is_readable(1)
        origin.reply = events_reply(body=events)
        client.send(HELLO)
        read_what_comes(client, WAIT_S)
    bystander.check()


@fuzz(
    mutated(RESPONSES, [*RESPONSE_TOKENS, b"HTTP/1.1 101 X\r\n", b"Upgrade: websocket\r\n"]), PLACES, examples=EXAMPLES
)
def test_any_answer_to_a_handshake(
    proxy: ProxyUnderTest, origin: Backend, bystander: Bystander, data: bytes, places: list[int]
) -> None:
    for host in (b"events", b"raw"):
        origin.reply = RawReply(cut(data, places))
        with RawClient(proxy.port) as client:
            client.send(SHAKE.replace(b"events", host))
            read_what_comes(client, WAIT_S)
    bystander.check()
