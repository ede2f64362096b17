"""Requests that the proxy makes itself, on behalf of a held client: next links, gone links, filters (grip spec §6.6).

They carry nothing of the client's. One to where the client's own request went takes the same route, if that still
exists and its path fits; any other goes directly to where the URI says, signed with the key of that route.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field, replace

from holdfast.proxy.context import ProxyContext
from holdfast.proxy.origin import Home
from holdfast.proxy.reply import Reply
from holdfast.proxy.whole_request import WholeRequest
from holdfast.routing.forward import build_origin_request
from holdfast.routing.rules import Proto, Rule, Target, TargetKind
from holdfast.routing.uri import ClientUri
from holdfast.wire.headers import Header, Headers

MAX_OPEN = 100
"""Such requests at once; later ones wait. A backend that is slow to answer is not asked by all holds together."""


@dataclass(frozen=True, slots=True)
class OwnRequest:
    """A request of the proxy's own.

    Attributes:
        headers: beyond Host, framing and those that every request gets.
        grip_last: what the client has, one header per channel.
    """

    method: bytes
    uri: ClientUri
    home: Home
    headers: Headers = field(default_factory=list)
    grip_last: Sequence[Header] = ()
    body: bytes = b""


class OwnRequests:
    """Makes them, not too many at once.

    Attributes:
        turn: to be held while a request is made.
    """

    def __init__(self, proxy: ProxyContext) -> None:
        self.turn = asyncio.Semaphore(MAX_OPEN)
        self._proxy = proxy

    def ask(self, request: OwnRequest) -> AbstractAsyncContextManager[Reply]:
        """The answer to `request`, while the context lasts.

        Raises:
            ErrorAnswer: no backend could be connected to, or it did not answer properly. The cause is a BackendError.
        """
        rule = self._rule(request)
        origin_request = build_origin_request(
            rule,
            request.uri,
            request.method,
            request.headers,
            policy=self._proxy.policy,
            is_tls=request.uri.scheme == "https",
            is_trusted=False,
            client_address=None,
            now_s=self._proxy.wall_clock(),
            grip_last=request.grip_last,
        )
        return WholeRequest(self._proxy, rule, origin_request, request.body)

    def _rule(self, request: OwnRequest) -> Rule:
        uri, home = request.uri, request.home
        routes, is_tls = self._proxy.routes, home.scheme == "https"
        rule = routes.find(home.host, uri.path, proto=Proto.HTTP, is_tls=is_tls, route_id=home.route_id)
        if rule is None:  # the routes have changed
            rule = routes.find(home.host, uri.path, proto=Proto.HTTP, is_tls=is_tls)
        is_fitting = rule is not None and (rule.path_beg is None or uri.path.startswith(rule.path_beg))
        if rule is not None and is_fitting and home.is_home_of(uri):
            return rule
        return _direct_rule(uri, rule)


def _direct_rule(uri: ClientUri, rule: Rule | None) -> Rule:
    """A rule that goes where `uri` says. Of the client's route it has the key, and the care for untrusted targets."""
    port = uri.port or (443 if uri.scheme == "https" else 80)
    target = Target(
        TargetKind.HOST,
        uri.authority,
        host=uri.host.strip("[]"),
        port=port,
        ssl=uri.scheme == "https",
        untrusted=rule is not None and any(target.untrusted for target in rule.targets),
    )
    if rule is None:
        return Rule(place="link", domain="", id="", targets=(target,))
    return replace(
        rule,
        targets=(target,),
        path_beg=None,
        as_host=None,
        path_rem=0,
        replace_beg=None,
        header_sets=(),
        orig_headers=False,
    )
