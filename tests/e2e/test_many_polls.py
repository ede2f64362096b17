"""Very many long polls that ask their backend again at once: each of them gets its answer."""

from __future__ import annotations

import itertools

import pytest
from tests.harness.backend import AnyReply, Reply, ScriptedBackend
from tests.harness.client import RawClient, fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish_ok

COUNT = 200


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}", settings={"handler": {"update_on_first_subscription": "false"}})


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def clients(stage: Stage, channel: str) -> list[RawClient]:
    """Polls of one path and channel, whose second answer is an ordinary one."""
    turns = itertools.count()

    def answer(_request: Request) -> AnyReply:
        return poll_reply(channel) if next(turns) < COUNT else Reply(body=b"answered by the backend")

    path = stage.backend.serve(answer)
    clients = [stage.client() for _ in range(COUNT)]
    for client in clients:
        client.request(path)
    stage.proxy.wait_held(path, COUNT)
    return clients


def assert_answered(clients: list[RawClient]) -> None:
    assert [client.read_response().text for client in clients] == ["answered by the backend"] * COUNT


def test_hint(stage: Stage, clients: list[RawClient], channel: str) -> None:
    publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"action": "hint"}}})
    assert_answered(clients)


def test_recover(stage: Stage, clients: list[RawClient]) -> None:
    assert fetch(stage.proxy.control_port, "/recover/", method="POST", body=b"").status == 200
    assert_answered(clients)
