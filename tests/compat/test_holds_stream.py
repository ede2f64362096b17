"""Streams: their head and initial body, published data, channels, filters, and their end."""

from __future__ import annotations

import random
import threading
import time

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, encode_request, fetch
from tests.harness.grip import Stage, fresh_channel, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import Item, close_item, publish_ok, response_item, stream_item
from tests.harness.timing import eventually

BINARY = random.Random(2).randbytes(200_000)


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"prefix,prefix=p- {target}",
        f"implicit {target},sub=implicit-a,sub=implicit-b",
        settings={"handler": {"connection_subscription_max": 3, "update_on_first_subscription": "false"}},
    )


class TestStart:
    def test_head(self, stage: Stage) -> None:
        """grip-55: no Content-Length, chunked; kept headers in order, nothing of GRIP."""
        headers = [("X-A", "1"), ("Set-Cookie", "a"), ("Set-Cookie", "b"), ("Grip-Foo", "x")]
        client = stage.hold(stream_reply(fresh_channel(), b"hello", headers))
        response = client.read_head()
        assert (response.status, response.reason) == (200, "OK")
        assert response.headers == [
            ("Content-Type", "text/plain"),
            ("X-A", "1"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
            ("Connection", "Transfer-Encoding"),
            ("Transfer-Encoding", "chunked"),
        ]
        assert client.read_data(5) == b"hello"
        client.assert_silent(0.2)

    def test_head_comes_without_a_body(self, stage: Stage) -> None:
        """An empty initial body sends the head at once."""
        assert stage.hold(stream_reply(fresh_channel())).read_head().framing == "chunked"

    def test_http_1_0(self, stage: Stage) -> None:
        """grip-55: the end is the close."""
        channel = fresh_channel()
        path = stage.backend.serve(stream_reply(channel, b"hello "))
        client = stage.client()
        client.request(path, version="1.0")
        response = client.read_head()
        assert (response.version, response.framing) == ("HTTP/1.0", "close")
        assert client.read_exactly(6) == b"hello "
        stage.proxy.wait_held(path)
        publish_ok(stage.proxy.control_port, stream_item(channel, "world"), close_item(channel))
        assert client.read_to_close() == b"world"

    @differs("held-head")
    def test_head_request(self, stage: Stage) -> None:
        """Deviation of grip spec §6.1: head only."""
        channel = fresh_channel()
        path = stage.backend.serve(stream_reply(channel))
        client = stage.client()
        client.request(path, method="HEAD")
        assert client.read_response("HEAD").status == 200
        publish_ok(stage.proxy.control_port, stream_item(channel, "never"))
        client.assert_silent(0.2)

    def test_grip_status(self, stage: Stage) -> None:
        """grip-24."""
        for value, status, reason in [("404", 404, "Not Found"), ("404 Nope", 404, "Nope")]:
            response = stage.hold(stream_reply(fresh_channel(), headers=[("Grip-Status", value)])).read_head()
            assert (response.status, response.reason) == (status, reason)

    def test_expose_headers(self, stage: Stage) -> None:
        """grip-25."""
        headers = [("Grip-Expose-Headers", "x-a, X-C"), ("X-A", "1"), ("X-B", "2"), ("X-C", "3")]
        response = stage.hold(stream_reply(fresh_channel(), headers=headers)).read_head()
        assert response.headers[:-2] == [("X-A", "1"), ("X-C", "3")]

    def test_long_initial_body(self, stage: Stage) -> None:
        """grip-6: 200 000 bytes, sized and chunked, then published data."""
        for framing in (Framing.SIZED, Framing.CHUNKED):
            channel = fresh_channel()
            client = stage.hold(stream_reply(channel, BINARY, [("X-A", "1")], framing=framing))
            response = client.read_head()
            assert (response.header("X-A"), response.has("Grip-Hold"), response.framing) == ("1", False, "chunked")
            assert client.read_data(200_000) == BINARY
            publish_ok(stage.proxy.control_port, stream_item(channel, "more"))
            assert client.read_data(4) == b"more"

    def test_long_initial_body_to_a_late_reader(self, stage: Stage) -> None:
        """grip-56: the client is subscribed when the body is written, and items follow it."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(channel, b"x" * 100_000))
        publish_ok(stage.proxy.control_port, stream_item(channel, "after"))
        time.sleep(0.2)
        client.read_head()
        assert client.read_data(100_005) == b"x" * 100_000 + b"after"

    def test_items_during_a_long_initial_body(self, stage: Stage) -> None:
        """grip-56: they do not come, neither in between nor afterwards."""
        channel = fresh_channel()
        gate = threading.Event()
        body = [b"x" * 150_000, gate, b"end"]
        path = stage.backend.serve(stream_reply(channel, body, framing=Framing.CHUNKED))  # type: ignore[arg-type]
        client = stage.client()
        client.request(path)
        client.read_head()
        assert client.read_data(150_000) == b"x" * 150_000
        publish_ok(stage.proxy.control_port, stream_item(channel, "early"))
        gate.set()
        assert client.read_data(3) == b"end"
        stage.proxy.wait_held(path)
        publish_ok(stage.proxy.control_port, stream_item(channel, "late"))
        assert client.read_data(4) == b"late"


class TestItems:
    def test_order(self, stage: Stage) -> None:
        """grip-87: of one call and of many, over several channels."""
        one, two = fresh_channel(), fresh_channel()
        client = stage.stream(f"{one}, {two}")
        publish_ok(stage.proxy.control_port, *(stream_item((one, two)[n % 2], f"{n:02}") for n in range(20)))
        for number in range(20, 40):
            publish_ok(stage.proxy.control_port, stream_item((one, two)[number % 3 == 0], f"{number:02}"))
        assert client.read_data(80).decode() == "".join(f"{number:02}" for number in range(40))

    def test_binary_content(self, stage: Stage) -> None:
        """grip-60."""
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, BINARY))
        assert client.read_data(200_000) == BINARY

    def test_large_content(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "é" * 400_000))
        assert client.read_data(800_000, timeout_s=10).decode() == "é" * 400_000

    def test_empty_content(self, stage: Stage) -> None:
        """grip-58: writes nothing, above all no last chunk."""
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, ""))
        client.assert_silent(0.2)
        publish_ok(stage.proxy.control_port, stream_item(channel, ""), stream_item(channel, "x"))
        assert client.read_data(1) == b"x"

    def test_other_formats_do_not_touch_it(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(
            stage.proxy.control_port,
            response_item(channel, "no"),
            {"channel": channel, "formats": {"ws-message": {"content": "no"}}},
            {"channel": channel, "formats": {"http-stream": {"action": "hint"}}},
        )
        client.assert_silent(0.2)

    def test_fan_out(self, stage: Stage) -> None:
        """Everyone of a channel, nobody of another one."""
        channel, other = fresh_channel(), fresh_channel()
        clients, bystander = [stage.stream(channel) for _ in range(20)], stage.stream(other)
        publish_ok(stage.proxy.control_port, stream_item(channel, "to all"))
        assert [client.read_data(6) for client in clients] == [b"to all"] * 20
        bystander.assert_silent(0.1)


class TestChannels:
    def test_several_channels(self, stage: Stage) -> None:
        """grip-9: in one header and in a second one."""
        one, two, three = fresh_channel(), fresh_channel(), fresh_channel()
        client = stage.hold(stream_reply(f"{one}, {two}", headers=[("Grip-Channel", three)]))
        client.read_head()
        publish_ok(stage.proxy.control_port, *(stream_item(name, "x") for name in (one, two, three)))
        assert client.read_data(3) == b"xxx"

    def test_same_channel_twice(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.hold(stream_reply(f"{channel}, {channel}"))
        client.read_head()
        publish_ok(stage.proxy.control_port, stream_item(channel, "once"))
        assert client.read_data(4) == b"once"
        client.assert_silent(0.2)

    def test_limit(self, stage: Stage) -> None:
        """grip-15: the fourth of three is dropped."""
        names = [fresh_channel() for _ in range(4)]
        client = stage.hold(stream_reply(", ".join(names)))
        client.read_head()
        publish_ok(stage.proxy.control_port, *(stream_item(name, str(n)) for n, name in enumerate(names)))
        assert client.read_data(3) == b"012"
        client.assert_silent(0.2)

    def test_prefix(self, stage: Stage) -> None:
        """grip-13."""
        channel = fresh_channel()
        client = stage.stream(channel, host="prefix")
        publish_ok(stage.proxy.control_port, stream_item(channel, "no"), stream_item(f"p-{channel}", "yes"))
        assert client.read_data(3) == b"yes"

    def test_implicit_channels(self, stage: Stage) -> None:
        """grip-14: without a Grip-Channel, and on top of the limit of three."""
        alone = stage.hold(Reply(headers=[("Grip-Hold", "stream")]), host="implicit")
        names = [fresh_channel() for _ in range(3)]
        full = stage.hold(stream_reply(", ".join(names)), host="implicit")
        for client in (alone, full):
            client.read_head()
        items = [stream_item(name, "x") for name in ("implicit-a", *names, "implicit-b")]
        publish_ok(stage.proxy.control_port, *items)
        assert (alone.read_data(2), full.read_data(5)) == (b"xx", b"xxxxx")

    def test_quoted_name(self, stage: Stage) -> None:
        """grip-10: the quotes belong to the name."""
        channel = f'"{fresh_channel()},y"'
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "quoted"))
        assert client.read_data(6) == b"quoted"

    def test_unknown_filter(self, stage: Stage) -> None:
        """grip-17."""
        channel = fresh_channel()
        client = stage.stream(f"{channel}; filter=no-such-filter")
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"

    def test_utf8_name(self, stage: Stage) -> None:
        channel = "ch\u00e4nnel"
        client = stage.stream(channel.encode().decode("latin-1"))
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        assert client.read_data(1) == b"x"

    def test_no_channel(self, stage: Stage) -> None:
        """A hold without channels is legal; nothing can reach it."""
        client = stage.hold(Reply(headers=[("Grip-Hold", "stream")], body=b"x"))
        client.read_head()
        assert client.read_data(1) == b"x"
        client.assert_silent(0.3)


def filtered(channel: str, content: str, content_filters: list[str]) -> Item:
    """An item that wants those filters of the subscription."""
    return {"channel": channel, "formats": {"http-stream": {"content": content, "content-filters": content_filters}}}


class TestFilters:
    @pytest.mark.parametrize(
        ("filter_name", "held_meta", "item_meta"),
        [
            ("skip-self", "user=bob", {"sender": "bob"}),
            ("skip-users", "user=bob", {"skip_users": "alice, bob"}),
            ("require-sub", "user=bob", {"require_sub": "elsewhere"}),
        ],
    )
    def test_dropping(self, stage: Stage, filter_name: str, held_meta: str, item_meta: dict[str, str]) -> None:
        """grip-88: each with a dropping and a passing case."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(f"{channel}; filter={filter_name}", headers=[("Grip-Set-Meta", held_meta)]))
        client.read_head()
        passing = {key: channel if key == "require_sub" else "carol" for key in item_meta}
        publish_ok(
            stage.proxy.control_port,
            {**stream_item(channel, "no"), "meta": item_meta},
            {**stream_item(channel, "yes"), "meta": passing},
        )
        assert client.read_data(3) == b"yes"

    def test_var_subst(self, stage: Stage) -> None:
        """grip-89."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(f"{channel}; filter=var-subst", headers=[("Grip-Set-Meta", "user=bob")]))
        client.read_head()
        publish_ok(stage.proxy.control_port, stream_item(channel, "hi %(user)s, 100%%"))
        assert client.read_data(12) == b"hi bob, 100%"

    def test_content_filters(self, stage: Stage) -> None:
        """grip-91, grip-92: the list of those that change content, in order; others do not count."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(f"{channel}; filter=skip-self; filter=var-subst"))
        client.read_head()
        publish_ok(stage.proxy.control_port, filtered(channel, "yes", ["var-subst"]))
        assert client.read_data(3) == b"yes"

    def test_no_content_filters(self, stage: Stage) -> None:
        """grip-91: an empty list requires that there are none."""
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, filtered(channel, "yes", []))
        assert client.read_data(3) == b"yes"

    @differs("filter-mismatch")
    @pytest.mark.parametrize(("filters", "wanted"), [("", ["var-subst"]), ("; filter=var-subst", [])])
    def test_other_content_filters(self, stage: Stage, filters: str, wanted: list[str]) -> None:
        """grip-91: the item is skipped, and the hold goes on."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(channel + filters))
        client.read_head()
        publish_ok(stage.proxy.control_port, filtered(channel, "no", wanted), stream_item(channel, "yes"))
        assert client.read_data(3) == b"yes"

    @differs("filter-mismatch")
    def test_unknown_variable(self, stage: Stage) -> None:
        """grip-89: the item is skipped, and the hold goes on."""
        channel = fresh_channel()
        client = stage.stream(f"{channel}; filter=var-subst")
        publish_ok(stage.proxy.control_port, stream_item(channel, "%(unknown)s"), stream_item(channel, "yes"))
        assert client.read_data(3) == b"yes"


class TestEnd:
    def test_close_item(self, stage: Stage) -> None:
        """grip-59: the last chunk, and the connection accepts another request, also another hold."""
        client = stage.client()
        plain = stage.backend.serve(Reply(body=b"plain"))
        for _ in range(3):
            channel = fresh_channel()
            path = stage.backend.serve(stream_reply(channel, b"a"))
            client.request(path)
            client.read_head()
            stage.proxy.wait_held(path)
            publish_ok(stage.proxy.control_port, stream_item(channel, "b"), close_item(channel))
            publish_ok(stage.proxy.control_port, stream_item(channel, "never"))
            assert client.read_chunks() == b"ab"
            client.request(plain)
            assert client.read_response().text == "plain"

    def test_pipelined_request_waits_for_the_end(self, stage: Stage) -> None:
        channel = fresh_channel()
        path, plain = stage.backend.serve(stream_reply(channel)), stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        client.send(encode_request(path) + encode_request(plain))
        stage.proxy.wait_held(path)
        client.send(encode_request(plain))
        client.read_head()
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"), close_item(channel))
        assert client.read_chunks() == b"x"
        assert [client.read_response().text for _ in range(2)] == ["plain", "plain"]

    def test_connection_close_is_obeyed(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.hold(stream_reply(channel), headers=[("Connection", "close")])
        client.read_head()
        publish_ok(stage.proxy.control_port, close_item(channel))
        assert client.read_chunks() == b""
        client.assert_closed()

    def test_client_that_left_is_no_receiver(self, stage: Stage) -> None:
        channel = fresh_channel()
        leaving, staying = stage.stream(channel), stage.stream(channel)
        leaving.close()
        time.sleep(0.2)
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
        stage.proxy.wait_log(rf"publish channel={channel} receivers=1$")
        assert staying.read_data(1) == b"x"


class TestBackendRestart:
    def test_streams_survive(self, launch: Launch, connect: Connect) -> None:
        """The backend is needed for new requests only."""
        own = ScriptedBackend()
        proxy = launch(f"* 127.0.0.1:{own.port}", settings={"handler": {"update_on_first_subscription": "false"}})
        stage = Stage(proxy, own, connect)
        channel = fresh_channel()
        client = stage.stream(channel)
        own.stop()
        eventually(lambda: fetch(proxy.port, "/").status == 502, "the backend to be gone")
        publish_ok(proxy.control_port, stream_item(channel, "without"))
        assert client.read_data(7) == b"without"
        own.start()
        newer = stage.stream(channel)
        publish_ok(proxy.control_port, stream_item(channel, "again"))
        assert (client.read_data(5), newer.read_data(5)) == (b"again", b"again")
        own.stop()
