"""The HTTP door for publishers: its paths, its answers, every text, and what an item may be."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from tests.harness.backend import ScriptedBackend
from tests.harness.client import Connect, encode_chunk, fetch
from tests.harness.grip import Stage, fresh_channel
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.publish import close_item, post_publish, publish, publish_ok, stream_item


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"* 127.0.0.1:{backend.port}")


class TestPaths:
    @pytest.mark.parametrize("method", ["GET", "DELETE", "OPTIONS"])
    @pytest.mark.parametrize("path", ["/", "//"])
    def test_root(self, proxy: ProxyUnderTest, method: str, path: str) -> None:
        """grip-101: any method."""
        response = fetch(proxy.control_port, path, method=method)
        assert (response.status, response.text, response.header("Content-Type")) == (200, "Pushpin API\n", "text/plain")

    @pytest.mark.parametrize("path", ["/nothing", "/publish?x", "/publish//", "/publish/x", "/Publish", "/publishx"])
    def test_unknown_path(self, proxy: ProxyUnderTest, path: str) -> None:
        """grip-101, grip-102."""
        response = fetch(proxy.control_port, path, method="POST", body=b"{}")
        assert (response.status, response.reason, response.text) == (404, "Not Found", "Not Found\n")

    @pytest.mark.parametrize("path", ["/publish", "/publish/", "/recover", "/recover/"])
    @pytest.mark.parametrize("method", ["GET", "OPTIONS", "DELETE"])
    def test_wrong_method(self, proxy: ProxyUnderTest, path: str, method: str) -> None:
        """grip-101."""
        response = fetch(proxy.control_port, path, method=method)
        assert (response.status, response.reason) == (405, "Method Not Allowed")
        assert (response.header("Allow"), response.text) == ("POST", f"Method not allowed: {method}.\n")
        response = fetch(proxy.control_port, path, method="PUT", body=b"{}")
        assert (response.status, response.text) == (405, "Method not allowed: PUT.\n")

    def test_publish_with_and_without_slash(self, stage: Stage) -> None:
        """grip-102."""
        channel = fresh_channel()
        client = stage.stream(channel)
        for path in ("/publish", "/publish/"):
            body = json.dumps({"items": [stream_item(channel, "x")]}).encode()
            assert post_publish(stage.proxy.control_port, body, path=path).text == "Published\n"
            assert client.read_data(1) == b"x"

    @differs("control-head")
    def test_head_has_no_body(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        """Deviation of grip spec §15.1."""
        client = connect(proxy.control_port)
        client.request("/", method="HEAD", headers=[("Connection", "close")])
        response = client.read_response("HEAD")
        assert (response.status, response.header("Content-Length")) == (200, "12")
        client.assert_closed()


class TestAccept:
    @pytest.mark.parametrize(
        ("accept", "is_json"),
        [
            (None, False),
            ("text/plain", False),
            ("text/*", False),
            ("*/*", False),
            ("*", False),
            ("application/json", True),
            ("application/*", True),
            ("text/plain, application/json", True),
            ("application/json, text/plain", False),
            ("application/json;q=0.1, text/plain;q=0.9, image/png", False),
            ("text/html, application/json; q=0.5", True),
        ],
    )
    def test_success(self, proxy: ProxyUnderTest, accept: str | None, is_json: bool) -> None:
        """grip-103: the last acceptable element wins."""
        response = publish(proxy.control_port, [], accept)
        assert response.status == 200
        if is_json:
            assert response.header("Content-Type") == "application/json"
            assert json.loads(response.text)["message"] == "Published"
        else:
            assert (response.header("Content-Type"), response.text) == ("text/plain", "Published\n")

    @pytest.mark.parametrize("accept", ["text/html", "", "Application/JSON", "image/*, text/html"])
    def test_not_acceptable(self, proxy: ProxyUnderTest, accept: str) -> None:
        """grip-103: it is decided before anything else."""
        for path in ("/publish/", "/", "/nothing"):
            response = post_publish(proxy.control_port, b"nonsense", [("Accept", accept)], path)
            assert (response.status, response.reason) == (406, "Not Acceptable")
            assert response.text == "Not Acceptable. Supported formats are text/plain and application/json.\n"

    def test_errors_are_text(self, proxy: ProxyUnderTest) -> None:
        response = post_publish(proxy.control_port, b"nonsense", [("Accept", "application/json")])
        assert (response.status, response.header("Content-Type")) == (400, "text/plain")


class TestFraming:
    def test_no_length(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        """grip-104."""
        client = connect(proxy.control_port)
        client.request("/publish/", method="POST")
        response = client.read_response()
        assert (response.status, response.reason) == (411, "Length Required")
        assert response.text == "Request requires Content-Length.\n"

    def test_declared_too_large(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        """grip-104: without reading the body."""
        client = connect(proxy.control_port)
        client.request("/publish/", method="POST", headers=[("Content-Length", "1000001")])
        response = client.read_response()
        assert (response.status, response.text) == (400, "Request body too large.\n")

    def test_largest_body(self, proxy: ProxyUnderTest) -> None:
        body = b'{"items": []' + b" " * 999_987 + b"}"
        assert len(body) == 1_000_000
        assert post_publish(proxy.control_port, body).status == 200

    def test_bad_length(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.request("/publish/", method="POST", headers=[("Content-Length", "abc")])
        response = client.read_response()
        assert (response.status, response.text) == (400, "Bad Content-Length.\n")

    def test_header_too_large(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.send(b"POST /publish/ HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 10_000)
        response = client.read_response()
        assert (response.status, response.text) == (400, "Request header too large.\n")

    def test_header_that_is_none(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.send(b"nonsense\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.text) == (400, "Failed to parse request header.\n")

    def test_expect_100_continue(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        body = b'{"items": []}'
        headers = [("Expect", "100-continue"), ("Content-Length", str(len(body)))]
        client.request("/publish/", method="POST", headers=headers)
        assert client.read_until(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.send(body)
        assert client.read_response().text == "Published\n"

    def test_version_is_echoed(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.request("/publish/", method="POST", body=b'{"items": []}', version="1.0")
        assert client.read_response().version == "HTTP/1.0"
        client.assert_closed()

    @differs("control-keep-alive")
    def test_keep_alive(self, stage: Stage, connect: Connect) -> None:
        """Deviation of grip spec §15.1: also after an item that is refused."""
        channel = fresh_channel()
        receiver, publisher = stage.stream(channel), connect(stage.proxy.control_port)
        for number in range(5):
            body = json.dumps({"items": [stream_item(channel, str(number))]}).encode()
            publisher.request("/publish/", method="POST", body=body)
            assert publisher.read_response().text == "Published\n"
            publisher.request("/publish/", method="POST", body=b"nonsense")
            assert publisher.read_response().status == 400
        assert receiver.read_data(5) == b"01234"

    def test_connection_close_is_obeyed(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.request("/", headers=[("Connection", "close")])
        assert client.read_response().header("Connection") == "close"
        client.assert_closed()

    @differs("control-chunked")
    def test_chunked_body(self, stage: Stage, connect: Connect) -> None:
        """Deviation of grip spec §15.1, with the same limit."""
        channel = fresh_channel()
        receiver, publisher = stage.stream(channel), connect(stage.proxy.control_port)
        body = json.dumps({"items": [stream_item(channel, "x")]}).encode()
        publisher.request("/publish/", method="POST", headers=[("Transfer-Encoding", "chunked")])
        publisher.send(encode_chunk(body[:10]) + encode_chunk(body[10:]) + encode_chunk(b""))
        assert publisher.read_response().text == "Published\n"
        assert receiver.read_data(1) == b"x"
        publisher.request("/publish/", method="POST", headers=[("Transfer-Encoding", "chunked")])
        publisher.send(encode_chunk(b" " * 600_000))
        publisher.send(encode_chunk(b" " * 400_001))
        response = publisher.read_response()
        assert (response.status, response.text) == (400, "Request body too large.\n")

    @differs("control-bare-lf")
    def test_bare_line_ends(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        client = connect(proxy.control_port)
        client.send(b'POST /publish/ HTTP/1.1\nHost: x\nContent-Length: 13\n\n{"items": []}')
        response = client.read_response()
        assert (response.status, response.text) == (400, "Failed to parse request header.\n")

    @differs("control-more-bytes")
    def test_more_bytes_than_the_length(self, proxy: ProxyUnderTest, connect: Connect) -> None:
        """They are the next request."""
        client = connect(proxy.control_port)
        client.send(b'POST /publish/ HTTP/1.1\r\nHost: x\r\nContent-Length: 13\r\n\r\n{"items": []}')
        client.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert [client.read_response(timeout_s=2).text for _ in range(2)] == ["Published\n", "Pushpin API\n"]


NOT_JSON = "Body is not valid JSON.\n"
BODIES: list[tuple[bytes, str]] = [
    (b"nonsense", NOT_JSON),
    (b"", NOT_JSON),
    (b"1", NOT_JSON),
    (b'"text"', NOT_JSON),
    (b"null", NOT_JSON),
    (b'{"items": [NaN]}', NOT_JSON),
    (b'{"items": [],}', NOT_JSON),
    (b'{"items": ["\xff"]}', NOT_JSON),
    (b"[]", "Invalid format.\n"),
    (b"{}", "Invalid format: object does not contain 'items'\n"),
    (b'{"items": {}}', "Invalid format: object contains 'items' with wrong type\n"),
    (b'{"items": null}', "Invalid format: object contains 'items' with wrong type\n"),
]


@pytest.mark.parametrize(("body", "text"), BODIES, ids=[body.decode("latin-1") or "empty" for body, _ in BODIES])
def test_bad_body(proxy: ProxyUnderTest, body: bytes, text: str) -> None:
    """grip-74: the table of grip spec §15.1."""
    response = post_publish(proxy.control_port, body)
    assert (response.status, response.reason, response.text) == (400, "Bad Request", text)
    assert response.header("Content-Type") == "text/plain"


def _stream(**fields: Any) -> dict[str, Any]:
    return {"channel": "c", "formats": {"http-stream": fields}}


def _response(**fields: Any) -> dict[str, Any]:
    return {"channel": "c", "formats": {"http-response": fields}}


def _message(**fields: Any) -> dict[str, Any]:
    return {"channel": "c", "formats": {"ws-message": fields}}


FORMATS = {"http-stream": {"content": "x"}}
ITEMS: list[tuple[Any, str]] = [
    ("x", "publish item object is not an object"),
    ({"formats": FORMATS}, "publish item object does not contain 'channel'"),
    ({"channel": 1, "formats": FORMATS}, "publish item object contains 'channel' with wrong type"),
    ({"channel": None, "formats": FORMATS}, "publish item object contains 'channel' with wrong type"),
    ({"channel": "c", "id": 1, "formats": FORMATS}, "publish item object contains 'id' with wrong type"),
    ({"channel": "c", "id": None, "formats": FORMATS}, "publish item object contains 'id' with wrong type"),
    ({"channel": "c", "prev-id": 1, "formats": FORMATS}, "publish item object contains 'prev-id' with wrong type"),
    ({"channel": "c", "formats": []}, "publish item object contains 'formats' with wrong type"),
    ({"channel": "c", "formats": {}}, "no formats specified"),
    ({"channel": "c"}, "no formats specified"),
    ({"channel": "c", "formats": FORMATS, "meta": []}, "publish item object contains 'meta' with wrong type"),
    ({"channel": "c", "formats": FORMATS, "meta": {"K": 1}}, "'meta' contains 'K' with wrong type"),
    ({"channel": "c", "formats": FORMATS, "size": -1}, "publish item object contains 'size' with invalid value"),
    ({"channel": "c", "formats": FORMATS, "size": []}, "publish item object contains 'size' with wrong type"),
    ({"channel": "c", "formats": FORMATS, "no-seq": "x"}, "publish item object contains 'no-seq' with wrong type"),
    ({"channel": "c", "formats": {"http-stream": "x"}}, "'http-stream' is not an object"),
    (_stream(), "'http-stream' does not contain 'content' or 'content-bin'"),
    (_stream(content=1), "'http-stream' contains 'content' with wrong type"),
    (_stream(**{"content-bin": 1}), "'http-stream' contains 'content-bin' with wrong type"),
    (_stream(action=1), "'http-stream' contains 'action' with wrong type"),
    (_stream(action="jump", content="x"), ""),
    (_stream(action="", content="x"), ""),
    (
        _stream(content="x", **{"content-filters": "x"}),
        "'http-stream' contains 'content-filters' with wrong type",
    ),
    (_stream(content="x", **{"content-filters": [1]}), "content-filters contains element with wrong type"),
    (_response(), "'http-response' does not contain 'body', 'body-bin', or 'body-patch'"),
    (_response(body=1), "'http-response' contains 'body' with wrong type"),
    (_response(**{"body-bin": 1}), "'http-response' contains 'body-bin' with wrong type"),
    (_response(**{"body-patch": {}}), "'http-response' contains 'body-patch' with wrong type"),
    (_response(body="x", code=[]), "'http-response' contains 'code' with wrong type"),
    (_response(body="x", code=1000), "'http-response' contains 'code' with invalid value"),
    (_response(body="x", code=-1), "'http-response' contains 'code' with invalid value"),
    (_response(body="x", reason=1), "'http-response' contains 'reason' with wrong type"),
    (_response(body="x", headers="x"), "'http-response' contains 'headers' with wrong type"),
    (_response(body="x", headers={"K": 1}), "headers contains 'K' with wrong type"),
    (_response(body="x", headers=["x"]), "headers contains element with wrong type"),
    (_response(body="x", headers=[["x"]]), "headers contains list with wrong number of elements"),
    (_response(body="x", headers=[[1, "x"]]), "header contains name element with wrong type"),
    (_response(body="x", headers=[["x", 1]]), "header contains value element with wrong type"),
    (_message(content=1), "'ws-message' contains 'content' with wrong type"),
    (_message(type="x", content="x"), "'ws-message' contains 'type' with unknown value"),
    (_message(type=1, content="x"), "'ws-message' contains 'type' with wrong type"),
]


def _item_id(case: tuple[Any, str]) -> str:
    return json.dumps(case[0]).replace(" ", "").replace('"channel":"c",', "")[:70]


@pytest.mark.parametrize(("item", "text"), ITEMS, ids=[_item_id(case) for case in ITEMS])
def test_bad_item(proxy: ProxyUnderTest, item: Any, text: str) -> None:
    """grip-74, grip-77: the tables of grip spec §8."""
    response = publish(proxy.control_port, [item])
    assert (response.status, response.text) == (400, f"Invalid format: {text}\n")


@differs("number-types")
@pytest.mark.parametrize("code", ["abc", True, 200.6])
def test_number_that_is_none(proxy: ProxyUnderTest, code: object) -> None:
    """Deviation of grip spec §8.3."""
    response = publish(proxy.control_port, [_response(body="x", code=code)])
    assert response.text == "Invalid format: 'http-response' contains 'code' with wrong type\n"


@pytest.mark.parametrize(
    "item",
    [
        {"channel": "", "formats": FORMATS},
        {"channel": "c", "formats": {"unknown": {}}},
        {"channel": "c", "formats": FORMATS, "id": "", "prev-id": "", "unknown": None, "size": 5, "no-seq": True},
        _stream(action="close"),
        _stream(action="hint", content=1),
        _response(action="close"),
        _response(body="x", code="404"),
        _message(type="ping"),
        _message(action="close", code=1000, reason="x"),
        pytest.param(_message(action="refresh"), marks=differs("refresh"), id="refresh"),
        _stream(**{"content-bin": "not base64!"}),
    ],
)
def test_good_item(proxy: ProxyUnderTest, item: Any) -> None:
    """What is unusual but no error."""
    publish_ok(proxy.control_port, item)


@differs("response-splitting")
@pytest.mark.parametrize("field", ["id", "prev-id"])
def test_line_end_in_an_id(proxy: ProxyUnderTest, field: str) -> None:
    """Ids become values of ``Grip-Last``."""
    response = publish(proxy.control_port, [{"channel": "c", "formats": FORMATS, field: "a\r\nX-B: b"}])
    assert response.status == 400


class TestItems:
    def test_all_or_nothing(self, stage: Stage) -> None:
        """grip-75."""
        channel = fresh_channel()
        client = stage.stream(channel)
        items = [stream_item(channel, "a"), {"channel": channel}, stream_item(channel, "b")]
        assert publish(stage.proxy.control_port, items).status == 400
        client.assert_silent(0.2)

    def test_legacy_formats(self, stage: Stage) -> None:
        """grip-76: at the top level; ``formats`` wins."""
        channel = fresh_channel()
        client, poller = stage.stream(channel), stage.poll(channel)
        legacy = {"channel": channel, "http-stream": {"content": "old"}, "http-response": {"body": "old"}}
        publish_ok(stage.proxy.control_port, legacy, {**stream_item(channel, "new"), "http-stream": {"content": "no"}})
        assert client.read_data(6) == b"oldnew"
        assert poller.read_response().text == "old"

    def test_bin_wins(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        content = {"content": "text", "content-bin": base64.b64encode(b"\x00\xff").decode()}
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": {"http-stream": content}})
        assert client.read_data(2) == b"\x00\xff"

    def test_byte_order_mark_and_duplicate_keys(self, stage: Stage) -> None:
        """grip spec §15.1: the mark is accepted, the last of two keys wins."""
        channel = fresh_channel()
        client = stage.stream(channel)
        item = json.dumps(stream_item(channel, "x")).replace("{", '{"channel": "other", ', 1)
        body = b'\xef\xbb\xbf{"items": [' + item.encode() + b"]}"
        assert post_publish(stage.proxy.control_port, body).text == "Published\n"
        assert client.read_data(1) == b"x"

    def test_all_three_formats(self, stage: Stage) -> None:
        channel = fresh_channel()
        client, poller = stage.stream(channel), stage.poll(channel)
        formats = {
            "http-stream": {"content": "stream"},
            "http-response": {"body": "response"},
            "ws-message": {"content": "message"},
        }
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": formats})
        assert client.read_data(6) == b"stream"
        assert poller.read_response().text == "response"

    def test_close_follows_what_came_before(self, stage: Stage) -> None:
        channel = fresh_channel()
        client = stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "a"), close_item(channel), stream_item(channel, "b"))
        assert client.read_chunks() == b"a"

    def test_publish_is_logged(self, stage: Stage) -> None:
        """grip spec §10.6."""
        channel = fresh_channel()
        for _ in range(2):
            stage.stream(channel)
        publish_ok(stage.proxy.control_port, stream_item(channel, "a"))
        stage.proxy.wait_log(rf"\[INFO\].* publish channel={channel} receivers=2$")
