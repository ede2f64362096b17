"""What ties a hold to backends while it lasts: its next link, and what has to be known to ask."""

from __future__ import annotations

from dataclasses import dataclass

from holdfast.errors import GripError, WireError
from holdfast.grip.filters import asks_network
from holdfast.grip.values import HoldMode, Instruct
from holdfast.proxy.origin import HoldOrigin, Home, LinkTarget
from holdfast.push.link import Link
from holdfast.routing.reference import resolve_reference
from holdfast.routing.rules import Rule
from holdfast.routing.uri import ClientUri


@dataclass(frozen=True, slots=True)
class Ties:
    """The next link of a stream, and where requests on behalf of the hold start from; nothing for most holds."""

    link: Link | None = None
    origin: HoldOrigin | None = None


NO_TIES = Ties()


def tie(instruct: Instruct, uri: ClientUri, rule: Rule) -> Ties:
    """What the instruct asks for, in answer to a request for `uri`; `NO_TIES` if nothing.

    Raises:
        GripError: a link cannot be followed.
    """
    link_to = instruct.next_link if instruct.mode is not HoldMode.RESPONSE else None
    filters_ask = any(asks_network(subscription.filters) for subscription in instruct.subscriptions)
    if link_to is None and instruct.gone_link is None and not filters_ask:
        return NO_TIES
    home = Home.of(uri, rule.id)
    try:
        link = None
        if link_to is not None:
            link = Link(LinkTarget(resolve_reference(uri, link_to.uri), home), link_to.timeout_s)
        gone = None
        if instruct.gone_link is not None:
            gone = resolve_reference(uri, instruct.gone_link)
    except WireError as exc:
        raise GripError(f"Grip-Link contains invalid link: {exc}") from exc
    return Ties(link, HoldOrigin(home, uri, gone))
