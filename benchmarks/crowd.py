"""A crowd of held streams: what it costs while nothing happens, and what others feel when it gets a broadcast."""

from __future__ import annotations

import re
from contextlib import closing
from dataclasses import dataclass
from http.client import HTTPConnection

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.loads import failures_of, warm_up
from benchmarks.programs import LoadFailedError, Publishing, ask, holding_arguments, running_beside
from benchmarks.servers import Kind, Server

_LONGEST_COLLECTION = re.compile(r"^holdfast_garbage_collection_longest_seconds (\S+)$", re.MULTILINE)
_REQUESTS = 1_000_000  # until the time is over


@dataclass(frozen=True, slots=True)
class Crowd:
    """Streams with keep-alives, and beside them one client that sends a request after the other.

    Args:
        clients: how many streams.
        idle_s: seconds in which there are only keep-alives.
        broadcasts: how many are made then.
        seconds: how long the other client asks, before everything and beside the broadcasts; must be the shorter.
    """

    clients: int
    idle_s: int
    broadcasts: int
    seconds: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"a crowd of {self.clients:,} streams"

    def fits(self, kind: Kind) -> bool:
        """Holdfast only: Pushpin would take minutes, and does not tell of garbage."""
        return kind is Kind.HOLDFAST

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        warm_up(server)
        alone_us = self._ask(server)
        arguments = holding_arguments(server, self.clients, [Publishing(self.broadcasts, 1)])
        more = ("--path", "/kept?channel=bench", "--idle", str(self.idle_s))
        with running_beside("holdload", server, *arguments, *more) as crowd:
            crowd.wait_for("idle_cpu_percent")  # the broadcasts follow at once
            beside_us = self._ask(server)
            if not crowd.is_running:
                raise LoadFailedError("the broadcasts were over too soon: more are needed")
            answer = crowd.answer()
        return {
            figures.idle_cpu(self.clients): answer["idle_cpu_percent"],
            figures.disturbed_latency(self.clients): (beside_us - alone_us) / 1000,
            figures.longest_collection(self.clients): _longest_collection_s(server) * 1000,
            **failures_of(answer),
        }

    def _ask(self, server: Server) -> float:
        """The 99th percentile, in microseconds."""
        answer = ask(server, _REQUESTS, self.seconds, connections=1)
        return float(answer["latency_us"]["p99"])


def _longest_collection_s(server: Server) -> float:
    with closing(HTTPConnection("127.0.0.1", server.metrics_port, timeout=10)) as connection:
        connection.request("GET", "/metrics")
        found = _LONGEST_COLLECTION.search(connection.getresponse().read().decode())
    if found is None:
        raise LoadFailedError("the metrics do not tell the longest garbage collection")
    return float(found[1])
