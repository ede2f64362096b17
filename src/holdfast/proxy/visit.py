"""What is told of a request when it is over: to statistics, and in the request log."""

from __future__ import annotations

from holdfast.logs import Outcome, RequestRecord
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.attempts import Attempts
from holdfast.proxy.context import ProxyContext
from holdfast.proxy.reply import Reply
from holdfast.proxy.traffic import count_attempts, count_exchange
from holdfast.routing.rules import Rule
from holdfast.routing.uri import ClientUri
from holdfast.statistics.collector import Statistics
from holdfast.statistics.connections import Presence
from holdfast.statistics.routes import RouteCounts
from holdfast.wire.headers import get_first
from holdfast.wire.statistics import ConnectionType


class Visit:
    """An HTTP request as statistics see it: a connection, from its route to its answer or to the end of its hold.

    Args:
        presence: the connection of a request that was held, and is made again.
    """

    __slots__ = ("_client", "_counts", "_is_held", "_presence", "_started", "_statistics")

    def __init__(self, statistics: Statistics, client: ClientExchange, presence: Presence | None = None) -> None:
        self._statistics = statistics
        self._client = client
        self._counts: RouteCounts | None = None
        self._started = 0
        self._is_held = False
        self._presence = presence
        if presence is not None:
            self._counts = presence.route
            self._started = presence.started
            presence.route.activity += 1
            presence.peer = client

    def arrive(self, rule: Rule) -> None:
        """The request has a route: count it there, unless it has been."""
        if self._counts is not None:
            return
        statistics = self._statistics
        self._counts = counts = statistics.routes.find(rule.key)
        self._started = counts.begin()
        if statistics.connections.is_wanted:
            self._presence = self._make_presence()
            statistics.connections.begin(self._presence)

    def lend(self) -> Presence:
        """The connection, for whoever may hold it; `take_back` must follow."""
        presence, self._presence = self._presence or self._make_presence(), None
        return presence

    def take_back(self, presence: Presence | None) -> None:
        """What was lent; None if it is held now."""
        self._presence = presence
        self._is_held = presence is None

    def end(self, attempts: Attempts | None, reply: Reply | None) -> None:
        """The request is answered or held, or given up; the connection of one that is not held ends."""
        statistics, counts = self._statistics, self._counts
        if counts is None:
            return
        if statistics.wants_reports:
            count_exchange(counts, self._client)
            if attempts is not None:
                count_attempts(counts, attempts, reply)
        if self._presence is not None:
            statistics.connections.end(self._presence)
        elif not self._is_held:
            counts.end(self._started)

    def _make_presence(self) -> Presence:
        assert self._counts is not None
        return Presence(self._counts, self._started, ConnectionType.HTTP, self._client, self._client.is_tls)


def log_request(
    proxy: ProxyContext,
    client: ClientExchange,
    outcome: Outcome,
    *,
    rule: Rule | None,
    uri: ClientUri | None,
    target: str | None,
    status: int | None,
    method: bytes | None = None,
    is_retry: bool = False,
    shared: int | None = None,
) -> None:
    """Write the line of a request that is over, if its route wants one.

    Args:
        uri: what the client asked for; None if that made no sense.
        target: as in the routes file; None if none was chosen.
        method: what the client meant, if not what it said.
    """
    if not proxy.request_log.is_enabled or (rule is not None and not rule.logs_requests):
        return
    head = client.head
    proxy.request_log.finished(
        RequestRecord(
            method=method or head.method,
            uri=uri.text if uri is not None else head.target.decode("latin-1"),
            target=target,
            client_address=client.client_address,
            referer=get_first(head.headers, b"referer"),
            route_id=rule.id if rule is not None and rule.has_explicit_id else None,
            status=status,
            body_bytes=client.body_bytes_sent,
            outcome=outcome,
            is_retry=is_retry,
            shared=shared,
            user_agent=get_first(head.headers, b"user-agent"),
        )
    )
