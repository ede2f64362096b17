"""Nothing that is published, instructed or requested becomes a line of its own: in no head, no frame, and no log.

One table of attacks for each way in. What counts is what comes out at the other end: the client's bytes, the backend's
bytes, and the lines of the log.
"""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
import zmq
from tests.harness import tnet
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import ClosedByServer, RawClient
from tests.harness.grip import Stage, fresh_channel, instruct_reply, stream_reply
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import publish, publish_ok, stream_item
from tests.harness.timing import eventually
from tests.harness.websocket import text
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_stage import WebSocketStage, control, ws_item
from tests.harness.zmq_sockets import ZmqSockets

MARK = "X-Injected"
BREAKS = ["\r\n", "\n", "\r", "\0", "\r\n\r\n"]
LINE = re.compile(r"\[(?:ERR|WARN|INFO|DEBUG)\] \d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} ")


def evil(line_break: str) -> str:
    return f"a{line_break}{MARK}: 1{line_break}HTTP/1.1 200 OK"


@pytest.fixture(scope="module")
def pull_spec() -> str:
    return f"tcp://127.0.0.1:{free_port()}"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend, pull_spec: str) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events 127.0.0.1:{backend.port},over_http",
        f"* 127.0.0.1:{backend.port}",
        settings={
            "proxy": {"log_user_agent": "true", "log_from": "true"},
            "handler": {"push_in_spec": pull_spec},
        },
    )


def assert_no_line(data: bytes) -> None:
    """The mark is nowhere at the beginning of a line."""
    assert re.search(rb"[\r\n\0]" + MARK.encode(), data) is None, data


def next_answer(stage: Stage, client: RawClient) -> str:
    """What the next request of a client is answered with: had one answer become two, it were the second."""
    client.request(stage.backend.serve(Reply(body=b"the next one")))
    return client.read_response().text


# --- published --------------------------------------------------------------------------------------------------------

RESPONSES: list[tuple[str, Any]] = [
    ("value of a header", lambda bad: {"headers": {"X-A": bad}}),
    ("value in a list", lambda bad: {"headers": [["X-A", bad]]}),
    ("name of a header", lambda bad: {"headers": {bad: "1"}}),
    ("name in a list", lambda bad: {"headers": [[f"X-A: 1{bad}", "1"]]}),
    ("reason", lambda bad: {"reason": bad}),
]


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
@pytest.mark.parametrize("make", [case[1] for case in RESPONSES], ids=[case[0] for case in RESPONSES])
class TestPublishedResponse:
    def test_by_http(self, stage: Stage, make: Any, line_break: str) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        bad = {"channel": channel, "formats": {"http-response": {"body": "x", **make(evil(line_break))}}}
        response = publish(stage.proxy.control_port, [bad])
        assert (response.status, response.text[:16]) == (400, "Invalid format: ")
        client.assert_silent(0.05)

    def test_by_zeromq(self, stage: Stage, sockets: ZmqSockets, pull_spec: str, make: Any, line_break: str) -> None:
        channel = fresh_channel()
        client = stage.poll(channel)
        push = sockets.connected(zmq.PUSH, pull_spec)
        bad = {"channel": channel, "http-response": {"body": "x", **make(evil(line_break))}}
        good = {"channel": channel, "http-response": {"body": "good"}}
        push.send(b"J" + json.dumps(bad).encode())
        push.send(tnet.encode(bad))
        push.send(tnet.encode(good))
        response = client.read_response()
        assert response.text == "good"
        assert_no_line(response.raw_head)


@pytest.mark.parametrize(
    "fields",
    [
        {"headers": {"Content-Length": "0"}},
        {"headers": {"Transfer-Encoding": "chunked"}},
        {"headers": [["Content-Length", "1"], ["content-length", "2"]]},
        {"headers": {"Connection": "close, X-A", "Keep-Alive": "1", "Trailer": "X-A", "Upgrade": "websocket"}},
        {"code": 204},
        {"code": 304},
        {"code": 100},
        {"code": 101},
        {"code": 199},
        {"code": 0},
        {"code": 7},
    ],
    ids=repr,
)
def test_published_framing(stage: Stage, fields: dict[str, Any]) -> None:
    """An answer is one answer, whatever its publisher says of its length and kind."""
    channel = fresh_channel()
    client = stage.poll(channel)
    body = f"HTTP/1.1 200 OK\r\n{MARK}: 1\r\nContent-Length: 1\r\n\r\nx"
    item = {"channel": channel, "formats": {"http-response": {"body": body, **fields}}}
    if publish(stage.proxy.control_port, [item]).status == 400:
        return
    head = client.read_head()
    assert_no_line(head.raw_head)
    if head.framing == "sized":
        assert client.read_exactly(int(head.header("Content-Length") or "")).decode() == body
    else:
        assert head.framing == "none"
    try:
        answer = next_answer(stage, client)
    except (ClosedByServer, BrokenPipeError):
        return
    assert answer == "the next one"


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
@pytest.mark.parametrize("key", ["id", "prev-id", "channel"])
def test_published_names(stage: Stage, key: str, line_break: str) -> None:
    """An id travels to backends, and a channel to the log."""
    item = {**stream_item(fresh_channel(), "x"), key: evil(line_break)}
    status = publish(stage.proxy.control_port, [item]).status
    assert status == (200 if key == "channel" else 400)
    publish_ok(stage.proxy.control_port, stream_item("last", "x"))
    stage.proxy.wait_log("publish channel=last")


