"""The HTTP door for publishers (grip spec §15.1).

Unlike Pushpin's it keeps connections alive, takes chunked bodies, answers HEAD without a body, and in JSON tells what
became of each item. The texts of errors are the same.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import orjson

from holdfast.counters import Counters
from holdfast.errors import GripError, WireError
from holdfast.grip.item import Item, parse_publish_body
from holdfast.net.exchange import ClientExchange, ClientGone
from holdfast.push.publisher import Publisher
from holdfast.push.run import Receipt
from holdfast.push.sequencer import Outcome
from holdfast.wire.headers import Headers, get_all
from holdfast.wire.http1.head import HEADER_TOO_LARGE, INVALID_CONTENT_LENGTH, HeadLimits
from holdfast.wire.reasons import reason_phrase

TEXT = b"text/plain"
JSON = b"application/json"

_FORMATS = {b"text/plain": TEXT, b"text/*": TEXT, b"*/*": TEXT, b"*": TEXT, JSON: JSON, b"application/*": JSON}
_STATES = {
    Outcome.DELIVER: "delivered",
    Outcome.BUFFERED: "buffered",
    Outcome.DUPLICATE: "duplicate",
    Outcome.CONFLICT: "refused",
    Outcome.FULL: "refused",
}
_LENGTHLESS_METHODS = frozenset({b"GET", b"HEAD", b"DELETE", b"OPTIONS"})
_NOT_ACCEPTABLE = b"Not Acceptable. Supported formats are text/plain and application/json.\n"


class PublishDoor:
    """The service of the control port.

    Args:
        recover: lets every held client ask its backend for what it may have missed.
        max_body_bytes: of one publish call.
    """

    def __init__(
        self,
        publisher: Publisher,
        recover: Callable[[], None],
        counters: Counters,
        limits: HeadLimits,
        max_body_bytes: int,
    ) -> None:
        self.limits = limits
        self._publisher = publisher
        self._recover = recover
        self._counters = counters
        self._max_body_bytes = max_body_bytes

    def serve(self, exchange: ClientExchange) -> Coroutine[Any, Any, None] | None:
        """Answer at once when everything is here, as it nearly always is."""
        head = exchange.head
        accept = choose_format(get_all(head.headers, b"accept"))
        path = head.target.removesuffix(b"/") if head.target != b"/" else head.target
        if not head.is_chunked and head.content_length is None and head.method not in _LENGTHLESS_METHODS:
            _respond(exchange, 411, b"Request requires Content-Length.\n")
        elif (head.content_length or 0) > self._max_body_bytes:
            _respond(exchange, 400, b"Request body too large.\n")
        elif accept is None:
            _respond(exchange, 406, _NOT_ACCEPTABLE)
        elif path in (b"/", b""):
            _respond(exchange, 200, b"Pushpin API\n")
        elif path not in (b"/publish", b"/recover"):
            _respond(exchange, 404, b"Not Found\n")
        elif head.method != b"POST":
            _respond(exchange, 405, b"Method not allowed: %b.\n" % head.method, [(b"Allow", b"POST")])
        elif path == b"/recover":
            self._recover()
            body = b"Updated\n" if accept is TEXT else b'{"message":"Updated"}\n'
            _respond(exchange, 200, body, [], accept)
        elif exchange.is_body_complete and not head.is_chunked and not self._publisher.fanout.is_congested:
            self._publish(exchange, exchange.take(), accept)
        else:
            return self._receive(exchange, accept)
        return None

    def describe_refusal(self, error: WireError) -> tuple[int, bytes, Headers, bytes]:
        """The door's own texts for what could not be parsed."""
        if error.fault == HEADER_TOO_LARGE:
            text = b"Request header too large.\n"
        elif error.fault == INVALID_CONTENT_LENGTH:
            text = b"Bad Content-Length.\n"
        elif error.status == 400:
            text = b"Failed to parse request header.\n"
        else:
            text = f"{error.text}\n".encode()
        return error.status, reason_phrase(error.status), [(b"Content-Type", TEXT)], text

    async def _receive(self, exchange: ClientExchange, accept: bytes) -> None:
        """Wait for the rest of the body, and while too many writes are outstanding."""
        pieces: list[bytes] = []
        size = 0
        try:
            while piece := await exchange.read_chunk():
                pieces.append(piece)
                size += len(piece)
                if size > self._max_body_bytes:
                    _respond(exchange, 400, b"Request body too large.\n")
                    return
        except ClientGone:
            return
        while self._publisher.fanout.is_congested:
            is_clear = asyncio.Event()
            self._publisher.fanout.when_clear(is_clear.set)
            await is_clear.wait()
        self._publish(exchange, b"".join(pieces), accept)

    def _publish(self, exchange: ClientExchange, body: bytes, accept: bytes) -> None:
        try:
            items = parse_publish_body(body)
        except GripError as error:
            self._counters.publishes_refused += 1
            _respond(exchange, 400, f"{error}\n".encode())
            return
        if accept is TEXT:
            self._publisher.publish(items)
            _respond(exchange, 200, b"Published\n")
        else:
            self._publish_and_report(exchange, items)

    def _publish_and_report(self, exchange: ClientExchange, items: list[Item]) -> None:
        """Answer when every item has been written, and tell to how many clients."""
        receipts: list[Receipt] = []

        def report() -> None:
            counts = [
                {
                    "channel": item.channel,
                    "receivers": receipt.receivers,
                    "dropped": receipt.dropped,
                    "queued": receipt.queued,
                    "state": _STATES[receipt.state],
                }
                for item, receipt in zip(items, receipts, strict=True)
            ]
            _respond(exchange, 200, orjson.dumps({"message": "Published", "items": counts}) + b"\n", [], JSON)

        self._publisher.publish(items, receipts, report)


def choose_format(accept_values: list[bytes]) -> bytes | None:
    """The format that Accept headers ask for; None when we have none of theirs.

    The last element that we know wins, q is ignored, names are compared with case (grip spec §15.1).
    """
    if not accept_values:
        return TEXT
    chosen = None
    for value in accept_values:
        for element in value.split(b","):
            chosen = _FORMATS.get(element.partition(b";")[0].strip(), chosen)
    return chosen


def _respond(
    exchange: ClientExchange, code: int, body: bytes, headers: Headers | None = None, content_type: bytes = TEXT
) -> None:
    fields = [*(headers or []), (b"Content-Type", content_type)]
    exchange.respond(code, reason_phrase(code), fields, body)
