"""A backend that keeps all items, as GRIP wants one for reliable delivery, and that fails in every way it can.

It runs as a process of its own, because it is killed now and then. Channels and what the client has of them are in the
path, as two lists: ``/stream/a+b/17+30``, ``/poll/a/17``, ``/next/a+b`` (where ``Grip-Last`` says what it has), and
``/next/a+b/17+30`` for the next one in a chain of answers.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import random
import signal
import socket
import subprocess
import sys
from pathlib import Path

from tests.harness.item_store import BEGINNING, ItemStore, Tally, item_line
from tests.harness.messages import HeaderList, parse_head
from tests.harness.ports import free_port
from tests.harness.proxy import PROJECT
from tests.harness.timing import eventually

LINK_TIMEOUT_S = 2
POLL_TIMEOUT_S = 5
PAGES = (20, 100, 10_000)
"""Items of a channel in one answer, at most; which of them holds is drawn for every answer."""


class RecoveryBackend:
    """The process, seen from the test."""

    def __init__(self, store: ItemStore, failure_rate: float, seed: int) -> None:
        self.port = free_port()
        self._store = store
        self._failure_rate = failure_rate
        self._seed = seed
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start it (again)."""
        self._seed += 1
        values = {
            "--port": self.port,
            "--store": self._store.path,
            "--channels": ",".join(self._store.channels),
            "--failure-rate": self._failure_rate,
            "--seed": self._seed,
        }
        arguments = [str(part) for pair in values.items() for part in pair]
        self._process = subprocess.Popen([sys.executable, "-m", __name__, *arguments], cwd=PROJECT)

    def wait_until_ready(self) -> None:
        """Wait until it listens."""
        eventually(lambda: _accepts(self.port), "the backend to listen", timeout_s=15)

    def kill(self) -> None:
        """End it at once: connections break wherever they are, and its port is closed."""
        if self._process is not None:
            self._process.send_signal(signal.SIGKILL)
            self._process.wait()
            self._process = None


def _accepts(port: int) -> bool:
    with contextlib.suppress(OSError):
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    return False


class _BreakOff(Exception):
    """The connection is to be closed as it is."""


