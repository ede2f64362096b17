"""URI references of backends: the links and filter URLs that their answers name (RFC 3986 §5, grip spec §3.8, §6.6).

Invariant: a resolved URI is as clean as one that a client asked for: http or https, a valid host, no dot segment, no
fragment, no character that a request target cannot have.
"""

from __future__ import annotations

from urllib.parse import urljoin, urlsplit

from holdfast.errors import WireError
from holdfast.routing.uri import ClientUri, parse_client_uri

_SCHEMES = frozenset({"http", "https"})


def resolve_reference(base: ClientUri, reference: str) -> ClientUri:
    """The URI that `reference` means in an answer to a request for `base`.

    Raises:
        WireError: it is none that can be requested: another scheme, no host, or user information in it.
    """
    try:
        parts = urlsplit(urljoin(base.text, reference))
    except ValueError as exc:
        raise WireError(400, f"not a URI reference: {reference}") from exc
    if parts.scheme not in _SCHEMES or not parts.netloc:
        raise WireError(400, f"not an http or https URI: {reference}")
    has_query = "?" in reference.partition("#")[0] or parts.query
    target = f"{parts.path or '/'}?{parts.query}" if has_query else parts.path or "/"
    return parse_client_uri(target.encode("utf-8", "replace"), parts.netloc.encode(), is_tls=parts.scheme == "https")
