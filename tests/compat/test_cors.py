"""CORS headers on the answers of routes with ``aco``: those of backends."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from tests.harness.backend import Framing, RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.cors import ANY_ORIGIN, CREDENTIALS, MAX_AGE, METHODS, USUAL, allowed, exposing, without_framing
from tests.harness.grip import Stage, instruct_reply
from tests.harness.messages import HeaderList, Response
from tests.harness.proxy import Launch, ProxyUnderTest


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(f"aco,aco {target}", f"plain {target}", f"no-grip,aco,no_grip {target}")


def _answer(stage: Stage, reply: Reply | RawReply, **options: object) -> Response:
    path = stage.backend.serve(reply)
    return fetch(stage.proxy.port, path, host="aco", **options)  # type: ignore[arg-type]


class TestRequestHeaders:
    """What the request says about itself is echoed."""

    @pytest.mark.parametrize(
        ("sent", "expected"),
        [
            pytest.param([], USUAL, id="routes-82: nothing"),
            pytest.param(
                [
                    ("Origin", "http://one.example"),
                    ("Access-Control-Request-Method", "PATCH"),
                    ("Access-Control-Request-Headers", "X-A, X-B"),
                    ("Access-Control-Request-Headers", "X-C"),
                ],
                [
                    ("Access-Control-Allow-Methods", "PATCH"),
                    allowed("X-A", "X-B", "X-C"),
                    CREDENTIALS,
                    ("Access-Control-Allow-Origin", "http://one.example"),
                    MAX_AGE,
                ],
                id="routes-83: everything",
            ),
            pytest.param(
                [("Access-Control-Request-Headers", "a,,b , ,c"), ("Access-Control-Request-Headers", ",d,a")],
                [METHODS, allowed("a", "b", "c", "d", "a"), CREDENTIALS, ANY_ORIGIN, MAX_AGE],
                id="list with empty elements, and one twice",
            ),
            pytest.param([("Access-Control-Request-Headers", " , ")], USUAL, id="list without elements"),
            pytest.param([("Origin", ""), ("Access-Control-Request-Method", "")], USUAL, id="empty ones"),
            pytest.param(
                [("Origin", "null")],
                [METHODS, CREDENTIALS, ("Access-Control-Allow-Origin", "null"), MAX_AGE],
                id="opaque origin",
            ),
            pytest.param(
                [("Origin", "http://a"), ("Origin", "http://b")],
                [METHODS, CREDENTIALS, ("Access-Control-Allow-Origin", "http://a"), MAX_AGE],
                id="the first of two origins",
            ),
        ],
    )
    def test_echo(self, stage: Stage, sent: HeaderList, expected: HeaderList) -> None:
        assert without_framing(_answer(stage, Reply(body=b"x"), headers=sent)) == expected

    def test_they_reach_the_backend(self, stage: Stage) -> None:
        sent = [
            ("Origin", "http://a"),
            ("Access-Control-Request-Headers", "X-A"),
            ("Access-Control-Request-Headers", "B"),
        ]
        request = stage.received(host="aco", headers=sent)
        assert [header for header in request.headers if header in sent] == sent


class TestExposedHeaders:
    @pytest.mark.parametrize(
        ("names", "expected"),
        [
            pytest.param(["X-Foo", "ETag", "X-Foo"], exposing("X-Foo", "ETag"), id="routes-84"),
            pytest.param(["X-Foo", "x-foo", "X-FOO"], exposing("X-Foo"), id="in other case"),
            pytest.param(
                ["Content-Type", "Cache-Control", "Content-Language", "Expires", "Last-Modified", "Pragma"],
                USUAL,
                id="those that are always readable",
            ),
            pytest.param(
                ["content-type", "CACHE-CONTROL", "Via", "EXPIRES"], exposing("Via"), id="the same in other case"
            ),
            pytest.param(
                ["Set-Cookie", "Date", "Access-Control-Own", "Server", "access-control-x", "Vary"],
                exposing("Set-Cookie", "Date", "Server", "Vary"),
                id="own access control",
            ),
            pytest.param(["Keep-Alive", "X-A"], exposing("X-A"), id="hop by hop"),
        ],
    )
    def test_names_of_the_response(self, stage: Stage, names: Sequence[str], expected: HeaderList) -> None:
        sent = [(name, "x") for name in names]
        kept = [header for header in sent if header[0] != "Keep-Alive"]
        assert without_framing(_answer(stage, Reply(headers=sent, body=b"x"))) == [*kept, *expected]

    def test_grip_headers_that_are_relayed(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(headers=[("Grip-Hold", "stream"), ("X-A", "1")], body=b"x"))
        response = fetch(stage.proxy.port, path, host="no-grip")
        assert without_framing(response) == [("Grip-Hold", "stream"), ("X-A", "1"), *exposing("X-A")]


class TestOwnHeadersOfTheBackend:
    @pytest.mark.parametrize(
        "name", ["Access-Control-Allow-Origin", "access-control-allow-origin", "ACCESS-CONTROL-ALLOW-ORIGIN"]
    )
    @pytest.mark.parametrize("value", ["http://only", ""])
    def test_stay(self, stage: Stage, name: str, value: str) -> None:
        """routes-85: an empty one, too."""
        response = _answer(stage, Reply(headers=[(name, value)], body=b"x"), headers=[("Origin", "http://a")])
        assert without_framing(response) == [(name, value), METHODS, CREDENTIALS, MAX_AGE]

    def test_all_of_them(self, stage: Stage) -> None:
        """routes-85: nothing is left to be added."""
        names = ["Max-Age", "Allow-Origin", "Allow-Credentials", "Expose-Headers", "Allow-Headers", "Allow-Methods"]
        sent = [(f"Access-Control-{name}", "own") for name in names]
        asked = [("Origin", "http://a"), ("Access-Control-Request-Headers", "X-A")]
        response = _answer(stage, Reply(headers=[*sent, ("X-A", "1")], body=b"x"), headers=asked)
        assert without_framing(response) == [*sent, ("X-A", "1")]


class TestKindsOfAnswers:
    @pytest.mark.parametrize(
        ("method", "reply"),
        [
            pytest.param("OPTIONS", Reply(headers=[("X-A", "1")], body=b"x"), id="preflight"),
            pytest.param("HEAD", Reply(headers=[("X-A", "1")], length=5), id="HEAD"),
            pytest.param("GET", Reply(304, "Not Modified", headers=[("X-A", "1")]), id="304"),
            pytest.param("GET", Reply(204, "No Content", headers=[("X-A", "1")]), id="204"),
            pytest.param("GET", Reply(404, "Nope", headers=[("X-A", "1")], body=b"nope"), id="404"),
            pytest.param("POST", Reply(500, "Oh", headers=[("X-A", "1")], body=b"oh"), id="500"),
            pytest.param("DELETE", Reply(headers=[("X-A", "1")], framing=Framing.CHUNKED), id="chunked"),
            pytest.param("GET", Reply(headers=[("X-A", "1")], framing=Framing.UNTIL_CLOSE), id="until close"),
        ],
    )
    def test_all_get_them(self, stage: Stage, method: str, reply: Reply) -> None:
        response = _answer(stage, reply, method=method)
        assert (response.status, response.reason) == (reply.status, reply.reason)
        assert without_framing(response) == [("X-A", "1"), *exposing("X-A")]

    def test_preflight_goes_to_the_backend(self, stage: Stage) -> None:
        """We never answer it ourselves."""
        path = stage.backend.serve(Reply(403, "No", body=b"not here"))
        asked = [("Origin", "http://a"), ("Access-Control-Request-Method", "PUT")]
        response = fetch(stage.proxy.port, path, host="aco", method="OPTIONS", headers=asked)
        assert (response.status, response.text) == (403, "not here")
        assert response.header("Access-Control-Allow-Methods") == "PUT"
        assert stage.backend.request(path).method == "OPTIONS"

    def test_head_of_a_slow_answer(self, stage: Stage) -> None:
        gate = threading.Event()
        path = stage.backend.serve(Reply(headers=[("X-A", "1")], body=[b"a", gate, b"b"], framing=Framing.CHUNKED))
        client = stage.client()
        client.request(path, host="aco")
        assert without_framing(client.read_head()) == [("X-A", "1"), *exposing("X-A")]
        gate.set()
        assert client.read_chunks() == b"ab"

    def test_http_1_0(self, stage: Stage) -> None:
        assert without_framing(_answer(stage, Reply(body=b"x"), version="1.0")) == USUAL

    def test_they_come_before_the_framing(self, stage: Stage) -> None:
        response = _answer(stage, Reply(body=b"x"), headers=[("Connection", "close")])
        assert response.headers == [*USUAL, ("Connection", "close"), ("Content-Length", "1")]

    @pytest.mark.parametrize(
        "reply",
        [
            pytest.param(Reply(headers=[("Grip-Status", "404 Nope"), ("X-A", "1")], body=b"x"), id="headers"),
            pytest.param(
                instruct_reply(
                    {"response": {"code": 404, "reason": "Nope", "headers": [["X-A", "1"]], "body": "x"}},
                    [("X-B", "2")],
                ),
                id="JSON",
            ),
        ],
    )
    def test_instruct_without_a_hold(self, stage: Stage, reply: Reply) -> None:
        """What is exposed are the headers of what the client gets."""
        response = _answer(stage, reply)
        assert (response.status, response.reason, response.text) == (404, "Nope", "x")
        assert without_framing(response) == [("X-A", "1"), *exposing("X-A")]

    def test_other_routes_have_none(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"x"))
        response = fetch(stage.proxy.port, path, host="plain", headers=[("Origin", "http://a")])
        assert without_framing(response) == []
