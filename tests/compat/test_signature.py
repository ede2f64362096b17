"""Grip-Sig towards backends: keys of every kind, and what a route overrides (routes-42 to routes-45)."""

from __future__ import annotations

import base64
from pathlib import Path

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from tests.harness.backend import ScriptedBackend
from tests.harness.grip import Stage
from tests.harness.proxy import Launch, ProxyUnderTest, differs
from tests.harness.tokens import token_claims, token_header


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("keys")
    keys: dict[str, ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey] = {
        "ec": ec.generate_private_key(ec.SECP256R1()),
        "rsa": rsa.generate_private_key(public_exponent=65537, key_size=2048),
    }
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024)
    pem, private = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8
    public = serialization.PublicFormat.SubjectPublicKeyInfo
    for name, key in keys.items():
        (directory / f"{name}.pem").write_bytes(key.private_bytes(pem, private, serialization.NoEncryption()))
        (directory / f"{name}.pub").write_bytes(key.public_key().public_bytes(pem, public))
    traditional = serialization.PrivateFormat.TraditionalOpenSSL
    (directory / "old.pem").write_bytes(keys["ec"].private_bytes(pem, traditional, serialization.NoEncryption()))
    (directory / "weak.pem").write_bytes(weak.private_bytes(pem, private, serialization.NoEncryption()))
    (directory / "hex").write_text("  6368616e67656d65\n")
    return directory


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend, keys: Path) -> ProxyUnderTest:
    target = f"127.0.0.1:{backend.port}"
    return launch(
        f"* {target}",
        f"both,sig_iss=route,sig_key=other {target}",
        f"iss,sig_iss=route {target}",
        f"key,sig_key=other {target}",
        f"ec,sig_iss=x,sig_key=file:{keys}/ec.pem {target}",
        f"rsa,sig_iss=x,sig_key=file:{keys}/rsa.pem {target}",
        f"hex,sig_key=file:{keys}/hex {target}",
        f"old,sig_iss=x,sig_key=file:{keys}/old.pem {target}",
        f"weak,sig_iss=x,sig_key=file:{keys}/weak.pem {target}",
        f"missing,sig_iss=x,sig_key=file:{keys}/missing {target}",
        settings={"proxy": {"sig_key": "base64:" + base64.b64encode(b"changeme").decode()}},
    )


def test_base64_key(stage: Stage) -> None:
    """routes-42."""
    token = stage.received().header("Grip-Sig")
    assert token_claims(token, b"changeme")["iss"] == "pushpin"


@pytest.mark.parametrize(("name", "algorithm"), [("ec", "ES256"), ("rsa", "RS256")])
def test_pem_key(stage: Stage, keys: Path, name: str, algorithm: str) -> None:
    """routes-43."""
    token = stage.received(host=name).header("Grip-Sig")
    public = (keys / f"{name}.pub").read_text()
    assert token_header(token or "")["alg"] == algorithm
    assert jwt.decode(token or "", public, algorithms=[algorithm])["iss"] == "x"


@differs("ec-private-key")
def test_ec_key_in_its_own_format(stage: Stage) -> None:
    """``BEGIN EC PRIVATE KEY``."""
    token = stage.received(host="old").header("Grip-Sig")
    assert token is not None
    assert token_header(token)["alg"] == "ES256"


@differs("weak-rsa-key")
def test_weak_rsa_key(stage: Stage) -> None:
    """RFC 7518 §3.3: at least 2048 bits; it is as if the file were not there."""
    token = stage.received(host="weak").header("Grip-Sig")
    assert token_claims(token, b"changeme")


def test_key_file_that_is_not_there(stage: Stage) -> None:
    """The key of the configuration is used."""
    token = stage.received(host="missing").header("Grip-Sig")
    assert token_claims(token, b"changeme")


def test_hexadecimal_key_file(stage: Stage) -> None:
    """routes-43."""
    token = stage.received(host="hex").header("Grip-Sig")
    assert token_claims(token, b"changeme")["iss"] == "pushpin"


def test_route_overrides_both(stage: Stage) -> None:
    """routes-45."""
    token = stage.received(host="both").header("Grip-Sig")
    assert token_claims(token, b"other")["iss"] == "route"


@differs("sig-overrides")
@pytest.mark.parametrize(("host", "key", "issuer"), [("iss", "changeme", "route"), ("key", "other", "pushpin")])
def test_route_overrides_one(stage: Stage, host: str, key: str, issuer: str) -> None:
    """routes-45."""
    token = stage.received(host=host).header("Grip-Sig")
    assert token_claims(token, key.encode())["iss"] == issuer
