"""TLS for clients: a directory of certificates, of which one is chosen by the host that the client names.

The files are `NAME.crt`, a chain with the leaf first, and `NAME.key`, both PEM (routes spec §2.9, ws spec §5.6). Every
handshake looks at the state of at most three pairs, so a new or replaced pair counts for the next one. What was
read once is kept when its files are removed, or replaced by something that cannot be used.
"""

from __future__ import annotations

import logging
import os
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

log = logging.getLogger("holdfast.net.tls")

MAX_PAIRS = 1000
"""Pairs kept in memory; beyond it the one not asked for longest goes, and is read again when it is needed."""

# Forward secrecy and authenticated encryption only; those of TLS 1.3 are all like that (RFC 9325 §4.2).
_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"
_PROTOCOLS = ["http/1.1"]
_HOST = re.compile(r"[a-z0-9._-]{1,253}")

_OPENSSL_NOISE = re.compile(r"^\[[^\]]*\] | \(_ssl\.c:\d+\)$")

_FileState = tuple[int, int, int]
_PairState = tuple[_FileState, _FileState | None]


class HandshakeFailedError(ssl.SSLError):
    """A handshake failed; `alert` is what OpenSSL has to say to the client about it."""

    alert = b""


@dataclass(frozen=True, slots=True)
class _Pair:
    state: _PairState
    context: ssl.SSLContext | None


class CertificateDirectory:
    """The pairs of one directory; those in use are in memory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._pairs: dict[str, _Pair] = {}

    def __len__(self) -> int:
        return len(self._pairs)

    def available(self) -> list[str]:
        """The names of all certificates that are there, usable or not."""
        return sorted(file.stem for file in self.path.glob("*.crt"))

    def find(self, host: str | None, port: int) -> ssl.SSLContext | None:
        """The context with the certificate for a client that names `host`, or no host, at `port`."""
        for name in names(host, port):
            context = self._context(name)
            if context is not None:
                return context
        return None

    def _context(self, name: str) -> ssl.SSLContext | None:
        known = self._pairs.pop(name, None)
        state = self._state(name)
        if state is not None and (known is None or known.state != state):
            known = _Pair(state, self._load(name, None if known is None else known.context))
        if known is None:
            return None
        self._pairs[name] = known  # the last one: it has just been asked for
        if len(self._pairs) > MAX_PAIRS:
            del self._pairs[next(iter(self._pairs))]
        return known.context

    def _state(self, name: str) -> _PairState | None:
        """What changes when a pair is replaced; None if there is no certificate."""
        crt, key = pair_paths(self.path, name)
        certificate = _file_state(crt)
        return None if certificate is None else (certificate, _file_state(key))

    def _load(self, name: str, before: ssl.SSLContext | None) -> ssl.SSLContext | None:
        try:
            return load_pair(self.path, name)
        except (OSError, ValueError) as exc:
            consequence = "not used" if before is None else "the one before stays in use"
            log.warning("certificate %s in %s: %s; %s", name, self.path, describe_problem(exc), consequence)
            return before


def names(host: str | None, port: int) -> Iterator[str]:
    """The names of pairs that fit `host`, the best first; what is no host name never gets near the file system."""
    lowered = (host or "").lower()
    if _HOST.fullmatch(lowered):
        yield lowered
        _, dot, parent = lowered.partition(".")
        if dot:
            yield f"_.{parent}"
    yield f"default_{port}"


def pair_paths(directory: Path, name: str) -> tuple[Path, Path]:
    """The files of a pair: certificate and key."""
    return directory / f"{name}.crt", directory / f"{name}.key"


def load_pair(directory: Path, name: str) -> ssl.SSLContext:
    """A context with the certificate and key `name`.

    Raises:
        OSError, ValueError: a file cannot be read, is not what it should be, or the key belongs to another certificate.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    _set_policy(context)
    crt, key = pair_paths(directory, name)
    # Without a password OpenSSL would ask for it on the terminal.
    context.load_cert_chain(crt, key, password="")
    return context


def make_door_context(certificates: CertificateDirectory, port: int) -> ssl.SSLContext:
    """The context of a listening port, which lends each client that of its certificate."""
    context = _DoorContext(ssl.PROTOCOL_TLS_SERVER)
    _set_policy(context)

    def choose(client: ssl.SSLObject | ssl.SSLSocket, host: str | None, _context: ssl.SSLContext) -> int | None:
        found = certificates.find(host, port)
        if found is None:
            assert isinstance(client, _ServerObject)
            client.refusal = f"no certificate for host {host!r}"
            return ssl.ALERT_DESCRIPTION_UNRECOGNIZED_NAME
        client.context = found
        return None

    context.sni_callback = choose
    return context


def describe_problem(exc: Exception) -> str:
    """What is wrong, in a few words."""
    if isinstance(exc, ssl.SSLError):
        reason: str | None = getattr(exc, "reason", None)
        return _OPENSSL_NOISE.sub("", str(exc.args[-1])) if reason is None else reason.lower().replace("_", " ")
    return (exc.strerror if isinstance(exc, OSError) else None) or str(exc) or "the other side has left"


def _set_policy(context: ssl.SSLContext) -> None:
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(_CIPHERS)
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    context.set_alpn_protocols(_PROTOCOLS)


def _file_state(path: Path) -> _FileState | None:
    try:
        found = os.stat(path)
    except OSError:  # also a name that is too long for the file system
        return None
    return found.st_mtime_ns, found.st_ino, found.st_size


class _ServerObject(ssl.SSLObject):
    """The TLS side of one connection, which keeps the alert when a handshake fails; uvloop would not send it."""

    outgoing: ssl.MemoryBIO
    refusal: str | None = None

    def do_handshake(self) -> None:
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError as exc:
            # Not by a variable of this frame, to which its traceback leads: the two would keep everything that belongs
            # to the connection, until a collection of garbage.
            raise self._failure(exc) from exc

    def _failure(self, exc: ssl.SSLError) -> HandshakeFailedError:
        failure = HandshakeFailedError(*exc.args)
        failure.reason = exc.reason
        if self.refusal is not None:
            failure = HandshakeFailedError(self.refusal)
        failure.alert = self.outgoing.read()
        return failure


class _DoorContext(ssl.SSLContext):
    sslobject_class = _ServerObject

    def wrap_bio(self, incoming: ssl.MemoryBIO, outgoing: ssl.MemoryBIO, *args: Any, **named: Any) -> ssl.SSLObject:
        made = super().wrap_bio(incoming, outgoing, *args, **named)
        assert isinstance(made, _ServerObject)
        made.outgoing = outgoing
        return made

    def _encode_hostname(self, host: str | None) -> str | None:
        """Leave it as it came. Python would encode it again, and print a traceback for one that is no host name."""
        return host
