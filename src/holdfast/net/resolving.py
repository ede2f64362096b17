"""The addresses of a name, asked of the system: in threads, because the system lets whoever asks wait.

Every name is asked for once at a time, and has a thread for that. In the thread pool of the loop, two names whose
servers do not answer would keep all others waiting.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import socket
import threading
from collections.abc import Sequence
from typing import Any, TypeAlias

MAX_LOOKUPS = 64
"""Names that are being asked for; one more cannot be connected to."""

AddressInfo: TypeAlias = tuple[socket.AddressFamily, socket.SocketKind, int, str, tuple[Any, ...]]
_Answer: TypeAlias = Sequence[AddressInfo] | OSError


class Resolver:
    """Looks names up."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._lookups: dict[tuple[str, int], asyncio.Future[_Answer]] = {}

    async def resolve(self, host: str, port: int) -> Sequence[AddressInfo]:
        """The addresses of a name; an address is its own, and nobody has to be asked.

        Raises:
            OSError: it has none, nobody knows, or too many others are being asked for.
            ValueError: it cannot be a name.
        """
        try:
            return _look_up(host, port, socket.AI_NUMERICHOST)
        except socket.gaierror:
            pass
        lookup = self._lookups.get((host, port)) or self._begin(host, port)
        answer = await asyncio.shield(lookup)
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _begin(self, host: str, port: int) -> asyncio.Future[_Answer]:
        if len(self._lookups) >= MAX_LOOKUPS:
            raise OSError(errno.EAGAIN, "too many names are being looked up")
        lookup: asyncio.Future[_Answer] = self._loop.create_future()
        # A daemon: nobody waits at the end of the process for a server that does not answer.
        threading.Thread(target=self._run, args=(host, port), daemon=True, name=f"look up {host}").start()
        self._lookups[host, port] = lookup
        return lookup

    def _run(self, host: str, port: int) -> None:
        """In the thread."""
        answer: _Answer
        try:
            answer = _look_up(host, port)
        except OSError as exc:
            answer = exc
        with contextlib.suppress(RuntimeError):  # the loop may be closed by then
            self._loop.call_soon_threadsafe(self._end, host, port, answer)

    def _end(self, host: str, port: int, answer: _Answer) -> None:
        self._lookups.pop((host, port)).set_result(answer)


def _look_up(host: str, port: int, flags: int = 0) -> Sequence[AddressInfo]:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)