class _Server:
    def __init__(self, store: ItemStore, failure_rate: float, seed: int) -> None:
        self._store = store
        self._failure_rate = failure_rate
        self._random = random.Random(seed)

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer the requests of one connection."""
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, _BreakOff):
            while True:
                line, headers = parse_head(await reader.readuntil(b"\r\n\r\n"))
                await self._answer(line.split(" ")[1], headers, writer)
                await writer.drain()
        writer.close()

    async def _answer(self, path: str, headers: HeaderList, writer: asyncio.StreamWriter) -> None:
        kind, _, rest = path.removeprefix("/").partition("/")
        names, _, positions = rest.partition("/")
        has = dict(zip(names.split("+"), map(int, positions.split("+")), strict=True)) if positions else {}
        has = {name: has.get(name, BEGINNING) for name in names.split("+")}
        has_last = False
        for name, value in headers:
            if name.lower() == "grip-last":
                channel, _, last_id = value.partition("; last-id=")
                has[channel] = max(has[channel], int(last_id))
                has_last = True
        await self._misbehave(writer)
        if kind == "poll":
            await self._poll(has, has_last, writer)
        else:
            await self._stream(kind == "next", has, writer)

    async def _misbehave(self, writer: asyncio.StreamWriter) -> None:
        """Fail at random, or be slow."""
        dice = self._random
        if dice.random() >= self._failure_rate:
            return
        self._store.count(Tally.FAILURES)
        what = dice.randrange(5)
        if what == 0:
            writer.write(b"HTTP/1.1 500 Oops\r\nContent-Length: 5\r\nConnection: close\r\n\r\noops\n")
            raise _BreakOff
        if what == 1:
            raise _BreakOff
        if what == 2:
            writer.write(b"HTTP/1.1 200 OK\r\nGrip-Hold: str")
            raise _BreakOff
        if what == 3:  # within the body
            writer.write(b"HTTP/1.1 200 OK\r\nGrip-Hold: stream\r\nContent-Length: 50\r\n\r\nc0")
            raise _BreakOff
        await asyncio.sleep(dice.uniform(0.1, 1.5))

    async def _poll(self, has: dict[str, int], is_retry: bool, writer: asyncio.StreamWriter) -> None:
        self._store.count(Tally.POLL_RETRIES if is_retry else Tally.POLLS)
        body, reached, _ = self._items_after(has, Tally.ITEMS_BY_POLL_RETRY if is_retry else Tally.ITEMS_BY_POLL)
        grip: HeaderList = []
        if not body:
            grip = [("Grip-Hold", "response"), ("Grip-Timeout", str(POLL_TIMEOUT_S)), _grip_channel(reached)]
        await self._send(body, grip, writer)

    async def _stream(self, is_link: bool, has: dict[str, int], writer: asyncio.StreamWriter) -> None:
        self._store.count(Tally.LINKS if is_link else Tally.STREAMS)
        body, reached, is_whole = self._items_after(has, Tally.ITEMS_BY_LINK if is_link else Tally.ITEMS_BY_STREAM)
        link = "/next/" + "+".join(has)
        if not is_whole and self._random.random() < 0.5:
            link += "/" + "+".join(map(str, reached.values()))
            await self._send(body, [("Grip-Link", f"<{link}>; rel=next")], writer)
        else:
            hold = [("Grip-Hold", "stream"), _grip_channel(reached)]
            await self._send(body, [*hold, ("Grip-Link", f"<{link}>; rel=next; timeout={LINK_TIMEOUT_S}")], writer)

    def _items_after(self, has: dict[str, int], tally: Tally) -> tuple[bytes, dict[str, int], bool]:
        """The items that follow, what the client has then, and whether these are all."""
        page = self._random.choice(PAGES)
        reached = {channel: min(self._store.last(channel), number + page) for channel, number in has.items()}
        is_whole = all(reached[channel] == self._store.last(channel) for channel in has)
        lines = [
            item_line(channel, number) for channel in has for number in range(has[channel] + 1, reached[channel] + 1)
        ]
        self._store.count(tally, len(lines))
        return b"".join(lines), reached, is_whole

    async def _send(self, body: bytes, grip: HeaderList, writer: asyncio.StreamWriter) -> None:
        """Send an answer, now and then in chunks and slowly, and seldom not to its end."""
        dice = self._random
        headers = [*grip, ("Content-Type", "text/plain")]
        is_cut = len(body) > 10 and dice.random() < self._failure_rate / 5
        if is_cut or dice.random() < 0.9:
            headers.append(("Content-Length", str(len(body))))
            writer.write(_head(headers) + body[: len(body) // 2 if is_cut else None])
            if is_cut:
                raise _BreakOff
            return
        writer.write(_head([*headers, ("Transfer-Encoding", "chunked")]))
        size = len(body) // 3 + 1
        for start in range(0, len(body), size):
            piece = body[start : start + size]
            writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            await asyncio.sleep(dice.uniform(0, 0.1))
        writer.write(b"0\r\n\r\n")


def _grip_channel(reached: dict[str, int]) -> tuple[str, str]:
    return "Grip-Channel", ", ".join(f"{channel}; prev-id={number}" for channel, number in reached.items())


def _head(headers: HeaderList) -> bytes:
    lines = ["HTTP/1.1 200 OK", *(f"{name}: {value}" for name, value in headers), "", ""]
    return "\r\n".join(lines).encode()


async def _run(arguments: argparse.Namespace) -> None:
    store = ItemStore(arguments.store, arguments.channels.split(","))
    server = _Server(store, arguments.failure_rate, arguments.seed)
    listener = await asyncio.start_server(server.serve, "127.0.0.1", arguments.port, backlog=512)
    await listener.serve_forever()


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--store", type=Path)
    parser.add_argument("--channels")
    parser.add_argument("--failure-rate", type=float)
    parser.add_argument("--seed", type=int)
    asyncio.run(_run(parser.parse_args()))


if __name__ == "__main__":
    main()
