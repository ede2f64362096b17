"""Instructs that are not understood: the exact text in debug, and nothing but 502 without; and what is no error."""

from __future__ import annotations

import json
from typing import Any

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage, fresh_channel, instruct_reply, poll_reply, stream_reply
from tests.harness.messages import HeaderList
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import publish_ok, response_item, stream_item

BAD_GATEWAY = "Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"* {target}", f"debug,debug {target}", f"prefix,prefix=p- {target}")


def assert_refused(stage: Stage, reply: Reply, text: str) -> None:
    """The answer is 502 on both routes, with the reason only in debug."""
    path = stage.backend.serve(reply)
    response = fetch(stage.proxy.port, path, host="debug", timeout_s=2)
    assert (response.status, response.text) == (502, f"Failed to parse accept instructions: {text}\n")
    response = fetch(stage.proxy.port, path)
    assert (response.status, response.reason, response.text) == (502, "Bad Gateway", BAD_GATEWAY)
    assert response.header("Content-Type") == "text/plain"


BAD_HOLD = "Grip-Hold must be set to either 'response' or 'stream'"
HEADER_ERRORS: list[tuple[HeaderList, str]] = [
    ([("Grip-Hold", "Response")], BAD_HOLD),
    ([("Grip-Hold", "")], BAD_HOLD),
    ([("Grip-Hold", "response, stream")], BAD_HOLD),
    ([("Grip-Timeout", "abc")], "failed to parse Grip-Timeout"),
    ([("Grip-Timeout", "1.5")], "failed to parse Grip-Timeout"),
    ([("Grip-Timeout", "-1")], "Grip-Timeout has invalid value"),
    ([("Grip-Keep-Alive", "; timeout=5")], "Grip-Keep-Alive cannot be empty"),
    ([("Grip-Keep-Alive", "a; mode=never")], "no such Grip-Keep-Alive mode 'never'"),
    ([("Grip-Keep-Alive", "a; timeout=x")], "failed to parse Grip-Keep-Alive timeout value"),
    ([("Grip-Keep-Alive", "a; timeout=2, b; timeout=3")], "failed to parse Grip-Keep-Alive timeout value"),
    ([("Grip-Keep-Alive", "a; timeout=-1")], "Grip-Keep-Alive timeout has invalid value"),
    ([("Grip-Keep-Alive", "a; format=hex")], "no such Grip-Keep-Alive format 'hex'"),
    ([("Grip-Keep-Alive", "a\\; format=cstring")], "failed to parse Grip-Keep-Alive cstring format"),
    ([("Grip-Keep-Alive", "\\x4; format=cstring")], "failed to parse Grip-Keep-Alive cstring format"),
    ([("Grip-Status", "1000")], "Grip-Status contains invalid status code"),
    ([("Grip-Status", "-1 X")], "Grip-Status contains invalid status code"),
    ([("Grip-Status", "abc")], "Grip-Status contains invalid status code"),
    ([("Grip-Link", "/x; rel=next")], "failed to parse Grip-Link value"),
    ([("Grip-Link", "<>; rel=next")], "failed to parse Grip-Link value"),
    ([("Grip-Link", "</x>; rel=next; timeout=x")], "failed to parse Grip-Link timeout value"),
    ([("Grip-Link", "</x>; rel=next; timeout=-1")], "Grip-Link timeout has invalid value"),
    ([("Grip-Timeout", "abc"), ("Grip-Hold", "x")], BAD_HOLD),
    ([("Grip-Link", "x; rel=next"), ("Grip-Timeout", "x")], "failed to parse Grip-Timeout"),
]


@pytest.mark.parametrize(("headers", "text"), HEADER_ERRORS, ids=[": ".join(case[0][0]) for case in HEADER_ERRORS])
def test_header_error(stage: Stage, headers: HeaderList, text: str) -> None:
    """grip-7, grip-8, grip-19, grip-24, grip-26; of several the first check of grip spec §3 wins."""
    assert_refused(stage, Reply(headers=[*headers, ("Grip-Channel", "c")], body=b"x"), text)


@differs("many-filters")
@pytest.mark.parametrize("is_json", [False, True], ids=["header", "JSON"])
def test_too_many_filters(stage: Stage, is_json: bool) -> None:
    """grip-16: six on one channel."""
    channel = {"name": "c", "filters": ["skip-self"] * 6}
    by_header = stream_reply("c" + "; filter=skip-self" * 6)
    reply = instruct_reply({"hold": {"channels": [channel]}}) if is_json else by_header
    assert_refused(stage, reply, "too many filters for channel 'c'")


