"""Backends that demand a certificate: `client_cert` and `client_key` of targets (routes spec §1.5)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.backend import RawReply, Reply, ScriptedBackend
from tests.harness.certificates import CertificateAuthority, Pair
from tests.harness.client import Connect, fetch
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import eventually
from tests.harness.websocket import accept_value

BAD_GATEWAY = "Error while proxying to origin.\n"
AUTHORITY = CertificateAuthority("everybody trusts me")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A directory with certificates and keys."""
    directory = tmp_path_factory.mktemp("tls")
    pairs = {
        "backend": AUTHORITY.issue("localhost"),
        "good": AUTHORITY.issue("good"),
        "better": AUTHORITY.issue("better"),
        "expired": AUTHORITY.issue("expired", days=-1),
        "stranger": CertificateAuthority("nobody knows me").issue("good"),
    }
    for name, pair in pairs.items():
        write_pair(directory, name, pair)
    (directory / "both.pem").write_bytes(pairs["good"].certificate + pairs["good"].key)
    (directory / "ca.crt").write_bytes(AUTHORITY.certificate)
    return directory


def write_pair(directory: Path, name: str, pair: Pair) -> None:
    (directory / f"{name}.crt").write_bytes(pair.certificate)
    (directory / f"{name}.key").write_bytes(pair.key)


