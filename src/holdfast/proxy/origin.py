"""Where a hold comes from: what has to be known to ask backends on its behalf (grip spec §6.6, §6.9, §11.4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from holdfast.routing.uri import ClientUri


class Home(NamedTuple):
    """Where the client's own request went. What goes to the same place is served by the same route.

    Attributes:
        route_id: of the rule that took it.
        port: None if it is the scheme's default.
    """

    route_id: str
    scheme: str
    host: str
    port: int | None

    @classmethod
    def of(cls, uri: ClientUri, route_id: str) -> Home:
        """The home of a request for `uri`."""
        return cls(route_id, uri.scheme, uri.host, uri.port)

    def is_home_of(self, uri: ClientUri) -> bool:
        """Whether `uri` has the same scheme, host and port."""
        return (uri.scheme, uri.host, uri.port) == self[1:]


class LinkTarget(NamedTuple):
    """What a next link asks. Holds with equal targets may share an answer, if they have the same items."""

    uri: ClientUri
    home: Home


@dataclass(frozen=True, slots=True)
class HoldOrigin:
    """The origin of one hold.

    Attributes:
        base: URI of the request whose answer is in force; relative links start there.
        gone: what is told when the hold has ended, by its first instruct; None for nothing.
    """

    home: Home
    base: ClientUri
    gone: ClientUri | None = None
