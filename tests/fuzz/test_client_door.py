"""Whatever a client sends, however cut: others are answered, what it gets is HTTP, and the log shows no fault."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from tests.fuzz import test_websocket_frames as websocket_frames
from tests.fuzz.bystander import Bystander, read_what_comes
from tests.fuzz.http1 import REQUEST_TOKENS, REQUESTS
from tests.fuzz.mutations import PLACES, cut, mutated
from tests.fuzz.targets import fuzz
from tests.harness.backend import Reply, ScriptedBackend
from tests.harness.client import RawClient
from tests.harness.proxy import Launch, ProxyUnderTest
from tests.harness.timing import scaled

EXAMPLES = 60
PATH = "/bystander"
BODY = b"still here"
HELD = b"GET /held HTTP/1.1\r\nHost: h\r\n\r\n"
SHAKE = (
    b"GET /ws HTTP/1.1\r\nHost: echo\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Extensions: permessage-deflate\r\n\r\n"
)
SILENCE_S = 0.01


@pytest.fixture(scope="module")
def proxy(launch: Launch, backend: ScriptedBackend) -> ProxyUnderTest:
    return launch("echo test", f"* 127.0.0.1:{backend.port}")


@pytest.fixture(scope="module")
def bystander(proxy: ProxyUnderTest, backend: ScriptedBackend) -> Iterator[Bystander]:
    backend.serve(Reply(body=BODY), PATH)
    backend.serve(Reply(headers=[("Grip-Hold", "response"), ("Grip-Channel", "a")]), "/held")
    waiting = Bystander(proxy, PATH, BODY)
    yield waiting
    waiting.check()
    waiting.close()


INPUTS = st.lists(mutated([*REQUESTS, HELD], REQUEST_TOKENS), min_size=1, max_size=3).map(b"".join)


@fuzz(INPUTS, PLACES, st.booleans(), examples=EXAMPLES)
def test_any_requests(
    proxy: ProxyUnderTest, bystander: Bystander, data: bytes, places: list[int], must_reset: bool
) -> None:
    received = talk(proxy, cut(data, places), must_reset=must_reset)
    assert b"HTTP/1.1 ".startswith(received[:9]) or b"HTTP/1.0 ".startswith(received[:9]), received
    bystander.check()


FRAMES = mutated(websocket_frames.SEEDS, websocket_frames.TOKENS)


@fuzz(FRAMES, PLACES, st.booleans(), examples=EXAMPLES)
def test_any_frames(
    proxy: ProxyUnderTest, bystander: Bystander, frames: bytes, places: list[int], must_reset: bool
) -> None:
    received = talk(proxy, [SHAKE, *cut(frames, places)], must_reset=must_reset, is_answered=True)
    assert received.startswith(b"HTTP/1.1 101 ") or must_reset, received
    bystander.check()


def talk(proxy: ProxyUnderTest, pieces: list[bytes], *, must_reset: bool, is_answered: bool = False) -> bytes:
    """Send `pieces`, and return what comes before anybody closes; `is_answered` waits longer for the beginning."""
    with RawClient(proxy.port) as client:
        with contextlib.suppress(OSError):  # the proxy may have had enough
            for piece in pieces:
                client.send(piece)
        if is_answered:
            client.is_readable(scaled(5))
        received = read_what_comes(client, SILENCE_S)
        if must_reset:
            client.reset()
    return received
