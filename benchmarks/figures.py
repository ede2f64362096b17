"""What is measured, as values: figures, the samples collected for them, and what is aimed at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from statistics import median

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


LOST = Figure("Deliveries lost or publishes refused, worst run", summary=Summary.WORST)
REFUSED = Figure("Requests for a hold refused, worst run", summary=Summary.WORST)
REQUEST_RATE = Figure("Proxied requests, 50 connections", "requests/s")
REQUEST_CPU = Figure("CPU per proxied request", "µs")
REQUEST_LATENCY = Figure("Proxied request, 99th percentile", "ms")


def delivery_cpu(clients: int, burst: int) -> Figure:
    """CPU time per delivery with so many held streams."""
    load = "one publish at a time" if burst == 1 else f"bursts of {burst}"
    return Figure(f"CPU per delivery, {clients:,} streams, {load}", "µs")


def delivery_latency(clients: int) -> Figure:
    """From the publish until the client has read it; one publish at a time."""
    return Figure(f"Publish to client, {clients:,} streams, 99th percentile", "ms")


def idle_cpu(clients: int) -> Figure:
    """CPU use while streams are held and nothing happens."""
    return Figure(f"CPU with {clients:,} idle streams", "% of a core")


def stream_memory(clients: int) -> Figure:
    """Growth of RSS per held stream."""
    return Figure(f"Memory per held stream at {clients:,}, RSS", "kB")


def stream_pss(clients: int) -> Figure:
    """Growth of PSS per held stream."""
    return Figure(f"Memory per held stream at {clients:,}, PSS", "kB")


def poll_memory(clients: int) -> Figure:
    """Growth of RSS per held long poll."""
    return Figure(f"Memory per held long poll at {clients:,}, RSS", "kB")


def memory_left(clients: int) -> Figure:
    """What remains of the growth after all clients have left."""
    return Figure(f"Of that, 2 s after the {clients:,} have left", "kB")


def open_rate(clients: int) -> Figure:
    """How fast holds are opened."""
    return Figure(f"Holds opened through the backend, up to {clients:,}", "holds/s")


def open_cpu(clients: int) -> Figure:
    """CPU time per hold opened."""
    return Figure(f"CPU per hold opened, up to {clients:,}", "µs")


@dataclass(slots=True)
class Results:
    """All samples of a run, in the order in which the figures first appeared."""

    samples: dict[Figure, dict[Kind, list[float]]] = field(default_factory=dict)

    def add(self, kind: Kind, measured: Mapping[Figure, float]) -> None:
        """Add one measurement's figures."""
        for figure, value in measured.items():
            self.samples.setdefault(figure, {}).setdefault(kind, []).append(value)

    def value(self, figure: Figure, kind: Kind) -> float | None:
        """The number for one cell of the table, or None if it was not measured."""
        samples = self.samples.get(figure, {}).get(kind)
        if not samples:
            return None
        return max(samples) if figure.summary is Summary.WORST else median(samples)

    def kinds(self) -> list[Kind]:
        """The servers that were measured, in column order."""
        return [kind for kind in Kind if any(kind in by_kind for by_kind in self.samples.values())]


@dataclass(frozen=True, slots=True)
class Goal:
    """What Holdfast is to reach.

    Args:
        figure: of Holdfast.
        peer: whose same figure it is divided by; None for the figure itself.
        limit: the number to compare with.
        is_most: whether the limit is the most that is allowed, or the least.
    """

    figure: Figure
    peer: Kind | None
    limit: float
    is_most: bool

    def measured(self, results: Results) -> float | None:
        """The figure or quotient, or None if a part of it was not measured."""
        own = results.value(self.figure, Kind.HOLDFAST)
        if self.peer is None or own is None:
            return own
        other = results.value(self.figure, self.peer)
        return own / other if other else None

    def is_reached(self, measured: float) -> bool:
        """Whether ``measured`` is within the limit."""
        return measured <= self.limit if self.is_most else measured >= self.limit


GOALS: tuple[Goal, ...] = (
    *(
        Goal(delivery_cpu(clients, burst), Kind.FLOOR, 1.5, is_most=True)
        for clients in (1000, 5000)
        for burst in (1, 20)
    ),
    Goal(stream_memory(15_000), None, 1.0, is_most=True),
    Goal(REQUEST_RATE, Kind.PUSHPIN, 6.0, is_most=False),
    Goal(LOST, None, 0.0, is_most=True),
    Goal(REFUSED, None, 0.0, is_most=True),
)
