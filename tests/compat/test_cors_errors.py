"""CORS headers on our own answers, and ``auto_cross_origin``."""

from __future__ import annotations

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.cors import CREDENTIALS, MAX_AGE, METHODS, USUAL, exposing, without_framing
from tests.harness.grip import Stage
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest

BAD_GATEWAY = "Error while proxying to origin.\n"


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    dead = f"127.0.0.1:{free_port()}"
    return launch(
        f"aco,aco {target}",
        f"dead,aco {dead}",
        f"dead-debug,aco,debug {dead}",
        f"events,aco {target},over_http",
        "demo,aco test",
    )


@pytest.fixture(scope="module")
def everywhere(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch(f"here 127.0.0.1:{backend.port}", settings={"proxy": {"auto_cross_origin": "true"}})


class TestErrors:
    """routes-86: our own answers have them, too."""

    @pytest.mark.parametrize(
        ("host", "text"),
        [("dead", BAD_GATEWAY), ("dead-debug", "Unable to connect to any targets. Tried: "), ("aco", BAD_GATEWAY)],
    )
    def test_bad_gateway(self, stage: Stage, host: str, text: str) -> None:
        path = stage.backend.serve(RawReply([b"nonsense\r\n\r\n"]))
        response = fetch(stage.proxy.port, path, host=host, headers=[("Origin", "http://a")])
        assert (response.status, response.text.startswith(text)) == (502, True)
        assert without_framing(response) == [
            ("Content-Type", "text/plain"),
            METHODS,
            CREDENTIALS,
            ("Access-Control-Allow-Origin", "http://a"),
            MAX_AGE,
        ]

    def test_instruct_that_makes_no_sense(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(headers=[("Grip-Hold", "forever")], body=b"x"))
        response = fetch(stage.proxy.port, path, host="aco")
        assert (response.status, response.text) == (502, BAD_GATEWAY)
        assert without_framing(response) == [("Content-Type", "text/plain"), *USUAL]

    def test_forged_events(self, stage: Stage) -> None:
        sent = [("Content-Type", "application/websocket-events")]
        response = fetch(stage.proxy.port, "/", host="events", method="POST", headers=sent, body=b"OPEN\r\n")
        assert response.status == 403
        assert without_framing(response) == [("Content-Type", "text/plain"), *USUAL]

    def test_test_target(self, stage: Stage) -> None:
        response = fetch(stage.proxy.port, "/nothing", host="demo")
        assert (response.status, response.text) == (404, "no such test resource\n")
        assert without_framing(response) == [("Content-Type", "text/plain"), *USUAL]


class TestForAllRoutes:
    """``auto_cross_origin`` is ``aco`` for every route, and for requests that have none."""

    def test_route_without_the_option(self, everywhere: ProxyUnderTest, backend: ScriptedBackend) -> None:
        path = backend.serve(Reply(headers=[("X-A", "1")], body=b"x"))
        response = fetch(everywhere.port, path, host="here")
        assert without_framing(response) == [("X-A", "1"), *exposing("X-A")]

    def test_no_route(self, everywhere: ProxyUnderTest) -> None:
        response = fetch(everywhere.port, "/", host="elsewhere")
        assert response.status == 502
        assert without_framing(response) == [("Content-Type", "text/plain"), *USUAL]

    def test_json_p(self, everywhere: ProxyUnderTest, backend: ScriptedBackend) -> None:
        path = backend.serve(Reply(body=b"x"))
        response = fetch(everywhere.port, f"{path}?callback=cb", host="here")
        assert response.text.startswith('/**/cb({"code": 200, ')
        assert not response.has("Access-Control-Allow-Origin")

    @pytest.mark.parametrize(
        ("query", "status", "text"),
        [
            ("?callback=", 400, "Invalid callback parameter.\n"),
            ("?callback=cb", 200, '/**/cb({"code": 502, "reason": "Bad Gateway", '),
        ],
    )
    def test_json_p_without_a_route(self, everywhere: ProxyUnderTest, query: str, status: int, text: str) -> None:
        """Errors of the parameters come before that of the missing route."""
        response = fetch(everywhere.port, f"/{query}", host="elsewhere")
        assert (response.status, response.text[: len(text)]) == (status, text)
