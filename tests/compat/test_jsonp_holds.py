"""JSON-P with holds: what a long poll ends with is wrapped, a stream is not."""

from __future__ import annotations

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.cors import USUAL, exposing, without_framing
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.jsonp import SCRIPT, extended_hold
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import Item, close_item, publish_ok, response_item, stream_item

TEXT = {"Content-Type": "text/plain"}


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"aco,aco {target}", f"basic,aco,jsonp_mode=basic {target}", f"* {target}")


def _poll(stage: Stage, channel: str, headers: list[tuple[str, str]], host: str = "aco", query: str = "") -> RawClient:
    path = stage.backend.serve(poll_reply(channel, b"nothing\n", headers))
    client = stage.client()
    client.request(f"{path}?callback=cb{query}", host=host)
    stage.proxy.wait_held(path)
    return client


class TestPublishedAnswer:
    """grip-54: status 200, the other headers kept, and the body in the script."""

    def test_extended(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = _poll(stage, channel, [("X-A", "1"), ("Cache-Control", "no"), ("X-A", "2")])
        headers = [["X-B", "1"], ["X-B", "2"], ["Content-Type", "q/r"], ["A", "0"]]
        publish_ok(stage.proxy.control_port, response_item(channel, 'b"é\n', code=404, reason='N"', headers=headers))
        response = client.read_response()
        assert (response.status, response.reason) == (200, "OK")
        assert without_framing(response) == [
            ("X-A", "1"),
            ("Cache-Control", "no"),
            ("X-A", "2"),
            ("X-B", "1"),
            ("X-B", "2"),
            ("A", "0"),
            SCRIPT,
        ]
        inside = {"A": "0", "Cache-Control": "no", "Content-Type": "q/r", "X-A": "1, 2", "X-B": "1, 2"}
        assert response.text == extended_hold('b"é\n', inside, status=404, reason='N"')

    def test_the_bytes(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = _poll(stage, channel, [("X-A", "1")])
        publish_ok(stage.proxy.control_port, response_item(channel, "body\r\n"))
        assert client.read_response().body == (
            b'/**/cb({"body":"body\\r\\n","code":200,"headers":{"Content-Type":"text/plain","X-A":"1"},"reason":"OK"});\n'
        )

    @pytest.mark.parametrize(
        ("body", "inside"), [("1", b"1"), ("1\n", b"1"), ("1\r\n", b"1"), ("1\n\n", b"1\n"), ('"é"\n', '"é"'.encode())]
    )
    def test_basic(self, stage: Stage, body: str, inside: bytes) -> None:
        channel = fresh_channel()
        client = _poll(stage, channel, [("X-A", "1"), ("Cache-Control", "no")], host="basic")
        publish_ok(stage.proxy.control_port, response_item(channel, body, code=404, headers=[["X-B", "1"]]))
        response = client.read_response()
        assert (response.status, response.reason, response.body) == (200, "OK", b"/**/cb(" + inside + b");\n")
        assert without_framing(response) == [("X-A", "1"), ("Cache-Control", "no"), ("X-B", "1"), SCRIPT]

    @pytest.mark.parametrize(
        ("host", "fields", "expected"),
        [
            pytest.param(
                "aco",
                {"body": "", "code": 204},
                extended_hold("", TEXT, status=204, reason="No Content").encode(),
                id="no content",
            ),
            pytest.param("basic", {"body": "", "code": 204}, b"/**/cb();\n", id="no content, basic"),
            pytest.param(
                "aco", {"body-bin": "/2E=", "code": 200}, extended_hold("\ufffda", TEXT).encode(), id="not UTF-8"
            ),
            pytest.param("basic", {"body-bin": "/2E=", "code": 200}, b"/**/cb(\xffa);\n", id="not UTF-8, basic"),
        ],
    )
    def test_odd_items(self, stage: Stage, host: str, fields: Item, expected: bytes) -> None:
        channel = fresh_channel()
        client = _poll(stage, channel, [], host=host)
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-response": fields}})
        response = client.read_response()
        assert (response.status, response.body) == (200, expected)

    def test_connection_goes_on(self, stage: Stage) -> None:
        """Each request has its own treatment."""
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel))
        client = stage.client()
        for number, (query, expected) in enumerate(
            [("?callback=one", extended_hold("item", TEXT, callback="one")), ("", "item")], start=1
        ):
            client.request(path + query, host="aco")
            stage.proxy.wait_held(path, number)
            publish_ok(stage.proxy.control_port, response_item(channel, "item"))
            response = client.read_response()
            assert (response.text, response.has("Access-Control-Allow-Origin")) == (expected, query == "")

    def test_request_with_method_and_body(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = _poll(stage, channel, [], query="&_method=POST&_body=xyz")
        publish_ok(stage.proxy.control_port, response_item(channel, "item"))
        assert client.read_response().text == extended_hold("item", TEXT)


class TestTimeoutAnswer:
    @pytest.mark.parametrize(
        ("host", "expected"),
        [("aco", extended_hold("nothing\n", {**TEXT, "X-A": "1"})), ("basic", "/**/cb(nothing);\n")],
    )
    def test_from_headers(self, stage: Stage, host: str, expected: str) -> None:
        channel = fresh_channel()
        stage.warm_up(channel)
        client = _poll(stage, channel, [("X-A", "1"), ("Grip-Timeout", "5")], host=host)
        response = client.read_response(timeout_s=8)
        assert (response.status, response.text) == (200, expected)
        assert without_framing(response) == [("X-A", "1"), SCRIPT]

    def test_from_json(self, stage: Stage) -> None:
        channel = fresh_channel()
        stage.warm_up(channel)
        hold = {"mode": "response", "channels": [{"name": channel}], "timeout": 5}
        path = stage.backend.serve(instruct_reply({"hold": hold, "response": {"code": 202, "body": "later"}}))
        client = stage.client()
        client.request(f"{path}?callback=cb", host="aco")
        response = client.read_response(timeout_s=9)
        assert response.text == extended_hold("later", {}, status=202, reason="Accepted")


@pytest.mark.parametrize(
    ("headers", "status", "expected"),
    [
        ([], 200, [("Content-Type", "text/plain"), *USUAL]),
        (
            [("Grip-Status", "404 R"), ("X-A", "1")],
            404,
            [("Content-Type", "text/plain"), ("X-A", "1"), *exposing("X-A")],
        ),
    ],
)
@pytest.mark.parametrize("host", ["aco", "basic"])
def test_streams_are_not_wrapped(
    stage: Stage, host: str, headers: list[tuple[str, str]], status: int, expected: list[tuple[str, str]]
) -> None:
    """They have the headers of CORS instead."""
    channel = fresh_channel()
    path = stage.backend.serve(stream_reply(channel, b"begin\n", headers))
    client = stage.client()
    client.request(f"{path}?callback=cb", host=host)
    stage.proxy.wait_held(path)
    head = client.read_head()
    assert (head.status, without_framing(head)) == (status, expected)
    publish_ok(stage.proxy.control_port, stream_item(channel, 'b"\n'))
    assert client.read_data(9) == b'begin\nb"\n'
    publish_ok(stage.proxy.control_port, close_item(channel))
    assert client.read_chunks() == b""
