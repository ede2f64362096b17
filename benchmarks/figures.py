"""What is measured, as values: figures, the samples collected for them, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from statistics import median
from typing import NamedTuple

from benchmarks.servers import Kind


class Summary(Enum):
    """How several samples become one number."""

    MEDIAN = "median"
    WORST = "worst"


@dataclass(frozen=True, slots=True)
class Figure:
    """A row of the table.

    Args:
        title: what is measured, under which load.
        unit: shown behind the title; empty for a plain count.
        summary: which of the samples counts.
    """

    title: str
    unit: str = ""
    summary: Summary = Summary.MEDIAN

    @property
    def heading(self) -> str:
        """Title and unit."""
        return f"{self.title}, {self.unit}" if self.unit else self.title


class Held(Enum):
    """What clients are held as: what several are called, and what memory is counted per."""

    STREAM = ("streams", "held stream")
    EVENT_STREAM = ("event streams", "held event stream")
    LINKED_STREAM = ("streams with ids, filters and keep-alives", "held stream with ids, filters and keep-alives")
    POLL = ("long polls", "held long poll")
    OVER_HTTP = ("WebSockets over HTTP", "WebSocket over HTTP")
    RELAYED = ("relayed WebSockets", "relayed WebSocket and its backend connection")

    @property
    def plural(self) -> str:
        """As in "1,000 streams"."""
        return self.value[0]

    @property
    def unit(self) -> str:
        """As in "memory per held stream"."""
        return self.value[1]


class Cause(Enum):
    """What makes all streams ask their next link at once, by the names that recoverload uses."""

    RECOVER = "recover"
    GAP = "gap"

    @property
    def heading(self) -> str:
        """As in "backend requests after a gap"."""
        return "a gap" if self is Cause.GAP else "`recover`"


LOST = Figure("Deliveries lost or publishes refused, worst run", summary=Summary.WORST)
REFUSED = Figure("Requests for a hold refused, worst run", summary=Summary.WORST)
REQUEST_RATE = Figure("Proxied requests, 50 connections", "requests/s")
REQUEST_CPU = Figure("CPU per proxied request", "µs")
VARIED_REQUEST_CPU = Figure("CPU per proxied request, no two alike", "µs")
REQUEST_LATENCY = Figure("Proxied request, 99th percentile", "ms")
POST_RATE = Figure("Published over HTTP, 10 keep-alive connections, to one stream", "items/s")
POST_CPU = Figure("CPU per item published over HTTP", "µs")
PUSH_RATE = Figure("Published through ZeroMQ PULL, one item a message, to one stream", "items/s")
PUSH_CPU = Figure("CPU per item through PULL", "µs")


def delivery_cpu(clients: int, burst: int, held: Held = Held.STREAM) -> Figure:
    """CPU time per delivery with so many held clients."""
    load = "one publish at a time" if burst == 1 else f"bursts of {burst}"
    return Figure(f"CPU per delivery, {clients:,} {held.plural}, {load}", "µs")


def delivery_latency(clients: int, held: Held = Held.STREAM) -> Figure:
    """From the publish until the client has read it; one publish at a time."""
    return Figure(f"Publish to client, {clients:,} {held.plural}, 99th percentile", "ms")


def idle_cpu(clients: int) -> Figure:
    """CPU use while streams are held and nothing happens but a keep-alive every 25 seconds."""
    return Figure(f"CPU with {clients:,} idle streams, keep-alives every 25 s", "% of a core")


def disturbed_latency(clients: int) -> Figure:
    """How much longer the slowest of an unrelated client's proxied requests take while streams get a broadcast."""
    return Figure(f"Proxied request beside broadcasts to {clients:,} streams, 99th percentile above idle", "ms")


def longest_collection(clients: int) -> Figure:
    """How long the process stood still for a collection of garbage, at worst."""
    return Figure(f"Longest garbage collection with {clients:,} streams", "ms", Summary.WORST)


def memory(clients: int, held: Held = Held.STREAM) -> Figure:
    """Growth of RSS per held client."""
    return Figure(f"Memory per {held.unit} at {clients:,}, RSS", "kB")


def memory_pss(clients: int, held: Held = Held.STREAM) -> Figure:
    """Growth of PSS per held client."""
    return Figure(f"Memory per {held.unit} at {clients:,}, PSS", "kB")


def memory_left(clients: int, held: Held = Held.STREAM) -> Figure:
    """What remains of the growth after all clients have left."""
    return Figure(f"Of that, 2 s after the {clients:,} {held.plural} have left", "kB")


