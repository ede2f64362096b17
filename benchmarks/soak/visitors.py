"""Clients that come and go: proxied requests, uploads, downloads, and those who leave in the middle of something.

They come plainly or by TLS, and what they ask is answered by a web server or over ZeroMQ.
"""

from __future__ import annotations

import asyncio
import random
import time
import zlib
from collections.abc import Awaitable, Callable

from benchmarks.soak.backend import PIECE, download_checksum
from benchmarks.soak.channels import EVENTS, FOLLOWED, LIVE
from benchmarks.soak.doors import Doors, Streams
from benchmarks.soak.tally import Tally
from tests.harness.client import encode_request
from tests.harness.messages import HeaderList, parse_head
from tests.harness.recovering_clients import Connection, Lost

_CONNECTIONS, _TLS_CONNECTIONS, _ZMQ_CONNECTIONS = 12, 6, 6
_TLS_SHARE = 0.25
"""Of those who come and go; every fourth of them does not get through the handshake."""
_PATIENCE_S = 10.0
_PAUSE_S = 0.08
_VISITS_PER_S = 12.0
_TRANSFER_EVERY_S = 4.0
_LONGEST_REST_S = 15.0
_MEGABYTE = 1 << 20
_HALF_HELLO = bytes.fromhex("1603010200010001fc0303") + PIECE[:32]
_HANDSHAKE: HeaderList = [
    ("Connection", "Upgrade"),
    ("Upgrade", "websocket"),
    ("Sec-WebSocket-Version", "13"),
    ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
]

Visit = Callable[[Streams, random.Random, Tally], Awaitable[None]]


async def visit(doors: Doors, seed: int, tally: Tally) -> None:
    """Everything that this file has, until the publishers have ended."""
    async with asyncio.TaskGroup() as group:
        for is_tls, connections in ((False, _CONNECTIONS), (True, _TLS_CONNECTIONS)):
            way = " by TLS" if is_tls else ""
            for number in range(connections):
                group.create_task(_again(_browse, doors, f"{seed} browser {number}{way}", tally, is_tls=is_tls))
            group.create_task(_again(_upload, doors, f"{seed} upload{way}", tally, is_tls=is_tls))
            group.create_task(_again(_download, doors, f"{seed} download{way}", tally, is_tls=is_tls))
        for number in range(_ZMQ_CONNECTIONS):
            group.create_task(_again(_browse_zmq, doors, f"{seed} ZeroMQ {number}", tally, is_tls=False))
        group.create_task(_come_and_go(doors, random.Random(f"{seed} passers-by"), tally))


async def _again(use: Visit, doors: Doors, seed: str, tally: Tally, *, is_tls: bool) -> None:
    """Use one connection after the other, each until it fails."""
    dice = random.Random(seed)
    while not tally.is_over:
        try:
            reader, writer = await doors.connect(is_tls=is_tls)
        except (OSError, AssertionError) as exc:
            tally.violations.append(f"{seed}: cannot connect: {exc!r}")
            return
        try:
            await use((reader, writer), dice, tally)
        except (OSError, asyncio.IncompleteReadError, Lost) as exc:
            tally.fails(f"{seed}: {exc!r}")
        except Exception as exc:
            tally.violations.append(f"{seed}: {exc!r}")
        finally:
            writer.close()
        await asyncio.sleep(dice.uniform(0, 0.3))


async def _browse(streams: Streams, dice: random.Random, tally: Tally) -> None:
    for _ in range(dice.randrange(5, 200)):
        if tally.is_over:
            return
        size = dice.choice((10, 500, 500, 2000, 20_000))
        begun_s = time.monotonic()
        body = await _request(streams, encode_request(f"/plain/{size}"))
        tally.request_s.append(time.monotonic() - begun_s)
        assert body == b"p" * size, f"{len(body)} bytes instead of {size}"
        tally.counts["requests"] += 1
        await asyncio.sleep(dice.expovariate(1 / _PAUSE_S))


