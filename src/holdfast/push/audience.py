"""Whom a run of items went to, for the statistics (grip spec §15.7).

Looked at only while somebody wants to know, and once a run. Messages tell who received an item; reports, in which each
route has its share, count what was attempted.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import TYPE_CHECKING

from holdfast.grip.item import Action, Item
from holdfast.statistics.collector import Statistics
from holdfast.wire.statistics import Transport

if TYPE_CHECKING:
    from holdfast.push.channels import Channel
    from holdfast.push.run import Receipt

_plan_of = attrgetter("plan")


@dataclass(slots=True)
class Share:
    """The holds of one route among those of a channel, by mode."""

    responses: int = 0
    streams: int = 0
    sockets: int = 0


def audience_of(statistics: Statistics, channel: Channel) -> dict[str, Share] | None:
    """See `shares_of`; None while no reports are wanted."""
    return shares_of(channel) if statistics.wants_reports else None


def shares_of(channel: Channel) -> dict[str, Share]:
    """The subscribers of a channel now, by the key of their route; looked at only if there are several keys."""
    if channel.route_key is not None:
        return {channel.route_key: Share(len(channel.responses), len(channel.streams), len(channel.sockets))}
    shares: dict[str, Share] = defaultdict(Share)
    for plan, count in Counter(map(_plan_of, channel.responses)).items():
        shares[plan.route.key].responses += count
    for plan, count in Counter(map(_plan_of, channel.streams)).items():
        shares[plan.route.key].streams += count
    for plan, count in Counter(map(_plan_of, channel.sockets)).items():
        shares[plan.route.key].sockets += count
    return shares


def note_written(statistics: Statistics, entries: Sequence[tuple[Item, Receipt]], now: Callable[[], float]) -> None:
    """The last write of a run is done, or waits for a slow client."""
    if statistics.is_exported:
        now_s = now()
        for _, receipt in entries:
            statistics.publish_latency_s.observe(now_s - receipt.leaves_at_s)


def tell_run(
    statistics: Statistics, entries: Sequence[tuple[Item, Receipt]], audience: dict[str, Share] | None
) -> None:
    """What became of a run, for whoever wants to know."""
    if statistics.wants_messages:
        tell_messages(statistics, entries)
    if audience is not None:
        tell_attempts(statistics, [item for item, _ in entries], audience)


def tell_blocks(statistics: Statistics, item: Item) -> None:
    """How many blocks an item is that has left the sequencer, in its largest format."""
    sizes = [_size(item, len(content)) for content in _contents(item).values()]
    statistics.routes.unnamed.blocks_received += statistics.blocks(max(sizes, default=0)) or 0


def tell_messages(statistics: Statistics, entries: Sequence[tuple[Item, Receipt]]) -> None:
    """What became of items, for those who want to know of each."""
    for item, receipt in entries:
        receivers = {
            Transport.HTTP_RESPONSE: receipt.responses,
            Transport.HTTP_STREAM: receipt.streams,
            Transport.WS_MESSAGE: receipt.sockets,
        }
        for transport, content in _contents(item).items():
            if receivers[transport]:
                size = _size(item, len(content))
                statistics.message(item.channel, item.id, transport, receivers[transport], size)


def tell_attempts(statistics: Statistics, items: Iterable[Item], audience: dict[str, Share]) -> None:
    """What was to be delivered of a run; a long poll takes no more than the first item of it."""
    is_first = True
    for item in items:
        contents = _contents(item)
        for key, share in audience.items():
            responses = share.responses if is_first else 0
            receivers = {
                Transport.HTTP_RESPONSE: responses,
                Transport.HTTP_STREAM: share.streams,
                Transport.WS_MESSAGE: share.sockets,
            }
            for transport, content in contents.items():
                if receivers[transport]:
                    blocks = statistics.blocks(_size(item, len(content)))
                    statistics.sent(key, transport, receivers[transport], len(content), blocks)
        is_first = is_first and Transport.HTTP_RESPONSE not in contents


def _contents(item: Item) -> dict[Transport, bytes]:
    """What is sent, for each format that sends anything."""
    contents: dict[Transport, bytes] = {}
    if item.http_response is not None and item.http_response.action is Action.SEND:
        contents[Transport.HTTP_RESPONSE] = item.http_response.body or b""
    if item.http_stream is not None and item.http_stream.action is Action.SEND and item.http_stream.content:
        contents[Transport.HTTP_STREAM] = item.http_stream.content
    if item.ws_message is not None and item.ws_message.action is Action.SEND:
        contents[Transport.WS_MESSAGE] = item.ws_message.content
    return contents


def _size(item: Item, content_bytes: int) -> int:
    return content_bytes if item.size is None else item.size
