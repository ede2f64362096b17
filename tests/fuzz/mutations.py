"""Input that is nearly valid: seeds with a few changes, and ways to cut it into pieces."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import strategies as st

_ANY_BYTES = [bytes([value]) for value in (0, 9, 10, 13, 32, 34, 44, 47, 58, 59, 61, 92, 127, 128, 195, 255)]
_ANY_TEXT = [
    "\0", "\t", "\n", "\r", " ", '"', "#", "%", ",", ":", ";", "=", "[", "\\", "]", "é", "\u2028", "\U0001f600",
]  # fmt: skip
_MAX_CHANGES = 4


@st.composite
def mutated(draw: st.DrawFn, seeds: Sequence[bytes], tokens: Sequence[bytes] = ()) -> bytes:
    """One of `seeds` with up to four changes; what is inserted is mostly one of `tokens`, which mean something."""
    data = draw(st.sampled_from(seeds))
    parts = [*tokens, *_ANY_BYTES]
    for _ in range(draw(st.integers(0, _MAX_CHANGES))):
        start, end = _span(draw, len(data))
        replacement = draw(_replacements(data, seeds, parts, start, end))
        data = data[:start] + replacement + data[end:]
    return data


@st.composite
def mutated_text(draw: st.DrawFn, seeds: Sequence[str], tokens: Sequence[str] = ()) -> str:
    """The same for text."""
    text = draw(st.sampled_from(seeds))
    parts = [*tokens, *_ANY_TEXT]
    for _ in range(draw(st.integers(0, _MAX_CHANGES))):
        start, end = _span(draw, len(text))
        replacement = draw(st.sampled_from(parts) | st.sampled_from(["", text[start:end] * 2]) | st.sampled_from(seeds))
        text = text[:start] + replacement + text[end:]
    return text


def _span(draw: st.DrawFn, size: int) -> tuple[int, int]:
    """Where something is inserted, or what is replaced: mostly a few bytes."""
    start = draw(st.integers(0, size))
    return start, min(size, start + draw(st.integers(0, 3) | st.integers(0, size)))


def _replacements(
    data: bytes, seeds: Sequence[bytes], parts: Sequence[bytes], start: int, end: int
) -> st.SearchStrategy[bytes]:
    piece = data[start:end]
    flipped = bytes([piece[0] ^ 0x20]) + piece[1:] if piece else b""
    return (
        st.sampled_from(parts)
        | st.sampled_from([b"", piece * 2, flipped, data])
        | st.sampled_from(seeds)
        | st.binary(max_size=3)
    )


PLACES = st.lists(st.integers(0, 600), max_size=6)
"""Where data is cut; those behind its end do not matter."""


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    """The pieces of `data`; none of them is empty."""
    ends = sorted({0, len(data), *(place for place in places if place < len(data))})
    return [data[start:end] for start, end in pairwise(ends)]


def each_byte(data: bytes) -> list[bytes]:
    """The pieces of one byte."""
    return [data[position : position + 1] for position in range(len(data))]