def test_five_filters(stage: Stage) -> None:
    """grip-16: five are fine."""
    channel = fresh_channel()
    client = stage.stream(channel + "; filter=skip-self" * 5)
    publish_ok(stage.proxy.control_port, stream_item(channel, "x"))
    assert client.read_data(1) == b"x"


CHANNELS: list[dict[str, Any]] = [{"name": "c"}]


def _hold(**fields: Any) -> dict[str, Any]:
    return {"hold": {"channels": CHANNELS, **fields}}


def _channel(**fields: Any) -> dict[str, Any]:
    return {"hold": {"channels": [{"name": "c", **fields}]}}


def _response(**fields: Any) -> dict[str, Any]:
    return {"response": {"body": "x", **fields}}


JSON_ERRORS: list[tuple[Any, str]] = [
    (b"nonsense", "failed to parse application/grip-instruct content as JSON"),
    (b"", "failed to parse application/grip-instruct content as JSON"),
    (b"1", "failed to parse application/grip-instruct content as JSON"),
    (b"[]", "instruct must be an object"),
    ({"hold": None}, "instruct contains 'hold' with wrong type"),
    ({"hold": []}, "instruct contains 'hold' with wrong type"),
    (_hold(mode=None), "hold contains 'mode' with wrong type"),
    (_hold(mode=1), "hold contains 'mode' with wrong type"),
    (_hold(mode="Stream"), "hold 'mode' must be set to either 'response' or 'stream'"),
    ({"hold": {}}, "hold does not contain 'channels'"),
    ({"hold": {"channels": None}}, "hold contains 'channels' with wrong type"),
    ({"hold": {"channels": {}}}, "hold contains 'channels' with wrong type"),
    ({"hold": {"channels": ["c"]}}, "channel is not an object"),
    ({"hold": {"channels": [{}]}}, "channel does not contain 'name'"),
    ({"hold": {"channels": [{"name": 1}]}}, "channel contains 'name' with wrong type"),
    (_channel(**{"prev-id": 1}), "channel contains 'prev-id' with wrong type"),
    (_channel(filters="skip-self"), "channel contains 'filters' with wrong type"),
    (_channel(filters=[1]), "filters contains value with wrong type"),
    (_hold(timeout=None), "hold contains 'timeout' with wrong type"),
    (_hold(timeout=-1), "hold contains 'timeout' with invalid value"),
    (_hold(**{"keep-alive": "x"}), "hold contains 'keep-alive' with wrong type"),
    (_hold(**{"keep-alive": {"content": 1}}), "keep-alive contains 'content' with wrong type"),
    (_hold(**{"keep-alive": {"content": "x", "timeout": -1}}), "keep-alive contains 'timeout' with invalid value"),
    (_hold(meta=[]), "hold contains 'meta' with wrong type"),
    (_hold(meta={"K": 1}), "'meta' contains 'K' with wrong type"),
    ({"response": []}, ""),
    (_response(code=None), "response contains 'code' with wrong type"),
    (_response(code=1000), "response contains 'code' with invalid value"),
    (_response(code=-1), "response contains 'code' with invalid value"),
    (_response(reason=1), "response contains 'reason' with wrong type"),
    (_response(headers="x"), "response contains 'headers' with wrong type"),
    (_response(headers={"K": 1}), "headers contains 'K' with wrong type"),
    (_response(headers=["x"]), "headers contains element with wrong type"),
    (_response(headers=[["x"]]), "headers contains list with wrong number of elements"),
    (_response(headers=[[1, "x"]]), "header contains name element with wrong type"),
    (_response(headers=[["x", 1]]), "header contains value element with wrong type"),
    (_response(body=1), "response contains 'body' with wrong type"),
    (_response(**{"body-bin": 1}), "response contains 'body-bin' with wrong type"),
]


@pytest.mark.parametrize(
    ("instruct", "text"), JSON_ERRORS, ids=[str(case[0])[:60].replace(" ", "") for case in JSON_ERRORS]
)
def test_json_error(stage: Stage, instruct: Any, text: str) -> None:
    """grip-30, grip-31 and the table of grip spec §4.4."""
    assert_refused(stage, instruct_reply(instruct), text)


@differs("number-types")
@pytest.mark.parametrize(
    ("instruct", "text"),
    [
        (_response(code="abc"), "response contains 'code' with wrong type"),
        (_response(code=True), "response contains 'code' with wrong type"),
        (_response(code=200.6), "response contains 'code' with wrong type"),
        (_hold(timeout="5s"), "hold contains 'timeout' with wrong type"),
        (_hold(timeout=False), "hold contains 'timeout' with wrong type"),
    ],
)
def test_number_that_is_none(stage: Stage, instruct: Any, text: str) -> None:
    """Deviation of grip spec §4.5."""
    assert_refused(stage, instruct_reply(instruct), text)


