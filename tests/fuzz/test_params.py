"""Any line: elements and parameters that can be written and read again; never an exception; linear time."""

from __future__ import annotations

import time

from hypothesis import strategies as st
from tests.fuzz.mutations import mutated
from tests.fuzz.targets import SECONDS, fuzz

from holdfast.wire.params import MAX_INT, MIN_INT, Params, list_params, parse_int, parse_params, split_list

SEEDS = [
    b"test; prev-id=1; filter=skip-self, other", b'a; b="c, d\\" e"; f, "g, h"; i=j',
    b'</next?a=b>; rel=next; timeout="60", </gone>; rel=gone', b'key=value, other="x;y"', b";;, ,=;",
]  # fmt: skip
TOKENS = [b",", b";", b"=", b'"', b"\\", b" ", b"\t", b'\\"', b'""', b"\x0b"]
INPUTS = mutated(SEEDS, TOKENS)


@fuzz(INPUTS, examples=300)
def test_any_line(line: bytes) -> None:
    parts = split_list(line)
    assert sum(map(len, parts)) <= len(line)
    for part in parts:
        assert part == part.strip()
    for params in list_params([line]):
        assert parse_params(spell(params)) == params
        plain = b"".join([params.first, *(name for name, _ in params.params)])
        if plain and b'"' not in plain and b"," not in plain:
            assert list_params([spell(params)]) == [params]


def spell(params: Params) -> bytes:
    pairs = [name if value is None else name + b'="' + escape(value) + b'"' for name, value in params.params]
    return b";".join([params.first, *pairs])


def escape(value: bytes) -> bytes:
    return value.replace(b"\\", b"\\\\").replace(b'"', b'\\"')


@fuzz(
    mutated(
        [b"0", b"-1", b"+2147483647", b"-2147483648", b" 10 ", b"0000000000000000001"], [b"_", b"e", b"9" * 20, b"\xb2"]
    )
)
def test_any_integer(text: bytes) -> None:
    number = parse_int(text)
    if number is None:
        return
    assert MIN_INT <= number <= MAX_INT
    assert number == int(text)
    assert parse_int(b"%d" % number) == number


@fuzz(st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4).map(b"".join), st.sampled_from(TOKENS), examples=30)
def test_the_time_is_linear(pattern: bytes, end: bytes) -> None:
    """Twenty times the line may take a hundred times as long, but not four hundred times; measured only on demand."""
    short, long = (seconds_for((pattern * size)[:size] + end) for size in (2_000, 40_000))
    assert not SECONDS or long < 100 * short + 0.05


def seconds_for(line: bytes) -> float:
    """The time of the processor, of the best of three attempts."""
    attempts = []
    for _ in range(3):
        start = time.process_time()
        list_params([line])
        parse_int(line)
        attempts.append(time.process_time() - start)
    return min(attempts)