def test_published_close_reason(ws: WebSocketStage) -> None:
    """It is text within a frame, and never longer than a control frame may be."""
    channel = fresh_channel()
    client, _ = ws.grip(channel)
    reason = "r\r\n\0" + "ä" * 200
    ws.publish({"channel": channel, "formats": {"ws-message": {"action": "close", "code": 4000, "reason": reason}}})
    frame = client.read()
    assert frame.close_code == 4000
    assert frame.payload[2:].decode() == "r\r\n\0" + "ä" * 59


def test_published_content_of_chunks(stage: Stage) -> None:
    """What looks like the end of a chunked body, or of an answer, is content."""
    channel = fresh_channel()
    client = stage.stream(channel)
    content = f"\r\n0\r\n\r\nHTTP/1.1 200 OK\r\n{MARK}: 1\r\n\r\n"
    publish_ok(stage.proxy.control_port, stream_item(channel, content))
    assert client.read_data(len(content)).decode() == content


# --- instructed -------------------------------------------------------------------------------------------------------

INSTRUCTS: list[tuple[str, Any]] = [
    ("value of a header", lambda bad: {"response": {"headers": {"X-A": bad}}}),
    ("name of a header", lambda bad: {"response": {"headers": [[bad, "1"]]}}),
    ("reason", lambda bad: {"response": {"reason": bad}}),
    ("channel", lambda bad: {"hold": {"mode": "stream", "channels": [{"name": bad}]}}),
    ("prev-id", lambda bad: {"hold": {"mode": "stream", "channels": [{"name": "c", "prev-id": bad}]}}),
]


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
@pytest.mark.parametrize("make", [case[1] for case in INSTRUCTS], ids=[case[0] for case in INSTRUCTS])
def test_instructed(stage: Stage, make: Any, line_break: str) -> None:
    """A backend that breaks lines is answered for with 502, and the connection is not out of step."""
    instruct = {"hold": {"mode": "stream", "channels": [{"name": fresh_channel()}]}, **make(evil(line_break))}
    client = stage.client()
    client.request(stage.backend.serve(instruct_reply(instruct)))
    response = client.read_response()
    assert response.status == 502
    assert_no_line(response.raw_head)
    assert next_answer(stage, client) == "the next one"


@pytest.mark.parametrize("line_break", BREAKS[:-1], ids=repr)
@pytest.mark.parametrize("name", ["Grip-Channel", "Grip-Status", "Grip-Set-Meta", "Grip-Keep-Alive", "X-A"])
def test_header_of_a_backend(stage: Stage, name: str, line_break: str) -> None:
    """In a head line breaks are heads of their own, which only the parser may see."""
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n{name}: {evil(line_break)}\r\n\r\nx"
    client = stage.client()
    client.request(stage.backend.serve(RawReply([head.encode()])))
    response = client.read_response()
    if line_break == "\r\n" and response.status == 200:
        assert response.raw_head.count(MARK.encode()) == 1  # it is a header, since its sender wrote one
    else:
        assert (response.status, response.text) == (502, "Error while proxying to origin.\n")


CHECKS: list[tuple[str, dict[str, Any]]] = [
    ("hold", {"user": "BAD"}),
    ("name", {"BAD": "x"}),
    ("url", {"url": "/checkBAD"}),
]


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
@pytest.mark.parametrize("meta", [case[1] for case in CHECKS], ids=[case[0] for case in CHECKS])
def test_meta_of_a_filter(stage: Stage, meta: dict[str, str], line_break: str) -> None:
    """Meta goes to a backend as JSON in a header; a URL is cleaned, or the item is lost."""
    channel = fresh_channel()
    path = stage.backend.serve(Reply(204, "No Content"))
    bad = evil(line_break)
    filled = {key.replace("BAD", bad): value.replace("BAD", bad) for key, value in meta.items()}
    hold = {
        "mode": "stream",
        "channels": [{"name": channel, "filters": ["http-check"]}],
        "meta": {"url": path, **filled},
    }
    client = stage.hold(instruct_reply({"hold": hold}))
    client.read_head()
    item = {**stream_item(channel, "x"), "meta": {"user": bad, bad: "1"}}
    publish_ok(stage.proxy.control_port, item)
    if "url" in meta:
        if line_break != "\0":
            eventually(lambda: b"/checka" in stage.backend.all_heads(), "the question of the filter")
        assert_no_line(stage.backend.all_heads())
        return
    eventually(lambda: stage.backend.requests(path), "the question of the filter")
    request = stage.backend.request(path)
    assert_no_line(request.raw_head)
    assert bad in json.loads(request.header("Pub-Meta") or "").values()
    assert client.read_data(1) == b"x"


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
def test_next_link(stage: Stage, line_break: str) -> None:
    """Characters that no request target can have do not get into one; those that look like them are escaped."""
    target = stage.backend.serve(Reply(body=b"x"))
    link = f"{target}?č Ċ%0d%0a{MARK}"
    head = f"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nGrip-Link: <{link.replace(' ', '')}>; rel=next\r\n\r\n"
    client = stage.client()
    client.request(stage.backend.serve(RawReply([head.encode()])))
    assert client.read_response().status == 200
    request = stage.backend.request(target)
    assert request.target == f"{target}?%C4%8D%C4%8A%0d%0a{MARK}"
    assert_no_line(request.raw_head)


