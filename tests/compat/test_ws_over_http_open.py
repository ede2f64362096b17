"""WebSocket-over-HTTP: the OPEN request, its answers, and what becomes of the client's handshake."""

from __future__ import annotations

import re
import time

import pytest
from tests.harness.backend import AnyReply, RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tokens import make_token, token_claims
from tests.harness.websocket import ping
from tests.harness.ws_events import (
    EVENTS_TYPE,
    OPEN,
    Event,
    EventsBackend,
    encode_events,
    events_reply,
    opening,
    text_event,
)
from tests.harness.ws_stage import WebSocketStage

BAD_GATEWAY = b"Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, elsewhere: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port},over_http"
    return launch(
        f"events {target}",
        f"no-grip,no_grip {target}",
        f"second 127.0.0.1:{free_port()},over_http {target}",
        f"dead 127.0.0.1:{free_port()},over_http",
        f"dead-debug,debug 127.0.0.1:{free_port()},over_http",
        f"as-host {target},host=other.example",
        f"plain 127.0.0.1:{elsewhere.port}",
        settings={"proxy": {"upstream_key": "up"}},
    )


class TestForgedEvents:
    """Only a proxy may say what happens on a WebSocket."""

    @pytest.mark.parametrize(
        "content_type",
        [
            EVENTS_TYPE,
            f"{EVENTS_TYPE}; x=y",
            f"{EVENTS_TYPE};x=y",
            pytest.param(EVENTS_TYPE.title(), marks=differs("ws-forged-case")),
        ],
    )
    @pytest.mark.parametrize("host", ["events", "no-grip", "second"])
    def test_are_refused(self, stage: Stage, host: str, content_type: str) -> None:
        """routes-77."""
        path = stage.backend.serve(opening())
        headers = [("Content-Type", content_type)]
        response = fetch(stage.proxy.port, path, host=host, method="POST", headers=headers, body=b"OPEN\r\n")
        assert (response.status, response.reason) == (403, "Forbidden")
        assert response.text == "Client not allowed to send WebSocket events directly.\n"
        assert response.header("Content-Type") == "text/plain"
        assert stage.backend.requests(path) == []

    def test_other_requests_pass(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        for headers in ([], [("Content-Type", "application/json")], [("Content-Type", "application/websocket-event")]):
            response = fetch(stage.proxy.port, path, host="events", method="POST", headers=headers, body=b"x")
            assert response.text == "ok"

    def test_pass_where_nobody_takes_them(self, stage: Stage, elsewhere: ScriptedBackend) -> None:
        path = elsewhere.serve(Reply(body=b"ok"))
        headers = [("Content-Type", EVENTS_TYPE)]
        assert fetch(stage.proxy.port, path, host="plain", method="POST", headers=headers, body=b"x").text == "ok"

    def test_of_a_trusted_proxy_pass(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok"))
        token = make_token({"iss": "front", "exp": int(time.time()) + 60}, b"up")
        headers = [("Content-Type", EVENTS_TYPE), ("Grip-Sig", token)]
        assert fetch(stage.proxy.port, path, host="events", method="POST", headers=headers, body=b"x").text == "ok"


class TestRequest:
    @pytest.mark.spec("ws-1", "ws-2", "ws-5")
    def test_open(self, ws: WebSocketStage) -> None:
        _client, script = ws.over_http(query="?room=1&a=%20b")
        (request,) = script.requests
        assert (request.method, request.target) == ("POST", f"{script.path}?room=1&a=%20b")
        assert bytes(request.body) == b"OPEN\r\n"
        expected = {
            "Host": "events",
            "Content-Type": EVENTS_TYPE,
            "Accept": EVENTS_TYPE,
            "Content-Length": "6",
            "Sec-WebSocket-Extensions": "grip",
            "Sec-WebSocket-Version": "13",
        }
        assert {name: request.header(name) for name in expected} == expected
        assert token_claims(request.header("Grip-Sig"), b"changeme")["iss"] == "pushpin"
        assert "status" in (request.header("Grip-Feature") or "")

    @pytest.mark.spec("ws-5")
    def test_without_grip(self, ws: WebSocketStage) -> None:
        _client, script = ws.over_http(host="no-grip", headers=[("Sec-WebSocket-Extensions", "x-mine")])
        (request,) = script.requests
        for name in ("Sec-WebSocket-Extensions", "Grip-Sig", "Grip-Feature"):
            assert not request.has(name)

    @pytest.mark.spec("ws-3")
    def test_connection_id(self, ws: WebSocketStage) -> None:
        """One for all requests of a connection, and another for the next connection."""
        one, first = ws.over_http()
        _two, second = ws.over_http()
        one.send(ping(b"a"))
        identities = [first.wait_request(number).header("Connection-Id") or "" for number in (1, 2)]
        assert re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", identities[0])
        assert identities[0] == identities[1]
        assert second.wait_request(1).header("Connection-Id") != identities[0]

    @pytest.mark.spec("ws-4")
    def test_what_a_client_must_not_say(self, ws: WebSocketStage) -> None:
        forged = ["Connection-Id", "Accept", "Meta-User", "meta-role", "Grip-Sig", "Grip-Feature"]
        headers = [*((name, "forged") for name in forged), ("Sec-WebSocket-Extensions", "forged; a=b")]
        _client, script = ws.over_http(headers=headers)
        assert b"forged" not in script.requests[0].raw_head

    @differs("ws-content-type")
    def test_content_type_of_the_client(self, ws: WebSocketStage) -> None:
        """Target of ws spec §1.2: there is one, and it is ours."""
        _client, script = ws.over_http(headers=[("Content-Type", "text/plain")])
        assert script.requests[0].header("Content-Type") == EVENTS_TYPE

    def test_what_stays_of_the_handshake(self, ws: WebSocketStage) -> None:
        """On every request of the connection: ws spec §1.2."""
        headers = [("Origin", "http://a"), ("Cookie", "a=1"), ("Cookie", "b=2"), ("X-Own", "x"), ("Authorization", "y")]
        client, script = ws.over_http(headers=headers)
        client.send_text("x")
        for number in (1, 2):
            request = script.wait_request(number)
            assert [header for header in request.headers if header in headers] == headers
            assert request.header("Sec-WebSocket-Key") == client.key
            assert not request.has("Upgrade")
            assert request.header("X-Forwarded-Proto") == script.wait_request(1).header("X-Forwarded-Proto")

    def test_host_of_the_target(self, ws: WebSocketStage) -> None:
        _client, script = ws.over_http(host="as-host")
        assert script.requests[0].header("Host") == "other.example"

    @pytest.mark.spec("ws-6")
    def test_subprotocol(self, ws: WebSocketStage) -> None:
        """The client's offer reaches the backend, and its choice the client, unchecked."""
        script = EventsBackend(ws.backend, opening(headers=[("Sec-WebSocket-Protocol", "third")]))
        client = ws.client()
        client.handshake(script.path, host="events", headers=[("Sec-WebSocket-Protocol", "one, two")])
        assert client.accepted().header("Sec-WebSocket-Protocol") == "third"
        assert script.requests[0].header("Sec-WebSocket-Protocol") == "one, two"


class TestAccepted:
    @pytest.mark.spec("ws-24")
    def test_head(self, ws: WebSocketStage) -> None:
        """The backend's other headers, in order, and then the edge's three."""
        inner = [
            ("X-A", "1"),
            ("Set-Meta-A", "b"),
            ("Keep-Alive-Interval", "60"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
        ]
        script = EventsBackend(ws.backend, opening(grip=True, headers=inner))
        client = ws.client()
        client.handshake(script.path, host="events")
        response = client.accepted()
        assert response.names() == ["X-A", "Set-Cookie", "Set-Cookie", "Upgrade", "Connection", "Sec-WebSocket-Accept"]

    @differs("ws-bytes-accepted-leaks")
    @pytest.mark.spec("ws-24")
    def test_bytes_accepted_is_not_for_the_client(self, ws: WebSocketStage) -> None:
        script = EventsBackend(ws.backend, opening(headers=[("Content-Bytes-Accepted", "0")]))
        client = ws.client()
        client.handshake(script.path, host="events")
        assert not client.accepted().has("Content-Bytes-Accepted")

    @pytest.mark.spec("ws-23")
    def test_events_after_open(self, ws: WebSocketStage) -> None:
        client, _script = ws.over_http(first=opening(text_event("one"), text_event("two"), Event("PING", b"p")))
        client.expect_text("one", "two")
        client.expect(ping(b"p"))

    @pytest.mark.spec("ws-23")
    def test_the_example_of_the_specification(self, ws: WebSocketStage) -> None:
        """A subscription in the first body."""
        ws.grip_over_http("room")

    def test_content_of_open(self, ws: WebSocketStage) -> None:
        """Is ignored."""
        client, _script = ws.over_http(first=events_reply(Event("OPEN", b"abc"), text_event("x")))
        client.expect_text("x")


class TestRejected:
    @pytest.mark.spec("ws-15", "ws-16", "ws-17")
    @pytest.mark.parametrize(
        ("status", "reason", "content_type"),
        [
            (404, "Not Here", "text/x"),
            (200, "OK", "text/plain"),
            (200, "OK", f"{EVENTS_TYPE}; charset=utf-8"),
            (302, "Found", "text/plain"),
            (500, "Oh", EVENTS_TYPE),
            (201, "Created", EVENTS_TYPE),
        ],
    )
    def test_answer_is_relayed(self, ws: WebSocketStage, status: int, reason: str, content_type: str) -> None:
        """Any other answer is the client's: status, reason, headers and body."""
        headers = [
            ("Content-Type", content_type),
            ("Location", "http://elsewhere/"),
            ("Set-Cookie", "a"),
            ("Set-Cookie", "b"),
        ]
        path = ws.backend.serve(Reply(status, reason, headers, b"OPEN\r\nbody"))
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert (response.status, response.reason, response.body) == (status, reason, b"OPEN\r\nbody")
        assert [header for header in response.headers if header[0] not in ("Connection", "Content-Length")] == headers
        assert response.header("Content-Length") == "10"

    def test_headers_of_an_upgrade_are_removed(self, ws: WebSocketStage) -> None:
        names = ["Upgrade", "Sec-WebSocket-Accept", "Sec-WebSocket-Extensions"]
        path = ws.backend.serve(Reply(403, "No", [(name, "x") for name in names], b"no"))
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert [name for name in names if response.has(name)] == []

    @pytest.mark.parametrize(
        ("size", "kept"),
        [
            (8000, 8000),
            pytest.param(9000, 9000, marks=differs("ws-long-rejection")),
            pytest.param(100_000, 100_000, marks=differs("ws-long-rejection")),
            pytest.param(120_000, 100_000, marks=differs("ws-long-rejection")),
        ],
    )
    def test_long_body(self, ws: WebSocketStage, size: int, kept: int) -> None:
        """Target of ws spec §1.3: the first 100 000 bytes."""
        body = bytes(range(250)) * 480
        path = ws.backend.serve(Reply(403, "No", body=body[:size]))
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert (response.status, response.body) == (403, body[:kept])

    @pytest.mark.spec("ws-18", "ws-19", "ws-20")
    @pytest.mark.parametrize(
        "body",
        [
            pytest.param(b"", id="no events"),
            pytest.param(encode_events(text_event("x"), OPEN), id="another event first"),
            pytest.param(encode_events(Event("CLOSE"), OPEN), id="close first"),
            pytest.param(b"OPEN", id="no CRLF"),
            pytest.param(b"OPEN\r\nTEXT zz\r\nhello\r\n", id="length is no number"),
            pytest.param(b"OPEN\r\nTEXT", id="last line without CRLF"),
            pytest.param(b"open\r\n", id="lower case"),
        ],
    )
    def test_events_that_do_not_open(self, ws: WebSocketStage, body: bytes) -> None:
        path = ws.backend.serve(events_reply(body=body))
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert (response.status, response.reason, response.body) == (502, "Bad Gateway", BAD_GATEWAY)

    @differs("ws-negative-length")
    def test_negative_length(self, ws: WebSocketStage) -> None:
        """Target of ws spec §1.1: invalid."""
        path = ws.backend.serve(events_reply(body=b"OPEN\r\nTEXT -3\r\nhello\r\n"))
        client = ws.client()
        client.handshake(path, host="events")
        assert client.refused().status == 502

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(RawReply([b"garbage\r\n\r\n"]), id="garbage"),
            pytest.param(RawReply(), id="end"),
            pytest.param(RawReply(resets=True), id="reset"),
            pytest.param(Reply(headers=[("Content-Type", EVENTS_TYPE)], body=b"OPEN\r\n", length=9, breaks_off=True)),
            pytest.param(opening(Event("TEXT", b"x" * 1_000_001)), id="too long"),
        ],
    )
    def test_failure(self, ws: WebSocketStage, reply: AnyReply) -> None:
        path = ws.backend.serve(reply)
        client = ws.client()
        client.handshake(path, host="events")
        response = client.refused()
        assert (response.status, response.body) == (502, BAD_GATEWAY)

    @pytest.mark.spec("ws-68")
    @differs("ws-refusal-close")
    def test_headers_of_our_own_answers(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/", host="dead")
        response = client.refused()
        assert (response.status, response.body) == (502, BAD_GATEWAY)
        assert response.headers == [("Connection", "close"), ("Content-Length", str(len(BAD_GATEWAY)))]

    def test_debug_tells_the_targets(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/", host="dead-debug")
        assert client.refused().body.startswith(b"Unable to connect to any targets. Tried: 127.0.0.1:")

    @pytest.mark.spec("ws-44")
    def test_next_target(self, ws: WebSocketStage) -> None:
        """The first target refuses connections."""
        client, script = ws.over_http(host="second")
        client.send_text("x")
        script.wait_for(text_event("x"))

    def test_no_route(self, ws: WebSocketStage) -> None:
        client = ws.client()
        client.handshake("/", host="unknown")
        response = client.refused()
        assert (response.status, response.has("Content-Type")) == (502, False)


def test_plain_request_on_the_route(stage: Stage) -> None:
    """``over_http`` is about WebSockets; other requests are proxied."""
    assert stage.received(host="events").method == "GET"
