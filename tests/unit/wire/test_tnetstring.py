"""Whatever the bytes are, the parser gives a value that encodes to an equal one, or raises PacketError."""

from __future__ import annotations

import contextlib
import math
import time

import pytest
import tnetstring
from hypothesis import example, given
from hypothesis import strategies as st

from holdfast.errors import PacketError
from holdfast.wire.tnetstring import MAX_DEPTH, MAX_INT, MIN_INT, Value, encode_tnetstring, parse_tnetstring

BOTH_WAYS: list[tuple[bytes, Value]] = [
    (b"0:,", b""),
    (b"3:a:b,", b"a:b"),
    (b"1:\xff,", b"\xff"),
    (b"1:0#", 0),
    (b"2:-1#", -1),
    (b"19:9223372036854775807#", MAX_INT),
    (b"20:-9223372036854775808#", MIN_INT),
    (b"3:1.5^", 1.5),
    (b"5:1e+16^", 1e16),
    (b"4:-0.0^", -0.0),
    (b"4:true!", True),
    (b"5:false!", False),
    (b"0:~", None),
    (b"0:}", {}),
    (b"0:]", []),
    (b"12:1:a,0:~2:]},]", [b"a", None, b"]}"]),
]


@pytest.mark.parametrize(("data", "value"), BOTH_WAYS)
def test_both_ways(data: bytes, value: Value) -> None:
    assert encode_tnetstring(value) == data
    parsed = parse_tnetstring(data)
    assert (type(parsed), parsed) == (type(value), value)


def test_maps_in_their_own_order() -> None:
    value: Value = {b"b": [1, [True]], b"a": {b"": None}}
    data = b"35:1:b,14:1:1#7:4:true!]]1:a,6:0:,0:~}}"
    assert encode_tnetstring(value) == data
    assert parse_tnetstring(data) == value


TOLERATED: list[tuple[bytes, Value]] = [
    (b"1:a,what follows", b"a"),
    (b"0:~\0", None),
    (b"01:a,", b"a"),
    (b"000000001:a,", b"a"),
    (b"2:+1#", 1),
    (b"3:007#", 7),
    (b"2:-0#", 0),
    (b"1:1^", 1.0),
    (b"2:1.^", 1.0),
    (b"3:1E2^", 100.0),
    (b"16:1:a,1:1#1:a,1:2#}", {b"a": 2}),
]


@pytest.mark.parametrize(("data", "value"), TOLERATED)
def test_tolerated(data: bytes, value: Value) -> None:
    """ws spec §7.3"""
    parsed = parse_tnetstring(data)
    assert (type(parsed), parsed) == (type(value), value)


def test_start() -> None:
    assert parse_tnetstring(b"T1:a,1:b,", 1) == b"a"
    assert parse_tnetstring(b"T1:a,1:b,", 5) == b"b"
    with pytest.raises(PacketError, match=r"^TNetString is empty$"):
        parse_tnetstring(b"T", 1)


INVALID: list[tuple[bytes, str]] = [
    (b"", "TNetString is empty"),
    (b"a", "without a length"),
    (b"1", "without a length"),
    (b":,", "without a length"),
    (b"-1:,", "without a length"),
    (b"+1:a,", "without a length"),
    (b" 1:a,", "without a length"),
    (b"1_0:0123456789,", "without a length"),
    ("١:a,".encode(), "without a length"),
    (b"0000000001:a,", "without a length"),
    (b"1:", "longer than"),
    (b"1:a", "longer than"),
    (b"5:ab,", "longer than"),
    (b"999999999:ab,", "longer than"),
    (b"2:{}", "longer than"),
    (b"4:5:a,}", "longer than"),
    (b"3:1:a]", "longer than"),
    (b"5:1:a,x]", "without a length"),
    (b"1:a?", r"type '\?' is invalid"),
    (b"1:a\xff", r"type '\\xff' is invalid"),
    (b"4:TRUE!", "type '!' is invalid"),
    (b"0:!", "type '!' is invalid"),
    (b"1:1~", "type '~' is invalid"),
    (b"0:#", "type '#' is invalid"),
    (b"1:-#", "type '#' is invalid"),
    (b"2: 1#", "type '#' is invalid"),
    (b"3:1_0#", "type '#' is invalid"),
    (b"3:1.0#", "type '#' is invalid"),
    (b"21:000000000000000000001#", "type '#' is invalid"),
    (b"19:9223372036854775808#", "more than 64 bits"),
    (b"20:-9223372036854775809#", "more than 64 bits"),
    (b"0:^", r"type '\^' is invalid"),
    (b"3:nan^", r"type '\^' is invalid"),
    (b"3:inf^", r"type '\^' is invalid"),
    (b"5:1e999^", r"type '\^' is invalid"),
    (b"3:1_0^", r"type '\^' is invalid"),
    (b"2:.5^", r"type '\^' is invalid"),
    (b"4:1:a,}", "key without value"),
    (b"8:1:1#1:a,}", "key that is no string"),
]


