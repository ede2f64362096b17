"""Long polls: what is kept, what is published, when it ends, and what becomes of the connection."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import Connect, encode_request, fetch
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, publish, publish_ok, response_item, stream_item
from tests.harness.timing import eventually, scaled


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"prefix,prefix=p- {target}",
        f"implicit {target},sub=implicit-poll",
        settings={"handler": {"connection_subscription_max": 3, "update_on_first_subscription": "false"}},
    )


class TestTimeout:
    def test_kept_response_is_sent_at_the_timeout(self, stage: Stage) -> None:
        """grip-18, grip-37, grip-38: nothing before, then the kept status, headers and body; below 5 s is 5 s."""
        channel = fresh_channel()
        stage.warm_up(channel)
        reply = poll_reply(
            channel,
            b"nothing new",
            [("Grip-Timeout", "1"), ("X-Kept", "1"), ("Set-Cookie", "a=1"), ("ETag", '"x"'), ("Set-Cookie", "b=2")],
            status=404,
            reason="Nope",
        )
        start = time.monotonic()
        client = stage.hold(reply)
        client.assert_silent(4)
        response = client.read_response(timeout_s=3)
        assert 4.9 < time.monotonic() - start < 5 + scaled(1)
        assert (response.status, response.reason, response.text) == (404, "Nope", "nothing new")
        assert response.headers == [
            ("Content-Type", "text/plain"),
            ("X-Kept", "1"),
            ("Set-Cookie", "a=1"),
            ("ETag", '"x"'),
            ("Set-Cookie", "b=2"),
            ("Content-Length", "11"),
        ]

    def test_timeout_of_six_seconds_from_json(self, stage: Stage) -> None:
        """The timer of a JSON instruct; the client then goes on with the connection."""
        hold = {"channels": [{"name": fresh_channel()}], "timeout": 6}
        client = stage.hold(instruct_reply({"hold": hold, "response": {"code": 202, "body": "later"}}))
        client.assert_silent(5.5)
        response = client.read_response()
        assert (response.status, response.reason, response.text) == (202, "Accepted", "later")
        path = stage.backend.serve(Reply(body=b"next"))
        client.request(path)
        assert client.read_response().text == "next"

    def test_default_timeout_is_long(self, stage: Stage) -> None:
        """grip-18: an eternity of 5.5 s is not enough for the default of 55 s."""
        stage.poll(fresh_channel()).assert_silent(5.5)


class TestPublishedResponse:
    def test_it_inherits_kept_headers(self, stage: Stage) -> None:
        """grip-39: same-named ones are replaced, case-insensitively, and the item's follow in order."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, headers=[("X-A", "kept"), ("X-B", "kept"), ("x-a", "kept too")]))
        headers = [["X-a", "1"], ["X-C", "2"], ["X-A", "3"]]
        publish_ok(stage.proxy.control_port, response_item(channel, "body", headers=headers))
        response = client.read_response()
        assert response.headers == [
            ("Content-Type", "text/plain"),
            ("X-B", "kept"),
            ("X-a", "1"),
            ("X-C", "2"),
            ("X-A", "3"),
            ("Content-Length", "4"),
        ]

    def test_kept_status_plays_no_part(self, stage: Stage) -> None:
        """grip-40."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, status=404, reason="Nope"))
        publish_ok(stage.proxy.control_port, response_item(channel, "body"))
        response = client.read_response()
        assert (response.status, response.reason) == (200, "OK")

    @pytest.mark.parametrize(
        ("fields", "status", "reason"),
        [
            ({"code": 404}, 404, "Not Found"),
            ({"code": 404, "reason": "Gone Fishing"}, 404, "Gone Fishing"),
            ({"code": 413}, 413, "Request Entity Too Large"),
            ({"code": 299}, 299, "Undefined Reason"),
        ],
    )
    def test_status(self, stage: Stage, fields: dict[str, object], status: int, reason: str) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "body", **fields))
        response = client.read_response()
        assert (response.status, response.reason, response.text) == (status, reason, "body")

    def test_only_the_first_item_is_seen(self, stage: Stage) -> None:
        """grip-41: of one call, and of two calls."""
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "one"), response_item(channel, "two"))
        publish_ok(stage.proxy.control_port, response_item(channel, "three"))
        assert client.read_response().text == "one"
        client.assert_silent(0.2)

    def test_other_formats_do_not_touch_it(self, stage: Stage) -> None:
        """grip-42: nor does a close."""
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "x"), close_item(channel))
        closing = {"channel": channel, "formats": {"http-response": {"action": "close"}}}
        publish_ok(stage.proxy.control_port, closing)
        client.assert_silent(0.3)
        publish_ok(stage.proxy.control_port, response_item(channel, "now"))
        assert client.read_response().text == "now"

    def test_framing_headers_of_an_item_are_ignored(self, stage: Stage) -> None:
        """grip-43."""
        channel = fresh_channel()
        client = stage.poll(channel)
        headers = {"Content-Length": "99", "Transfer-Encoding": "chunked", "Connection": "close", "X-A": "1"}
        publish_ok(stage.proxy.control_port, response_item(channel, "body", headers=headers))
        response = client.read_response()
        assert (response.header("Content-Length"), response.header("X-A"), response.text) == ("4", "1", "body")
        assert not response.has("Connection")
        client.assert_silent(0.1)

    def test_grip_headers_of_an_item_are_removed(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "b", headers={"Grip-Hold": "stream", "X-A": "1"}))
        response = client.read_response()
        assert (response.has("Grip-Hold"), response.header("X-A")) == (False, "1")

    @differs("item-expose-headers")
    def test_expose_headers_in_an_item(self, stage: Stage) -> None:
        """Deviation of grip spec §5.3: only the listed ones stay."""
        channel = fresh_channel()
        client = stage.poll(channel)
        headers = {"Grip-Expose-Headers": "X-A", "X-A": "1", "X-B": "2"}
        publish_ok(stage.proxy.control_port, response_item(channel, "b", headers=headers))
        response = client.read_response()
        assert response.headers == [("X-A", "1"), ("Content-Length", "1")]

    @differs("response-splitting")
    @pytest.mark.parametrize(
        "fields",
        [
            {"headers": [["X-A", "a\r\nX-B: b"]]},
            {"headers": [["X-A\r\nX-B", "a"]]},
            {"headers": {"X-A": "a\nb"}},
            {"headers": {"X-A": "a\rb"}},
            {"headers": {"X-A": "a\u0000b"}},
            {"headers": {"X A": "b"}},
            {"reason": "OK\r\nX-B: b"},
        ],
        ids=["value", "name", "LF", "CR", "NUL", "blank in name", "reason"],
    )
    def test_response_splitting_is_refused(self, stage: Stage, fields: dict[str, object]) -> None:
        """grip-44: 400, and the client goes on waiting."""
        channel = fresh_channel()
        client = stage.poll(channel)
        response = publish(stage.proxy.control_port, [response_item(channel, "body", **fields)])
        assert response.status == 400
        assert response.text.startswith("Invalid format")
        client.assert_silent(0.1)

    @pytest.mark.parametrize("code", [204, 304])
    def test_status_without_a_body(self, stage: Stage, code: int) -> None:
        """grip-45: neither body nor Content-Length, and the connection goes on."""
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "body", code=code))
        response = client.read_response()
        assert (response.status, response.has("Content-Length")) == (code, False)
        client.assert_silent(0.1)
        client.request(stage.backend.serve(Reply(body=b"next")))
        assert client.read_response().text == "next"

    def test_binary_body(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        item = response_item(channel, "ignored", **{"body-bin": "AP8Kgw=="})
        publish_ok(stage.proxy.control_port, item)
        assert client.read_response().body == b"\x00\xff\x0a\x83"

    def test_large_body(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "x" * 900_000))
        assert client.read_response(timeout_s=10).body == b"x" * 900_000

    @differs("held-head")
    def test_head(self, stage: Stage) -> None:
        """Deviation of grip spec §5.3: no body for HEAD, and the connection goes on."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel), method="HEAD")
        publish_ok(stage.proxy.control_port, response_item(channel, "body"))
        assert client.read_response("HEAD").status == 200
        client.assert_silent(0.1)
        client.request(stage.backend.serve(Reply(body=b"next")))
        assert client.read_response().text == "next"


