"""URI references of backends: the links and filter URLs that their answers name (RFC 3986 §5, grip spec §3.8, §6.6).

Invariant: a resolved URI is as clean as one that a client asked for: http or https, a valid host, no dot segment, no
fragment, no character that a request target cannot have.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from holdfast.errors import WireError
from holdfast.routing.uri import ClientUri, parse_client_uri

_SCHEMES = frozenset({"http", "https"})


def resolve_reference(base: ClientUri, reference: str) -> ClientUri:
    """The URI that `reference` means in an answer to a request for `base`.

    Raises:
        WireError: it is none that can be requested: another scheme, no host, or user information in it.
    """
    try:
        parts = urlsplit(reference, base.scheme)
    except ValueError as exc:
        raise WireError(400, f"not a URI reference: {reference}") from exc
    # RFC 3986 §5.2.2, by which the scheme of the base alone says nothing: `http:next` is `next`.
    is_relative = parts.scheme == base.scheme and not parts.netloc
    netloc = base.authority if is_relative else parts.netloc
    if parts.scheme not in _SCHEMES or not netloc:
        raise WireError(400, f"not an http or https URI: {reference}")
    path, query = parts.path, parts.query if "?" in reference.partition("#")[0] else None
    if is_relative:
        path, query = _merge(base, path, query)
    target = path or "/" if query is None else f"{path or '/'}?{query}"
    return parse_client_uri(target.encode("utf-8", "replace"), netloc.encode(), is_tls=parts.scheme == "https")


def _merge(base: ClientUri, path: str, query: str | None) -> tuple[str, str | None]:
    """Path and query of a reference without an authority; dot segments are left in."""
    base_path = base.path.decode()
    if not path:
        return base_path, query if query is not None or base.query is None else base.query.decode()
    return path if path.startswith("/") else f"{base_path.rpartition('/')[0]}/{path}", query
