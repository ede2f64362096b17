"""Telling the service manager how things stand: the datagrams of sd_notify(3), if there is somebody who wants them."""

from __future__ import annotations

import logging
import socket

log = logging.getLogger("holdfast.net.notify")

SEND_TIMEOUT_S = 1.0
"""A service manager that does not read must not hold up the server for longer."""

SPARE_S = 5.0
"""What stopping may take in addition to the requests in progress."""


class ServiceManager:
    """Who started us, as far as it wants to know.

    Args:
        address: the value of $NOTIFY_SOCKET, a path or `@` and an abstract name; None or "" if nobody wants to know.
    """

    def __init__(self, address: str | None) -> None:
        self._address = address.encode() if address else None
        if self._address is not None and self._address.startswith(b"@"):
            self._address = b"\0" + self._address[1:]

    def ready(self) -> None:
        """The server has started, or has done what it was reloaded for."""
        self._tell("READY=1")

    def reloading(self, monotonic_us: int) -> None:
        """It begins to reload, at a time of the monotonic clock in microseconds; `ready` follows."""
        self._tell("RELOADING=1", f"MONOTONIC_USEC={monotonic_us}")

    def stopping(self, timeout_s: float) -> None:
        """It begins to stop, and gives what is in progress `timeout_s`; before that nobody should lose patience."""
        self._tell("STOPPING=1", f"EXTEND_TIMEOUT_USEC={round((timeout_s + SPARE_S) * 1_000_000)}")

    def _tell(self, *lines: str) -> None:
        if self._address is None:
            return
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
                sender.settimeout(SEND_TIMEOUT_S)
                sender.sendto("\n".join(lines).encode(), self._address)
        except OSError as exc:
            log.warning("the service manager cannot be told %s: %s", lines[0], exc.strerror or exc)
