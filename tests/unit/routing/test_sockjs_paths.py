"""What of a route is SockJS, and what backends see of it (routes spec §4.1)."""

from __future__ import annotations

import pytest
from tests.unit.routing.helpers import make_rule

from holdfast.routing.sockjs_paths import SOCKET_SUFFIX, path_below, shown_uri
from holdfast.routing.uri import parse_client_uri


@pytest.mark.parametrize(
    ("props", "path", "below"),
    [
        ("", b"/s/info", None),
        (",sockjs=/s", b"/s/info", b"/info"),
        (",sockjs=/s", b"/s", b""),
        (",sockjs=/s", b"/sfoo/info", b"foo/info"),
        (",sockjs=/s", b"/x/s/info", None),
        (",sockjs=/s", b"/S/info", None),
        (",sockjs=/s/", b"/s/info", b"info"),
    ],
)
def test_below_the_prefix(props: str, path: bytes, below: bytes | None) -> None:
    assert path_below(make_rule(f"*{props} h:80"), parse_client_uri(path, None, is_tls=False)) == below


@pytest.mark.parametrize(
    ("props", "http", "socket"),
    [
        ("sockjs=/s", b"/s?q=1", b"/s/websocket?q=1"),
        ("sockjs=/s,sockjs_as_path=/ws", b"/ws?q=1", b"/ws?q=1"),
    ],
)
def test_what_backends_see(props: str, http: bytes, socket: bytes) -> None:
    """The query is passed on."""
    rule = make_rule(f"*,{props} h:80")
    uri = parse_client_uri(b"/s/0/x/xhr?q=1", None, is_tls=False)
    assert shown_uri(rule, uri).path_and_query == http
    assert shown_uri(rule, uri, SOCKET_SUFFIX).path_and_query == socket
