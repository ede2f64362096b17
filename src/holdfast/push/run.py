"""A run: items of one channel that leave together, and the bytes that their receivers share (grip spec §12).

Everything that many holds would have to make alike is made here, once: joined, framed, compressed, or looked up.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING

from holdfast.grip.item import Action, Item
from holdfast.push.messages import OPCODES
from holdfast.push.plan import HoldPlan
from holdfast.push.render import passes_whole
from holdfast.push.sequencer import Outcome
from holdfast.wire.http1.encode import encode_chunk
from holdfast.wire.websocket.frames import encode_frame

if TYPE_CHECKING:
    from holdfast.push.dialects import Dialect

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


class Run:
    """Items that leave together.

    Attributes:
        channel: its full name.
        entries: the items with their receipts, in order.
        has_begun: it is closed to further items.
        now_s: since when.
        stream_content, stream_chunk: what plain stream holds get, for HTTP/1.0 and HTTP/1.1; ready once it has begun.
        simple_chunk, simple_frames: the same, if those bytes are all that there is to the run; else empty.
        has_stream_content: an item of the run appends to streams, be it nothing.
        has_stream_items: an item of the run is for streams at all.
        has_content_filters: an item names filters that change its content for some.
        has_hint: one of them asks streams to look at their next link.
        is_chain: each of them names the one before it as its `prev-id`.
        first_prev_id, last_id: the `prev-id` of the first of them, and the id of the last.
        closes_streams: the run ends with a `close`.
        message_frames: what WebSockets with plain frames get, ready once it has begun.
        has_message_actions: an item of the run does something else to WebSockets than to send a message.
        encoded: responses made in this run, for holds with equal plans.
        weight: how many small writes one write of this run is worth; known once it has begun.
    """

    __slots__ = (
        "_frames",
        "_ids",
        "_messaged",
        "_passing",
        "_size",
        "_streamed",
        "channel",
        "closes_streams",
        "encoded",
        "entries",
        "first_prev_id",
        "has_begun",
        "has_content_filters",
        "has_hint",
        "has_message_actions",
        "has_stream_content",
        "has_stream_items",
        "is_chain",
        "last_id",
        "message_frames",
        "now_s",
        "simple_chunk",
        "simple_frames",
        "stream_chunk",
        "stream_content",
        "weight",
    )

    def __init__(self, channel: str) -> None:
        self.channel = channel
        self.entries: list[tuple[Item, Receipt]] = []
        self.now_s = 0.0
        self.stream_content = b""
        self.stream_chunk = b""
        self.simple_chunk = b""
        self.simple_frames = b""
        self.has_stream_content = False
        self.has_stream_items = False
        self.has_content_filters = False
        self.has_hint = False
        self.is_chain = True
        self.first_prev_id: str | None = None
        self.last_id: str | None = None
        self.closes_streams = False
        self.message_frames = b""
        self.has_message_actions = False
        self.encoded: dict[tuple[object, ...], bytes] = {}
        self.weight = 1
        self.has_begun = False
        self._size = 0
        self._streamed: list[Receipt] = []
        self._messaged: list[Receipt] = []
        self._frames: dict[Dialect, bytes] = {}
        self._passing: dict[HoldPlan, bool] = {}
        self._ids: dict[int, tuple[Mapping[str, str], Mapping[str, str] | None]] = {}

    @property
    def is_full(self) -> bool:
        """Whether the run has grown as long as a run may be."""
        return self._size >= RUN_BYTES or len(self.entries) >= RUN_ITEMS

    @property
    def stream_items(self) -> int:
        """How many items are in what streams get."""
        return len(self._streamed)

    @property
    def message_items(self) -> int:
        """How many items are in what WebSockets get."""
        return len(self._messaged)

    def add(self, item: Item, receipt: Receipt) -> None:
        """Put an item at the end of the run, which must not have begun."""
        self.entries.append((item, receipt))
        if item.http_stream is not None:
            self._size += len(item.http_stream.content)
        if item.ws_message is not None:
            self._size += len(item.ws_message.content)

    def begin(self, now_s: float) -> None:
        """Join the run: everything that all plain receivers share is made here, once."""
        self.has_begun = True
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
        if not (self.closes_streams or self.has_hint or self.has_content_filters):
            self.simple_chunk = self.stream_chunk

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
        if not (self.has_message_actions or self.has_content_filters):
            self.simple_frames = self.message_frames

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

    def ids_after(self, prev_ids: Mapping[str, str]) -> Mapping[str, str] | None:
        """What a client that has these ids (per full channel name) has after the whole run; None if it does not follow.

        Found out once for all holds that share them, which then share the result.
        """
        known = self._ids.get(id(prev_ids))
        if known is None:
            # The key of what is kept cannot become the id of something else.
            known = self._ids[id(prev_ids)] = (prev_ids, self._find_ids_after(prev_ids))
        return known[1]

    def _find_ids_after(self, prev_ids: Mapping[str, str]) -> Mapping[str, str] | None:
        prev_id = prev_ids.get(self.channel)
        if prev_id is None:
            return prev_ids
        if not self.is_chain or self.first_prev_id != prev_id:
            return None
        ids = {channel: known for channel, known in prev_ids.items() if channel != self.channel}
        if self.last_id is not None:
            ids[self.channel] = self.last_id
        return MappingProxyType(ids)

    def _link(self, item: Item) -> None:
        """See whether the items for streams follow one another."""
        if not self.has_stream_items:
            self.has_stream_items = True
            self.first_prev_id = item.prev_id
        elif self.last_id is None or item.prev_id != self.last_id:
            self.is_chain = False
        self.last_id = item.id

    def forget(self) -> None:
        """Keep nothing that was made for holds: they all have had it."""
        self.encoded.clear()
        self._passing.clear()
        self._ids.clear()
