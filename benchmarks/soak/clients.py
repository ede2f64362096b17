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
from pathlib import Path

from benchmarks.soak.channels import open_store
from benchmarks.soak.subscribers import dawdle, follow, make_followers, make_listeners
from benchmarks.soak.tally import Tally
from benchmarks.soak.visitors import visit
from tests.harness.item_store import ItemStore
from tests.harness.recovering_clients import RecoveringClient

_DAWDLERS = 4
_SETTLE_S = 60.0
_LOOK_EVERY_S = 0.2
_LINGER_S = 1.0


class _Crowd:
    """Everybody, and what they have seen."""

    def __init__(self, arguments: argparse.Namespace) -> None:
        self.tally = Tally()
        self._arguments = arguments
        self._store, self._times = open_store(arguments.directory)
        self._followers = make_followers(arguments.port, arguments.seed, self._times, self.tally)
        self._listeners = make_listeners(arguments.port, arguments.seed, self.tally)

    async def run(self) -> None:
        """Until told that the publishers have ended, and then until everybody has everything."""
        port, seed, tally = self._arguments.port, self._arguments.seed, self.tally
        async with asyncio.TaskGroup() as group:
            reporting = group.create_task(self._report())
            passing = group.create_task(visit(port, seed, tally))
            dawdlers = [group.create_task(dawdle(port, number, seed, tally)) for number in range(_DAWDLERS)]
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
    parser.add_argument("--seed", type=int)
    parser.add_argument("--interval", type=float)
    parser.add_argument("--directory", type=Path)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(_Crowd(parser.parse_args()).run())


if __name__ == "__main__":
    main()
