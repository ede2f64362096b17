"""SockJS clients over HTTP, which get what is published by polls or by streams, and say something by requests.

A session loses nothing from one response to the next, whatever time passes between them. Some leave in the middle of a
response, and some just ask no more, so that the server has to find out.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import ClassVar

from benchmarks.soak.channels import PublishTimes
from benchmarks.soak.listeners import Talker
from tests.harness.client import encode_request
from tests.harness.recovering_clients import Connection, Lost

_PAUSE_RATE, _LONGEST_PAUSE_S = 0.2, 1.0
_SILENT_END_RATE = 0.005
"""Of the responses: it was the last that the client has asked for."""


class PollingClient(Talker):
    """Gets what there is with every poll."""

    kind = "SockJS polling"
    is_prompt: ClassVar[bool] = False

    async def _listen(self, times: PublishTimes) -> None:
        session = f"{self._path}/000/{self._random.getrandbits(64):x}"
        receiving, sending = (self._doors.open(None, is_tls=False) for _ in range(2))
        saying: asyncio.Task[None] | None = None
        try:
            async for frame in self._frames(receiving, session):
                if frame == b"o":
                    if saying is not None:
                        raise Lost("the session has ended, and this is a new one")
                    self.connected_s = time.monotonic() + 0.5  # the subscription comes after it
                    saying = asyncio.get_running_loop().create_task(
                        self._say(lambda text: _send(sending, session, text))
                    )
                elif frame[:1] == b"a":
                    for text in json.loads(frame[1:]):
                        self._hear(text, times, is_prompt=self.is_prompt)
                elif frame != b"h":
                    raise Lost(f"frame {frame[:80]!r}")
                if saying is not None and saying.done():
                    saying.result()
            self._tally.counts["SockJS clients that asked no more"] += 1
        finally:
            if saying is not None:
                saying.cancel()
                with contextlib.suppress(asyncio.CancelledError, Lost):
                    await saying
            for connection in (receiving, sending):
                connection.close(resets=self._random.random() < 0.3)

    async def _frames(self, connection: Connection, session: str) -> AsyncIterator[bytes]:
        """All frames, until the client has had enough."""
        while self._random.random() >= _SILENT_END_RATE or self._tally.is_over:
            await _post(connection, f"{session}/xhr", b"")
            head = await connection.read_head()
            body = await connection.read_body(head)
            if head.status != 200:
                raise Lost(f"status {head.status}")
            assert body.endswith(b"\n") and body.count(b"\n") == 1, f"not one frame: {body[:80]!r}"
            yield body[:-1]
            if self._random.random() < _PAUSE_RATE and not self._tally.is_over:
                await asyncio.sleep(self._random.uniform(0, _LONGEST_PAUSE_S))


class StreamingClient(PollingClient):
    """Gets frames as they come, in responses that end after some time."""

    kind = "SockJS streaming"
    is_prompt = True

    async def _frames(self, connection: Connection, session: str) -> AsyncIterator[bytes]:
        """All frames, until the client has had enough."""
        while self._random.random() >= _SILENT_END_RATE or self._tally.is_over:
            await _post(connection, f"{session}/xhr_streaming", b"")
            head = await connection.read_head()
            if head.status != 200:
                raise Lost(f"status {head.status}")
            rest = b""
            while data := await connection.read_chunk():
                *lines, rest = (rest + data).split(b"\n")
                for line in lines:
                    if line.strip(b"h"):  # what a stream begins with are many of them
                        yield line
            assert not rest, f"cut: {rest[:80]!r}"
            self._tally.counts["SockJS streams that ended in their time"] += 1


async def _post(connection: Connection, path: str, body: bytes) -> None:
    await connection.send(encode_request(path, method="POST", body=body))


async def _send(connection: Connection, session: str, text: str) -> None:
    """Say something. Raises Lost if the session is over."""
    await _post(connection, f"{session}/xhr_send", json.dumps([text]).encode())
    head = await connection.read_head()
    body = await connection.read_body(head)
    assert head.status != 400, f"refused: {body[:80]!r}"
    if (head.status, body) != (200, b"ok"):
        raise Lost(f"status {head.status}, {body[:80]!r}")
