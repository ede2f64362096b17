"""One run of items on its way to the holds of a channel, and the receipts that tell what became of them."""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from holdfast.counters import Counters
from holdfast.grip.item import Action, Item
from holdfast.push.channels import Channel
from holdfast.push.messages import OPCODES
from holdfast.push.plan import HoldPlan
from holdfast.push.render import passes_whole
from holdfast.push.sequencer import Outcome
from holdfast.wire.http1.encode import encode_chunk
from holdfast.wire.websocket.frames import encode_frame

if TYPE_CHECKING:
    from holdfast.push.audience import Share
    from holdfast.push.channels import Hold
    from holdfast.push.dialects import Dialect

log = logging.getLogger("holdfast.push")

RUN_BYTES = 65536
RUN_ITEMS = 1000
"""Content and items after which a run is closed, so that one write stays small whatever a publisher sends."""

WEIGHT_BYTES = 16384
"""Bytes that take about as long to write as it takes to write at all."""


@dataclass(slots=True, eq=False)
class Receipt:
    """What became of one published item.

    Attributes:
        responses, streams, sockets: clients that it was written to, by mode.
        dropped: clients that lost it.
        queued: clients that get it in turn: they are asking their backend, or a filter is.
        state: what the sequencer decided.
        leaves_at_s: when the sequencer let it go; only while metrics are exported.
    """

    channel: str
    responses: int = 0
    streams: int = 0
    sockets: int = 0
    dropped: int = 0
    queued: int = 0
    state: Outcome = Outcome.DELIVER
    leaves_at_s: float = 0.0

    @property
    def receivers(self) -> int:
        """Clients that it was written to."""
        return self.responses + self.streams + self.sockets