def memory_grown(clients: int, generations: int, held: Held = Held.STREAM) -> Figure:
    """What more remains after others have come and left."""
    which = "a second generation" if generations == 2 else f"{generations} generations"
    return Figure(f"And how much more after {which} of {clients:,} {held.plural}", "kB")


def open_rate(clients: int, held: Held = Held.STREAM) -> Figure:
    """How fast clients are held."""
    return Figure(f"Opened through the backend, up to {clients:,} {held.plural}", "clients/s")


def open_cpu(clients: int, held: Held = Held.STREAM) -> Figure:
    """CPU time per client held."""
    return Figure(f"CPU per client opened, up to {clients:,} {held.plural}", "µs")


def round_trip_rate(held: Held) -> Figure:
    """A client's message to the backend, and the backend's answer to the client."""
    return Figure(f"Messages answered by the backend, 50 {held.plural}", "round trips/s")


def round_trip_cpu(held: Held) -> Figure:
    """CPU time per such round trip."""
    return Figure(f"CPU per round trip, 50 {held.plural}", "µs")


def round_trip_latency(held: Held) -> Figure:
    """Of one round trip."""
    return Figure(f"Round trip, 50 {held.plural}, 99th percentile", "ms")


def tls_memory(clients: int) -> Figure:
    """Growth of RSS per client that is held by TLS."""
    return Figure(f"Memory per held stream by TLS at {clients:,}, RSS", "kB")


def tls_memory_left(clients: int) -> Figure:
    """What remains of that after all have left."""
    return Figure(f"Of that, 5 s after the {clients:,} streams by TLS have left", "kB")


def tls_open_rate(clients: int) -> Figure:
    """How fast one client after the other is held, handshake included."""
    return Figure(f"Opened one after the other by TLS, up to {clients:,} streams", "clients/s")


def tls_open_cpu(clients: int) -> Figure:
    """CPU time per client held by TLS, handshake included."""
    return Figure(f"CPU per client opened by TLS, up to {clients:,} streams", "µs")


def tls_delivery_cpu(clients: int) -> Figure:
    """CPU time per delivery by TLS."""
    return Figure(f"CPU per delivery by TLS, {clients:,} streams, one publish at a time", "µs")


def recovery_requests(clients: int, cause: Cause) -> Figure:
    """How many requests the backend gets when all streams ask their next link, at most."""
    return Figure(
        f"Backend requests, {clients:,} streams recover after {cause.heading}, worst run", summary=Summary.WORST
    )


def recovery_time(clients: int, cause: Cause) -> Figure:
    """Until the last of them has the answer."""
    return Figure(f"Until all {clients:,} streams have recovered after {cause.heading}", "ms")


def recovery_cpu(clients: int, cause: Cause) -> Figure:
    """CPU time per stream that recovers."""
    return Figure(f"CPU per stream, {clients:,} recover after {cause.heading}", "µs")


def bystander_latency(clients: int, cause: Cause, point: str) -> Figure:
    """From a publish until a client has read it that has nothing to do with all that; `point` as in recoverload."""
    name = {"p50": "median", "p99": "99th percentile", "max": "worst"}[point]
    return Figure(f"Publish to a bystander, {clients:,} streams recover after {cause.heading}, {name}", "ms")


class Sample(NamedTuple):
    """One measured number.

    Args:
        place: how many measurements were before it in the run.
    """

    place: int
    value: float


@dataclass(slots=True)
class Results:
    """All samples of a run, in the order in which the figures first appeared."""

    samples: dict[Figure, dict[Kind, list[Sample]]] = field(default_factory=dict)
    measurements: int = 0

    def add(self, kind: Kind, measured: Mapping[Figure, float]) -> None:
        """Add one measurement's figures."""
        for figure, value in measured.items():
            self.samples.setdefault(figure, {}).setdefault(kind, []).append(Sample(self.measurements, value))
        self.measurements += 1

    def value(self, figure: Figure, kind: Kind) -> float | None:
        """The number for one cell of the table, or None if it was not measured."""
        values = [sample.value for sample in self._of(figure, kind)]
        if not values:
            return None
        return max(values) if figure.summary is Summary.WORST else median(values)

    def ratio(self, own: tuple[Figure, Kind], peer: tuple[Figure, Kind]) -> float | None:
        """How many times as much as the peer's: the median of each sample's quotient with the peer's nearest one.

        A shared machine is half as fast again for minutes, and then it is not. The quotient of two medians depends on
        how many samples of each fell into those minutes; two measurements side by side have the same machine.
        """
        peers = self._of(*peer)
        quotients: list[float] = []
        for sample in self._of(*own) if peers else ():
            nearest = min(peers, key=lambda other: abs(other.place - sample.place))
            if not nearest.value:
                return None
            quotients.append(sample.value / nearest.value)
        return median(quotients) if quotients else None

    def _of(self, figure: Figure, kind: Kind) -> list[Sample]:
        return self.samples.get(figure, {}).get(kind, [])

    def kinds(self) -> list[Kind]:
        """The servers that were measured, in column order."""
        return [kind for kind in Kind if any(kind in by_kind for by_kind in self.samples.values())]


