"""The measurements: which load program runs against which server, and what its answer means."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks import figures
from benchmarks.figures import Cause, Figure, Held
from benchmarks.servers import PROGRAMS, Kind, Server

_LOAD_TIMEOUT_S = 120.0
_WARM_UP_CLIENTS = 50
_LEAVE_S = 2
_GENTLY = ("--window", "10")
"""So few at a time is what a cold Pushpin takes without refusing some."""


_HOLDING: Mapping[Held, tuple[str, ...]] = {
    Held.STREAM: (),
    Held.LINKED_STREAM: ("--path", "/linked?channel=linked", "--channel", "linked", "--ids"),
    Held.OVER_HTTP: ("--path", "/events?channel=bench", "--websockets"),
    Held.RELAYED: ("--path", "/socket?channel=bench", "--websockets"),
}
"""How clients are held, for holdload and the origin."""

_ASKING: Mapping[Held, tuple[str, ...]] = {
    Held.OVER_HTTP: ("--path", "/events?channel=ask", "--websockets"),
    Held.RELAYED: ("--path", "/socket?channel=ask", "--websockets"),
}
"""How they ask, for reqload and the origin."""


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
class Holding:
    """Holds clients and publishes to them.

    Args:
        clients: how many.
        publishing: the phases, at most one of each burst size.
        held: as what.
        idle_s: seconds in which nothing happens, to measure the idle server; 0 for none.
        only: the servers it is made for.
    """

    clients: int
    publishing: tuple[Publishing, ...]
    held: Held = Held.STREAM
    idle_s: int = 0
    only: frozenset[Kind] = frozenset(Kind)

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} {self.held.plural}"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind in self.only and (kind.is_grip_proxy or (kind.can_hold and self.held is Held.STREAM))

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        clients, held = self.clients, self.held
        _hold(server, _WARM_UP_CLIENTS, [Publishing(2, 1)], *_GENTLY)
        more = ("--idle", str(self.idle_s), "--leave", str(_LEAVE_S))
        answer = _hold(server, clients, self.publishing, *_HOLDING[held], *more)
        measured = {
            figures.delivery_cpu(clients, phase["burst"], held): phase["cpu_us_per_delivery"]
            for phase in answer["phases"]
        }
        measured |= {
            figures.delivery_latency(clients, held): phase["latency_us"]["p99"] / 1000
            for phase in answer["phases"]
            if phase["burst"] == 1
        }
        measured |= _failures(answer)
        if self.idle_s:
            measured |= {figures.idle_cpu(clients): answer["idle_cpu_percent"]}
        if server.kind.is_grip_proxy:
            measured |= self._holding_figures(answer)
        return measured

    def _holding_figures(self, answer: dict[str, Any]) -> dict[Figure, float]:
        """What it takes to hold them: PSS, which hardly differs, and CPU for the plain streams only."""
        clients, held, grown = self.clients, self.held, answer["memory"]
        measured = {
            figures.memory(clients, held): grown["rss_bytes"] / 1000,
            figures.memory_left(clients, held): grown["left_bytes"] / 1000,
            figures.open_rate(clients, held): answer["opens_per_s"],
        }
        if held is Held.STREAM:
            measured |= {
                figures.memory_pss(clients, held): grown["pss_bytes"] / 1000,
                figures.open_cpu(clients, held): answer["cpu_us_per_open"],
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
        answer = _ask(server, self.requests, self.seconds)
        return {
            figures.REQUEST_RATE: answer["requests_per_s"],
            figures.REQUEST_CPU: answer["cpu_us_per_request"],
            figures.REQUEST_LATENCY: answer["latency_us"]["p99"] / 1000,
        }


@dataclass(frozen=True, slots=True)
class RoundTrips:
    """Messages that the backend answers, over 50 WebSockets, for at most ``seconds``."""

    held: Held
    messages: int
    seconds: int

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"messages of {self.held.plural}"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        _hold(server, _WARM_UP_CLIENTS, [Publishing(1, 1)], *_HOLDING[self.held], *_GENTLY)
        answer = _ask(server, self.messages, self.seconds, *_ASKING[self.held])
        return {
            figures.round_trip_rate(self.held): answer["requests_per_s"],
            figures.round_trip_cpu(self.held): answer["cpu_us_per_request"],
            figures.round_trip_latency(self.held): answer["latency_us"]["p99"] / 1000,
        }


@dataclass(frozen=True, slots=True)
class Recovery:
    """Streams that all ask their next link at once, beside one that has nothing to do with it.

    Args:
        clients: how many.
        rounds, seconds: for each cause, how often they do, unless that takes too long.
        only: the servers it is made for.
    """

    clients: int
    rounds: int
    seconds: int
    only: frozenset[Kind] = frozenset(Kind)

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} streams recover"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy and kind in self.only

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        _hold(server, _WARM_UP_CLIENTS, [Publishing(2, 1)], *_GENTLY)
        ports = ("--control-port", str(server.control_port), "--origin-port", str(server.origin_port))
        limits = ("--rounds", str(self.rounds), "--seconds", str(self.seconds))
        answer = _run("recoverload", server, *ports, *limits, "--clients", str(self.clients))
        measured: dict[Figure, float] = {}
        for cause in Cause:
            outcome = answer[cause.value]
            measured |= {
                figures.recovery_requests(self.clients, cause): outcome["most_requests"],
                figures.recovery_time(self.clients, cause): outcome["last_ms"],
                figures.recovery_cpu(self.clients, cause): outcome["cpu_us_per_client"],
            }
            measured |= {
                figures.bystander_latency(self.clients, cause, point): outcome["bystander_us"][point] / 1000
                for point in ("p50", "p99", "max")
            }
        kinds = ("lost", "unexpected", "bystander_lost")
        measured |= {figures.LOST: sum(answer[cause.value][kind] for cause in Cause for kind in kinds)}
        return measured


def _hold(server: Server, clients: int, publishing: Sequence[Publishing], *more: str) -> dict[str, Any]:
    phases = [argument for phase in publishing for argument in ("--publish", str(phase))]
    control = ("--control-port", str(server.control_port), "--clients", str(clients))
    return _run("holdload", server, *control, *phases, *more)


def _ask(server: Server, requests: int, seconds: int, *more: str) -> dict[str, Any]:
    arguments = ("--requests", str(requests), "--seconds", str(seconds), "--connections", "50")
    answer = _run("reqload", server, *arguments, *more)
    if answer["failed"]:
        raise LoadFailedError(f"{answer['failed']} of {answer['requests']} requests were not answered as they should")
    return answer


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
