"""Clients that send the same request again and again: nobody can tell that it is prepared only once."""

from __future__ import annotations

import itertools
import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend, in_one_write
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.messages import HeaderList
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok, response_item
from tests.harness.timing import eventually
from tests.harness.tls import TlsClient, make_certificate, wait_tls_port
from tests.harness.tokens import token_claims

PORT = free_port()
KEY = "changeme"
TIMES = 4


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    proxy = launch(
        f"* 127.0.0.1:{backend.port}",
        settings={
            "runner": {"https_ports": f"127.0.0.1:{PORT}"},
            "proxy": {"x_forwarded_for": "append", "set_x_forwarded_protocol": "true", "sig_key": KEY},
        },
        files=make_certificate("x").files(f"default_{PORT}"),
    )
    wait_tls_port(proxy, PORT)
    return proxy


@pytest.fixture
def path(backend: ScriptedBackend) -> str:
    return backend.serve(in_one_write(Reply(body=b"ok")))


def ask(client: RawClient, path: str, times: int = 1) -> None:
    for _ in range(times):
        client.request(path, headers=[("X-A", "1"), ("Cookie", "a=b")])
        assert client.read_response().text == "ok"


def received(stage: Stage, path: str) -> list[HeaderList]:
    """The fields that the backend got, but for the signature."""
    return [
        [(name, value) for name, value in request.headers if name != "Grip-Sig"]
        for request in stage.backend.requests(path)
    ]


def test_polls(stage: Stage, path: str) -> None:
    ask(stage.client(), path)
    ask(stage.client(), path, TIMES)
    first, *others = received(stage, path)
    assert others == [first] * TIMES
    assert ("Cookie", "a=b") in first and ("X-Forwarded-For", "127.0.0.1") in first
    stage.proxy.wait_log(rf"\[INFO\].* GET http://localhost{path} -> .* code=200 2$", 1 + TIMES)


def test_signatures(stage: Stage, path: str) -> None:
    """Each is good for an hour from its request on."""
    client = stage.client()
    began = int(time.time())
    deadline = time.monotonic() + 2.2
    while time.monotonic() < deadline:
        ask(client, path)
        ended = int(time.time())
        token = stage.backend.requests(path)[-1].header("Grip-Sig")
        assert began <= token_claims(token, KEY.encode())["exp"] - 3600 <= ended
        began = ended


def test_addresses(stage: Stage, path: str) -> None:
    """Each client has its own."""
    addresses = ["127.0.0.1", "127.0.0.2", "127.0.0.3"]
    clients = [stage.client(address) for address in addresses]
    for client in clients * TIMES:
        ask(client, path)
    sent = [dict(headers)["X-Forwarded-For"] for headers in received(stage, path)]
    assert sent == addresses * TIMES


def test_tls_and_not(stage: Stage, path: str) -> None:
    plain = stage.client()
    with TlsClient(PORT) as tls:
        for client in (plain, tls) * TIMES:
            ask(client, path)
        ask(plain, path, TIMES)
        ask(tls, path, TIMES)
    sent = [dict(headers).get("X-Forwarded-Proto") for headers in received(stage, path)]
    assert sent == [None, "https"] * TIMES + [None] * TIMES + ["https"] * TIMES


def test_a_poll_that_is_held(stage: Stage) -> None:
    """The first times it is answered at once, then held, again and again."""
    channel = fresh_channel()
    numbers = itertools.count()
    held = in_one_write(poll_reply(channel))
    path = stage.backend.serve(lambda _: in_one_write(Reply(body=b"ok")) if next(numbers) < TIMES else held)
    client = stage.client()
    ask(client, path, TIMES)
    for number in range(TIMES):
        client.request(path, headers=[("X-A", "1"), ("Cookie", "a=b")])
        stage.proxy.wait_held(path, number + 1)
        publish_ok(stage.proxy.control_port, response_item(channel, f"news {number}"))
        assert client.read_response().text == f"news {number}"
    first, *others = received(stage, path)
    assert others == [first] * (2 * TIMES - 1)


def test_new_routes(launch_once: Launch, backend: ScriptedBackend, connect: Connect, path: str) -> None:
    """A client that keeps its connection gets what the new ones say."""
    target = f"127.0.0.1:{backend.port}"
    proxy = launch_once(f"* {target}")
    client = connect(proxy.port)
    ask(client, path, TIMES)
    proxy.write_routes([f"*,header=X-New:1 {target}"])

    def is_new() -> bool:
        ask(client, path)
        return backend.requests(path)[-1].has("X-New")

    eventually(is_new, "the new routes are in force")
    ask(client, path, TIMES)
    assert [request.has("X-New") for request in backend.requests(path)[-TIMES:]] == [True] * TIMES
    assert not any(request.has("X-New") for request in backend.requests(path)[:TIMES])
    proxy.write_routes(["other.example " + target])
    proxy.wait_log("routes loaded with 1 entries$", 3)
    client.request(path, headers=[("X-A", "1"), ("Cookie", "a=b")])
    assert client.read_response().status == 502
