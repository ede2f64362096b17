"""Gone links: the backend is told that a client is gone, once."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend, held_back
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.links import NextLink, gone_link
from tests.harness.messages import Request
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, hint_item, publish_ok, response_item, stream_item
from tests.harness.timing import eventually
from tests.harness.tokens import token_claims

pytestmark = [differs("gone-links"), pytest.mark.spec("grip-73")]

NEVER_S = 0.4


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f'signed,sig_key=of-the-route,sig_iss=route,header="X-Set: 1" {target}',
        f"rewritten,path_beg=/outer,replace_beg=/inner {target}",
    )


@pytest.fixture
def channel() -> str:
    return fresh_channel()


@pytest.fixture
def gone(backend: ScriptedBackend) -> str:
    """The path that a gone link names."""
    return backend.serve(Reply())


def hold(stage: Stage, reply: Reply, host: str = "localhost") -> RawClient:
    """The client of a hold; for a stream, its head and initial body have been read."""
    client = stage.hold(reply, host=host, headers=[("X-A", "1"), ("Cookie", "a=b")])
    if ("Grip-Hold", "stream") in reply.headers:
        client.read_head()
    return client


def told_once(stage: Stage, path: str) -> Request:
    """The one request for ``path``."""
    request = stage.backend.request(path)
    time.sleep(NEVER_S)
    assert stage.backend.request(path) is request
    return request


class TestRequest:
    def test_client_leaves(self, stage: Stage, channel: str, gone: str) -> None:
        """A POST without a body, with nothing of the client and nothing of the stream."""
        hold(stage, stream_reply(f"{channel}", headers=[gone_link(f"{gone}?q")])).close()
        request = told_once(stage, gone)
        assert (request.method, request.target, bytes(request.body)) == ("POST", f"{gone}?q", b"")
        assert request.header("Content-Length") in (None, "0")
        assert set(request.names()) <= {"Host", "Grip-Sig", "Grip-Feature", "Content-Length"}
        assert request.header("Host") == "localhost"
        assert token_claims(request.header("Grip-Sig"), b"changeme")["iss"] == "pushpin"

    def test_ids_are_not_told(self, stage: Stage, channel: str, gone: str) -> None:
        links = [gone_link(gone), NextLink(stage.backend).header()]
        hold(stage, stream_reply(f"{channel}; prev-id=1", headers=links)).close()
        assert told_once(stage, gone).all("Grip-Last") == []

    def test_route(self, stage: Stage, channel: str, gone: str) -> None:
        hold(stage, stream_reply(channel, headers=[gone_link(gone)]), "signed").close()
        request = told_once(stage, gone)
        assert request.header("X-Set") == "1"
        assert token_claims(request.header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    def test_relative_to_the_request(self, stage: Stage, channel: str) -> None:
        inner = stage.backend.serve(Reply(), "/inner/b/gone")
        stage.backend.serve(stream_reply(channel, headers=[gone_link("b/gone")]), "/inner/first")
        client = stage.client()
        client.request("/outer/first", host="rewritten")
        client.read_head()
        stage.proxy.wait_held("/outer/first")
        client.close()
        told_once(stage, inner)

    def test_direct(self, stage: Stage, channel: str, elsewhere: ScriptedBackend) -> None:
        path = elsewhere.serve(Reply())
        uri = f"http://127.0.0.1:{elsewhere.port}{path}"
        hold(stage, stream_reply(channel, headers=[gone_link(uri)]), "signed").close()
        request = elsewhere.request(path)
        assert (request.header("Host"), request.has("X-Set")) == (f"127.0.0.1:{elsewhere.port}", False)
        assert token_claims(request.header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    def test_not_shared(self, stage: Stage, channel: str, gone: str) -> None:
        """Every client is told of."""
        clients = [hold(stage, stream_reply(channel, headers=[gone_link(gone)])) for _ in range(3)]
        for client in clients:
            client.close()
        eventually(lambda: len(stage.backend.requests(gone)) >= 3, "three requests")
        time.sleep(NEVER_S)
        assert len(stage.backend.requests(gone)) == 3

    def test_last_of_several(self, stage: Stage, channel: str, gone: str) -> None:
        unused = stage.backend.serve(Reply())
        hold(stage, stream_reply(channel, headers=[gone_link(unused), gone_link(gone)])).close()
        told_once(stage, gone)
        assert stage.backend.requests(unused) == []

    @pytest.mark.parametrize(
        "answer", [Reply(500), Reply(302, headers=[("Location", "/")]), RawReply([b"garbage\r\n"])]
    )
    def test_failure_is_not_repeated(self, stage: Stage, channel: str, answer: Reply | RawReply) -> None:
        gone = stage.backend.serve(answer)
        hold(stage, stream_reply(channel, headers=[gone_link(gone)])).close()
        eventually(lambda: stage.backend.requests(gone), "the request")
        time.sleep(2.2)
        assert len(stage.backend.requests(gone)) == 1


class TestEnds:
    """Whatever the end of the hold."""

    def test_close_item(self, stage: Stage, channel: str, gone: str, control_port: int) -> None:
        """The connection goes on, and its next hold has a gone link of its own."""
        client = hold(stage, stream_reply(channel, headers=[gone_link(gone)]))
        publish_ok(control_port, close_item(channel))
        assert client.read_chunks() == b""
        told_once(stage, gone)
        second = stage.backend.serve(Reply())
        path = stage.backend.serve(stream_reply(channel, headers=[gone_link(second)]))
        client.request(path)
        client.read_head()
        stage.proxy.wait_held(path)
        client.close()
        told_once(stage, second)
        assert len(stage.backend.requests(gone)) == 1

    def test_end_by_a_next_link(self, stage: Stage, channel: str, gone: str, control_port: int) -> None:
        link = NextLink(stage.backend)
        link.answers(Reply(body=b"last"))
        client = hold(stage, link.holds(channel, headers=[gone_link(gone)]))
        publish_ok(control_port, hint_item(channel))
        assert client.read_chunks() == b"last"
        told_once(stage, gone)

    def test_client_leaves_while_a_link_is_asked(
        self, stage: Stage, channel: str, gone: str, control_port: int
    ) -> None:
        link, gate = NextLink(stage.backend), threading.Event()
        link.answers(held_back(gate, link.holds(channel)))
        client = hold(stage, link.holds(channel, headers=[gone_link(gone)]))
        publish_ok(control_port, hint_item(channel))
        link.asked(1)
        client.close()
        told_once(stage, gone)
        gate.set()

    def test_response_is_delivered(self, stage: Stage, channel: str, gone: str, control_port: int) -> None:
        client = hold(stage, poll_reply(channel, headers=[gone_link(gone)]))
        publish_ok(control_port, response_item(channel, "item"))
        assert client.read_response().text == "item"
        told_once(stage, gone)

    def test_poll_client_leaves(self, stage: Stage, channel: str, gone: str) -> None:
        hold(stage, poll_reply(channel, headers=[gone_link(gone)])).close()
        told_once(stage, gone)

    @pytest.mark.slow
    def test_timeout_of_a_poll(self, stage: Stage, channel: str, gone: str) -> None:
        client = hold(stage, poll_reply(channel, b"nothing", [("Grip-Timeout", "5"), gone_link(gone)]))
        assert client.read_response(timeout_s=8).text == "nothing"
        told_once(stage, gone)

    def test_retry_waits(self, stage: Stage, channel: str, gone: str, control_port: int) -> None:
        """grip spec §6.9: the backend hears of the end of a poll before it is asked again."""
        gate, order = threading.Event(), []

        def noting(name: str, reply: Reply | RawReply) -> Callable[[Request], Reply | RawReply]:
            def answer(_request: Request) -> Reply | RawReply:
                order.append(name)
                return reply

            return answer

        stage.backend.serve(noting("gone", held_back(gate, Reply())), gone)
        path = stage.backend.serve(noting("poll", poll_reply(channel, headers=[gone_link(gone)])))
        client = stage.client()
        client.request(path)
        stage.proxy.wait_held(path)
        stage.backend.serve(noting("retry", Reply(body=b"last")), path)
        publish_ok(control_port, hint_item(channel))
        eventually(lambda: order[1:], "the request")
        client.assert_silent(NEVER_S)
        assert order == ["poll", "gone"]
        gate.set()
        assert client.read_response().text == "last"
        assert order == ["poll", "gone", "retry"]

    def test_channels_are_released_first(self, stage: Stage, channel: str, control_port: int) -> None:
        """Nothing reaches a client whose end is being told."""
        gate = threading.Event()
        gone = stage.backend.serve(held_back(gate, Reply()))
        client = hold(stage, stream_reply(channel, headers=[gone_link(gone)]))
        publish_ok(control_port, close_item(channel), stream_item(channel, "no"))
        assert client.read_chunks() == b""
        stage.backend.request(gone)
        client.request(stage.backend.serve(Reply(body=b"plain")))
        assert client.read_response().text == "plain"
        gate.set()


class TestWhichCounts:
    """Only the gone link of the first answer, and only if that holds."""

    def test_answer_of_a_next_link(self, stage: Stage, channel: str, gone: str, control_port: int) -> None:
        """It neither replaces the first one nor takes it away."""
        link, unused = NextLink(stage.backend), stage.backend.serve(Reply())
        link.answers(link.holds(channel, b"1", [gone_link(unused)]), link.holds(channel, b"2"))
        client = hold(stage, link.holds(channel, headers=[gone_link(gone)]))
        for data in (b"1", b"2"):
            publish_ok(control_port, hint_item(channel))
            assert client.read_data(1) == data
        assert stage.backend.requests(gone) == []
        client.close()
        told_once(stage, gone)
        assert stage.backend.requests(unused) == []
