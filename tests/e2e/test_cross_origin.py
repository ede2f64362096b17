"""CORS and JSON-P, where Holdfast is stricter than Pushpin, or does what Pushpin breaks."""

from __future__ import annotations

import json
import signal
import threading
import time
from typing import Any
from urllib.parse import quote

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, RawClient, encode_request, fetch
from tests.harness.grip import Stage, fresh_channel, poll_reply, stream_reply
from tests.harness.messages import HeaderList, Response
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.publish import hint_item, publish_ok, response_item, stream_item
from tests.harness.tokens import make_token
from tests.harness.websocket import WebSocketClient

SECRET = b"upstream"
ORIGIN = ("Origin", "https://page.example")


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"plain {target}",
        f"basic,jsonp_mode=basic {target}",
        f"debug,debug {target}",
        f"events {target},over_http",
        settings={"proxy": {"auto_cross_origin": "true", "upstream_key": SECRET.decode()}},
    )


def argument(response: Response | str) -> Any:
    """What the callback `cb` is called with."""
    if isinstance(response, Response):
        assert (response.status, response.header("Content-Type")) == (200, "application/javascript"), response
        assert not response.has("Access-Control-Allow-Origin")
        response = response.body.decode()
    assert response.startswith("/**/cb("), response
    assert response.endswith(");\n")
    return json.loads(response[7:-3])


def poll(stage: Stage, reply: Reply, query: str, headers: HeaderList | None = None) -> RawClient:
    """A long poll of a script, held."""
    path = stage.backend.serve(reply)
    client = stage.client()
    client.request(path + query, headers=headers)
    stage.proxy.wait_held(path)
    return client


# --- what a page may ask for -----------------------------------------------------------------------------------------


