"""Host and port as they appear in a Host header, in a URI and in the routes file (RFC 3986 §3.2, routes spec §3.3).

Invariants: a parsed host is lower-case ASCII, a name in punycode, an IPv4 or a bracketed IPv6 address; so it can be
compared byte by byte and written into a header without another look.
"""

from __future__ import annotations

import re
from functools import lru_cache
from ipaddress import IPv6Address
from typing import NamedTuple

from holdfast.errors import WireError

# RFC 3986 allows sub-delims and escapes in names as well; no name that resolves has them, and `user@` or `a/b` must
# never be read as part of a host.
_NAME = re.compile(rb"([a-z0-9._~-]+)(?::([0-9]{0,5}))?")
_BRACKETED = re.compile(rb"(\[[0-9a-f:.]+\])(?::([0-9]{0,5}))?")

_REMEMBERED = 256


class Authority(NamedTuple):
    """`host[:port]`; `port` is None where the scheme's default is meant. A tuple, since one is made per request."""

    host: str
    port: int | None

    def encode(self, default_port: int) -> bytes:
        """The value of a Host header: the port appears only if it is not the scheme's default."""
        host, port = self
        return host.encode() if port is None or port == default_port else f"{host}:{port}".encode()


@lru_cache(maxsize=_REMEMBERED)
def parse_authority(raw: bytes) -> Authority:
    """Host and port of `raw`, which is not empty. Remembers the last hosts: most requests name one of a few.

    Raises:
        WireError: 400, anything but a name or address with an optional port, such as user information, a path,
            a blank or an escape.
    """
    lower = raw.lower()
    match = _NAME.fullmatch(lower)
    if match is None:
        match = _match_unusual(raw, lower)
    host, port = match.groups()
    return Authority(host.decode(), _parse_port(port) if port else None)


def canonical_domain(text: str) -> str:
    """The domain of a route in the form that hosts of requests have; text that is no host stays and never matches.

    Brackets around an IPv6 address may be missing, since Pushpin up to 1.41 compares without them.
    """
    domain = text.lower()
    if domain.count(":") > 1 and not domain.startswith("["):
        domain = f"[{domain}]"
    if domain.isascii():
        return domain
    try:
        return domain.encode("idna").decode()
    except UnicodeError:
        return domain


def _match_unusual(raw: bytes, lower: bytes) -> re.Match[bytes]:
    """The match of an IPv6 address or of an internationalised name."""
    match = _BRACKETED.fullmatch(lower) if lower.isascii() else _NAME.fullmatch(_to_punycode(raw))
    if match is None:
        raise _invalid_host()
    if match[1].startswith(b"["):
        try:
            IPv6Address(match[1][1:-1].decode())
        except ValueError as exc:
            raise _invalid_host() from exc
    return match


def _to_punycode(raw: bytes) -> bytes:
    name, colon, port = raw.partition(b":")
    try:
        # nameprep may turn look-alikes into "/" or "@"; the caller matches the result once more.
        return name.decode().encode("idna").lower() + colon + port
    except UnicodeError as exc:
        raise _invalid_host() from exc


def _parse_port(digits: bytes) -> int:
    port = int(digits)
    if not 1 <= port <= 65535:
        raise _invalid_host()
    return port


def _invalid_host() -> WireError:
    return WireError(400, "Failed to parse request: invalid host")
