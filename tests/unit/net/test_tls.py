"""Which certificate a client gets, and what happens when files change."""

from __future__ import annotations

import logging
import os
import ssl
from pathlib import Path

import pytest
from tests.harness.tls import Certificate, make_certificate

from holdfast.net import tls
from holdfast.net.tls import CertificateDirectory, describe_problem, load_pair, names

ONE, TWO = make_certificate("one.test"), make_certificate("two.test")


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("a.example.com", ["a.example.com", "_.example.com", "default_443"]),
        ("A.EXAMPLE.com", ["a.example.com", "_.example.com", "default_443"]),
        ("localhost", ["localhost", "default_443"]),
        ("com.", ["com.", "_.", "default_443"]),
        (None, ["default_443"]),
        ("", ["default_443"]),
        ("x" * 253, ["x" * 253, "default_443"]),
        ("x" * 254, ["default_443"]),
        ("a/b", ["default_443"]),
        ("../../etc/shadow", ["default_443"]),
        ("a\0.com", ["default_443"]),
        ("a\n.com", ["default_443"]),
        ("a.com\n", ["default_443"]),
        ("b\u00fccher.example", ["default_443"]),
        ("\u212aelvin.example", ["default_443"]),  # becomes an ASCII k in small letters
    ],
)
def test_names(host: str | None, expected: list[str]) -> None:
    if host == "\u212aelvin.example":
        expected = ["kelvin.example", "_.example", *expected]
    assert list(names(host, 443)) == expected


def touch_later(*paths: Path) -> None:
    """Another time of change, whatever the precision of the file system."""
    for path in paths:
        before = path.stat()
        os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns + 1_000_000_000))


def test_context_is_kept_until_a_file_changes(tmp_path: Path) -> None:
    certificates = CertificateDirectory(tmp_path)
    assert certificates.find("one.test", 443) is None
    assert certificates.available() == []
    files = ONE.write(tmp_path, "one.test")
    first = certificates.find("one.test", 443)
    assert first is not None
    assert certificates.find("ONE.test", 443) is first
    for file in files:
        touch_later(file)
        second = certificates.find("one.test", 443)
        assert second is not None and second is not first
        first = second
    for file in files:
        file.unlink()
        assert certificates.find("one.test", 443) is first
    assert certificates.available() == []


@pytest.mark.parametrize("has_been_good", [False, True])
def test_unusable_pair(tmp_path: Path, has_been_good: bool, caplog: pytest.LogCaptureFixture) -> None:
    """Said once for each state of the files; what was there before stays, and otherwise the next name counts."""
    caplog.set_level(logging.WARNING, "holdfast.net.tls")
    certificates = CertificateDirectory(tmp_path)
    TWO.write(tmp_path, "default_443")
    expected = default = certificates.find(None, 443)
    if has_been_good:
        ONE.write(tmp_path, "one.test")
        expected = certificates.find("one.test", 443)
        assert expected is not default
    Certificate(ONE.crt, TWO.key).write(tmp_path, "one.test")
    for _ in range(3):
        assert certificates.find("one.test", 443) is expected
    consequence = "the one before stays in use" if has_been_good else "not used"
    assert caplog.messages == [f"certificate one.test in {tmp_path}: key values mismatch; {consequence}"]
    (tmp_path / "one.test.key").write_text("nothing")
    assert certificates.find("one.test", 443) is expected
    assert len(caplog.messages) == 2
    ONE.write(tmp_path, "one.test")
    assert certificates.find("one.test", 443) not in (None, expected)
    assert len(caplog.messages) == 2


def test_memory_is_bounded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Names without files take none; of those with files the ones asked for last stay."""
    monkeypatch.setattr(tls, "MAX_PAIRS", 2)
    certificates = CertificateDirectory(tmp_path)
    for number in range(1000):
        assert certificates.find(f"unknown{number}.test", 443) is None
    assert len(certificates) == 0
    for name in "abc":
        ONE.write(tmp_path, name)
    a, b = certificates.find("a", 443), certificates.find("b", 443)
    assert certificates.find("a", 443) is a
    assert certificates.find("c", 443) is not None
    assert len(certificates) == 2
    assert certificates.find("a", 443) is a
    assert certificates.find("b", 443) not in (None, b)


def test_a_key_with_a_password_is_refused_without_asking(tmp_path: Path) -> None:
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key(ONE.key, None)
    encrypted = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.BestAvailableEncryption(b"secret"),
    )
    Certificate(ONE.crt, encrypted).write(tmp_path, "x")
    with pytest.raises(OSError, match=r"\S"):
        load_pair(tmp_path, "x")


def test_policy(tmp_path: Path) -> None:
    ONE.write(tmp_path, "x")
    context = load_pair(tmp_path, "x")
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2
    assert context.options & ssl.OP_NO_RENEGOTIATION and context.options & ssl.OP_NO_COMPRESSION
    ciphers = {str(cipher["name"]) for cipher in context.get_ciphers()}
    assert ciphers and all("GCM" in name or "CHACHA20" in name for name in ciphers)
    assert all(name.startswith(("TLS_", "ECDHE-")) for name in ciphers)


@pytest.mark.parametrize(
    ("problem", "text"),
    [
        (ssl.SSLError(9, "[SSL] PEM lib (_ssl.c:3905)"), "PEM lib"),
        (FileNotFoundError(2, "No such file or directory", "x.crt"), "No such file or directory"),
        (ConnectionResetError(), "the other side has left"),
        (ConnectionAbortedError("too long"), "too long"),
        (ValueError("bad"), "bad"),
    ],
)
def test_problems_are_described(problem: Exception, text: str) -> None:
    assert describe_problem(problem) == text
