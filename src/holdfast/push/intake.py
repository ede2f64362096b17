"""The intake of a hold that cannot take every item as it comes (grip spec §10).

Plain holds have none: they take whatever is delivered. A hold that follows ids, or whose filters ask the network, keeps
here which ids its client has, why items have to wait, and those that wait. It decides; the hold writes.
"""

from __future__ import annotations

import enum
from collections import deque
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, NamedTuple

from holdfast.grip.item import Action, Item
from holdfast.push.link import Link
from holdfast.timers import Deadline

if TYPE_CHECKING:
    from holdfast.push.run import Receipt, Run

MAX_QUEUED = 100
"""Items that wait for one hold; the bound of the protocol (grip spec §10.1)."""


class Phase(enum.Enum):
    """What the hold is doing."""

    OPEN = "takes items"
    WAITING = "will ask its backend soon; takes items that follow"
    FETCHING = "asks its backend; items wait for what it says"
    FILTERING = "a filter asks the network about the first item that waits"


class Queued(NamedTuple):
    """An item that waits, with its full channel name and the receipt that may still be read."""

    channel: str
    item: Item
    receipt: Receipt


class Wish(NamedTuple):
    """An update that was asked for while the hold was busy.

    since_s: when the cause arose; only a question that is put later is an answer to it.
    """

    is_urgent: bool
    since_s: float


class Intake:
    """What one hold has taken, and what waits for it.

    Attributes:
        link: the next link of a stream; None if there is none.
        deadline: when the link is to be asked; None if there is no link.
        is_on_clock: whether the hold is in a group of the link clock.
        is_relaying: a part of the link's answer has been written, so that nothing may come in between.
        on_drained: called once when the client has taken what was written, or has left.
        wish: the update to make when the hold is no longer busy.
    """

    __slots__ = (
        "_prev_ids",
        "_queue",
        "_unseen",
        "deadline",
        "is_on_clock",
        "is_relaying",
        "link",
        "on_drained",
        "phase",
        "wish",
    )

    def __init__(self, prev_ids: Mapping[str, str], link: Link | None) -> None:
        self.phase = Phase.OPEN
        self.link = link
        self.deadline: Deadline | None = None
        self.is_on_clock = False
        self.is_relaying = False
        self.on_drained: Callable[[], None] | None = None
        self.wish: Wish | None = None
        self._prev_ids = prev_ids
        self._queue: deque[Queued] | None = None
        self._unseen: set[str] | None = None

    # --- ids -------------------------------------------------------------------------------------------------------

    @property
    def prev_ids(self) -> Mapping[str, str]:
        """Per full channel name the id of the newest item that the client has, for channels that follow ids."""
        return self._prev_ids

    def has(self, channel: str, item: Item) -> bool:
        """Whether the client has this very item already, as the newest of its channel."""
        return item.id is not None and self._prev_ids.get(channel) == item.id

    def follows(self, channel: str, item: Item) -> bool:
        """Whether `item` comes next for this client (grip spec §10.3)."""
        prev_id = self._prev_ids.get(channel)
        return prev_id is None or item.prev_id == prev_id

    def ids_after(self, run: Run) -> Mapping[str, str] | None:
        """What `go_on` needs when the client has a whole run; None if it cannot be taken at once."""
        if self.phase is not Phase.OPEN or run.has_hint:
            return None
        return run.ids_after(self._prev_ids)

    def go_on(self, prev_ids: Mapping[str, str]) -> None:
        """The client has a whole run, after which it has these ids."""
        self._prev_ids = prev_ids

    def advance(self, channel: str, item_id: str | None) -> None:
        """The client has an item now: the next one of the channel must follow it. Without an id anything may."""
        if channel not in self._prev_ids:
            return
        if not isinstance(self._prev_ids, dict):
            self._prev_ids = dict(self._prev_ids)
        if item_id is None:
            del self._prev_ids[channel]
        else:
            self._prev_ids[channel] = item_id

    def is_active(self, channel: str, channels: tuple[str, ...]) -> bool:
        """Note an item on `channel`; whether every one of `channels` has had one since this was last true (§6.8)."""
        if len(channels) < 2:
            return True
        if self._unseen is None:
            self._unseen = set(channels)
        self._unseen.discard(channel)
        if self._unseen:
            return False
        self._unseen = None
        return True

    def drained(self) -> None:
        """Tell who waits for the client."""
        callback, self.on_drained = self.on_drained, None
        if callback is not None:
            callback()

    # --- the queue -------------------------------------------------------------------------------------------------

    def __len__(self) -> int:
        return len(self._queue) if self._queue is not None else 0

    def put(self, queued: Queued) -> bool:
        """Let an item wait; False when there is no room."""
        if self._queue is None:
            self._queue = deque()
        if len(self._queue) >= MAX_QUEUED:
            return False
        self._queue.append(queued)
        return True

    def put_back(self, queued: Queued) -> None:
        """Let the item that was taken out last wait again."""
        if self._queue is None:
            self._queue = deque()
        self._queue.appendleft(queued)

    def take(self) -> Queued | None:
        """The next item; None when none waits."""
        if not self._queue:
            self._queue = None
            return None
        return self._queue.popleft()

    def first(self) -> Queued | None:
        """The next item, which stays."""
        return self._queue[0] if self._queue else None

    def clear(self) -> None:
        """Let nothing wait."""
        self._queue = None

    # --- what a fetched link says ----------------------------------------------------------------------------------

    def begin_again(self, prev_ids: Mapping[str, str], link: Link | None, channels: tuple[str, ...]) -> bool:
        """Go on with what the answer of a link says, and skip the items that it has covered (grip spec §10.4).

        Of channels that are no longer held, no item waits any more.

        Returns:
            Whether something may still be missing: an item was skipped, and nothing tells that the answer had it.
        """
        self.phase = Phase.OPEN
        self.is_relaying = False
        self.link = link
        self._prev_ids = prev_ids
        self._unseen = None
        if self._queue is not None:
            self._queue = deque(queued for queued in self._queue if queued.channel in channels)
        uncertain: set[str] = set()
        while (queued := self.first()) is not None:
            channel, item, _ = queued
            is_known = self.has(channel, item)
            if is_known or self.follows(channel, item):
                uncertain.discard(channel)
                if not is_known:
                    break
            elif item.http_stream is not None and item.http_stream.action is Action.SEND:
                uncertain.add(channel)
            self.take()
        return bool(uncertain)
