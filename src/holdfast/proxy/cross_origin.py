"""Serving scripts of other origins, where a route has `aco`: CORS and JSON-P (routes spec §3.12, §3.13)."""

from __future__ import annotations

from typing import NamedTuple

from holdfast.net.exchange import ClientExchange
from holdfast.routing.jsonp import read_jsonp
from holdfast.routing.rules import JsonpTerms
from holdfast.routing.uri import ClientUri
from holdfast.wire.cross_origin import Cors
from holdfast.wire.headers import Headers
from holdfast.wire.jsonp import Jsonp


class Asked(NamedTuple):
    """What a request asks for, whichever way it says so."""

    uri: ClientUri
    method: bytes
    headers: Headers


def ask_cross_origin(client: ClientExchange, terms: JsonpTerms, uri: ClientUri) -> Asked:
    """What a request for `uri` asks for. Whatever answers it, errors of ours too, is made fit from now on.

    Raises:
        WireError: 400, its parameters of JSON-P are not valid.
    """
    head = client.head
    client.transform = cors = Cors.of(head.headers)
    if head.method == b"GET":
        asked = read_jsonp(terms, uri, head.headers, has_body=head.has_body)
        if asked is not None:
            client.transform = Jsonp(asked.callback, terms.is_extended, cors)
            if asked.body is not None:
                client.replace_body(asked.body)
            return Asked(uri._replace(query=asked.query), asked.method, asked.headers)
    return Asked(uri, head.method, head.headers)
