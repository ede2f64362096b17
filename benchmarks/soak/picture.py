"""The samples of a soak as a picture: ``python -m benchmarks.soak.picture soak.csv soak.png``. Needs matplotlib."""

from __future__ import annotations

import csv
import sys
from collections.abc import Sequence
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import Any

import matplotlib
from benchmarks.soak.faults import Fault
from benchmarks.soak.samples import slope_of
from PIL import Image

matplotlib.use("Agg")
from matplotlib import pyplot

_INCHES, _DOTS_PER_INCH = (12, 9), 100
_COLORS = 48
"""A picture with few is a third as large."""
_BLUE, _ORANGE, _GREEN, _GREY, _RED = "tab:blue", "tab:orange", "tab:green", "tab:gray", "tab:red"
_SHOWN_FAULTS = (
    (Fault.KILL, _RED, "backend killed"),
    (Fault.ROTATE, _GREEN, "log rotated"),
    (Fault.REPLACE, _GREY, "routes replaced"),
)

Rows = Sequence[dict[str, str]]


def draw(csv_file: Path, picture: Path) -> None:
    """Draw memory, latency, connections and work of a run, with what was done to it."""
    with csv_file.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    minutes = [float(row["at_s"]) / 60 for row in rows]
    figure, panels = pyplot.subplots(4, 1, sharex=True, figsize=_INCHES, height_ratios=(3, 4, 2.4, 2.4))
    _memory(panels[0], minutes, rows)
    _latency(panels[1], minutes, rows)
    _connections(panels[2], minutes, rows)
    _work(panels[3], minutes, rows)
    for number, panel in enumerate(panels):
        _events(panel, minutes, rows, _SHOWN_FAULTS if number == 0 else _SHOWN_FAULTS[:1])
        panel.grid(visible=True, alpha=0.3)
        panel.margins(x=0.01)
    handles = [
        panels[0].plot([], [], color=color, linestyle="--", linewidth=1, label=label)[0]
        for _, color, label in _SHOWN_FAULTS
    ]
    figure.legend(handles=handles, loc="upper right", ncols=len(handles), fontsize=9, frameon=False)
    figure.suptitle(f"Holdfast under mixed traffic for {minutes[-1]:.0f} minutes", x=0.01, ha="left", fontsize=13)
    panels[-1].set_xlabel("minutes")
    figure.tight_layout()
    picture.parent.mkdir(parents=True, exist_ok=True)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=_DOTS_PER_INCH)
    pyplot.close(figure)
    Image.open(drawn).convert("RGB").quantize(_COLORS).save(picture, optimize=True)


def _memory(panel: Any, minutes: Sequence[float], rows: Rows) -> None:
    for name, color in (("rss", _BLUE), ("pss", _ORANGE)):
        values = [number / 1000 for number in _column(rows, f"{name}_kb")]
        panel.plot(minutes, values, color=color, label=name.upper(), linewidth=1.4)
    panel.plot([], [], " ", label=f"RSS after the first third: {slope_of(rows, 'rss_kb'):+.0f} kB/min")
    panel.set_ylabel("memory, MB")
    panel.legend(loc="center right", fontsize=8)


def _latency(panel: Any, minutes: Sequence[float], rows: Rows) -> None:
    for column, color, label, width in (
        ("publish_p50_ms", _BLUE, "publish to client, median", 1.4),
        ("publish_p99_ms", _ORANGE, "publish to client, 99th percentile", 1.4),
        ("request_p50_ms", _GREEN, "proxied request, median", 1.4),
        ("request_p99_ms", _GREY, "proxied request, 99th percentile", 1.0),
    ):
        panel.plot(
            minutes, [value or None for value in _column(rows, column)], color=color, label=label, linewidth=width
        )
    worst = [value or None for value in _column(rows, "publish_max_ms")]
    panel.plot(minutes, worst, ".", color=_RED, markersize=2.5, label="publish to client, worst")
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter("{x:g}")
    panel.set_ylabel("latency, ms")
    panel.legend(loc="upper right", fontsize=8, ncols=3)


def _connections(panel: Any, minutes: Sequence[float], rows: Rows) -> None:
    for column, color, label in (
        ("descriptors", _BLUE, "open descriptors"),
        ("open_connections", _ORANGE, "client connections"),
        ("tasks", _GREEN, "tasks"),
    ):
        panel.plot(minutes, _column(rows, column), color=color, label=label, linewidth=1.2)
    panel.set_ylim(bottom=0)
    panel.set_ylabel("number")
    panel.legend(loc="lower right", fontsize=8, ncols=3)


def _work(panel: Any, minutes: Sequence[float], rows: Rows) -> None:
    panel.plot(minutes, _column(rows, "cpu_percent"), color=_BLUE, label="CPU, % of a core", linewidth=1.2)
    panel.set_ylim(bottom=0)
    panel.set_ylabel("CPU, %")
    rates = panel.twinx()
    totals = zip(_column(rows, "at_s"), _column(rows, "deliveries_total"), strict=True)
    per_second = [(b - a) / (later - earlier) for (earlier, a), (later, b) in pairwise(totals)]
    rates.plot(minutes[1:], per_second, color=_ORANGE, linewidth=1)
    rates.set_ylim(bottom=0)
    rates.set_ylabel("deliveries/s", color=_ORANGE)
    panel.legend(loc="lower right", fontsize=8)


def _events(panel: Any, minutes: Sequence[float], rows: Rows, faults: Sequence[tuple[Fault, str, str]]) -> None:
    for fault, color, _ in faults:
        for minute, row in zip(minutes, rows, strict=True):
            if fault in row["events"].split():
                panel.axvline(minute, color=color, linestyle="--", linewidth=0.6, alpha=0.7)


def _column(rows: Rows, name: str) -> list[float]:
    return [float(row[name]) for row in rows]


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]))
