from __future__ import annotations

import contextlib
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from websockets.extensions.permessage_deflate import ClientPerMessageDeflateFactory
from websockets.headers import parse_extension

from holdfast.wire.websocket.deflate import MessageDeflater, MessageInflater, negotiate, parse_extensions

BOTH = b"permessage-deflate; client_no_context_takeover; server_no_context_takeover"

OFFERS: list[tuple[bytes, bytes | None]] = [
    (b"permessage-deflate", BOTH),
    (b"permessage-deflate; client_max_window_bits", BOTH),
    (b"permessage-deflate; client_max_window_bits=8", BOTH),
    (b'permessage-deflate; client_max_window_bits="15"', BOTH),
    (b"permessage-deflate; server_no_context_takeover", BOTH),
    (b"permessage-deflate; client_no_context_takeover; server_no_context_takeover", BOTH),
    (b"permessage-deflate; server_max_window_bits=15", BOTH + b"; server_max_window_bits=15"),
    (b"permessage-deflate; server_max_window_bits=10, permessage-deflate", BOTH),
    (b"x-webkit-deflate-frame, permessage-deflate", BOTH),
    (b"permessage-deflate; mystery, permessage-deflate; client_max_window_bits", BOTH),
    (b"permessage-deflate; server_max_window_bits=14", None),
    (b"permessage-deflate; server_max_window_bits", None),
    (b"permessage-deflate; client_max_window_bits=7", None),
    (b"permessage-deflate; client_max_window_bits=16", None),
    (b"permessage-deflate; client_max_window_bits=010", None),
    (b"permessage-deflate; client_no_context_takeover=1", None),
    (b"permessage-deflate; server_no_context_takeover=true", None),
    (b"permessage-deflate; server_no_context_takeover; server_no_context_takeover", None),
    (b"permessage-deflate; mystery", None),
    (b"Permessage-Deflate", None),
    (b"grip", None),
    (b"", None),
]


@pytest.mark.parametrize(("value", "answer"), OFFERS, ids=[value.decode() for value, _ in OFFERS])
def test_negotiation(value: bytes, answer: bytes | None) -> None:
    """ws spec §4.5, but for context takeover, which is always refused (RFC 7692 §7.1.1)."""
    assert negotiate(parse_extensions([value])) == answer


def test_offers_on_several_lines() -> None:
    offers = parse_extensions([b"a; b=c", b"", b"permessage-deflate; client_max_window_bits, d"])
    assert offers == [
        ("a", [("b", "c")]),
        ("permessage-deflate", [("client_max_window_bits", None)]),
        ("d", []),
    ]


@pytest.mark.parametrize("value", [b",", b"a;", b"a; b=", b'a; b="c', b'a; b="c d"', b"a b", b"\xff", b"a; =b"])
def test_malformed_offers(value: bytes) -> None:
    with pytest.raises(ValueError):
        parse_extensions([b"fine", value])


@pytest.mark.parametrize("server_window", [None, 15])
@pytest.mark.parametrize("client_window", [None, True])
@pytest.mark.parametrize("is_without_takeover", [False, True])
def test_a_client_agrees(server_window: int | None, client_window: bool | None, is_without_takeover: bool) -> None:
    client = ClientPerMessageDeflateFactory(is_without_takeover, is_without_takeover, server_window, client_window)
    answer = negotiate([("permessage-deflate", client.get_request_params())])
    assert answer is not None
    ((_, params),) = parse_extension(answer.decode())
    extension = client.process_response_params(params, [])
    assert extension.remote_no_context_takeover and extension.local_no_context_takeover


def inflate(*pieces: bytes, step_bytes: int = 1000) -> bytes:
    inflater = MessageInflater(step_bytes)
    content = b""
    for number, piece in enumerate(pieces):
        for part in inflater.feed(piece, is_last=number == len(pieces) - 1):
            assert 0 < len(part) <= step_bytes
            content += part
    return content


def test_one_piece() -> None:
    """RFC 7692 §7.2.3.1."""
    packed = MessageDeflater().feed(b"Hello", is_last=True)
    assert packed == bytes.fromhex("f248cdc9c90700")
    assert inflate(packed) == b"Hello"


def test_empty_message_is_not_nothing() -> None:
    """RFC 7692 §7.2.3.6."""
    assert MessageDeflater().feed(b"", is_last=True) == b"\x00"


@given(st.lists(st.binary(max_size=50) | st.integers(0, 5000).map(lambda size: b"a" * size), min_size=1, max_size=4))
def test_round_trip_in_pieces(pieces: list[bytes]) -> None:
    deflater = MessageDeflater()
    packed = [deflater.feed(piece, is_last=number == len(pieces) - 1) for number, piece in enumerate(pieces)]
    assert inflate(*packed) == b"".join(pieces)
    assert inflate(b"".join(packed)) == b"".join(pieces)


@given(st.binary(max_size=50), st.integers(1, 30))
def test_each_piece_can_be_read_when_it_arrives(payload: bytes, step_bytes: int) -> None:
    packed = MessageDeflater().feed(payload, is_last=False)
    assert b"".join(MessageInflater(step_bytes).feed(packed, is_last=False)) == payload


@given(st.integers(1, 30), st.lists(st.sampled_from([b"a", b"b" * 70, b"c" * 300])).map(b"".join))
def test_nothing_that_is_known_waits(step_bytes: int, payload: bytes) -> None:
    """Wherever the sender cuts, a limit for one step holds nothing back."""
    packed = MessageDeflater().feed(payload, is_last=False)
    for length in range(len(packed)):
        known = zlib.decompressobj(-15).decompress(packed[:length])
        assert b"".join(MessageInflater(step_bytes).feed(packed[:length], is_last=False)) == known


@given(st.integers(8, 15), st.binary(max_size=300))
def test_smaller_windows_are_understood(bits: int, payload: bytes) -> None:
    compressor = zlib.compressobj(wbits=-max(bits, 9))
    packed = compressor.compress(payload * 20) + compressor.flush(zlib.Z_SYNC_FLUSH)
    assert inflate(packed[:-4]) == payload * 20


def test_faults() -> None:
    for data in (b"\xff\xff", MessageDeflater().feed(b"x" * 50, is_last=True)[:-1] + b"\x07"):
        with pytest.raises(ValueError):
            inflate(data)


def test_nothing_follows_a_final_block() -> None:
    """RFC 7692 §7.2.3.4: an empty block at most."""
    compressor = zlib.compressobj(wbits=-15)
    final = compressor.compress(b"Hello") + compressor.flush()
    assert inflate(final) == inflate(final + b"\x00") == inflate(final, b"\x00") == b"Hello"
    for more in ((final + b"\x00\x00",), (final, b"\x00\x00"), (final, b"\x00" * 6, b"")):
        with pytest.raises(ValueError, match="behind the final block"):
            inflate(*more)


@pytest.mark.parametrize("size", [15, 16, 17, 1000])
def test_a_final_block_may_be_long(size: int) -> None:
    """Its content takes several steps; zlib then still shows the last of them as not taken."""
    compressor = zlib.compressobj(wbits=-15)
    final = compressor.compress(b"x" * size) + compressor.flush()
    for pieces in ((final,), (final + b"\x00",), (final[:2], final[2:]), (final, b"")):
        assert inflate(*pieces, step_bytes=16) == b"x" * size


@given(st.binary(max_size=100))
def test_anything_is_content_or_a_fault(data: bytes) -> None:
    with contextlib.suppress(ValueError):
        inflate(data)
