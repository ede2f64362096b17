"""The packets of the statistics door, one class for each type (grip spec §15.7).

A packet is encoded in one of two notations. Its fields are in the order of the specification; those that are None are
left out.
"""

from __future__ import annotations

import enum
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

import orjson

from holdfast.wire.tnetstring import encode_tnetstring

Fields: TypeAlias = Mapping[str, "str | int | None"]


class Notation(enum.Enum):
    """How packets are written; the setting `stats_format`."""

    TNETSTRING = "tnetstring"
    JSON = "json"


class Transport(enum.Enum):
    """The format in which an item reached its receivers."""

    HTTP_RESPONSE = "http-response"
    HTTP_STREAM = "http-stream"
    WS_MESSAGE = "ws-message"


class ConnectionType(enum.Enum):
    """What a client speaks."""

    HTTP = "http"
    WEBSOCKET = "ws"


class SubscriptionMode(enum.Enum):
    """What kind of hold a subscription belongs to."""

    RESPONSE = "response"
    STREAM = "stream"
    WEBSOCKET = "ws"


@dataclass(frozen=True, slots=True)
class Activity:
    """Requests, retries and keep-alives of a route since the last such packet."""

    route: str | None
    count: int


@dataclass(frozen=True, slots=True)
class Message:
    """An item reached `receivers` clients in one format. blocks: in all, None if they are not counted."""

    route: str | None
    channel: str
    item_id: str | None
    receivers: int
    blocks: int | None
    transport: Transport


@dataclass(frozen=True, slots=True)
class Connection:
    """A client is connected, and is again said to be within `ttl_s` seconds. peer_address: None if it has none."""

    route: str | None
    id: str
    type: ConnectionType
    peer_address: str | None
    is_tls: bool
    ttl_s: int


@dataclass(frozen=True, slots=True)
class ConnectionGone:
    """A client is not connected any more."""

    route: str | None
    id: str


@dataclass(frozen=True, slots=True)
class Subscription:
    """A channel has subscribers, and is again said to have within `ttl_s` seconds."""

    route: str | None
    mode: SubscriptionMode
    channel: str
    ttl_s: int
    subscribers: int


@dataclass(frozen=True, slots=True)
class SubscriptionGone:
    """A channel has no subscribers any more."""

    route: str | None
    mode: SubscriptionMode
    channel: str


@dataclass(frozen=True, slots=True)
class Traffic:
    """What went over the connections with one side."""

    header_bytes_received: int = 0
    header_bytes_sent: int = 0
    content_bytes_received: int = 0
    content_bytes_sent: int = 0
    messages_received: int = 0
    messages_sent: int = 0

    def since(self, earlier: Traffic) -> Traffic:
        """What came to these sums after they were `earlier`."""
        return Traffic(
            self.header_bytes_received - earlier.header_bytes_received,
            self.header_bytes_sent - earlier.header_bytes_sent,
            self.content_bytes_received - earlier.content_bytes_received,
            self.content_bytes_sent - earlier.content_bytes_sent,
            self.messages_received - earlier.messages_received,
            self.messages_sent - earlier.messages_sent,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What happened on a route within `duration_ms`.

    connections: the most at a time.
    minutes: that clients were connected; one begins with a connection.
    received: items that were published; sent: deliveries of them.
    blocks_received, blocks_sent: None if there were none.
    """

    route: str | None
    connections: int
    minutes: int
    received: int
    sent: int
    http_response_sent: int
    blocks_received: int | None = None
    blocks_sent: int | None = None
    duration_ms: int
    client: Traffic = field(default_factory=Traffic)
    server: Traffic = field(default_factory=Traffic)


@dataclass(frozen=True, slots=True)
class Counts:
    """Requests of clients since the last such packet."""

    requests_received: int


Packet = Activity | Message | Connection | ConnectionGone | Subscription | SubscriptionGone | Report | Counts


def encode_statistics(packet: Packet, sender: str, notation: Notation) -> bytes:
    """The frame of a packet: its type, a blank, and its fields behind the letter of the notation."""
    name, fields = _describe(packet)
    given: dict[str, str | int] = {"from": sender}
    given.update((key, value) for key, value in fields.items() if value is not None)
    if notation is Notation.JSON:
        return b"%b J%b" % (name, orjson.dumps(given))
    members = {key.encode(): value.encode() if isinstance(value, str) else value for key, value in given.items()}
    return b"%b T%b" % (name, encode_tnetstring(dict(members)))


def _describe(packet: Packet) -> tuple[bytes, Fields]:
    match packet:
        case Activity():
            return b"activity", {"route": packet.route, "count": packet.count}
        case Message():
            return b"message", _message_fields(packet)
        case Connection():
            return b"conn", _connection_fields(packet)
        case ConnectionGone():
            return b"conn", {"route": packet.route, "id": packet.id, "unavailable": True}
        case Subscription() | SubscriptionGone():
            return b"sub", _subscription_fields(packet)
        case Report():
            return b"report", _report_fields(packet)
    return b"counts", {"requests-received": packet.requests_received}


def _message_fields(packet: Message) -> Fields:
    return {
        "route": packet.route,
        "channel": packet.channel,
        "item-id": packet.item_id,
        "count": packet.receivers,
        "blocks": packet.blocks,
        "transport": packet.transport.value,
    }


def _connection_fields(packet: Connection) -> Fields:
    return {
        "route": packet.route,
        "id": packet.id,
        "type": packet.type.value,
        "peer-address": packet.peer_address,
        "ssl": True if packet.is_tls else None,
        "ttl": packet.ttl_s,
    }


def _subscription_fields(packet: Subscription | SubscriptionGone) -> Fields:
    fields = {"route": packet.route, "mode": packet.mode.value, "channel": packet.channel}
    if isinstance(packet, SubscriptionGone):
        return {**fields, "unavailable": True}
    return {**fields, "ttl": packet.ttl_s, "subscribers": packet.subscribers}


def _report_fields(packet: Report) -> Fields:
    return {
        "route": packet.route,
        "connections": packet.connections,
        "minutes": packet.minutes,
        "received": packet.received,
        "sent": packet.sent,
        "http-response-sent": packet.http_response_sent,
        "blocks-received": packet.blocks_received,
        "blocks-sent": packet.blocks_sent,
        "duration": packet.duration_ms,
        **_traffic_fields("client", packet.client),
        **_traffic_fields("server", packet.server),
    }


def _traffic_fields(side: str, traffic: Traffic) -> Fields:
    return {
        f"{side}-header-bytes-received": traffic.header_bytes_received,
        f"{side}-header-bytes-sent": traffic.header_bytes_sent,
        f"{side}-content-bytes-received": traffic.content_bytes_received,
        f"{side}-content-bytes-sent": traffic.content_bytes_sent,
        f"{side}-messages-received": traffic.messages_received,
        f"{side}-messages-sent": traffic.messages_sent,
    }