@pytest.mark.parametrize("code", [404, 404.0, "404"])
def test_number_that_is_one(stage: Stage, code: object) -> None:
    """grip spec §4.5: integers, integral floats, and texts of them."""
    response = fetch(stage.proxy.port, stage.backend.serve(instruct_reply(_response(code=code))))
    assert (response.status, response.reason) == (404, "Not Found")


def test_json_instruct_with_another_status(stage: Stage) -> None:
    """grip-29."""
    reply = instruct_reply({"response": {"body": "x"}}, status=201, reason="Created")
    assert_refused(stage, reply, "response code for application/grip-instruct content must be 200")


class TestTooLarge:
    def test_instruct(self, stage: Stage) -> None:
        """grip-5: 100 001 bytes are too many for a long poll, and for no hold at all."""
        target = f"127.0.0.1:{stage.backend.port}"
        for headers in ([("Grip-Hold", "response"), ("Grip-Channel", "c")], [("Grip-Foo", "x")]):
            for framing in (Framing.SIZED, Framing.CHUNKED):
                path = stage.backend.serve(Reply(headers=headers, body=b"x" * 100_001, framing=framing))
                response = fetch(stage.proxy.port, path)
                assert (response.status, response.text) == (502, BAD_GATEWAY)
                response = fetch(stage.proxy.port, path, host="debug")
                assert response.text == f"GRIP instruct response too large from {target}\n"

    def test_instruct_of_the_largest_size(self, stage: Stage) -> None:
        """grip-5: 100 000 bytes hold."""
        channel = fresh_channel()
        client = stage.hold(poll_reply(channel, b"x" * 100_000))
        publish_ok(stage.proxy.control_port, response_item(channel, "held"))
        assert client.read_response().text == "held"

    def test_request(self, stage: Stage) -> None:
        """grip-4: debug or not."""
        path = stage.backend.serve(poll_reply("c"))
        for host in ("any", "debug"):
            response = fetch(stage.proxy.port, path, method="POST", body=b"x" * 150_000, host=host)
            assert (response.status, response.reason) == (400, "Bad Request")
            assert response.text == "Request too large to accept GRIP instruct.\n"

    def test_bad_status_of_a_streamed_instruct(self, stage: Stage) -> None:
        """grip spec §1.4: the head cannot be written."""
        path = stage.backend.serve(stream_reply("c", b"x" * 150_000, [("Grip-Status", "1000")]))
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.text) == (500, "Accept service unavailable.\n")

    def test_bad_keep_alive_of_a_streamed_instruct(self, stage: Stage) -> None:
        """grip spec §1.4: the body ends cleanly, in debug with the reason."""
        path = stage.backend.serve(stream_reply("c", b"x" * 150_000, [("Grip-Keep-Alive", "a; mode=x")]))
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.framing, response.body) == (200, "chunked", b"x" * 150_000)
        response = fetch(stage.proxy.port, path, host="debug")
        error = b"\n\nFailed to parse accept instructions: no such Grip-Keep-Alive mode 'x'\n"
        assert response.body == b"x" * 150_000 + error


