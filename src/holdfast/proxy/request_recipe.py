"""What was made of a request head, because clients that poll send the same one again and again.

Heads that come again are one object (`wire/http1/repeated.py`), which carries its recipe: URI, rule, and what the
backend gets, encoded. Whatever else decides on these is compared, or there is no recipe.
"""

from __future__ import annotations

import weakref
from dataclasses import dataclass

from holdfast.errors import WireError
from holdfast.grip.signature import Signer
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.context import ProxyContext
from holdfast.routing.forward import OriginRequest, ready_for
from holdfast.routing.rules import Rule
from holdfast.routing.table import RouteTable
from holdfast.routing.uri import ClientUri


@dataclass(frozen=True, slots=True)
class RequestRecipe:
    """A request as it was prepared.

    Args:
        routes: the table that it was looked up in; it need not be kept for this.
        is_tls: whether the connection was TLS, whatever headers say.
        client_address: if it is passed on; else None.
        signer, token: what it was signed with; None if it was not. Tokens of one second are one object.
    """

    routes: weakref.ref[RouteTable]
    is_tls: bool
    client_address: str | None
    signer: Signer | None
    token: bytes | None
    uri: ClientUri
    rule: Rule
    request: OriginRequest

    def is_for(self, routes: RouteTable, client: ClientExchange, now_s: float) -> bool:
        """Whether the same head, from `client`, would be prepared in the same way now."""
        if routes is not self.routes() or client.is_tls is not self.is_tls:
            return False
        if self.client_address is not None and self.client_address != client.client_address:
            return False
        return self.signer is None or self.signer.token(now_s) is self.token


def make_request_recipe(
    proxy: ProxyContext, client: ClientExchange, uri: ClientUri, rule: Rule, request: OriginRequest, now_s: float
) -> RequestRecipe | None:
    """The recipe of a request that was prepared at `now_s`, for its first target.

    None if there is more to each such request: a trusted proxy may have made it, its answer has to be made fit for
    other origins, or the log has to say that its key cannot sign.
    """
    if proxy.verifier is not None or rule.cross_origin is not None:
        return None
    if rule.sig is not None and rule.sig.error is not None:
        return None
    address = client.client_address if proxy.policy.x_forwarded_for.append else None
    signer = rule.sig if not rule.no_grip else None
    token = signer.token(now_s) if signer is not None else None
    try:
        request = ready_for(request, rule.targets[0])
    except WireError:
        return None  # whoever sends it will refuse to
    return RequestRecipe(weakref.ref(proxy.routes), client.is_tls, address, signer, token, uri, rule, request)
