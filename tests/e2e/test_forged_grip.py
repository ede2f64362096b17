"""No header of a client passes for one of the proxy: every name, every spelling, every way to write it."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import encode_chunk, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.tokens import make_token, token_claims
from tests.harness.ws_backend import WebSocketBackend
from tests.harness.ws_events import Event
from tests.harness.ws_stage import WebSocketStage

EVENTS = "application/websocket-events"
FORGED = "forged"
# Good for anybody who knows the key of routes, which backends do; a client that stole one is no proxy for it.
STOLEN = make_token({"exp": 9_999_999_999, "iss": "pushpin"}, b"changeme")
GRIP = ["Grip-Sig", "Grip-Feature", "Grip-Last", "Grip-Hold", "Grip-Channel", "Grip-Link", "Grip-X"]
SPELLINGS: list[Callable[[str], str]] = [
    lambda name: name,
    str.upper,
    str.lower,
    lambda name: name.replace("-", "_"),
    lambda name: name.replace("-", "."),
    lambda name: name.replace("-", "~"),
]
OF_EVENTS = ["Connection-Id", "Meta-User", "Meta-", "Content-Bytes-Replayed", "Sec-WebSocket-Extensions"]


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, ws_backend: WebSocketBackend) -> ProxyUnderTest:
    return launch(
        f"relay 127.0.0.1:{ws_backend.port}",
        f"events,proto=ws 127.0.0.1:{backend.port},over_http",
        f"events 127.0.0.1:{backend.port}",
        f"marked,orig_headers 127.0.0.1:{backend.port}",
        f"* 127.0.0.1:{backend.port}",
    )


def cgi_name(name: str) -> str:
    """The variable that a server by the rules of CGI makes of a header, strictest reading."""
    return "".join(char if char.isalnum() else "_" for char in name.upper())


def assert_not_forged(headers: list[tuple[str, str]]) -> None:
    grip = [(name, value) for name, value in headers if cgi_name(name).startswith("GRIP_")]
    assert FORGED not in "".join(value for _, value in grip)
    assert [name for name, _ in grip] == ["Grip-Sig", "Grip-Feature"]
    assert token_claims(grip[0][1], b"changeme")["iss"] == "pushpin"


def spelled(names: list[str]) -> list[tuple[str, str]]:
    return [(spell(name), FORGED) for name in names for spell in SPELLINGS]


class TestRequests:
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize("host", ["localhost", "marked"])
    def test_all_at_once(self, stage: Stage, version: str, host: str) -> None:
        """More than once each, and with a signature that would be valid."""
        for headers in (spelled(GRIP), spelled(GRIP)[::-1], [("Grip-Sig", STOLEN)] * 2):
            request = stage.received(host=host, version=version, headers=headers)
            assert_not_forged([entry for entry in request.headers if not entry[0].startswith("eb9bf0f5-")])

    def test_marks(self, stage: Stage) -> None:
        """Where no original headers are asked for nobody can say that he has some."""
        headers = [("eb9bf0f5-Grip-Sig", FORGED), ("EB9BF0F5-X", FORGED)]
        request = stage.received(headers=headers)
        assert not [name for name, _ in request.headers if name.lower().startswith("eb9bf0f5")]

    @pytest.mark.parametrize("options", ["Grip-Sig", "grip-feature, close", "Grip-Sig, Grip-Feature, Host"])
    def test_connection_takes_none_along(self, stage: Stage, options: str) -> None:
        """What we add is not the client's to name as hop-by-hop."""
        assert_not_forged(stage.received(headers=[("Connection", options)]).headers)

    def test_trailers(self, stage: Stage) -> None:
        """Fields behind a chunked body are no headers."""
        path = stage.backend.serve(Reply(body=b"ok"))
        client = stage.client()
        client.request(path, method="POST", headers=[("Transfer-Encoding", "chunked"), ("Trailer", "Grip-Sig")])
        client.send(encode_chunk(b"x") + b"0\r\nGrip-Sig: forged\r\nGrip-Last: forged\r\nConnection-Id: forged\r\n\r\n")
        assert client.read_response().status == 200
        request = stage.backend.request(path)
        assert_not_forged(request.headers)
        assert FORGED.encode() not in request.raw_head + bytes(request.body)

    @pytest.mark.parametrize(
        "line",
        [
            b"Grip-Sig : forged",
            b"Grip-Sig\t: forged",
            b" Grip-Sig: forged",
            b"X: 1\r\n Grip-Sig: forged",
            b"X: 1\r\n\tGrip-Sig: forged",
            b"X: 1\nGrip-Sig: forged",
            b"X: 1\rGrip-Sig: forged",
            b"X: 1\0\r\nGrip-Sig: forged",
            b"\r\x0bGrip-Sig: forged",
            b"Grip-Sig\xa0: forged",
            b"Grip\xadSig: forged",
            b"\xefGrip-Sig: forged",
            b"Grip-Sig;: forged",
            b'"Grip-Sig": forged',
            b"Grip-Sig",
            b": forged",
        ],
    )
    def test_odd_lines(self, stage: Stage, line: bytes) -> None:
        """What a lenient reader behind us could take for a Grip header is no header at all."""
        client = stage.client()
        client.send(b"GET /odd HTTP/1.1\r\nHost: localhost\r\n" + line + b"\r\n\r\n")
        response = client.read_response()
        assert (response.status, response.header("Connection")) == (400, "close")
        client.assert_closed()

    def test_the_target(self, stage: Stage) -> None:
        client = stage.client()
        client.send(b"GET / HTTP/1.1 Grip-Sig: forged\r\nHost: localhost\r\n\r\n")
        assert client.read_response().status == 400