class Delivery:
    """One run of items on its way to the holds that were subscribed when it was accepted.

    Attributes:
        home: its channel, which may have lost its last subscriber meanwhile; `channel` is the name.
        entries: the items with their receipts, in order.
        stream_content, stream_chunk: what plain stream holds get, for HTTP/1.0 and HTTP/1.1; ready once it has begun.
        has_stream_content: an item of the run appends to streams, be it nothing.
        has_stream_items: an item of the run is for streams at all.
        has_hint: one of them asks streams to look at their next link.
        is_chain: each of them names the one before it as its `prev-id`.
        first_prev_id, last_id: the `prev-id` of the first of them, and the id of the last.
        closes_streams: the run ends with a `close`.
        message_frames: what WebSockets with plain frames get, ready once it has begun.
        has_message_actions: an item of the run does something else to WebSockets than to send a message.
        messages_sent, messages_lost: plain WebSockets written to, and those that lost it.
        streams_sent, streams_lost: plain stream holds written to, and those that lost it.
        encoded: responses made in this run, for holds with equal plans.
        unreached: watched holds that have not been reached.
        audience: whom it was for, by route, while reports are wanted.
        weight: how many small writes one write of this run is worth; known once it has begun.
        paced: writes that wait for their turn under a rate limit.
    """

    __slots__ = (
        "_frames",
        "_has_watched",
        "_holds",
        "_messaged",
        "_passing",
        "_position",
        "_size",
        "_streamed",
        "audience",
        "channel",
        "closes_streams",
        "encoded",
        "entries",
        "first_prev_id",
        "has_content_filters",
        "has_hint",
        "has_message_actions",
        "has_stream_content",
        "has_stream_items",
        "home",
        "is_chain",
        "last_id",
        "message_frames",
        "messages_lost",
        "messages_sent",
        "now_s",
        "number",
        "on_settled",
        "paced",
        "stream_chunk",
        "stream_content",
        "streams_lost",
        "streams_sent",
        "unreached",
        "version",
        "weight",
    )

    def __init__(self, number: int, home: Channel, holds: list[Hold], unreached: set[Hold]) -> None:
        self.number = number
        self.home = home
        self.channel = home.name
        self.version = home.version
        self.entries: list[tuple[Item, Receipt]] = []
        self.unreached = unreached
        self.on_settled: list[Callable[[], None]] = []
        self.stream_content = b""
        self.stream_chunk = b""
        self.has_stream_content = False
        self.has_stream_items = False
        self.has_hint = False
        self.is_chain = True
        self.first_prev_id: str | None = None
        self.last_id: str | None = None
        self.closes_streams = False
        self.has_content_filters = False
        self.message_frames = b""
        self.has_message_actions = False
        self.messages_sent = 0
        self.messages_lost = 0
        self.streams_sent = 0
        self.streams_lost = 0
        self.encoded: dict[tuple[object, ...], bytes] = {}
        self.now_s = 0.0
        self.weight = 1
        self.paced = 0
        self.audience: dict[str, Share] | None = None
        self._holds = holds
        self._has_watched = bool(unreached)
        self._position = -1
        self._size = 0
        self._streamed: list[Receipt] = []
        self._messaged: list[Receipt] = []
        self._frames: dict[Dialect, bytes] = {}
        self._passing: dict[HoldPlan, bool] = {}

    @property
    def has_begun(self) -> bool:
        """Whether the run is closed to further items."""
        return self._position >= 0

    @property
    def remaining(self) -> int:
        """Holds that have not had their turn."""
        return len(self._holds) - max(self._position, 0)

    @property
    def is_full(self) -> bool:
        """Whether the run has grown as long as a run may be."""
        return self._size >= RUN_BYTES or len(self.entries) >= RUN_ITEMS

    def add(self, item: Item, receipt: Receipt) -> None:
        """Put an item at the end of the run, which must not have begun."""
        self.entries.append((item, receipt))
        if item.http_stream is not None:
            self._size += len(item.http_stream.content)
        if item.ws_message is not None:
            self._size += len(item.ws_message.content)

    def begin(self, now_s: float) -> None:
        """Join the run: everything that all plain receivers share is made here, once."""
        self._position = 0
        self.now_s = now_s
        longest = 0
        for item, _ in self.entries:
            for fmt in (item.http_response, item.http_stream, item.ws_message):
                if fmt is not None and fmt.content_filters is not None:
                    self.has_content_filters = True
            if item.http_response is not None and item.http_response.body is not None:
                longest = max(longest, len(item.http_response.body))
        self._join_streams()
        self._join_messages()
        longest = max(longest, len(self.stream_content), len(self.message_frames))
        self.weight = 1 + longest // WEIGHT_BYTES

    def _join_streams(self) -> None:
        pieces = []
        for item, receipt in self.entries:
            if item.http_stream is None:
                continue
            self._link(item)
            if item.http_stream.action is Action.SEND:
                self.has_stream_content = True
                if item.http_stream.content:
                    pieces.append(item.http_stream.content)
                    self._streamed.append(receipt)
            elif item.http_stream.action is Action.CLOSE:
                self.closes_streams = True
                break
            elif item.http_stream.action is Action.HINT:
                self.has_hint = True
        self.stream_content = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if self.stream_content:
            self.stream_chunk = encode_chunk(self.stream_content)

    def _join_messages(self) -> None:
        frames = []
        for item, receipt in self.entries:
            if item.ws_message is None:
                continue
            if item.ws_message.action is Action.SEND:
                frames.append(encode_frame(OPCODES[item.ws_message.kind], item.ws_message.content))
                self._messaged.append(receipt)
            elif item.ws_message.action is not Action.HINT:
                self.has_message_actions = True
        self.message_frames = frames[0] if len(frames) == 1 else b"".join(frames)

    def frames_for(self, dialect: Dialect) -> bytes:
        """What WebSockets get that speak something else than plain frames: made once for all of them."""
        frames = self._frames.get(dialect)
        if frames is None:
            messages = [item.ws_message for item, _ in self.entries if item.ws_message is not None]
            frames = self._frames[dialect] = dialect.join(
                [dialect.encode(message.kind, message.content) for message in messages if message.action is Action.SEND]
            )
        return frames

    def passes(self, plan: HoldPlan) -> bool:
        """Whether the filters of a plan let the whole run pass as it is; found out once for all holds that share it."""
        is_passing = self._passing.get(plan)
        if is_passing is None:
            is_passing = self._passing[plan] = passes_whole(plan, self.channel, (item for item, _ in self.entries))
        return is_passing

    def watch(self, hold: Hold) -> None:
        """From now on the hold's order across channels is watched; does nothing if it has had its turn here."""
        if hold in self._holds[max(self._position, 0) :]:
            self.unreached.add(hold)
            self._has_watched = True

    def _link(self, item: Item) -> None:
        """See whether the items for streams follow one another."""
        if not self.has_stream_items:
            self.has_stream_items = True
            self.first_prev_id = item.prev_id
        elif self.last_id is None or item.prev_id != self.last_id:
            self.is_chain = False
        self.last_id = item.id

    def write_slice(self, limit: int, catch_up: Callable[[Hold, Delivery], None]) -> int:
        """Deliver to the next `limit` holds; returns how many there were."""
        holds = self._holds[self._position : self._position + limit]
        self._position += len(holds)
        for hold in holds:
            try:
                if self._has_watched and hold.is_order_watched:
                    catch_up(hold, self)
                elif hold.is_open:
                    hold.receive(self)
            except Exception:
                log.exception("delivery to a %s failed", hold.describe())
        return len(holds)

    def settle(self, counters: Counters) -> None:
        """Write the results into the receipts. Runs that all plain streams shared are counted here, once."""
        for receipt in self._streamed:
            receipt.streams += self.streams_sent
            receipt.dropped += self.streams_lost
            counters.deliveries += self.streams_sent
        for receipt in self._messaged:
            receipt.sockets += self.messages_sent
            receipt.dropped += self.messages_lost
            counters.deliveries += self.messages_sent
        for item, receipt in self.entries:
            log.info("publish channel=%s receivers=%d", item.channel, receipt.receivers)
        self._holds = []
        self.encoded.clear()
        self._passing.clear()
