"""Any bytes: a value that encodes back to what is parsed as the same, and tnetstring3 reads it, too, or PacketError."""

from __future__ import annotations

import math

import tnetstring
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import fuzz

from holdfast.errors import PacketError
from holdfast.wire.tnetstring import MAX_DEPTH, Value, encode_tnetstring, parse_tnetstring
from holdfast.wire.zrpc import encode_failure, encode_success, parse_command_request

NESTED: list[Value] = []
for _ in range(MAX_DEPTH - 1):
    NESTED = [NESTED]
VALUES: list[Value] = [
    {b"a": b"b", b"c": [1, -2, 1.5, True, False, None], b"d": {b"e": {}}},
    [b"", [], {}, 2**63 - 1, -(2**63)],
    NESTED,
    {b"id": b"1", b"method": b"publish", b"args": {b"items": [{b"channel": b"c"}]}},
    {b"method": b"recover"},
    1e308,
]
SEEDS = list(map(encode_tnetstring, VALUES))
TOKENS = [
    b"0:~", b"0:]", b"0:}", b"0:,", b"4:true!", b"4:null,", b"1:1#", b"3:+01#", b"3:1e5^", b"3:nan^", b"5:1e999^",
    b"05:hello,", b":", b"999999999:", b"1:", b"20:", b"~", b"#", b"^", b"-0", b"_",
]  # fmt: skip
INPUTS = mutated(SEEDS, TOKENS)


@fuzz(INPUTS, examples=400)
def test_any_bytes(data: bytes) -> None:
    try:
        value = parse_tnetstring(data)
    except PacketError as exc:
        str(exc).encode()
        return
    encoded = encode_tnetstring(value)
    assert parse_tnetstring(encoded) == value
    assert len(encoded) <= 30 * len(data)
    assert tnetstring.loads(encoded) == value
    try:
        theirs, _ = tnetstring.pop(data)
    except ValueError:
        return  # for zeros before a length, which we take
    assert theirs == value
    check_numbers(value)


def check_numbers(value: Value) -> None:
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        for element in value:
            check_numbers(element)
    elif isinstance(value, float):
        assert math.isfinite(value)


@fuzz(INPUTS, examples=200)
def test_any_command(frame: bytes) -> None:
    try:
        request = parse_command_request(frame)
    except PacketError:
        return
    for answer in (encode_success(request.id, None), encode_failure(request.id, b"bad-request", b"text")):
        members = parse_tnetstring(answer)
        assert isinstance(members, dict)
        assert members.get(b"id") == request.id
