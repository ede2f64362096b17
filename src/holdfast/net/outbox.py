"""What one slow client has not taken yet.

Large pieces are kept by reference: what goes to many clients is one bytes object for all of them, so a thousand slow
receivers of one large item cost its memory once. Small pieces are copied together, because each piece costs more than
its bytes.
"""

from __future__ import annotations

import os

SHARED_BYTES = 4096
"""From this size on a piece is kept by reference."""

PIECES_PER_WRITE = 64


class Outbox:
    """Bytes in order, of which `len` tells the number; never empty but after the last of them was written.

    Args:
        data: what was to be sent.
        sent: how many bytes of it have been sent.
    """

    __slots__ = ("_pieces", "_size")

    def __init__(self, data: bytes, sent: int) -> None:
        self._pieces: list[memoryview | bytearray] = []
        self._size = 0
        self._append(memoryview(data)[sent:])

    def __len__(self) -> int:
        return self._size

    def append(self, data: bytes) -> None:
        """Queue more bytes."""
        self._append(memoryview(data))

    def write_to(self, fd: int) -> bool:
        """Write what the system takes, at most `PIECES_PER_WRITE` pieces; returns whether nothing is left.

        Raises:
            OSError: as `os.writev`.
        """
        sent = os.writev(fd, self._pieces[:PIECES_PER_WRITE])
        self._size -= sent
        done = 0
        while done < len(self._pieces) and sent >= len(self._pieces[done]):
            sent -= len(self._pieces[done])
            done += 1
        del self._pieces[:done]
        if sent:
            self._cut(sent)
        return not self._pieces

    def _append(self, data: memoryview) -> None:
        self._size += len(data)
        last = self._pieces[-1] if self._pieces else None
        if len(data) >= SHARED_BYTES:
            self._pieces.append(data)
        elif isinstance(last, bytearray):
            last += data
        else:
            self._pieces.append(bytearray(data))

    def _cut(self, sent: int) -> None:
        first = self._pieces[0]
        if isinstance(first, bytearray):
            del first[:sent]
        else:
            self._pieces[0] = first[sent:]
