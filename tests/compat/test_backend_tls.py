"""TLS towards backends; SSL_CERT_FILE makes the certificate's maker one that the system trusts."""

from __future__ import annotations

import datetime
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import fetch
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs

BAD_GATEWAY = "Error while proxying to origin.\n"
ANY = Reply(body=b"ok")


def _certificate(directory: Path, name: str, address: str) -> tuple[Path, Path]:
    """A self-signed certificate for a host name and an address, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.datetime.now(datetime.UTC)
    names = [x509.DNSName(name), x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(address))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    files = directory / "backend.crt", directory / "backend.key"
    files[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    pem = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    files[1].write_bytes(key.private_bytes(*pem))
    return files


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return _certificate(tmp_path_factory.mktemp("tls"), "good.example", "127.0.0.1")


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