@pytest.fixture(
    scope="module",
    params=[ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3],
    ids=lambda version: version.name,
)
def strict(request: pytest.FixtureRequest, files: Path) -> Iterator[ScriptedBackend]:
    """A backend that lets nobody in without a good certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = request.param
    context.load_cert_chain(files / "backend.crt", files / "backend.key")
    context.load_verify_locations(files / "ca.crt")
    context.verify_mode = ssl.CERT_REQUIRED
    server = ScriptedBackend(tls=context)
    yield server
    server.stop()


def pair_props(directory: Path, name: str) -> str:
    return f"client_cert={directory / name}.crt,client_key={directory / name}.key"


@pytest.fixture(scope="module")
def proxy(launch: Launch, files: Path, backend: ScriptedBackend, strict: ScriptedBackend) -> ProxyUnderTest:
    target = f"localhost:{strict.port},ssl"
    names = ("good", "better", "expired", "stranger")
    return launch(
        *(f"{name} {target},host=localhost,{pair_props(files, name)}" for name in names),
        *(
            f"{name}-then-plain {target},host=localhost,{pair_props(files, name)} 127.0.0.1:{backend.port}"
            for name in names
        ),
        f"both {target},host=localhost,client_cert={files}/both.pem",
        f"insecure {target},insecure,host=localhost,{pair_props(files, 'good')}",
        f"nobody {target},host=localhost",
        environment={"SSL_CERT_FILE": str(files / "ca.crt")},
    )


@pytest.mark.parametrize("host", ["good", "better", "both", "insecure"])
def test_let_in(proxy: ProxyUnderTest, strict: ScriptedBackend, host: str) -> None:
    path = strict.serve(Reply(body=b"welcome"))
    assert fetch(proxy.port, path, host=host).text == "welcome"


@pytest.mark.parametrize("host", ["nobody", "expired", "stranger"])
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_not_let_in(proxy: ProxyUnderTest, strict: ScriptedBackend, host: str, method: str) -> None:
    path = strict.serve(Reply(body=b"welcome"))
    response = fetch(proxy.port, path, host=host, method=method, body=b"x" if method == "POST" else None)
    assert (response.status, response.text) == (502, BAD_GATEWAY)
    assert strict.requests(path) == []
    assert proxy.wait_log(r"target localhost:\d+: .*(?i:alert|certificate)")


@pytest.mark.parametrize("host", ["expired", "stranger"])
def test_next_target(proxy: ProxyUnderTest, backend: ScriptedBackend, host: str) -> None:
    """It is a failure to connect (routes spec §1.9), also where the backend says so only after the handshake."""
    path = backend.serve(Reply(body=b"plain"))
    assert fetch(proxy.port, path, host=f"{host}-then-plain", method="POST", body=b"x").text == "plain"
    assert backend.request(path).body == b"x"


def test_connections_are_not_mixed(proxy: ProxyUnderTest, strict: ScriptedBackend) -> None:
    """What is open for one identity is not used for another, nor for nobody."""
    path = strict.serve(Reply(body=b"welcome"))
    hosts = ("good", "better", "good", "better")
    statuses = [fetch(proxy.port, path, host=host).status for host in hosts]
    statuses.append(fetch(proxy.port, path, host="nobody").status)
    assert statuses == [200] * 4 + [502]
    connections = [request.connection for request in strict.requests(path)]
    assert connections[:2] == connections[2:]
    assert connections[0] != connections[1]


@pytest.mark.parametrize(("host", "status"), [("good", 101), ("nobody", 502), ("expired", 502)])
def test_websocket(proxy: ProxyUnderTest, strict: ScriptedBackend, connect: Connect, host: str, status: int) -> None:
    path = strict.serve(lambda request: _accept(request.header("Sec-WebSocket-Key") or ""))
    client = connect(proxy.port)
    key = [("Upgrade", "websocket"), ("Connection", "Upgrade"), ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")]
    client.request(path, host=host, headers=[*key, ("Sec-WebSocket-Version", "13")])
    assert client.read_head().status == status


def _accept(key: str) -> RawReply:
    lines = ["HTTP/1.1 101 Switching Protocols", "Upgrade: websocket", "Connection: Upgrade"]
    head = "\r\n".join([*lines, f"Sec-WebSocket-Accept: {accept_value(key)}", "", ""])
    return RawReply([head.encode(), 0.5])


def test_files_are_relative_to_the_working_directory(launch_once: Launch, files: Path, strict: ScriptedBackend) -> None:
    proxy = launch_once("* test", environment={"SSL_CERT_FILE": str(files / "ca.crt")})
    for name in ("good.crt", "good.key"):
        (proxy.directory / name).write_bytes((files / name).read_bytes())
    proxy.write_routes([f"* localhost:{strict.port},ssl,host=localhost,client_cert=good.crt,client_key=good.key"])
    path = strict.serve(Reply(body=b"welcome"))
    eventually(lambda: fetch(proxy.port, path).text == "welcome", "the new routes hold", timeout_s=8)


def test_reload_reads_changed_files(launch_once: Launch, files: Path, tmp_path: Path, strict: ScriptedBackend) -> None:
    """A certificate that has expired is replaced, and the routes are loaded again."""
    for suffix in ("crt", "key"):
        (tmp_path / f"mine.{suffix}").write_bytes((files / f"expired.{suffix}").read_bytes())
    line = f"* localhost:{strict.port},ssl,host=localhost,{pair_props(tmp_path, 'mine')}"
    proxy = launch_once(line, environment={"SSL_CERT_FILE": str(files / "ca.crt")})
    path = strict.serve(Reply(body=b"welcome"))
    assert fetch(proxy.port, path).status == 502
    for suffix in ("crt", "key"):
        (tmp_path / f"mine.{suffix}").write_bytes((files / f"good.{suffix}").read_bytes())
    assert fetch(proxy.port, path).status == 502
    proxy.write_routes([line])
    eventually(lambda: fetch(proxy.port, path).text == "welcome", "the new certificate is used", timeout_s=8)


def test_lines_that_are_left_out(launch_once: Launch, files: Path) -> None:
    proxy = launch_once(
        "absent test,client_cert=no-such-file.crt",
        f"no-key test,client_cert={files}/good.crt",
        f"other-key test,client_cert={files}/good.crt,client_key={files}/better.key",
        f"key-only test,client_key={files}/good.key",
        "good test",
    )
    proxy.wait_log(r"routes:1: failed to open no-such-file\.crt: No such file or directory")
    proxy.wait_log(r"routes:2: client certificate .*good\.crt cannot be used: ")
    proxy.wait_log(r"routes:3: client certificate .*good\.crt and .*better\.key cannot be used: .*(?i:mismatch)")
    proxy.wait_log(r"routes:4: test: client_key without client_cert is ignored")
    statuses = [fetch(proxy.port, "/", host=host).status for host in ("absent", "no-key", "other-key", "key-only")]
    assert statuses == [502, 502, 502, 200]
