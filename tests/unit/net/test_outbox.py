"""What waits for a slow client: in order, cut anywhere, and shared where it is large."""

from __future__ import annotations

import os
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from holdfast.net.outbox import PIECES_PER_WRITE, SHARED_BYTES, Outbox

SIZES = st.integers(0, 3 * SHARED_BYTES)


@given(st.lists(SIZES, min_size=1, max_size=12), st.lists(st.integers(1, 2 * SHARED_BYTES)), st.data())
def test_bytes_come_out_in_order_however_they_are_cut(sizes: list[int], takes: list[int], data: st.DataObject) -> None:
    pieces = [bytes([65 + number]) * size for number, size in enumerate(sizes)]
    sent = data.draw(st.integers(0, len(pieces[0])))
    expected = b"".join(pieces)[sent:]
    box = Outbox(pieces[0], sent)
    for piece in pieces[1:]:
        box.append(piece)
    assert len(box) == len(expected)
    taken = b""
    room = iter(takes)

    def writev(_fd: int, buffers: list[memoryview | bytearray]) -> int:
        nonlocal taken
        offered = b"".join(buffers)
        count = min(len(offered), next(room, len(offered)))
        taken += offered[:count]
        return count

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "writev", writev)
        while not box.write_to(0):
            assert len(box) == len(expected) - len(taken)
    assert taken == expected
    assert len(box) == 0


def test_large_pieces_are_shared_and_small_ones_joined() -> None:
    """A thousand clients that owe the same megabyte do not owe a gigabyte."""
    large = bytes(1_000_000)
    before = sys.getrefcount(large)
    boxes = [Outbox(large, 10_000) for _ in range(10)]
    for box in boxes:
        for _ in range(100):
            box.append(b"small")
        box.append(large)
    assert sys.getrefcount(large) >= before + 20
    assert {len(box) for box in boxes} == {990_000 + 500 + 1_000_000}
    assert all(len(box._pieces) == 3 for box in boxes)


def test_more_pieces_than_one_write_takes() -> None:
    reader, writer = os.pipe()
    try:
        box = Outbox(bytes(SHARED_BYTES), SHARED_BYTES - 1)
        for _ in range(PIECES_PER_WRITE):
            box._pieces.append(memoryview(b"x"))
            box._size += 1
        assert not box.write_to(writer)
        assert len(box) == 1
        assert box.write_to(writer)
        assert len(os.read(reader, 1000)) == PIECES_PER_WRITE + 1
    finally:
        os.close(reader)
        os.close(writer)
