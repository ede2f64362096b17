"""TLS towards backends; SSL_CERT_FILE makes the certificate's maker one that the system trusts."""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.backend import Framing, Reply, ScriptedBackend
from tests.harness.client import Connect, encode_request, fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tls import make_certificate

BAD_GATEWAY = "Error while proxying to origin.\n"
ANY = Reply(body=b"ok")


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return make_certificate("good.example", "localhost").write(tmp_path_factory.mktemp("tls"), "backend")


@pytest.fixture(scope="module")
def tls_backend(certificate: tuple[Path, Path]) -> Iterator[ScriptedBackend]:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = ScriptedBackend(tls=context)
    yield server
    server.stop()


def routes_to(tls: ScriptedBackend, plain: ScriptedBackend) -> list[str]:
    target = f"127.0.0.1:{tls.port}"
    return [
        f"good.example {target},ssl",
        f"bad.example {target},ssl",
        f"insecure.example {target},ssl,insecure",
        f"connect.example localhost:{tls.port},ssl,trust_connect_host",
        f"failover.example {target},ssl 127.0.0.1:{plain.port}",
        f"no-tls.example 127.0.0.1:{plain.port},ssl",
        f"no-tls-then-good.example 127.0.0.1:{plain.port},ssl 127.0.0.1:{plain.port}",
    ]


@pytest.fixture(scope="module")
def proxy(
    launch: Launch, backend: ScriptedBackend, tls_backend: ScriptedBackend, certificate: tuple[Path, Path]
) -> ProxyUnderTest:
    environment = {"SSL_CERT_FILE": str(certificate[0])}
    return launch(*routes_to(tls_backend, backend), environment=environment)


@pytest.mark.spec("ws-113")
@pytest.mark.parametrize("host", ["good.example", "insecure.example", "connect.example"])
def test_accepted(stage: Stage, tls_backend: ScriptedBackend, host: str) -> None:
    path = tls_backend.serve(ANY)
    assert fetch(stage.proxy.port, path, host=host).text == "ok"
    assert tls_backend.request(path).header("Host") == host


@pytest.mark.spec("ws-113")
def test_wrong_name(stage: Stage, tls_backend: ScriptedBackend) -> None:
    path = tls_backend.serve(ANY)
    response = fetch(stage.proxy.port, path, host="bad.example")
    assert (response.status, response.text) == (502, BAD_GATEWAY)
    assert tls_backend.requests(path) == []


def test_wrong_name_fails_over(stage: Stage) -> None:
    path = stage.backend.serve(Reply(body=b"other"))
    assert fetch(stage.proxy.port, path, host="failover.example").text == "other"


@pytest.mark.parametrize("framing", [Framing.SIZED, Framing.UNTIL_CLOSE])
def test_large_answer_after_which_the_backend_closes(
    stage: Stage, connect: Connect, tls_backend: ScriptedBackend, framing: Framing
) -> None:
    """What the client is too slow for is not lost because the end comes with it."""
    body = random.Random(1).randbytes(1_000_000)
    path = tls_backend.serve(Reply(body=body, framing=framing, closes=True))
    client = connect(stage.proxy.port, receive_buffer=4096)
    client.send(encode_request(path, host="good.example"))
    time.sleep(0.3)
    assert client.read_response().body == body


def test_port_without_tls(stage: Stage) -> None:
    assert fetch(stage.proxy.port, "/", host="no-tls.example").status == 502


@differs("failover-no-tls")
def test_port_without_tls_fails_over(stage: Stage) -> None:
    path = stage.backend.serve(Reply(body=b"other"))
    assert fetch(stage.proxy.port, path, host="no-tls-then-good.example").text == "other"


@differs("certificate-issuer")
def test_unknown_issuer(launch_once: Launch, backend: ScriptedBackend, tls_backend: ScriptedBackend) -> None:
    proxy = launch_once(*routes_to(tls_backend, backend))
    path = tls_backend.serve(ANY)
    assert fetch(proxy.port, path, host="good.example").status == 502
    assert fetch(proxy.port, path, host="insecure.example").status == 200
