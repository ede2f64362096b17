from __future__ import annotations

import socket
import sys
from pathlib import Path

import pytest

from holdfast.memory import LARGE_BYTES
from holdfast.net.reading import READ_BYTES, ReadBuffer

read = ReadBuffer().read


def test_what_was_read_stays() -> None:
    """All of it was in the same place for a moment."""
    one, other = socket.socketpair()
    with one, other:
        one.send(b"first, and longer")
        first = read(other.fileno())
        one.send(b"second")
        second = read(other.fileno())
        assert (first, second) == (b"first, and longer", b"second")
        one.shutdown(socket.SHUT_WR)
        assert read(other.fileno()) == b""


def test_nothing_there_yet() -> None:
    one, other = socket.socketpair()
    with one, other:
        other.setblocking(False)
        with pytest.raises(BlockingIOError):
            read(other.fileno())


def test_more_than_fits(tmp_path: Path) -> None:
    """The rest comes with the next one, and nothing is a block of its own."""
    (tmp_path / "file").write_bytes(b"x" * READ_BYTES + b"rest")
    with (tmp_path / "file").open("rb", buffering=0) as file:
        whole = read(file.fileno())
        assert whole == b"x" * READ_BYTES
        assert sys.getsizeof(whole) + 16 < LARGE_BYTES
        assert read(file.fileno()) == b"rest"
