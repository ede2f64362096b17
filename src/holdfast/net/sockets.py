"""What sockets need before they are used, and how their peers are called."""

from __future__ import annotations

import errno
import os
import select
import shutil
import socket
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, cast


def prepare_client_socket(sock: socket.socket) -> None:
    """Options of an accepted TCP socket: no Nagle delay, and dead peers are noticed by the system."""
    if sock.family in (socket.AF_INET, socket.AF_INET6):
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)


def accept_client(listening: socket.socket) -> tuple[int, object]:
    """Accept a client: a descriptor that does not block, and the address of the peer as the system has it.

    What `accept` of a socket puts around the descriptor costs as much as accepting does, and nobody would need it. The
    method below it has been there, for that one, in all versions of Python 3. Raises OSError.
    """
    fd, peer_name = cast(_Accepting, listening)._accept()
    os.set_blocking(fd, False)
    return fd, peer_name


class _Accepting(Protocol):
    """What lies below `socket.accept`."""

    def _accept(self) -> tuple[int, object]: ...


def address_of(peer_name: object) -> str:
    """IP address of a peer, empty text for one that has none: `peer_name` is what `getpeername` says."""
    return str(peer_name[0]) if isinstance(peer_name, tuple) else ""


def describe_peer(peer_name: object) -> str:
    """Address and port of a peer, for logs."""
    return f"{peer_name[0]}:{peer_name[1]}" if isinstance(peer_name, tuple) else "unix"


@dataclass(frozen=True, slots=True)
class SocketFile:
    """A Unix socket, and who may connect to it.

    Args:
        path: of its file.
        mode: of the file; None for what the umask of the process leaves.
        user, group: names or numbers of the owner; None for those of the process.
    """

    path: str
    mode: int | None = None
    user: str | None = None
    group: str | None = None


def bind_socket_file(file: SocketFile) -> socket.socket:
    """A bound socket, to which nobody can connect yet: its file has mode and owner before it listens.

    A socket that is there already is replaced (ws spec §5.1).

    Raises:
        OSError: it cannot be made, or there is a file of another kind.
        LookupError: there is no such user or group.
        ValueError: the path cannot be one.
    """
    remove_socket_file(file.path)
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(file.path)
        if file.user is not None:
            shutil.chown(file.path, user=_id_or_name(file.user))
        if file.group is not None:
            shutil.chown(file.path, group=_id_or_name(file.group))
        if file.mode is not None:
            Path(file.path).chmod(file.mode)  # last: a change of owner takes some bits away
    except BaseException:
        sock.close()
        remove_socket_file(file.path)
        raise
    return sock


def remove_socket_file(path: str, inode: int | None = None) -> None:
    """Remove a socket's file if there is one, and if it is that with `inode`.

    Raises:
        OSError: it cannot be removed, or is not a socket.
    """
    try:
        found = os.lstat(path)
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(found.st_mode):
        raise FileExistsError(errno.EEXIST, "the file exists and is not a socket", path)
    if inode in (None, found.st_ino):
        os.unlink(path)


def _id_or_name(text: str) -> str | int:
    return int(text) if text.isascii() and text.isdigit() else text


def has_input(fd: int) -> bool:
    """Whether the peer has sent something that was not read, or has closed or broken off."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))
