"""The measurements: which load program runs against which server, and what its answer means."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from benchmarks import figures
from benchmarks.figures import Cause, Figure, Held
from benchmarks.programs import Publishing, ask, hold, run_program
from benchmarks.servers import Kind, Server

_WARM_UP_CLIENTS = 50
_LEAVE_S = 2
_GENTLY = ("--window", "10")
"""So few at a time is what a cold Pushpin takes without refusing some."""


_HOLDING: Mapping[Held, tuple[str, ...]] = {
    Held.STREAM: (),
    Held.EVENT_STREAM: ("--path", "/sse?channel=bench", "--events"),
    Held.LINKED_STREAM: ("--path", "/linked?channel=linked", "--channel", "linked", "--ids"),
    Held.OVER_HTTP: ("--path", "/events?channel=bench", "--websockets"),
    Held.RELAYED: ("--path", "/socket?channel=bench", "--websockets"),
}
"""How clients are held, for holdload and the origin."""

_END_OF_HEAD = "\r\n\r\n"
_TO_NCHAN = ("--publish-to", "/publish?channel=bench", "--welcome")
_HOLDING_BY_NCHAN: Mapping[Held, tuple[str, ...]] = {
    Held.STREAM: ("--path", "/stream?channel=bench", "--header", "TE: chunked", *_TO_NCHAN, _END_OF_HEAD),
    Held.EVENT_STREAM: ("--path", "/sse?channel=bench", "--header", "Accept: text/event-stream", *_TO_NCHAN, ": hi"),
    Held.OVER_HTTP: ("--path", "/socket?channel=bench", "--websockets", *_TO_NCHAN, _END_OF_HEAD),
}
"""The same where there is no backend. Nchan's WebSockets are beside those over HTTP: both have no connection behind."""

_ASKING: Mapping[Held, tuple[str, ...]] = {
    Held.OVER_HTTP: ("--path", "/events?channel=ask", "--websockets"),
    Held.RELAYED: ("--path", "/socket?channel=ask", "--websockets"),
}
"""How they ask, for reqload and the origin."""


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
class Holding:
    """Holds clients and publishes to them.

    Args:
        clients: how many.
        publishing: the phases, at most one of each burst size.
        held: as what.
        generations: after the first have left, so many more come and leave, to which nothing is published.
        only: the servers it is made for.
        is_again: nothing but the deliveries is measured: the rest is known well enough, and takes time.
    """

    clients: int
    publishing: tuple[Publishing, ...]
    held: Held = Held.STREAM
    generations: int = 1
    only: frozenset[Kind] = frozenset(Kind)
    is_again: bool = False

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} {self.held.plural}"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind in self.only and self._arguments(kind) is not None

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        clients, held, arguments = self.clients, self.held, self._arguments(server.kind) or ()
        hold(server, _WARM_UP_CLIENTS, [Publishing(2, 1)], *arguments, *_GENTLY)
        leaving = () if self.is_again else ("--leave", str(_LEAVE_S))
        answer = hold(server, clients, self.publishing, *arguments, *leaving)
        measured = {
            figures.delivery_cpu(clients, phase["burst"], held): phase["cpu_us_per_delivery"]
            for phase in answer["phases"]
        }
        measured |= {
            figures.delivery_latency(clients, held): phase["latency_us"]["p99"] / 1000
            for phase in answer["phases"]
            if phase["burst"] == 1
        }
        measured |= failures_of(answer)
        if self.is_again:
            return measured
        if server.kind is not Kind.FLOOR:
            measured |= _memory_figures(answer, clients, held)
        if server.kind.is_grip_proxy:
            measured |= self._opening_figures(answer)
        if self.generations > 1:
            later = [hold(server, clients, [], *arguments, *leaving) for _ in range(1, self.generations)]
            grown = sum(answer["memory"]["left_bytes"] for answer in later)
            measured |= {figures.memory_grown(clients, self.generations, held): grown / 1000}
        return measured

    def _arguments(self, kind: Kind) -> tuple[str, ...] | None:
        """How the server is told to hold clients as that, or None if it cannot."""
        if kind is Kind.NCHAN:
            return _HOLDING_BY_NCHAN.get(self.held)
        if kind is Kind.FLOOR:
            return _HOLDING[Held.STREAM] if self.held is Held.STREAM else None
        return _HOLDING[self.held] if kind.can_hold else None

    def _opening_figures(self, answer: dict[str, Any]) -> dict[Figure, float]:
        """Through the backend; CPU for the plain streams only."""
        clients, held = self.clients, self.held
        measured = {figures.open_rate(clients, held): answer["opens_per_s"]}
        if held is Held.STREAM:
            measured |= {figures.open_cpu(clients, held): answer["cpu_us_per_open"]}
        return measured


