"""Client certificates of targets, read when a line is (routes spec §1.5)."""

from __future__ import annotations

from collections.abc import Callable

from holdfast.errors import KeyMaterialError, RouteError
from holdfast.routing.lines import Section
from holdfast.wire.identity import ClientIdentity


def read_identity(
    section: Section, read_file: Callable[[str], bytes], check: Callable[[ClientIdentity], None]
) -> ClientIdentity | None:
    """The identity that `client_cert` and `client_key` of a target name, None without a certificate.

    Args:
        read_file: gives the content of a file, relative names counting from the working directory; may raise OSError.
        check: whether an identity can be used; may raise KeyMaterialError.

    Raises:
        RouteError: a file cannot be read, or the two do not fit.
    """
    texts = dict(section.props)
    certificate_name, key_name = texts.get("client_cert"), texts.get("client_key")
    if not certificate_name:
        return None
    certificate = _read(certificate_name, read_file)
    identity = ClientIdentity(certificate, _read(key_name, read_file) if key_name else None)
    try:
        check(identity)
    except KeyMaterialError as exc:
        names = f"{certificate_name} and {key_name}" if key_name else certificate_name
        raise RouteError(f"client certificate {names} cannot be used: {exc}") from exc
    return identity


def has_lonely_key(section: Section) -> bool:
    """Whether a target has a key and no certificate, so that the key has no effect."""
    texts = dict(section.props)
    return bool(texts.get("client_key")) and not texts.get("client_cert")


def _read(name: str, read_file: Callable[[str], bytes]) -> bytes:
    try:
        return read_file(name)
    except (OSError, ValueError) as exc:  # ValueError: a name that none can be
        reason = exc.strerror if isinstance(exc, OSError) and exc.strerror else str(exc)
        raise RouteError(f"failed to open {name}: {reason}") from exc
