"""Addresses to listen at: `PORT`, `ADDR:PORT` and `[IPV6]:PORT` (routes spec §2.4)."""

from __future__ import annotations

from ipaddress import IPv6Address
from typing import NamedTuple

MAX_PORT = 65535
ANY_ADDRESS = "0.0.0.0"


class Listen(NamedTuple):
    """Where to listen: `host` is a name or an address, IPv6 without brackets."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def parse_listen(text: str) -> Listen:
    """The address that `text` names; a bare port listens on all IPv4 addresses.

    Raises:
        ValueError: it is no address, or the port is not from 1 to 65535.
    """
    address, colon, port_text = text.rpartition(":")
    port = int(port_text) if _is_digits(port_text) else 0
    if not 1 <= port <= MAX_PORT:
        raise ValueError(f"{text} has no port from 1 to {MAX_PORT}")
    if not colon:
        return Listen(ANY_ADDRESS, port)
    if address.startswith("[") and address.endswith("]"):
        return Listen(str(IPv6Address(address[1:-1])), port)
    if not address or ":" in address or any(char.isspace() for char in address):
        raise ValueError(f"{text} is none of PORT, ADDR:PORT, [IPV6]:PORT")
    return Listen(address, port)


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT))