class TestRequests:
    def test_other_lengths_than_the_body_has(self, stage: Stage) -> None:
        """routes-89: no length that the client, or the page, states is that of the body in the query."""
        headers = quote('{"Content-Length": "99", "Transfer-Encoding": "chunked", "Connection": "X-C"}')
        request = stage.received(
            f"?callback=cb&_method=POST&_body=hello&_headers={headers}",
            headers=[("Content-Length", "0"), ("X-C", "1")],
        )
        assert (request.method, bytes(request.body)) == ("POST", b"hello")
        assert (request.header("Content-Length"), request.header("X-C")) == ("5", "1")
        assert not request.has("Transfer-Encoding")

    @pytest.mark.parametrize(
        "headers", [[("Content-Length", "5")], [("Transfer-Encoding", "chunked")]], ids=["sized", "chunked"]
    )
    def test_two_bodies(self, stage: Stage, headers: HeaderList) -> None:
        """routes-90: the client's own must not become the next request either."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(f"{path}?callback=cb&_body=x", headers=headers)
        response = client.read_response()
        assert (response.status, response.text) == (400, "Invalid _body parameter.\n")
        assert response.header("Access-Control-Allow-Origin") == "*"
        client.assert_closed()
        assert stage.backend.requests(path) == []

    @pytest.mark.parametrize(
        "query",
        [
            "_method=GET%20%2Fadmin%20HTTP%2F1.1%0d%0aX:%20y%0d%0a%0d%0aGET",
            "_headers=" + quote('{"X": "a\\r\\nGrip-Sig: b"}'),
            "_headers=" + quote('{"X\\r\\nGrip-Sig": "a"}'),
        ],
    )
    def test_no_line_break_reaches_the_backend(self, stage: Stage, query: str) -> None:
        """routes-90"""
        path = stage.backend.serve(Reply(body=b"ok"))
        assert fetch(stage.proxy.port, f"{path}?callback=cb&{query}").status == 400
        assert stage.backend.requests(path) == []

    def test_trusted_proxy_in_front(self, stage: Stage) -> None:
        """It vouches for Grip headers, and not for those in the query."""
        token = make_token({"exp": int(time.time()) + 60}, SECRET)
        headers = quote('{"Grip-Sig": "forged", "Grip-Last": "c; last-id=1", "X-A": "1"}')
        request = stage.received(f"?callback=cb&_headers={headers}", headers=[("Grip-Sig", token)])
        assert (request.all("Grip-Sig"), request.has("Grip-Last"), request.header("X-A")) == ([token], False, "1")

    def test_events_of_a_websocket(self, stage: Stage) -> None:
        """The ban on them looks at the request as it will be sent."""
        headers = quote('{"Content-Type": "application/websocket-events"}')
        query = f"?callback=cb&_method=POST&_headers={headers}&_body=OPEN%0d%0a"
        assert argument(fetch(stage.proxy.port, f"/x{query}", host="events"))["code"] == 403

    def test_head_is_asked_for(self, stage: Stage) -> None:
        """routes-87: the answer has no body, the script has one."""
        path = stage.backend.serve(Reply(length=7))
        client = stage.client()
        for _ in range(2):
            client.request(f"{path}?callback=cb&_method=HEAD")
            answer = argument(client.read_response())
            assert (answer["headers"], answer["body"]) == ({"Content-Length": "7"}, "")
        assert {request.method for request in stage.backend.requests(path)} == {"HEAD"}


# --- answers ---------------------------------------------------------------------------------------------------------


class TestAnswers:
    def test_scripts_on_one_connection(self, stage: Stage) -> None:
        """routes-87, routes-93: each has its own callback, and a POST none."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.send(
            encode_request(f"{path}?callback=a")
            + encode_request(f"{path}?callback=b", method="POST", body=b"")
            + encode_request(f"{path}?callback=c")
        )
        bodies = [client.read_response().text for _ in range(3)]
        assert (bodies[0][:6], bodies[1], bodies[2][:6]) == ("/**/a(", "ok", "/**/c(")

    def test_characters_split_over_pieces(self, stage: Stage) -> None:
        text = 'é\u2028"😀\n'
        pieces: list[bytes | float] = []
        for byte in text.encode():
            pieces += [bytes([byte]), 0.02]
        path = stage.backend.serve(Reply(404, body=pieces, framing=Framing.CHUNKED))
        response = fetch(stage.proxy.port, f"{path}?callback=cb")
        assert response.framing == "chunked"
        assert argument(response) == {
            "code": 404,
            "reason": "OK",
            "headers": {},
            "body": text,
        }

    def test_a_large_body_passes_piece_by_piece(self, stage: Stage) -> None:
        """routes-87: nothing is collected, the beginning is there before the end exists."""
        piece = "ü".encode() * 50_000
        goes_on = threading.Event()
        path = stage.backend.serve(Reply(body=[piece, goes_on, *[piece] * 20]))
        client = stage.client()
        client.request(f"{path}?callback=cb")
        head = client.read_head()
        beginning = client.read_chunk() + client.read_chunk()
        goes_on.set()
        body = beginning + client.read_chunks()
        assert head.headers[0] == ("Content-Type", "application/javascript")
        answer = argument(body.decode())
        assert (answer["body"], answer["headers"]) == ("ü" * 50_000 * 21, {"Content-Length": str(21 * len(piece))})

    def test_broken_off(self, stage: Stage) -> None:
        """The script is not whole, and so it is not run."""
        path = stage.backend.serve(Reply(body=[b"abc", 0.1], length=20, breaks_off=True))
        client = stage.client()
        client.request(f"{path}?callback=cb")
        client.read_head()
        assert not client.read_to_close().endswith(b"0\r\n\r\n")

    def test_no_route_and_no_backend(self, launch_once: Launch) -> None:
        """routes-86, routes-87: errors of our own are answers like others."""
        proxy = launch_once("dead 127.0.0.1:1", settings={"proxy": {"auto_cross_origin": "true"}})
        for host in ("none", "dead"):
            response = fetch(proxy.port, "/", host=host, headers=[ORIGIN])
            assert (response.status, response.header("Access-Control-Allow-Origin")) == (502, ORIGIN[1])
            answer = argument(fetch(proxy.port, "/?callback=cb", host=host))
            assert (answer["code"], answer["reason"]) == (502, "Bad Gateway")
            assert answer["headers"] == {"Content-Length": str(len(answer["body"])), "Content-Type": "text/plain"}
            assert fetch(proxy.port, "/?callback=", host=host).status == 400

    def test_head_and_http10(self, stage: Stage) -> None:
        """routes-82"""
        path = stage.backend.serve(Reply(length=7, headers=[("ETag", "x")]))
        for version, method in (("1.1", "HEAD"), ("1.0", "HEAD")):
            response = fetch(stage.proxy.port, path, method=method, version=version)
            assert (response.header("Content-Length"), response.header("Access-Control-Expose-Headers")) == (
                "7",
                "ETag",
            )

    def test_websockets_have_no_part_in_it(self, stage: Stage) -> None:
        """Browsers do not ask them for CORS; servers look at Origin."""
        path = stage.backend.serve(Reply(403, body=b"no"))
        client = stage.client()
        WebSocketClient(client).handshake(f"{path}?callback=cb", host="events", headers=[ORIGIN])
        response = client.read_response()
        assert (response.status, response.has("Access-Control-Allow-Origin")) == (403, False)