@dataclass(frozen=True, slots=True)
class Goal:
    """What Holdfast is to reach.

    Args:
        figure: of Holdfast.
        peer: whose figure it is compared with, see `Results.ratio`; None for the figure itself.
        limit: the number to compare with.
        is_most: whether the limit is the most that is allowed, or the least.
        peer_figure: what of the peer, if not the same.
    """

    figure: Figure
    peer: Kind | None
    limit: float
    is_most: bool
    peer_figure: Figure | None = None

    def measured(self, results: Results) -> float | None:
        """The figure or ratio, or None if a part of it was not measured."""
        if self.peer is None:
            return results.value(self.figure, Kind.HOLDFAST)
        return results.ratio((self.figure, Kind.HOLDFAST), (self.peer_figure or self.figure, self.peer))

    def is_reached(self, measured: float) -> bool:
        """Whether ``measured`` is within the limit."""
        return measured <= self.limit if self.is_most else measured >= self.limit


_FANNED_OUT = (Held.STREAM, Held.EVENT_STREAM, Held.OVER_HTTP)


def _floor_goal(clients: int, burst: int, held: Held, limit: float = 1.25) -> Goal:
    """The floor only has streams: a ready frame costs it what a ready chunk does."""
    peer_figure = None if held is Held.STREAM else delivery_cpu(clients, burst)
    return Goal(delivery_cpu(clients, burst, held), Kind.FLOOR, limit, is_most=True, peer_figure=peer_figure)


def _fan_out_goals(clients: int, held: Held) -> tuple[Goal, ...]:
    """One publish at a time, and bursts, in which publishes can leave together."""
    single, bursts = delivery_cpu(clients, 1, held), delivery_cpu(clients, 20, held)
    return (
        _floor_goal(clients, 1, held),
        Goal(single, Kind.NCHAN, 1.0, is_most=True),
        Goal(single, Kind.PUSHPIN, 0.2, is_most=True),
        Goal(bursts, Kind.NCHAN, 0.5, is_most=True),
        Goal(bursts, Kind.PUSHPIN, 0.5, is_most=True),
    )


GOALS: tuple[Goal, ...] = (
    *(goal for held in _FANNED_OUT for clients in (1000, 5000) for goal in _fan_out_goals(clients, held)),
    *(_floor_goal(clients, 1, Held.LINKED_STREAM, 1.5) for clients in (1000, 5000)),
    *(_floor_goal(5000, burst, Held.RELAYED) for burst in (1, 20)),
    *(Goal(cpu, Kind.NGINX, 2.5, is_most=True) for cpu in (REQUEST_CPU, VARIED_REQUEST_CPU)),
    *(Goal(cpu, Kind.PUSHPIN, 0.125, is_most=True) for cpu in (REQUEST_CPU, VARIED_REQUEST_CPU)),
    Goal(memory(15_000), None, 1.0, is_most=True),
    Goal(memory(15_000, Held.POLL), None, 2.5, is_most=True),
    Goal(memory(15_000, Held.OVER_HTTP), None, 3.0, is_most=True),
    Goal(memory(5000, Held.RELAYED), None, 6.0, is_most=True),
    Goal(tls_memory(5000), None, 28.0, is_most=True),
    *(Goal(memory_grown(15_000, 2, held), None, 0.5, is_most=True) for held in (Held.STREAM, Held.OVER_HTTP)),
    *(Goal(open_rate(clients), Kind.PUSHPIN, 6.0, is_most=False) for clients in (1000, 5000)),
    Goal(POST_RATE, None, 8_000.0, is_most=False),
    Goal(PUSH_RATE, None, 20_000.0, is_most=False),
    Goal(round_trip_rate(Held.OVER_HTTP), Kind.PUSHPIN, 5.0, is_most=False),
    Goal(idle_cpu(19_000), None, 3.0, is_most=True),
    Goal(disturbed_latency(19_000), None, 15.0, is_most=True),
    Goal(longest_collection(19_000), None, 10.0, is_most=True),
    *(Goal(recovery_requests(5000, cause), None, 10.0, is_most=True) for cause in Cause),
    *(Goal(bystander_latency(5000, cause, "p99"), None, 50.0, is_most=True) for cause in Cause),
    Goal(LOST, None, 0.0, is_most=True),
    Goal(REFUSED, None, 0.0, is_most=True),
)