@pytest.mark.parametrize(("data", "text"), INVALID)
def test_invalid(data: bytes, text: str) -> None:
    """ws spec §7.3, §7.6"""
    with pytest.raises(PacketError, match=text):
        parse_tnetstring(data)


def nested(levels: int, kind: bytes = b"]", inner: bytes = b"") -> bytes:
    data = inner
    for _ in range(levels):
        key = b"0:," if kind == b"}" and data else b""
        data = b"%d:%b%b%b" % (len(data) + len(key), key, data, kind)
    return data


@pytest.mark.parametrize("kind", [b"]", b"}"])
def test_depth(kind: bytes) -> None:
    parse_tnetstring(nested(MAX_DEPTH, kind))
    for levels in (MAX_DEPTH + 1, 20_000):
        with pytest.raises(PacketError, match=r"nested in more than 64 others"):
            parse_tnetstring(nested(levels, kind))


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(nested(MAX_DEPTH, b"]", b"%d:%b," % (4_000_000, b"x" * 4_000_000)), id="deep and large"),
        pytest.param(nested(1, b"]", b"1:x," * 100_000), id="many"),
        pytest.param(b"1" * 4_000_000, id="length without end"),
        pytest.param(b"4000000:" + b"1" * 4_000_000 + b"#", id="integer without end"),
        pytest.param(b"4000000:" + b"0" * 4_000_000 + b"^", id="float without end"),
    ],
)
def test_time_grows_with_the_size_only(data: bytes) -> None:
    started = time.process_time()
    with contextlib.suppress(PacketError):
        parse_tnetstring(data)
    assert time.process_time() - started < 2


@pytest.mark.parametrize("value", [MAX_INT + 1, MIN_INT - 1, math.inf, -math.inf, math.nan])
def test_numbers_that_could_not_be_read_back(value: Value) -> None:
    with pytest.raises(ValueError, match=r"64 bits|no number"):
        encode_tnetstring([value])


LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(MIN_INT, MAX_INT)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.binary(max_size=20)
)
VALUES: st.SearchStrategy[Value] = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.binary(max_size=4), inner, max_size=4),
    max_leaves=20,
)


@given(VALUES, st.binary(max_size=3), st.binary(max_size=3))
def test_round_trip(value: Value, before: bytes, after: bytes) -> None:
    data = encode_tnetstring(value)
    assert parse_tnetstring(before + data + after, len(before)) == value


@given(VALUES)
def test_like_tnetstring3(value: Value) -> None:
    assert tnetstring.loads(encode_tnetstring(value)) == value
    assert parse_tnetstring(tnetstring.dumps(value)) == tnetstring.loads(tnetstring.dumps(value))


@given(VALUES, st.data())
def test_every_beginning_is_an_error(value: Value, data: st.DataObject) -> None:
    whole = encode_tnetstring(value)
    with pytest.raises(PacketError):
        parse_tnetstring(whole[: data.draw(st.integers(0, len(whole) - 1))])


@given(VALUES, st.data())
def test_mutations_are_values_or_errors(value: Value, data: st.DataObject) -> None:
    whole = bytearray(encode_tnetstring(value))
    for _ in range(data.draw(st.integers(1, 3))):
        whole[data.draw(st.integers(0, len(whole) - 1))] = data.draw(st.sampled_from(b"0129:,#^!~}]-.\xff"))
    check_value_or_error(bytes(whole))


@given(st.lists(st.sampled_from([b"0", b"1", b"3", b"9", b":", *(b"%c" % kind for kind in b",#^!~}]")])).map(b"".join))
@example(b"3:0:,]")
def test_any_bytes_are_a_value_or_an_error(data: bytes) -> None:
    check_value_or_error(data)


def check_value_or_error(data: bytes) -> None:
    try:
        value = parse_tnetstring(data)
    except PacketError:
        return
    assert parse_tnetstring(encode_tnetstring(value)) == value