class TestEvents:
    """A server that gets WebSockets as events believes whoever sends some."""

    BODY = b"OPEN\r\nTEXT 1\r\nx\r\n"

    @pytest.mark.parametrize("host", ["events", "localhost"])
    @pytest.mark.parametrize("version", ["1.0", "1.1"])
    @pytest.mark.parametrize("method", ["POST", "PUT", "GET"])
    @pytest.mark.parametrize(
        "types",
        [
            [EVENTS],
            [f"{EVENTS}; a=b"],
            [EVENTS.upper()],
            [f"{EVENTS} ;x"],
            ["text/plain", EVENTS],
            [EVENTS, "text/plain"],
        ],
        ids=repr,
    )
    def test_are_the_proxys_alone(self, stage: Stage, types: list[str], method: str, version: str, host: str) -> None:
        """By no rule that leads to this server, and not with a signature that is not for us."""
        path = stage.backend.serve(Reply(body=b"believed"))
        headers = [("Connection-Id", "1"), ("Grip-Sig", STOLEN), *(("Content-Type", value) for value in types)]
        response = fetch(
            stage.proxy.port, path, host=host, method=method, headers=headers, body=self.BODY, version=version
        )
        assert (response.status, response.text) == (403, "Client not allowed to send WebSocket events directly.\n")
        assert stage.backend.requests(path) == []

    @pytest.mark.parametrize(
        "content_type", ["text/plain", "application/websocket-eventsx", "x-application/websocket-events"]
    )
    def test_others_pass(self, stage: Stage, content_type: str) -> None:
        request = stage.received(host="events", method="POST", headers=[("Content-Type", content_type)], body=self.BODY)
        assert request.header("Content-Type") == content_type

    @pytest.mark.parametrize("names", [OF_EVENTS, GRIP], ids=["events", "GRIP"])
    def test_headers_of_a_handshake(self, ws: WebSocketStage, names: list[str]) -> None:
        client, script = ws.over_http(headers=[*spelled(names), ("Content-Type", FORGED), ("Accept", FORGED)])
        client.send_text("x")
        script.wait_for(Event("TEXT", b"x"))
        for request in script.requests:
            assert FORGED.encode() not in request.raw_head
            variables = [cgi_name(name) for name, _ in request.headers]
            for name in ("CONNECTION_ID", "CONTENT_TYPE", "ACCEPT", "SEC_WEBSOCKET_EXTENSIONS"):
                assert variables.count(name) == 1
            assert_not_forged(request.headers)

    def test_handshake_to_a_websocket_server(self, ws: WebSocketStage) -> None:
        client, peer = ws.shake(headers=[*spelled(GRIP), ("Sec-WebSocket-Extensions", "grip; message-prefix=x")])
        assert_not_forged(peer.request.headers)
        assert "message-prefix" not in (peer.request.header("Sec-WebSocket-Extensions") or "")
        client.close()
