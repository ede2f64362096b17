"""The head of the answer that was relayed last, encoded, because equal answers come in a row.

Equal heads of answers are one object (`wire/http1/repeated.py`), so that nothing has to be compared.
"""

from __future__ import annotations

from holdfast.grip.instruct import is_instruct
from holdfast.net.exchange import ClientExchange
from holdfast.proxy.reply import Reply
from holdfast.routing.forward import relayed_headers
from holdfast.wire.headers import Headers
from holdfast.wire.http1.encode import encode_response_head


class RelayedHead:
    """Knows the head of the last answer, and what clients get of it from its third time on.

    Heads that do not come again cost a reference each.
    """

    __slots__ = ("_encoded", "_headers")

    def __init__(self) -> None:
        self._headers: Headers | None = None
        self._encoded: bytes | None = None

    def find(self, reply: Reply, client: ClientExchange) -> bytes | None:
        """What the client gets as the head of `reply`, if that is known, and nothing else can become of it."""
        if reply.headers is not self._headers or not self._encoded:
            return None
        return self._encoded if client.is_plain and reply.body_bytes == reply.content_length else None

    def note(self, reply: Reply) -> None:
        """This answer is relayed: its head is known if it is the one before."""
        if reply.headers is not self._headers:
            self._headers, self._encoded = reply.headers, None
        elif self._encoded is None:
            self._encoded = _encode(reply)


def _encode(reply: Reply) -> bytes:
    """The head for a client that `is_plain`; empty if an answer with it is an instruct for some, or has no body."""
    if reply.code < 200 or reply.code in (204, 304) or is_instruct(reply.headers):
        return b""
    headers = relayed_headers(reply.headers, is_framed_anew=True)
    return encode_response_head(reply.code, reply.reason, headers, content_length=reply.content_length)