class TestSubscriptions:
    def test_body_patch(self, stage: Stage) -> None:
        """grip-95: adds to the kept JSON and keeps its trailing newline."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, b'{"b": [1], "a": "x"}\n'))
        patch = [{"op": "add", "path": "/b/-", "value": 2}, {"op": "replace", "path": "/a", "value": "y"}]
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"body-patch": patch}}})
        assert client.read_response().text == '{"a":"y","b":[1,2]}\n'

    def test_failing_patch(self, stage: Stage) -> None:
        """grip-96."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, b"no JSON"))
        patch = [{"op": "add", "path": "/a", "value": 2}]
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": {"body-patch": patch}}})
        response = client.read_response()
        assert (response.status, response.text) == (502, "Error while proxying to origin.\n")

    def test_several_channels(self, stage: Stage) -> None:
        """grip-9: in one header and in several."""
        one, two, three = fresh_channel(), fresh_channel(), fresh_channel()
        for channel in (one, two, three):
            client = stage.hold(poll_reply(f"{one}, {two}", headers=[("Grip-Channel", three)]))
            publish_ok(stage.proxy.control_port, response_item(channel, channel))
            assert client.read_response().text == channel

    def test_all_pollers_of_a_channel(self, stage: Stage) -> None:
        channel = fresh_channel()
        clients = [stage.poll(channel) for _ in range(10)]
        publish_ok(stage.proxy.control_port, response_item(channel, "to all"))
        assert [client.read_response().text for client in clients] == ["to all"] * 10

    def test_prefix(self, stage: Stage) -> None:
        """grip-13."""
        channel = fresh_channel()
        client = stage.poll(channel, host="prefix")
        publish_ok(stage.proxy.control_port, response_item(channel, "no"))
        client.assert_silent(0.2)
        publish_ok(stage.proxy.control_port, response_item(f"p-{channel}", "yes"))
        assert client.read_response().text == "yes"

    def test_implicit_channel(self, stage: Stage) -> None:
        """grip-14."""
        client = stage.hold(Reply(headers=[("Grip-Hold", "response")]), host="implicit")
        publish_ok(stage.proxy.control_port, response_item("implicit-poll", "yes"))
        assert client.read_response().text == "yes"

    def test_client_that_left_is_no_receiver(self, stage: Stage) -> None:
        channel = fresh_channel()
        stage.poll(channel).close()
        time.sleep(0.2)
        staying = stage.poll(channel)
        publish_ok(stage.proxy.control_port, response_item(channel, "x"))
        stage.proxy.wait_log(rf"publish channel={channel} receivers=1$")
        assert staying.read_response().text == "x"


