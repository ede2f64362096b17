"""Bodies that are larger than what anybody may keep of them; ``HOLDFAST_SURVIVAL_MB`` makes them larger still."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

from tests.harness.client import RawConnection, encode_chunk
from tests.harness.watch import MB

LARGE = int(os.environ.get("HOLDFAST_SURVIVAL_MB", "60")) * MB
"""Bytes of a large body."""

PIECE = bytes(range(250)) * 400
"""100,000 bytes."""


class LargeBody:
    """The pieces of a large body, made as they are sent."""

    def __iter__(self) -> Iterator[bytes]:
        return itertools.repeat(PIECE, LARGE // len(PIECE))


def read_body(connection: RawConnection, framing: str | None) -> int:
    """Read a large body to its end; returns its length, and checks what can be checked at little cost."""
    if framing == "chunked":
        size = 0
        while piece := connection.read_chunk(30):
            size += len(piece)
        return size
    for _ in range(LARGE // len(PIECE)):
        assert connection.read_exactly(len(PIECE), 30) == PIECE
    return LARGE


def send_body(connection: RawConnection, framing: str) -> None:
    for piece in LargeBody():
        connection.send(encode_chunk(piece) if framing == "chunked" else piece, 30)
    if framing == "chunked":
        connection.send(encode_chunk(b""))


def framing_header(framing: str) -> tuple[str, str]:
    return ("Transfer-Encoding", "chunked") if framing == "chunked" else ("Content-Length", str(LARGE))
