"""Any bytes, cut anywhere: one and the same response, or WireError 502; what we relay is that response to others."""

from __future__ import annotations

import h11
from hypothesis import strategies as st
from tests.fuzz.http1 import LIMITS, RESPONSE_TOKENS, RESPONSES
from tests.fuzz.mutations import PLACES, cut, each_byte, mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import WireError
from holdfast.routing.hop_by_hop import relayed_headers
from holdfast.wire.http1.body import BodyDecoder, ChunkedBody, SizedBody, UntilCloseBody
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk, encode_response_head
from holdfast.wire.http1.head import ResponseHead, parse_response_head

INPUTS = mutated(RESPONSES, RESPONSE_TOKENS)
Response = tuple[ResponseHead, bytes, bytes, bool]


def decoder_of(head: ResponseHead) -> BodyDecoder:
    if head.code < 200 or head.code in (204, 304):
        return SizedBody(0)
    if head.is_chunked:
        return ChunkedBody("response")
    return UntilCloseBody() if head.content_length is None else SizedBody(head.content_length)


def read_response(pieces: list[bytes]) -> Response | None:
    """Head, content, what follows, and whether the body is whole; None if there is no head. Raises WireError."""
    buffer = b""
    head: ResponseHead | None = None
    decoder: BodyDecoder | None = None
    content = rest = b""
    for piece in pieces:
        if decoder is None:
            buffer += piece
            parsed = parse_response_head(buffer, LIMITS)
            if parsed is None:
                continue
            head, length = parsed
            decoder = decoder_of(head)
            piece = buffer[length:]
        if decoder.is_complete:
            rest += piece
            continue
        content += decoder.feed(piece)
        rest += decoder.rest
    if head is None or decoder is None:
        return None
    return head, content, rest, decoder.feed_eof()


def outcome(pieces: list[bytes]) -> object:
    try:
        response = read_response(pieces)
    except WireError as exc:
        assert exc.status == 502
        assert exc.text.isprintable()
        return "refused"
    if response is None:
        return None
    head, *others = response
    return head.code, head.reason, head.headers, head.content_length, head.is_chunked, head.is_persistent, others


@fuzz(INPUTS, PLACES, examples=400)
def test_any_cutting_gives_the_same_response(data: bytes, places: list[int]) -> None:
    whole = outcome([data])
    for pieces in (cut(data, places), each_byte(data)):
        in_pieces = outcome(pieces)
        # What stands behind a whole response is not looked at, and may be refused when it comes in the same piece.
        assert whole == in_pieces


@fuzz(INPUTS, st.booleans(), st.booleans(), examples=250)
def test_what_we_relay_is_one_response_with_the_same_body(data: bytes, is_http11: bool, is_persistent: bool) -> None:
    try:
        response = read_response([data])
    except WireError:
        return
    if response is None or not response[3] or response[0].code < 200:
        return
    head, content, _, _ = response
    has_body = head.code not in (204, 304)
    is_chunked = has_body and head.content_length is None and is_http11
    length = len(content) if has_body and not is_chunked else None
    relayed = encode_response_head(
        head.code,
        head.reason,
        relayed_headers(head.headers, is_framed_anew=True),
        is_http11=is_http11,
        is_persistent=is_persistent,
        content_length=length,
        is_chunked=is_chunked,
    )
    if is_chunked:
        relayed += (encode_chunk(content) if content else b"") + LAST_CHUNK
    elif has_body:
        relayed += content
    assert read_by_h11(relayed) == (head.code, content if has_body else b"")
    again = read_response([relayed])
    assert again is not None
    assert (again[0].code, again[1:]) == (head.code, (content if has_body else b"", b"", True))


def read_by_h11(data: bytes) -> tuple[int, bytes]:
    connection = h11.Connection(h11.CLIENT)
    connection.send(h11.Request(method="GET", target="/", headers=[("Host", "a")]))
    connection.send(h11.EndOfMessage())
    connection.receive_data(data)
    event = connection.next_event()
    assert isinstance(event, h11.Response), event
    content = b""
    while not isinstance(part := connection.next_event(), h11.EndOfMessage):
        assert isinstance(part, h11.Data), part
        content += bytes(part.data)
    assert connection.trailing_data[0] == b""
    return event.status_code, content
