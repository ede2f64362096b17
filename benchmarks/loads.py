"""The measurements: which load program runs against which server, and what its answer means."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks import figures
from benchmarks.figures import Figure
from benchmarks.servers import PROGRAMS, Kind, Server

_LOAD_TIMEOUT_S = 120.0
_WARM_UP_CLIENTS = 50
_LEAVE_S = 2
_GENTLY = ("--window", "10")
"""So few at a time is what a cold Pushpin takes without refusing some."""


class LoadFailedError(Exception):
    """A load program could not do its work; the text is what it said."""


class Load(Protocol):
    """One measurement, made once per round against a fresh server."""

    @property
    def title(self) -> str:
        """What the progress line says."""

    def fits(self, kind: Kind) -> bool:
        """Whether the server can take it."""

    def measure(self, server: Server) -> dict[Figure, float]:
        """Run it; raises LoadFailedError."""


@dataclass(frozen=True, slots=True)
class Publishing:
    """``rounds`` rounds, in each of which ``burst`` messages are published at once."""

    rounds: int
    burst: int

    def __str__(self) -> str:
        return f"{self.rounds}x{self.burst}"


@dataclass(frozen=True, slots=True)
class Streams:
    """Holds streams and publishes to them.

    Args:
        clients: how many.
        publishing: the phases, at most one of each burst size.
        idle_s: seconds in which nothing happens, to measure the idle server; 0 for none.
        only: the servers it is made for.
    """

    clients: int
    publishing: tuple[Publishing, ...]
    idle_s: int = 0
    only: frozenset[Kind] = frozenset(Kind)

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} streams"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.can_hold and kind in self.only

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        _hold(server, _WARM_UP_CLIENTS, [Publishing(2, 1)], *_GENTLY)
        answer = _hold(server, self.clients, self.publishing, "--idle", str(self.idle_s), "--leave", str(_LEAVE_S))
        measured = {
            figures.delivery_cpu(self.clients, phase["burst"]): phase["cpu_us_per_delivery"]
            for phase in answer["phases"]
        }
        measured |= {
            figures.delivery_latency(self.clients): phase["latency_us"]["p99"] / 1000
            for phase in answer["phases"]
            if phase["burst"] == 1
        }
        measured |= _failures(answer)
        if self.idle_s:
            measured |= {figures.idle_cpu(self.clients): answer["idle_cpu_percent"]}
        if server.kind.is_grip_proxy:
            measured |= {
                figures.stream_memory(self.clients): answer["memory"]["rss_bytes"] / 1000,
                figures.stream_pss(self.clients): answer["memory"]["pss_bytes"] / 1000,
                figures.memory_left(self.clients): answer["memory"]["left_bytes"] / 1000,
                figures.open_rate(self.clients): answer["opens_per_s"],
                figures.open_cpu(self.clients): answer["cpu_us_per_open"],
            }
        return measured


@dataclass(frozen=True, slots=True)
class Polls:
    """Holds long polls and answers them all with one publish."""

    clients: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} long polls"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        polls = ("--path", "/poll?channel=poll", "--channel", "poll", "--polls-of", str(server.origin_port))
        _hold(server, _WARM_UP_CLIENTS, [Publishing(1, 1)], *polls, *_GENTLY)
        answer = _hold(server, self.clients, [Publishing(1, 1)], *polls)
        return {figures.poll_memory(self.clients): answer["memory"]["rss_bytes"] / 1000, **_failures(answer)}


@dataclass(frozen=True, slots=True)
class Requests:
    """Ordinary requests, over 50 keep-alive connections, for at most ``seconds``."""

    requests: int
    seconds: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return "proxied requests"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.can_proxy

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        arguments = ("--requests", str(self.requests), "--seconds", str(self.seconds), "--connections", "50")
        answer = _run("reqload", server, *arguments)
        if answer["failed"]:
            raise LoadFailedError(f"{answer['failed']} of {answer['requests']} requests were not answered with 200")
        return {
            figures.REQUEST_RATE: answer["requests_per_s"],
            figures.REQUEST_CPU: answer["cpu_us_per_request"],
            figures.REQUEST_LATENCY: answer["latency_us"]["p99"] / 1000,
        }


def _hold(server: Server, clients: int, publishing: Sequence[Publishing], *more: str) -> dict[str, Any]:
    phases = [argument for phase in publishing for argument in ("--publish", str(phase))]
    control = ("--control-port", str(server.control_port), "--clients", str(clients))
    return _run("holdload", server, *control, *phases, *more)


def _run(program: str, server: Server, *arguments: str) -> dict[str, Any]:
    """Run a load program and return the object it prints: its source says what the members are."""
    pids = ",".join(map(str, server.running.pids()))
    command = [str(PROGRAMS / program), "--port", str(server.port), "--pids", pids, *arguments]
    result = subprocess.run(command, capture_output=True, text=True, timeout=_LOAD_TIMEOUT_S, check=False)
    if result.returncode not in (0, 1):  # 1: something was lost, and the answer says what
        raise LoadFailedError(result.stderr.strip() or f"{program} ended with status {result.returncode}")
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


def _failures(answer: dict[str, Any]) -> dict[Figure, float]:
    """What did not go as it should."""
    kinds = ("lost", "unexpected", "refused", "unanswered")
    return {
        figures.LOST: sum(phase[kind] for phase in answer["phases"] for kind in kinds),
        figures.REFUSED: answer["opens_refused"],
    }
