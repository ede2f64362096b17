"""Which requests of a route are SockJS, and what its backends see of the path (routes spec §4.1)."""

from __future__ import annotations

from holdfast.routing.rules import Rule
from holdfast.routing.uri import ClientUri

SOCKET_SUFFIX = b"/websocket"
"""What the path of a WebSocket has behind the prefix, as a backend sees it without `sockjs_as_path`."""


def path_below(rule: Rule, uri: ClientUri) -> bytes | None:
    """What the path has behind the SockJS prefix of the route; None if it does not begin with one."""
    prefix = rule.sockjs
    return uri.path[len(prefix) :] if prefix is not None and uri.path.startswith(prefix) else None


def shown_uri(rule: Rule, uri: ClientUri, suffix: bytes = b"") -> ClientUri:
    """What a backend is asked for on behalf of a SockJS client; `suffix` is for routes that name no path."""
    return uri._replace(path=rule.sockjs_as_path or (rule.sockjs or b"") + suffix)
