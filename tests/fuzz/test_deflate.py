"""Any compressed message, cut anywhere: what zlib makes of the whole of it, in steps of bounded size, or ValueError."""

from __future__ import annotations

import zlib

from tests.fuzz.mutations import PLACES, cut, mutated
from tests.fuzz.targets import fuzz

from holdfast.wire.websocket.deflate import MessageDeflater, MessageInflater

STEP = 64
CONTENTS = [b"", b"a", b"hello " * 30, bytes(range(256)), b"\0" * 100_000]


def deflated(content: bytes) -> bytes:
    return MessageDeflater().feed(content, is_last=True)


def final_block(content: bytes) -> bytes:
    compressor = zlib.compressobj(wbits=-15)
    return compressor.compress(content) + compressor.flush()


SEEDS = [deflated(content) for content in CONTENTS] + [
    final_block(b"final"),
    final_block(b"long " * 100) + b"\x00",
    b"\x02\x00",
    b"\x00",
]
TOKENS = [b"\x00\x00\xff\xff", b"\x00", b"\x03\x00", b"\x01\x00\x00\xff\xff", *SEEDS[:3]]


def inflate(pieces: list[bytes], step_bytes: int) -> bytes | None:
    inflater = MessageInflater(step_bytes)
    content: list[bytes] = []
    try:
        for number, piece in enumerate(pieces):
            for part in inflater.feed(piece, is_last=number == len(pieces) - 1):
                assert 0 < len(part) <= step_bytes
                content.append(part)
    except ValueError:
        return None
    return b"".join(content)


@fuzz(mutated(SEEDS, TOKENS), PLACES)
def test_any_message(data: bytes, places: list[int]) -> None:
    whole = inflate([data], STEP)
    assert inflate(cut(data, places) or [b""], STEP) == whole == inflate([data], 1 << 20)
    try:
        decompressor = zlib.decompressobj(-15)
        expected = decompressor.decompress(data + b"\x00\x00\xff\xff")
    except zlib.error:
        assert whole is None
        return
    assert whole == (expected if len(decompressor.unused_data) <= 5 else None)
    if whole is not None:
        assert inflate([deflated(whole)], STEP) == whole
