"""What is written down of a soak every few seconds: of the process, of its metrics, and of its clients."""

from __future__ import annotations

import csv
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.harness.watch import GONE_WITH_THE_CLIENTS

ZERO_AT_THE_END = (*GONE_WITH_THE_CLIENTS, "paced_deliveries", "sockjs_sessions", "zhttp_exchanges", "tasks")
"""Gauges that show whether anything is left of the clients, apart from what the server needs itself."""

GAUGES = (*ZERO_AT_THE_END, "remembered_ids", "backend_idle_connections")
COUNTERS = ("requests_received_total", "deliveries_total", "slow_clients_disconnected_total", "links_followed_total")
_LATENCIES = tuple(
    f"{kind}_{which}" for kind in ("publish", "request") for which in ("p50_ms", "p99_ms", "max_ms", "count")
)
INSIDE = ("heap_used_kb", "heap_free_kb", "python_blocks")
"""What the process itself knows of its memory: of the C library's heap, and Python's blocks in use."""

COLUMNS = ("at_s", "rss_kb", "pss_kb", *INSIDE, "cpu_percent", "descriptors", *GAUGES, *COUNTERS, *_LATENCIES, "events")

FIRST_THIRD = 1 / 3

Row = dict[str, object]


@dataclass(frozen=True, slots=True)
class Process:
    """A process, seen through /proc."""

    pid: int

    def memory_kb(self) -> tuple[float, float]:
        """Resident and proportional memory, in units of 1,000 bytes."""
        values: dict[str, float] = {}
        for line in self._file("smaps_rollup").read_text().splitlines()[1:]:
            name, _, rest = line.partition(":")
            values[name] = int(rest.split()[0]) * 1.024
        return values["Rss"], values["Pss"]

    def cpu_s(self) -> float:
        """Processor time so far, user and kernel."""
        fields = self._file("stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def descriptors(self) -> int:
        """How many are open."""
        return len(os.listdir(self._file("fd")))

    def _file(self, name: str) -> Path:
        return Path(f"/proc/{self.pid}/{name}")


class Sampler:
    """Makes the rows."""

    def __init__(self, process: Process, start_s: float) -> None:
        self._process = process
        self._start_s = start_s
        self._last_s = start_s
        self._last_cpu_s = process.cpu_s()

    def row(self, metrics: Mapping[str, float], report: Mapping[str, object], events: Sequence[str]) -> Row:
        """What is to be said now; `report` is what the clients have said last."""
        now, cpu_s = time.monotonic(), self._process.cpu_s()
        rss_kb, pss_kb = self._process.memory_kb()
        cpu_percent = 100 * (cpu_s - self._last_cpu_s) / max(now - self._last_s, 0.001)
        self._last_s, self._last_cpu_s = now, cpu_s
        row: Row = {
            "at_s": round(now - self._start_s, 1),
            "rss_kb": round(rss_kb),
            "pss_kb": round(pss_kb),
            "cpu_percent": round(cpu_percent, 1),
            "descriptors": self._process.descriptors(),
            **{name: int(metrics[name]) for name in (*GAUGES, *COUNTERS)},
            "events": " ".join(events),
        }
        for kind in ("publish", "request"):
            values = report.get(kind, [0.0, 0.0, 0.0, 0])
            assert isinstance(values, list)
            row |= dict(
                zip([f"{kind}_{which}" for which in ("p50_ms", "p99_ms", "max_ms", "count")], values, strict=True)
            )
        return row


def write_rows(file: Path, rows: Sequence[Row]) -> None:
    """Write a CSV file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="") as output:
        writer = csv.DictWriter(output, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)


def slope(points: Sequence[tuple[float, float]]) -> float:
    """Of the straight line that fits best, by least squares; 0 for less than two points."""
    if len(points) < 2:
        return 0.0
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    return sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0


def slope_of(rows: Sequence[Mapping[str, object]], column: str, *, skipped: float = FIRST_THIRD) -> float:
    """Growth of a column, per minute, without that share of the run at its beginning."""
    last_s = float(str(rows[-1]["at_s"]))
    later = [row for row in rows if float(str(row["at_s"])) >= last_s * skipped]
    return slope([(float(str(row["at_s"])) / 60, float(str(row[column]))) for row in later])
