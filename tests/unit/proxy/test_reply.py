"""The body of an answer up to a limit."""

from __future__ import annotations

from typing import Any

import pytest

from holdfast.proxy.reply import read_limited


class Pieces:
    """A body that comes in pieces, or is here."""

    def __init__(self, *pieces: bytes, is_complete: bool = False) -> None:
        self.is_complete = is_complete
        self._pieces = list(pieces)

    async def read(self) -> bytes:
        return self._pieces.pop(0) if self._pieces else b""

    def take(self) -> bytes:
        return b"".join(self._pieces)


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        (Pieces(b"ab", b"cd", is_complete=True), b"abcd"),
        (Pieces(b"ab", b"c"), b"abc"),
        (Pieces(b"ab", b"cd", b"ef"), b"abcd"),
        (Pieces(), b""),
    ],
)
async def test_read_limited(reply: Any, expected: bytes) -> None:
    assert await read_limited(reply, 3) == expected
