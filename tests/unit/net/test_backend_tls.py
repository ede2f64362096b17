"""TLS contexts for backends: client certificates from memory, and for how long they are kept."""

from __future__ import annotations

import gc
import ssl
import sys
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from tests.harness.certificates import CertificateAuthority, encode_key

from holdfast.errors import KeyMaterialError
from holdfast.net.backend_tls import TlsContexts, check_identity, is_about_our_certificate, make_tls_context
from holdfast.wire.identity import ClientIdentity

AUTHORITY = CertificateAuthority("authority")
ONE, TWO = AUTHORITY.issue("one"), AUTHORITY.issue("two")


def encrypted_key() -> bytes:
    key = load_pem_private_key(ONE.key, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return encode_key(key, b"secret")


@pytest.mark.parametrize(
    "identity",
    [
        pytest.param(ClientIdentity(ONE.certificate, ONE.key), id="two-files"),
        pytest.param(ClientIdentity(ONE.certificate + AUTHORITY.certificate, ONE.key), id="chain"),
        pytest.param(ClientIdentity(ONE.key + ONE.certificate), id="one-file"),
        pytest.param(ClientIdentity(ONE.certificate + ONE.key, ONE.key), id="key-twice"),
    ],
)
def test_good_identities(identity: ClientIdentity) -> None:
    check_identity(identity)
    context = make_tls_context(is_verified=True, identity=identity)
    assert context.verify_mode is ssl.CERT_REQUIRED


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        pytest.param(ClientIdentity(ONE.certificate, TWO.key), "mismatch", id="other-key"),
        pytest.param(ClientIdentity(ONE.certificate), "private key", id="no-key"),
        pytest.param(ClientIdentity(ONE.key, ONE.key), "private key", id="no-certificate"),
        pytest.param(ClientIdentity(b"", b""), "private key", id="empty"),
        pytest.param(ClientIdentity(b"\x00\xff" * 100, ONE.key), "private key", id="no-pem"),
        pytest.param(ClientIdentity(ONE.certificate, encrypted_key()), "encrypted", id="encrypted"),
    ],
)
def test_bad_identities(identity: ClientIdentity, reason: str, capfd: pytest.CaptureFixture[str]) -> None:
    """An encrypted key is refused; nobody is asked for a password."""
    with pytest.raises(KeyMaterialError, match=f"(?i){reason}"):
        check_identity(identity)
    assert capfd.readouterr() == ("", "")


@pytest.mark.skipif(sys.platform != "linux", reason="only there it is in memory")
def test_the_key_is_on_no_disk(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path / "that-is-not-there"))
    check_identity(ClientIdentity(ONE.certificate, ONE.key))


def test_where_files_cannot_be_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    check_identity(ClientIdentity(ONE.certificate, ONE.key))


def test_nothing_shows_a_key() -> None:
    identity = ClientIdentity(ONE.certificate, ONE.key)
    assert "PRIVATE" not in f"{identity!r}{identity}"


class TestContexts:
    def test_one_for_each_identity_and_care(self) -> None:
        contexts = TlsContexts()
        identities = [None, ClientIdentity(ONE.certificate, ONE.key), ClientIdentity(TWO.certificate, TWO.key)]
        made = [contexts.get(is_verified=care, identity=who) for care in (True, False) for who in identities]
        assert len(set(made)) == 6
        assert [context.verify_mode for context in made] == [ssl.CERT_REQUIRED] * 3 + [ssl.CERT_NONE] * 3
        equal = ClientIdentity(ONE.certificate, ONE.key)
        assert contexts.get(is_verified=True, identity=equal) is made[1]

    def test_they_go_with_their_identity(self) -> None:
        """Routes that are loaded again and again with new certificates do not fill the memory."""
        contexts = TlsContexts()
        for _ in range(3):
            pair = AUTHORITY.issue("new")
            contexts.get(is_verified=True, identity=ClientIdentity(pair.certificate, pair.key))
        gc.collect()
        assert len(contexts) == 0


def error(reason: str | None) -> ssl.SSLError:
    made = ssl.SSLError(1, "text")
    if reason is not None:
        made.reason = reason
    return made


@pytest.mark.parametrize(
    ("exc", "expected"),
    [
        (error("TLSV13_ALERT_CERTIFICATE_REQUIRED"), True),
        (error("SSLV3_ALERT_BAD_CERTIFICATE"), True),
        (error("SSLV3_ALERT_CERTIFICATE_EXPIRED"), True),
        (error("TLSV1_ALERT_UNKNOWN_CA"), True),
        (error("TLSV1_ALERT_INTERNAL_ERROR"), False),
        (error("CERTIFICATE_VERIFY_FAILED"), False),
        (error(None), False),
        (ConnectionResetError(), False),
        (None, False),
    ],
)
def test_what_is_about_our_certificate(exc: Exception | None, expected: bool) -> None:
    assert is_about_our_certificate(exc) is expected