@pytest.mark.parametrize("line_break", BREAKS, ids=repr)
def test_orders_of_a_websocket(ws: WebSocketStage, line_break: str) -> None:
    """Names of channels and meta come as JSON there."""
    client, peer = ws.relay(extension="grip")
    path = ws.backend.serve(Reply(204, "No Content"))
    bad = evil(line_break)
    peer.send(
        control("subscribe", channel=bad),
        control("set-meta", name="user", value=bad),
        control("set-meta", name="url", value=f"http://127.0.0.1:{ws.backend.port}{path}"),
    )
    channel = fresh_channel()
    peer.send(control("subscribe", channel=channel, filters=["http-check"]), text("m:go on"))
    client.expect_text("go on")
    ws.proxy.settle()
    ws.publish(ws_item(channel, "x"))
    request = ws.backend.request(path)
    assert_no_line(request.raw_head)
    assert json.loads(request.header("Sub-Meta") or "")["user"] == bad


# --- requested --------------------------------------------------------------------------------------------------------

REQUESTS = [
    b"GET /%s HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nUser-Agent: %s\r\n\r\n",
    b"GET / HTTP/1.1\r\nHost: h\r\nReferer: %s\r\n\r\n",
    b"G%s / HTTP/1.1\r\nHost: h\r\n\r\n",
    b"GET /%s HTTP/1.1\r\nHost: relay\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: %s\r\n\r\n",
]
FORGERIES = [
    b"\n[ERR] 2026-01-01 00:00:00.000 forged",
    b"\r[ERR]forged",
    b"\x1b[2J\x1b]0;forged\x07",
    b"\xc2\x9b2J",  # CSI as one character
    b"\xe2\x80\xa8[ERR]forged",  # U+2028
    b"\xe2\x80\xae[ERR]forged",  # right to left
    b"\xff\xfe\x80",
    b"\x00",
    b"%0a[ERR]forged%1b",
]


def test_log(stage: Stage, sockets: ZmqSockets, pull_spec: str) -> None:
    """Every line of the log is one that we wrote, and no byte of it drives a terminal."""
    stage.backend.serve(Reply(body=b"ok"), "/")
    for request in REQUESTS:
        for forgery in FORGERIES:
            client = stage.client()
            client.send(request.replace(b"%s", forgery))
            if b"relay" not in request:
                client.read_until(b"\r\n\r\n")
            client.close()
    push = sockets.connected(zmq.PUSH, pull_spec)
    for forgery in FORGERIES:
        name = forgery.decode("utf-8", "replace")
        publish(stage.proxy.control_port, [stream_item(name, "x")])
        stage.stream("log")
        item = {"channel": "log", "id": name, "http-stream": {"content": "x"}}
        push.send(tnet.encode(item))
        push.send(b"J" + forgery)
        push.send(tnet.encode({"channel": forgery, forgery: 1, "formats": {forgery: 1}}))
    publish_ok(stage.proxy.control_port, stream_item("the-end", "x"))
    stage.proxy.wait_log("channel=the-end")
    for line in stage.proxy.log().split("\n")[:-1]:
        assert LINE.match(line) or line.startswith("    "), line
        assert line.isprintable(), line


def test_referer_cannot_look_like_a_result(stage: Stage) -> None:
    path = stage.backend.serve(Reply(body=b"ok"))
    client = stage.client()
    client.request(path, headers=[("Referer", "x code=500 7 ua=y"), ("User-Agent", "z\xe2\x80\xa8w")])
    client.read_response()
    (line,) = stage.proxy.wait_log(re.escape(path))
    assert "ref=x%20code=500%207%20ua=y code=200 2 ua=z\\u2028w" in line


# --- streams ----------------------------------------------------------------------------------------------------------


def test_keep_alive(stage: Stage) -> None:
    """What an instruct lets be written to a quiet stream stays within its chunk."""
    reply = stream_reply(
        fresh_channel(), headers=[("Grip-Keep-Alive", f"0\\r\\n\\r\\n{MARK}; format=cstring; timeout=1; mode=interval")]
    )
    client = stage.hold(reply)
    client.read_head()
    assert client.read_chunk() == f"0\r\n\r\n{MARK}".encode()
