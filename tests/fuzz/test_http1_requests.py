"""Any bytes, cut anywhere: one and the same request, or WireError 400; what we forward is that request to others, too.

The backend's side is played by h11, and by a parser that is as lenient as real ones are: it takes bare line ends, and
whatever it could find hidden in a request would be smuggled.
"""

from __future__ import annotations

import re

import h11
from hypothesis import strategies as st
from tests.fuzz.http1 import LIMITS, REQUEST_TOKENS, REQUESTS, Message, Refused, read_request
from tests.fuzz.mutations import PLACES, cut, each_byte, mutated
from tests.fuzz.targets import fuzz
from tests.unit.routing.helpers import make_rule

from holdfast.errors import WireError
from holdfast.routing.forward import ForwardPolicy, build_origin_request, encode_origin_head
from holdfast.routing.rules import Rule
from holdfast.routing.uri import parse_client_uri
from holdfast.wire.http1.encode import LAST_CHUNK, encode_chunk, encode_request_head
from holdfast.wire.http1.head import parse_request_head

INPUTS = mutated(REQUESTS, REQUEST_TOKENS)
RULES = [
    make_rule(line)
    for line in (
        "* h:80",
        "*,orig_headers,replace_beg=/x h:80",
        "*,no_grip,header=X-Set:1 h:80",
        "*,path_rem=2 h:80,ssl",
    )
]
POLICY = ForwardPolicy(cdn_loop=b"us")


def outcome(pieces: list[bytes]) -> object:
    try:
        message = read_request(pieces)
    except Refused:
        return "refused"
    return message and (message.method, message.target, message.headers, message.body, message.taken)


@fuzz(INPUTS, PLACES, examples=400)
def test_any_cutting_gives_the_same_request(data: bytes, places: list[int]) -> None:
    assert outcome([data]) == outcome(cut(data, places)) == outcome(each_byte(data))


@fuzz(INPUTS)
def test_a_request_can_be_kept_and_parsed_again(data: bytes) -> None:
    """As `HeldRequest` does; `Expect` and the like mean the same then."""
    message = accepted(data)
    if message is None:
        return
    encoded = encode_request_head(message.head)
    again = parse_request_head(encoded, LIMITS)
    assert again is not None
    head, length = again
    assert length == len(encoded)
    assert encode_request_head(head) == encoded
    assert (head.content_length, head.is_chunked, head.is_persistent) == (
        message.head.content_length,
        message.head.is_chunked,
        message.head.is_persistent,
    )


@fuzz(INPUTS, st.sampled_from(RULES), st.booleans(), examples=250)
def test_what_we_forward_is_one_request_with_the_same_body(data: bytes, rule: Rule, is_chunked: bool) -> None:
    message = accepted(data)
    if message is None:
        return
    try:
        forwarded = forward(message, rule, is_chunked)
    except WireError as exc:
        assert exc.status in (400, 414)
        return
    assert read_by_h11(forwarded) == [(message.method, message.body)]
    assert read_leniently(forwarded) == [(message.method, message.body)]
    (again,) = [read_request([forwarded])]
    assert again is not None and (again.method, again.body, again.taken) == (
        message.method,
        message.body,
        len(forwarded),
    )


def accepted(data: bytes) -> Message | None:
    try:
        return read_request([data])
    except Refused:
        return None


def forward(message: Message, rule: Rule, is_chunked: bool) -> bytes:
    uri = parse_client_uri(message.target, message.head.host, is_tls=False)
    request = build_origin_request(
        rule,
        uri,
        message.method,
        message.headers,
        policy=POLICY,
        is_tls=False,
        is_trusted=False,
        client_address="192.0.2.1",
        now_s=0,
    )
    is_chunked = is_chunked and message.head.has_body
    length = len(message.body) if message.head.has_body and not is_chunked else None
    head = encode_origin_head(request, rule.targets[0], content_length=length, is_chunked=is_chunked)
    if not is_chunked:
        return head + message.body
    return head + (encode_chunk(message.body) if message.body else b"") + LAST_CHUNK


def read_by_h11(data: bytes) -> list[tuple[bytes, bytes]]:
    """Method and body of each request; what comes behind the last one is one more, and an error raises."""
    connection = h11.Connection(h11.SERVER)
    connection.receive_data(data)
    messages: list[tuple[bytes, bytes]] = []
    while True:
        event = connection.next_event()
        if isinstance(event, h11.Request):
            messages.append((event.method, b""))
        elif isinstance(event, h11.Data):
            messages[-1] = (messages[-1][0], messages[-1][1] + bytes(event.data))
        elif isinstance(event, h11.EndOfMessage):
            trailing, _ = connection.trailing_data
            assert trailing == b"", trailing
            return messages
        else:
            raise AssertionError(event)


LINE_END = re.compile(rb"\r\n|\n|\r")


def read_leniently(data: bytes) -> list[tuple[bytes, bytes]]:
    """The same for somebody who takes any line end, lets blanks stand anywhere and believes the first length."""
    messages: list[tuple[bytes, bytes]] = []
    while data:
        lines: list[bytes] = []
        while data:
            end = LINE_END.search(data)
            assert end is not None
            line, data = data[: end.start()], data[end.end() :]
            if not line:
                break
            lines.append(line)
        fields = {line.partition(b":")[0].strip().lower(): line.partition(b":")[2].strip() for line in lines[:0:-1]}
        if b"chunked" in fields.get(b"transfer-encoding", b"").lower():
            body = b""
            while size := int(data.partition(b"\r\n")[0], 16):
                data = data.partition(b"\r\n")[2]
                body, data = body + data[:size], data[size + 2 :]
            data = data.partition(b"\r\n\r\n")[2]
        else:
            size = int(fields.get(b"content-length", b"0"))
            body, data = data[:size], data[size:]
        messages.append((lines[0].split()[0], body))
    return messages
