"""What is published in a soak: the channels, the text of each item, and when each was published.

Items are numbered from 1 in every channel. How many exist is in an `ItemStore`, when they were published in a file of
the same kind; publishers write both, backends and clients read them, and all are processes of one machine and clock.
"""

from __future__ import annotations

import mmap
from collections.abc import Sequence
from pathlib import Path

from tests.harness.item_store import ItemStore, item_line

FOLLOWED = tuple(f"f{number}" for number in range(8))
"""With ids, for streams with next links and for long polls."""
EVENTS = tuple(f"e{number}" for number in range(4))
"""With ids, for Server-Sent Events with next links."""
LIVE = tuple(f"l{number}" for number in range(4))
"""Without ids, for plain streams and WebSockets."""
BULK = ("b0",)
"""Without ids and large, for those who do not read."""
ALL = (*FOLLOWED, *EVENTS, *LIVE, *BULK)

BULK_BYTES = 16_000
_REMEMBERED = 4096


def text_of(channel: str, number: int) -> str:
    """What a client of a stream gets."""
    if channel in BULK:
        return f"{channel} {number} {'x' * BULK_BYTES}\n"
    line = item_line(channel, number).decode()
    return f"id: {number}\ndata: {line}\n" if channel in EVENTS else line


def item_of(channel: str, number: int) -> dict[str, object]:
    """The item as it is published."""
    text = text_of(channel, number)
    formats: dict[str, object] = {"http-stream": {"content": text}}
    item: dict[str, object] = {"channel": channel, "formats": formats}
    if channel in LIVE:
        formats["ws-message"] = {"content": text.rstrip("\n")}
    if channel in FOLLOWED:
        formats["http-response"] = {"body": text}
    if channel in FOLLOWED or channel in EVENTS:
        item |= {"id": str(number), "prev-id": str(number - 1)}
    return item


class PublishTimes:
    """When the last items of each channel were handed over, by the clock that all processes share."""

    def __init__(self, path: Path, channels: Sequence[str] = ALL) -> None:
        size = 8 * _REMEMBERED * len(channels)
        if not path.exists():
            path.write_bytes(bytes(size))
        with path.open("r+b") as file:
            self._cells = memoryview(mmap.mmap(file.fileno(), size)).cast("d")
        self._places = {channel: place * _REMEMBERED for place, channel in enumerate(channels)}

    def set(self, channel: str, number: int, at_s: float) -> None:
        """An item is handed over now."""
        self._cells[self._places[channel] + number % _REMEMBERED] = at_s

    def of(self, channel: str, number: int) -> float:
        """When an item of the last few thousand was handed over."""
        return self._cells[self._places[channel] + number % _REMEMBERED]


def open_store(directory: Path) -> tuple[ItemStore, PublishTimes]:
    """The files of a run, made by whoever comes first."""
    return ItemStore(directory / "items", ALL), PublishTimes(directory / "times")
