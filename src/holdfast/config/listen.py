"""Addresses to listen at: `PORT`, `ADDR:PORT`, `[IPV6]:PORT`, and paths of Unix sockets (routes spec §2.4)."""

from __future__ import annotations

import re
from ipaddress import IPv6Address
from typing import NamedTuple

from holdfast.net.sockets import SocketFile

MAX_PORT = 65535
ANY_ADDRESS = "0.0.0.0"
_MODE = re.compile("[0-7]{1,4}")
_LOCAL_PARAMETERS = frozenset({"mode", "user", "group"})


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


def parse_socket_file(text: str) -> SocketFile:
    """The Unix socket that `PATH[?mode=OCTAL&user=U&group=G]` names.

    Raises:
        ValueError: there is no path, or the rest is something else.
    """
    path, question_mark, query = text.partition("?")
    given = dict(_parse_parameter(part) for part in query.split("&")) if question_mark else {}
    mode = given.get("mode")
    if not path or (mode is not None and not _MODE.fullmatch(mode)):
        raise ValueError(f"{text} is not PATH[?mode=OCTAL&user=U&group=G]")
    return SocketFile(path, None if mode is None else int(mode, 8), given.get("user"), given.get("group"))


def _parse_parameter(text: str) -> tuple[str, str]:
    name, _, value = text.partition("=")
    if name not in _LOCAL_PARAMETERS or not value:
        raise ValueError(f"{text} is none of mode=OCTAL, user=U, group=G")
    return name, value


def _is_digits(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= len(str(MAX_PORT))
