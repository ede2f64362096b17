"""The last-id table: per channel, the id of the newest item that was put in order (grip spec §5.5, §9).

It holds a bounded number of channels; the one that was set longest ago makes room. What is evicted is merely unknown
again, and an unknown last id conflicts with nothing.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping

MAX_CHANNELS = 1_000_000


class LastIds:
    """Channel to last id.

    Args:
        max_channels: > 0.
    """

    def __init__(self, max_channels: int = MAX_CHANNELS) -> None:
        # Not a dict: finding its oldest key means to pass all that were removed since it was last resized.
        self._ids: OrderedDict[str, str] = OrderedDict()
        self._max_channels = max_channels

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, channel: str) -> str | None:
        """The last id, None when it is unknown. The empty string is an id."""
        return self._ids.get(channel)

    def set(self, channel: str, last_id: str) -> None:
        """Set the last id of a channel, which becomes the last one to be evicted."""
        self._ids[channel] = last_id
        self._ids.move_to_end(channel)
        if len(self._ids) > self._max_channels:
            self._ids.popitem(last=False)

    def remove(self, channel: str) -> None:
        """Forget the last id of a channel, if it is known."""
        self._ids.pop(channel, None)

    def has_passed(self, prev_ids: Mapping[str, str]) -> bool:
        """Whether a channel is known to be ahead of `prev_ids`; what is known of such channels is forgotten (§5.5)."""
        ahead = [channel for channel, prev_id in prev_ids.items() if self._ids.get(channel, prev_id) != prev_id]
        for channel in ahead:
            del self._ids[channel]
        return bool(ahead)

    def clear(self) -> None:
        """Forget all last ids."""
        self._ids.clear()
