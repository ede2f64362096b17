"""Equal requests that share one to the backend (`share_all`), and what must not be shared."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence

import pytest
from tests.harness.backend import AnyReply, Framing, Piece, RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, RawClient
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.messages import HeaderList, Request
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item
from tests.harness.timing import eventually, scaled

COOKIE = ("Set-Cookie", "session=of-one-client")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"* {target}", f"debug.example,debug {target}", settings={"handler": {"share_all": "true"}})


class Question:
    """A path whose backend answers when the test says so, and the clients that ask for it."""

    def __init__(self, stage: Stage, reply: AnyReply) -> None:
        self.stage = stage
        self.gate = threading.Event()
        self.path = stage.backend.serve(lambda request: self._answer(request, reply))

    def _answer(self, _request: Request, reply: AnyReply) -> AnyReply:
        self.gate.wait(scaled(15))
        return reply

    def ask(self, *headers: HeaderList, method: str = "GET", body: bytes | None = None) -> list[RawClient]:
        """One client for each list of headers; all of them wait for the answer when this returns."""
        clients = [self.stage.client() for _ in headers]
        for client, own in zip(clients, headers, strict=True):
            client.request(self.path, method=method, headers=own, body=body)
        self.settle()
        return clients

    def settle(self) -> None:
        """Wait until what was sent has reached the proxy, and whatever it makes of that the backend."""
        eventually(lambda: self.requests, "a request")
        time.sleep(scaled(0.3))

    @property
    def requests(self) -> list[Request]:
        return self.stage.backend.requests(self.path)


def texts(clients: Sequence[RawClient], method: str = "GET") -> list[str]:
    return [client.read_response(method).text for client in clients]


class TestSharing:
    def test_while_the_backend_is_waited_for(self, stage: Stage) -> None:
        """routes-79: one request, three full answers; the log says so."""
        question = Question(stage, Reply(headers=[("X-Own", "kept")], body=b"answer"))
        clients = question.ask([], [], [])
        question.gate.set()
        answers = [client.read_response() for client in clients]
        assert [(answer.text, answer.header("X-Own")) for answer in answers] == [("answer", "kept")] * 3
        assert len(question.requests) == 1
        lines = stage.proxy.wait_log(rf"{question.path} -> .* code=200 6 shared=", 3)
        assert len({line.partition(" shared=")[2] for line in lines}) == 1

    def test_after_the_head(self, stage: Stage) -> None:
        """routes-79: who comes later gets the head and what has come of the body, then the rest."""
        gate = threading.Event()
        body: list[Piece] = [b"a" * 99_999, gate, b"b" * 200_000]
        path = stage.backend.serve(Reply(headers=[("X-Own", "kept")], body=body, framing=Framing.CHUNKED))
        first = stage.client()
        first.request(path)
        assert first.read_head().header("X-Own") == "kept"
        assert first.read_data(99_999) == b"a" * 99_999
        late = stage.client()
        late.request(path)
        assert late.read_head().header("X-Own") == "kept"
        assert late.read_data(99_999) == b"a" * 99_999
        gate.set()
        for client in (first, late):
            assert client.read_data(200_000) == b"b" * 200_000
            assert client.read_chunks() == b""
        assert len(stage.backend.requests(path)) == 1

    def test_too_late(self, stage: Stage) -> None:
        """routes-79: more than 100,000 bytes have come, so that it asks anew."""
        gate = threading.Event()
        path = stage.backend.serve(Reply(body=[b"a" * 100_001, gate], framing=Framing.CHUNKED))
        first, late = stage.client(), stage.client()
        first.request(path)
        first.read_head()
        first.read_data(100_001)
        late.request(path)
        eventually(lambda: len(stage.backend.requests(path)) == 2, "a request of its own")
        gate.set()
        assert late.read_response().body == b"a" * 100_001

    def test_not_after_the_end(self, stage: Stage) -> None:
        """Nothing is a cache."""
        question = Question(stage, Reply(body=b"answer"))
        question.gate.set()
        for _ in range(2):
            assert texts(question.ask([])) == ["answer"]
        assert len(question.requests) == 2
        assert not stage.proxy.log_lines(rf"{question.path} .*shared=")

    def test_other_uris_and_methods(self, stage: Stage) -> None:
        question = Question(stage, Reply(body=b"answer"))
        clients = [stage.client() for _ in range(3)]
        for client, method, query in zip(clients, ("GET", "GET", "HEAD"), ("", "?a", ""), strict=True):
            client.request(question.path + query, method=method)
        question.gate.set()
        for client, method in zip(clients, ("GET", "GET", "HEAD"), strict=True):
            assert client.read_response(method).status == 200
        assert len(question.requests) == 3

    def test_failure(self, stage: Stage) -> None:
        """All of them get the error."""
        question = Question(stage, RawReply([b"no response\r\n\r\n"]))
        clients = question.ask([], [])
        question.gate.set()
        assert texts(clients) == ["Error while proxying to origin.\n"] * 2
        assert len(question.requests) == 1

    @differs("truncated-answer")
    def test_broken_off(self, stage: Stage) -> None:
        """All of them can tell."""
        question = Question(stage, Reply(body=b"begin", length=100, breaks_off=True))
        clients = question.ask([], [])
        question.gate.set()
        for client in clients:
            with pytest.raises(ClosedByServer):
                client.read_response()
        assert len(question.requests) == 1


class TestLeaving:
    def test_one_leaves(self, stage: Stage) -> None:
        """Even the one whose request it was."""
        question = Question(stage, Reply(body=b"answer"))
        first = question.ask([])
        others = question.ask([], [])
        first[0].close()
        question.settle()
        question.gate.set()
        assert texts(others) == ["answer"] * 2
        assert len(question.requests) == 1

    def test_all_leave(self, stage: Stage) -> None:
        """Then the backend is left, too, and the next one asks anew."""
        gate = threading.Event()
        path = stage.backend.serve(Reply(body=[b"begin", gate, b"end"], framing=Framing.CHUNKED))
        clients = [stage.client() for _ in range(2)]
        for client in clients:
            client.request(path)
            client.read_head()
            assert client.read_data(5) == b"begin"
        for client in clients:
            client.close()
        time.sleep(scaled(0.3))
        gate.set()
        last = stage.client()
        last.request(path)
        assert last.read_response().body == b"beginend"
        assert len(stage.backend.requests(path)) == 2


class TestGrip:
    def test_streams(self, stage: Stage) -> None:
        """Each has a hold of its own."""
        channel = fresh_channel()
        question = Question(stage, stream_reply(channel, b"opened\n"))
        clients = question.ask([], [])
        question.gate.set()
        for client in clients:
            client.read_head()
            assert client.read_data(7) == b"opened\n"
        stage.proxy.wait_held(question.path, 2)
        publish_ok(stage.proxy.control_port, stream_item(channel, "news"))
        for client in clients:
            assert client.read_data(4) == b"news"
        assert len(question.requests) == 1

    def test_polls(self, stage: Stage) -> None:
        channel = fresh_channel()
        question = Question(stage, poll_reply(channel))
        clients = question.ask([], [])
        question.gate.set()
        stage.proxy.wait_held(question.path, 2)
        publish_ok(stage.proxy.control_port, response_item(channel, "news"))
        assert texts(clients) == ["news"] * 2
        assert len(question.requests) == 1

    def test_wrong_instruct(self, stage: Stage) -> None:
        question = Question(stage, Reply(headers=[("Grip-Hold", "wrong")]))
        clients = question.ask([], [])
        question.gate.set()
        assert [client.read_response().status for client in clients] == [502, 502]
        assert len(question.requests) == 1


@differs("sharing-equal")
class TestWhatIsNotEqual:
    """A backend could tell these from each other."""

    @pytest.mark.parametrize(
        ("name", "values"),
        [
            ("Cookie", ("user=a", "user=b")),
            ("Authorization", ("Bearer a", "Bearer b")),
            ("Accept-Language", ("de", "en")),
            ("User-Agent", ("a", "b")),
            ("Range", ("bytes=0-1", "bytes=2-3")),
            ("X-Forwarded-For", ("192.0.2.1", "192.0.2.2")),
            ("X-Api-Key", ("a", "b")),
        ],
    )
    def test_headers(self, stage: Stage, name: str, values: tuple[str, str]) -> None:
        question = Question(stage, Reply(body=b"answer"))
        clients = question.ask(*([(name, value)] for value in values))
        assert {request.header(name) for request in question.requests} == set(values)
        question.gate.set()
        assert texts(clients) == ["answer"] * 2

    def test_one_has_a_cookie(self, stage: Stage) -> None:
        question = Question(stage, Reply(body=b"answer"))
        clients = question.ask([("Cookie", "user=a")], [])
        assert len(question.requests) == 2
        question.gate.set()
        assert texts(clients) == ["answer"] * 2

    def test_posts(self, stage: Stage) -> None:
        """Both happen, though they are the same."""
        question = Question(stage, Reply(body=b"done"))
        clients = question.ask([], [], method="POST", body=b"one more")
        assert [request.body for request in question.requests] == [b"one more"] * 2
        question.gate.set()
        assert texts(clients) == ["done"] * 2

    def test_body(self, stage: Stage) -> None:
        question = Question(stage, Reply(body=b"done"))
        clients = question.ask([], [], body=b"of a GET")
        assert len(question.requests) == 2
        question.gate.set()
        assert texts(clients) == ["done"] * 2


@differs("sharing-private")
class TestWhatIsForOneClient:
    """The answer goes to one of them, and each of the others asks for itself."""

    @pytest.mark.parametrize(
        "header",
        [
            COOKIE,
            ("Cache-Control", "max-age=1, Private"),
            ("Cache-Control", 'private="X-User"'),
            ("Cache-Control", "no-store"),
            ("Vary", "Accept, *"),
        ],
        ids=" ".join,
    )
    @pytest.mark.parametrize("credentials", [[], [("Cookie", "user=a")]], ids=["anonymous", "with-cookie"])
    def test_response(self, stage: Stage, header: tuple[str, str], credentials: HeaderList) -> None:
        question = Question(stage, Reply(headers=[header], body=b"answer"))
        clients = question.ask(*[credentials] * 3)
        assert len(question.requests) == 1
        question.gate.set()
        assert texts(clients) == ["answer"] * 3
        assert len(question.requests) == 3

    def test_instruct_in_json(self, stage: Stage) -> None:
        """What it says to the client counts, not only how it is said."""
        response = {"headers": dict([COOKIE]), "body": "opened"}
        reply = instruct_reply({"hold": {"mode": "stream", "channels": [{"name": "c"}]}, "response": response})
        question = Question(stage, reply)
        clients = question.ask([], [])
        question.gate.set()
        for client in clients:
            assert client.read_head().header("Set-Cookie") == COOKIE[1]
        assert len(question.requests) == 2

    def test_nobody_joins_afterwards(self, stage: Stage) -> None:
        gate = threading.Event()
        reply = Reply(headers=[COOKIE], body=[b"begin", gate], framing=Framing.CHUNKED)
        path = stage.backend.serve(reply)
        clients = [stage.client() for _ in range(2)]
        for client in clients:
            client.request(path)
            assert client.read_head().has("Set-Cookie")
        gate.set()
        assert len(stage.backend.requests(path)) == 2