class TestFilters:
    @pytest.mark.parametrize(("encoding", "expected"), [("", "id 2"), (", id_encoding=hex", "id 32")])
    def test_build_id(self, stage: Stage, encoding: str, expected: str) -> None:
        """grip-90: the id of the item that is delivered, plain and in hexadecimal digits."""
        channel = fresh_channel()
        meta = f'id_format="%({channel})s"{encoding}'
        client = stage.hold(poll_reply(f"{channel}; prev-id=1; filter=build-id", headers=[("Grip-Set-Meta", meta)]))
        publish_ok(stage.proxy.control_port, {**response_item(channel, "id %I"), "id": "2", "prev-id": "1"})
        assert client.read_response().text == expected

    def test_dropped_item_was_seen(self, stage: Stage) -> None:
        """grip-93: what follows it follows what the client has."""
        channel = fresh_channel()
        client = stage.hold(
            poll_reply(f"{channel}; prev-id=1; filter=skip-self", headers=[("Grip-Set-Meta", "user=bob")])
        )
        own = {**response_item(channel, "from bob"), "id": "2", "prev-id": "1", "meta": {"sender": "bob"}}
        publish_ok(stage.proxy.control_port, own, {**response_item(channel, "next"), "id": "3", "prev-id": "2"})
        assert client.read_response().text == "next"


