"""The publishers of a soak: over HTTP and over ZeroMQ, one item or several, in a steady or a hasty pace.

A process of its own. What it writes to standard output at its end is one line of JSON.
"""

from __future__ import annotations

import argparse
import json
import random
import time
from collections import Counter
from collections.abc import Sequence
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path

import zmq
from benchmarks.soak.channels import ALL, BULK, EVENTS, LIVE, item_of, open_store

ITEMS_PER_S = 160
_WEIGHTS = {**dict.fromkeys(ALL, 4), **dict.fromkeys(EVENTS, 4), **dict.fromkeys(LIVE, 6), **dict.fromkeys(BULK, 8)}
_BURSTS = (1, 1, 1, 1, 2, 5, 20)
_LATE_S = 1.0
_DOOR_OF_LIVE = {channel: place % 2 for place, channel in enumerate((*LIVE, *BULK))}
"""Without ids only one door keeps the order; items with ids come through either."""


class _Publishers:
    def __init__(self, arguments: argparse.Namespace) -> None:
        self.counts: Counter[str] = Counter()
        self.problems: list[str] = []
        self._random = random.Random(f"{arguments.seed} publishers")
        self._store, self._times = open_store(arguments.directory)
        self._http = HTTPConnection("127.0.0.1", arguments.control_port, timeout=20)
        self._push: zmq.Socket[bytes] = zmq.Context.instance().socket(zmq.PUSH)
        self._push.connect(arguments.push_spec)

    def run(self, seconds: float) -> None:
        """Publish for a while; blocks. What could not be done in time, on a busy machine, is not made up for."""
        dice = self._random
        due_s = time.monotonic()
        end_s = due_s + seconds
        while True:
            burst = dice.choice(_BURSTS)
            due_s = max(due_s + dice.expovariate(1) * burst / ITEMS_PER_S, time.monotonic() - _LATE_S)
            if due_s > end_s:
                break
            time.sleep(max(0.0, due_s - time.monotonic()))
            self._publish(dice.choices(ALL, [_WEIGHTS[channel] for channel in ALL], k=burst))
        self._http.close()
        self._push.close(linger=5000)

    def _publish(self, channels: Sequence[str]) -> None:
        by_http: list[dict[str, object]] = []
        door = self._random.randrange(2)
        for channel in channels:
            number = self._store.last(channel) + 1
            self._times.set(channel, number, time.monotonic())
            self._store.add(channel, number)
            item = item_of(channel, number)
            if _DOOR_OF_LIVE.get(channel, door):
                self._push.send(b"J" + json.dumps(item).encode())
                self.counts["items over ZeroMQ"] += 1
            else:
                by_http.append(item)
        if by_http:
            self._post(by_http)

    def _post(self, items: list[dict[str, object]]) -> None:
        self._http.request("POST", "/publish/", json.dumps({"items": items}), {"Content-Type": "application/json"})
        response = self._http.getresponse()
        text = response.read()
        self.counts["items over HTTP"] += len(items)
        self.counts["publish calls over HTTP"] += 1
        if response.status != HTTPStatus.OK:
            self.problems.append(f"publish answered with {response.status}: {text[:200]!r}")


def main() -> None:
    """The process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--control-port", type=int)
    parser.add_argument("--push-spec")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--directory", type=Path)
    arguments = parser.parse_args()
    publishers = _Publishers(arguments)
    publishers.run(arguments.seconds)
    print(json.dumps({"counts": publishers.counts, "problems": publishers.problems}))


if __name__ == "__main__":
    main()
