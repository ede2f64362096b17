"""Targets: which one is tried when, what is said when none answers, and how connections to them are kept."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage
from tests.harness.ports import free_port
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.timing import eventually

BAD_GATEWAY = "Error while proxying to origin.\n"
ANY = Reply(body=b"ok")


@pytest.fixture(scope="module")
def dead_port() -> int:
    """A port on which nobody listens."""
    return free_port()


@pytest.fixture(scope="module")
def broken() -> Iterator[ScriptedBackend]:
    """A backend that closes every connection without an answer."""
    server = ScriptedBackend()
    server.serve(RawReply(), "/")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def ipv6_backend() -> Iterator[ScriptedBackend]:
    server = ScriptedBackend("::1")
    yield server
    server.stop()


@pytest.fixture(scope="module")
def proxy(
    launch: Launch, backend: ScriptedBackend, broken: ScriptedBackend, ipv6_backend: ScriptedBackend, dead_port: int
) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    dead = f"127.0.0.1:{dead_port}"
    routes = [
        f"* {target}",
        f"dead-then-good {dead} {target}",
        f"broken-then-good 127.0.0.1:{broken.port} {target}",
        f"busy-then-good {target},host=first {target},host=second",
        f"dead {dead}",
        f"dead-debug,debug {dead} localhost:{dead_port}",
        f"own-list,path_beg=/abc {target}",
        f"untrusted,debug {target},untrusted {target}",
        f"untrusted-quiet {target},untrusted",
        "test test",
        f"untrusted-zero 0.0.0.0:{backend.port},untrusted",
        f"six [::1]:{ipv6_backend.port}",
    ]
    return launch(*routes)


class TestFailover:
    def test_dead_target_is_passed_over(self, stage: Stage) -> None:
        """routes-25, ws-106: first half."""
        path = stage.backend.serve(Reply(body=b"B"))
        assert fetch(stage.proxy.port, path, host="dead-then-good", method="POST", body=b"kept").text == "B"
        assert stage.backend.request(path).body == b"kept"

    def test_closing_target_is_not_passed_over(self, stage: Stage, broken: ScriptedBackend) -> None:
        """routes-25: second half; the request is not sent anywhere else."""
        path = broken.serve(RawReply())
        stage.backend.serve(ANY, path)
        response = fetch(stage.proxy.port, path, host="broken-then-good", method="POST", body=b"x")
        assert (response.status, response.text) == (502, BAD_GATEWAY)
        assert stage.backend.requests(path) == []
        assert len(broken.requests(path)) == 1

    def test_error_status_is_an_answer(self, stage: Stage) -> None:
        """routes-26: no other target is asked."""
        path = stage.backend.serve(Reply(503, "Busy", body=b"later"))
        response = fetch(stage.proxy.port, path, host="busy-then-good")
        assert (response.status, response.reason, response.text) == (503, "Busy", "later")
        assert [request.header("Host") for request in stage.backend.requests(path)] == ["first"]

    def test_unresolvable_host_is_passed_over(self, launch_once: Launch, backend: ScriptedBackend) -> None:
        proxy = launch_once(f"* no-such-host.invalid:80 127.0.0.1:{backend.port}")
        assert fetch(proxy.port, backend.serve(ANY)).status == 200

    def test_no_target_is_left(self, stage: Stage, dead_port: int) -> None:
        """routes-74, ws-106."""
        response = fetch(stage.proxy.port, "/", host="dead")
        assert (response.status, response.reason, response.text) == (502, "Bad Gateway", BAD_GATEWAY)
        assert response.header("Content-Type") == "text/plain"
        response = fetch(stage.proxy.port, "/", host="dead-debug")
        tried = f"127.0.0.1:{dead_port}, localhost:{dead_port}"
        assert response.text == f"Unable to connect to any targets. Tried: {tried}\n"

    def test_no_route(self, stage: Stage) -> None:
        """routes-74: a host with a list of its own does not fall back to ``*``."""
        response = fetch(stage.proxy.port, "/elsewhere", host="own-list")
        assert (response.status, response.header("Content-Type")) == (502, "text/plain")

    @differs("no-route-text")
    def test_text_of_no_route(self, stage: Stage) -> None:
        """routes-74: it does not repeat what the client sent."""
        assert fetch(stage.proxy.port, "/elsewhere", host="own-list").text == "Route not found\n"

    def test_untrusted_target(self, stage: Stage) -> None:
        """routes-75: the address policy is final, the second target is not tried."""
        path = stage.backend.serve(ANY)
        response = fetch(stage.proxy.port, path, host="untrusted")
        assert (response.status, response.text) == (502, "Error: Origin host/IP blocked.\n")
        response = fetch(stage.proxy.port, path, host="untrusted-quiet")
        assert (response.status, response.text) == (502, BAD_GATEWAY)
        assert stage.backend.requests(path) == []

    @differs("untrusted-networks")
    def test_untrusted_target_by_another_name(self, stage: Stage) -> None:
        """0.0.0.0 leads to this machine, too."""
        path = stage.backend.serve(ANY)
        assert fetch(stage.proxy.port, path, host="untrusted-zero").status == 502
        assert stage.backend.requests(path) == []

    @differs("ipv6-target")
    def test_ipv6_target(self, stage: Stage, ipv6_backend: ScriptedBackend) -> None:
        path = ipv6_backend.serve(Reply(body=b"from six"))
        assert fetch(stage.proxy.port, path, host="six").text == "from six"
        assert ipv6_backend.request(path).header("Host") == "six"

    @pytest.mark.parametrize(
        ("target", "status", "text"),
        [
            ("/", 200, "Hello from the Pushpin test handler!\n"),
            ("/x", 404, "no such test resource\n"),
        ],
    )
    def test_test_target(self, stage: Stage, target: str, status: int, text: str) -> None:
        """routes-81."""
        response = fetch(stage.proxy.port, target, host="test")
        assert (response.status, response.text, response.header("Content-Type")) == (status, text, "text/plain")

    def test_test_target_stream(self, stage: Stage) -> None:
        """routes-81: /stream holds."""
        client = stage.client()
        client.request("/stream?channel=of-test", host="test")
        assert client.read_head().framing == "chunked"
        assert client.read_data(16) == b"[stream opened]\n"


def test_equal_requests_are_not_shared(stage: Stage) -> None:
    """routes-80: three clients, three requests, though they are made at the same time."""
    gate = threading.Event()
    path = stage.backend.serve(Reply(body=[gate, b"ok"], length=2))
    clients = [stage.client() for _ in range(3)]
    for client in clients:
        client.request(path)
    eventually(lambda: len(stage.backend.requests(path)) == 3, "three requests")
    gate.set()
    assert [client.read_response().text for client in clients] == ["ok"] * 3


class TestPool:
    @pytest.mark.spec("ws-105")
    def test_backend_connections_are_reused(self, stage: Stage) -> None:
        path = stage.backend.serve(ANY)
        for _ in range(5):
            assert fetch(stage.proxy.port, path).status == 200
        assert len({request.connection for request in stage.backend.requests(path)}) == 1

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_stale_connection_is_replaced(self, stage: Stage, method: str) -> None:
        """A kept connection that the backend closed while it was idle costs the client nothing."""
        path = stage.backend.serve(ANY)
        for _ in range(3):
            assert fetch(stage.proxy.port, path, method=method).status == 200
            stage.backend.cut_connections()

    def test_connection_that_dies_with_the_request(self, stage: Stage) -> None:
        """A kept connection that closes instead of answering: a GET is tried once more on a new one."""
        first = stage.backend.serve(ANY)
        path = stage.backend.serve_in_turn(RawReply(), Reply(body=b"second try"))
        assert fetch(stage.proxy.port, first).status == 200
        response = fetch(stage.proxy.port, path)
        assert (response.status, response.text) == (200, "second try")
        assert len(stage.backend.requests(path)) == 2

    @differs("stale-post")
    def test_post_is_not_repeated(self, stage: Stage) -> None:
        """Nobody knows whether the backend has acted on what it did not answer."""
        first = stage.backend.serve(ANY)
        path = stage.backend.serve_in_turn(RawReply(), Reply(body=b"second try"))
        assert fetch(stage.proxy.port, first).status == 200
        assert fetch(stage.proxy.port, path, method="POST", body=b"x").status == 502
        assert len(stage.backend.requests(path)) == 1

    def test_connection_close_of_the_backend_is_obeyed(self, stage: Stage) -> None:
        path = stage.backend.serve(Reply(body=b"ok", closes=True))
        for _ in range(3):
            assert fetch(stage.proxy.port, path).status == 200
        assert len({request.connection for request in stage.backend.requests(path)}) == 3
