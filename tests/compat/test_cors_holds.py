"""CORS headers on holds with ``aco``: the head of a stream, and what a long poll ends with."""

from __future__ import annotations

import time

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import encode_request
from tests.harness.cors import ANY_ORIGIN, CREDENTIALS, MAX_AGE, METHODS, allowed, exposed, exposing, without_framing
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import close_item, publish_ok, response_item, stream_item

TEXT = ("Content-Type", "text/plain")
ASKED = [("Origin", "http://a"), ("Access-Control-Request-Headers", "X-Q")]
ECHOED = [allowed("X-Q"), exposed("X-A"), CREDENTIALS, ("Access-Control-Allow-Origin", "http://a"), MAX_AGE]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"aco,aco 127.0.0.1:{backend.port}", f"* 127.0.0.1:{backend.port}")


class TestStreams:
    @pytest.mark.parametrize(
        ("sent", "kept", "expected"),
        [
            pytest.param([("X-A", "1"), ("Grip-Other", "x")], [("X-A", "1")], [METHODS, *ECHOED], id="usual"),
            pytest.param(
                [("Access-Control-Max-Age", "9"), ("X-A", "1")],
                [("Access-Control-Max-Age", "9"), ("X-A", "1")],
                [METHODS, *ECHOED[:-1]],
                id="own one",
            ),
        ],
    )
    def test_head(
        self, stage: Stage, sent: list[tuple[str, str]], kept: list[tuple[str, str]], expected: list[tuple[str, str]]
    ) -> None:
        """grip-54: once, and then the stream goes its way."""
        channel = fresh_channel()
        client = stage.hold(stream_reply(channel, b"begin\n", sent), host="aco", headers=ASKED)
        assert without_framing(client.read_head()) == [TEXT, *kept, *expected]
        publish_ok(stage.proxy.control_port, stream_item(channel, "item\n"))
        assert client.read_data(11) == b"begin\nitem\n"
        publish_ok(stage.proxy.control_port, close_item(channel))
        assert client.read_chunks() == b""

    def test_status_of_the_stream(self, stage: Stage) -> None:
        reply = stream_reply(fresh_channel(), b"", [("Grip-Status", "404 Nope"), ("X-A", "1")])
        head = stage.hold(reply, host="aco").read_head()
        assert (head.status, head.reason) == (404, "Nope")
        assert without_framing(head) == [TEXT, ("X-A", "1"), *exposing("X-A")]

    def test_without_the_option(self, stage: Stage) -> None:
        head = stage.hold(stream_reply(fresh_channel()), headers=ASKED).read_head()
        assert without_framing(head) == [TEXT]


class TestLongPolls:
    """grip-54: they get them when they end, by the request that began them."""

    def test_published_answer(self, stage: Stage) -> None:
        """Headers of the item count as headers of the answer, its own access control as well."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, headers=[("X-A", "1"), ("X-B", "1")]), host="aco", headers=ASKED)
        headers = [["X-B", "2"], ["Access-Control-Max-Age", "7"], ["X-C", "3"]]
        publish_ok(stage.proxy.control_port, response_item(channel, "item", code=404, reason="Nope", headers=headers))
        response = client.read_response()
        assert (response.status, response.reason, response.text) == (404, "Nope", "item")
        assert without_framing(response) == [
            TEXT,
            ("X-A", "1"),
            ("X-B", "2"),
            ("Access-Control-Max-Age", "7"),
            ("X-C", "3"),
            METHODS,
            allowed("X-Q"),
            exposed("X-A", "X-B", "X-C"),
            CREDENTIALS,
            ("Access-Control-Allow-Origin", "http://a"),
        ]

    def test_timeout_answer(self, stage: Stage) -> None:
        channel = fresh_channel()
        stage.warm_up(channel)
        client = stage.hold(
            poll_reply(channel, b"nothing\n", [("X-A", "1"), ("Grip-Timeout", "5")]), host="aco", headers=ASKED
        )
        start = time.monotonic()
        response = client.read_response(timeout_s=8)
        assert time.monotonic() - start > 4
        assert response.text == "nothing\n"
        assert without_framing(response) == [TEXT, ("X-A", "1"), METHODS, *ECHOED]

    def test_json_instruct(self, stage: Stage) -> None:
        channel = fresh_channel()
        response = {"headers": [["X-J", "1"], ["Access-Control-Allow-Origin", "http://own"]], "body": "nothing"}
        reply = instruct_reply({"hold": {"mode": "response", "channels": [{"name": channel}]}, "response": response})
        client = stage.hold(reply, host="aco", headers=ASKED)
        publish_ok(stage.proxy.control_port, response_item(channel, "item"))
        assert without_framing(client.read_response()) == [
            ("X-J", "1"),
            ("Access-Control-Allow-Origin", "http://own"),
            METHODS,
            allowed("X-Q"),
            exposed("X-J"),
            CREDENTIALS,
            MAX_AGE,
        ]

    def test_each_poll_of_a_connection_has_its_own(self, stage: Stage) -> None:
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel))
        plain = stage.backend.serve(Reply(body=b"plain"))
        client = stage.client()
        for number, origin in enumerate(("http://a", "http://b"), start=1):
            client.send(encode_request(path, host="aco", headers=[("Origin", origin)]))
            stage.proxy.wait_held(path, number)
            publish_ok(stage.proxy.control_port, response_item(channel, origin))
            response = client.read_response()
            assert (response.text, response.header("Access-Control-Allow-Origin")) == (origin, origin)
        client.request(plain, host="aco")
        assert without_framing(client.read_response()) == [METHODS, CREDENTIALS, ANY_ORIGIN, MAX_AGE]

    def test_without_the_option(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel), headers=ASKED)
        publish_ok(stage.proxy.control_port, response_item(channel, "item"))
        assert without_framing(client.read_response()) == [TEXT]
