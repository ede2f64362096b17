"""Reading from descriptors, into one piece of memory for all of them."""

from __future__ import annotations

import os

READ_BYTES = 65_000
"""At most, at once. A bytes object of that size is smaller than what gets a block of its own (`memory.LARGE_BYTES`),
which would have to be mapped and unmapped each time."""


class ReadBuffer:
    """Where what arrives is put before it is known how much it is; for one thread.

    `os.read` takes room for all that it may get, and gives back what it did not need behind the few bytes that came.
    While these are kept for something, most of that room is of use for nothing else, and the heap grows around it.
    """

    __slots__ = ("_buffers", "_room")

    def __init__(self) -> None:
        self._room = memoryview(bytearray(READ_BYTES))
        self._buffers = (self._room,)

    def read(self, descriptor: int) -> bytes:
        """What has arrived, up to `READ_BYTES`; empty at the end.

        Raises:
            OSError: as `os.read`.
        """
        return bytes(self._room[: os.readv(descriptor, self._buffers)])
