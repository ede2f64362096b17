"""What `holdfast check` says about the certificates for TLS clients."""

from __future__ import annotations

from datetime import datetime, timedelta

from cryptography import x509

from holdfast.cli_report import Report
from holdfast.net.tls import CertificateDirectory, describe_problem, load_pair, pair_paths

EXPIRES_SOON = timedelta(days=14)
"""Who renews by machine has done so a month before the end."""


def check_certificates(certificates: CertificateDirectory, now: datetime) -> Report:
    """Whether there are certificates, whether keys fit them, and how long they are valid."""
    names = certificates.available()
    report = Report(
        lines=(f"certificates: {certificates.path}, {len(names)} {'pair' if len(names) == 1 else 'pairs'}",)
    )
    if not names:
        report += Report(errors=(f"no certificates in {certificates.path}: no TLS client can connect",))
    for name in names:
        report += _check_pair(certificates, name, now)
    return report


def _check_pair(certificates: CertificateDirectory, name: str, now: datetime) -> Report:
    crt, key = pair_paths(certificates.path, name)
    try:
        load_pair(certificates.path, name)
        leaf = x509.load_pem_x509_certificates(crt.read_bytes())[0]
    except (OSError, ValueError) as exc:
        place = crt if key.exists() else key
        return Report(errors=(f"{place}: {describe_problem(exc)}",))
    return Report(warnings=_doubts(str(crt), leaf, now))


def _doubts(place: str, leaf: x509.Certificate, now: datetime) -> tuple[str, ...]:
    begin, end = leaf.not_valid_before_utc, leaf.not_valid_after_utc
    if now >= end:
        return (f"{place}: expired on {end:%Y-%m-%d}",)
    if now < begin:
        return (f"{place}: not valid before {begin:%Y-%m-%d}",)
    if end - now < EXPIRES_SOON:
        return (f"{place}: expires on {end:%Y-%m-%d}",)
    return ()
