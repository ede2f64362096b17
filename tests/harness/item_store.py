"""The items of a chaos run: what each one says, and how many of them exist.

Items are numbered from 1 in every channel, and their text follows from channel and number. So the store is no more than
a few counters in a file, mapped by the publisher and by the backend alike: it outlives a backend that is killed.
"""

from __future__ import annotations

import enum
import mmap
import zlib
from collections.abc import Sequence
from pathlib import Path

BEGINNING = 0
"""What is known of a channel of which nothing is known; the id of no item."""


def item_line(channel: str, number: int) -> bytes:
    """The text of an item: one line, so that a client notices when it is cut. One in fifty is large."""
    dice = zlib.crc32(f"{channel} {number}".encode())
    size = 6000 if dice % 50 == 0 else dice // 50 % 400
    return f"{channel} {number} {'x' * size}\n".encode()


def parse_item_line(line: bytes) -> tuple[str, int]:
    """Channel and number of an item. Raises ValueError if the line is none."""
    channel, _, rest = line.decode().partition(" ")
    number = rest.partition(" ")[0]
    if not number.isdigit() or line != item_line(channel, int(number)):
        raise ValueError(f"not an item: {line[:80]!r}")
    return channel, int(number)


class Tally(enum.IntEnum):
    """What the backend counts."""

    STREAMS = 0
    LINKS = 1
    POLLS = 2
    POLL_RETRIES = 3
    ITEMS_BY_STREAM = 4
    ITEMS_BY_LINK = 5
    ITEMS_BY_POLL = 6
    ITEMS_BY_POLL_RETRY = 7
    FAILURES = 8


class ItemStore:
    """How many items of each channel exist, and what the backend has counted."""

    def __init__(self, path: Path, channels: Sequence[str]) -> None:
        self.path = path
        self.channels = list(channels)
        size = 8 * (len(Tally) + len(channels))
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._map = mmap.mmap(file.fileno(), size)
        self._cells = memoryview(self._map).cast("q")
        self._places = {channel: place for place, channel in enumerate(channels, len(Tally))}

    def add(self, channel: str, number: int) -> None:
        """All items of a channel up to `number` exist now."""
        self._cells[self._places[channel]] = number

    def last(self, channel: str) -> int:
        """Number of the newest item of a channel."""
        return self._cells[self._places[channel]]

    def count(self, tally: Tally, by: int = 1) -> None:
        """Only the backend does that."""
        self._cells[tally] += by

    def tallies(self) -> dict[str, int]:
        """What has been counted, by name."""
        return {tally.name.lower(): self._cells[tally] for tally in Tally}

    def close(self) -> None:
        """Unmap the file, which stays."""
        self._cells.release()
        self._map.close()