async def _browse_zmq(streams: Streams, dice: random.Random, tally: Tally) -> None:
    """Who asks while there is no backend waits for it; what one has taken and not answered is lost with it."""
    for _ in range(dice.randrange(5, 100)):
        if tally.is_over:
            return
        size = dice.choice((10, 500, 500, 2000, 20_000, 500_000))
        begun_s = time.monotonic()
        try:
            async with asyncio.timeout(_PATIENCE_S):
                if dice.random() < 0.8:
                    body, expected = await _request(streams, encode_request(f"/zmq/plain/{size}")), b"p" * size
                else:
                    data = PIECE[: min(size, len(PIECE))] * (size // len(PIECE) or 1)
                    body = await _request(streams, encode_request("/zmq/upload", method="POST", body=data))
                    expected = str(zlib.crc32(data)).encode()
        except TimeoutError:
            tally.fails("a request over ZeroMQ was not answered", begun_s)
            return
        assert body == expected, f"{len(body)} bytes instead of {len(expected)}"
        tally.counts["requests over ZeroMQ"] += 1
        await asyncio.sleep(dice.expovariate(1 / _PAUSE_S))


async def _upload(streams: Streams, dice: random.Random, tally: Tally) -> None:
    size = dice.randrange(_MEGABYTE, 6 * _MEGABYTE) // len(PIECE) * len(PIECE)
    _, writer = streams
    writer.write(encode_request("/upload", method="POST", headers=[("Content-Length", str(size))]))
    checksum = 0
    for _ in range(size // len(PIECE)):
        checksum = zlib.crc32(PIECE, checksum)
        writer.write(PIECE)
        await writer.drain()
    assert await _request(streams, b"") == str(checksum).encode(), "an upload arrived changed"
    tally.counts["megabytes uploaded"] += size // _MEGABYTE
    await _rest(dice)


async def _download(streams: Streams, dice: random.Random, tally: Tally) -> None:
    size = dice.randrange(_MEGABYTE, 6 * _MEGABYTE) // len(PIECE) * len(PIECE)
    body = await _request(streams, encode_request(f"/download/{size}"))
    assert len(body) == size and zlib.crc32(body) == download_checksum(size), "a download arrived changed"
    tally.counts["megabytes downloaded"] += size // _MEGABYTE
    await _rest(dice)


async def _rest(dice: random.Random) -> None:
    await asyncio.sleep(min(dice.expovariate(1 / _TRANSFER_EVERY_S), _LONGEST_REST_S))


async def _request(streams: Streams, request: bytes) -> bytes:
    """Make a request; what is not 200 is a loss of this connection."""
    reader, writer = streams
    writer.write(request)
    line, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
    fields = {name.lower(): value for name, value in headers}
    body = await reader.readexactly(int(fields["content-length"]))
    if not line.startswith("HTTP/1.1 200 "):
        raise Lost(line)
    return body


async def _come_and_go(doors: Doors, dice: random.Random, tally: Tally) -> None:
    """Connections that are opened all the time, and left soon: with a FIN or a reset, with an answer or without."""
    async with asyncio.TaskGroup() as group:
        while not tally.is_over:
            await asyncio.sleep(dice.expovariate(_VISITS_PER_S))
            raw = _some_request(dice)
            way = dice.random()
            if way < _TLS_SHARE / 4:
                connection, raw = doors.open_raw(), dice.choice((b"", _HALF_HELLO, raw))
            else:
                connection = doors.open(None, is_tls=way < _TLS_SHARE)
            group.create_task(_pass_by(connection, raw, dice.uniform(0, 1.5), dice.random() < 0.5, tally))


def _some_request(dice: random.Random) -> bytes:
    match dice.randrange(10):
        case 0:
            return b""
        case 1:
            return encode_request("/plain/100")[: dice.randrange(5, 40)]
        case 2:
            return encode_request("/download/2097152")
        case 3:
            return encode_request("/upload", method="POST", headers=[("Content-Length", "100000")]) + PIECE[:5000]
        case 4:
            return encode_request(f"/wait/{dice.choice(FOLLOWED)}")
        case 5:
            return encode_request(f"/sse/{dice.choice(EVENTS)}/0")
        case 6:
            return encode_request(f"/live/{dice.choice(LIVE)}")
        case 7:
            return encode_request("/zmq/plain/100000")
        case 8:
            session = f"/sockjs/{dice.choice(LIVE)}/000/{dice.getrandbits(64):x}"
            kind = dice.choice(("xhr", "xhr_streaming"))
            return encode_request(f"{session}/{kind}", method="POST", body=b"")
        case _:
            kind = dice.choice(("events", "relay"))
            return encode_request(f"/{kind}/{dice.choice(LIVE)}", headers=_HANDSHAKE)


async def _pass_by(connection: Connection, raw: bytes, stay_s: float, resets: bool, tally: Tally) -> None:
    try:
        await connection.send(raw)
        async with asyncio.timeout(stay_s):
            while True:
                await connection.receive()
    except (TimeoutError, Lost, OSError):
        tally.counts["passers-by"] += 1
    except AssertionError as exc:
        tally.violations.append(f"passer-by: {exc!r}")
    finally:
        connection.close(resets=resets)
