from __future__ import annotations

import grp
import os
import pwd
import socket
import stat
from pathlib import Path

import pytest

from holdfast.net.sockets import (
    SocketFile,
    accept_client,
    address_of,
    bind_socket_file,
    describe_peer,
    prepare_client_socket,
    remove_socket_file,
)


@pytest.mark.parametrize(
    ("peer_name", "address", "description"),
    [
        (("1.2.3.4", 80), "1.2.3.4", "1.2.3.4:80"),
        (("::1", 80, 0, 0), "::1", "::1:80"),
        ("", "", "unix"),
        (None, "", "unix"),
    ],
)
def test_peer(peer_name: object, address: str, description: str) -> None:
    assert (address_of(peer_name), describe_peer(peer_name)) == (address, description)


def test_client_options() -> None:
    with socket.socket() as tcp, socket.socket(socket.AF_UNIX) as unix:
        for sock in (tcp, unix):
            prepare_client_socket(sock)
        assert tcp.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert tcp.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


@pytest.mark.parametrize("is_numeric", [False, True])
def test_mode_and_owner_before_anybody_can_connect(tmp_path: Path, is_numeric: bool) -> None:
    path = str(tmp_path / "s")
    user, group = pwd.getpwuid(os.getuid()).pw_name, grp.getgrgid(os.getgid()).gr_name
    if is_numeric:
        user, group = str(os.getuid()), str(os.getgid())
    with bind_socket_file(SocketFile(path, 0o600, user, group)) as sock, socket.socket(socket.AF_UNIX) as client:
        found = os.stat(path)
        assert (stat.S_IMODE(found.st_mode), found.st_uid, found.st_gid) == (0o600, os.getuid(), os.getgid())
        with pytest.raises(ConnectionRefusedError):
            client.connect(path)
        sock.listen()
        client.connect(path)


def test_an_old_socket_is_replaced_and_another_file_is_not(tmp_path: Path) -> None:
    path = tmp_path / "s"
    for _ in range(2):
        bind_socket_file(SocketFile(str(path))).close()
    path.unlink()
    path.write_text("data")
    with pytest.raises(FileExistsError, match="not a socket"):
        bind_socket_file(SocketFile(str(path)))
    assert path.read_text() == "data"


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (SocketFile("s", user="nobody-of-this-name"), LookupError),
        (SocketFile("s", group="nobody-of-this-name"), LookupError),
        (SocketFile("no/such/directory"), OSError),
        (SocketFile("x" * 200), OSError),
        (SocketFile("a\0b"), ValueError),
    ],
)
def test_nothing_is_left_of_what_cannot_be_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: SocketFile, expected: type[Exception]
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(expected):
        bind_socket_file(file)
    assert list(tmp_path.iterdir()) == []


def test_only_the_own_socket_is_removed(tmp_path: Path) -> None:
    path = str(tmp_path / "s")
    with bind_socket_file(SocketFile(path)):
        inode = os.stat(path).st_ino
        remove_socket_file(path, inode + 1)
        assert Path(path).exists()
        remove_socket_file(path, inode)
        assert not Path(path).exists()
        remove_socket_file(path, inode)


def test_accepted_clients_do_not_block() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.create_connection(listening.getsockname()) as peer:
        fd, peer_name = accept_client(listening)
        assert peer_name == peer.getsockname()
        assert (os.get_blocking(fd), os.get_inheritable(fd)) == (False, False)
        os.write(fd, b"hello")
        assert peer.recv(10) == b"hello"
        os.close(fd)


def test_nobody_to_accept() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.setblocking(False)
        with pytest.raises(BlockingIOError):
            accept_client(listening)