class TestWithoutHold:
    def test_unknown_grip_header(self, stage: Stage) -> None:
        """grip-1, grip-28: an instruct all the same, hence a length and no Grip header."""
        path = stage.backend.serve(Reply(headers=[("grip-foo", "x"), ("X-A", "1")], body=b"y", framing=Framing.CHUNKED))
        response = fetch(stage.proxy.port, path)
        assert (response.headers, response.text) == ([("X-A", "1"), ("Content-Length", "1")], "y")

    def test_status_and_expose_headers(self, stage: Stage) -> None:
        """grip-24, grip-25, grip-28."""
        headers = [("Grip-Status", "404"), ("Grip-Expose-Headers", "x-a"), ("X-A", "1"), ("Content-Type", "text/plain")]
        response = fetch(stage.proxy.port, stage.backend.serve(Reply(headers=headers, body=b"y")))
        assert (response.status, response.reason) == (404, "Not Found")
        assert response.headers == [("X-A", "1"), ("Content-Length", "1")]

    def test_channels_without_hold(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(headers=[("Grip-Channel", "c"), ("Grip-Timeout", "5")], body=b"y"))
        assert fetch(stage.proxy.port, path).text == "y"

    def test_link_without_parameters_is_ignored(self, stage: Stage) -> None:
        """grip-26."""
        path = stage.backend.serve(Reply(headers=[("Grip-Link", "</x>")], body=b"y"))
        assert fetch(stage.proxy.port, path).text == "y"

    @pytest.mark.parametrize(
        ("headers", "expected"),
        [
            ({"X-B": "1", "X-A": "2"}, {("X-A", "2"), ("X-B", "1")}),
            ([["X-A", "1"], ["X-A", "2"]], {("X-A", "1"), ("X-A", "2")}),
        ],
        ids=["object", "pairs"],
    )
    def test_json_response(self, stage: Stage, headers: Any, expected: set[tuple[str, str]]) -> None:
        """grip-34, grip-35: only what it names counts; body-bin beats body."""
        instruct = {"response": {"code": 201, "headers": headers, "body": "text", "body-bin": "AP8="}}
        reply = instruct_reply(instruct, headers=[("X-Discarded", "1")])
        response = fetch(stage.proxy.port, stage.backend.serve(reply))
        assert (response.status, response.reason, response.body) == (201, "Created", b"\x00\xff")
        assert {header for header in response.headers if header[0] != "Content-Length"} == expected
        assert len(response.headers) == 3

    @differs("response-splitting")
    def test_response_splitting_is_refused(self, stage: Stage) -> None:
        instruct = {"response": {"headers": {"X-A": "a\r\nX-B: b"}, "body": "x"}}
        assert fetch(stage.proxy.port, stage.backend.serve(instruct_reply(instruct))).status == 502

    def test_json_reason_and_parameters_of_its_type(self, stage: Stage) -> None:
        body = json.dumps(_response(code=404, reason="Nope")).encode()
        reply = Reply(headers=[("Content-Type", "application/grip-instruct; charset=utf-8")], body=body)
        response = fetch(stage.proxy.port, stage.backend.serve(reply))
        assert (response.status, response.reason, response.text) == (404, "Nope", "x")

    def test_another_case_of_the_type_is_no_instruct(self, stage: Stage) -> None:
        """grip spec §1.1: compared with case."""
        reply = Reply(headers=[("Content-Type", "Application/grip-instruct")], body=b"{}")
        assert fetch(stage.proxy.port, stage.backend.serve(reply)).text == "{}"

    @pytest.mark.parametrize(
        "instruct",
        [
            pytest.param({}, marks=differs("empty-instruct"), id="nothing"),
            pytest.param({"response": {}}, marks=differs("empty-instruct"), id="no body"),
            pytest.param({"response": {"body": ""}}, id="empty body"),
        ],
    )
    def test_empty_json_instruct(self, stage: Stage, instruct: Any) -> None:
        """grip-36."""
        response = fetch(stage.proxy.port, stage.backend.serve(instruct_reply(instruct)))
        assert (response.status, response.body, response.header("Content-Length")) == (200, b"", "0")


class TestJsonHold:
    def test_default_mode_is_response(self, stage: Stage) -> None:
        """grip-31."""
        channel = fresh_channel()
        client = stage.hold(instruct_reply({"hold": {"channels": [{"name": channel}]}}))
        publish_ok(stage.proxy.control_port, response_item(channel, "polled"))
        assert client.read_response().text == "polled"

    def test_stream_with_a_response(self, stage: Stage) -> None:
        """grip-34: the head and initial body come from ``response``."""
        channel = fresh_channel()
        instruct = {
            "hold": {"mode": "stream", "channels": [{"name": channel}], "meta": {"user": "bob"}},
            "response": {"headers": {"Content-Type": "text/event-stream"}, "body": "hello "},
            "unknown": None,
        }
        client = stage.hold(instruct_reply(instruct))
        assert client.read_head().header("Content-Type") == "text/event-stream"
        publish_ok(stage.proxy.control_port, stream_item(channel, "world"))
        assert client.read_data(11) == b"hello world"

    def test_channels_are_added_to_those_of_the_headers(self, stage: Stage) -> None:
        """grip-32; mode and timeout of the JSON win."""
        one, two = fresh_channel(), fresh_channel()
        instruct = {"hold": {"mode": "stream", "channels": [{"name": two}]}}
        client = stage.hold(instruct_reply(instruct, headers=[("Grip-Hold", "response"), ("Grip-Channel", one)]))
        client.read_head()
        publish_ok(stage.proxy.control_port, stream_item(one, "1"), stream_item(two, "2"))
        assert client.read_data(2) == b"12"

    def test_grip_status_beside_json(self, stage: Stage) -> None:
        """grip spec §4.2: it holds when JSON gives no code."""
        instruct = {"hold": {"mode": "stream", "channels": [{"name": fresh_channel()}]}}
        client = stage.hold(instruct_reply(instruct, headers=[("Grip-Status", "202 Streaming")]))
        response = client.read_head()
        assert (response.status, response.reason) == (202, "Streaming")
