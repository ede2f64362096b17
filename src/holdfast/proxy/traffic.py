"""The bytes and messages of exchanges, for the reports of their routes (grip spec §15.7).

Everybody notes what passes; it is added up here once an exchange, and only while somebody wants reports.
"""

from __future__ import annotations

from holdfast.net.exchange import ClientExchange
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.reply import Reply
from holdfast.statistics.routes import RouteCounts, TrafficCounts
from holdfast.wire.websocket.stream import Data


def count_exchange(counts: RouteCounts, client: ClientExchange) -> None:
    """What went from and to a client."""
    traffic = counts.client
    traffic.header_bytes_received += client.head_bytes
    traffic.content_bytes_received += client.body_bytes
    traffic.header_bytes_sent += client.head_bytes_sent
    traffic.content_bytes_sent += client.body_bytes_sent


def count_heads(counts: RouteCounts, client: ClientExchange) -> None:
    """The heads of an exchange whose content is counted as messages."""
    counts.client.header_bytes_received += client.head_bytes
    counts.client.header_bytes_sent += client.head_bytes_sent


def count_attempts(counts: RouteCounts, attempts: Attempts, reply: Reply | None) -> None:
    """What went to and from backends."""
    traffic = counts.server
    traffic.header_bytes_sent += attempts.head_bytes_sent
    traffic.content_bytes_sent += attempts.body_bytes_sent
    if reply is not None:
        traffic.header_bytes_received += reply.head_bytes
        traffic.content_bytes_received += reply.body_bytes


def count_received(traffic: TrafficCounts, data: Data) -> None:
    """A piece of a WebSocket message from one side."""
    traffic.content_bytes_received += len(data.payload)
    traffic.messages_received += data.is_last


def count_sent(traffic: TrafficCounts, data: Data) -> None:
    """A piece of a WebSocket message to one side."""
    traffic.content_bytes_sent += len(data.payload)
    traffic.messages_sent += data.is_last
