"""The request of a client whose long poll is held, kept to be made again (grip spec §5.6)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.routing.rules import Rule
from holdfast.statistics.connections import Presence
from holdfast.wire.headers import Headers
from holdfast.wire.http1.encode import encode_request_head
from holdfast.wire.http1.head import HeadLimits, RequestHead, parse_request_head

_NO_LIMITS = HeadLimits(max_bytes=2**31, max_fields=2**31)
"""The head has passed the limits when it came."""


@dataclass(frozen=True, slots=True)
class HeldRequest:
    """The request of a held client, in its most compact form.

    Attributes:
        head: as received.
        body: whole; at most what GRIP allows (grip spec §1.4).
        route_id: of the rule that took it first.
    """

    head: bytes
    body: bytes
    route_id: str

    @classmethod
    def of(cls, head: RequestHead, body: bytes, rule: Rule) -> HeldRequest:
        """The request that is about to be held."""
        return cls(encode_request_head(head), body, rule.id)

    def parse(self) -> RequestHead:
        """The head again."""
        parsed = parse_request_head(self.head, _NO_LIMITS)
        if parsed is None:
            raise WireError(500, "held request is incomplete")
        return parsed[0]


@dataclass(frozen=True, slots=True)
class RetryTerms:
    """What is different about a request that is made again.

    Attributes:
        route_id: of the rule that took it the first time.
        grip_last: what the client has, one header per channel that states a `prev-id`.
        presence: its connection, which goes on.
    """

    route_id: str
    grip_last: Headers
    presence: Presence | None = None


def grip_last_headers(prev_ids: Mapping[str, str], prefix: str) -> Headers:
    """One `Grip-Last` per channel, by its bare name. Names and ids hold no line break: they came through headers."""
    return [
        (b"Grip-Last", f"{channel.removeprefix(prefix)}; last-id={prev_id}".encode())
        for channel, prev_id in prev_ids.items()
    ]