class TestConnection:
    def test_it_is_used_again(self, stage: Stage) -> None:
        """Poll after poll on one connection, with an ordinary request between."""
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel))
        plain = stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        for number in range(1, 6):
            client.request(path)
            stage.proxy.wait_held(path, number)
            publish_ok(stage.proxy.control_port, response_item(channel, f"item {number}"))
            assert client.read_response().text == f"item {number}"
            client.request(plain)
            assert client.read_response().text == "plain"

    def test_pipelined_request_waits_behind_the_hold(self, stage: Stage) -> None:
        """It is answered after the poll, in order."""
        channel = fresh_channel()
        path, plain = stage.backend.serve(poll_reply(channel)), stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        client.send(encode_request(path) + encode_request(plain) + encode_request(plain))
        stage.proxy.wait_held(path)
        client.assert_silent(0.2)
        publish_ok(stage.proxy.control_port, response_item(channel, "polled"))
        assert [client.read_response().text for _ in range(3)] == ["polled", "plain", "plain"]

    def test_request_sent_during_the_hold_waits(self, stage: Stage) -> None:
        """The same, sent in two halves when the client is already held."""
        channel = fresh_channel()
        plain = stage.backend.serve(Reply(body=b"plain"))
        client = stage.poll(channel)
        request = encode_request(plain, method="POST", body=b"x" * 100)
        client.send(request[:30])
        client.assert_silent(0.2)
        publish_ok(stage.proxy.control_port, response_item(channel, "polled"))
        assert client.read_response().text == "polled"
        client.send(request[30:])
        assert client.read_response().text == "plain"
        assert stage.backend.request(plain).body == b"x" * 100

    def test_connection_close_is_obeyed(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel), headers=[("Connection", "close")])
        publish_ok(stage.proxy.control_port, response_item(channel, "bye"))
        response = client.read_response()
        assert (response.text, response.header("Connection")) == ("bye", "close")
        client.assert_closed()

    def test_http_1_0(self, stage: Stage) -> None:
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel))
        client = stage.client()
        client.request(path, version="1.0")
        stage.proxy.wait_held(path)
        publish_ok(stage.proxy.control_port, response_item(channel, "old"))
        response = client.read_response()
        assert (response.version, response.text) == ("HTTP/1.0", "old")
        client.assert_closed()

    def test_post_with_a_body_is_held(self, stage: Stage) -> None:
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel))
        client = stage.client()
        client.request(path, method="POST", body=b"form")
        stage.proxy.wait_held(path)
        publish_ok(stage.proxy.control_port, response_item(channel, "ok"))
        assert client.read_response().text == "ok"

    def test_backend_may_go_away(self, launch: Launch, connect: Connect, proxy: ProxyUnderTest) -> None:
        """The hold needs no backend, neither for an item nor for the timeout."""
        own = ScriptedBackend()
        holding = launch(f"* 127.0.0.1:{own.port}")
        stage = Stage(holding, own, connect)
        channel, other = fresh_channel(), fresh_channel()
        stage.warm_up(channel)
        stage.warm_up(other)
        waiting = stage.poll(channel)
        expiring = stage.hold(poll_reply(other, b"expired", [("Grip-Timeout", "5")]))
        own.stop()
        eventually(lambda: fetch(holding.port, "/").status == 502, "the backend to be gone")
        publish_ok(holding.control_port, response_item(channel, "reached"))
        assert waiting.read_response().text == "reached"
        assert expiring.read_response(timeout_s=7).text == "expired"
