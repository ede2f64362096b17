"""A backend for everything in a soak but streams with next links and long polls, which `RecoveryBackend` has.

It runs as a process of its own, because it is killed now and then: ``/plain/BYTES``, ``/upload``, ``/download/BYTES``,
``/wait/CHANNEL`` (a long poll), ``/live/CHANNEL`` (a stream), ``/sse/CHANNELS/NUMBERS`` with ``/sse-next/CHANNELS``,
``/events/CHANNEL`` (WebSockets over HTTP); on the second port WebSockets at ``/relay/CHANNEL``; and over ZeroMQ what
`answer_requests` has.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import zlib
from pathlib import Path

from benchmarks.soak.channels import open_store, text_of
from benchmarks.soak.zmq_backend import answer_requests
from tests.harness.item_store import BEGINNING, ItemStore
from tests.harness.messages import HeaderList, parse_head
from tests.harness.ws_events import EVENTS_TYPE, GRIP_EXTENSION, OPEN, Event, encode_events, parse_events, text_event
from websockets.asyncio.server import ServerConnection, serve
from websockets.exceptions import ConnectionClosed
from websockets.http11 import Request, Response

PIECE = bytes(range(256)) * 256
LINK_TIMEOUT_S = 3
WAIT_TIMEOUT_S = 2
_PAGE = 200


def subscribe(channel: str) -> str:
    """The control message that subscribes a WebSocket."""
    return "c:" + json.dumps({"type": "subscribe", "channel": channel})


def download_checksum(size: int) -> int:
    """Of a download of as many bytes, which are a multiple of a piece."""
    checksum = 0
    for _ in range(size // len(PIECE)):
        checksum = zlib.crc32(PIECE, checksum)
    return checksum


class _Server:
    def __init__(self, store: ItemStore) -> None:
        self._store = store

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            while True:
                line, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
                fields: dict[str, list[str]] = {}
                for name, value in headers:
                    fields.setdefault(name.lower(), []).append(value)
                await self._answer(line.split(" ")[1], fields, reader, writer)
                await writer.drain()
        writer.close()

    async def _answer(
        self, path: str, fields: dict[str, list[str]], reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        kind, _, rest = path.removeprefix("/").partition("/")
        match kind:
            case "plain":
                _send(writer, b"p" * int(rest))
            case "upload":
                _send(writer, str(await _checksum(reader, int(fields["content-length"][0]))).encode())
            case "download":
                await _download(writer, int(rest))
            case "live":
                keep_alive = ("Grip-Keep-Alive", "\\n; format=cstring; timeout=10")
                _send(writer, b"", ("Grip-Hold", "stream"), ("Grip-Channel", rest), keep_alive)
            case "wait":
                hold = [("Grip-Hold", "response"), ("Grip-Timeout", str(WAIT_TIMEOUT_S)), ("Grip-Channel", rest)]
                _send(writer, b"", *hold)
            case "sse" | "sse-next":
                self._events(writer, rest, fields.get("grip-last", []))
            case "events":
                body = await reader.readexactly(int(fields.get("content-length", ["0"])[0]))
                _websocket_events(writer, rest, parse_events(body))
            case _:
                _send(writer, b"no such path\n", status="404 Not Found")

    def _events(self, writer: asyncio.StreamWriter, rest: str, last: list[str]) -> None:
        """A stream with what its client lacks: by its path, or by what the proxy knows (``Grip-Last``)."""
        names, _, positions = rest.partition("/")
        has = dict.fromkeys(names.split("+"), BEGINNING)
        if positions:
            has = dict(zip(has, map(int, positions.split("+")), strict=True))
        for value in last:
            channel, _, last_id = value.partition("; last-id=")
            has[channel] = max(has[channel], int(last_id))
        body = ""
        for channel, number in has.items():
            has[channel] = min(self._store.last(channel), number + _PAGE)
            body += "".join(text_of(channel, each) for each in range(number + 1, has[channel] + 1))
        channels = ", ".join(f"{channel}; prev-id={number}" for channel, number in has.items())
        _send(
            writer,
            body.encode(),
            ("Content-Type", "text/event-stream"),
            ("Grip-Hold", "stream"),
            ("Grip-Channel", channels),
            ("Grip-Link", f"</sse-next/{names}>; rel=next; timeout={LINK_TIMEOUT_S}"),
            ("Grip-Keep-Alive", ":\\n\\n; format=cstring; timeout=5"),
        )


def _send(
    writer: asyncio.StreamWriter,
    body: bytes,
    *headers: tuple[str, str],
    status: str = "200 OK",
    size: int | None = None,
) -> None:
    fields: HeaderList = [("Content-Type", "text/plain")] if not any(n == "Content-Type" for n, _ in headers) else []
    fields += [*headers, ("Content-Length", str(len(body) if size is None else size))]
    lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in fields), "", ""]
    writer.write("\r\n".join(lines).encode() + body)


async def _checksum(reader: asyncio.StreamReader, size: int) -> int:
    checksum = 0
    while size:
        data = await reader.read(min(size, 65536))
        if not data:
            raise asyncio.IncompleteReadError(b"", size)
        checksum = zlib.crc32(data, checksum)
        size -= len(data)
    return checksum


async def _download(writer: asyncio.StreamWriter, size: int) -> None:
    _send(writer, b"", size=size)
    for _ in range(size // len(PIECE)):
        writer.write(PIECE)
        await writer.drain()


def _websocket_events(writer: asyncio.StreamWriter, channel: str, events: list[Event]) -> None:
    """Accept, subscribe, and send every text back."""
    answers: list[Event] = []
    headers: HeaderList = [("Content-Type", EVENTS_TYPE)]
    for event in events:
        if event.type == "OPEN":
            answers += [OPEN, text_event(subscribe(channel))]
            headers.append(GRIP_EXTENSION)
        elif event.type == "TEXT":
            answers.append(Event("TEXT", b"m:" + (event.content or b"")))
        elif event.type == "CLOSE":
            answers.append(event)
    _send(writer, encode_events(*answers), *headers)


def _accept(_connection: ServerConnection, _request: Request, response: Response) -> None:
    name, value = GRIP_EXTENSION
    response.headers[name] = value


async def _relayed(connection: ServerConnection) -> None:
    """Subscribe, and send every text back."""
    with contextlib.suppress(ConnectionClosed):
        assert connection.request is not None
        await connection.send(subscribe(connection.request.path.rpartition("/")[2]))
        async for message in connection:
            await connection.send(f"m:{message!s}")


async def _run(arguments: argparse.Namespace) -> None:
    store, _ = open_store(arguments.directory)
    listener = await asyncio.start_server(_Server(store).serve, "127.0.0.1", arguments.port, backlog=512)
    sockets = serve(
        _relayed, "127.0.0.1", arguments.ws_port, compression=None, ping_interval=None, process_response=_accept
    )
    async with sockets, listener:
        await answer_requests(arguments.zmq_spec)


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--ws-port", type=int)
    parser.add_argument("--zmq-spec")
    parser.add_argument("--directory", type=Path)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