# --- holds -----------------------------------------------------------------------------------------------------------


class TestHolds:
    def test_polls_of_several_pages(self, stage: Stage) -> None:
        """grip-54: one item, and to each client in the form that it asked for."""
        channel = fresh_channel()
        reply = poll_reply(channel, headers=[("X-K", "1")])
        plain = [poll(stage, reply, "", [ORIGIN]) for _ in range(2)]
        other = poll(stage, reply, "", [("Origin", "null")])
        script = poll(stage, reply, "?callback=cb")
        publish_ok(stage.proxy.control_port, response_item(channel, "x\n", headers={"X-P": "1"}))
        for client, origin in ((plain[0], ORIGIN[1]), (plain[1], ORIGIN[1]), (other, "null")):
            response = client.read_response()
            assert response.text == "x\n"
            assert response.header("Access-Control-Allow-Origin") == origin
            assert response.header("Access-Control-Expose-Headers") == "X-K, X-P"
        response = script.read_response()
        assert (response.header("X-K"), response.header("X-P")) == ("1", "1")
        assert argument(response)["body"] == "x\n"

    def test_timeout_and_the_next_poll(self, stage: Stage) -> None:
        """grip-54: the kept response, too; the connection goes on with whatever is asked then."""
        channel = fresh_channel()
        path = stage.backend.serve(poll_reply(channel, headers=[("Grip-Timeout", "5")], status=404, reason="Nope"))
        client = stage.client()
        client.request(f"{path}?callback=cb")
        answer = argument(client.read_response(timeout_s=7))
        assert (answer["code"], answer["reason"], answer["body"]) == (404, "Nope", "timeout\n")
        client.request(path, headers=[ORIGIN])
        stage.proxy.wait_held(path, 2)
        publish_ok(stage.proxy.control_port, response_item(channel, "x"))
        response = client.read_response()
        assert (response.text, response.header("Access-Control-Allow-Origin")) == ("x", ORIGIN[1])

    def test_end_of_the_process(self, launch_once: Launch, backend: ScriptedBackend, connect: Connect) -> None:
        proxy = launch_once(f"*,aco 127.0.0.1:{backend.port}")
        client = poll(Stage(proxy, backend, connect), poll_reply(fresh_channel()), "?callback=cb")
        proxy.send_signal(signal.SIGTERM)
        assert argument(client.read_response())["body"] == "timeout\n"

    def test_failure_while_held(self, stage: Stage) -> None:
        """grip-54: an item that cannot be patched in ends the poll."""
        channel = fresh_channel()
        client = poll(stage, poll_reply(channel, b"no JSON"), "?callback=cb")
        formats = {"http-response": {"body-patch": [{"op": "remove", "path": "/a"}]}}
        publish_ok(stage.proxy.control_port, {"channel": channel, "formats": formats})
        answer = argument(client.read_response())
        assert (answer["code"], answer["body"]) == (502, "Error while proxying to origin.\n")

    def test_retries(self, stage: Stage) -> None:
        """grip-54, routes-89: made again as it was, held again, and answered at last, for the callback of the first."""
        channel = fresh_channel()
        path = stage.backend.serve_in_turn(
            poll_reply(f"{channel}; prev-id=1"),
            poll_reply(f"{channel}; prev-id=2"),
            Reply(503, "Busy", headers=[("X-K", "1")], body=b"busy"),
        )
        headers = quote('{"X-B": "c"}')
        client = stage.client()
        client.request(f"{path}?x=1&callback=cb&_method=POST&_headers={headers}&_body=hello")
        for number in (1, 2):
            stage.proxy.wait_held(path, number)
            publish_ok(stage.proxy.control_port, hint_item(channel))
        answer = argument(client.read_response())
        assert answer == {"code": 503, "reason": "Busy", "headers": {"Content-Length": "4", "X-K": "1"}, "body": "busy"}
        requests = stage.backend.requests(path)
        assert [(request.method, request.target, bytes(request.body)) for request in requests] == [
            ("POST", f"{path}?x=1", b"hello")
        ] * 3
        assert [request.header("X-B") for request in requests] == ["c"] * 3
        assert [request.header("Grip-Last") for request in requests[1:]] == [
            f"{channel}; last-id=1",
            f"{channel}; last-id=2",
        ]

    def test_retry_after_the_route_has_changed(
        self, launch_once: Launch, backend: ScriptedBackend, connect: Connect
    ) -> None:
        """What was the body stays it, and its length is its own."""
        proxy = launch_once(f"*,aco 127.0.0.1:{backend.port}")
        channel = fresh_channel()
        path = backend.serve_in_turn(poll_reply(channel), Reply(body=b"ok"))
        client = connect(proxy.port)
        client.request(f"{path}?callback=cb&_method=POST&_body=hello", headers=[("Content-Length", "0")])
        proxy.wait_held(path)
        proxy.write_routes([f"* 127.0.0.1:{backend.port}"])
        proxy.send_signal(signal.SIGHUP)
        proxy.wait_log("routes loaded", 2)
        publish_ok(proxy.control_port, hint_item(channel))
        assert client.read_response().text == "ok"
        request = backend.requests(path)[1]
        assert (request.header("Content-Length"), bytes(request.body)) == ("5", b"hello")

    @pytest.mark.parametrize("size", [5, 150_000], ids=["small", "streamed"])
    def test_streams_are_no_scripts(self, stage: Stage, size: int) -> None:
        """grip-54: CORS at their head, whatever callback was given and however long they begin."""
        channel = fresh_channel()
        client = poll(stage, stream_reply(channel, b"x" * size), "?callback=cb", [ORIGIN])
        head = client.read_head()
        assert (head.status, head.header("Content-Type")) == (200, "text/plain")
        assert head.header("Access-Control-Allow-Origin") == ORIGIN[1]
        assert client.read_data(size) == b"x" * size
        publish_ok(stage.proxy.control_port, stream_item(channel, "more"))
        assert client.read_data(4) == b"more"

    def test_chain_of_links(self, stage: Stage) -> None:
        """What the link's answer says of CORS does not matter: the head is gone."""
        channel = fresh_channel()
        link = stage.backend.serve(stream_reply(channel, b"more"))
        client = poll(stage, Reply(headers=[("Grip-Link", f"<{link}>; rel=next")], body=b"first"), "?callback=cb")
        assert client.read_head().header("Access-Control-Allow-Origin") == "*"
        assert client.read_data(9) == b"firstmore"

    def test_instruct_that_is_none(self, stage: Stage) -> None:
        """routes-86, grip-54"""
        path = stage.backend.serve(Reply(headers=[("Grip-Hold", "x")]))
        answer = argument(fetch(stage.proxy.port, f"{path}?callback=cb", host="debug"))
        assert answer["code"] == 502
        assert answer["body"].startswith("Failed to parse accept instructions")
        path = stage.backend.serve(Reply(headers=[("Grip-Set-Meta", "a=b"), ("X-K", "1"), ("X-K", "2")], body=b"nh"))
        assert argument(fetch(stage.proxy.port, f"{path}?callback=cb"))["headers"] == {"X-K": "1"}
        assert fetch(stage.proxy.port, path).header("Access-Control-Expose-Headers") == "X-K"

    def test_log_names_what_was_asked_for(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        fetch(stage.proxy.port, f"{path}?callback=cb&_method=PUT&x=1")
        (line,) = stage.proxy.wait_log(rf"{path}\b")
        assert f"PUT http://localhost{path}?x=1 -> " in line
