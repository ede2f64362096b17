"""All clients of a soak, in a process of their own: what they use of the processor is not the server's.

Every few seconds a line of JSON tells what they have seen; a line on standard input says that the publishers have
ended. Then the clients wait until they have everything, leave, and the last line says that it is the last.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from benchmarks.soak.certificates import Certificates
from benchmarks.soak.channels import LIVE, open_store
from benchmarks.soak.dawdlers import dawdle
from benchmarks.soak.doors import Doors
from benchmarks.soak.followers import follow, make_followers
from benchmarks.soak.listeners import CompressedListener, Listener, SecureListener, SocketListener, StreamListener
from benchmarks.soak.sockjs import PollingClient, StreamingClient
from benchmarks.soak.tally import Tally
from benchmarks.soak.visitors import visit
from tests.harness.item_store import ItemStore
from tests.harness.recovering_clients import RecoveringClient

_DAWDLERS = 6
_SETTLE_S = 60.0
_LOOK_EVERY_S = 0.2
_LINGER_S = 1.0

_LISTENERS: Sequence[tuple[type[Listener], str, int]] = (
    (SocketListener, "/events", 32),
    (SocketListener, "/relay", 24),
    (CompressedListener, "/events", 8),
    (CompressedListener, "/relay", 8),
    (SecureListener, "/events", 8),
    (SecureListener, "/relay", 8),
    (StreamListener, "/live", 72),
    (StreamListener, "/zmq/live", 8),
    (PollingClient, "/sockjs", 12),
    (StreamingClient, "/sockjs", 12),
)
"""How many of each kind, and where they ask. Streams and WebSockets are a crowd on each channel, which has a roster."""


class _Crowd:
    """Everybody, and what they have seen."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tally = Tally()
        self._arguments = arguments
        self._store, self._times = open_store(arguments.directory)
        self._certificates = Certificates(arguments.directory)
        self._doors = Doors(arguments.port, arguments.tls_port, self._certificates)
        self._followers = make_followers(self._doors, arguments.seed, self._times, self.tally)
        self._listeners = [
            kind(number, self._doors, path, LIVE[number % len(LIVE)], self.tally, arguments.seed)
            for kind, path, count in _LISTENERS
            for number in range(count)
        ]

    async def run(self) -> None:
        """Until told that the publishers have ended, and then until everybody has everything."""
        doors, seed, tally = self._doors, self._arguments.seed, self.tally
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(self._report())
            passing = group.create_task(visit(doors, seed, tally))
            dawdlers = [group.create_task(dawdle(doors, number, seed, tally)) for number in range(_DAWDLERS)]
            waiting = []
            for follower in self._followers:
                waiting.append(group.create_task(follow(follower, tally)))
                await asyncio.sleep(0.01)
            for listener in self._listeners:
                waiting.append(group.create_task(listener.run(self._times)))
                await asyncio.sleep(0.01)
            await asyncio.to_thread(sys.stdin.readline)
            tally.is_over = True
            for follower in self._followers:
                follower.is_calm = True
            await self._settle()
            await passing
            for task in (*waiting, *dawdlers, reporting):
                task.cancel()
        self._check_certificates()
        self._tell(is_last=True)

    async def _settle(self) -> None:
        """Wait until everybody has what was published; who has not, in the end, is a violation."""
        for _ in range(round(_SETTLE_S / _LOOK_EVERY_S)):
            lacking = self._lacking()
            if not lacking:
                break
            await asyncio.sleep(_LOOK_EVERY_S)
        self.tally.violations += lacking[:20]
        await asyncio.sleep(_LINGER_S)  # for what should not come

    def _lacking(self) -> list[str]:
        lacking = [
            f"{client.name} has {client.history.reached}, lost the rest"
            for client in self._followers
            if not _has_all(client, self._store)
        ]
        lacking += [
            f"{listener.name} has {listener.reached} of {self._store.last(listener.channel)}, lost the rest"
            for listener in self._listeners
            if listener.lacks(self._store, self._times)
        ]
        return lacking

    def _check_certificates(self) -> None:
        """Whether clients have come to see every one, each soon after it was there."""
        seen, newest = self._certificates.seen, self._certificates.newest
        self.tally.counts["TLS handshakes"] = sum(seen.values())
        unseen = [number for number in range(1, newest + 1) if not seen[number]]
        if unseen:
            self.tally.violations.append(f"of {newest} certificates these were never shown: {unseen}")

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(self._arguments.interval)
            self._tell(is_last=False)

    def _tell(self, *, is_last: bool) -> None:
        tally = self.tally
        report = {
            "counts": tally.counts,
            "incidents": tally.incidents,
            "violations": tally.violations,
            "is_last": is_last,
            **tally.take_latencies(),
        }
        print(json.dumps(report), flush=True)
        tally.incidents.clear()
        tally.violations.clear()


def _has_all(client: RecoveringClient, store: ItemStore) -> bool:
    return all(number == store.last(channel) for channel, number in client.history.reached.items())


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--tls-port", type=int)
    parser.add_argument("--seed", type=int)
    parser.add_argument("--interval", type=float)
    parser.add_argument("--directory", type=Path)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Crowd(parser.parse_args()).run())


if __name__ == "__main__":
    main()
