"""The filters http-check and http-modify: a server is asked about each item for each client (grip spec §11.4)."""

from __future__ import annotations

import json
import threading
import time
from typing import Any

import pytest
from tests.harness.backend import AnyReply, Reply, ScriptedBackend, held_back
from tests.harness.client import RawClient
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.links import NextLink
from tests.harness.messages import HeaderList, Request
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import Item, hint_item, publish, publish_ok, response_item, stream_item, with_ids
from tests.harness.timing import eventually
from tests.harness.tokens import token_claims

pytestmark = [differs("http-filters"), pytest.mark.spec("grip-94")]

MAX_CONTENT_BYTES = 100_000
CALLS_PER_S = 100


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"debug,debug {target}",
        f"prefix,prefix=p- {target}",
        f'signed,sig_key=of-the-route,sig_iss=route,header="X-Set: 1" {target}',
    )


@pytest.fixture
def channel() -> str:
    return fresh_channel()


def filtered(channel: str, name: str, url: str, *, headers: HeaderList | None = None, meta: str = "") -> Reply:
    """A reply that holds a stream with one filter and its ``url``."""
    meta_value = f'url="{url}"{meta}'
    return stream_reply(f"{channel}; filter={name}", headers=[("Grip-Set-Meta", meta_value), *(headers or [])])


def hold(stage: Stage, reply: AnyReply, host: str = "localhost") -> RawClient:
    """The client of a held stream whose head has been read."""
    client = stage.hold(reply, host=host, headers=[("X-A", "1"), ("Cookie", "a=b")])
    client.read_head()
    return client


def told(request: Request, name: str) -> dict[str, Any]:
    """What a header says in compact JSON."""
    text = request.header(name)
    assert text is not None
    value: dict[str, Any] = json.loads(text)
    assert text == json.dumps(value, separators=(",", ":"))
    return value


