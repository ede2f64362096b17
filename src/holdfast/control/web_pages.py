"""Which requests to a control door come from a web page, made by the browser of somebody who can reach the door.

A page of any site can let a browser post to `http://localhost:5561/publish/`; it cannot read the answer, but the item
would be published. Decision 14 says which marks are looked for, and why no others.
"""

from __future__ import annotations

from collections.abc import Collection
from ipaddress import ip_address

from holdfast.errors import WireError
from holdfast.routing.authority import parse_authority
from holdfast.wire.headers import get_all, get_first
from holdfast.wire.http1.head import RequestHead

CROSS_ORIGIN = "a page of another site asks"
UNKNOWN_NAME = "a page asks by a name that is not in control_hosts"

_OWN_SITES = frozenset({b"same-origin", b"none"})  # `none`: somebody typed the address
_BROWSER = b"mozilla/"


def refusal_of_page(head: RequestHead, names: Collection[str]) -> str | None:
    """Why a request is refused; None for one that no page can have made, or one of our own.

    Args:
        names: of this machine in lower case, besides `localhost` and addresses, by which pages may ask.
    """
    origins = get_all(head.headers, b"origin")
    host = (head.host or b"").lower()
    if any(_authority_of(origin) != host for origin in origins):
        return CROSS_ORIGIN
    if any(site not in _OWN_SITES for site in get_all(head.headers, b"sec-fetch-site")):
        return CROSS_ORIGIN
    # A site may let its own name lead to this address, and is then of the same origin (DNS rebinding).
    if (origins or _is_browser(head)) and not _is_known(host, names):
        return UNKNOWN_NAME
    return None


def _authority_of(origin: bytes) -> bytes:
    return origin.lower().partition(b"://")[2]


def _is_browser(head: RequestHead) -> bool:
    """Browsers send no Origin with a GET to their own origin. Only what they call themselves is left."""
    return (get_first(head.headers, b"user-agent") or b"").lower().startswith(_BROWSER)


def _is_known(host: bytes, names: Collection[str]) -> bool:
    if not host:
        return False
    try:
        name = parse_authority(host).host
    except WireError:
        return False
    return name in names or name == "localhost" or name.endswith(".localhost") or _is_address(name)


def _is_address(name: str) -> bool:
    try:
        ip_address(name.strip("[]"))
    except ValueError:
        return False
    return True
