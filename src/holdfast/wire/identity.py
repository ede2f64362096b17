"""Who we are towards a TLS server that wants to know."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, weakref_slot=True, repr=False)
class ClientIdentity:
    """A certificate that proves itself by its private key. It has no text form, which could get into a log.

    Attributes:
        certificate: PEM, with the certificates that lead to its issuer, if need be.
        key: PEM; None where it stands in `certificate` as well.
    """

    certificate: bytes
    key: bytes | None = None
