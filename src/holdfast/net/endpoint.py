"""Where a backend connection goes."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.wire.identity import ClientIdentity


class Endpoint(NamedTuple):
    """Where a backend connection goes; connections with equal endpoints are interchangeable. A tuple, for its hash.

    Args:
        server_name: name for SNI and certificate, or None for plain HTTP.
        is_verified: whether the certificate is checked.
        is_public_only: whether only addresses of the public network may be connected to.
        identity: who we are there; what is open for one is never used for another.
    """

    host: str
    port: int
    server_name: str | None = None
    is_verified: bool = True
    is_public_only: bool = False
    identity: ClientIdentity | None = None
