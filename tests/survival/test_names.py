"""Backends whose name does not resolve, or whose name server does not answer: the others are not affected."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage
from tests.harness.proxy import PROJECT, Launch, ProxyUnderTest
from tests.harness.timing import scaled
from tests.harness.watch import Bystander, Watch

CONNECT_TIMEOUT_S = 2

SITE = """
import socket, time
ask = socket.getaddrinfo

def getaddrinfo(host, *arguments, **options):
    if options.get("flags") != socket.AI_NUMERICHOST and host.startswith("silent"):
        time.sleep(3600)
    return ask(host, *arguments, **options)

socket.getaddrinfo = getaddrinfo
"""
"""Stands for a name server that does not answer."""


@pytest.fixture(scope="module")
def proxy(
    launch: Launch, backend: ScriptedBackend, metrics_port: int, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ProxyUnderTest]:
    site: Path = tmp_path_factory.mktemp("site")
    (site / "sitecustomize.py").write_text(SITE)
    routes = [f"silent{number} silent{number}.invalid:80" for number in range(20)]
    proxy = launch(
        *routes,
        f"failover silent.invalid:80 localhost:{backend.port}",
        "unknown nobody.invalid:80",
        f"* localhost:{backend.port}",
        environment={"PYTHONPATH": os.pathsep.join((str(site), str(PROJECT / "src")))},
        settings={
            "handler": {"prometheus_port": f"127.0.0.1:{metrics_port}"},
            "holdfast": {"backend_connect_timeout": CONNECT_TIMEOUT_S, "backend_idle_timeout": 1},
        },
    )
    yield proxy
    start = time.monotonic()
    proxy.stop()
    assert time.monotonic() - start < scaled(5), "whoever still waits for a name keeps the process from its end"


def test_a_name_that_does_not_exist(proxy: ProxyUnderTest) -> None:
    assert fetch(proxy.port, "/", host="unknown").status == 502
    proxy.wait_log("nobody.invalid")


def test_a_name_server_that_does_not_answer(
    watch: Watch, proxy: ProxyUnderTest, backend: ScriptedBackend, stage: Stage
) -> None:
    """Who is sent to a name that is known goes on, connections that have to be made anew included."""
    path = backend.serve(Reply(body=b"ok", closes=True))
    with Bystander(proxy.port, path) as other:
        clients = []
        for number in range(100):
            client = stage.client()
            client.request("/", host=f"silent{number % 20}")
            clients.append(client)
        threads = len(os.listdir(f"/proc/{proxy.pid}/task"))
        assert threads < 40, "a thread for each name, and not for each client"
        start = other.answers
        for client in clients:
            assert client.read_response(timeout_s=CONNECT_TIMEOUT_S + 5).status == 502
            client.close()
        assert other.answers - start > 50
    assert other.longest_s < scaled(0.5)
    assert watch.metric("backend_failures") >= 100


def test_the_next_target_is_asked(proxy: ProxyUnderTest, backend: ScriptedBackend) -> None:
    path = backend.serve(Reply(body=b"ok"))
    assert fetch(proxy.port, path, host="failover", timeout_s=CONNECT_TIMEOUT_S + 5).text == "ok"