class TestRequest:
    @pytest.mark.parametrize(("name", "body"), [("http-check", b""), ("http-modify", "contént".encode())])
    def test_head_and_body(self, stage: Stage, channel: str, control_port: int, name: str, body: bytes) -> None:
        """It tells of the hold and of the item, and has nothing of the client."""
        path = stage.backend.serve(Reply(204))
        link = NextLink(stage.backend).header()
        reply = filtered(f"{channel}; prev-id=1", name, f"{path}?q", headers=[link], meta=", user=bob")
        client = hold(stage, reply)
        item = {**with_ids(stream_item(channel, "contént"), "2", "1"), "meta": {"sender": "carol", "x": "y"}}
        publish_ok(control_port, item)
        assert client.read_data(8).decode() == "contént"
        request = stage.backend.request(path)
        assert (request.method, request.target, bytes(request.body)) == ("POST", f"{path}?q", body)
        assert told(request, "Sub-Meta") == {"url": f"{path}?q", "user": "bob"}
        assert told(request, "Pub-Meta") == {"sender": "carol", "x": "y"}
        assert request.all("Grip-Last") == [f"{channel}; last-id=1"]
        assert int(request.header("Content-Length") or 0) == len(body)
        assert (request.has("X-A"), request.has("Cookie"), request.header("Host")) == (False, False, "localhost")
        assert token_claims(request.header("Grip-Sig"), b"changeme")["iss"] == "pushpin"

    def test_no_meta_and_no_ids(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Reply())
        client = hold(stage, filtered(channel, "http-check", path))
        publish_ok(control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"
        request = stage.backend.request(path)
        assert told(request, "Sub-Meta") == {"url": path}
        assert told(request, "Pub-Meta") == {}
        assert request.all("Grip-Last") == []

    def test_prefix_is_not_told(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Reply())
        link = NextLink(stage.backend).header()
        client = hold(stage, filtered(f"{channel}; prev-id=1", "http-check", path, headers=[link]), "prefix")
        publish_ok(control_port, with_ids(stream_item(f"p-{channel}", "x"), "2", "1"))
        assert client.read_data(1) == b"x"
        assert stage.backend.request(path).all("Grip-Last") == [f"{channel}; last-id=1"]

    def test_route(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Reply())
        client = hold(stage, filtered(channel, "http-check", path), "signed")
        publish_ok(control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"
        request = stage.backend.request(path)
        assert request.header("X-Set") == "1"
        assert token_claims(request.header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    def test_direct(self, stage: Stage, channel: str, elsewhere: ScriptedBackend, control_port: int) -> None:
        path = elsewhere.serve(Reply())
        client = hold(stage, filtered(channel, "http-check", f"http://127.0.0.1:{elsewhere.port}{path}"), "signed")
        publish_ok(control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"
        request = elsewhere.request(path)
        assert (request.header("Host"), request.has("X-Set")) == (f"127.0.0.1:{elsewhere.port}", False)
        assert token_claims(request.header("Grip-Sig"), b"of-the-route")["iss"] == "route"

    def test_relative_to_the_newest_link(self, stage: Stage, channel: str, control_port: int) -> None:
        """First to the client's request, then to the next link."""
        base = f"/{fresh_channel()}"
        link = ("Grip-Link", f"<{base}/b/next>; rel=next")
        checks = [stage.backend.serve(Reply(), f"{base}{place}/check") for place in ("/a", "/b")]
        stage.backend.serve(filtered(channel, "http-check", "check", headers=[link]), f"{base}/a/first")
        again = filtered(channel, "http-check", "check", headers=[link])
        stage.backend.serve(Reply(headers=again.headers, body=b"next"), f"{base}/b/next")
        client = stage.client()
        client.request(f"{base}/a/first")
        client.read_head()
        stage.proxy.wait_held(f"{base}/a/first")
        publish_ok(control_port, stream_item(channel, "1"))
        assert client.read_data(1) == b"1"
        publish_ok(control_port, hint_item(channel))
        assert client.read_data(4) == b"next"
        publish_ok(control_port, stream_item(channel, "2"))
        assert client.read_data(1) == b"2"
        assert stage.backend.requests(checks[1])
        assert all(request.method == "POST" for check in checks for request in stage.backend.requests(check))

    def test_after_a_filter_that_drops(self, stage: Stage, channel: str, control_port: int) -> None:
        """Nobody asks about what is dropped anyway."""
        path = stage.backend.serve(Reply())
        reply = filtered(f"{channel}; filter=skip-self", "http-check", path, meta=", user=bob")
        client = hold(stage, reply)
        own = {**stream_item(channel, "no"), "meta": {"sender": "bob"}}
        publish_ok(control_port, own, {**stream_item(channel, "yes"), "meta": {"sender": "carol"}})
        assert client.read_data(3) == b"yes"
        assert told(stage.backend.request(path), "Pub-Meta") == {"sender": "carol"}


class TestCheck:
    @pytest.mark.parametrize("answer", [Reply(), Reply(204), Reply(headers=[("Action", "keep")], body=b"ignored")])
    def test_delivered(self, stage: Stage, channel: str, control_port: int, answer: Reply) -> None:
        """Just as it was published."""
        path = stage.backend.serve(answer)
        client = hold(stage, filtered(channel, "http-check", path))
        publish_ok(control_port, stream_item(channel, "item"))
        assert client.read_data(4) == b"item"
        stage.backend.request(path)

    @pytest.mark.parametrize("status", [200, 204])
    def test_dropped(self, stage: Stage, channel: str, control_port: int, status: int) -> None:
        """It counts as delivered: the next one follows it."""
        path = stage.backend.serve_in_turn(Reply(status, headers=[("Action", "drop")]), Reply())
        link = NextLink(stage.backend)
        client = hold(stage, filtered(f"{channel}; prev-id=1", "http-check", path, headers=[link.header()]))
        publish_ok(control_port, with_ids(stream_item(channel, "2,"), "2", "1"))
        publish_ok(control_port, with_ids(stream_item(channel, "3,"), "3", "2"))
        assert client.read_data(2) == b"3,"
        assert stage.backend.requests(path)[1].all("Grip-Last") == [f"{channel}; last-id=2"]
        link.asked(0)

    def test_each_client_for_itself(self, stage: Stage, channel: str, control_port: int) -> None:
        def decide(request: Request) -> Reply:
            is_bob = told(request, "Sub-Meta")["user"] == "bob"
            return Reply(headers=[("Action", "drop")] if is_bob else [])

        path = stage.backend.serve(decide)
        bob, carol = (hold(stage, filtered(channel, "http-check", path, meta=f", user={n}")) for n in ("bob", "carol"))
        publish_ok(control_port, stream_item(channel, "item"))
        assert carol.read_data(4) == b"item"
        bob.assert_silent(0.2)
        assert len(stage.backend.requests(path)) == 2

    def test_long_poll(self, stage: Stage, channel: str, control_port: int) -> None:
        """The item that passes is the answer."""
        path = stage.backend.serve_in_turn(Reply(headers=[("Action", "drop")]), Reply())
        headers = [("Grip-Set-Meta", f"url={path}")]
        client = stage.hold(poll_reply(f"{channel}; filter=http-check", headers=headers))
        publish_ok(control_port, response_item(channel, "one"))
        publish_ok(control_port, response_item(channel, "two"))
        assert client.read_response().text == "two"

    def test_order_is_kept(self, stage: Stage, channel: str, control_port: int) -> None:
        """What follows waits for the answer; other clients do not."""
        gate = threading.Event()
        path = stage.backend.serve_in_turn(held_back(gate, Reply()), Reply())
        client, other = hold(stage, filtered(channel, "http-check", path)), stage.stream(channel)
        publish_ok(control_port, *(stream_item(channel, f"{number},") for number in range(5)))
        assert other.read_data(10) == b"0,1,2,3,4,"
        client.assert_silent(0.2)
        assert len(stage.backend.requests(path)) == 1
        gate.set()
        assert client.read_data(10) == b"0,1,2,3,4,"
        assert len(stage.backend.requests(path)) == 5

    def test_client_leaves(self, stage: Stage, channel: str, control_port: int) -> None:
        gate = threading.Event()
        path = stage.backend.serve(held_back(gate, Reply()))
        client, other = hold(stage, filtered(channel, "http-check", path)), stage.stream(channel)
        publish_ok(control_port, stream_item(channel, "1"))
        assert other.read_data(1) == b"1"
        stage.backend.request(path)
        client.close()
        time.sleep(0.1)
        gate.set()
        publish_ok(control_port, stream_item(channel, "2"))
        assert other.read_data(1) == b"2"
        time.sleep(0.2)
        assert len(stage.backend.requests(path)) == 1

    def test_it_is_no_content_filter(self, stage: Stage, channel: str, control_port: int) -> None:
        """``content-filters`` does not speak of it."""
        path = stage.backend.serve(Reply())
        client = hold(stage, filtered(channel, "http-check", path))
        content = {"content": "item", "content-filters": []}
        publish_ok(control_port, {"channel": channel, "formats": {"http-stream": content}})
        assert client.read_data(4) == b"item"
        stage.backend.request(path)


class TestModify:
    @pytest.mark.parametrize(
        ("answer", "expected"),
        [
            (Reply(body=b"[changed]"), b"[changed]"),
            (Reply(body=bytes(range(256))), bytes(range(256))),
            (Reply(204), b"[item]"),
        ],
        ids=["changed", "binary", "kept"],
    )
    def test_stream(self, stage: Stage, channel: str, control_port: int, answer: Reply, expected: bytes) -> None:
        path = stage.backend.serve(answer)
        client = hold(stage, filtered(channel, "http-modify", path))
        publish_ok(control_port, stream_item(channel, "[item]"))
        assert client.read_data(len(expected)) == expected
        assert bytes(stage.backend.request(path).body) == b"[item]"

    def test_to_nothing(self, stage: Stage, channel: str, control_port: int) -> None:
        """An empty content writes nothing."""
        path = stage.backend.serve_in_turn(Reply(), Reply(204))
        client = hold(stage, filtered(channel, "http-modify", path))
        publish_ok(control_port, stream_item(channel, "1"), stream_item(channel, "2"))
        assert client.read_data(1) == b"2"

    def test_dropped(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve_in_turn(Reply(headers=[("Action", "drop")], body=b"no"), Reply(204))
        client = hold(stage, filtered(channel, "http-modify", path))
        publish_ok(control_port, stream_item(channel, "1"), stream_item(channel, "2"))
        assert client.read_data(1) == b"2"

    def test_response(self, stage: Stage, channel: str, control_port: int) -> None:
        """Status and headers are the published ones."""
        path = stage.backend.serve(Reply(body=b"longer than before"))
        headers = [("Grip-Set-Meta", f"url={path}")]
        client = stage.hold(poll_reply(f"{channel}; filter=http-modify", headers=headers))
        publish_ok(control_port, response_item(channel, "item", code=201, headers={"X-B": "b"}))
        response = client.read_response()
        assert (response.status, response.header("X-B"), response.text) == (201, "b", "longer than before")

    def test_before_another_filter(self, stage: Stage, channel: str, control_port: int) -> None:
        """The filters run in the order of their names in the answer."""
        path = stage.backend.serve(Reply(body=b"for %(user)s"))
        reply = filtered(f"{channel}; filter=http-modify", "var-subst", path, meta=", user=bob")
        client = hold(stage, reply)
        publish_ok(control_port, stream_item(channel, "item"))
        assert client.read_data(7) == b"for bob"

    def test_content_filters(self, stage: Stage, channel: str, control_port: int) -> None:
        """It is one."""
        path = stage.backend.serve(Reply(204))
        client = hold(stage, filtered(channel, "http-modify", path))

        def item(content: str, *names: str) -> Item:
            fields = {"content": content, "content-filters": list(names)}
            return {"channel": channel, "formats": {"http-stream": fields}}

        publish_ok(control_port, item("no"), item("no", "var-subst"), item("yes", "http-modify"))
        assert client.read_data(3) == b"yes"
        stage.backend.request(path)

    def test_longest_content(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Reply(body=b"x" * MAX_CONTENT_BYTES))
        client = hold(stage, filtered(channel, "http-modify", path))
        publish_ok(control_port, stream_item(channel, "item"))
        assert client.read_data(MAX_CONTENT_BYTES) == b"x" * MAX_CONTENT_BYTES


FAILURES = pytest.mark.parametrize(
    ("name", "answer", "error"),
    [
        pytest.param("http-check", Reply(500), "unexpected network request status: code=500", id="500"),
        pytest.param("http-check", Reply(302), "unexpected network request status: code=302", id="302"),
        pytest.param("http-modify", Reply(201, body=b"x"), "unexpected network request status: code=201", id="201"),
        pytest.param(
            "http-modify",
            Reply(body=b"x" * (MAX_CONTENT_BYTES + 1)),
            f"network response exceeded {MAX_CONTENT_BYTES} bytes",
            id="too long",
        ),
    ],
)


class TestFailure:
    """Out of debug the item is skipped for this client, as if it had never come; in debug the hold ends."""

    def ends(self, stage: Stage, channel: str, reply: Reply) -> str:
        """What a stream in debug ends with."""
        client = hold(stage, reply, "debug")
        publish_ok(stage.proxy.control_port, stream_item(channel, "item"))
        end = client.read_chunks().decode()
        assert end.startswith("\n\nfilter error: ")
        assert end.endswith("\n")
        return end.removeprefix("\n\nfilter error: ")[:-1]

    @FAILURES
    def test_in_debug(self, stage: Stage, channel: str, name: str, answer: Reply, error: str) -> None:
        path = stage.backend.serve(answer)
        assert self.ends(stage, channel, filtered(channel, name, path)).endswith(error)

    def test_refused_in_debug(self, stage: Stage, channel: str) -> None:
        reply = filtered(channel, "http-check", f"http://127.0.0.1:{free_port()}/")
        assert self.ends(stage, channel, reply).endswith("network request failed: connection refused")

    @pytest.mark.parametrize("url", [None, "http://a:b/", "http://[::1/"])
    def test_url_in_debug(self, stage: Stage, channel: str, url: str | None) -> None:
        reply = stream_reply(f"{channel}; filter=http-check") if url is None else filtered(channel, "http-check", url)
        error = "missing url value" if url is None else "invalid url value"
        assert self.ends(stage, channel, reply).endswith(error)

    def test_poll_in_debug(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve(Reply(500))
        headers = [("Grip-Set-Meta", f"url={path}")]
        client = stage.hold(poll_reply(f"{channel}; filter=http-check", headers=headers), host="debug")
        publish_ok(control_port, response_item(channel, "item"))
        response = client.read_response()
        assert (response.status, response.header("Content-Type")) == (502, "text/plain")
        assert response.text.endswith("unexpected network request status: code=500\n")

    @FAILURES
    def test_skipped(self, stage: Stage, channel: str, control_port: int, name: str, answer: Reply, error: str) -> None:
        path = stage.backend.serve_in_turn(answer, Reply(204))
        client = hold(stage, filtered(channel, name, path))
        publish_ok(control_port, stream_item(channel, "1"), stream_item(channel, "2"))
        assert client.read_data(1) == b"2"
        stage.proxy.wait_log(error)

    def test_skipped_poll_goes_on(self, stage: Stage, channel: str, control_port: int) -> None:
        path = stage.backend.serve_in_turn(Reply(500), Reply())
        client = stage.hold(poll_reply(f"{channel}; filter=http-check", headers=[("Grip-Set-Meta", f"url={path}")]))
        publish_ok(control_port, response_item(channel, "one"), response_item(channel, "two"))
        publish_ok(control_port, response_item(channel, "three"))
        assert client.read_response().text == "two"

    def test_skipped_item_is_a_gap(self, stage: Stage, channel: str, control_port: int) -> None:
        """The last id does not advance, so the next item has the link asked."""
        path = stage.backend.serve_in_turn(Reply(500), Reply())
        link = NextLink(stage.backend)
        link.answers(Reply(body=b"last"))
        client = hold(stage, filtered(f"{channel}; prev-id=1", "http-check", path, headers=[link.header()]))
        publish_ok(control_port, with_ids(stream_item(channel, "2"), "2", "1"))
        client.assert_silent(0.3)
        link.asked(0)
        publish_ok(control_port, with_ids(stream_item(channel, "3"), "3", "2"))
        assert client.read_chunks() == b"last"
        assert link.asked(1)[0].all("Grip-Last") == [f"{channel}; last-id=1"]

    def test_without_url(self, stage: Stage, channel: str, control_port: int) -> None:
        """No item ever passes."""
        client = hold(stage, stream_reply(f"{channel}; filter=http-check"))
        publish_ok(control_port, stream_item(channel, "1"), stream_item(channel, "2"))
        client.assert_silent(0.3)

    def test_many(self, stage: Stage, channel: str, control_port: int) -> None:
        """At most a hundred requests a second for one URL; what would be more waits."""
        path = stage.backend.serve(Reply())
        held = stage.backend.serve(filtered(channel, "http-check", path))
        clients = [stage.client() for _ in range(CALLS_PER_S + 50)]
        for client in clients:
            client.request(held)
        stage.proxy.wait_held(held, len(clients))
        start = time.monotonic()
        assert publish(control_port, [stream_item(channel, "x")]).status == 200
        eventually(lambda: len(stage.backend.requests(path)) >= CALLS_PER_S, "the first hundred requests")
        assert len(stage.backend.requests(path)) <= CALLS_PER_S * (1 + time.monotonic() - start)
        for client in clients:
            assert client.read_head().status == 200
            assert client.read_data(1) == b"x"
        assert len(stage.backend.requests(path)) == len(clients)