@dataclass(frozen=True, slots=True)
class Polls:
    """Holds long polls and answers them all with one publish.

    Args:
        clients: how many.
        only: the servers it is made for.
    """

    clients: int
    only: frozenset[Kind] = frozenset(Kind)

    @property
    def title(self) -> str:
        """See `Load`."""
        return f"{self.clients:,} {Held.POLL.plural}"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.is_grip_proxy and kind in self.only

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        polls = ("--path", "/poll?channel=poll", "--channel", "poll", "--polls-of", str(server.origin_port))
        hold(server, _WARM_UP_CLIENTS, [Publishing(1, 1)], *polls, *_GENTLY)
        answer = hold(server, self.clients, [Publishing(1, 1)], *polls, "--leave", str(_LEAVE_S))
        return {**_memory_figures(answer, self.clients, Held.POLL), **failures_of(answer)}


@dataclass(frozen=True, slots=True)
class Requests:
    """Ordinary requests, over 50 keep-alive connections: all alike, then no two alike; each for at most ``seconds``.

    Args:
        only: the servers it is made for.
    """

    requests: int
    seconds: int
    only: frozenset[Kind] = frozenset(Kind)

    @property
    def title(self) -> str:
        """See `Load`."""
        return "proxied requests"

    def fits(self, kind: Kind) -> bool:
        """See `Load`."""
        return kind.can_proxy and kind in self.only

    def measure(self, server: Server) -> dict[Figure, float]:
        """See `Load`."""
        answer = ask(server, self.requests, self.seconds)
        varied = ask(server, self.requests, self.seconds, "--vary")
        return {
            figures.REQUEST_RATE: answer["requests_per_s"],
            figures.REQUEST_CPU: answer["cpu_us_per_request"],
            figures.VARIED_REQUEST_CPU: varied["cpu_us_per_request"],
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
        hold(server, _WARM_UP_CLIENTS, [Publishing(1, 1)], *_HOLDING[self.held], *_GENTLY)
        answer = ask(server, self.messages, self.seconds, *_ASKING[self.held])
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
        warm_up(server)
        ports = ("--control-port", str(server.control_port), "--origin-port", str(server.origin_port))
        limits = ("--rounds", str(self.rounds), "--seconds", str(self.seconds))
        answer = run_program("recoverload", server, *ports, *limits, "--clients", str(self.clients))
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


def warm_up(server: Server) -> None:
    """Hold a few clients, so that everything has run once."""
    hold(server, _WARM_UP_CLIENTS, [Publishing(2, 1)], *_GENTLY)


def _memory_figures(answer: dict[str, Any], clients: int, held: Held) -> dict[Figure, float]:
    """What it takes to hold them: PSS, which hardly differs, for the plain streams only."""
    grown = answer["memory"]
    measured = {
        figures.memory(clients, held): grown["rss_bytes"] / 1000,
        figures.memory_left(clients, held): grown["left_bytes"] / 1000,
    }
    if held is Held.STREAM:
        measured |= {figures.memory_pss(clients, held): grown["pss_bytes"] / 1000}
    return measured


def failures_of(answer: dict[str, Any]) -> dict[Figure, float]:
    """What did not go as it should, in an answer of holdload."""
    kinds = ("lost", "unexpected", "refused", "unanswered")
    return {
        figures.LOST: sum(phase[kind] for phase in answer["phases"] for kind in kinds),
        figures.REFUSED: answer["opens_refused"],
    }
