"""Frames that wait for a SockJS client (routes spec §4.3)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from holdfast.proxy.sockjs_queue import BLOCKED_BYTES, FRAME_COST_BYTES, FrameQueue
from holdfast.push.dialects import MAX_QUEUED_BYTES
from holdfast.wire.sockjs import encode_messages


def test_messages_that_come_together_are_one_frame() -> None:
    queue = FrameQueue()
    for frame in (b"o", b'a["1"]', b'a["2","3"]', b"h", b'a["4"]'):
        assert queue.add(frame)
    assert len(queue) == 5
    assert [queue.take() for _ in range(5)] == [b"o", b'a["1","2","3"]', b"h", b'a["4"]', None]
    assert queue.size_bytes == 0


def test_bounds() -> None:
    queue = FrameQueue()
    assert queue.add(b"x" * (BLOCKED_BYTES - FRAME_COST_BYTES - 1))
    assert not queue.is_blocked
    assert queue.add(b"")
    assert queue.is_blocked
    assert not queue.add(b"x" * MAX_QUEUED_BYTES)
    assert len(queue) == 2
    queue.clear()
    assert (len(queue), queue.size_bytes, queue.is_blocked) == (0, 0, False)
    assert queue.add(b"x" * MAX_QUEUED_BYTES)
    assert not queue.add(b"x")


@given(st.lists(st.sampled_from([b"o", b"h", b"1", b"22", None])))
def test_nothing_is_lost_or_counted_wrong(steps: list[bytes | None]) -> None:
    queue, put, taken = FrameQueue(), b"", b""
    for step in [*steps, *[None] * len(steps)]:
        if step is None:
            taken += (queue.take() or b"").replace(b'","', b'"]a["')
        else:
            frame = step if step in b"oh" else encode_messages([step])
            assert queue.add(frame)
            put += frame
    assert taken == put
    assert queue.size_bytes == 0
