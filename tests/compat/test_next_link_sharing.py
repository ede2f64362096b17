"""Requests for next links that are shared: what is asked at the same moment for several streams is asked once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest

import pytest
from tests.harness.backend import Reply, ScriptedBackend, held_back
from tests.harness.client import Connect, RawClient
from tests.harness.grip import Stage, stream_reply
from tests.harness.links import NextLink, lasts
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import hint_item, publish_ok, recover

LAST = Reply(body=b"last")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}", settings={"proxy": {"x_forwarded_for": "append"}})


class TestSharing:
    """What equal requests of the same moment are: one."""

    @pytest.fixture
    def gate(self) -> threading.Event:
        return threading.Event()

    def clients(
        self, stage: Stage, holds: Sequence[str], link: NextLink, queries: Sequence[str] = ()
    ) -> list[RawClient]:
        """Streams with these channels, and the next link with these queries."""
        clients = []
        for channels, query in zip_longest(holds, queries, fillvalue=""):
            clients.append(stage.hold(stream_reply(channels, headers=[link.header(query=query)])))
            clients[-1].read_head()
        return clients

    @pytest.mark.spec("grip-64")
    def test_same_path_and_ids(
        self, stage: Stage, link: NextLink, gate: threading.Event, names: Iterator[str], control_port: int
    ) -> None:
        """The order of channels means nothing, and neither does one without an id."""
        one, two, extra = next(names), next(names), next(names)
        link.answers(held_back(gate, LAST), Reply(body=b"second"))
        holds = [f"{one}; prev-id=1, {two}; prev-id=2", f"{two}; prev-id=2, {one}; prev-id=1"]
        clients = self.clients(stage, [*holds, *(f"{hold}, {extra}" for hold in holds)], link)
        recover(control_port)
        link.asked(1)
        time.sleep(0.3)
        gate.set()
        assert [client.read_chunks() for client in clients] == [b"last"] * 4
        assert lasts(link.asked(1)[0]) == [f"{one}; last-id=1", f"{two}; last-id=2"]

    @pytest.mark.spec("grip-64")
    def test_hint(self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int) -> None:
        """Twenty clients of one channel cost one request."""
        link.answers(held_back(gate, link.holds(channel, b"more")), Reply(body=b"last"))
        clients = self.clients(stage, [channel] * 20, link)
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        time.sleep(0.2)
        gate.set()
        assert [client.read_data(4) for client in clients] == [b"more"] * 20
        link.asked(1)
        publish_ok(control_port, hint_item(channel))
        assert [client.read_chunks() for client in clients] == [b"last"] * 20

    def test_clients_from_elsewhere(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """The address of the client is no part of the request, even if others are told of it."""
        link.answers(held_back(gate, LAST), Reply(body=b"second"))
        clients = []
        for source in ("127.0.0.1", "127.0.0.2"):
            path = stage.backend.serve(stream_reply(channel, headers=[link.header()]))
            clients.append(stage.client(source=source))
            clients[-1].request(path)
            clients[-1].read_head()
            stage.proxy.wait_held(path)
            assert stage.backend.request(path).header("X-Forwarded-For") == source
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        time.sleep(0.2)
        gate.set()
        assert [client.read_chunks() for client in clients] == [b"last"] * 2
        assert link.asked(1)[0].all("X-Forwarded-For") == []

    @differs("link-query")
    def test_other_query(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """What is for one user does not go to another."""
        link.answers(held_back(gate, LAST))
        clients = self.clients(stage, [channel] * 2, link, ["?a=1", "?a=2"])
        publish_ok(control_port, hint_item(channel))
        requests = link.asked(2)
        gate.set()
        assert [client.read_chunks() for client in clients] == [b"last"] * 2
        assert sorted(request.target for request in requests) == [f"{link.path}?a=1", f"{link.path}?a=2"]

    def test_other_ids(
        self, stage: Stage, link: NextLink, names: Iterator[str], gate: threading.Event, control_port: int
    ) -> None:
        one, two = next(names), next(names)
        link.answers(held_back(gate, LAST))
        holds = [f"{one}; prev-id=1, {two}", f"{one}; prev-id=2, {two}", two]
        clients = self.clients(stage, holds, link)
        publish_ok(control_port, hint_item(two))
        requests = link.asked(3)
        gate.set()
        assert [client.read_chunks() for client in clients] == [b"last"] * 3
        assert sorted(lasts(request) for request in requests) == [[], [f"{one}; last-id=1"], [f"{one}; last-id=2"]]

    @differs("link-asked-before")
    def test_who_comes_late(self, stage: Stage, link: NextLink, gate: threading.Event) -> None:
        """What was asked before it came may not know what it needs: it asks for itself."""
        link.answers(Reply(body=[b"one ", gate, b"two"], length=7), Reply(body=b"second"))
        path = stage.backend.serve(link.leads_on(b"first "))
        clients = [stage.client(), stage.client()]
        for client, beginning in zip(clients, [b"first one ", b"first second"], strict=True):
            client.request(path)
            client.read_head()
            assert client.read_data(len(beginning)) == beginning
        gate.set()
        assert clients[0].read_chunks() == b"two"
        link.asked(2)

    def test_who_leaves(
        self, stage: Stage, link: NextLink, gate: threading.Event, channel: str, control_port: int
    ) -> None:
        """The request goes on for the others, also if who was first leaves."""
        link.answers(held_back(gate, LAST), Reply(body=b"second"))
        clients = self.clients(stage, [channel] * 2, link)
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        time.sleep(0.1)
        clients[0].close()
        time.sleep(0.1)
        gate.set()
        assert clients[1].read_chunks() == b"last"
        link.asked(1)

    def test_slow_reader_takes_its_time(
        self, stage: Stage, connect: Connect, link: NextLink, channel: str, control_port: int
    ) -> None:
        """And another one may be quicker."""
        body = b"x" * 1_000_000
        link.answers(Reply(body=[0.2, body], length=len(body)), Reply(body=b"second"))
        path = stage.backend.serve(stream_reply(channel, b"first ", headers=[link.header()]))
        quick, slow = stage.client(), connect(stage.proxy.port, receive_buffer=4096)
        for client in (quick, slow):
            client.request(path)
        stage.proxy.wait_held(path, 2)
        publish_ok(control_port, hint_item(channel))
        assert quick.read_response().body == b"first " + body
        assert slow.read_response(timeout_s=30).body == b"first " + body
        link.asked(1)
