"""TLS towards backends: whom we believe, and who we say that we are (routes spec §1.5, §3.9)."""

from __future__ import annotations

import os
import ssl
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from weakref import WeakKeyDictionary

from holdfast.errors import KeyMaterialError
from holdfast.wire.identity import ClientIdentity

# What servers say to a client whose certificate is missing or does not please them.
_ABOUT_CERTIFICATES = (
    "CERTIFICATE",  # REQUIRED, EXPIRED, REVOKED, UNKNOWN, and the BAD and UNSUPPORTED ones
    "UNKNOWN_CA",
    "ACCESS_DENIED",
    "DECRYPT_ERROR",
    "HANDSHAKE_FAILURE",
)


class TlsContexts:
    """The context of each identity, made when it is needed and kept for as long as somebody has the identity."""

    def __init__(self) -> None:
        self._anonymous: dict[bool, ssl.SSLContext] = {}
        self._of_identities: WeakKeyDictionary[ClientIdentity, dict[bool, ssl.SSLContext]] = WeakKeyDictionary()

    def __len__(self) -> int:
        """How many identities there are contexts for."""
        return len(self._of_identities)

    def get(self, *, is_verified: bool, identity: ClientIdentity | None) -> ssl.SSLContext:
        """A context; see `make_tls_context`."""
        contexts = self._anonymous if identity is None else self._of_identities.setdefault(identity, {})
        context = contexts.get(is_verified)
        if context is None:
            context = contexts[is_verified] = make_tls_context(is_verified=is_verified, identity=identity)
        return context


def make_tls_context(*, is_verified: bool, identity: ClientIdentity | None = None) -> ssl.SSLContext:
    """TLS 1.2 or later towards backends; verified against the system's roots unless the target is `insecure`.

    Raises:
        KeyMaterialError: certificate or key of the identity cannot be used, or do not belong together.
    """
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if not is_verified:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    if identity is not None:
        _load_identity(context, identity)
    return context


def check_identity(identity: ClientIdentity) -> None:
    """Find out whether an identity can be used. Raises KeyMaterialError."""
    _load_identity(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT), identity)


def is_about_our_certificate(error: Exception | None) -> bool:
    """Whether a backend ended the connection because of who we are, or did not say that we are.

    With TLS 1.3 it says so after we have taken the handshake for done, but before it looks at a request.
    """
    reason = getattr(error, "reason", None) if isinstance(error, ssl.SSLError) else None
    return isinstance(reason, str) and "ALERT" in reason and any(word in reason for word in _ABOUT_CERTIFICATES)


def _load_identity(context: ssl.SSLContext, identity: ClientIdentity) -> None:
    try:
        with _as_file(identity.certificate) as certificate:
            if identity.key is None:
                context.load_cert_chain(certificate, password=_no_password)
            else:
                with _as_file(identity.key) as key:
                    context.load_cert_chain(certificate, key, password=_no_password)
    except ssl.SSLError as exc:
        raise KeyMaterialError(f"not a PEM certificate with its private key: {exc.reason or exc}") from exc


def _no_password() -> bytes:
    """Nobody is there to be asked for one."""
    raise KeyMaterialError("the private key is encrypted")


@contextmanager
def _as_file(content: bytes) -> Iterator[str]:
    """A path under which `content` can be read for a moment, since OpenSSL takes chains from files only."""
    if sys.platform == "linux":
        with os.fdopen(os.memfd_create("pem"), "wb") as file:
            file.write(content)
            file.flush()
            yield f"/proc/self/fd/{file.fileno()}"
    else:
        with tempfile.NamedTemporaryFile() as file:  # readable by its owner only
            file.write(content)
            file.flush()
            yield file.name
